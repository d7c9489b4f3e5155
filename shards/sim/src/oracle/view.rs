//! A view is adopted if it follows the one in force, and otherwise refused for what is wrong with it, which changes nothing.

use crate::oracle::Oracle;
use deepstream_engine::Unviewable;

impl Oracle {
    /// A core was told of the view to go by.
    pub(crate) fn view_adopted(&mut self, core: usize, told: Result<(), Unviewable>) {
        self.check(told.is_ok(), || format!("core {core} does not go by the view in force: {told:?}"));
    }

    /// A core was handed a view that is none to follow; whether it is as it was before.
    pub(crate) fn view_refused(&mut self, core: usize, why: Unviewable, told: Result<(), Unviewable>, same: bool) {
        self.check(told == Err(why), || format!("core {core} was to refuse a view ({why}), and did not: {told:?}"));
        self.check(same, || format!("core {core} refused a view ({why}), and is not as before"));
    }
}
