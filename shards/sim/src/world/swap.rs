//! Changes permission rules while the world runs; cores learn of them one after the other.

use super::World;
use crate::mutation::Mutation;

/// Steps between two swaps of rules, on average.
const STEPS_PER_SWAP: usize = 100;
/// Steps until a core hears of new rules from its host, on average over all cores.
const STEPS_PER_HEARING: usize = 8;

impl World {
    /// Now and then other rules are in force, or a core hears so.
    pub(crate) fn swap_rules(&mut self) {
        if self.plan.rules.len() < 2 {
            return;
        }
        if !self.settling && self.rules + 1 < self.plan.rules.len() as u32 && self.rng.rules.below(STEPS_PER_SWAP) == 0
        {
            self.rules += 1;
            let rules = self.rules;
            self.trace.line(self.step, || format!("rules {rules} {:?}", self.plan.rules[rules as usize]));
            self.oracle.issued(rules);
        }
        if self.rng.rules.below(STEPS_PER_HEARING) == 0 {
            let core = self.rng.rules.below(self.cores.len());
            if !self.frozen(core) {
                self.hear_rules(core);
            }
        }
    }

    /// Every core hears of the newest rules.
    pub(crate) fn settle_rules(&mut self) {
        (0..self.cores.len()).for_each(|core| self.hear_rules(core));
    }

    fn hear_rules(&mut self, core: usize) {
        // Perhaps not of all those in between.
        let rules = self.rules;
        if !self.oracle.adopts(core, rules) || (self.mutation == Mutation::LoseRules && core == 0) {
            return;
        }
        self.line(|| format!("adopt core={core} rules={rules}"));
        let permissions = self.mutation.bend(&self.plan.rules[rules as usize]).permissions(rules, self.plan.sweep_ns);
        self.cores[core].shard.adopt_permissions(self.now, permissions);
        self.drain(core);
    }
}
