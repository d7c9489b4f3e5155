//! A shard adopts a view that follows its own. It refuses any other with the right reason, and stays as it was.

use crate::oracle::Oracle;
use deepstream_cluster::ForCore;
use deepstream_engine::{Fence, Unviewable};

impl Oracle {
    /// A core was given the next view.
    pub(crate) fn view_adopted(&mut self, core: usize, told: Result<(), Unviewable>) {
        self.check(told.is_ok(), || format!("core {core} did not adopt the next view: {told:?}"));
    }

    /// A core found that another node has claimed what is its own.
    pub(crate) fn deposed(&mut self, core: usize) {
        self.check(false, || format!("core {core} was deposed, and nobody claims what another has"));
    }

    /// A node tells its cores of something that does not happen where all members stay and hear each other.
    pub(crate) fn unsettled(&mut self, core: usize, told: &ForCore) {
        self.fail(format!("core {core} is told {told:?}, and nobody came, went or was silent"));
    }

    /// A core has something stored under this claim, and storage has that one.
    pub(crate) fn stored_under(&mut self, core: usize, fence: Option<Fence>, claimed: Option<u64>) {
        let fits = fence.is_some_and(|fence| claimed == Some(fence.generation));
        self.check(fits, || format!("core {core} writes under {fence:?}, and what was claimed is {claimed:?}"));
    }

    /// A core was given a view that it must refuse. `same`: nothing about it has changed.
    pub(crate) fn view_refused(&mut self, core: usize, why: Unviewable, told: Result<(), Unviewable>, same: bool) {
        self.check(told == Err(why), || format!("core {core} was to refuse a view ({why}), and did not: {told:?}"));
        self.check(same, || format!("core {core} refused a view ({why}), and is not as before"));
    }
}
