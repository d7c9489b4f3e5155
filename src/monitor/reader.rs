//! The trait for whatever shows figures: a page, a log, a monitoring system.
//!
//! *Owns* access to the figures of a server ([`Figures`]), and the thread of a reader. *Promises* that a slow or stuck
//! reader holds up neither shards nor other services, because it has a thread of its own. *Does not* show anything.

use super::{Monitor, Reading, Snapshot, Source};
use crate::log::{Level, note};
use crate::service::{Pinned, Plan, Service, Thread};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for a shard's figures; it answers in its next turn.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Something that shows figures.
pub trait Reader: Send + 'static {
    /// The name of its thread.
    fn name(&self) -> &'static str;

    /// Runs on a thread of its own with a tokio runtime that has timers and sockets. The future is dropped when the
    /// server stops, after the shards have ended and before storage does; it must not block, or the server would wait
    /// for it.
    fn run(self, figures: Figures) -> impl Future<Output = ()>;
}

/// Starts a reader of any type.
pub(crate) type Start = Box<dyn FnOnce(Figures, &[usize]) -> io::Result<Thread> + Send>;

/// Makes the function that starts a reader, on the CPUs that it is given. Dropping the thread that it returns ends the
/// reader.
pub(crate) fn starting(reader: impl Reader) -> Start {
    Box::new(move |figures, cpus| {
        let name = reader.name();
        let service = Service::new(Plan { name, helper: "figures", cpus })?;
        service.start_until_dropped(move |pinned: Pinned| {
            if let Err(why) = pinned {
                note(Level::Warn, "INFO", &format!("{name} runs on other CPUs than configured: {why}"));
            }
            reader.run(figures)
        })
    })
}

/// Reads the figures of a service. It may be called after that service has ended.
pub(crate) type Read = Box<dyn Fn(&mut Vec<Reading>) + Send + Sync>;

/// Access to the figures of a running server; clones share it.
#[derive(Clone)]
pub struct Figures(Arc<Place>);

struct Place {
    shards: Monitor,
    wake: Box<dyn Fn() + Send + Sync>,
    services: Vec<(&'static str, Read)>,
}

impl Figures {
    /// The figures of this many shards, which `wake` wakes, and of these services.
    pub(crate) fn new(
        shards: usize,
        wake: impl Fn() + Send + Sync + 'static,
        services: Vec<(&'static str, Read)>,
    ) -> Self {
        Self(Arc::new(Place { shards: Monitor::new(shards), wake: Box::new(wake), services }))
    }

    /// The exchange with the shards.
    pub(crate) fn monitor(&self) -> &Monitor {
        &self.0.shards
    }

    /// Reads all figures of every shard and service. Asynchronous, because a shard answers in its next turn; a shard
    /// that does not answer within [`PATIENCE`] is left out.
    pub async fn read(&self) -> Vec<Snapshot> {
        let figures = self.clone();
        // It only fails if the runtime ends, and then this task ends too.
        tokio::task::spawn_blocking(move || figures.snapshots()).await.unwrap_or_default()
    }

    /// The same, blocking the calling thread.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let (_, shards) = self.ask_shards();
        shards.into_iter().flatten().chain(self.services()).collect()
    }

    /// The number of this request, and the answer of each shard.
    pub(crate) fn ask_shards(&self) -> (usize, Vec<Option<Snapshot>>) {
        let question = self.0.shards.ask();
        (self.0.wake)();
        (question, self.0.shards.wait(question, PATIENCE))
    }

    /// The snapshots of the services.
    pub(crate) fn services(&self) -> impl Iterator<Item = Snapshot> {
        self.0.services.iter().map(|(name, read)| Snapshot::of(Source::Service(name), read))
    }
}
