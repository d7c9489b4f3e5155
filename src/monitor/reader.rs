//! The joint for whoever shows figures: a page, a log, another program's database.
//!
//! *Owns* where the figures of a server are read ([`Figures`]) and how a reader runs. *Promises* that a reader which is slow or
//! stuck holds up neither shards nor other services: it has a thread of its own. *Does not* show anything.

use super::{Monitor, Reading, Snapshot, Source};
use crate::log::{Level, note};
use crate::service::{Pinned, Plan, Service, Thread};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a shard may take to say what it holds: it does so once a turn.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Whoever shows figures.
pub trait Reader: Send + 'static {
    /// What its thread is called.
    fn name(&self) -> &'static str;

    /// Its life, on a thread of its own that has a runtime of tokio's, with timers and sockets. It is dropped where it stands when
    /// the server stops, after the shards have ended and before storage does; so it must not block, or the server waits for it.
    fn run(self, figures: Figures) -> impl Future<Output = ()>;
}

/// A reader before it runs, whatever it is.
pub(crate) type Start = Box<dyn FnOnce(Figures, &[usize]) -> io::Result<Thread> + Send>;

/// What starts a reader, on these CPUs. Dropping what it gives ends it.
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

/// Where the figures of a running server are read; copies are the same place.
#[derive(Clone)]
pub struct Figures(Arc<Place>);

struct Place {
    shards: Monitor,
    wake: Box<dyn Fn() + Send + Sync>,
    services: Vec<(&'static str, Read)>,
}

impl Figures {
    /// Of so many shards, which `wake` wakes, and of these services.
    pub(crate) fn new(
        shards: usize,
        wake: impl Fn() + Send + Sync + 'static,
        services: Vec<(&'static str, Read)>,
    ) -> Self {
        Self(Arc::new(Place { shards: Monitor::new(shards), wake: Box::new(wake), services }))
    }

    /// The shards' side of it.
    pub(crate) fn monitor(&self) -> &Monitor {
        &self.0.shards
    }

    /// Everything there is, of every shard and every service, as it is now. A future, because a shard answers in its next turn;
    /// nothing of a shard that does not do so for [`PATIENCE`].
    pub async fn read(&self) -> Vec<Snapshot> {
        let figures = self.clone();
        // Fails only if the runtime ends, and then whoever waits does, too.
        tokio::task::spawn_blocking(move || figures.snapshots()).await.unwrap_or_default()
    }

    /// The same for who may wait on his thread.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let (_, shards) = self.ask_shards();
        shards.into_iter().flatten().chain(self.services()).collect()
    }

    /// The number of this question, and what each shard answered.
    pub(crate) fn ask_shards(&self) -> (usize, Vec<Option<Snapshot>>) {
        let question = self.0.shards.ask();
        (self.0.wake)();
        (question, self.0.shards.wait(question, PATIENCE))
    }

    /// What runs once, off the shards.
    pub(crate) fn services(&self) -> impl Iterator<Item = Snapshot> {
        self.0.services.iter().map(|(name, read)| Snapshot::of(Source::Service(name), read))
    }
}
