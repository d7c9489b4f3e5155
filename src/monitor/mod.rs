//! The figures of a running server: gauges, counters and histograms.
//!
//! *Owns* the definition of a figure, the list of all of them (`figures`), the exchange by which shards hand over
//! theirs, and the trait for whatever shows them ([`Reader`]). *Promises* one [`Snapshot`] for each shard and service,
//! that each figure is declared once, with name, unit, kind and help, and that a shard spends next to nothing on it
//! until figures are requested. *Does not* show anything: readers read snapshots.

mod figures;
mod reader;

pub use figures::{Listeners, auth, listeners, log, process, shard, sockets, storage, turns};
pub use reader::{Figures, PATIENCE, Reader};
pub(crate) use reader::{Read, Start, starting};

use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What kind of number a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How much there is now.
    Gauge,
    /// How often something happened since the start.
    Counter,
    /// How long or large something was each time.
    Histogram,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things: the name says which.
    Items,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
}

/// What is said of a figure, once.
#[derive(Debug, PartialEq, Eq)]
pub struct Figure {
    /// In lower case, with `_` between words; no other of its shard or service is called that.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// One sentence that explains it.
    pub help: &'static str,
}

/// What a figure was when somebody asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a gauge or a counter.
    Number(u64),
    /// Of a histogram. It may be empty.
    Spread(Box<Histogram<u64>>),
}

/// A figure and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it is.
    pub figure: &'static Figure,
    /// What it was.
    pub value: Value,
}

/// Whose figures they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A shard, by its number.
    Shard(usize),
    /// Something that is there once.
    Service(&'static str),
}

/// All figures of a shard or a service, as they were at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Whose.
    pub source: Source,
    /// In the order in which they are declared.
    pub readings: Vec<Reading>,
}

impl Snapshot {
    /// A snapshot of the figures that `put` adds.
    pub fn of(source: Source, put: impl FnOnce(&mut Vec<Reading>)) -> Self {
        let mut readings = Vec::new();
        put(&mut readings);
        Self { source, readings }
    }

    /// The number of a gauge or a counter.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.readings.iter().find_map(|reading| match reading.value {
            Value::Number(number) if reading.figure.name == name => Some(number),
            _ => None,
        })
    }
}

/// Where figures are requested of shards and answered. A shard compares [`asked`](Self::asked) once a turn with the
/// number of the request that it answered last.
#[derive(Debug)]
pub struct Monitor {
    asked: AtomicUsize,
    answers: Mutex<Vec<Answer>>,
    answered: Condvar,
}

/// The latest answer of a shard.
#[derive(Clone, Debug)]
enum Answer {
    None,
    To(usize, Snapshot),
    /// It has ended.
    Gone,
}

impl Monitor {
    /// A monitor for this many shards.
    pub fn new(shards: usize) -> Self {
        let answers = Mutex::new(vec![Answer::None; shards]);
        Self { asked: AtomicUsize::new(0), answers, answered: Condvar::new() }
    }

    /// Requests the figures of all shards; they have to be woken after that. Gives the number of this request.
    pub fn ask(&self) -> usize {
        self.asked.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The number of the latest request.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }

    /// A shard answers all requests up to this number.
    pub fn tell(&self, shard: usize, question: usize, snapshot: Snapshot) {
        self.lock()[shard] = Answer::To(question, snapshot);
        self.answered.notify_all();
    }

    /// A shard ends, and answers nothing any more.
    pub fn leave(&self, shard: usize) {
        self.lock()[shard] = Answer::Gone;
        self.answered.notify_all();
    }

    /// Waits for the answers of all shards to a request. By shard; `None`: it has ended, or has not answered in time.
    pub fn wait(&self, question: usize, patience: Duration) -> Vec<Option<Snapshot>> {
        let is_awaited = |answer: &Answer| match answer {
            Answer::None => true,
            Answer::To(number, _) => *number < question,
            Answer::Gone => false,
        };
        let waiting = self.answered.wait_timeout_while(self.lock(), patience, |answers| answers.iter().any(is_awaited));
        let (answers, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let answer = |answer: &Answer| match answer {
            Answer::To(_, snapshot) if !is_awaited(answer) => Some(snapshot.clone()),
            _ => None,
        };
        answers.iter().map(answer).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Counters as Stored;
    use deepstream_engine::{Census, Counters};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn of(shard_number: usize, connections: usize) -> Snapshot {
        let census = Census { connections, ..Census::default() };
        Snapshot::of(Source::Shard(shard_number), |to| shard(&census, &Counters::default(), to))
    }

    #[test]
    fn figures_have_names_of_their_own_and_say_what_they_are() {
        let turn_ns = Histogram::new(2).unwrap();
        let of_shard = Snapshot::of(Source::Shard(0), |to| {
            shard(&Census::default(), &Counters::default(), to);
            sockets(0, to);
            turns(&turn_ns, to);
        });
        let services = Snapshot::of(Source::Service("all together"), |to| {
            storage(&Stored::default(), to);
            auth(&crate::auth::Counters::default(), to);
            listeners(&Listeners::default(), to);
            process(&crate::service::process::usage(), to);
            log(&crate::log::counters(), to);
        });
        for snapshot in [of_shard, services] {
            let names: BTreeSet<&str> = snapshot.readings.iter().map(|reading| reading.figure.name).collect();
            assert_eq!(names.len(), snapshot.readings.len(), "two figures of {:?} share a name", snapshot.source);
            for Reading { figure, value } in &snapshot.readings {
                let Figure { name, kind, unit, help } = figure;
                assert!(name.bytes().all(|mark| mark.is_ascii_lowercase() || mark == b'_'), "{name}");
                assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
                let has_unit = [("_bytes", Unit::Bytes), ("_ns", Unit::Nanoseconds)];
                for (end, of_name) in has_unit {
                    assert_eq!(name.ends_with(end), *unit == of_name, "{name} counts {unit:?}");
                }
                assert_eq!(*kind == Kind::Histogram, matches!(value, Value::Spread(_)), "{name}");
            }
        }
    }

    #[test]
    fn a_question_is_answered_by_every_shard_that_is_there() {
        let monitor = Arc::new(Monitor::new(3));
        let question = monitor.ask();
        assert_eq!((question, monitor.asked()), (1, 1));
        monitor.leave(1);
        let shards = [0, 2].map(|number| {
            let monitor = Arc::clone(&monitor);
            std::thread::spawn(move || monitor.tell(number, question, of(number, 7 + number)))
        });
        let told = monitor.wait(question, Duration::from_secs(20));
        for shard in shards {
            shard.join().unwrap();
        }
        let connections = told.iter().map(|told| told.as_ref().and_then(|told| told.number("connections")));
        assert_eq!(connections.collect::<Vec<_>>(), [Some(7), None, Some(9)]);
    }

    #[test]
    fn an_answer_to_an_earlier_question_is_none() {
        let monitor = Monitor::new(1);
        let first = monitor.ask();
        monitor.tell(0, first, of(0, 1));
        let second = monitor.ask();
        assert_eq!(monitor.wait(second, Duration::ZERO), [None]);
        monitor.tell(0, second, of(0, 2));
        assert_eq!(
            monitor.wait(first, Duration::ZERO)[0].as_ref().and_then(|told| told.number("connections")),
            Some(2)
        );
    }
}
