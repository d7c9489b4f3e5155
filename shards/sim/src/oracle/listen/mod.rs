//! Checks listening: who is asked to provide a name, who provides it, and whether owners, listeners and subscribers
//! agree about that.
//!
//! Owners note whom they ask and who provides. There must never be two at once, nor one that may not listen to the
//! name, nor one for a name that only the listener itself subscribes to. For every listener and name the oracle counts
//! questions and answers, so that a stop is never told before a start, and at rest whoever believes to be the provider
//! is. A client that answers more than it was asked cannot be checked for what it believes, but its names can.

mod rest;
mod wanted;

use crate::oracle::Oracle;
use crate::oracle::permit::Grant;
use crate::oracle::record::text;
use crate::plan::Plan;
use crate::workload::listen::{matches, words};
use deepstream_engine::Turn;
use deepstream_wire::client::original_action;
use deepstream_wire::{Action, Flags, Message, Topic};
use std::collections::BTreeMap;
use wanted::Wanted;

/// A name: whether on topic RECORD, and which.
pub(super) type Place = (bool, Box<[u8]>);

/// The state between a listener and a name.
#[derive(Debug, Default)]
struct Bond {
    /// Questions the owner noted, and since when the last of them stands.
    asked: u32,
    asked_at: u64,
    /// Questions it was told.
    found: u32,
    /// The last of them is neither answered nor over.
    open: bool,
    accepts: u32,
    /// How often it came to provide, as the owner noted.
    starts: u32,
    stops: u32,
    believes: bool,
    /// It answered more than it was asked, or late, so what it believes is unknown.
    blurred: bool,
}

/// One connection that listens, or did, to one pattern.
#[derive(Debug, Default)]
struct Listener {
    on: bool,
    /// UNLISTENs not acknowledged.
    leaving: u32,
    /// It listens again while it was not told that it no more did.
    muddled: bool,
    bonds: BTreeMap<Box<[u8]>, Bond>,
}

impl Listener {
    /// Whether what it is told is about this listening, and no earlier one.
    fn is_clear(&self) -> bool {
        self.on && self.leaving == 0 && !self.muddled
    }
}

/// Who an owner says is asked or provides.
#[derive(Debug, PartialEq, Eq)]
struct Turned {
    conn: usize,
    pattern: Box<[u8]>,
    provides: bool,
}

/// All listening of a world.
#[derive(Debug)]
pub(super) struct Listening {
    listeners: BTreeMap<(usize, bool, Box<[u8]>), Listener>,
    turns: BTreeMap<Place, Turned>,
    /// Per connection and name: questions told, and those it was told to be too late for.
    questions: BTreeMap<(usize, Place), [u32; 2]>,
    wanted: Wanted,
    patterns_max: usize,
    pattern_bytes_max: usize,
    rematches: bool,
    /// Counts what is heard, said and noted.
    moment: u64,
}

impl Listening {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            listeners: BTreeMap::new(),
            turns: BTreeMap::new(),
            questions: BTreeMap::new(),
            wanted: Wanted::default(),
            patterns_max: plan.options.limits.listen_patterns_per_connection_max,
            pattern_bytes_max: plan.options.limits.listen_pattern_bytes_max,
            rematches: plan.options.listen_rematch_ns.is_some(),
            moment: 0,
        }
    }

    pub(super) fn disconnected(&mut self, conn: usize) {
        self.listeners.retain(|(other, ..), _| *other != conn);
        self.questions.retain(|(other, _), _| *other != conn);
        self.wanted.disconnected(conn);
    }

    /// The listener by this pattern of a connection, if there is or was one.
    fn listener(&mut self, conn: usize, records: bool, pattern: &[u8]) -> Option<&mut Listener> {
        self.listeners.get_mut(&(conn, records, pattern.into()))
    }
}

/// What connections say.
impl Oracle {
    pub(super) fn listen_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        self.listening.moment += 1;
        let records = message.head.action.topic() == Topic::Record;
        let words = words(records);
        let action = message.head.action;
        if action == words.listen {
            self.listens(conn, records, message);
        } else if action == words.unlisten {
            if let Some(listener) = self.listening.listener(conn, records, message.name()).filter(|it| it.on) {
                listener.on = false;
                listener.leaving += 1;
                listener.bonds.clear();
                self.conns[conn].answers.owe(action, Some(message.name()), None);
            }
        } else if action == words.accept || action == words.reject {
            self.listener_answers(conn, records, message, action == words.accept);
        } else {
            self.wish_heard(conn, message);
        }
    }

    fn listens(&mut self, conn: usize, records: bool, message: &Message<&[u8]>) {
        let (words, pattern) = (words(records), message.name());
        let listening = &mut self.listening;
        let count = listening.listeners.iter().filter(|((other, ..), listener)| *other == conn && listener.on).count();
        let fits = (1..=listening.pattern_bytes_max).contains(&pattern.len());
        let on = listening.listener(conn, records, pattern).is_some_and(|listener| listener.on);
        let named = Some(pattern).filter(|name| self.is_name(name));
        let answers = &mut self.conns[conn].answers;
        if !fits || (!on && count >= self.listening.patterns_max) {
            return answers.owe(words.invalid, named, message.correlation_id());
        }
        if on {
            answers.owe(words.multiple, Some(pattern), None);
        } else if matches(pattern, b"").is_none() {
            return answers.owe(words.invalid_pattern, Some(pattern), None);
        } else {
            let listener = self.listening.listeners.entry((conn, records, pattern.into())).or_default();
            listener.on = true;
            listener.muddled = listener.leaving > 0;
            listener.bonds.clear();
        }
        answers.owe(words.listen, Some(pattern), None);
    }

    /// Somebody may not listen (any more).
    pub(super) fn listening_denied(&mut self, conn: usize, action: Action, message: &Message<&[u8]>) {
        let records = action.topic() == Topic::Record;
        let Some(listener) = self.listening.listener(conn, records, message.name()).filter(|it| it.on) else {
            // Whoever may not is not told what else is wrong with it.
            let (words, pattern) = (words(records), message.name());
            let named = Some(pattern).filter(|name| self.is_name(name));
            let answers = &mut self.conns[conn].answers;
            let asked = answers.forgive(words.invalid_pattern, Some(pattern), None)
                || answers.forgive(words.invalid, named, message.correlation_id());
            return self.check(asked, || {
                format!("conn {conn} does not listen and is denied: {}", crate::trace::describe(message))
            });
        };
        listener.on = false;
        // What owners said before they knew may still arrive.
        listener.leaving += 1;
        listener.bonds.clear();
        // What was allowed and ends at once may be acknowledged behind that.
        self.conns[conn].answers.excuse(action, Some(message.name()), None);
    }

    /// Listeners, for whoever wants to know what goes on.
    pub(super) fn granted_listeners(&self, grant: &mut Vec<Grant>) {
        for ((conn, records, pattern), _) in self.listening.listeners.iter().filter(|(_, listener)| listener.on) {
            grant.push((*conn, words(*records).listen, Some(pattern.clone())));
        }
    }

    fn listener_answers(&mut self, conn: usize, records: bool, message: &Message<&[u8]>, accepts: bool) {
        let name = message.subscription().unwrap_or_default();
        if matches(message.name(), name) != Some(true) {
            return;
        }
        let Some(listener) = self.listening.listener(conn, records, message.name()).filter(|it| it.on) else { return };
        let bond = listener.bonds.entry(name.into()).or_default();
        // A second word on the same question, or one that nobody asked for.
        let pending = bond.accepts > bond.stops;
        bond.blurred |= pending || (!bond.open && !accepts);
        bond.open = false;
        bond.believes = accepts;
        bond.accepts += u32::from(accepts);
    }
}

/// What connections are told.
impl Oracle {
    /// `false` if the message is about something else.
    pub(super) fn listen_said(&mut self, conn: usize, message: &Message<&[u8]>) -> bool {
        self.listening.moment += 1;
        let action = message.head.action;
        let records = action.topic() == Topic::Record;
        let words = words(records);
        let about = original_action(message);
        if action == words.listen || action == words.unlisten {
            self.check(message.head.flags.has(Flags::IS_ACK), || format!("conn {conn} was asked to listen"));
            self.settle(conn, message);
            if action == words.unlisten
                && let Some(listener) = self.listening.listener(conn, records, message.name())
            {
                listener.leaving = listener.leaving.saturating_sub(1);
            }
        } else if action == words.found {
            self.found_said(conn, records, message);
        } else if action == words.removed {
            self.removed_said(conn, records, message);
        } else if action == words.timeout {
            self.too_late_said(conn, records, message);
        } else if action == words.invalid_pattern || about == Some(words.listen) {
            self.settle(conn, message);
        } else {
            return self.wish_said(conn, message);
        }
        true
    }

    fn found_said(&mut self, conn: usize, records: bool, message: &Message<&[u8]>) {
        let name = message.subscription().unwrap_or_default();
        let line = || crate::trace::describe(message);
        self.listening.questions.entry((conn, (records, name.into()))).or_default()[0] += 1;
        let fits = matches(message.name(), name) == Some(true);
        self.check(fits, || format!("conn {conn} is asked for what its pattern does not match: {}", line()));
        let Some(listener) = self.listening.listener(conn, records, message.name()) else {
            return self.fail(format!("conn {conn} never listened, and is asked: {}", line()));
        };
        let (on, clear, leaving) = (listener.on, listener.is_clear(), listener.leaving);
        let bond = listener.bonds.entry(name.into()).or_default();
        bond.found += 1;
        bond.open = true;
        let asked_for = !clear || bond.found <= bond.asked;
        self.check(on || leaving > 0, || format!("conn {conn} listens no more, and is asked: {}", line()));
        self.check(asked_for, || format!("conn {conn} is asked again: {}", line()));
    }

    fn removed_said(&mut self, conn: usize, records: bool, message: &Message<&[u8]>) {
        let name = message.subscription().unwrap_or_default();
        let line = || crate::trace::describe(message);
        let Some(listener) = self.listening.listener(conn, records, message.name()) else {
            return self.fail(format!("conn {conn} never listened, and is to stop: {}", line()));
        };
        let (on, clear, leaving) = (listener.on, listener.is_clear(), listener.leaving);
        let bond = listener.bonds.entry(name.into()).or_default();
        bond.stops += 1;
        bond.believes = false;
        bond.open = false;
        let started = !clear || bond.stops <= bond.accepts;
        self.check(on || leaving > 0, || format!("conn {conn} listens no more, and is to stop: {}", line()));
        self.check(started, || format!("conn {conn} is to stop what it did not begin: {}", line()));
    }

    fn too_late_said(&mut self, conn: usize, records: bool, message: &Message<&[u8]>) {
        let name: Box<[u8]> = message.subscription().unwrap_or_default().into();
        let questions = self.listening.questions.entry((conn, (records, name.clone()))).or_default();
        questions[1] += 1;
        let fits = questions[1] <= questions[0];
        self.check(fits, || format!("conn {conn} is too late for what it was not asked: {}", text(&name)));
        let listeners = self.listening.listeners.range_mut((conn, records, Box::default())..);
        let ours = listeners.take_while(|((other, topic, _), _)| (*other, *topic) == (conn, records));
        let mut open: Vec<&mut Bond> =
            ours.filter_map(|(_, listener)| listener.bonds.get_mut(&name)).filter(|bond| bond.open).collect();
        // It does not say which of its patterns is meant.
        let several = open.len() > 1;
        for bond in &mut open {
            bond.open = false;
            bond.blurred |= several;
        }
    }
}

/// What owners note.
impl Oracle {
    pub(super) fn turn_noted(
        &mut self,
        owner: usize,
        conn: Option<usize>,
        (topic, pattern, name): (&str, &str, &str),
        turn: Turn,
    ) {
        self.listening.moment += 1;
        let moment = self.listening.moment;
        let records = topic == Topic::Record.name();
        let place: Place = (records, name.as_bytes().into());
        let Some(conn) = conn else { return self.fail(format!("{name} is offered to nobody known")) };
        if turn == Turn::Asked {
            self.may_be_asked(owner, conn, &place);
        }
        let turned = Turned { conn, pattern: pattern.as_bytes().into(), provides: turn == Turn::Provides };
        let before = match turn {
            Turn::Asked => self.listening.turns.insert(place, turned),
            Turn::Provides => {
                let before = self.listening.turns.insert(place, turned);
                before.filter(|before| before.provides || before.conn != conn || *before.pattern != *pattern.as_bytes())
            }
            Turn::Over => {
                let before = self.listening.turns.remove(&place);
                let same = before.as_ref().is_some_and(|it| it.conn == conn && *it.pattern == *pattern.as_bytes());
                self.check(same, || format!("it was not the turn of conn {conn} by {pattern} for {name}: {before:?}"));
                None
            }
        };
        self.check(before.is_none(), || format!("two at once for {name}: {before:?} and conn {conn} by {pattern}"));
        let Some(listener) = self.listening.listener(conn, records, pattern.as_bytes()) else { return };
        if !listener.is_clear() {
            return;
        }
        let bond = listener.bonds.entry(name.as_bytes().into()).or_default();
        match turn {
            Turn::Asked => {
                bond.asked += 1;
                bond.asked_at = moment;
            }
            Turn::Provides => {
                bond.starts += 1;
                let fits = bond.starts <= bond.accepts;
                self.check(fits, || format!("conn {conn} provides {name} and never accepted"));
            }
            Turn::Over => {}
        }
    }

    /// An owner is about to tell a listener of a name.
    fn may_be_asked(&mut self, owner: usize, conn: usize, (records, name): &Place) {
        let place = (*records, name.clone());
        let others = self.listening.wanted.others_asked(conn, &place);
        self.check(others, || format!("conn {conn} is asked to provide {} for nobody but itself", text(name)));
        if self.permit.ruled() {
            let rules = self.rules_of_core(owner);
            let says = self.stands(conn, words(*records).listen, Some(name), rules);
            self.check(!says.never(), || {
                format!("conn {conn} is told of {}, which rules {rules} forbid it to listen to", text(name))
            });
        }
    }

    /// Whether a message is of those that listening is about.
    pub(super) fn is_about_listening(action: Action) -> bool {
        [false, true]
            .into_iter()
            .map(words)
            .any(|words| [words.listen, words.unlisten, words.accept, words.reject].contains(&action))
    }
}
