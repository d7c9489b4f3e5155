//! The shard: its inputs, and who handles what.
//!
//! *Owns* both sides, and is the only one who knows which they are. *Promises* that every input goes to the side it concerns, and
//! that what it completed is gone on with before it ends. *Does not* do any of it.

use crate::census::Census;
use crate::context::{Context, Link, Options, TimerKey};
use crate::edge::Edge;
use crate::ident::{ConnId, Nanos, NodeId, Place};
use crate::output::{Completion, Fault, Flow, Headers, Peer};
use crate::owner::Owner;
use crate::packet::{Forwarded, Packet};
use crate::permissions::{Permissions, Sampled};
use crate::permit::Permit;
use crate::sides::edges::Edges;
use crate::sides::{Sides, ToEdge, ToOwner};
use crate::tape::input::Kind;
use crate::view::{Row, Unviewable, View};
use deepstream_wire::{Message, Unreadable, Wire};
use std::sync::Arc;

/// How far a shard is from view to view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The epoch of the view in force; 0 of a server alone.
    pub adopted: u64,
    /// The epoch up to which it holds nothing any more that it had to give up: all of it is stored.
    pub yielded: u64,
}

/// One core's share of the server. Owns its names and its connections; promises to run every input to completion.
pub struct Shard {
    pub(crate) sides: Sides<Edge, Owner>,
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
        let permit = Permit::new(options.permissions.clone());
        let edge = Edge::new(core, places.clone(), &options);
        let owner = Owner::new(core, &places, &options, permit.has_rules(), permit.guarded());
        let edges = Edges::new(core, edge, crate::context::hasher(&options));
        let cx = Context::new(now, core, places, options);
        Self { sides: Sides { cx, permit, edges, owner }, due: Vec::new() }
    }

    /// Makes room for so many connections, so that their tables need not move while they fill: a table that moves is copied,
    /// and its new place first touched, between two messages.
    pub fn reserve(&mut self, connections: usize) {
        self.sides.edges.here.reserve(connections);
        // Each has one: by then it is to be looked at.
        self.sides.cx.timers.reserve(connections);
    }

    /// A socket was accepted. `None`: there are too many, close it.
    pub fn connected(&mut self, now: Nanos, peer: Peer) -> Option<ConnId> {
        self.input(now, Kind::Connected, &peer);
        let conn = self.sides.connected(now, peer)?;
        Some(self.answers(conn))
    }

    /// A connection became a WebSocket on which `wire` is spoken. Where the server leads, the link has greeted.
    pub fn upgraded(&mut self, now: Nanos, conn: ConnId, wire: Wire, referer: &str, headers: Headers) {
        self.input(now, Kind::Upgraded, &(conn, wire, referer, &headers));
        self.sides.upgraded(now, conn, wire, referer, headers);
    }

    /// A connection on which nothing was said yet is spoken to on another wire than its upgrade said: its client waits for the
    /// server to speak, or was only late to speak itself. Where the server leads, the link has greeted.
    pub fn turned(&mut self, now: Nanos, conn: ConnId, wire: Wire) {
        self.input(now, Kind::Turned, &(conn, wire));
        self.sides.turned(now, conn, wire);
    }

    /// A connection is a proxy's, and this is whom it speaks for.
    pub fn speaks_for(&mut self, conn: ConnId, remote: &str) {
        self.drained(Kind::SpeaksFor, &(conn, remote));
        self.sides.speaks_for(conn, remote);
    }

    /// A connection turned out to carry requests of HTTP: each is a connection of its own, what they are told goes out
    /// through this one, and for how long it may say nothing is the host's business.
    pub fn became_http(&mut self, now: Nanos, conn: ConnId) {
        self.input(now, Kind::BecameHttp, &conn);
        self.sides.became_http(conn);
    }

    /// A client said under which name it is connected once, if it has one, and how long it may be silent; `None`: for ever.
    pub fn introduced(&mut self, now: Nanos, conn: ConnId, client: &[u8], silence_ns_max: Option<u64>) {
        self.input(now, Kind::Introduced, &(conn, client, silence_ns_max));
        self.sides.introduced(conn, client, silence_ns_max);
    }

    /// A message arrived.
    pub fn received(&mut self, now: Nanos, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        self.input(now, Kind::Received, &(conn, message));
        let flow = self.sides.hear(now, conn, message);
        self.answers(flow)
    }

    /// The will of a client (MQTT 5.0, 3.1.2.5): what is published for it when its connection ends without a DISCONNECT. That
    /// the connection is gone is told next. Means nothing before the login.
    pub fn will(&mut self, now: Nanos, conn: ConnId, message: &Message<&[u8]>) {
        self.input(now, Kind::Will, &(conn, message));
        self.sides.will(conn, message);
    }

    /// Bytes arrived that are no message.
    pub fn unreadable(&mut self, now: Nanos, conn: ConnId, what: Unreadable) -> Flow {
        self.input(now, Kind::Unreadable, &(conn, what));
        let flow = self.sides.unreadable(now, conn, what);
        self.answers(flow)
    }

    /// Something came that is no message: a pong, a part of a message that is not whole. Whoever sends it lives.
    ///
    /// Before a connection has said what it is, only messages count: the head of a request that drips in byte by byte, and a
    /// client that waits for the server to speak first, are told apart from clients by saying nothing.
    pub fn heard(&mut self, now: Nanos, conn: ConnId) {
        self.input(now, Kind::Heard, &conn);
        self.sides.heard(now, conn);
    }

    /// The connection's link answers by itself: upgrade, pong.
    pub fn raw(&mut self, now: Nanos, conn: ConnId, bytes: &[u8]) {
        self.input(now, Kind::Raw, &(conn, bytes));
        self.sides.raw(conn, bytes);
    }

    /// The connection's link answers for the last time: nothing follows these bytes, whatever they do to its outbox. Whether that
    /// is for a message that is too large.
    pub fn goodbye(&mut self, now: Nanos, conn: ConnId, bytes: &[u8], oversized: bool) {
        self.input(now, Kind::Goodbye, &(conn, bytes, oversized));
        self.sides.goodbye(conn, bytes, oversized);
    }

    /// The kernel took `bytes` of what was taken from this connection's outbox.
    #[inline]
    pub fn flushed(&mut self, now: Nanos, conn: ConnId, bytes: usize) {
        self.input(now, Kind::Flushed, &(conn, bytes));
        self.sides.flushed(now, conn, bytes);
    }

    /// Beside its outbox, so many bytes are kept for a connection: of answers that are still to be put there, and of messages
    /// that have not come whole or are being dealt with. Whether connections are to be dropped at once for that: ask for
    /// [`Shard::closes`].
    #[must_use]
    pub fn holds(&mut self, now: Nanos, conn: ConnId, unsent: usize, received: usize) -> bool {
        self.input(now, Kind::Holds, &(conn, unsent, received));
        let much = self.sides.holds(now, conn, unsent, received);
        self.answers(much)
    }

    /// A socket is gone.
    pub fn disconnected(&mut self, now: Nanos, conn: ConnId) {
        self.input(now, Kind::Disconnected, &conn);
        self.sides.disconnected(conn);
    }

    /// The view changed. From here on the shard goes by this one, if it is later, of the same seed, and has this process in it.
    /// It tells the other cores of the node ahead of whatever goes by it. Nodes may join that own nothing: they hear of what this
    /// shard says from here on. What their shards need of it from before, they are made with (permission rules), or have no use
    /// for while they own no name (listeners, filters, who watches everybody).
    ///
    /// Unless [`Options::moves_names`] is set, a view that moves a name, or in which a node is missing, is refused. What is refused
    /// changes nothing. A server alone has no view, and adopts none.
    pub fn adopt_view(&mut self, now: Nanos, view: Arc<View>) -> Result<(), Unviewable> {
        self.input(now, Kind::View, &view);
        let adopted = self.sides.adopt_view(view);
        self.sides.go_on_judging();
        self.answers(adopted)
    }

    /// What was under way to and from a member is lost: what it knew of this shard's connections, and what this shard knows of its,
    /// is forgotten. What comes of the node from here on is of this link. Passed over if the node has another membership.
    pub fn restarted(&mut self, now: Nanos, node: NodeId, since: u64, link: u32) {
        self.input(now, Kind::Restarted, &(node, since, link));
        self.sides.restarted(node, Link { since, number: link });
        self.sides.go_on_judging();
    }

    /// Whether a member is heard. What is asked of one that is not is answered with an error at once. Passed over if the node has
    /// another membership.
    pub fn reached(&mut self, now: Nanos, node: NodeId, since: u64, heard: bool) {
        self.input(now, Kind::Reached, &(node, since, heard));
        if self.sides.cx.places.view().and_then(|view| view.member(node)).is_some_and(|member| member.since == since) {
            Edge::reached(&mut self.sides, node, heard);
        }
        self.sides.go_on_judging();
    }

    /// This node is no member as of the view of this epoch: it serves nothing until a later one comes. Passed over if a later one is
    /// in force.
    pub fn suspended(&mut self, now: Nanos, epoch: u64) {
        self.input(now, Kind::Suspended, &epoch);
        self.sides.suspended(epoch);
        self.sides.go_on_judging();
    }

    /// Storage takes what this node writes in these slots with this generation, and nothing of earlier ones any more. Before that
    /// a member of a view answers nothing that is asked of their names: it waits, for as long as storage may take. Slots that
    /// have another node or another generation in the view in force are passed over.
    pub fn claimed(&mut self, now: Nanos, slots: &[u16], generation: u64) {
        self.input(now, Kind::Claimed, &(slots, generation));
        self.sides.claimed(slots, generation);
    }

    /// No other node claims what this one has before `until`, as long as it is the member that it has been since the view of the
    /// epoch `since`. What is asked of names at or after the latest such moment waits. So a request must not come in with an
    /// older moment than the one at which it was taken from its socket.
    pub fn leased(&mut self, now: Nanos, since: u64, until: Nanos) {
        self.input(now, Kind::Leased, &(since, until));
        self.sides.leased(since, until);
    }

    /// Other rules are in force from here on. Tells the other cores ahead of whatever goes by them.
    pub fn adopt_permissions(&mut self, now: Nanos, permissions: Arc<Permissions>) {
        self.input(now, Kind::Adopted, &permissions);
        self.sides.adopt(permissions);
    }

    /// A packet of another core arrived, from one of the places of the view that is in force here: others are not heard.
    pub fn packet(&mut self, now: Nanos, from: Place, packet: Packet) {
        self.input(now, Kind::Packet, &(from, &packet));
        let sides = &mut self.sides;
        if !sides.cx.places.has(from) {
            return;
        }
        match packet {
            Packet::Request(Forwarded { conn, reply_to, head, bytes }) => {
                Owner::request(sides, conn, reply_to, &Message { head, bytes: &bytes[..] });
            }
            Packet::Introduce(conn, identity) => sides.edges.introduced(conn, identity),
            Packet::Farewell(conn, oversized) => {
                sides.edges.forget(conn);
                Owner::farewell(sides, conn, oversized);
            }
            Packet::Presence { conn, identity, online } => Owner::presence(sides, conn, &identity, online),
            Packet::HoldClientId { conn, at, identity, on } => {
                if let Some(key) = identity.client_key() {
                    Owner::hold_client_id(sides, conn, at, key, on);
                }
            }
            Packet::Everyone { conn, reply_to, on } => Owner::everyone(sides, conn, reply_to, on),
            Packet::Listen { conn, reply_to, topic, pattern, on } => {
                Owner::listen(sides, conn, reply_to, topic, &pattern, on);
            }
            Packet::Users { conn, reply_to } => Owner::users(sides, conn, reply_to),
            Packet::Leave { conn, slot, epoch } => Owner::left(sides, conn, slot, epoch),
            Packet::RemoteRead { rule_lookup, place, hash, name } => {
                sides.remote_read(from, rule_lookup, place, hash, &name);
            }
            Packet::Rules(permissions) => sides.adopt(permissions),
            // Of another core of this node. One of another node would be by its own way from view to view.
            Packet::View(view) if from.node() == sides.cx.core.node() => {
                // It may be here already, of the host or of another core.
                let _ = sides.adopt_view(view);
            }
            Packet::View(_) => {}
            Packet::Flush { epoch } => Owner::flush(sides, from, epoch),
            Packet::Rejoin(names) => Owner::rejoin(sides, from, &names),
            Packet::Told { epoch } => Owner::told(sides, from, epoch),
            delivery @ (Packet::TakenOver(_)
            | Packet::Counted(_)
            | Packet::Online { .. }
            | Packet::Reply(..)
            | Packet::FanOut { .. }
            | Packet::Announced { .. }
            | Packet::Joined { .. }
            | Packet::Withheld(_)
            | Packet::Fetched(..)
            | Packet::Settled { .. }
            | Packet::Astray(_)
            | Packet::Done { .. }
            | Packet::Flushed { .. }
            | Packet::Rejoined(_)
            | Packet::RemoteReadDone { .. }) => sides.delivered(from, delivery),
        }
        sides.go_on_judging();
    }

    /// The world answered.
    pub fn completed(&mut self, now: Nanos, outcome: Completion) {
        self.input(now, Kind::Completed, &outcome);
        match outcome {
            Completion::Loaded { ticket, result } => self.sides.loaded(ticket, result),
            Completion::Stored { ticket, result } => self.sides.stored(ticket, &result),
            Completion::Authenticated { conn, login } => self.sides.authenticated(conn, login),
        }
        self.sides.go_on_judging();
    }

    /// Time passed. Call it when [`Shard::next_deadline`] is reached.
    pub fn tick(&mut self, now: Nanos) {
        self.input(now, Kind::Tick, &());
        let mut due = std::mem::take(&mut self.due);
        let sides = &mut self.sides;
        sides.cx.timers.expire(now, &mut due);
        for key in due.drain(..) {
            match key {
                TimerKey::Session(conn) => sides.session_due(now, conn),
                TimerKey::Load(ticket) => sides.loaded(ticket, Err(Fault::Timeout)),
                TimerKey::Stores(ticket) => sides.stores_late(ticket),
                TimerKey::StoreRetry => sides.owner.retry_stores(),
                TimerKey::Call(call) => sides.call_due(call),
                TimerKey::ListenResponse(attempt) => sides.listener_silent(attempt),
                TimerKey::ListenWork => sides.go_on_listening(),
                TimerKey::ListenRematch => sides.rematch_due(),
                TimerKey::RuleLookup(rule_lookup) => sides.rule_lookup_late(rule_lookup),
                TimerKey::Choices => sides.sweep_choices(),
                TimerKey::Reauthorization => sides.go_on_revising(),
                TimerKey::Untold => sides.untold_late(),
                TimerKey::CatchUp => sides.go_on_catching_up(),
                TimerKey::Unserved => sides.unserved_late(),
                TimerKey::Moves => sides.moves_late(),
                TimerKey::LeftOut(what) => sides.tell_left_out(what),
            }
        }
        self.due = due;
        self.sides.go_on_judging();
    }

    /// The server stops: every connection is told and closed.
    pub fn stop(&mut self, now: Nanos) {
        self.input(now, Kind::Stop, &());
        self.sides.close_all();
        self.sides.tell_left_out(Sampled::RuleFailures);
        self.sides.tell_shadow();
    }
}

/// What is asked of it.
impl Shard {
    /// Who a connection is logged in as.
    pub fn user(&self, conn: ConnId) -> Option<&str> {
        self.sides.edges.here.user(conn)
    }

    /// How far it is from view to view.
    pub fn standing(&self) -> Standing {
        let adopted = self.sides.cx.places.view().map_or(0, |view| view.epoch());
        Standing { adopted, yielded: self.sides.owner.yielded().unwrap_or(adopted) }
    }

    /// The link by which this shard speaks to a member: the epoch since which it is one, and the link's number. `None`: it has not
    /// heard of any yet, and what it has for the node waits.
    pub fn link(&self, node: NodeId) -> Option<(u64, u32)> {
        self.sides.cx.links.get(&node).map(|link| (link.since, link.number))
    }

    /// Whether what comes by this link may be handed in. Else it is of one that is over.
    pub fn knows(&self, node: NodeId, since: u64, link: u32) -> bool {
        self.link(node) == Some((since, link))
    }

    /// How many entries of its tables name a place that is none, or a connection of one. There must not be any: a node may come again
    /// under the same number.
    pub fn strangers(&self) -> usize {
        let Sides { cx, edges, owner, .. } = &self.sides;
        edges.strangers(&cx.places) + owner.strangers(&cx.places)
    }

    /// What is held now.
    pub fn census(&self) -> Census {
        let Sides { cx, permit, edges, owner } = &self.sides;
        let mut census = Census {
            remote_connections: edges.identity_count(),
            timers: cx.timers.len() - permit.idle_timers(),
            rule_lookups: permit.rule_lookup_count(),
            packets: cx.outputs.packets.iter().flatten().map(Vec::len).sum(),
            ..Census::default()
        };
        edges.here.count(&mut census);
        owner.count(&mut census);
        census
    }
}
