//! What takes longer than a turn may: the names that new patterns match, those that a provider leaves behind, and those to
//! be tried again. Done in slices, taking turns.
//!
//! All newcomers share one pass over the names, round and round: each goes once around from where it came in. A provider
//! that comes with thousands of patterns costs one round, not thousands. Whoever is slow to answer leaves the pass and goes
//! the rest of its way alone, holding up nobody.

use super::registry::Listener;
use super::search::is_listened;
use crate::context::TimerKey;
use crate::ident::ConnId;
use crate::owner::Owner;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge};
use crate::timer::TimerId;
use std::collections::BTreeSet;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Newcomers are asked for the subscribed names that match and have no provider.
    Pass,
    /// The same for one that left the pass.
    Alone { newcomer: Newcomer, cursor: u32 },
    /// The names of a listener that is gone are handed over.
    HandOver { listener: u32, conn: ConnId, reply_to: ReplyTo },
    /// Subscribed names without provider are searched for again; `anew`: also those that were just searched for in vain.
    Rematch { cursor: u32, anew: bool },
}

/// A new listener on its way around the names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) listener: u32,
    pub(super) order: u64,
    conn: ConnId,
    reply_to: ReplyTo,
    /// Where it came in.
    start: u32,
    /// It passed the end of the table, and is once around when it is at `start` again.
    wrapped: bool,
    /// It goes on alone, and is acknowledged at the end of its own way.
    apart: bool,
}

impl Newcomer {
    fn is_around(&self, cursor: u32) -> bool {
        self.wrapped && cursor >= self.start
    }
}

/// Cost of one slice, in the units below: a fraction of a millisecond.
const SLICE: usize = 1 << 15;
/// Cost of passing a name that is not meant.
const PASS: usize = 1;
/// Cost of comparing a name with a pattern, beside its length and the pattern's size.
const COMPARE: usize = 16;
/// Cost of looking a name up among all patterns, and asking.
const SEARCH: usize = 128;
/// Questions not answered yet above which no work puts further ones: to a newcomer on its way, to all listeners for a
/// hand-over or a rematch, of which nobody knows who will be asked.
const UNANSWERED_MAX: usize = 1000;
/// How long work rests that waits for answers alone.
const REST_NS: u64 = 1_000_000;
/// Newcomers up to which a name is compared with each of their patterns instead of being looked up among all.
pub(super) const FEW: usize = 8;

impl<E: ToEdge> Sides<E, Owner> {
    /// Begins some work; done at once if it is little and nothing else is in line.
    pub(super) fn work_on(&mut self, work: impl IntoIterator<Item = Work>) {
        self.owner.listening.work.extend(work);
        if self.owner.listening.work_timer == TimerId::NONE {
            self.go_on_listening();
        }
    }

    /// The same, but not at once: in the middle of something else.
    fn work_later(&mut self, work: Work) {
        self.owner.listening.work.push_back(work);
        if self.owner.listening.work_timer == TimerId::NONE {
            self.owner.listening.work_timer = self.cx.set_timer(0, TimerKey::ListenWork);
        }
    }

    /// A new listener is asked for the names subscribed to before it came; acknowledged when it was.
    pub(super) fn welcome(&mut self, listener: u32, conn: ConnId, reply_to: ReplyTo) {
        let state = &mut self.owner.listening.listeners[listener as usize];
        state.in_pass = true;
        let newcomer = Newcomer {
            listener,
            order: state.order,
            conn,
            reply_to,
            start: self.owner.listening.cursor,
            wrapped: false,
            apart: false,
        };
        self.owner.listening.newcomers.push_back(newcomer);
        if self.owner.listening.newcomers.len() == 1 {
            self.work_on([Work::Pass]);
        }
    }

    /// A listener has answered enough to be asked more.
    pub(super) fn wake_newcomer(&mut self, listener: u32) {
        let state = &mut self.owner.listening.listeners[listener as usize];
        if state.asked > UNANSWERED_MAX / 2 {
            return;
        }
        if let Some((newcomer, cursor)) = state.resting.take() {
            self.work_later(Work::Alone { newcomer, cursor });
        }
    }

    /// Does a slice of the work in line, and sees to it that the rest is gone on with.
    pub(crate) fn go_on_listening(&mut self) {
        self.owner.listening.work_timer = TimerId::NONE;
        let mut budget = SLICE;
        for _ in 0..self.owner.listening.work.len() {
            let Some(work) = self.owner.listening.work.pop_front() else { break };
            if let Some(rest) = self.slice(work, &mut budget) {
                self.owner.listening.work.push_back(rest);
            }
            if budget == 0 {
                break;
            }
        }
        self.note_slow_patterns();
        if !self.owner.listening.work.is_empty() && self.owner.listening.work_timer == TimerId::NONE {
            let rest_ns = if budget == SLICE { REST_NS } else { 0 };
            self.owner.listening.work_timer = self.cx.set_timer(rest_ns, TimerKey::ListenWork);
        }
    }

    /// A slice of one piece of work; what is left of it.
    fn slice(&mut self, work: Work, budget: &mut usize) -> Option<Work> {
        match work {
            Work::Pass => {
                while self.passed_on() {
                    if *budget == 0 {
                        return Some(work);
                    }
                    *budget = budget.saturating_sub(self.pass());
                    self.owner.listening.cursor += 1;
                }
            }
            Work::Alone { mut newcomer, mut cursor } => {
                while self.is_listening(&newcomer) && !newcomer.is_around(cursor) {
                    if cursor >= self.owner.names.slots() {
                        newcomer.wrapped = true;
                        cursor = 0;
                        continue;
                    }
                    if *budget == 0 {
                        return Some(Work::Alone { newcomer, cursor });
                    }
                    let listener = &mut self.owner.listening.listeners[newcomer.listener as usize];
                    if listener.asked >= UNANSWERED_MAX {
                        listener.resting = Some((newcomer, cursor));
                        return None;
                    }
                    *budget = budget.saturating_sub(self.scan(newcomer.listener, cursor));
                    cursor += 1;
                }
                self.settle_at_edge(newcomer.conn, newcomer.reply_to, false, None);
            }
            Work::HandOver { listener, conn, reply_to } => {
                while let Some(&slot) = self.owner.listening.listeners[listener as usize].names.last() {
                    // What the listener itself was asked is answered by its going.
                    let asked = self.owner.listening.asked - self.owner.listening.listeners[listener as usize].asked;
                    if *budget == 0 || asked >= UNANSWERED_MAX {
                        return Some(work);
                    }
                    *budget = budget.saturating_sub(SEARCH);
                    self.lost(slot);
                }
                let left = self.owner.listening.listeners.remove(listener as usize);
                if let Some((newcomer, _)) = left.resting {
                    self.settle_at_edge(newcomer.conn, newcomer.reply_to, false, None);
                }
                self.settle_at_edge(conn, reply_to, false, None);
            }
            Work::Rematch { mut cursor, anew } => {
                while cursor < self.owner.names.slots() && !self.owner.listening.is_empty() {
                    if *budget == 0 || self.owner.listening.asked >= UNANSWERED_MAX {
                        return Some(Work::Rematch { cursor, anew });
                    }
                    *budget = budget.saturating_sub(self.rematch(cursor, anew));
                    cursor += 1;
                }
            }
        }
        None
    }

    fn is_listening(&self, newcomer: &Newcomer) -> bool {
        let listener = self.owner.listening.listeners.get(newcomer.listener as usize);
        listener.is_some_and(|listener| listener.order == newcomer.order && !listener.leaving)
    }

    /// Dismisses who is once around; whether there is a name to pass, at the cursor, and somebody to pass it.
    fn passed_on(&mut self) -> bool {
        if self.owner.listening.cursor >= self.owner.names.slots() {
            self.owner.listening.cursor = 0;
            self.owner.listening.newcomers.iter_mut().for_each(|newcomer| newcomer.wrapped = true);
        }
        while let Some(&newcomer) = self.owner.listening.newcomers.front() {
            let listens = self.is_listening(&newcomer);
            if listens && !newcomer.is_around(self.owner.listening.cursor) {
                return true;
            }
            self.owner.listening.newcomers.pop_front();
            if listens {
                self.owner.listening.listeners[newcomer.listener as usize].in_pass = false;
            }
            if !newcomer.apart {
                self.settle_at_edge(newcomer.conn, newcomer.reply_to, false, None);
            }
        }
        self.owner.listening.cursor = 0;
        false
    }

    /// Whether a slot holds a subscribed name that nobody provides or is asked for.
    fn is_unprovided(&self, slot: u32) -> bool {
        let name = self.owner.names.get(slot);
        name.is_some_and(|name| is_listened(name.topic()) && !name.interest.is_empty() && name.assignment().is_none())
    }

    /// The name at the cursor for all newcomers; what it cost.
    fn pass(&mut self) -> usize {
        let slot = self.owner.listening.cursor;
        if !self.is_unprovided(slot) {
            return PASS;
        }
        let name = self.owner.names.at(slot);
        let lone = name.interest.only();
        let tried = self.owner.listening.line_up_newcomers(name.topic(), &name.name, lone);
        let mut cost = if tried > FEW { SEARCH } else { tried * COMPARE };
        let mut denied = BTreeSet::new();
        while let Some(listener) = self.owner.listening.next_newcomer(&denied) {
            let Listener { asked, conn, .. } = self.owner.listening.listeners[listener as usize];
            if asked >= UNANSWERED_MAX {
                self.leave_pass(listener);
                continue;
            }
            cost += SEARCH;
            if self.ask_first(slot, listener) {
                break;
            }
            denied.insert(conn);
        }
        cost.max(PASS)
    }

    /// A newcomer that does not answer goes on alone, once it does.
    fn leave_pass(&mut self, listener: u32) {
        let cursor = self.owner.listening.cursor;
        let state = &mut self.owner.listening.listeners[listener as usize];
        state.in_pass = false;
        let place = self.owner.listening.newcomers.binary_search_by_key(&state.order, |newcomer| newcomer.order);
        let Ok(place) = place else { return };
        let newcomer = &mut self.owner.listening.newcomers[place];
        newcomer.apart = true;
        state.resting = Some((*newcomer, cursor));
    }

    /// One name for one newcomer; what it cost.
    fn scan(&mut self, listener: u32, slot: u32) -> usize {
        let Listener { topic, conn, .. } = self.owner.listening.listeners[listener as usize];
        if !self.is_unprovided(slot) || self.owner.names.at(slot).topic() != topic {
            return PASS;
        }
        let name = &self.owner.names.at(slot).name;
        let cost = COMPARE + name.len() * self.owner.listening.listeners[listener as usize].pattern.states() / 256;
        if self.owner.names.at(slot).interest.only() == Some(conn) || !self.owner.listening.listens_to(listener, name) {
            return cost;
        }
        self.ask_first(slot, listener);
        cost + SEARCH
    }

    fn rematch(&mut self, slot: u32, anew: bool) -> usize {
        let cooldown = if anew { 0 } else { self.cx.options.listen_cooldown_ns };
        let now = self.cx.outputs.now;
        if anew {
            self.widen_search(slot);
        }
        if !self.is_unprovided(slot)
            || self.owner.names.at(slot).listened().is_some_and(|it| now.since(it.search_failed_at) < cooldown)
        {
            return PASS;
        }
        self.search(slot);
        SEARCH
    }

    /// Sets or cancels the timer of the next rematch: there is one as long as somebody listens.
    pub(super) fn watch_rematch(&mut self) {
        let Some(interval) = self.cx.options.listen_rematch_ns else { return };
        if self.owner.listening.is_empty() {
            self.cx.timers.cancel(self.owner.listening.rematch_timer);
            self.owner.listening.rematch_timer = TimerId::NONE;
        } else if self.owner.listening.rematch_timer == TimerId::NONE {
            self.owner.listening.rematch_timer = self.cx.set_timer(interval, TimerKey::ListenRematch);
        }
    }

    /// It is time to try names without provider again.
    pub(crate) fn rematch_due(&mut self) {
        self.owner.listening.rematch_timer = TimerId::NONE;
        if self.owner.listening.is_empty() {
            return;
        }
        self.watch_rematch();
        if !self.owner.listening.work.iter().any(|work| matches!(work, Work::Rematch { anew: false, .. })) {
            self.work_on([Work::Rematch { cursor: 0, anew: false }]);
        }
    }

    /// All names without provider are tried again, from the first on.
    pub(crate) fn search_all_anew(&mut self) {
        if self.owner.listening.is_empty() {
            return;
        }
        self.owner.listening.work.retain(|work| !matches!(work, Work::Rematch { anew: true, .. }));
        self.work_later(Work::Rematch { cursor: 0, anew: true });
    }
}
