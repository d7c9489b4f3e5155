//! Messages that wait: for records that rules look for, and of records for their values. One queue per name, bounded per shard.
//!
//! *Owns* the queues of all topics. *Promises* that what waits for one name is done in the order it came, whatever it waits for.
//! *Does not* know what is waited for: that is for whoever parks, and runs what is parked when it came.

use crate::ident::{ConnId, NodeId};
use crate::output::Fault;
use crate::owner::Owner;
use crate::packet::{Forwarded, Identity, ReplyTo};
use crate::permit::{Found, Question};
use crate::sides::{Sides, ToEdge};
use bytes::Bytes;
use deepstream_wire::{Action, Head, Message, Request, RpcRequest, Topic};
use std::collections::VecDeque;
use std::sync::Arc;

/// What waits at a name.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// A message about the name waits for records that a permission rule refers to.
    pub(crate) judging: bool,
    /// What waited is being done. What that leads to may come back to this name, which must not be forgotten under it.
    pub(crate) running: bool,
    /// Something waits until this core may answer for the name.
    pub(crate) is_unserved: bool,
    /// The name is another node's, and stays until what was accepted here is stored.
    pub(crate) is_yielding: bool,
    /// In order; there while something waits.
    parked: Option<Box<Queue>>,
}

/// Messages that came while their name was busy.
#[derive(Debug, Default)]
struct Queue(VecDeque<Parked>);

impl Waiting {
    /// Whether nothing would be lost by forgetting it.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && !self.judging && !self.running && !self.is_unserved && !self.is_yielding
    }

    /// Whether no message waits, nor is being taken out of the queue.
    pub(crate) fn is_empty(&self) -> bool {
        self.parked.is_none()
    }

    fn queue(&mut self) -> &mut VecDeque<Parked> {
        &mut self.parked.get_or_insert_default().0
    }

    /// The messages that wait.
    pub(crate) fn parked(&self) -> impl Iterator<Item = &Parked> {
        self.parked.iter().flat_map(|queue| &queue.0)
    }

    /// The messages that wait, to change them.
    pub(crate) fn parked_mut(&mut self) -> impl Iterator<Item = &mut Parked> {
        self.parked.iter_mut().flat_map(|queue| &mut queue.0)
    }

    /// Gives the memory for waiting messages back once none waits.
    pub(crate) fn rest(&mut self) {
        if self.parked.as_ref().is_some_and(|queue| queue.0.is_empty()) {
            self.parked = None;
        }
    }
}

/// What waits on a shard, counted.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Step {
    /// It is answered, or will be.
    Done,
    /// What it needs is being fetched; run it again then.
    Wait,
}

/// A message that waits, in a form that outlives its socket buffer.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) conn: ConnId,
    pub(crate) reply_to: ReplyTo,
    pub(crate) head: Head,
    bytes: Bytes,
    /// Who said it, where rules will want to know: it may be gone when its turn comes.
    pub(crate) who: Option<Arc<Identity>>,
    /// Whether it counts among what waits.
    counted: bool,
    /// A deletion whose sender asked to subscribe behind it, and was subscribed at once for want of room.
    pub(crate) overtaken: bool,
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

impl Run {
    /// A message that it is brought along with, as one that is to be judged.
    pub(crate) fn question<'a>(&self, conn: ConnId, reply_to: ReplyTo, message: &'a Message<&'a [u8]>) -> Question<'a> {
        Question { who: self.who.clone(), failed: self.failed, ..Question::of(conn, reply_to, message) }
    }
}

impl Parked {
    pub(crate) fn message(&self) -> Message<&[u8]> {
        Message { head: self.head, bytes: &self.bytes }
    }

    fn cost(&self) -> usize {
        if self.counted { self.size() } else { 0 }
    }

    /// What it takes.
    pub(crate) fn size(&self) -> usize {
        Self::cost_of(self.bytes.len())
    }

    fn cost_of(len: usize) -> usize {
        len + size_of::<Self>()
    }
}

impl From<Parked> for Forwarded {
    fn from(Parked { conn, reply_to, head, bytes, .. }: Parked) -> Self {
        Self { conn, reply_to, head, bytes }
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// A message in the form in which it waits.
    pub(crate) fn parked(&self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) -> Parked {
        let who = if self.permit.judges() { self.edges.identity(conn) } else { None };
        let bytes = Bytes::copy_from_slice(message.bytes);
        Parked { conn, reply_to, head: message.head, bytes, who, counted: true, overtaken: false }
    }

    /// A message that is being done, as one that is done again later, if need be.
    pub(crate) fn parked_again(&self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>, run: &Run) -> Parked {
        let parked = self.parked(conn, reply_to, message);
        Parked { counted: false, who: run.who.clone().or(parked.who), overtaken: run.overtaken, ..parked }
    }

    /// Whether a message of this length can wait.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.owner.parking.messages < self.cx.options.limits.parked_messages_max
            && self.owner.parking.bytes + Parked::cost_of(len) <= self.cx.options.limits.parked_bytes_max
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
                    return self.act(parked.conn, parked.reply_to, &message);
                }
                Some(Action::RpcProvide) => parked.counted = false,
                Some(_) => return self.fail(slot, &parked, &Fault::Timeout),
            }
        } else if full {
            return self.fail(slot, &parked, &Fault::Timeout);
        }
        self.owner.parking.messages += usize::from(parked.counted);
        self.owner.parking.bytes += parked.cost();
        self.owner.names.at_mut(slot).waiting.queue().push_back(parked);
    }

    /// What a connection said last of a name, among what waits there and is about providing it.
    fn last_parked_of(&self, slot: u32, conn: ConnId) -> Option<Action> {
        let queue = self.owner.names.at(slot).waiting.parked.as_ref()?;
        let own = queue.0.iter().rev().filter(|parked| parked.conn == conn).map(|parked| parked.head.action);
        own.into_iter().find(|&action| is_about_providing(action))
    }

    /// What connections of a node said is not done any more, unless it is being judged.
    pub(crate) fn drop_parked_of(&mut self, slot: u32, node: NodeId) {
        let waiting = &mut self.owner.names.at_mut(slot).waiting;
        let is_judging = waiting.judging;
        let Some(queue) = &mut waiting.parked else { return };
        let (mut first, parking) = (is_judging, &mut self.owner.parking);
        queue.0.retain_mut(|parked| {
            let is_judged = std::mem::take(&mut first);
            if parked.conn.core.node() != node {
                return true;
            }
            if is_judged {
                (parked.conn, parked.reply_to) = (ConnId::NOBODY, ReplyTo::default());
                return true;
            }
            parking.messages -= usize::from(parked.counted);
            parking.bytes -= parked.cost();
            false
        });
        waiting.rest();
    }

    pub(crate) fn unpark(&mut self, slot: u32) -> Option<Parked> {
        let parked = self.owner.names.at_mut(slot).waiting.parked.as_mut()?.0.pop_front()?;
        self.owner.parking.messages -= usize::from(parked.counted);
        self.owner.parking.bytes -= parked.cost();
        Some(parked)
    }

    /// Puts one back to where it was taken from.
    fn repark(&mut self, slot: u32, parked: Parked) {
        self.owner.parking.messages += usize::from(parked.counted);
        self.owner.parking.bytes += parked.cost();
        self.owner.names.at_mut(slot).waiting.queue().push_front(parked);
    }

    /// Messages that were done, and are to be done again: before all that wait, but for one that is being judged already.
    pub(crate) fn park_again(&mut self, slot: u32, messages: Vec<Parked>) {
        let judged = if self.owner.names.at(slot).waiting.judging { self.unpark(slot) } else { None };
        for parked in messages.into_iter().rev().chain(judged) {
            self.repark(slot, parked);
        }
    }

    /// Does what a connection says behind the answers that are withheld from it. None of them can be refused for want of
    /// room: they are bounded by what may be withheld, and a connection of which anything is withheld is not read.
    pub(crate) fn run_behind_withheld(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        let parked = self.parked(conn, reply_to, message);
        let counted = self.has_room(parked.bytes.len());
        self.repark(slot, Parked { counted, ..parked });
        self.run_parked(slot, Run::default());
    }

    /// The message whose turn it is: one that its connection said earlier, and whose answer was withheld, goes before it.
    fn withheld_first(&mut self, slot: u32, parked: Parked) -> Option<Parked> {
        let conn = parked.conn;
        if !self.comes_behind_withheld(slot, conn, parked.reply_to, &parked.message()) {
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

    /// Runs what waited, in order, until something has to wait again. `first` is what the first message brings along.
    pub(crate) fn run_parked(&mut self, slot: u32, first: Run) {
        let before = self.begin_running(slot);
        let mut first = Some(first);
        while let Some(parked) = self.next_parked(slot) {
            let (who, overtaken) = (parked.who.clone(), parked.overtaken);
            let mut run = Run { waited: true, who, overtaken, ..first.take().unwrap_or_default() };
            if self.perform_any(slot, parked.conn, parked.reply_to, &parked.message(), &mut run) == Step::Wait {
                self.repark(slot, parked);
            }
        }
        self.end_running(slot, before);
    }

    fn perform_any(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &mut Run,
    ) -> Step {
        if self.owner.names.at(slot).topic() == Topic::Record {
            self.perform(slot, conn, reply_to, message, run)
        } else {
            self.judge_named(conn, reply_to, message, run)
        }
    }

    /// Takes the next message that waits, in its turn, while the name is not busy.
    pub(crate) fn next_parked(&mut self, slot: u32) -> Option<Parked> {
        if self.owner.names.at(slot).is_busy() {
            return None;
        }
        self.unpark(slot).and_then(|parked| self.withheld_first(slot, parked))
    }

    /// Says that what waits at a name is being done, until [`Sides::end_running`] is told what was the case before.
    pub(crate) fn begin_running(&mut self, slot: u32) -> bool {
        std::mem::replace(&mut self.owner.names.at_mut(slot).waiting.running, true)
    }

    /// See [`Sides::begin_running`].
    pub(crate) fn end_running(&mut self, slot: u32, before: bool) {
        let name = self.owner.names.at_mut(slot);
        name.waiting.running = before;
        name.waiting.rest();
        if let Some(record) = name.as_record_mut() {
            record.rest();
        }
        self.owner.names.remove_if_idle(slot);
    }

    /// Answers all that waits for a name that stays busy.
    pub(crate) fn fail_all_parked(&mut self, slot: u32) {
        while let Some(parked) = self.unpark(slot) {
            self.fail(slot, &parked, &Fault::Timeout);
        }
    }
}

/// Whether a message begins or ends that its connection provides a name.
fn is_about_providing(action: Action) -> bool {
    let Some(Request::Rpc(said)) = action.request() else { return false };
    match said {
        RpcRequest::Provide | RpcRequest::Unprovide => true,
        RpcRequest::Request
        | RpcRequest::Accept
        | RpcRequest::Response
        | RpcRequest::Reject
        | RpcRequest::RequestError => false,
    }
}
