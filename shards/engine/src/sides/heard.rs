//! What the edge of this core hears from owners, by call or by packet, and what follows of it.
//!
//! *Owns* nothing. *Promises* that what follows is done before anything else is heard. *Does not* know what the edge makes of it.

use super::{Joined, Sides, ToEdge, ToOwner, UserQuery};
use crate::ident::{ConnId, Place};
use crate::output::Frames;
use crate::packet::{Forwarded, Packet, ReplyTo};
use crate::permit::state::Found;
use deepstream_wire::Wire;

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// An owner said this to the edge of this core, by a packet.
    #[inline]
    pub(crate) fn delivered(&mut self, from: Place, packet: Packet) {
        match packet {
            Packet::TakenOver(conn) => self.edges.here.taken_over(&mut self.cx.outputs, conn),
            Packet::Counted(conn) => E::counted(self, conn),
            Packet::Online { reply_to, users } => {
                self.edges.here.part_settled(from, reply_to);
                self.heard_online(reply_to, users);
            }
            Packet::Reply(conn, frame) => self.edges.here.deliver(&mut self.cx.outputs, conn, frame),
            Packet::FanOut { slot, end, except, frames } => {
                let encoded = Wire::ALL.map(|wire| &frames.of(wire)[..]);
                let to = (from, slot, except);
                self.edges.here.fan_out(&mut self.cx.outputs, to, encoded, || frames.clone());
                if end {
                    self.edges.here.end_subscriptions(from, slot);
                }
            }
            Packet::Announced { user, frames } => self.heard_announced(from, &user, &frames),
            Packet::Joined { conn, reply_to, slot, epoch, provided } => {
                self.heard_joined(from, Joined { conn, reply_to, slot, epoch, provided });
            }
            Packet::Withheld(forwarded) => self.heard_withheld(from, forwarded),
            Packet::Fetched(conn, number) => self.heard_fetched(conn, number),
            Packet::Settled { conn, reply_to, refused, version } => {
                E::settled(self, from, conn, reply_to, refused, version);
            }
            Packet::RemoteReadDone { rule_lookup, place, found } => self.remote_read_done(rule_lookup, place, found),
            Packet::Astray(forwarded) => E::astray(self, from, forwarded),
            Packet::Done { name_id, attempt } => self.edges.here.done(from, name_id, attempt),
            Packet::Flushed { epoch } => E::flushed(self, from, epoch),
            Packet::Rejoined(names) => E::rejoined(self, from, &names),
            Packet::Request(_)
            | Packet::Introduce(..)
            | Packet::Farewell(..)
            | Packet::Leave { .. }
            | Packet::Presence { .. }
            | Packet::HoldClientId { .. }
            | Packet::Everyone { .. }
            | Packet::Listen { .. }
            | Packet::Users { .. }
            | Packet::RemoteRead { .. }
            | Packet::Flush { .. }
            | Packet::Rejoin(_)
            | Packet::Told { .. }
            | Packet::View(_)
            | Packet::Rules(_) => debug_assert!(false, "said to an owner, or to a core"),
        }
    }

    /// An owner counted a subscription.
    #[inline]
    pub(crate) fn heard_joined(&mut self, owner: Place, joined: Joined) {
        let Joined { conn, reply_to, .. } = joined;
        if let Some(left) = E::joined(self, owner, joined) {
            self.leave(conn, left);
        }
        // Begun by a message that went by older rules than those in force.
        if reply_to.rules != self.permit.generation()
            && reply_to.joins()
            && let Some(grant) = self.edges.here.subscription_of(conn, reply_to)
        {
            self.reauthorize_one(grant, Found::default());
        }
        E::settled(self, owner, conn, reply_to, false, None);
    }

    /// An owner withholds an answer.
    pub(crate) fn heard_withheld(&mut self, owner: Place, forwarded: Forwarded) {
        let conn = forwarded.conn;
        match self.edges.here.withheld(owner, forwarded) {
            None => self.fetch_withheld(conn),
            Some(forwarded) => self.give_up(owner, forwarded),
        }
    }

    /// What was fetched was told, or will not be.
    pub(crate) fn heard_fetched(&mut self, conn: ConnId, number: u32) {
        self.edges.here.fetched(conn, number);
        self.fetch_withheld(conn);
    }

    /// Fetches what there is room for.
    pub(crate) fn fetch_withheld(&mut self, conn: ConnId) {
        while let Some((owner, forwarded)) = E::next_fetch(self, conn) {
            self.ask_again(owner, forwarded);
            self.edges.here.fetch_made(conn);
        }
    }

    /// The connection of a request that would be made again is gone, and the owner is to forget it.
    pub(crate) fn give_up(&mut self, owner: Place, mut forwarded: Forwarded) {
        forwarded.reply_to = forwarded.reply_to.yielded();
        self.ask_again(owner, forwarded);
    }

    /// An owner said who is online, of those whose names it owns.
    pub(crate) fn heard_online(&mut self, reply_to: ReplyTo, users: Box<[Box<[u8]>]>) {
        if let Some(query) = self.edges.here.online(reply_to, users) {
            self.answer_users(query);
        }
    }

    /// All owners said who is online: whoever asked is told of those whom it may know of.
    pub(crate) fn answer_users(&mut self, mut query: UserQuery) {
        if self.permit.judges() {
            query.users.retain(|user| self.may_know_of(query.conn, user));
        }
        E::answer_users(self, query);
    }

    /// A user came or went; to those who watch everybody and may know of it.
    pub(crate) fn heard_announced(&mut self, owner: Place, user: &[u8], frames: &Frames) {
        let index = self.cx.places.index(owner);
        let judges = self.permit.judges();
        for place in 0..self.edges.here.watcher_count() {
            if let Some(conn) = self.edges.here.watcher_of(place, index)
                && let Some(wire) = self.edges.here.wire(conn)
                && (!judges || self.may_know_of(conn, user))
            {
                self.edges.here.deliver(&mut self.cx.outputs, conn, frames.of(wire).clone());
            }
        }
    }
}
