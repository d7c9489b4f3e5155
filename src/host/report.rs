//! The report about itself that a running server writes into its log on SIGUSR1: two lines per shard, one per service.
//!
//! *Owns* the form of the lines. *Promises* that every figure of a snapshot is in one of them. *Does not* know the figures.

use crate::log::{Level, answer};
use crate::monitor::{Kind, Reading, Snapshot, Source, Value};

/// High, so that a server which otherwise logs little answers too.
const LEVEL: Level = Level::Warn;
/// Event of the lines with what is held now.
const CENSUS: &str = "CENSUS";
/// Event of the lines with what happened since the start.
const COUNTERS: &str = "COUNTERS";

/// Logs what a shard or service holds and did, as `field=number` in one line each.
pub(super) fn write(number: usize, snapshot: &Snapshot) {
    let about = match snapshot.source {
        Source::Shard(shard) => format!("report={number} shard={shard}"),
        Source::Service(name) => format!("report={number} {name}"),
    };
    for (event, gauges) in [(CENSUS, true), (COUNTERS, false)] {
        let here = snapshot.readings.iter().filter(|reading| (reading.figure.kind == Kind::Gauge) == gauges);
        let text: String = here.map(field).collect();
        if !text.is_empty() {
            answer(LEVEL, event, &format!("{about}{text}"));
        }
    }
}

/// Logs that a shard has not answered.
pub(super) fn silent(number: usize, shard: usize) {
    answer(LEVEL, CENSUS, &format!("report={number}: shard {shard} does not answer"));
}

/// A figure as a field, with a space in front. An empty histogram gives nothing: 0 would look like a measurement.
fn field(Reading { figure, value }: &Reading) -> String {
    let name = figure.name;
    match value {
        Value::Number(number) => format!(" {name}={number}"),
        Value::Spread(measured) if measured.is_empty() => String::new(),
        Value::Spread(measured) => {
            let [half, most] = [0.5, 0.99].map(|share| measured.value_at_quantile(share));
            format!(" {name}_p50={half} {name}_p99={most} {name}_max={}", measured.max())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor;
    use hdrhistogram::Histogram;

    #[test]
    fn of_what_never_happened_no_duration_is_told() {
        let mut turns = Histogram::<u64>::new(2).unwrap();
        let told = |turns: &Histogram<u64>| {
            let snapshot = Snapshot::of(Source::Shard(0), |to| monitor::turns(turns, to));
            snapshot.readings.iter().map(field).collect::<String>()
        };
        assert_eq!(told(&turns), "");
        turns.record(100).unwrap();
        assert_eq!(told(&turns), " turn_ns_p50=100 turn_ns_p99=100 turn_ns_max=100");
    }
}
