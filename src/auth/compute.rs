//! *Owns* the threads that hash passwords. *Promises* that a hash waits for other hashes only, not for host names that
//! are looked up or for webhooks; that clients of different addresses take turns, and a login that nobody waits for any
//! more is skipped; and that a server which stops does not wait for a hash. *Does not* know what is hashed.

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
    /// Starts one thread for each of these CPUs, bound to it together; a single one if the list is empty.
    pub(super) fn start(cpus: &[usize]) -> std::io::Result<Self> {
        let (queue, work) = unbounded();
        let threads = cpus.len().max(1);
        for _ in 0..threads {
            let work: Receiver<Work> = work.clone();
            // Whether the thread could be bound does not matter here: it hashes anywhere, and the thread of `logins`
            // reports a failure to bind. It ends when the other end of the queue is dropped.
            drop(service::worker("auth-hash", cpus, move |_| work.iter().for_each(|work| work()))?);
        }
        Ok(Self { queue, turns: Turns::new(threads) })
    }

    /// Waits until a thread is free and it is this origin's turn.
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
            // If the receiver is gone the login was called off, and its hash is not worth computing.
            if !tell.is_closed() {
                drop(tell.send(work()));
            }
            drop(turn);
        };
        self.queue.send(Box::new(work)).ok()?;
        answer.await.ok()
    }
}
