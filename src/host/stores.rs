//! A core's exchange with storage.
//!
//! *Owns* the batch that carries a shard's writes to storage, and the decision when it goes. *Promises* that one batch
//! is under way at a time, and that without storage a shard is answered as if everything were stored at once. *Does
//! not* know what is written.

use super::clock::Clock;
use crate::storage::Client;
use deepstream_engine::{Completion, Nanos, Shard, StoreBatch, Ticket};

/// How long writes wait for others to share their commit while more input arrives. A commit costs the same for one
/// write as for many. Clients that were just told that a write is stored all write again: if the first of these writes
/// were handed over at once it would go to the disk alone, and all others would have to wait for it.
const GATHER_NS_MAX: u64 = 100_000;

/// See the module.
pub(super) struct Stores {
    client: Option<Client>,
    /// Where the shard puts its next writes; away while storage has it.
    batch: Option<StoreBatch>,
    /// Since when writes are waiting although they could be handed over.
    gathering: Option<Nanos>,
}

impl Stores {
    pub(super) fn new(client: Option<Client>) -> Self {
        Self { client, batch: Some(StoreBatch::default()), gathering: None }
    }

    /// Whether storage has answered anything.
    pub(super) fn has_answers(&self) -> bool {
        self.client.as_ref().is_some_and(Client::has_answers)
    }

    /// Hands the answers of storage to the shard. Returns whether there were any.
    pub(super) fn poll(&mut self, shard: &mut Shard, now: Nanos) -> bool {
        let Self { client, batch, .. } = self;
        let Some(client) = client.as_mut().filter(|client| client.has_answers()) else { return false };
        client.poll(&mut |outcome, answered| {
            if answered.is_some() {
                *batch = answered;
            }
            shard.completed(now, outcome);
        });
        true
    }

    /// Asks for a record.
    pub(super) fn load(&mut self, shard: &mut Shard, now: Nanos, ticket: Ticket, name: Box<[u8]>) {
        match &mut self.client {
            Some(client) => client.load(ticket, name),
            None => shard.completed(now, Completion::Loaded { ticket, result: Ok(None) }),
        }
    }

    /// Lets writes wait until there is no other input, but not for long.
    pub(super) fn gather(&mut self, shard: &mut Shard, now: Nanos, clock: Clock) {
        if self.batch.is_none() || !shard.has_stores() {
            return;
        }
        let moment = if self.gathering.is_some() { clock.now() } else { now };
        let since = *self.gathering.get_or_insert(moment);
        if self.client.is_none() || moment.since(since) > GATHER_NS_MAX {
            self.hand_over(shard, now);
        }
    }

    /// Whether writes are waiting for others.
    pub(super) fn are_gathering(&self) -> bool {
        self.gathering.is_some()
    }

    /// Hands the waiting writes to storage.
    pub(super) fn hand_over(&mut self, shard: &mut Shard, now: Nanos) {
        self.gathering = None;
        let Some(mut batch) = self.batch.take() else { return };
        if !shard.take_stores(now, &mut batch) {
            self.batch = Some(batch);
        } else if let Some(client) = &mut self.client {
            client.store(batch);
        } else {
            let stored = Completion::Stored { ticket: batch.ticket, result: Ok(()) };
            batch.clear();
            self.batch = Some(batch);
            shard.completed(now, stored);
        }
    }

    /// Whether nothing of this core is under way in storage.
    pub(super) fn are_back(&self) -> bool {
        self.batch.is_some()
    }
}
