//! Membership at the edge of a connection, which knows its subscriptions; `owner/member.rs` is the other half.
//!
//! *Promises* that a member is told of a provider once its own subscription counts, never on account of one before.
//! *Does not* keep the table: that is `subscribers`'.

use crate::edge::Edge;
use crate::ident::{ConnId, Place};
use crate::packet::ReplyTo;
use crate::sides::{Joined, Left, Sides};
use deepstream_wire::{Action, Outgoing, Topic};

impl<O> Sides<Edge, O> {
    /// An owner counted a subscription. What is to be left at once, if nobody wants it any more.
    #[inline]
    pub(super) fn joined(&mut self, owner: Place, joined: Joined) -> Option<Left> {
        let Joined { conn, reply_to, slot, epoch, provided } = joined;
        // A connection slot may have a new user by now; the table is asked about the one who subscribed.
        if self.edges.here.sessions.get(conn).is_none() {
            return Some(Left { owner, slot, epoch });
        }
        let left = self.edges.here.subscribers.joined(conn, reply_to, owner, slot, epoch).err();
        // Here, not at the owner: who left meanwhile, or came again, is not told of what was before.
        if left.is_none() && provided {
            let name: Box<[u8]> = self.edges.here.subscribers.name(reply_to.name_id).into();
            let has = Outgoing { name: Some(&name), ..Outgoing::new(Action::RecordHasProvider) };
            self.edges.reply(&mut self.cx, conn, &has);
        }
        left
    }

    /// An owner is done with a part of a bulk message.
    #[inline]
    pub(super) fn settled(
        &mut self,
        owner: Place,
        conn: ConnId,
        reply_to: ReplyTo,
        refused: bool,
        version: Option<i32>,
    ) {
        self.edges.here.part_settled(owner, reply_to);
        if reply_to.part == ReplyTo::EVERYBODY {
            self.everyone_confirmed(owner, conn, reply_to);
        }
        if !refused && !reply_to.joins() {
            self.edges.here.remember_provided(conn, reply_to);
        }
        if refused && reply_to.joins() {
            self.refused(conn, reply_to);
        }
        self.settle(reply_to, refused, version);
    }

    /// Nothing comes of a subscription.
    pub(super) fn refused(&mut self, conn: ConnId, reply_to: ReplyTo) {
        if self.edges.here.sessions.get(conn).is_some() {
            self.edges.here.subscribers.refused(conn, reply_to);
        }
    }
}

impl Edge {
    /// A subscription may not go on. Whether there was one, and what is to be left.
    pub(super) fn unsubscribe(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) -> (bool, Option<Left>) {
        if self.sessions.get(conn).is_none() {
            return (false, None);
        }
        let before = self.subscribers.count_of(conn);
        let left = self.subscribers.unsubscribe(conn, topic, name, hash);
        (self.subscribers.count_of(conn) < before, left)
    }
}
