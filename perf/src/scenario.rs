//! Scenarios: who sends what to whom, how fast, and which figures are judged.
//!
//! *Owns* the files' format. *Promises* that a scenario that was read can be run.

use crate::payload::PAYLOAD_BYTES_MIN;
use crate::schedule::Window;
use crate::under_way::UnderWay;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One scenario. Publisher `p` sends to topic `p mod topics`, subscriber `s` receives topic `s mod topics`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Name on the command line and of the files written.
    pub(crate) name: String,
    /// One line for humans.
    pub(crate) about: String,
    /// Whether it runs when no scenario is named.
    #[serde(default = "yes")]
    pub(crate) by_default: bool,
    /// Through which of the server's doors.
    #[serde(default)]
    pub(crate) door: Door,
    /// What is sent.
    #[serde(default)]
    pub(crate) message: Kind,
    /// Whether record writes ask for an acknowledgement, which the writer's window then waits for too.
    #[serde(default)]
    pub(crate) write_ack: bool,
    /// Whether subscribers send every message back, and the round trip is what counts.
    #[serde(default)]
    pub(crate) echo: bool,
    /// Connections that send.
    #[serde(default)]
    pub(crate) publishers: usize,
    /// Connections that receive.
    #[serde(default)]
    pub(crate) subscribers: usize,
    /// Events, records or procedures.
    #[serde(default)]
    pub(crate) topics: usize,
    /// Connections that are logged in and nothing more.
    #[serde(default)]
    pub(crate) idle_connections: usize,
    /// Percent of the subscribers that never read; the others are measured.
    #[serde(default)]
    pub(crate) stalled_percent: usize,
    /// Records of each publisher, where records are read: all are written before anything is measured.
    #[serde(default = "one_record")]
    pub(crate) records: u32,
    /// Size of a payload.
    #[serde(default = "payload_bytes")]
    pub(crate) payload_bytes: usize,
    /// How fast.
    #[serde(default)]
    pub(crate) pace: Pace,
    /// How many connections are being opened at a time.
    #[serde(default = "opening_max")]
    pub(crate) opening_max: usize,
    /// How often all connections are dropped at once and opened again; the opening that is measured is then this one.
    #[serde(default)]
    pub(crate) reopened: usize,
    /// Milliseconds of load before measuring.
    #[serde(default = "warm_up_ms")]
    pub(crate) warm_up_ms: u64,
    /// Milliseconds measured; 0: only the opening of the connections is.
    #[serde(default = "measure_ms")]
    pub(crate) measure_ms: u64,
    /// How the server, or the relay, waits.
    #[serde(default)]
    pub(crate) profile: Profile,
    /// Where the server keeps records.
    #[serde(default)]
    pub(crate) storage: Storage,
    /// Shards of the server, if not one for each of its CPUs; they share those.
    #[serde(default)]
    pub(crate) shards: Option<u16>,
    /// Permission rules of the server, by section, path and type; without them nothing is judged.
    #[serde(default)]
    pub(crate) rules: serde_yaml::Mapping,
    /// What every connection logs in with.
    #[serde(default = "nothing")]
    pub(crate) login: serde_json::Value,
    /// Records that are there from the start, by their names.
    #[serde(default)]
    pub(crate) given: BTreeMap<String, serde_json::Value>,
    /// What else the server's configuration says.
    #[serde(default)]
    pub(crate) config: serde_yaml::Mapping,
    /// The scenario whose relay is the floor, where the relay cannot play this one.
    #[serde(default)]
    pub(crate) floor: Option<String>,
    /// What is judged.
    pub(crate) shows: Shows,
    /// What is to be reached, as a ratio to the floor or in the figure's own unit, by the figure's name.
    #[serde(default)]
    pub(crate) goals: BTreeMap<String, f64>,
}

/// A way into the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Door {
    /// The protobuf protocol.
    #[default]
    Binary,
    /// The text protocol of older clients.
    Text,
    /// The JSON protocol.
    Json,
    /// The HTTP API, for those who only say something.
    Http,
    /// MQTT.
    Mqtt,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// An event.
    #[default]
    Event,
    /// A patch of one path, with the next version.
    RecordPatch,
    /// A whole record, with the next version.
    RecordUpdate,
    /// A patch of one path without a version: several writers of one record never conflict.
    RecordUpsert,
    /// A read of one record after the other.
    RecordRead,
    /// A procedure call, answered by the subscriber of the topic.
    Rpc,
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shows {
    /// Percentiles of the time from sending to arrival.
    Latency,
    /// Percentiles of the time from sending to the write's acknowledgement.
    AckLatency,
    /// Arrivals per second of the server's CPU time.
    Rate,
    /// Server CPU time per connection opened.
    Opening,
    /// Bytes per connection.
    Memory,
}

/// How fast.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Pace {
    /// Open loop.
    Open(Open),
    /// Closed loop.
    Closed(Closed),
}

/// An open loop.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    /// Messages a second, all publishers together.
    pub(crate) rate: f64,
}

/// A closed loop.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closed {
    /// Messages of one publisher under way.
    pub(crate) window: u64,
    /// Messages in one write, never more and never fewer; not said: as many as there is room for.
    #[serde(default)]
    pub(crate) batch: Option<u64>,
}

impl From<Closed> for Window {
    fn from(closed: Closed) -> Self {
        Self { size: closed.window, batch: closed.batch.unwrap_or(1) }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::Closed(Closed { window: 1, batch: None })
    }
}

/// How a server waits while it has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// It sleeps at once.
    #[default]
    Eco,
    /// It never sleeps.
    Spin,
}

/// Where a server started by the harness keeps records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Storage {
    /// In memory only.
    #[default]
    Memory,
    /// On disk, acknowledged once it is there.
    Always,
    /// On disk, acknowledged at once.
    None,
}

fn yes() -> bool {
    true
}
fn one_record() -> u32 {
    1
}
fn nothing() -> serde_json::Value {
    serde_json::json!({})
}
fn payload_bytes() -> usize {
    64
}
fn opening_max() -> usize {
    64
}
fn warm_up_ms() -> u64 {
    500
}
fn measure_ms() -> u64 {
    2000
}

/// Reads and checks one scenario.
pub(crate) fn read(text: &str) -> Result<Scenario, String> {
    let scenario: Scenario = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    match scenario.fault() {
        Some(fault) => Err(format!("{}: {fault}", scenario.name)),
        None => Ok(scenario),
    }
}

impl Scenario {
    /// How many connections it opens.
    pub(crate) fn connections(&self) -> usize {
        self.publishers + self.subscribers + self.idle_connections
    }

    /// How many subscribers never read.
    pub(crate) fn stalled(&self) -> usize {
        (self.subscribers * self.stalled_percent).div_ceil(100)
    }

    /// Whether a subscriber never reads.
    pub(crate) fn is_stalled(&self, subscriber: usize) -> bool {
        subscriber < self.stalled()
    }

    /// Whether publishers are answered, and nothing else is counted.
    pub(crate) fn answers(&self) -> bool {
        self.echo || matches!(self.message, Kind::Rpc | Kind::RecordRead)
    }

    /// How many receivers a message of a publisher has.
    pub(crate) fn receivers(&self, publisher: usize) -> u64 {
        if self.answers() {
            return 1;
        }
        let topic = publisher % self.topics.max(1);
        let reading = (self.stalled()..self.subscribers).filter(|subscriber| subscriber % self.topics == topic).count();
        reading as u64
    }

    /// What a publisher that has sent nothing has under way.
    pub(crate) fn under_way(&self, publisher: usize) -> UnderWay {
        UnderWay::new(self.receivers(publisher), self.write_ack)
    }

    /// The same load for something that only passes messages on: no records, no acknowledgements; answers are echoes.
    pub(crate) fn plain(&self) -> Self {
        let mut plain = self.clone();
        plain.echo = self.answers();
        if self.message == Kind::RecordRead {
            plain.subscribers = self.publishers;
        }
        plain.message = Kind::Event;
        plain.write_ack = false;
        plain
    }

    fn fault(&self) -> Option<&'static str> {
        let load = self.publishers > 0;
        let records = matches!(self.message, Kind::RecordPatch | Kind::RecordUpdate | Kind::RecordUpsert);
        let versions = matches!(self.message, Kind::RecordPatch | Kind::RecordUpdate);
        let pairs = self.publishers == self.subscribers && self.publishers == self.topics;
        let reads = self.message == Kind::RecordRead;
        let (slow, window) = match self.pace {
            Pace::Open(open) => (!(open.rate > 0.0 && open.rate.is_finite()), false),
            Pace::Closed(closed) => (!(1..=closed.window).contains(&closed.batch.unwrap_or(1)), true),
        };
        let silent = || !self.write_ack && (0..self.publishers).any(|publisher| self.receivers(publisher) == 0);
        [
            (self.connections() == 0, "it opens no connections"),
            (load && self.topics == 0, "publishers need topics"),
            (self.subscribers > 0 && self.topics == 0, "subscribers need topics"),
            (load && self.measure_ms == 0, "publishers need a measure_ms"),
            (slow, "its pace is nothing, or its batch larger than its window"),
            (self.opening_max == 0, "opening_max must be at least 1"),
            (self.payload_bytes < PAYLOAD_BYTES_MIN, "payload_bytes are too few for a stamp"),
            (self.write_ack && !records, "only record writes are acknowledged"),
            (
                self.door == Door::Text && (self.write_ack || reads),
                "the text protocol's acknowledgements do not say of what they are",
            ),
            (
                self.door == Door::Http && (self.write_ack || self.echo || reads || versions),
                "who speaks HTTP hears nothing but answers, and writes without versions: use record-upsert",
            ),
            (
                self.door == Door::Mqtt && !matches!(self.message, Kind::Event | Kind::RecordUpdate),
                "MQTT knows events and whole records",
            ),
            (self.door == Door::Mqtt && self.write_ack, "without a quality of service nothing is acknowledged"),
            (versions && self.publishers > self.topics, "two writers of a record conflict: use record-upsert"),
            (self.echo && self.message != Kind::Event, "only events are echoed; calls and reads are answered anyway"),
            (self.answers() && !reads && !pairs, "who is answered needs a partner: as many topics as either"),
            (
                reads && (self.topics != self.publishers || self.subscribers > 0),
                "readers need a topic each, and nobody else",
            ),
            (!self.login.is_object(), "who logs in does so with a map"),
            (
                self.door != Door::Binary && (self.login != nothing() || !self.given.is_empty()),
                "only the protobuf protocol's clients log in as somebody, and are given records",
            ),
            (self.stalled_percent > 100, "stalled_percent is beyond 100"),
            (load && self.topics > 0 && window && silent(), "a closed loop waits for somebody who receives"),
        ]
        .into_iter()
        .find_map(|(wrong, fault)| wrong.then_some(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_that_cannot_run_say_why() {
        let refused = |text: &str| read(text).expect_err("refused");
        let base = "name: x\nabout: y\nshows: rate\n";
        assert!(refused(base).contains("no connections"));
        assert!(refused(&format!("{base}publishers: 1\n")).contains("need topics"));
        let two = format!("{base}publishers: 2\nsubscribers: 1\ntopics: 1\n");
        assert!(refused(&format!("{two}message: record-patch\n")).contains("conflict"));
        assert!(refused(&format!("{two}echo: true\n")).contains("partner"));
        assert!(refused(&format!("{two}message: rpc\n")).contains("partner"));
        assert!(refused(&format!("{two}message: record-read\n")).contains("topic each"));
        assert!(refused(&format!("{two}pace: {{rate: 0}}\n")).contains("pace"));
        assert!(refused(&format!("{two}pace: {{window: 4, batch: 8}}\n")).contains("batch"));
        assert!(refused(&format!("{two}speed: 7\n")).contains("speed"));
        assert!(refused(&format!("{two}stalled_percent: 100\n")).contains("receives"));
        assert!(refused(&format!("{two}door: http\nmessage: record-update\n")).contains("versions"));
        assert!(refused(&format!("{two}door: mqtt\nmessage: record-upsert\n")).contains("whole records"));
        assert!(refused(&format!("{two}login: [1]\n")).contains("a map"));
        assert!(refused(&format!("{two}door: json\ngiven: {{r: 1}}\n")).contains("given records"));
        assert!(refused(&format!("{two}door: text\nmessage: record-upsert\nwrite_ack: true\n")).contains("text"));
    }

    #[test]
    fn receivers_are_those_of_the_topic_that_read() {
        let text = "name: x\nabout: y\nshows: rate\npublishers: 2\nsubscribers: 10\ntopics: 2\nstalled_percent: 10\n";
        let scenario = read(text).expect("right");
        assert!(scenario.is_stalled(0) && !scenario.is_stalled(1));
        assert_eq!((scenario.receivers(0), scenario.receivers(1)), (4, 5));
    }

    #[test]
    fn a_plain_load_echoes_what_was_answered() {
        let text = "name: x\nabout: y\nshows: rate\nmessage: record-read\npublishers: 2\ntopics: 2\n";
        let plain = read(text).expect("right").plain();
        assert!(plain.echo && plain.message == Kind::Event && plain.subscribers == 2);
        assert_eq!(plain.receivers(0), 1);
    }
}
