//! Executing requests of HTTP: each is a connection of its own to the shard, which logs in, asks and leaves.
//!
//! *Owns* the way from a request to the shard and back, and its deadlines. *Promises* that every request is answered once,
//! that what one batch asks of a record is done in its order, and that a request that is over leaves nothing behind.
//! *Does not* speak HTTP: that is hyper's.

use super::connections::{Sockets, Stage};
use super::core::Core;
use super::http::{INPUT_BYTES_MAX, Job, Stage as Progress, Work};
use super::ring::Key;
use super::verdicts::{Credentials, NOT_LOGGED_IN, refusal, refused};
use crate::endpoint::http::{self, Answer};
use crate::note::{Ending, RequestFault};
use crate::proxies::forwarded;
use deepstream_engine::{ConnId, Flow, Headers, Login, Nanos, Outbox, Peer};
use deepstream_wire::client::{ServerEvent, ServerReader};
use deepstream_wire::jif::{self, Answers, Batch};
use deepstream_wire::{Action, Message, Topic, Wire};
use hyper::HeaderMap;
use hyper::StatusCode;
use std::sync::Arc;

/// Said to whoever began a request and did not end it.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl Running {
    /// Bytes of answers that wait for the others.
    pub(super) fn answer_bytes(&self) -> usize {
        if let State::Asking { answers, .. } = &self.state { answers.bytes() } else { 0 }
    }
}

/// A request that is being executed.
pub(super) struct Running {
    /// Who asks.
    pub(super) conn: ConnId,
    reader: ServerReader,
    state: State,
    /// The answer to a login that was not let in: the shard has fewer words for it than HTTP.
    refusal: Option<Answer>,
}

enum State {
    /// It logs in, to have this batch done.
    LoggingIn(Vec<u8>),
    /// Its credentials are judged, and that is all.
    Judged(Option<Credentials>),
    /// Its batch is being done; entries from `next` on are not asked yet.
    Asking { batch: Batch, answers: Answers, next: usize },
}

impl Core {
    /// Lets a conversation go on, as far as it can.
    pub(super) fn drive(&mut self, key: Key) {
        loop {
            let Self { sockets, shard, now, .. } = self;
            let Some(socket) = sockets.get(key).filter(|socket| socket.stage == Stage::Open) else { return };
            let (conn, busy) = (socket.conn, socket.sending);
            let Some(talk) = &mut socket.http else { return };
            let step = talk.go_on(*now, busy);
            if !step.output.is_empty() {
                shard.raw(*now, conn, &step.output);
            }
            if let Some(why) = &step.forbidden {
                self.tell_end_of(key, Ending::Refused(why));
            }
            if let Some(fault) = step.fault {
                self.tell_end_of(key, Ending::Http(fault));
            }
            let answered = step.job.and_then(|job| self.begin(key, job));
            if step.upgrades {
                return self.begin_anew(key);
            }
            match (answered, self.sockets.get(key).and_then(|socket| socket.http.as_mut())) {
                (Some(answer), Some(talk)) => talk.answer(answer),
                _ if step.over => return self.part(key),
                _ => break,
            }
        }
        self.sockets.watch_request(key);
        self.regulate(key);
        self.weigh(key);
    }

    /// A client that asks faster than it is answered is not read meanwhile.
    fn regulate(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        let Some(talk) = &socket.http else { return };
        let full = talk.unread() > INPUT_BYTES_MAX;
        if full && !socket.paused {
            socket.paused = true;
            self.sockets.pausing.push(key);
        } else if !full && socket.paused {
            socket.paused = false;
            self.ring.resume(key);
        }
    }

    /// Begins to execute a request; gives the answer if there is one already.
    fn begin(&mut self, key: Key, job: Job) -> Option<Answer> {
        let peer = self.asker(key, &job.headers);
        let busy = || Some(http::text(StatusCode::SERVICE_UNAVAILABLE, "There are too many connections."));
        let Some(conn) = self.shard.connected(self.now, Peer { remote: peer.remote.clone(), ..Peer::default() }) else {
            return busy();
        };
        self.shard.upgraded(self.now, conn, Wire::Http, &peer.referer, peer.headers.clone());
        let state = match &job.what {
            Work::Batch(post) => State::LoggingIn(post.body.clone()),
            Work::Login(data) => {
                let logs = self.web.api.as_ref().is_some_and(|api| api.log_invalid_auth_data);
                let (remote, logged) = (peer.remote.clone(), logs.then(|| data.clone()));
                State::Judged(Some(Credentials { remote, logged }))
            }
        };
        self.sockets.place(conn, key);
        let talk = self.sockets.get(key)?.http.as_mut()?;
        talk.running = Some(Box::new(Running { conn, reader: ServerReader::upgraded(), state, refusal: None }));
        match job.what {
            // What comes of it is in the outbox of the asker.
            Work::Batch(post) => drop(self.shard.received(self.now, conn, &jif::login(&post.login))),
            Work::Login(data) => {
                if let Some(login) = self.auth.judge(conn, data, Arc::new(peer)) {
                    let running = self.sockets.running(key);
                    let credentials = running.and_then(|running| match &mut running.state {
                        State::Judged(credentials) => credentials.take(),
                        _ => None,
                    });
                    self.leave(key);
                    return credentials.map(|credentials| credentials.answer(conn, &login));
                }
            }
        }
        None
    }

    /// Who asks, as authentication gets to see it.
    fn asker(&mut self, key: Key, headers: &HeaderMap) -> Peer {
        let address = self.sockets.get(key).and_then(|socket| socket.address);
        let said = forwarded(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let remote = address.map(|address| self.web.client(address, said.as_deref()).to_string());
        let referer = headers.get("referer").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let headers: Headers =
            self.auth.headers_of(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        Peer { remote: remote.unwrap_or_default().into(), referer: referer.into(), headers, ..Peer::default() }
    }

    /// A login was judged. `false`: it is no request's that asks for nothing else.
    pub(super) fn judged(&mut self, conn: ConnId, login: &Login) -> bool {
        let Some(key) = self.sockets.asked_by(conn) else { return false };
        let Some(running) = self.sockets.running(key) else { return false };
        if let State::Judged(credentials) = &mut running.state {
            let answer = credentials.take().map(|credentials| credentials.answer(conn, login));
            self.complete(key, answer.unwrap_or_else(|| http::text(StatusCode::UNAUTHORIZED, NOT_LOGGED_IN)));
            return true;
        }
        running.refusal = refusal(login, NOT_LOGGED_IN);
        false
    }

    /// The shard has said something to whoever asks.
    pub(super) fn hear_answers(&mut self, key: Key) {
        let Self { sockets, shard, now, .. } = self;
        let Some(running) = sockets.running(key) else { return };
        let Running { conn, reader, state, refusal } = running;
        let mut outbox = Outbox::default();
        shard.take_output(*conn, &mut outbox);
        let mut login = None;
        let mut on = |event: ServerEvent<'_>| match (event, &mut *state) {
            (ServerEvent::Message(message), State::Asking { batch, answers, .. }) => answers.take(batch, &message),
            (ServerEvent::Message(message), State::LoggingIn(_)) => {
                login = login.take().or_else(|| outcome(&message, refusal));
            }
            _ => {}
        };
        outbox.pieces().for_each(|piece| reader.received(piece, &mut on));
        shard.flushed(*now, *conn, outbox.len());
        shard.reuse(outbox);
        match login {
            Some(Ok(())) => self.start_batch(key),
            Some(Err(answer)) => self.complete(key, answer),
            None => self.complete_if_answered(key),
        }
        self.weigh(key);
    }

    fn start_batch(&mut self, key: Key) {
        let entries_max = self.web.batch_entries_max;
        let bytes_max = self.web.answer_bytes_max;
        let Some(Running { state, .. }) = self.sockets.running(key) else { return };
        let State::LoggingIn(body) = state else { return };
        match Batch::read(body, entries_max) {
            Ok(batch) => {
                let answers = Answers::new(batch.len(), bytes_max);
                *state = State::Asking { batch, answers, next: 0 };
                self.ask_in_time(key);
            }
            Err(why) => self.complete(key, http::bad_request(&why)),
        }
    }

    /// Asks at once, unless this turn has answered much already: then once those answers were heard, one request after the
    /// other. Answered all together they would lie there all together.
    pub(super) fn ask_in_time(&mut self, key: Key) {
        if self.has_said_enough() {
            self.sockets.asking.push_back(key);
        } else {
            self.ask(key);
        }
    }

    /// Asks what was not asked yet, until the shard wants a pause.
    pub(super) fn ask(&mut self, key: Key) {
        let Self { sockets, shard, now, .. } = self;
        let Some(Running { conn, state, .. }) = sockets.running(key) else { return };
        let State::Asking { batch, answers, next } = state else { return };
        while *next < batch.len() {
            let index = *next;
            *next += 1;
            match batch.message(index) {
                Err(answer) => answers.put(index, answer.as_bytes(), true),
                Ok(message) => {
                    if shard.received(*now, *conn, &message) != Flow::Continue {
                        break;
                    }
                }
            }
        }
        self.complete_if_answered(key);
    }

    fn complete_if_answered(&mut self, key: Key) {
        let Some(Running { state: State::Asking { answers, .. }, .. }) = self.sockets.running(key) else { return };
        if answers.is_complete() {
            let answer = http::json(answers.body());
            self.complete(key, answer);
        }
    }

    /// A request is answered.
    fn complete(&mut self, key: Key, answer: Answer) {
        self.leave(key);
        if let Some(talk) = self.sockets.get(key).and_then(|socket| socket.http.as_mut()) {
            talk.answer(answer);
            self.drive(key);
        }
    }

    /// Who asked is gone.
    pub(super) fn leave(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        if let Some(running) = socket.http.as_mut().and_then(|talk| talk.running.take()) {
            self.auth.forget(running.conn);
            self.shard.disconnected(self.now, running.conn);
        }
    }

    /// The shard wants whoever asks to be gone, or the time is over: what is answered is told, the rest is refused.
    pub(super) fn break_off(&mut self, key: Key, rest: &str) {
        let Some(Running { state, .. }) = self.sockets.running(key) else { return };
        let answer = match state {
            State::Asking { answers, .. } => {
                answers.put_rest(rest);
                http::json(answers.body())
            }
            State::LoggingIn(_) | State::Judged(_) => {
                http::text(StatusCode::SERVICE_UNAVAILABLE, "Authentication took too long, or was broken off.")
            }
        };
        self.complete(key, answer);
    }

    /// Ends what takes too long.
    pub(super) fn time_out_requests(&mut self) {
        while let Some(key) = self.sockets.late_request(self.now) {
            let Some(socket) = self.sockets.get(key) else { continue };
            let (conn, Some(talk)) = (socket.conn, &mut socket.http) else { continue };
            match talk.stage() {
                Progress::Running => {
                    self.tell_end_of(key, Ending::Http(RequestFault::Unanswered));
                    self.break_off(key, jif::TIMED_OUT);
                }
                Progress::Body => {
                    talk.is_late();
                    self.drive(key);
                }
                Progress::Head => {
                    self.tell_end_of(key, Ending::Http(RequestFault::Late));
                    self.shard.raw(self.now, conn, TOO_SLOW);
                    self.part(key);
                }
                Progress::Idle => self.part(key),
            }
        }
    }

    /// The server stops: requests are answered as far as they got, no others are taken.
    pub(super) fn finish_requests(&mut self) {
        for key in self.sockets.conversations() {
            if let Some(talk) = self.sockets.get(key).and_then(|socket| socket.http.as_mut()) {
                talk.close();
            }
            self.break_off(key, jif::STOPPING);
        }
    }
}

/// What a login came to, if this message says so.
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

/// Which requests there are, and until when.
impl Sockets {
    fn running(&mut self, key: Key) -> Option<&mut Running> {
        self.get(key)?.http.as_mut()?.running.as_deref_mut()
    }

    /// The socket through which a request came.
    pub(super) fn asked_by(&mut self, conn: ConnId) -> Option<Key> {
        let key = (*self.keys.get(conn.index())?)?;
        self.running(key).filter(|running| running.conn == conn).map(|_| key)
    }

    fn watch_request(&mut self, key: Key) {
        let Some(talk) = self.get(key).and_then(|socket| socket.http.as_mut()) else { return };
        // One that is watched for an earlier moment is looked at then, and watched on.
        if talk.watched_at.is_none_or(|at| at > talk.due) {
            let at = talk.due;
            talk.watched_at = Some(at);
            self.requests.insert((at, key));
        }
    }

    /// When the next request has taken too long, as far as is known.
    pub(super) fn next_request(&self) -> Option<Nanos> {
        self.requests.first().map(|&(at, _)| at)
    }

    /// One that has.
    fn late_request(&mut self, now: Nanos) -> Option<Key> {
        loop {
            let &(at, key) = self.requests.first().filter(|&&(at, _)| at <= now)?;
            self.requests.pop_first();
            let Some(talk) = self.get(key).and_then(|socket| socket.http.as_mut()) else { continue };
            if talk.watched_at != Some(at) {
                continue;
            }
            talk.watched_at = None;
            if talk.due <= now {
                return Some(key);
            }
            self.watch_request(key);
        }
    }

    fn conversations(&self) -> Vec<Key> {
        let open = |(slot, socket): (usize, &Option<super::connections::Socket>)| {
            let socket = socket.as_ref().filter(|socket| socket.http.is_some())?;
            Some(Key { slot: slot as u32, generation: socket.generation })
        };
        self.table.iter().enumerate().filter_map(open).collect()
    }
}
