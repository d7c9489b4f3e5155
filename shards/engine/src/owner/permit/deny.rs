//! Telling who may not.

use crate::ident::ConnId;
use crate::packet::ReplyTo;
use crate::shard::Shard;
use deepstream_wire::{Action, Flags, Message, Outgoing, Topic, Wire};

/// Why something is not allowed, as far as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// A rule says so, or none says otherwise.
    Denied,
    /// A rule failed, or what it refers to cannot be had.
    Failed,
}

impl Denial {
    fn action(self, topic: Topic) -> Action {
        match (topic, self) {
            (Topic::Event, Self::Denied) => Action::EventDenied,
            (Topic::Event, Self::Failed) => Action::EventPermissionError,
            (Topic::Rpc, Self::Denied) => Action::RpcDenied,
            (Topic::Rpc, Self::Failed) => Action::RpcPermissionError,
            (Topic::Presence, Self::Denied) => Action::PresenceDenied,
            (Topic::Presence, Self::Failed) => Action::PresencePermissionError,
            (_, Self::Denied) => Action::RecordDenied,
            (_, Self::Failed) => Action::RecordPermissionError,
        }
    }
}

impl Shard {
    /// Refuses a message, or one name of it. An edge that waits forgets a subscription before its client is told: whoever
    /// asks again must not count as subscribed. Everything else is told first, so that a denial is there before the
    /// acknowledgement of the other names.
    pub(crate) fn deny(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>, denial: Denial) {
        self.deny_step(conn, reply_to, message, denial, message.head.action);
    }

    /// The same where it is known what exactly may not be: clients of the text protocol are told when it is to create.
    pub(crate) fn deny_step(
        &mut self,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        denial: Denial,
        step: Action,
    ) {
        let text = self.delivery.wire(conn).is_some_and(Wire::is_text);
        let action = if text && step == Action::RecordCreate { step } else { message.head.action };
        let name = message.head.flags.has(Flags::NAME).then_some(message.name());
        if reply_to.joins() {
            self.settle_at_edge(conn, reply_to, true, None);
            self.tell_denied(conn, message, name, denial, action);
        } else {
            self.tell_denied(conn, message, name, denial, action);
            self.settle_at_edge(conn, reply_to, true, None);
        }
        self.fetch_over(conn, reply_to);
    }

    /// The answer alone (docs/protobuf-protocol.md §9).
    pub(crate) fn tell_denial(&mut self, conn: ConnId, message: &Message<&[u8]>, name: Option<&[u8]>, denial: Denial) {
        self.tell_denied(conn, message, name, denial, message.head.action);
    }

    fn tell_denied(
        &mut self,
        conn: ConnId,
        message: &Message<&[u8]>,
        name: Option<&[u8]>,
        denial: Denial,
        action: Action,
    ) {
        let answer = Outgoing {
            name,
            correlation_id: message.correlation_id(),
            original_action: Some(action),
            is_error: true,
            is_write_ack: message.head.flags.has(Flags::IS_WRITE_ACK),
            ..Outgoing::new(denial.action(action.topic()))
        };
        self.delivery.reply(conn, &answer);
    }
}
