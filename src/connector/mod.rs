//! What keeps records: the members, one folder each, of the contract that `src/storage/driver.rs` is.
//!
//! *Owns* the list of them; each is built with the Cargo feature of its name. *Promises* that nobody else needs to know which
//! it is: a member says itself how its settings start it (`src/storage/settings.rs`). *Does not* know how any of it is done.

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "postgres")]
pub mod postgres;
