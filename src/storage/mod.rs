//! Keeping records: what every store has in common, whoever keeps them.
//!
//! *Owns* the lanes between cores and the threads of a store, the law of names, and what is counted. *Promises* that no
//! call of a core ever blocks. *Does not* keep anything itself: the members of `src/connector` do.

pub(crate) mod bell;
pub(crate) mod client;
pub mod names;

pub use client::{Client, LOADS_MAX};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a core look at its answers. Called from storage threads, after the answers are there.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits to the database: groups of batches.
    pub commits: u64,
    /// fsyncs for the sake of durability.
    pub syncs: u64,
    /// Batches in those commits.
    pub batches: u64,
    /// Records in those batches.
    pub records: u64,
    /// Lookups.
    pub loads: u64,
    /// Times the database came back after a failure.
    pub reopens: u64,
}

#[derive(Debug, Default)]
pub(crate) struct AtomicCounters {
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) reopens: AtomicU64,
}

impl AtomicCounters {
    pub(crate) fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            commits: read(&self.commits),
            syncs: read(&self.syncs),
            batches: read(&self.batches),
            records: read(&self.records),
            loads: read(&self.loads),
            reopens: read(&self.reopens),
        }
    }
}
