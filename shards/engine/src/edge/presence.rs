//! Who is online, as connections ask for it and are told of it; `owner/presence.rs` is the other half.
//!
//! *Owns* this core's subscribers of everybody. *Promises* that they are told by an owner what happened since it knew of them,
//! and of nobody whom they may not know of.

use crate::edge::Edge;
use crate::edge::bulk::BulkRequest;
use crate::ident::{ConnId, Place};
use crate::output::Frames;
use crate::packet::{Identity, ReplyTo};
use crate::sides::{Sides, ToOwner};
use crate::view::hash_name;
use ahash::RandomState;
use deepstream_wire::{Action, Message, Outgoing};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The id of users who logged in without one; upstream hides them.
const INVISIBLE: &str = "OPEN";

/// A connection that watches everybody.
#[derive(Debug)]
struct Watcher {
    conn: ConnId,
    /// Which bulk message it came with.
    attempt: u32,
    /// Owners that know of it, one bit each, as they stand in the row. What others say was meant for those who watched before.
    confirmed: SmallVec<[u64; 1]>,
}

/// Those of this core's connections that watch everybody.
#[derive(Debug)]
pub(crate) struct Watchers {
    members: Vec<Watcher>,
    /// Where each of them stands.
    places: HashMap<ConnId, u32, RandomState>,
}

impl Watchers {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { members: Vec::new(), places: HashMap::with_hasher(hasher) }
    }

    /// One of them, by its place.
    pub(crate) fn at(&self, place: usize) -> Option<ConnId> {
        self.members.get(place).map(|watcher| watcher.conn)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// One that is none yet.
    fn add(&mut self, conn: ConnId, attempt: u32) {
        self.places.insert(conn, self.members.len() as u32);
        self.members.push(Watcher { conn, attempt, confirmed: SmallVec::new() });
    }

    /// An owner knows of a watcher.
    fn confirm(&mut self, index: usize, conn: ConnId, attempt: u32) {
        let place = self.places.get(&conn).map(|&place| place as usize);
        let Some(watcher) = place.map(|place| &mut self.members[place]).filter(|it| it.attempt == attempt) else {
            return;
        };
        let (word, bit) = bit_of(index);
        if watcher.confirmed.len() <= word {
            watcher.confirmed.resize(word + 1, 0);
        }
        watcher.confirmed[word] |= bit;
    }

    /// `false` if it was none.
    fn remove(&mut self, conn: ConnId) -> bool {
        let Some(place) = self.places.remove(&conn) else { return false };
        self.members.swap_remove(place as usize);
        if let Some(moved) = self.members.get(place as usize) {
            self.places.insert(moved.conn, place);
        }
        true
    }
}

fn bit_of(index: usize) -> (usize, u64) {
    (index / 64, 1 << (index % 64))
}

impl<O: ToOwner> Sides<Edge, O> {
    /// A connection was let in, and is welcome once that is counted; or is gone.
    pub(crate) fn presence_changed(&mut self, conn: ConnId, identity: Arc<Identity>, online: bool) {
        if !self.cx.options.presence || &*identity.user == INVISIBLE {
            return self.admitted(conn);
        }
        let owner = self.cx.owner_of(hash_name(&self.cx.hasher, identity.user.as_bytes()));
        self.tell_presence(owner, conn, identity, online);
    }

    /// QUERY_ALL: every owner is asked for its users.
    pub(crate) fn query_all(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let whole = self.edges.here.bulk_requests.begin(conn, message);
        self.ask_for_users(conn, |edge| edge.bulk_requests.part(whole, 0));
        self.settle(whole, false, None);
    }

    /// One owner's users.
    pub(crate) fn users_online(&mut self, reply_to: ReplyTo, users: Box<[Box<[u8]>]>) {
        self.edges.here.bulk_requests.add_users(reply_to, users);
        self.settle(reply_to, false, None);
    }

    /// All owners answered: everybody online but the asker, in order of their names, so that who asks twice can compare.
    pub(crate) fn answer_query_all(&mut self, bulk_request: &BulkRequest) {
        let asker = self.edges.user(bulk_request.conn).unwrap_or_default().as_bytes();
        let mut names: Vec<&[u8]> =
            bulk_request.users.iter().map(|user| &**user).filter(|&user| user != asker).collect();
        if self.permit.judges() {
            names.retain(|user| self.may_know_of(bulk_request.conn, user));
        }
        names.sort_unstable();
        let message = bulk_request.message.borrowed();
        let answer = Outgoing {
            names: &names,
            correlation_id: message.correlation_id(),
            ..Outgoing::new(Action::PresenceQueryAllResponse)
        };
        self.edges.reply(&mut self.cx, bulk_request.conn, &answer);
    }

    /// The owners of all names of a QUERY answered: `{"user":bool,…}`.
    pub(crate) fn answer_query(&mut self, bulk_request: &BulkRequest) {
        let message = bulk_request.message.borrowed();
        let mut data = vec![b'{'];
        let mut told = BTreeSet::new();
        for (name, online) in message.names().zip(&bulk_request.versions) {
            // Who is asked for twice is one member of the answer.
            let Some(online) = online.filter(|_| told.insert(name)) else { continue };
            if data.len() > 1 {
                data.push(b',');
            }
            deepstream_json::write_string(name, &mut data);
            data.extend_from_slice(if online > 0 { b":true" } else { b":false" });
        }
        data.push(b'}');
        let answer = Outgoing {
            correlation_id: message.correlation_id(),
            data: Some(&data),
            ..Outgoing::new(Action::PresenceQueryResponse)
        };
        self.edges.reply(&mut self.cx, bulk_request.conn, &answer);
    }

    /// SUBSCRIBE_ALL: acknowledged when every owner knows.
    pub(crate) fn subscribe_all(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        if self.edges.here.watchers.places.contains_key(&conn) {
            let answer = Outgoing {
                original_action: Some(message.head.action),
                ..Outgoing::new(Action::PresenceMultipleSubscriptions)
            };
            self.edges.reply(&mut self.cx, conn, &answer);
            return self.acknowledge(conn, message, false);
        }
        let whole = self.edges.here.bulk_requests.begin(conn, message);
        self.edges.here.watchers.add(conn, whole.bulk_generation);
        self.tell_everyone_watched(conn, true, |edge| edge.bulk_requests.part(whole, ReplyTo::EVERYBODY));
        self.settle(whole, false, None);
    }

    /// UNSUBSCRIBE_ALL, or the connection is gone. Whether it watched everybody.
    pub(super) fn unsubscribe_all(&mut self, conn: ConnId) -> bool {
        let watched = self.edges.here.watchers.remove(conn);
        if watched && self.edges.here.watchers.members.is_empty() {
            self.tell_everyone_watched(conn, false, |_| ReplyTo::default());
        }
        watched
    }

    /// An owner knows of a subscriber of everybody, who is told what it says from here on.
    pub(crate) fn everyone_confirmed(&mut self, owner: Place, conn: ConnId, reply_to: ReplyTo) {
        self.edges.here.watchers.confirm(self.cx.places.index(owner), conn, reply_to.bulk_generation);
    }

    /// A user joined or left; to those of this core's subscribers of everybody who may know of it.
    pub(crate) fn tell_everyone(&mut self, owner: Place, user: &[u8], frames: &Frames) {
        let (word, bit) = bit_of(self.cx.places.index(owner));
        let judges = self.permit.judges();
        for place in 0..self.edges.here.watchers.members.len() {
            let watcher = &self.edges.here.watchers.members[place];
            let conn = watcher.conn;
            if watcher.confirmed.get(word).is_some_and(|bits| bits & bit != 0)
                && let Some(wire) = self.edges.wire(conn)
                && (!judges || self.may_know_of(conn, user))
            {
                self.edges.here.sessions.deliver(&mut self.cx.outputs, conn, frames.of(wire).clone());
            }
        }
    }
}
