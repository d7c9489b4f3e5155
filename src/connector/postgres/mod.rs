//! Records in tables of a PostgreSQL database, laid out as upstream's connector does.
//!
//! *Owns* the mapping of records to rows, and the connections. *Promises* what every driver promises
//! (`src/storage/driver.rs`); a commit is one transaction. *Does not* cache, or interpret values.

mod commit;
mod fences;
mod keeper;
mod layout;
mod load;
mod pool;
mod registry;
mod table;
mod trouble;
mod writer;

pub use layout::Layout;
pub use registry::PostgresRegistry;

use crate::config::Postgres as Settings;
use crate::storage::names::Names;
use crate::storage::{self, Driver, Found, Late, Manner, OpenError, Options, Refused, Storage, Trouble, Write, Writer};
use pool::Pool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use table::Tables;

/// File descriptors beside those of its connections: new ones may be opened before old ones are closed.
const SPARE: usize = 2;
/// Lookups under way per connection.
const ROUNDS: usize = 2;

impl storage::Settings for Settings {
    fn place(&self) -> String {
        format!("PostgreSQL, database {}", Settings::place(self))
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Layout::new(self))
    }

    fn files_max(&self, _limit: usize) -> usize {
        self.connections + SPARE
    }

    fn start(&self, options: Options) -> Result<Storage, OpenError> {
        storage::start(Postgres::new(self.clone()), options)
    }
}

/// A database.
pub struct Postgres {
    settings: Settings,
    layout: Arc<Layout>,
    tables: Tables,
    pool: Pool,
    /// As whom it has entered, since it was opened.
    entered: Mutex<Option<Writer>>,
}

impl Postgres {
    /// The database as it is configured.
    pub fn new(settings: Settings) -> Self {
        let (layout, tables) = (Arc::new(Layout::new(&settings)), Tables::new(&settings));
        let pool = Pool::new(settings.connections);
        Self { settings, layout, tables, pool, entered: Mutex::default() }
    }
}

impl Driver for Postgres {
    const MANNER: Manner = Manner {
        thread: "postgres",
        event: "POSTGRES",
        blocking: false,
        waits: true,
        shared: true,
        round: 256,
        retry_max: Duration::from_secs(5),
    };

    fn place(&self) -> String {
        storage::Settings::place(&self.settings)
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::<Layout>::clone(&self.layout)
    }

    fn rounds(&self) -> usize {
        ROUNDS * self.pool.readers()
    }

    async fn open(&self) -> Result<(), Trouble> {
        writer::forget(self);
        self.pool.open(&self.settings).await
    }

    async fn keep(&self, expected: Option<&[u8]>, mark: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        keeper::keep(self, &*self.pool.reader()?, expected, mark).await
    }

    async fn enter(&self, writer: Writer, out: bool) -> Result<bool, Trouble> {
        writer::enter(self, &*self.pool.writer()?, writer, out).await
    }

    async fn attend(&self) -> Trouble {
        self.pool.attend(&self.settings).await
    }

    async fn load(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        load::load(self, &*self.pool.reader()?, names).await
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
        fences::claim(self, &*self.pool.writer()?, slots, generation).await
    }

    async fn commit(&self, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        commit::commit(self, &*self.pool.writer()?, group).await
    }

    async fn close(&self) {
        self.pool.close();
    }
}
