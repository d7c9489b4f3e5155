//! *Owns* how a core wakes a storage thread. *Promises* that ringing never blocks, that it costs one load while the
//! thread is awake, and that no ring is lost. *Does not* say what there is to do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

/// One thread sleeps on it, any number may ring it.
#[derive(Debug, Default)]
pub(super) struct Bell {
    asleep: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Bell {
    /// Names the calling thread as the one that sleeps here.
    pub(super) fn adopt(&self) {
        self.sleeper.get_or_init(std::thread::current);
    }

    /// Wakes the sleeper if it sleeps. Call after the work has been published.
    pub(super) fn ring(&self) {
        // Pairs with the fence in `wait`: either we see it asleep, or it sees the work in its second look.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.sleeper.get()
        {
            thread.unpark();
        }
    }

    /// Sleeps until rung or `timeout`, unless `has_work` once the bell listens. May wake early.
    pub(super) fn wait(&self, timeout: Option<Duration>, has_work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !has_work() {
            match timeout {
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}
