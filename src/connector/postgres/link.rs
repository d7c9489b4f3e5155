//! *Owns* one connection, and its coming back. *Promises* that whoever wants it gets one that was alive a moment ago, or
//! waits; that tries are spaced out from [`RETRY_FIRST`] to [`RETRY_LAST`]; and that the log says once that the database
//! is away, why and what to do, and once that it is back. *Does not* repeat what was under way when it broke.

use super::trouble::{PostgresError, Trouble};
use super::{Shared, table};
use crate::config::Postgres as Settings;
use crate::log::{Level, note};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, NoTls};

pub(super) const RETRY_FIRST: Duration = Duration::from_millis(50);
pub(super) const RETRY_LAST: Duration = Duration::from_secs(5);
/// A peer that is silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A peer that acknowledges nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// The oldest server with ON CONFLICT.
const VERSION_MIN: i32 = 90_500;

/// Someone's way to one connection. Clones share it.
#[derive(Clone)]
pub(super) struct Link(watch::Receiver<Option<Arc<Client>>>);

/// A connection just made, and the task that moves its bytes.
type Fresh = (Client, JoinHandle<Result<(), Error>>);

impl Link {
    /// The connection that writes, once it is there and the database has all it must have. Waits for one that cannot be
    /// reached, not for one that refuses.
    pub(super) async fn first(shared: &Arc<Shared>, patience: Duration) -> Result<Self, PostgresError> {
        let started = Instant::now();
        let (mut pause, mut told) = (RETRY_FIRST, false);
        let fresh = loop {
            let error = match prepared(&shared.settings).await {
                Ok(fresh) => break fresh,
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Of(error)) => error,
            };
            if !Trouble::passes(&error) || started.elapsed() + pause >= patience {
                return Err(PostgresError::of(&shared.settings, &error));
            }
            if !told {
                let error = PostgresError::of(&shared.settings, &error);
                note(Level::Warn, "POSTGRES", &format!("{error}; trying again for {} ms", patience.as_millis()));
                told = true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_LAST);
        };
        Ok(Self::keep(shared, true, Some(fresh)))
    }

    /// A connection that reads; made in the background.
    pub(super) fn open(shared: &Arc<Shared>) -> Self {
        Self::keep(shared, false, None)
    }

    fn keep(shared: &Arc<Shared>, writes: bool, fresh: Option<Fresh>) -> Self {
        let (slot, link) = watch::channel(None);
        tokio::spawn(keep(Arc::clone(shared), writes, fresh, slot));
        Self(link)
    }

    /// The connection, as soon as there is one.
    pub(super) async fn client(&mut self) -> Arc<Client> {
        loop {
            if let Ok(slot) = self.0.wait_for(|slot| slot.as_ref().is_some_and(|client| !client.is_closed())).await
                && let Some(client) = &*slot
            {
                return Arc::clone(client);
            }
            // The keeper has ended with the runtime; nobody is polled any more.
            std::future::pending::<()>().await;
        }
    }
}

enum Failure {
    Of(Error),
    Refused(PostgresError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Of(error)
    }
}

/// Keeps a connection until the runtime ends.
async fn keep(shared: Arc<Shared>, writes: bool, mut fresh: Option<Fresh>, slot: watch::Sender<Option<Arc<Client>>>) {
    let settings = &shared.settings;
    let (mut pause, mut told) = (RETRY_FIRST, false);
    loop {
        let made = match fresh.take() {
            Some(fresh) => Ok(fresh),
            None if writes => prepared(settings).await,
            None => connected(settings).await.map_err(Failure::Of),
        };
        let why = match made {
            Ok((client, connection)) => {
                if told {
                    shared.counters.reopens.fetch_add(u64::from(writes), Ordering::Relaxed);
                    note(Level::Info, "POSTGRES", &format!("database {} is back", settings.place()));
                }
                (pause, told) = (RETRY_FIRST, false);
                slot.send_replace(Some(Arc::new(client)));
                let ended = connection.await;
                slot.send_replace(None);
                match ended {
                    Ok(Err(error)) => PostgresError::of(settings, &error),
                    _ => PostgresError::new(settings, "the connection was closed", "see the log of the database"),
                }
            }
            Err(Failure::Of(error)) => PostgresError::of(settings, &error),
            Err(Failure::Refused(error)) => error,
        };
        // The readers see what the writer sees: one line is enough.
        if writes && !told {
            note(Level::Error, "POSTGRES", &format!("{why}. Writes wait, reads fail in time, until it is back"));
        }
        told = writes;
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

async fn connected(settings: &Settings) -> Result<Fresh, Error> {
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
    let (client, connection) = config.connect(NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}

/// Whether different texts may become the same in a database of this encoding. UTF8 and SQL_ASCII keep the bytes, and those of
/// one byte have one character for each; the others are reached by tables that take several characters for one.
fn merges(encoding: &str) -> bool {
    encoding.starts_with("EUC_") || encoding.starts_with("MULE")
}

/// A connection to a database that has all it must have.
async fn prepared(settings: &Settings) -> Result<Fresh, Failure> {
    let (client, connection) = connected(settings).await?;
    let version = client.query_typed("SELECT current_setting('server_version_num')::int4", &[]).await?;
    let version: i32 = version.first().map_or(Ok(0), |row| row.try_get(0))?;
    if version < VERSION_MIN {
        let what = format!("its version is {}.{}", version / 10_000, version / 100 % 100);
        return Err(Failure::Refused(PostgresError::new(settings, what, "use 9.5 or a later one")));
    }
    let encoding = client.query_typed("SELECT current_setting('server_encoding')", &[]).await?;
    let encoding: String = encoding.first().map_or(Ok(String::new()), |row| row.try_get(0))?;
    if merges(&encoding) {
        let what = format!("its encoding is {encoding}, in which two names may become one");
        let hint = "use a database that was made with ENCODING 'UTF8'";
        return Err(Failure::Refused(PostgresError::new(settings, what, hint)));
    }
    // Looked for before it is made: who may use a schema need not be allowed to make one.
    let schema = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    if client.query_typed(schema, &[(&settings.schema, Type::TEXT)]).await?.is_empty() {
        client.batch_execute(&table::schema(settings)).await?;
    }
    if settings.notifications.of_rows() {
        client.batch_execute(&table::announcer(settings)).await?;
    }
    Ok((client, connection))
}
