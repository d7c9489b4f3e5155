//! *Owns* the threads that hash. *Promises* that hashing waits for nothing but hashing: not for host names being looked
//! up, not for webhooks; that strangers take turns at it, and a login that nobody waits for any more does not have its; and
//! that a server which stops does not wait for a hash. *Does not* know what is hashed.

use super::origin::Origin;
use super::turns::{Turn, Turns};
use crate::service;
use crossbeam::channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// See the module.
pub(super) struct Compute {
    /// Holds no more than there are threads.
    queue: Sender<Work>,
    turns: Turns,
}

impl Compute {
    /// As many threads as CPUs are given, on these CPUs; one if none is.
    pub(super) fn start(cpus: &[usize]) -> std::io::Result<Self> {
        let (queue, work) = unbounded();
        let threads = cpus.len().max(1);
        for _ in 0..threads {
            let work: Receiver<Work> = work.clone();
            // Elsewhere it hashes as well; the thread that judges tells of it. It ends once nobody can hand it anything more.
            drop(service::worker("auth-hash", cpus, move |_| work.iter().for_each(|work| work()))?);
        }
        Ok(Self { queue, turns: Turns::new(threads) })
    }

    /// Waits until a thread is free for this origin.
    pub(super) async fn turn(&self, origin: Origin) -> Turn {
        self.turns.take(origin).await
    }

    /// Runs this on one of the threads. `None` if the server stops first.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, answer) = oneshot::channel();
        let work = move || {
            // Who asked may be gone: then its login is, and the work is not worth doing.
            if !tell.is_closed() {
                drop(tell.send(work()));
            }
            drop(turn);
        };
        self.queue.send(Box::new(work)).ok()?;
        answer.await.ok()
    }
}
