//! The stores that can keep records, one folder each. They implement the contract in `src/storage/driver.rs`.
//!
//! *Owns* the list of them; each is built with the Cargo feature of its name. *Promises* that nothing else needs to
//! know which one is used: the settings of each know how to start it (`src/storage/settings.rs`).

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
