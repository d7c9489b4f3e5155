//! Clients that may be connected once: whoever connects under the name of one that is there ends that.
//!
//! *Owns* which connection bears which name, on the core that the name's hash falls to. *Promises* that of those who logged in
//! under one name the last is left, whatever cores they are on; and that the others are told why they are closed. A name is
//! one of its user's: guessing another's ends nobody. *Does not* know where names come from: only clients of MQTT have them.

use crate::ident::ConnId;
use crate::output::Reason;
use crate::packet::{Identity, Lane, Packet};
use crate::shard::Shard;
use crate::subscribers::hash_name;
use ahash::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// Who bears the names that this core owns.
#[derive(Debug)]
pub(crate) struct Bearers(HashMap<Box<[u8]>, ConnId, RandomState>);

impl Bearers {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self(HashMap::with_hasher(hasher))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The user and the name, as one: no name holds the byte between them.
fn key_of(identity: &Identity) -> Option<Box<[u8]>> {
    let client = identity.client.as_deref()?;
    Some([identity.user.as_bytes(), b"\0", client].concat().into())
}

impl Shard {
    /// A connection logged in, or is gone.
    pub(crate) fn bears(&mut self, conn: ConnId, identity: &Arc<Identity>, on: bool) {
        let Some(key) = key_of(identity) else { return };
        let owner = self.owner_of(hash_name(&self.hasher, &key));
        if owner == self.core {
            self.borne(conn, key, on);
        } else {
            self.delivery.post(owner, Lane::Requests, Packet::Bears { conn, identity: Arc::clone(identity), on });
        }
    }

    /// The owner hears of it.
    pub(crate) fn bears_here(&mut self, conn: ConnId, identity: &Identity, on: bool) {
        if let Some(key) = key_of(identity) {
            self.borne(conn, key, on);
        }
    }

    fn borne(&mut self, conn: ConnId, key: Box<[u8]>, on: bool) {
        if !on {
            // Somebody else's by now, if it was taken over.
            if self.bearers.0.get(&key) == Some(&conn) {
                self.bearers.0.remove(&key);
            }
            return;
        }
        match self.bearers.0.insert(key, conn) {
            Some(former) if former == conn => {}
            Some(former) if former.core == self.core => self.taken_over(former),
            Some(former) => self.delivery.post(former.core, Lane::Deliveries, Packet::TakenOver(former)),
            None => {}
        }
    }

    /// Another connection bears its name now.
    pub(crate) fn taken_over(&mut self, conn: ConnId) {
        self.delivery.close(conn, Reason::TakenOver);
    }
}
