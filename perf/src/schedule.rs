//! When to send: at fixed moments (open loop) or when answers leave room (closed loop).
//!
//! *Promises* that an open loop's moments depend on nothing but the rate. A sender that was held up sends late what
//! was due, dated with the moment it was *meant* for, so the wait of every message that a stall delayed is counted and
//! not only the first one's (coordinated omission).

use crate::clock::SECOND_NS;

/// When load begins, when it is measured, and when it ends, in the harness's nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// The first message may be sent.
    pub(crate) start: u64,
    /// What is sent from here on counts.
    pub(crate) from: u64,
    /// No message is sent any more.
    pub(crate) until: u64,
}

impl Timing {
    /// Whether a moment lies in the measured time.
    pub(crate) fn measures(self, at: u64) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// An open loop: the n-th message is due at `start + n / rate`.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    start: u64,
    interval_ns: f64,
    sent: u64,
}

impl Schedule {
    /// `rate` messages a second, the first at `start`.
    pub(crate) fn new(start: u64, rate: f64) -> Self {
        Self { start, interval_ns: SECOND_NS as f64 / rate, sent: 0 }
    }

    /// When the next message is due. Computed from its number, so that rounding never adds up.
    pub(crate) fn due_at(&self) -> u64 {
        self.start + (self.sent as f64 * self.interval_ns) as u64
    }

    /// How many were taken.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The intended moment of the next message, if that has come; it counts as sent.
    pub(crate) fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.due_at();
        (due <= now).then(|| {
            self.sent += 1;
            due
        })
    }
}

/// A closed loop: at most `size` messages of one publisher are under way, sent in batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Messages under way at most.
    pub(crate) size: u64,
    /// Messages sent together: nothing is sent until there is room for so many.
    pub(crate) batch: u64,
}

impl Window {
    /// How many to send now, given how many were sent and how many of them have arrived.
    pub(crate) fn room(self, sent: u64, arrived: u64) -> u64 {
        let free = self.size.saturating_sub(sent.saturating_sub(arrived));
        free - free % self.batch.clamp(1, self.size.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_a_function_of_the_rate_alone() {
        let mut schedule = Schedule::new(500, 3.0);
        assert_eq!(schedule.take(499), None);
        let moments: Vec<u64> = std::iter::from_fn(|| schedule.take(10 * SECOND_NS)).take(7).collect();
        assert_eq!(moments[0], 500);
        assert_eq!(moments[3], 500 + SECOND_NS);
        assert_eq!(moments[6], 500 + 2 * SECOND_NS);
    }

    #[test]
    fn everything_that_a_stall_held_up_counts_its_wait() {
        // A message every millisecond, a server that answers at once, and a generator that is held up for 10 ms.
        let mut schedule = Schedule::new(0, 1000.0);
        let mut waits = Vec::new();
        for now in [0, 1, 2, 12, 13].map(|ms| ms * 1_000_000) {
            while let Some(intended) = schedule.take(now) {
                waits.push((now - intended) / 1_000_000);
            }
        }
        assert_eq!(waits, [0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]);
    }

    #[test]
    fn a_window_waits_until_there_is_room_for_a_batch() {
        let window = Window { size: 8, batch: 4 };
        assert_eq!(window.room(0, 0), 8);
        assert_eq!(window.room(8, 3), 0);
        assert_eq!(window.room(8, 4), 4);
        assert_eq!(window.room(8, 7), 4);
        assert_eq!(window.room(8, 8), 8);
        // Duplicates arrive more often than they were sent.
        assert_eq!(window.room(8, 9), 8);
        assert_eq!(Window { size: 1, batch: 1 }.room(1, 0), 0);
    }
}
