//! Which slots of a cluster's names this core may answer for, and what waits until it may.
//!
//! That a view gives a slot to a node is not enough. The node claims it first, in storage, so that nothing is written any more by
//! whoever had it before; only then what is stored is all there is. And it answers only as long as it may trust its membership:
//! afterwards another node may have claimed the slot, and what is in memory here may be old. The moment that counts is the one at
//! which a request comes: an answer that takes longer was right at some moment since, which is all that anybody can tell. Writes
//! need no such trust, storage refuses those of a claim that is over.
//!
//! *Owns* claims, trust, and the list of names at which something waits for them. *Promises* that what came meanwhile is done in
//! its order, or answered as what storage took too long for. *Does not* keep what waits: that is parked at its name, in the bounds
//! of all that waits there. What edges report of their connections (presence, listeners, who left) is counted at once: it is
//! theirs to say.

use crate::context::{Context, TimerKey};
use crate::ident::{ConnId, Nanos};
use crate::owner::Owner;
use crate::owner::begin::is_ordered;
use crate::owner::park::Run;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge};
use crate::view::{Row, View};
use deepstream_wire::{Flags, Message, Topic};
use std::collections::VecDeque;

/// See the module. A server alone has none.
#[derive(Debug)]
pub(crate) struct Slots {
    claimed: Box<[bool; View::SLOTS]>,
    trusted_until: Nanos,
    /// Names at which something waits, and since when; the oldest first.
    waiting: VecDeque<(u32, Nanos)>,
    /// A timer is set for the first of them.
    is_timed: bool,
}

impl Slots {
    /// Those of a member of a view, which has claimed none.
    pub(crate) fn of(places: &Row) -> Option<Box<Self>> {
        places.view()?;
        let claimed = Box::new([false; View::SLOTS]);
        Some(Box::new(Self { claimed, trusted_until: Nanos(0), waiting: VecDeque::new(), is_timed: false }))
    }

    fn serves(&self, now: Nanos, hash: u64) -> bool {
        now < self.trusted_until && self.claimed[usize::from(View::slot_of(hash))]
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Storage takes what this node writes in these slots with this generation, and what nobody else has written by now is not
    /// written any more.
    pub(crate) fn claimed(&mut self, claimed: &[u16], generation: u64) {
        let (Some(slots), Some(view)) = (&mut self.owner.slots, self.cx.places.view()) else { return };
        for &slot in claimed.iter().filter(|&&slot| usize::from(slot) < View::SLOTS) {
            // An answer may be about a claim that is over.
            if view.node_of(slot) == self.cx.core.node() && view.generation(slot) == generation {
                slots.claimed[usize::from(slot)] = true;
            }
        }
        self.serve();
    }

    /// No other node claims what this one has before that moment, as long as it is the member that it has been since that view.
    pub(crate) fn leased(&mut self, since: u64, until: Nanos) {
        let (Some(slots), Some(view)) = (&mut self.owner.slots, self.cx.places.view()) else { return };
        if view.member(self.cx.core.node()).is_some_and(|member| member.since == since) {
            slots.trusted_until = slots.trusted_until.max(until);
            self.serve();
        }
    }

    /// Whether what is asked of a name has to wait until this core may answer for it, or behind what does.
    #[inline]
    pub(crate) fn waits_to_be_served(&self, topic: Topic, name: &[u8], hash: u64) -> bool {
        self.owner.slots.as_ref().is_some_and(|slots| {
            let is_served = slots.serves(self.cx.outputs.now, hash);
            !is_served || (!slots.waiting.is_empty() && self.owner.is_unserved(topic, name, hash))
        })
    }

    /// A request waits until it can be answered. `false`: it is about something else than the name, and is done at once.
    #[cold]
    pub(crate) fn wait_to_be_served(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) -> bool {
        let action = message.head.action;
        if message.head.flags.has(Flags::FILTER) || !is_ordered(action) {
            return false;
        }
        let slot = self.unserved(action.topic(), message.name(), message.head.name_hash);
        // What is fetched is found by the name's record, which sees that it has to wait.
        if action.topic() == Topic::Record {
            self.act(conn, reply_to, message);
        } else {
            let parked = self.parked(conn, reply_to, message);
            self.park(slot, parked);
        }
        true
    }

    /// A name at which something is about to wait.
    pub(crate) fn unserved(&mut self, topic: Topic, name: &[u8], hash: u64) -> u32 {
        let slot = self.owner.names.find_or_insert(topic, name, hash);
        let waiting = &mut self.owner.names.at_mut(slot).waiting;
        let now = self.cx.outputs.now;
        if let Some(slots) = &mut self.owner.slots
            && !std::mem::replace(&mut waiting.is_unserved, true)
        {
            slots.waiting.push_back((slot, now));
            self.time_the_unserved();
        }
        slot
    }

    fn time_the_unserved(&mut self) {
        if let Some(slots) = &mut self.owner.slots
            && let Some(&(_, since)) = slots.waiting.front()
            && !std::mem::replace(&mut slots.is_timed, true)
        {
            let left_ns = since.after(self.cx.options.storage_timeout_ns).since(self.cx.outputs.now);
            self.cx.set_timer(left_ns, TimerKey::Unserved);
        }
    }

    /// What can be answered by now is gone on with.
    fn serve(&mut self) {
        let (now, names) = (self.cx.outputs.now, &self.owner.names);
        let Some(slots) = &mut self.owner.slots else { return };
        let waiting = std::mem::take(&mut slots.waiting);
        let (served, rest): (VecDeque<_>, _) =
            waiting.into_iter().partition(|&(slot, _)| slots.serves(now, names.at(slot).hash));
        slots.waiting = rest;
        for (slot, _) in served {
            let name = self.owner.names.at_mut(slot);
            name.waiting.is_unserved = false;
            // Else it waits for something else, too, and is gone on with then.
            if !name.is_busy() && self.look_up_for_readers(slot) {
                self.run_parked(slot, Run::default());
            }
        }
    }

    /// What has waited for as long as storage may take is answered as what storage took too long for.
    pub(crate) fn unserved_late(&mut self) {
        let (now, patience) = (self.cx.outputs.now, self.cx.options.storage_timeout_ns);
        let Some(slots) = &mut self.owner.slots else { return };
        slots.is_timed = false;
        let late = slots.waiting.iter().take_while(|(_, since)| since.after(patience) <= now).count();
        for (slot, _) in slots.waiting.drain(..late).collect::<Vec<_>>() {
            let name = self.owner.names.at_mut(slot);
            name.waiting.is_unserved = false;
            if name.is_busy() {
                // The first of what waits is under way.
                name.waiting.is_unserved = true;
                self.owner.slots.iter_mut().for_each(|slots| slots.waiting.push_back((slot, now)));
                continue;
            }
            self.fail_readers(slot);
            let before = self.begin_running(slot);
            self.fail_all_parked(slot);
            self.end_running(slot, before);
        }
        self.time_the_unserved();
    }
}

impl Owner {
    /// Whether it may answer for names with this hash.
    #[inline]
    pub(crate) fn serves(&self, cx: &Context, hash: u64) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.serves(cx.outputs.now, hash))
    }

    fn is_unserved(&self, topic: Topic, name: &[u8], hash: u64) -> bool {
        self.names.find(topic, name, hash).is_some_and(|slot| self.names.at(slot).waiting.is_unserved)
    }
}
