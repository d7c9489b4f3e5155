//! A registry in tables of a PostgreSQL database, in the schema of the records.
//!
//! *Owns* one connection, and the functions that each call is one of (`registry.sql`). *Promises* what every registry does
//! (`src/registry/mod.rs`); the clock of leases is the database's. *Does not* keep what a standby that took over had not yet received:
//! leases are asked for again, and a view that went back is noticed by its revision.

use super::pool::{config, of_start};
use super::table::{LOCK, quoted};
use super::trouble::trouble;
use crate::config::Postgres as Settings;
use crate::registry::{Held, Holder, Lease, Registry, Renewed, Seen, Swapped};
use crate::storage::{Kind, Trouble};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, Row};

/// The shortest time that a call is given, however short the lease is.
const DEADLINE_MIN: Duration = Duration::from_millis(250);
/// The channel on which changes are told; as in `registry.sql`.
const CHANNEL: &str = "deepstream registry";

/// See the module.
pub struct PostgresRegistry {
    settings: Settings,
    cluster: String,
    ttl: Duration,
    connection: Mutex<Option<Arc<Connection>>>,
}

struct Connection {
    client: Client,
    /// How often the database told of a change, or the connection ended.
    bell: watch::Receiver<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PostgresRegistry {
    /// The registry of this cluster in this database, for leases of this length.
    pub fn new(settings: Settings, cluster: &str, ttl: Duration) -> Self {
        Self { settings, cluster: cluster.to_owned(), ttl, connection: Mutex::default() }
    }

    fn connection(&self) -> Result<Arc<Connection>, Trouble> {
        let alive = lock(&self.connection).clone().filter(|connection| !connection.client.is_closed());
        alive.ok_or_else(|| Trouble::new(Kind::Away, "there is no connection", "see the log of the database"))
    }

    /// Does something with the connection in time. It is given up if that fails: what was under way may still be done, and none of it
    /// shall come after what follows.
    async fn call<T>(&self, act: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Trouble> {
        let connection = self.connection()?;
        let within = self.deadline();
        let failure = match timeout(within, act(&connection.client)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                let trouble = trouble(&self.settings, &error);
                // What is late, locked or changed is opened anew; that no try can cure it shows there.
                Trouble { kind: Kind::Away, ..trouble }
            }
            Err(_) => {
                let what = format!("no answer within {} ms", within.as_millis());
                Trouble::new(Kind::Away, what, "see whether the database is overloaded, or the way to it is cut")
            }
        };
        let mut current = lock(&self.connection);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &connection)) {
            *current = None;
        }
        Err(failure)
    }

    /// Calls one of the functions of `registry.sql`.
    async fn rows(&self, function: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Trouble> {
        let places: Vec<String> = (1..=parameters.len()).map(|place| format!("${place}")).collect();
        let schema = quoted(&self.settings.schema);
        let statement = format!("SELECT * FROM {schema}.\"{function};\"({})", places.join(", "));
        self.call(async |client| client.query_typed(&statement, parameters).await).await
    }

    fn of_rows<T>(&self, read: Result<T, Error>) -> Result<T, Trouble> {
        read.map_err(|error| Trouble { kind: Kind::Lasting, ..trouble(&self.settings, &error) })
    }

    /// Makes a connection, and what the registry keeps.
    async fn connected(&self) -> Result<Connection, Error> {
        let (client, mut connection) = config(&self.settings).connect(NoTls).await?;
        let (ring, bell) = watch::channel(0);
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                let is_ours = matches!(&message, AsyncMessage::Notification(told) if told.payload() == cluster);
                if is_ours {
                    ring.send_modify(|count| *count += 1);
                }
            }
            // That the sender is gone tells whoever waits.
        });
        let schema = quoted(&self.settings.schema);
        // Looked for before they are made: a user of a schema need not be allowed to make one.
        let last = format!("{schema}.\"swap;\"(text,bigint,bytea,text,bigint,bigint)");
        let is_made = client.query_typed("SELECT to_regprocedure($1) IS NOT NULL", &[(&last, Type::TEXT)]).await?;
        if !is_made.first().map_or(Ok(false), |row| row.try_get(0))? {
            let all = include_str!("registry.sql").replace("@schema@", &schema);
            client.batch_execute(&format!("{LOCK}\n{all}")).await?;
        }
        let limit = self.deadline().as_millis();
        client
            .batch_execute(&format!(
                "SET synchronous_commit = on; SET default_transaction_isolation = 'read committed'; \
                 SET lock_timeout = {limit}; SET statement_timeout = {limit}; LISTEN \"{CHANNEL}\";"
            ))
            .await?;
        Ok(Connection { client, bell })
    }
}

impl Registry for PostgresRegistry {
    fn place(&self) -> String {
        format!("PostgreSQL, database {}", self.settings.place())
    }

    fn deadline(&self) -> Duration {
        (self.ttl / 6).max(DEADLINE_MIN)
    }

    async fn open(&self) -> Result<(), Trouble> {
        *lock(&self.connection) = None;
        let patience = self.settings.connect_timeout + self.deadline();
        let connected = timeout(patience, self.connected()).await;
        let connection = connected.map_err(|_| {
            let what = format!("no answer within {} ms", patience.as_millis());
            Trouble::new(Kind::Away, what, "see whether the database is overloaded, or the way to it is cut")
        })?;
        let connection = connection.map_err(|error| of_start(&self.settings, &error))?;
        let standby = connection.client.query_typed("SELECT pg_is_in_recovery()", &[]);
        let standby = standby.await.map_err(|error| of_start(&self.settings, &error))?;
        if self.of_rows(standby.first().map_or(Ok(false), |row| row.try_get(0)))? {
            let hint = "give the address of the server that takes writes";
            return Err(Trouble::new(Kind::Away, "the database is a standby, which takes no writes", hint));
        }
        *lock(&self.connection) = Some(Arc::new(connection));
        Ok(())
    }

    async fn renew(&self, lease: &Lease<'_>, known: u64) -> Result<Renewed, Trouble> {
        let (incarnation, known) = (lease.incarnation.cast_signed(), known.cast_signed());
        let milliseconds = i64::try_from(lease.ttl.as_millis()).unwrap_or(i64::MAX);
        let rows = self
            .rows(
                "renew",
                &[
                    (&self.cluster, Type::TEXT),
                    (&lease.name, Type::TEXT),
                    (&incarnation, Type::INT8),
                    (&i64::from(lease.grant), Type::INT8),
                    (&lease.fresh, Type::BOOL),
                    (&lease.about, Type::BYTEA),
                    (&milliseconds, Type::INT8),
                    (&known, Type::INT8),
                ],
            )
            .await?;
        self.of_rows(renewed(&rows))
    }

    async fn release(&self, lease: Held<'_>) -> Result<(), Trouble> {
        let (incarnation, grant) = (lease.incarnation.cast_signed(), i64::from(lease.grant));
        let parameters: [(&(dyn ToSql + Sync), Type); 4] =
            [(&self.cluster, Type::TEXT), (&lease.name, Type::TEXT), (&incarnation, Type::INT8), (&grant, Type::INT8)];
        self.rows("release", &parameters).await.map(drop)
    }

    async fn look(&self, known: u64) -> Result<Seen, Trouble> {
        let rows = self.rows("look", &[(&self.cluster, Type::TEXT), (&known.cast_signed(), Type::INT8)]).await?;
        self.of_rows(seen(&rows))
    }

    async fn swap(&self, expected: u64, view: &[u8], lease: Held<'_>) -> Result<Swapped, Trouble> {
        let (expected, incarnation) = (expected.cast_signed(), lease.incarnation.cast_signed());
        let rows = self
            .rows(
                "swap",
                &[
                    (&self.cluster, Type::TEXT),
                    (&expected, Type::INT8),
                    (&view, Type::BYTEA),
                    (&lease.name, Type::TEXT),
                    (&incarnation, Type::INT8),
                    (&i64::from(lease.grant), Type::INT8),
                ],
            )
            .await?;
        self.of_rows(swapped(&rows))
    }

    async fn changed(&self, stamp: u64) -> Result<(), Trouble> {
        let mut bell = self.connection()?.bell.clone();
        bell.mark_unchanged();
        if self.look(0).await?.stamp != stamp {
            return Ok(());
        }
        // Whoever stands between may swallow what the database tells; then it looks as if something had changed.
        match timeout(self.deadline(), bell.changed()).await {
            Ok(Err(_)) => self.connection().map(drop),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    async fn close(&self) {
        *lock(&self.connection) = None;
    }
}

fn renewed(rows: &[Row]) -> Result<Renewed, Error> {
    match rows.first() {
        None => Ok(Renewed::Lapsed),
        Some(row) if row.try_get::<_, i32>("kind")? == 0 => {
            let left = u64::try_from(row.try_get::<_, i64>("second")?).unwrap_or(0);
            Ok(Renewed::Held(holder(row)?, Duration::from_millis(left)))
        }
        _ => Ok(Renewed::Yours(seen(rows)?)),
    }
}

fn seen(rows: &[Row]) -> Result<Seen, Error> {
    let mut seen = Seen { revision: 0, view: None, stamp: 0, holders: Vec::new() };
    for row in rows {
        if row.try_get::<_, i32>("kind")? == 1 {
            seen.revision = unsigned(row, "first")?;
            seen.stamp = unsigned(row, "second")?;
            seen.view = row.try_get("content")?;
        } else {
            seen.holders.push(holder(row)?);
        }
    }
    // The database orders texts by the rules of some language, if at all.
    seen.holders.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(seen)
}

fn holder(row: &Row) -> Result<Holder, Error> {
    Ok(Holder {
        name: row.try_get("holder")?,
        incarnation: unsigned(row, "first")?,
        grant: unsigned(row, "third")? as u32,
        about: row.try_get("content")?,
    })
}

fn swapped(rows: &[Row]) -> Result<Swapped, Error> {
    let Some(row) = rows.first() else { return Ok(Swapped::NotHeld) };
    let present = unsigned(row, "present")?;
    Ok(if row.try_get("done")? { Swapped::Done(present) } else { Swapped::Other(present) })
}

/// The database has no unsigned numbers; the bits are the same.
fn unsigned(row: &Row, column: &str) -> Result<u64, Error> {
    row.try_get::<_, i64>(column).map(i64::cast_unsigned)
}
