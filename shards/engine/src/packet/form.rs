//! The bytes of a packet: one form, for tapes and for other nodes.
//!
//! *Owns* the form, its number, and its bounds. *Promises* that reading is total: whatever bytes come, they are a packet or a
//! [`NoPacket`], never a panic, and what is read takes memory in proportion to them; that a packet which was written is read as
//! the same one, field by field; and that its bytes exceed those it carries by little. *Does not* frame packets, nor send them.
//!
//! Every packet begins with the number of its form, so that nodes of two versions can tell that they are. It changes with
//! whatever is written here, and with the numbers of actions, topics and wires.
//!
//! `codec` writes it, as it writes tapes, not a serializer: what is compiled (patterns, rules) is written as what it was made
//! from, and made anew when it is read, which no derived format would do; and tapes need the rest of it anyway.

use super::{Forwarded, Identity, Lane, Packet, Rejoin, Rejoined, ReplyTo};
use crate::codec::{Get, Put, byte, enums, structs};
use crate::ident::{ConnId, Nanos, Place};
use crate::output::Frames;
use crate::pattern::NamePattern;
use crate::permissions::{Permissions, Shadow};
use bytes::Bytes;
use deepstream_valve::check::{At, Outline, RuleOutline};
use deepstream_valve::{Paths, Ruleset};
use deepstream_wire::{Action, Flags, Head, Span, Topic, Wire};

/// The number of the form.
const FORM: u8 = 2;

/// Why bytes are no packet, or a packet has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPacket {
    /// They were written by another version of the engine.
    #[error("a packet of form {0}, not of form {FORM}")]
    Form(u8),
    /// They are of this form, and no packet.
    #[error("no packet")]
    Malformed,
    /// There are too many, whatever they are.
    #[error("{0} bytes, more than a packet may have ({max})", max = Packet::BYTES_MAX)]
    TooLong(usize),
}

impl Packet {
    /// Bytes of one packet. A longer one is neither written nor read; the largest record that may be by default, in every
    /// encoding at once, is shorter.
    pub const BYTES_MAX: usize = 1 << 30;
    /// What the form adds to the bytes that a packet carries, at most, unless it is a list: of users, or of rules.
    pub const OVERHEAD_BYTES_MAX: usize = 128;

    /// Appends its bytes.
    pub fn write(&self, to: &mut Vec<u8>) -> Result<(), NoPacket> {
        let before = to.len();
        self.put(to);
        let len = to.len() - before;
        if len > Self::BYTES_MAX {
            to.truncate(before);
            return Err(NoPacket::TooLong(len));
        }
        Ok(())
    }

    /// The packet that these bytes are, all of them.
    pub fn read(mut bytes: &[u8]) -> Result<Self, NoPacket> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(NoPacket::TooLong(bytes.len()));
        }
        match bytes.first() {
            Some(&form) if form != FORM => return Err(NoPacket::Form(form)),
            _ => {}
        }
        Self::get(&mut bytes).filter(|_| bytes.is_empty()).ok_or(NoPacket::Malformed)
    }
}

structs! {
    Place { 0: number }
    ConnId { core: core, generation: generation, slot: slot }
    Nanos { 0: ns }
    ReplyTo {
        name_id: name_id,
        attempt: attempt,
        bulk_request: bulk_request,
        bulk_generation: bulk_generation,
        part: part,
        rules: rules,
    }
    Identity { user: user, wire: wire, client: client, client_data: client_data, server_data: server_data }
    Forwarded { conn: conn, reply_to: reply_to, head: head, bytes: bytes }
    Rejoin {
        topic: topic,
        hash: hash,
        name: name,
        name_id: name_id,
        attempt: attempt,
        count: count,
        sum: sum,
        wires: wires,
        version: version,
    }
    Rejoined { name_id: name_id, attempt: attempt, slot: slot, epoch: epoch }
    Flags { 0: bits }
    Span { start: start, len: len }
    Head {
        name_hash: name_hash,
        version: version,
        flags: flags,
        action: action,
        name: name,
        data: data,
        correlation_id: correlation_id,
        path: path,
        names: names,
    }
    Permissions {
        generation: generation,
        ruleset: ruleset,
        shadow: shadow,
        rounds_max: rounds_max,
        sweep_ns: sweep_ns,
        guarded: guarded,
    }
    Shadow { ruleset: ruleset, file: file, live_file: live_file, samples_per_minute_max: samples_per_minute_max }
    At { line: line, column: column }
    Outline { made_of: made_of, paths: paths, rules: rules }
    RuleOutline { section: section, kind: kind, path: path, at: at, text: text }
}

enums! {
    Paths {
        0 Regular {}
        1 Literal {}
    }
    Lane {
        0 Requests {}
        1 Deliveries {}
    }
    Wire {
        0 Protobuf {}
        1 ProtobufNoMulti {}
        2 Text {}
        3 Json {}
        4 Http {}
        5 Mqtt {}
        6 TextSdk {}
    }
    Packet as FORM {
        0 Request { 0: forwarded }
        1 Introduce { 0: conn, 1: identity }
        2 Farewell { 0: conn, 1: oversized }
        3 Leave { conn: conn, slot: slot, epoch: epoch }
        4 Presence { conn: conn, identity: identity, online: online }
        5 Everyone { conn: conn, reply_to: reply_to, on: on }
        6 Listen { conn: conn, reply_to: reply_to, topic: topic, pattern: pattern, on: on }
        7 Users { conn: conn, reply_to: reply_to }
        8 RemoteRead { rule_lookup: rule_lookup, place: place, hash: hash, name: name }
        9 Rules { 0: permissions }
        10 RemoteReadDone { rule_lookup: rule_lookup, place: place, found: found }
        11 Online { reply_to: reply_to, users: users }
        12 Reply { 0: conn, 1: bytes }
        13 FanOut { slot: slot, end: end, except: except, frames: frames }
        14 Joined { conn: conn, reply_to: reply_to, slot: slot, epoch: epoch, provided: provided }
        15 Settled { conn: conn, reply_to: reply_to, refused: refused, version: version }
        16 HoldClientId { conn: conn, at: at, identity: identity, on: on }
        17 TakenOver { 0: conn }
        18 Counted { 0: conn }
        19 Withheld { 0: forwarded }
        20 Fetched { 0: conn, 1: number }
        21 Announced { user: user, frames: frames }
        22 Flush { epoch: epoch }
        23 Rejoin { 0: names }
        24 Told { epoch: epoch }
        25 View { 0: view }
        26 Astray { 0: forwarded }
        27 Flushed { epoch: epoch }
        28 Rejoined { 0: names }
        29 Done { name_id: name_id, attempt: attempt }
    }
}

/// Wires that share an encoding have the same bytes, which are written once.
impl Put for Frames {
    fn put(&self, to: &mut Vec<u8>) {
        for wire in Wire::ALL {
            let frame = self.of(wire);
            let twin = Wire::ALL.into_iter().take(wire as usize).position(|other| self.of(other) == frame);
            twin.put(to);
            if twin.is_none() {
                frame.put(to);
            }
        }
    }
}

impl Get<'_> for Frames {
    fn get(from: &mut &[u8]) -> Option<Self> {
        let mut frames = [const { Bytes::new() }; Wire::COUNT];
        for wire in 0..Wire::COUNT {
            frames[wire] = match Option::<usize>::get(from)? {
                Some(twin) => frames[..wire].get(twin)?.clone(),
                None => Bytes::get(from)?,
            };
        }
        Some(Self::new(frames))
    }
}

impl Put for Topic {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(*self as u8);
    }
}

impl Get<'_> for Topic {
    fn get(from: &mut &[u8]) -> Option<Self> {
        Self::from_code(byte(from)?.into())
    }
}

impl Put for Action {
    fn put(&self, to: &mut Vec<u8>) {
        self.topic().put(to);
        to.push(self.code());
    }
}

impl Get<'_> for Action {
    fn get(from: &mut &[u8]) -> Option<Self> {
        let topic = Topic::get(from)?;
        Self::from_code(topic, byte(from)?.into())
    }
}

impl Put for NamePattern {
    fn put(&self, to: &mut Vec<u8>) {
        self.source().put(to);
    }
}

impl Get<'_> for NamePattern {
    fn get(from: &mut &[u8]) -> Option<Self> {
        Self::compile(Get::get(from)?).ok()
    }
}

impl Put for Ruleset {
    fn put(&self, to: &mut Vec<u8>) {
        self.outline().put(to);
    }
}

impl Get<'_> for Ruleset {
    fn get(from: &mut &[u8]) -> Option<Self> {
        Self::of_outline(Outline::get(from)?).ok()
    }
}
