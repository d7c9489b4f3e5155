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
mod registry;
mod search;
mod work;

use crate::ident::ConnId;
use crate::output::Note;
use crate::owner::Owner;
use crate::packet::ReplyTo;
use crate::pattern::NamePattern;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Message, Outgoing, Topic, Wire};
pub(crate) use registry::Listening;
pub(crate) use search::Assignment;
use std::sync::Arc;
use work::Work;

/// The actions of one topic.
pub(crate) struct Words {
    accept: Action,
    found: Action,
    removed: Action,
    timeout: Action,
}

pub(crate) fn words(topic: Topic) -> Words {
    if topic == Topic::Record {
        Words {
            accept: Action::RecordListenAccept,
            found: Action::RecordPatternFound,
            removed: Action::RecordPatternRemoved,
            timeout: Action::RecordListenResponseTimeout,
        }
    } else {
        Words {
            accept: Action::EventListenAccept,
            found: Action::EventPatternFound,
            removed: Action::EventPatternRemoved,
            timeout: Action::EventListenResponseTimeout,
        }
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// A connection, of any core, listens, or listens no more.
    pub(crate) fn listen_changed(
        &mut self,
        conn: ConnId,
        reply_to: ReplyTo,
        topic: Topic,
        pattern: &Arc<NamePattern>,
        on: bool,
    ) {
        let known = self.owner.listening.find(conn, topic, pattern.source());
        match known {
            None if on && self.edges.wire(conn).is_some() => {
                let listener = self.owner.listening.add(conn, topic, pattern);
                self.watch_rematch();
                self.welcome(listener, conn, reply_to);
            }
            Some(listener) if !on => {
                self.owner.listening.retire(listener);
                self.watch_rematch();
                self.work_on([Work::HandOver { listener, conn, reply_to }]);
            }
            _ => self.settle_at_edge(conn, reply_to, false, None),
        }
    }

    /// A connection, of any core, is gone: so are its listeners.
    pub(crate) fn listener_departed(&mut self, conn: ConnId) {
        let listeners = self.owner.listening.retire_all(conn);
        if listeners.is_empty() {
            return;
        }
        self.watch_rematch();
        let work = |listener| Work::HandOver { listener, conn, reply_to: ReplyTo::default() };
        self.work_on(listeners.into_iter().map(work));
    }

    /// LISTEN_ACCEPT or LISTEN_REJECT of one name.
    pub(crate) fn listener_answered(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let topic = message.head.action.topic();
        let accepted = message.head.action == words(topic).accept;
        let Ok(source) = std::str::from_utf8(message.name()) else { return };
        let subscription = message.subscription().unwrap_or_default();
        // Only who was asked can answer; upstream takes anybody's word.
        let Some(listener) = self.owner.listening.find(conn, topic, source) else {
            // Who says unasked that it provides believes so. Other clients are sure to listen to what they accept.
            if accepted && self.edges.wire(conn).is_some_and(Wire::is_text) {
                self.tell_stop(conn, topic, message.name(), subscription);
            }
            return;
        };
        let slot = self.owner.names.find(topic, subscription, message.head.name_hash);
        let asked = slot.filter(|&slot| self.owner.names.at(slot).assignment().is_some_and(|it| it.is_told(listener)));
        match asked {
            Some(slot) if accepted => self.accepted_by(slot),
            Some(slot) => self.lost(slot),
            // Too late: it believes that it provides.
            None if accepted && self.owner.listening.listens_to(listener, subscription) => {
                self.tell_listener(listener, words(topic).removed, subscription);
            }
            None => {}
        }
        self.note_slow_patterns();
    }

    /// FOUND or REMOVED.
    fn tell_listener(&mut self, listener: u32, action: Action, subscription: &[u8]) {
        let listener = &self.owner.listening.listeners[listener as usize];
        let told = Outgoing {
            name: Some(listener.pattern.source().as_bytes()),
            subscription: Some(subscription),
            ..Outgoing::new(action)
        };
        self.edges.past_gate(|edges| edges.reply(&mut self.cx, listener.conn, &told));
    }

    /// Tells a connection that does not listen that it does not provide.
    fn tell_stop(&mut self, conn: ConnId, topic: Topic, source: &[u8], subscription: &[u8]) {
        let told =
            Outgoing { name: Some(source), subscription: Some(subscription), ..Outgoing::new(words(topic).removed) };
        self.edges.reply(&mut self.cx, conn, &told);
    }

    fn note_slow_patterns(&mut self) {
        while let Some(pattern) = self.owner.listening.slow.pop() {
            self.cx.outputs.note(Note::SlowPattern { pattern: pattern.source().into() });
        }
    }
}
