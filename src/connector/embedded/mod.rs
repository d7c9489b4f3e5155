//! The embedded store: records on disk, in one directory.
//!
//! *Owns* the database in the directory: group commit, the sync timer, and bringing a failed database back. *Promises*
//! that a successful commit has the configured durability, and that whatever happens to the disk becomes a [`Trouble`]
//! or an error at the start, never a wrong record. *Does not* cache, retry or interpret values. A failed group is
//! answered as failed, and the engine tries again with the values that are newest then.
//!
//! **After a failed write or fsync** nothing of the open database is trusted. The kernel may have dropped the pages it
//! could not write and call the next fsync a success, so trying the fsync again would be a lie. The database is closed
//! and opened again, and before that its journal is written over itself (`journal.rs`), so that the fsync that counts
//! covers all of it. Until this succeeds everything is answered with a fault.
//!
//! **A full disk** heals by itself once there is space. The reserve (`reserve.rs`) is given to the database to recover
//! with; it is read from as soon as it is open, and written to again once the reserve is back.
//!
//! **A directory that is moved, deleted or replaced** while the database is open (`place.rs`) is noticed before a batch
//! is acknowledged. The open database is read on; nothing is written until the directory is back.

mod damage;
mod directory;
mod error;
mod fences;
mod journal;
mod manifest;
mod place;
mod record;
mod reserve;
mod seal;
mod stamp;
mod store;
mod watermark;

pub use crate::config::Durability;

use crate::config;
use crate::log::{Level, note};
use crate::storage::names::{Names, Whole};
use crate::storage::{
    self, Driver, Found, Kind, Late, Manner, OpenError, Options, Refused, Settings, Storage, Trouble, Write,
};
use directory::{Directory, MOVED_HINT};
use error::{StorageError, words};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{CommitError, Store};
use tokio::sync::Notify;
use tokio::time::timeout_at;

const RESERVE_RETRY: Duration = Duration::from_mins(1);
/// The event of its log lines.
const EVENT: &str = "STORAGE";

impl Settings for config::Embedded {
    fn place(&self) -> String {
        format!("Embedded Storage in {}", self.directory.display())
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    fn files_max(&self, limit: usize) -> usize {
        store::files_max(limit)
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.directory)
    }

    fn move_to(&mut self, directory: PathBuf) {
        self.directory = directory;
    }

    fn start(&self, options: Options) -> Result<Storage, OpenError> {
        storage::start(Embedded::new(self.directory.clone(), self.durability), options)
    }
}

/// A store in a directory.
pub struct Embedded {
    path: PathBuf,
    durability: Durability,
    /// The open database, or why there is none.
    store: Mutex<Result<Store, String>>,
    /// Only used by the writing task, so the lock is never contended.
    duties: Mutex<Duties>,
    /// Signalled when a duty becomes due and none was before.
    due: Notify,
    syncs: AtomicU64,
}

#[derive(Default)]
struct Duties {
    /// `None` until it is opened for the first time.
    directory: Option<Directory>,
    /// When the oldest commit that is not synced was made.
    unsynced: Option<Instant>,
    /// The database takes no batches after a failure.
    down: bool,
    /// It must be closed and opened again. If it is down but not closed, it is open and waits for room on the disk.
    closed: bool,
    /// That the directory was moved or replaced, in words.
    moved: Option<String>,
    /// When to try again to take the reserve, if there was no room for it at the start.
    reserve_at: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Embedded {
    /// A store in `directory`, which is made if it does not exist.
    pub fn new(directory: PathBuf, durability: Durability) -> Self {
        Self {
            path: directory,
            durability,
            store: Mutex::new(Err("storage is not open".to_owned())),
            duties: Mutex::default(),
            due: Notify::new(),
            syncs: AtomicU64::new(0),
        }
    }

    fn store(&self) -> Result<Store, Trouble> {
        lock(&self.store).clone().map_err(|why| Trouble::new(Kind::Away, why, ""))
    }

    fn put(&self, store: Store) {
        *lock(&self.store) = Ok(store);
    }

    fn take(&self, why: String) {
        // Dropped outside the lock: closing a database takes time.
        let old = std::mem::replace(&mut *lock(&self.store), Err(why));
        drop(old);
    }

    /// Makes the directory a store, and opens it.
    fn first(&self, duties: &mut Duties) -> Result<(), StorageError> {
        let mut directory = Directory::claim(&self.path)?;
        self.put(directory.open()?);
        // Without the reserve the store works as long as there is room.
        if let Some(what) = directory.reserve.too_small() {
            say(Level::Warn, &what);
        }
        if let Err(why) = directory.reserve.take() {
            let text = format!("{why}; without, it may not recover from a full disk until there is more room");
            say(Level::Warn, &text);
            duties.reserve_at = Some(Instant::now() + RESERVE_RETRY);
        }
        duties.directory = Some(directory);
        Ok(())
    }

    /// Opens the database if it is closed, and makes sure that it has the room to go on.
    fn recover(&self, closed: &mut bool, directory: &mut Directory) -> Result<(), Trouble> {
        if *closed {
            self.take("storage is being opened again".to_owned());
            directory.reserve.release();
            self.put(directory.reopen()?);
            *closed = false;
        }
        let away = |why: String| Trouble::new(Kind::Away, why, "");
        match self.store()?.is_settled() {
            Ok(true) => directory.reserve.take_with_slack().map_err(away),
            Ok(false) => Err(away("its tables are being written".into())),
            Err(error) => {
                // It failed once more, perhaps while merging tables; it does not say. A merge writes the new table before
                // it deletes the old ones. It can be read until it is opened again.
                *closed = true;
                let (why, merged) = (words(&error), self.store()?.tables_bytes());
                Err(away(format!("its tables cannot be written, {why}: {}", directory.reserve.lack(merged))))
            }
        }
    }

    fn write(&self, duties: &mut Duties, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        let store = self.store()?;
        let Some(directory) = &mut duties.directory else { return Err(never_opened()) };
        if duties.moved.is_some() {
            check_place(directory, &mut duties.moved)?;
        }
        let always = matches!(self.durability, Durability::Always);
        match store.commit(group, &directory.fences, always) {
            Ok(refused) => {
                if always {
                    self.syncs.fetch_add(1, Ordering::Relaxed);
                    directory.acknowledge(store.durable());
                } else if duties.unsynced.is_none() {
                    duties.unsynced = Some(Instant::now());
                    self.due.notify_one();
                }
                check_place(directory, &mut duties.moved).map(|()| refused)
            }
            Err(CommitError::Refused(why)) => Err(Trouble::new(Kind::Busy, why, "")),
            Err(CommitError::Broken(error)) => {
                drop(store);
                Err(self.fail(duties, "write", &error))
            }
        }
    }

    /// When the next duty is due.
    fn next_duty(&self) -> Option<Instant> {
        let duties = lock(&self.duties);
        let sync = match (duties.unsynced, self.durability) {
            (Some(since), Durability::Interval(interval)) => Some(since + interval),
            _ => None,
        };
        sync.into_iter().chain(duties.reserve_at).min()
    }

    fn do_duties(&self) -> Result<(), Trouble> {
        let mut duties = lock(&self.duties);
        let now = Instant::now();
        if let (Some(since), Durability::Interval(interval)) = (duties.unsynced, self.durability)
            && now >= since + interval
        {
            self.sync(&mut duties)?;
        }
        let Duties { directory: Some(directory), reserve_at, .. } = &mut *duties else { return Ok(()) };
        if reserve_at.is_some_and(|at| now >= at) {
            *reserve_at = match directory.reserve.take() {
                Ok(()) => {
                    say(Level::Info, "the disk has room for the reserve now");
                    None
                }
                Err(_) => Some(now + RESERVE_RETRY),
            };
        }
        Ok(())
    }

    fn sync(&self, duties: &mut Duties) -> Result<(), Trouble> {
        duties.unsynced = None;
        let (Ok(store), Some(directory)) = (self.store(), &duties.directory) else { return Ok(()) };
        match store.sync() {
            Ok(()) => {
                self.syncs.fetch_add(1, Ordering::Relaxed);
                directory.acknowledge(store.durable());
                Ok(())
            }
            Err(error) => {
                drop(store);
                Err(self.fail(duties, "sync", &error))
            }
        }
    }

    /// Marks the database as failed until it can be opened again.
    fn fail(&self, duties: &mut Duties, doing: &str, error: &fjall::Error) -> Trouble {
        let why = format!("storage cannot {doing}: {}", words(error));
        self.take(why.clone());
        duties.unsynced = None;
        (duties.down, duties.closed) = (true, true);
        Trouble::new(Kind::Away, why, "the database will be opened again")
    }
}

/// Checks that what was written can be found at the configured path.
fn check_place(directory: &mut Directory, moved: &mut Option<String>) -> Result<(), Trouble> {
    match directory.check_place() {
        Ok(()) => {
            if moved.take().is_some() {
                say(Level::Info, "the storage directory is back; writes go on");
            }
            Ok(())
        }
        Err(what) => {
            let why = format!("storage is elsewhere: {what}");
            if moved.replace(what).is_none() {
                say(Level::Error, &format!("{why}; {MOVED_HINT}; nothing is written until then"));
            }
            Err(Trouble::new(Kind::Busy, why, MOVED_HINT))
        }
    }
}

/// Logs something about this store.
fn say(level: Level, text: &str) {
    note(level, EVENT, text);
}

fn never_opened() -> Trouble {
    Trouble::new(Kind::Away, "storage is not open", "")
}

impl Driver for Embedded {
    const MANNER: Manner = Manner {
        thread: "storage",
        event: EVENT,
        blocking: true,
        waits: false,
        // The directory is locked.
        shared: false,
        round: 64,
        retry_max: Duration::from_secs(2),
    };

    fn place(&self) -> String {
        format!("storage directory {}", self.path.display())
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    async fn open(&self) -> Result<(), Trouble> {
        let mut duties = lock(&self.duties);
        if duties.directory.is_none() {
            return Ok(self.first(&mut duties)?);
        }
        let Duties { directory: Some(directory), down, closed, .. } = &mut *duties else { return Err(never_opened()) };
        let recovered = self.recover(closed, directory);
        if let Err(why) = &recovered
            && let Err(told) = &mut *lock(&self.store)
        {
            *told = why.words();
        }
        *down = recovered.is_err();
        recovered
    }

    async fn attend(&self) -> Trouble {
        loop {
            let more = self.due.notified();
            match self.next_duty() {
                // It does not matter whether a duty was added or the time is up: all duties are looked at.
                Some(at) => drop(timeout_at(at.into(), more).await),
                None => more.await,
            }
            if let Err(trouble) = self.do_duties() {
                return trouble;
            }
        }
    }

    async fn load(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        // One handle for all of them, and not for longer: a failed database cannot be opened again before all are gone.
        let store = self.store()?;
        Ok(names.iter().map(|name| store.load(name)).collect())
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
        // No slot is claimed while nothing can be written.
        self.store()?;
        let mut duties = lock(&self.duties);
        let Duties { directory: Some(directory), moved, .. } = &mut *duties else { return Err(never_opened()) };
        check_place(directory, moved)?;
        let claimed = directory.fences.claim(slots, generation);
        claimed.map_err(|error| Trouble::new(Kind::Busy, format!("slots cannot be claimed: {error}"), "check the disk"))
    }

    async fn commit(&self, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        self.write(&mut lock(&self.duties), group)
    }

    /// Everything that was committed becomes durable, whatever the mode: an orderly stop loses nothing.
    async fn close(&self) {
        let mut duties = lock(&self.duties);
        if !duties.down
            && let Err(trouble) = self.sync(&mut duties)
        {
            say(Level::Error, &trouble.what);
        }
        let clean = !duties.down;
        self.take("storage has stopped".into());
        let Some(mut directory) = duties.directory.take() else { return };
        // A store that is not running needs none, and the seal may need the room.
        directory.reserve.release();
        if clean && let Err(error) = directory.seal() {
            say(Level::Warn, &format!("{error}; the next start will check the journals more thoroughly"));
        }
    }
}
