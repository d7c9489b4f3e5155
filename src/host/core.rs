//! One core: its shard, its sockets, its peers, and the turn that moves everything between them.
//!
//! *Owns* the order of a turn, and of the end. *Promises* that a turn is one system call beside one send for each socket that is
//! told something (and one for each look in a long flush), and that a peer or client that is slow costs only itself.
//! *Does not* decide what a message means (the shard does) or how bytes reach the kernel (the ring does).

mod sleep;

use super::admission::Links;
use super::clock::Clock;
use super::connections::Sockets;
use super::control::Control;
use super::descriptors::Descriptors;
use super::endings::Endings;
use super::gauges::Gauges;
use super::listen::DoorKind;
use super::peers::Peers;
use super::refusals::Refusals;
use super::ring::{self, Ring};
use super::services::Clients;
use super::stores::Stores;
use super::tape::TapeFeed;
use super::trim::Trim;
use crate::endpoint::http::Service;
use crate::monitor::Figures;
use crate::{auth, note};
use deepstream_engine::{Completion, HostRequest, Nanos, Packet, Shard};
use deepstream_mesh::Port;
use deepstream_wire::LinkConfig;
use hdrhistogram::Histogram;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Completions looked at in one turn; a completion brings at most one receive buffer.
const COMPLETIONS_PER_TURN: usize = 256;
/// Bytes put into outboxes before they are flushed, rather than more taken in. A burst of messages with many subscribers
/// would otherwise become gigabytes of outboxes in one turn, cold in every cache, before the first byte is sent.
const OUTPUT_BYTES_PER_TURN: u64 = 1 << 20;
/// Connections for which a core has room without its tables being moved. It is address space, about 600 bytes each, and memory
/// only where it was used. Moving them as 5,000 connections came was a twelfth of what these cost.
const CONNECTIONS_ROOM: usize = 16_384;
/// How long after its beginning a turn still takes in more in the middle of its flush. What only a turn does waits until it is over:
/// timers, logins, what storage answers, what the process asks.
const LOOKS_NS_MAX: u64 = 4_000_000;
/// How long accepting rests after it failed (no descriptors, no memory).
const ACCEPT_REST_NS: u64 = 100_000_000;

/// See the module.
pub(super) struct Core {
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
    peers: Peers,
    stores: Stores,
    pub(super) auth: auth::Client,
    clock: Clock,
    pub(super) control: Arc<Control>,
    /// How long to spin before sleeping; `None`: for ever.
    idle_spin_ns: Option<u64>,
    /// Where what comes in is written down, if it is.
    tape_feed: Option<TapeFeed>,
    accept_again_at: Option<Nanos>,
    pub(super) refusals: Refusals,
    trim: Trim,
    counted_drained: bool,
    gauges: Gauges,
    /// Generation of the permission rules that the shard was given.
    rules: u32,
    /// How many bytes were put into outboxes, ever, when this turn takes in nothing more.
    enough: u64,
    /// What was told of connections that were ended.
    pub(super) endings: Endings,
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
    pub(super) tape_feed: Option<TapeFeed>,
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
            tape_feed,
            descriptors,
        } = parts;
        let peers = Peers::new(port);
        shard.reserve(CONNECTIONS_ROOM);
        ring.reserve(CONNECTIONS_ROOM);
        Self {
            shard,
            ring,
            sockets: Sockets::with_room(CONNECTIONS_ROOM),
            links: Links::new(link_config),
            web: Rc::new(web),
            doors,
            now: clock.now(),
            began: clock.now(),
            stopping: false,
            stores: Stores::new(storage),
            auth,
            gauges: Gauges::new(figures, peers.own()),
            peers,
            clock,
            control,
            idle_spin_ns: idle_spin.map(|spin| spin.as_nanos() as u64),
            tape_feed,
            accept_again_at: None,
            refusals: Refusals::new(descriptors),
            trim: Trim::default(),
            counted_drained: false,
            rules: 0,
            enough: 0,
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
        if let Some(tape_feed) = self.tape_feed.take() {
            self.shard.end_tape();
            tape_feed.hand_over();
        }
        self.gauges.leave()
    }

    /// What was written down goes to its file when there is nothing else to do, and ends if it cannot.
    fn wind(&mut self, worked: bool) {
        let Some(tape_feed) = &self.tape_feed else { return };
        if tape_feed.is_over() {
            self.shard.end_tape();
            self.tape_feed = None;
        } else if !worked {
            tape_feed.hand_over();
        }
    }

    /// One bounded round. Whether there was anything to do.
    fn turn(&mut self) -> bool {
        self.now = self.clock.now();
        self.began = self.now;
        if !self.stopping && self.control.is_stopping() {
            self.stop();
        }
        if self.gauges.are_asked() {
            self.gauges.tell(&self.shard, self.ring.socket_count());
        }
        if self.control.generation() != self.rules {
            self.rules = self.control.generation();
            self.shard.adopt_permissions(self.now, self.control.permissions());
        }
        self.enough = self.shard.counters().sent_bytes + OUTPUT_BYTES_PER_TURN;
        let mut worked = self.take_completions();
        worked |= self.shake_hands();
        worked |= self.peers.take(&mut self.shard, self.now, OUTPUT_BYTES_PER_TURN);
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
        worked |= self.peers.publish(&mut self.shard, |peer| self.ring.ring_bell(peer));
        self.stores.gather(&mut self.shard, self.now, self.clock);
        self.flush();
        if self.stores.are_gathering() && !self.has_input() {
            self.stores.hand_over(&mut self.shard, self.now);
        }
        self.write_notes();
        self.speak_to_silent();
        self.close_late();
        self.trim.look(&mut self.shard, self.now);
        self.endings.tell_left_out(self.now);
        if worked {
            self.gauges.turned(|| self.clock.now().since(self.began));
        }
        worked
    }

    /// In the middle of a flush: takes in what came while it went on, so that those who are yet to be flushed take it along.
    pub(super) fn look(&mut self) {
        self.stores.gather(&mut self.shard, self.now, self.clock);
        let late = self.now.since(self.began) > LOOKS_NS_MAX;
        if late || self.stopping || !(self.ring.has_completions() || self.peers.has_input()) {
            return;
        }
        self.ring.submit();
        self.now = self.clock.now();
        self.take_completions();
        self.peers.take(&mut self.shard, self.now, OUTPUT_BYTES_PER_TURN);
        self.answer_asks();
        self.hear_resumed();
        self.answer_asks();
        self.peers.publish(&mut self.shard, |peer| self.ring.ring_bell(peer));
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

    fn completed(&mut self, completion: ring::Completion) {
        match completion {
            ring::Completion::Accepted(key, door) => self.accepted(key, door),
            ring::Completion::Refused(stream, door) => {
                self.refusals.refuse(&stream, &self.doors[door.0 as usize], self.now);
            }
            ring::Completion::AcceptFailed(error) => {
                note::accept_failed(&error);
                self.accept_again_at = Some(self.now.after(ACCEPT_REST_NS));
            }
            ring::Completion::Received(key, buffer) => self.hear(key, buffer),
            ring::Completion::Ended(key) => self.ended(key),
            ring::Completion::Sent { key, bytes, all } => self.sent(key, bytes, all),
            ring::Completion::Lost(key) => self.lost(key),
            ring::Completion::HungUp(key) => self.hung_up(key),
            ring::Completion::Woken => {}
        }
    }

    fn take_outcomes(&mut self) -> bool {
        let (mut worked, mut judged) = (self.auth.has_answers(), Vec::new());
        if worked {
            self.auth.poll(&mut |outcome| judged.push(outcome));
        }
        worked |= self.stores.poll(&mut self.shard, self.now);
        for outcome in judged {
            let asked = matches!(&outcome, Completion::Authenticated { conn, login } if self.judged(*conn, login));
            if !asked {
                self.shard.completed(self.now, outcome);
            }
        }
        worked
    }

    pub(super) fn answer_asks(&mut self) {
        // An answer may lead to the next ask.
        loop {
            let host_requests: Vec<HostRequest> = self.shard.host_requests().collect();
            if host_requests.is_empty() {
                return;
            }
            for ask in host_requests {
                match ask {
                    HostRequest::Load { ticket, name } => self.stores.load(&mut self.shard, self.now, ticket, name),
                    HostRequest::Authenticate { conn, data, peer } => {
                        if let Some(login) = self.auth.judge(conn, data, peer) {
                            self.judged(conn, &login);
                            self.shard.completed(self.now, Completion::Authenticated { conn, login });
                        }
                    }
                }
            }
        }
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
        let quiet = self.ring.socket_count() == 0 && self.peers.have_all(&self.shard) && !self.peers.has_input();
        if quiet && !self.counted_drained {
            self.counted_drained = true;
            self.control.drained();
        }
        // Once all cores were quiet no connection is left that could ask for anything, and what was sent before has
        // arrived.
        quiet && self.control.all_drained() && self.stores.are_back() && self.shard.census().dirty_records == 0
    }
}
