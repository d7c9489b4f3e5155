//! What goes on from before new rules: subscriptions, listeners and watchers of this core's connections, providers of this
//! core's names, and who listens and was told of one of them.
//!
//! *Owns* the round over all of them. *Promises* that each is judged by the rules in force, and that what they do not allow
//! ends with a denial to its client, as if it had been asked for now. The round begins the moment the rules are there and is
//! done in slices, so that others are served meanwhile. *Does not* miss what is on its way: what begins by a message that
//! goes by older rules is judged by those in force as soon as it has begun.
//!
//! Subscriptions are judged at the edge, which knows who they belong to; a rule that reads the record sees a copy of it.

use super::rule_lookup::Found;
use super::{Denial, Judgement, Question, Steps};
use crate::ident::ConnId;
use crate::owner::listen::{AttemptId, listening};
use crate::owner::park::Run;
use crate::packet::ReplyTo;
use crate::shard::{Shard, TimerKey};
use crate::timer::TimerId;
use crate::view::hash_name;
use deepstream_valve::Right;
use deepstream_wire::{Action, Message, Topic};

/// Judged per slice: about a millisecond.
const SLICE: usize = 1024;
/// Of those that wait for records, as many at a time.
const WAITING_MAX: usize = 1024;
/// How long the round rests while so many wait.
const REST_NS: u64 = 1_000_000;

/// How far the round has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reauthorization {
    /// Connection slot, and how many of its subscriptions are left; all of them if it was not begun.
    Subscriptions(u32, Option<usize>),
    Listeners(usize),
    /// How many are left.
    Watchers(usize),
    Providers(u32),
    /// What listeners were told of.
    Assignments(u32),
}

/// Something that goes on.
#[derive(Debug)]
pub(crate) enum Grant {
    Subscription {
        conn: ConnId,
        topic: Topic,
        name: Box<[u8]>,
        hash: u64,
    },
    Listener {
        conn: ConnId,
        topic: Topic,
        pattern: Box<str>,
    },
    Watcher {
        conn: ConnId,
    },
    Provider {
        conn: ConnId,
        name: Box<[u8]>,
        hash: u64,
    },
    /// A listener was told of a name, and is asked for it or provides it.
    Assignment {
        attempt: AttemptId,
        conn: ConnId,
        topic: Topic,
        name: Box<[u8]>,
    },
}

impl Grant {
    /// Who asked for it, by which right, with what.
    fn asked(&self) -> (ConnId, Right, Action, Option<&[u8]>) {
        match self {
            Self::Subscription { conn, topic: Topic::Event, name, .. } => {
                (*conn, Right::EventSubscribe, Action::EventSubscribe, Some(name))
            }
            Self::Subscription { conn, topic: Topic::Presence, name, .. } => {
                (*conn, Right::PresenceAllow, Action::PresenceSubscribe, Some(name))
            }
            // Clients tell their record of a denial by this action.
            Self::Subscription { conn, name, .. } => {
                (*conn, Right::RecordRead, Action::RecordSubscribeCreateAndRead, Some(name))
            }
            Self::Listener { conn, topic, pattern } => {
                let (right, action) = listening(*topic);
                (*conn, right, action, Some(pattern.as_bytes()))
            }
            Self::Assignment { conn, topic, name, .. } => {
                let (right, action) = listening(*topic);
                (*conn, right, action, Some(name))
            }
            Self::Watcher { conn } => (*conn, Right::PresenceAllow, Action::PresenceSubscribeAll, None),
            Self::Provider { conn, name, .. } => (*conn, Right::RpcProvide, Action::RpcProvide, Some(name)),
        }
    }
}

impl Shard {
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
                self.permit.reauthorization_timer = self.set_timer(rest, TimerKey::Reauthorization);
                return;
            }
            left -= 1;
            let (next, grant) = self.next_grant(reauthorization);
            self.permit.reauthorization = next;
            if let Some(grant) = grant {
                self.reauthorize(grant, Found::default());
            }
            if next.is_none() {
                self.offer_anew();
            }
        }
    }

    /// What is judged next, and how far the round is then.
    fn next_grant(&self, reauthorization: Reauthorization) -> (Option<Reauthorization>, Option<Grant>) {
        match reauthorization {
            Reauthorization::Subscriptions(slot, _) if slot >= self.delivery.subscribers.slots() => {
                (Some(Reauthorization::Listeners(0)), None)
            }
            Reauthorization::Subscriptions(slot, left) => {
                let count = self.delivery.subscribers.count_at(slot);
                // From the last to the first: one that ends gives its place to the last.
                let Some(place) = left.unwrap_or(count).min(count).checked_sub(1) else {
                    return (Some(Reauthorization::Subscriptions(slot + 1, None)), None);
                };
                let next = Some(Reauthorization::Subscriptions(slot, Some(place)));
                let conn = self.delivery.sessions.id_at(slot);
                let grant = conn.zip(self.delivery.subscribers.subscription(slot, place)).map(|(conn, name)| {
                    Grant::Subscription { conn, topic: name.topic, name: name.name.clone(), hash: name.hash }
                });
                (next, grant)
            }
            Reauthorization::Listeners(place) if place >= self.listener_places() => {
                (Some(Reauthorization::Watchers(usize::MAX)), None)
            }
            Reauthorization::Listeners(place) => {
                let grant = self.listener_at(place).map(|(conn, topic, pattern)| Grant::Listener {
                    conn,
                    topic,
                    pattern: pattern.source().into(),
                });
                (Some(Reauthorization::Listeners(place + 1)), grant)
            }
            Reauthorization::Watchers(left) => match left.min(self.watchers.len()).checked_sub(1) {
                Some(place) => {
                    let grant = self.watchers.at(place).map(|conn| Grant::Watcher { conn });
                    (Some(Reauthorization::Watchers(place)), grant)
                }
                None => (Some(Reauthorization::Providers(0)), None),
            },
            Reauthorization::Providers(slot) if slot >= self.names.slots() => {
                (Some(Reauthorization::Assignments(0)), None)
            }
            Reauthorization::Providers(slot) => {
                (Some(Reauthorization::Providers(slot + 1)), self.granted_providers(slot))
            }
            Reauthorization::Assignments(slot) if slot >= self.names.slots() => (None, None),
            Reauthorization::Assignments(slot) => {
                (Some(Reauthorization::Assignments(slot + 1)), self.granted_assignment(slot))
            }
        }
    }

    /// The last of a name's providers, where there is one: the others are taken with it, see [`Shard::reauthorize`].
    fn granted_providers(&self, slot: u32) -> Option<Grant> {
        let name = self.names.get(slot)?;
        let conn = name.providers().last()?.conn;
        Some(Grant::Provider { conn, name: name.name.clone(), hash: name.hash })
    }

    /// Judges what goes on by the rules in force, and ends it if they do not allow it.
    pub(super) fn reauthorize(&mut self, grant: Grant, found: Found) {
        if let Grant::Provider { name, hash, .. } = &grant
            && found.is_new()
        {
            let others = self.names.find(Topic::Rpc, name, *hash).map(|slot| {
                let providers = self.names.at(slot).providers();
                providers.iter().rev().skip(1).map(|provider| provider.conn).collect::<Vec<_>>()
            });
            for conn in others.unwrap_or_default() {
                let other = Grant::Provider { conn, name: name.clone(), hash: *hash };
                self.reauthorize_one(other, Found::default());
            }
        }
        self.reauthorize_one(grant, found);
    }

    /// A subscription began by a message that went by older rules than those in force.
    pub(crate) fn reauthorize_subscription(&mut self, conn: ConnId, reply_to: ReplyTo) {
        if let Some(name) = self.delivery.subscribers.name_of(reply_to) {
            let (topic, name, hash) = (name.topic, name.name.clone(), name.hash);
            self.reauthorize_one(Grant::Subscription { conn, topic, name, hash }, Found::default());
        }
    }

    pub(super) fn reauthorize_one(&mut self, grant: Grant, mut found: Found) {
        if let Grant::Subscription { conn, topic, name, hash } = &grant
            && *hash != hash_name(&self.hasher, name)
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
        let mut question = Question::of(conn, reply_to, &message, &Run::default());
        question.name = name;
        question.hash = name.map_or(0, |name| hash_name(&self.hasher, name));
        question.listened = matches!(grant, Grant::Assignment { .. });
        let mut steps = Steps::default();
        // The action of the plain subscription, whatever it was asked for with.
        let plain = if right == Right::RecordRead { Action::RecordSubscribe } else { action };
        steps.add(right, plain);
        match self.judge_grant(&question, &steps, &mut found) {
            Judgement::Yes => {}
            Judgement::No(denial) => self.end_grant(&grant, denial),
            Judgement::HostRequest | Judgement::Load => self.hold_grants(grant, found),
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
            Grant::Subscription { topic, name, hash, .. } => {
                let before = self.delivery.subscribers.count_of(conn);
                if self.delivery.sessions.get(conn).is_some()
                    && let Some(left) = self.delivery.subscribers.unsubscribe(conn, *topic, name, *hash)
                {
                    self.leave(conn, left);
                }
                self.delivery.subscribers.count_of(conn) < before
            }
            Grant::Listener { topic, pattern, .. } => self.end_listening(conn, *topic, pattern),
            // It listens on, to other names: it is told to stop, and nothing else.
            Grant::Assignment { attempt, .. } => return self.end_assignment(*attempt),
            Grant::Watcher { .. } => {
                let before = self.watchers.len();
                self.unsubscribe_all(conn);
                self.watchers.len() < before
            }
            Grant::Provider { name, hash, .. } => {
                let slot = self.names.find(Topic::Rpc, name, *hash);
                let provides =
                    |&slot: &u32| self.names.at(slot).providers().iter().any(|provider| provider.conn == conn);
                let slot = slot.filter(provides);
                slot.is_some_and(|slot| {
                    self.end_providing(conn, slot);
                    true
                })
            }
        };
        if went_on {
            self.tell_denial(conn, &Message::about(action, name.unwrap_or_default()), name, denial);
        }
    }
}
