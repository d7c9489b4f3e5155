//! Wakes a core from a thread that is not a core.
//!
//! *Owns* an eventfd per core, shared by all who may wake it. *Promises* that a core sleeping in its ring wakes, and
//! that waking one that is awake is harmless. *Does not* decide whether waking is needed.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Wakes one core.
#[derive(Clone, Debug)]
pub(super) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        // Blocking, because the ring would answer a read of a non-blocking one at once; a write never blocks in practice:
        // the count would have to reach 2^64.
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?)))
    }

    pub(super) fn wake(&self) {
        // It fails only with a full count, and then the core is being woken already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
