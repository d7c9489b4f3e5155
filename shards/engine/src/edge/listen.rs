//! LISTEN and UNLISTEN where they come in, and answers of listeners on their way to owners. What listening is, and the other
//! half, is in `owner/listen`.

use crate::ident::{ConnId, Place};
use crate::output::Note;
use crate::owner::listen::words;
use crate::packet::{Lane, Packet, ReplyTo};
use crate::pattern::NamePattern;
use crate::shard::Shard;
use crate::view::hash_name;
use deepstream_wire::{Head, Message, Outgoing, Topic, Wire};
use std::sync::Arc;

impl Shard {
    /// LISTEN: acknowledged when every owner knows, and has said which of its names match.
    pub(crate) fn listen(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let topic = message.head.action.topic();
        let limits = &self.options.limits;
        let fits = (1..=limits.listen_pattern_bytes_max).contains(&message.name().len());
        let Some(source) = std::str::from_utf8(message.name()).ok().filter(|_| fits) else {
            return self.invalid(conn, message, message.name());
        };
        if self.listening.find(conn, topic, source).is_some() {
            let answer = Outgoing {
                name: Some(message.name()),
                original_action: Some(words(topic).listen),
                ..Outgoing::new(words(topic).multiple)
            };
            self.delivery.reply(conn, &answer);
            return self.acknowledge_listen(conn, message);
        }
        if self.listening.count_of(conn) >= self.options.limits.listen_patterns_per_connection_max {
            return self.invalid(conn, message, message.name());
        }
        let Some(pattern) = self.compile(conn, topic, source) else { return };
        self.tell_owners(conn, message, &pattern, true);
    }

    /// UNLISTEN: acknowledged when every owner knows. Of what nobody listens to there is nothing to say, but to clients of the
    /// text protocol: whose line was cut while they stopped to listen wait for the acknowledgement, and the error that the
    /// servers they were made for said in its place ends those in Java.
    pub(crate) fn unlisten(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let topic = message.head.action.topic();
        let text = self.delivery.wire(conn).is_some_and(Wire::is_text);
        if text && message.name().is_empty() {
            return self.invalid(conn, message, message.name());
        }
        let Ok(source) = std::str::from_utf8(message.name()) else { return };
        let Some(listener) = self.listening.find(conn, topic, source) else {
            if text {
                self.acknowledge_listen(conn, message);
            }
            return;
        };
        let pattern = self.listening.listeners[listener as usize].pattern.clone();
        self.tell_owners(conn, message, &pattern, false);
    }

    fn tell_owners(&mut self, conn: ConnId, message: &Message<&[u8]>, pattern: &Arc<NamePattern>, on: bool) {
        let topic = message.head.action.topic();
        let whole = self.bulk_requests.begin(conn, message);
        for core in self.peers() {
            let reply_to = self.bulk_requests.part(whole, 0);
            self.introduce(core, conn);
            let packet = Packet::Listen { conn, reply_to, topic, pattern: pattern.clone(), on };
            self.delivery.outputs.post(core, Lane::Requests, packet);
        }
        let reply_to = self.bulk_requests.part(whole, 0);
        self.listen_changed(conn, reply_to, topic, pattern, on);
        self.settle(whole, false, None);
    }

    fn compile(&mut self, conn: ConnId, topic: Topic, source: &str) -> Option<Arc<NamePattern>> {
        if let Some(known) = self.listening.compiled(topic, source) {
            return Some(known);
        }
        match NamePattern::compile(source) {
            Ok(pattern) => Some(Arc::new(pattern)),
            Err(why) => {
                let told = self.delivery.wire(conn).is_some_and(Wire::is_text);
                let reason = told.then(|| why.to_string());
                let reason =
                    reason.as_deref().map(|why| why.strip_prefix("Invalid regular expression: ").unwrap_or(why));
                let answer = Outgoing {
                    name: Some(source.as_bytes()),
                    data: reason.map(str::as_bytes),
                    ..Outgoing::new(words(topic).invalid)
                };
                self.delivery.reply(conn, &answer);
                let user = self.delivery.user(conn).unwrap_or_default().into();
                self.delivery.outputs.note(Note::InvalidPattern {
                    user,
                    pattern: source.into(),
                    why: why.to_string().into(),
                });
                None
            }
        }
    }

    /// Acknowledges a LISTEN or UNLISTEN: names its pattern (docs/protobuf-protocol.md §8).
    pub(crate) fn acknowledge_listen(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let ack = Outgoing { name: Some(message.name()), is_ack: true, ..Outgoing::new(message.head.action) };
        self.delivery.reply(conn, &ack);
    }

    /// LISTEN_ACCEPT or LISTEN_REJECT: to the owner of the name it is about.
    pub(crate) fn listener_said(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Option<Place> {
        let subscription = message.subscription().unwrap_or_default();
        if message.name().is_empty() || !self.is_name(subscription) {
            self.invalid(conn, message, message.name());
            return None;
        }
        let head = Head { name_hash: hash_name(&self.hasher, subscription), ..message.head };
        Some(self.forward_hashed(conn, ReplyTo::default(), Message { head, bytes: message.bytes }))
    }
}

/// What a change of permission rules ends.
impl Shard {
    /// All listeners' places are below this.
    pub(crate) fn listener_places(&self) -> usize {
        self.listening.listeners.capacity()
    }

    /// The connection of this core, topic and pattern at a listener's place.
    pub(crate) fn listener_at(&self, place: usize) -> Option<(ConnId, Topic, Arc<NamePattern>)> {
        let listener = self.listening.listeners.get(place)?;
        let here = listener.conn.core == self.core && !listener.leaving;
        here.then(|| (listener.conn, listener.topic, listener.pattern.clone()))
    }

    /// A connection of this core may listen no more. `false`: it does not.
    pub(crate) fn end_listening(&mut self, conn: ConnId, topic: Topic, source: &str) -> bool {
        let Some(listener) = self.listening.find(conn, topic, source) else { return false };
        let pattern = self.listening.listeners[listener as usize].pattern.clone();
        for core in self.peers() {
            let packet =
                Packet::Listen { conn, reply_to: ReplyTo::default(), topic, pattern: pattern.clone(), on: false };
            self.delivery.outputs.post(core, Lane::Requests, packet);
        }
        self.listen_changed(conn, ReplyTo::default(), topic, &pattern, false);
        true
    }
}
