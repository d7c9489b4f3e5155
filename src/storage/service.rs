//! *Owns* the threads of a store, and the lanes to them. *Promises* that a started store answers every client until it
//! is dropped, and writes everything handed over before it ends; and that its threads, and those that the driver
//! starts, run on their CPUs. *Does not* know which store it is.

use super::driver::{Driver, Trouble};
use super::health::{Health, first, keep};
use super::keeper::{Cluster, Keeper};
use super::reading::Reader;
use super::writing::Writer;
use super::{AnyCache, AtomicCounters, Client, Counters, Tiered};
use crate::service::bell::{Bell, BellReceiver};
use crate::service::{Pinned, Plan, Service, Thread, Waker};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

/// How to run a store.
pub struct Options {
    /// How long a lookup may take.
    pub load_timeout: Duration,
    /// How long the start waits for a store that cannot be reached.
    pub start_timeout: Duration,
    /// CPUs of the storage threads and those that the driver starts; empty: wherever the kernel puts them.
    pub cpus: Vec<usize>,
    /// One per shard.
    pub wakers: Vec<Waker>,
    /// Wake services that are not shards and need a client too, one each.
    pub off_core: Vec<Waker>,
    /// The name of the server, by which another that is started on the same store tells who has it.
    pub server: String,
    /// The cluster of which this server is a node. Then it writes once it has claimed slots.
    pub cluster: Option<Cluster>,
    /// Before the store, if there is one.
    pub cache: Option<AnyCache>,
    /// What happens when another server has taken the store over: from then on nothing is written any more.
    pub deposed: Deposed,
}

/// Is told, in words, that another server has taken the store over, once.
pub type Deposed = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}: {what}; {hint}")]
pub struct OpenError {
    /// Which store, as configured.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl OpenError {
    pub(super) fn new(place: String, Trouble { what, hint, .. }: Trouble) -> Self {
        Self { place, what, hint }
    }
}

/// What the tasks of a store share.
pub(super) struct Shared {
    pub(super) health: Health,
    pub(super) keeper: Keeper,
    pub(super) deposed: Deposed,
    pub(super) counters: AtomicCounters,
    pub(super) stopping: AtomicBool,
}

/// A running store.
pub struct Storage {
    /// One per shard, in order; to be taken by the cores.
    pub clients: Vec<Client>,
    /// One per service off the cores, in order.
    pub off_core: Vec<Client>,
    shared: Arc<Shared>,
    syncs: Arc<dyn Fn() -> u64 + Send + Sync>,
    bells: [Arc<Bell>; 2],
    threads: Vec<Thread>,
}

/// Opens a store, with the cache before it if there is one, and starts its threads.
pub fn start<D: Driver>(driver: D, mut options: Options) -> Result<Storage, OpenError> {
    match options.cache.take() {
        Some(cache) => begin(Tiered::new(cache, driver), options),
        None => begin(driver, options),
    }
}

fn begin<D: Driver>(driver: D, mut options: Options) -> Result<Storage, OpenError> {
    let driver = Arc::new(driver);
    let place = driver.place();
    let keeper = Keeper::draw(&options.server, options.cluster.take())
        .map_err(|error| limited(&place, "there are no random numbers", &error.into()))?;
    let names = driver.names();
    let [(reads, read_bell), (writes, write_bell)] = [BellReceiver::new(), BellReceiver::new()].map(|receiver| {
        let bell = receiver.bell();
        (receiver, bell)
    });
    let (mut clients, mut read_lanes, mut write_lanes) = (Vec::new(), Vec::new(), Vec::new());
    let shards = options.wakers.len();
    options.wakers.append(&mut options.off_core);
    for _ in &options.wakers {
        let (client, read, write) = Client::new(Arc::clone(&names), Arc::clone(&read_bell), Arc::clone(&write_bell));
        clients.push(client);
        read_lanes.push(read);
        write_lanes.push(write);
    }
    let off_core = clients.split_off(shards);
    let shared = Arc::new(Shared {
        health: Health::new(),
        keeper,
        deposed: options.deposed,
        counters: AtomicCounters::default(),
        stopping: AtomicBool::new(false),
    });
    // A weak reference, so that a reader of counters does not keep the store open.
    let of_syncs = Arc::downgrade(&driver);
    let mut storage = Storage {
        clients,
        off_core,
        shared: Arc::clone(&shared),
        syncs: Arc::new(move || of_syncs.upgrade().map_or(0, |driver| driver.syncs())),
        bells: [read_bell, write_bell],
        threads: Vec::new(),
    };
    let reader = Reader::new(
        Arc::clone(&driver),
        Arc::clone(&shared),
        read_lanes,
        options.wakers.clone(),
        reads,
        options.load_timeout,
    );
    let writer = Writer {
        driver: Arc::clone(&driver),
        shared: Arc::clone(&shared),
        names,
        lanes: write_lanes,
        wakers: options.wakers,
        shards,
        receiver: writes,
        first: 0,
    };
    let (started, when_started) = mpsc::channel();
    let (read, all_read) = oneshot::channel();
    let (own, apart) = if D::MANNER.blocking { (None, Some((reader, read))) } else { (Some((reader, read)), None) };
    let (cpus, patience) = (options.cpus.clone(), options.start_timeout);
    let main = move |pinned: Pinned| async move {
        // The store is opened on this thread, pinned, because threads that it starts inherit the CPUs.
        let opened = match pinned {
            Ok(()) => first(&*driver, &writer.shared.keeper, patience).await,
            Err(why) => Err(misplaced(&driver.place(), &cpus, &why)),
        };
        let is_open = opened.is_ok();
        // This only fails if the start has given up, and then nothing was handed over.
        if started.send(opened).is_ok() && is_open {
            serve(driver, writer, own, all_read).await;
        }
    };
    storage.threads.push(thread(&place, D::MANNER.thread, &options.cpus, main)?);
    let gave_up = || Err(failed(&place, "it gave up while it was opened", "see the lines before this one"));
    when_started.recv().unwrap_or_else(|_| gave_up())?;
    if let Some((reader, read)) = apart {
        let name = format!("{}-read", D::MANNER.thread);
        let (tell, when_pinned) = mpsc::channel();
        // That it can run there is known, because the other thread was bound to the same CPUs.
        let main = move |_: Pinned| async move {
            // This only fails if the start has given up.
            let _ = tell.send(());
            reader.run().await;
            // The store is closed once nobody reads from it any more.
            let _ = read.send(());
        };
        // It is first in the list because it must end first: the other one closes the store.
        storage.threads.insert(0, thread(&place, &name, &options.cpus, main)?);
        let _ = when_pinned.recv();
    }
    Ok(storage)
}

/// Runs an open store until the server stops.
async fn serve<D: Driver>(
    driver: Arc<D>,
    mut writer: Writer<D>,
    reader: Option<(Reader<D>, oneshot::Sender<()>)>,
    all_read: oneshot::Receiver<()>,
) {
    let upkeep = spawn_local(keep(Arc::clone(&driver), Arc::clone(&writer.shared)));
    if let Some((reader, read)) = reader {
        spawn_local(async move {
            reader.run().await;
            let _ = read.send(());
        });
    }
    writer.run().await;
    // This only fails if the reader has already ended.
    let _ = all_read.await;
    upkeep.abort();
    let _ = upkeep.await;
    writer.shared.keeper.leave(&*driver).await;
    driver.close().await;
    writer.end();
}

/// Starts one of a store's threads.
fn thread<F: Future<Output = ()>>(
    place: &str,
    name: &str,
    cpus: &[usize],
    main: impl FnOnce(Pinned) -> F + Send + 'static,
) -> Result<Thread, OpenError> {
    let service = Service::new(Plan { name, helper: &format!("{name}-help"), cpus });
    let service = service.map_err(|error| limited(place, "its threads cannot wait for anything", &error))?;
    service.start(main).map_err(|error| limited(place, "a thread for it cannot be started", &error))
}

fn misplaced(place: &str, cpus: &[usize], why: &str) -> OpenError {
    let what = format!("its threads cannot run on the CPUs {cpus:?}: {why}");
    failed(place, &what, "configure CPUs that this machine has and allows")
}

fn limited(place: &str, what: &str, error: &io::Error) -> OpenError {
    failed(place, &format!("{what}: {error}"), "check the limits of this machine")
}

fn failed(place: &str, what: &str, hint: &str) -> OpenError {
    OpenError { place: place.to_owned(), what: what.to_owned(), hint: hint.to_owned() }
}

impl Storage {
    /// One client per shard, in order, and one per service off the cores. Gives them only once.
    pub fn take_clients(&mut self) -> (Vec<Client>, Vec<Client>) {
        (std::mem::take(&mut self.clients), std::mem::take(&mut self.off_core))
    }

    /// The seed by which names are spread over slots in a cluster: the one that the store has, if it had one, which stays
    /// as long as the records.
    pub fn seed(&self) -> Option<[u64; 2]> {
        self.shared.keeper.seed()
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.reader()()
    }

    /// A reader of the counters, which stays valid after the store has ended.
    pub fn reader(&self) -> impl Fn() -> Counters + Send + Sync + use<> {
        let (shared, syncs) = (Arc::clone(&self.shared), Arc::clone(&self.syncs));
        move || Counters { syncs: syncs(), ..shared.counters.read() }
    }

    /// Writes what was handed over, closes the store and ends the threads. Clients may outlive it; from then on they
    /// answer with faults.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.bells.iter().for_each(|bell| bell.ring());
        // Dropped one after the other, in the order in which they must end.
        self.threads.drain(..).for_each(drop);
    }
}
