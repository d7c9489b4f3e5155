//! What all cores share: whether to stop, and the permission rules in force.
//!
//! *Owns* the flags. *Promises* that a core which was woken after a flag was raised sees it. *Does not* wake anybody.

use deepstream_engine::Permissions;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
#[derive(Debug)]
pub(super) struct Control {
    cores: usize,
    stopping: AtomicBool,
    late: AtomicBool,
    /// Everybody could do everything.
    open: AtomicBool,
    drained: AtomicUsize,
    /// Generation of the rules below. Cores only check this number, and read the rules when it has changed.
    generation: AtomicU32,
    permissions: Mutex<Arc<Permissions>>,
}

impl Control {
    pub(super) fn new(cores: usize, permissions: Arc<Permissions>, open: bool) -> Self {
        Self {
            cores,
            stopping: AtomicBool::new(false),
            late: AtomicBool::new(false),
            open: AtomicBool::new(open),
            drained: AtomicUsize::new(0),
            generation: AtomicU32::new(permissions.generation),
            permissions: Mutex::new(permissions),
        }
    }

    /// Asks all cores to finish.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Puts permission rules in force.
    pub(super) fn permit(&self, permissions: Permissions) {
        let generation = permissions.generation;
        *self.permissions.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(permissions);
        self.generation.store(generation, Ordering::Release);
    }

    /// Which permission rules are in force.
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// The permission rules in force.
    pub(super) fn permissions(&self) -> Arc<Permissions> {
        self.permissions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nobody has to log in, or everybody may do everything.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
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
