//! Checks calls: each request gets one final reply, in time, from the provider that was asked.
//!
//! Requests and answers carry marks, so that it is known which request a provider is asked and which answer a requestor
//! is told, whatever their correlation ids. A provider that is asked twice under one id by two requestors may confuse
//! them by answering late; nothing is claimed about such answers but that each is used once.

mod rest;
mod said;

use crate::oracle::Oracle;
use crate::oracle::permit::Grant;
use crate::plan::Plan;
use deepstream_engine::Nanos;
use deepstream_wire::{Action, Message};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A connection, a name and a correlation id.
type Key = (usize, Box<[u8]>, Box<[u8]>);

/// Grain of the engine's timers, twice: as late as a timer may be.
const LATE_NS: u64 = 2 << 20;
/// As long as what is said between nodes may be under way, there and back: it may be lost more than once.
const FAR_NS: u64 = 10_000_000_000;

#[derive(Debug)]
struct Request {
    key: Key,
    data: Box<[u8]>,
    heard_at: Nanos,
    /// Among everything heard and said.
    heard: u64,
    /// When its provider may last have changed.
    touched: Nanos,
    asks: Vec<usize>,
    accepts: usize,
    answered: Option<Action>,
}

/// A provider was asked to answer a request.
#[derive(Debug)]
struct Ask {
    request: usize,
    /// The provider, and how it knows the call.
    key: Key,
    /// Among everything heard and said.
    said: u64,
    /// It stopped providing while it had the call.
    unprovided: bool,
}

/// What a provider said about a call.
#[derive(Debug)]
struct Answer {
    key: Key,
    /// Among everything heard and said.
    heard: u64,
    action: Action,
    /// It said the same, or something final, before.
    again: bool,
    /// It was forwarded, or answered itself.
    settled: bool,
    refused: bool,
}

/// The state between a connection and a name.
#[derive(Debug, Default)]
struct Providing {
    /// It wants to.
    wants: bool,
    /// It may be asked: it wants to, or its withdrawal is not acknowledged.
    may: bool,
    /// Withdrawals that are not acknowledged.
    withdrawing: usize,
    /// When it was acknowledged, among everything heard and said.
    since: Option<u64>,
    /// Which time this is.
    number: u64,
    /// Newer rules may have ended it without its connection having been told.
    shaky: bool,
}

#[derive(Debug)]
struct Bulk {
    action: Action,
    names: Vec<(Box<[u8]>, u64)>,
}

/// All calls of a world.
#[derive(Debug)]
pub(super) struct Calls {
    requests: Vec<Request>,
    by_key: BTreeMap<Key, Vec<usize>>,
    by_mark: BTreeMap<u64, usize>,
    asks: Vec<Ask>,
    asks_by_key: BTreeMap<Key, Vec<usize>>,
    answers: Vec<Answer>,
    answers_by_key: BTreeMap<Key, Vec<usize>>,
    answers_by_mark: BTreeMap<u64, usize>,
    providing: BTreeMap<(Box<[u8]>, usize), Providing>,
    bulks: BTreeMap<(usize, Box<[u8]>), Bulk>,
    /// Connections that ever stopped providing something.
    withdrew: BTreeSet<usize>,
    /// Answers that were forwarded before it was seen that their provider was asked.
    unproven: Vec<usize>,
    /// Answers that were forwarded although their provider had said something final before.
    suspects: Vec<usize>,
    /// Failures, unless the provider named turns out to be being closed.
    doubts: Vec<(usize, String)>,
    moment: u64,
    names_max: usize,
    ack_timeout_ns: u64,
    late_ns: u64,
    response_timeout_ns: u64,
    tells_name: bool,
    tells_data: bool,
    users: Vec<String>,
}

impl Calls {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            requests: Vec::new(),
            by_key: BTreeMap::new(),
            by_mark: BTreeMap::new(),
            asks: Vec::new(),
            asks_by_key: BTreeMap::new(),
            answers: Vec::new(),
            answers_by_key: BTreeMap::new(),
            answers_by_mark: BTreeMap::new(),
            providing: BTreeMap::new(),
            bulks: BTreeMap::new(),
            withdrew: BTreeSet::new(),
            unproven: Vec::new(),
            suspects: Vec::new(),
            doubts: Vec::new(),
            moment: 0,
            names_max: plan.options.limits.names_per_message_max,
            ack_timeout_ns: plan.options.rpc_ack_timeout_ns,
            late_ns: if plan.cluster.is_some() { FAR_NS } else { LATE_NS },
            response_timeout_ns: plan.options.rpc_response_timeout_ns,
            tells_name: plan.options.rpc_requestor_name,
            tells_data: plan.options.rpc_requestor_data,
            users: plan.users.clone(),
        }
    }

    pub(super) fn disconnected(&mut self, conn: usize, now: Nanos) {
        self.providing.retain(|(_, other), _| *other != conn);
        // Whoever was asked last may have been this one without being told.
        for request in self.requests.iter_mut().filter(|request| request.answered.is_none()) {
            request.touched = now;
        }
    }

    fn touch(&mut self, key: &Key, now: Nanos) {
        for &ask in self.asks_by_key.get(key).into_iter().flatten() {
            let request = self.asks[ask].request;
            self.requests[request].touched = now;
        }
    }

    /// Whether a provider had said something before that this can only repeat.
    fn repeats(&self, index: usize) -> bool {
        let answer = &self.answers[index];
        self.answers_by_key[&answer.key].iter().take_while(|&&other| other < index).any(|&other| {
            let other = &self.answers[other];
            let passed_over = other.action == Action::RpcReject && self.withdrew.contains(&answer.key.0);
            !other.refused && !passed_over && (other.action != Action::RpcAccept || answer.action == Action::RpcAccept)
        })
    }

    /// Whether a requestor used a correlation id more than once.
    fn has_twin(&self, key: &Key) -> bool {
        self.by_key.get(key).is_some_and(|requests| requests.len() > 1)
    }

    /// Whether a rejection was heard under this key.
    fn said_no(&self, key: &Key) -> bool {
        let answers = self.answers_by_key.get(key).into_iter().flatten();
        answers.into_iter().any(|&answer| self.answers[answer].action == Action::RpcReject)
    }
}

/// The number behind `{"m":` or `{"n":`.
fn mark(letter: u8, data: Option<&[u8]>) -> Option<u64> {
    let rest = data?.strip_prefix(&[b'{', b'"', letter, b'"', b':'])?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

fn key_of(conn: usize, message: &Message<&[u8]>) -> Key {
    (conn, message.name().into(), message.correlation_id().unwrap_or_default().into())
}

/// What connections ask.
impl Oracle {
    /// A step is over: all that came of it is known.
    pub(super) fn rpc_stepped(&mut self) {
        for (provider, what) in std::mem::take(&mut self.calls.doubts) {
            self.check(!self.sound(provider), || what);
        }
    }

    pub(super) fn rpc_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        self.calls.moment += 1;
        let action = message.head.action;
        match action {
            Action::RpcProvide | Action::RpcUnprovide => self.provide_heard(conn, message),
            Action::RpcRequest
            | Action::RpcAccept
            | Action::RpcResponse
            | Action::RpcReject
            | Action::RpcRequestError => {
                let id = message.correlation_id();
                let fits = id.is_some_and(|id| !id.is_empty())
                    && (action != Action::RpcRequest || id.is_some_and(|id| self.is_name(id)))
                    && self.is_name(message.name())
                    && message.data().is_none_or(|data| serde_json::from_slice::<Value>(data).is_ok());
                if !fits {
                    let name = Some(message.name()).filter(|name| self.is_name(name));
                    self.conns[conn].answers.owe(Action::RpcInvalidMessageData, name, id);
                } else if action == Action::RpcRequest {
                    self.request_heard(conn, message);
                } else {
                    self.answer_heard(conn, message);
                }
            }
            _ => {}
        }
    }

    fn provide_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let correlation_id = message.correlation_id();
        let action = message.head.action;
        if message.names().count() > self.calls.names_max {
            return self.conns[conn].answers.owe(Action::RpcInvalidMessageData, None, correlation_id);
        }
        let (mut named, mut refused) = (0, 0);
        let mut names = Vec::new();
        for name in message.names() {
            named += 1;
            if !self.is_name(name) {
                refused += 1;
                let name = Some(name).filter(|name| self.is_name(name));
                self.conns[conn].answers.owe(Action::RpcInvalidMessageData, name, correlation_id);
                continue;
            }
            let oldest = self.oldest_rules();
            let newest = self.newest_rules();
            let shaky = self.permit.ruled()
                && (oldest..=newest).any(|rules| !self.stands(conn, Action::RpcProvide, Some(name), rules).always());
            let providing = self.calls.providing.entry((name.into(), conn)).or_default();
            if action == Action::RpcProvide && providing.wants {
                self.conns[conn].answers.owe(Action::RpcMultipleProviders, Some(name), None);
                continue;
            }
            providing.number += 1;
            providing.wants = action == Action::RpcProvide;
            providing.may |= providing.wants;
            providing.shaky |= shaky;
            providing.since = None;
            providing.withdrawing += usize::from(action == Action::RpcUnprovide);
            names.push((name.into(), providing.number));
            if action == Action::RpcUnprovide {
                self.unprovided(conn, name);
            }
        }
        if named == 0 || refused < named {
            self.conns[conn].answers.owe(action, None, correlation_id);
            self.calls.bulks.insert((conn, correlation_id.unwrap_or_default().into()), Bulk { action, names });
        }
    }

    fn unprovided(&mut self, conn: usize, name: &[u8]) {
        let now = self.now;
        self.calls.withdrew.insert(conn);
        let Calls { asks, requests, .. } = &mut self.calls;
        for ask in asks.iter_mut().filter(|ask| ask.key.0 == conn) {
            let request = &mut requests[ask.request];
            if *request.key.1 == *name {
                ask.unprovided = true;
                request.touched = now;
            }
        }
    }

    /// There are newer rules: whoever they do not let provide may do so no more, and hear of it later.
    pub(super) fn providers_in_doubt(&mut self, rules: u32) {
        let doubtful: Vec<(Box<[u8]>, usize)> = self.calls.providing.keys().cloned().collect();
        for (name, conn) in doubtful {
            if !self.stands(conn, Action::RpcProvide, Some(&name), rules).always() {
                if let Some(providing) = self.calls.providing.get_mut(&(name.clone(), conn)) {
                    providing.shaky = true;
                }
                self.unprovided(conn, &name);
            }
        }
    }

    /// A call is denied, or somebody may not provide (any more).
    pub(super) fn rpc_denied(&mut self, conn: usize, action: Action, message: &Message<&[u8]>) {
        self.calls.moment += 1;
        if action == Action::RpcRequest {
            let open = self.open_requests(conn, message);
            let all = self.calls.by_key.get(&key_of(conn, message)).map_or(0, Vec::len);
            let asked = all == 1 && open.iter().any(|&request| !self.calls.requests[request].asks.is_empty());
            self.check(!asked, || {
                format!("conn {conn} is denied a call that was made: {}", crate::trace::describe(message))
            });
            return self.answer(conn, open, message);
        }
        let (name, correlation_id) = (message.name(), message.correlation_id());
        self.unprovided(conn, name);
        let mut number = None;
        if let Some(id) = correlation_id {
            let key = (conn, id.into());
            let Some(bulk) = self.calls.bulks.get_mut(&key) else { return };
            number = bulk.names.iter().find(|(other, _)| **other == *name).map(|(_, number)| *number);
            if let Some(place) = bulk.names.iter().position(|(other, _)| **other == *name) {
                bulk.names.swap_remove(place);
            }
            if bulk.names.is_empty() {
                self.calls.bulks.remove(&key);
                self.conns[conn].answers.forgive(action, None, correlation_id);
            }
        }
        let Some(providing) = self.calls.providing.get_mut(&(name.into(), conn)) else { return };
        if number.is_none_or(|number| number == providing.number) {
            providing.wants = false;
            providing.may = providing.withdrawing > 0;
            providing.since = None;
        }
    }

    /// Providers, for whoever wants to know what goes on.
    pub(super) fn granted_providers(&self, grant: &mut Vec<Grant>) {
        let providing = self.calls.providing.iter().filter(|(_, providing)| providing.wants);
        grant.extend(providing.map(|((name, conn), _)| (*conn, Action::RpcProvide, Some(name.clone()))));
    }

    fn request_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let Some(mark) = mark(b'm', message.data()) else { return };
        let key = key_of(conn, message);
        let index = self.calls.requests.len();
        self.calls.by_key.entry(key.clone()).or_default().push(index);
        self.calls.by_mark.insert(mark, index);
        self.calls.requests.push(Request {
            key,
            data: message.data().unwrap_or_default().into(),
            heard_at: self.now,
            heard: self.calls.moment,
            touched: self.now,
            asks: Vec::new(),
            accepts: 0,
            answered: None,
        });
    }

    fn answer_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let key = key_of(conn, message);
        let action = message.head.action;
        let index = self.calls.answers.len();
        let others = self.calls.answers_by_key.entry(key.clone()).or_default();
        let again = others.iter().any(|&other| {
            let other = self.calls.answers[other].action;
            other != Action::RpcAccept || action == Action::RpcAccept
        });
        others.push(index);
        if let Some(mark) = mark(b'n', message.data()) {
            self.calls.answers_by_mark.insert(mark, index);
        }
        self.calls.touch(&key, self.now);
        self.calls.answers.push(Answer {
            key,
            heard: self.calls.moment,
            action,
            again,
            settled: false,
            refused: false,
        });
    }
}
