//! Views that change while the world runs, and views that a shard must refuse.
//!
//! Each core adopts a new view at a step of its own. When all have adopted it, the cores of the node that joins start.

use super::World;
use crate::mutation::Mutation;
use crate::sketch::{Sketch, member};
use deepstream_engine::{Lane, Nanos, NodeId, Unviewable, View};

/// Steps between two views, on average.
const STEPS_PER_VIEW: usize = 60;
/// Steps until some core adopts a new view, on average.
const STEPS_PER_HEARING: usize = 4;
/// Steps between two views that are to be refused, on average.
const STEPS_PER_REFUSAL: usize = 15;

impl World {
    /// Now and then there is a new view, a core adopts it, or a core is given a view that it must refuse.
    pub(crate) fn change_views(&mut self) {
        if self.settling {
            return;
        }
        if self.plan.views.len() > 1 {
            if self.rng.views.below(STEPS_PER_VIEW) == 0 {
                self.issue_view();
            }
            if self.rng.views.below(STEPS_PER_HEARING) == 0 {
                let core = self.rng.views.below(self.cores.len());
                if !self.frozen(core) {
                    self.hear_view(core);
                }
            }
        }
        if self.plan.refused_views && self.rng.views.below(STEPS_PER_REFUSAL) == 0 {
            let core = self.rng.views.below(self.cores.len());
            if !self.frozen(core) {
                self.hand_in_refused(core);
            }
        }
    }

    /// All cores adopt the newest view.
    pub(crate) fn settle_views(&mut self) {
        (0..self.cores.len()).for_each(|core| self.hear_view(core));
    }

    /// Nodes have claimed all that they own, and trust their membership for ever.
    pub(crate) fn begin_serving(&mut self) {
        if self.plan.cluster.is_some() {
            return self.begin_cluster();
        }
        (0..self.cores.len()).for_each(|core| self.claim_all(core));
    }

    fn claim_all(&mut self, core: usize) {
        if !self.plan.views.is_empty() {
            let all: Vec<u16> = (0..View::SLOTS as u16).collect();
            let shard = &mut self.cores[core].shard;
            shard.claimed(self.now, &all, 0);
            shard.leased(self.now, 0, Nanos(u64::MAX));
        }
    }

    fn issue_view(&mut self) {
        let heard = self.cores.iter().all(|core| core.view == self.view);
        if heard && self.view + 1 < self.plan.views.len() {
            self.view += 1;
            let view = self.view;
            self.line(|| format!("view {view}"));
        }
    }

    fn hear_view(&mut self, core: usize) {
        let newest = self.view;
        if self.cores[core].view == newest {
            return;
        }
        self.line(|| format!("adopt core={core} view={newest}"));
        let view = self.plan.views[newest].view();
        let told = self.cores[core].shard.adopt_view(self.now, view);
        self.oracle.view_adopted(core, told);
        self.cores[core].view = newest;
        self.drain(core);
        if self.cores.iter().all(|core| core.view == newest) {
            self.begin_cores();
        }
    }

    /// Starts the cores of the node that joined: all other cores know it by now.
    fn begin_cores(&mut self) {
        let (before, places) = (self.cores.len(), self.plan.views[self.view].view().places().to_vec());
        // A shard must not start with rules that another one does not know yet: it would not tell the others of them.
        let rules = self.oracle.oldest_rules();
        for &place in &places[before..] {
            let core = self.core(place, rules);
            self.line(|| format!("begin {place:?}"));
            self.cores.push(core);
            self.claim_all(self.cores.len() - 1);
            self.store.joined();
            self.oracle.core_begins(rules);
        }
        let after = self.cores.len();
        let mut lanes = std::mem::take(&mut self.lanes).into_iter();
        for from in 0..after {
            for to in 0..after {
                let known = from < before && to < before;
                self.lanes.extend(Lane::ALL.map(|_| if known { lanes.next() } else { None }.unwrap_or_default()));
            }
        }
        for core in 0..after {
            self.cores[core].waiting.resize(after, [0; 2]);
            self.drain(core);
        }
    }

    /// Gives a core a view that it must refuse.
    fn hand_in_refused(&mut self, core: usize) {
        let alone = || Sketch::lone(member(NodeId(0), self.plan.cores), [0, 0]);
        let known = self.plan.views.get(self.cores[core].view);
        let present = known.cloned().unwrap_or_else(alone);
        let (refused, why) = present.refused(&mut self.rng.views);
        // A server alone has no view and adopts none.
        let why = if known.is_some() { why } else { Unviewable::Stale };
        let handed = match why {
            Unviewable::Seed if self.mutation == Mutation::AdoptSeed => Sketch { seed: present.seed, ..refused },
            _ => refused,
        };
        self.line(|| format!("hand in core={core} epoch={} {why:?}", handed.epoch));
        let seen = |world: &Self| {
            let shard = &world.cores[core].shard;
            (shard.census(), *shard.counters(), shard.next_deadline())
        };
        let before = seen(self);
        let told = self.cores[core].shard.adopt_view(self.now, handed.view());
        let same = seen(self) == before;
        self.oracle.view_refused(core, why, told, same);
        self.drain(core);
    }
}
