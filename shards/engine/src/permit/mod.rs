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

mod deny;
mod everybody;
mod filter;
mod guard;
mod judge;
mod local;
mod reauthorize;
mod rule_lookup;
mod sampler;
mod shadow;
pub(crate) mod state;

use crate::context::TimerKey;
use crate::ident::ConnId;
use crate::packet::{Identity, Lane, Packet, ReplyTo};
use crate::permissions::Permissions;
use crate::sides::{Sides, ToEdge, ToOwner};
use crate::timer::TimerId;
pub(crate) use deepstream_valve::Document;
use deepstream_valve::Right;
use deepstream_wire::{Action, Message};
pub(crate) use deny::Denial;
use smallvec::SmallVec;
use state::is_newer;
pub(crate) use state::{FindOrLoad, FindResident, Found, Grant, Permit, RuleReader, listening};
use std::sync::Arc;

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
    pub(crate) fn of(conn: ConnId, reply_to: ReplyTo, message: &'a Message<&'a [u8]>) -> Self {
        Self {
            conn,
            reply_to,
            who: None,
            message,
            name: Some(message.name()),
            hash: message.head.name_hash,
            listened: false,
            slot: None,
            failed: false,
        }
    }

    /// The name, and whether a pattern matches it, by which its rule is chosen.
    fn named(&self) -> (Option<&'a [u8]>, bool) {
        (self.name, self.listened)
    }

    /// Whether a connection may listen to a name by that name, under the rules of this generation.
    pub(crate) fn of_listened(conn: ConnId, rules: u32, message: &'a Message<&'a [u8]>, hash: u64) -> Self {
        let reply_to = ReplyTo { rules, ..ReplyTo::default() };
        Self { hash, listened: true, ..Self::of(conn, reply_to, message) }
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
    /// Records that the rule refers to were asked for, and have to come first.
    LookUp,
}

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// Other rules are in force from here on. They may have come from another core first; the others are told ahead of whatever
    /// goes by them.
    pub(crate) fn adopt(&mut self, permissions: Arc<Permissions>) {
        let (present, generation) = (self.permit.rules.generation, permissions.generation);
        if !is_newer(generation, present) {
            if generation != present {
                self.permit.remember(permissions);
            }
            return;
        }
        for core in self.cx.peers() {
            self.cx.outputs.post(core, Lane::Requests, Packet::Rules(permissions.clone()));
        }
        self.tell_shadow();
        self.permit.differences.tell_at_most(permissions.shadow.as_ref().map_or(0, |new| new.samples_per_minute_max));
        let past = std::mem::replace(&mut self.permit.rules, permissions);
        self.permit.remember(past);
        self.owner.rules_changed(self.permit.has_rules(), self.permit.guarded());
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
            self.permit.sweep_timer = self.cx.set_timer(self.permit.rules.sweep_ns, TimerKey::Choices);
        }
    }
}
