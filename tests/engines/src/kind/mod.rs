//! The kinds of engines: for each what it is configured with, how it is started, and when it serves.

mod etcd;
mod nats;
mod postgres;
mod rabbit;
mod redis;

use crate::engine::Credentials;
use crate::node::{Node, Recipe};
use crate::options::Options;
use crate::tls::Certificates;
use crate::{home, port};
use std::path::{Path, PathBuf};

/// What can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Redis, one server. It keeps nothing over its end unless `appendonly` is set.
    Redis,
    /// Valkey, one server; otherwise as Redis.
    Valkey,
    /// Redis Cluster: `redis-1` to `redis-3`, three masters.
    RedisCluster,
    /// Redis with a `master`, its `replica`, and a `sentinel` that replaces the one by the other; the master's name is `mymaster`.
    Sentinel,
    /// NATS, one server.
    Nats,
    /// etcd, one server.
    Etcd,
    /// etcd, `etcd-1` to `etcd-3`, one of which leads.
    Etcd3,
    /// PostgreSQL, with a password, and as quick as it is when nobody cuts the power.
    Postgres,
    /// RabbitMQ: `rabbit`, and the `epmd` of its own.
    Rabbit,
}

/// Where an engine is to be.
pub(crate) struct Site<'s> {
    pub(crate) directory: &'s Path,
    pub(crate) options: &'s Options,
    pub(crate) certificates: Option<&'s Certificates>,
}

/// How an engine is started.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its processes, in the order in which they are started.
    pub(crate) recipes: Vec<Recipe>,
    /// The one to which clients connect first.
    pub(crate) main: usize,
    /// Whether they must be started before the first of them serves.
    pub(crate) together: bool,
    /// Makes them one engine, once, when each serves for the first time.
    pub(crate) founded: fn(&[Node]) -> Result<(), String>,
    /// Whether they are one engine.
    pub(crate) settled: fn(&[Node]) -> bool,
    /// Clears away what is not in its directory.
    pub(crate) discarded: fn(&[Node]),
    pub(crate) credentials: Option<Credentials>,
    /// Where its programs are, if not on the path.
    pub(crate) tools: Option<PathBuf>,
}

impl Plan {
    /// An engine of one process.
    pub(crate) fn one(recipe: Recipe) -> Self {
        Self { recipes: vec![recipe], ..Self::none() }
    }

    /// What is common.
    pub(crate) fn none() -> Self {
        Self {
            recipes: Vec::new(),
            main: 0,
            together: false,
            founded: |_| Ok(()),
            settled: |_| true,
            discarded: |_| (),
            credentials: None,
            tools: None,
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Redis,
        Self::Valkey,
        Self::RedisCluster,
        Self::Sentinel,
        Self::Nats,
        Self::Etcd,
        Self::Etcd3,
        Self::Postgres,
        Self::Rabbit,
    ];

    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::RedisCluster => "redis-cluster",
            Self::Sentinel => "sentinel",
            Self::Nats => "nats",
            Self::Etcd => "etcd",
            Self::Etcd3 => "etcd3",
            Self::Postgres => "postgres",
            Self::Rabbit => "rabbit",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|kind| kind.name() == name);
        let known = || Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        found.copied().ok_or_else(|| format!("there is no engine {name}; there are {}", known()))
    }

    pub(crate) fn plan(self, site: &Site<'_>) -> Result<Plan, String> {
        match self {
            Self::Redis => redis::plan(site),
            Self::Valkey => redis::valkey(site),
            Self::RedisCluster => redis::cluster(site),
            Self::Sentinel => redis::sentinel(site),
            Self::Nats => nats::plan(site),
            Self::Etcd => etcd::one(site),
            Self::Etcd3 => etcd::three(site),
            Self::Postgres => postgres::plan(site),
            Self::Rabbit => rabbit::plan(site),
        }
    }
}

impl Site<'_> {
    /// A port that nobody else is given.
    pub(crate) fn port(&self) -> Result<u16, String> {
        port::reserve(self.options.address)
    }

    /// The directory of one process.
    pub(crate) fn room(&self, name: &str) -> Result<PathBuf, String> {
        let room = self.directory.join(name);
        home::make(&room)?;
        Ok(room)
    }
}

/// Writes a file.
pub(crate) fn write(path: PathBuf, text: &str) -> Result<PathBuf, String> {
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
