//! Membership: a subscription is counted at the owner of its name and known at the edge of its connection.
//!
//! *Promises* that the owner's count of a core is exact whatever crosses on the way, and that a member is told of a
//! provider once its own subscription counts, never on account of one before.
//! *Does not* keep the tables: those are `owner`'s and `subscribers`'.

use crate::edge::subscribers::Left;
use crate::ident::{ConnId, CoreId};
use crate::packet::{Lane, Packet, Tag};
use crate::shard::Shard;
use deepstream_wire::{Action, Outgoing, Topic};

/// Owner side.
impl Shard {
    /// Counts a subscription and tells the edge.
    pub(crate) fn join(&mut self, conn: ConnId, tag: Tag, slot: u32) {
        let Some(wire) = self.delivery.wire(conn) else {
            // Gone while its request was parked: nobody is there to join.
            self.forget_filter(slot);
            self.names.remove_if_idle(slot);
            return self.settle_at_edge(conn, tag, true, None);
        };
        let lone = self.lone_subscriber(slot);
        let name = self.names.at_mut(slot);
        let first = name.interest.is_empty();
        name.interest.add(conn, wire);
        let epoch = name.epoch;
        let provided = !name.is_filter() && self.listen_subscribed(slot, conn, first, lone);
        if conn.core == self.core {
            self.joined(self.core, conn, tag, slot, epoch, provided);
        } else {
            let packet = Packet::Joined { conn, tag, slot, epoch, provided };
            self.delivery.post(conn.core, Lane::Deliveries, packet);
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
    pub(crate) fn settle_at_edge(&mut self, conn: ConnId, tag: Tag, refused: bool, version: Option<i32>) {
        if tag.gather == Tag::NONE && !(refused && tag.joins()) {
            return;
        }
        if conn.core == self.core {
            self.settled(self.core, conn, tag, refused, version);
        } else {
            self.delivery.post(conn.core, Lane::Deliveries, Packet::Settled { conn, tag, refused, version });
        }
    }
}

/// Edge side: what owners answer.
impl Shard {
    /// An owner counted a subscription.
    pub(crate) fn joined(&mut self, owner: CoreId, conn: ConnId, tag: Tag, slot: u32, epoch: u32, provided: bool) {
        // A connection slot may have a new user by now; the table is asked about the one who subscribed.
        let alive = self.delivery.sessions.get(conn).is_some();
        let joined = if alive {
            self.subscribers.joined(conn, tag, owner, slot, epoch)
        } else {
            Err(Left { owner, slot, epoch })
        };
        match joined {
            // Here, not at the owner: who left meanwhile, or came again, is not told of what was before.
            Ok(()) if provided => {
                let has = Outgoing {
                    name: Some(self.subscribers.name(tag.name_id)),
                    ..Outgoing::new(Action::RecordHasProvider)
                };
                self.delivery.reply(conn, &has);
            }
            Ok(()) => {}
            Err(left) => {
                self.leave(conn, left);
            }
        }
        if tag.rules != self.permit.generation() && tag.joins() {
            self.revise_subscription(conn, tag);
        }
        self.settle(tag, false, None);
    }

    /// An owner is done with a part of a bulk message.
    pub(crate) fn settled(&mut self, owner: CoreId, conn: ConnId, tag: Tag, refused: bool, version: Option<i32>) {
        if tag.part == Tag::EVERYBODY {
            self.everyone_confirmed(owner, conn, tag);
        }
        if refused && tag.joins() && self.delivery.sessions.get(conn).is_some() {
            self.subscribers.refused(conn, tag);
        }
        self.settle(tag, refused, version);
    }

    /// Tells an owner that a subscriber is gone.
    pub(crate) fn leave(&mut self, conn: ConnId, left: Left) {
        if left.owner == self.core {
            self.left(conn, left.slot, left.epoch);
        } else {
            let packet = Packet::Leave { conn, slot: left.slot, epoch: left.epoch };
            self.delivery.post(left.owner, Lane::Requests, packet);
        }
    }

    /// UNSUBSCRIBE of one name.
    pub(crate) fn unsubscribe(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) {
        if let Some(left) = self.subscribers.unsubscribe(conn, topic, name, hash) {
            self.leave(conn, left);
        }
    }
}
