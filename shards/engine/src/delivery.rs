//! Getting bytes to connections, here and on other cores.
//!
//! *Owns* the edge's sessions and what they hear, what is said to other cores, and the identities of those cores' connections.
//! *Promises* that a message is encoded once per wire present, whoever and how many receive it.
//! *Does not* decide who is told what.

use crate::edge::session::table::{Session, Sessions};
use crate::edge::subscribers::Subscribers;
use crate::ident::{ConnId, Place};
use crate::limits::Limits;
use crate::output::{Frames, Reason};
use crate::outputs::Outputs;
use crate::owner::interest::Interest;
use crate::packet::{Identity, Lane, Packet};
use crate::view::Row;
use ahash::RandomState;
use bytes::Bytes;
use deepstream_wire::encode::{encode, pass_on};
use deepstream_wire::{Broadcast, Outgoing, Topic, Wire};
use hashbrown::HashMap;
use std::sync::Arc;

/// Everything that leaves the shard.
#[derive(Debug)]
pub(crate) struct Delivery {
    core: Place,
    pub(crate) sessions: Sessions,
    /// Which of them hear which name.
    pub(crate) subscribers: Subscribers,
    pub(crate) outputs: Outputs,
    /// Connections of other cores that have spoken to this one.
    pub(crate) remote_identities: HashMap<ConnId, Arc<Identity>, RandomState>,
    scratch: [Vec<u8>; Wire::COUNT],
}

impl Delivery {
    pub(crate) fn new(core: Place, places: Row, limits: Limits, verbose: bool, hasher: RandomState) -> Self {
        Self {
            core,
            outputs: Outputs::new(core, places.clone(), limits.backlog_packets_max, verbose),
            sessions: Sessions::new(core, limits),
            subscribers: Subscribers::new(places, hasher.clone()),
            remote_identities: HashMap::with_hasher(hasher),
            scratch: [const { Vec::new() }; Wire::COUNT],
        }
    }

    /// The user a connection, of any core, is logged in as.
    pub(crate) fn user(&self, conn: ConnId) -> Option<&str> {
        if conn.core == self.core {
            self.sessions.get(conn).and_then(Session::user)
        } else {
            self.remote_identities.get(&conn).map(|identity| &*identity.user)
        }
    }

    /// Who a connection, of any core, is, while it is here.
    pub(crate) fn identity_of(&self, conn: ConnId) -> Option<&Identity> {
        if conn.core == self.core {
            self.sessions.get(conn).and_then(|session| session.identity.as_deref())
        } else {
            self.remote_identities.get(&conn).map(|identity| &**identity)
        }
    }

    /// Who a connection, of any core, is.
    pub(crate) fn identity(&self, conn: ConnId) -> Option<Arc<Identity>> {
        if conn.core == self.core {
            self.sessions.get(conn).and_then(|session| session.identity.clone())
        } else {
            self.remote_identities.get(&conn).cloned()
        }
    }

    /// What a connection reads; `None` if it is gone or was never introduced.
    pub(crate) fn wire(&self, conn: ConnId) -> Option<Wire> {
        if conn.core == self.core {
            self.sessions.get(conn).map(|session| session.wire)
        } else {
            self.remote_identities.get(&conn).map(|identity| identity.wire)
        }
    }

    /// Whether anything more is said to a connection, as far as this core knows.
    pub(crate) fn is_told(&self, conn: ConnId) -> bool {
        conn.core != self.core || self.sessions.get(conn).is_none_or(Session::is_told)
    }

    /// Bytes that wait for a connection's socket, as far as this core knows.
    pub(crate) fn backlog(&self, conn: ConnId) -> usize {
        if conn.core == self.core { self.sessions.get(conn).map_or(0, Session::backlog) } else { 0 }
    }

    /// Sends one message to one connection, wherever its socket is. A connection that is gone is passed over.
    pub(crate) fn reply(&mut self, conn: ConnId, message: &Outgoing<'_>) {
        if conn.core == self.core {
            self.sessions.append(&mut self.outputs, conn, |wire, outbox, spare| {
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
            self.outputs.posted_bytes += frame.len() as u64;
            self.outputs.post(conn.core, Lane::Deliveries, Packet::Reply(conn, frame));
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
        self.sessions.append(&mut self.outputs, conn, |wire, outbox, spare| {
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

    /// Sends one message to all subscribers of a name this core owns. `message` gives its form for a wire.
    pub(crate) fn fan_out<'m, S: Into<Broadcast<'m>>>(&mut self, to: Audience<'_>, message: impl Fn(Wire) -> S) {
        let Audience { interest, slot, except, end, differs } = to;
        if let Some(wire) = interest.only_wire_on(self.core)
            && let Some(member) = self.sessions.only_one(self.subscribers.members(self.core, slot), except)
        {
            // One who is told, and he is here: what he is told needs to lie nowhere before it lies in his outbox.
            return match message(wire).into() {
                Broadcast::Verbatim(topic, body) => {
                    self.sessions.tell_member(&mut self.outputs, member, except, |out| pass_on(topic, body, out));
                }
                Broadcast::Encoded(message) => {
                    self.sessions.tell_member(&mut self.outputs, member, except, |out| encode(wire, &message, out));
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
        let mut frames = None;
        for core in interest.cores() {
            if core == self.core {
                self.fan_out_here(core, slot, except, Source::Scratch(places));
            } else {
                let frames = frames.get_or_insert_with(|| share(&self.scratch, places)).clone();
                self.outputs.post(core, Lane::Deliveries, Packet::FanOut { slot, end, except, frames });
            }
        }
    }

    /// Sends one encoded message to this core's subscribers of an owner's slot.
    pub(crate) fn fan_out_here(&mut self, owner: Place, slot: u32, except: ConnId, source: Source<'_>) {
        let Self { sessions, subscribers, outputs, scratch, .. } = self;
        let scratch = &*scratch;
        let frames: [&[u8]; Wire::COUNT] = Wire::ALL.map(|wire| match source {
            Source::Scratch(places) => places.of(wire, scratch),
            Source::Frames(frames) => &frames.of(wire)[..],
        });
        sessions.fan_out_here(outputs, subscribers.members(owner, slot), except, frames, || match source {
            Source::Scratch(places) => share(scratch, places),
            Source::Frames(frames) => frames.clone(),
        });
    }

    /// Ends a connection: what waits for it is sent, nothing more is read.
    pub(crate) fn close(&mut self, conn: ConnId, reason: Reason) {
        self.sessions.close(&mut self.outputs, conn, reason);
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
