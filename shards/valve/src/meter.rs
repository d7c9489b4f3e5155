//! Limits the cost of an evaluation.
//!
//! *Owns* the bounds. *Promises* that everything a rule does costs steps or bytes, so that every evaluation ends soon.
//! *Does not* look at a clock: a step is worth a few nanoseconds, and two runs must agree.

use deepstream_pattern::{Budget, Exhausted};

use crate::eval::Thrown;

/// Steps of one evaluation. An operation is one, as are 64 bytes that are looked at and an instruction of a regular
/// expression; this is a few milliseconds at the very most.
pub const STEPS_MAX: u64 = 1_000_000;
/// Bytes that one evaluation may make.
pub const MADE_BYTES_MAX: usize = 4 << 20;

pub(crate) struct Meter {
    pub(crate) steps: Budget,
    made: usize,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { steps: Budget::new(STEPS_MAX), made: 0 }
    }

    /// Pays for one operation.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<(), Thrown> {
        Ok(self.steps.spend(1)?)
    }

    /// Pays for looking at so many bytes.
    #[inline]
    pub(crate) fn look(&mut self, bytes: usize) -> Result<(), Thrown> {
        Ok(self.steps.spend(bytes as u64 / 64)?)
    }

    /// Pays for making so many bytes.
    pub(crate) fn make(&mut self, bytes: usize) -> Result<(), Thrown> {
        self.made += bytes;
        if self.made > MADE_BYTES_MAX {
            return Err(Thrown::new("RangeError", "the rule makes too much text"));
        }
        self.look(bytes)
    }
}

impl From<Exhausted> for Thrown {
    fn from(_: Exhausted) -> Self {
        Self::new("RangeError", "the rule takes too many steps")
    }
}
