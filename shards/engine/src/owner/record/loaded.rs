//! Records whose value came, or could not be had, and what those are told who waited for it.

use super::Residence;
use crate::ident::Ticket;
use crate::output::{Fault, Note, Stored};
use crate::owner::Owner;
use crate::owner::deed::{Deed, Reading, can_be_withheld};
use crate::owner::park::{Parked, Run, Step};
use crate::permit::Denial;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Outgoing, Topic};

impl<E: ToEdge> Sides<E, Owner> {
    /// Storage answered a read, or took too long.
    pub(crate) fn loaded(&mut self, ticket: Ticket, result: Result<Option<Stored>, Fault>) {
        // An answer after its time is ignored: its record may have been written since.
        let Some((slot, timer)) = self.owner.records.loads.remove(&ticket) else { return };
        self.cx.timers.cancel(timer);
        debug_assert_eq!(self.owner.names.at(slot).record().residence, Residence::Loading);
        match result {
            Ok(found) => {
                self.settle_load(slot, found);
                self.tell_untold(slot);
                self.catch_up(slot);
                self.answer_rule_readers(slot, false);
                self.run_parked(slot, Run { reloaded: true, ..Run::default() });
            }
            // Who wants no more than to look, or to remove, is answered as for any name of which there is no record.
            Err(Fault::Unstorable(why)) => {
                self.settle_load(slot, None);
                self.owner.names.at_mut(slot).record_mut().barred = Some(why.into());
                self.answer_rule_readers(slot, false);
                self.run_parked(slot, Run { reloaded: true, ..Run::default() });
            }
            Err(fault) => {
                let name = String::from_utf8_lossy(&self.owner.names.at(slot).name).into();
                self.cx.outputs.note(Note::LoadFailed { name, fault: fault.clone() });
                self.owner.names.at_mut(slot).record_mut().residence = Residence::Unknown;
                self.answer_rule_readers(slot, true);
                self.catch_up_failed(slot);
                self.fail_parked(slot, &fault);
            }
        }
        self.go_on_catching_up();
    }

    /// Answers what waited for a value that could not be had. What needs none is done all the same.
    fn fail_parked(&mut self, slot: u32, fault: &Fault) {
        let before = self.begin_running(slot);
        while let Some(parked) = self.next_parked(slot) {
            if let Some(Deed::Subscribe | Deed::Delete) = Deed::of(parked.head.action) {
                let (who, overtaken) = (parked.who.clone(), parked.overtaken);
                let mut run = Run { failed: true, who, overtaken, ..Run::default() };
                let step = self.perform(slot, parked.conn, parked.reply_to, &parked.message(), &mut run);
                debug_assert_eq!(step, Step::Done, "neither needs a value");
            } else {
                self.fail(slot, &parked, fault);
            }
        }
        self.end_running(slot, before);
    }

    /// Tells one who waited that the value could not be had.
    pub(crate) fn fail(&mut self, slot: u32, parked: &Parked, fault: &Fault) {
        self.tell_failed(slot, parked, fault);
        if can_be_withheld(parked.head.action) {
            self.fetch_over(parked.conn, parked.reply_to);
        }
        self.tell_done(parked.conn, parked.reply_to);
    }

    /// In words (docs/records.md §2).
    fn tell_failed(&mut self, slot: u32, parked: &Parked, fault: &Fault) {
        let message = parked.message();
        if self.owner.names.at(slot).topic() != Topic::Record {
            return self.deny(parked.conn, parked.reply_to, &message, Denial::Failed);
        }
        // Whoever subscribes without a value must be allowed to all the same.
        if let Some(Deed::Subscribe | Deed::SubscribeAndHead) = Deed::of(message.head.action)
            && self.permit.judges()
        {
            let mut run = Run { failed: true, who: parked.who.clone(), ..Run::default() };
            if self.judge_record(slot, parked.conn, parked.reply_to, &message, &mut run).is_some() {
                return;
            }
        }
        let late = match fault {
            Fault::Timeout => Action::RecordStorageRetrievalTimeout,
            Fault::Failed(_) | Fault::Refused(_) | Fault::Unstorable(_) => Action::RecordLoadError,
        };
        let error = |action, original| Outgoing {
            name: Some(message.name()),
            original_action: Some(original),
            is_error: true,
            ..Outgoing::new(action)
        };
        let action = message.head.action;
        match Deed::of(action) {
            Some(Deed::Read(Reading::Plain) | Deed::Head) => {
                let answer = Outgoing { correlation_id: message.correlation_id(), ..error(late, action) };
                self.edges.reply(&mut self.cx, parked.conn, &answer);
            }
            Some(Deed::Read(Reading::Subscribe | Reading::SubscribeCreate)) => {
                // The edge forgets the subscription first: whoever asks again once told must not count as subscribed.
                self.settle_at_edge(parked.conn, parked.reply_to, true, None);
                self.edges.reply(&mut self.cx, parked.conn, &error(late, action));
            }
            Some(Deed::SubscribeAndHead) => {
                self.overtake(slot, parked);
                self.behind_gate(slot, |sides| {
                    // Subscribed all the same: the client is resubscribing and only lacks the version.
                    if parked.reply_to.joins() {
                        sides.join(parked.conn, parked.reply_to.alone(), slot);
                    }
                    sides.edges.reply(&mut sides.cx, parked.conn, &error(Action::RecordLoadError, Action::RecordHead));
                    sides.settle_at_edge(parked.conn, parked.reply_to, false, None);
                });
            }
            Some(Deed::Notify) => {
                let answer = Outgoing { correlation_id: message.correlation_id(), ..error(late, action) };
                self.edges.reply(&mut self.cx, parked.conn, &answer);
                self.settle_at_edge(parked.conn, parked.reply_to, true, None);
            }
            Some(Deed::Delete) => {
                self.edges.reply(&mut self.cx, parked.conn, &error(Action::RecordDeleteError, action));
            }
            // Needs no value, and has no way to be told of an error: it is done all the same.
            Some(Deed::Subscribe) => {
                self.overtake(slot, parked);
                self.behind_gate(slot, |sides| sides.join_or_settle(slot, parked.conn, parked.reply_to));
            }
            Some(Deed::Write(_)) | None => self.refuse(parked.conn, &message, Action::RecordUpdateError),
        }
    }

    /// A subscription is to begin that could not wait behind its connection's own deletion of the record, which will end
    /// it: the connection has to hear of that as all others do, since it cannot tell in which order the two were done.
    fn overtake(&mut self, slot: u32, subscription: &Parked) {
        if !subscription.reply_to.joins() {
            return;
        }
        let conn = subscription.conn;
        let name = self.owner.names.at_mut(slot);
        let deletions = name.waiting.parked_mut().filter(|parked| parked.head.action == Action::RecordDelete);
        deletions.filter(|parked| parked.conn == conn).for_each(|parked| parked.overtaken = true);
        let removal = name.record_mut().work.as_mut().and_then(|work| work.removal.as_mut());
        if let Some(removal) = removal.filter(|removal| removal.conn == conn) {
            removal.overtaken = true;
        }
    }
}
