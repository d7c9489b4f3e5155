//! Getting what owners say to connections, at the edge of this core and at those of others.
//!
//! *Owns* this core's edge, the identities of other cores' connections, and the scratch in which messages are encoded.
//! *Promises* that a message is encoded once per wire present, whoever and how many receive it; and that what is said to an edge is
//! the same wherever it is: a call here, a packet elsewhere. *Does not* decide who is told what, nor know what an edge keeps.

use crate::context::Context;
use crate::ident::{ConnId, NodeId, Place};
use crate::interest::Interest;
use crate::output::Frames;
use crate::outputs::Outputs;
use crate::packet::{Forwarded, Identity, Lane, Packet, Rejoined, ReplyTo};
use crate::sides::{Joined, Sides, ToEdge, ToOwner};
use crate::view::Row;
use ahash::RandomState;
use bytes::Bytes;
use deepstream_wire::encode::{encode, pass_on};
use deepstream_wire::{Broadcast, Outgoing, Topic, Wire};
use hashbrown::HashMap;
use std::sync::Arc;

/// All edges, as this core's owner speaks to them.
pub(crate) struct Edges<E> {
    core: Place,
    gate: Gate,
    pub(crate) here: E,
    /// Connections of other cores that have spoken to this one.
    identities: HashMap<ConnId, Arc<Identity>, RandomState>,
    scratch: [Vec<u8>; Wire::COUNT],
}

impl<E> Edges<E> {
    pub(crate) fn new(core: Place, here: E, hasher: RandomState) -> Self {
        Self {
            core,
            gate: Gate { core, near: core, kept: Vec::new() },
            here,
            identities: HashMap::with_hasher(hasher),
            scratch: [const { Vec::new() }; Wire::COUNT],
        }
    }

    /// A connection of another core is introduced, perhaps anew.
    pub(crate) fn introduced(&mut self, conn: ConnId, identity: Arc<Identity>) {
        self.identities.insert(conn, identity);
    }

    /// A connection of another core is gone.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.identities.remove(&conn);
    }

    /// Nothing is known of a node's connections any more; which they were.
    pub(crate) fn forget_node(&mut self, node: NodeId) -> Vec<ConnId> {
        self.identities.extract_if(|conn, _| conn.core.node() == node).map(|(conn, _)| conn).collect()
    }

    /// How many of them are of no place.
    pub(crate) fn strangers(&self, places: &Row) -> usize {
        self.identities.keys().filter(|conn| !places.has(conn.core)).count()
    }

    /// How many connections of other cores are known.
    pub(crate) fn identity_count(&self) -> usize {
        self.identities.len()
    }

    /// What owners say is kept back from here on.
    pub(crate) fn shut_gate(&mut self) {
        self.gate.near = ConnId::NOBODY.core;
    }

    /// Whether what owners say is kept back.
    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        self.gate.near != self.core
    }

    /// What owners say goes out again. What was kept back, whose memory is to be given back.
    pub(crate) fn open_gate(&mut self) -> Vec<(Place, Packet)> {
        self.gate.near = self.core;
        std::mem::take(&mut self.gate.kept)
    }

    /// See [`Edges::open_gate`].
    pub(crate) fn reuse(&mut self, kept: Vec<(Place, Packet)>) {
        debug_assert!(kept.is_empty(), "nothing of it is lost");
        if self.gate.kept.capacity() == 0 {
            self.gate.kept = kept;
        }
    }

    /// Says something whether the gate is shut or not.
    pub(crate) fn past_gate<R>(&mut self, say: impl FnOnce(&mut Self) -> R) -> R {
        let near = std::mem::replace(&mut self.gate.near, self.core);
        let said = say(self);
        self.gate.near = near;
        said
    }
}

/// What owners say goes through here. While it is shut, all of it is kept back, in the form of packets, for this core's edge too.
struct Gate {
    core: Place,
    /// The place whose edge is told by calls: this core; nobody's place while the gate is shut.
    near: Place,
    kept: Vec<(Place, Packet)>,
}

impl Gate {
    /// Says something to an edge by a packet: at once, unless the gate is shut.
    fn send(&mut self, outputs: &mut Outputs, to: Place, packet: Packet) {
        if self.near == self.core {
            outputs.post(to, Lane::Deliveries, packet);
        } else {
            self.kept.push((to, packet));
        }
    }
}

impl<E: ToEdge> Edges<E> {
    /// The user a connection, of any core, is logged in as.
    pub(crate) fn user(&self, conn: ConnId) -> Option<&str> {
        self.identity_of(conn).map(|identity| &*identity.user)
    }

    /// Who a connection, of any core, is, while it is here.
    pub(crate) fn identity_of(&self, conn: ConnId) -> Option<&Identity> {
        self.shared_identity(conn).map(|identity| &**identity)
    }

    /// Who a connection, of any core, is.
    pub(crate) fn identity(&self, conn: ConnId) -> Option<Arc<Identity>> {
        self.shared_identity(conn).cloned()
    }

    #[inline]
    fn shared_identity(&self, conn: ConnId) -> Option<&Arc<Identity>> {
        if conn.core == self.core { self.here.identity(conn) } else { self.identities.get(&conn) }
    }

    /// What a connection reads; `None` if it is gone or was never introduced.
    pub(crate) fn wire(&self, conn: ConnId) -> Option<Wire> {
        if conn.core == self.core {
            self.here.wire(conn)
        } else {
            self.identities.get(&conn).map(|identity| identity.wire)
        }
    }

    /// Whether anything more is said to a connection, as far as this core knows.
    pub(crate) fn is_told(&self, conn: ConnId) -> bool {
        conn.core != self.core || self.here.is_told(conn)
    }

    /// Bytes that wait for a connection's socket, as far as this core knows.
    pub(crate) fn backlog(&self, conn: ConnId) -> usize {
        if conn.core == self.core { self.here.backlog(conn) } else { 0 }
    }

    /// Sends one message to one connection, wherever its socket is. A connection that is gone is passed over.
    pub(crate) fn reply(&mut self, cx: &mut Context, conn: ConnId, message: &Outgoing<'_>) {
        if conn.core == self.gate.near {
            self.here.tell(&mut cx.outputs, conn, |wire, out| encode(wire, message, out));
        } else if let Some(wire) = self.wire(conn) {
            let frame = &mut self.scratch[wire as usize];
            frame.clear();
            encode(wire, message, frame);
            let frame = Bytes::copy_from_slice(frame);
            cx.outputs.posted_bytes += frame.len() as u64;
            self.gate.send(&mut cx.outputs, conn.core, Packet::Reply(conn, frame));
        }
    }

    /// Sends one connection what another said, in the same words where it reads protobuf; else what `anew` says.
    pub(crate) fn reply_verbatim<'m>(
        &mut self,
        cx: &mut Context,
        conn: ConnId,
        topic: Topic,
        body: &[u8],
        anew: impl FnOnce() -> Outgoing<'m>,
    ) {
        if conn.core != self.gate.near {
            return self.reply(cx, conn, &anew());
        }
        self.here.tell(&mut cx.outputs, conn, |wire, out| {
            let encoding = wire.encoding();
            if encoding == Wire::Protobuf {
                pass_on(topic, body, out);
            } else {
                encode(encoding, &anew(), out);
            }
        });
    }

    /// Sends one message to all subscribers of a name this core owns. `message` gives its form for a wire.
    pub(crate) fn fan_out<'m, S: Into<Broadcast<'m>>>(
        &mut self,
        cx: &mut Context,
        to: Audience<'_>,
        message: impl Fn(Wire) -> S,
    ) {
        let Audience { interest, slot, except, end, differs } = to;
        if let Some(wire) = interest.only_wire_on(self.gate.near)
            && let Some(member) = self.here.only_member(slot, except)
        {
            // One who is told, and he is here: what he is told needs to lie nowhere before it lies in his outbox.
            return match message(wire).into() {
                Broadcast::Verbatim(topic, body) => {
                    self.here.tell_member(&mut cx.outputs, member, except, |out| pass_on(topic, body, out));
                }
                Broadcast::Encoded(message) => {
                    self.here.tell_member(&mut cx.outputs, member, except, |out| encode(wire, &message, out));
                }
            };
        }
        let mut places = Places::default();
        let mut wires = interest.wires();
        while wires != 0 {
            let wire = Wire::ALL[wires.trailing_zeros() as usize];
            wires &= wires - 1;
            let place = if differs { wire } else { wire.encoding() };
            if !places.holds(place) {
                let frame = &mut self.scratch[place as usize];
                frame.clear();
                write(wire, &message(wire).into(), frame);
            }
            places.put(wire, place);
        }
        let scratch = &self.scratch;
        let mut frames = None;
        for core in interest.cores() {
            if core == self.gate.near {
                let frames = Wire::ALL.map(|wire| places.of(wire, scratch));
                let to = (core, slot, except);
                self.here.fan_out(&mut cx.outputs, to, frames, || share(scratch, places));
            } else {
                let frames = frames.get_or_insert_with(|| share(scratch, places)).clone();
                self.gate.send(&mut cx.outputs, core, Packet::FanOut { slot, end, except, frames });
            }
        }
    }
}

/// What owners tell the edges of connections, by call or by packet.
impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// A subscription is counted; what the owner sends from here on is for it too.
    #[inline]
    pub(crate) fn tell_joined(&mut self, joined: Joined) {
        let Joined { conn, reply_to, slot, epoch, provided } = joined;
        if conn.core == self.edges.gate.near {
            self.heard_joined(conn.core, joined);
        } else {
            let packet = Packet::Joined { conn, reply_to, slot, epoch, provided };
            self.edges.gate.send(&mut self.cx.outputs, conn.core, packet);
        }
    }

    /// A part of a bulk message is done, or refused.
    #[inline]
    pub(crate) fn settle_at_edge(&mut self, conn: ConnId, reply_to: ReplyTo, refused: bool, version: Option<i32>) {
        if reply_to.bulk_request == ReplyTo::NONE && !(refused && reply_to.joins()) {
            return;
        }
        if conn.core == self.edges.gate.near {
            E::settled(self, conn.core, conn, reply_to, refused, version);
        } else {
            let packet = Packet::Settled { conn, reply_to, refused, version };
            self.edges.gate.send(&mut self.cx.outputs, conn.core, packet);
        }
    }

    /// Another connection bears a connection's name now.
    pub(crate) fn tell_taken_over(&mut self, conn: ConnId) {
        if conn.core == self.edges.gate.near {
            self.edges.here.taken_over(&mut self.cx.outputs, conn);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, conn.core, Packet::TakenOver(conn));
        }
    }

    /// A connection's user is online, to whoever asks from here on.
    pub(crate) fn tell_counted(&mut self, conn: ConnId) {
        if conn.core == self.edges.gate.near {
            E::counted(self, conn);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, conn.core, Packet::Counted(conn));
        }
    }

    /// There may be no room for an answer.
    pub(crate) fn tell_withheld(&mut self, forwarded: Forwarded) {
        let core = forwarded.conn.core;
        if core == self.edges.gate.near {
            self.heard_withheld(core, forwarded);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, core, Packet::Withheld(forwarded));
        }
    }

    /// What was asked again, under this number, is answered.
    pub(crate) fn tell_fetched(&mut self, conn: ConnId, number: u32) {
        if conn.core == self.edges.gate.near {
            self.heard_fetched(conn, number);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, conn.core, Packet::Fetched(conn, number));
        }
    }

    /// These users are online, of those whose names this core owns.
    pub(crate) fn tell_online(&mut self, conn: ConnId, reply_to: ReplyTo, users: Box<[Box<[u8]>]>) {
        if conn.core == self.edges.gate.near {
            self.heard_online(reply_to, users);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, conn.core, Packet::Online { reply_to, users });
        }
    }

    /// Nothing more comes of a request, for which only edges of other nodes wait: they can lose their owner.
    #[inline]
    pub(crate) fn tell_done(&mut self, conn: ConnId, reply_to: ReplyTo) {
        let ReplyTo { name_id, attempt, .. } = reply_to;
        if conn.core.node() != self.cx.core.node() && conn != ConnId::NOBODY && name_id != ReplyTo::NONE {
            self.edges.gate.send(&mut self.cx.outputs, conn.core, Packet::Done { name_id, attempt });
        }
    }

    /// A request is not for this owner: it goes back whole.
    pub(crate) fn tell_astray(&mut self, forwarded: Forwarded) {
        let core = forwarded.conn.core;
        if core == self.edges.gate.near {
            E::astray(self, core, forwarded);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, core, Packet::Astray(forwarded));
        }
    }

    /// Nothing of a core is under way here any more for slots that were lost up to this view.
    pub(crate) fn tell_flushed(&mut self, core: Place, epoch: u64) {
        if core == self.edges.gate.near {
            E::flushed(self, core, epoch);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, core, Packet::Flushed { epoch });
        }
    }

    /// Names of a core are counted.
    pub(crate) fn tell_rejoined(&mut self, core: Place, names: Box<[Rejoined]>) {
        if core == self.edges.gate.near {
            E::rejoined(self, core, &names);
        } else {
            self.edges.gate.send(&mut self.cx.outputs, core, Packet::Rejoined(names));
        }
    }

    /// A user came or went; to a core that has subscribers of everybody.
    pub(crate) fn announce_to(&mut self, core: Place, user: &[u8], frames: &Frames) {
        if core == self.edges.gate.near {
            self.heard_announced(core, user, frames);
        } else {
            let packet = Packet::Announced { user: user.into(), frames: frames.clone() };
            self.edges.gate.send(&mut self.cx.outputs, core, packet);
        }
    }
}

#[inline]
fn write(wire: Wire, said: &Broadcast<'_>, out: &mut Vec<u8>) {
    match said {
        Broadcast::Verbatim(topic, body) => pass_on(*topic, body, out),
        Broadcast::Encoded(message) => encode(wire, message, out),
    }
}

/// Who is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience<'a> {
    pub(crate) interest: &'a Interest,
    /// The name's slot.
    pub(crate) slot: u32,
    /// The one who is not.
    pub(crate) except: ConnId,
    /// The subscriptions end with this message.
    pub(crate) end: bool,
    /// The message has a form of its own for each wire.
    pub(crate) differs: bool,
}

impl<'a> Audience<'a> {
    /// Everybody but one.
    pub(crate) fn others(interest: &'a Interest, slot: u32, except: ConnId) -> Self {
        Self { interest, slot, except, end: false, differs: false }
    }
}

/// Which of the scratch buffers holds the encoding for each wire. Wires that share an encoding share a buffer; one that
/// nobody reads has none, and whatever an earlier message left there is not given to anybody.
#[derive(Clone, Copy, Debug, Default)]
struct Places([Option<Wire>; Wire::COUNT]);

impl Places {
    fn holds(self, place: Wire) -> bool {
        self.0.contains(&Some(place))
    }

    fn put(&mut self, wire: Wire, place: Wire) {
        self.0[wire as usize] = Some(place);
    }

    #[inline]
    fn of(self, wire: Wire, scratch: &[Vec<u8>; Wire::COUNT]) -> &[u8] {
        match self.0[wire as usize] {
            Some(place) => &scratch[place as usize],
            None => &[],
        }
    }
}

fn share(scratch: &[Vec<u8>; Wire::COUNT], places: Places) -> Frames {
    let mut frames = [const { Bytes::new() }; Wire::COUNT];
    for wire in Wire::ALL {
        let place = places.0[wire as usize];
        let twin = places.0.iter().position(|&other| other == place).filter(|&twin| twin < wire as usize);
        frames[wire as usize] = match twin {
            Some(twin) => frames[twin].clone(),
            None => Bytes::copy_from_slice(places.of(wire, scratch)),
        };
    }
    Frames::new(frames)
}
