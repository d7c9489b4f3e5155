//! Clients that may be connected once: whoever connects under the name of one that is there ends that.
//!
//! *Owns* which connection bears which name, on the core that the name's hash falls to. *Promises* that of those who logged in
//! under one name the last is left, whatever cores they are on; and that the others are told why they are closed. A name is
//! one of its user's: guessing another's ends nobody. *Does not* know where names come from: only clients of MQTT have them.
//!
//! Who is the last is told by the moments of the logins, not by the order in which the owner hears of them: they come on a
//! lane from each core, and an owner that loses its CPU between two lanes sees the later one first.

use crate::ident::{ConnId, Nanos};
use crate::owner::Owner;
use crate::sides::{Sides, ToEdge};
use ahash::RandomState;
use hashbrown::hash_map::{Entry, HashMap};

/// Who bears the names that this core owns.
#[derive(Debug)]
pub(crate) struct ClientIds(HashMap<Box<[u8]>, Holder, RandomState>);

/// A connection, and when it logged in.
#[derive(Clone, Copy, Debug)]
struct Holder {
    conn: ConnId,
    since: Nanos,
}

impl ClientIds {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self(HashMap::with_hasher(hasher))
    }

    /// Forgets names, by name and bearer.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&[u8], ConnId) -> bool) {
        self.0.retain(|key, holder| keeps(key, holder.conn));
    }

    /// Who bears a name.
    pub(crate) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.0.values().map(|holder| holder.conn)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// A connection logged in under a name, or is gone.
    pub(crate) fn borne(&mut self, conn: ConnId, at: Nanos, key: Box<[u8]>, on: bool) {
        if !on {
            // Somebody else's by now, if it was taken over.
            if self.owner.client_ids.0.get(&key).is_some_and(|holder| holder.conn == conn) {
                self.owner.client_ids.0.remove(&key);
            }
            return;
        }
        let holder = Holder { conn, since: at };
        let former = match self.owner.client_ids.0.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(holder);
                return;
            }
            Entry::Occupied(known) if known.get().conn == conn => return,
            Entry::Occupied(known) if known.get().since > at => conn,
            Entry::Occupied(mut known) => known.insert(holder).conn,
        };
        self.tell_taken_over(former);
    }
}
