//! Subscribers that came from a former owner are told what they may have missed.
//!
//! What they were told last is known by its version, or not at all; then they are told the whole value once more. It has to be
//! read for that, as a rule: so many are read at once, beside what clients ask for.

use super::{Record, Residence};
use crate::context::{TimerKey, Visibility};
use crate::ident::ConnId;
use crate::ident::Place;
use crate::owner::Owner;
use crate::sides::edges::Audience;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Outgoing};

/// How many records are read at once.
const LOADS_MAX: usize = 256;
/// How long it is left alone after storage failed.
const RETRY_NS: u64 = 250_000_000;

impl Record {
    /// Whether subscribers that came from a former owner may have missed something of it.
    fn is_behind(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.catching_up.is_empty())
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// A place's subscribers of a record may have missed something, of which they were told this version last.
    pub(crate) fn catch_up_later(&mut self, slot: u32, place: Place, version: Option<i32>) {
        self.owner.names.at_mut(slot).record_mut().work().catching_up.push((place, version));
        if let Some(slots) = &mut self.owner.slots {
            slots.catching_up.push_back(slot);
        }
    }

    /// Reads what is to be read, as far as it may be.
    pub(crate) fn go_on_catching_up(&mut self) {
        let count = self.owner.slots.as_ref().map_or(0, |slots| slots.catching_up.len());
        for _ in 0..count {
            if self.owner.records.loads.len() >= LOADS_MAX {
                return;
            }
            let Some(slot) = self.owner.slots.as_mut().and_then(|slots| slots.catching_up.pop_front()) else { return };
            // All places of a record catch up at once: it may stand here for another one still, and be gone by now.
            let Some(name) = self.owner.names.get(slot) else { continue };
            let Some(record) = name.as_record().filter(|record| record.is_behind()) else { continue };
            let residence = record.residence;
            if !self.owner.serves(&self.cx, name.hash) {
                if let Some(slots) = &mut self.owner.slots {
                    slots.catching_up.push_back(slot);
                }
                continue;
            }
            match residence {
                Residence::Unknown if !self.load(slot) => {}
                // Then it is known what it is.
                Residence::Loading | Residence::Removing => {}
                Residence::Unknown | Residence::Missing | Residence::Resident => {
                    self.catch_up(slot);
                    self.owner.names.remove_if_idle(slot);
                }
            }
        }
    }

    /// It is known what a record is: those are told who may not know.
    pub(crate) fn catch_up(&mut self, slot: u32) {
        let Some(work) = &mut self.owner.names.at_mut(slot).record_mut().work else { return };
        let behind = std::mem::take(&mut work.catching_up);
        if behind.is_empty() {
            return;
        }
        self.behind_gate(slot, |sides| {
            for (place, version) in behind {
                sides.catch_up_at(slot, place, version);
            }
        });
        self.owner.names.at_mut(slot).record_mut().rest();
    }

    fn catch_up_at(&mut self, slot: u32, place: Place, version: Option<i32>) {
        let Some(name) = self.owner.names.get(slot) else { return };
        let record = name.record();
        if record.residence != Residence::Resident {
            if version.is_some_and(|version| version >= 0) {
                self.end_subscriptions(slot, ConnId::NOBODY);
            }
            return;
        }
        // Equal versions may be of different values where what is not stored is seen.
        if self.cx.options.visibility == Visibility::Stored && version == Some(record.version) {
            return;
        }
        let interest = name.interest.on(place);
        let audience = Audience::others(&interest, slot, ConnId::NOBODY);
        self.edges.fan_out(&mut self.cx, audience, |_| Outgoing {
            name: Some(&name.name),
            version: Some(record.version),
            data: Some(&record.value),
            ..Outgoing::new(Action::RecordUpdate)
        });
    }

    /// A record could not be read.
    pub(crate) fn catch_up_failed(&mut self, slot: u32) {
        let work = self.owner.names.at(slot).record().work.as_ref();
        if work.is_some_and(|work| !work.catching_up.is_empty())
            && let Some(slots) = &mut self.owner.slots
        {
            slots.catching_up.push_back(slot);
            self.cx.set_timer(RETRY_NS, TimerKey::CatchUp);
        }
    }
}
