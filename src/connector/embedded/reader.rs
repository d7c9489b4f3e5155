//! *Owns* the thread that looks records up. *Promises* an answer per load, in order per shard, and a fair turn for
//! every shard. *Does not* wait for writes: while the writer sits in an fsync, lookups go on.

use super::Shelf;
use crate::storage::Waker;
use crate::storage::bell::Bell;
use crate::storage::client::{Loaded, ReadLane};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Loads of one shard per round, so that a storm of one does not keep the others waiting.
const ROUND: usize = 64;

pub(super) struct Reader {
    pub(super) lanes: Vec<ReadLane>,
    pub(super) wakers: Vec<Waker>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) bell: Arc<Bell>,
    pub(super) stopping: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn run(mut self) {
        self.bell.adopt();
        loop {
            // Read before the round: a load that came before the stop is answered by it.
            let stopping = self.stopping.load(Ordering::Acquire);
            if !self.round() {
                if stopping {
                    break;
                }
                let (lanes, stopping) = (&self.lanes, &self.stopping);
                self.bell
                    .wait(None, || lanes.iter().any(|lane| !lane.loads.is_empty()) || stopping.load(Ordering::Acquire));
            }
        }
        drop(self.lanes);
        // A core that sleeps with a load on its way finds the lane abandoned.
        self.wakers.iter().for_each(|waker| waker());
    }

    /// Answers up to [`ROUND`] loads of every shard; whether there were any.
    fn round(&mut self) -> bool {
        let mut worked = false;
        // One handle per round: the writer cannot reopen a failed database before all handles are gone.
        let mut store = None;
        for (lane, waker) in self.lanes.iter_mut().zip(&self.wakers) {
            let mut answered = false;
            for _ in 0..ROUND {
                let Ok(load) = lane.loads.pop() else { break };
                let result = match store.get_or_insert_with(|| self.shelf.store()) {
                    Ok(store) => store.load(&load.name),
                    Err(fault) => Err(fault.clone()),
                };
                self.shelf.counters.loads.fetch_add(1, Ordering::Relaxed);
                // Cannot be full: a client has at most as many loads on their way as the lane has room. A core that is
                // gone does not miss the answer.
                let _ = lane.answers.push(Loaded { ticket: load.ticket, result });
                answered = true;
            }
            if answered {
                waker();
                worked = true;
            }
        }
        worked
    }
}
