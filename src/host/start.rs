//! Starts the cores of a server and stops them again.
//!
//! *Owns* the threads of the cores. *Promises* that either all cores run or none is left. *Does not* wait for signals.

use super::bell::Waker;
use super::clock::Clock;
use super::control::Control;
use super::core::{Core, Parts};
use super::descriptors::{self, Descriptors};
use super::error::StartError;
use super::listen::{self, ListenerSettings};
use super::renewal::{Logins, Rights};
use super::ring::{Doorbell, Ring};
use super::services::{Clients, Members, Services, core_waker};
use super::tape::{TapeFeed, Tapes};
use super::tls::{Side, Tls};
use super::{protect, report};
use crate::config::{Config, ListenerKind, Placement, WebSocketEndpoint};
use crate::endpoint::http::Service;
use crate::log::{Level, note};
use crate::monitor::Figures;
use crate::reload::Part;
use crate::service;
use deepstream_engine::{Options, Packet, Place, Shard};
use deepstream_mesh::{Lattice, Port, slots_per_ring};
use deepstream_wire::{Endpoint, Gate, LinkConfig, Medium, mqtt};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement as Pin};
use hdrhistogram::Histogram;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Memory of all rings between cores together.
const LATTICE_BYTES: usize = 64 << 20;
/// Most slots of one ring between two cores: larger rings only displace other memory from the cache.
const SLOTS_MAX: usize = 4096;
/// Memory that an executor registers for its own file I/O, which this host does not use. It counts as locked memory:
/// the default of 10 MiB would exceed the 8 MiB that distributions allow, with a single core.
const EXECUTOR_IO_BYTES: usize = 64 << 10;
/// Entries of an executor's own rings.
const EXECUTOR_RING_DEPTH: usize = 16;
/// The executor's time slice. It must not end before the turn has begun, see [`Core::run`]; after that it does not
/// matter.
const EXECUTOR_SLICE: Duration = Duration::from_hours(1);

/// A running server.
pub struct Server {
    address: SocketAddr,
    control: Arc<Control>,
    figures: Figures,
    wakers: Vec<Waker>,
    tls: Vec<Tls>,
    cores: Vec<ExecutorJoinHandle<Result<Histogram<u64>, String>>>,
    services: Services,
    tapes: Option<Tapes>,
}

/// The report of a core whose ring is ready: how to wake it, and which features the kernel lacks; or why it failed.
type Readiness = Result<(Doorbell, Vec<&'static str>), String>;

/// What one core's thread starts with.
struct Seed {
    shard: Place,
    cores: u16,
    options: Options,
    port: Port<Packet>,
    /// Its listeners, each with the settings of its connections.
    listeners: CoreListeners,
    waker: Waker,
    clients: Clients,
    link_config: LinkConfig,
    web: Service,
    clock: Clock,
    control: Arc<Control>,
    figures: Figures,
    idle_spin: Option<Duration>,
    /// Where its inputs are recorded, if they are.
    tape_feed: Option<TapeFeed>,
    /// Reports that the ring is ready, or why it is not.
    ready: Sender<(usize, Readiness)>,
    /// Receives the others' doorbells; closed if one of them failed.
    peers: Receiver<Arc<[Doorbell]>>,
    descriptors: Arc<Descriptors>,
}

/// Starts a server: its services, its cores, its listeners. `ended` is called by every core that ends.
pub fn start(
    config: &Config,
    placement: &Placement,
    members: Members,
    ended: impl Fn() + Clone + Send + 'static,
) -> Result<Server, StartError> {
    descriptors::raise_limit();
    super::probe()?;
    let cores = placement.shards.len();
    for line in placement.describe() {
        note(Level::Info, "INFO", &line);
    }
    let mut front = Front::open(config, cores)?;
    let listeners = std::mem::take(&mut front.listeners);
    let wakers = (0..cores).map(|_| Waker::new()).collect::<Result<Vec<_>, _>>();
    let wakers = wakers.map_err(|error| StartError::Core { core: 0, what: error.to_string() })?;
    let slots = slots_per_ring(LATTICE_BYTES, cores, size_of::<Packet>()).min(SLOTS_MAX);
    let ports = Lattice::new(cores, slots);
    let core_wakers: Vec<service::Waker> = ports.iter().zip(&wakers).map(core_waker).collect();
    let (services, clients) = Services::start(config, placement, &core_wakers, members)?;
    protect::announce_users(config);

    let permissions = Arc::new(config.permissions(0));
    let control = Arc::new(Control::new(cores, Arc::clone(&permissions), config.is_open().is_some()));
    let (ready, readiness) = channel();
    let descriptors = Arc::new(Descriptors::default());
    let listener_count = listeners.iter().map(Vec::len).sum::<usize>();
    let (clock, seeds) = (Clock::start(), random_seeds());
    let unix_ns = clock.unix_ns();
    let start_tapes = |directory: &PathBuf| Tapes::start(directory, cores, &placement.services, unix_ns);
    let tapes = config.tape.as_ref().map(start_tapes).transpose()?;
    let (address, tls) = (front.web[0], std::mem::take(&mut front.tls));
    let mut server = Server {
        address,
        control,
        figures: Figures::new(cores, wake_all(&wakers), services.figures(Arc::clone(&descriptors))),
        wakers,
        tls,
        cores: Vec::new(),
        services,
        tapes,
    };
    let mut tell_peers = Vec::new();
    for ((port, listeners), clients) in ports.into_iter().zip(listeners).zip(clients) {
        let core = port.core();
        let (tell, peers) = channel();
        tell_peers.push(tell);
        let seed = Seed {
            shard: Place::alone(core as u16),
            cores: cores as u16,
            options: Options {
                permissions: Arc::clone(&permissions),
                unix_ns,
                storage: server.services.keep_records(),
                ..config.engine_options(cores, seeds)
            },
            port,
            listeners,
            waker: server.wakers[core].clone(),
            clients,
            link_config: link_config(config),
            web: Service::of(config),
            clock,
            control: Arc::clone(&server.control),
            figures: server.figures.clone(),
            idle_spin: config.cores.latency_profile.idle_spin(),
            tape_feed: server.tapes.as_ref().map(|tapes| tapes.tape_feed(core)),
            ready: ready.clone(),
            peers,
            descriptors: Arc::clone(&descriptors),
        };
        let pin = placement.shards[core].cpu.map_or(Pin::Unbound, Pin::Fixed);
        server.cores.push(spawn(core, pin, seed, ended.clone())?);
    }
    drop(ready);
    let doorbells = await_cores(cores, &readiness)?;
    // By now all files are open that stay open, and no core accepts yet.
    descriptors.settle(config, listener_count, listener_count * listen::backlog())?;
    for tell in tell_peers {
        // If a core has ended meanwhile, that shows when it is joined.
        let _ = tell.send(Arc::clone(&doorbells));
    }
    server.services.start_readers(&server.figures, placement)?;
    front.announce(config);
    Ok(server)
}

/// A core's listeners, and the settings of the connections of each.
type CoreListeners = Vec<(TcpListener, ListenerSettings)>;

/// The ports with the TLS settings of each. If TLS has a port of its own there are two, the plain one first.
fn ports(port: u16, tls: Option<&Tls>, secure_port: Option<u16>) -> Vec<(u16, Option<&Tls>)> {
    match (tls, secure_port) {
        (Some(tls), Some(secure_port)) => vec![(port, None), (secure_port, Some(tls))],
        (tls, _) => vec![(port, tls)],
    }
}

/// All listeners of a server. While it starts they move to the cores, and the certificates to the server.
struct Front {
    /// Of each core.
    listeners: Vec<CoreListeners>,
    /// The TLS settings of each side that has certificates.
    tls: Vec<Tls>,
    web: Vec<SocketAddr>,
    mqtt: Vec<SocketAddr>,
    /// What the log says of MQTT.
    mqtt_lines: Vec<String>,
}

impl Front {
    fn open(config: &Config, cores: usize) -> Result<Self, StartError> {
        let (tls, mqtt_tls) = (Tls::new(Side::Web, config)?, Tls::new(Side::Mqtt, config)?);
        let mut listeners: Vec<CoreListeners> = (0..cores).map(|_| Vec::new()).collect();
        let web = open_web(config, tls.as_ref(), &mut listeners)?;
        let (mqtt, mqtt_lines) = open_mqtt(config, mqtt_tls.as_ref(), &mut listeners)?;
        Ok(Self { listeners, tls: tls.into_iter().chain(mqtt_tls).collect(), web, mqtt, mqtt_lines })
    }

    /// Logs what the server listens on, which protocols are spoken there, and who may connect.
    fn announce(&self, config: &Config) {
        let http = &config.http;
        let securely = |index: usize| if http.tls.is_some() && index + 1 == self.web.len() { "https" } else { "http" };
        for (index, address) in self.web.iter().enumerate() {
            let line = format!("Listening for {} connections on {}:{}", securely(index), http.host, address.port());
            note(Level::Info, "INFO", &line);
        }
        note(Level::Info, "INFO", &format!("Listening for health checks on path {}", http.health_check_path));
        let held = config.outbox_bytes_total_max() >> 20;
        note(Level::Info, "INFO", &format!("connections may hold {held} MiB together (limits.outboxBytesTotalMax)"));
        note(Level::Info, "INFO", &format!("permission ready: {}", config.permission.title()));
        for endpoint in &config.endpoints {
            note(Level::Info, "INFO", &format!("connectionEndpoint ready: {}", endpoint.protocol.title()));
        }
        if config.http_endpoint.is_some() {
            note(Level::Info, "INFO", "connectionEndpoint ready: HTTP connection endpoint");
        }
        for line in &self.mqtt_lines {
            note(Level::Info, "INFO", line);
        }
        for &address in &self.web {
            protect::announce(config, ListenerKind::Web, address);
        }
        for &address in &self.mqtt {
            protect::announce(config, ListenerKind::Mqtt, address);
        }
    }
}

/// The listeners for HTTP and WebSocket; their addresses.
fn open_web(
    config: &Config,
    tls: Option<&Tls>,
    listeners: &mut [CoreListeners],
) -> Result<Vec<SocketAddr>, StartError> {
    let (http, allows_remote) = (&config.http, config.allows_remote(ListenerKind::Web));
    let ports = ports(http.port, tls, http.tls.as_ref().and_then(|tls| tls.port));
    let open = |(port, tls): (u16, Option<&Tls>)| {
        add_listener(
            &http.host,
            port,
            &ListenerSettings { medium: Medium::Web, tls: tls.cloned(), allows_remote },
            listeners,
        )
    };
    ports.into_iter().map(open).collect()
}

/// The listeners for MQTT: their addresses, and what the log says of them.
fn open_mqtt(
    config: &Config,
    tls: Option<&Tls>,
    listeners: &mut [CoreListeners],
) -> Result<(Vec<SocketAddr>, Vec<String>), StartError> {
    let (mut addresses, mut lines) = (Vec::new(), Vec::new());
    let Some(endpoint) = &config.mqtt else { return Ok((addresses, lines)) };
    let allows_remote = config.allows_remote(ListenerKind::Mqtt);
    for (port, tls) in ports(endpoint.port, tls, endpoint.tls.as_ref().and_then(|tls| tls.port)) {
        let settings = ListenerSettings { medium: Medium::Mqtt, tls: tls.cloned(), allows_remote };
        let address = add_listener(&endpoint.host, port, &settings, listeners)?;
        addresses.push(address);
        let securely = if tls.is_some() { "TLS" } else { "TCP" };
        lines.push(format!("Listening for MQTT {securely} connections on {}:{}", endpoint.host, address.port()));
    }
    lines.push("connectionEndpoint ready: MQTT Protocol Connection Endpoint".to_owned());
    Ok((addresses, lines))
}

/// One more listener for every core; its address.
fn add_listener(
    host: &str,
    port: u16,
    settings: &ListenerSettings,
    listeners: &mut [CoreListeners],
) -> Result<SocketAddr, StartError> {
    let failed = |error| StartError::listen(format!("{host}:{port}"), error);
    let opened = listen::listen(host, port, listeners.len()).map_err(failed)?;
    let address = opened[0].local_addr().map_err(failed)?;
    for (listeners, listener) in listeners.iter_mut().zip(opened) {
        listeners.push((listener, settings.clone()));
    }
    Ok(address)
}

fn link_endpoint(endpoint: &WebSocketEndpoint) -> Endpoint {
    Endpoint {
        path: endpoint.url_path.clone(),
        wire: endpoint.protocol.wire(),
        max_message_bytes: endpoint.max_message_bytes,
    }
}

fn link_config(config: &Config) -> LinkConfig {
    LinkConfig {
        endpoints: config.endpoints.iter().map(link_endpoint).collect(),
        max_request_bytes: config.limits.request_head_bytes_max,
        mqtt: config.mqtt.as_ref().map_or_else(mqtt::Settings::default, |endpoint| mqtt::Settings {
            packet_bytes_max: endpoint.max_message_bytes,
            idle_timeout_s: Some(u32::try_from(endpoint.idle_timeout.as_secs()).unwrap_or(u32::MAX).max(1)),
            queued_bytes_max: config.limits.outbox_bytes_max,
            closed: None,
        }),
        gate: Gate { closed: None, pages: config.pages() },
        text_after_ms: config.text_after_ms(),
    }
}

/// Starts the thread of a core.
fn spawn(
    core: usize,
    pin: Pin,
    seed: Seed,
    ended: impl Fn() + Send + 'static,
) -> Result<ExecutorJoinHandle<Result<Histogram<u64>, String>>, StartError> {
    LocalExecutorBuilder::new(pin)
        .name(&format!("shard-{core}"))
        .io_memory(EXECUTOR_IO_BYTES)
        .ring_depth(EXECUTOR_RING_DEPTH)
        .preempt_timer(EXECUTOR_SLICE)
        .spawn(move || async move {
            let result = live(seed);
            ended();
            result
        })
        .map_err(|error| StartError::Kernel {
            what: format!("shard {core} cannot be started: {error}"),
            remedy: "check the limit of locked memory (ulimit -l 8192; LimitMEMLOCK=8M in a systemd unit)".to_owned(),
        })
}

/// The life of a core, on its own thread.
fn live(seed: Seed) -> Result<Histogram<u64>, String> {
    let number = seed.port.core();
    let made = Ring::new(seed.waker, Arc::clone(&seed.descriptors)).and_then(|ring| {
        let doorbell = ring.doorbell()?;
        Ok((ring, doorbell))
    });
    let mut ring = match made {
        Ok((ring, doorbell)) => {
            let shortcomings = ring.shortcomings().to_vec();
            // This only fails if another core has failed, which the next line finds out.
            let _ = seed.ready.send((number, Ok((doorbell, shortcomings))));
            ring
        }
        Err(error) => {
            let _ = seed.ready.send((number, Err(error.to_string())));
            return Err(error.to_string());
        }
    };
    drop(seed.ready);
    let Ok(peers) = seed.peers.recv() else { return Err("another core could not be started".to_owned()) };
    ring.meet(peers);
    let mut listeners = Vec::new();
    for (listener, settings) in seed.listeners {
        ring.listen(listener);
        listeners.push(settings);
    }
    let now = seed.clock.now();
    let mut shard = Shard::new(now, seed.shard, seed.cores, seed.options);
    if let Some(tape_feed) = seed.tape_feed.clone() {
        shard.begin_tape(now, move |bytes| tape_feed.take(bytes));
    }
    let core = Core::new(Parts {
        shard,
        ring,
        port: seed.port,
        clients: seed.clients,
        link_config: seed.link_config,
        web: seed.web,
        listeners,
        clock: seed.clock,
        control: seed.control,
        figures: seed.figures,
        idle_spin: seed.idle_spin,
        tape_feed: seed.tape_feed,
        descriptors: seed.descriptors,
    });
    Ok(core.run())
}

/// Waits until all rings are ready. Gives the doorbells of all cores.
fn await_cores(cores: usize, readiness: &Receiver<(usize, Readiness)>) -> Result<Arc<[Doorbell]>, StartError> {
    let mut doorbells: Vec<Option<Doorbell>> = vec![None; cores];
    let mut shortcomings = Vec::new();
    for (core, result) in readiness {
        let (doorbell, lacks) = result.map_err(|what| StartError::Core { core, what })?;
        doorbells[core] = Some(doorbell);
        shortcomings = lacks;
    }
    let missing = doorbells.iter().position(Option::is_none);
    if let Some(core) = missing {
        return Err(StartError::Core { core, what: "its thread ended early".to_owned() });
    }
    for lack in shortcomings {
        note(Level::Warn, "INFO", &format!("this kernel lacks {lack}"));
    }
    Ok(doorbells.into_iter().flatten().collect())
}

/// Wakes all cores.
fn wake_all(wakers: &[Waker]) -> impl Fn() + Send + Sync + use<> {
    let wakers = wakers.to_vec();
    move || wakers.iter().for_each(Waker::wake)
}

/// The standard library draws its hash keys from the operating system, which gives randomness without another
/// dependency.
fn random_seeds() -> [u64; 4] {
    std::array::from_fn(|index| RandomState::new().hash_one(index))
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many cores it has.
    pub fn shards(&self) -> usize {
        self.cores.len()
    }

    /// What of it can be replaced while it runs.
    pub fn parts(&self) -> Vec<Box<dyn Part>> {
        let logins = self.services.auth().into_iter().map(|auth| Box::new(Logins(Arc::clone(auth))) as Box<dyn Part>);
        let rights = Rights { control: Arc::clone(&self.control), wakers: self.wakers.clone() };
        let logins = logins.chain([Box::new(rights) as Box<dyn Part>]);
        logins.chain(self.tls.iter().map(|tls| Box::new(tls.clone()) as Box<dyn Part>)).collect()
    }

    /// Where its figures are read.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Logs what every shard and every service holds and has done.
    pub fn report(&self) {
        let (number, shards) = self.figures.ask_shards();
        for (shard, snapshot) in shards.iter().enumerate() {
            match snapshot {
                Some(snapshot) => report::write(number, snapshot),
                None => report::silent(number, shard),
            }
        }
        self.figures.services().for_each(|snapshot| report::write(number, &snapshot));
    }

    /// Asks all cores to close their connections and end.
    pub fn ask_to_stop(&self) {
        self.control.stop();
        self.wake();
    }

    /// Asks all cores to end with whatever is left undone.
    pub fn give_up(&self) {
        self.control.stop();
        self.control.give_up();
        self.wake();
    }

    /// Whether [`Server::give_up`] was called.
    pub fn gave_up(&self) -> bool {
        self.control.is_late()
    }

    fn wake(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }

    /// Waits for the cores, which must have been asked to stop, then for the services.
    pub fn finish(mut self) {
        for (number, core) in self.cores.drain(..).enumerate() {
            match core.join() {
                Ok(Ok(turns)) => note(
                    Level::Debug,
                    "INFO",
                    &format!(
                        "shard {number}: turns took {} ns at the median, {} ns at 99 %, {} ns at most",
                        turns.value_at_quantile(0.5),
                        turns.value_at_quantile(0.99),
                        turns.max()
                    ),
                ),
                Ok(Err(what)) => note(Level::Error, "INFO", &format!("shard {number} ended: {what}")),
                Err(error) => note(Level::Error, "INFO", &format!("shard {number} failed: {error}")),
            }
        }
        self.services.end();
        if let Some(tapes) = self.tapes.take() {
            tapes.finish();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // There are only cores left here if not all of them could be started.
        self.give_up();
        for core in self.cores.drain(..) {
            // Its result does not matter any more: the start has failed and reported why.
            let _ = core.join();
        }
    }
}
