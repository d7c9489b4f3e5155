//! A whole server and its clients, without sockets, clocks or threads.
//!
//! *Owns* the shards, the lanes between them, the connections, the storage and the time. *Promises* that everything
//! happens in single steps, and that the same seed gives the same steps. *Does not* judge: it shows inputs and outputs
//! to the oracles, which do.

pub(crate) mod cluster;
mod drain;
pub(crate) mod intruder;
mod lanes;
mod swap;
mod views;

use crate::client::Client;
use crate::conn::Conn;
use crate::mutation::Mutation;
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::run::Run;
use crate::store::{Fate, Store, Write};
use crate::trace::{Trace, Tracing};
use deepstream_engine::{
    Account, Completion, ConnId, Flow, Headers, Lane, Login, Nanos, Outbox, Peer, Place, Shard, StoreBatch,
};
use deepstream_wire::{Closing, Endpoint, Link, LinkConfig, LinkEvent, Wire};
use lanes::LaneQueue;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

/// One core: its shard, and what the host keeps for it.
pub(crate) struct Core {
    pub(crate) place: Place,
    pub(crate) shard: Shard,
    /// Connection slots to connections.
    sockets: Vec<Option<usize>>,
    pub(crate) frozen_until: u64,
    /// Per peer and lane, how many packets the shard holds.
    waiting: Vec<[usize; 2]>,
    /// Which of the plan's views it goes by.
    view: usize,
    /// What it wrote down, if it is taped.
    tape: Rc<RefCell<Vec<u8>>>,
}

/// The streams a run draws from; each for one purpose, so that a new fault does not change old workloads.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) schedule: Rng,
    pub(crate) workload: Rng,
    pub(crate) faults: Rng,
    pub(crate) payload: Rng,
    pub(crate) rules: Rng,
    pub(crate) names: Rng,
    pub(crate) intruders: Rng,
    pub(crate) views: Rng,
}

/// A login that is being judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) core: usize,
    conn: ConnId,
    pub(crate) due: Nanos,
    refused: bool,
    user: usize,
}

/// What a user's clients are told about themselves; some are told nothing.
pub(crate) fn client_data(user: usize) -> Option<Box<[u8]>> {
    (user % 2 == 1).then(|| format!("{{\"id\":{user}}}").into_bytes().into())
}

/// Everything of one run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) mutation: Mutation,
    pub(crate) rng: Streams,
    pub(crate) now: Nanos,
    /// When every shard that is not frozen was last told the time.
    pub(crate) waited_at: Nanos,
    pub(crate) step: u64,
    pub(crate) cores: Vec<Core>,
    lanes: Vec<LaneQueue>,
    /// Every connection there ever was.
    pub(crate) conns: Vec<Conn>,
    /// Every connection there ever was, by what the shards call it.
    sockets: BTreeMap<ConnId, usize>,
    /// Those of which at least one end is left.
    pub(crate) live: Vec<usize>,
    pub(crate) clients: Vec<Client>,
    /// The connections of intruders.
    intruders: Vec<Option<usize>>,
    pub(crate) store: Store,
    /// The last write's own number.
    pub(crate) mark: u64,
    pub(crate) logins: Vec<Pending>,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    config: Rc<LinkConfig>,
    spare: Outbox,
    /// Nothing goes wrong any more, and clients do nothing of their own.
    pub(crate) settling: bool,
    /// The newest rules, which not every core may know yet.
    rules: u32,
    /// The newest view, likewise.
    view: usize,
    /// The processes that the cores are of, if they are of several.
    cluster: Option<Box<cluster::Cluster>>,
    /// Whether shards are taped.
    is_taped: bool,
}

fn begin_tape(shard: &mut Shard, now: Nanos, tape: &Rc<RefCell<Vec<u8>>>) {
    let sink = Rc::clone(tape);
    shard.begin_tape(now, move |bytes| sink.borrow_mut().extend_from_slice(bytes));
}

/// The largest message a client may send.
const LINK_BYTES_MAX: usize = 1 << 20;

impl World {
    pub(crate) fn new(run: &Run, tracing: Tracing) -> Self {
        let mut plan = Plan::draw(&mut Rng::new(run.seed, "plan"));
        if run.listening {
            plan.draw_listening(&mut Rng::new(run.seed, "listening"));
        }
        if run.ruled {
            plan.draw_rules(&mut Rng::new(run.seed, "rules"));
        }
        if run.named {
            plan.draw_names(&mut Rng::new(run.seed, "names"));
            plan.draw_barred(&mut Rng::new(run.seed, "barred"));
        }
        if run.intruders {
            plan.draw_intruders(&mut Rng::new(run.seed, "pryers"));
        }
        if run.burdened {
            plan.draw_burden(&mut Rng::new(run.seed, "burden"));
        }
        if run.apart {
            plan.draw_nodes(&mut Rng::new(run.seed, "nodes"));
        }
        if run.growing {
            plan.draw_views(&mut Rng::new(run.seed, "views"));
        }
        if run.stored {
            plan.draw_visibility(&mut Rng::new(run.seed, "visibility"));
        }
        if run.clustered {
            plan.draw_cluster(&mut Rng::new(run.seed, "processes"));
        }
        Self::of(plan, run.seed, run.mutation, tracing)
    }

    /// A world of this plan.
    pub(crate) fn of(mut plan: Plan, seed: u64, mutation: Mutation, tracing: Tracing) -> Self {
        let now = Nanos(1_000_000_000);
        let cluster = plan.cluster.as_ref().map(|cluster| cluster::Cluster::found(cluster, now, seed));
        let cluster = cluster.map(|(cluster, sketch)| {
            plan.views = vec![sketch];
            Box::new(cluster)
        });
        let places: Vec<Place> = match plan.views.first() {
            None => (0..plan.cores).map(Place::alone).collect(),
            Some(sketch) => sketch.view().places().to_vec(),
        };
        let cores = plan.cores as usize;
        let mut rng = Streams {
            schedule: Rng::new(seed, "schedule"),
            workload: Rng::new(seed, "workload"),
            faults: Rng::new(seed, "faults"),
            payload: Rng::new(seed, "payload"),
            rules: Rng::new(seed, "swaps"),
            names: Rng::new(seed, "visits"),
            intruders: Rng::new(seed, "prying"),
            views: Rng::new(seed, "changes of views"),
        };
        let mut world = Self {
            mutation,
            now,
            waited_at: now,
            step: 0,
            cores: Vec::new(),
            lanes: (0..cores * cores * 2).map(|_| LaneQueue::default()).collect(),
            conns: Vec::new(),
            sockets: BTreeMap::new(),
            live: Vec::new(),
            clients: (0..plan.clients).map(|_| Client::draw(&mut rng.workload)).collect(),
            intruders: vec![None; plan.intruders.len()],
            store: Store::new(cores, &plan),
            mark: 0,
            logins: Vec::new(),
            oracle: Oracle::new(&plan),
            trace: Trace::new(tracing),
            config: Rc::new(LinkConfig {
                endpoints: vec![Endpoint {
                    path: "/deepstream".into(),
                    wire: Wire::Protobuf,
                    max_message_bytes: LINK_BYTES_MAX,
                }],
                max_request_bytes: 4096,
                mqtt: deepstream_wire::mqtt::Settings::default(),
                gate: deepstream_wire::Gate::default(),
                text_after_ms: None,
            }),
            spare: Outbox::default(),
            settling: false,
            rules: 0,
            view: 0,
            cluster,
            is_taped: false,
            rng,
            plan,
        };
        world.cores = places.into_iter().map(|place| world.core(place, 0)).collect();
        world
    }

    /// A core that begins now, under these rules.
    fn core(&self, place: Place, rules: u32) -> Core {
        let options = self.mutation.misled(&self.plan, rules);
        let mut shard = match self.plan.views.get(self.view) {
            None => Shard::new(self.now, place, self.plan.cores, options),
            Some(sketch) => Shard::member(self.now, place, sketch.view(), options),
        };
        let tape = Rc::default();
        if self.is_taped {
            begin_tape(&mut shard, self.now, &tape);
        }
        let waiting = vec![[0; 2]; self.plan.cores as usize];
        Core { place, shard, sockets: Vec::new(), frozen_until: 0, waiting, view: self.view, tape }
    }

    /// From here on every shard is taped.
    pub(crate) fn begin_tapes(&mut self) {
        self.is_taped = true;
        self.cores.iter_mut().for_each(|core| begin_tape(&mut core.shard, self.now, &core.tape));
    }

    /// The tapes, one for each shard.
    pub(crate) fn end_tapes(&mut self) -> Vec<Vec<u8>> {
        let end = |core: &mut Core| {
            core.shard.end_tape();
            core.tape.take()
        };
        self.cores.iter_mut().map(end).collect()
    }

    pub(crate) fn lane(&mut self, from: usize, to: usize, lane: Lane) -> &mut LaneQueue {
        let index = self.lane_index(from, to, lane);
        &mut self.lanes[index]
    }

    fn lane_index(&self, from: usize, to: usize, lane: Lane) -> usize {
        (from * self.cores.len() + to) * 2 + lane as usize
    }

    pub(crate) fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// From, to and which, of the lane with an index.
    pub(crate) fn lane_at(&self, index: usize) -> (usize, usize, Lane) {
        let pair = index / 2;
        (pair / self.cores.len(), pair % self.cores.len(), Lane::ALL[index % 2])
    }

    pub(crate) fn lanes_mut(&mut self) -> &mut [LaneQueue] {
        &mut self.lanes
    }

    pub(crate) fn lanes(&self) -> &[LaneQueue] {
        &self.lanes
    }

    pub(crate) fn line(&mut self, line: impl FnOnce() -> String) {
        self.trace.line(self.step, line);
    }

    /// How many packets of a shard wait for room in a lane.
    pub(crate) fn packets_waiting(&self, from: usize, to: usize, lane: Lane) -> usize {
        self.cores[from].waiting[to][lane as usize]
    }

    pub(crate) fn frozen(&self, core: usize) -> bool {
        self.cores[core].frozen_until > self.step
    }
}

/// What happens to shards.
impl World {
    /// A client's socket is accepted by a core.
    pub(crate) fn connect(&mut self, client: usize, core: usize) {
        let Some(id) = self.cores[core].shard.connected(self.now, Peer::default()) else {
            self.line(|| format!("connect client={client} core={core}: refused"));
            return self.drain(core);
        };
        let index = self.seat(Conn::new(client, core, id));
        self.live.push(index);
        // Some have none even where others do.
        let names = &self.plan.client_names;
        let named = !names.is_empty() && self.rng.names.chance(80);
        let name = if named { self.rng.names.pick(names) } else { "" };
        self.conns[index].name = name;
        self.line(|| format!("connect client={client} core={core} conn={index} name={name}"));
        self.oracle.connected(index, core, name);
        self.begin_client(client, index);
        self.drain(core);
    }

    /// Some of what a client sent reaches the server.
    pub(crate) fn feed(&mut self, index: usize, count: usize) {
        let conn = &mut self.conns[index];
        if conn.up.is_empty() {
            debug_assert!(conn.up_ended, "only an end or bytes can be fed");
            self.line(|| format!("end conn={index}"));
            return self.disconnect(index);
        }
        let mut bytes = conn.up.take(count);
        self.line(|| format!("feed conn={index} bytes={count}"));
        self.link(index, |link, config, replies, on| {
            link.received(config, &mut bytes, replies, &mut |event| on(event));
        });
    }

    /// A link goes on after a pause.
    pub(crate) fn resume(&mut self, index: usize) {
        self.conns[index].resume_due = false;
        self.line(|| format!("resume conn={index}"));
        self.link(index, |link, config, replies, on| link.resumed(config, replies, &mut |event| on(event)));
    }

    fn link(
        &mut self,
        index: usize,
        run: impl FnOnce(&mut Link, &LinkConfig, &mut Vec<u8>, &mut dyn FnMut(LinkEvent<'_>) -> ControlFlow<()>),
    ) {
        let (core, id) = (self.conns[index].core, self.conns[index].id);
        let mut link = std::mem::take(&mut self.conns[index].link);
        let config = Rc::clone(&self.config);
        let mut replies = Vec::new();
        let mut upgraded = false;
        let mut over = None;
        let mut quiet = true;
        run(&mut link, &config, &mut replies, &mut |event| {
            quiet = false;
            if let LinkEvent::Upgraded(_) = event {
                // The answer to the upgrade has to leave before the answer to what follows it.
                upgraded = true;
                let (now, shard) = (self.now, &mut self.cores[core].shard);
                shard.upgraded(now, id, Wire::Protobuf, "", Headers::default());
                let name = self.conns[index].name;
                if !name.is_empty() {
                    let silence_ns = self.plan.options.endpoints.of(Wire::Protobuf).heartbeat_ns * 2;
                    shard.introduced(now, id, name.as_bytes(), Some(silence_ns));
                }
                return ControlFlow::Break(());
            }
            if let LinkEvent::Close(closing) = event {
                over = Some(closing);
                return ControlFlow::Break(());
            }
            self.event(index, &event)
        });
        if quiet {
            // Nothing whole came, or nothing that is a message.
            self.cores[core].shard.heard(self.now, id);
        }
        if let Some(closing) = over {
            self.cores[core].shard.goodbye(self.now, id, &replies, closing == Closing::TooBig);
        } else if !replies.is_empty() {
            self.cores[core].shard.raw(self.now, id, &replies);
        }
        if over.is_none() {
            // Whoever is to be dropped is asked for below.
            let _ = self.cores[core].shard.holds(self.now, id, 0, link.held_bytes());
        }
        self.conns[index].held_bytes = link.held_bytes();
        self.conns[index].link = link;
        self.conns[index].resume_due |= upgraded;
        self.drain(core);
        if over.is_some() {
            self.line(|| format!("goodbye conn={index}"));
            self.disconnect(index);
        }
    }

    fn event(&mut self, index: usize, event: &LinkEvent<'_>) -> ControlFlow<()> {
        let (core, id) = (self.conns[index].core, self.conns[index].id);
        let flow = match event {
            LinkEvent::Message(message) => {
                let step = self.step;
                self.trace.line(step, || format!("  hears conn={index} {}", crate::trace::describe(message)));
                self.oracle.heard(index, message);
                self.cores[core].shard.received(self.now, id, message)
            }
            LinkEvent::Unreadable(what) => {
                self.oracle.unreadable(index);
                self.cores[core].shard.unreadable(self.now, id, *what)
            }
            LinkEvent::Upgraded(_)
            | LinkEvent::Turned(_)
            | LinkEvent::Http(_)
            | LinkEvent::Introduced(_)
            | LinkEvent::Forbidden(_)
            | LinkEvent::Close(_) => Flow::Close,
        };
        self.drain(core);
        self.oracle.handled(index);
        match flow {
            // What it was told may have been too much: whoever was dropped for that says nothing more.
            Flow::Continue if self.conns[index].alive => ControlFlow::Continue(()),
            Flow::Continue | Flow::Pause | Flow::Close => ControlFlow::Break(()),
        }
    }

    /// The host has lost, or closed, a socket.
    pub(crate) fn disconnect(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        if !std::mem::take(&mut conn.alive) {
            return;
        }
        let (core, id) = (conn.core, conn.id);
        conn.up.clear();
        conn.unsent.clear();
        conn.resume_due = false;
        let client_alive = conn.client_alive;
        if !client_alive {
            self.live.retain(|&other| other != index);
        }
        self.cores[core].sockets[id.index()] = None;
        self.oracle.disconnected(index);
        self.cores[core].shard.disconnected(self.now, id);
        self.drain(core);
    }

    /// All was sent to a connection that is to be closed.
    pub(crate) fn finish(&mut self, index: usize) {
        self.line(|| format!("finish conn={index}"));
        self.disconnect(index);
    }

    /// Bytes leave a core for the network.
    pub(crate) fn flush(&mut self, index: usize, count: usize) {
        let now = self.now;
        let conn = &mut self.conns[index];
        let bytes = conn.unsent.take(count);
        // A client that is gone takes nothing in; the kernel does not know yet.
        if conn.client_alive {
            conn.down.push(&bytes);
        }
        let (core, id) = (conn.core, conn.id);
        self.line(|| format!("flush conn={index} bytes={count}"));
        self.cores[core].shard.flushed(now, id, count);
        self.drain(core);
    }

    /// A login is judged.
    pub(crate) fn answer_login(&mut self, place: usize) {
        let login = self.logins.remove(place);
        self.line(|| format!("judge core={} refused={}", login.core, login.refused));
        let verdict = if login.refused {
            Login::Refused { client_data: None }
        } else {
            let account = Account::of(&self.plan.users[login.user]);
            Login::Accepted(Account { client_data: client_data(login.user), ..account })
        };
        if let Some(index) = self.socket(login.conn).filter(|_| !login.refused) {
            self.oracle.judged(index, login.user);
            if let Some(intruder) = &mut self.conns[index].intruder {
                intruder.entered = true;
            }
        }
        let outcome = Completion::Authenticated { conn: login.conn, login: verdict };
        self.complete(login.core, outcome);
    }

    /// A load is answered.
    pub(crate) fn answer_load(&mut self, place: usize) {
        let load = self.store.loads.remove(place);
        let name = String::from_utf8_lossy(&load.name).into_owned();
        self.line(|| format!("loaded core={} name={name} fate={:?}", load.core, load.fate));
        if load.fate == Fate::Lost {
            return;
        }
        let mut result = self.store.load(&load);
        if self.mutation == Mutation::AgeLoaded {
            result = result.map(|stored| self.mutation.age(&mut self.rng.faults, stored));
        }
        self.oracle.loaded(&load.name, load.ticket, &result);
        self.complete(load.core, Completion::Loaded { ticket: load.ticket, result });
    }

    /// A batch of stores is carried out and answered.
    pub(crate) fn answer_write(&mut self, core: usize) {
        let (mutation, rng) = (self.mutation, &mut self.rng.faults);
        let fate = self.store.writes[core].front().map_or(Fate::Fine, |write| write.fate);
        let (batch, outcome) = self.store.write(core, || mutation.forgets(rng));
        self.line(|| format!("stored core={core} records={} outcome={outcome:?}", batch.entries.len()));
        self.check_claims(core, &batch);
        self.oracle.carried_out(core, &batch, fate);
        if let Some(outcome) = outcome {
            if matches!(fate, Fate::Fails | Fate::DoneAndFails) {
                for entry in batch.entries.iter().filter(|entry| entry.value_len.is_none()) {
                    self.oracle.removed_in_secret(batch.name(entry));
                }
            }
            self.complete(core, outcome);
        }
    }

    fn complete(&mut self, core: usize, outcome: Completion) {
        self.cores[core].shard.completed(self.now, outcome);
        self.drain(core);
    }

    /// Takes what is to be stored next, if there is something.
    pub(crate) fn take_stores(&mut self, core: usize) -> bool {
        let mut batch = StoreBatch::default();
        if !self.cores[core].shard.take_stores(self.now, &mut batch) {
            return false;
        }
        self.line(|| format!("store core={core} records={}", batch.entries.len()));
        self.oracle.storing(core, &batch);
        let (mut due, mut fate) = self.fate();
        if fate == Fate::Lost {
            // A batch is answered in the end, however long it takes: the next one waits for it.
            due = self.now.after(self.plan.options.storage_timeout_ns * 4);
            fate = Fate::Fine;
        }
        self.store.writes[core].push_back(Write { batch, due, fate });
        self.drain(core);
        true
    }

    /// Time passes for one shard.
    pub(crate) fn tick(&mut self, core: usize) {
        self.line(|| format!("tick core={core}"));
        self.cores[core].shard.tick(self.now);
        self.drain(core);
    }

    fn fate(&mut self) -> (Nanos, Fate) {
        if self.settling {
            return (self.now, Fate::Fine);
        }
        let rng = &mut self.rng.faults;
        let faults = &self.plan.faults;
        let timeout_ns = self.plan.options.storage_timeout_ns;
        let due = if rng.chance(faults.store_slow) { self.now.after(rng.between(0, timeout_ns * 2)) } else { self.now };
        let fate = if rng.chance(faults.store_fails) {
            rng.pick(&[Fate::Fails, Fate::DoneAndFails])
        } else if rng.chance(faults.store_lost) {
            Fate::Lost
        } else if faults.store_refuses > 0 && rng.chance(faults.store_refuses) {
            Fate::Refuses
        } else {
            Fate::Fine
        };
        (due, fate)
    }
}
