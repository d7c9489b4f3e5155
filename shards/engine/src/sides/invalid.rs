//! What clients are told whose messages make no sense.

use super::{Sides, ToEdge};
use crate::ident::ConnId;
use crate::output::Note;
use deepstream_wire::{Action, Flags, Message, Outgoing, Topic, Wire};

impl<E: ToEdge, O> Sides<E, O> {
    /// Tells the log about a message that makes no sense where it came.
    pub(crate) fn unexpected(&mut self, conn: ConnId, event: &'static str, text: &str) {
        let user = self.edges.user(conn).map(Into::into);
        self.cx.outputs.note(Note::Unexpected { conn, user, event, text: text.into() });
    }

    /// Refuses a message, or one name of it, as making no sense.
    pub(crate) fn invalid(&mut self, conn: ConnId, message: &Message<&[u8]>, name: &[u8]) {
        self.invalid_because(conn, message, name, None);
    }

    /// The same, with the reason in words.
    pub(crate) fn invalid_because(&mut self, conn: ConnId, message: &Message<&[u8]>, name: &[u8], words: Option<&str>) {
        let action = match message.head.action.topic() {
            // Its caller is handed these words, not a code.
            Topic::Rpc if words.is_some() && message.head.action == Action::RpcRequest => Action::RpcRequestError,
            Topic::Event => Action::EventInvalidMessageData,
            Topic::Rpc => Action::RpcInvalidMessageData,
            Topic::Presence => Action::PresenceInvalidUsers,
            Topic::Record | Topic::Parser | Topic::Connection | Topic::Auth => Action::RecordInvalidMessageData,
        };
        // Clients of the text protocol are shown what they sent; others would not survive data that is no JSON.
        let wire = self.edges.wire(conn);
        let quoted = wire.is_some_and(Wire::is_text);
        let raw = quoted && action != Action::RpcRequestError;
        let told = words.map(|words| if raw { words.to_owned() } else { format!("\"{words}\"") });
        // Where the name is wrong, the data is not.
        let own = message.data().filter(|_| quoted && words.is_none() && self.cx.is_name(name));
        if let Some(words) = words.filter(|_| wire == Some(Wire::Mqtt)) {
            // Its client may have no way to hear of it.
            let text = format!("{}: {words}", String::from_utf8_lossy(name));
            self.unexpected(conn, "INVALID_MESSAGE_DATA", &text);
        }
        let answer = Outgoing {
            name: self.cx.is_name(name).then_some(name),
            data: told.as_deref().map(str::as_bytes).or(own),
            correlation_id: message.correlation_id(),
            original_action: Some(message.head.action),
            is_error: action != Action::RpcRequestError,
            is_write_ack: message.head.flags.has(Flags::IS_WRITE_ACK),
            ..Outgoing::new(action)
        };
        self.edges.reply(&mut self.cx, conn, &answer);
    }
}
