//! The one clock of the harness: nanoseconds since the process began measuring.
//!
//! *Owns* the only reading of the monotonic clock here. Sender and receiver of a message are both in this process, so
//! one clock dates both ends and nothing has to be synchronised.

use std::thread;
use std::time::{Duration, Instant};

/// Copies of one clock agree with each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that shows 0 now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }

    /// Blocks the calling thread until this clock shows `at`.
    pub(crate) fn wait_until(self, at: u64) {
        thread::sleep(Duration::from_nanos(at.saturating_sub(self.now())));
    }
}

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub(crate) const MILLISECOND_NS: u64 = 1_000_000;
