//! The shard: its inputs, its outputs, and who handles what.

use crate::delivery::{Delivery, Source};
use crate::edge::bulk::BulkRequests;
use crate::edge::burden::Burden;
use crate::edge::presence::Watchers;
use crate::edge::session::table::{Session, State};
use crate::endpoint::Endpoints;
use crate::ident::{ConnId, Nanos, Place, Ticket};
use crate::limits::Limits;
use crate::output::{Completion, Fault, Flow, Note, Peer, Reason};
use crate::owner::filters::Filters;
use crate::owner::listen::{AttemptId, Listening};
use crate::owner::names::Names;
use crate::owner::park::Parking;
use crate::owner::permit::Permit;
use crate::owner::presence::Everyone;
use crate::owner::record::Records;
use crate::owner::rpc::{CallId, Calls};
use crate::owner::takeover::ClientIds;
use crate::owner::withheld::Unasked;
use crate::packet::{Lane, Packet};
use crate::permissions::{Permissions, RuleLookupId, Sampled};
use crate::tape::Kind;
use crate::timer::{TimerId, Wheel};
use crate::view::{NameHasher, Row, Unviewable, View};
use ahash::RandomState;
use deepstream_wire::{Message, Unreadable};
use std::sync::Arc;

/// How a shard behaves; the same for every shard of a process.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds of the hash that places names on cores. Names are hostile input: draw them at random at start.
    pub seeds: [u64; 4],
    /// Bounds of this shard.
    pub limits: Limits,
    /// Whether topic EVENT exists.
    pub events: bool,
    /// Whether topic RECORD exists.
    pub records: bool,
    /// Whether topic RPC exists.
    pub rpc: bool,
    /// Whether topic PRESENCE exists.
    pub presence: bool,
    /// How long a provider may take to accept a call.
    pub rpc_ack_timeout_ns: u64,
    /// How long a provider may take to answer a call.
    pub rpc_response_timeout_ns: u64,
    /// Whether providers are told the caller's user id.
    pub rpc_requestor_name: bool,
    /// Whether providers are told the caller's client data.
    pub rpc_requestor_data: bool,
    /// Whether the candidates to provide a name are asked in random order, not in the order in which they came.
    pub listen_shuffle: bool,
    /// How long a listener may take to accept or reject a name.
    pub listen_response_timeout_ns: u64,
    /// How often a provider is searched for again for names without; `None`: never.
    pub listen_rematch_ns: Option<u64>,
    /// How long a name rests after a search in vain before such a search.
    pub listen_cooldown_ns: u64,
    /// What holds for a connection by what it speaks.
    pub endpoints: Endpoints,
    /// Whether there is a storage behind the records; without one they live and die with the process.
    pub storage: bool,
    /// How long storage may take for one read, one removal or one batch of writes.
    pub storage_timeout_ns: u64,
    /// Names that begin with one of these never touch storage.
    pub storage_exclusion_prefixes: Vec<Box<[u8]>>,
    /// Names that begin with one of these are written whole and unchecked by CREATEANDUPDATE (docs/records.md §6).
    pub hot_path_prefixes: Vec<Box<[u8]>>,
    /// Whether notes of level debug are wanted.
    pub verbose: bool,
    /// Who may do what, to begin with.
    pub permissions: Arc<Permissions>,
    /// Nanoseconds from the beginning of 1970 to the moment 0, for rules that ask for the time.
    pub unix_ns: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seeds: [1, 2, 3, 4],
            limits: Limits::default(),
            events: true,
            records: true,
            rpc: true,
            presence: true,
            rpc_ack_timeout_ns: 1_000_000_000,
            rpc_response_timeout_ns: 10_000_000_000,
            rpc_requestor_name: false,
            rpc_requestor_data: false,
            listen_shuffle: true,
            listen_response_timeout_ns: 500_000_000,
            listen_rematch_ns: Some(60_000_000_000),
            listen_cooldown_ns: 10_000_000_000,
            endpoints: Endpoints::default(),
            storage: true,
            storage_timeout_ns: 30_000_000_000,
            storage_exclusion_prefixes: Vec::new(),
            hot_path_prefixes: Vec::new(),
            verbose: false,
            permissions: Arc::default(),
            unix_ns: 0,
        }
    }
}

/// A client whose outbox is over its high-water mark counts as one that reads if it takes one of so many parts of that mark
/// within the time for slow consumers: more than the few bytes with which one could stay for ever.
const STEPS: usize = 16;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKey {
    Session(ConnId),
    /// A read from storage, by ticket.
    Load(Ticket),
    /// A batch of stores, by ticket.
    Stores(Ticket),
    /// Failed stores are tried again.
    StoreRetry,
    /// A call that should have been accepted, or answered.
    Call(CallId),
    /// A listener that should have accepted or rejected a name.
    ListenResponse(AttemptId),
    /// Work on listeners that did not fit into the turn.
    ListenWork,
    /// Names without provider are tried again.
    ListenRematch,
    /// Records that rules refer to should be there.
    RuleLookup(RuleLookupId),
    /// Choices of rules that were not used lately are forgotten.
    Choices,
    /// What goes on from before the present rules is judged by them.
    Reauthorization,
    /// What the log was not told is counted.
    LeftOut(Sampled),
}

/// The hash of tables, and of names on a server alone.
pub(crate) fn hasher(options: &Options) -> RandomState {
    let [a, b, c, d] = options.seeds;
    RandomState::with_seeds(a, b, c, d)
}

/// One core's share of the server. Owns its names and its connections; promises to run every input to completion.
pub struct Shard {
    pub(crate) core: Place,
    pub(crate) places: Row,
    pub(crate) options: Options,
    pub(crate) hasher: NameHasher,
    pub(crate) delivery: Delivery,
    pub(crate) names: Names,
    pub(crate) filters: Filters,
    pub(crate) parking: Parking,
    pub(crate) records: Records,
    pub(crate) bulk_requests: BulkRequests,
    pub(crate) calls: Calls,
    pub(crate) unasked: Unasked,
    pub(crate) watchers: Watchers,
    pub(crate) everyone: Everyone,
    pub(crate) client_ids: ClientIds,
    pub(crate) listening: Listening,
    pub(crate) permit: Permit,
    pub(crate) timers: Wheel<TimerKey>,
    pub(crate) json: deepstream_json::Scratch,
    /// Connections whose socket rests because a peer's lane is long.
    pub(crate) held_back: Vec<(Place, ConnId)>,
    due: Vec<TimerKey>,
}

/// Inputs.
impl Shard {
    /// Shard `core` of a server alone, which has `cores`.
    pub fn new(now: Nanos, core: Place, cores: u16, options: Options) -> Self {
        Self::with_places(now, core, Row::alone(core, cores), options)
    }

    /// The shard of a place of a view. All members of a cluster have the same seed of names; their options may differ.
    pub fn member(now: Nanos, core: Place, view: Arc<View>, options: Options) -> Self {
        Self::with_places(now, core, Row::member(core, view), options)
    }

    pub(crate) fn with_places(now: Nanos, core: Place, places: Row, options: Options) -> Self {
        debug_assert!(places.has(core), "a shard is at one of the places");
        let hasher = hasher(&options);
        let delivery = Delivery::new(core, places.clone(), options.limits.clone(), options.verbose, hasher.clone());
        let permit = Permit::new(options.permissions.clone());
        Self {
            core,
            delivery,
            names: Names::default(),
            filters: Filters::new(permit.has_rules(), permit.guarded()),
            parking: Parking::default(),
            records: Records::new(&options),
            bulk_requests: BulkRequests::default(),
            calls: Calls::new(core, &options),
            unasked: Unasked::new(&options.limits, places.count(), hasher.clone()),
            watchers: Watchers::new(hasher.clone()),
            everyone: Everyone::default(),
            client_ids: ClientIds::new(hasher.clone()),
            listening: Listening::new(&options),
            permit,
            timers: Wheel::new(now),
            json: deepstream_json::Scratch::with_depth_max(options.limits.nesting_max),
            held_back: Vec::new(),
            due: Vec::new(),
            hasher: places.hasher(hasher),
            places,
            options,
        }
    }

    /// Makes room for so many connections, so that their tables need not move while they fill: a table that moves is copied,
    /// and its new place first touched, between two messages.
    pub fn reserve(&mut self, connections: usize) {
        self.delivery.sessions.reserve(connections);
        // Each has one: by then it is to be looked at.
        self.timers.reserve(connections);
    }

    /// A socket was accepted. `None`: there are too many, close it.
    pub fn connected(&mut self, now: Nanos, peer: Peer) -> Option<ConnId> {
        self.input(now, Kind::Connected, &peer);
        if self.delivery.sessions.len() >= self.options.limits.connections_max {
            self.delivery.outputs.counters.refused_connections += 1;
            self.delivery.outputs.note(Note::ConnectionsFull { remote: peer.remote });
            return None;
        }
        self.delivery.outputs.counters.connected += 1;
        let conn = self.delivery.sessions.open(now, peer);
        self.watch(conn);
        Some(self.answers(conn))
    }

    /// A message arrived.
    pub fn received(&mut self, now: Nanos, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        self.input(now, Kind::Received, &(conn, message));
        let flow = self.hear(now, conn, message);
        self.answers(flow)
    }

    #[inline]
    fn hear(&mut self, now: Nanos, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let Some(session) = self.delivery.sessions.get_mut(conn) else { return Flow::Close };
        session.heard_at = now;
        match session.state {
            State::Open => {
                debug_assert!(!session.is_judged(), "the host hands in nothing while it was told to pause");
                self.delivery.outputs.counters.received += 1;
                self.route(conn, message)
            }
            State::AwaitChallenge | State::AwaitAuth => self.before_login(conn, message),
            // The host hands in nothing while it was told to pause.
            State::Authenticating | State::Arriving => Flow::Pause,
            State::Connected | State::Closing => Flow::Close,
        }
    }

    /// Bytes arrived that are no message.
    pub fn unreadable(&mut self, now: Nanos, conn: ConnId, what: Unreadable) -> Flow {
        self.input(now, Kind::Unreadable, &(conn, what));
        if let Some(session) = self.delivery.sessions.get_mut(conn) {
            session.heard_at = now;
        }
        let flow = self.not_understood(conn, what);
        self.answers(flow)
    }

    /// Something came that is no message: a pong, a part of a message that is not whole. Whoever sends it lives.
    ///
    /// Before a connection has said what it is, only messages count: the head of a request that drips in byte by byte, and a
    /// client that waits for the server to speak first, are told apart from clients by saying nothing.
    pub fn heard(&mut self, now: Nanos, conn: ConnId) {
        self.input(now, Kind::Heard, &conn);
        let Some(session) = self.delivery.sessions.get_mut(conn) else { return };
        if !matches!(session.state, State::Connected | State::AwaitChallenge | State::Closing) {
            session.heard_at = now;
        }
    }

    /// The connection's link answers by itself: upgrade, pong.
    pub fn raw(&mut self, now: Nanos, conn: ConnId, bytes: &[u8]) {
        self.input(now, Kind::Raw, &(conn, bytes));
        self.delivery.sessions.raw(&mut self.delivery.outputs, conn, bytes);
    }

    /// The connection's link answers for the last time: nothing follows these bytes, whatever they do to its outbox. Whether that
    /// is for a message that is too large.
    pub fn goodbye(&mut self, now: Nanos, conn: ConnId, bytes: &[u8], oversized: bool) {
        self.input(now, Kind::Goodbye, &(conn, bytes, oversized));
        if let Some(session) = self.delivery.sessions.get_mut(conn) {
            session.oversized = oversized;
        }
        self.delivery.sessions.goodbye(&mut self.delivery.outputs, conn, bytes);
    }

    /// The kernel took `bytes` of what was taken from this connection's outbox.
    #[inline]
    pub fn flushed(&mut self, now: Nanos, conn: ConnId, bytes: usize) {
        self.input(now, Kind::Flushed, &(conn, bytes));
        let low_water = self.options.limits.outbox_high_water_bytes / 2;
        let Some((session, burden)) = self.delivery.sessions.with_burden(conn) else { return };
        let bytes = bytes.min(session.unsent);
        burden.sent(session, bytes);
        session.unsent -= bytes;
        session.moved_at = now;
        session.step_bytes += bytes;
        if session.step_bytes >= self.options.limits.outbox_high_water_bytes / STEPS {
            (session.stepped_at, session.step_bytes) = (now, 0);
        }
        session.filling &= session.backlog() > low_water;
        if session.withheld.is_some() {
            self.fetch_withheld(conn);
        } else if session.paused {
            self.read_on(conn);
        }
    }

    /// Beside its outbox, so many bytes are kept for a connection: of answers that are still to be put there, and of messages
    /// that have not come whole or are being dealt with. Whether connections are to be dropped at once for that: ask for
    /// [`Shard::closes`].
    #[must_use]
    pub fn holds(&mut self, now: Nanos, conn: ConnId, unsent: usize, received: usize) -> bool {
        self.input(now, Kind::Holds, &(conn, unsent, received));
        let high_water = self.options.limits.outbox_high_water_bytes;
        let Some((session, burden)) = self.delivery.sessions.with_burden(conn) else { return self.answers(false) };
        burden.set_aside(session, unsent, received);
        if session.backlog() > high_water && !session.filling {
            session.filling = true;
            (session.stepped_at, session.step_bytes) = (now, 0);
            burden.filling.push(conn);
        }
        // It is no message that comes to many: there is nothing to wait for.
        let much = self.delivery.sessions.burden.aside() > self.options.limits.outbox_bytes_total_max;
        if much {
            self.delivery.sessions.relieve(&mut self.delivery.outputs, Burden::aside);
        }
        self.answers(much)
    }

    /// A socket is gone.
    pub fn disconnected(&mut self, now: Nanos, conn: ConnId) {
        self.input(now, Kind::Disconnected, &conn);
        let Some(mut session) = self.delivery.sessions.remove(conn) else { return };
        self.timers.cancel(session.timer);
        self.delivery.sessions.burden.end(&mut session);
        let mut leaving = Vec::new();
        self.delivery.subscribers.disconnected(conn, |left| leaving.push(left));
        for left in leaving {
            self.leave(conn, left);
        }
        self.unsubscribe_all(conn);
        for index in session.introduced() {
            let core = self.places.at(index);
            self.delivery.outputs.post(core, Lane::Requests, Packet::Farewell(conn, session.oversized));
        }
        self.departed(conn, session.oversized);
        self.listener_departed(conn);
        for (owner, forwarded) in session.withheld.take().map(|withheld| withheld.into_waiting()).unwrap_or_default() {
            self.give_up(owner, forwarded);
        }
        if let Some(identity) = session.identity.as_ref().filter(|_| session.wire.stays()) {
            self.hold_client_id(conn, identity, false);
            self.presence_changed(conn, identity.clone(), false);
        }
        if session.wire.stays() && !matches!(session.state, State::Connected) {
            let (user, remote) = (session.user().map(Into::into), session.remote());
            self.delivery.outputs.note(Note::Disconnected { user, remote });
        }
    }

    /// The view changed. From here on the shard goes by this one, if it is later and leaves what there is where it is: the same
    /// seed, every slot with the node that has it, and every member in its place of the list. So nodes may join that own nothing.
    /// They hear of what this shard says from here on. What their shards need of it from before, they are made with (permission
    /// rules), or have no use for while they own no name (listeners, filters, who watches everybody).
    ///
    /// Everything else is refused and changes nothing: how a name moves, and what becomes of a node that is gone, is no matter of
    /// a shard alone. A server alone has no view, and adopts none.
    pub fn adopt_view(&mut self, now: Nanos, view: Arc<View>) -> Result<(), Unviewable> {
        self.input(now, Kind::View, &view);
        let adopted = self.places.adopt(view);
        if adopted.is_ok() {
            self.delivery.outputs.adopt_places(self.places.clone());
            self.delivery.subscribers.adopt_places(self.places.clone());
            self.unasked.share(&self.options.limits, self.places.count());
        }
        self.answers(adopted)
    }

    /// A packet of another core arrived, from one of the places of the view that is in force here: others are not heard.
    pub fn packet(&mut self, now: Nanos, from: Place, packet: Packet) {
        self.input(now, Kind::Packet, &(from, &packet));
        if !self.places.has(from) {
            return;
        }
        match packet {
            Packet::Request(forwarded) => {
                let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
                self.request(forwarded.conn, forwarded.reply_to, &message);
            }
            Packet::Introduce(conn, identity) => {
                self.delivery.remote_identities.insert(conn, identity);
            }
            Packet::Farewell(conn, oversized) => {
                self.delivery.remote_identities.remove(&conn);
                self.unasked.forget(conn);
                self.departed(conn, oversized);
                self.listener_departed(conn);
            }
            Packet::Presence { conn, identity, online } => self.count_presence(conn, &identity, online),
            Packet::HoldClientId { conn, at, identity, on } => self.hold_client_id_here(conn, at, &identity, on),
            Packet::TakenOver(conn) => self.taken_over(conn),
            Packet::Counted(conn) => self.admitted(conn),
            Packet::Everyone { conn, reply_to, on } => self.everyone_on(conn, reply_to, on),
            Packet::Listen { conn, reply_to, topic, pattern, on } => {
                self.listen_changed(conn, reply_to, topic, &pattern, on);
            }
            Packet::Users { conn, reply_to } => self.users(conn, reply_to),
            Packet::Online { reply_to, users } => self.users_online(reply_to, users),
            Packet::Leave { conn, slot, epoch } => self.left(conn, slot, epoch),
            Packet::Reply(conn, frame) => self.delivery.sessions.deliver(&mut self.delivery.outputs, conn, frame),
            Packet::FanOut { slot, end, except, frames } => {
                self.delivery.fan_out_here(from, slot, except, Source::Frames(&frames));
                if end {
                    self.delivery.subscribers.end(from, slot);
                }
            }
            Packet::Announced { user, frames } => self.tell_everyone(from, &user, &frames),
            Packet::Joined { conn, reply_to, slot, epoch, provided } => {
                self.joined(from, conn, reply_to, slot, epoch, provided);
            }
            Packet::Withheld(forwarded) => self.withheld(from, forwarded),
            Packet::Fetched(conn, number) => self.fetched(conn, number),
            Packet::Settled { conn, reply_to, refused, version } => {
                self.settled(from, conn, reply_to, refused, version);
            }
            Packet::RemoteRead { rule_lookup, place, hash, name } => {
                self.remote_read(from, rule_lookup, place, hash, &name);
            }
            Packet::RemoteReadDone { rule_lookup, place, found } => self.remote_read_done(rule_lookup, place, found),
            Packet::Rules(permissions) => self.adopt(permissions),
        }
        self.go_on_judging();
    }

    /// The world answered.
    pub fn completed(&mut self, now: Nanos, outcome: Completion) {
        self.input(now, Kind::Completed, &outcome);
        match outcome {
            Completion::Loaded { ticket, result } => self.loaded(ticket, result),
            Completion::Stored { ticket, result } => self.stored(ticket, &result),
            Completion::Authenticated { conn, login } => self.authenticated(conn, login),
        }
        self.go_on_judging();
    }

    /// Time passed. Call it when [`Shard::next_deadline`] is reached.
    pub fn tick(&mut self, now: Nanos) {
        self.input(now, Kind::Tick, &());
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(now, &mut due);
        for key in due.drain(..) {
            match key {
                TimerKey::Session(conn) => self.session_due(now, conn),
                TimerKey::Load(ticket) => self.loaded(ticket, Err(Fault::Timeout)),
                TimerKey::Stores(ticket) => self.stores_late(ticket),
                TimerKey::StoreRetry => self.records.retry(),
                TimerKey::Call(call) => self.call_due(call),
                TimerKey::ListenResponse(attempt) => self.listener_silent(attempt),
                TimerKey::ListenWork => self.go_on_listening(),
                TimerKey::ListenRematch => self.rematch_due(),
                TimerKey::RuleLookup(rule_lookup) => self.rule_lookup_late(rule_lookup),
                TimerKey::Choices => self.sweep_choices(),
                TimerKey::Reauthorization => self.go_on_revising(),
                TimerKey::LeftOut(what) => self.tell_left_out(what),
            }
        }
        self.due = due;
        self.go_on_judging();
    }

    /// The server stops: every connection is told and closed.
    pub fn stop(&mut self, now: Nanos) {
        self.input(now, Kind::Stop, &());
        for conn in self.delivery.sessions.ids() {
            self.delivery.close(conn, Reason::Shutdown);
        }
        self.tell_left_out(Sampled::RuleFailures);
        self.tell_shadow();
    }
}

impl Shard {
    /// Who a connection is logged in as.
    pub fn user(&self, conn: ConnId) -> Option<&str> {
        self.delivery.sessions.get(conn).and_then(Session::user)
    }
}

impl Shard {
    /// Sets a timer.
    pub(crate) fn set_timer(&mut self, after_ns: u64, key: TimerKey) -> TimerId {
        self.timers.insert(self.delivery.outputs.now.after(after_ns), key)
    }
}
