//! *Owns* the decision when a core gives memory back to the operating system: when connections have held much less than
//! at their peak for a while. *Promises* that none is given back because of a short drop. *Does not* know whose memory
//! it was.

use super::ring;
use deepstream_engine::{Nanos, Shard};

/// Less than this is not worth giving back.
const WORTH_BYTES: usize = 8 << 20;
/// How many times less than at their peak connections must hold.
const LESS: usize = 4;
/// For how long that must last: the kernel also needs time to release what it was sending.
const LASTS_NS: u64 = 1_000_000_000;

/// The state for this decision.
#[derive(Debug, Default)]
pub(super) struct Trim {
    most: usize,
    at: Option<Nanos>,
}

impl Trim {
    /// Notes how much connections hold. Returns whether it is time.
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
