//! Getting bytes to connections, here and on other cores.
//!
//! *Owns* this core's sessions with their outboxes, the identities of other cores' connections, and the packet lanes.
//! *Promises* that a message is encoded once per wire present, whoever and how many receive it, and that an outbox
//! never grows past its maximum by more than one frame, nor ends its connection by a single one.
//! *Does not* decide who is told what.

use crate::edge::burden::Burden;
use crate::edge::session::parting::parting_of;
use crate::edge::session::table::{Closing, Session, Sessions, State};
use crate::edge::subscribers::Subscribers;
use crate::ident::{ConnId, Nanos, Place, Ticket};
use crate::limits::Limits;
use crate::output::{Ask, Frames, Note, Outbox, Reason, Spare};
use crate::owner::names::Interest;
use crate::packet::{Identity, Lane, Packet};
use crate::tape::Tape;
use crate::view::Row;
use ahash::RandomState;
use bytes::Bytes;
use deepstream_wire::encode::{encode, pass_on};
use deepstream_wire::parting::{encode_parting, encode_probe};
use deepstream_wire::{Outgoing, Said, Topic, Wire};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Everything that leaves the shard.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) core: Place,
    places: Row,
    pub(crate) limits: Limits,
    pub(crate) sessions: Sessions,
    /// Connections of other cores that have spoken to this one.
    pub(crate) strangers: HashMap<ConnId, Arc<Identity>, RandomState>,
    /// Packets per peer, as they stand in the row, and lane.
    pub(crate) packets: Vec<[Vec<Packet>; 2]>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) notes: Vec<Note>,
    /// Whether notes of level debug are wanted.
    pub(crate) verbose: bool,
    pub(crate) dirty: VecDeque<ConnId>,
    pub(crate) closes: Vec<Closing>,
    pub(crate) burden: Burden,
    pub(crate) resumed: Vec<ConnId>,
    pub(crate) counters: Counters,
    pub(crate) spare: Spare,
    /// Moment of the input being handled.
    pub(crate) now: Nanos,
    /// Where inputs are written down, if they are.
    pub(crate) tape: Option<Box<Tape>>,
    /// Bytes of answers that were ever sent to other cores.
    pub(crate) posted_bytes: u64,
    ticket: u64,
    scratch: [Vec<u8>; Wire::COUNT],
}

/// What happened on this shard since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connected: u64,
    /// Connections refused because of their number.
    pub refused_connections: u64,
    /// Logins accepted.
    pub logins: u64,
    /// Logins refused.
    pub refused_logins: u64,
    /// Messages of logged-in clients.
    pub received: u64,
    /// Messages put into outboxes of this core, fan-outs included.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Packets sent to other cores.
    pub hops: u64,
    /// Connections closed because they read too slowly.
    pub slow_consumers: u64,
    /// Connections closed because nothing was heard of them.
    pub heartbeats_missed: u64,
    /// Connections closed because they did not log in in time.
    pub authentication_timeouts: u64,
    /// Record values dropped from memory because of the byte budget.
    pub evicted: u64,
    /// Records read from storage.
    pub loads: u64,
    /// Records handed to storage.
    pub stores: u64,
    /// Permission rules that failed, which denied what they were asked for.
    pub rule_failures: u64,
    /// What a candidate's rules were asked beside those in force.
    pub shadow_judged: u64,
    /// Of those, what the candidate would allow and the rules in force do not.
    pub shadow_would_allow: u64,
    /// What the candidate would deny and the rules in force allow.
    pub shadow_would_deny: u64,
    /// What rules of the candidate fail at.
    pub shadow_would_fail: u64,
    /// What the candidate would have had to look for.
    pub shadow_undecided: u64,
}

impl Delivery {
    pub(crate) fn new(core: Place, places: Row, limits: Limits, verbose: bool, hasher: RandomState) -> Self {
        Self {
            core,
            packets: (0..places.count()).map(|_| Default::default()).collect(),
            places,
            limits,
            sessions: Sessions::new(core),
            strangers: HashMap::with_hasher(hasher),
            asks: Vec::new(),
            notes: Vec::new(),
            verbose,
            dirty: VecDeque::new(),
            closes: Vec::new(),
            burden: Burden::default(),
            resumed: Vec::new(),
            counters: Counters::default(),
            spare: Spare::default(),
            now: Nanos::default(),
            tape: None,
            posted_bytes: 0,
            ticket: 0,
            scratch: [const { Vec::new() }; Wire::COUNT],
        }
    }

    /// A number nothing waits for yet.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    /// The user a connection, of any core, is logged in as.
    pub(crate) fn user(&self, conn: ConnId) -> Option<&str> {
        if conn.core == self.core {
            self.sessions.get(conn).and_then(Session::user)
        } else {
            self.strangers.get(&conn).map(|identity| &*identity.user)
        }
    }

    /// Who a connection, of any core, is, while it is here.
    pub(crate) fn identity_of(&self, conn: ConnId) -> Option<&Identity> {
        if conn.core == self.core {
            self.sessions.get(conn).and_then(|session| session.identity.as_deref())
        } else {
            self.strangers.get(&conn).map(|identity| &**identity)
        }
    }

    /// Who a connection, of any core, is.
    pub(crate) fn identity(&self, conn: ConnId) -> Option<Arc<Identity>> {
        if conn.core == self.core {
            self.sessions.get(conn).and_then(|session| session.identity.clone())
        } else {
            self.strangers.get(&conn).cloned()
        }
    }

    /// What a connection reads; `None` if it is gone or was never introduced.
    pub(crate) fn wire(&self, conn: ConnId) -> Option<Wire> {
        if conn.core == self.core {
            self.sessions.get(conn).map(|session| session.wire)
        } else {
            self.strangers.get(&conn).map(|identity| identity.wire)
        }
    }

    /// Sends one message to one connection, wherever its socket is. A connection that is gone is passed over.
    pub(crate) fn reply(&mut self, conn: ConnId, message: &Outgoing<'_>) {
        if conn.core == self.core {
            self.append(conn, |wire, outbox, spare| {
                let out = outbox.open(spare);
                let before = out.len();
                encode(wire, message, out);
                out.len() - before
            });
        } else if let Some(wire) = self.wire(conn) {
            let frame = &mut self.scratch[wire as usize];
            frame.clear();
            encode(wire, message, frame);
            let frame = Bytes::copy_from_slice(frame);
            self.posted_bytes += frame.len() as u64;
            self.post(conn.core, Lane::Deliveries, Packet::Reply(conn, frame));
        }
    }

    /// Sends one connection what another said, in the same words where it reads protobuf; else what `anew` says.
    pub(crate) fn reply_verbatim<'m>(
        &mut self,
        conn: ConnId,
        topic: Topic,
        body: &[u8],
        anew: impl FnOnce() -> Outgoing<'m>,
    ) {
        if conn.core != self.core {
            return self.reply(conn, &anew());
        }
        self.append(conn, |wire, outbox, spare| {
            let out = outbox.open(spare);
            let before = out.len();
            let encoding = wire.encoding();
            if encoding == Wire::Protobuf {
                pass_on(topic, body, out);
            } else {
                encode(encoding, &anew(), out);
            }
            out.len() - before
        });
    }

    /// Asks a connection whether it lives, in a way that its WebSocket answers without its client.
    pub(crate) fn probe(&mut self, conn: ConnId) {
        self.append(conn, |wire, outbox, spare| {
            let out = outbox.open(spare);
            let before = out.len();
            encode_probe(wire, out);
            out.len() - before
        });
    }

    /// Appends bytes that are not a message of the engine: what the link answers by itself.
    pub(crate) fn raw(&mut self, conn: ConnId, bytes: &[u8]) {
        self.append(conn, |_, outbox, spare| {
            outbox.open(spare).extend_from_slice(bytes);
            bytes.len()
        });
    }

    /// The same, at the end of a link, whose own close frame is among the bytes.
    pub(crate) fn goodbye(&mut self, conn: ConnId, bytes: &[u8]) {
        let Self { limits, sessions, dirty, burden, counters, spare, now, .. } = self;
        let Some(session) = sessions.get_mut(conn).filter(|session| session.is_told()) else { return };
        session.outbox.open(spare).extend_from_slice(bytes);
        // One that never became a WebSocket is not closed as one either.
        if !matches!(session.state, State::Connected) {
            session.state = State::Closing;
        }
        counters.sent += 1;
        counters.sent_bytes += bytes.len() as u64;
        burden.put(session, bytes.len());
        // However much waits: it is over already.
        let _ = appended(session, conn, bytes.len(), *now, limits, dirty, burden);
    }

    /// Another core's answer to a connection of this one.
    pub(crate) fn deliver(&mut self, conn: ConnId, frame: Bytes) {
        let copy_bytes_max = self.limits.copy_bytes_max;
        self.append(conn, |_, outbox, spare| {
            let bytes = frame.len();
            if bytes >= copy_bytes_max {
                outbox.push_shared(frame);
            } else {
                outbox.open(spare).extend_from_slice(&frame);
            }
            bytes
        });
    }

    /// Sends one message to all subscribers of a name this core owns. `message` gives its form for a wire.
    pub(crate) fn fan_out<'m, S: Into<Said<'m>>>(
        &mut self,
        subscribers: &Subscribers,
        to: Audience<'_>,
        message: impl Fn(Wire) -> S,
    ) {
        let Audience { interest, slot, except, end, differs } = to;
        if let Some(wire) = interest.only_wire_on(self.core)
            && let Some(member) = self.only_one(subscribers.members(self.core, slot), except)
        {
            // One who is told, and he is here: what he is told needs to lie nowhere before it lies in his outbox.
            return match message(wire).into() {
                Said::AsItCame(topic, body) => self.tell_member(member, except, |out| pass_on(topic, body, out)),
                Said::Anew(message) => self.tell_member(member, except, |out| encode(wire, &message, out)),
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
        let mut frames = None;
        for core in interest.cores() {
            if core == self.core {
                self.fan_out_here(subscribers, core, slot, except, Source::Scratch(places));
            } else {
                let frames = frames.get_or_insert_with(|| share(&self.scratch, places)).clone();
                self.post(core, Lane::Deliveries, Packet::FanOut { slot, end, except, frames });
            }
        }
    }

    /// Of one or two subscribers of this core the one who is told: of two, the other is the one who is not.
    #[inline]
    fn only_one(&self, members: &[u32], except: ConnId) -> Option<u32> {
        let is_not = |member| except.core == self.core && except.slot == member && self.sessions.get(except).is_some();
        match *members {
            [member] => Some(member),
            [writer, member] | [member, writer] if is_not(writer) => Some(member),
            _ => None,
        }
    }

    /// Tells one subscriber of this core, unless it is the one who is not told.
    #[inline]
    fn tell_member(&mut self, member: u32, except: ConnId, put: impl FnOnce(&mut Vec<u8>)) {
        let Self { core, limits, sessions, dirty, burden, counters, spare, now, .. } = self;
        let Some(session) = sessions.slot_mut(member).filter(|session| session.is_told()) else { return };
        let conn = ConnId { core: *core, generation: session.generation, slot: member };
        if conn == except {
            return;
        }
        let out = session.outbox.open(spare);
        let before = out.len();
        put(out);
        let bytes = out.len() - before;
        counters.sent_bytes += bytes as u64;
        counters.sent += 1;
        burden.put(session, bytes);
        if appended(session, conn, bytes, *now, limits, dirty, burden) {
            self.close(conn, Reason::SlowConsumerFull);
        }
    }

    /// Sends one encoded message to this core's subscribers of an owner's slot.
    pub(crate) fn fan_out_here(
        &mut self,
        subscribers: &Subscribers,
        owner: Place,
        slot: u32,
        except: ConnId,
        source: Source<'_>,
    ) {
        // By its full name: the slot of one who is gone may be another's by now.
        let here = except.core == self.core && self.sessions.get(except).is_some();
        let except = if here { except.slot } else { u32::MAX };
        let Self { core, limits, sessions, dirty, burden, counters, spare, now, scratch, .. } = self;
        let frames: [&[u8]; Wire::COUNT] = Wire::ALL.map(|wire| match source {
            Source::Scratch(places) => places.of(wire, scratch),
            Source::Frames(frames) => &frames.of(wire)[..],
        });
        let mut shared: Option<Frames> = None;
        let mut loans = [None; Wire::COUNT];
        let mut full: Vec<ConnId> = Vec::new();
        for &member in subscribers.members(owner, slot) {
            if member == except {
                continue;
            }
            let Some(session) = sessions.slot_mut(member).filter(|session| session.is_told()) else { continue };
            let frame = frames[session.wire as usize];
            if frame.len() < limits.copy_bytes_max {
                session.outbox.open(spare).extend_from_slice(frame);
                burden.put(session, frame.len());
            } else {
                let shared = shared.get_or_insert_with(|| match source {
                    Source::Scratch(places) => share(scratch, places),
                    Source::Frames(frames) => frames.clone(),
                });
                session.outbox.push_shared(shared.of(session.wire).clone());
                burden.lend(session, frame.len(), &mut loans[session.wire as usize]);
            }
            counters.sent += 1;
            counters.sent_bytes += frame.len() as u64;
            let conn = ConnId { core: *core, generation: session.generation, slot: member };
            if appended(session, conn, frame.len(), *now, limits, dirty, burden) {
                full.push(conn);
            }
        }
        for conn in full {
            self.close(conn, Reason::SlowConsumerFull);
        }
    }

    /// Queues a packet for another core.
    pub(crate) fn post(&mut self, to: Place, lane: Lane, packet: Packet) {
        debug_assert_ne!(to, self.core, "a core does not write to itself");
        self.counters.hops += 1;
        if let Some(tape) = &mut self.tape {
            tape.said(&(to, lane, &packet));
        }
        self.packets_mut(to, lane).push(packet);
    }

    /// The host is about to be handed these.
    pub(crate) fn shows<T: std::fmt::Debug>(&mut self, what: impl FnOnce(&Self) -> &Vec<T>) {
        if let Some(mut tape) = self.tape.take() {
            tape.showed(what(self));
            self.tape = Some(tape);
        }
    }

    /// Whether a peer's backlog is so long that whoever adds to it should wait.
    pub(crate) fn congested(&self, peer: Place) -> bool {
        self.packets(peer, Lane::Requests).len() >= self.limits.backlog_packets_max
    }

    /// Packets for a peer, in order.
    pub(crate) fn packets(&self, to: Place, lane: Lane) -> &Vec<Packet> {
        &self.packets[self.places.index(to)][lane as usize]
    }

    /// The same, to be added to or taken.
    #[inline]
    pub(crate) fn packets_mut(&mut self, to: Place, lane: Lane) -> &mut Vec<Packet> {
        &mut self.packets[self.places.index(to)][lane as usize]
    }

    /// There are more places.
    pub(crate) fn adopt_places(&mut self, places: Row) {
        self.packets.resize_with(places.count(), Default::default);
        self.places = places;
    }

    /// Ends a connection: what waits for it is sent, nothing more is read.
    pub(crate) fn close(&mut self, conn: ConnId, reason: Reason) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if matches!(session.state, State::Closing) {
            return;
        }
        let (user, remote, wire) = (session.user().map(Into::into), session.remote(), session.wire);
        let since = match reason {
            Reason::HeartbeatMissing | Reason::NeverSpoke => session.heard_at,
            Reason::SlowConsumerStalled => session.stepped_at,
            Reason::SlowConsumerFull
            | Reason::Overburdened
            | Reason::AuthenticationTimeout
            | Reason::InvalidAuth
            | Reason::TooManyAuthAttempts
            | Reason::LoginUnjudged
            | Reason::SessionExpired
            | Reason::TakenOver
            | Reason::Shutdown => self.now,
        };
        if !matches!(session.state, State::Connected) {
            let before = session.outbox.bytes.len();
            encode_parting(session.wire, parting_of(reason), &mut session.outbox.bytes);
            let bytes = session.outbox.bytes.len() - before;
            self.burden.put(session, bytes);
        }
        session.state = State::Closing;
        (session.moved_at, session.since) = (self.now, self.now);
        if !session.dirty {
            session.dirty = true;
            self.dirty.push_back(conn);
        }
        match reason {
            Reason::SlowConsumerFull | Reason::SlowConsumerStalled => self.counters.slow_consumers += 1,
            Reason::HeartbeatMissing | Reason::NeverSpoke => self.counters.heartbeats_missed += 1,
            Reason::AuthenticationTimeout => self.counters.authentication_timeouts += 1,
            // Dropped ones are counted where they are.
            Reason::Overburdened
            | Reason::InvalidAuth
            | Reason::TooManyAuthAttempts
            | Reason::LoginUnjudged
            | Reason::SessionExpired
            | Reason::TakenOver
            | Reason::Shutdown => {}
        }
        self.closes.push((conn, reason));
        self.note(Note::Closed { conn, user, remote, wire, reason, waited_ns: self.now.since(since) });
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Appends to the outbox of a connection of this core, if anything is still said to it: as many bytes as `put` says.
    #[inline]
    fn append(&mut self, conn: ConnId, put: impl FnOnce(Wire, &mut Outbox, &mut Spare) -> usize) {
        let Self { limits, sessions, dirty, burden, counters, spare, now, .. } = self;
        let Some(session) = sessions.get_mut(conn).filter(|session| session.is_told()) else { return };
        let bytes = put(session.wire, &mut session.outbox, spare);
        counters.sent_bytes += bytes as u64;
        counters.sent += 1;
        burden.put(session, bytes);
        if appended(session, conn, bytes, *now, limits, dirty, burden) {
            self.close(conn, Reason::SlowConsumerFull);
        }
    }
}

#[inline]
fn write(wire: Wire, said: &Said<'_>, out: &mut Vec<u8>) {
    match said {
        Said::AsItCame(topic, body) => pass_on(*topic, body, out),
        Said::Anew(message) => encode(wire, message, out),
    }
}

/// Something was appended to a session's outbox: it is to be flushed, and perhaps watched. Whether it has become too much.
#[inline]
fn appended(
    session: &mut Session,
    conn: ConnId,
    bytes: usize,
    now: Nanos,
    limits: &Limits,
    dirty: &mut VecDeque<ConnId>,
    burden: &mut Burden,
) -> bool {
    if !session.dirty {
        session.dirty = true;
        if session.unsent == 0 {
            session.moved_at = now;
        }
        dirty.push_back(conn);
    }
    let backlog = session.backlog();
    let high_water = limits.outbox_high_water_bytes.min(limits.outbox_bytes_max);
    if backlog <= high_water {
        return false;
    }
    if !session.filling {
        session.filling = true;
        (session.stepped_at, session.step_bytes) = (now, 0);
        burden.filling.push(conn);
    }
    // Whoever had little waiting is told whatever it is: a record may be larger than outboxes are to be. What the host will
    // put here is bounded there.
    let queued = session.queued();
    queued > limits.outbox_bytes_max && queued - bytes > high_water
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

/// Where the encodings of a fan-out lie.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// In the shard's scratch.
    Scratch(Places),
    /// In what another core sent.
    Frames(&'a Frames),
}

/// Which of the scratch buffers holds the encoding for each wire. Wires that share an encoding share a buffer; one that
/// nobody reads has none, and whatever an earlier message left there is not given to anybody.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places([Option<Wire>; Wire::COUNT]);

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
