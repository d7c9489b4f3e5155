//! Executes requests of HTTP: each is a connection of its own for the shard, which logs in, sends its entries and
//! leaves.
//!
//! *Owns* the execution of requests, and their deadlines. *Promises* that every request is answered once, and that a
//! finished request leaves nothing behind. *Does not* speak HTTP: hyper does. Connections do not call this module: they
//! return what to do with their requests (`connections::Next`).

use super::connections::{Connections, Next};
use super::http::{INPUT_BYTES_MAX, Job, Stage as Progress, Work};
use super::ring::Key;
use super::running::Running;
use super::socket::{Sockets, Stage};
use super::verdicts::Credentials;
use crate::endpoint::http::{self, Answer};
use crate::note::{Ending, RequestFault};
use crate::proxies::forwarded;
use deepstream_engine::{ConnId, Headers, Login, Nanos, Outbox, Peer};
use deepstream_wire::Wire;
use deepstream_wire::jif;
use hyper::{HeaderMap, StatusCode};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// The answer to a request that did not arrive completely in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Which requests are to be gone on with, and when.
#[derive(Default)]
pub(super) struct Requests {
    /// Sockets whose requests are continued once those before them were answered.
    waiting: VecDeque<Key>,
    /// The deadlines of requests.
    watched: BTreeSet<(Nanos, Key)>,
}

impl Requests {
    /// Continues a conversation, as far as it can.
    pub(super) fn drive(&mut self, on: &mut Connections, key: Key) {
        loop {
            let Connections { sockets, shard, now, .. } = on;
            let Some(socket) = sockets.get(key).filter(|socket| socket.stage == Stage::Open) else { return };
            let (conn, busy) = (socket.conn, socket.sending);
            let Some(talk) = &mut socket.http else { return };
            let step = talk.go_on(*now, busy);
            if !step.output.is_empty() {
                shard.raw(*now, conn, &step.output);
            }
            if let Some(why) = &step.forbidden {
                on.tell_end_of(key, Ending::Refused(why));
            }
            if let Some(fault) = step.fault {
                on.tell_end_of(key, Ending::Http(fault));
            }
            let answered = step.job.and_then(|job| begin(on, key, job));
            if step.upgrades {
                let next = on.begin_anew(key);
                return self.go_on(on, key, next);
            }
            match (answered, on.sockets.get(key).and_then(|socket| socket.http.as_mut())) {
                (Some(answer), Some(talk)) => talk.answer(answer),
                _ if step.over => return on.part(key),
                _ => break,
            }
        }
        self.watch(&mut on.sockets, key);
        regulate(on, key);
        on.weigh(key);
    }

    /// What a connection wants done after it was heard, or sent something.
    pub(super) fn go_on(&mut self, on: &mut Connections, key: Key, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Drive => self.drive(on, key),
            Next::DriveSealed { over } => {
                self.drive(on, key);
                on.conclude(key, over);
            }
        }
    }

    /// A login was judged. `false`: it does not belong to a request that only contains credentials.
    pub(super) fn judged(&mut self, on: &mut Connections, conn: ConnId, login: &Login) -> bool {
        let Some(key) = on.sockets.asked_by(conn) else { return false };
        let answer = on.sockets.running(key).and_then(|running| running.judged(login));
        let is_all = answer.is_some();
        if let Some(answer) = answer {
            self.complete(on, key, answer);
        }
        is_all
    }

    /// The shard has output for a request.
    pub(super) fn hear_answers(&mut self, on: &mut Connections, key: Key) {
        let Connections { sockets, shard, now, .. } = on;
        let Some(running) = sockets.running(key) else { return };
        let mut outbox = Outbox::default();
        shard.take_output(running.conn, &mut outbox);
        let login = running.hear(&outbox);
        shard.flushed(*now, running.conn, outbox.len());
        shard.reuse(outbox);
        match login {
            Some(Ok(())) => self.start_batch(on, key),
            Some(Err(answer)) => self.complete(on, key, answer),
            None => self.complete_if_answered(on, key),
        }
        on.weigh(key);
    }

    fn start_batch(&mut self, on: &mut Connections, key: Key) {
        let (entries_max, bytes_max) = (on.web.batch_entries_max, on.web.answer_bytes_max);
        let Some(running) = on.sockets.running(key) else { return };
        match running.start_batch(entries_max, bytes_max) {
            None => self.ask_in_time(on, key),
            Some(answer) => self.complete(on, key, answer),
        }
    }

    /// Sends entries to the shard at once, unless this turn has produced many answers already: then later, one request
    /// after the other, so that not all their answers are in memory at the same time.
    pub(super) fn ask_in_time(&mut self, on: &mut Connections, key: Key) {
        if on.has_said_enough() {
            self.waiting.push_back(key);
        } else {
            self.ask(on, key);
        }
    }

    /// Sends further entries to the shard, until it wants a pause.
    fn ask(&mut self, on: &mut Connections, key: Key) {
        let Connections { sockets, shard, now, .. } = on;
        let Some(running) = sockets.running(key) else { return };
        running.ask(|conn, message| shard.received(*now, conn, message));
        self.complete_if_answered(on, key);
    }

    /// The next of those whose turn it is asks. Whether there was one.
    pub(super) fn ask_next(&mut self, on: &mut Connections) -> bool {
        let Some(key) = self.waiting.pop_front() else { return false };
        self.ask(on, key);
        true
    }

    /// Whether one waits until it may ask.
    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn complete_if_answered(&mut self, on: &mut Connections, key: Key) {
        if let Some(answer) = on.sockets.running(key).and_then(|running| running.answer()) {
            self.complete(on, key, answer);
        }
    }

    /// A request is answered.
    fn complete(&mut self, on: &mut Connections, key: Key, answer: Answer) {
        on.leave(key);
        if let Some(talk) = on.sockets.get(key).and_then(|socket| socket.http.as_mut()) {
            talk.answer(answer);
            self.drive(on, key);
        }
    }

    /// The shard closes the request's connection, or its time is over: answers so far are sent, the other entries are
    /// refused.
    pub(super) fn break_off(&mut self, on: &mut Connections, key: Key, rest: &str) {
        if let Some(answer) = on.sockets.running(key).map(|running| running.broken_off(rest)) {
            self.complete(on, key, answer);
        }
    }

    /// Ends requests that take too long.
    pub(super) fn time_out(&mut self, on: &mut Connections) {
        while let Some(key) = self.late(&mut on.sockets, on.now) {
            let Some(socket) = on.sockets.get(key) else { continue };
            let (conn, Some(talk)) = (socket.conn, &mut socket.http) else { continue };
            match talk.stage() {
                Progress::Running => {
                    on.tell_end_of(key, Ending::Http(RequestFault::Unanswered));
                    self.break_off(on, key, jif::TIMED_OUT);
                }
                Progress::Body => {
                    talk.is_late();
                    self.drive(on, key);
                }
                Progress::Head => {
                    on.tell_end_of(key, Ending::Http(RequestFault::Late));
                    on.shard.raw(on.now, conn, TOO_SLOW);
                    on.part(key);
                }
                Progress::Idle => on.part(key),
            }
        }
    }

    /// The server stops: requests are answered as far as they got, and no others are taken.
    pub(super) fn finish(&mut self, on: &mut Connections) {
        for key in on.sockets.conversations() {
            if let Some(talk) = on.sockets.get(key).and_then(|socket| socket.http.as_mut()) {
                talk.close();
            }
            self.break_off(on, key, jif::STOPPING);
        }
    }

    fn watch(&mut self, sockets: &mut Sockets, key: Key) {
        let Some(talk) = sockets.get(key).and_then(|socket| socket.http.as_mut()) else { return };
        // If there is an entry for an earlier moment, the request is looked at then and entered again.
        if talk.watched_at.is_none_or(|at| at > talk.due) {
            let at = talk.due;
            talk.watched_at = Some(at);
            self.watched.insert((at, key));
        }
    }

    /// The next deadline of a request.
    pub(super) fn next_late(&self) -> Option<Nanos> {
        self.watched.first().map(|&(at, _)| at)
    }

    /// A request whose deadline has passed.
    fn late(&mut self, sockets: &mut Sockets, now: Nanos) -> Option<Key> {
        loop {
            let &(at, key) = self.watched.first().filter(|&&(at, _)| at <= now)?;
            self.watched.pop_first();
            let Some(talk) = sockets.get(key).and_then(|socket| socket.http.as_mut()) else { continue };
            if talk.watched_at != Some(at) {
                continue;
            }
            talk.watched_at = None;
            if talk.due <= now {
                return Some(key);
            }
            self.watch(sockets, key);
        }
    }
}

/// Begins to execute a request; gives the answer if there is one already.
fn begin(on: &mut Connections, key: Key, job: Job) -> Option<Answer> {
    let peer = asker(on, key, &job.headers);
    let busy = || Some(http::text(StatusCode::SERVICE_UNAVAILABLE, "There are too many connections."));
    let Some(conn) = on.shard.connected(on.now, Peer { remote: peer.remote.clone(), ..Peer::default() }) else {
        return busy();
    };
    on.shard.upgraded(on.now, conn, Wire::Http, &peer.referer, peer.headers.clone());
    let running = match &job.what {
        Work::Batch(post) => Running::batch(conn, post.body.clone()),
        Work::Login(data) => {
            let logs = on.web.api.as_ref().is_some_and(|api| api.log_invalid_auth_data);
            let (remote, logged) = (peer.remote.clone(), logs.then(|| data.clone()));
            Running::login(conn, Credentials { remote, logged })
        }
    };
    on.sockets.place(conn, key);
    on.sockets.get(key)?.http.as_mut()?.running = Some(Box::new(running));
    match job.what {
        // The result is in the outbox of its connection.
        Work::Batch(post) => drop(on.shard.received(on.now, conn, &jif::login(&post.login))),
        Work::Login(data) => {
            if let Some(login) = on.auth.judge(conn, data, Arc::new(peer)) {
                let answer = on.sockets.running(key).and_then(|running| running.judged(&login));
                on.leave(key);
                return answer;
            }
        }
    }
    None
}

/// The client of a request, as authentication sees it.
fn asker(on: &mut Connections, key: Key, headers: &HeaderMap) -> Peer {
    let address = on.sockets.get(key).and_then(|socket| socket.address);
    let said = forwarded(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let remote = address.map(|address| on.web.client(address, said.as_deref()).to_string());
    let referer = headers.get("referer").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let headers: Headers = on.auth.headers_of(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    Peer { remote: remote.unwrap_or_default().into(), referer: referer.into(), headers, ..Peer::default() }
}

/// A client that sends requests faster than they are answered is not read meanwhile.
fn regulate(on: &mut Connections, key: Key) {
    let Some(socket) = on.sockets.get(key) else { return };
    let Some(talk) = &socket.http else { return };
    let full = talk.unread() > INPUT_BYTES_MAX;
    if full && !socket.paused {
        socket.paused = true;
        on.sockets.pausing.push(key);
    } else if !full && socket.paused {
        socket.paused = false;
        on.ring.resume(key);
    }
}
