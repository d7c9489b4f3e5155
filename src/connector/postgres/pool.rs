//! *Owns* the connections: one writes, the others read, so that a lookup never waits behind a transaction. *Promises*
//! to give out only connections that were alive a moment ago, and that readers which could not be opened are retried
//! now and then while there are others. *Does not* wait for a database that is away.

use super::table;
use super::trouble::{passes, trouble};
use crate::config::Postgres as Settings;
use crate::storage::{Kind, Trouble};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, NoTls};

/// A peer that is silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A peer that acknowledges nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How long a missing reader is done without.
const READER_RETRY: Duration = Duration::from_secs(5);
/// A transaction whose end does not come for so long is given up by the database. What is left of a connection that
/// broke in the midst of one would otherwise hold its locks until the database notices the break.
const HALF_SENT: &str = "SET idle_in_transaction_session_timeout = '10s'";
/// The oldest server that knows it.
const HALF_SENT_VERSION: i32 = 90_600;
/// The oldest server with ON CONFLICT.
const VERSION_MIN: i32 = 90_500;

/// See the module.
pub(super) struct Pool {
    /// The first one writes.
    slots: Mutex<Vec<Option<Arc<Client>>>>,
    next: AtomicUsize,
    ended: Arc<Ended>,
}

/// What connections report when they end.
#[derive(Default)]
struct Ended {
    bell: Notify,
    /// Why the last of them did, if it says.
    last: Mutex<Option<Error>>,
}

enum Failure {
    Of(Error),
    Refused(Trouble),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Of(error)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn away() -> Trouble {
    Trouble::new(Kind::Away, "the connection was closed", "see the log of the database")
}

impl Pool {
    pub(super) fn new(connections: usize) -> Self {
        // One to write, one to read.
        let slots = vec![None; connections.max(2)];
        Self { slots: Mutex::new(slots), next: AtomicUsize::new(0), ended: Arc::default() }
    }

    fn alive(&self, slot: usize) -> Option<Arc<Client>> {
        lock(&self.slots).get(slot)?.clone().filter(|client| !client.is_closed())
    }

    fn put(&self, slot: usize, client: Client) {
        if let Some(place) = lock(&self.slots).get_mut(slot) {
            *place = Some(Arc::new(client));
        }
    }

    /// How many read.
    pub(super) fn readers(&self) -> usize {
        lock(&self.slots).len() - 1
    }

    /// The one that writes.
    pub(super) fn writer(&self) -> Result<Arc<Client>, Trouble> {
        self.alive(0).ok_or_else(away)
    }

    /// One of those that read: they take turns.
    pub(super) fn reader(&self) -> Result<Arc<Client>, Trouble> {
        let (count, next) = (self.readers(), self.next.fetch_add(1, Ordering::Relaxed));
        (0..count).find_map(|turn| self.alive(1 + (next + turn) % count)).ok_or_else(away)
    }

    /// Opens the connections that are missing. Fails without at least one that writes and one that reads.
    pub(super) async fn open(&self, settings: &Settings) -> Result<(), Trouble> {
        if self.alive(0).is_none() {
            let client = prepared(settings, &self.ended).await.map_err(|failure| match failure {
                Failure::Refused(trouble) => trouble,
                Failure::Of(error) => of_start(settings, &error),
            })?;
            self.put(0, client);
        }
        match self.open_readers(settings).await {
            Err(error) if self.reader().is_err() => Err(of_start(settings, &error)),
            _ => Ok(()),
        }
    }

    async fn open_readers(&self, settings: &Settings) -> Result<(), Error> {
        for slot in 1..=self.readers() {
            if self.alive(slot).is_none() {
                self.put(slot, connected(settings, &self.ended).await?);
            }
        }
        Ok(())
    }

    /// Waits until it can no longer write, or no longer read.
    pub(super) async fn attend(&self, settings: &Settings) -> Trouble {
        loop {
            if self.writer().is_err() || self.reader().is_err() {
                return lock(&self.ended.last).take().map_or_else(away, |error| trouble(settings, &error));
            }
            let whole = (1..=self.readers()).all(|slot| self.alive(slot).is_some());
            if whole {
                self.ended.bell.notified().await;
            } else if timeout(READER_RETRY, self.ended.bell.notified()).await.is_err() {
                // It is tried again in a while.
                let _ = self.open_readers(settings).await;
            }
        }
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        lock(&self.slots).iter_mut().for_each(|slot| drop(slot.take()));
    }
}

/// Whether a failure to connect may pass, or is final.
pub(super) fn of_start(settings: &Settings, error: &Error) -> Trouble {
    Trouble { kind: if passes(error) { Kind::Away } else { Kind::Lasting }, ..trouble(settings, error) }
}

/// How the database is reached.
pub(super) fn config(settings: &Settings) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .dbname(settings.database())
        .application_name(&settings.application_name)
        .connect_timeout(settings.connect_timeout)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE)
        .keepalives_retries(2)
        .tcp_user_timeout(SILENCE_MAX);
    if let Some(password) = &settings.password {
        config.password(password);
    }
    config
}

/// Opens a connection and starts the task that runs it, which reports when it ends.
async fn connected(settings: &Settings, ended: &Arc<Ended>) -> Result<Client, Error> {
    let (client, connection) = config(settings).connect(NoTls).await?;
    let ended = Arc::clone(ended);
    tokio::spawn(async move {
        let result = connection.await;
        *lock(&ended.last) = result.err();
        ended.bell.notify_one();
    });
    Ok(client)
}

/// Whether different texts may become the same in a database with this encoding. UTF8 and SQL_ASCII keep the bytes, and
/// single-byte encodings map characters one to one; the others are converted by tables that map several characters to
/// one.
fn merges(encoding: &str) -> bool {
    encoding.starts_with("EUC_") || encoding.starts_with("MULE")
}

/// Opens a connection, and makes sure that the database has everything that is needed.
async fn prepared(settings: &Settings, ended: &Arc<Ended>) -> Result<Client, Failure> {
    let client = connected(settings, ended).await?;
    let version = client.query_typed("SELECT current_setting('server_version_num')::int4", &[]).await?;
    let version: i32 = version.first().map_or(Ok(0), |row| row.try_get(0))?;
    if version < VERSION_MIN {
        let what = format!("its version is {}.{}", version / 10_000, version / 100 % 100);
        return Err(Failure::Refused(Trouble::new(Kind::Lasting, what, "use 9.5 or a later one")));
    }
    if version >= HALF_SENT_VERSION {
        client.batch_execute(HALF_SENT).await?;
    }
    let encoding = client.query_typed("SELECT current_setting('server_encoding')", &[]).await?;
    let encoding: String = encoding.first().map_or(Ok(String::new()), |row| row.try_get(0))?;
    if merges(&encoding) {
        let what = format!("its encoding is {encoding}, in which two names may become one");
        let hint = "use a database that was made with ENCODING 'UTF8'";
        return Err(Failure::Refused(Trouble::new(Kind::Lasting, what, hint)));
    }
    // Checked before it is created: a user of a schema need not be allowed to create one.
    let schema = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    if client.query_typed(schema, &[(&settings.schema, Type::TEXT)]).await?.is_empty() {
        client.batch_execute(&table::schema(settings)).await?;
    }
    if settings.notifications.of_rows() {
        client.batch_execute(&table::announcer(settings)).await?;
    }
    Ok(client)
}
