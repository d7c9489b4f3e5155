//! Checks that every message arrived, once, and in order.

use std::cmp::Ordering;
use std::ops::Range;

/// What one receiver saw of one sender's numbered messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    next: u32,
    missing: Vec<Range<u32>>,
    /// Messages that came after one with a higher number.
    pub(crate) reordered: u64,
    /// Messages that came more than once.
    pub(crate) duplicated: u64,
}

impl Stream {
    /// Message `number` came.
    pub(crate) fn arrived(&mut self, number: u32) {
        match number.cmp(&self.next) {
            Ordering::Equal => self.next += 1,
            Ordering::Less => self.arrived_late(number),
            Ordering::Greater => {
                self.missing.push(self.next..number);
                self.next = number + 1;
            }
        }
    }

    fn arrived_late(&mut self, number: u32) {
        let Some(at) = self.missing.iter().position(|gap| gap.contains(&number)) else {
            self.duplicated += 1;
            return;
        };
        self.reordered += 1;
        let gap = self.missing.swap_remove(at);
        let rest = [gap.start..number, number + 1..gap.end];
        self.missing.extend(rest.into_iter().filter(|gap| !gap.is_empty()));
    }

    /// How many of the `sent` messages never came.
    pub(crate) fn lost(&self, sent: u32) -> u64 {
        let gaps: u64 = self.missing.iter().map(|gap| u64::from(gap.end - gap.start)).sum();
        gaps + u64::from(sent.saturating_sub(self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbers: &[u32]) -> Stream {
        let mut stream = Stream::default();
        for &number in numbers {
            stream.arrived(number);
        }
        stream
    }

    #[test]
    fn a_whole_sequence_has_no_faults() {
        let stream = seen(&[0, 1, 2, 3]);
        assert_eq!((stream.lost(4), stream.reordered, stream.duplicated), (0, 0, 0));
    }

    #[test]
    fn what_never_came_is_lost_wherever_it_stood() {
        assert_eq!(seen(&[0, 1, 4, 7]).lost(10), 6);
        assert_eq!(seen(&[]).lost(3), 3);
        assert_eq!(seen(&[5]).lost(6), 5);
    }

    #[test]
    fn what_came_late_is_reordered_and_not_lost() {
        let stream = seen(&[0, 4, 2, 1, 3]);
        assert_eq!((stream.lost(5), stream.reordered, stream.duplicated), (0, 3, 0));
    }

    #[test]
    fn what_came_twice_is_duplicated_whether_late_or_not() {
        let stream = seen(&[0, 0, 3, 1, 1, 3]);
        assert_eq!((stream.lost(4), stream.reordered, stream.duplicated), (1, 1, 3));
    }
}
