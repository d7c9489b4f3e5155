//! What a run gives, as named numbers.

use crate::conduct::{Outcome, bytes_per_connection};
use crate::scenario::Shows;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// A run's numbers by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// What is known of a kind of number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// Whether a goal for it is a ratio to the floor.
    pub(crate) is_ratio: bool,
}

/// In which direction a number improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
    /// It describes the measurement, not what is measured.
    Neither,
}

const fn kind(name: &'static str, unit: &'static str, better: Better) -> Kind {
    Kind { name, unit, better, is_ratio: true }
}

/// Every number there is.
pub(crate) const KINDS: &[Kind] = &[
    kind("p50", "µs", Better::Lower),
    kind("p90", "µs", Better::Lower),
    kind("p99", "µs", Better::Lower),
    kind("p99.9", "µs", Better::Lower),
    kind("p99.99", "µs", Better::Lower),
    kind("p99.999", "µs", Better::Lower),
    kind("max", "µs", Better::Lower),
    kind("ack_p50", "µs", Better::Lower),
    kind("ack_p99", "µs", Better::Lower),
    kind("ack_p99.9", "µs", Better::Lower),
    kind("ack_max", "µs", Better::Lower),
    // Arrivals per second of the player's CPU time.
    kind("rate", "/s", Better::Higher),
    // Arrivals per second of the clock.
    kind("throughput", "/s", Better::Higher),
    kind("cpu", "ns", Better::Lower),
    // Times the player went to sleep, per 1,000 messages: its wake-ups.
    kind("sleeps", "/1000", Better::Neither),
    // System calls per 1,000 messages, where they were counted.
    kind("syscalls", "/1000", Better::Lower),
    // Times it was pushed off its CPU, per second.
    kind("pushed_off", "/s", Better::Neither),
    kind("opening_cpu", "µs", Better::Lower),
    kind("opening_p50", "µs", Better::Lower),
    kind("opening_p99", "µs", Better::Lower),
    kind("opening_all", "ms", Better::Lower),
    Kind { is_ratio: false, ..kind("connection_bytes", "B", Better::Lower) },
    kind("resident", "MiB", Better::Lower),
    // How late the generator itself was, and how much of its time it had something to do.
    kind("lag_p99", "µs", Better::Neither),
    kind("lag_max", "µs", Better::Neither),
    kind("busy", "%", Better::Neither),
    // How far apart the CPUs of both sides were.
    kind("line", "ns", Better::Neither),
];

/// Looks a kind up; memory with a certain number of connections is one too.
pub(crate) fn kind_of(name: &str) -> Option<Kind> {
    let name = if name.starts_with("connection_bytes_") { "connection_bytes" } else { name };
    KINDS.iter().find(|kind| kind.name == name).copied()
}

impl Shows {
    /// What a table shows of it, the first being what counts.
    pub(crate) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Latency => &["p50", "p99", "p99.9", "p99.99", "p99.999", "max", "cpu", "sleeps", "lag_p99"],
            Self::AckLatency => &["ack_p50", "ack_p99", "ack_p99.9", "ack_max", "p50", "p99", "cpu"],
            Self::Rate => &["rate", "throughput", "cpu", "p50", "p99", "p99.9", "sleeps", "syscalls", "busy"],
            Self::Opening => &["opening_cpu", "opening_p50", "opening_p99", "opening_all", "resident"],
            Self::Memory => &["connection_bytes", "resident", "opening_cpu"],
        }
    }

    /// What bars and summaries show of it.
    pub(crate) fn main(self) -> &'static str {
        self.columns()[0]
    }
}

const MICROSECOND_NS: f64 = 1e3;
const MILLISECOND_NS: f64 = 1e6;
const SECOND_NS: f64 = 1e9;

/// The numbers of one run.
pub(crate) fn of(outcome: &Outcome) -> Figures {
    let Outcome { tally, load, .. } = outcome;
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };
    percentiles(&tally.latency, "", &[50.0, 90.0, 99.0, 99.9, 99.99, 99.999], &mut put);
    percentiles(&tally.acknowledged, "ack_", &[50.0, 99.0, 99.9], &mut put);
    percentiles(&tally.opening, "opening_", &[50.0, 99.0], &mut put);
    percentiles(&tally.lag, "lag_", &[99.0], &mut put);
    if outcome.load_ns > 0 {
        let (delivered, seconds) = (tally.delivered as f64, outcome.load_ns as f64 / SECOND_NS);
        put("throughput", delivered / seconds);
        put("busy", 100.0 * tally.busy_ns as f64 / outcome.load_ns as f64);
        if outcome.is_measured && delivered > 0.0 {
            put("rate", delivered / (load.cpu_ns as f64 / SECOND_NS));
            put("cpu", load.cpu_ns as f64 / delivered);
            put("sleeps", 1000.0 * load.voluntary_switches as f64 / delivered);
            if let Some(calls) = outcome.syscalls {
                put("syscalls", 1000.0 * calls * seconds / delivered);
            }
            put("pushed_off", load.involuntary_switches as f64 / seconds);
        }
    }
    put("opening_all", outcome.opening_ns as f64 / MILLISECOND_NS);
    if let Some(ns) = outcome.line_ns {
        put("line", ns);
    }
    if outcome.is_measured {
        put("opening_cpu", outcome.opening.cpu_ns as f64 / MICROSECOND_NS / outcome.opened.max(1) as f64);
        let memory = if outcome.load_ns > 0 { load } else { &outcome.opening };
        put("resident", memory.resident_bytes as f64 / f64::from(1 << 20));
        let bytes = bytes_per_connection(&outcome.memory);
        for (count, bytes) in &bytes {
            put(&format!("connection_bytes_{count}"), *bytes);
        }
        if let Some(bytes) = bytes.values().next_back() {
            put("connection_bytes", *bytes);
        }
    }
    figures
}

fn percentiles(histogram: &Histogram<u64>, prefix: &str, percents: &[f64], put: &mut impl FnMut(&str, f64)) {
    if histogram.is_empty() {
        return;
    }
    for percent in percents {
        let value = histogram.value_at_quantile(percent / 100.0) as f64 / MICROSECOND_NS;
        put(&format!("{prefix}p{percent}"), value);
    }
    put(&format!("{prefix}max"), histogram.max() as f64 / MICROSECOND_NS);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read;
    use crate::shipped::shipped;

    #[test]
    fn every_goal_and_every_column_is_a_known_figure() {
        for scenario in shipped().expect("right") {
            for name in scenario.goals.keys().map(String::as_str).chain(scenario.shows.columns().iter().copied()) {
                assert!(kind_of(name).is_some(), "{}: {name}", scenario.name);
            }
        }
        assert!(read("name: x\nabout: y\nshows: speed\nidle_connections: 1\n").is_err());
    }

    #[test]
    fn percentiles_are_microseconds() {
        let mut histogram = crate::tally::histogram();
        (1..=100).for_each(|n| histogram.record(n * 1000).expect("within bounds"));
        let mut figures = Figures::new();
        percentiles(&histogram, "ack_", &[50.0, 99.9], &mut |name, value| {
            figures.insert(name.to_owned(), value);
        });
        assert!((figures["ack_p50"] - 50.0).abs() < 0.1, "{figures:?}");
        assert!((figures["ack_p99.9"] - 100.0).abs() < 0.1 && (figures["ack_max"] - 100.0).abs() < 0.1, "{figures:?}");
    }
}
