//! What takes longer than a turn may: the names that a new pattern matches, those that a provider leaves behind, and those
//! to be tried again. Done in slices, taking turns.

use super::search::is_listened;
use crate::ident::ConnId;
use crate::packet::Tag;
use crate::shard::{Shard, TimerKey};
use crate::timer::TimerId;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// A new listener is asked for the subscribed names that match and have no provider.
    Scan { listener: u32, order: u64, conn: ConnId, tag: Tag, cursor: u32 },
    /// The names of a listener that is gone are handed over.
    HandOver { listener: u32, conn: ConnId, tag: Tag },
    /// Subscribed names without provider are searched for again.
    Rematch { cursor: u32 },
}

/// Cost of one slice, in the units below: a fraction of a millisecond.
const SLICE: usize = 1 << 15;
/// Cost of passing a name that is not meant.
const PASS: usize = 1;
/// Cost of comparing a name with a pattern, beside its length and the pattern's size.
const COMPARE: usize = 16;
/// Cost of looking a name up among all patterns, and asking.
const SEARCH: usize = 128;
/// Questions put to one listener by a scan and not answered yet, above which the scan rests.
const UNANSWERED_MAX: usize = 1000;

impl Shard {
    /// Begins some work; done at once if it is little and nothing else is in line.
    pub(super) fn work_on(&mut self, work: impl IntoIterator<Item = Work>) {
        self.listening.work.extend(work);
        if self.listening.work_timer == TimerId::NONE {
            self.go_on_listening();
        }
    }

    /// Does a slice of the work in line, and sees to it that the rest is gone on with.
    pub(crate) fn go_on_listening(&mut self) {
        self.listening.work_timer = TimerId::NONE;
        let mut budget = SLICE;
        for _ in 0..self.listening.work.len() {
            let Some(work) = self.listening.work.pop_front() else { break };
            if let Some(rest) = self.slice(work, &mut budget) {
                self.listening.work.push_back(rest);
            }
            if budget == 0 {
                break;
            }
        }
        self.note_slow_patterns();
        if !self.listening.work.is_empty() && self.listening.work_timer == TimerId::NONE {
            self.listening.work_timer = self.set_timer(0, TimerKey::ListenWork);
        }
    }

    /// A slice of one piece of work; what is left of it.
    fn slice(&mut self, work: Work, budget: &mut usize) -> Option<Work> {
        match work {
            Work::Scan { listener, order, conn, tag, mut cursor } => {
                while self.is_listening(listener, order) && cursor < self.names.slots() {
                    if *budget == 0 || self.listening.listeners[listener as usize].asked >= UNANSWERED_MAX {
                        return Some(Work::Scan { listener, order, conn, tag, cursor });
                    }
                    *budget = budget.saturating_sub(self.scan(listener, cursor));
                    cursor += 1;
                }
                self.settle_at_edge(conn, tag, false, None);
            }
            Work::HandOver { listener, conn, tag } => {
                while let Some(&slot) = self.listening.listeners[listener as usize].names.last() {
                    if *budget == 0 {
                        return Some(work);
                    }
                    *budget = budget.saturating_sub(SEARCH);
                    self.lost(slot);
                }
                self.listening.listeners.remove(listener as usize);
                self.settle_at_edge(conn, tag, false, None);
            }
            Work::Rematch { mut cursor } => {
                while cursor < self.names.slots() && !self.listening.is_empty() {
                    if *budget == 0 {
                        return Some(Work::Rematch { cursor });
                    }
                    *budget = budget.saturating_sub(self.rematch(cursor));
                    cursor += 1;
                }
            }
        }
        None
    }

    fn is_listening(&self, listener: u32, order: u64) -> bool {
        let listener = self.listening.listeners.get(listener as usize);
        listener.is_some_and(|listener| listener.order == order && !listener.leaving)
    }

    /// Whether a slot holds a subscribed name that nobody provides or is asked for.
    fn is_unprovided(&self, slot: u32) -> bool {
        let name = self.names.get(slot);
        name.is_some_and(|name| is_listened(name.topic) && !name.interest.is_empty() && name.provision.is_none())
    }

    /// One name for a new listener; what it cost.
    fn scan(&mut self, listener: u32, slot: u32) -> usize {
        if !self.is_unprovided(slot) || self.names.at(slot).topic != self.listening.listeners[listener as usize].topic {
            return PASS;
        }
        let name = &self.names.at(slot).name;
        let cost = COMPARE + name.len() * self.listening.listeners[listener as usize].pattern.states() / 256;
        if !self.listening.listens_to(listener, name) {
            return cost;
        }
        self.search(slot, Some(listener));
        cost + SEARCH
    }

    fn rematch(&mut self, slot: u32) -> usize {
        let cooldown = self.options.listen_cooldown_ns;
        let now = self.delivery.now;
        if !self.is_unprovided(slot) || now.since(self.names.at(slot).search_failed_at) < cooldown {
            return PASS;
        }
        self.search(slot, None);
        SEARCH
    }

    /// Sets or cancels the timer of the next rematch: there is one as long as somebody listens.
    pub(super) fn watch_rematch(&mut self) {
        let Some(interval) = self.options.listen_rematch_ns else { return };
        if self.listening.is_empty() {
            self.timers.cancel(self.listening.rematch_timer);
            self.listening.rematch_timer = TimerId::NONE;
        } else if self.listening.rematch_timer == TimerId::NONE {
            self.listening.rematch_timer = self.set_timer(interval, TimerKey::ListenRematch);
        }
    }

    /// It is time to try names without provider again.
    pub(crate) fn rematch_due(&mut self) {
        self.listening.rematch_timer = TimerId::NONE;
        if self.listening.is_empty() {
            return;
        }
        self.watch_rematch();
        if !self.listening.work.iter().any(|work| matches!(work, Work::Rematch { .. })) {
            self.work_on([Work::Rematch { cursor: 0 }]);
        }
    }
}
