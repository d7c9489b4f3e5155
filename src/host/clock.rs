//! The only place that reads the clock.
//!
//! *Owns* the start of time, which all cores share. *Promises* that time never goes backwards. The date is read once,
//! at the start, for rules that use it: setting the system's clock while the server runs does not change it for them.

use deepstream_engine::Nanos;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time since the server started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Time starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds from the beginning of 1970 to the start.
    pub(crate) fn unix_ns(self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(self.0.elapsed());
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The present moment.
    pub(crate) fn now(self) -> Nanos {
        Nanos(self.0.elapsed().as_nanos() as u64)
    }
}
