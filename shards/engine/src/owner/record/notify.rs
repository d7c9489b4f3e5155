//! NOTIFY: storage was changed behind the server's back (docs/records.md §8).

use super::Residence;
use crate::ident::ConnId;
use crate::owner::Owner;
use crate::owner::park::Step;
use crate::packet::ReplyTo;
use crate::sides::edges::Audience;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Outgoing, Topic};

impl<E: ToEdge> Sides<E, Owner> {
    /// Reads a record anew and tells all its subscribers, the notifier included. What has not reached storage yet, or
    /// never will, is newer than storage: then memory stands.
    pub(super) fn notify(&mut self, slot: u32, conn: ConnId, reply_to: ReplyTo, reloaded: bool) -> Step {
        let stored = self.is_stored(slot);
        let name = self.owner.names.at(slot);
        let settled = !name.record().queued && !name.record().in_flight;
        if stored && settled && !reloaded {
            if name.record().residence == Residence::Resident {
                self.vacate(slot, Residence::Unknown);
            }
            if self.owner.names.at(slot).interest.is_empty() {
                // Nobody to tell; the next reader finds what storage has.
                self.owner.names.at_mut(slot).record_mut().residence = Residence::Unknown;
                self.settle_at_edge(conn, reply_to, false, None);
                return Step::Done;
            }
            let known = self.load(slot);
            debug_assert!(!known, "a stored record is loaded");
            return Step::Wait;
        }
        self.tell_all(slot);
        self.settle_at_edge(conn, reply_to, false, None);
        Step::Done
    }

    /// Tells all subscribers what a record is.
    pub(super) fn tell_all(&mut self, slot: u32) {
        if self.owner.names.at(slot).record().residence != Residence::Resident {
            return self.end_subscriptions(slot, ConnId::NOBODY);
        }
        let name = self.owner.names.at(slot);
        let audience = Audience::others(&name.interest, slot, ConnId::NOBODY);
        let update = |_| Outgoing {
            name: Some(&name.name),
            version: Some(name.record().version),
            data: Some(&name.record().value),
            ..Outgoing::new(Action::RecordUpdate)
        };
        self.edges.fan_out(&mut self.cx, audience, update);
        if !self.owner.filters.is_empty() {
            let to = (&self.owner.names, &mut self.edges, &mut self.cx);
            self.owner.filters.tell(to, Topic::Record, &name.name, ConnId::NOBODY, update);
        }
    }
}
