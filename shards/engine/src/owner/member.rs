//! Membership at the owner of a name, who counts the subscriptions; `edge/member.rs` is the other half.
//!
//! *Promises* that the owner's count of a core is exact whatever crosses on the way.
//! *Does not* keep the table: that is `names`'.

use crate::ident::ConnId;
use crate::packet::{Lane, Packet, ReplyTo};
use crate::shard::Shard;

impl Shard {
    /// Counts a subscription and tells the edge.
    pub(crate) fn join(&mut self, conn: ConnId, reply_to: ReplyTo, slot: u32) {
        let Some(wire) = self.delivery.wire(conn) else {
            // Gone while its request was parked: nobody is there to join.
            self.forget_filter(slot);
            self.names.remove_if_idle(slot);
            return self.settle_at_edge(conn, reply_to, true, None);
        };
        let lone = self.lone_subscriber(slot);
        let name = self.names.at_mut(slot);
        let first = name.interest.is_empty();
        name.interest.add(conn, wire);
        let epoch = name.epoch;
        let provided = !name.is_filter() && self.listen_subscribed(slot, conn, first, lone);
        if conn.core == self.core {
            self.joined(self.core, conn, reply_to, slot, epoch, provided);
        } else {
            let packet = Packet::Joined { conn, reply_to, slot, epoch, provided };
            self.delivery.outputs.post(conn.core, Lane::Deliveries, packet);
        }
    }

    /// A subscriber is gone.
    pub(crate) fn left(&mut self, conn: ConnId, slot: u32, epoch: u32) {
        if self.names.leave(conn, slot, epoch) {
            self.listen_unsubscribed(slot);
            self.forget_filter(slot);
            self.names.remove_if_idle(slot);
        }
    }

    /// Tells the edge that a part of a bulk message is done, or refused.
    pub(crate) fn settle_at_edge(&mut self, conn: ConnId, reply_to: ReplyTo, refused: bool, version: Option<i32>) {
        if reply_to.bulk_request == ReplyTo::NONE && !(refused && reply_to.joins()) {
            return;
        }
        if conn.core == self.core {
            self.settled(self.core, conn, reply_to, refused, version);
        } else {
            self.delivery.outputs.post(
                conn.core,
                Lane::Deliveries,
                Packet::Settled { conn, reply_to, refused, version },
            );
        }
    }
}
