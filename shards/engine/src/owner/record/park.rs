//! Messages that wait for their record: one queue per name, bounded per shard.

use super::{Residence, Step};
use crate::ident::{ConnId, Ticket};
use crate::output::{Fault, Note, Stored};
use crate::owner::permit::{Denial, Found};
use crate::owner::withheld::can_be_withheld;
use crate::packet::{Identity, Tag};
use crate::shard::Shard;
use bytes::Bytes;
use deepstream_wire::{Action, Head, Message, Outgoing, Topic};
use std::sync::Arc;

/// A message that waits, in a form that outlives its socket buffer.
#[derive(Debug)]
pub(crate) struct Parked {
    conn: ConnId,
    tag: Tag,
    head: Head,
    bytes: Bytes,
    /// Who said it, where rules will want to know: it may be gone when its turn comes.
    who: Option<Arc<Identity>>,
    /// Whether it counts among what waits.
    counted: bool,
    /// A deletion whose sender asked to subscribe behind it, and was subscribed at once for want of room.
    overtaken: bool,
}

/// What a message brings along when it is handled.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The value was read from storage for this very message.
    pub(crate) reloaded: bool,
    /// The value cannot be had; what needs it fails.
    pub(crate) failed: bool,
    /// It waited, and its place is kept: it can wait again.
    pub(crate) waited: bool,
    /// Who said it, if it waited.
    pub(crate) who: Option<Arc<Identity>>,
    /// How far its judgement came, and the records that were found for it.
    pub(crate) found: Found,
    /// A deletion that was overtaken by a subscription of its sender.
    pub(crate) overtaken: bool,
}

impl Parked {
    fn message(&self) -> Message<&[u8]> {
        Message { head: self.head, bytes: &self.bytes }
    }

    fn cost(&self) -> usize {
        if self.counted { Self::cost_of(self.bytes.len()) } else { 0 }
    }

    fn cost_of(len: usize) -> usize {
        len + size_of::<Self>()
    }
}

impl Shard {
    /// A message in the form in which it waits.
    pub(crate) fn parked(&self, conn: ConnId, tag: Tag, message: &Message<&[u8]>) -> Parked {
        let who = if self.permit.judges() { self.delivery.identity(conn) } else { None };
        let bytes = Bytes::copy_from_slice(message.bytes);
        Parked { conn, tag, head: message.head, bytes, who, counted: true, overtaken: false }
    }

    /// Whether a message of this length can wait.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.records.parked_messages < self.options.limits.parked_messages_max
            && self.records.parked_bytes + Parked::cost_of(len) <= self.options.limits.parked_bytes_max
    }

    /// Puts a message at the end of its name's queue, or answers that it cannot wait.
    pub(crate) fn park(&mut self, slot: u32, mut parked: Parked) {
        let full = !self.has_room(parked.bytes.len());
        if full && parked.head.action == Action::RpcUnprovide {
            // Nobody is kept providing for want of room: either there is nothing to wait for, or it waits behind what it
            // takes back, of which there are only so many.
            match self.last_parked_of(slot, parked.conn) {
                None => {
                    let message = Message { head: parked.head, bytes: &parked.bytes[..] };
                    return self.act(parked.conn, parked.tag, &message);
                }
                Some(Action::RpcProvide) => parked.counted = false,
                Some(_) => return self.fail(slot, &parked, &Fault::Timeout),
            }
        } else if full {
            return self.fail(slot, &parked, &Fault::Timeout);
        }
        self.records.parked_messages += usize::from(parked.counted);
        self.records.parked_bytes += parked.cost();
        self.names.at_mut(slot).record.work().parked.push_back(parked);
    }

    /// What a connection said last of a name, among what waits there and is about providing it.
    fn last_parked_of(&self, slot: u32, conn: ConnId) -> Option<Action> {
        let work = self.names.at(slot).record.work.as_ref()?;
        let own = work.parked.iter().rev().filter(|parked| parked.conn == conn).map(|parked| parked.head.action);
        own.into_iter().find(|action| matches!(action, Action::RpcProvide | Action::RpcUnprovide))
    }

    fn unpark(&mut self, slot: u32) -> Option<Parked> {
        let parked = self.names.at_mut(slot).record.work.as_mut()?.parked.pop_front()?;
        self.records.parked_messages -= usize::from(parked.counted);
        self.records.parked_bytes -= parked.cost();
        Some(parked)
    }

    /// Puts one back to where it was taken from.
    fn repark(&mut self, slot: u32, parked: Parked) {
        self.records.parked_messages += usize::from(parked.counted);
        self.records.parked_bytes += parked.cost();
        self.names.at_mut(slot).record.work().parked.push_front(parked);
    }

    /// Does what a connection says behind the answers that are withheld from it. None of them can be refused for want of
    /// room: they are bounded by what may be withheld, and a connection of which anything is withheld is not read.
    pub(crate) fn run_behind_withheld(&mut self, slot: u32, conn: ConnId, tag: Tag, message: &Message<&[u8]>) {
        let parked = self.parked(conn, tag, message);
        let counted = self.has_room(parked.bytes.len());
        self.repark(slot, Parked { counted, ..parked });
        self.run_parked(slot, Run::default());
    }

    /// The message whose turn it is: one that its connection said earlier, and whose answer was withheld, goes before it.
    fn withheld_first(&mut self, slot: u32, parked: Parked) -> Option<Parked> {
        let conn = parked.conn;
        if !self.comes_behind_withheld(slot, conn, parked.tag, &parked.message()) {
            return Some(parked);
        }
        let mut earlier = Vec::new();
        while let Some(withheld) = self.unwithheld(slot, conn) {
            earlier.push(Parked { counted: false, ..withheld });
        }
        self.repark(slot, parked);
        while let Some(withheld) = earlier.pop() {
            self.repark(slot, withheld);
        }
        self.unpark(slot)
    }

    /// Storage answered a read, or took too long.
    pub(crate) fn loaded(&mut self, ticket: Ticket, result: Result<Option<Stored>, Fault>) {
        // An answer after its time is ignored: its record may have been written since.
        let Some((slot, timer)) = self.records.loads.remove(&ticket) else { return };
        self.timers.cancel(timer);
        debug_assert_eq!(self.names.at(slot).record.residence, Residence::Loading);
        match result {
            Ok(found) => {
                self.settle_load(slot, found);
                self.answer_peekers(slot, false);
                self.run_parked(slot, Run { reloaded: true, ..Run::default() });
            }
            // Who wants no more than to look, or to remove, is answered as for any name of which there is no record.
            Err(Fault::Unstorable(why)) => {
                self.settle_load(slot, None);
                self.names.at_mut(slot).record.barred = Some(why.into());
                self.answer_peekers(slot, false);
                self.run_parked(slot, Run { reloaded: true, ..Run::default() });
            }
            Err(fault) => {
                let name = String::from_utf8_lossy(&self.names.at(slot).name).into();
                self.delivery.note(Note::LoadFailed { name, fault: fault.clone() });
                self.names.at_mut(slot).record.residence = Residence::Unknown;
                self.answer_peekers(slot, true);
                self.fail_parked(slot, &fault);
            }
        }
    }

    /// Runs what waited, in order, until something has to wait again. `first` is what the first message brings along.
    pub(crate) fn run_parked(&mut self, slot: u32, first: Run) {
        let outer = std::mem::replace(&mut self.names.at_mut(slot).record.running, true);
        let mut first = Some(first);
        while !self.names.at(slot).record.is_busy() {
            let Some(parked) = self.unpark(slot).and_then(|parked| self.withheld_first(slot, parked)) else { break };
            let (who, overtaken) = (parked.who.clone(), parked.overtaken);
            let mut run = Run { waited: true, who, overtaken, ..first.take().unwrap_or_default() };
            if self.perform_any(slot, parked.conn, parked.tag, &parked.message(), &mut run) == Step::Wait {
                self.repark(slot, parked);
            }
        }
        let record = &mut self.names.at_mut(slot).record;
        record.running = outer;
        record.rest();
        self.names.remove_if_idle(slot);
    }

    fn perform_any(&mut self, slot: u32, conn: ConnId, tag: Tag, message: &Message<&[u8]>, run: &mut Run) -> Step {
        if self.names.at(slot).topic == Topic::Record {
            self.perform(slot, conn, tag, message, run)
        } else {
            self.judge_named(conn, tag, message, run)
        }
    }

    /// Answers what waited for a value that could not be had. What needs none is done all the same.
    fn fail_parked(&mut self, slot: u32, fault: &Fault) {
        let outer = std::mem::replace(&mut self.names.at_mut(slot).record.running, true);
        while !self.names.at(slot).record.is_busy() {
            let Some(parked) = self.unpark(slot).and_then(|parked| self.withheld_first(slot, parked)) else { break };
            if matches!(parked.head.action, Action::RecordSubscribe | Action::RecordDelete) {
                let (who, overtaken) = (parked.who.clone(), parked.overtaken);
                let mut run = Run { failed: true, who, overtaken, ..Run::default() };
                let step = self.perform(slot, parked.conn, parked.tag, &parked.message(), &mut run);
                debug_assert_eq!(step, Step::Done, "neither needs a value");
            } else {
                self.fail(slot, &parked, fault);
            }
        }
        let record = &mut self.names.at_mut(slot).record;
        record.running = outer;
        record.rest();
        self.names.remove_if_idle(slot);
    }

    /// Answers all that waits for a record that stays busy.
    pub(super) fn fail_all_parked(&mut self, slot: u32) {
        while let Some(parked) = self.unpark(slot) {
            self.fail(slot, &parked, &Fault::Timeout);
        }
    }

    /// Tells one who waited that the value could not be had.
    pub(crate) fn fail(&mut self, slot: u32, parked: &Parked, fault: &Fault) {
        self.tell_failed(slot, parked, fault);
        if can_be_withheld(parked.head.action) {
            self.fetch_over(parked.conn, parked.tag);
        }
    }

    /// In words (docs/records.md §2).
    fn tell_failed(&mut self, slot: u32, parked: &Parked, fault: &Fault) {
        let message = parked.message();
        if self.names.at(slot).topic != Topic::Record {
            return self.deny(parked.conn, parked.tag, &message, Denial::Failed);
        }
        // Whoever subscribes without a value must be allowed to all the same.
        if matches!(message.head.action, Action::RecordSubscribe | Action::RecordSubscribeAndHead)
            && self.permit.judges()
        {
            let mut run = Run { failed: true, who: parked.who.clone(), ..Run::default() };
            if self.judge_record(slot, parked.conn, parked.tag, &message, &mut run).is_some() {
                return;
            }
        }
        let late = match fault {
            Fault::Timeout => Action::RecordStorageRetrievalTimeout,
            Fault::Failed(_) | Fault::Refused(_) | Fault::Unstorable(_) => Action::RecordLoadError,
        };
        let error = |action, original| Outgoing {
            name: Some(message.name()),
            original_action: Some(original),
            is_error: true,
            ..Outgoing::new(action)
        };
        let action = message.head.action;
        match action {
            Action::RecordRead | Action::RecordHead => {
                let answer = Outgoing { correlation_id: message.correlation_id(), ..error(late, action) };
                self.delivery.reply(parked.conn, &answer);
            }
            Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead => {
                // The edge forgets the subscription first: whoever asks again once told must not count as subscribed.
                self.settle_at_edge(parked.conn, parked.tag, true, None);
                self.delivery.reply(parked.conn, &error(late, action));
            }
            Action::RecordSubscribeAndHead => {
                self.overtake(slot, parked);
                // Subscribed all the same: the client is resubscribing and only lacks the version.
                if parked.tag.joins() {
                    self.join(parked.conn, parked.tag.alone(), slot);
                }
                self.delivery.reply(parked.conn, &error(Action::RecordLoadError, Action::RecordHead));
                self.settle_at_edge(parked.conn, parked.tag, false, None);
            }
            Action::RecordNotify => {
                let answer = Outgoing { correlation_id: message.correlation_id(), ..error(late, action) };
                self.delivery.reply(parked.conn, &answer);
                self.settle_at_edge(parked.conn, parked.tag, true, None);
            }
            Action::RecordDelete => self.delivery.reply(parked.conn, &error(Action::RecordDeleteError, action)),
            // Needs no value, and has no way to be told of an error: it is done all the same.
            Action::RecordSubscribe => {
                self.overtake(slot, parked);
                self.join_or_settle(slot, parked.conn, parked.tag);
            }
            _ => self.refuse(parked.conn, &message, Action::RecordUpdateError),
        }
    }

    /// A subscription is to begin that could not wait behind its connection's own deletion of the record, which will end
    /// it: the connection has to hear of that as all others do, since it cannot tell in which order the two were done.
    fn overtake(&mut self, slot: u32, subscription: &Parked) {
        let conn = subscription.conn;
        let Some(work) = self.names.at_mut(slot).record.work.as_mut().filter(|_| subscription.tag.joins()) else {
            return;
        };
        let deletions = work.parked.iter_mut().filter(|parked| parked.head.action == Action::RecordDelete);
        deletions.filter(|parked| parked.conn == conn).for_each(|parked| parked.overtaken = true);
        if let Some(removal) = work.removal.as_mut().filter(|removal| removal.conn == conn) {
            removal.overtaken = true;
        }
    }
}
