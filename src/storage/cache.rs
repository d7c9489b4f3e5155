//! The contract between the server and a cache: a faster store that may forget.
//!
//! *Owns* the shapes only. What a cache promises:
//!
//! * **Names are one-to-one**, as in every store ([`names`](super::names)).
//! * **What it gives is what was once put there** under the same stamp, version and value of the same moment. It may give
//!   nothing at any time, because a cache may forget. It may give something old, if it was unreachable while something newer
//!   was stored, or if others use it too; callers who must not see that take another stamp ([`Tiered`](super::Tiered)
//!   does), under which nothing was put there yet.
//! * **A `set` or `delete` that ended well is seen by every `get` that begins after it**, unless it was forgotten or replaced.
//! * **Failures are classified** ([`Kind`](super::Kind)), and it neither waits nor retries nor logs.
//!
//! It may rely on what a driver may rely on, and on that no two calls concern the same name at a time, except a `get`
//! beside a `set`.

use super::driver::{Found, Trouble};
use super::names::Names;
use super::together::Request;
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

    /// These records, as far as they were cached under this stamp.
    fn get(&self, names: &[&[u8]], stamp: u64) -> impl Future<Output = Result<Vec<Found>, Trouble>>;

    /// Stores these under this stamp, replacing what was cached before under whatever stamp.
    fn set(&self, entries: &[Entry<'_>], stamp: u64) -> impl Future<Output = Result<(), Trouble>>;

    /// Forgets these records, and also that there were none.
    fn delete(&self, names: &[&[u8]]) -> impl Future<Output = Result<(), Trouble>>;

    /// Ends in order.
    fn close(&self) -> impl Future<Output = ()>;
}

/// A cache of some connector.
pub struct AnyCache(Box<dyn Boxed>);

impl AnyCache {
    /// Wraps it.
    pub fn of(cache: impl Cache) -> Self {
        Self(Box::new(cache))
    }
}

/// [`Cache`] with futures of one size.
trait Boxed: Send + Sync {
    fn place(&self) -> String;
    fn names(&self) -> Arc<dyn Names>;
    fn open(&self) -> Request<'_, Result<(), Trouble>>;
    fn get<'c>(&'c self, names: &'c [&'c [u8]], stamp: u64) -> Request<'c, Result<Vec<Found>, Trouble>>;
    fn set<'c>(&'c self, entries: &'c [Entry<'c>], stamp: u64) -> Request<'c, Result<(), Trouble>>;
    fn delete<'c>(&'c self, names: &'c [&'c [u8]]) -> Request<'c, Result<(), Trouble>>;
    fn close(&self) -> Request<'_, ()>;
}

impl<C: Cache> Boxed for C {
    fn place(&self) -> String {
        Cache::place(self)
    }

    fn names(&self) -> Arc<dyn Names> {
        Cache::names(self)
    }

    fn open(&self) -> Request<'_, Result<(), Trouble>> {
        Box::pin(Cache::open(self))
    }

    fn get<'c>(&'c self, names: &'c [&'c [u8]], stamp: u64) -> Request<'c, Result<Vec<Found>, Trouble>> {
        Box::pin(Cache::get(self, names, stamp))
    }

    fn set<'c>(&'c self, entries: &'c [Entry<'c>], stamp: u64) -> Request<'c, Result<(), Trouble>> {
        Box::pin(Cache::set(self, entries, stamp))
    }

    fn delete<'c>(&'c self, names: &'c [&'c [u8]]) -> Request<'c, Result<(), Trouble>> {
        Box::pin(Cache::delete(self, names))
    }

    fn close(&self) -> Request<'_, ()> {
        Box::pin(Cache::close(self))
    }
}

impl Cache for AnyCache {
    fn place(&self) -> String {
        self.0.place()
    }

    fn names(&self) -> Arc<dyn Names> {
        self.0.names()
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.0.open().await
    }

    async fn get(&self, names: &[&[u8]], stamp: u64) -> Result<Vec<Found>, Trouble> {
        self.0.get(names, stamp).await
    }

    async fn set(&self, entries: &[Entry<'_>], stamp: u64) -> Result<(), Trouble> {
        self.0.set(entries, stamp).await
    }

    async fn delete(&self, names: &[&[u8]]) -> Result<(), Trouble> {
        self.0.delete(names).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
