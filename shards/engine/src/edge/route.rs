//! Messages of logged-in connections: checked at the edge, sent to the owners of their names.
//!
//! *Owns* the way from a connection to an owner. *Promises* that messages of one connection about one name arrive in
//! order, that an owner knows a connection before it hears from it, and that what no owner needs to see is answered
//! here. *Does not* judge a message against state: that is the owner's.

use crate::edge::Edge;
use crate::edge::subscribers::Subscribe;
use crate::ident::{ConnId, Place};
use crate::output::{Flow, Note};
use crate::packet::ReplyTo;
use crate::permit::Denial;
use crate::sides::{Sides, ToOwner};
use crate::view::filter_hash;
use bytes::Bytes;
use deepstream_json::{Fault, Malformed};
use deepstream_wire::{Action, Flags, Head, Kind, Message, Outgoing, RecordRequest, Request, Span, Topic, Wire};

/// What a subscriber is told besides that the subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Besides {
    Nothing,
    /// The record's version.
    Version,
    Value,
}

/// Of a message that subscribes.
fn told_besides(action: Action) -> Besides {
    match action.request() {
        Some(Request::Record(RecordRequest::SubscribeAndRead | RecordRequest::SubscribeCreateAndRead)) => {
            Besides::Value
        }
        Some(Request::Record(RecordRequest::SubscribeAndHead)) => Besides::Version,
        Some(
            Request::Record(
                RecordRequest::Subscribe
                | RecordRequest::Read
                | RecordRequest::Head
                | RecordRequest::Update
                | RecordRequest::Patch
                | RecordRequest::PatchMulti
                | RecordRequest::Erase
                | RecordRequest::CreateAndUpdate
                | RecordRequest::CreateAndPatch
                | RecordRequest::Delete
                | RecordRequest::Notify
                | RecordRequest::Unsubscribe
                | RecordRequest::Listen
                | RecordRequest::Unlisten
                | RecordRequest::ListenAccept
                | RecordRequest::ListenReject,
            )
            | Request::Event(_)
            | Request::Rpc(_)
            | Request::Presence(_)
            | Request::Connection(_)
            | Request::Auth(_),
        )
        | None => Besides::Nothing,
    }
}

impl<O: ToOwner> Sides<Edge, O> {
    /// A message of a logged-in connection.
    #[inline]
    pub(crate) fn route(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let action = message.head.action;
        let owner = match action.kind() {
            Kind::Session if action == Action::ConnectionPing => {
                self.say(conn, Action::ConnectionPong);
                None
            }
            Kind::Session if action == Action::AuthRequest && self.may_extend(conn) => {
                return self.extend(conn, message);
            }
            // Answers to what the server led with; the one to the challenge may come late.
            Kind::Session
                if action.topic() == Topic::Connection && !self.edges.wire(conn).is_some_and(Wire::is_challenged) =>
            {
                None
            }
            _ if !self.serves(action.topic()) => {
                let answer = Outgoing {
                    original_topic: Some(action.topic()),
                    original_action: Some(action),
                    correlation_id: message.correlation_id(),
                    ..Outgoing::new(Action::ParserUnknownTopic)
                };
                self.edges.reply(&mut self.cx, conn, &answer);
                self.unexpected(conn, "UNKNOWN_TOPIC", action.topic().name());
                None
            }
            Kind::Single => self.single(conn, message),
            Kind::Call => self.call(conn, message),
            Kind::Bulk => {
                self.bulk_ask(conn, message);
                None
            }
            Kind::Listen | Kind::Everybody => {
                self.judge_and_begin(conn, message);
                None
            }
            Kind::Unlisten => {
                self.unlisten(conn, message);
                None
            }
            Kind::ListenAnswer => self.listener_said(conn, message),
            Kind::UnsubscribeAll => {
                self.end_watching(conn);
                self.acknowledge(conn, message, false);
                None
            }
            Kind::Subscribe => {
                self.bulk_subscribe(conn, message);
                None
            }
            Kind::Unsubscribe => {
                self.bulk_unsubscribe(conn, message);
                None
            }
            Kind::Session | Kind::Server => {
                self.unexpected(conn, "UNKNOWN_ACTION", action.name());
                None
            }
        };
        self.flow(conn, owner)
    }

    fn serves(&self, topic: Topic) -> bool {
        match topic {
            Topic::Event => self.cx.options.events,
            Topic::Record => self.cx.options.records,
            Topic::Rpc => self.cx.options.rpc,
            Topic::Presence => self.cx.options.presence,
            Topic::Parser | Topic::Connection | Topic::Auth => false,
        }
    }

    /// A message about one name; its payload, if any, must be JSON.
    fn single(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Option<Place> {
        let checked = message.data().map_or(Ok(()), |data| deepstream_json::check(data, &mut self.cx.json).map(drop));
        if checked.is_err() || !self.cx.is_name(message.name()) {
            let deep = matches!(checked, Err(Malformed { fault: Fault::TooDeep, .. }));
            if deep && self.cx.is_name(message.name()) {
                let words = self.cx.too_deep();
                self.invalid_because(conn, message, message.name(), Some(&words));
            } else {
                self.invalid(conn, message, message.name());
            }
            return None;
        }
        Some(self.forward(conn, ReplyTo::default(), message))
    }

    /// A message of a call: besides a name it needs its correlation id. A caller's is bounded; a provider's is the
    /// caller's or one that was made up for it.
    fn call(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Option<Place> {
        let request = message.head.action == Action::RpcRequest;
        let max = if request { self.cx.options.limits.name_bytes_max } else { usize::MAX };
        if message.correlation_id().is_none_or(|id| id.is_empty() || id.len() > max) {
            self.invalid(conn, message, message.name());
            return None;
        }
        self.single(conn, message)
    }

    /// Sends a message about one name to its owner, which may be this core.
    fn forward(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) -> Place {
        let head = Head { name_hash: self.cx.hash(message.name()), ..message.head };
        self.forward_hashed(conn, reply_to, Message { head, bytes: message.bytes })
    }

    /// The same, where the hash is filled in: of the name, or of what else the message is about.
    #[inline]
    pub(crate) fn forward_hashed(&mut self, conn: ConnId, reply_to: ReplyTo, message: Message<&[u8]>) -> Place {
        let owner = self.cx.owner_of(message.head.name_hash);
        self.ask(owner, conn, reply_to, &message, || Bytes::copy_from_slice(message.bytes));
        owner
    }

    /// The names of a bulk message, or `false` if there are too many.
    fn names_allowed(&mut self, conn: ConnId, message: &Message<&[u8]>) -> bool {
        let allowed = message.names().take(self.cx.options.limits.names_per_message_max + 1).count()
            <= self.cx.options.limits.names_per_message_max;
        if !allowed {
            self.invalid(conn, message, b"");
        }
        allowed
    }

    fn bulk_subscribe(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        if !self.names_allowed(conn, message) {
            return;
        }
        let action = message.head.action;
        // A read's answer is its READ_RESPONSE; its ack only says that the request came in (docs/protobuf-protocol.md §8).
        let reads = told_besides(action) == Besides::Value;
        let mut names = message.names().peekable();
        let room = self.edges.here.subscribers.count_of(conn) < self.cx.options.limits.subscriptions_per_connection_max;
        let early = reads && self.edges.wire(conn).is_some_and(Wire::is_acknowledged_early);
        if early && (names.peek().is_none() || (room && names.any(|name| self.cx.is_name(name)))) {
            self.acknowledge(conn, message, true);
        }
        let whole =
            if reads { self.edges.here.begin_message() } else { self.edges.here.bulk_requests.begin(conn, message) };
        let mut refused = 0;
        let mut named = 0;
        let copy = std::cell::OnceCell::new();
        for (part, name) in message.names().enumerate() {
            named += 1;
            if !self.subscribe_one(conn, message, name, part as u32, whole, &copy) {
                refused += 1;
            }
        }
        self.settle(whole, named > 0 && refused == named, None);
    }

    /// One name of a bulk subscription; `false` if it was refused here.
    fn subscribe_one<'m>(
        &mut self,
        conn: ConnId,
        message: &Message<&'m [u8]>,
        name: &'m [u8],
        part: u32,
        whole: ReplyTo,
        copy: &std::cell::OnceCell<Bytes>,
    ) -> bool {
        let room = self.edges.here.subscribers.count_of(conn) < self.cx.options.limits.subscriptions_per_connection_max;
        if !self.cx.is_name(name) || !room {
            self.invalid(conn, message, name);
            return false;
        }
        if message.head.flags.has(Flags::FILTER) {
            return self.subscribe_filter(conn, message, name, part, whole, copy);
        }
        let topic = message.head.action.topic();
        let hash = self.cx.hash(name);
        let owner = self.cx.owner_of(hash);
        let mut reply_to = match self.edges.here.subscribers.subscribe(conn, topic, name, hash, owner) {
            Subscribe::AskOwner(reply_to) => reply_to,
            Subscribe::Duplicate => {
                self.duplicate(conn, message.head.action, name);
                let action = message.head.action;
                if told_besides(action) == Besides::Nothing {
                    self.edges.here.bulk_requests.stands(whole);
                    return true;
                }
                // The value or version is answered all the same (docs/records.md §3).
                ReplyTo::default()
            }
        };
        if whole.bulk_request == ReplyTo::NONE {
            reply_to.bulk_generation = whole.bulk_generation;
        } else {
            let counted = self.edges.here.bulk_requests.part(whole, part);
            reply_to = ReplyTo {
                bulk_request: counted.bulk_request,
                bulk_generation: counted.bulk_generation,
                part,
                ..reply_to
            };
        }
        self.verbose_subscription("SUBSCRIBE", conn, topic, name);
        self.forward_name(conn, reply_to, message, name, hash, owner, copy);
        true
    }

    /// A filter of a bulk subscription, on every core: names that fit it may be owned by any. Rules are about names: it is
    /// granted where they allow all that fit.
    fn subscribe_filter<'m>(
        &mut self,
        conn: ConnId,
        message: &Message<&'m [u8]>,
        filter: &'m [u8],
        part: u32,
        whole: ReplyTo,
        copy: &std::cell::OnceCell<Bytes>,
    ) -> bool {
        let topic = message.head.action.topic();
        if !self.may_subscribe_filter(conn, topic, filter) {
            self.tell_denial(conn, message, Some(filter), Denial::Denied);
            return false;
        }
        for core in self.cx.places.all() {
            let hash = filter_hash(&self.cx.hasher, filter, core);
            let Subscribe::AskOwner(reply_to) = self.edges.here.subscribers.subscribe(conn, topic, filter, hash, core)
            else {
                continue;
            };
            let counted = self.edges.here.bulk_requests.part(whole, part);
            let reply_to = ReplyTo {
                bulk_request: counted.bulk_request,
                bulk_generation: counted.bulk_generation,
                part,
                ..reply_to
            };
            self.forward_name(conn, reply_to, message, filter, hash, core, copy);
        }
        self.verbose_subscription("SUBSCRIBE", conn, topic, filter);
        true
    }

    /// Sends one name of a bulk message to its owner.
    #[allow(clippy::too_many_arguments, reason = "what is known of the name is not found out twice")]
    fn forward_name(
        &mut self,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        name: &[u8],
        hash: u64,
        owner: Place,
        copy: &std::cell::OnceCell<Bytes>,
    ) {
        let mut head = message.head;
        let start = name.as_ptr() as usize - message.bytes.as_ptr() as usize;
        head.name = Span { start: start as u32, len: name.len() as u32 };
        head.flags.set(Flags::NAME);
        head.name_hash = hash;
        let message = Message { head, bytes: message.bytes };
        self.ask(owner, conn, reply_to, &message, || {
            copy.get_or_init(|| Bytes::copy_from_slice(message.bytes)).clone()
        });
    }

    fn duplicate(&mut self, conn: ConnId, action: Action, name: &[u8]) {
        // Upstream names the plain SUBSCRIBE as the original action of the reading forms (docs/records.md §3).
        let (answer, original) = match action.topic() {
            Topic::Event => (Action::EventMultipleSubscriptions, action),
            Topic::Presence => (Action::PresenceMultipleSubscriptions, action),
            Topic::Record | Topic::Rpc | Topic::Parser | Topic::Connection | Topic::Auth => {
                (Action::RecordMultipleSubscriptions, Action::RecordSubscribe)
            }
        };
        let outgoing = Outgoing { name: Some(name), original_action: Some(original), ..Outgoing::new(answer) };
        self.edges.reply(&mut self.cx, conn, &outgoing);
        let user = self.edges.user(conn).unwrap_or_default().into();
        self.cx.outputs.note(Note::MultipleSubscriptions { user, name: String::from_utf8_lossy(name).into() });
    }

    fn bulk_unsubscribe(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        if !self.names_allowed(conn, message) {
            return;
        }
        let topic = message.head.action.topic();
        let filter = message.head.flags.has(Flags::FILTER);
        // Clients of the text protocol are acknowledged by the name, which has to be one.
        let nameless = message.names().any(<[u8]>::is_empty);
        if nameless && self.edges.wire(conn).is_some_and(Wire::is_text) {
            return self.invalid(conn, message, b"");
        }
        for name in message.names() {
            let before = self.edges.here.subscribers.count_of(conn);
            if filter {
                for core in self.cx.places.all() {
                    self.end_subscription(conn, topic, name, filter_hash(&self.cx.hasher, name, core));
                }
            } else {
                self.end_subscription(conn, topic, name, self.cx.hash(name));
            }
            if self.edges.here.subscribers.count_of(conn) < before {
                self.verbose_subscription("UNSUBSCRIBE", conn, topic, name);
            }
        }
        // No owner needs to know first: what follows of it is told to others.
        self.acknowledge(conn, message, false);
    }

    /// A bulk message whose names are asked of their owners, and which is answered when all have.
    fn bulk_ask(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        if !self.names_allowed(conn, message) {
            return;
        }
        let whole = self.edges.here.bulk_requests.begin(conn, message);
        let copy = std::cell::OnceCell::new();
        let mut refused = 0;
        let mut named = 0;
        for (part, name) in message.names().enumerate() {
            named += 1;
            if !self.cx.is_name(name) {
                self.invalid(conn, message, name);
                refused += 1;
                continue;
            }
            let hash = self.cx.hash(name);
            let reply_to = self.edges.here.bulk_requests.part(whole, part as u32);
            self.forward_name(conn, reply_to, message, name, hash, self.cx.owner_of(hash), &copy);
        }
        self.settle(whole, named > 0 && refused == named, None);
    }

    fn verbose_subscription(&mut self, event: &'static str, conn: ConnId, topic: Topic, name: &[u8]) {
        if self.cx.outputs.verbose {
            let user = self.edges.user(conn).unwrap_or_default().into();
            let name = String::from_utf8_lossy(name).into();
            self.cx.outputs.note(Note::Subscription { event, topic: topic.name(), name, user });
        }
    }
}
