//! Of what may happen for each message, as many lines for the log as somebody can read.
//!
//! *Owns* the count of a stretch of time. *Promises* that the first of a stretch is told at once, and that what is left out is
//! counted and the count told when the stretch is over. *Does not* decide what is worth telling.

use crate::ident::Nanos;
use crate::output::Note;
use crate::permissions::Sampled;
use crate::shard::{Shard, TimerKey};
use crate::timer::TimerId;

/// See the module.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Told per stretch.
    told_max: u32,
    stretch_ns: u64,
    since: Nanos,
    told: u32,
    left_out: u64,
    timer: TimerId,
}

impl Sampler {
    pub(super) const fn new(told_max: u32, stretch_ns: u64) -> Self {
        Self { told_max, stretch_ns, since: Nanos(0), told: 0, left_out: 0, timer: TimerId::NONE }
    }

    /// Another number of them from here on; what was told in this stretch counts no more.
    pub(super) fn tell_at_most(&mut self, told_max: u32) {
        (self.told_max, self.told) = (told_max, 0);
    }

    /// Whether this one is told; otherwise it is counted.
    fn admits(&mut self, now: Nanos) -> bool {
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

    fn end(&self) -> Nanos {
        self.since.after(self.stretch_ns)
    }

    /// Whether a timer stands for a count that is to be told.
    pub(super) fn waits(&self) -> bool {
        self.timer != TimerId::NONE
    }
}

impl Shard {
    fn sampler(&mut self, what: Sampled) -> &mut Sampler {
        match what {
            Sampled::RuleFailures => &mut self.permit.failures,
            Sampled::ShadowDifferences => &mut self.permit.differences,
        }
    }

    /// Whether one more of these is told now. If not, it is counted with those that are left out.
    pub(super) fn is_told(&mut self, what: Sampled) -> bool {
        let now = self.delivery.outputs.now;
        let sampler = self.sampler(what);
        if sampler.admits(now) {
            return true;
        }
        let (first, after_ns) = (sampler.left_out == 1, sampler.end().0.saturating_sub(now.0));
        if first {
            let timer = self.set_timer(after_ns, TimerKey::LeftOut(what));
            self.sampler(what).timer = timer;
        }
        false
    }

    /// A stretch is over in which some were left out.
    pub(crate) fn tell_left_out(&mut self, what: Sampled) {
        let sampler = self.sampler(what);
        let (timer, count) =
            (std::mem::replace(&mut sampler.timer, TimerId::NONE), std::mem::take(&mut sampler.left_out));
        self.timers.cancel(timer);
        if count > 0 {
            self.delivery.outputs.note(Note::LeftOut { what, count });
        }
    }
}
