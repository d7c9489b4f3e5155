//! *Owns* the database: its settings, commits and lookups. *Promises* that a commit returns once it is as durable as
//! asked, and never hangs on a database that has failed. *Does not* decide what to do about an error: after one, the
//! writer drops the whole database and opens it again.

use super::error::words;
use super::fences::Fences;
use super::record;
use super::stamp::{Key, REMOVAL, Stamp, VALUE};
use crate::storage::names::{Names, Whole};
use crate::storage::{Expected, Found, Refused, Why, Write};
use fjall::{Database, Error, Keyspace, KeyspaceCreateOptions, PersistMode};
use rustix::process::{Resource, getrlimit};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Block cache. Hot records live in the engine, so this mostly serves indexes and filters.
const CACHE_BYTES: u64 = 32 << 20;
/// One memtable; up to `SEALED_MAX` + 2 exist at once.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// On a small disk they are smaller: all of them together must fit into the reserve (`reserve.rs`).
const MEMTABLES: u64 = SEALED_MAX as u64 + 2;
/// All journals together; above it, memtables are flushed early. The database's minimum is 64 MiB.
const JOURNAL_BYTES: u64 = 256 << 20;
/// Threads for flush and compaction. With two, one always prefers flushing, so a long compaction does not stop writes.
const WORKERS: usize = 2;
/// Tables that are kept open at most, and at least.
const TABLES_MAX: usize = 256;
const TABLES_MIN: usize = 16;
/// Beside them: journals, tables that are being written, the directory, what is opened to be looked at.
const FILES: usize = 24;
/// At this many memtables that wait to be written, a commit waits. At 4 the database itself would wait, in a loop that
/// does not notice that its flush thread has died (a full disk is enough): so it must never get there.
const SEALED_MAX: usize = 2;
/// At this many unsorted tables a commit waits, for the same reason: the database stalls at 20 and halts at 30.
const UNSORTED_MAX: usize = 16;
/// How long to wait for either.
const BACKLOG_WAIT: Duration = Duration::from_secs(5);
const BACKLOG_STEP: Duration = Duration::from_millis(5);

/// Files that the database may have open, where the process may have so many.
pub(super) fn files_max(limit: usize) -> usize {
    tables_max(limit) + FILES
}

/// A small part of them, so that most are left to connections.
fn tables_max(limit: usize) -> usize {
    (limit / 16).clamp(TABLES_MIN, TABLES_MAX)
}

fn limit_of_files() -> usize {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Handles to the open database; cloning them is cheap. The directory stays locked while any exists.
#[derive(Clone)]
pub(super) struct Store {
    database: Database,
    records: Keyspace,
    stamps: Arc<Stamps>,
}

/// The numbers of the latest batches. Only one thread commits.
struct Stamps {
    key: Key,
    /// The last batch that was committed; zero before the first.
    number: AtomicU64,
    /// The last that is on the disk.
    durable: AtomicU64,
}

impl Store {
    /// Opens or creates the database in `path`. Its threads inherit the caller's CPUs. A memtable of a new one is as
    /// large as the `reserve` allows. What an open database shows is on the disk: it is opened after an orderly stop, or
    /// after its journals were put in order.
    pub(super) fn open(path: &Path, key: Key, reserve_bytes: u64) -> Result<Self, Error> {
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(tables_max(limit_of_files())))
            .worker_threads(WORKERS)
            .open()?;
        let memtable_bytes = MEMTABLE_BYTES.min(reserve_bytes / MEMTABLES);
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
        let records = database.keyspace("records", options)?;
        let number = records.get(key.name())?.and_then(|bytes| key.decode(&bytes)).map_or(0, |stamp| stamp.number);
        let stamps = Stamps { key, number: AtomicU64::new(number), durable: AtomicU64::new(number) };
        Ok(Self { database, records, stamps: Arc::new(stamps) })
    }

    /// The number of the last batch that is known to be on the disk.
    pub(super) fn durable(&self) -> u64 {
        self.stamps.durable.load(Ordering::Relaxed)
    }

    /// Writes the first batch of all: nothing but its stamp.
    pub(super) fn begin(&self) -> Result<(), Error> {
        match self.commit(&[], &Fences::default(), true) {
            Ok(_) => Ok(()),
            Err(CommitError::Broken(error)) => Err(error),
            Err(CommitError::Refused(why)) => Err(std::io::Error::other(why).into()),
        }
    }

    /// Writes a group as one batch, all or nothing, and syncs it if asked. Left out and returned are writes whose
    /// condition or fence does not hold. Every name occurs once.
    pub(super) fn commit(&self, group: &[Write<'_>], fences: &Fences, sync: bool) -> Result<Vec<Refused>, CommitError> {
        self.wait_for_backlog()?;
        let durability = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(durability));
        let Stamps { key, number, durable } = &*self.stamps;
        let (mut sum, mut refused) = (key.sum(), Vec::new());
        for (entry, write) in group.iter().enumerate() {
            let &Write { name, version, value, expected, fence } = write;
            if fence.is_some_and(|fence| !fences.hold(fence)) {
                refused.push(Refused { entry, why: Why::Deposed });
                continue;
            }
            if expected != Expected::Anything {
                // Only this thread writes, so what is found here is still there when it is replaced.
                let found = self.load(name).map_err(CommitError::Refused)?;
                if !expected.allows(write, found.as_ref()) {
                    refused.push(Refused { entry, why: Why::Conflict });
                    continue;
                }
            }
            if let Some(value) = value {
                let room = Vec::with_capacity(value.len() + 32);
                let bytes = record::encode(name, version, value, room).map_err(CommitError::Refused)?;
                sum.add(VALUE, name, &bytes);
                batch.insert(&self.records, name, bytes);
            } else {
                sum.add(REMOVAL, name, &[]);
                batch.remove(&self.records, name);
            }
        }
        let next = number.load(Ordering::Relaxed) + 1;
        let (durable_until, floor) = (durable.load(Ordering::Relaxed), self.database.seqno());
        let stamp = Stamp { number: next, durable: durable_until, floor, sum: sum.finish() };
        batch.insert(&self.records, key.name(), key.encode(stamp));
        batch.commit()?;
        number.store(next, Ordering::Relaxed);
        if sync {
            durable.store(next, Ordering::Relaxed);
        }
        Ok(refused)
    }

    /// Makes durable what was committed without sync.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.database.persist(PersistMode::SyncData)?;
        self.stamps.durable.store(self.stamps.number.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(())
    }

    /// Whether every table that waits for the disk is written. Fails if the database has given up.
    pub(super) fn is_settled(&self) -> Result<bool, Error> {
        self.database.persist(PersistMode::Buffer)?;
        Ok(self.records.sealed_memtable_count() == 0)
    }

    /// The size of all tables: what merging all of them takes.
    pub(super) fn tables_bytes(&self) -> u64 {
        self.records.disk_space()
    }

    /// Looks one record up.
    pub(super) fn load(&self, name: &[u8]) -> Found {
        let failed = |why: &str| Err(format!("record {}: {why}", String::from_utf8_lossy(name).escape_debug()));
        debug_assert!(Whole.place(name).is_ok(), "nobody asks for it");
        match self.records.get(name) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => {
                record::decode(name, &bytes).map(Some).or_else(|why| failed(&format!("what is stored {why}")))
            }
            Err(error) => failed(&words(&error)),
        }
    }

    fn wait_for_backlog(&self) -> Result<(), CommitError> {
        let mut waited = Duration::ZERO;
        while self.records.sealed_memtable_count() >= SEALED_MAX || self.records.l0_table_count() >= UNSORTED_MAX {
            // Fails if a background thread has died.
            self.database.persist(PersistMode::Buffer)?;
            if waited >= BACKLOG_WAIT {
                return Err(CommitError::Refused("the disk does not keep up".into()));
            }
            std::thread::sleep(BACKLOG_STEP);
            waited += BACKLOG_STEP;
        }
        Ok(())
    }
}

/// Why a commit failed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// Nothing was written and the database is well.
    Refused(String),
    /// The database accepts nothing more; whether this commit is in it is unknown.
    Broken(Error),
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}
