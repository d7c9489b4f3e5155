//! What requestors and providers are told of calls, and whether they can be.

use super::{Ask, Calls, Providing, key_of, mark};
use crate::oracle::Oracle;
use deepstream_wire::client::{original_action, requestor_data, requestor_name};
use deepstream_wire::{Action, Message};

/// What connections are told.
impl Oracle {
    pub(in crate::oracle) fn rpc_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        self.calls.moment += 1;
        match message.head.action {
            Action::RpcRequest => self.ask_said(conn, message),
            Action::RpcAccept => self.accept_said(conn, message),
            Action::RpcResponse | Action::RpcRequestError => self.response_said(conn, message),
            Action::RpcNoProvider | Action::RpcAcceptTimeout | Action::RpcResponseTimeout => {
                self.failure_said(conn, message);
            }
            Action::RpcInvalidCorrelationId => self.answer_refused(conn, message, original_action(message)),
            Action::RpcMultipleAccept => self.answer_refused(conn, message, Some(Action::RpcAccept)),
            Action::RpcProvide | Action::RpcUnprovide => {
                self.settle(conn, message);
                self.provide_acked(conn, message);
            }
            _ => self.settle(conn, message),
        }
    }

    fn provide_acked(&mut self, conn: usize, message: &Message<&[u8]>) {
        let key = (conn, message.correlation_id().unwrap_or_default().into());
        let Some(bulk) = self.calls.bulks.remove(&key) else { return };
        for (name, number) in bulk.names {
            let Some(providing) = self.calls.providing.get_mut(&(name, conn)) else { continue };
            providing.withdrawing -= usize::from(bulk.action == Action::RpcUnprovide);
            if providing.number != number {
                continue;
            }
            if bulk.action == Action::RpcProvide {
                providing.since = Some(self.calls.moment);
            } else {
                providing.may = false;
            }
        }
    }

    /// A provider is asked.
    fn ask_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let line = || crate::trace::describe(message);
        let Some(mark) = mark(b'm', message.data()) else { return };
        let Some(&index) = self.calls.by_mark.get(&mark) else {
            return self.fail(format!("conn {conn} is asked what nobody asks: {}", line()));
        };
        let key = key_of(conn, message);
        let calls = &self.calls;
        let request = &calls.requests[index];
        let providing = calls.providing.get(&(key.1.clone(), conn));
        let (withdrawing, may) = providing.map_or((0, false), |providing| (providing.withdrawing, providing.may));
        let shaky = providing.is_some_and(|providing| providing.shaky);
        let twice = request.asks.iter().any(|&ask| calls.asks[ask].key.0 == conn);
        let same = request.key.1 == key.1 && Some(&*request.data) == message.data();
        // Where two requestors chose the same id, the provider is given another.
        let known = key.2 == request.key.2 || key.2.starts_with(b"~");
        // It may have been asked, and done with the call, before those who were seen to be asked earlier.
        let done = withdrawing > 0 || shaky || calls.said_no(&key);
        let busy = request.asks.iter().copied().filter(|_| !done).find(|&ask| {
            let other = &calls.asks[ask];
            self.sound(other.key.0) && !other.unprovided && !calls.said_no(&other.key)
        });
        let busy = busy.map(|ask| calls.asks[ask].key.0);
        let (caller, id) = (request.key.0, request.key.2.clone());
        let told = self.caller_told(request.key.0, message);
        self.check(may, || format!("conn {conn} does not provide it and is asked {}", line()));
        self.check(!twice, || format!("conn {conn} is asked twice: {}", line()));
        self.check(same && known, || format!("conn {conn} is asked something else: {}", line()));
        self.check(busy.is_none(), || format!("conn {conn} is asked while {busy:?} has the call: {}", line()));
        self.check(told, || format!("conn {conn} is told something else of the caller: {}", line()));
        self.granted_to(caller, &id, Some(message.name()), "its call is made");
        let ask = self.calls.asks.len();
        self.calls.asks.push(Ask {
            request: index,
            key: key.clone(),
            said: self.calls.moment,
            unprovided: withdrawing > 0 || shaky,
        });
        self.calls.asks_by_key.entry(key).or_default().push(ask);
        let request = &mut self.calls.requests[index];
        request.asks.push(ask);
        request.touched = self.now;
    }

    /// Whether a provider learns of the caller what it is to learn, and nothing the caller made up.
    fn caller_told(&self, caller: usize, message: &Message<&[u8]>) -> bool {
        let user = self.conns[caller].user;
        let name = user.filter(|_| self.calls.tells_name).map(|user| self.calls.users[user].as_bytes());
        let data = user.filter(|_| self.calls.tells_data).and_then(crate::world::client_data);
        // A caller that is gone may be forgotten by the time somebody else is asked.
        let gone = !self.conns[caller].alive;
        let fits = |told: Option<&[u8]>, expected: Option<&[u8]>| told == expected || gone && told.is_none();
        fits(requestor_name(message), name) && fits(requestor_data(message), data.as_deref())
    }

    /// The open requests a reply may be about.
    pub(super) fn open_requests(&self, conn: usize, message: &Message<&[u8]>) -> Vec<usize> {
        let all = self.calls.by_key.get(&key_of(conn, message));
        let open = |&&index: &&usize| self.calls.requests[index].answered.is_none();
        all.into_iter().flatten().filter(open).copied().collect()
    }

    fn accept_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let calls = &self.calls;
        let mut accepted = None;
        for index in self.open_requests(conn, message) {
            let asks = calls.requests[index].asks.iter().map(|&ask| &calls.asks[ask]);
            let heard: Vec<usize> = asks
                .flat_map(|ask| calls.answers_by_key.get(&ask.key).into_iter().flatten().copied())
                .filter(|&answer| calls.answers[answer].action == Action::RpcAccept)
                .collect();
            if calls.requests[index].accepts < heard.len() {
                let fresh = heard.iter().copied().find(|&answer| !calls.answers[answer].settled);
                accepted = Some((index, fresh));
                break;
            }
        }
        if let Some((index, answer)) = accepted {
            self.calls.requests[index].accepts += 1;
            if let Some(answer) = answer {
                self.calls.answers[answer].settled = true;
            }
            return;
        }
        // A provider may have guessed the id before it was told it.
        let open = self.open_requests(conn, message).first().copied();
        match open.and_then(|request| Some((request, self.guessed(message)?))) {
            Some((request, answer)) => {
                self.calls.requests[request].accepts += 1;
                self.calls.answers[answer].settled = true;
                self.calls.unproven.push(answer);
            }
            // Of two requests with one id the end of one may have been taken for the other's.
            None if self.calls.has_twin(&key_of(conn, message)) => {}
            None => self.fail(format!("conn {conn} cannot be told {}", crate::trace::describe(message))),
        }
    }

    /// An acceptance of a call of that name and id by somebody who was perhaps not seen to be asked yet.
    fn guessed(&self, message: &Message<&[u8]>) -> Option<usize> {
        let id = message.correlation_id().unwrap_or_default();
        self.calls.answers.iter().position(|answer| {
            answer.action == Action::RpcAccept
                && !answer.settled
                && *answer.key.1 == *message.name()
                && *answer.key.2 == *id
        })
    }

    /// A requestor is told what a provider answered.
    fn response_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let line = || crate::trace::describe(message);
        let action = message.head.action;
        let found = mark(b'n', message.data()).and_then(|mark| self.calls.answers_by_mark.get(&mark).copied());
        let Some(index) = found.filter(|&index| self.calls.answers[index].action == action) else {
            return self.fail(format!("conn {conn} is told what nobody answered: {}", line()));
        };
        let answer = &self.calls.answers[index];
        let (used, refused, again, key) = (answer.settled, answer.refused, answer.again, answer.key.clone());
        self.calls.answers[index].settled = true;
        if refused {
            // It was another one that was refused.
            self.calls.answers[index].refused = false;
            let others = self.calls.answers_by_key[&key].clone();
            let other = others.into_iter().find(|&other| {
                let other = &self.calls.answers[other];
                other.action == action && !other.settled
            });
            match other {
                Some(other) => {
                    self.calls.answers[other].settled = true;
                    self.calls.answers[other].refused = true;
                }
                None => self.fail(format!("conn {conn} is told what was refused: {}", line())),
            }
        }
        let asked = self.calls.asks_by_key.get(&key).cloned().unwrap_or_default();
        self.check(!used || refused, || format!("conn {conn} is told an answer again: {}", line()));
        if again {
            self.calls.suspects.push(index);
        }
        let mine = key_of(conn, message);
        let requests: Vec<usize> = asked
            .iter()
            .map(|&ask| self.calls.asks[ask].request)
            .filter(|&request| self.calls.requests[request].key == mine)
            .collect();
        if requests.is_empty() {
            self.calls.unproven.push(index);
        }
        let open = |&request: &usize| self.calls.requests[request].answered.is_none();
        let all = self.calls.by_key.get(&mine).cloned().unwrap_or_default();
        let Some(request) = requests.iter().copied().find(open).or_else(|| requests.first().copied()) else {
            return self.answer(conn, all, message);
        };
        if self.calls.requests[request].answered.is_some() {
            // Two requests with one id: what was taken for this one's end was the other's.
            return self.answer(conn, all, message);
        }
        self.calls.requests[request].answered = Some(action);
    }

    /// One of several requests has its end.
    pub(super) fn answer(&mut self, conn: usize, requests: Vec<usize>, message: &Message<&[u8]>) {
        let open = requests.into_iter().find(|&request| self.calls.requests[request].answered.is_none());
        match open {
            Some(request) => self.calls.requests[request].answered = Some(message.head.action),
            None => self.fail(format!("conn {conn} was answered before: {}", crate::trace::describe(message))),
        }
    }

    /// A requestor is told that nobody answers.
    fn failure_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let line = || crate::trace::describe(message);
        let open = self.open_requests(conn, message);
        let all = self.calls.by_key.get(&key_of(conn, message)).cloned().unwrap_or_default();
        if let (&[index], 1) = (&open[..], all.len()) {
            let calls = &self.calls;
            let request = &calls.requests[index];
            let waited = self.now.since(request.heard_at);
            let (fits, why) = match message.head.action {
                Action::RpcAcceptTimeout => (waited >= calls.ack_timeout_ns, "too early"),
                Action::RpcResponseTimeout => (waited >= calls.response_timeout_ns, "too early"),
                _ => {
                    if let Some(provider) = self.idle_provider(index) {
                        let what = format!("conn {conn} is told although conn {provider} provides it: {}", line());
                        self.calls.doubts.push((provider, what));
                    }
                    (true, "")
                }
            };
            self.check(fits, || format!("conn {conn} is told {why} ({waited} ns): {}", line()));
        }
        self.answer(conn, open, message);
    }

    /// Somebody who provided the name all the time and was not asked.
    fn idle_provider(&self, request: usize) -> Option<usize> {
        let request = &self.calls.requests[request];
        let all = self.calls.providing.range((request.key.1.clone(), 0)..=(request.key.1.clone(), usize::MAX));
        let idle = |conn: usize, providing: &Providing| {
            let before = providing.since.is_some_and(|since| since < request.heard);
            let asked = request.asks.iter().any(|&ask| self.calls.asks[ask].key.0 == conn);
            // It may have turned down what it was not seen to be asked yet.
            let declined = self.calls.said_no(&(conn, request.key.1.clone(), request.key.2.clone()));
            before && providing.wants && !providing.shaky && !asked && !declined && self.sound(conn)
        };
        all.filter(|((_, conn), providing)| idle(*conn, providing)).map(|((_, conn), _)| *conn).next()
    }

    /// A provider is told that what it said means nothing (any more).
    fn answer_refused(&mut self, conn: usize, message: &Message<&[u8]>, action: Option<Action>) {
        let key = key_of(conn, message);
        let all = self.calls.answers_by_key.get(&key).cloned().unwrap_or_default();
        let fits = |&index: &usize| {
            let answer = &self.calls.answers[index];
            Some(answer.action) == action && !answer.settled
        };
        let again = |&index: &usize| self.calls.answers[index].again;
        let found = all.iter().copied().filter(fits).find(again).or_else(|| all.iter().copied().find(fits));
        match found {
            Some(index) => {
                self.calls.answers[index].settled = true;
                self.calls.answers[index].refused = true;
            }
            None if action == Some(Action::RpcAccept) && self.mistaken(&all) => {}
            None => self.fail(format!("conn {conn} said nothing that means {}", crate::trace::describe(message))),
        }
    }

    /// An acceptance that was taken for the one that was forwarded was refused: it was another one.
    fn mistaken(&mut self, answers: &[usize]) -> bool {
        let Calls { answers: all, unproven, .. } = &mut self.calls;
        let forwarded = |&&index: &&usize| {
            let answer = &all[index];
            answer.action == Action::RpcAccept && answer.settled && !answer.refused
        };
        let Some(&index) = answers.iter().find(forwarded) else { return false };
        all[index].refused = true;
        let (name, id) = (all[index].key.1.clone(), all[index].key.2.clone());
        let other = all.iter().position(|answer| {
            answer.action == Action::RpcAccept && !answer.settled && answer.key.1 == name && answer.key.2 == id
        });
        if let Some(other) = other {
            all[other].settled = true;
            // It is that one's provider who must turn out to have been asked.
            unproven.iter_mut().filter(|answer| **answer == index).for_each(|answer| *answer = other);
        }
        true
    }
}
