//! What is forgotten of a node that is gone, or that forgot this one.
//!
//! *Owns* nothing. *Promises* that afterwards no table of the owner names a connection, or a place, of that node: it may come again
//! under the same number, with connections that have the same numbers, too. *Does not* tell anybody of that node anything: its
//! edges ask again, or say that an answer is lost.

use crate::ident::{ConnId, NodeId, Place};
use crate::owner::Owner;
use crate::sides::{Sides, ToEdge, ToOwner};
use crate::view::Row;

impl<E: ToEdge> Sides<E, Owner> {
    /// Nothing holds any more that was known of this node.
    pub(crate) fn forget_node(&mut self, node: NodeId) {
        for conn in self.edges.forget_node(node) {
            Owner::farewell(self, conn, false);
        }
        self.owner.client_ids.retain(|_, conn| conn.core.node() != node);
        self.owner.everyone.forget_node(node);
        if let Some(slots) = &mut self.owner.slots {
            slots.told.retain(|place, _| place.node() != node);
            slots.flushes.retain(|(place, _)| place.node() != node);
        }
        for slot in 0..self.owner.names.slots() {
            if self.owner.names.get(slot).is_some() {
                self.forget_node_at(slot, node);
            }
        }
    }

    fn forget_node_at(&mut self, slot: u32, node: NodeId) {
        self.drop_parked_of(slot, node);
        if let Some(record) = self.owner.names.at_mut(slot).as_record_mut() {
            record.forget_node(node);
        }
        let (sum, online) = self.owner.take_far(slot, node);
        if self.owner.names.at_mut(slot).interest.forget_node(node, sum) {
            self.listen_unsubscribed(slot);
            self.forget_filter(slot);
        }
        if online > 0 {
            self.count_out(slot, online);
        }
        self.owner.names.remove_if_idle(slot);
    }
}

impl Owner {
    /// Entries that name a place which is none, or a connection of one: there must not be any.
    pub(crate) fn strangers(&self, places: &Row) -> usize {
        let is_strange = |place: Place| place != Place::NOBODY && !places.has(place);
        let mut conns: Vec<ConnId> =
            self.unasked.conns().chain(self.calls.conns()).chain(self.listening.conns()).collect();
        conns.extend(self.client_ids.conns());
        let mut found: Vec<Place> = conns.into_iter().map(|conn| conn.core).collect();
        found.extend(self.everyone.cores());
        if let Some(slots) = &self.slots {
            found.extend(slots.told.keys().chain(slots.flushes.iter().map(|(place, _)| place)));
            let nodes = slots.sums.keys().chain(slots.online.keys()).map(|&(_, node)| Place::of(node, 0));
            found.extend(nodes);
        }
        for name in (0..self.names.slots()).filter_map(|slot| self.names.get(slot)) {
            found.extend(name.interest.cores());
            found.extend(name.waiting.parked().map(|parked| parked.conn.core));
            if let Some(record) = name.as_record() {
                record.places(&mut found);
            }
        }
        found.into_iter().filter(|&place| is_strange(place)).count()
    }

    /// A connection of this core or another counts in an interest, with others.
    pub(crate) fn count_far(&mut self, slot: u32, core: Place, sum: u128) {
        if let Some(slots) = &mut self.slots {
            let all = slots.sums.entry((slot, core.node())).or_default();
            *all = all.wrapping_add(sum);
        }
    }

    /// One of them does no more.
    pub(crate) fn uncount_far(&mut self, slot: u32, conn: ConnId) {
        if let Some(slots) = &mut self.slots
            && let Some(all) = slots.sums.get_mut(&(slot, conn.core.node()))
        {
            *all = all.wrapping_sub(conn.mixed().into());
            if *all == 0 {
                slots.sums.remove(&(slot, conn.core.node()));
            }
        }
    }

    /// All subscriptions of a name are over.
    pub(crate) fn uncount_all(&mut self, slot: u32) {
        if let Some(slots) = &mut self.slots {
            let nodes: Vec<NodeId> = slots
                .sums
                .range((slot, NodeId(0))..)
                .take_while(|(key, _)| key.0 == slot)
                .map(|(key, _)| key.1)
                .collect();
            for node in nodes {
                slots.sums.remove(&(slot, node));
            }
        }
    }

    /// What the connections of a node add to a name's interest, and how many of its user there are, which is forgotten.
    fn take_far(&mut self, slot: u32, node: NodeId) -> (u128, u32) {
        let Some(slots) = &mut self.slots else { return (0, 0) };
        (slots.sums.remove(&(slot, node)).unwrap_or_default(), slots.online.remove(&(slot, node)).unwrap_or_default())
    }
}
