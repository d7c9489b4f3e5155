//! Telling who may not.

use crate::ident::ConnId;
use crate::sides::{Sides, ToEdge, ToOwner};
use deepstream_wire::{Action, Flags, Message, Outgoing, Topic};

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

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// The answer alone (docs/protobuf-protocol.md §9).
    pub(crate) fn tell_denial(&mut self, conn: ConnId, message: &Message<&[u8]>, name: Option<&[u8]>, denial: Denial) {
        self.tell_denied(conn, message, name, denial, message.head.action);
    }

    /// The same, where it is known what exactly may not be.
    pub(crate) fn tell_denied(
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
        self.edges.reply(&mut self.cx, conn, &answer);
    }
}
