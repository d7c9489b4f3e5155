//! A node with cores that know what they are told and serve nobody: what they do with views and bundles is done by the test.

use crate::outside::{Claims, Cut, CutBus, CutRegistry, Fences, Outside};
use bytes::Bytes;
use deepstream::bus::Bus;
use deepstream::cluster::{self, Bell, Client, Cluster, Heard, Options, Peer};
use deepstream::registry::Registry;
use deepstream::storage::{self, OpenError, Storage};
use deepstream_cluster::ForCore;
use deepstream_engine::{Bundle, Lane, Nanos, NodeId, Packet, View};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Cores of each.
pub(crate) const CORES: u16 = 2;
/// Their cluster.
pub(crate) const CLUSTER: &str = "of-a-test";
pub(crate) const LEASE: Duration = Duration::from_millis(1500);
/// A machine may have much else to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// See the module.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) view: Option<Arc<View>>,
    /// Numbers of packets that came, by core.
    pub(crate) came: Vec<Vec<u32>>,
    pub(crate) takes_requests: bool,
    fences: Fences,
    claimed: Vec<u64>,
    leased: (u64, Nanos),
    peers: Vec<Peer>,
    began: Instant,
    cut: Cut,
    clients: Vec<Client>,
    // Dropped in this order.
    cluster: Cluster,
    _storage: Storage,
}

impl Host {
    pub(crate) fn start(outside: &Outside, name: &str, lease: Duration) -> Result<Self, OpenError> {
        let (bus, registry) = (outside.exchange.seat(), outside.desk.chair(CLUSTER));
        Self::over(bus, registry, &outside.fences, name, lease)
    }

    /// One that has another bus, and another registry.
    pub(crate) fn over(
        bus: impl Bus,
        registry: impl Registry,
        fences: &Fences,
        name: &str,
        lease: Duration,
    ) -> Result<Self, OpenError> {
        let (bell, cut, began) = (Bell::default(), Cut::default(), Instant::now());
        let storage_options = storage::Options {
            load_timeout: Duration::from_secs(1),
            start_timeout: Duration::from_secs(1),
            cpus: Vec::new(),
            wakers: Vec::new(),
            off_core: vec![bell.waker()],
            server: name.to_owned(),
            cluster: None,
            cache: None,
            deposed: Arc::new(|_| {}),
        };
        let mut storage = storage::start(Claims(fences.clone(), cut.clone()), storage_options)?;
        let client = storage.take_clients().1.pop().unwrap();
        let options = Options {
            cluster: CLUSTER.to_owned(),
            name: name.to_owned(),
            rules: 1,
            seed: [1, 2],
            lease,
            start_timeout: Duration::from_secs(2),
            cpus: Vec::new(),
            wakers: (0..CORES).map(|_| Arc::new(|| {}) as _).collect(),
            clock: Arc::new(move || Nanos(began.elapsed().as_nanos() as u64)),
        };
        let (registry, bus) = (CutRegistry(registry, cut.clone()), CutBus(bus, cut.clone()));
        let (cluster, clients) = cluster::start(bus, registry, client, bell, options)?;
        cluster.ready();
        Ok(Self {
            name: name.to_owned(),
            view: None,
            came: vec![Vec::new(); clients.len()],
            takes_requests: true,
            fences: fences.clone(),
            claimed: vec![0; View::SLOTS],
            leased: (0, Nanos(0)),
            peers: Vec::new(),
            began,
            cut,
            clients,
            cluster,
            _storage: storage,
        })
    }

    /// From now on it reaches nothing and nobody, as if its process had been killed.
    pub(crate) fn kill(&mut self) {
        self.cut.cut();
    }

    /// Its number, if it is a member as far as its cores know.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.view.as_ref()?;
        self.cluster.standing()?.node
    }

    /// The link to another node, as cores know it.
    pub(crate) fn peer(&self, node: NodeId) -> Option<Peer> {
        self.peers.iter().find(|peer| peer.0 == node).copied()
    }

    /// Sends from one core. Returns whether there was room.
    pub(crate) fn send(&mut self, to: NodeId, lane: Lane, bundle: Bytes) -> bool {
        let peer = self.peer(to).unwrap();
        self.clients[1].has_room(to, lane) && self.clients[1].send(peer, lane, bundle).is_ok()
    }

    /// Whether the lease is trusted.
    pub(crate) fn is_trusted(&self) -> bool {
        Nanos(self.began.elapsed().as_nanos() as u64) < self.leased.1
    }

    /// Whether it answers for a slot.
    pub(crate) fn serves(&self, slot: u16) -> bool {
        let Some(view) = &self.view else { return false };
        let generation = view.generation(slot);
        let is_its = self.claimed[usize::from(slot)] == generation && self.fences.holds(slot, generation);
        is_its && self.is_trusted()
    }

    /// Does what cores do with what comes.
    pub(crate) fn pump(&mut self) {
        let mut words = Vec::new();
        let mut packets = Vec::new();
        for (core, client) in self.clients.iter_mut().enumerate() {
            client.hear(64, self.takes_requests, |heard| match heard {
                Heard::Word(word) => words.push((core, word)),
                Heard::Section(_, section) => packets.push((core, section)),
            });
        }
        for (core, word) in words {
            self.told(core, word);
        }
        for (core, section) in packets {
            let came = &mut self.came[core];
            let is_its = Bundle::read_section(&section.bundle, section.at, |packet| {
                let Packet::Farewell(conn, _) = packet else { panic!("nobody sent {packet:?}") };
                came.push(conn.slot);
            });
            assert_eq!(is_its, Ok(()));
            assert_eq!(section.from.core(), 1);
        }
    }

    fn told(&mut self, core: usize, word: ForCore) {
        match word {
            ForCore::View(view) => {
                self.clients[core].stands(view.epoch(), view.epoch());
                self.view = Some(view);
            }
            ForCore::Suspended { .. } => self.view = None,
            _ if core != 0 => {}
            ForCore::Claimed { slots, generation } => {
                for &slot in &slots {
                    self.claimed[usize::from(slot)] = generation;
                }
            }
            ForCore::Leased { since, until } => self.leased = (since, until),
            ForCore::Restarted { node, since, link } => {
                self.peers.retain(|peer| peer.0 != node);
                self.peers.push((node, since, link));
            }
            ForCore::Reached { .. } => {}
        }
    }
}
