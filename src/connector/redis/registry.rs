//! A registry in one hash of a Redis database.
//!
//! *Owns* one connection, and the script that does each call in one step (`registry.lua`). *Promises* what every registry does
//! (`src/registry/mod.rs`); the clock of leases is the server's, and a step of it ends them early or late. *Does not* keep what Redis
//! does not: after a restart without its data leases are asked for again, and a view that went back is noticed by its revision.

use super::channels::Channels;
use super::guards::{strange, text};
use super::inspect;
use super::link::{Link, Told};
use super::trouble::{self, of_cluster};
use crate::config::Redis as Settings;
use crate::registry::{Held, Holder, Lease, Registry, Renewed, Seen, Swapped};
use crate::storage::{Kind, Trouble};
use redis::{Cmd, Value, cmd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The shortest time that a call is given, however short the lease is.
const DEADLINE_MIN: Duration = Duration::from_millis(250);
const SCRIPT: &str = include_str!("registry.lua");
/// Asks for no view.
const NO_VIEW: &str = "*";

/// See the module.
pub struct RedisRegistry {
    settings: Settings,
    channels: Channels,
    ttl: Duration,
    connection: Mutex<Option<Connection>>,
}

#[derive(Clone)]
struct Connection {
    link: Link,
    /// How often Redis told of a change, or the connection ended.
    bell: watch::Receiver<u64>,
}

impl RedisRegistry {
    /// The registry of this cluster in this database, for leases of this length.
    pub fn new(settings: Settings, cluster: &str, ttl: Duration) -> Self {
        let channels = Channels::new(&settings, cluster);
        Self { settings, channels, ttl, connection: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> Result<Connection, Trouble> {
        self.lock().clone().filter(|connection| connection.link.is_alive()).ok_or_else(trouble::away)
    }

    /// A call of the script, with what all have in common.
    fn call(&self, act: &str, known: &str) -> Cmd {
        let mut call = cmd("EVAL");
        call.arg(SCRIPT).arg(1).arg(self.channels.registry()).arg(act).arg(self.channels.changed()).arg(known);
        call
    }

    fn call_for(&self, act: &str, known: &str, lease: Held<'_>) -> Cmd {
        let mut call = self.call(act, known);
        call.arg(lease.name).arg(lease.incarnation).arg(lease.grant);
        call
    }

    /// Asks in time. The connection is given up if that fails: what was under way may still be done, and none of it shall come after
    /// what follows.
    async fn ask(&self, call: &Cmd) -> Result<Answer, Trouble> {
        let Connection { link, .. } = self.connection()?;
        let within = self.deadline();
        let failure = match timeout(within, link.ask(call)).await {
            Ok(Ok(Value::Array(answer))) => return Ok(Answer(answer.into_iter())),
            Ok(Ok(_)) => strange(),
            Ok(Err(trouble)) => of_cluster(trouble),
            Err(_) => {
                let what = format!("no answer within {} ms", within.as_millis());
                Trouble::new(Kind::Away, what, "see whether Redis is overloaded, or the way to it is cut")
            }
        };
        link.give_up();
        // It is opened anew; that no try can cure it shows there.
        Err(Trouble { kind: Kind::Away, ..failure })
    }

    async fn stamp(&self) -> Result<u64, Trouble> {
        Ok(self.ask(&self.call("look", NO_VIEW)).await?.seen()?.stamp)
    }

    async fn connected(&self) -> Result<Connection, Trouble> {
        let (ring, bell) = watch::channel(0_u64);
        let link = Link::connect(&self.settings, move |_: Told| ring.send_modify(|count| *count += 1)).await?;
        let prepared = async {
            inspect::member(&self.settings, &link).await?;
            link.subscribe(self.channels.changed().as_bytes()).await?;
            // Whoever may not publish is told so now, and not by a change that is half done.
            link.ask(cmd("PUBLISH").arg(self.channels.changed()).arg("")).await?;
            link.ask(&self.call("look", NO_VIEW)).await
        };
        prepared.await.map_err(|trouble| of_cluster(trouble::of_start(trouble)))?;
        Ok(Connection { link, bell })
    }
}

impl Registry for RedisRegistry {
    fn place(&self) -> String {
        format!("Redis, database {}", self.settings.place())
    }

    fn deadline(&self) -> Duration {
        (self.ttl / 6).max(DEADLINE_MIN)
    }

    async fn open(&self) -> Result<(), Trouble> {
        *self.lock() = None;
        let patience = self.settings.connect_timeout + self.settings.command_timeout;
        let connection = timeout(patience, self.connected()).await.map_err(|_| {
            let what = format!("no answer within {} ms", patience.as_millis());
            Trouble::new(Kind::Away, what, "see whether Redis is overloaded, or the way to it is cut")
        })??;
        *self.lock() = Some(connection);
        Ok(())
    }

    async fn renew(&self, lease: &Lease<'_>, known: u64) -> Result<Renewed, Trouble> {
        let Lease { name, incarnation, grant, fresh, about, ttl } = *lease;
        let mut call = self.call_for("renew", &known.to_string(), Held { name, incarnation, grant });
        call.arg(u8::from(fresh)).arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)).arg(about);
        self.ask(&call).await?.renewed(name)
    }

    async fn release(&self, lease: Held<'_>) -> Result<(), Trouble> {
        self.ask(&self.call_for("release", NO_VIEW, lease)).await.map(drop)
    }

    async fn look(&self, known: u64) -> Result<Seen, Trouble> {
        self.ask(&self.call("look", &known.to_string())).await?.seen()
    }

    async fn swap(&self, expected: u64, view: &[u8], lease: Held<'_>) -> Result<Swapped, Trouble> {
        let mut call = self.call_for("swap", NO_VIEW, lease);
        call.arg(expected).arg(view);
        self.ask(&call).await?.swapped()
    }

    async fn changed(&self, stamp: u64) -> Result<(), Trouble> {
        let mut bell = self.connection()?.bell;
        bell.mark_unchanged();
        if self.stamp().await? != stamp {
            return Ok(());
        }
        // What ends by itself is told by nobody; then it looks as if something had changed.
        let _ = timeout(self.deadline(), bell.changed()).await;
        self.connection().map(drop)
    }

    async fn close(&self) {
        if let Some(connection) = self.lock().take() {
            connection.link.give_up();
        }
    }
}

/// What the script returned, from here on.
struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    fn bytes(&mut self) -> Result<Vec<u8>, Trouble> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(strange()),
        }
    }

    fn text(&mut self) -> Result<String, Trouble> {
        self.0.next().as_ref().and_then(text).ok_or_else(strange)
    }

    fn number<N: std::str::FromStr>(&mut self) -> Result<N, Trouble> {
        self.text()?.parse().map_err(|_| strange())
    }

    fn holder(&mut self, name: String) -> Result<Holder, Trouble> {
        Ok(Holder { name, incarnation: self.number()?, grant: self.number()?, about: self.bytes()? })
    }

    fn seen(mut self) -> Result<Seen, Trouble> {
        if self.text()? == "yours" { self.rest_of_seen() } else { Err(strange()) }
    }

    fn rest_of_seen(mut self) -> Result<Seen, Trouble> {
        let revision = self.number()?;
        let view = match self.0.next() {
            Some(Value::Nil) => None,
            Some(Value::BulkString(view)) => Some(view),
            _ => return Err(strange()),
        };
        let stamp = self.number()?;
        let mut holders = Vec::new();
        while !self.0.as_slice().is_empty() {
            let name = self.text()?;
            holders.push(self.holder(name)?);
        }
        holders.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Seen { revision, view, stamp, holders })
    }

    fn renewed(mut self, name: &str) -> Result<Renewed, Trouble> {
        match self.text()?.as_str() {
            "yours" => Ok(Renewed::Yours(self.rest_of_seen()?)),
            "lapsed" => Ok(Renewed::Lapsed),
            "held" => {
                let holder = self.holder(name.to_owned())?;
                Ok(Renewed::Held(holder, Duration::from_millis(self.number()?)))
            }
            _ => Err(strange()),
        }
    }

    fn swapped(mut self) -> Result<Swapped, Trouble> {
        match self.text()?.as_str() {
            "done" => Ok(Swapped::Done(self.number()?)),
            "other" => Ok(Swapped::Other(self.number()?)),
            "unheld" => Ok(Swapped::NotHeld),
            _ => Err(strange()),
        }
    }
}
