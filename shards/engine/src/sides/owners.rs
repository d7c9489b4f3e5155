//! What an edge says to owners: a call where the owner is this core's, a packet elsewhere.
//!
//! *Owns* that choice, one place for each verb. *Promises* that an owner knows a connection before it hears what it said.
//! *Does not* decide which core is the owner: that is the view's.

use super::{Left, Sides, ToEdge, ToOwner};
use crate::ident::{ConnId, Nanos, Place};
use crate::packet::{Forwarded, Identity, Lane, Packet, Rejoin, ReplyTo};
use crate::pattern::NamePattern;
use bytes::Bytes;
use deepstream_wire::{Message, Topic};
use std::sync::Arc;

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// A request about a name that a core owns. `copy` makes the message one that can travel.
    #[inline]
    pub(crate) fn ask(
        &mut self,
        owner: Place,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        copy: impl FnOnce() -> Bytes,
    ) {
        let reply_to = ReplyTo { rules: self.permit.generation(), ..reply_to };
        if owner == self.cx.core {
            O::request(self, conn, reply_to, message);
        } else {
            let forwarded = Forwarded { conn, reply_to, head: message.head, bytes: copy() };
            self.send_request(owner, forwarded);
        }
    }

    /// A request goes to another core, unless its name is between two owners.
    fn send_request(&mut self, owner: Place, forwarded: Forwarded) {
        let forwarded =
            if owner.node() == self.cx.core.node() { Some(forwarded) } else { E::asks_far(self, owner, forwarded) };
        if let Some(forwarded) = forwarded {
            self.introduce(owner, forwarded.conn);
            self.cx.outputs.post(owner, Lane::Requests, Packet::Request(forwarded));
        }
    }

    /// The same of a request that was made before, and is made once more, or taken back.
    pub(crate) fn ask_again(&mut self, owner: Place, mut forwarded: Forwarded) {
        forwarded.reply_to.rules = self.permit.generation();
        let is_astray = self.cx.places.view().is_some() && self.cx.owner_of(forwarded.head.name_hash) != owner;
        if is_astray {
            // It is another's meanwhile.
            E::astray(self, owner, forwarded);
        } else if owner == self.cx.core {
            let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
            O::request(self, forwarded.conn, forwarded.reply_to, &message);
        } else {
            self.send_request(owner, forwarded);
        }
    }

    /// Makes sure that another core knows a connection before it hears from it.
    fn introduce(&mut self, core: Place, conn: ConnId) {
        if let Some(identity) = self.edges.here.introduce(self.cx.places.index(core), conn) {
            self.cx.outputs.post(core, Lane::Requests, Packet::Introduce(conn, identity));
        }
    }

    /// A subscriber is gone.
    pub(crate) fn leave(&mut self, conn: ConnId, left: Left) {
        let Left { owner, slot, epoch } = left;
        if owner == self.cx.core {
            O::left(self, conn, slot, epoch);
        } else {
            self.cx.outputs.post(owner, Lane::Requests, Packet::Leave { conn, slot, epoch });
        }
    }

    /// A user has one connection more, or one fewer.
    pub(crate) fn tell_presence(&mut self, owner: Place, conn: ConnId, identity: Arc<Identity>, online: bool) {
        if owner == self.cx.core {
            O::presence(self, conn, &identity, online);
        } else {
            self.cx.outputs.post(owner, Lane::Requests, Packet::Presence { conn, identity, online });
        }
    }

    /// A connection logged in under its client's name, which is part of this key, or is gone.
    pub(crate) fn tell_holder(
        &mut self,
        (owner, key): (Place, Box<[u8]>),
        conn: ConnId,
        at: Nanos,
        identity: &Arc<Identity>,
        on: bool,
    ) {
        if owner == self.cx.core {
            O::hold_client_id(self, conn, at, key, on);
        } else {
            let packet = Packet::HoldClientId { conn, at, identity: Arc::clone(identity), on };
            self.cx.outputs.post(owner, Lane::Requests, packet);
        }
    }

    /// This core has subscribers of everybody, or none any more. Every owner is told, and what waits for each of them is what
    /// `reply_to` gives.
    pub(crate) fn tell_everyone_watched(
        &mut self,
        conn: ConnId,
        on: bool,
        mut reply_to: impl FnMut(&mut E) -> ReplyTo,
    ) {
        for core in self.cx.peers() {
            let reply_to = reply_to(&mut self.edges.here);
            self.edges.here.part_asked(core, reply_to, false);
            self.cx.outputs.post(core, Lane::Requests, Packet::Everyone { conn, reply_to, on });
        }
        let reply_to = reply_to(&mut self.edges.here);
        O::everyone(self, conn, reply_to, on);
    }

    /// A connection watches everybody no more. Whether it did.
    pub(crate) fn end_watching(&mut self, conn: ConnId) -> bool {
        let last = self.edges.here.end_watching(conn);
        if last == Some(true) {
            self.tell_everyone_watched(conn, false, |_| ReplyTo::default());
        }
        last.is_some()
    }

    /// Every owner is asked who is online.
    pub(crate) fn ask_for_users(&mut self, conn: ConnId, mut reply_to: impl FnMut(&mut E) -> ReplyTo) {
        for core in self.cx.peers() {
            let reply_to = reply_to(&mut self.edges.here);
            self.edges.here.part_asked(core, reply_to, true);
            self.cx.outputs.post(core, Lane::Requests, Packet::Users { conn, reply_to });
        }
        let reply_to = reply_to(&mut self.edges.here);
        O::users(self, conn, reply_to);
    }

    /// A connection listens to a pattern, or does no more. Every owner is told.
    pub(crate) fn tell_listening(
        &mut self,
        conn: ConnId,
        (topic, pattern): (Topic, &Arc<NamePattern>),
        on: bool,
        mut reply_to: impl FnMut(&mut E) -> ReplyTo,
    ) {
        for core in self.cx.peers() {
            let reply_to = reply_to(&mut self.edges.here);
            self.edges.here.part_asked(core, reply_to, false);
            self.introduce(core, conn);
            let packet = Packet::Listen { conn, reply_to, topic, pattern: pattern.clone(), on };
            self.cx.outputs.post(core, Lane::Requests, packet);
        }
        let reply_to = reply_to(&mut self.edges.here);
        O::listen(self, conn, reply_to, topic, pattern, on);
    }

    /// The same to some places alone, which know nothing of it.
    pub(crate) fn tell_places_listening(
        &mut self,
        places: &[Place],
        conn: ConnId,
        (topic, pattern): (Topic, &Arc<NamePattern>),
    ) {
        for &place in places {
            self.introduce(place, conn);
            let reply_to = ReplyTo::default();
            let packet = Packet::Listen { conn, reply_to, topic, pattern: pattern.clone(), on: true };
            self.cx.outputs.post(place, Lane::Requests, packet);
        }
    }

    /// An owner is asked to say when nothing of this core is under way with it any more.
    pub(crate) fn ask_for_flush(&mut self, owner: Place, epoch: u64) {
        if owner == self.cx.core {
            O::flush(self, owner, epoch);
        } else {
            self.cx.outputs.post(owner, Lane::Requests, Packet::Flush { epoch });
        }
    }

    /// An owner is told which of its new names are heard here.
    pub(crate) fn tell_rejoin(&mut self, owner: Place, names: Box<[Rejoin]>) {
        if owner == self.cx.core {
            O::rejoin(self, owner, &names);
        } else {
            self.cx.outputs.post(owner, Lane::Requests, Packet::Rejoin(names));
        }
    }

    /// An owner was told all that is heard here of its new names.
    pub(crate) fn tell_told(&mut self, owner: Place, epoch: u64) {
        if owner == self.cx.core {
            O::told(self, owner, epoch);
        } else {
            self.cx.outputs.post(owner, Lane::Requests, Packet::Told { epoch });
        }
    }

    /// A connection of this core may listen no more. `false`: it does not.
    pub(crate) fn end_listening(&mut self, conn: ConnId, topic: Topic, source: &str) -> bool {
        let Some(pattern) = self.owner.listens(conn, topic, source) else { return false };
        self.tell_listening(conn, (topic, &pattern), false, |_| ReplyTo::default());
        true
    }

    /// A subscription may not go on. Whether there was one.
    pub(crate) fn end_subscription(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) -> bool {
        let (went_on, left) = self.edges.here.end_subscription(conn, topic, name, hash);
        if let Some(left) = left {
            self.leave(conn, left);
        }
        went_on
    }
}
