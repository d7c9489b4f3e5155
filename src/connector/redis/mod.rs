//! Records in a Redis database, laid out as upstream's connector does: `<name>_v` is the version, `<name>_d` the value.
//!
//! *Owns* the mapping of records to keys, and the connections. *Promises* what every driver promises
//! (`src/storage/driver.rs`), as far as Redis keeps what it has taken; what it does not keep is said at the start. *Does
//! not* cache, or interpret values.

mod bus;
mod cache;
mod channels;
mod client;
mod commit;
mod guards;
mod inspect;
mod keys;
mod link;
mod load;
mod registry;
mod sentinel;
mod trouble;

pub use bus::RedisBus;
pub use cache::RedisCache;
pub use registry::RedisRegistry;

use crate::config::Redis as Settings;
use crate::storage::names::{Names, Whole};
use crate::storage::{
    self, AnyCache, Driver, Found, Late, Manner, OpenError, Options, Refused, Storage, Trouble, Write, Writer,
};
use client::Client;
use guards::Guards;
use keys::Keys;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The thread and the log know it by these.
const THREAD: &str = "redis";
const EVENT: &str = "REDIS";
/// Connections, and as many more: new ones may be opened before old ones are closed.
const FILES: usize = 4;
/// Lookups under way at once.
const ROUNDS: usize = 4;

impl storage::Settings for Settings {
    fn place(&self) -> String {
        format!("Redis, database {}", Settings::place(self))
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    fn files_max(&self, _limit: usize) -> usize {
        FILES
    }

    fn cache(&self) -> Option<AnyCache> {
        Some(AnyCache::of(RedisCache::new(self.clone())))
    }

    fn start(&self, options: Options) -> Result<Storage, OpenError> {
        storage::start(Redis::new(self.clone()), options)
    }
}

/// A database.
pub struct Redis {
    settings: Settings,
    keys: Keys,
    client: Client,
    guards: Guards,
    /// The largest text that the server takes.
    value_bytes_max: AtomicUsize,
}

impl Redis {
    /// The database as it is configured.
    pub fn new(settings: Settings) -> Self {
        let (keys, client) = (Keys::new(&settings), Client::new());
        let value_bytes_max = AtomicUsize::new(inspect::VALUE_BYTES_MAX);
        Self { settings, keys, client, guards: Guards::default(), value_bytes_max }
    }
}

impl Driver for Redis {
    const MANNER: Manner = Manner {
        thread: THREAD,
        event: EVENT,
        blocking: false,
        waits: true,
        shared: true,
        round: 128,
        retry_max: Duration::from_secs(5),
    };

    fn place(&self) -> String {
        storage::Settings::place(&self.settings)
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    fn rounds(&self) -> usize {
        ROUNDS
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.guards.forget();
        if self.client.open(&self.settings).await? {
            self.guards.unlearn();
        }
        // This future may have been dropped halfway before.
        if !self.guards.is_taught() {
            let prepared = async {
                let most = inspect::inspect(self).await?;
                self.value_bytes_max.store(most, Ordering::Relaxed);
                guards::teach(self).await
            };
            prepared.await.map_err(trouble::of_start)?;
        }
        Ok(())
    }

    async fn keep(&self, expected: Option<&[u8]>, mark: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        guards::keep(self, expected, mark).await
    }

    async fn enter(&self, writer: Writer, out: bool) -> Result<bool, Trouble> {
        guards::enter(self, writer, out).await
    }

    async fn attend(&self) -> Trouble {
        self.client.attend().await
    }

    async fn load(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        load::load(self, names).await
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
        guards::claim(self, slots, generation).await
    }

    async fn commit(&self, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        commit::commit(self, group).await
    }

    async fn close(&self) {
        self.client.close();
    }
}
