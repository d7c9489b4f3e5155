//! The contract between the server and a cache: a faster store that may forget.
//!
//! *Owns* the shapes only. What a cache promises:
//!
//! * **Names are one-to-one**, as in every store ([`names`](super::names)).
//! * **What it gives is what was once put there**, version and value of the same moment. It may give nothing at any
//!   time, because a cache may forget. It may give something old, if it was unreachable while something newer was
//!   stored; callers who must not see that compare versions ([`Tiered`](super::Tiered) does).
//! * **A `set` or `delete` that ended well is seen by every `get` that begins after it**, unless it was forgotten or replaced.
//! * **Failures are classified** ([`Kind`](super::Kind)), and it neither waits nor retries nor logs.
//!
//! It may rely on what a driver may rely on, and on that no two calls concern the same name at a time, except a `get`
//! beside a `set`.

use super::driver::{Found, Trouble};
use super::names::Names;
use std::future::Future;
use std::sync::Arc;

/// A cached record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'e> {
    /// Which record.
    pub name: &'e [u8],
    /// Its version.
    pub version: i32,
    /// Its value: JSON text.
    pub value: &'e [u8],
}

/// See the module. Every call concerns many records, and is answered in the same order.
pub trait Cache: Send + Sync + 'static {
    /// What it is, for people.
    fn place(&self) -> String;

    /// Which names it can keep.
    fn names(&self) -> Arc<dyn Names>;

    /// Makes the cache usable: at the start, and whenever it was away.
    fn open(&self) -> impl Future<Output = Result<(), Trouble>>;

    /// These records, as far as they are cached.
    fn get(&self, names: &[&[u8]]) -> impl Future<Output = Result<Vec<Found>, Trouble>>;

    /// The versions of these records, as far as they are cached.
    fn head(&self, names: &[&[u8]]) -> impl Future<Output = Result<Vec<Option<i32>>, Trouble>>;

    /// Stores these, replacing what was cached before.
    fn set(&self, entries: &[Entry<'_>]) -> impl Future<Output = Result<(), Trouble>>;

    /// Forgets these records, and also that there were none.
    fn delete(&self, names: &[&[u8]]) -> impl Future<Output = Result<(), Trouble>>;

    /// Ends in order.
    fn close(&self) -> impl Future<Output = ()>;
}
