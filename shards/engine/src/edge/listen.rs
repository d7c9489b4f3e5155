//! LISTEN and UNLISTEN where they come in, and answers of listeners on their way to owners. What listening is, and the other
//! half, is in `owner/listen`.

use crate::edge::Edge;
use crate::ident::{ConnId, Place};
use crate::output::Note;
use crate::packet::ReplyTo;
use crate::pattern::NamePattern;
use crate::sides::{Sides, ToOwner};
use deepstream_wire::{Action, Head, Message, Outgoing, Topic, Wire};
use std::sync::Arc;

/// The actions of one topic.
struct Words {
    listen: Action,
    invalid: Action,
    multiple: Action,
}

fn words(topic: Topic) -> Words {
    if topic == Topic::Record {
        Words {
            listen: Action::RecordListen,
            invalid: Action::RecordInvalidListenRegex,
            multiple: Action::RecordMultipleSubscriptions,
        }
    } else {
        Words {
            listen: Action::EventListen,
            invalid: Action::EventInvalidListenRegex,
            multiple: Action::EventMultipleSubscriptions,
        }
    }
}

impl<O: ToOwner> Sides<Edge, O> {
    /// LISTEN: acknowledged when every owner knows, and has said which of its names match.
    pub(crate) fn listen(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let topic = message.head.action.topic();
        let limits = &self.cx.options.limits;
        let fits = (1..=limits.listen_pattern_bytes_max).contains(&message.name().len());
        let Some(source) = std::str::from_utf8(message.name()).ok().filter(|_| fits) else {
            return self.invalid(conn, message, message.name());
        };
        if self.owner.listens(conn, topic, source).is_some() {
            let answer = Outgoing {
                name: Some(message.name()),
                original_action: Some(words(topic).listen),
                ..Outgoing::new(words(topic).multiple)
            };
            self.edges.reply(&mut self.cx, conn, &answer);
            return self.acknowledge_listen(conn, message);
        }
        if self.owner.pattern_count(conn) >= self.cx.options.limits.listen_patterns_per_connection_max {
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
        let text = self.edges.wire(conn).is_some_and(Wire::is_text);
        if text && message.name().is_empty() {
            return self.invalid(conn, message, message.name());
        }
        let Ok(source) = std::str::from_utf8(message.name()) else { return };
        let Some(pattern) = self.owner.listens(conn, topic, source) else {
            if text {
                self.acknowledge_listen(conn, message);
            }
            return;
        };
        self.tell_owners(conn, message, &pattern, false);
    }

    fn tell_owners(&mut self, conn: ConnId, message: &Message<&[u8]>, pattern: &Arc<NamePattern>, on: bool) {
        let topic = message.head.action.topic();
        let whole = self.edges.here.bulk_requests.begin(conn, message);
        self.tell_listening(conn, (topic, pattern), on, |edge| edge.bulk_requests.part(whole, 0));
        self.settle(whole, false, None);
    }

    fn compile(&mut self, conn: ConnId, topic: Topic, source: &str) -> Option<Arc<NamePattern>> {
        if let Some(known) = self.owner.compiled(topic, source) {
            return Some(known);
        }
        match NamePattern::compile(source) {
            Ok(pattern) => Some(Arc::new(pattern)),
            Err(why) => {
                let told = self.edges.wire(conn).is_some_and(Wire::is_text);
                let reason = told.then(|| why.to_string());
                let reason =
                    reason.as_deref().map(|why| why.strip_prefix("Invalid regular expression: ").unwrap_or(why));
                let answer = Outgoing {
                    name: Some(source.as_bytes()),
                    data: reason.map(str::as_bytes),
                    ..Outgoing::new(words(topic).invalid)
                };
                self.edges.reply(&mut self.cx, conn, &answer);
                let user = self.edges.user(conn).unwrap_or_default().into();
                self.cx.outputs.note(Note::InvalidPattern {
                    user,
                    pattern: source.into(),
                    why: why.to_string().into(),
                });
                None
            }
        }
    }

    /// LISTEN_ACCEPT or LISTEN_REJECT: to the owner of the name it is about.
    pub(crate) fn listener_said(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Option<Place> {
        let subscription = message.subscription().unwrap_or_default();
        if message.name().is_empty() || !self.cx.is_name(subscription) {
            self.invalid(conn, message, message.name());
            return None;
        }
        let head = Head { name_hash: self.cx.hash(subscription), ..message.head };
        Some(self.forward_hashed(conn, ReplyTo::default(), Message { head, bytes: message.bytes }))
    }
}
