//! What was counted during a run, by one generator thread or by all of them together.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Latencies beyond this are counted as this: a minute.
const LATENCY_NS_MAX: u64 = 60 * 1_000_000_000;

/// An empty histogram of nanoseconds, three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are constants that fit each other")
}

/// Everything counted.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// From the intended moment of sending to arrival, of messages meant for the measured time. In a closed loop the
    /// moment of sending is the intended one: that is service time.
    pub(crate) latency: Histogram<u64>,
    /// From the intended moment of sending to the write's acknowledgement.
    pub(crate) acknowledged: Histogram<u64>,
    /// How late the generator itself was with sending.
    pub(crate) lag: Histogram<u64>,
    /// From the beginning of a connection to its first use.
    pub(crate) opening: Histogram<u64>,
    /// Messages sent during the measured time.
    pub(crate) sent: u64,
    /// Arrivals during the measured time.
    pub(crate) delivered: u64,
    /// Messages per publisher, warm-up included.
    pub(crate) sent_by: Vec<u32>,
    /// Never arrived, warm-up included; likewise below.
    pub(crate) lost: u64,
    /// Arrived more than once.
    pub(crate) duplicated: u64,
    /// Arrived after a later one.
    pub(crate) reordered: u64,
    /// Connections that ended early, stalled ones aside.
    pub(crate) closed: u64,
    /// Times a closed loop had waited so long that what was under way was given up.
    pub(crate) stalls: u64,
    /// Nanoseconds in which the generator found something to do.
    pub(crate) busy_ns: u64,
    /// Messages without a stamp of this harness.
    pub(crate) foreign: u64,
    /// What the server complained about, by name.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Tally {
    /// Nothing counted.
    pub(crate) fn new(publishers: usize) -> Self {
        Self {
            latency: histogram(),
            acknowledged: histogram(),
            lag: histogram(),
            opening: histogram(),
            sent: 0,
            delivered: 0,
            sent_by: vec![0; publishers],
            lost: 0,
            duplicated: 0,
            reordered: 0,
            closed: 0,
            stalls: 0,
            busy_ns: 0,
            foreign: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Adds another thread's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.latency, &other.latency),
            (&mut self.acknowledged, &other.acknowledged),
            (&mut self.lag, &other.lag),
            (&mut self.opening, &other.opening),
        ];
        for (sum, part) in pairs {
            sum.add(part).expect("all histograms have the same bounds");
        }
        for (sum, part) in self.sent_by.iter_mut().zip(&other.sent_by) {
            *sum += part;
        }
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.closed += other.closed;
        self.stalls += other.stalls;
        self.busy_ns += other.busy_ns;
        self.foreign += other.foreign;
        for (name, count) in &other.refused {
            *self.refused.entry(name.clone()).or_default() += count;
        }
    }

    /// The server complained.
    pub(crate) fn complain(&mut self, what: &str) {
        match self.refused.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.refused.insert(what.to_owned(), 1)),
        }
    }

    /// Everything that should not have happened, by name.
    pub(crate) fn faults(&self) -> BTreeMap<String, u64> {
        let counts = [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("closed", self.closed),
            ("stalls", self.stalls),
            ("foreign", self.foreign),
        ];
        let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count));
        counts.chain(self.refused.clone()).filter(|(_, count)| *count > 0).collect()
    }
}

/// Records a duration; what is out of bounds counts as the bound.
pub(crate) fn record(histogram: &mut Histogram<u64>, ns: u64) {
    histogram.saturating_record(ns.max(1));
}
