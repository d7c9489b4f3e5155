//! The contract between the server and a cache: a faster store that may forget.
//!
//! *Owns* the shapes only. What a cache promises:
//!
//! * **Names are one-to-one**, as in every store ([`names`](super::names)).
//! * **What it gives is what was once put there**, version and value of one moment together. It may be nothing at any time: a
//!   cache may forget. It may be old, where the cache was away while something newer was stored; whoever cannot live with
//!   that compares versions ([`Tiered`](super::Tiered) does).
//! * **A `set` or `delete` that ended well is seen by every `get` that begins after it**, unless it was forgotten or replaced.
//! * **Failures are told apart** ([`Kind`](super::Kind)), and it neither waits nor tries again nor logs.
//!
//! It may rely on what a driver may rely on; of one name nothing is asked twice at a time, but a `get` beside a `set`.

use super::driver::{Found, Trouble};
use super::names::Names;
use std::future::Future;
use std::sync::Arc;

/// What is known of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'e> {
    /// Which record.
    pub name: &'e [u8],
    /// Its version.
    pub version: i32,
    /// Its value: JSON text.
    pub value: &'e [u8],
}

/// See the module. Everything is asked of many records at a time, and answered in the same order.
pub trait Cache: Send + Sync + 'static {
    /// What it is, for people.
    fn place(&self) -> String;

    /// What it says of names.
    fn names(&self) -> Arc<dyn Names>;

    /// Makes the cache usable: at the start, and whenever it was away.
    fn open(&self) -> impl Future<Output = Result<(), Trouble>>;

    /// What is known of these records, if anything.
    fn get(&self, names: &[&[u8]]) -> impl Future<Output = Result<Vec<Found>, Trouble>>;

    /// The versions of these records, if they are known.
    fn head(&self, names: &[&[u8]]) -> impl Future<Output = Result<Vec<Option<i32>>, Trouble>>;

    /// Keeps these, whatever was known before.
    fn set(&self, entries: &[Entry<'_>]) -> impl Future<Output = Result<(), Trouble>>;

    /// Forgets these, and whether there were any.
    fn delete(&self, names: &[&[u8]]) -> impl Future<Output = Result<(), Trouble>>;

    /// Ends in order.
    fn close(&self) -> impl Future<Output = ()>;
}
