//! Membership at the owner of a name, who counts the subscriptions; `edge/member.rs` is the other half.
//!
//! *Promises* that the owner's count of a core is exact whatever crosses on the way.
//! *Does not* keep the table: that is `names`'.

use crate::ident::ConnId;
use crate::owner::Owner;
use crate::packet::ReplyTo;
use crate::sides::{Joined, Sides, ToEdge};

impl<E: ToEdge> Sides<E, Owner> {
    /// Counts a subscription and tells the edge.
    pub(crate) fn join(&mut self, conn: ConnId, reply_to: ReplyTo, slot: u32) {
        let Some(wire) = self.edges.wire(conn) else {
            // Gone while its request was parked: nobody is there to join.
            self.forget_filter(slot);
            self.owner.names.remove_if_idle(slot);
            return self.settle_at_edge(conn, reply_to, true, None);
        };
        let lone = self.lone_subscriber(slot);
        let name = self.owner.names.at_mut(slot);
        let first = name.interest.is_empty();
        name.interest.add(conn, wire);
        let epoch = name.epoch;
        if conn.core.node() != self.cx.core.node() {
            self.owner.count_far(slot, conn.core, conn.mixed().into());
        }
        let provided = !self.owner.names.at(slot).is_filter() && self.listen_subscribed(slot, conn, first, lone);
        self.tell_joined(Joined { conn, reply_to, slot, epoch, provided });
    }

    /// A subscriber is gone.
    pub(crate) fn left(&mut self, conn: ConnId, slot: u32, epoch: u32) {
        if self.owner.names.leave(conn, slot, epoch) {
            if conn.core.node() != self.cx.core.node() {
                self.owner.uncount_far(slot, conn);
            }
            self.listen_unsubscribed(slot);
            self.forget_filter(slot);
            self.owner.names.remove_if_idle(slot);
        }
    }
}
