//! *Owns* the counters of logins. *Promises* that open login costs nothing here: it is answered on the core, and the
//! shard counts it. *Does not* record who logged in.

use deepstream_engine::Login;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many logins are being judged, and what became of the others since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Logins that wait for their verdict.
    pub under_way: u64,
    /// Logins that were let in.
    pub accepted: u64,
    /// Logins that were not.
    pub refused: u64,
    /// Logins that nobody could judge.
    pub unjudged: u64,
    /// Logins that were not judged because too many like them were refused.
    pub barred: u64,
    /// Logins that nobody waited for any more.
    pub called_off: u64,
    /// Logins for which there was no room among those under way.
    pub crowded_out: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counts {
    under_way: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    unjudged: AtomicU64,
    barred: AtomicU64,
    called_off: AtomicU64,
    crowded_out: AtomicU64,
}

fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn came(&self) {
        one_more(&self.under_way);
    }

    pub(super) fn left(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, login: &Login) {
        one_more(match login {
            Login::Accepted(_) => &self.accepted,
            Login::Refused { .. } => &self.refused,
            Login::Unjudged { .. } => &self.unjudged,
            Login::Barred { .. } => &self.barred,
        });
    }

    pub(super) fn called_off(&self) {
        one_more(&self.called_off);
    }

    pub(super) fn crowded_out(&self) {
        one_more(&self.crowded_out);
    }

    pub(super) fn read(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            under_way: read(&self.under_way),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            unjudged: read(&self.unjudged),
            barred: read(&self.barred),
            called_off: read(&self.called_off),
            crowded_out: read(&self.crowded_out),
        }
    }
}
