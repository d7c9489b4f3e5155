//! *Owns* how a core wakes a thread or a task that stores. *Promises* that ringing never blocks, that it costs one load
//! while the sleeper is awake, and that no ring is lost. *Does not* say what there is to do.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// One thread or task sleeps on it, any number may ring it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    sleeper: OnceLock<Waker>,
}

/// A thread that sleeps by parking.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Bell {
    /// Names the calling thread as the one that sleeps here.
    pub(crate) fn adopt(&self) {
        self.adopt_by(Waker::from(Arc::new(Parked(std::thread::current()))));
    }

    /// Names what wakes whoever sleeps here. A wake before it sleeps must not be lost on it.
    pub(crate) fn adopt_by(&self, sleeper: Waker) {
        self.sleeper.get_or_init(|| sleeper);
    }

    /// Wakes the sleeper if it sleeps. Call after the work has been published.
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `wait`: either we see it asleep, or it sees the work in its second look.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.wake_by_ref();
        }
    }

    /// Sleeps until rung or `timeout`, unless `has_work` once the bell listens. May wake early.
    pub(crate) fn wait(&self, timeout: Option<Duration>, has_work: impl FnOnce() -> bool) {
        self.listen();
        if !has_work() {
            match timeout {
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        self.rise();
    }

    /// The sleeper is about to sleep. It must look for work once more between this and sleeping.
    pub(crate) fn listen(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper is awake.
    pub(crate) fn rise(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
