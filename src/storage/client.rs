//! *Owns* a core's end of the two lanes to the storage threads. *Promises* never to block; one answer for every load
//! every batch and every claim, whatever happens to the threads; and that no store is asked for a name that it cannot keep.
//! *Does not* retry: the engine does, and for claims the node.

use crate::service::bell::Bell;
use crate::storage::driver::Late;
use crate::storage::names::Names;
use deepstream_engine::{Completion, Fault, NodeId, StoreBatch, Stored, Ticket};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use std::sync::Arc;

/// Loads of one shard that may be under way; one more is refused.
pub const LOADS_MAX: usize = 4096;
/// Batches of one shard that may be under way: one by contract, and one in reserve.
const BATCHES_MAX: usize = 2;
/// Claims that may be under way, likewise.
const CLAIMS_MAX: usize = 2;

pub(crate) struct Load {
    pub(crate) ticket: Ticket,
    pub(crate) name: Box<[u8]>,
}

pub(crate) struct Loaded {
    pub(crate) ticket: Ticket,
    pub(crate) result: Result<Option<Stored>, Fault>,
}

pub(crate) struct Written {
    pub(crate) batch: StoreBatch,
    pub(crate) result: Result<(), Fault>,
}

/// Slots that are to be claimed.
pub(crate) struct Claim {
    pub(crate) ticket: Ticket,
    pub(crate) node: NodeId,
    pub(crate) slots: Box<[u16]>,
    pub(crate) generation: u64,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The claim's.
    pub ticket: Ticket,
    /// The slots that a later generation holds already: all others are claimed. After a fault nobody knows which are.
    pub result: Result<Vec<Late>, Fault>,
}

/// The reader's end of one shard's lane.
pub(crate) struct ReadLane {
    pub(crate) loads: Consumer<Load>,
    pub(crate) answers: Producer<Loaded>,
}

/// The writer's end of one shard's lane.
pub(crate) struct WriteLane {
    pub(crate) batches: Consumer<StoreBatch>,
    pub(crate) answers: Producer<Written>,
    pub(crate) claims: Consumer<Claim>,
    pub(crate) claimed: Producer<Claimed>,
}

impl WriteLane {
    /// Whether there is something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.batches.is_empty() || !self.claims.is_empty()
    }
}

/// One shard's client of the store. Owned by its core.
pub struct Client {
    loads: Producer<Load>,
    loaded: Consumer<Loaded>,
    batches: Producer<StoreBatch>,
    written: Consumer<Written>,
    claims: Producer<Claim>,
    claimed: Consumer<Claimed>,
    /// Loads without an answer yet, oldest first: the reader answers in order.
    loading: VecDeque<Ticket>,
    /// Batches without an answer yet, likewise.
    writing: VecDeque<Ticket>,
    /// Claims without an answer yet, likewise.
    claiming: VecDeque<Ticket>,
    /// Claims that were refused without asking the store.
    unclaimed: VecDeque<Ticket>,
    /// Answers that were given without asking the store.
    refused: Vec<(Completion, Option<StoreBatch>)>,
    /// Which names the store can keep.
    names: Arc<dyn Names>,
    reader: Arc<Bell>,
    writer: Arc<Bell>,
}

impl Client {
    pub(crate) fn new(names: Arc<dyn Names>, reader: Arc<Bell>, writer: Arc<Bell>) -> (Self, ReadLane, WriteLane) {
        let (loads, to_load) = RingBuffer::new(LOADS_MAX);
        let (load_answers, loaded) = RingBuffer::new(LOADS_MAX);
        let (batches, to_write) = RingBuffer::new(BATCHES_MAX);
        let (write_answers, written) = RingBuffer::new(BATCHES_MAX);
        let (claims, to_claim) = RingBuffer::new(CLAIMS_MAX);
        let (claim_answers, claimed) = RingBuffer::new(CLAIMS_MAX);
        let client = Self {
            loads,
            loaded,
            batches,
            written,
            claims,
            claimed,
            loading: VecDeque::new(),
            writing: VecDeque::new(),
            claiming: VecDeque::new(),
            unclaimed: VecDeque::new(),
            refused: Vec::new(),
            names,
            reader,
            writer,
        };
        let read = ReadLane { loads: to_load, answers: load_answers };
        let write = WriteLane { batches: to_write, answers: write_answers, claims: to_claim, claimed: claim_answers };
        (client, read, write)
    }

    /// Asks for one record.
    pub fn load(&mut self, ticket: Ticket, name: Box<[u8]>) {
        if let Err(refusal) = self.names.place(&name) {
            let result = Err(Fault::Unstorable(refusal.to_string()));
            return self.refused.push((Completion::Loaded { ticket, result }, None));
        }
        // All unanswered loads are counted, not only queued ones, so the lane of answers can never be full.
        let room = self.loading.len() < LOADS_MAX;
        if room && self.loads.push(Load { ticket, name }).is_ok() {
            self.loading.push_back(ticket);
            self.reader.ring();
        } else {
            let result = Err(Fault::Failed("storage queue is full".into()));
            self.refused.push((Completion::Loaded { ticket, result }, None));
        }
    }

    /// Hands over a batch. One at a time: the next after this one's answer.
    pub fn store(&mut self, batch: StoreBatch) {
        let ticket = batch.ticket;
        let room = self.writing.len() < BATCHES_MAX;
        let refused = if room { self.batches.push(batch).err() } else { Some(rtrb::PushError::Full(batch)) };
        if let Some(rtrb::PushError::Full(mut batch)) = refused {
            batch.clear();
            let result = Err(Fault::Failed("storage queue is full".into()));
            self.refused.push((Completion::Stored { ticket, result }, Some(batch)));
        } else {
            self.writing.push_back(ticket);
            self.writer.ring();
        }
    }

    /// Claims slots for the node that this server is, after everything that was handed over before, by whomever: a batch that was written under an earlier
    /// claim is not refused because of this one. What is written under this claim is handed over after its answer.
    /// One at a time.
    pub fn claim(&mut self, ticket: Ticket, node: NodeId, slots: Box<[u16]>, generation: u64) {
        let room = self.claiming.len() < CLAIMS_MAX;
        if room && self.claims.push(Claim { ticket, node, slots, generation }).is_ok() {
            self.claiming.push_back(ticket);
            self.writer.ring();
        } else {
            self.unclaimed.push_back(ticket);
        }
    }

    /// The next answer to a claim, if there is one.
    pub fn claimed(&mut self) -> Option<Claimed> {
        let failed = |ticket, why: &str| Claimed { ticket, result: Err(Fault::Failed(why.into())) };
        if let Some(ticket) = self.unclaimed.pop_front() {
            return Some(failed(ticket, "storage queue is full"));
        }
        // Checked before the lane is read: an abandoned lane then holds all that it will ever hold.
        let no_writer = self.claimed.is_abandoned();
        if let Ok(answer) = self.claimed.pop() {
            self.claiming.pop_front();
            return Some(answer);
        }
        if no_writer { Some(failed(self.claiming.pop_front()?, "storage has stopped")) } else { None }
    }

    /// Whether [`poll`](Self::poll) or [`claimed`](Self::claimed) would deliver something. A core looks once more before
    /// it sleeps.
    pub fn has_answers(&self) -> bool {
        !self.refused.is_empty()
            || !self.loaded.is_empty()
            || !self.written.is_empty()
            || (!self.loading.is_empty() && self.loaded.is_abandoned())
            || (!self.writing.is_empty() && self.written.is_abandoned())
            || self.has_claimed()
    }

    fn has_claimed(&self) -> bool {
        !self.unclaimed.is_empty()
            || !self.claimed.is_empty()
            || (!self.claiming.is_empty() && self.claimed.is_abandoned())
    }

    /// Delivers the answers; an answer to a batch brings the batch back, emptied.
    pub fn poll(&mut self, now: &mut impl FnMut(Completion, Option<StoreBatch>)) {
        for (outcome, batch) in self.refused.drain(..) {
            now(outcome, batch);
        }
        // Checked before the lanes are read: an abandoned lane then holds all that it will ever hold.
        let (no_reader, no_writer) = (self.loaded.is_abandoned(), self.written.is_abandoned());
        while let Ok(Loaded { ticket, result }) = self.loaded.pop() {
            self.loading.pop_front();
            now(Completion::Loaded { ticket, result }, None);
        }
        while let Ok(Written { mut batch, result }) = self.written.pop() {
            self.writing.pop_front();
            batch.clear();
            now(Completion::Stored { ticket: batch.ticket, result }, Some(batch));
        }
        let stopped = || Fault::Failed("storage has stopped".into());
        if no_reader {
            for ticket in self.loading.drain(..) {
                now(Completion::Loaded { ticket, result: Err(stopped()) }, None);
            }
        }
        if no_writer {
            for ticket in self.writing.drain(..) {
                now(Completion::Stored { ticket, result: Err(stopped()) }, Some(StoreBatch::default()));
            }
        }
    }
}
