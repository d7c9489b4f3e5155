//! What connections of any core ask of names that this core owns.

use crate::ident::ConnId;
use crate::packet::Tag;
use crate::shard::Shard;
use deepstream_wire::{Action, Flags, Message, Topic};

impl Shard {
    /// Does what a connection asked of a name this core owns.
    pub(crate) fn request(&mut self, conn: ConnId, tag: Tag, message: &Message<&[u8]>) {
        // Filters were judged at the edge, by all names that fit.
        if self.permit.judges() && !message.head.flags.has(Flags::FILTER) {
            return self.judge_and_do(conn, tag, message);
        }
        self.act(conn, tag, message);
    }

    /// The same, once it is permitted; records see to that themselves.
    pub(crate) fn act(&mut self, conn: ConnId, tag: Tag, message: &Message<&[u8]>) {
        match message.head.action {
            Action::EventEmit => self.emit(conn, message),
            Action::EventSubscribe | Action::RecordSubscribe if message.head.flags.has(Flags::FILTER) => {
                self.filter_subscribe(conn, tag, message);
            }
            Action::EventSubscribe => self.event_subscribe(conn, tag, message),
            Action::EventListenAccept
            | Action::EventListenReject
            | Action::RecordListenAccept
            | Action::RecordListenReject => self.listener_answered(conn, message),
            action if action.topic() == Topic::Rpc => self.rpc(conn, tag, message),
            action if action.topic() == Topic::Presence => self.presence(conn, tag, message),
            _ => self.record(conn, tag, message),
        }
    }
}
