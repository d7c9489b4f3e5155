//! Deleting (docs/records.md §7).

use super::{Removal, Residence};
use crate::ident::ConnId;
use crate::output::Note;
use crate::owner::Owner;
use crate::owner::park::Run;
use crate::packet::ReplyTo;
use crate::sides::edges::Audience;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Outgoing, Topic};

impl<E: ToEdge> Sides<E, Owner> {
    /// DELETE. What is stored is removed from storage first; until then the record stands, and whatever else is asked of
    /// it waits. Deleting what does not exist succeeds.
    pub(super) fn delete(&mut self, slot: u32, (conn, asked): (ConnId, u32), overtaken: bool) {
        let residence = self.owner.names.at(slot).record().residence;
        if residence == Residence::Missing || !self.is_stored(slot) {
            return self.deleted(slot, conn, overtaken);
        }
        let record = self.owner.names.at_mut(slot).record_mut();
        if residence == Residence::Unknown {
            // Removed unread; there is nothing to keep if that fails.
            record.version = 0;
            record.value.clear();
            self.owner.records.resident += 1;
        }
        let known = residence == Residence::Resident;
        let unstored = record.has_unstored_value();
        record.residence = Residence::Removing;
        record.work().removal = Some(Removal { conn, asked, known, unstored, overtaken });
        self.owner.records.goes_on = true;
        self.store_soon(slot);
    }

    /// Storage removed the record.
    pub(super) fn removed(&mut self, slot: u32) {
        let Some(removal) = self.owner.names.at_mut(slot).record_mut().work().removal.take() else { return };
        self.deleted(slot, removal.conn, removal.overtaken);
        self.tell_done(removal.conn, ReplyTo::numbered(removal.asked));
        if !removal.known {
            // There is no such record; whether storage would keep one, only storage can say.
            self.owner.names.at_mut(slot).record_mut().residence = Residence::Unknown;
        }
        self.answer_rule_readers(slot, false);
        self.run_parked(slot, Run::default());
    }

    /// Storage did not remove the record: it stands, and what waited goes on with it.
    pub(super) fn removal_failed(&mut self, slot: u32) {
        let Some(removal) = self.owner.names.at_mut(slot).record_mut().work().removal.take() else { return };
        if removal.known {
            self.owner.names.at_mut(slot).record_mut().residence = Residence::Resident;
            self.store_soon(slot);
        } else {
            self.vacate(slot, Residence::Unknown);
            self.release_held(slot, i32::MAX);
        }
        self.refuse_removal(slot, removal.conn, removal.asked);
        self.answer_rule_readers(slot, true);
        self.run_parked(slot, Run::default());
    }

    /// Storage takes too long to remove the record. Whoever waits is told; the removal itself goes on, because storage
    /// may have done it already.
    pub(super) fn removal_late(&mut self, slot: u32) {
        let Some(removal) = &mut self.owner.names.at_mut(slot).record_mut().work().removal else { return };
        let (conn, asked) = (std::mem::replace(&mut removal.conn, ConnId::NOBODY), removal.asked);
        self.refuse_removal(slot, conn, asked);
        self.answer_rule_readers(slot, true);
        self.fail_all_parked(slot);
    }

    pub(super) fn refuse_removal(&mut self, slot: u32, conn: ConnId, asked: u32) {
        let error = Outgoing {
            name: Some(&self.owner.names.at(slot).name),
            original_action: Some(Action::RecordDelete),
            is_error: true,
            ..Outgoing::new(Action::RecordDeleteError)
        };
        self.edges.reply(&mut self.cx, conn, &error);
        self.tell_done(conn, ReplyTo::numbered(asked));
    }

    /// The record is gone: the deleter is told, the others are told, and nobody subscribes any more. A deleter that was
    /// subscribed although it asked for that later is one of the others, too.
    fn deleted(&mut self, slot: u32, conn: ConnId, overtaken: bool) {
        if matches!(self.owner.names.at(slot).record().residence, Residence::Resident | Residence::Removing) {
            self.vacate(slot, Residence::Missing);
        }
        self.owner.names.at_mut(slot).record_mut().residence = Residence::Missing;
        let name = String::from_utf8_lossy(&self.owner.names.at(slot).name).into();
        self.cx.outputs.note(Note::RecordDeleted { name });
        // Edges forget the subscriptions first: a deleter that subscribes anew once told must not count as subscribed.
        self.end_subscriptions(slot, if overtaken { ConnId::NOBODY } else { conn });
        let name = &self.owner.names.at(slot).name;
        let success = Outgoing { name: Some(name), ..Outgoing::new(Action::RecordDeleteSuccess) };
        self.edges.reply(&mut self.cx, conn, &success);
    }

    /// Tells all subscribers but one that the record is gone, and forgets them all.
    pub(super) fn end_subscriptions(&mut self, slot: u32, except: ConnId) {
        let name = self.owner.names.at(slot);
        let audience = Audience { end: true, ..Audience::others(&name.interest, slot, except) };
        let deleted = |_| Outgoing { name: Some(&name.name), ..Outgoing::new(Action::RecordDeleted) };
        self.edges.fan_out(&mut self.cx, audience, deleted);
        if !self.owner.filters.is_empty() {
            let to = (&self.owner.names, &mut self.edges, &mut self.cx);
            self.owner.filters.tell(to, Topic::Record, &name.name, except, deleted);
        }
        if !self.edges.is_shut() {
            self.edges.here.end_subscriptions(self.cx.core, slot);
        }
        self.owner.names.end(slot);
        self.owner.uncount_all(slot);
        self.listen_unsubscribed(slot);
    }
}
