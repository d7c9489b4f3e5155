//! Records in tables of a PostgreSQL database, laid out as upstream's connector does.
//!
//! *Owns* one thread and the connections it keeps. *Promises* that no call of a core ever blocks; that a batch is
//! answered well only after its transaction was committed; and that a database that is away delays what is written and
//! fails what is read in time, but loses nothing. *Does not* cache, or interpret values.
//!
//! One connection writes, the others read, so that a lookup never waits behind a transaction. All of it is done by tasks
//! of one thread, which has nothing to compute: the database has.

mod layout;
mod link;
mod reader;
mod table;
mod trouble;
mod writer;

pub use layout::Layout;
pub use trouble::PostgresError;

use crate::config::Postgres as Settings;
use crate::storage::bell::Bell;
use crate::storage::{AtomicCounters, Client, Counters, Waker};
use link::Link;
use reader::Reader;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Wake, Waker as TaskWaker};
use std::thread::JoinHandle;
use std::time::Duration;
use table::Tables;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use writer::Writer;

/// How to keep records in a database.
pub struct Options {
    /// Which, and how.
    pub settings: Settings,
    /// How long a lookup may take.
    pub load_timeout: Duration,
    /// How long the start waits for a database that cannot be reached.
    pub start_timeout: Duration,
    /// CPUs of the thread; empty: wherever the kernel puts it.
    pub cpus: Vec<usize>,
    /// One per shard.
    pub wakers: Vec<Waker>,
    /// Of somebody who is no shard and wants a client too.
    pub outsider: Option<Waker>,
}

/// What the tasks share.
struct Shared {
    settings: Settings,
    layout: Arc<Layout>,
    tables: Tables,
    counters: AtomicCounters,
    stopping: AtomicBool,
}

/// Something a task sleeps on: rung by cores, heard by the runtime.
struct Ear {
    bell: Arc<Bell>,
    rung: Arc<Rung>,
}

struct Rung(Notify);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        // Kept for the sleeper if it does not sleep yet.
        self.0.notify_one();
    }
}

impl Ear {
    fn new() -> Self {
        let ear = Self { bell: Arc::default(), rung: Arc::new(Rung(Notify::new())) };
        ear.bell.adopt_by(TaskWaker::from(Arc::clone(&ear.rung)));
        ear
    }

    /// Sleeps until rung, unless `has_work`. May wake early.
    async fn wait(&self, has_work: impl FnOnce() -> bool) {
        self.bell.listen();
        if !has_work() {
            self.rung.0.notified().await;
        }
        self.bell.rise();
    }
}

/// A database in use.
pub struct Postgres {
    /// One per shard, in order; to be taken by the cores.
    pub clients: Vec<Client>,
    /// Of the outsider.
    pub outsider: Option<Client>,
    shared: Arc<Shared>,
    ears: [Arc<Rung>; 2],
    thread: Option<JoinHandle<()>>,
}

/// Connects, makes what is missing in the database, and starts the thread.
pub fn start(mut options: Options) -> Result<Postgres, PostgresError> {
    let settings = options.settings.clone();
    let failed = |what: String| PostgresError::new(&settings, what, "check the limits of this machine");
    let (reads, writes) = (Ear::new(), Ear::new());
    let ears = [Arc::clone(&reads.rung), Arc::clone(&writes.rung)];
    let shards = options.wakers.len();
    options.wakers.extend(options.outsider.take());
    let layout = Arc::new(Layout::new(&settings));
    let (mut clients, mut read_lanes, mut write_lanes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in &options.wakers {
        let names = Arc::clone(&layout);
        let (client, read, write) = Client::new(names, Arc::clone(&reads.bell), Arc::clone(&writes.bell));
        clients.push(client);
        read_lanes.push(read);
        write_lanes.push(write);
    }
    let outsider = if clients.len() > shards { clients.pop() } else { None };
    let shared = Arc::new(Shared {
        settings: options.settings.clone(),
        layout,
        tables: Tables::new(&options.settings),
        counters: AtomicCounters::default(),
        stopping: AtomicBool::new(false),
    });
    let runtime = Builder::new_current_thread().enable_all().thread_name("postgres-lookup").build();
    let runtime = runtime.map_err(|error| failed(format!("its thread cannot wait for anything: {error}")))?;
    let (started, when_started) = mpsc::channel();
    let for_thread = Arc::clone(&shared);
    let run = move || {
        if let Err(why) = crate::service::run_on(&options.cpus) {
            let what = format!("its thread cannot run on the CPUs {:?}: {why}", options.cpus);
            let hint = "configure CPUs that this machine has and allows";
            // Whoever starts us waits for it.
            let _ = started.send(Err(PostgresError::new(&for_thread.settings, what, hint)));
            return;
        }
        LocalSet::new().block_on(&runtime, async move {
            let shared = for_thread;
            let link = match Link::first(&shared, options.start_timeout).await {
                Ok(link) => link,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let others = (1..shared.settings.connections).map(|_| Link::open(&shared)).collect();
            let wakers = options.wakers;
            let reader = Reader::new(read_lanes, wakers.clone(), reads, others, options.load_timeout);
            let reader = spawn_local(reader.run(Arc::clone(&shared)));
            let writer = Writer::new(write_lanes, wakers, writes, link);
            let _ = started.send(Ok(()));
            writer.run(shared).await;
            if reader.await.is_err() {
                tracing::error!("the task that reads from the database had ended early");
            }
        });
    };
    let thread = std::thread::Builder::new().name("postgres".into()).spawn(run);
    let thread = thread.map_err(|error| failed(format!("its thread cannot be started: {error}")))?;
    when_started.recv().unwrap_or_else(|_| Err(failed("its thread gave up".to_owned())))?;
    Ok(Postgres { clients, outsider, shared, ears, thread: Some(thread) })
}

impl Postgres {
    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters.read()
    }
}

impl Drop for Postgres {
    /// Writes what was handed over, if the database is there, and ends the thread.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.ears.iter().for_each(|rung| Arc::clone(rung).wake());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the database had ended early");
        }
    }
}
