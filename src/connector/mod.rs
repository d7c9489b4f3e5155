//! The engines beside the server, one folder each: stores that can keep records (the contract is `src/storage/driver.rs`), and
//! registries of clusters (`src/registry/mod.rs`).
//!
//! *Owns* the list of them; each is built with the Cargo feature of its name. *Promises* that nothing else needs to
//! know which one is used: the settings of each know how to start it (`src/storage/settings.rs`).

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
