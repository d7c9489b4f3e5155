//! Names that come to this node and go from it as views change.
//!
//! What goes is given up in two ways. If a later view gives a slot to another node, what was accepted here is stored first, under
//! the claim that still stands, and told to whoever waits for it; then its names are forgotten. If another node has claimed the slot
//! already, or may have, there is nothing left to do but to say so: whoever waits for a write is told that it may be lost, because
//! storage may have it all the same. What only waits goes back to where it came in, whole, to be sent elsewhere.
//!
//! *Owns* the way from view to view at the owner. *Promises* that nothing of a name stays behind that is another node's, in any table;
//! that the next owner can claim as soon as [`Standing::yielded`](crate::Standing) says so. *Does not* forward anything: edges do.

use crate::ident::{Nanos, NodeId, Place};
use crate::owner::Owner;
use crate::owner::slots::State;
use crate::packet::{Forwarded, Lane, Packet, Rejoin, Rejoined};
use crate::sides::{Sides, ToEdge};
use crate::view::{Change, Unviewable, View};
use deepstream_wire::Topic;
use std::sync::Arc;

/// What becomes of the names of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// What is accepted is stored first.
    Yields,
    /// Another node may have claimed it.
    Ends,
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Goes by another view from here on.
    pub(crate) fn adopt_view(&mut self, view: Arc<View>) -> Result<(), Unviewable> {
        let may_move = self.cx.options.moves_names;
        let change = self.cx.places.adopt(view, may_move)?;
        let view = Arc::clone(&change.after);
        let places = self.cx.places.clone();
        self.owner.unasked.share(&self.cx.options.limits, places.all().count());
        self.cx.outputs.adopt_places(places, &change.columns);
        self.cx.links.retain(|&node, link| view.member(node).is_some_and(|member| member.since == link.since));
        if may_move {
            let own = self.cx.core.node();
            for core in self.cx.peers().filter(|core| core.node() == own) {
                for lane in Lane::ALL {
                    self.cx.outputs.post(core, lane, Packet::View(Arc::clone(&view)));
                }
            }
        }
        E::view_changing(self, &change);
        for &node in &change.gone {
            self.forget_node(node);
        }
        self.change_slots(&change);
        E::view_changed(self, &change);
        Ok(())
    }

    /// What was under way to and from a member is lost, if it was by another link.
    pub(crate) fn restarted(&mut self, node: NodeId, link: crate::context::Link) {
        let is_member = |view: &Arc<View>| view.member(node).is_some_and(|member| member.since == link.since);
        if node == self.cx.core.node() || !self.cx.places.view().is_some_and(is_member) {
            return;
        }
        let before = self.cx.links.insert(node, link);
        if before.is_some_and(|before| before != link) {
            self.cx.outputs.drop_packets(node);
            self.forget_node(node);
            E::restarted(self, node);
        }
    }

    /// This node is no member as of the view of this epoch.
    pub(crate) fn suspended(&mut self, epoch: u64) {
        if self.cx.places.view().is_none_or(|view| view.epoch() > epoch) {
            return;
        }
        let Some(slots) = &mut self.owner.slots else { return };
        let fates = slots.states.map(|state| if state == State::Elsewhere { Fate::Stays } else { Fate::Ends });
        slots.states.fill(State::Elsewhere);
        self.lose(&fates);
        E::suspended(self);
    }

    /// Storage refused a write because another node has claimed its slot.
    pub(crate) fn deposed(&mut self, slot: u16) {
        let Some(slots) = &mut self.owner.slots else { return };
        slots.states[usize::from(slot)] = State::Elsewhere;
        let mut fates = [Fate::Stays; View::SLOTS];
        fates[usize::from(slot)] = Fate::Ends;
        self.lose(&fates);
    }

    fn change_slots(&mut self, change: &Change) {
        let Some(slots) = &mut self.owner.slots else { return };
        if change.anew {
            slots.trusted_until = Nanos(0);
        }
        let own = self.cx.core.node();
        let mut fates = [Fate::Stays; View::SLOTS];
        for slot in 0..View::SLOTS as u16 {
            let at = usize::from(slot);
            let (state, is_own) = (slots.states[at], change.after.node_of(slot) == own);
            let is_kept = is_own && !change.anew && slots.generations[at] == change.after.generation(slot);
            if is_kept {
                // Unless it was lost to somebody who has claimed it: then a later generation is needed.
                continue;
            }
            fates[at] = match state {
                State::Untold | State::Open if !is_own && !change.anew => Fate::Yields,
                // What still yields of an earlier life must not come to the next one.
                _ if is_own || state != State::Elsewhere => Fate::Ends,
                State::Elsewhere | State::Unclaimed | State::Untold | State::Open => Fate::Stays,
            };
            slots.states[at] = State::Elsewhere;
            if is_own {
                slots.gain(slot, change.after.generation(slot));
            }
        }
        let after = &change.after;
        slots.told.retain(|place, _| after.has(*place) && !change.gone.contains(&place.node()));
        slots.flushes.retain(|(place, _)| after.has(*place) && !change.gone.contains(&place.node()));
        self.lose(&fates);
        self.open_told();
    }

    /// Names of slots that are lost go.
    fn lose(&mut self, fates: &[Fate; View::SLOTS]) {
        if fates.iter().any(|&fate| fate != Fate::Stays) {
            let (mut yields, mut ends) = (Vec::new(), Vec::new());
            for at in 0..self.owner.names.slots() {
                let Some(name) = self.owner.names.get(at).filter(|name| !name.is_filter()) else { continue };
                match fates[usize::from(View::slot_of(name.hash))] {
                    Fate::Stays => {}
                    Fate::Yields if self.is_to_be_stored(at) => yields.push(at),
                    Fate::Yields | Fate::Ends => ends.push(at),
                }
            }
            if let Some(slots) = &mut self.owner.slots {
                slots.yielding.extend(&yields);
            }
            for &slot in &yields {
                self.owner.names.at_mut(slot).waiting.is_yielding = true;
            }
            self.forget_waiting(&yields);
            for &slot in &yields {
                self.send_parked_back(slot);
            }
            self.drop_names(&ends);
            let cx = &self.cx;
            self.owner.client_ids.retain(|key, _| fates[usize::from(View::slot_of(cx.hash(key)))] == Fate::Stays);
        }
        self.go_on_yielding();
    }

    /// What was still to be stored of names that are another node's may be.
    pub(crate) fn go_on_yielding(&mut self) {
        let Some(slots) = &self.owner.slots else { return };
        let stored: Vec<u32> = slots.yielding.iter().copied().filter(|&slot| !self.is_to_be_stored(slot)).collect();
        self.drop_names(&stored);
        let Some(view) = self.cx.places.view() else { return };
        let epoch = view.epoch();
        let Some(slots) = &mut self.owner.slots else { return };
        if !slots.yielding.is_empty() {
            return;
        }
        slots.yielded = epoch;
        let (due, rest) = std::mem::take(&mut slots.flushes).into_iter().partition(|&(_, of)| of <= epoch);
        slots.flushes = rest;
        let due: Vec<(Place, u64)> = due;
        for (place, epoch) in due {
            self.tell_flushed(place, epoch);
        }
    }

    /// A place asks when nothing of its is under way here any more.
    pub(crate) fn flush(&mut self, from: Place, epoch: u64) {
        if let Some(slots) = &mut self.owner.slots {
            slots.flushes.push((from, epoch));
            self.go_on_yielding();
        }
    }

    /// A place goes on hearing names that came here.
    pub(crate) fn rejoin(&mut self, from: Place, names: &[Rejoin]) {
        let mut rejoined = Vec::with_capacity(names.len());
        for name in names {
            // It has moved on: then the place tells whoever has it.
            if name.count == 0 || self.owner.is_elsewhere(name.hash) || !is_heard(name.topic) {
                continue;
            }
            let slot = self.owner.names.find_or_insert(name.topic, &name.name, name.hash);
            let sum = u128::from(name.sum[0]) << 64 | u128::from(name.sum[1]);
            self.owner.names.at_mut(slot).interest.add_many(from, name.count, sum, name.wires as u8);
            self.owner.count_far(slot, from, sum);
            rejoined.push(Rejoined {
                name_id: name.name_id,
                attempt: name.attempt,
                slot,
                epoch: self.owner.names.at(slot).epoch,
            });
            if name.topic == Topic::Record {
                self.catch_up_later(slot, from, name.version);
            }
        }
        if !rejoined.is_empty() {
            self.tell_rejoined(from, rejoined.into());
        }
        self.go_on_catching_up();
    }

    /// What waits at a name goes back to where it came in.
    fn send_parked_back(&mut self, slot: u32) {
        while let Some(parked) = self.unpark(slot) {
            self.tell_astray(Forwarded::from(parked));
        }
        self.owner.names.at_mut(slot).waiting.rest();
    }

    /// Names that are another node's are forgotten, with all that is under way. They are in ascending order.
    fn drop_names(&mut self, dropped: &[u32]) {
        if dropped.is_empty() {
            return;
        }
        self.forget_waiting(dropped);
        self.forget_stores(dropped);
        if let Some(slots) = &mut self.owner.slots {
            let is_dropped = |slot: u32| dropped.binary_search(&slot).is_ok();
            slots.yielding.retain(|&slot| !is_dropped(slot));
            slots.sums.retain(|&(slot, _), _| !is_dropped(slot));
            slots.online.retain(|&(slot, _), _| !is_dropped(slot));
            slots.catching_up.retain(|&slot| !is_dropped(slot));
        }
        self.end_calls_of(dropped);
        for &slot in dropped {
            if self.owner.names.record(slot).is_some() {
                self.abandon_record(slot);
            }
            self.owner.everyone.forget(slot);
            self.part_from_listener(slot);
            self.send_parked_back(slot);
            self.owner.names.remove(slot);
        }
    }

    /// What waits at names waits for nothing here any more.
    fn forget_waiting(&mut self, names: &[u32]) {
        for &slot in names {
            let waiting = &mut self.owner.names.at_mut(slot).waiting;
            waiting.is_unserved = false;
            if std::mem::take(&mut waiting.judging) {
                self.owner.busy_names -= 1;
            }
        }
        self.forget_lookups_of(names);
        if let Some(slots) = &mut self.owner.slots {
            slots.waiting.retain(|(slot, _)| names.binary_search(slot).is_err());
        }
    }
}

/// Whether names of a topic are subscribed to.
fn is_heard(topic: Topic) -> bool {
    matches!(topic, Topic::Event | Topic::Record | Topic::Presence)
}
