//! What a publisher's messages still wait for.
//!
//! *Promises* that a window waits for deliveries and for acknowledgements, and not for the sum of both: half of it would
//! then go on with half of what it waits for, and a write whose acknowledgement waits for the disk would be followed by
//! ever smaller groups of others.

/// Of one publisher. Its receivers are on the same thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnderWay {
    receivers: u64,
    is_acknowledged: bool,
    delivered: u64,
    acknowledged: u64,
}

impl UnderWay {
    /// For a publisher that so many subscribers hear.
    pub(crate) fn new(receivers: u64, is_acknowledged: bool) -> Self {
        Self { receivers, is_acknowledged, delivered: 0, acknowledged: 0 }
    }

    /// A receiver has a message.
    pub(crate) fn delivered(&mut self) {
        self.delivered += 1;
    }

    /// A write was acknowledged.
    pub(crate) fn acknowledged(&mut self) {
        self.acknowledged += 1;
    }

    /// How many messages wait for nothing any more. Deliveries to many receivers count as the whole messages they
    /// would make.
    pub(crate) fn settled(&self) -> u64 {
        let delivered = self.delivered.checked_div(self.receivers);
        let acknowledged = self.is_acknowledged.then_some(self.acknowledged);
        delivered.into_iter().chain(acknowledged).min().unwrap_or(0)
    }

    /// Whether something of the `sent` messages is still to come.
    pub(crate) fn misses(&self, sent: u32) -> bool {
        (self.receivers > 0 || self.is_acknowledged) && self.settled() < u64::from(sent)
    }

    /// Nothing of the `sent` messages is waited for any more.
    pub(crate) fn give_up(&mut self, sent: u32) {
        let sent = u64::from(sent);
        (self.delivered, self.acknowledged) = (sent * self.receivers, sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(receivers: u64, is_acknowledged: bool, delivered: usize, acknowledged: usize) -> UnderWay {
        let mut under_way = UnderWay::new(receivers, is_acknowledged);
        (0..delivered).for_each(|_| under_way.delivered());
        (0..acknowledged).for_each(|_| under_way.acknowledged());
        under_way
    }

    #[test]
    fn a_message_is_as_many_deliveries_as_it_has_receivers() {
        assert_eq!(of(3, false, 8, 0).settled(), 2);
        assert_eq!(of(3, false, 9, 0).settled(), 3);
        assert!(of(3, false, 8, 0).misses(3) && !of(3, false, 9, 0).misses(3));
    }

    #[test]
    fn a_write_waits_for_its_acknowledgement_too() {
        assert_eq!(of(1, true, 4, 0).settled(), 0);
        assert_eq!(of(1, true, 4, 1).settled(), 1);
        assert_eq!(of(1, true, 4, 9).settled(), 4);
        assert!(of(1, true, 4, 3).misses(4) && !of(1, true, 4, 4).misses(4));
    }

    #[test]
    fn who_nobody_hears_waits_for_acknowledgements_or_nothing() {
        assert_eq!(of(0, true, 0, 5).settled(), 5);
        assert!(of(0, true, 0, 5).misses(6));
        assert!(!of(0, false, 0, 0).misses(6));
    }

    #[test]
    fn what_was_given_up_is_not_waited_for() {
        let mut under_way = of(2, true, 3, 1);
        under_way.give_up(4);
        assert_eq!(under_way.settled(), 4);
        assert!(!under_way.misses(4) && under_way.misses(5));
    }
}
