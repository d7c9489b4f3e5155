//! A record's value for permission rules that refer to it.
//!
//! *Owns* who waits for which record's value. *Promises* an answer to every question: the value, that there is none, or
//! that it cannot be had. *Does not* wait for permissions, ever: a rule about one record may refer to another whose rules
//! refer back, and what is asked here must not depend on either. It waits for storage alone.

use super::{Residence, is_stored_name};
use crate::context::{Context, Visibility};
use crate::ident::Place;
use crate::owner::Owner;
use crate::packet::{Lane, Packet};
use crate::permissions::RuleLookupId;
use crate::permit::{FindOrLoad, FindResident, RuleReader};
use crate::sides::{Sides, ToEdge};
use bytes::Bytes;
use deepstream_wire::Topic;

impl<E: ToEdge> Sides<E, Owner> {
    /// Looks at a record this core owns.
    pub(crate) fn find_or_load(&mut self, name: &[u8], hash: u64) -> FindOrLoad {
        if self.waits_to_be_served(Topic::Record, name, hash) {
            return FindOrLoad::Later(self.unserved(Topic::Record, name, hash));
        }
        let slot = match self.owner.names.find(Topic::Record, name, hash) {
            Some(slot) => slot,
            None if !is_stored_name(&self.cx, name) => return FindOrLoad::Missing,
            None => self.owner.names.find_or_insert(Topic::Record, name, hash),
        };
        let record = self.owner.names.at_mut(slot).record_mut();
        record.touched = true;
        let residence = record.residence;
        match residence {
            _ if self.cx.options.visibility == Visibility::Stored && record.has_unstored_value() => {
                FindOrLoad::Later(slot)
            }
            _ if record.has_value() => FindOrLoad::Here(slot),
            Residence::Missing => FindOrLoad::Missing,
            Residence::Unknown if self.load(slot) => FindOrLoad::Missing,
            Residence::Unknown | Residence::Loading | Residence::Resident | Residence::Removing => {
                FindOrLoad::Later(slot)
            }
        }
    }

    /// Another core asks for a record.
    pub(crate) fn remote_read(&mut self, core: Place, rule_lookup: RuleLookupId, place: u32, hash: u64, name: &[u8]) {
        // Whoever asks asks again, where the name is by then.
        if self.owner.is_elsewhere(hash) {
            return;
        }
        let rule_reader = RuleReader { core, rule_lookup, place };
        match self.find_or_load(name, hash) {
            FindOrLoad::Here(slot) => {
                let value = Bytes::copy_from_slice(self.owner.value_of(slot));
                self.answer_rule_reader(rule_reader, Ok(Some(value)));
            }
            FindOrLoad::Missing => self.answer_rule_reader(rule_reader, Ok(None)),
            FindOrLoad::Later(slot) => self.owner.wait_for_value(slot, rule_reader),
        }
    }

    /// It is known what a record is, or that it cannot be had.
    pub(super) fn answer_rule_readers(&mut self, slot: u32, failed: bool) {
        let record = self.owner.names.at_mut(slot).record_mut();
        let Some(work) = record.work.as_mut().filter(|work| !work.rule_readers.is_empty()) else { return };
        let rule_readers = std::mem::take(&mut work.rule_readers);
        let value = match record.residence {
            _ if failed => Err(()),
            Residence::Resident => Ok(Some(Bytes::copy_from_slice(&record.value))),
            Residence::Unknown | Residence::Loading | Residence::Missing | Residence::Removing => Ok(None),
        };
        for rule_reader in rule_readers {
            self.answer_rule_reader(rule_reader, value.clone());
        }
    }

    /// What rules look for in a record that this core may answer for from here on is looked up. `false`: storage was asked.
    pub(crate) fn look_up_for_readers(&mut self, slot: u32) -> bool {
        let record = self.owner.names.at(slot).as_record();
        let has_readers =
            record.and_then(|record| record.work.as_ref()).is_some_and(|work| !work.rule_readers.is_empty());
        if !has_readers {
            return true;
        }
        let is_known = self.owner.names.at(slot).record().residence != Residence::Unknown || self.load(slot);
        if is_known {
            self.answer_rule_readers(slot, false);
        }
        is_known
    }

    /// What rules look for in a record cannot be had.
    pub(crate) fn fail_readers(&mut self, slot: u32) {
        if self.owner.names.record(slot).is_some() {
            self.answer_rule_readers(slot, true);
        }
    }

    fn answer_rule_reader(&mut self, rule_reader: RuleReader, found: Result<Option<Bytes>, ()>) {
        let RuleReader { core, rule_lookup, place } = rule_reader;
        if core == self.cx.core {
            self.remote_read_done(rule_lookup, place, found);
        } else {
            self.cx.outputs.post(core, Lane::Deliveries, Packet::RemoteReadDone { rule_lookup, place, found });
        }
    }
}

impl Owner {
    /// As [`Sides::find_or_load`], with no effect: nothing is loaded for it, and there is nothing to wait for.
    pub(crate) fn find_resident(&self, cx: &Context, name: &[u8], hash: u64) -> FindResident {
        if !self.serves(cx, hash) {
            return FindResident::Unknown;
        }
        let Some(slot) = self.names.find(Topic::Record, name, hash) else {
            return if is_stored_name(cx, name) { FindResident::Unknown } else { FindResident::Missing };
        };
        let record = self.names.at(slot).record();
        match record.residence {
            _ if cx.options.visibility == Visibility::Stored && record.has_unstored_value() => FindResident::Unknown,
            _ if record.has_value() => FindResident::Here(slot),
            Residence::Missing => FindResident::Missing,
            Residence::Unknown if !is_stored_name(cx, name) => FindResident::Missing,
            Residence::Unknown | Residence::Loading | Residence::Resident | Residence::Removing => {
                FindResident::Unknown
            }
        }
    }

    /// The value of a record that was found here.
    pub(crate) fn value_of(&self, slot: u32) -> &[u8] {
        &self.names.at(slot).record().value
    }

    /// A record that was found in memory was used: it stays in memory as if it had been read.
    pub(crate) fn used(&mut self, slot: u32) {
        self.names.at_mut(slot).record_mut().touched = true;
    }

    /// Somebody waits for the value of a record that is being loaded, or stored.
    pub(crate) fn wait_for_value(&mut self, slot: u32, rule_reader: RuleReader) {
        let record = self.names.at_mut(slot).record_mut();
        if record.has_value() {
            self.hold_value(slot, rule_reader);
        } else {
            record.work().rule_readers.push(rule_reader);
        }
    }
}
