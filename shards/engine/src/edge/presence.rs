//! Who is online, as connections ask for it and are told of it; `owner/presence.rs` is the other half.
//!
//! *Owns* this core's subscribers of everybody. *Promises* that they are told by an owner what happened since it knew of them,
//! and of nobody whom they may not know of.

use crate::edge::Edge;
use crate::edge::bulk::BulkRequest;
use crate::ident::{ConnId, Place};
use crate::packet::{Identity, ReplyTo};
use crate::sides::{Sides, ToOwner, UserQuery};
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

    /// The same, if the owner that stands there in the row knows of it.
    pub(super) fn confirmed_at(&self, place: usize, index: usize) -> Option<ConnId> {
        let watcher = self.members.get(place)?;
        let (word, bit) = bit_of(index);
        watcher.confirmed.get(word).is_some_and(|bits| bits & bit != 0).then_some(watcher.conn)
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

    /// All of them, each with the message it came with.
    pub(super) fn all(&self) -> Vec<(ConnId, u32)> {
        self.members.iter().map(|watcher| (watcher.conn, watcher.attempt)).collect()
    }

    /// Owners that stood in these columns of the row are gone, or know of nobody any more.
    pub(super) fn forget_columns(&mut self, columns: &[usize]) {
        for watcher in &mut self.members {
            for &column in columns {
                let (word, bit) = bit_of(column);
                if let Some(bits) = watcher.confirmed.get_mut(word) {
                    *bits &= !bit;
                }
            }
        }
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

impl Edge {
    /// One owner's users. The question, if that was all that it waited for.
    pub(super) fn users_online(&mut self, reply_to: ReplyTo, users: Box<[Box<[u8]>]>) -> Option<UserQuery> {
        self.bulk_requests.add_users(reply_to, users);
        self.settle_users(reply_to)
    }

    /// A part of a QUERY_ALL is done, or the sending out of its parts is. The question, if that was all that it waited for, with
    /// everybody online but the asker.
    fn settle_users(&mut self, reply_to: ReplyTo) -> Option<UserQuery> {
        let mut query = self.bulk_requests.settle_users(reply_to)?;
        let asker = self.user(query.conn).unwrap_or_default().as_bytes();
        query.users.retain(|user| **user != *asker);
        Some(query)
    }

    /// A connection watches everybody no more; `None`: it did not. Whether it was the last that did.
    pub(super) fn watch_no_more(&mut self, conn: ConnId) -> Option<bool> {
        self.watchers.remove(conn).then_some(self.watchers.members.is_empty())
    }
}

impl<O: ToOwner> Sides<Edge, O> {
    /// A connection was let in, and is welcome once that is counted; or is gone.
    pub(crate) fn presence_changed(&mut self, conn: ConnId, identity: Arc<Identity>, online: bool) {
        if !self.cx.options.presence || &*identity.user == INVISIBLE {
            return self.admitted(conn);
        }
        let owner = self.cx.owner_of(self.cx.hash(identity.user.as_bytes()));
        self.tell_presence(owner, conn, identity, online);
    }

    /// QUERY_ALL: every owner is asked for its users.
    pub(crate) fn query_all(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let whole = self.edges.here.bulk_requests.begin(conn, message);
        self.ask_for_users(conn, |edge| edge.bulk_requests.part(whole, 0));
        if let Some(query) = self.edges.here.settle_users(whole) {
            self.answer_users(query);
        }
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
}

impl<O> Sides<Edge, O> {
    /// An owner knows of a subscriber of everybody, who is told what it says from here on.
    pub(super) fn everyone_confirmed(&mut self, owner: Place, conn: ConnId, reply_to: ReplyTo) {
        self.edges.here.watchers.confirm(self.cx.places.index(owner), conn, reply_to.bulk_generation);
    }

    /// All owners answered: who is online is told in order of the names, so that who asks twice can compare.
    pub(super) fn answer_query_all(&mut self, query: &UserQuery) {
        let mut names: Vec<&[u8]> = query.users.iter().map(|user| &**user).collect();
        names.sort_unstable();
        let message = query.message.borrowed();
        let answer = Outgoing {
            names: &names,
            correlation_id: message.correlation_id(),
            ..Outgoing::new(Action::PresenceQueryAllResponse)
        };
        self.edges.reply(&mut self.cx, query.conn, &answer);
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
}
