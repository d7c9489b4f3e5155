//! One request of HTTP that is being executed, with its answers so far.
//!
//! *Owns* the steps from the login to the answer. *Promises* that the entries of a batch are executed in order, and
//! that there is an answer at whatever step the request is broken off. *Does not* know its socket or its shard: see
//! `request`.

use super::verdicts::{Credentials, NOT_LOGGED_IN, refusal, refused};
use crate::endpoint::http::{self, Answer};
use deepstream_engine::{ConnId, Flow, Login, Outbox};
use deepstream_wire::client::{ServerEvent, ServerReader};
use deepstream_wire::jif::{Answers, Batch};
use deepstream_wire::{Action, Message, Topic};
use hyper::StatusCode;

/// See the module.
pub(super) struct Running {
    /// Its connection in the shard.
    pub(super) conn: ConnId,
    reader: ServerReader,
    state: State,
    /// The answer if the login was refused; kept here because HTTP distinguishes more cases than the shard.
    refusal: Option<Answer>,
}

enum State {
    /// It logs in, to execute this batch.
    LoggingIn(Vec<u8>),
    /// Its credentials are judged, and nothing else.
    Judged(Option<Credentials>),
    /// Its batch is being executed; entries from `next` on were not sent to the shard yet.
    Asking { batch: Batch, answers: Answers, next: usize },
}

impl Running {
    /// One that has a batch done once it is logged in.
    pub(super) fn batch(conn: ConnId, body: Vec<u8>) -> Self {
        Self::new(conn, State::LoggingIn(body))
    }

    /// One that has credentials judged, and nothing else.
    pub(super) fn login(conn: ConnId, credentials: Credentials) -> Self {
        Self::new(conn, State::Judged(Some(credentials)))
    }

    fn new(conn: ConnId, state: State) -> Self {
        Self { conn, reader: ServerReader::upgraded(), state, refusal: None }
    }

    /// Bytes of answers that wait for the others of the batch.
    pub(super) fn answer_bytes(&self) -> usize {
        if let State::Asking { answers, .. } = &self.state { answers.bytes() } else { 0 }
    }

    /// Its login was judged: the answer, if it asks for nothing else.
    pub(super) fn judged(&mut self, login: &Login) -> Option<Answer> {
        if let State::Judged(credentials) = &mut self.state {
            let answer = credentials.take().map(|credentials| credentials.answer(self.conn, login));
            return Some(answer.unwrap_or_else(|| http::text(StatusCode::UNAUTHORIZED, NOT_LOGGED_IN)));
        }
        self.refusal = refusal(login, NOT_LOGGED_IN);
        None
    }

    /// The shard has said this. What the login came to, if that was in it.
    pub(super) fn hear(&mut self, outbox: &Outbox) -> Option<Result<(), Answer>> {
        let Self { reader, state, refusal, .. } = self;
        let mut login = None;
        let mut on = |event: ServerEvent<'_>| match (event, &mut *state) {
            (ServerEvent::Message(message), State::Asking { batch, answers, .. }) => answers.take(batch, &message),
            (ServerEvent::Message(message), State::LoggingIn(_)) => {
                login = login.take().or_else(|| outcome(&message, refusal));
            }
            _ => {}
        };
        outbox.pieces().for_each(|piece| reader.received(piece, &mut on));
        login
    }

    /// It is logged in, and asks what it came for from now on. The answer, if its batch makes no sense.
    pub(super) fn start_batch(&mut self, entries_max: usize, answer_bytes_max: usize) -> Option<Answer> {
        let State::LoggingIn(body) = &self.state else { return None };
        match Batch::read(body, entries_max) {
            Ok(batch) => {
                let answers = Answers::new(batch.len(), answer_bytes_max);
                self.state = State::Asking { batch, answers, next: 0 };
                None
            }
            Err(why) => Some(http::bad_request(&why)),
        }
    }

    /// Sends further entries to the shard (`received`), until it wants a pause.
    pub(super) fn ask(&mut self, mut received: impl FnMut(ConnId, &Message<&[u8]>) -> Flow) {
        let State::Asking { batch, answers, next } = &mut self.state else { return };
        while *next < batch.len() {
            let index = *next;
            *next += 1;
            match batch.message(index) {
                Err(answer) => answers.put(index, answer.as_bytes(), true),
                Ok(message) => {
                    if received(self.conn, &message) != Flow::Continue {
                        break;
                    }
                }
            }
        }
    }

    /// The answer, once all of its batch is answered.
    pub(super) fn answer(&self) -> Option<Answer> {
        match &self.state {
            State::Asking { answers, .. } if answers.is_complete() => Some(http::json(answers.body())),
            _ => None,
        }
    }

    /// The answer to a request that ends now: entries without an answer get `rest`.
    pub(super) fn broken_off(&mut self, rest: &str) -> Answer {
        match &mut self.state {
            State::Asking { answers, .. } => {
                answers.put_rest(rest);
                http::json(answers.body())
            }
            State::LoggingIn(_) | State::Judged(_) => {
                http::text(StatusCode::SERVICE_UNAVAILABLE, "Authentication took too long, or was broken off.")
            }
        }
    }
}

/// The result of a login, if this message is one.
fn outcome(message: &Message<&[u8]>, refusal: &mut Option<Answer>) -> Option<Result<(), Answer>> {
    let refused = |data: Option<&[u8]>| refused(StatusCode::UNAUTHORIZED, data, NOT_LOGGED_IN);
    match message.head.action {
        Action::AuthSuccessful => Some(Ok(())),
        Action::AuthUnsuccessful => Some(Err(refusal.take().unwrap_or_else(|| refused(message.data())))),
        Action::AuthInvalidMessageData => Some(Err(refused(None))),
        action if action.topic() == Topic::Connection => {
            Some(Err(http::text(StatusCode::SERVICE_UNAVAILABLE, "The server is stopping.")))
        }
        _ => None,
    }
}
