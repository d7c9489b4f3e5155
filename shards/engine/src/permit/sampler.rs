//! Of what may happen for each message, as many lines for the log as somebody can read.
//!
//! *Owns* the count of a stretch of time. *Promises* that the first of a stretch is told at once, and that what is left out is
//! counted and the count told when the stretch is over. *Does not* decide what is worth telling.

use super::state::Sampler;
use crate::context::TimerKey;
use crate::output::Note;
use crate::permissions::Sampled;
use crate::sides::{Sides, ToEdge, ToOwner};
use crate::timer::TimerId;

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    fn sampler(&mut self, what: Sampled) -> &mut Sampler {
        match what {
            Sampled::RuleFailures => &mut self.permit.failures,
            Sampled::ShadowDifferences => &mut self.permit.differences,
        }
    }

    /// Whether one more of these is told now. If not, it is counted with those that are left out.
    pub(super) fn is_told(&mut self, what: Sampled) -> bool {
        let now = self.cx.outputs.now;
        let sampler = self.sampler(what);
        if sampler.admits(now) {
            return true;
        }
        let (first, after_ns) = (sampler.left_out == 1, sampler.end().0.saturating_sub(now.0));
        if first {
            let timer = self.cx.set_timer(after_ns, TimerKey::LeftOut(what));
            self.sampler(what).timer = timer;
        }
        false
    }

    /// A stretch is over in which some were left out.
    pub(crate) fn tell_left_out(&mut self, what: Sampled) {
        let sampler = self.sampler(what);
        let (timer, count) =
            (std::mem::replace(&mut sampler.timer, TimerId::NONE), std::mem::take(&mut sampler.left_out));
        self.cx.timers.cancel(timer);
        if count > 0 {
            self.cx.outputs.note(Note::LeftOut { what, count });
        }
    }
}
