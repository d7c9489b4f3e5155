//! A node's part in a cluster, off its cores: two threads that drive one [`Node`](deepstream_cluster::Node) in real time, and the lanes between them and the cores.
//!
//! *Owns* the threads, the lanes, and whatever is asked of the registry, of the bus and of the writer of storage on behalf of the
//! node. *Promises* that no core ever waits for any of them; that what a core is told and sent comes in the order in which the node said
//! it; and that a bus or a registry that is away is opened again. *Does not* decide who is a member and what is whose (the node
//! does), nor know what packets say (shards do).
//!
//! * The thread `bus` runs the node. It takes bundles of the cores, packets of the bus and answers, gives the cores sections of bundles
//!   and what they are to know, and sends frames.
//! * The thread `cluster` carries out what the node asks of the registry, so that neither a slow registry holds up a packet nor many
//!   packets hold up a lease that is being renewed.
//!
//! A server that is alone has neither.

mod carrier;
mod clerk;
mod lanes;
mod post;
mod words;

pub use lanes::{Client, Heard, Peer, Section};

use crate::bus::Bus;
use crate::registry::Registry;
use crate::service::bell::BellReceiver;
use crate::service::{Pinned, Plan, Service, Thread, Waker};
use crate::storage::{self, OpenError};
use carrier::{Carrier, Command, Ends};
use clerk::Clerk;
use deepstream_cluster::{Frame, LinkSettings, Settings, Standing};
use deepstream_engine::Nanos;
use lanes::Shared;
use post::Post;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;

/// Of a bundle in one frame: every bus takes packets of 256 KiB.
const FRAME_BYTES_MAX: usize = (256 << 10) - Frame::OVERHEAD_BYTES_MAX;
/// How long a start waits beyond the lease of an earlier process by its name.
const NAME_PATIENCE: Duration = Duration::from_secs(1);
/// How long an owner that asks how things stand waits.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// Tells the moment, by the clock that the cores go by.
pub type Clock = Arc<dyn Fn() -> Nanos + Send + Sync>;

/// How a node is to be run.
pub struct Options {
    /// The cluster's name.
    pub cluster: String,
    /// The node's: no two living nodes of a cluster have the same.
    pub name: String,
    /// The fingerprint of its permission rules.
    pub rules: u64,
    /// Keys the hash of names, should this node make the first charter: that of the store (`Storage::seed`).
    pub seed: [u64; 2],
    /// How long its lease lasts.
    pub lease: Duration,
    /// How long the start waits for a registry or a bus that cannot be reached, and to become a member.
    pub start_timeout: Duration,
    /// CPUs of the threads; empty: wherever the kernel puts them.
    pub cpus: Vec<usize>,
    /// One per core.
    pub wakers: Vec<Waker>,
    /// The cores' clock.
    pub clock: Clock,
}

/// What wakes the node. It is there before the node is, because storage must know it.
pub struct Bell(BellReceiver);

impl Default for Bell {
    fn default() -> Self {
        Self(BellReceiver::new())
    }
}

impl Bell {
    /// What storage calls when it has answered.
    pub fn waker(&self) -> Waker {
        let bell = self.0.bell();
        Arc::new(move || bell.ring())
    }
}

/// What the threads say while the node starts.
enum Report {
    Failed(OpenError),
    /// A living process has the node's name.
    NameTaken,
    /// It is a member, and reached by others.
    Joined,
}

/// A running node. Dropped, it gives its lease back, and ends.
pub struct Cluster {
    commands: UnboundedSender<Command>,
    shared: Arc<Shared>,
    /// Dropped in this order: the registry is asked until the node has ended.
    bus: Option<Thread>,
    registry: Option<Thread>,
}

/// Starts a node, and waits until it is a member. Gives what each core has of it. `store` claims slots for it.
pub fn start<B: Bus, R: Registry>(
    bus: B,
    registry: R,
    store: storage::Client,
    bell: Bell,
    options: Options,
) -> Result<(Cluster, Vec<Client>), OpenError> {
    let (place, bus_place) = (registry.place(), bus.place());
    if options.lease < registry.ttl_min() {
        let what = format!("it gives no lease of {} ms", options.lease.as_millis());
        let hint = format!("configure a lease of at least {} ms", registry.ttl_min().as_millis());
        return Err(OpenError { place, what, hint });
    }
    let (shared, clients, lanes) = lanes::open(bell.0.bell(), options.wakers);
    let (asks, asked) = unbounded_channel();
    let (answer, answers) = unbounded_channel();
    let (commands, commanded) = unbounded_channel();
    let (report, reports) = mpsc::channel();
    let incarnation = getrandom::u64();
    let incarnation = incarnation.map_err(|error| failed(&place, "there are no random numbers", &error.into()))?;
    let settings = Settings {
        cluster: options.cluster.as_str().into(),
        name: options.name.as_str().into(),
        incarnation,
        address: incarnation.to_le_bytes().into(),
        cores: clients.len() as u16,
        rules: options.rules,
        ttl_ns: options.lease.as_nanos() as u64,
        unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        seed: options.seed,
        link: LinkSettings { frame_bytes_max: FRAME_BYTES_MAX, ..LinkSettings::default() },
    };
    let (clock, patience) = (options.clock, options.start_timeout);
    let clerk = Clerk::new(registry, answer, bell.0.bell(), report.clone());
    let registry = thread(&place, "cluster", &options.cpus, move |_: Pinned| clerk.run(asked, patience))?;
    // Made here, so that the threads end if the start gives up.
    let mut cluster = Cluster { commands, shared: Arc::clone(&shared), bus: None, registry: Some(registry) };
    let (receiver, reported) = (bell.0, report.clone());
    let ends = Ends { asks, answers, commands: commanded, store, report };
    let main = move |_: Pinned| async move {
        let post = Rc::new(Post::new(bus, receiver.bell()));
        let carrier = Carrier::new(settings, clock, lanes, ends, Rc::clone(&post));
        let receiving = spawn_local(Rc::clone(&post).receive(patience, reported));
        let sending = spawn_local(Rc::clone(&post).send());
        carrier.run(receiver).await;
        for task in [receiving, sending] {
            task.abort();
            let _ = task.await;
        }
        post.close().await;
    };
    cluster.bus = Some(thread(&bus_place, "bus", &options.cpus, main)?);
    joined(&reports, &place, &options.name, patience.max(options.lease + NAME_PATIENCE))?;
    Ok((cluster, clients))
}

/// Waits until the node is a member.
fn joined(reports: &mpsc::Receiver<Report>, place: &str, name: &str, patience: Duration) -> Result<(), OpenError> {
    let (mut left, mut taken) = (patience, false);
    let step = Duration::from_millis(50);
    loop {
        match reports.recv_timeout(step) {
            Ok(Report::Joined) => return Ok(()),
            Ok(Report::Failed(error)) => return Err(error),
            Ok(Report::NameTaken) => taken = true,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(trouble(place, "its threads have ended early", "see the lines before this one"));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => match left.checked_sub(step) {
                Some(rest) => left = rest,
                None if taken => {
                    let what = format!("another living node is called {name}");
                    return Err(trouble(place, &what, "give each node a serverName of its own"));
                }
                None => {
                    let what = format!("this node has not become a member in {} ms", patience.as_millis());
                    return Err(trouble(place, &what, "see the lines before this one"));
                }
            },
        }
    }
}

fn thread<F: Future<Output = ()>>(
    place: &str,
    name: &str,
    cpus: &[usize],
    main: impl FnOnce(Pinned) -> F + Send + 'static,
) -> Result<Thread, OpenError> {
    let service = Service::new(Plan { name, helper: &format!("{name}-help"), cpus });
    let service = service.map_err(|error| failed(place, "its threads cannot wait for anything", &error))?;
    service.start(main).map_err(|error| failed(place, "a thread for it cannot be started", &error))
}

fn failed(place: &str, what: &str, error: &io::Error) -> OpenError {
    trouble(place, &format!("{what}: {error}"), "check the limits of this machine")
}

fn trouble(place: &str, what: &str, hint: &str) -> OpenError {
    OpenError { place: place.to_owned(), what: what.to_owned(), hint: hint.to_owned() }
}

impl Cluster {
    /// The cores run, and have a view: from now on the node is given slots.
    pub fn ready(&self) {
        self.say(Command::Ready);
    }

    /// The node is to end, and gives up its slots. It has done so once [`standing`](Self::standing) says that it has none.
    pub fn leave(&self) {
        self.say(Command::Leave);
    }

    /// How things stand. `None` if the node has ended.
    pub fn standing(&self) -> Option<Standing> {
        let (tell, told) = mpsc::channel();
        self.say(Command::Tell(tell));
        told.recv_timeout(ASK_PATIENCE).ok()
    }

    fn say(&self, command: Command) {
        // This fails if the node has ended, and then there is nothing to be said to it.
        let _ = self.commands.send(command);
        self.shared.ring();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.say(Command::End);
        drop(self.bus.take());
        drop(self.registry.take());
    }
}
