//! Listening: who provides the names that others subscribe to (docs/listening.md).
//!
//! *Owns* every listener of every core, replicated: names are judged only by their owner, against all patterns. Per name it
//! is idle, asking one candidate, or provided by one listener; all of it happens at the owner, one thing after the other.
//! *Promises* one provider per name at a time; that nobody is told of a name that it may not listen to by that name; that
//! nobody is asked to provide what only itself subscribes to; that no listener hears a stop before its start, nor a second
//! start while it provides; that a listener whose acceptance comes too late is told to stop; bounded work per turn, however
//! many names a pattern matches or a provider leaves behind.
//! *Does not* match patterns itself: that is `deepstream-pattern`.

mod index;
mod may;
mod pattern;
mod registry;
mod search;
mod work;

use crate::edge::subscribers::hash_name;
use crate::ident::{ConnId, CoreId};
use crate::output::Note;
use crate::packet::{Lane, Packet, Tag};
use crate::shard::Shard;
use deepstream_wire::{Action, Head, Message, Outgoing, Topic, Wire};
pub(crate) use may::listening;
pub(crate) use pattern::NamePattern;
pub(crate) use registry::Listening;
pub(crate) use search::{AttemptId, Provision};
use std::sync::Arc;
use work::Work;

/// The actions of one topic.
struct Words {
    listen: Action,
    accept: Action,
    found: Action,
    removed: Action,
    invalid: Action,
    timeout: Action,
    multiple: Action,
}

fn words(topic: Topic) -> Words {
    if topic == Topic::Record {
        Words {
            listen: Action::RecordListen,
            accept: Action::RecordListenAccept,
            found: Action::RecordPatternFound,
            removed: Action::RecordPatternRemoved,
            invalid: Action::RecordInvalidListenRegex,
            timeout: Action::RecordListenResponseTimeout,
            multiple: Action::RecordMultipleSubscriptions,
        }
    } else {
        Words {
            listen: Action::EventListen,
            accept: Action::EventListenAccept,
            found: Action::EventPatternFound,
            removed: Action::EventPatternRemoved,
            invalid: Action::EventInvalidListenRegex,
            timeout: Action::EventListenResponseTimeout,
            multiple: Action::EventMultipleSubscriptions,
        }
    }
}

/// Edge side.
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
        let whole = self.gathers.begin(conn, message);
        for core in self.peers() {
            let tag = self.gathers.part(whole, 0);
            self.introduce(core, conn);
            let packet = Packet::Listen { conn, tag, topic, pattern: pattern.clone(), on };
            self.delivery.post(core, Lane::Requests, packet);
        }
        let tag = self.gathers.part(whole, 0);
        self.listen_changed(conn, tag, topic, pattern, on);
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
                self.delivery.note(Note::InvalidPattern { user, pattern: source.into(), why: why.to_string().into() });
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
    pub(crate) fn listener_said(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Option<CoreId> {
        let subscription = message.subscription().unwrap_or_default();
        if message.name().is_empty() || !self.is_name(subscription) {
            self.invalid(conn, message, message.name());
            return None;
        }
        let head = Head { name_hash: hash_name(&self.hasher, subscription), ..message.head };
        Some(self.forward_hashed(conn, Tag::default(), Message { head, bytes: message.bytes }))
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
            let packet = Packet::Listen { conn, tag: Tag::default(), topic, pattern: pattern.clone(), on: false };
            self.delivery.post(core, Lane::Requests, packet);
        }
        self.listen_changed(conn, Tag::default(), topic, &pattern, false);
        true
    }
}

/// Owner side.
impl Shard {
    /// A connection, of any core, listens, or listens no more.
    pub(crate) fn listen_changed(
        &mut self,
        conn: ConnId,
        tag: Tag,
        topic: Topic,
        pattern: &Arc<NamePattern>,
        on: bool,
    ) {
        let known = self.listening.find(conn, topic, pattern.source());
        match known {
            None if on && self.delivery.wire(conn).is_some() => {
                let listener = self.listening.add(conn, topic, pattern);
                self.watch_rematch();
                self.welcome(listener, conn, tag);
            }
            Some(listener) if !on => {
                self.listening.retire(listener);
                self.watch_rematch();
                self.work_on([Work::HandOver { listener, conn, tag }]);
            }
            _ => self.settle_at_edge(conn, tag, false, None),
        }
    }

    /// A connection, of any core, is gone: so are its listeners.
    pub(crate) fn listener_departed(&mut self, conn: ConnId) {
        let listeners = self.listening.retire_all(conn);
        if listeners.is_empty() {
            return;
        }
        self.watch_rematch();
        let work = |listener| Work::HandOver { listener, conn, tag: Tag::default() };
        self.work_on(listeners.into_iter().map(work));
    }

    /// LISTEN_ACCEPT or LISTEN_REJECT of one name.
    pub(crate) fn listener_answered(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let topic = message.head.action.topic();
        let accepted = message.head.action == words(topic).accept;
        let Ok(source) = std::str::from_utf8(message.name()) else { return };
        let subscription = message.subscription().unwrap_or_default();
        // Only who was asked can answer; upstream takes anybody's word.
        let Some(listener) = self.listening.find(conn, topic, source) else {
            // Who says unasked that it provides believes so. Other clients are sure to listen to what they accept.
            if accepted && self.delivery.wire(conn).is_some_and(Wire::is_text) {
                self.tell_stop(conn, topic, message.name(), subscription);
            }
            return;
        };
        let slot = self.names.find(topic, subscription, message.head.name_hash);
        let asked = slot.filter(|&slot| self.names.at(slot).provision().is_some_and(|it| it.is_told(listener)));
        match asked {
            Some(slot) if accepted => self.accepted_by(slot),
            Some(slot) => self.lost(slot),
            // Too late: it believes that it provides.
            None if accepted && self.listening.listens_to(listener, subscription) => {
                self.tell_listener(listener, words(topic).removed, subscription);
            }
            None => {}
        }
        self.note_slow_patterns();
    }

    /// FOUND or REMOVED.
    fn tell_listener(&mut self, listener: u32, action: Action, subscription: &[u8]) {
        let listener = &self.listening.listeners[listener as usize];
        let told = Outgoing {
            name: Some(listener.pattern.source().as_bytes()),
            subscription: Some(subscription),
            ..Outgoing::new(action)
        };
        self.delivery.reply(listener.conn, &told);
    }

    /// Tells a connection that does not listen that it does not provide.
    fn tell_stop(&mut self, conn: ConnId, topic: Topic, source: &[u8], subscription: &[u8]) {
        let told =
            Outgoing { name: Some(source), subscription: Some(subscription), ..Outgoing::new(words(topic).removed) };
        self.delivery.reply(conn, &told);
    }

    fn note_slow_patterns(&mut self) {
        while let Some(pattern) = self.listening.slow.pop() {
            self.delivery.note(Note::SlowPattern { pattern: pattern.source().into() });
        }
    }
}
