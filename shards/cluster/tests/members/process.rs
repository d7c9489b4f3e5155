//! A process: a node, its cores as far as they serve slots, and a clock of its own.

use deepstream_cluster::{ForCore, Node};
use deepstream_engine::{Nanos, View};
use std::sync::Arc;

/// A bit a slot.
pub(crate) type Slots = [u64; View::SLOTS / 64];

pub(crate) struct Core {
    pub(crate) view: Option<Arc<View>>,
    claimed: Vec<u64>,
    leased: (u64, Nanos),
    serving: Slots,
    /// When what it is told next arrives at the earliest: lanes keep their order.
    pub(crate) told_at: u64,
}

impl Core {
    pub(crate) fn new() -> Self {
        Self {
            view: None,
            claimed: vec![0; View::SLOTS],
            leased: (0, Nanos(0)),
            serving: [0; View::SLOTS / 64],
            told_at: 0,
        }
    }

    /// Returns the epoch of a view that it adopted.
    pub(crate) fn heard(&mut self, incarnation: u64, said: &ForCore) -> Option<u64> {
        let epoch = self.view.as_ref().map_or(0, |view| view.epoch());
        let mut adopted = None;
        match said {
            ForCore::View(view) if view.epoch() > epoch => {
                self.view = Some(Arc::clone(view));
                adopted = Some(view.epoch());
            }
            ForCore::Claimed { slots, generation } => {
                for &slot in slots {
                    self.claimed[usize::from(slot)] = *generation;
                }
            }
            ForCore::Leased { since, until } => self.leased = (*since, *until),
            ForCore::Suspended { epoch: suspended } if *suspended >= epoch => {
                self.leased = (0, Nanos(0));
                self.claimed.fill(0);
            }
            _ => {}
        }
        self.place(incarnation);
        adopted
    }

    fn place(&mut self, incarnation: u64) {
        self.serving = [0; View::SLOTS / 64];
        let Some(view) = &self.view else { return };
        let own = view.members().iter().find(|member| member.incarnation == incarnation).expect("it is in its view");
        if own.since != self.leased.0 {
            return;
        }
        for slot in 0..View::SLOTS as u16 {
            let at = usize::from(slot);
            let serves = view.node_of(slot) == own.node && self.claimed[at] == view.generation(slot);
            self.serving[at / 64] |= u64::from(serves) << (at % 64);
        }
    }
}

pub(crate) struct Process {
    pub(crate) name: Box<str>,
    pub(crate) incarnation: u64,
    pub(crate) node: Node,
    pub(crate) cores: Vec<Core>,
    pub(crate) born: u64,
    /// Of its clock, in percent.
    pub(crate) rate: u64,
    pub(crate) alive: bool,
    pub(crate) is_ready: bool,
    pub(crate) is_leaving: bool,
    pub(crate) paused_until: u64,
    pub(crate) tick_at: u64,
}

impl Process {
    /// The moment by its clock.
    pub(crate) fn now(&self, real: u64) -> Nanos {
        Nanos((real - self.born) * self.rate / 100)
    }

    /// When its clock shows that moment.
    pub(crate) fn real(&self, at: Nanos) -> u64 {
        self.born + at.0.saturating_mul(100).div_ceil(self.rate)
    }

    /// The slots that it answers for now.
    pub(crate) fn serving(&self, real: u64) -> Slots {
        let mut all = [0; View::SLOTS / 64];
        let now = self.now(real);
        for core in self.cores.iter().filter(|core| self.alive && now < core.leased.1) {
            for (all, word) in all.iter_mut().zip(core.serving) {
                *all |= word;
            }
        }
        all
    }
}
