//! A simulated storage that is told how long to take and when to fail, and keeps what is durable.
//!
//! *Owns* the durable records, and the requests that are not answered yet. *Promises* that the batches of one core take
//! effect in order, as in a log. *Does not* draw randomness: the outcome is given with each request.

use crate::plan::Plan;
use deepstream_engine::{Completion, Fault, Nanos, Refusal, Refused, StoreBatch, Stored, Ticket};
use std::collections::{BTreeMap, VecDeque};

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done and answered.
    Fine,
    /// Not done, and said so.
    Fails,
    /// Done, and said to have failed: the disk took it, its answer did not come in one piece.
    DoneAndFails,
    /// Done, and never answered.
    Lost,
    /// Done, but for every second value, which is never taken.
    Refuses,
}

/// A read under way.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) core: usize,
    pub(crate) ticket: Ticket,
    pub(crate) name: Box<[u8]>,
    pub(crate) due: Nanos,
    pub(crate) fate: Fate,
}

/// A batch under way.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) batch: StoreBatch,
    pub(crate) due: Nanos,
    pub(crate) fate: Fate,
}

/// The storage of one world.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) durable: BTreeMap<Box<[u8]>, Stored>,
    /// Names of which nothing is kept.
    barred: Vec<Box<[u8]>>,
    pub(crate) loads: Vec<Load>,
    /// Per core, in order.
    pub(crate) writes: Vec<VecDeque<Write>>,
}

impl Store {
    pub(crate) fn new(cores: usize, plan: &Plan) -> Self {
        Self {
            durable: plan.stored.iter().cloned().collect(),
            barred: plan.barred.clone(),
            loads: Vec::new(),
            writes: (0..cores).map(|_| VecDeque::new()).collect(),
        }
    }

    /// There is a core more.
    pub(crate) fn joined(&mut self) {
        self.writes.push(VecDeque::new());
    }

    /// When the next answer is due.
    pub(crate) fn next_due(&self) -> Option<Nanos> {
        let writes = self.writes.iter().filter_map(|queue| queue.front()).map(|write| write.due);
        self.loads.iter().map(|load| load.due).chain(writes).min()
    }

    /// Nothing goes wrong or takes long any more.
    pub(crate) fn heal(&mut self) {
        self.loads.iter_mut().filter(|load| load.fate != Fate::Lost).for_each(|load| load.fate = Fate::Fine);
        self.writes.iter_mut().flatten().filter(|write| write.fate != Fate::Lost).for_each(|write| {
            write.fate = Fate::Fine;
        });
    }

    /// Answers a read.
    pub(crate) fn load(&self, load: &Load) -> Result<Option<Stored>, Fault> {
        match load.fate {
            Fate::Fine | Fate::Lost | Fate::Refuses if self.barred.contains(&load.name) => {
                Err(Fault::Unstorable("nothing is kept of it".into()))
            }
            Fate::Fine | Fate::Lost | Fate::Refuses => Ok(self.durable.get(&load.name).cloned()),
            Fate::Fails | Fate::DoneAndFails => Err(Fault::Failed("told to fail".into())),
        }
    }

    /// Carries out the oldest batch of a core, but for the entries `forget` is true for. The answer, unless it is lost.
    pub(crate) fn write(&mut self, core: usize, mut forget: impl FnMut() -> bool) -> (StoreBatch, Option<Completion>) {
        let write = self.writes[core].pop_front().expect("a batch is answered only while one is under way");
        let Write { batch, fate, .. } = write;
        let entries = if fate == Fate::Fails { &[][..] } else { &batch.entries[..] };
        let refused = refused(&batch, fate);
        for (index, entry) in (0..).zip(entries) {
            if forget() || refused.iter().any(|refusal| refusal.entry == index) {
                continue;
            }
            let name = batch.name(entry);
            match batch.value(entry) {
                Some(value) => {
                    assert!(!self.barred.iter().any(|barred| **barred == *name), "it said that it keeps nothing of it");
                    let stored = Stored { version: entry.version, value: value.to_vec() };
                    self.durable.insert(name.into(), stored);
                }
                None => {
                    self.durable.remove(name);
                }
            }
        }
        let result = match fate {
            Fate::Refuses if !refused.is_empty() => Err(Fault::Refused(refused)),
            Fate::Fine | Fate::Lost | Fate::Refuses => Ok(()),
            Fate::Fails | Fate::DoneAndFails => Err(Fault::Failed("told to fail".into())),
        };
        let outcome = Completion::Stored { ticket: batch.ticket, result };
        (batch, (fate != Fate::Lost).then_some(outcome))
    }
}

/// What is never taken of a batch.
pub(crate) fn refused(batch: &StoreBatch, fate: Fate) -> Vec<Refusal> {
    let values = (0..).zip(&batch.entries).filter(|(_, entry)| fate == Fate::Refuses && entry.value_len.is_some());
    values.step_by(2).map(|(entry, _)| Refusal { entry, why: Refused::Unstorable("told to refuse".into()) }).collect()
}
