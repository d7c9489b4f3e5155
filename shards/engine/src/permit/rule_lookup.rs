//! Records that rules refer to, on this core and on others.
//!
//! *Owns* what was found so far, and who waits for what is still to come. *Promises* an end: every question is answered,
//! and if not within the time that storage has, the rule fails. *Does not* remember records from one message to the next:
//! a stale permission is worse than a slow one.

use super::state::{FindOrLoad, Found, Grant, RecordState, RuleLookup, RuleReader, Then};
use crate::context::TimerKey;
use crate::ident::{AttemptId, ConnId};
use crate::packet::{Lane, Packet};
use crate::permissions::RuleLookupId;
use crate::sides::{Sides, ToEdge, ToOwner};
use crate::timer::TimerId;
use crate::view::View;
use bytes::Bytes;
use deepstream_wire::Message;

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// Looks for records. Whether some of them are still to come.
    pub(super) fn fetch(&mut self, names: Vec<Box<[u8]>>, found: &mut Found) -> bool {
        for name in names {
            let place = found.records.len() as u32;
            let hash = self.cx.hash(&name);
            let owner = self.cx.owner_of(hash);
            let record_state = if owner == self.cx.core {
                match O::find_or_load(self, &name, hash) {
                    FindOrLoad::Here(slot) => RecordState::Here(slot),
                    FindOrLoad::Missing => RecordState::Missing,
                    FindOrLoad::Later(slot) => {
                        let rule_lookup = self.look_up(found);
                        self.owner.wait_for_value(slot, RuleReader { core: owner, rule_lookup, place });
                        RecordState::Coming
                    }
                }
            } else {
                let rule_lookup = self.look_up(found);
                self.cx.outputs.post(
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

    /// What is looked for in these slots is looked for again: whoever was asked for it does not answer any more.
    pub(crate) fn look_again(&mut self, is_meant: impl Fn(u16) -> bool) {
        let mut coming = Vec::new();
        for (index, rule_lookup) in &self.permit.rule_lookups {
            let id = RuleLookupId { index: index as u32, generation: rule_lookup.generation };
            for (place, (name, record_state)) in (0..).zip(&rule_lookup.found.records) {
                let hash = self.cx.hash(name);
                if is_meant(View::slot_of(hash)) && matches!(record_state, RecordState::Coming) {
                    coming.push((
                        RuleReader { core: self.cx.owner_of(hash), rule_lookup: id, place },
                        hash,
                        name.clone(),
                    ));
                }
            }
        }
        for (rule_reader, hash, name) in coming {
            let RuleReader { core, rule_lookup, place } = rule_reader;
            if core != self.cx.core {
                let packet = Packet::RemoteRead { rule_lookup, place, hash, name };
                self.cx.outputs.post(core, Lane::Requests, packet);
                continue;
            }
            match O::find_or_load(self, &name, hash) {
                FindOrLoad::Here(slot) => {
                    let value = Bytes::copy_from_slice(self.owner.value_of(slot));
                    self.remote_read_done(rule_lookup, place, Ok(Some(value)));
                }
                FindOrLoad::Missing => self.remote_read_done(rule_lookup, place, Ok(None)),
                FindOrLoad::Later(slot) => self.owner.wait_for_value(slot, rule_reader),
            }
        }
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
        let timer = self.cx.set_timer(self.cx.options.storage_timeout_ns, TimerKey::RuleLookup(id));
        self.permit.rule_lookups[id.index as usize].timer = timer;
        found.rule_lookup = Some(id);
        id
    }

    /// Nobody waits after all; what comes is ignored.
    pub(crate) fn forget_rule_lookup(&mut self, found: &mut Found) {
        if let Some(id) = found.rule_lookup.take() {
            let rule_lookup = self.permit.rule_lookups.remove(id.index as usize);
            self.cx.timers.cancel(rule_lookup.timer);
        }
    }

    /// What waits at these names is gone: what is looked for on its account is not gone on with. The names are in ascending order.
    pub(crate) fn forget_lookups_of(&mut self, names: &[u32]) {
        let timers = &mut self.cx.timers;
        self.permit.rule_lookups.retain(|_, rule_lookup| {
            let is_kept = !matches!(rule_lookup.then, Then::Name(slot) if names.binary_search(&slot).is_ok());
            if !is_kept {
                timers.cancel(rule_lookup.timer);
            }
            is_kept
        });
    }

    /// The message of a name waits, and with it whatever is said of that name.
    pub(crate) fn hold_name(&mut self, slot: u32, found: Found) {
        self.suspend(found, Then::Name(slot));
    }

    /// A message of a connection waits, and with it the connection.
    pub(crate) fn hold_message(&mut self, conn: ConnId, message: Message<Box<[u8]>>, found: Found) {
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
                *record_state = RecordState::Copy(Bytes::copy_from_slice(self.owner.value_of(slot)));
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
        // It may have been asked for more than once, where its owner changed.
        if !matches!(record_state, RecordState::Coming) {
            return;
        }
        rule_lookup.found.failed |= value.is_err();
        *record_state = match value {
            Ok(Some(value)) => RecordState::Copy(value),
            Ok(None) | Err(()) => RecordState::Missing,
        };
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
        self.cx.timers.cancel(timer);
        match then {
            Then::Nothing => debug_assert!(false, "an rule_lookup belongs to a message"),
            Then::Name(slot) => O::go_on_at(self, slot, found),
            Then::Grant(grant) => self.reauthorize(grant, found),
            Then::Offer(attempt) => O::offer_again(self, attempt, found),
            Then::Connection(conn, message) => E::begin_again(self, conn, &message.borrowed(), found),
        }
    }
}
