//! What permission rules keep on a shard: the rules in force, what was chosen of them, and what waits for records.
//!
//! *Owns* the shapes; judging by them is the rest of this room. *Does not* know either side of the shard.

use crate::ident::{AttemptId, ConnId, Nanos, Place};
use crate::permissions::{Permissions, RuleLookupId, ShadowTally};
use crate::timer::TimerId;
use bytes::Bytes;
use deepstream_valve::{Choices, Right, Ruleset};
use deepstream_wire::{Action, Message, Topic};
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many generations of rules are remembered beside those in force.
const PAST_MAX: usize = 4;

/// Generations are counted round.
pub(super) fn is_newer(generation: u32, than: u32) -> bool {
    (1..=u32::MAX / 2).contains(&generation.wrapping_sub(than))
}

/// A shard's side of it.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The rules in force.
    pub(super) rules: Arc<Permissions>,
    /// Some of those before, the latest last. Cores may hear of rules in another order than they were made in.
    pub(super) past: VecDeque<Arc<Permissions>>,
    /// Whether any of these has rules.
    pub(super) judges: bool,
    pub(super) choices: Choices,
    pub(super) shadow_choices: Choices,
    pub(super) sweep_timer: TimerId,
    pub(super) rule_lookups: Slab<RuleLookup>,
    pub(super) rule_lookup_generation: u32,
    /// Rule lookups that are complete, to be gone on with.
    pub(super) complete: VecDeque<RuleLookupId>,
    /// What goes on from before the present rules and was not judged by them yet.
    pub(super) reauthorization: Option<Reauthorization>,
    pub(super) reauthorization_timer: TimerId,
    /// Of which generation's rules the log was told that they gave neither true nor false, and which.
    pub(super) odd: (u32, Vec<bool>),
    /// Rules that failed, as far as the log is told.
    pub(super) failures: Sampler,
    /// What a candidate judges otherwise, as far as the log is told.
    pub(super) differences: Sampler,
    /// What came of earlier candidates.
    pub(super) shadow_before: ShadowTally,
}

/// Failed rules that the log is told in a second; the others are counted.
const FAILURES_TOLD_MAX: u32 = 10;

impl Permit {
    pub(crate) fn new(rules: Arc<Permissions>) -> Self {
        let samples = rules.shadow.as_ref().map_or(0, |shadow| shadow.samples_per_minute_max);
        Self {
            judges: rules.judges(),
            past: VecDeque::with_capacity(PAST_MAX),
            rules,
            choices: Choices::default(),
            shadow_choices: Choices::default(),
            sweep_timer: TimerId::NONE,
            rule_lookups: Slab::new(),
            rule_lookup_generation: 0,
            complete: VecDeque::new(),
            reauthorization: None,
            reauthorization_timer: TimerId::NONE,
            odd: (0, Vec::new()),
            failures: Sampler::new(FAILURES_TOLD_MAX, 1_000_000_000),
            differences: Sampler::new(samples, 60_000_000_000),
            shadow_before: ShadowTally::default(),
        }
    }

    /// Whether there is anything to judge by.
    #[inline]
    pub(crate) fn judges(&self) -> bool {
        self.judges
    }

    /// The rules in force, if there are any.
    pub(crate) fn ruleset(&self) -> Option<&Ruleset> {
        self.rules.ruleset.as_deref()
    }

    /// Whether this is the first time that a rule in force gives neither true nor false.
    pub(super) fn is_newly_odd(&mut self, generation: u32, rule: u32) -> bool {
        let rules = &self.rules;
        if generation != rules.generation {
            return false;
        }
        let (of, told) = &mut self.odd;
        if *of != generation || told.is_empty() {
            *of = generation;
            told.clear();
            told.resize(rules.ruleset.as_ref().map_or(0, |ruleset| ruleset.rules().len()), false);
        }
        told.get_mut(rule as usize).is_some_and(|told| !std::mem::replace(told, true))
    }

    /// Of the rules in force.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.rules.generation
    }

    /// The rules a message goes by; the present ones if it is so old that its own are gone.
    pub(super) fn of(&self, generation: u32) -> &Permissions {
        if generation == self.rules.generation {
            return &self.rules;
        }
        self.past.iter().rev().find(|past| past.generation == generation).unwrap_or(&self.rules)
    }

    /// Rules are in force no more, or were never here.
    pub(super) fn remember(&mut self, past: Arc<Permissions>) {
        if self.past.iter().any(|known| known.generation == past.generation) {
            return;
        }
        let newer = |known: &Arc<Permissions>| is_newer(known.generation, past.generation);
        let place = self.past.iter().position(newer).unwrap_or(self.past.len());
        self.past.insert(place, past);
        if self.past.len() > PAST_MAX {
            self.past.pop_front();
        }
        self.judges = self.rules.judges() || self.past.iter().any(|past| past.judges());
    }

    /// Whether rules are in force, or were when a message began its way that is not there yet.
    pub(crate) fn has_rules(&self) -> bool {
        self.rules.ruleset.is_some() || self.past.iter().any(|past| past.ruleset.is_some())
    }

    /// Whether a record is nobody's, unless a rule names its table.
    pub(crate) fn guards(&self, right: Right, name: &[u8]) -> bool {
        self.rules.guard_of(right, Some(name)).is_some()
    }

    /// Tables of which no filter is told anything.
    pub(crate) fn guarded(&self) -> &[Box<[u8]>] {
        &self.rules.guarded
    }

    /// Messages, names and whole connections that wait for records.
    pub(crate) fn rule_lookup_count(&self) -> usize {
        self.rule_lookups.len()
    }

    /// Timers that stand for memory of choices and for lines of the log, not for work.
    pub(crate) fn idle_timers(&self) -> usize {
        [self.sweep_timer != TimerId::NONE, self.failures.waits(), self.differences.waits()]
            .map(usize::from)
            .iter()
            .sum()
    }
}

/// How far a message's judgement came.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The rules by which it is judged.
    pub(super) rules: u32,
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
    pub(super) reloaded: bool,
    pub(super) rule_lookup: Option<RuleLookupId>,
}

/// What is known of a record.
#[derive(Debug)]
pub(crate) enum RecordState {
    Coming,
    Missing,
    /// In memory, as long as nothing waits.
    Here(u32),
    Copy(Bytes),
}

impl Found {
    /// A message is judged, or gone on with. By other rules it begins anew.
    pub(crate) fn begin(&mut self, rules: u32) {
        if self.rules != rules {
            (self.rules, self.passed, self.round, self.counts_rounds) = (rules, 0, 0, false);
        }
    }

    /// Nothing was asked for yet.
    pub(crate) fn is_new(&self) -> bool {
        self.records.is_empty()
    }

    /// A step was allowed.
    pub(crate) fn next(&mut self) {
        self.passed += 1;
        (self.round, self.counts_rounds) = (0, false);
    }

    /// The same, where the message's own record was read from storage for it.
    pub(crate) fn of_reloaded(self, reloaded: bool) -> Self {
        Self { reloaded, ..self }
    }

    /// Whether it was.
    pub(crate) fn was_reloaded(&self) -> bool {
        self.reloaded
    }

    /// The present step begins anew and counts. Only the first `kept` of the records are known still.
    pub(crate) fn count_rounds(&mut self, kept: usize) {
        self.records.truncate(kept);
        (self.round, self.counts_rounds) = (0, true);
    }
}

/// The right to listen on a topic, and what it is asked with.
pub(crate) fn listening(topic: Topic) -> (Right, Action) {
    match topic {
        Topic::Record => (Right::RecordListen, Action::RecordListen),
        Topic::Event | Topic::Rpc | Topic::Presence | Topic::Parser | Topic::Connection | Topic::Auth => {
            (Right::EventListen, Action::EventListen)
        }
    }
}

/// A message that waits for records.
#[derive(Debug)]
pub(super) struct RuleLookup {
    pub(super) generation: u32,
    pub(super) outstanding: u32,
    pub(super) timer: TimerId,
    pub(super) found: Found,
    pub(super) then: Then,
}

/// What is gone on with.
#[derive(Debug)]
pub(super) enum Then {
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

/// A rule that waits for a record's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleReader {
    /// Where it is judged.
    pub(crate) core: Place,
    pub(crate) rule_lookup: RuleLookupId,
    /// Which of the rule lookup's records.
    pub(crate) place: u32,
}

/// What is known of a record at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FindOrLoad {
    /// The record of this slot, in memory.
    Here(u32),
    /// There is no such record.
    Missing,
    /// Storage was asked; the record of this slot can be waited for.
    Later(u32),
}

/// What is in memory of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FindResident {
    Here(u32),
    Missing,
    /// Storage would have to be asked.
    Unknown,
}

/// How far the round has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reauthorization {
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
    pub(super) fn asked(&self) -> (ConnId, Right, Action, Option<&[u8]>) {
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

/// Of what may happen for each message, as many lines for the log as somebody can read. The first of a stretch of time is told at
/// once; what is left out is counted, and the count told when the stretch is over.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Told per stretch.
    pub(super) told_max: u32,
    pub(super) stretch_ns: u64,
    pub(super) since: Nanos,
    pub(super) told: u32,
    pub(super) left_out: u64,
    pub(super) timer: TimerId,
}

impl Sampler {
    pub(crate) const fn new(told_max: u32, stretch_ns: u64) -> Self {
        Self { told_max, stretch_ns, since: Nanos(0), told: 0, left_out: 0, timer: TimerId::NONE }
    }

    /// Another number of them from here on; what was told in this stretch counts no more.
    pub(crate) fn tell_at_most(&mut self, told_max: u32) {
        (self.told_max, self.told) = (told_max, 0);
    }

    /// Whether this one is told; otherwise it is counted.
    pub(super) fn admits(&mut self, now: Nanos) -> bool {
        if self.timer == TimerId::NONE && now >= self.since.after(self.stretch_ns) {
            (self.since, self.told) = (now, 0);
        }
        if self.told < self.told_max {
            self.told += 1;
            return true;
        }
        self.left_out += 1;
        false
    }

    pub(super) fn end(&self) -> Nanos {
        self.since.after(self.stretch_ns)
    }

    /// Whether a timer stands for a count that is to be told.
    pub(crate) fn waits(&self) -> bool {
        self.timer != TimerId::NONE
    }
}
