//! Telling new owners what is heard here.
//!
//! One entry a name, whatever the number of its subscribers: the owner counts them, as ever. Who leaves before the owner says where
//! it keeps the name is remembered, and leaves then. Connections whose users, or whose clients' names, the owner keeps count of are
//! told as if they had just logged in.
//!
//! *Owns* nothing. *Promises* that an owner hears of each name once. *Does not* tell what somebody waits for: that is asked again.

use crate::edge::Edge;
use crate::edge::subscribers::{EdgeName, Subscribe};
use crate::ident::{ConnId, Place};
use crate::packet::{Lane, Packet, Rejoin, Rejoined, ReplyTo};
use crate::sides::{Left, Sides, ToOwner};
use crate::view::{View, filter_hash, hash_name};
use bytes::Bytes;
use deepstream_wire::{Action, Flags, Head, Message, Span, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many names are told of at once.
const NAMES_MAX: usize = 256;

impl<O: ToOwner> Sides<Edge, O> {
    /// The owners of these slots are told what is heard here of their names.
    pub(super) fn tell_names(&mut self, is_ready: impl Fn(u16) -> bool) {
        let Self { cx, edges, .. } = self;
        let Edge { subscribers, sessions, .. } = &mut edges.here;
        let mut names: BTreeMap<Place, Vec<Rejoin>> = BTreeMap::new();
        let ids = subscribers.move_names(|name| {
            // The hash of a filter is no name's.
            let moves = is_ready(View::slot_of(name.hash)) && hash_name(&cx.hasher, &name.name) == name.hash;
            moves.then(|| cx.places.owner(name.hash))
        });
        for id in ids {
            let Some((name, attempt, members)) = subscribers.rejoining(id) else { continue };
            let (mut sum, mut wires) = (0_u128, 0);
            for &member in members {
                let Some(conn) = sessions.id_at(member) else { continue };
                sum = sum.wrapping_add(conn.mixed().into());
                wires |= sessions.get(conn).map_or(0, |session| 1 << session.wire as u16);
            }
            names.entry(name.owner).or_default().push(Rejoin {
                topic: name.topic,
                hash: name.hash,
                name: name.name.clone(),
                name_id: id,
                attempt,
                count: members.len() as u32,
                sum: [(sum >> 64) as u64, sum as u64],
                wires,
                version: None,
            });
        }
        for (owner, names) in names {
            let mut names = names.into_iter().peekable();
            while names.peek().is_some() {
                self.tell_rejoin(owner, names.by_ref().take(NAMES_MAX).collect());
            }
        }
        self.tell_provided(&is_ready);
        self.tell_of_connections(is_ready);
    }

    /// Owners are told whose connections are logged in here.
    fn tell_of_connections(&mut self, is_ready: impl Fn(u16) -> bool) {
        for conn in self.edges.here.sessions.ids() {
            let session = self.edges.here.sessions.get(conn).filter(|session| session.wire.stays());
            let Some(identity) = session.and_then(|session| session.identity.as_ref()).map(Arc::clone) else {
                continue;
            };
            let is_told = |hash| is_ready(View::slot_of(hash));
            if identity.client_key().is_some_and(|key| is_told(self.cx.hash(&key))) {
                self.hold_client_id(conn, &identity, true);
            }
            if is_told(self.cx.hash(identity.user.as_bytes())) {
                self.presence_changed(conn, identity, true);
            }
        }
    }

    /// Places that know nothing of this core yet are told what every owner knows: who listens, who watches everybody, which filters
    /// are heard.
    pub(super) fn tell_places(&mut self, places: &[Place]) {
        let own = self.cx.core;
        let listeners: Vec<_> =
            (0..self.owner.listener_places()).filter_map(|place| self.owner.listener_at(own, place)).collect();
        for (conn, topic, pattern) in listeners {
            self.tell_places_listening(places, conn, (topic, &pattern));
        }
        for (conn, attempt) in self.edges.here.watchers.all() {
            // Confirmed as any other; of the bulk message nothing is left that could wait for it.
            let reply_to = ReplyTo {
                bulk_request: ReplyTo::EVERYBODY,
                bulk_generation: attempt,
                part: ReplyTo::EVERYBODY,
                ..ReplyTo::default()
            };
            for &place in places {
                self.cx.outputs.post(place, Lane::Requests, Packet::Everyone { conn, reply_to, on: true });
            }
        }
        let hasher = &self.cx.hasher;
        let is_own_filter = |name: &EdgeName| name.owner == own && name.hash == filter_hash(hasher, &name.name, own);
        for (topic, filter, members) in self.edges.here.subscribers.heard(is_own_filter) {
            for conn in members.iter().filter_map(|&member| self.edges.here.sessions.id_at(member)).collect::<Vec<_>>()
            {
                for &place in places {
                    self.subscribe_filter_at(place, conn, topic, &filter);
                }
            }
        }
    }

    fn subscribe_filter_at(&mut self, place: Place, conn: ConnId, topic: Topic, filter: &[u8]) {
        let hash = filter_hash(&self.cx.hasher, filter, place);
        let subscribers = &mut self.edges.here.subscribers;
        let Subscribe::AskOwner(reply_to) = subscribers.subscribe(conn, topic, filter, hash, place) else { return };
        let action = if topic == Topic::Event { Action::EventSubscribe } else { Action::RecordSubscribe };
        let name = Span { start: 0, len: filter.len() as u32 };
        let mut head = Head { name_hash: hash, name, ..Head::new(action) };
        head.flags.set(Flags::NAME);
        head.flags.set(Flags::FILTER);
        self.ask(place, conn, reply_to, &Message { head, bytes: filter }, || Bytes::copy_from_slice(filter));
    }

    /// `Rejoined`: where an owner keeps names that were told to it.
    pub(in crate::edge) fn names_rejoined(&mut self, owner: Place, names: &[Rejoined]) {
        for &Rejoined { name_id, attempt, slot, epoch } in names {
            let gone: Vec<ConnId> = self.edges.here.subscribers.rejoined(owner, name_id, attempt, slot, epoch);
            for conn in gone {
                self.leave(conn, Left { owner, slot, epoch });
            }
        }
    }
}
