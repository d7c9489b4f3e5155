//! Clients that listen: asked to provide a name, some accept, some refuse, some do not answer, some answer too late.

use crate::world::World;
use deepstream_wire::{Action, Message, Outgoing};

/// What clients listen to, and which of the names of these worlds that means; nothing: it is no pattern.
type Pattern = (&'static str, Option<fn(&str) -> bool>);

/// Written down apart from any engine of regular expressions.
const PATTERNS: [Pattern; 14] = [
    (".*", Some(|_| true)),
    ("^e", Some(|name| name.starts_with('e'))),
    ("^r", Some(|name| name.starts_with('r'))),
    ("^[rxh]", Some(|name| name.starts_with(['r', 'x', 'h']))),
    ("^e[01]$", Some(|name| name == "e0" || name == "e1")),
    ("^e0$", Some(|name| name == "e0")),
    ("^r0$", Some(|name| name == "r0")),
    ("^(?!e1)", Some(|name| !name.starts_with("e1"))),
    ("[02]$", Some(|name| name.ends_with(['0', '2']))),
    ("(e|r)1", Some(|name| name.contains("e1") || name.contains("r1"))),
    ("^(.)\\1", Some(|_| false)),
    ("^((\\w)+)+!$", Some(|_| false)),
    ("(", None),
    ("a{2,1}", None),
];

/// Whether a pattern matches a name; nothing if it is no pattern.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> Option<bool> {
    let (_, meaning) = PATTERNS.iter().find(|(known, _)| known.as_bytes() == pattern)?;
    Some((*meaning)?(std::str::from_utf8(name).ok()?))
}

/// Whether a client with this connection would provide a name, once it says what it thinks.
pub(crate) fn willing(conn: usize, name: &[u8]) -> bool {
    let sum: usize = name.iter().map(|&byte| usize::from(byte)).sum();
    !(conn + sum).is_multiple_of(4)
}

/// The words of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) listen: Action,
    pub(crate) unlisten: Action,
    pub(crate) accept: Action,
    pub(crate) reject: Action,
    pub(crate) found: Action,
    pub(crate) removed: Action,
    pub(crate) invalid_pattern: Action,
    pub(crate) timeout: Action,
    pub(crate) multiple: Action,
    pub(crate) invalid: Action,
}

/// By whether the topic is RECORD.
pub(crate) fn words(records: bool) -> Words {
    if records {
        Words {
            listen: Action::RecordListen,
            unlisten: Action::RecordUnlisten,
            accept: Action::RecordListenAccept,
            reject: Action::RecordListenReject,
            found: Action::RecordPatternFound,
            removed: Action::RecordPatternRemoved,
            invalid_pattern: Action::RecordInvalidListenRegex,
            timeout: Action::RecordListenResponseTimeout,
            multiple: Action::RecordMultipleSubscriptions,
            invalid: Action::RecordInvalidMessageData,
        }
    } else {
        Words {
            listen: Action::EventListen,
            unlisten: Action::EventUnlisten,
            accept: Action::EventListenAccept,
            reject: Action::EventListenReject,
            found: Action::EventPatternFound,
            removed: Action::EventPatternRemoved,
            invalid_pattern: Action::EventInvalidListenRegex,
            timeout: Action::EventListenResponseTimeout,
            multiple: Action::EventMultipleSubscriptions,
            invalid: Action::EventInvalidMessageData,
        }
    }
}

/// A question: whether on topic RECORD, the pattern, the name.
type Question = (bool, Vec<u8>, Vec<u8>);

/// What a listener has to do.
#[derive(Debug, Default)]
pub(crate) struct Stand {
    asked: Vec<Question>,
    answered: Vec<Question>,
}

/// Questions a listener remembers having answered.
const ANSWERED_KEPT: usize = 4;

impl Stand {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether it was asked something it has not answered.
    pub(crate) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }
}

impl World {
    /// A client is asked to provide a name.
    pub(crate) fn listener_asked(&mut self, client: usize, message: &Message<&[u8]>) {
        let records = message.head.action == Action::RecordPatternFound;
        let name = message.subscription().unwrap_or_default();
        self.clients[client].stand.asked.push((records, message.name().into(), name.into()));
        if self.settling && self.plan.topics.listen > 0 {
            self.answer_questions(client);
        }
    }

    /// A client says what it thinks of all it was asked.
    pub(crate) fn answer_questions(&mut self, client: usize) {
        for question in std::mem::take(&mut self.clients[client].stand.asked) {
            let Some(index) = self.clients[client].conn else { return };
            self.answer_question(client, question.clone(), willing(index, &question.2));
        }
    }

    pub(super) fn listen_work(&mut self, client: usize) {
        let asked = self.clients[client].stand.asked.len();
        match self.rng.workload.below(100) {
            0..=54 if asked > 0 => self.listen_answer(client, asked),
            55..=59 => self.listen_repeat(client),
            60..=74 => self.listen_say(client, true),
            75..=82 => self.listen_say(client, false),
            83..=94 => self.want(client, true),
            _ => self.want(client, false),
        }
    }

    /// Answers one question, or never will.
    fn listen_answer(&mut self, client: usize, asked: usize) {
        let place = self.rng.workload.below(asked);
        let question = self.clients[client].stand.asked.swap_remove(place);
        match self.rng.workload.below(10) {
            0..=5 => self.answer_question(client, question, true),
            6..=7 => self.answer_question(client, question, false),
            _ => {}
        }
    }

    pub(crate) fn answer_question(&mut self, client: usize, question: Question, accept: bool) {
        let words = words(question.0);
        let action = if accept { words.accept } else { words.reject };
        self.line(|| format!("{} client={client} {}", action.name(), String::from_utf8_lossy(&question.2)));
        let (pattern, name) = (Some(&question.1[..]), Some(&question.2[..]));
        self.say(client, &Outgoing { name: pattern, subscription: name, ..Outgoing::new(action) });
        let answered = &mut self.clients[client].stand.answered;
        answered.truncate(ANSWERED_KEPT - 1);
        answered.insert(0, question);
    }

    /// The first question a client was asked.
    pub(crate) fn answer_first_question(&mut self, client: usize, accept: bool) {
        if self.clients[client].stand.is_asked() {
            let question = self.clients[client].stand.asked.remove(0);
            self.answer_question(client, question, accept);
        }
    }

    /// Says something once more, or something else, that nobody asked for; if clients of this world do such things.
    fn listen_repeat(&mut self, client: usize) {
        let count = self.clients[client].stand.answered.len();
        if count == 0 || self.plan.nonsense_percent == 0 {
            return self.want(client, true);
        }
        let place = self.rng.workload.below(count);
        let question = self.clients[client].stand.answered[place].clone();
        let accept = self.rng.workload.chance(50);
        self.answer_question(client, question, accept);
    }

    /// Listens, or listens no more, to some pattern.
    pub(super) fn listen_say(&mut self, client: usize, on: bool) {
        let records = self.listens_to_records();
        let rng = &mut self.rng.workload;
        let pattern = rng.pick(&PATTERNS).0;
        self.listen_to(client, records, pattern.as_bytes(), on);
    }

    pub(crate) fn listen_to(&mut self, client: usize, records: bool, pattern: &[u8], on: bool) {
        let words = words(records);
        let action = if on { words.listen } else { words.unlisten };
        self.line(|| format!("{} client={client} {}", action.name(), String::from_utf8_lossy(pattern)));
        self.say(client, &Outgoing { name: Some(pattern), ..Outgoing::new(action) });
    }

    /// Wants a name that others may provide, or wants it no more.
    fn want(&mut self, client: usize, on: bool) {
        if on && self.plan.topics.records > 0 && self.rng.workload.chance(20) {
            return self.record_restless(client);
        }
        match (self.listens_to_records(), on) {
            (false, true) => self.event_names(client, Action::EventSubscribe),
            (false, false) => self.event_names(client, Action::EventUnsubscribe),
            (true, true) => self.record_subscribe(client),
            (true, false) => self.record_unsubscribe(client),
        }
    }

    fn listens_to_records(&mut self) -> bool {
        let topics = self.plan.topics;
        topics.records > 0 && (topics.events == 0 || self.rng.workload.chance(60))
    }
}
