//! Large answers wait until there is room for them: as a few bytes with their owner and with the edge of who asked, not as
//! documents in an outbox.
//!
//! One message can ask for far more than its connection may have unsent: ten thousand names stand for gigabytes. So an owner
//! answers at once only what fits, by what it knows of the asker's outbox: all of it where the asker is its own, and what it
//! has lately told the asker where it is another core's. Beyond that it withholds the answer, and says so with its size. The
//! edge fetches what is withheld, in its order, as its client takes what it was told; a fetch is the request once more. While
//! anything is to be fetched its connection is not read: so there is never much of it. A fetch is judged by the permission
//! rules in force when it is made, not by those that the request met: it may have waited long.
//!
//! A write that conflicts is answered with the record too, and whoever counts on from a version that was never its own has
//! many of them under way. What is fetched of it is the answer alone: it conflicted, whatever version the record has by then.
//!
//! *Owns* the owner's account of what it told connections of other cores unasked; the edge's list of what is to be fetched is in
//! `edge/withheld.rs`. *Promises* that
//! a connection's outbox is never filled beyond its high-water mark by answers to its own readings and to its own writes that
//! conflict, unless by a single one; that whatever was withheld is fetched, if only to be forgotten; that what one connection
//! says of one name is done in the order it was said, withheld or not. *Does not* hold back what others do: a fan-out is told
//! to whoever subscribes.

use crate::ident::{ConnId, Nanos};
use crate::limits::Limits;
use crate::output::Note;
use crate::owner::Owner;
use crate::owner::deed::{Deed, is_write};
use crate::owner::park::Parked;
use crate::packet::{Forwarded, ReplyTo};
use crate::sides::{Sides, ToEdge};
use ahash::RandomState;
use bytes::Bytes;
use deepstream_wire::{Flags, Head, Message, Span};
use hashbrown::HashMap;

/// What an answer is in bytes beside its name and its value, roughly.
const ANSWER_BYTES: usize = 64;
/// Answers to connections of other cores up to this are not accounted for: a bulk message of them is not much longer itself.
const UNCOUNTED_BYTES_MAX: usize = 256;
/// An owner tells a connection of another core this much unasked, however many cores there are.
const UNASKED_BYTES_MIN: usize = 16 << 10;
/// How long an owner remembers what it told a connection of another core, unless the same message asks for more: time enough for its
/// edge to notice, and to read no more.
const REMEMBERED_NS: u64 = 50_000_000;

/// What owners told connections of other cores unasked.
#[derive(Debug)]
pub(crate) struct Unasked {
    told: HashMap<ConnId, Told, RandomState>,
    bytes_max: usize,
    /// Of the answer that is being given, if it is held back until it is stored.
    counted: usize,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    /// The bulk message it was told for last; 0: for one about a single name.
    message: u32,
    since: Nanos,
    bytes: usize,
    /// Of those, what is held back until it is stored: it is remembered until then.
    held: usize,
}

impl Unasked {
    pub(crate) fn new(limits: &Limits, owners: usize, hasher: RandomState) -> Self {
        let mut unasked = Self { told: HashMap::with_hasher(hasher), bytes_max: 0, counted: 0 };
        unasked.share(limits, owners);
        unasked
    }

    /// So many owners may tell a connection something unasked.
    pub(crate) fn share(&mut self, limits: &Limits, owners: usize) {
        let high_water = limits.outbox_high_water_bytes;
        let least = high_water.min(UNASKED_BYTES_MIN);
        self.bytes_max = (high_water / 2 / owners).max(least);
    }

    /// Who was told something lately.
    pub(crate) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.told.keys().copied()
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        if !self.told.is_empty() {
            self.told.remove(&conn);
        }
    }

    /// Whether an answer is told without counting it.
    fn is_little(&self, bytes: usize) -> bool {
        bytes <= UNCOUNTED_BYTES_MAX.min(self.bytes_max)
    }

    /// Whether a connection may be told this much more once it is stored; if so it counts as told.
    fn may_hold(&mut self, conn: ConnId, message: u32, bytes: usize, now: Nanos) -> bool {
        let Some(told) = self.may_count(conn, message, bytes, now) else { return false };
        told.held += bytes;
        self.counted += bytes;
        true
    }

    /// What counts for the answer that was just given, if it is held back.
    pub(crate) fn take_counted(&mut self) -> usize {
        std::mem::take(&mut self.counted)
    }

    /// So much is held back no more, because it is told now, or never.
    pub(crate) fn told_counted(&mut self, conn: ConnId, bytes: usize, now: Nanos) {
        if bytes > 0
            && let Some(told) = self.told.get_mut(&conn)
        {
            told.held -= bytes;
            told.since = now;
        }
    }

    /// Whether a connection may be told this much more; if so it counts as told.
    fn may_count(&mut self, conn: ConnId, message: u32, bytes: usize, now: Nanos) -> Option<&mut Told> {
        let told = self.told.entry(conn).or_insert(Told { message, since: now, bytes: 0, held: 0 });
        let goes_on = told.held > 0 || (message != 0 && told.message == message);
        if !goes_on && now.since(told.since) > REMEMBERED_NS {
            (told.since, told.bytes) = (now, 0);
        }
        told.message = message;
        if told.bytes + bytes > self.bytes_max {
            return None;
        }
        told.bytes += bytes;
        Some(told)
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// A reading, or a write that conflicts, is about to be answered: if there is no room for the answer it is withheld. Whether it is.
    pub(crate) fn withhold(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) -> bool {
        if reply_to.is_fetch() {
            return false;
        }
        let name = self.owner.names.at(slot);
        let bytes = name.record().answer_len() + name.name.len() + ANSWER_BYTES;
        // What one connection asks is answered in its order.
        if !name.record().withholds_from(conn) && self.may_answer(conn, reply_to, bytes) {
            return false;
        }
        if self.cx.outputs.verbose {
            self.cx.outputs.note(Note::AnswerWithheld {
                name: String::from_utf8_lossy(message.name()).into(),
                conn,
                correlation_id: message.correlation_id().map(Into::into),
            });
        }
        let forwarded = shortened(conn, reply_to, message);
        self.owner.names.at_mut(slot).record_mut().withhold(forwarded.clone());
        self.owner.records.goes_on = true;
        let told = ReplyTo { part: u32::try_from(bytes).unwrap_or(u32::MAX), ..reply_to };
        let forwarded = Forwarded { reply_to: told, ..forwarded };
        self.tell_withheld(forwarded);
        true
    }

    fn may_answer(&mut self, conn: ConnId, reply_to: ReplyTo, bytes: usize) -> bool {
        let (is_shut, is_far) = (self.edges.is_shut(), conn.core != self.cx.core);
        if is_shut || is_far {
            let (message, now) = (reply_to.bulk_generation, self.cx.outputs.now);
            let unasked = &mut self.owner.unasked;
            // What is held back fills no outbox yet. What one was told who is gone is remembered by nobody who could forget it.
            return (!is_shut && unasked.is_little(bytes))
                || self.edges.wire(conn).is_none()
                || (is_shut && unasked.may_hold(conn, message, bytes, now))
                || (!is_shut && unasked.may_count(conn, message, bytes, now).is_some());
        }
        self.edges.here.has_room(conn, bytes)
    }

    /// A fetch came. What is to be done: nothing if it was done before, for the sake of order, or if its connection is gone.
    pub(crate) fn takes_fetch(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo) -> Option<Forwarded> {
        let forwarded = self.owner.names.at_mut(slot).record_mut().unwithhold(conn, reply_to);
        forwarded.filter(|_| self.edges.wire(conn).is_some())
    }

    /// Whether a message is done only behind the answers to its connection that are withheld: not if its own is withheld as
    /// well then.
    pub(crate) fn comes_behind_withheld(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
    ) -> bool {
        if !self.owner.names.at(slot).as_record().is_some_and(|record| record.withholds_from(conn)) {
            return false;
        }
        let done = match Deed::of(message.head.action) {
            Some(Deed::Read(_)) => true,
            Some(Deed::Write(_)) => reply_to.is_fetch(),
            Some(Deed::Head | Deed::SubscribeAndHead | Deed::Subscribe | Deed::Delete | Deed::Notify) | None => false,
        };
        !done && !self.conflicts(slot, message)
    }

    /// A connection has more to say of a name of which answers to it are withheld: they wait in front of that, as what is told
    /// late is judged when it is told.
    pub(crate) fn park_withheld(&mut self, slot: u32, conn: ConnId) {
        while let Some(parked) = self.unwithheld(slot, conn) {
            self.park(slot, parked);
        }
    }

    /// The first answer that is withheld from a connection, as a message that waits.
    pub(crate) fn unwithheld(&mut self, slot: u32, conn: ConnId) -> Option<Parked> {
        let reply_to = self.owner.names.at(slot).record().first_withheld(conn)?.reply_to;
        let forwarded = self.owner.names.at_mut(slot).record_mut().unwithhold(conn, reply_to)?;
        let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
        Some(self.parked(conn, forwarded.reply_to.yielded(), &message))
    }

    /// A reading is over, one way or another: if it was fetched, its edge may fetch the next.
    pub(crate) fn fetch_over(&mut self, conn: ConnId, reply_to: ReplyTo) {
        if reply_to.is_awaited_fetch() {
            self.tell_fetched(conn, reply_to.part);
        }
    }
}

/// What is needed of a reading to answer it later: one name of perhaps thousands.
fn shortened(conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) -> Forwarded {
    let (name, id) = (message.name(), message.correlation_id());
    let mut bytes = Vec::with_capacity(name.len() + id.map_or(0, <[u8]>::len));
    let mut head = Head { name_hash: message.head.name_hash, ..Head::new(message.head.action) };
    let mut put = |part: &[u8], flag| {
        let span = Span { start: bytes.len() as u32, len: part.len() as u32 };
        bytes.extend_from_slice(part);
        head.flags.set(flag);
        span
    };
    let name = put(name, Flags::NAME);
    let id = id.map(|id| put(id, Flags::CORRELATION_ID));
    head.name = name;
    head.correlation_id = id.unwrap_or_default();
    if is_write(head.action) {
        head.version = message.head.version;
        head.flags.set(Flags(message.head.flags.0 & (Flags::VERSION | Flags::IS_WRITE_ACK | Flags::IS_ERROR).0));
    }
    Forwarded { conn, reply_to, head, bytes: Bytes::from(bytes) }
}
