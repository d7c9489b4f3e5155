//! The embedded store: records on disk, behind two threads of their own.
//!
//! *Owns* the threads, the lanes to them and the database in one directory. *Promises* that no call of a core ever
//! blocks, that a batch is answered once it is as durable as configured, and that whatever happens to the disk becomes
//! a [`Fault`] or a [`StorageError`], never a wrong record. *Does not* cache, retry or interpret values: the engine
//! does.
//!
//! One thread writes, one reads, so that a lookup never waits behind an fsync. Every shard has a [`Client`]: lock-free
//! lanes to both threads and back, bounded.

mod damage;
mod directory;
mod error;
mod journal;
mod manifest;
mod names;
mod place;
mod reader;
mod record;
mod reserve;
mod seal;
mod stamp;
mod store;
mod watermark;
mod writer;

pub use error::StorageError;
pub use names::Whole;

use crate::storage::bell::Bell;
use crate::storage::{AtomicCounters, Client, Counters, Waker};
use deepstream_engine::Fault;
use directory::Directory;
use reader::Reader;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use store::Store;
use writer::Writer;

/// What a good answer to a batch means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut: fsynced.
    Always,
    /// It survives the death of the process at once, and a power cut after this time.
    Interval(Duration),
    /// It survives the death of the process; the kernel decides when it reaches the disk.
    None,
}

/// How to run a store.
pub struct Options {
    /// Where; made if it does not exist.
    pub directory: PathBuf,
    /// When a batch counts as stored.
    pub durability: Durability,
    /// CPUs of the storage threads and the database's; empty: wherever the kernel puts them.
    pub cpus: Vec<usize>,
    /// One per shard.
    pub wakers: Vec<Waker>,
    /// Of somebody who is no shard and wants a client too.
    pub outsider: Option<Waker>,
}

/// Files that storage may have open at once in a process that may have so many.
pub fn files_max(limit: usize) -> usize {
    store::files_max(limit)
}

/// Where the open database is kept for both threads, or why there is none.
struct Shelf {
    store: Mutex<Result<Store, String>>,
    counters: AtomicCounters,
}

impl Shelf {
    fn store(&self) -> Result<Store, Fault> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone().map_err(Fault::Failed)
    }

    fn put(&self, store: Store) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Ok(store);
    }

    fn take(&self, why: String) {
        // Dropped outside the lock: closing a database takes time.
        let old = std::mem::replace(&mut *self.store.lock().unwrap_or_else(PoisonError::into_inner), Err(why));
        drop(old);
    }
}

/// A running store.
pub struct Storage {
    /// One per shard, in order; to be taken by the cores.
    pub clients: Vec<Client>,
    /// Of the outsider.
    pub outsider: Option<Client>,
    shelf: Arc<Shelf>,
    stopping: Arc<AtomicBool>,
    bells: [Arc<Bell>; 2],
    threads: Vec<JoinHandle<()>>,
}

/// Opens the store and starts its threads.
pub fn start(mut options: Options) -> Result<Storage, StorageError> {
    let path = options.directory.clone();
    let bells = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    let stopping = Arc::new(AtomicBool::new(false));
    let (mut clients, mut read_lanes, mut write_lanes) = (Vec::new(), Vec::new(), Vec::new());
    let shards = options.wakers.len();
    options.wakers.extend(options.outsider.take());
    for _ in &options.wakers {
        let (client, read, write) = Client::new(Arc::new(Whole), Arc::clone(&bells[0]), Arc::clone(&bells[1]));
        clients.push(client);
        read_lanes.push(read);
        write_lanes.push(write);
    }
    let (opened, when_opened) = mpsc::channel();
    let (bell, stop, wakers) = (Arc::clone(&bells[1]), Arc::clone(&stopping), options.wakers.clone());
    let writer = spawn(&path, "storage", move || {
        // The database is opened on this thread, pinned, because its own threads inherit the CPUs.
        let shelf_and_directory = pin(&options).and_then(|()| open(&options));
        let Ok((shelf, directory)) = shelf_and_directory.map_err(|error| opened.send(Err(error))) else { return };
        let mut writer = Writer {
            lanes: write_lanes,
            wakers,
            shards,
            shelf: Arc::clone(&shelf),
            bell,
            stopping: stop,
            durability: options.durability,
            directory,
            group: Vec::new(),
            first: 0,
            unsynced: None,
            down: None,
            moved: None,
            reserve_at: None,
        };
        writer.take_reserve();
        // Dropped first if nobody waits any more: then the stop flag is never set and the lanes stay empty.
        if opened.send(Ok((shelf, options))).is_ok() {
            writer.run();
        }
    })?;
    let result = when_opened
        .recv()
        .unwrap_or_else(|_| Err(StorageError::damaged(&path, "the database gave up while it was opened")));
    let (shelf, options) = result?;
    let reader = Reader {
        lanes: read_lanes,
        wakers: options.wakers.clone(),
        shelf: Arc::clone(&shelf),
        bell: Arc::clone(&bells[0]),
        stopping: Arc::clone(&stopping),
    };
    let outsider = if clients.len() > shards { clients.pop() } else { None };
    let mut storage = Storage { clients, outsider, shelf, stopping, bells, threads: vec![writer] };
    let (pinned, when_pinned) = mpsc::channel();
    let reader = spawn(&path, "storage-read", move || {
        if pin(&options).is_ok() {
            // Nobody waits for it only if the start has given up.
            let _ = pinned.send(());
            reader.run();
        }
    })?;
    // A store that is open runs where it is told to. The writer was pinned the same way: this cannot fail alone.
    let _ = when_pinned.recv();
    // The reader ends first: the writer closes the database, which takes all handles.
    storage.threads.insert(0, reader);
    Ok(storage)
}

fn open(options: &Options) -> Result<(Arc<Shelf>, Directory), StorageError> {
    let mut directory = Directory::claim(&options.directory)?;
    let store = Mutex::new(Ok(directory.open()?));
    Ok((Arc::new(Shelf { store, counters: AtomicCounters::default() }), directory))
}

fn pin(options: &Options) -> Result<(), StorageError> {
    crate::service::run_on(&options.cpus).map_err(|why| {
        let what = format!("its threads cannot run on the CPUs {:?}: {why}", options.cpus);
        StorageError::new(&options.directory, what, "configure CPUs that this machine has and allows")
    })
}

fn spawn(
    path: &std::path::Path,
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StorageError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| StorageError::system(path, "start a thread for it", &error))
}

impl Storage {
    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.shelf.counters.read()
    }

    /// Writes what was handed over, makes everything durable, closes the database and ends the threads. Clients may
    /// outlive it; they answer with faults from then on.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.bells.iter().for_each(|bell| bell.ring());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a storage thread had ended early");
            }
        }
    }
}
