//! *Owns* when a core gives memory back: once connections hold much less than they did, and a moment later. *Promises* that a
//! burst alone gives none back. *Does not* know whose it was.

use super::ring;
use deepstream_engine::{Nanos, Shard};

/// Less than this is kept for what comes next.
const WORTH_BYTES: usize = 8 << 20;
/// Connections hold this many times less than at their most.
const LESS: usize = 4;
/// For how long that lasts first: the kernel has to let go of what it was sending, too.
const LASTS_NS: u64 = 1_000_000_000;

/// What a core remembers for it.
#[derive(Debug, Default)]
pub(super) struct Trim {
    most: usize,
    at: Option<Nanos>,
}

impl Trim {
    /// Connections hold this much. Whether it is time.
    fn is_due(&mut self, now: Nanos, held: usize) -> bool {
        self.most = self.most.max(held);
        if self.most < WORTH_BYTES || held > self.most / LESS {
            self.at = None;
            return false;
        }
        let at = *self.at.get_or_insert(now.after(LASTS_NS));
        if at > now {
            return false;
        }
        (self.most, self.at) = (held, None);
        true
    }

    /// Gives memory back, if it is time.
    pub(super) fn look(&mut self, shard: &mut Shard, now: Nanos) {
        if self.is_due(now, shard.held_bytes()) {
            shard.forget_spare();
            ring::give_back();
        }
    }

    /// When it will be time.
    pub(super) fn due(&self) -> Option<Nanos> {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_much_less_is_held_for_a_while() {
        let mut trim = Trim::default();
        let second = |n: u64| Nanos(n * LASTS_NS);
        assert!(!trim.is_due(second(1), WORTH_BYTES - 1) && !trim.is_due(second(3), 0), "it was not much");
        assert!(!trim.is_due(second(4), WORTH_BYTES * 4));
        assert!(!trim.is_due(second(9), WORTH_BYTES * 2), "that is not much less");
        assert!(!trim.is_due(second(10), WORTH_BYTES));
        assert_eq!(trim.due(), Some(second(11)));
        assert!(!trim.is_due(second(10), WORTH_BYTES * 4), "it began anew");
        assert!(!trim.is_due(second(12), 0));
        assert!(trim.is_due(second(13), 0));
        assert!(!trim.is_due(second(20), 0), "once is enough");
    }
}
