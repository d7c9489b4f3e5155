//! Reading and subscribing (docs/records.md §3).

use super::{Record, Residence};
use crate::ident::ConnId;
use crate::owner::Owner;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Message, Outgoing, Wire};

impl<E: ToEdge> Sides<E, Owner> {
    /// READ: the value, or that there is none.
    pub(super) fn read(&mut self, slot: u32, conn: ConnId) {
        let name = self.owner.names.at(slot);
        if name.record().residence == Residence::Resident {
            return self.respond(slot, conn);
        }
        let missing = Outgoing {
            name: Some(&name.name),
            original_action: Some(Action::RecordRead),
            is_error: true,
            ..Outgoing::new(Action::RecordNotFound)
        };
        self.edges.reply(&mut self.cx, conn, &missing);
    }

    /// HEAD: the version, -1 where there is no record.
    pub(super) fn head(&mut self, slot: u32, conn: ConnId, message: &Message<&[u8]>) {
        let name = self.owner.names.at(slot);
        let head = Outgoing {
            name: Some(&name.name),
            version: Some(name.record().head()),
            correlation_id: message.correlation_id(),
            ..Outgoing::new(Action::RecordHeadResponse)
        };
        self.edges.reply(&mut self.cx, conn, &head);
    }

    /// SUBSCRIBEANDHEAD of one name; its version travels with the bulk answer.
    pub(super) fn subscribe_and_head(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo) {
        if reply_to.joins() {
            self.join(conn, reply_to.alone(), slot);
        }
        let version = self.owner.names.record(slot).map_or(-1, Record::head);
        self.settle_at_edge(conn, reply_to, false, Some(version));
    }

    /// SUBSCRIBEANDREAD of one name: creates nothing; what is missing reads as version -1.
    pub(super) fn subscribe_and_read(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo) {
        self.join_or_settle(slot, conn, reply_to);
        self.respond(slot, conn);
    }

    /// SUBSCRIBECREATEANDREAD of one name. Creation happens here, in the record's own order, so two clients cannot
    /// create it twice nor undo a write that came between (docs/records.md §3).
    pub(super) fn subscribe_create_and_read(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo) {
        let name = self.owner.names.at(slot);
        if name.record().residence == Residence::Missing {
            if name.record().barred.is_some() {
                let name = name.name.clone();
                // The edge forgets the subscription first: whoever asks again once told must not count as subscribed.
                self.settle_at_edge(conn, reply_to, true, None);
                self.refuse_if_barred(slot, conn, &Message::about(Action::RecordSubscribeCreateAndRead, &name));
                return;
            }
            self.create(slot);
        }
        if !self.edges.wire(conn).is_none_or(Wire::is_acknowledged_early) {
            let ack = Outgoing {
                correlation_id: Some(&self.owner.names.at(slot).name),
                is_ack: true,
                ..Outgoing::new(Action::RecordSubscribeCreateAndRead)
            };
            self.edges.reply(&mut self.cx, conn, &ack);
        }
        self.join_or_settle(slot, conn, reply_to);
        self.respond(slot, conn);
    }

    /// Subscribed before it is read, so that no update falls between the two.
    pub(super) fn join_or_settle(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo) {
        if reply_to.joins() {
            self.join(conn, reply_to, slot);
        } else {
            self.settle_at_edge(conn, reply_to, false, None);
        }
    }

    /// A new record: version 0, `{}`.
    fn create(&mut self, slot: u32) {
        let record = self.owner.names.at_mut(slot).record_mut();
        record.residence = Residence::Resident;
        record.version = 0;
        record.value.clear();
        record.value.extend_from_slice(b"{}");
        self.owner.records.resident += 1;
        self.charge(slot);
        self.store_soon(slot);
        self.changed(slot, false);
        self.note_change(slot, None);
    }

    fn respond(&mut self, slot: u32, conn: ConnId) {
        let Some(name) = self.owner.names.get(slot) else { return };
        let Some(record) = name.as_record() else { return };
        let resident = record.residence == Residence::Resident;
        let response = Outgoing {
            name: Some(&name.name),
            version: Some(record.head()),
            data: Some(if resident { &record.value } else { b"{}" }),
            ..Outgoing::new(Action::RecordReadResponse)
        };
        self.edges.reply(&mut self.cx, conn, &response);
    }
}
