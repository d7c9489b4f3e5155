//! *Owns* how a core wakes a task of a service. *Promises* that ringing never blocks, that it costs one load while the
//! sleeper is awake, and that no ring is lost. *Does not* carry the work itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Wake, Waker};
use tokio::sync::Notify;

/// One task sleeps on it, any number may ring it.
#[derive(Debug)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    sleeper: Waker,
}

impl Bell {
    fn new(sleeper: Waker) -> Self {
        Self { asleep: AtomicBool::new(false), sleeper }
    }

    /// Wakes the sleeper if it sleeps. Call after the work has been published.
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `listen`: either we see it asleep, or it sees the work in its second look.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.sleeper.wake_by_ref();
        }
    }

    /// The sleeper is about to sleep. It must look for work once more between this and sleeping.
    fn listen(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper is awake.
    fn rise(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// The receiving side: a task of the runtime sleeps on it until a core rings.
pub(crate) struct BellReceiver {
    bell: Arc<Bell>,
    rung: Arc<Rung>,
}

struct Rung(Notify);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        // If the sleeper does not sleep yet, the notification is kept for it.
        self.0.notify_one();
    }
}

impl BellReceiver {
    pub(crate) fn new() -> Self {
        let rung = Arc::new(Rung(Notify::new()));
        Self { bell: Arc::new(Bell::new(Waker::from(Arc::clone(&rung)))), rung }
    }

    /// The bell that rings it.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Sleeps until rung, unless `has_work` once the bell listens. May wake early.
    pub(crate) async fn wait(&self, has_work: impl FnOnce() -> bool) {
        self.bell.listen();
        if !has_work() {
            self.rung.0.notified().await;
        }
        self.bell.rise();
    }
}
