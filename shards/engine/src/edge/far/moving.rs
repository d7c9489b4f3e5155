//! Slots between two owners.
//!
//! While a slot moves, its names have no owner as far as this edge is concerned: what is said of them waits here. The former owner
//! says when nothing of this edge is under way with it any more; what came too late for it, it has sent back by then. The next one
//! is told what is heard here of the names, then what came back is asked of it, then what waited, in order.
//!
//! An owner can find out that it is none any more before any view says so: storage refuses its writes. What it sends back then waits
//! for the view that says whose the slot is.
//!
//! *Owns* what waits. *Promises* its order, by name and connection; that it ends in an error if it takes as long as storage may
//! take. *Does not* wait for a former owner that is gone: whatever it had is lost (`lost.rs`).

use super::Far;
use crate::context::{Context, TimerKey};
use crate::edge::Edge;
use crate::edge::subscribers::EdgeName;
use crate::ident::{Nanos, NodeId, Place};
use crate::packet::Forwarded;
use crate::sides::{Sides, ToOwner};
use crate::view::{Change, View, filter_hash};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Moving {
    slots: BTreeMap<u16, Move>,
    /// Who was asked, up to which view, to say that nothing of this edge is under way there any more.
    owed: Vec<(Place, u64)>,
    /// Nodes that slots came to, and up to which view they are to be told that they have heard all.
    untold: BTreeMap<NodeId, u64>,
    messages: usize,
    bytes: usize,
    is_timed: bool,
}

/// One slot.
#[derive(Debug)]
struct Move {
    /// The node that was its owner when something was last asked there; `None`: nothing is under way with it.
    from: Option<NodeId>,
    /// The view by which it moves; `None`: there is none yet.
    by: Option<u64>,
    /// When the first of what waits came.
    since: Nanos,
    waiting: VecDeque<Forwarded>,
    /// So many of those, in front, came back from the former owner.
    astray: usize,
}

impl Move {
    fn new(from: Option<NodeId>, by: Option<u64>) -> Self {
        Self { from, by, since: Nanos::default(), waiting: VecDeque::new(), astray: 0 }
    }
}

fn cost(forwarded: &Forwarded) -> usize {
    forwarded.bytes.len() + size_of::<Forwarded>()
}

impl Moving {
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Takes out the slots that can go to their next owner: nothing is under way with the former one. What waits for them.
    fn take_ready(&mut self) -> BTreeMap<u16, VecDeque<Forwarded>> {
        let mut owed = BTreeMap::new();
        for &(place, epoch) in &self.owed {
            let first = owed.entry(place.node()).or_insert(epoch);
            *first = epoch.min(*first);
        }
        let is_ready = |it: &Move| {
            let owes = |by| it.from.and_then(|from| owed.get(&from)).is_some_and(|&first| first <= by);
            it.by.is_some_and(|by| !owes(by))
        };
        let ready: Vec<u16> = self.slots.iter().filter(|(_, it)| is_ready(it)).map(|(&slot, _)| slot).collect();
        let taken = ready.into_iter().map(|slot| (slot, self.take_waiting(slot))).collect();
        self.slots.retain(|slot, _| !BTreeMap::contains_key(&taken, slot));
        taken
    }

    /// Takes out the nodes that have heard all of what came to them.
    fn take_told(&mut self, view: &View) -> Vec<(NodeId, u64)> {
        let moving = self.slots.iter().filter(|(_, it)| it.by.is_some());
        let moving: BTreeSet<NodeId> = moving.map(|(&slot, _)| view.node_of(slot)).collect();
        let told = self.untold.iter().filter(|(node, _)| !moving.contains(node));
        let told: Vec<(NodeId, u64)> = told.map(|(&node, &epoch)| (node, epoch)).collect();
        self.untold.retain(|node, _| moving.contains(node));
        told
    }

    fn take_waiting(&mut self, slot: u16) -> VecDeque<Forwarded> {
        let Some(it) = self.slots.get_mut(&slot) else { return VecDeque::new() };
        it.astray = 0;
        let waiting = std::mem::take(&mut it.waiting);
        self.messages -= waiting.len();
        self.bytes -= waiting.iter().map(cost).sum::<usize>();
        waiting
    }
}

impl Far {
    /// Whether so much waits that those who add to it should wait themselves.
    pub(in crate::edge) fn is_crowded(&self, cx: &Context) -> bool {
        let limits = &cx.options.limits;
        self.moving.messages > limits.parked_messages_max / 2 || self.moving.bytes > limits.parked_bytes_max / 2
    }
}

impl<O: ToOwner> Sides<Edge, O> {
    /// A request for the owner of a name on another node, or of a name whose owner changes. `None`: it waits here, or is answered.
    pub(in crate::edge) fn asks_far(&mut self, owner: Place, mut forwarded: Forwarded) -> Option<Forwarded> {
        let far = self.edges.here.far.as_deref_mut()?;
        if owner == Place::NOBODY {
            self.hold_request(forwarded, false);
            return None;
        }
        if far.silent.contains(&owner.node()) {
            self.refuse_late(&forwarded);
            return None;
        }
        far.asked.begin(owner, &mut forwarded);
        Some(forwarded)
    }

    /// A message waits for its name's next owner: in front of what was not sent yet, if it was.
    pub(super) fn hold_request(&mut self, forwarded: Forwarded, was_sent: bool) {
        let Self { cx, edges, .. } = self;
        let limits = &cx.options.limits;
        let Some(moving) = edges.here.far.as_deref_mut().map(|far| &mut far.moving) else { return };
        let slot = View::slot_of(forwarded.head.name_hash);
        let full =
            moving.messages >= limits.parked_messages_max || moving.bytes + cost(&forwarded) > limits.parked_bytes_max;
        match moving.slots.get_mut(&slot) {
            Some(it) if !full => {
                moving.messages += 1;
                moving.bytes += cost(&forwarded);
                if it.waiting.is_empty() {
                    it.since = cx.outputs.now;
                }
                if was_sent {
                    it.waiting.insert(it.astray, forwarded);
                    it.astray += 1;
                } else {
                    it.waiting.push_back(forwarded);
                }
                time(moving, cx);
            }
            _ => self.refuse_late(&forwarded),
        }
    }

    /// `Astray`: a request that is not for the owner to which it was sent.
    pub(in crate::edge) fn came_back(&mut self, owner: Place, forwarded: Forwarded) {
        self.edges.here.request_done(owner, forwarded.reply_to);
        if forwarded.reply_to.is_fetch() {
            self.fetch_elsewhere(forwarded, |sides, forwarded| sides.ask_elsewhere(owner, forwarded));
        } else {
            self.ask_elsewhere(owner, forwarded);
        }
    }

    fn ask_elsewhere(&mut self, owner: Place, forwarded: Forwarded) {
        let hash = forwarded.head.name_hash;
        let next = self.cx.owner_of(hash);
        if next != owner && next != Place::NOBODY {
            return self.ask_again(next, forwarded);
        }
        let Some(far) = &mut self.edges.here.far else { return };
        let slot = View::slot_of(hash);
        far.moving.slots.entry(slot).or_insert_with(|| Move::new(Some(owner.node()), None));
        self.cx.places.hold(slot);
        self.hold_request(forwarded, true);
    }

    /// Another view is in force, by which the owner of this core does not go yet.
    pub(in crate::edge) fn view_changing(&mut self, change: &Change) {
        let edge = &mut self.edges.here;
        let columns = &change.columns;
        let hasher = &self.cx.hasher;
        let is_gone = |name: &EdgeName| change.gone.contains(&name.owner.node());
        let is_filter = |name: &EdgeName| name.hash == filter_hash(hasher, &name.name, name.owner);
        edge.subscribers.drop_names(|name| is_gone(name) && is_filter(name));
        edge.subscribers.adopt_places(self.cx.places.clone(), columns, is_gone);
        edge.sessions.forget_columns(columns);
        edge.watchers.forget_columns(columns);
        let Some(far) = edge.far.as_deref_mut() else { return };
        let (moving, epoch) = (&mut far.moving, change.after.epoch());
        moving.owed.retain(|(place, _)| !change.gone.contains(&place.node()));
        moving.untold.retain(|node, _| change.after.member(*node).is_some());
        far.silent.retain(|node| !change.gone.contains(node) && change.after.member(*node).is_some());
        for slot in (0..View::SLOTS as u16).filter(|&slot| change.moves(slot)) {
            let it = moving.slots.entry(slot).or_insert_with(|| Move::new(Some(change.before.node_of(slot)), None));
            it.by = it.by.or(Some(epoch));
            it.from = it.from.filter(|from| !change.gone.contains(from));
            self.cx.places.hold(slot);
            moving.untold.insert(change.after.node_of(slot), epoch);
        }
    }

    /// The owner of this core goes by it, too.
    pub(in crate::edge) fn view_changed(&mut self, change: &Change) {
        for &node in &change.gone {
            self.lose_asked(node);
        }
        if self.cx.options.moves_names {
            let knows = |place: &Place| change.before.has(*place) && !change.gone.contains(&place.node());
            let places = change.after.places().iter().copied();
            self.tell_places(&places.filter(|place| !knows(place)).collect::<Vec<_>>());
        }
        let epoch = change.after.epoch();
        let Some(far) = self.edges.here.far.as_deref_mut() else { return };
        let from: BTreeSet<NodeId> =
            (far.moving.slots.values()).filter(|it| it.by == Some(epoch)).filter_map(|it| it.from).collect();
        let all = change.after.places().iter().filter(|place| from.contains(&place.node()));
        let asked: Vec<Place> = all.copied().collect();
        far.moving.owed.extend(asked.iter().map(|&place| (place, epoch)));
        for place in asked {
            self.ask_for_flush(place, epoch);
        }
        self.go_on_moving();
    }

    /// `Flushed`: nothing of this edge is under way with an owner, of slots that it lost up to this view.
    pub(in crate::edge) fn owner_flushed(&mut self, owner: Place, epoch: u64) {
        let Some(far) = &mut self.edges.here.far else { return };
        far.moving.owed.retain(|&(place, owed)| place != owner || owed > epoch);
        self.go_on_moving();
    }

    /// What was under way to and from a member is lost: it is told everything again.
    pub(in crate::edge) fn member_restarted(&mut self, node: NodeId) {
        let Some(view) = self.cx.places.view().cloned() else { return };
        let edge = &mut self.edges.here;
        let places: Vec<Place> = view.places().iter().copied().filter(|place| place.node() == node).collect();
        let columns: Vec<usize> = places.iter().map(|&place| self.cx.places.index(place)).collect();
        let hasher = &self.cx.hasher;
        let is_its = |name: &EdgeName| name.owner.node() == node;
        let is_filter = |name: &EdgeName| name.hash == filter_hash(hasher, &name.name, name.owner);
        edge.subscribers.drop_names(|name| is_its(name) && is_filter(name));
        edge.subscribers.adopt_places(self.cx.places.clone(), &columns, is_its);
        edge.sessions.forget_columns(&columns);
        edge.watchers.forget_columns(&columns);
        let Some(far) = edge.far.as_deref_mut() else { return };
        let moving = &mut far.moving;
        moving.owed.retain(|(place, _)| place.node() != node);
        for slot in 0..View::SLOTS as u16 {
            if view.node_of(slot) == node {
                let it = moving.slots.entry(slot).or_insert_with(|| Move::new(None, None));
                it.by = it.by.or(Some(view.epoch()));
                self.cx.places.hold(slot);
            }
        }
        moving.slots.values_mut().filter(|it| it.from == Some(node)).for_each(|it| it.from = None);
        moving.untold.insert(node, view.epoch());
        self.lose_asked(node);
        self.tell_places(&places);
        self.go_on_moving();
    }

    /// Whether a member is heard. What is asked of one that is not is answered with an error at once.
    pub(in crate::edge) fn member_reached(&mut self, node: NodeId, heard: bool) {
        let Some(far) = &mut self.edges.here.far else { return };
        if heard {
            far.silent.remove(&node);
        } else {
            far.silent.insert(node);
        }
    }

    /// Slots with whose former owner nothing is under way any more go to the next.
    fn go_on_moving(&mut self) {
        let (Some(far), Some(view)) = (&mut self.edges.here.far, self.cx.places.view().cloned()) else { return };
        let ready = far.moving.take_ready();
        let told = far.moving.take_told(&view);
        for &slot in ready.keys() {
            self.cx.places.release(slot);
        }
        if !ready.is_empty() {
            self.tell_names(|slot| ready.contains_key(&slot));
        }
        for (node, epoch) in told {
            for &place in view.places().iter().filter(|place| place.node() == node) {
                self.tell_told(place, epoch);
            }
        }
        self.look_again(|slot| ready.contains_key(&slot));
        for forwarded in ready.into_values().flatten() {
            let owner = self.cx.owner_of(forwarded.head.name_hash);
            self.ask_again(owner, forwarded);
        }
    }

    /// What has waited for the next owner of its name for as long as storage may take.
    pub(crate) fn moves_late(&mut self) {
        let (now, patience) = (self.cx.outputs.now, self.cx.options.storage_timeout_ns);
        let Some(far) = &mut self.edges.here.far else { return };
        far.moving.is_timed = false;
        let late = far.moving.slots.iter().filter(|(_, it)| !it.waiting.is_empty() && it.since.after(patience) <= now);
        let late: Vec<u16> = late.map(|(&slot, _)| slot).collect();
        let waiting: Vec<_> = late.into_iter().map(|slot| far.moving.take_waiting(slot)).collect();
        for forwarded in waiting.iter().flatten() {
            self.refuse_late(forwarded);
        }
        if let Some(far) = &mut self.edges.here.far {
            time(&mut far.moving, &mut self.cx);
        }
    }
}

/// Sets a timer for what waits longest, if anything does.
fn time(moving: &mut Moving, cx: &mut Context) {
    if moving.is_timed {
        return;
    }
    let waits = moving.slots.values().filter(|it| !it.waiting.is_empty());
    if let Some(since) = waits.map(|it| it.since).min() {
        moving.is_timed = true;
        let left_ns = since.after(cx.options.storage_timeout_ns).since(cx.outputs.now);
        cx.set_timer(left_ns, TimerKey::Moves);
    }
}
