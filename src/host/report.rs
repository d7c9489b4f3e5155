//! What a running server tells about itself when it is asked: one line per shard, one for storage.
//!
//! *Owns* the words. *Promises* that every field of the engine's census and counters is in them, those included that
//! do not exist yet. *Does not* decide when.

use super::core::Core;
use crate::log::{Level, answer};
use crate::storage;
use hdrhistogram::Histogram;
use std::fmt::Debug;

/// Whoever asks is to be told by a server that is otherwise silent, too.
const LEVEL: Level = Level::Warn;
/// Event of the lines that tell what is held now.
const CENSUS: &str = "CENSUS";
/// Event of the lines that tell what happened since the start.
const COUNTERS: &str = "COUNTERS";

impl Core {
    /// Logs what this core holds and what it did, as `field=number` in one line each.
    pub(super) fn report(&self, number: usize) {
        let about = format!("report={number} shard={}", self.id.index());
        let held = fields(&self.shard.census());
        answer(LEVEL, CENSUS, &format!("{about} {held} sockets={}", self.ring.socket_count()));
        let done = fields(self.shard.counters());
        answer(LEVEL, COUNTERS, &format!("{about} {done}{}", durations("turn_ns", &self.turn_ns)));
    }
}

/// How long something took, of which nothing is said where it never happened: 0 would be a figure.
fn durations(name: &str, measured: &Histogram<u64>) -> String {
    if measured.is_empty() {
        return String::new();
    }
    let [half, most] = [0.5, 0.99].map(|share| measured.value_at_quantile(share));
    format!(" {name}_p50={half} {name}_p99={most} {name}_max={}", measured.max())
}

/// Logs what storage did.
pub(super) fn storage(number: usize, counters: &storage::Counters) {
    answer(LEVEL, COUNTERS, &format!("report={number} storage {}", fields(counters)));
}

/// A struct of numbers as `field=number`, in order. Taken from its derived debug form, so that no field is ever left out.
fn fields(numbers: &impl Debug) -> String {
    let text = format!("{numbers:?}");
    let inner = text.split_once('{').map_or(&*text, |(_, inner)| inner.trim_end_matches('}'));
    inner.trim().replace(": ", "=").replace(", ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepstream_engine::Census;

    #[test]
    fn of_what_never_happened_no_duration_is_told() {
        let mut turns = Histogram::<u64>::new(2).unwrap();
        assert_eq!(durations("turn_ns", &turns), "");
        turns.record(100).unwrap();
        assert_eq!(durations("turn_ns", &turns), " turn_ns_p50=100 turn_ns_p99=100 turn_ns_max=100");
    }

    #[test]
    fn every_field_is_told_with_its_number() {
        let census = Census { connections: 3, packets: 7, ..Census::default() };
        let text = fields(&census);
        assert!(text.starts_with("connections=3 strangers=0 "), "{text}");
        assert!(text.split(' ').any(|field| field == "packets=7"), "{text}");
        assert!(text.split(' ').all(|field| field.split_once('=').is_some_and(|(_, n)| n.parse::<usize>().is_ok())));
    }
}
