//! The processes of a cluster: beside the cores of each its node, between them a bus and a registry that misbehave.
//!
//! Between cores of two processes nothing goes but bytes, and those only through the nodes' links. What the bus loses, repeats and
//! turns around must not be noticed by any shard. The members are those of the start for ever: so the bus never loses so much that a
//! node would be taken for silent, and the registry never fails for so long that a lease would end.
//!
//! *Owns* what is under way between processes, and to and from the registry. *Promises* that a cluster stands before the world begins:
//! every slot is claimed. *Does not* judge what is said.

mod bus;
mod process;
mod registry;

use super::World;
use crate::mutation::Mutation;
use crate::plan::cluster::Cluster as Plan;
use crate::rng::Rng;
use crate::sketch::Sketch;
use bus::Bus;
use deepstream_cluster::{Answer, Ask, Charter, ForCore};
use deepstream_engine::{Bundle, BundleWriter, Lane, Nanos, NodeId, Place, StoreBatch, Ticket, View};
use process::Process;
use registry::Registry;
use std::collections::BTreeMap;

/// A cluster that does not stand after so long never will.
const FOUNDED_NS_MAX: u64 = 60_000_000_000;
/// How long it is looked at whether it stands.
const FOUNDED_NS_MIN: u64 = 1_000_000_000;
/// Times that the registry may fail in a row: many more, and a lease would end.
const FAILURES_MAX: u32 = 2;
/// How late nodes may be where nothing is under way.
const IDLE_NS: u64 = 50_000_000;

/// How far the clock goes on at once where something is under way and nothing else is due.
const BUSY_NS: u64 = 1_000_000_000;

/// What happens to a question of a node's.
enum Outside {
    Asked { of: usize, ask: Ask, fails: bool },
    Answered { of: usize, ticket: Ticket, answer: Answer },
}

/// See the module.
pub(crate) struct Cluster {
    plan: Plan,
    rng: Rng,
    processes: Vec<Process>,
    bus: Bus,
    registry: Registry,
    /// By moment, and by a number of its own.
    outside: BTreeMap<(u64, u64), Outside>,
    asked: u64,
    /// What storage has, by slot: the claim of which generation.
    claims: Vec<Option<u64>>,
    /// By process: how often in a row the registry failed.
    failures: Vec<u32>,
    writer: BundleWriter,
    /// How much later it is than the world says: the cluster began before it.
    ahead_ns: u64,
    /// Nothing goes wrong any more.
    pub(super) settling: bool,
}

impl Cluster {
    /// A cluster that stands at that moment of the world, and its view.
    pub(super) fn found(plan: &Plan, now: Nanos, seed: u64) -> (Self, Sketch) {
        let mut rng = Rng::new(seed, "cluster");
        let processes: Vec<Process> = (0..plan.processes.len()).map(|at| Process::start(at, plan, &mut rng)).collect();
        let mut cluster = Self {
            plan: plan.clone(),
            failures: vec![0; processes.len()],
            processes,
            rng,
            bus: Bus::default(),
            registry: Registry::default(),
            outside: BTreeMap::new(),
            asked: 0,
            claims: vec![None; View::SLOTS],
            writer: BundleWriter::default(),
            ahead_ns: 0,
            // Until it stands, all is well.
            settling: true,
        };
        let (mut real, mut stands_since) = (0, 0);
        let mut view = None;
        // Each has heard each other since it stands.
        while view.is_none() || real < now.0 || real - stands_since < FOUNDED_NS_MIN {
            real = cluster.next_due().max(real + 1);
            assert!(real < FOUNDED_NS_MAX, "a cluster of which nothing goes wrong stands soon");
            cluster.pass(real);
            cluster.found_cores(real);
            view = cluster.standing();
            if view.is_none() {
                stands_since = real;
            }
        }
        let sketch = cluster.seat(&view.expect("it stands"));
        cluster.ahead_ns = real - now.0;
        cluster.settling = false;
        (cluster, sketch)
    }

    /// Before the world begins there are no shards. Cores have nothing that they would have to give up for a view.
    fn found_cores(&mut self, real: u64) {
        for process in &mut self.processes {
            let now = process.now(real);
            let views = process.told[0].iter().filter_map(|told| match told {
                ForCore::View(view) => Some(view.epoch()),
                _ => None,
            });
            let Some(epoch) = views.max() else { continue };
            for core in 0..process.told.len() as u16 {
                process.node.adopted(now, core, epoch);
                process.node.yielded(now, core, epoch);
                process.told[usize::from(core)].retain(|told| !matches!(told, ForCore::View(_)));
            }
            process.node.ready(now);
        }
    }

    /// The charter by which all nodes go, if every one has slots and has claimed them.
    fn standing(&self) -> Option<Charter> {
        let charter = self.registry.charter()?;
        let stands = |process: &Process| {
            let standing = process.node.standing();
            let (has, claimed) = standing.slots;
            let idle = standing.links.iter().all(|(_, link)| link.in_flight + link.held_bytes + link.early == 0);
            standing.epoch == charter.view.epoch() && has > 0 && has == claimed && idle
        };
        self.processes.iter().all(stands).then_some(charter)
    }

    /// Who has which number and which cores.
    fn seat(&mut self, charter: &Charter) -> Sketch {
        let view = &charter.view;
        let mut first = 0;
        for member in view.members() {
            let process = self.processes.iter_mut().find(|process| process.incarnation == member.incarnation);
            let process = process.expect("nobody else is a member");
            process.number = member.node;
            process.cores = first..first + usize::from(member.cores);
            first = process.cores.end;
        }
        Sketch::of(view)
    }

    fn process_of(&self, core: usize) -> usize {
        self.processes.iter().position(|process| process.cores.contains(&core)).expect("every core is of a process")
    }

    /// When something is to happen next.
    fn next_due(&self) -> u64 {
        let nodes = self.processes.iter().map(Process::deadline);
        let outside = self.outside.first_key_value().map(|((at, _), _)| *at);
        nodes.chain(outside).chain(self.bus.next_due()).min().unwrap_or(u64::MAX)
    }

    /// Whether something is under way between cores.
    pub(super) fn is_busy(&self) -> bool {
        self.processes.iter().any(Process::is_busy)
    }

    /// Everything happens that is due by then.
    fn pass(&mut self, real: u64) {
        while let Some((to, frame)) = self.bus.arrives(real) {
            let process = &mut self.processes[to];
            let now = process.now(real);
            process.node.heard(now, &frame).expect("nodes of one cluster understand each other");
            self.drain(to, real);
        }
        while let Some(entry) = self.outside.first_entry().filter(|entry| entry.key().0 <= real) {
            match entry.remove() {
                Outside::Asked { of, ask, fails } => self.carry_out(of, &ask, fails, real),
                Outside::Answered { of, ticket, answer } => {
                    let process = &mut self.processes[of];
                    process.node.answered(process.now(real), ticket, answer);
                    self.drain(of, real);
                }
            }
        }
        for at in 0..self.processes.len() {
            let process = &mut self.processes[at];
            if process.deadline() <= real {
                process.node.tick(process.now(real));
                self.drain(at, real);
            }
        }
    }

    /// Takes what a node says.
    fn drain(&mut self, at: usize, real: u64) {
        let process = &mut self.processes[at];
        while let Some(said) = process.node.for_cores() {
            process.told.iter_mut().for_each(|told| told.push_back(said.clone()));
        }
        process.node.notes();
        for ask in process.node.asks() {
            let late = self.rng.between(0, if self.settling { 0 } else { self.plan.registry_ns_max });
            let may_fail = !self.settling && !matches!(ask, Ask::Claim { .. }) && self.failures[at] < FAILURES_MAX;
            let fails = may_fail && self.rng.chance(self.plan.failing);
            self.failures[at] = if fails { self.failures[at] + 1 } else { 0 };
            self.later(real + late, Outside::Asked { of: at, ask, fails });
        }
        let mut frame = Vec::new();
        let now = self.processes[at].now(real);
        while let Some(to) = self.processes[at].node.next_frame(now, &mut frame) {
            let (frame, to) = (std::mem::take(&mut frame).into(), usize::from(to[0]));
            let plan = (!self.settling).then_some(&self.plan);
            self.bus.sends(real, (at, to), frame, plan, &mut self.rng);
        }
    }

    fn later(&mut self, at: u64, what: Outside) {
        self.asked += 1;
        self.outside.insert((at, self.asked), what);
    }

    fn carry_out(&mut self, of: usize, ask: &Ask, fails: bool, real: u64) {
        // Some that fail are carried out.
        let done = if fails && self.rng.chance(50) { None } else { self.registry.carry_out(real, ask) };
        let (ticket, answer) = match ask {
            Ask::Renew { ticket, .. } | Ask::Swap { ticket, .. } => (ticket, done.filter(|_| !fails)),
            Ask::Claim { ticket, slots, generation } => {
                for &slot in slots {
                    self.claims[usize::from(slot)] = Some(*generation);
                }
                (ticket, Some(Answer::Claimed { late: Vec::new() }))
            }
            Ask::Release { .. } => return,
        };
        let answer = answer.unwrap_or(Answer::Failed);
        let late = self.rng.between(0, if self.settling { 0 } else { self.plan.registry_ns_max });
        self.later(real + late, Outside::Answered { of, ticket: *ticket, answer });
    }
}

/// What the world has to do with it.
impl World {
    /// Runs something with the cluster, if there is one.
    fn with_cluster<T>(&mut self, run: impl FnOnce(&mut Self, &mut Cluster) -> T) -> Option<T> {
        let mut cluster = self.cluster.take()?;
        let result = run(self, &mut cluster);
        self.cluster = Some(cluster);
        Some(result)
    }

    /// The nodes do what is due.
    pub(crate) fn live_cluster(&mut self) {
        self.with_cluster(|world, cluster| {
            cluster.settling = world.settling;
            cluster.pass(world.now.0 + cluster.ahead_ns);
            world.tell_cores(cluster);
            world.take_bundles(cluster);
        });
    }

    /// The nodes go on alone until something is new to the cores, but not past this moment.
    pub(crate) fn cluster_until(&mut self, end: Option<Nanos>) -> bool {
        let passed = self.with_cluster(|world, cluster| {
            // What is under way may wait for a core that does nothing.
            let end = end.or_else(|| cluster.is_busy().then(|| world.now.after(BUSY_NS)));
            let Some(end) = end else { return false };
            loop {
                let busy = cluster.is_busy();
                let due = Nanos(cluster.next_due() - cluster.ahead_ns);
                let due = if busy { due } else { due.max(world.now.after(IDLE_NS)) };
                world.now = world.now.max(due.min(end));
                cluster.pass(world.now.0 + cluster.ahead_ns);
                world.tell_cores(cluster);
                if world.take_bundles(cluster) || world.now >= end || world.has_far_news(cluster) {
                    return true;
                }
            }
        });
        passed.unwrap_or_default()
    }

    /// Whether a core could hand its node something that it could not before.
    fn has_far_news(&self, cluster: &Cluster) -> bool {
        (0..self.lane_count()).any(|index| {
            let (from, to, lane) = self.lane_at(index);
            self.packets_waiting(from, to, lane) > 0 && self.far_room(cluster, from, to, lane) == Some(true)
        })
    }

    /// Whether a node takes something for another; nothing if both cores are of one process.
    fn far_room(&self, cluster: &Cluster, from: usize, to: usize, lane: Lane) -> Option<bool> {
        let (here, there) = (self.cores[from].place.node(), self.cores[to].place.node());
        let node = || &cluster.processes[cluster.process_of(from)].node;
        (here != there).then(|| node().has_room(there, lane))
    }

    /// Whether a packet may be published: into a lane, or to the node.
    pub(crate) fn takes_packets(&self, from: usize, to: usize, lane: Lane) -> bool {
        let far = self.cluster.as_ref().and_then(|cluster| self.far_room(cluster, from, to, lane));
        far.unwrap_or_else(|| self.lanes()[self.lane_index(from, to, lane)].packets.len() < self.plan.lane_capacity)
    }

    /// Whether packets between these cores go over the bus.
    pub(crate) fn is_far(&self, from: usize, to: usize) -> bool {
        self.cluster.is_some() && self.cores[from].place.node() != self.cores[to].place.node()
    }

    /// What a core has for the node of another goes to its own node, as one bundle: `count` packets for that core, and all for its
    /// neighbours.
    pub(super) fn bundle(&mut self, from: usize, to: usize, lane: Lane, count: usize) {
        self.with_cluster(|world, cluster| {
            let real = world.now.0 + cluster.ahead_ns;
            let at = cluster.process_of(from);
            let other = cluster.process_of(to);
            let peer = cluster.processes[other].number;
            let place = world.cores[from].place;
            let epoch = world.plan.views[0].epoch;
            cluster.writer.begin(epoch, place.core());
            for core in cluster.processes[other].cores.clone() {
                let there = world.cores[core].place;
                let shard = &mut world.cores[from].shard;
                let waiting = shard.packets(there, lane);
                let most = if core == to { count } else { waiting.len() };
                let taken = cluster.writer.section(there.core(), &waiting[..most]).expect("no world is so large");
                shard.take_packets(there, lane, |packets| packets.drain(..taken).for_each(drop));
            }
            let process = &mut cluster.processes[at];
            let (since, link) = process.links[from - process.cores.start][&peer];
            if let Some(bundle) = cluster.writer.end() {
                let now = process.now(real);
                process.node.bundle(now, (peer, since, link), lane, bundle);
            }
            cluster.drain(at, real);
        });
    }

    /// Cores hear what their nodes have for them, unless they do nothing at all.
    fn tell_cores(&mut self, cluster: &mut Cluster) {
        let ahead_ns = cluster.ahead_ns;
        for process in &mut cluster.processes {
            for (index, core) in process.cores.clone().enumerate() {
                if process.told[index].is_empty() || self.frozen(core) {
                    continue;
                }
                while let Some(told) = process.told[index].pop_front() {
                    match told {
                        ForCore::Claimed { slots, generation } => {
                            self.cores[core].shard.claimed(self.now, &slots, generation);
                        }
                        ForCore::Leased { since, until } => {
                            let until = Nanos(process.real(until).saturating_sub(ahead_ns));
                            self.cores[core].shard.leased(self.now, since, until);
                        }
                        ForCore::Restarted { node, since, link } if self.step == 0 => {
                            process.links[index].insert(node, (since, link));
                        }
                        // While the cluster came to stand, some heard of others later than those of them.
                        _ if self.step == 0 => {}
                        other => self.oracle.unsettled(core, &other),
                    }
                    self.drain(core);
                }
            }
        }
    }

    /// What came for cores goes to them, as far as there is room. Whether any did.
    fn take_bundles(&mut self, cluster: &mut Cluster) -> bool {
        let mut any = false;
        let real = self.now.0 + cluster.ahead_ns;
        for at in 0..cluster.processes.len() {
            for lane in Lane::ALL {
                loop {
                    any |= self.hand_out(&mut cluster.processes[at], lane);
                    if !cluster.processes[at].inbox[lane as usize].is_empty() || !self.arrive(cluster, at, lane, real) {
                        break;
                    }
                }
            }
            // Room may be news to the others.
            cluster.drain(at, real);
        }
        any
    }

    fn hand_out(&mut self, process: &mut Process, lane: Lane) -> bool {
        let mut any = false;
        let inbox = &mut process.inbox[lane as usize];
        let capacity = self.plan.lane_capacity;
        while let Some((from, to, packet)) = inbox.pop_front() {
            let queue = self.lane(from, to, lane);
            if queue.packets.len() >= capacity {
                inbox.push_front((from, to, packet));
                break;
            }
            queue.packets.push_back(packet);
            any = true;
        }
        any
    }

    /// The next bundle of a lane is read, unless a bug is planted.
    fn arrive(&mut self, cluster: &mut Cluster, at: usize, lane: Lane, real: u64) -> bool {
        let now = cluster.processes[at].now(real);
        let Some(mut first) = cluster.processes[at].node.next_bundle(now, lane) else { return false };
        let planted = [Mutation::LoseBundle, Mutation::RepeatBundle, Mutation::SwapBundles].contains(&self.mutation);
        if planted && self.rng.faults.chance(10) {
            match self.mutation {
                Mutation::LoseBundle => return true,
                Mutation::SwapBundles => {
                    if let Some(second) = cluster.processes[at].node.next_bundle(now, lane) {
                        self.read_bundle(cluster, at, lane, second.from, &second.bundle);
                    }
                }
                _ => self.read_bundle(cluster, at, lane, first.from, &first.bundle),
            }
        }
        let bundle = std::mem::take(&mut first.bundle);
        self.read_bundle(cluster, at, lane, first.from, &bundle);
        true
    }

    fn read_bundle(&mut self, cluster: &mut Cluster, at: usize, lane: Lane, from: NodeId, bytes: &[u8]) {
        let bundle = Bundle::read(bytes).expect("nodes write bundles");
        let sender = cluster.processes.iter().find(|process| process.number == from).expect("a member sent it");
        let from = sender.cores.start + usize::from(bundle.from);
        debug_assert_eq!(self.cores[from].place, Place::of(sender.number, bundle.from), "as the world counts them");
        let process = &mut cluster.processes[at];
        let first = process.cores.start;
        let inbox = &mut process.inbox[lane as usize];
        let mut count = 0;
        for (to, range) in bundle.sections {
            let to = first + usize::from(to);
            let read = |packet| {
                count += 1;
                inbox.push_back((from, to, packet));
            };
            Bundle::read_section(bytes, range, read).expect("nodes write sections");
        }
        let step = self.step;
        self.trace.line(step, || format!("arrive {from}>node of {first} {lane:?} packets={count}"));
    }

    /// Cores know of claims and links before anything else happens.
    pub(crate) fn begin_cluster(&mut self) {
        self.with_cluster(Self::tell_cores);
    }

    /// What is stored was claimed before, by the node that has it stored.
    pub(super) fn check_claims(&mut self, core: usize, batch: &StoreBatch) {
        self.with_cluster(|world, cluster| {
            for index in 0..batch.entries.len() {
                let fence = batch.fences.get(index).copied();
                let claimed = fence.and_then(|fence| cluster.claims[usize::from(fence.slot)]);
                // One slot is claimed, and storage does not know.
                let forgotten = world.mutation == Mutation::ForgetClaim && world.rng.faults.chance(10);
                world.oracle.stored_under(core, fence, claimed.filter(|_| !forgotten));
            }
        });
    }

    /// Whether something is under way between nodes.
    pub(crate) fn cluster_busy(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.is_busy())
    }
}
