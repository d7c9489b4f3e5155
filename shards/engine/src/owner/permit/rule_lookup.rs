//! Records that rules refer to, on this core and on others.
//!
//! *Owns* what was found so far, and who waits for what is still to come. *Promises* an end: every question is answered,
//! and if not within the time that storage has, the rule fails. *Does not* remember records from one message to the next:
//! a stale permission is worse than a slow one.

use super::Grant;
use crate::ident::ConnId;
use crate::owner::listen::AttemptId;
use crate::owner::park::Run;
use crate::owner::record::{FindOrLoad, RuleReader};
use crate::packet::{Lane, Packet};
use crate::permissions::RuleLookupId;
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
    pub(super) records: Vec<(Box<[u8]>, RecordState)>,
    /// One of them cannot be had.
    pub(super) failed: bool,
    /// The message's own record was read from storage for it, before it had to wait for others.
    reloaded: bool,
    rule_lookup: Option<RuleLookupId>,
}

/// What is known of a record.
#[derive(Debug)]
pub(super) enum RecordState {
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
pub(crate) struct RuleLookup {
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
    Grant(Grant),
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
            let record_state = if owner == self.core {
                match self.find_or_load(&name, hash) {
                    FindOrLoad::Here(slot) => RecordState::Here(slot),
                    FindOrLoad::Missing => RecordState::Missing,
                    FindOrLoad::Later(slot) => {
                        let rule_lookup = self.look_up(found);
                        self.wait_for_value(slot, RuleReader { core: owner, rule_lookup, place });
                        RecordState::Coming
                    }
                }
            } else {
                let rule_lookup = self.look_up(found);
                self.delivery.outputs.post(
                    owner,
                    Lane::Requests,
                    Packet::RemoteRead { rule_lookup, place, hash, name: name.clone() },
                );
                RecordState::Coming
            };
            found.records.push((name, record_state));
        }
        found.rule_lookup.is_some()
    }

    /// One record more to come.
    fn look_up(&mut self, found: &mut Found) -> RuleLookupId {
        if let Some(id) = found.rule_lookup {
            self.permit.rule_lookups[id.index as usize].outstanding += 1;
            return id;
        }
        self.permit.rule_lookup_generation = self.permit.rule_lookup_generation.wrapping_add(1);
        let generation = self.permit.rule_lookup_generation;
        let rule_lookup = RuleLookup {
            generation,
            outstanding: 1,
            timer: TimerId::NONE,
            found: Found::default(),
            then: Then::Nothing,
        };
        let id = RuleLookupId { index: self.permit.rule_lookups.insert(rule_lookup) as u32, generation };
        let timer = self.set_timer(self.options.storage_timeout_ns, TimerKey::RuleLookup(id));
        self.permit.rule_lookups[id.index as usize].timer = timer;
        found.rule_lookup = Some(id);
        id
    }

    /// Nobody waits after all; what comes is ignored.
    pub(super) fn forget_rule_lookup(&mut self, found: &mut Found) {
        if let Some(id) = found.rule_lookup.take() {
            let rule_lookup = self.permit.rule_lookups.remove(id.index as usize);
            self.timers.cancel(rule_lookup.timer);
        }
    }

    /// The message of a name waits, and with it whatever is said of that name. One that finds no room to wait is refused by
    /// whoever would park it, and leaves nothing behind: the next message must not go on where its judgement was.
    pub(crate) fn wait_for_records(&mut self, slot: u32, message: &Message<&[u8]>, run: &mut Run) {
        if !run.waited && !self.has_room(message.bytes.len()) {
            return self.forget_rule_lookup(&mut run.found);
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
    pub(super) fn hold_grants(&mut self, grant: Grant, found: Found) {
        self.suspend(found, Then::Grant(grant));
    }

    /// A listener is told of a name once it is known whether it may be.
    pub(crate) fn hold_offer(&mut self, attempt: AttemptId, found: Found) {
        self.suspend(found, Then::Offer(attempt));
    }

    fn suspend(&mut self, mut found: Found, then: Then) {
        let Some(id) = found.rule_lookup.take() else { return };
        for (_, record_state) in &mut found.records {
            if let RecordState::Here(slot) = *record_state {
                *record_state = RecordState::Copy(Bytes::copy_from_slice(self.value_of(slot)));
            }
        }
        let rule_lookup = &mut self.permit.rule_lookups[id.index as usize];
        (rule_lookup.found, rule_lookup.then) = (found, then);
    }

    fn rule_lookup(&mut self, id: RuleLookupId) -> Option<&mut RuleLookup> {
        self.permit
            .rule_lookups
            .get_mut(id.index as usize)
            .filter(|rule_lookup| rule_lookup.generation == id.generation)
    }

    /// A record that a rule refers to is known.
    pub(crate) fn remote_read_done(&mut self, id: RuleLookupId, place: u32, value: Result<Option<Bytes>, ()>) {
        let Some(rule_lookup) = self.rule_lookup(id) else { return };
        let Some((_, record_state)) = rule_lookup.found.records.get_mut(place as usize) else { return };
        match value {
            Ok(Some(value)) => *record_state = RecordState::Copy(value),
            Ok(None) => *record_state = RecordState::Missing,
            Err(()) => rule_lookup.found.failed = true,
        }
        rule_lookup.outstanding = rule_lookup.outstanding.saturating_sub(1);
        if rule_lookup.outstanding == 0 {
            self.permit.complete.push_back(id);
        }
    }

    /// Records that a rule refers to did not come in time.
    pub(crate) fn rule_lookup_late(&mut self, id: RuleLookupId) {
        if let Some(rule_lookup) = self.rule_lookup(id) {
            rule_lookup.found.failed = true;
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

    fn complete(&mut self, id: RuleLookupId) {
        if self.rule_lookup(id).is_none() {
            return;
        }
        let RuleLookup { timer, found, then, .. } = self.permit.rule_lookups.remove(id.index as usize);
        self.timers.cancel(timer);
        match then {
            Then::Nothing => debug_assert!(false, "an rule_lookup belongs to a message"),
            Then::Name(slot) => {
                let name = self.names.at_mut(slot);
                name.waiting.judging = false;
                let waits_for_storage = name.is_busy();
                self.permit.busy_names -= 1;
                if !waits_for_storage {
                    self.run_parked(slot, Run { reloaded: found.reloaded, found, ..Run::default() });
                }
            }
            Then::Grant(grant) => self.reauthorize(grant, found),
            Then::Offer(attempt) => self.offer_again(attempt, found),
            Then::Connection(conn, message) => self.begin_again(conn, &message.borrowed(), found),
        }
    }
}
