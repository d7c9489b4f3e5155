//! Membership at the edge of a connection, which knows its subscriptions; `owner/member.rs` is the other half.
//!
//! *Promises* that a member is told of a provider once its own subscription counts, never on account of one before.
//! *Does not* keep the table: that is `subscribers`'.

use crate::edge::Edge;
use crate::edge::subscribers::Left;
use crate::ident::{ConnId, Place};
use crate::packet::ReplyTo;
use crate::permit::{Found, Grant};
use crate::sides::{Joined, Sides, ToOwner};
use deepstream_wire::{Action, Outgoing, Topic};

impl<O: ToOwner> Sides<Edge, O> {
    /// An owner counted a subscription.
    pub(super) fn joined(&mut self, owner: Place, joined: Joined) {
        let Joined { conn, reply_to, slot, epoch, provided } = joined;
        // A connection slot may have a new user by now; the table is asked about the one who subscribed.
        let alive = self.edges.here.sessions.get(conn).is_some();
        let joined = if alive {
            self.edges.here.subscribers.joined(conn, reply_to, owner, slot, epoch)
        } else {
            Err(Left { owner, slot, epoch })
        };
        match joined {
            // Here, not at the owner: who left meanwhile, or came again, is not told of what was before.
            Ok(()) if provided => {
                let name: Box<[u8]> = self.edges.here.subscribers.name(reply_to.name_id).into();
                let has = Outgoing { name: Some(&name), ..Outgoing::new(Action::RecordHasProvider) };
                self.edges.reply(&mut self.cx, conn, &has);
            }
            Ok(()) => {}
            Err(left) => {
                self.leave(conn, left);
            }
        }
        if reply_to.rules != self.permit.generation()
            && reply_to.joins()
            && let Some(name) = self.edges.here.subscribers.name_of(reply_to)
        {
            let (topic, name, hash) = (name.topic, name.name.clone(), name.hash);
            self.reauthorize_one(Grant::Subscription { conn, topic, name, hash }, Found::default());
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
        if refused && reply_to.joins() && self.edges.here.sessions.get(conn).is_some() {
            self.edges.here.subscribers.refused(conn, reply_to);
        }
        self.settle(reply_to, refused, version);
    }

    /// UNSUBSCRIBE of one name.
    pub(crate) fn unsubscribe(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) {
        if let Some(left) = self.edges.here.subscribers.unsubscribe(conn, topic, name, hash) {
            self.leave(conn, left);
        }
    }

    /// A subscription may not go on. Whether there was one.
    pub(super) fn end_subscription(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) -> bool {
        let before = self.edges.here.subscribers.count_of(conn);
        if self.edges.here.sessions.get(conn).is_some() {
            self.unsubscribe(conn, topic, name, hash);
        }
        self.edges.here.subscribers.count_of(conn) < before
    }
}
