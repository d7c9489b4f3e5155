//! *Owns* the reads and writes of the store for logins. *Promises* that any number of logins may ask at the same time,
//! of which addresses take turns, so that the store's own queue, in which clients' records wait too, stays short; that
//! writes go one after the other, as the store wants them; and that each is answered with a result or a fault. *Does
//! not* know what a user is.

use super::origin::Origin;
use super::turns::Turns;
use crate::service::Waker;
use crate::storage;
use deepstream_engine::{Completion, Fault, StoreBatch, Stored, Ticket};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// Reads for logins that are handed to the store at a time.
const READS_MAX: usize = 64;

/// The store rings it when it has answered.
#[derive(Clone, Debug, Default)]
pub struct StorageBell(Arc<Notify>);

impl StorageBell {
    /// What the store calls.
    pub fn waker(&self) -> Waker {
        let bell = self.0.clone();
        // A ring while nobody waits is remembered for the next waiter.
        Arc::new(move || bell.notify_one())
    }
}

/// See the module.
pub(super) struct Records {
    pending: Arc<Mutex<Pending>>,
    bell: StorageBell,
    reading: Turns,
    writing: Turns,
}

struct Pending {
    client: storage::Client,
    next: u64,
    waiting: HashMap<Ticket, oneshot::Sender<Completion>>,
    /// The batch to write with, while no write is under way.
    batch: Option<StoreBatch>,
}

impl Records {
    pub(super) fn new(client: storage::Client, bell: StorageBell, runtime: &Handle) -> Self {
        let batch = Some(StoreBatch::default());
        let pending = Arc::new(Mutex::new(Pending { client, next: 0, waiting: HashMap::new(), batch }));
        let (polled, rung) = (pending.clone(), bell.0.clone());
        runtime.spawn(async move {
            loop {
                rung.notified().await;
                lock(&polled).poll();
            }
        });
        Self { pending, bell, reading: Turns::new(READS_MAX), writing: Turns::new(1) }
    }

    /// Reads one record.
    pub(super) async fn load(&self, origin: Origin, name: &str, patience: Duration) -> Result<Option<Stored>, Fault> {
        let _turn = self.reading.take(origin).await;
        let answer = {
            let mut pending = lock(&self.pending);
            let (ticket, answer) = pending.ticket();
            pending.client.load(ticket, name.as_bytes().into());
            answer
        };
        match self.outcome(answer, patience).await? {
            Completion::Loaded { result, .. } => result,
            _ => Err(Fault::Failed("storage answered something else".into())),
        }
    }

    /// Writes one record.
    pub(super) async fn store(
        &self,
        origin: Origin,
        name: &str,
        record: &Stored,
        patience: Duration,
    ) -> Result<(), Fault> {
        let _turn = self.writing.take(origin).await;
        let answer = {
            let mut pending = lock(&self.pending);
            // The batch is only missing while a write is under way whose login gave up waiting; its answer brings the
            // batch back.
            let Some(mut batch) = pending.batch.take() else { return Err(Fault::Timeout) };
            let (ticket, answer) = pending.ticket();
            batch.ticket = ticket;
            batch.push(name.as_bytes(), record.version, Some(&record.value));
            pending.client.store(batch);
            answer
        };
        match self.outcome(answer, patience).await? {
            Completion::Stored { result, .. } => result,
            _ => Err(Fault::Failed("storage answered something else".into())),
        }
    }

    async fn outcome(&self, answer: oneshot::Receiver<Completion>, patience: Duration) -> Result<Completion, Fault> {
        // A request that is refused at once does not ring the bell.
        self.bell.0.notify_one();
        match timeout(patience, answer).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(Fault::Failed("storage has stopped".into())),
            Err(_) => Err(Fault::Timeout),
        }
    }
}

impl Pending {
    fn ticket(&mut self) -> (Ticket, oneshot::Receiver<Completion>) {
        self.next += 1;
        let (tell, answer) = oneshot::channel();
        self.waiting.insert(Ticket(self.next), tell);
        (Ticket(self.next), answer)
    }

    fn poll(&mut self) {
        let Self { client, waiting, batch, .. } = self;
        client.poll(&mut |outcome, answered| {
            if answered.is_some() {
                *batch = answered;
            }
            let ticket = match &outcome {
                Completion::Loaded { ticket, .. } | Completion::Stored { ticket, .. } => ticket,
                Completion::Authenticated { .. } => return,
            };
            if let Some(tell) = waiting.remove(ticket) {
                // If this fails the login has given up.
                let _ = tell.send(outcome);
            }
        });
    }
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
