//! A hierarchical timing wheel: insert and cancel in constant time, a tick costs what is due.
//!
//! *Owns* deadlines and the keys they were set with. *Promises* that a timer fires no earlier than its deadline and at
//! most one [`TICK_NS`] after the first [`Wheel::expire`] at or past it, in deadline order up to that grain, ties in
//! order of insertion within a slot. *Does not* look at a clock.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987).

use crate::ident::Nanos;
use slab::Slab;

/// The wheel's grain: about a millisecond.
pub(crate) const TICK_NS: u64 = 1 << 20;
const SLOTS_LOG2: u32 = 6;
const SLOTS: usize = 1 << SLOTS_LOG2;
const LEVELS: usize = 6;
const NIL: u32 = u32::MAX;

/// Names a timer that is set; stale once it fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    index: u32,
    generation: u32,
}

impl TimerId {
    /// Names no timer; cancelling it does nothing.
    pub(crate) const NONE: Self = Self { index: NIL, generation: 0 };
}

#[derive(Debug)]
struct Entry<K> {
    key: K,
    tick: u64,
    generation: u32,
    place: u32,
    previous: u32,
    next: u32,
}

/// Timers that carry a key of type `K`.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    /// The tick up to which everything has fired.
    now: u64,
    generation: u32,
    entries: Slab<Entry<K>>,
    heads: Vec<u32>,
    tails: Vec<u32>,
    /// One bit per slot that holds something.
    occupied: [u64; LEVELS],
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel standing at `now`.
    pub(crate) fn new(now: Nanos) -> Self {
        Self {
            now: now.0 / TICK_NS,
            generation: 0,
            entries: Slab::new(),
            heads: vec![NIL; LEVELS * SLOTS],
            tails: vec![NIL; LEVELS * SLOTS],
            occupied: [0; LEVELS],
        }
    }

    /// Makes room for so many timers without moving any.
    pub(crate) fn reserve(&mut self, timers: usize) {
        self.entries.reserve(timers);
    }

    /// How many timers are set.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets a timer.
    pub(crate) fn insert(&mut self, deadline: Nanos, key: K) -> TimerId {
        // Rounded up, so that it never fires early; what is already due fires at the next tick.
        let tick = deadline.0.div_ceil(TICK_NS).max(self.now + 1);
        self.generation = self.generation.wrapping_add(1);
        let entry = Entry { key, tick, generation: self.generation, place: 0, previous: NIL, next: NIL };
        let index = self.entries.insert(entry) as u32;
        self.link(index);
        TimerId { index, generation: self.generation }
    }

    /// Takes a timer back. Harmless if it has fired.
    pub(crate) fn cancel(&mut self, id: TimerId) {
        if self.entries.get(id.index as usize).is_some_and(|entry| entry.generation == id.generation) {
            self.unlink(id.index);
            self.entries.remove(id.index as usize);
        }
    }

    /// When to call [`Wheel::expire`] next: never later than the earliest deadline's tick, perhaps earlier.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let mut best: Option<u64> = None;
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = SLOTS_LOG2 * level as u32;
            let current = self.now >> shift;
            // Slots ahead of the current one, wrapping; the current one itself is a whole turn away.
            let rotated = self.occupied[level].rotate_right((current % SLOTS as u64) as u32);
            let ahead = if rotated & !1 != 0 { u64::from((rotated & !1).trailing_zeros()) } else { SLOTS as u64 };
            let tick = (current + ahead) << shift;
            best = Some(best.map_or(tick, |best| best.min(tick)));
        }
        best.map(|tick| Nanos(tick * TICK_NS))
    }

    /// Moves the wheel to `now` and appends the keys of all timers due to `due`.
    pub(crate) fn expire(&mut self, now: Nanos, due: &mut Vec<K>) {
        let target = now.0 / TICK_NS;
        while self.now < target {
            // Skip straight to the next occupied slot instead of visiting empty ones.
            let next = self.next_deadline().map_or(target, |next| (next.0 / TICK_NS).min(target));
            self.now = next.max(self.now + 1);
            self.cascade();
            self.fire(due);
        }
    }

    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let shift = SLOTS_LOG2 * level as u32;
            if self.now & ((1 << shift) - 1) != 0 {
                continue;
            }
            let place = level * SLOTS + ((self.now >> shift) % SLOTS as u64) as usize;
            let mut index = self.detach(place);
            while index != NIL {
                let next = self.entries[index as usize].next;
                self.link(index);
                index = next;
            }
        }
    }

    fn fire(&mut self, due: &mut Vec<K>) {
        let place = (self.now % SLOTS as u64) as usize;
        let mut index = self.detach(place);
        while index != NIL {
            let entry = self.entries.remove(index as usize);
            index = entry.next;
            due.push(entry.key);
        }
    }

    fn detach(&mut self, place: usize) -> u32 {
        let head = self.heads[place];
        self.heads[place] = NIL;
        self.tails[place] = NIL;
        self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        head
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick.max(self.now);
        let distance = (tick ^ self.now) | 1;
        // The level of the highest digit in which the deadline differs from now.
        let level = (distance.ilog2() / SLOTS_LOG2).min(LEVELS as u32 - 1);
        let slot = (tick >> (SLOTS_LOG2 * level)) % SLOTS as u64;
        let place = level as usize * SLOTS + slot as usize;
        let tail = self.tails[place];
        let entry = &mut self.entries[index as usize];
        entry.place = place as u32;
        entry.previous = tail;
        entry.next = NIL;
        if tail == NIL {
            self.heads[place] = index;
        } else {
            self.entries[tail as usize].next = index;
        }
        self.tails[place] = index;
        self.occupied[level as usize] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let (place, previous, next) = {
            let entry = &self.entries[index as usize];
            (entry.place as usize, entry.previous, entry.next)
        };
        if previous == NIL {
            self.heads[place] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next == NIL {
            self.tails[place] = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
        if self.heads[place] == NIL {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_timer_fires_once_in_its_time_unless_cancelled(
            timers in prop::collection::vec((0_u64..1 << 44, any::<bool>()), 1..60),
            steps in prop::collection::vec(1_u64..1 << 42, 1..60),
        ) {
            let mut wheel = Wheel::new(Nanos(0));
            let mut waiting = Vec::new();
            for (key, &(deadline, cancelled)) in timers.iter().enumerate() {
                let id = wheel.insert(Nanos(deadline), key);
                if cancelled { wheel.cancel(id); } else { waiting.push((deadline, key)); }
            }
            let mut now = 0;
            let mut due = Vec::new();
            for step in steps {
                let before = now;
                now += step;
                if let Some(next) = wheel.next_deadline() {
                    let earliest = waiting.iter().map(|&(deadline, _)| deadline).min().unwrap();
                    prop_assert!(next.0 <= earliest.max(before) + 2 * TICK_NS);
                }
                due.clear();
                wheel.expire(Nanos(now), &mut due);
                for &key in &due {
                    let at = waiting.iter().position(|&(_, k)| k == key);
                    prop_assert!(at.is_some(), "fired twice or although cancelled");
                    let (deadline, _) = waiting.swap_remove(at.unwrap());
                    prop_assert!(deadline <= now, "fired early");
                }
                for &(deadline, _) in &waiting {
                    prop_assert!(deadline + 2 * TICK_NS > now, "{deadline} not fired at {now}");
                }
                prop_assert_eq!(wheel.len(), waiting.len());
            }
        }
    }
}
