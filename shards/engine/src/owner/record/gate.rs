//! The gate: nothing is said of a version before storage has it, where `record.visibility` is `stored` (docs/records.md §9).
//!
//! A record is worked on as ever, at once and in order. But what is said of it while its newest version is not stored is kept
//! back until it is: answers and changes alike, to this core's connections and to those of others, in the order in which they
//! were said. A reading of version 12 waits for version 12, not for a moment of rest: so batches are as large as ever, and the
//! cost is the time of one. This is output commit, as in recovery by logging: nobody sees what a crash could take back.
//!
//! While the gate is shut the owner speaks to its own core's edge as to a stranger, by packets ([`Edges::shut_gate`]); when it
//! opens they are handed in as if they had come from another core. Not one verb is written twice for it.
//!
//! Listeners are told past the gate: a question whether they provide a name says nothing of its record, and must not be overtaken
//! by the order to stop. An edge hears past it, too, that an answer is withheld, so that it reads no further.
//!
//! *Owns* what is kept back. *Promises* that it is told in order, once what it says is stored; and if that takes too long, or storage
//! never takes it, that whoever waits for an answer gets one all the same. *Does not* keep back what is said of records that live
//! in memory only, nor acknowledgements, which wait for storage anyway.
//!
//! [`Edges::shut_gate`]: crate::sides::edges::Edges::shut_gate

use super::{Record, Residence, told};
use crate::context::Visibility;
use crate::ident::{ConnId, Nanos, NodeId, Place};
use crate::output::Fault;
use crate::owner::Owner;
use crate::owner::deed::Deed;
use crate::owner::park::{Parked, Run, Step};
use crate::packet::{Forwarded, Lane, Packet, ReplyTo};
use crate::permit::RuleReader;
use crate::sides::{Sides, ToEdge};
use bytes::Bytes;
use deepstream_wire::{Action, Flags, Message, Outgoing, Wire};
use smallvec::{SmallVec, smallvec};
use std::collections::VecDeque;

/// What was said in the course of one message, and waits for storage.
#[derive(Debug)]
pub(super) struct Held {
    /// The version that has to be stored first.
    version: i32,
    since: Nanos,
    bytes: usize,
    /// Of those, what counts as an answer that its asker has not got yet.
    answer_bytes: usize,
    whose: Whose,
    said: SmallVec<[Said; 2]>,
}

#[derive(Debug)]
struct Said {
    to: Place,
    packet: Packet,
    /// Of a fan-out: the life of the subscriptions it is for.
    epoch: u32,
}

/// What is to be done instead if the version is never stored.
#[derive(Debug)]
enum Whose {
    /// A write that made it: its writer is told that it is lost, unless its acknowledgement says so.
    Write { conn: ConnId, action: Action, correlation_id: SmallVec<[u8; 24]>, awaited: bool },
    /// A message that is answered with it: it is done again.
    Message(Box<Parked>),
    /// Nothing: it stands.
    Nobody,
}

impl Held {
    /// Where somebody is to be told something.
    pub(super) fn places(&self, found: &mut Vec<Place>) {
        found.extend(self.said.iter().map(|said| said.to));
        match &self.whose {
            Whose::Write { conn, .. } => found.push(conn.core),
            Whose::Message(message) => found.push(message.conn.core),
            Whose::Nobody => {}
        }
    }

    /// Nothing is said any more to connections of a node.
    pub(super) fn forget_node(&mut self, node: NodeId) {
        let is_its = |conn: ConnId| conn.core.node() == node;
        self.said.retain(|said| said.to.node() != node);
        for said in &mut self.said {
            if let Packet::FanOut { except, .. } = &mut said.packet
                && is_its(*except)
            {
                *except = ConnId::NOBODY;
            }
        }
        match &mut self.whose {
            Whose::Write { conn, .. } if is_its(*conn) => *conn = ConnId::NOBODY,
            Whose::Message(message) if is_its(message.conn) => self.whose = Whose::Nobody,
            Whose::Write { .. } | Whose::Message(_) | Whose::Nobody => {}
        }
    }
}

impl Said {
    fn bytes(&self) -> usize {
        if let Packet::Reply(_, frame) = &self.packet {
            frame.len()
        } else if let Packet::FanOut { frames, .. } = &self.packet {
            Wire::ALL.map(|wire| frames.of(wire).len()).into_iter().max().unwrap_or(0)
        } else {
            0
        }
    }
}

impl Record {
    /// Whether something is said of this record only behind what storage still has to take.
    pub(super) fn is_unstored(&self) -> bool {
        self.queued || self.in_flight || self.work.as_ref().is_some_and(|work| !work.held.is_empty())
    }

    /// Whether there is a value that rules may look at.
    pub(super) fn has_value(&self) -> bool {
        let removal = || self.work.as_ref().and_then(|work| work.removal);
        match self.residence {
            Residence::Resident => true,
            Residence::Removing => removal().is_some_and(|removal| removal.known),
            Residence::Unknown | Residence::Loading | Residence::Missing => false,
        }
    }

    /// The same, and whether it is not stored yet.
    pub(super) fn has_unstored_value(&self) -> bool {
        let removal = || self.work.as_ref().and_then(|work| work.removal);
        match self.residence {
            Residence::Resident => self.queued || self.in_flight,
            Residence::Removing => removal().is_some_and(|removal| removal.known && removal.unstored),
            Residence::Unknown | Residence::Loading | Residence::Missing => false,
        }
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Does what is asked of a record, behind the gate if there is one.
    #[inline]
    pub(super) fn perform_deed(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        (deed, message): (Deed, &Message<&[u8]>),
        run: &mut Run,
    ) -> Step {
        match self.cx.options.visibility {
            Visibility::Accepted => self.do_whole_deed(slot, conn, reply_to, (deed, message), run),
            Visibility::Stored => self.perform_gated(slot, conn, reply_to, (deed, message), run),
        }
    }

    /// The same, and says that it is over, if it is.
    #[inline]
    fn do_whole_deed(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        (deed, message): (Deed, &Message<&[u8]>),
        run: &mut Run,
    ) -> Step {
        self.owner.records.goes_on = false;
        let step = self.do_deed(slot, conn, reply_to, (deed, message), run);
        if step == Step::Done && !self.owner.records.goes_on {
            self.tell_done(conn, reply_to);
        }
        step
    }

    fn perform_gated(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        (deed, message): (Deed, &Message<&[u8]>),
        run: &mut Run,
    ) -> Step {
        debug_assert!(!self.edges.is_shut(), "what is said behind the gate leads to nothing");
        if self.is_unstored(slot) {
            if !self.may_hold(slot, deed, message.bytes.len()) {
                let message = self.parked_again(conn, reply_to, message, run);
                self.fail(slot, &message, &Fault::Timeout);
                return Step::Done;
            }
            self.edges.shut_gate();
        }
        let step = self.do_whole_deed(slot, conn, reply_to, (deed, message), run);
        if self.edges.is_shut() {
            let written = std::mem::take(&mut self.owner.records.written);
            let whose = match deed {
                Deed::Write(_) if written => {
                    let awaited = message.head.flags.has(Flags::IS_WRITE_ACK) && message.correlation_id().is_some();
                    let correlation_id = message.correlation_id().unwrap_or_default().into();
                    Whose::Write { conn, action: message.head.action, correlation_id, awaited }
                }
                Deed::Subscribe => Whose::Nobody,
                Deed::Read(_) | Deed::Write(_) | Deed::Head | Deed::SubscribeAndHead | Deed::Delete | Deed::Notify => {
                    Whose::Message(Box::new(self.parked_again(conn, reply_to, message, run)))
                }
            };
            self.hold(slot, whose);
        }
        step
    }

    /// A record took a version: from here on the gate is shut until the message is done.
    #[inline]
    pub(super) fn changed(&mut self, slot: u32, written: bool) {
        if self.cx.options.visibility == Visibility::Stored && self.is_unstored(slot) {
            self.edges.shut_gate();
            self.owner.records.written = written;
        }
    }

    fn is_unstored(&self, slot: u32) -> bool {
        self.owner.names.get(slot).and_then(|name| name.as_record()).is_some_and(Record::is_unstored)
    }

    /// Whether there is room for what will be said of a deed. What only subscribes or deletes is little, and has no answer that
    /// says that there is none.
    fn may_hold(&self, slot: u32, deed: Deed, message_bytes: usize) -> bool {
        let answer = match deed {
            Deed::Subscribe | Deed::Delete => return true,
            Deed::Read(_) | Deed::Notify => self.owner.names.at(slot).record().answer_len(),
            Deed::Write(_) | Deed::Head | Deed::SubscribeAndHead => 0,
        };
        self.has_room_unstored(answer + message_bytes + size_of::<Held>())
    }

    /// Whether so many bytes more may be there that wait for storage.
    pub(super) fn has_room_unstored(&self, bytes: usize) -> bool {
        let records = &self.owner.records;
        records.unstored_bytes + records.held_bytes + bytes <= self.cx.options.limits.dirty_bytes_max
    }

    /// Says something of a name that is no answer, behind what waits for storage, if anything does.
    pub(crate) fn behind_gate(&mut self, slot: u32, say: impl FnOnce(&mut Self)) {
        let shuts = self.cx.options.visibility == Visibility::Stored && !self.edges.is_shut() && self.is_unstored(slot);
        if shuts {
            self.edges.shut_gate();
        }
        say(self);
        if shuts {
            self.hold(slot, Whose::Nobody);
        }
    }

    /// The gate opens for others: what was said of this record meanwhile waits for its present version.
    fn hold(&mut self, slot: u32, whose: Whose) {
        let mut kept = self.edges.open_gate();
        let mut withheld = SmallVec::<[_; 1]>::new();
        let mut said = SmallVec::new();
        for (to, packet) in kept.drain(..) {
            if let Packet::Withheld(forwarded) = packet {
                withheld.push(forwarded);
                continue;
            }
            let name = if let Packet::FanOut { slot, .. } = packet { self.owner.names.get(slot) } else { None };
            let epoch = name.map_or(0, |name| name.epoch);
            said.push(Said { to, packet, epoch });
        }
        self.edges.reuse(kept);
        let answer_bytes = self.owner.unasked.take_counted();
        if !said.is_empty() || matches!(whose, Whose::Write { awaited: false, .. }) {
            let own = if let Whose::Message(message) = &whose { message.size() } else { 0 };
            let bytes = size_of::<Held>() + own + said.iter().map(Said::bytes).sum::<usize>();
            let (record, since) = (self.owner.names.at_mut(slot).record_mut(), self.cx.outputs.now);
            let held = Held { version: record.version, since, bytes, answer_bytes, whose, said };
            record.work().held.push_back(held);
            self.owner.records.held += 1;
            self.owner.records.held_bytes += bytes;
        }
        for forwarded in withheld {
            self.tell_withheld(forwarded);
        }
    }

    /// Storage has a record as of this version: what waited for that is told, all of it if there is nothing newer.
    pub(super) fn release_held(&mut self, slot: u32, version: i32) {
        let Some(work) = &self.owner.names.at(slot).record().work else { return };
        if work.held.is_empty() {
            return;
        }
        // What that leads to may come back to this name.
        let before = self.begin_running(slot);
        while let Some(held) = self.next_held(slot, version) {
            for said in held.said {
                self.tell_held(slot, said);
            }
        }
        self.owner.names.at_mut(slot).waiting.running = before;
    }

    fn next_held(&mut self, slot: u32, version: i32) -> Option<Held> {
        let record = self.owner.names.at_mut(slot).record_mut();
        let is_settled = !record.queued && !record.in_flight;
        let held = &mut record.work.as_mut()?.held;
        let held = held.pop_front_if(|held| is_settled || held.version <= version)?;
        self.forget_held(&held);
        Some(held)
    }

    fn forget_held(&mut self, held: &Held) {
        self.owner.records.held -= 1;
        self.owner.records.held_bytes -= held.bytes;
        if let Whose::Message(message) = &held.whose {
            self.owner.unasked.told_counted(message.conn, held.answer_bytes, self.cx.outputs.now);
        }
    }

    fn tell_held(&mut self, slot: u32, Said { to, packet, epoch }: Said) {
        // All who had subscribed to a filter may be gone, and its place be another name's.
        if let Packet::FanOut { slot: of, .. } = packet
            && of != slot
            && self.owner.names.get(of).is_none_or(|name| name.epoch != epoch)
        {
            return;
        }
        if to == self.cx.core {
            self.delivered(to, packet);
        } else {
            self.cx.outputs.post(to, Lane::Deliveries, packet);
        }
    }

    /// Storage takes too long: whoever has waited for an answer since then is told so. What was written stands.
    pub(super) fn held_late(&mut self, slot: u32, started: u64) {
        let is_late = |held: &Held| match &held.whose {
            // There is no word for it that would not begin the subscription.
            Whose::Message(message) if Deed::of(message.head.action) == Some(Deed::SubscribeAndHead) => false,
            Whose::Message(_) => held.since.0 <= started,
            Whose::Write { .. } | Whose::Nobody => false,
        };
        let Some(record) = self.owner.names.get_mut(slot).and_then(|name| name.as_record_mut()) else { return };
        let Some(work) = record.work.as_mut().filter(|work| work.held.iter().any(is_late)) else { return };
        let (mut late, mut rest) = (Vec::new(), VecDeque::new());
        for held in std::mem::take(&mut work.held) {
            if is_late(&held) { late.push(held) } else { rest.push_back(held) }
        }
        work.held = rest;
        let before = self.begin_running(slot);
        for held in late {
            self.forget_held(&held);
            self.unsay(held.said);
            if let Whose::Message(message) = held.whose {
                self.fail(slot, &message, &Fault::Timeout);
            }
        }
        self.owner.names.at_mut(slot).waiting.running = before;
    }

    /// What was not said yet is not said. Whoever was counted for it is counted no more.
    fn unsay(&mut self, said: SmallVec<[Said; 2]>) {
        for said in said {
            if let Packet::Joined { conn, slot, epoch, .. } = said.packet {
                self.left(conn, slot, epoch);
            }
        }
    }

    /// Of what was not said yet, only that its message is over is said.
    fn say_over(&mut self, slot: u32, said: SmallVec<[Said; 2]>) {
        for said in said.into_iter().filter(|said| matches!(said.packet, Packet::Done { .. })) {
            self.tell_held(slot, said);
        }
    }

    /// Storage never takes what a record has become: nobody has seen it, and it is forgotten. Who wrote it is told so, and
    /// whatever else was asked of it is done again, on what storage has.
    pub(super) fn take_back(&mut self, slot: u32, why: &str) {
        let before = self.begin_running(slot);
        let record = self.owner.names.at_mut(slot).record_mut();
        let removal = record.work.as_mut().and_then(|work| work.removal.as_mut());
        if let Some(removal) = removal {
            // If it fails, there is nothing that could stand.
            (removal.known, removal.unstored) = (false, false);
        } else {
            if std::mem::take(&mut record.queued) {
                self.owner.records.queue.retain(|&other| other != slot);
            }
            self.settle_unstored(slot);
            self.vacate(slot, Residence::Unknown);
        }
        let why = told(why);
        self.fail_acks(slot, Some(&why), |_| true);
        let work = self.owner.names.at_mut(slot).record_mut().work();
        let all = std::mem::take(&mut work.held);
        if std::mem::take(&mut work.in_doubt) {
            let first = all.iter().find(|held| matches!(held.whose, Whose::Write { .. }));
            work.untold_from = first.map(|held| held.version).or(work.untold_from);
        }
        let mut again = Vec::new();
        for held in all {
            self.forget_held(&held);
            match held.whose {
                Whose::Write { awaited: true, .. } => {}
                Whose::Write { conn, action, correlation_id, awaited: false } => {
                    self.tell_lost(slot, conn, (action, &correlation_id), &why);
                    self.say_over(slot, held.said);
                }
                Whose::Message(message) => {
                    self.unsay(held.said);
                    again.push(*message);
                }
                Whose::Nobody => held.said.into_iter().for_each(|said| {
                    if let Packet::RemoteReadDone { rule_lookup, place, .. } = said.packet {
                        let rule_reader = RuleReader { core: said.to, rule_lookup, place };
                        self.owner.wait_for_value(slot, rule_reader);
                    } else {
                        self.tell_held(slot, said);
                    }
                }),
            }
        }
        self.park_again(slot, again);
        let name = self.owner.names.at(slot);
        let has_audience = !name.interest.is_empty() || !self.owner.filters.is_empty();
        let asked = name
            .record()
            .work
            .as_ref()
            .is_some_and(|work| !work.rule_readers.is_empty() || (has_audience && work.untold_from.is_some()));
        if asked && name.record().residence == Residence::Unknown {
            let known = self.load(slot);
            debug_assert!(!known, "a stored record is loaded");
        }
        self.run_parked(slot, Run::default());
        self.end_running(slot, before);
    }

    /// A record is another node's, and what it was to become is not told here. Who wrote it is told that it may be lost; whatever else
    /// was asked goes back.
    pub(super) fn send_held_back(&mut self, slot: u32, why: &[u8]) {
        let Some(work) = &mut self.owner.names.at_mut(slot).record_mut().work else { return };
        for held in std::mem::take(&mut work.held) {
            self.forget_held(&held);
            match held.whose {
                Whose::Write { conn, action, correlation_id, awaited: false } => {
                    self.tell_lost(slot, conn, (action, &correlation_id), why);
                    self.say_over(slot, held.said);
                }
                Whose::Message(message) => self.tell_astray(Forwarded::from(*message)),
                Whose::Write { awaited: true, .. } | Whose::Nobody => {}
            }
        }
    }

    /// What storage was found to have of a record: whoever subscribes is told of it, if it is what nobody was told of.
    pub(super) fn tell_untold(&mut self, slot: u32) {
        let record = self.owner.names.at_mut(slot).record_mut();
        let Some(from) = record.work.as_mut().and_then(|work| work.untold_from.take()) else { return };
        if record.residence == Residence::Resident && record.version >= from {
            self.tell_all(slot);
        }
    }

    fn tell_lost(&mut self, slot: u32, conn: ConnId, (action, correlation_id): (Action, &[u8]), why: &[u8]) {
        let lost = Outgoing {
            name: Some(&self.owner.names.at(slot).name),
            data: Some(why),
            correlation_id: (!correlation_id.is_empty()).then_some(correlation_id),
            original_action: Some(action),
            is_error: true,
            ..Outgoing::new(Action::RecordUpdateError)
        };
        self.edges.reply(&mut self.cx, conn, &lost);
    }
}

impl Owner {
    /// What a rule that looks at a record is answered, once the value it has now is stored.
    pub(super) fn hold_value(&mut self, slot: u32, rule_reader: RuleReader) {
        let record = self.names.at_mut(slot).record_mut();
        let version = record.version;
        // Of many that look at the same, each is answered with the same bytes.
        let last = record.work().held.back().filter(|held| held.version == version).and_then(|held| held.said.last());
        let (value, bytes) = match last.map(|said| &said.packet) {
            Some(Packet::RemoteReadDone { found: Ok(Some(value)), .. }) => (value.clone(), 0),
            _ => (Bytes::copy_from_slice(&record.value), record.value.len()),
        };
        let bytes = bytes + size_of::<Held>();
        let RuleReader { core, rule_lookup, place } = rule_reader;
        let packet = Packet::RemoteReadDone { rule_lookup, place, found: Ok(Some(value)) };
        let said = smallvec![Said { to: core, packet, epoch: 0 }];
        let since = Nanos::default();
        record.work().held.push_back(Held { version, since, bytes, answer_bytes: 0, whose: Whose::Nobody, said });
        self.records.held += 1;
        self.records.held_bytes += bytes;
    }
}
