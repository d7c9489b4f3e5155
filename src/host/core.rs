//! One core: its shard, its sockets, its ends of the lattice, and the turn that moves everything between them.
//!
//! *Owns* the order of a turn and the decision to sleep. *Promises* that the core never sleeps while anything is left to do,
//! that a turn is one system call beside one send for each socket that is told something (and one for each look in a long
//! flush), and that a peer or client that is slow costs only itself.
//! *Does not* decide what a message means (the shard does) or how bytes reach the kernel (the ring does).

use super::admission::Links;
use super::clock::Clock;
use super::control::Control;
use super::descriptors::Descriptors;
use super::endings::Endings;
use super::refusals::Refusals;
use super::ring::{Completion, Ring};
use super::services::Clients;
use super::socket::Sockets;
use super::tape::Reel;
use super::tls::Tls;
use super::trim::Trim;
use crate::endpoint::http::Service;
use crate::monitor::Figures;
use crate::{auth, note, storage};
use deepstream_engine::{Ask, Lane, Nanos, Outcome, Packet, Place, Shard, StoreBatch};
use deepstream_mesh::{Lane as Track, Port};
use deepstream_wire::{LinkConfig, Medium};
use hdrhistogram::Histogram;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Completions looked at in one turn; a completion brings at most one receive buffer.
const COMPLETIONS_PER_TURN: usize = 256;
/// Bytes put into outboxes before they are flushed, rather than more taken in. A burst of messages with many subscribers
/// would otherwise become gigabytes of outboxes in one turn, cold in every cache, before the first byte is sent.
const OUTPUT_BYTES_PER_TURN: u64 = 1 << 20;
/// Packets taken from one peer and lane in one turn.
const PACKETS_PER_TURN: usize = 64;
/// Of those, so many are taken at a time: no more once answers to them are as long as outboxes may be in a turn. On their way
/// to another core they are nobody's.
const PACKETS_AT_ONCE: usize = 4;
/// Connections for which a core has room without its tables being moved. It is address space, about 600 bytes each, and memory
/// only where it was used. Moving them as 5,000 connections came was a twelfth of what these cost.
const CONNECTIONS_ROOM: usize = 16_384;
/// How long after its beginning a turn still takes in more in the middle of its flush. What only a turn does waits until it is over:
/// timers, logins, what storage answers, what the process asks.
const LOOKS_NS_MAX: u64 = 4_000_000;
/// How long what is to be stored waits for company while more comes in. A commit costs the same for one write and for many, and
/// who was just told that a write is stored writes again: handed over at once, the first of them would go to the disk alone,
/// and all others wait until it is back.
const GATHER_NS_MAX: u64 = 100_000;
/// How long accepting rests after it failed (no descriptors, no memory).
const ACCEPT_REST_NS: u64 = 100_000_000;
/// How often a stopping core looks whether the others are done.
const STOP_STEP_NS: u64 = 5_000_000;
/// Every how many turns one is measured.
const SAMPLE_EVERY: u32 = 64;

const LANES: [(Lane, Track); 2] = [(Lane::Deliveries, Track::Deliveries), (Lane::Requests, Track::Requests)];

/// See the module.
pub(super) struct Core {
    pub(super) id: Place,
    pub(super) shard: Shard,
    pub(super) ring: Ring,
    pub(super) sockets: Sockets,
    pub(super) links: Links,
    pub(super) web: Rc<Service>,
    /// What holds for connections, by the door they came through.
    pub(super) doors: Vec<DoorKind>,
    /// The moment of this turn, or of its last look.
    pub(super) now: Nanos,
    /// When this turn began.
    began: Nanos,
    pub(super) stopping: bool,
    port: Port<Packet>,
    storage: Option<storage::Client>,
    pub(super) auth: auth::Client,
    /// Where the shard puts its next writes; away while storage has it.
    batch: Option<StoreBatch>,
    /// Since when something waits to be handed to storage that could be.
    gathering: Option<Nanos>,
    clock: Clock,
    pub(super) control: Arc<Control>,
    /// How long to spin before sleeping; `None`: for ever.
    idle_spin_ns: Option<u64>,
    /// Where what comes in is written down, if it is.
    reel: Option<Reel>,
    accept_again_at: Option<Nanos>,
    pub(super) refusals: Refusals,
    pub(super) trim: Trim,
    counted_drained: bool,
    figures: Figures,
    /// The last of its questions that was answered.
    answered: usize,
    /// Generation of the permission rules that the shard was given.
    rules: u32,
    /// How many bytes were put into outboxes, ever, when this turn takes in nothing more.
    enough: u64,
    turns: u32,
    pub(super) turn_ns: Histogram<u64>,
    /// What was told of connections that were ended.
    pub(super) endings: Endings,
}

/// What holds for the connections of a listener.
#[derive(Clone, Debug)]
pub(super) struct DoorKind {
    /// What they speak.
    pub(super) medium: Medium,
    /// What they are secured with.
    pub(super) tls: Option<Tls>,
    /// Whether they are to come from other machines even while everybody could do everything.
    pub(super) is_meant: bool,
}

/// What a core is made of.
pub(super) struct Parts {
    pub(super) shard: Shard,
    pub(super) ring: Ring,
    pub(super) port: Port<Packet>,
    pub(super) clients: Clients,
    pub(super) link_config: LinkConfig,
    pub(super) web: Service,
    pub(super) doors: Vec<DoorKind>,
    pub(super) clock: Clock,
    pub(super) control: Arc<Control>,
    pub(super) figures: Figures,
    pub(super) idle_spin: Option<Duration>,
    pub(super) reel: Option<Reel>,
    pub(super) descriptors: Arc<Descriptors>,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            mut shard,
            mut ring,
            port,
            clients: (storage, auth),
            link_config,
            web,
            doors,
            clock,
            control,
            figures,
            idle_spin,
            reel,
            descriptors,
        } = parts;
        shard.reserve(CONNECTIONS_ROOM);
        ring.reserve(CONNECTIONS_ROOM);
        Self {
            id: Place::alone(port.core() as u16),
            shard,
            ring,
            sockets: Sockets::with_room(CONNECTIONS_ROOM),
            links: Links::new(link_config),
            web: Rc::new(web),
            doors,
            now: clock.now(),
            began: clock.now(),
            stopping: false,
            port,
            storage,
            auth,
            batch: Some(StoreBatch::default()),
            gathering: None,
            clock,
            control,
            idle_spin_ns: idle_spin.map(|spin| spin.as_nanos() as u64),
            reel,
            accept_again_at: None,
            refusals: Refusals::new(descriptors),
            trim: Trim::default(),
            counted_drained: false,
            figures,
            answered: 0,
            rules: 0,
            enough: 0,
            turns: 0,
            turn_ns: Histogram::new_with_bounds(100, 1_000_000_000, 2).expect("the bounds are constants in order"),
            endings: Endings::default(),
        }
    }

    /// Runs until the server has stopped.
    ///
    /// It never yields to its executor, whose only task it is. The executor of glommio 0.9 takes "the time slice was over
    /// before any task ran" for "no task is runnable", as happens when its thread loses the CPU at the wrong moment, and
    /// parks for good: a core that yields under load stops answering sooner or later. What is to share a core with the turn
    /// must be called by the turn.
    pub(super) fn run(mut self) -> Histogram<u64> {
        loop {
            let worked = self.turn();
            if self.stopping && self.may_end() {
                break;
            }
            self.wind(worked);
            if worked && self.spins() {
                self.ring.submit();
            } else {
                self.idle();
            }
        }
        self.endings.tell_left_out(Nanos(u64::MAX));
        if let Some(reel) = self.reel.take() {
            self.shard.end_tape();
            reel.hand_over();
        }
        self.figures.monitor().leave(self.id.index());
        self.turn_ns
    }

    /// What was written down goes to its file when there is nothing else to do, and ends if it cannot.
    fn wind(&mut self, worked: bool) {
        let Some(reel) = &self.reel else { return };
        if reel.is_over() {
            self.shard.end_tape();
            self.reel = None;
        } else if !worked {
            reel.hand_over();
        }
    }

    /// One bounded round. Whether there was anything to do.
    fn turn(&mut self) -> bool {
        self.now = self.clock.now();
        self.began = self.now;
        if !self.stopping && self.control.is_stopping() {
            self.stop();
        }
        if self.figures.monitor().asked() != self.answered {
            self.answered = self.figures.monitor().asked();
            self.figures.monitor().tell(self.id.index(), self.answered, self.snapshot());
        }
        if self.control.generation() != self.rules {
            self.rules = self.control.generation();
            self.shard.adopt_permissions(self.now, self.control.permissions());
        }
        self.enough = self.shard.counters().sent_bytes + OUTPUT_BYTES_PER_TURN;
        let mut worked = self.take_completions();
        worked |= self.shake_hands();
        worked |= self.take_packets();
        worked |= self.take_outcomes();
        if self.shard.next_deadline().is_some_and(|at| at <= self.now) {
            self.shard.tick(self.now);
            worked = true;
        }
        self.answer_asks();
        self.hear_resumed();
        self.time_out_requests();
        self.refusals.tell(self.now);
        self.answer_asks();
        worked |= self.publish();
        self.gather_stores();
        self.flush();
        if self.gathering.is_some() && !self.has_input() {
            self.hand_over_stores();
        }
        self.write_notes();
        self.speak_to_silent();
        self.close_late();
        self.trim();
        self.endings.tell_left_out(self.now);
        self.measure(worked);
        worked
    }

    /// In the middle of a flush: takes in what came while it went on, so that those who are yet to be flushed take it along.
    pub(super) fn look(&mut self) {
        self.gather_stores();
        let late = self.now.since(self.began) > LOOKS_NS_MAX;
        if late || self.stopping || !(self.ring.has_completions() || self.port.has_input()) {
            return;
        }
        self.ring.submit();
        self.now = self.clock.now();
        self.take_completions();
        self.take_packets();
        self.answer_asks();
        self.hear_resumed();
        self.answer_asks();
        self.publish();
    }

    fn take_completions(&mut self) -> bool {
        if self.accept_again_at.is_some_and(|at| at <= self.now) {
            self.accept_again_at = None;
            self.ring.accept();
        }
        self.ring.reap();
        let enough = self.enough;
        let mut worked = false;
        for _ in 0..COMPLETIONS_PER_TURN {
            // What the ring still holds keeps the core from sleeping.
            let Some(completion) = (self.shard.counters().sent_bytes < enough).then(|| self.ring.next()).flatten()
            else {
                break;
            };
            worked = true;
            self.completed(completion);
        }
        for outbox in self.ring.sent_outboxes() {
            self.shard.reuse(outbox);
        }
        worked
    }

    /// Whether so much was put into outboxes in this turn that it is to be sent before more is taken in.
    pub(super) fn has_said_enough(&self) -> bool {
        self.shard.counters().sent_bytes >= self.enough
    }

    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted(key, door) => self.accepted(key, door),
            Completion::Refused(stream, door) => self.refuse(&stream, door),
            Completion::AcceptFailed(error) => {
                note::accept_failed(&error);
                self.accept_again_at = Some(self.now.after(ACCEPT_REST_NS));
            }
            Completion::Received(key, buffer) => self.hear(key, buffer),
            Completion::Ended(key) => self.ended(key),
            Completion::Sent { key, bytes, all } => self.sent(key, bytes, all),
            Completion::Lost(key) => self.lost(key),
            Completion::HungUp(key) => self.hung_up(key),
            Completion::Woken => {}
        }
    }

    /// Deliveries always; requests only while all of our own deliveries are on their way, so that a core that cannot get rid
    /// of its answers takes on no more questions.
    fn take_packets(&mut self) -> bool {
        let mut worked = false;
        let mut taken = |this: &mut Self, lane| {
            for peer in 0..this.port.cores() {
                let Self { port, shard, now, .. } = this;
                let from = Place::alone(peer as u16);
                let enough = shard.posted_bytes() + OUTPUT_BYTES_PER_TURN;
                for _ in 0..PACKETS_PER_TURN / PACKETS_AT_ONCE {
                    let count = port.take(peer, lane, PACKETS_AT_ONCE, |packet| shard.packet(*now, from, packet));
                    worked |= count > 0;
                    if count < PACKETS_AT_ONCE || shard.posted_bytes() >= enough {
                        break;
                    }
                }
            }
        };
        taken(self, Track::Deliveries);
        if !self.has_backlog(Lane::Deliveries) {
            taken(self, Track::Requests);
        }
        worked
    }

    fn take_outcomes(&mut self) -> bool {
        let Self { storage, auth, shard, batch, now, .. } = self;
        let (mut worked, mut judged) = (auth.has_answers(), Vec::new());
        if worked {
            auth.poll(&mut |outcome| judged.push(outcome));
        }
        if let Some(storage) = storage.as_mut().filter(|storage| storage.has_answers()) {
            worked = true;
            storage.poll(&mut |outcome, answered| {
                if answered.is_some() {
                    *batch = answered;
                }
                shard.completed(*now, outcome);
            });
        }
        for outcome in judged {
            let asked = matches!(&outcome, Outcome::Authenticated { conn, login } if self.judged(*conn, login));
            if !asked {
                self.shard.completed(self.now, outcome);
            }
        }
        worked
    }

    pub(super) fn answer_asks(&mut self) {
        // An answer may lead to the next ask.
        loop {
            let asks: Vec<Ask> = self.shard.asks().collect();
            if asks.is_empty() {
                return;
            }
            for ask in asks {
                match (ask, &mut self.storage) {
                    (Ask::Load { ticket, name }, Some(storage)) => storage.load(ticket, name),
                    (Ask::Load { ticket, .. }, None) => {
                        self.shard.completed(self.now, Outcome::Loaded { ticket, result: Ok(None) });
                    }
                    (Ask::Authenticate { conn, data, peer }, _) => {
                        if let Some(login) = self.auth.judge(conn, data, peer) {
                            self.judged(conn, &login);
                            self.shard.completed(self.now, Outcome::Authenticated { conn, login });
                        }
                    }
                }
            }
        }
    }

    /// Packets to their rings, as far as there is room; bells to whoever sleeps over them.
    fn publish(&mut self) -> bool {
        let mut worked = false;
        for peer in (0..self.port.cores()).filter(|&peer| peer != self.id.index()) {
            for (lane, track) in LANES {
                let Self { shard, port, .. } = self;
                let to = Place::alone(peer as u16);
                let before = shard.packets(to, lane).len();
                if before > 0 {
                    shard.take_packets(to, lane, |packets| port.send(peer, track, packets));
                    worked |= shard.packets(to, lane).len() < before;
                }
            }
        }
        let Self { port, ring, .. } = self;
        port.ring_sleepers(|peer| ring.ring_bell(peer));
        worked
    }

    fn has_backlog(&mut self, lane: Lane) -> bool {
        let id = self.id.core();
        (0..self.port.cores() as u16)
            .filter(|&peer| peer != id)
            .any(|peer| !self.shard.packets(Place::alone(peer), lane).is_empty())
    }

    /// What is to be stored waits until there is nothing else to take in, but not for long.
    fn gather_stores(&mut self) {
        if self.batch.is_none() || !self.shard.has_stores() {
            return;
        }
        let now = if self.gathering.is_some() { self.clock.now() } else { self.now };
        let since = *self.gathering.get_or_insert(now);
        if self.storage.is_none() || now.since(since) > GATHER_NS_MAX {
            self.hand_over_stores();
        }
    }

    fn hand_over_stores(&mut self) {
        self.gathering = None;
        let Some(mut batch) = self.batch.take() else { return };
        if !self.shard.take_stores(self.now, &mut batch) {
            self.batch = Some(batch);
        } else if let Some(storage) = &mut self.storage {
            storage.store(batch);
        } else {
            let stored = Outcome::Stored { ticket: batch.ticket, result: Ok(()) };
            batch.clear();
            self.batch = Some(batch);
            self.shard.completed(self.now, stored);
        }
    }

    fn measure(&mut self, worked: bool) {
        if worked {
            self.turns = self.turns.wrapping_add(1);
            if self.turns.is_multiple_of(SAMPLE_EVERY) {
                self.turn_ns.saturating_record(self.clock.now().since(self.began));
            }
        }
    }

    fn spins(&self) -> bool {
        self.idle_spin_ns != Some(0)
    }

    /// Spins for a while, then sleeps until something happens or is due; but neither while the turn left something to do.
    fn idle(&mut self) {
        if self.has_left_over() {
            return self.ring.submit();
        }
        let until = self.idle_spin_ns.map(|spin| self.now.after(spin));
        let deadline = self.deadline();
        if self.spins() {
            self.ring.submit();
            loop {
                if self.has_input() || self.port.has_work() {
                    return self.ring.submit();
                }
                let now = self.clock.now();
                if deadline.is_some_and(|at| at <= now) || self.is_asked() {
                    return;
                }
                if until.is_some_and(|until| until <= now) {
                    break;
                }
                std::hint::spin_loop();
            }
        }
        self.port.prepare_sleep();
        let undone = self.has_input() || self.port.has_work() || self.is_asked();
        if undone {
            self.ring.submit();
        } else {
            let left = deadline.map(|at| Duration::from_nanos(at.since(self.clock.now())));
            self.ring.sleep(left);
        }
        self.port.woke();
    }

    /// Whether the last turn's late steps made work for its early ones, which nothing from outside will ask for: a
    /// connection closed at its end leaves packets for other cores, a lane that drained lets sockets be read again.
    fn has_left_over(&mut self) -> bool {
        self.shard.has_output(self.batch.is_none()) || self.sockets.has_ready() || self.has_packets()
    }

    /// Whether packets wait that were not offered to their ring yet, or that would fit now.
    fn has_packets(&mut self) -> bool {
        let (id, cores) = (self.id.index(), self.port.cores());
        (0..cores).filter(|&peer| peer != id).any(|peer| {
            LANES.iter().any(|&(lane, track)| {
                !self.shard.packets(Place::alone(peer as u16), lane).is_empty() && !self.port.is_stuck(peer, track)
            })
        })
    }

    fn has_input(&mut self) -> bool {
        self.ring.has_completions()
            || self.port.has_input()
            || self.auth.has_answers()
            || self.sockets.has_handshakes()
            || self.storage.as_ref().is_some_and(storage::Client::has_answers)
    }

    /// Whether the process wants something of this core that it has not done yet.
    fn is_asked(&self) -> bool {
        self.control.is_stopping() != self.stopping
            || self.figures.monitor().asked() != self.answered
            || self.control.generation() != self.rules
    }

    /// When something is due by itself.
    fn deadline(&self) -> Option<Nanos> {
        let stop = self.stopping.then(|| self.now.after(STOP_STEP_NS));
        let sockets = [self.sockets.next_late(), self.sockets.next_request(), self.next_silent()];
        let doors = [self.accept_again_at, self.refusals.due(), self.endings.next(), self.trim.due()];
        let all = [self.shard.next_deadline(), stop].into_iter().chain(sockets).chain(doors);
        all.flatten().min()
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.accept_again_at = None;
        self.ring.stop_accepting();
        self.finish_requests();
        self.shard.stop(self.now);
    }

    /// Whether this core has nothing left to give to clients, peers and storage, and never will.
    fn may_end(&mut self) -> bool {
        if self.control.is_late() {
            return true;
        }
        let quiet = self.ring.socket_count() == 0
            && LANES.iter().all(|&(lane, _)| !self.has_backlog(lane))
            && !self.port.has_input();
        if quiet && !self.counted_drained {
            self.counted_drained = true;
            self.control.drained();
        }
        // Once all cores were quiet no connection is left that could ask for anything, and what was sent before has
        // arrived.
        quiet && self.control.all_drained() && self.batch.is_some() && self.shard.census().dirty_records == 0
    }
}
