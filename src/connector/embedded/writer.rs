//! *Owns* the thread that writes: group commit, the sync timer, and bringing a failed database back.
//! *Promises* that a batch is answered well only after the durability that was asked for, and that one commit and one
//! fsync serve all shards that had something. *Does not* retry batches: a failed group is answered as failed, the
//! engine comes back with what is then newest. So writes are idempotent, and a group that failed halfway and turns up
//! after all (a complete commit whose fsync failed) does no harm.
//!
//! **After a failed write or fsync** nothing of the open database is trusted. The kernel may have dropped the pages it
//! could not write and call the next fsync a success, so trying the fsync again would be a lie. The database is closed
//! and opened again, and before that its journal is written over itself (`journal.rs`), so that the fsync that counts
//! covers all of it. Until this succeeds everything is answered with a fault; tries
//! are spaced out from [`RETRY_FIRST`] to [`RETRY_LAST`].
//!
//! **A full disk** heals by itself once there is space. The reserve (`reserve.rs`) is given to the database to recover
//! with; it is read from as soon as it is open, and written to again once the reserve is back.
//!
//! **A directory that is moved, deleted or replaced** while the database is open (`place.rs`) is noticed before a batch
//! is acknowledged. The open database is read on; nothing is written until the directory is back.

use super::directory::{Directory, MOVED_HINT};
use super::error::words;
use super::names::Whole;
use super::store::CommitError;
use super::{Durability, Shelf};
use crate::storage::Waker;
use crate::storage::bell::Bell;
use crate::storage::client::{WriteLane, Written};
use crate::storage::names::Names;
use deepstream_engine::{Fault, Refusal, StoreBatch};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a group at which no further batch joins it; keeps a commit well below one memtable.
const GROUP_BYTES: usize = 8 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(2);
const RESERVE_RETRY: Duration = Duration::from_mins(1);

pub(super) struct Writer {
    pub(super) lanes: Vec<WriteLane>,
    pub(super) wakers: Vec<Waker>,
    /// Lanes of shards; one beyond them is an outsider's.
    pub(super) shards: usize,
    pub(super) shelf: Arc<Shelf>,
    pub(super) bell: Arc<Bell>,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) durability: Durability,
    pub(super) directory: Directory,
    /// Batches of the running group with the lane they came from.
    pub(super) group: Vec<(usize, StoreBatch)>,
    /// The lane that is asked first: turns, so that a capped group does not favour low shards.
    pub(super) first: usize,
    /// When the oldest commit that is not synced was made.
    pub(super) unsynced: Option<Instant>,
    pub(super) down: Option<Down>,
    /// The directory is not where it was; in words.
    pub(super) moved: Option<String>,
    /// When the reserve is to be tried again that could not be had at the start.
    pub(super) reserve_at: Option<Instant>,
}

/// The database takes no batches after a failure.
pub(super) struct Down {
    retry_at: Instant,
    pause: Duration,
    /// To be closed and opened again. Otherwise it is open and waits for room.
    closed: bool,
    why: String,
}

impl Writer {
    pub(super) fn run(mut self) {
        self.bell.adopt();
        loop {
            // Read before gathering: a batch that came before the stop is written.
            let stopping = self.stopping.load(Ordering::Acquire);
            self.sync_if_due();
            self.recover_if_due();
            self.reserve_if_due();
            self.gather();
            if !self.group.is_empty() {
                let result = self.write();
                self.answer(&result);
            } else if stopping {
                break;
            } else {
                let timeout = self.next_duty();
                let (lanes, stopping) = (&self.lanes, &self.stopping);
                self.bell.wait(timeout, || {
                    lanes.iter().any(|lane| !lane.batches.is_empty()) || stopping.load(Ordering::Acquire)
                });
            }
        }
        self.close();
    }

    /// Takes the batches that are there, one per shard at most. An outsider's goes alone: a name belongs to one shard,
    /// and so occurs once in what shards write together, but an outsider's may be the name of any.
    fn gather(&mut self) {
        let (count, mut bytes) = (self.lanes.len(), 0);
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let alone = index >= self.shards;
            if bytes < GROUP_BYTES
                && (!alone || self.group.is_empty())
                && let Ok(batch) = self.lanes[index].batches.pop()
            {
                bytes += batch.bytes.len();
                self.group.push((index, batch));
                if alone {
                    break;
                }
            }
        }
        self.first = (self.first + 1) % count.max(1);
    }

    fn write(&mut self) -> Result<(), Fault> {
        if let Some(down) = &self.down {
            return Err(Fault::Failed(down.why.clone()));
        }
        let store = self.shelf.store()?;
        if self.moved.is_some() {
            self.check_place()?;
        }
        let always = matches!(self.durability, Durability::Always);
        match store.commit(self.group.iter().map(|(_, batch)| batch), always) {
            Ok(()) => {
                let records: usize = self.group.iter().map(|(_, batch)| batch.entries.len()).sum();
                let counters = &self.shelf.counters;
                counters.commits.fetch_add(1, Ordering::Relaxed);
                counters.batches.fetch_add(self.group.len() as u64, Ordering::Relaxed);
                counters.records.fetch_add(records as u64, Ordering::Relaxed);
                if always {
                    counters.syncs.fetch_add(1, Ordering::Relaxed);
                    self.directory.acknowledge(store.durable());
                } else {
                    self.unsynced.get_or_insert_with(Instant::now);
                }
                self.check_place()
            }
            Err(CommitError::Refused(why)) => Err(Fault::Failed(why)),
            Err(CommitError::Broken(error)) => {
                drop(store);
                Err(self.fail("write", &error))
            }
        }
    }

    /// Whether what was written can be found again.
    fn check_place(&mut self) -> Result<(), Fault> {
        match self.directory.check_place() {
            Ok(()) => {
                if self.moved.take().is_some() {
                    tracing::info!("the storage directory is back; writes go on");
                }
                Ok(())
            }
            Err(what) => {
                let why = format!("storage is elsewhere: {what}; {MOVED_HINT}");
                if self.moved.replace(what).is_none() {
                    tracing::error!("{why}; nothing is written until then");
                }
                Err(Fault::Failed(why))
            }
        }
    }

    fn answer(&mut self, result: &Result<(), Fault>) {
        for (index, batch) in self.group.drain(..) {
            let result = result.clone().and_then(|()| refused_of(&batch));
            // Cannot be full: a client has at most as many batches on their way as the lane has room. A core that is
            // gone does not miss the answer.
            let _ = self.lanes[index].answers.push(Written { batch, result });
            self.wakers[index]();
        }
    }

    fn sync_if_due(&mut self) {
        let (Some(since), Durability::Interval(interval)) = (self.unsynced, self.durability) else { return };
        if since.elapsed() >= interval {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.unsynced = None;
        let Ok(store) = self.shelf.store() else { return };
        match store.sync() {
            Ok(()) => {
                self.shelf.counters.syncs.fetch_add(1, Ordering::Relaxed);
                self.directory.acknowledge(store.durable());
            }
            Err(error) => {
                drop(store);
                self.fail("sync", &error);
            }
        }
    }

    /// How long nothing needs doing without a ring.
    fn next_duty(&self) -> Option<Duration> {
        let sync = match (self.unsynced, self.durability) {
            (Some(since), Durability::Interval(interval)) => Some(interval.saturating_sub(since.elapsed())),
            _ => None,
        };
        let due = [self.down.as_ref().map(|down| down.retry_at), self.reserve_at].into_iter().flatten();
        sync.into_iter().chain(due.map(|at| at.saturating_duration_since(Instant::now()))).min()
    }

    /// Brings the database back if it is down and the time has come. Without a batch to write too: loads need it.
    fn recover_if_due(&mut self) {
        let Some(mut down) = self.down.take_if(|down| Instant::now() >= down.retry_at) else { return };
        match self.recover(&mut down) {
            Ok(()) => {
                tracing::info!("storage is back");
                self.shelf.counters.reopens.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => {
                let why = format!("storage is down: {why}");
                // A reason that stays is said once.
                if down.why != why {
                    tracing::warn!("{why}");
                }
                down.why = why;
                down.pause = (down.pause * 2).min(RETRY_LAST);
                down.retry_at = Instant::now() + down.pause;
                self.down = Some(down);
            }
        }
    }

    /// Opens the database if it is closed, and sees that it has the room to go on.
    fn recover(&mut self, down: &mut Down) -> Result<(), String> {
        if down.closed {
            self.shelf.take(down.why.clone());
            self.directory.reserve.release();
            let store = self.directory.reopen().map_err(|error| format!("{}; {}", error.what, error.hint))?;
            self.shelf.put(store);
            down.closed = false;
        }
        let settled = match self.shelf.store() {
            Ok(store) => store.is_settled().map_err(|error| words(&error)),
            Err(Fault::Failed(why)) => Err(why),
            Err(fault) => Err(format!("{fault:?}")),
        };
        match settled {
            Ok(true) => self.directory.reserve.take_with_slack(),
            Ok(false) => Err("its tables are being written".into()),
            Err(why) => {
                // It gave up once more, merging tables perhaps: it does not tell. It can be read until it is opened
                // again.
                down.closed = true;
                Err(format!("its tables cannot be written, {why}: {}", self.directory.reserve.lack()))
            }
        }
    }

    /// Takes the reserve if there was no room for it.
    fn reserve_if_due(&mut self) {
        if self.down.is_some() || self.reserve_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.reserve_at = match self.directory.reserve.take() {
            Ok(()) => {
                tracing::info!("the disk has room for the reserve now");
                None
            }
            Err(_) => Some(Instant::now() + RESERVE_RETRY),
        };
    }

    /// Takes the reserve at the start. Without it the store works as long as there is room.
    pub(super) fn take_reserve(&mut self) {
        if let Some(what) = self.directory.reserve.too_small() {
            tracing::warn!("storage: {what}");
        }
        if let Err(why) = self.directory.reserve.take() {
            tracing::warn!("storage: {why}; without, it may not recover from a full disk until there is more room");
            self.reserve_at = Some(Instant::now() + RESERVE_RETRY);
        }
    }

    /// Gives the database up until it can be opened again.
    fn fail(&mut self, doing: &str, error: &fjall::Error) -> Fault {
        let why = format!("storage cannot {doing}: {}", words(error));
        tracing::error!("{why}; the database will be opened again");
        self.shelf.take(why.clone());
        self.unsynced = None;
        let retry_at = Instant::now() + RETRY_FIRST;
        self.down = Some(Down { retry_at, pause: RETRY_FIRST, closed: true, why: why.clone() });
        Fault::Failed(why)
    }

    /// Everything that was committed becomes durable, whatever the mode: an orderly stop loses nothing.
    fn close(mut self) {
        if self.down.is_none() {
            self.sync();
        }
        let clean = self.down.is_none();
        self.shelf.take("storage has stopped".into());
        // A store that is not running needs none, and the seal may need the room.
        self.directory.reserve.release();
        if clean && let Err(error) = self.directory.seal() {
            tracing::warn!("{error}; the next start will check the journals more thoroughly");
        }
        drop(self.lanes);
        self.wakers.iter().for_each(|waker| waker());
    }
}

/// What of a batch was left out when the rest was written. A removal of what cannot be there is done.
fn refused_of(batch: &StoreBatch) -> Result<(), Fault> {
    let mut refused = Vec::new();
    for (entry, stored) in (0..).zip(&batch.entries) {
        if let (Err(why), Some(_)) = (Whole.place(batch.name(stored)), stored.value_len) {
            refused.push(Refusal { entry, why: why.to_string() });
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Fault::Refused(refused)) }
}
