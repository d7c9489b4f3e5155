//! The state shared by the thread that conducts a run and the generator's threads.

use crate::schedule::Timing;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// See the module. Nothing here is touched per message.
#[derive(Debug)]
pub(crate) struct Control {
    open_upto: AtomicUsize,
    round: AtomicUsize,
    timing: OnceLock<Timing>,
    aborted: AtomicBool,
    threads: Vec<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    round: AtomicUsize,
    ready: AtomicUsize,
    delivered: AtomicU64,
}

impl Control {
    /// For this many threads; no connection may be opened yet.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            open_upto: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            timing: OnceLock::new(),
            aborted: AtomicBool::new(false),
            threads: (0..threads).map(|_| Progress::default()).collect(),
        }
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Allows the threads this many connections, all together.
    pub(crate) fn open(&self, upto: usize) {
        self.open_upto.store(upto, Ordering::Relaxed);
    }

    /// Connections a thread may have now.
    pub(crate) fn share(&self, thread: usize) -> usize {
        let (upto, threads) = (self.open_upto.load(Ordering::Relaxed), self.threads.len());
        if upto == usize::MAX { upto } else { upto / threads + usize::from(thread < upto % threads) }
    }

    /// Drops all connections and opens them again.
    pub(crate) fn reopen(&self) {
        self.round.fetch_add(1, Ordering::Release);
    }

    /// Which opening this is.
    pub(crate) fn round(&self) -> usize {
        self.round.load(Ordering::Acquire)
    }

    /// Begins the load.
    pub(crate) fn start(&self, timing: Timing) {
        // There is one conductor, and it starts once.
        let _ = self.timing.set(timing);
    }

    /// When there is load, once that is known.
    pub(crate) fn timing(&self) -> Option<Timing> {
        self.timing.get().copied()
    }

    /// Something went wrong: everybody stops.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }

    /// Whether something went wrong.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }

    /// A thread tells how far it is.
    pub(crate) fn report(&self, thread: usize, round: usize, ready: usize, delivered: u64) {
        let progress = &self.threads[thread];
        progress.ready.store(ready, Ordering::Relaxed);
        progress.delivered.store(delivered, Ordering::Relaxed);
        progress.round.store(round, Ordering::Release);
    }

    /// Connections that are ready, of the opening that goes on.
    pub(crate) fn ready(&self) -> usize {
        let round = self.round();
        let current = self.threads.iter().filter(|thread| thread.round.load(Ordering::Acquire) == round);
        current.map(|thread| thread.ready.load(Ordering::Relaxed)).sum()
    }

    /// Arrivals so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.threads.iter().map(|thread| thread.delivered.load(Ordering::Relaxed)).sum()
    }
}
