//! The only place that reads the clock.
//!
//! *Owns* the start of time, which all cores share. *Promises* that time never goes backwards. *Does not* know dates.

use deepstream_engine::Nanos;
use std::time::Instant;

/// Tells the time since the server started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Time starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The present moment.
    pub(crate) fn now(self) -> Nanos {
        Nanos(self.0.elapsed().as_nanos() as u64)
    }
}
