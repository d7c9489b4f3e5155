//! Records that go to another node, and what is forgotten of a node's connections at those that stay.

use super::store::InFlight;
use super::{Record, Residence, told};
use crate::ident::{ConnId, NodeId, Place};
use crate::owner::Owner;
use crate::sides::{Sides, ToEdge};

/// Told to whoever waits for a write or a deletion.
const LOST: &str = "another node has this record by now: whether it was stored is not known";

impl Record {
    /// Where somebody waits for something of it.
    pub(crate) fn places(&self, found: &mut Vec<Place>) {
        let Some(work) = &self.work else { return };
        found.extend(work.acks.iter().map(|ack| ack.conn.core));
        found.extend(work.removal.iter().map(|removal| removal.conn.core));
        found.extend(work.rule_readers.iter().map(|reader| reader.core));
        found.extend(work.withheld.iter().map(|forwarded| forwarded.conn.core));
        found.extend(work.catching_up.iter().map(|(place, _)| place));
        work.held.iter().for_each(|held| held.places(found));
    }

    /// Nothing is said any more to connections of a node.
    pub(crate) fn forget_node(&mut self, node: NodeId) {
        let Some(work) = &mut self.work else { return };
        let is_its = |conn: ConnId| conn.core.node() == node;
        work.acks.iter_mut().filter(|ack| is_its(ack.conn)).for_each(|ack| ack.conn = ConnId::NOBODY);
        work.removal.iter_mut().filter(|removal| is_its(removal.conn)).for_each(|it| it.conn = ConnId::NOBODY);
        work.rule_readers.retain(|reader| reader.core.node() != node);
        work.withheld.retain(|forwarded| !is_its(forwarded.conn));
        work.catching_up.retain(|(place, _)| place.node() != node);
        work.held.iter_mut().for_each(|held| held.forget_node(node));
        self.rest();
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Whether storage has still to take something of a name.
    pub(crate) fn is_to_be_stored(&self, slot: u32) -> bool {
        self.owner.names.record(slot).is_some_and(Record::is_unstored)
    }

    /// Storage is neither given what waits for it of these names, nor asked for them; what it answers of them is not listened to. They
    /// are in ascending order.
    pub(crate) fn forget_stores(&mut self, names: &[u32]) {
        let is_meant = |slot: u32| names.binary_search(&slot).is_ok();
        let records = &mut self.owner.records;
        records.queue.retain(|&slot| !is_meant(slot));
        records.in_flight.iter_mut().filter(|entry| is_meant(entry.slot)).for_each(InFlight::void);
        let timers = &mut self.cx.timers;
        records.loads.retain(|_, &mut (slot, timer)| {
            let is_kept = !is_meant(slot);
            if !is_kept {
                timers.cancel(timer);
            }
            is_kept
        });
        for &slot in names {
            if let Some(record) = self.owner.names.at_mut(slot).as_record_mut() {
                (record.queued, record.in_flight) = (false, false);
            }
        }
    }

    /// A record is another node's: whoever waits for it is told, or asks there.
    pub(crate) fn abandon_record(&mut self, slot: u32) {
        let why = told(LOST);
        self.fail_acks(slot, Some(&why), |_| true);
        self.settle_unstored(slot);
        let record = self.owner.names.at_mut(slot).record_mut();
        let removal = record.work.as_mut().and_then(|work| work.removal.take());
        let residence = record.residence;
        if matches!(residence, Residence::Resident | Residence::Removing) {
            self.vacate(slot, Residence::Unknown);
        }
        if let Some(removal) = removal {
            self.refuse_removal(slot, removal.conn, removal.asked);
        }
        self.send_held_back(slot, &why);
        self.owner.names.at_mut(slot).record_mut().work = None;
    }
}
