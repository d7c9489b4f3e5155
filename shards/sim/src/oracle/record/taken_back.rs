//! What storage never took of a record, and nobody was told of.

use super::{Records, Stage};

impl Records {
    /// No moment of a record after this one ever was: nobody was told of any.
    pub(in crate::oracle) fn forget_after(&mut self, name: &[u8], index: usize) {
        for ((_, other), tie) in &mut self.ties {
            if **other != *name {
                continue;
            }
            tie.floor = tie.floor.min(index);
            for subscription in tie.subscription.iter_mut().chain(&mut tie.before) {
                match &mut subscription.stage {
                    Stage::Reading => {}
                    Stage::Beginning(from) => *from = index.min(*from),
                    Stage::Began(from, to) => (*from, *to) = (index.min(*from), index.min(*to)),
                    Stage::Knows(known) => known.retain(|&at| at <= index),
                }
            }
        }
        self.writes.forget_after(name, index);
    }
}
