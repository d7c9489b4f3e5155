//! Who is online (docs/presence.md).
//!
//! *Owns* the count of connections of every user whose name this core owns.
//! *Promises* one JOIN when a user's first connection logs in and one LEAVE when the last is gone, whatever cores they
//! are on. *Does not* show the user `OPEN`, which is who a login without a user id becomes. The user `open`, who all
//! anonymous connections of a server without authentication are, is shown like any other: existing dashboards count on it.
//!
//! A user is a name like any other, so JOIN and LEAVE travel as fan-outs. Subscribing to everybody is not a name: every
//! owner knows which cores have such subscribers (upstream keeps them under a user name that a client can guess). Whoever
//! asks for everybody is told of those whom it may ask for by name: `permit/everybody.rs`.

use crate::ident::{ConnId, NodeId, Place};
use crate::output::{Frames, Note};
use crate::owner::Owner;
use crate::packet::{Identity, ReplyTo};
use crate::sides::edges::Audience;
use crate::sides::{Sides, ToEdge};
use bytes::Bytes;
use deepstream_wire::encode::encode;
use deepstream_wire::{Action, Message, Outgoing, Topic, Wire};
use std::collections::BTreeSet;

/// Everybody's presence: where it is watched, and who is there.
#[derive(Debug, Default)]
pub(crate) struct Everyone {
    /// Cores that have watchers, as this core was told.
    cores: Vec<Place>,
    /// Slots of the users online whose names this core owns.
    online: BTreeSet<u32>,
}

impl Everyone {
    /// A user's name is another node's.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.online.remove(&slot);
    }

    /// Where it is watched.
    pub(crate) fn cores(&self) -> impl Iterator<Item = Place> {
        self.cores.iter().copied()
    }

    /// Nobody watches there any more.
    pub(crate) fn forget_node(&mut self, node: NodeId) {
        self.cores.retain(|core| core.node() != node);
    }

    pub(crate) fn len(&self) -> usize {
        self.cores.len() + self.online.len()
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// SUBSCRIBE of one user.
    pub(crate) fn presence_subscribe(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        let slot = self.owner.names.find_or_insert(Topic::Presence, message.name(), message.head.name_hash);
        self.join(conn, reply_to, slot);
    }

    /// QUERY of one user.
    pub(crate) fn presence_query(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        let found = self.owner.names.find(Topic::Presence, message.name(), message.head.name_hash);
        let online = found.is_some_and(|slot| self.owner.names.at(slot).online() > 0);
        self.settle_at_edge(conn, reply_to, false, Some(i32::from(online)));
    }

    /// A core's interest in everybody began or ended.
    pub(crate) fn everyone_on(&mut self, conn: ConnId, reply_to: ReplyTo, on: bool) {
        self.owner.everyone.cores.retain(|&core| core != conn.core);
        if on {
            self.owner.everyone.cores.push(conn.core);
        }
        self.settle_at_edge(conn, reply_to, false, None);
    }

    /// The users online whose names this core owns.
    pub(crate) fn users(&mut self, conn: ConnId, reply_to: ReplyTo) {
        let users: Box<[Box<[u8]>]> =
            self.owner.everyone.online.iter().map(|&slot| self.owner.names.at(slot).name.clone()).collect();
        self.tell_online(conn, reply_to, users);
    }

    /// One connection more, or fewer, of a user whose name this core owns.
    pub(crate) fn count_presence(&mut self, conn: ConnId, identity: &Identity, online: bool) {
        let user = identity.user.as_bytes();
        let hash = self.cx.hash(user);
        // Edges tell whoever has the name next how things are then.
        if self.owner.is_elsewhere(hash) {
            return;
        }
        let slot = self.owner.names.find_or_insert(Topic::Presence, user, hash);
        if let Some(slots) = self.owner.slots.as_mut().filter(|_| conn.core.node() != self.cx.core.node()) {
            let far = slots.online.entry((slot, conn.core.node())).or_default();
            *far = if online { *far + 1 } else { far.saturating_sub(1) };
            if *far == 0 {
                slots.online.remove(&(slot, conn.core.node()));
            }
        }
        let count = self.owner.names.at_mut(slot).online_mut();
        debug_assert!(online || *count > 0 || self.owner.slots.is_some(), "a user leaves as often as it joined");
        if !online && *count == 0 {
            return self.owner.names.remove_if_idle(slot);
        }
        let changed = if online {
            *count += 1;
            *count == 1
        } else {
            *count = count.saturating_sub(1);
            *count == 0
        };
        if changed {
            if online {
                self.owner.everyone.online.insert(slot);
            } else {
                self.owner.everyone.online.remove(&slot);
            }
            self.announce(slot, online);
        }
        self.owner.names.remove_if_idle(slot);
        if online {
            self.tell_counted(conn);
        }
    }

    /// So many connections of the user of a name are gone at once.
    pub(crate) fn count_out(&mut self, slot: u32, gone: u32) {
        let count = self.owner.names.at_mut(slot).online_mut();
        *count = count.saturating_sub(gone);
        if *count == 0 {
            self.owner.everyone.online.remove(&slot);
            self.announce(slot, false);
        }
    }

    /// JOIN or LEAVE: first to the subscribers of everybody, then to those of the user.
    fn announce(&mut self, slot: u32, online: bool) {
        let (all, one) = if online {
            (Action::PresenceJoinAll, Action::PresenceJoin)
        } else {
            (Action::PresenceLeaveAll, Action::PresenceLeave)
        };
        let name = self.owner.names.at(slot);
        if self.cx.outputs.verbose {
            self.cx.outputs.note(Note::Presence { user: String::from_utf8_lossy(&name.name).into(), online });
        }
        if !self.owner.everyone.cores.is_empty() {
            let message = Outgoing { name: Some(&name.name), ..Outgoing::new(all) };
            let frames = Frames::new(Wire::ALL.map(|wire| {
                let mut frame = Vec::new();
                encode(wire, &message, &mut frame);
                Bytes::from(frame)
            }));
            let user = name.name.clone();
            for core in self.owner.everyone.cores.clone() {
                self.announce_to(core, &user, &frames);
            }
        }
        let name = self.owner.names.at(slot);
        let audience = Audience::others(&name.interest, slot, ConnId::NOBODY);
        self.edges.fan_out(&mut self.cx, audience, |_| Outgoing { name: Some(&name.name), ..Outgoing::new(one) });
    }
}
