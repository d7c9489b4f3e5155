//! The parts of one run: names, sizes, and what each connection does.

use crate::dialect::{Dialect, Membership, Publication};
use crate::payload::{Payload, STAMP_LEN, Stamp, TIME_LEN};
use crate::role::Role;
use crate::scenario::{Kind, Scenario};
use std::sync::Arc;

/// Names and sizes of one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What is played, as the other end can carry it.
    pub(crate) scenario: Scenario,
    /// What is spoken.
    pub(crate) dialect: Dialect,
    login: Arc<str>,
    topics: Vec<String>,
    backs: Vec<String>,
}

impl Plan {
    /// `prefix` begins every name, so that runs against one server do not meet.
    pub(crate) fn new(scenario: &Scenario, dialect: Dialect, prefix: &str) -> Self {
        let scenario = dialect.adapt(scenario);
        let names = |mark: char| (0..scenario.topics).map(|topic| format!("{prefix}{mark}{topic:03}")).collect();
        let login = scenario.login.to_string().into();
        Self { login, topics: names('.'), backs: names('-'), scenario, dialect }
    }

    /// What a relay copies instead of a client's frame: as many bytes.
    pub(crate) fn frame_bytes(scenario: &Scenario, prefix: &str) -> usize {
        let plan = Self::new(scenario, Dialect::of(scenario.door), prefix);
        let mut frame = Vec::new();
        if plan.scenario.publishers > 0 {
            plan.compose(&mut plan.payload(), 0, 1, Stamp::default(), &mut frame);
        }
        frame.len().max(STAMP_LEN)
    }

    /// All parts of one of `threads` threads. Who shares a topic shares a thread, so that threads share nothing.
    pub(crate) fn roles(&self, thread: usize, threads: usize) -> Vec<Role> {
        let topics = self.scenario.topics.max(1);
        let mine = |count: usize| (0..count).filter(move |member| member % topics % threads == thread);
        let per_topic = self.scenario.publishers.div_ceil(topics);
        // Subscribers first, so that records are there when their writers ask for the version.
        let subscribers = mine(self.scenario.subscribers).map(|index| Role::subscriber(index, per_topic));
        let publishers = mine(self.scenario.publishers).map(|index| Role::publisher(index, &self.scenario));
        let idle = (thread..self.scenario.idle_connections).step_by(threads).map(|_| Role::Idle);
        subscribers.chain(publishers).chain(idle).collect()
    }

    /// What a part needs to join.
    pub(crate) fn membership(&self, role: &Role) -> Membership {
        let Scenario { message, echo, .. } = self.scenario;
        let login = Some(Arc::clone(&self.login));
        match role {
            Role::Publisher { index, .. } => {
                let topic = self.topic(*index).to_owned();
                // A writer that counts versions has to know the one it starts from.
                let versioned =
                    matches!(message, Kind::RecordPatch | Kind::RecordUpdate) && self.dialect.has_versions();
                let receives = if echo { Some(self.back(*index).to_owned()) } else { versioned.then(|| topic.clone()) };
                Membership { publishes: Some(topic), receives, kind: message, login }
            }
            Role::Subscriber { index, .. } => Membership {
                publishes: echo.then(|| self.back(*index).to_owned()),
                receives: Some(self.topic(*index).to_owned()),
                kind: message,
                login,
            },
            Role::Idle => Membership { login, ..Membership::default() },
        }
    }

    /// A payload of the right form.
    pub(crate) fn payload(&self) -> Payload {
        self.dialect.payload(&self.scenario)
    }

    /// Appends one message of a publisher.
    pub(crate) fn compose(
        &self,
        payload: &mut Payload,
        publisher: usize,
        version: i32,
        stamp: Stamp,
        out: &mut Vec<u8>,
    ) {
        let Scenario { message: kind, write_ack, .. } = self.scenario;
        let letters = stamp.letters();
        let correlation = match kind {
            Kind::Rpc => Some(&letters[..]),
            _ if write_ack => Some(&letters[..TIME_LEN]),
            _ => None,
        };
        let data = payload.stamped(stamp);
        let name;
        let topic = if kind == Kind::RecordRead {
            name = self.record(publisher, stamp.number % self.scenario.records);
            &name
        } else {
            self.topic(publisher)
        };
        self.dialect.publish(&Publication { kind, topic: topic.as_bytes(), data, version, correlation }, out);
    }

    /// One of the records a publisher reads.
    pub(crate) fn record(&self, publisher: usize, number: u32) -> String {
        format!("{}/{number:06}", self.topic(publisher))
    }

    /// Where messages of a publisher, or to a subscriber, go.
    pub(crate) fn topic(&self, member: usize) -> &str {
        &self.topics[member % self.topics.len()]
    }

    /// Where echoes go.
    pub(crate) fn back(&self, member: usize) -> &str {
        &self.backs[member % self.backs.len()]
    }

    /// The stamp of a message of this run.
    pub(crate) fn stamp_of(&self, data: &[u8]) -> Option<Stamp> {
        let stamp = match self.dialect {
            Dialect::Relay { .. } => Stamp::read(data),
            _ => Stamp::of_json(data),
        };
        stamp.filter(|stamp| (stamp.publisher as usize) < self.scenario.publishers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read;

    fn plan(text: &str, dialect: Dialect) -> Plan {
        let scenario = read(&format!("name: x\nabout: y\nshows: rate\n{text}")).expect("right");
        Plan::new(&scenario, dialect, "p")
    }

    #[test]
    fn whoever_shares_a_topic_shares_a_thread_and_nobody_is_left_out() {
        let plan = plan("publishers: 10\nsubscribers: 33\ntopics: 5\nidle_connections: 7\n", Dialect::Deepstream);
        let mut count = 0;
        for thread in 0..3 {
            for role in plan.roles(thread, 3) {
                count += 1;
                if let Role::Publisher { index, .. } | Role::Subscriber { index, .. } = role {
                    assert_eq!(index % 5 % 3, thread);
                }
            }
        }
        assert_eq!(count, 50);
    }

    #[test]
    fn the_relay_copies_as_many_bytes_as_a_client_sends() {
        let text = "publishers: 1\nsubscribers: 1\ntopics: 1\n";
        let plan = plan(text, Dialect::Deepstream);
        let mut frame = Vec::new();
        plan.compose(&mut plan.payload(), 0, 1, Stamp { at: u64::MAX, ..Stamp::default() }, &mut frame);
        assert_eq!(Plan::frame_bytes(&plan.scenario, "p"), frame.len());
        assert!(frame.len() > 64, "a frame has a payload and more");
    }
}
