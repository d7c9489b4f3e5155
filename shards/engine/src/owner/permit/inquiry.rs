//! Records that rules refer to, on this core and on others.
//!
//! *Owns* what was found so far, and who waits for what is still to come. *Promises* an end: every question is answered,
//! and if not within the time that storage has, the rule fails. *Does not* remember records from one message to the next:
//! a stale permission is worse than a slow one.

use super::Standing;
use crate::ident::ConnId;
use crate::owner::listen::AttemptId;
use crate::owner::park::Run;
use crate::owner::record::{Glimpse, Peeker};
use crate::packet::{Lane, Packet};
use crate::permissions::InquiryId;
use crate::shard::{Shard, TimerKey};
use crate::timer::TimerId;
use crate::view::hash_name;
use bytes::Bytes;
use deepstream_wire::Message;

/// How far a message's judgement came.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The rules by which it is judged.
    rules: u32,
    /// Steps that were allowed.
    pub(super) passed: u8,
    /// How often the rule of the present step was asked, counted as upstream counts.
    pub(super) round: u32,
    /// The rule of the present step is asked as often as upstream asks.
    pub(super) counts_rounds: bool,
    /// Records that were asked for.
    pub(super) records: Vec<(Box<[u8]>, Sight)>,
    /// One of them cannot be had.
    pub(super) failed: bool,
    /// The message's own record was read from storage for it, before it had to wait for others.
    reloaded: bool,
    inquiry: Option<InquiryId>,
}

/// What is known of a record.
#[derive(Debug)]
pub(super) enum Sight {
    Coming,
    Missing,
    /// In memory, as long as nothing waits.
    Here(u32),
    Copy(Bytes),
}

impl Found {
    /// A message is judged, or gone on with. By other rules it begins anew.
    pub(super) fn begin(&mut self, rules: u32) {
        if self.rules != rules {
            (self.rules, self.passed, self.round, self.counts_rounds) = (rules, 0, 0, false);
        }
    }

    /// Nothing was asked for yet.
    pub(super) fn is_new(&self) -> bool {
        self.records.is_empty()
    }

    /// A step was allowed.
    pub(super) fn next(&mut self) {
        self.passed += 1;
        (self.round, self.counts_rounds) = (0, false);
    }

    /// The present step begins anew and counts. Only the first `kept` of the records are known still.
    pub(super) fn count_rounds(&mut self, kept: usize) {
        self.records.truncate(kept);
        (self.round, self.counts_rounds) = (0, true);
    }
}

/// A message that waits for records.
#[derive(Debug)]
pub(crate) struct Inquiry {
    generation: u32,
    outstanding: u32,
    timer: TimerId,
    found: Found,
    then: Then,
}

/// What is gone on with.
#[derive(Debug)]
enum Then {
    /// Nothing yet.
    Nothing,
    /// The first of the messages that wait at the name of this slot.
    Name(u32),
    /// This message of a connection that waits as a whole.
    Connection(ConnId, Message<Box<[u8]>>),
    /// What goes on from before the present rules.
    Standing(Standing),
    /// A listener that is to be told of a name.
    Offer(AttemptId),
}

impl Shard {
    /// Looks for records. Whether some of them are still to come.
    pub(super) fn fetch(&mut self, names: Vec<Box<[u8]>>, found: &mut Found) -> bool {
        for name in names {
            let place = found.records.len() as u32;
            let hash = hash_name(&self.hasher, &name);
            let owner = self.owner_of(hash);
            let sight = if owner == self.core {
                match self.glimpse(&name, hash) {
                    Glimpse::Here(slot) => Sight::Here(slot),
                    Glimpse::Missing => Sight::Missing,
                    Glimpse::Later(slot) => {
                        let inquiry = self.inquire(found);
                        self.wait_for_value(slot, Peeker { core: owner, inquiry, place });
                        Sight::Coming
                    }
                }
            } else {
                let inquiry = self.inquire(found);
                self.delivery.outputs.post(
                    owner,
                    Lane::Requests,
                    Packet::Peek { inquiry, place, hash, name: name.clone() },
                );
                Sight::Coming
            };
            found.records.push((name, sight));
        }
        found.inquiry.is_some()
    }

    /// One record more to come.
    fn inquire(&mut self, found: &mut Found) -> InquiryId {
        if let Some(id) = found.inquiry {
            self.permit.inquiries[id.index as usize].outstanding += 1;
            return id;
        }
        self.permit.inquiry_generation = self.permit.inquiry_generation.wrapping_add(1);
        let generation = self.permit.inquiry_generation;
        let inquiry =
            Inquiry { generation, outstanding: 1, timer: TimerId::NONE, found: Found::default(), then: Then::Nothing };
        let id = InquiryId { index: self.permit.inquiries.insert(inquiry) as u32, generation };
        let timer = self.set_timer(self.options.storage_timeout_ns, TimerKey::Inquiry(id));
        self.permit.inquiries[id.index as usize].timer = timer;
        found.inquiry = Some(id);
        id
    }

    /// Nobody waits after all; what comes is ignored.
    pub(super) fn forget_inquiry(&mut self, found: &mut Found) {
        if let Some(id) = found.inquiry.take() {
            let inquiry = self.permit.inquiries.remove(id.index as usize);
            self.timers.cancel(inquiry.timer);
        }
    }

    /// The message of a name waits, and with it whatever is said of that name. One that finds no room to wait is refused by
    /// whoever would park it, and leaves nothing behind: the next message must not go on where its judgement was.
    pub(crate) fn wait_for_records(&mut self, slot: u32, message: &Message<&[u8]>, run: &mut Run) {
        if !run.waited && !self.has_room(message.bytes.len()) {
            return self.forget_inquiry(&mut run.found);
        }
        self.names.at_mut(slot).waiting.judging = true;
        self.permit.busy_names += 1;
        let found = Found { reloaded: run.reloaded, ..std::mem::take(&mut run.found) };
        self.suspend(found, Then::Name(slot));
    }

    /// A connection waits; nothing more of it is read.
    pub(crate) fn hold_connection(&mut self, conn: ConnId, message: &Message<&[u8]>, found: Found) {
        let message = Message { head: message.head, bytes: message.bytes.into() };
        if let Some(session) = self.delivery.sessions.get_mut(conn) {
            session.asking = true;
        }
        self.suspend(found, Then::Connection(conn, message));
    }

    /// What goes on from before the present rules goes on until it is judged.
    pub(super) fn hold_standing(&mut self, standing: Standing, found: Found) {
        self.suspend(found, Then::Standing(standing));
    }

    /// A listener is told of a name once it is known whether it may be.
    pub(crate) fn hold_offer(&mut self, attempt: AttemptId, found: Found) {
        self.suspend(found, Then::Offer(attempt));
    }

    fn suspend(&mut self, mut found: Found, then: Then) {
        let Some(id) = found.inquiry.take() else { return };
        for (_, sight) in &mut found.records {
            if let Sight::Here(slot) = *sight {
                *sight = Sight::Copy(Bytes::copy_from_slice(self.value_of(slot)));
            }
        }
        let inquiry = &mut self.permit.inquiries[id.index as usize];
        (inquiry.found, inquiry.then) = (found, then);
    }

    fn inquiry(&mut self, id: InquiryId) -> Option<&mut Inquiry> {
        self.permit.inquiries.get_mut(id.index as usize).filter(|inquiry| inquiry.generation == id.generation)
    }

    /// A record that a rule refers to is known.
    pub(crate) fn peeked(&mut self, id: InquiryId, place: u32, value: Result<Option<Bytes>, ()>) {
        let Some(inquiry) = self.inquiry(id) else { return };
        let Some((_, sight)) = inquiry.found.records.get_mut(place as usize) else { return };
        match value {
            Ok(Some(value)) => *sight = Sight::Copy(value),
            Ok(None) => *sight = Sight::Missing,
            Err(()) => inquiry.found.failed = true,
        }
        inquiry.outstanding = inquiry.outstanding.saturating_sub(1);
        if inquiry.outstanding == 0 {
            self.permit.complete.push_back(id);
        }
    }

    /// Records that a rule refers to did not come in time.
    pub(crate) fn inquiry_late(&mut self, id: InquiryId) {
        if let Some(inquiry) = self.inquiry(id) {
            inquiry.found.failed = true;
            self.permit.complete.push_back(id);
        }
    }

    /// Goes on with what has all it waited for.
    #[inline]
    pub(crate) fn go_on_judging(&mut self) {
        while let Some(id) = self.permit.complete.pop_front() {
            self.complete(id);
        }
    }

    fn complete(&mut self, id: InquiryId) {
        if self.inquiry(id).is_none() {
            return;
        }
        let Inquiry { timer, found, then, .. } = self.permit.inquiries.remove(id.index as usize);
        self.timers.cancel(timer);
        match then {
            Then::Nothing => debug_assert!(false, "an inquiry belongs to a message"),
            Then::Name(slot) => {
                let name = self.names.at_mut(slot);
                name.waiting.judging = false;
                let waits_for_storage = name.is_busy();
                self.permit.busy_names -= 1;
                if !waits_for_storage {
                    self.run_parked(slot, Run { reloaded: found.reloaded, found, ..Run::default() });
                }
            }
            Then::Standing(standing) => self.revise(standing, found),
            Then::Offer(attempt) => self.offer_again(attempt, found),
            Then::Connection(conn, message) => self.begin_again(conn, &message.borrowed(), found),
        }
    }
}
