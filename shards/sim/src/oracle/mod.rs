//! The oracles: they check properties that must always hold.
//!
//! *Owns* what can be known about every connection from outside: what it sent and what it was sent. *Promises* to draw
//! no randomness and to change nothing: a world takes the same steps with and without oracles. *Does not* look into the
//! engine, only at its inputs, outputs and notes, at the moment they happen.

mod answers;
mod event;
mod listen;
mod permit;
mod presence;
mod record;
mod rest;
mod rpc;
mod stored;
mod takeover;
mod told;
mod view;
mod write;

use crate::oracle::answers::Answers;
use crate::oracle::event::Events;
use crate::oracle::listen::Listening;
use crate::oracle::permit::Permit;
pub(crate) use crate::oracle::permit::is_denial;
use crate::oracle::presence::Presence;
use crate::oracle::record::Records;
use crate::oracle::rpc::Calls;
use crate::oracle::told::Marks;
use crate::plan::Plan;
use crate::store::Store;
use deepstream_engine::{ConnId, Limits, Nanos, Note, Reason};
use deepstream_wire::client::ServerEvent;
use deepstream_wire::{Action, Message, Topic, Wire};

/// One connection, seen from outside.
#[derive(Debug)]
struct View {
    core: usize,
    /// Under which it is connected once; mostly nothing.
    name: &'static str,
    /// Who it is logged in as.
    user: Option<usize>,
    /// It was told that it is logged in.
    welcome: bool,
    /// It was to be closed because another came under its name.
    taken_over: bool,
    /// Its socket is there and is to stay.
    alive: bool,
    closing: bool,
    /// It was sent a close frame.
    ended: bool,
    /// It sent bytes that are no message; complaints about them are fine.
    garbled: bool,
    /// The wire of an intruder (see [`crate::world`]), which is owed nothing.
    intruder: Option<Wire>,
    answers: Answers,
}

impl View {
    /// Whether it is there for others.
    fn stays(&self) -> bool {
        self.intruder.is_none_or(Wire::stays)
    }
}

/// All oracles of one world.
#[derive(Debug)]
pub(crate) struct Oracle {
    limits: Limits,
    /// The moment of what is being looked at.
    now: Nanos,
    conns: Vec<View>,
    events: Events,
    records: Records,
    calls: Calls,
    presence: Presence,
    listening: Listening,
    permit: Permit,
    marks: Marks,
    failure: Option<String>,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            limits: plan.options.limits.clone(),
            now: Nanos(0),
            conns: Vec::new(),
            events: Events::new(plan),
            records: Records::new(plan),
            calls: Calls::new(plan),
            presence: Presence::new(plan),
            listening: Listening::new(plan),
            permit: Permit::new(plan),
            marks: Marks::default(),
            failure: None,
        }
    }

    /// Time has passed.
    pub(crate) fn time(&mut self, now: Nanos) {
        self.now = now;
    }

    /// What was found to be wrong first.
    pub(crate) fn failure(&mut self) -> Option<String> {
        self.rpc_stepped();
        self.failure.take()
    }

    /// Something is wrong.
    pub(crate) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what());
        }
    }

    /// A connection was accepted.
    pub(crate) fn connected(&mut self, conn: usize, core: usize, name: &'static str) {
        debug_assert_eq!(conn, self.conns.len(), "connections are numbered in the order they come");
        self.conns.push(View {
            core,
            name,
            user: None,
            welcome: false,
            taken_over: false,
            alive: true,
            closing: false,
            ended: false,
            garbled: false,
            intruder: None,
            answers: Answers::default(),
        });
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, conn: usize) {
        self.conns[conn].alive = false;
        self.calls.disconnected(conn, self.now);
        self.presence.disconnected(conn, self.conns[conn].user.filter(|_| self.conns[conn].stays()));
        self.events.disconnected(conn);
        self.records.disconnected(conn);
        self.listening.disconnected(conn);
    }

    /// The server is about to close a connection.
    pub(crate) fn closing(&mut self, conn: usize, reason: Reason) {
        self.conns[conn].closing = true;
        if reason == Reason::TakenOver {
            self.taken_over(conn);
        }
    }

    /// Whether what a connection is owed will still reach it.
    fn sound(&self, conn: usize) -> bool {
        self.conns[conn].alive && !self.conns[conn].closing && self.conns[conn].intruder.is_none()
    }

    /// A connection's bytes were no message.
    pub(crate) fn unreadable(&mut self, conn: usize) {
        self.conns[conn].garbled = true;
    }

    /// A message of a connection is about to be handed to its shard.
    pub(crate) fn heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        self.claim_heard(conn, message);
        self.listen_heard(conn, message);
        if Self::is_about_listening(message.head.action) {
            return;
        }
        match message.head.action.topic() {
            Topic::Event => self.event_heard(conn, message),
            Topic::Record => self.record_heard(conn, message),
            Topic::Rpc => self.rpc_heard(conn, message),
            Topic::Presence => self.presence_heard(conn, message),
            Topic::Connection | Topic::Auth => self.session_heard(conn, message),
            Topic::Parser => {}
        }
    }

    /// The shard is done with the last message it heard.
    pub(crate) fn handled(&mut self, conn: usize) {
        self.records_handled(conn);
        self.presence_handled(conn);
    }

    fn session_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        if message.head.action == Action::ConnectionPing {
            self.conns[conn].answers.owe(Action::ConnectionPong, None, None);
        }
    }

    /// A shard said something to a connection.
    pub(crate) fn said(&mut self, conn: usize, event: &ServerEvent<'_>, store: &Store) {
        let ended = self.conns[conn].ended;
        self.conns[conn].ended |= matches!(event, ServerEvent::Close(_));
        self.check(!ended, || format!("conn {conn} was told something after its close frame"));
        let ServerEvent::Message(message) = event else {
            return self.check(!matches!(event, ServerEvent::Broken | ServerEvent::Unreadable(_)), || {
                format!("conn {conn} was sent bytes that are no message: {event:?}")
            });
        };
        let alive = self.conns[conn].alive;
        self.check(alive, || format!("conn {conn} is gone and was told {}", message.head.action.name()));
        if is_denial(message.head.action) {
            return self.denial_said(conn, message);
        }
        self.contents_said(conn, message);
        if self.listen_said(conn, message) {
            return;
        }
        match message.head.action.topic() {
            Topic::Event => self.event_said(conn, message),
            Topic::Record => self.record_said(conn, message, store),
            Topic::Rpc => self.rpc_said(conn, message),
            Topic::Presence => self.presence_said(conn, message),
            Topic::Auth if message.head.action == Action::AuthSuccessful => self.welcomed(conn),
            Topic::Connection if message.head.action == Action::ConnectionPong => self.settle(conn, message),
            _ => {}
        }
    }

    /// Crosses an answer off what a connection is owed.
    fn settle(&mut self, conn: usize, message: &Message<&[u8]>) {
        let paid = self.conns[conn].answers.pay(message);
        self.check(paid, || format!("conn {conn} is not owed {}", crate::trace::describe(message)));
    }

    /// A shard noted something.
    pub(crate) fn noted(&mut self, core: usize, note: &Note, conn: impl Fn(ConnId) -> Option<usize>) {
        match note {
            Note::Emitted { name, data } => self.owner_emitted(name, data),
            Note::RecordChanged { name, version, value, writer: Some(writer) } => match conn(*writer) {
                Some(writer) => self.written(writer, name.as_bytes(), *version, value),
                None => self.fail(format!("{name} was written by nobody known: {writer:?}")),
            },
            Note::RecordChanged { name, writer: None, .. } => self.record_created(name.as_bytes()),
            Note::Presence { user, online } => self.presence_noted(user, *online),
            Note::Listener { turn, topic, name, pattern, conn: who } => {
                self.turn_noted(core, conn(*who), (topic, pattern, name), *turn);
            }
            Note::AnswerWithheld { conn: who, correlation_id: Some(id), .. } => {
                if let Some(conn) = conn(*who) {
                    self.answer_waits(conn, id);
                }
            }
            Note::RecordDeleted { name } => self.record_deleted(name.as_bytes()),
            Note::LoadFailed { name, .. } => self.load_given_up(name.as_bytes()),
            _ => {}
        }
    }

    /// Whether a name is one, by its length alone.
    fn is_name(&self, name: &[u8]) -> bool {
        !name.is_empty() && name.len() <= self.limits.name_bytes_max
    }
}
