//! Who may do what: from a message to a rule, from the rule to a verdict. The only caller of `valve`.
//!
//! *Owns* the rules in force, those before them, and what waits for records that rules refer to. *Promises* that every
//! message is judged whole by the rules that were in force where it came in, by the owner of its name, in the order of its
//! name; that a rule which fails, or cannot have what it refers to, denies within bounded time. *Does not* tell a client
//! why: that is for the log.
//!
//! Who is told what a record says is tabled, message by message, in `DISCLOSURE.md` of this crate.
//!
//! Rules of one core may be newer than those of another for an instant. A message carries the generation of its edge, and
//! cores tell each other of new rules ahead of the first message that goes by them. So an owner always knows the rules that a
//! message goes by, unless it has forgotten them: that many swaps would have to happen while the message is on its way.

mod begin;
mod deny;
mod everybody;
mod guard;
mod judge;
mod local;
mod reauthorize;
mod rule_lookup;
mod sampler;
mod shadow;

use crate::ident::{ConnId, Nanos};
use crate::owner::park::Run;
use crate::packet::{Identity, Lane, Packet, ReplyTo};
use crate::permissions::{Permissions, RuleLookupId, ShadowTally};
use crate::shard::{Shard, TimerKey};
use crate::tape::Kind;
use crate::timer::TimerId;
pub(crate) use deepstream_valve::Document;
use deepstream_valve::{Choices, Right, Ruleset};
use deepstream_wire::{Action, Message};
pub(crate) use deny::Denial;
pub(crate) use reauthorize::Grant;
use reauthorize::Reauthorization;
pub(crate) use rule_lookup::{Found, RuleLookup};
use sampler::Sampler;
use slab::Slab;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many generations of rules are remembered beside those in force.
const PAST_MAX: usize = 4;

/// Generations are counted round.
fn is_newer(generation: u32, than: u32) -> bool {
    (1..=u32::MAX / 2).contains(&generation.wrapping_sub(than))
}

/// A shard's side of it.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The rules in force.
    rules: Arc<Permissions>,
    /// Some of those before, the latest last. Cores may hear of rules in another order than they were made in.
    past: VecDeque<Arc<Permissions>>,
    /// Whether any of these has rules.
    judges: bool,
    choices: Choices,
    shadow_choices: Choices,
    sweep_timer: TimerId,
    rule_lookups: Slab<RuleLookup>,
    rule_lookup_generation: u32,
    /// Names at which messages wait for records that rules refer to.
    busy_names: usize,
    /// Rule lookups that are complete, to be gone on with.
    complete: VecDeque<RuleLookupId>,
    /// What goes on from before the present rules and was not judged by them yet.
    reauthorization: Option<Reauthorization>,
    reauthorization_timer: TimerId,
    /// Of which generation's rules the log was told that they gave neither true nor false, and which.
    odd: (u32, Vec<bool>),
    /// Rules that failed, as far as the log is told.
    failures: Sampler,
    /// What a candidate judges otherwise, as far as the log is told.
    differences: Sampler,
    /// What came of earlier candidates.
    shadow_before: ShadowTally,
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
            busy_names: 0,
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
    fn is_newly_odd(&mut self, generation: u32, rule: u32) -> bool {
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
    fn of(&self, generation: u32) -> &Permissions {
        if generation == self.rules.generation {
            return &self.rules;
        }
        self.past.iter().rev().find(|past| past.generation == generation).unwrap_or(&self.rules)
    }

    /// Rules are in force no more, or were never here.
    fn remember(&mut self, past: Arc<Permissions>) {
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

/// A message that is to be judged.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) conn: ConnId,
    pub(crate) reply_to: ReplyTo,
    /// Who said it, if it waited; otherwise the connection is asked.
    pub(crate) who: Option<Arc<Identity>>,
    pub(crate) message: &'a Message<&'a [u8]>,
    /// `None`: everybody is meant.
    pub(crate) name: Option<&'a [u8]>,
    pub(crate) hash: u64,
    /// The name is one that a pattern matches to which somebody listens.
    pub(crate) listened: bool,
    /// The record's, where it is about one.
    pub(crate) slot: Option<u32>,
    /// Storage failed: what would have to be fetched cannot be.
    pub(crate) failed: bool,
}

impl<'a> Question<'a> {
    pub(crate) fn of(conn: ConnId, reply_to: ReplyTo, message: &'a Message<&'a [u8]>, run: &Run) -> Self {
        Self {
            conn,
            reply_to,
            who: run.who.clone(),
            message,
            name: Some(message.name()),
            hash: message.head.name_hash,
            listened: false,
            slot: None,
            failed: run.failed,
        }
    }

    /// The name, and whether a pattern matches it, by which its rule is chosen.
    fn named(&self) -> (Option<&'a [u8]>, bool) {
        (self.name, self.listened)
    }

    /// Whether a connection may listen to a name by that name, under the rules of this generation.
    pub(crate) fn of_listened(conn: ConnId, rules: u32, message: &'a Message<&'a [u8]>, hash: u64) -> Self {
        let reply_to = ReplyTo { rules, ..ReplyTo::default() };
        Self { hash, listened: true, ..Self::of(conn, reply_to, message, &Run::default()) }
    }
}

/// What a message needs to be allowed, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Steps(SmallVec<[(Right, Action); 3]>);

impl Steps {
    pub(crate) fn add(&mut self, right: Right, action: Action) {
        self.0.push((right, action));
    }

    /// The one that was refused.
    pub(crate) fn refused(&self, found: &Found) -> Option<Action> {
        self.0.get(usize::from(found.passed)).map(|&(_, action)| action)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Yes,
    No(Denial),
    /// The record itself has to be known first.
    Load,
    /// Records that the rule refers to were asked for.
    HostRequest,
}

impl Shard {
    /// Other rules are in force from here on. Tells the other cores ahead of whatever goes by them.
    pub fn adopt_permissions(&mut self, now: Nanos, permissions: Arc<Permissions>) {
        self.input(now, Kind::Adopted, &permissions);
        self.adopt(permissions);
    }

    /// See [`Shard::adopt_permissions`]; they may have come from another core first.
    pub(crate) fn adopt(&mut self, permissions: Arc<Permissions>) {
        let (present, generation) = (self.permit.rules.generation, permissions.generation);
        if !is_newer(generation, present) {
            if generation != present {
                self.permit.remember(permissions);
            }
            return;
        }
        for core in self.peers() {
            self.delivery.outputs.post(core, Lane::Requests, Packet::Rules(permissions.clone()));
        }
        self.tell_shadow();
        self.permit.differences.tell_at_most(permissions.shadow.as_ref().map_or(0, |new| new.samples_per_minute_max));
        let past = std::mem::replace(&mut self.permit.rules, permissions);
        self.permit.remember(past);
        self.filters.guard(self.permit.has_rules(), self.permit.guarded());
        self.reauthorize_all();
    }

    /// Forgets choices that were not used lately.
    pub(crate) fn sweep_choices(&mut self) {
        self.permit.choices.sweep();
        self.permit.shadow_choices.sweep();
        self.permit.sweep_timer = TimerId::NONE;
        self.watch_choices();
    }

    /// Sets the timer of the next sweep if there is anything to sweep.
    fn watch_choices(&mut self) {
        let Permit { sweep_timer, choices, shadow_choices, .. } = &self.permit;
        if *sweep_timer == TimerId::NONE && !(choices.is_empty() && shadow_choices.is_empty()) {
            self.permit.sweep_timer = self.set_timer(self.permit.rules.sweep_ns, TimerKey::Choices);
        }
    }
}
