//! Connections from their socket to their end.

mod login;
pub(crate) mod table;
mod watch;
