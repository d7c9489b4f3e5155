//! Events: publish and subscribe, nothing kept (docs/events.md §2). Owner side.

use crate::ident::ConnId;
use crate::output::Note;
use crate::owner::Owner;
use crate::packet::ReplyTo;
use crate::sides::edges::Audience;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Broadcast, Flags, Message, Outgoing, Topic, Wire};

impl<E: ToEdge> Sides<E, Owner> {
    /// EMIT: to every subscriber but the emitter; nobody listening is no error.
    #[inline]
    pub(crate) fn emit(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        if self.cx.outputs.verbose {
            self.cx.outputs.note(Note::Emitted {
                name: String::from_utf8_lossy(message.name()).into(),
                data: String::from_utf8_lossy(message.data().unwrap_or_default()).into(),
            });
        }
        let flags = message.head.flags;
        let except = if flags.has(Flags::ECHO) { ConnId::NOBODY } else { conn };
        let event = |_| Outgoing {
            name: Some(message.name()),
            data: message.data(),
            is_kept: flags.has(Flags::IS_KEPT),
            is_undefined: flags.has(Flags::UNDEFINED),
            ..Outgoing::new(Action::EventEmit)
        };
        let body = message.verbatim(Flags::NAME | Flags::DATA);
        if let Some(slot) = self.owner.names.find(Topic::Event, message.name(), message.head.name_hash) {
            let audience = Audience::others(&self.owner.names.at(slot).interest, slot, except);
            self.edges.fan_out(&mut self.cx, audience, |wire| match body {
                Some(body) if wire.encoding() == Wire::Protobuf => Broadcast::Verbatim(Topic::Event, body),
                _ => Broadcast::Encoded(event(wire)),
            });
        }
        if !self.owner.filters.is_empty() {
            let to = (&self.owner.names, &mut self.edges, &mut self.cx);
            self.owner.filters.tell(to, Topic::Event, message.name(), except, event);
        }
        if flags.has(Flags::IS_ACK) {
            // Whoever asks is told that it is on its way to everybody.
            let correlation_id = message.correlation_id();
            let ack = Outgoing { correlation_id, is_ack: true, ..Outgoing::new(Action::EventEmit) };
            self.edges.reply(&mut self.cx, conn, &ack);
        }
    }

    /// SUBSCRIBE of one name.
    #[inline]
    pub(crate) fn event_subscribe(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        let slot = self.owner.names.find_or_insert(Topic::Event, message.name(), message.head.name_hash);
        self.join(conn, reply_to, slot);
    }
}
