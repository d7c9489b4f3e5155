//! The figures of a core.
//!
//! *Owns* the durations of its turns, of which one in [`SAMPLE_EVERY`] is measured, and the number of the latest
//! request for figures that it answered. *Promises* that without a request this costs one load a turn. *Does not* show
//! figures.

use crate::monitor::{self, Figures, Snapshot, Source};
use deepstream_engine::Shard;
use hdrhistogram::Histogram;

/// Every how many turns one is measured.
const SAMPLE_EVERY: u32 = 64;

/// See the module.
pub(super) struct Gauges {
    figures: Figures,
    core: usize,
    /// The latest request that was answered.
    answered: usize,
    turns: u32,
    turn_ns: Histogram<u64>,
}

impl Gauges {
    pub(super) fn new(figures: Figures, core: usize) -> Self {
        let turn_ns = Histogram::new_with_bounds(100, 1_000_000_000, 2).expect("the bounds are constants in order");
        Self { figures, core, answered: 0, turns: 0, turn_ns }
    }

    /// Whether there is a new request.
    pub(super) fn are_asked(&self) -> bool {
        self.figures.monitor().asked() != self.answered
    }

    /// Answers it.
    pub(super) fn tell(&mut self, shard: &Shard, sockets: usize) {
        let monitor = self.figures.monitor();
        self.answered = monitor.asked();
        let snapshot = Snapshot::of(Source::Shard(self.core), |to| {
            monitor::shard(&shard.census(), shard.counters(), to);
            monitor::sockets(sockets, to);
            monitor::turns(&self.turn_ns, to);
        });
        monitor.tell(self.core, self.answered, snapshot);
    }

    /// A turn had something to do; `took` measures it.
    pub(super) fn turned(&mut self, took: impl FnOnce() -> u64) {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(SAMPLE_EVERY) {
            self.turn_ns.saturating_record(took());
        }
    }

    /// The core ends, and answers nothing any more. Gives the durations of its turns.
    pub(super) fn leave(self) -> Histogram<u64> {
        self.figures.monitor().leave(self.core);
        self.turn_ns
    }
}
