//! Calls: routed to one of a name's providers, answered exactly once (docs/rpc.md §3). Owner side.
//!
//! *Owns* the providers of this core's names and every call of those names under way.
//! *Promises* each request exactly one terminal answer: a response, an error, or a refusal within its timeouts, also
//! when its provider rejects, disconnects or stays silent. Only the provider that was asked can answer. Whoever answers
//! a caller that left is not bothered with that: the call is kept without its arguments until it is answered or late.
//! *Does not* run a call twice unless its provider rejected it or went away: a call whose provider is gone, even after it
//! accepted, goes to the next one. A provider that stops providing keeps the calls it has accepted and hands over the
//! rest at once.

mod calls;

/// Draws among the providers before they are looked through one by one.
const DRAWS: usize = 4;

use crate::context::TimerKey;
use crate::ident::{CallId, ConnId};
use crate::owner::Owner;
use crate::owner::names::Provider;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge};
pub(crate) use calls::Calls;
use calls::Provided;
use deepstream_wire::{Action, Flags, Message, Outgoing, RpcRequest, Topic};

impl<E: ToEdge> Sides<E, Owner> {
    /// A message on topic RPC about a name this core owns. Whether a call began that will be answered.
    pub(crate) fn rpc(&mut self, conn: ConnId, reply_to: ReplyTo, said: RpcRequest, message: &Message<&[u8]>) -> bool {
        match said {
            RpcRequest::Provide => self.provide(conn, reply_to, message),
            RpcRequest::Unprovide => self.unprovide(conn, reply_to, message),
            RpcRequest::Request => return self.request_call(conn, reply_to, message),
            RpcRequest::Accept | RpcRequest::Response | RpcRequest::Reject | RpcRequest::RequestError => {
                self.provider_said(conn, said, message);
            }
        }
        false
    }

    fn provide(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        if self.edges.wire(conn).is_none() {
            return self.settle_at_edge(conn, reply_to, true, None);
        }
        let slot = self.owner.names.find_or_insert(Topic::Rpc, message.name(), message.head.name_hash);
        if self.provider_at(conn, slot).is_some() {
            let answer = Outgoing {
                name: Some(message.name()),
                original_action: Some(Action::RpcProvide),
                ..Outgoing::new(Action::RpcMultipleProviders)
            };
            self.edges.reply(&mut self.cx, conn, &answer);
        } else {
            let max = self.cx.options.limits.subscriptions_per_connection_max;
            let name = self.owner.names.at_mut(slot);
            let provided = Provided { slot, at: name.providers().len() as u32 };
            let Some(place) = self.owner.calls.provides(conn, provided, max) else {
                self.owner.names.remove_if_idle(slot);
                self.invalid(conn, message, message.name());
                return self.settle_at_edge(conn, reply_to, true, None);
            };
            name.providers_mut().push(Provider { conn, place });
        }
        self.settle_at_edge(conn, reply_to, false, None);
    }

    fn unprovide(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        if let Some(slot) = self.owner.names.find(Topic::Rpc, message.name(), message.head.name_hash) {
            self.end_providing(conn, slot);
        }
        self.settle_at_edge(conn, reply_to, false, None);
    }

    /// A connection provides a name no more.
    pub(crate) fn end_providing(&mut self, conn: ConnId, slot: u32) {
        self.withdraw(conn, slot);
        // A call that it accepted may still be answered; one that it has not goes to somebody else at once.
        for call in self.owner.calls.of_provider(conn) {
            if self.owner.calls.get(call).is_some_and(|call| call.slot == slot && !call.accepted) {
                self.owner.calls.took_away(conn);
                self.reroute(call);
            }
        }
        self.owner.names.remove_if_idle(slot);
    }

    /// Where a connection stands among the providers of a name, if it is one: looked up in whichever is shorter, the
    /// name's list or the connection's. A popular name has thousands of providers that come and go.
    fn provider_at(&self, conn: ConnId, slot: u32) -> Option<usize> {
        let providers = self.owner.names.at(slot).providers();
        let all = || providers.iter().position(|provider| provider.conn == conn);
        let names = self.owner.calls.provided_by(conn);
        if providers.len() <= names.len() {
            return all();
        }
        let known = names.iter().find(|name| name.slot == slot);
        // Only who left meanwhile lies between.
        let behind = known.map(|name| providers.len().min(name.at as usize + 1));
        let found = behind.and_then(|end| providers[..end].iter().rposition(|provider| provider.conn == conn));
        debug_assert_eq!(found, all(), "both lists say the same");
        found
    }

    /// Takes a provider off a name, if it is one.
    fn withdraw(&mut self, conn: ConnId, slot: u32) {
        let Some(at) = self.provider_at(conn, slot) else { return };
        let providers = self.owner.names.at_mut(slot).providers_mut();
        let place = providers.swap_remove(at).place;
        if let Some(moved) = providers.get(at) {
            self.owner.calls.stands_at(moved.conn, moved.place, at as u32);
        }
        if let Some(moved) = self.owner.calls.provides_no_more(conn, place)
            && let Some(at) = self.provider_at(conn, moved)
        {
            self.owner.names.at_mut(moved).providers_mut()[at].place = place;
        }
    }

    fn request_call(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) -> bool {
        let found = self.owner.names.find(Topic::Rpc, message.name(), message.head.name_hash);
        let provider = found.and_then(|slot| self.choose(slot, &[]).map(|provider| (slot, provider)));
        let id = message.correlation_id().unwrap_or_default();
        let refuse =
            |action| Outgoing { name: Some(message.name()), correlation_id: Some(id), ..Outgoing::new(action) };
        let Some((slot, provider)) = provider else {
            self.edges.reply(&mut self.cx, conn, &refuse(Action::RpcNoProvider));
            return false;
        };
        if !self.owner.calls.has_room(message.data().map_or(0, <[u8]>::len), &self.cx.options.limits) {
            self.edges.reply(&mut self.cx, conn, &refuse(Action::RpcAcceptTimeout));
            return false;
        }
        *self.owner.names.at_mut(slot).calls_mut() += 1;
        let call = self.owner.calls.begin(slot, (conn, reply_to.name_id), id, message.data());
        self.ask_provider(call, provider, message.verbatim(said_of_call(message)));
        true
    }

    /// A provider that was not asked yet (`tried` is sorted), by chance; one whose outbox is long only where there is no
    /// other, and none that is being closed.
    fn choose(&mut self, slot: u32, tried: &[ConnId]) -> Option<ConnId> {
        let high_water = self.cx.options.limits.outbox_high_water_bytes;
        let delivery = &self.edges;
        let free = |provider: ConnId| tried.binary_search(&provider).is_err() && delivery.is_told(provider);
        let quick = |provider: ConnId| delivery.backlog(provider) <= high_water;
        let providers = self.owner.names.at(slot).providers();
        // As a rule the first draw will do, however many they are.
        for _ in 0..DRAWS.min(providers.len()) {
            let drawn = providers[self.owner.calls.chance(providers.len())].conn;
            if free(drawn) && quick(drawn) {
                return Some(drawn);
            }
        }
        let start = if providers.is_empty() { 0 } else { self.owner.calls.chance(providers.len()) };
        let all = || providers[start..].iter().chain(&providers[..start]).map(|provider| provider.conn);
        all().find(|&provider| free(provider) && quick(provider)).or_else(|| all().find(|&provider| free(provider)))
    }

    /// Asks a provider. `body` is the caller's own words, if they are at hand, and nothing but what the provider is told.
    fn ask_provider(&mut self, id: CallId, provider: ConnId, body: Option<&[u8]>) {
        let now = self.cx.outputs.now;
        self.owner.calls.asked(id, provider);
        let Some(call) = self.owner.calls.get_mut(id) else { return };
        call.accept_due = now.after(self.cx.options.rpc_ack_timeout_ns);
        call.answer_due = now.after(self.cx.options.rpc_response_timeout_ns);
        call.timer = self.cx.timers.insert(call.accept_due.min(call.answer_due), TimerKey::Call(id));
        let call = &*call;
        let introduced = self.cx.options.rpc_requestor_name || self.cx.options.rpc_requestor_data;
        if let Some(body) = body.filter(|_| !introduced && call.provider_id == call.requestor_id) {
            let anew = || call.request(&self.owner.names.at(call.slot).name);
            return self.edges.reply_verbatim(&mut self.cx, provider, Topic::Rpc, body, anew);
        }
        let identity = if introduced { self.edges.identity(call.requestor) } else { None };
        let name = identity.as_ref().filter(|_| self.cx.options.rpc_requestor_name);
        let data = identity.as_ref().filter(|_| self.cx.options.rpc_requestor_data);
        let request = Outgoing {
            requestor_name: name.map(|identity| identity.user.as_bytes()),
            requestor_data: data.and_then(|identity| identity.client_data.as_deref()),
            ..call.request(&self.owner.names.at(call.slot).name)
        };
        self.edges.reply(&mut self.cx, provider, &request);
    }

    /// ACCEPT, RESPONSE, REJECT or REQUEST_ERROR.
    fn provider_said(&mut self, conn: ConnId, said: RpcRequest, message: &Message<&[u8]>) {
        let id = message.correlation_id().unwrap_or_default();
        let same_name = |call: &calls::Call| *self.owner.names.at(call.slot).name == *message.name();
        let call = self.owner.calls.find(conn, id).filter(|&call| self.owner.calls.get(call).is_some_and(same_name));
        let Some(call) = call else {
            // Requests that crossed its UNPROVIDE are rejected by the client libraries; they went on without being told.
            if said == RpcRequest::Reject && self.owner.calls.gave_up(conn) {
                return;
            }
            let answer = Outgoing {
                name: Some(message.name()),
                correlation_id: Some(id),
                original_action: Some(message.head.action),
                is_error: true,
                ..Outgoing::new(Action::RpcInvalidCorrelationId)
            };
            return self.edges.reply(&mut self.cx, conn, &answer);
        };
        match said {
            RpcRequest::Accept => self.accepted(call, message),
            RpcRequest::Reject => self.reroute(call),
            RpcRequest::Provide | RpcRequest::Unprovide | RpcRequest::Request => {
                debug_assert!(false, "no provider's word");
            }
            RpcRequest::Response | RpcRequest::RequestError => {
                self.pass_to_requestor(call, message);
                self.end_call(call);
            }
        }
    }

    fn accepted(&mut self, call: CallId, message: &Message<&[u8]>) {
        let Some(state) = self.owner.calls.get_mut(call) else { return };
        if state.accepted {
            let answer = Outgoing {
                name: Some(message.name()),
                correlation_id: message.correlation_id(),
                ..Outgoing::new(Action::RpcMultipleAccept)
            };
            let provider = state.provider;
            return self.edges.reply(&mut self.cx, provider, &answer);
        }
        state.accepted = true;
        self.pass_to_requestor(call, message);
    }

    /// The provider will not answer: on to one that was not asked yet.
    fn reroute(&mut self, call: CallId) {
        let Some(state) = self.owner.calls.get_mut(call) else { return };
        if state.requestor == ConnId::NOBODY {
            return self.end_call(call);
        }
        self.cx.timers.cancel(state.timer);
        let slot = state.slot;
        let tried = std::mem::take(&mut state.tried);
        let next = self.choose(slot, &tried);
        if let Some(state) = self.owner.calls.get_mut(call) {
            state.tried = tried;
        }
        match next {
            Some(provider) => self.ask_provider(call, provider, None),
            None => self.fail_call(call, Action::RpcNoProvider),
        }
    }

    /// A call's timer fired: its provider did not accept in time, or did not answer in time, or may still answer.
    pub(crate) fn call_due(&mut self, id: CallId) {
        let now = self.cx.outputs.now;
        let Some(call) = self.owner.calls.get_mut(id) else { return };
        if !call.accepted && call.accept_due <= now {
            self.fail_call(id, Action::RpcAcceptTimeout);
        } else if call.answer_due <= now {
            self.fail_call(id, Action::RpcResponseTimeout);
        } else {
            let due = if call.accepted { call.answer_due } else { call.accept_due };
            call.timer = self.cx.timers.insert(due, TimerKey::Call(id));
        }
    }

    fn fail_call(&mut self, call: CallId, error: Action) {
        self.tell_requestor(call, error, None);
        self.end_call(call);
    }

    /// What the provider said is told the caller: in the same words, as long as both call the call the same.
    fn pass_to_requestor(&mut self, id: CallId, message: &Message<&[u8]>) {
        let data = message.data().filter(|_| message.head.action != Action::RpcAccept);
        let Some(call) = self.owner.calls.get(id) else { return };
        match message
            .verbatim(said_of_call(message))
            .filter(|_| call.provider_id == call.requestor_id && data == message.data())
        {
            Some(body) => {
                let anew = || call.answer(&self.owner.names.at(call.slot).name, message.head.action, data);
                self.edges.reply_verbatim(&mut self.cx, call.requestor, Topic::Rpc, body, anew);
            }
            None => self.tell_requestor(id, message.head.action, data),
        }
    }

    fn tell_requestor(&mut self, call: CallId, action: Action, data: Option<&[u8]>) {
        let Some(call) = self.owner.calls.get(call) else { return };
        let answer = call.answer(&self.owner.names.at(call.slot).name, action, data);
        self.edges.reply(&mut self.cx, call.requestor, &answer);
    }

    /// The edge of whoever made a call need not wait for its end any more.
    #[inline]
    fn tell_over(&mut self, call: CallId) {
        if self.cx.places.view().is_none() {
            return;
        }
        if let Some(&calls::Call { requestor, asked, .. }) = self.owner.calls.get(call) {
            self.tell_done(requestor, ReplyTo::numbered(asked));
        }
    }

    fn end_call(&mut self, call: CallId) {
        self.tell_over(call);
        let Some((slot, timer)) = self.owner.calls.end(call) else { return };
        self.cx.timers.cancel(timer);
        *self.owner.names.at_mut(slot).calls_mut() -= 1;
        self.owner.names.remove_if_idle(slot);
    }

    /// Names are another node's: who provided them tells it there, and calls under way end. The names are in ascending order.
    pub(crate) fn end_calls_of(&mut self, names: &[u32]) {
        for call in self.owner.calls.of_names(names) {
            self.tell_requestor(call, Action::RpcRequestError, Some(MOVED));
            self.tell_over(call);
            if let Some((slot, timer)) = self.owner.calls.end(call) {
                self.cx.timers.cancel(timer);
                *self.owner.names.at_mut(slot).calls_mut() -= 1;
            }
        }
        for &slot in names {
            while let Some(provider) = self.owner.names.at(slot).providers().last() {
                self.withdraw(provider.conn, slot);
            }
        }
    }

    /// A connection, of any core, is gone: what it provided, what it was asked, what it asked. Whether for a message that was too
    /// large: then that was the answer to one of the calls it had accepted, as a rule, and the next provider would be lost to
    /// the same answer.
    pub(crate) fn departed(&mut self, conn: ConnId, oversized: bool) {
        let provided = self.owner.calls.forget_provider(conn);
        for name in &provided {
            self.owner.names.at_mut(name.slot).providers_mut().retain(|provider| provider.conn != conn);
        }
        for call in self.owner.calls.of_requestor(conn) {
            self.tell_over(call);
            self.owner.calls.abandon(call);
        }
        for call in self.owner.calls.of_provider(conn) {
            if oversized && self.owner.calls.get(call).is_some_and(|call| call.accepted) {
                self.tell_requestor(call, Action::RpcRequestError, Some(TOO_LARGE_ANSWER));
                self.end_call(call);
            } else {
                self.reroute(call);
            }
        }
        for name in provided {
            self.owner.names.remove_if_idle(name.slot);
        }
    }
}

/// Told to whoever waits for an answer that comes to this node no more.
const MOVED: &[u8] = br#""the name of this call is another node's by now""#;

/// Told to whoever waits for an answer that was too large to be sent.
const TOO_LARGE_ANSWER: &[u8] =
    br#""the provider was disconnected because of a message above maxMessageSize, such as the answer""#;

/// What a request has to say, and nothing else, to be passed on as it is.
fn said_of_call(message: &Message<&[u8]>) -> Flags {
    let data = if message.head.flags.has(Flags::DATA) { Flags::DATA } else { Flags::default() };
    data | Flags::NAME | Flags::CORRELATION_ID
}
