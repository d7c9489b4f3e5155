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
//! are spaced out from [`RETRY_FIRST`] to [`RETRY_LAST`]. A full disk thus heals by itself once there is space.

use super::bell::Bell;
use super::client::{WriteLane, Written};
use super::error::words;
use super::store::{CommitError, storable};
use super::{Durability, Shelf, Waker, directory::Directory};
use deepstream_engine::{Fault, StoreBatch};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a group at which no further batch joins it; keeps a commit well below one memtable.
const GROUP_BYTES: usize = 8 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(5);

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
}

/// The database is closed after a failure.
pub(super) struct Down {
    retry_at: Instant,
    pause: Duration,
}

impl Writer {
    pub(super) fn run(mut self) {
        self.bell.adopt();
        loop {
            // Read before gathering: a batch that came before the stop is written.
            let stopping = self.stopping.load(Ordering::Acquire);
            self.sync_if_due();
            self.reopen_if_due();
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
        if let Some((_, batch)) =
            self.group.iter().find(|(_, batch)| !batch.entries.iter().all(|entry| storable(batch.name(entry))))
        {
            return Err(Fault::Failed(format!("a name in batch {} is empty or too long to be stored", batch.ticket.0)));
        }
        let store = self.shelf.store()?;
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
                } else {
                    self.unsynced.get_or_insert_with(Instant::now);
                }
                Ok(())
            }
            Err(CommitError::Refused(why)) => Err(Fault::Failed(why)),
            Err(CommitError::Broken(error)) => {
                drop(store);
                Err(self.fail("write", &error))
            }
        }
    }

    fn answer(&mut self, result: &Result<(), Fault>) {
        for (index, batch) in self.group.drain(..) {
            // Cannot be full: a client has at most as many batches on their way as the lane has room. A core that is
            // gone does not miss the answer.
            let _ = self.lanes[index].answers.push(Written { batch, result: result.clone() });
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
        let retry = self.down.as_ref().map(|down| down.retry_at.saturating_duration_since(Instant::now()));
        sync.into_iter().chain(retry).min()
    }

    /// Tries to open the database if it is down and the time has come. Without a batch to write too: loads need it.
    fn reopen_if_due(&mut self) {
        let Some(down) = self.down.as_mut().filter(|down| Instant::now() >= down.retry_at) else { return };
        match self.directory.reopen() {
            Ok(store) => {
                tracing::info!("storage is back");
                self.shelf.put(store);
                self.shelf.counters.reopens.fetch_add(1, Ordering::Relaxed);
                self.down = None;
            }
            Err(error) => {
                tracing::warn!("storage is still down: {error}");
                self.shelf.take(format!("storage is down: {}", error.what));
                down.pause = (down.pause * 2).min(RETRY_LAST);
                down.retry_at = Instant::now() + down.pause;
            }
        }
    }

    /// Gives the database up until it can be opened again.
    fn fail(&mut self, doing: &str, error: &fjall::Error) -> Fault {
        let why = format!("storage cannot {doing}: {}", words(error));
        tracing::error!("{why}; the database will be opened again");
        self.shelf.take(why.clone());
        self.unsynced = None;
        self.down = Some(Down { retry_at: Instant::now() + RETRY_FIRST, pause: RETRY_FIRST });
        Fault::Failed(why)
    }

    /// Everything that was committed becomes durable, whatever the mode: an orderly stop loses nothing.
    fn close(mut self) {
        if self.down.is_none() {
            self.sync();
        }
        let clean = self.down.is_none();
        self.shelf.take("storage has stopped".into());
        if clean && let Err(error) = self.directory.seal() {
            tracing::warn!("{error}; the next start will check the journals more thoroughly");
        }
        drop(self.lanes);
        self.wakers.iter().for_each(|waker| waker());
    }
}
