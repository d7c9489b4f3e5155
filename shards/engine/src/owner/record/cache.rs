//! Values in memory: how they come, how they are charged, how cold ones leave.

use super::Residence;
use crate::context::TimerKey;
use crate::output::{HostRequest, Stored};
use crate::owner::Owner;
use crate::sides::{Sides, ToEdge};

/// What a resident value costs beside its bytes, roughly.
const OVERHEAD_BYTES: usize = 160;
/// How many slots the eviction hand passes per value that came, at most: enough to keep up, too few to be felt.
const HAND_STEPS: usize = 32;

impl<E: ToEdge> Sides<E, Owner> {
    /// Makes a record's value known. `false`: storage was asked, and the record is busy until it answers.
    pub(crate) fn load(&mut self, slot: u32) -> bool {
        if !self.is_stored(slot) {
            self.owner.names.at_mut(slot).record_mut().residence = Residence::Missing;
            return true;
        }
        let ticket = self.cx.outputs.ticket();
        let timer = self.cx.set_timer(self.cx.options.storage_timeout_ns, TimerKey::Load(ticket));
        self.owner.records.loads.insert(ticket, (slot, timer));
        self.cx.outputs.counters.loads += 1;
        let name = self.owner.names.at_mut(slot);
        name.record_mut().residence = Residence::Loading;
        self.cx.outputs.host_requests.push(HostRequest::Load { ticket, name: name.name.clone() });
        false
    }

    /// What storage knew of a record that was loading.
    pub(super) fn settle_load(&mut self, slot: u32, found: Option<Stored>) {
        let record = self.owner.names.at_mut(slot).record_mut();
        record.barred = None;
        match found {
            Some(stored) => {
                record.residence = Residence::Resident;
                record.version = stored.version;
                record.value = stored.value;
                record.touched = true;
                self.owner.records.resident += 1;
                self.charge(slot);
            }
            None => record.residence = Residence::Missing,
        }
    }

    /// Charges a resident value against the memory budget, and lets cold ones go if there are too many.
    pub(super) fn charge(&mut self, slot: u32) {
        let record = self.owner.names.at_mut(slot).record_mut();
        let bytes = record.value.capacity() + OVERHEAD_BYTES;
        self.owner.records.resident_bytes = self.owner.records.resident_bytes - record.charged + bytes;
        record.charged = bytes;
        if self.owner.records.resident_bytes > self.cx.options.limits.record_memory_bytes_max {
            self.evict(slot);
        }
    }

    /// A record's value leaves memory; `residence` says what is known without it.
    pub(super) fn vacate(&mut self, slot: u32, residence: Residence) {
        let record = self.owner.names.at_mut(slot).record_mut();
        self.owner.records.resident -= 1;
        self.owner.records.resident_bytes -= record.charged;
        record.charged = 0;
        record.value = Vec::new();
        record.version = 0;
        record.residence = residence;
    }

    /// Passes the hand over some slots (the clock algorithm): what is stored and was not used since the last pass is
    /// dropped. `keep` is in use by the caller.
    fn evict(&mut self, keep: u32) {
        for _ in 0..HAND_STEPS {
            if self.owner.records.resident_bytes <= self.cx.options.limits.record_memory_bytes_max {
                return;
            }
            let slot = self.owner.records.hand;
            self.owner.records.hand = if slot + 1 >= self.owner.names.slots() { 0 } else { slot + 1 };
            if slot == keep || self.owner.names.get(slot).is_none() {
                continue;
            }
            let name = self.owner.names.at_mut(slot);
            let waits = !name.waiting.is_empty();
            let Some(record) = name.as_record_mut() else { continue };
            if record.touched {
                record.touched = false;
                continue;
            }
            let settled = record.residence == Residence::Resident && !record.queued && !record.in_flight;
            if settled && record.work.is_none() && !waits && self.is_stored(slot) {
                self.vacate(slot, Residence::Unknown);
                self.cx.outputs.counters.evicted += 1;
                self.owner.names.remove_if_idle(slot);
            }
        }
    }
}
