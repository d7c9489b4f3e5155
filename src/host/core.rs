//! One core: its shard, its sockets, its peers, and the turn that moves everything between them.
//!
//! *Owns* the order of steps in a turn, and when the core ends. It knows all modules of the host that take part in a
//! turn; none of them knows it. *Promises* that a turn takes one system call beside one send for each socket with
//! output (and one more now and then in a long flush), and that a slow peer or client delays only itself. *Does not*
//! decide what a message means (the shard does) or how bytes reach the kernel (the ring does).

mod flush;
mod sleep;

use super::admission::Links;
use super::clock::Clock;
use super::connections::{Connections, Next};
use super::control::Control;
use super::descriptors::Descriptors;
use super::endings::Endings;
use super::gauges::Gauges;
use super::listen::ListenerSettings;
use super::peers::Peers;
use super::refusals::Refusals;
use super::request::Requests;
use super::ring::{self, Key, Ring};
use super::services::Clients;
use super::socket::Sockets;
use super::stores::Stores;
use super::tape::TapeFeed;
use super::trim::Trim;
use crate::endpoint::http::Service;
use crate::monitor::Figures;
use crate::note;
use deepstream_engine::{Completion, HostRequest, Nanos, Packet, Shard};
use deepstream_mesh::Port;
use deepstream_wire::LinkConfig;
use hdrhistogram::Histogram;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Most completions in one turn; a completion brings at most one receive buffer.
const COMPLETIONS_PER_TURN: usize = 256;
/// When this many bytes were put into outboxes in a turn, they are flushed before more input is taken. Otherwise a
/// burst of messages with many subscribers would become gigabytes of outboxes in one turn, which no cache holds, before
/// the first byte is sent.
const OUTPUT_BYTES_PER_TURN: u64 = 1 << 20;
/// How many connections a core reserves room for, so that its tables need not be moved as they grow. This takes address
/// space, about 600 bytes each, but memory only as far as it is used. Moving the tables was a twelfth of the cost of
/// opening 5,000 connections.
const CONNECTIONS_ROOM: usize = 16_384;
/// How long after its beginning a turn still takes in more input in the middle of its flush. Work that is done once a
/// turn has to wait until the turn is over: timers, logins, answers of storage, requests of the process.
const LOOKS_NS_MAX: u64 = 4_000_000;
/// How long to wait before accepting again after it failed (no descriptors, no memory).
const ACCEPT_REST_NS: u64 = 100_000_000;

/// See the module.
pub(super) struct Core {
    connections: Connections,
    requests: Requests,
    /// The settings of connections, by the listener that accepted them.
    listeners: Vec<ListenerSettings>,
    /// When this turn began.
    began: Nanos,
    stopping: bool,
    peers: Peers,
    stores: Stores,
    clock: Clock,
    control: Arc<Control>,
    /// How long to spin before sleeping; `None`: for ever.
    idle_spin_ns: Option<u64>,
    /// Where inputs are recorded, if they are.
    tape_feed: Option<TapeFeed>,
    accept_again_at: Option<Nanos>,
    refusals: Refusals,
    trim: Trim,
    counted_drained: bool,
    gauges: Gauges,
    /// Generation of the permission rules that the shard was given.
    rules: u32,
}

/// What a core is made of.
pub(super) struct Parts {
    pub(super) shard: Shard,
    pub(super) ring: Ring,
    pub(super) port: Port<Packet>,
    pub(super) clients: Clients,
    pub(super) link_config: LinkConfig,
    pub(super) web: Service,
    pub(super) listeners: Vec<ListenerSettings>,
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
            listeners,
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
        let began = clock.now();
        Self {
            connections: Connections {
                shard,
                ring,
                sockets: Sockets::with_room(CONNECTIONS_ROOM),
                links: Links::new(link_config),
                web: Rc::new(web),
                auth,
                endings: Endings::default(),
                now: began,
                enough: 0,
                overburdened: false,
            },
            requests: Requests::default(),
            listeners,
            began,
            stopping: false,
            stores: Stores::new(storage),
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
        }
    }

    /// Runs until the server has stopped.
    ///
    /// It never yields to its executor, whose only task it is. If a thread loses its CPU at the wrong moment, the
    /// executor of glommio 0.9 takes "the time slice was over before any task ran" for "no task is runnable", and parks
    /// for ever: a core that yields under load would stop answering sooner or later. Other work on a core must be
    /// called by the turn.
    pub(super) fn run(mut self) -> Histogram<u64> {
        loop {
            let worked = self.turn();
            if self.stopping && self.may_end() {
                break;
            }
            self.wind(worked);
            if worked && self.spins() {
                self.connections.ring.submit();
            } else {
                self.idle();
            }
        }
        self.connections.endings.tell_left_out(Nanos(u64::MAX));
        if let Some(tape_feed) = self.tape_feed.take() {
            self.connections.shard.end_tape();
            tape_feed.hand_over();
        }
        self.gauges.leave()
    }

    /// Hands recorded inputs to their file when there is nothing else to do, and drops the tape if it has ended.
    fn wind(&mut self, worked: bool) {
        let Some(tape_feed) = &self.tape_feed else { return };
        if tape_feed.is_over() {
            self.connections.shard.end_tape();
            self.tape_feed = None;
        } else if !worked {
            tape_feed.hand_over();
        }
    }

    /// One bounded round. Returns whether there was anything to do.
    fn turn(&mut self) -> bool {
        self.connections.now = self.clock.now();
        self.began = self.connections.now;
        if !self.stopping && self.control.is_stopping() {
            self.stop();
        }
        if self.gauges.are_asked() {
            self.gauges.tell(&self.connections.shard, self.connections.ring.socket_count());
        }
        if self.control.generation() != self.rules {
            self.rules = self.control.generation();
            self.connections.shard.adopt_permissions(self.connections.now, self.control.permissions());
        }
        self.connections.enough = self.connections.shard.counters().sent_bytes + OUTPUT_BYTES_PER_TURN;
        let mut worked = self.take_completions();
        worked |= self.shake_hands();
        worked |= self.peers.take(&mut self.connections.shard, self.connections.now, OUTPUT_BYTES_PER_TURN);
        worked |= self.take_outcomes();
        if self.connections.shard.next_deadline().is_some_and(|at| at <= self.connections.now) {
            self.connections.shard.tick(self.connections.now);
            worked = true;
        }
        self.answer_asks();
        self.hear_resumed();
        self.requests.time_out(&mut self.connections);
        self.relieve();
        self.refusals.tell(self.connections.now);
        self.answer_asks();
        worked |= self.peers.publish(&mut self.connections.shard, |peer| self.connections.ring.ring_bell(peer));
        self.stores.gather(&mut self.connections.shard, self.connections.now, self.clock);
        self.flush();
        if self.stores.are_gathering() && !self.has_input() {
            self.stores.hand_over(&mut self.connections.shard, self.connections.now);
        }
        self.connections.write_notes();
        self.connections.speak_to_silent();
        self.connections.close_late();
        self.trim.look(&mut self.connections.shard, self.connections.now);
        self.connections.endings.tell_left_out(self.connections.now);
        if worked {
            self.gauges.turned(|| self.clock.now().since(self.began));
        }
        worked
    }

    /// In the middle of a flush: takes in what arrived meanwhile, so that connections which are yet to be flushed send
    /// it at once.
    pub(super) fn look(&mut self) {
        self.stores.gather(&mut self.connections.shard, self.connections.now, self.clock);
        let late = self.connections.now.since(self.began) > LOOKS_NS_MAX;
        if late || self.stopping || !(self.connections.ring.has_completions() || self.peers.has_input()) {
            return;
        }
        self.connections.ring.submit();
        self.connections.now = self.clock.now();
        self.take_completions();
        self.peers.take(&mut self.connections.shard, self.connections.now, OUTPUT_BYTES_PER_TURN);
        self.answer_asks();
        self.hear_resumed();
        self.answer_asks();
        self.peers.publish(&mut self.connections.shard, |peer| self.connections.ring.ring_bell(peer));
    }

    fn take_completions(&mut self) -> bool {
        if self.accept_again_at.is_some_and(|at| at <= self.connections.now) {
            self.accept_again_at = None;
            self.connections.ring.accept();
        }
        self.connections.ring.reap();
        let mut worked = false;
        for _ in 0..COMPLETIONS_PER_TURN {
            // Completions that are left in the ring keep the core from sleeping.
            if self.connections.has_said_enough() {
                break;
            }
            let Some(completion) = self.connections.ring.next() else { break };
            worked = true;
            self.completed(completion);
        }
        for outbox in self.connections.ring.sent_outboxes() {
            self.connections.shard.reuse(outbox);
        }
        worked
    }

    fn completed(&mut self, completion: ring::Completion) {
        let connections = &mut self.connections;
        match completion {
            ring::Completion::Accepted(key, _) if self.stopping => connections.ring.close(key),
            ring::Completion::Accepted(key, listener) => {
                connections.accepted(key, &self.listeners[listener.0 as usize], self.control.is_open());
            }
            ring::Completion::Refused(stream, listener) => {
                self.refusals.refuse(&stream, &self.listeners[listener.0 as usize], connections.now);
            }
            ring::Completion::AcceptFailed(error) => {
                note::accept_failed(&error);
                self.accept_again_at = Some(connections.now.after(ACCEPT_REST_NS));
            }
            ring::Completion::Received(key, buffer) => {
                let next = connections.hear(key, buffer);
                self.go_on(key, next);
            }
            ring::Completion::Ended(key) => {
                let next = connections.ended(key);
                self.go_on(key, next);
            }
            ring::Completion::Sent { key, bytes, all } => {
                let next = connections.sent(key, bytes, all);
                self.go_on(key, next);
            }
            ring::Completion::Lost(key) => connections.lost(key),
            ring::Completion::HungUp(key) => connections.hung_up(key),
            ring::Completion::Woken => {}
        }
    }

    /// Does what a connection wants done, and what the shard wants done at once.
    fn go_on(&mut self, key: Key, next: Next) {
        self.requests.go_on(&mut self.connections, key, next);
        self.relieve();
    }

    /// Continues one handshake. Returns whether one was waiting.
    fn shake_hands(&mut self) -> bool {
        let Some((key, next)) = self.connections.shake_hands() else {
            return self.connections.sockets.has_handshakes();
        };
        self.go_on(key, next);
        true
    }

    fn take_outcomes(&mut self) -> bool {
        let (mut worked, mut judged) = (self.connections.auth.has_answers(), Vec::new());
        if worked {
            self.connections.auth.poll(&mut |outcome| judged.push(outcome));
        }
        worked |= self.stores.poll(&mut self.connections.shard, self.connections.now);
        for outcome in judged {
            let asked = matches!(&outcome, Completion::Authenticated { conn, login }
                if self.requests.judged(&mut self.connections, *conn, login));
            if !asked {
                self.connections.shard.completed(self.connections.now, outcome);
            }
        }
        worked
    }

    pub(super) fn answer_asks(&mut self) {
        // An answer may lead to the next request.
        loop {
            let host_requests: Vec<HostRequest> = self.connections.shard.host_requests().collect();
            if host_requests.is_empty() {
                return;
            }
            let Self { connections, requests, stores, .. } = self;
            for ask in host_requests {
                match ask {
                    HostRequest::Load { ticket, name } => {
                        stores.load(&mut connections.shard, connections.now, ticket, name);
                    }
                    HostRequest::Authenticate { conn, data, peer } => {
                        if let Some(login) = connections.auth.judge(conn, data, peer) {
                            requests.judged(connections, conn, &login);
                            connections.shard.completed(connections.now, Completion::Authenticated { conn, login });
                        }
                    }
                    HostRequest::Deposed => debug_assert!(false, "a server alone claims nothing that another could"),
                }
            }
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.accept_again_at = None;
        self.connections.ring.stop_accepting();
        self.requests.finish(&mut self.connections);
        self.connections.shard.stop(self.connections.now);
    }

    /// Whether this core has nothing left for clients, peers and storage, and never will have.
    fn may_end(&mut self) -> bool {
        if self.control.is_late() {
            return true;
        }
        let Connections { shard, ring, .. } = &self.connections;
        let quiet = ring.socket_count() == 0 && self.peers.have_all(shard) && !self.peers.has_input();
        if quiet && !self.counted_drained {
            self.counted_drained = true;
            self.control.drained();
        }
        // Once all cores were quiet no connection is left that could ask for anything, and what was sent before has
        // arrived.
        quiet && self.control.all_drained() && self.stores.are_back() && shard.census().dirty_records == 0
    }
}
