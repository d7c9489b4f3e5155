//! Membership at the edge of a connection, which knows its subscriptions; `owner/member.rs` is the other half.
//!
//! *Promises* that a member is told of a provider once its own subscription counts, never on account of one before.
//! *Does not* keep the table: that is `subscribers`'.

use crate::edge::subscribers::Left;
use crate::ident::{ConnId, Place};
use crate::packet::{Lane, Packet, ReplyTo};
use crate::shard::Shard;
use deepstream_wire::{Action, Outgoing, Topic};

impl Shard {
    /// An owner counted a subscription.
    pub(crate) fn joined(
        &mut self,
        owner: Place,
        conn: ConnId,
        reply_to: ReplyTo,
        slot: u32,
        epoch: u32,
        provided: bool,
    ) {
        // A connection slot may have a new user by now; the table is asked about the one who subscribed.
        let alive = self.delivery.sessions.get(conn).is_some();
        let joined = if alive {
            self.delivery.subscribers.joined(conn, reply_to, owner, slot, epoch)
        } else {
            Err(Left { owner, slot, epoch })
        };
        match joined {
            // Here, not at the owner: who left meanwhile, or came again, is not told of what was before.
            Ok(()) if provided => {
                let name: Box<[u8]> = self.delivery.subscribers.name(reply_to.name_id).into();
                let has = Outgoing { name: Some(&name), ..Outgoing::new(Action::RecordHasProvider) };
                self.delivery.reply(conn, &has);
            }
            Ok(()) => {}
            Err(left) => {
                self.leave(conn, left);
            }
        }
        if reply_to.rules != self.permit.generation() && reply_to.joins() {
            self.reauthorize_subscription(conn, reply_to);
        }
        self.settle(reply_to, false, None);
    }

    /// An owner is done with a part of a bulk message.
    pub(crate) fn settled(
        &mut self,
        owner: Place,
        conn: ConnId,
        reply_to: ReplyTo,
        refused: bool,
        version: Option<i32>,
    ) {
        if reply_to.part == ReplyTo::EVERYBODY {
            self.everyone_confirmed(owner, conn, reply_to);
        }
        if refused && reply_to.joins() && self.delivery.sessions.get(conn).is_some() {
            self.delivery.subscribers.refused(conn, reply_to);
        }
        self.settle(reply_to, refused, version);
    }

    /// Tells an owner that a subscriber is gone.
    pub(crate) fn leave(&mut self, conn: ConnId, left: Left) {
        if left.owner == self.core {
            self.left(conn, left.slot, left.epoch);
        } else {
            let packet = Packet::Leave { conn, slot: left.slot, epoch: left.epoch };
            self.delivery.outputs.post(left.owner, Lane::Requests, packet);
        }
    }

    /// UNSUBSCRIBE of one name.
    pub(crate) fn unsubscribe(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) {
        if let Some(left) = self.delivery.subscribers.unsubscribe(conn, topic, name, hash) {
            self.leave(conn, left);
        }
    }
}
