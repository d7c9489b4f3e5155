//! The methods of authentication that are built in. Each is a file, which implements `Settings` for its section of the
//! configuration and `Method` for what is built from it.
//!
//! *Owns* the list of files. *Promises* that nothing else in `auth` names one of them. *Does not* read the configuration.

mod fetch;
mod file;
mod http;
mod jose;
mod jwt;
mod storage;
#[cfg(test)]
mod toy;
