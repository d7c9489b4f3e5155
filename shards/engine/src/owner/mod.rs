//! The owner: where names are. What any core's connections ask of a name is judged and done here, one thing after the other.
//!
//! *Owns* the names that hash to this core, with their records, calls, providers and counts of subscribers.
//! *Promises* that messages about one name are done in the order they came, whatever they wait for.
//! *Does not* know sockets: it answers connections by their ids, wherever they are, by [`ToEdge`](crate::sides::ToEdge) or by
//! packets.

mod begin;
pub(crate) mod deed;
mod deny;
mod door;
mod event;
mod filters;
mod listen;
mod member;
mod moves;
mod names;
mod park;
mod presence;
mod purge;
mod record;
mod request;
mod rpc;
mod slots;
mod takeover;
mod withheld;

use crate::census::Census;
use crate::context::{Options, hasher};
use crate::ident::Place;
use crate::view::Row;
use filters::Filters;
use listen::Listening;
use names::Names;
use park::Parking;
use presence::Everyone;
use record::Records;
use rpc::Calls;
use slots::Slots;
use takeover::ClientIds;
use withheld::Unasked;

/// What an owner keeps.
pub(crate) struct Owner {
    names: Names,
    filters: Filters,
    parking: Parking,
    records: Records,
    calls: Calls,
    unasked: Unasked,
    everyone: Everyone,
    client_ids: ClientIds,
    listening: Listening,
    /// Names at which messages wait for records that rules refer to.
    busy_names: usize,
    /// In a cluster: which of them it may answer for.
    slots: Option<Box<Slots>>,
}

impl Owner {
    /// The owner at one of these places, where these tables are nobody's.
    pub(crate) fn new(core: Place, places: &Row, options: &Options, has_rules: bool, guarded: &[Box<[u8]>]) -> Self {
        let hasher = hasher(options);
        Self {
            names: Names::default(),
            filters: Filters::new(has_rules, guarded),
            parking: Parking::default(),
            records: Records::new(options),
            calls: Calls::new(core, options),
            unasked: Unasked::new(&options.limits, places.count(), hasher.clone()),
            everyone: Everyone::default(),
            client_ids: ClientIds::new(hasher),
            listening: Listening::new(options),
            busy_names: 0,
            slots: Slots::of(places, core),
        }
    }

    /// All names here.
    #[cfg(test)]
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// What is held here.
    pub(crate) fn count(&self, census: &mut Census) {
        let [patterns, listeners, provided_names, asked_names] = self.listening.counts();
        let [pending_loads, pending_write_acks, dirty_records, unstored_answers, resident_records, resident_bytes] =
            self.records.counts();
        census.owned_names = self.names.len();
        census.calls = self.calls.len();
        census.callers = self.calls.party_count();
        census.everyone += self.everyone.len();
        census.client_ids = self.client_ids.len();
        census.patterns = patterns;
        census.listeners = listeners;
        census.provided_names = provided_names;
        census.asked_names = asked_names;
        census.listen_work = self.listening.work_len();
        census.parked_messages = self.parking.messages;
        census.parked_bytes = self.parking.bytes;
        census.pending_loads = pending_loads;
        census.pending_write_acks = pending_write_acks;
        census.dirty_records = dirty_records;
        census.unstored_answers = unstored_answers;
        census.resident_records = resident_records;
        census.resident_bytes = resident_bytes;
    }

    /// Whether there is something to be stored.
    pub(crate) fn has_stores(&self) -> bool {
        self.records.has_stores()
    }

    /// Storage may be tried again.
    pub(crate) fn retry_stores(&mut self) {
        self.records.retry();
    }
}
