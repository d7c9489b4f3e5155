//! Storage of records: what all stores have in common.
//!
//! *Owns* the contract with drivers ([`driver`]), and everything around them that is the same for all: lanes to and
//! from the cores, grouping, retries, timeouts, counters, rules for names. *Promises* that no call of a core ever
//! blocks, that every load and every batch is answered, and that success is only reported for a batch once it is as
//! durable as the store can make it. *Does not* keep records itself: the drivers in `src/connector` do.
//!
//! One task writes, another reads, so that a lookup never waits for a commit.

pub mod cache;
pub(crate) mod client;
pub mod driver;
mod health;
mod keeper;
mod mark;
pub mod names;
mod reading;
mod service;
mod settings;
mod tiered;
mod together;
mod writing;

pub use cache::{AnyCache, Cache, Entry};
pub use client::{Claimed, Client, LOADS_MAX};
pub use deepstream_engine::Fence;
pub use driver::{Driver, Expected, Found, Kind, Late, Manner, Refused, Trouble, Why, Write, Writer};
pub use keeper::Cluster;
pub use service::{Deposed, OpenError, Options, Storage, start};
pub use settings::{Connector, Settings};
pub use tiered::Tiered;
pub use together::{Request, together};

pub(crate) use health::{Health, Kept, Opening, first_of};
use service::Shared;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits to the store: groups of batches.
    pub commits: u64,
    /// fsyncs for the sake of durability.
    pub syncs: u64,
    /// Batches in those commits.
    pub batches: u64,
    /// Records in those batches.
    pub records: u64,
    /// Lookups.
    pub loads: u64,
    /// Claims of slots that were carried out.
    pub claims: u64,
    /// Records that were not written because their slots were claimed by others.
    pub deposed: u64,
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
    pub(crate) claims: AtomicU64,
    pub(crate) deposed: AtomicU64,
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
            claims: read(&self.claims),
            deposed: read(&self.deposed),
            reopens: read(&self.reopens),
        }
    }
}
