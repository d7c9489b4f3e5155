//! A record's value for permission rules that refer to it.
//!
//! *Owns* who waits for which record's value. *Promises* an answer to every question: the value, that there is none, or
//! that it cannot be had. *Does not* wait for permissions, ever: a rule about one record may refer to another whose rules
//! refer back, and what is asked here must not depend on either. It waits for storage alone.

use super::Residence;
use crate::ident::Place;
use crate::packet::{Lane, Packet};
use crate::permissions::InquiryId;
use crate::shard::Shard;
use bytes::Bytes;
use deepstream_wire::Topic;

/// A rule that waits for the record's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peeker {
    /// Where it is judged.
    pub(crate) core: Place,
    pub(crate) inquiry: InquiryId,
    /// Which of the inquiry's records.
    pub(crate) place: u32,
}

/// What is known of a record at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Glimpse {
    /// The record of this slot, in memory.
    Here(u32),
    /// There is no such record.
    Missing,
    /// Storage was asked; the record of this slot can be waited for.
    Later(u32),
}

/// What is in memory of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Glance {
    Here(u32),
    Missing,
    /// Storage would have to be asked.
    Unknown,
}

impl Shard {
    /// Looks at a record this core owns.
    pub(crate) fn glimpse(&mut self, name: &[u8], hash: u64) -> Glimpse {
        let slot = match self.names.find(Topic::Record, name, hash) {
            Some(slot) => slot,
            None if !self.is_stored_name(name) => return Glimpse::Missing,
            None => self.names.find_or_insert(Topic::Record, name, hash),
        };
        let record = self.names.at_mut(slot).record_mut();
        let known = record.work.as_ref().and_then(|work| work.removal).is_some_and(|removal| removal.known);
        record.touched = true;
        let residence = record.residence;
        match residence {
            Residence::Resident => Glimpse::Here(slot),
            Residence::Removing if known => Glimpse::Here(slot),
            Residence::Missing => Glimpse::Missing,
            Residence::Unknown if self.load(slot) => Glimpse::Missing,
            Residence::Unknown | Residence::Loading | Residence::Removing => Glimpse::Later(slot),
        }
    }

    /// The same, with no effect: nothing is loaded for it, and there is nothing to wait for.
    pub(crate) fn glance(&self, name: &[u8], hash: u64) -> Glance {
        let Some(slot) = self.names.find(Topic::Record, name, hash) else {
            return if self.is_stored_name(name) { Glance::Unknown } else { Glance::Missing };
        };
        let record = self.names.at(slot).record();
        let known = record.work.as_ref().and_then(|work| work.removal).is_some_and(|removal| removal.known);
        match record.residence {
            Residence::Resident => Glance::Here(slot),
            Residence::Removing if known => Glance::Here(slot),
            Residence::Missing => Glance::Missing,
            Residence::Unknown if !self.is_stored_name(name) => Glance::Missing,
            Residence::Unknown | Residence::Loading | Residence::Removing => Glance::Unknown,
        }
    }

    /// The value of a record that was glimpsed here.
    pub(crate) fn value_of(&self, slot: u32) -> &[u8] {
        &self.names.at(slot).record().value
    }

    /// A record that was glanced at was used: it stays in memory as if it had been read.
    pub(crate) fn used(&mut self, slot: u32) {
        self.names.at_mut(slot).record_mut().touched = true;
    }

    /// Somebody waits for the value of a record that is being loaded.
    pub(crate) fn wait_for_value(&mut self, slot: u32, peeker: Peeker) {
        self.names.at_mut(slot).record_mut().work().peekers.push(peeker);
    }

    /// Another core asks for a record.
    pub(crate) fn peek(&mut self, core: Place, inquiry: InquiryId, place: u32, hash: u64, name: &[u8]) {
        let peeker = Peeker { core, inquiry, place };
        match self.glimpse(name, hash) {
            Glimpse::Here(slot) => {
                let value = Bytes::copy_from_slice(self.value_of(slot));
                self.answer_peeker(peeker, Ok(Some(value)));
            }
            Glimpse::Missing => self.answer_peeker(peeker, Ok(None)),
            Glimpse::Later(slot) => self.wait_for_value(slot, peeker),
        }
    }

    /// It is known what a record is, or that it cannot be had.
    pub(super) fn answer_peekers(&mut self, slot: u32, failed: bool) {
        let record = self.names.at_mut(slot).record_mut();
        let Some(work) = record.work.as_mut().filter(|work| !work.peekers.is_empty()) else { return };
        let peekers = std::mem::take(&mut work.peekers);
        let value = match record.residence {
            _ if failed => Err(()),
            Residence::Resident => Ok(Some(Bytes::copy_from_slice(&record.value))),
            Residence::Unknown | Residence::Loading | Residence::Missing | Residence::Removing => Ok(None),
        };
        for peeker in peekers {
            self.answer_peeker(peeker, value.clone());
        }
    }

    fn answer_peeker(&mut self, peeker: Peeker, found: Result<Option<Bytes>, ()>) {
        let Peeker { core, inquiry, place } = peeker;
        if core == self.core {
            self.peeked(inquiry, place, found);
        } else {
            self.delivery.outputs.post(core, Lane::Deliveries, Packet::Peeked { inquiry, place, found });
        }
    }
}
