//! What goes on from before new rules: subscriptions, listeners and watchers of this core's connections, providers of this
//! core's names, and who listens and was told of one of them.
//!
//! *Owns* the round over all of them. *Promises* that each is judged by the rules in force, and that what they do not allow
//! ends with a denial to its client, as if it had been asked for now. The round begins the moment the rules are there and is
//! done in slices, so that others are served meanwhile. *Does not* miss what is on its way: what begins by a message that
//! goes by older rules is judged by those in force as soon as it has begun.
//!
//! Subscriptions are judged at the edge, which knows who they belong to; a rule that reads the record sees a copy of it.

use super::state::{Found, Grant, Reauthorization};
use super::{Denial, Judgement, Question, Steps};
use crate::context::TimerKey;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge, ToOwner};
use crate::timer::TimerId;
use deepstream_valve::Right;
use deepstream_wire::{Action, Message};

/// Judged per slice: about a millisecond.
const SLICE: usize = 1024;
/// Of those that wait for records, as many at a time.
const WAITING_MAX: usize = 1024;
/// How long the round rests while so many wait.
const REST_NS: u64 = 1_000_000;

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// Other rules are in force: the round begins, anew if one was under way.
    pub(super) fn reauthorize_all(&mut self) {
        self.permit.reauthorization = Some(Reauthorization::Subscriptions(0, None));
        if self.permit.reauthorization_timer == TimerId::NONE {
            self.go_on_revising();
        }
    }

    /// One slice of the round.
    pub(crate) fn go_on_revising(&mut self) {
        self.permit.reauthorization_timer = TimerId::NONE;
        let mut left = SLICE;
        while let Some(reauthorization) = self.permit.reauthorization {
            let crowded = self.permit.rule_lookups.len() >= WAITING_MAX;
            if left == 0 || crowded {
                let rest = if crowded { REST_NS } else { 0 };
                self.permit.reauthorization_timer = self.cx.set_timer(rest, TimerKey::Reauthorization);
                return;
            }
            left -= 1;
            let (next, grant) = self.next_grant(reauthorization);
            self.permit.reauthorization = next;
            if let Some(grant) = grant {
                self.reauthorize(grant, Found::default());
            }
            if next.is_none() {
                O::reauthorized(self);
            }
        }
    }

    /// What is judged next, and how far the round is then.
    fn next_grant(&self, reauthorization: Reauthorization) -> (Option<Reauthorization>, Option<Grant>) {
        match reauthorization {
            Reauthorization::Subscriptions(slot, _) if slot >= self.edges.here.subscription_slots() => {
                (Some(Reauthorization::Listeners(0)), None)
            }
            Reauthorization::Subscriptions(slot, left) => {
                let count = self.edges.here.subscription_count(slot);
                // From the last to the first: one that ends gives its place to the last.
                let Some(place) = left.unwrap_or(count).min(count).checked_sub(1) else {
                    return (Some(Reauthorization::Subscriptions(slot + 1, None)), None);
                };
                let next = Some(Reauthorization::Subscriptions(slot, Some(place)));
                (next, self.edges.here.subscription_at(slot, place))
            }
            Reauthorization::Listeners(place) if place >= self.owner.listener_places() => {
                (Some(Reauthorization::Watchers(usize::MAX)), None)
            }
            Reauthorization::Listeners(place) => {
                let grant = self.owner.listener_at(self.cx.core, place).map(|(conn, topic, pattern)| Grant::Listener {
                    conn,
                    topic,
                    pattern: pattern.source().into(),
                });
                (Some(Reauthorization::Listeners(place + 1)), grant)
            }
            Reauthorization::Watchers(left) => match left.min(self.edges.here.watcher_count()).checked_sub(1) {
                Some(place) => {
                    let grant = self.edges.here.watcher_at(place).map(|conn| Grant::Watcher { conn });
                    (Some(Reauthorization::Watchers(place)), grant)
                }
                None => (Some(Reauthorization::Providers(0)), None),
            },
            Reauthorization::Providers(slot) if slot >= self.owner.name_slots() => {
                (Some(Reauthorization::Assignments(0)), None)
            }
            Reauthorization::Providers(slot) => {
                (Some(Reauthorization::Providers(slot + 1)), self.owner.provider_at(slot))
            }
            Reauthorization::Assignments(slot) if slot >= self.owner.name_slots() => (None, None),
            Reauthorization::Assignments(slot) => {
                (Some(Reauthorization::Assignments(slot + 1)), self.owner.assignment_at(slot))
            }
        }
    }

    /// Judges what goes on by the rules in force, and ends it if they do not allow it.
    pub(super) fn reauthorize(&mut self, grant: Grant, found: Found) {
        if let Grant::Provider { name, hash, .. } = &grant
            && found.is_new()
        {
            for conn in self.owner.other_providers(name, *hash) {
                let other = Grant::Provider { conn, name: name.clone(), hash: *hash };
                self.reauthorize_one(other, Found::default());
            }
        }
        self.reauthorize_one(grant, found);
    }

    /// Judges one thing that goes on, which may have begun by a message that went by older rules than those in force.
    pub(crate) fn reauthorize_one(&mut self, grant: Grant, mut found: Found) {
        if let Grant::Subscription { conn, topic, name, hash } = &grant
            && *hash != self.cx.hash(name)
        {
            // A filter, on one of the cores.
            if !self.may_subscribe_filter(*conn, *topic, name) {
                self.end_grant(&grant, Denial::Denied);
            }
            return;
        }
        let (conn, right, action, name) = grant.asked();
        let message = Message::about(action, name.unwrap_or_default());
        let reply_to = ReplyTo { rules: self.permit.generation(), ..ReplyTo::default() };
        let mut question = Question::of(conn, reply_to, &message);
        question.name = name;
        question.hash = name.map_or(0, |name| self.cx.hash(name));
        question.listened = matches!(grant, Grant::Assignment { .. });
        let mut steps = Steps::default();
        // The action of the plain subscription, whatever it was asked for with.
        let plain = if right == Right::RecordRead { Action::RecordSubscribe } else { action };
        steps.add(right, plain);
        match self.judge_grant(&question, &steps, &mut found) {
            Judgement::Yes => {}
            Judgement::No(denial) => self.end_grant(&grant, denial),
            Judgement::LookUp | Judgement::Load => self.hold_grants(grant, found),
        }
    }

    /// What the rules in force say, compared with what a candidate does.
    pub(crate) fn judge_grant(&mut self, question: &Question<'_>, steps: &Steps, found: &mut Found) -> Judgement {
        let said = self.judge(question, steps, found);
        if self.has_shadow() {
            self.compare(question, steps, found, said);
        }
        said
    }

    fn end_grant(&mut self, grant: &Grant, denial: Denial) {
        let (conn, _, action, name) = grant.asked();
        let went_on = match grant {
            Grant::Subscription { topic, name, hash, .. } => self.end_subscription(conn, *topic, name, *hash),
            Grant::Listener { topic, pattern, .. } => self.end_listening(conn, *topic, pattern),
            // It listens on, to other names: it is told to stop, and nothing else.
            Grant::Assignment { attempt, .. } => return O::end_assignment(self, *attempt),
            Grant::Watcher { .. } => self.end_watching(conn),
            Grant::Provider { name, hash, .. } => O::end_provider(self, conn, name, *hash),
        };
        if went_on {
            self.tell_denial(conn, &Message::about(action, name.unwrap_or_default()), name, denial);
        }
    }
}
