//! What all cores share about stopping and reporting.
//!
//! *Owns* the flags. *Promises* that a core which was woken after a flag was raised sees it. *Does not* wake anybody.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// See the module.
#[derive(Debug)]
pub(super) struct Control {
    cores: usize,
    stopping: AtomicBool,
    late: AtomicBool,
    drained: AtomicUsize,
    reports: AtomicUsize,
}

impl Control {
    pub(super) fn new(cores: usize) -> Self {
        Self {
            cores,
            stopping: AtomicBool::new(false),
            late: AtomicBool::new(false),
            drained: AtomicUsize::new(0),
            reports: AtomicUsize::new(0),
        }
    }

    /// Asks all cores to finish.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Asks all cores to tell what they hold. Gives the number of this report.
    pub(super) fn ask_for_report(&self) -> usize {
        self.reports.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// How many reports were asked for.
    pub(super) fn reports(&self) -> usize {
        self.reports.load(Ordering::Acquire)
    }

    /// Asks all cores to end without finishing.
    pub(super) fn give_up(&self) {
        self.late.store(true, Ordering::Release);
    }

    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }

    /// One more core has no connection left and has sent everything to its peers.
    pub(super) fn drained(&self) {
        self.drained.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn all_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire) == self.cores
    }
}
