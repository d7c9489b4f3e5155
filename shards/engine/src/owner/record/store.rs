//! Getting written records to storage, and acknowledgements back.
//!
//! Records that changed wait in a queue, each once however often it changed; while storage works on one batch the next
//! one gathers. So a hot record costs one store per batch, and a slow disk makes batches larger instead of queues
//! longer. A write is acknowledged when a batch that holds its version, or a later one, is stored.

use super::{Residence, told};
use crate::context::{TimerKey, Visibility};
use crate::ident::{ConnId, Nanos, Ticket};
use crate::output::{Fault, HostRequest, Note, Refusal, Refused, StoreBatch};
use crate::owner::Owner;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge};
use crate::view::View;
use deepstream_wire::{Action, Outgoing};
use smallvec::SmallVec;

/// How long storage is left alone after it failed.
const RETRY_NS: u64 = 250_000_000;

/// A write whose acknowledgement waits for storage.
#[derive(Debug)]
pub(super) struct Ack {
    pub(super) conn: ConnId,
    pub(super) version: i32,
    /// The number of the request, where its edge waits for its end.
    pub(super) asked: u32,
    pub(super) since: Nanos,
    pub(super) correlation_id: SmallVec<[u8; 24]>,
}

/// One entry of the batch storage works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    /// The name's; [`NIL`] once it is another node's.
    pub(super) slot: u32,
    version: i32,
    removal: bool,
}

/// No slot of a name.
const NIL: u32 = u32::MAX;

impl InFlight {
    /// What becomes of it concerns nobody any more.
    pub(super) fn void(&mut self) {
        self.slot = NIL;
    }
}

impl super::Records {
    /// Storage may be tried again.
    pub(crate) fn retry(&mut self) {
        self.resting = false;
    }

    /// Whether a batch could be filled now.
    pub(crate) fn has_stores(&self) -> bool {
        self.batch.is_none() && !self.resting && !self.queue.is_empty()
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Puts a record in the queue of what is to be stored or removed, once.
    pub(super) fn store_soon(&mut self, slot: u32) {
        if !self.is_stored(slot) {
            return;
        }
        let record = self.owner.names.at_mut(slot).record_mut();
        self.owner.records.unstored_bytes = self.owner.records.unstored_bytes - record.unstored + record.value.len();
        record.unstored = record.value.len();
        if !record.queued {
            record.queued = true;
            self.owner.records.queue.push_back(slot);
        }
    }

    /// Fills a batch with what waited longest.
    pub(crate) fn fill_stores(&mut self, batch: &mut StoreBatch) {
        batch.clear();
        let room = self.cx.options.limits.store_batch_bytes_max;
        while batch.bytes.len() < room {
            let Some(slot) = self.owner.records.queue.pop_front() else { break };
            let name = self.owner.names.at_mut(slot);
            let record = name.record_mut();
            record.queued = false;
            record.in_flight = true;
            let removal = record.residence == Residence::Removing;
            let version = record.version;
            batch.push(&name.name, version, (!removal).then_some(&name.record().value[..]));
            batch.fences.extend(self.owner.slots.as_ref().map(|slots| slots.fence(name.hash)));
            self.owner.records.in_flight.push(InFlight { slot, version, removal });
        }
        self.cx.outputs.counters.stores += batch.entries.len() as u64;
        batch.ticket = self.cx.outputs.ticket();
        let timer = self.cx.set_timer(self.cx.options.storage_timeout_ns, TimerKey::Stores(batch.ticket));
        self.owner.records.batch = Some((batch.ticket, timer));
    }

    /// Storage answered a batch.
    pub(crate) fn stored(&mut self, ticket: Ticket, result: &Result<(), Fault>) {
        match self.owner.records.batch {
            Some((current, timer)) if current == ticket => self.cx.timers.cancel(timer),
            _ => return,
        }
        self.owner.records.batch = None;
        // What cannot be stored is no reason to leave storage alone, nor to try again.
        let refused: Option<&[Refusal]> = match result {
            Ok(()) => Some(&[]),
            Err(Fault::Refused(refused)) => Some(refused),
            Err(fault) => {
                self.owner.records.resting = true;
                self.cx.set_timer(RETRY_NS, TimerKey::StoreRetry);
                self.cx
                    .outputs
                    .note(Note::StoreFailed { records: self.owner.records.in_flight.len(), fault: fault.clone() });
                None
            }
        };
        if let Some([first, ..]) = refused
            && let Some(entry) = self.owner.records.in_flight.get(first.entry as usize)
            && entry.slot != NIL
        {
            let name = String::from_utf8_lossy(&self.owner.names.at(entry.slot).name).into();
            let (records, why) = (refused.map_or(0, <[_]>::len), first.why.words().into());
            self.cx.outputs.note(Note::StoreRefused { records, name, why });
        }
        // What becomes of one may make others nobody's.
        for index in 0..self.owner.records.in_flight.len() {
            let entry = self.owner.records.in_flight[index];
            if entry.slot == NIL {
                continue;
            }
            self.owner.names.at_mut(entry.slot).record_mut().in_flight = false;
            let refusal = refused.map(|refused| {
                let place = refused.binary_search_by_key(&(index as u32), |refusal| refusal.entry);
                place.ok().map(|place| &refused[place].why)
            });
            match refusal {
                Some(Some(Refused::Deposed)) => self.write_deposed(entry.slot),
                Some(Some(why)) => self.store_refused(entry, why.words()),
                Some(None) if entry.removal => self.removed_one(entry.slot),
                Some(None) => self.stored_one(entry),
                None => self.store_failed(entry),
            }
        }
        self.owner.records.in_flight.clear();
        self.go_on_yielding();
    }

    /// Another node has claimed the slot of a name since this one did. Whether it had stored the write before is not known: the answer
    /// to an earlier try may have been lost.
    fn write_deposed(&mut self, slot: u32) {
        let hash = self.owner.names.at(slot).hash;
        // Else it was given up already, and just this was left to store.
        if !self.owner.is_elsewhere(hash) {
            self.cx.outputs.host_requests.push(HostRequest::Deposed);
        }
        self.deposed(View::slot_of(hash));
    }

    /// The batch storage works on takes too long: whoever waits that long is told that their write is not confirmed.
    /// The batch itself is still waited for, so that stores of one record never overtake each other.
    pub(crate) fn stores_late(&mut self, ticket: Ticket) {
        if self.owner.records.batch.is_none_or(|(current, _)| current != ticket) {
            return;
        }
        let timer = self.cx.set_timer(self.cx.options.storage_timeout_ns, TimerKey::Stores(ticket));
        self.owner.records.batch = Some((ticket, timer));
        self.cx.outputs.note(Note::StoreFailed { records: self.owner.records.in_flight.len(), fault: Fault::Timeout });
        let started = self.too_long_ago();
        let slots = self.owner.records.in_flight.iter().map(|entry| entry.slot).filter(|&slot| slot != NIL);
        let slots: Vec<u32> = slots.collect();
        for slot in slots.into_iter().chain(self.owner.records.queue.clone()) {
            self.held_late(slot, started);
            self.fail_acks(slot, None, |ack| ack.since.0 <= started);
            if self.owner.names.record(slot).is_some_and(|it| it.residence == Residence::Removing) {
                self.removal_late(slot);
            }
        }
    }

    /// Whoever has waited for storage since then has waited as long as anybody should.
    fn too_long_ago(&self) -> u64 {
        self.cx.outputs.now.0.saturating_sub(self.cx.options.storage_timeout_ns)
    }

    fn stored_one(&mut self, entry: InFlight) {
        self.confirmed(entry.slot);
        self.settle_unstored(entry.slot);
        self.release_held(entry.slot, entry.version);
        self.release_acks(entry.slot, entry.version);
        self.after_store(entry.slot);
    }

    fn removed_one(&mut self, slot: u32) {
        self.confirmed(slot);
        self.settle_unstored(slot);
        self.release_held(slot, i32::MAX);
        // What was written before the removal has been, as durably as the removal is.
        self.release_acks(slot, i32::MAX);
        self.removed(slot);
    }

    fn confirmed(&mut self, slot: u32) {
        if let Some(work) = &mut self.owner.names.at_mut(slot).record_mut().work {
            work.in_doubt = false;
        }
    }

    fn store_failed(&mut self, entry: InFlight) {
        self.held_late(entry.slot, self.too_long_ago());
        self.fail_acks(entry.slot, None, |ack| ack.version <= entry.version);
        if entry.removal {
            return self.removal_failed(entry.slot);
        }
        self.owner.names.at_mut(entry.slot).record_mut().work().in_doubt = true;
        self.store_soon(entry.slot);
        self.after_store(entry.slot);
    }

    /// A record that storage will never take: who wrote it is told why, and it lives on in memory for as long as there is
    /// room; unless it is seen only once it is stored, which will not be.
    fn store_refused(&mut self, entry: InFlight, why: &str) {
        let is_given_up = self.owner.is_elsewhere(self.owner.names.at(entry.slot).hash);
        if self.cx.options.visibility == Visibility::Stored && !entry.removal && !is_given_up {
            return self.take_back(entry.slot, why);
        }
        self.fail_acks(entry.slot, Some(&told(why)), |ack| ack.version <= entry.version);
        self.settle_unstored(entry.slot);
        if entry.removal {
            return self.removal_failed(entry.slot);
        }
        self.after_store(entry.slot);
    }

    fn after_store(&mut self, slot: u32) {
        self.owner.names.at_mut(slot).record_mut().rest();
        self.owner.names.remove_if_idle(slot);
    }

    /// A record that is stored, and has not changed since, no longer counts as unstored.
    pub(super) fn settle_unstored(&mut self, slot: u32) {
        let record = self.owner.names.at_mut(slot).record_mut();
        if !record.queued {
            self.owner.records.unstored_bytes -= record.unstored;
            record.unstored = 0;
        }
    }

    fn release_acks(&mut self, slot: u32, version: i32) {
        loop {
            let name = self.owner.names.at_mut(slot);
            let Some(work) = &mut name.record_mut().work else { return };
            if work.acks.front().is_none_or(|ack| ack.version > version) {
                return;
            }
            let Some(ack) = work.acks.pop_front() else { return };
            self.owner.records.pending_acks -= 1;
            let answer = Outgoing {
                name: Some(&name.name),
                correlation_id: Some(&ack.correlation_id),
                is_write_ack: true,
                ..Outgoing::new(Action::RecordWriteAcknowledgement)
            };
            self.edges.reply(&mut self.cx, ack.conn, &answer);
            self.tell_done(ack.conn, ReplyTo::numbered(ack.asked));
        }
    }

    pub(super) fn fail_acks(&mut self, slot: u32, why: Option<&[u8]>, fails: impl Fn(&Ack) -> bool) {
        loop {
            let Some(name) = self.owner.names.get_mut(slot) else { return };
            let Some(work) = name.as_record_mut().and_then(|record| record.work.as_mut()) else { return };
            if !work.acks.front().is_some_and(&fails) {
                return;
            }
            let Some(ack) = work.acks.pop_front() else { return };
            self.owner.records.pending_acks -= 1;
            let answer = Outgoing {
                name: Some(&name.name),
                data: why,
                correlation_id: Some(&ack.correlation_id),
                is_error: true,
                is_write_ack: true,
                ..Outgoing::new(Action::RecordUpdateError)
            };
            self.edges.reply(&mut self.cx, ack.conn, &answer);
            self.tell_done(ack.conn, ReplyTo::numbered(ack.asked));
        }
    }
}
