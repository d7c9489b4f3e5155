//! The kinds of engines: for each what it is configured with, how it is started, and when it serves.

mod postgres;
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
    /// PostgreSQL, with a password, and as quick as it is when nobody cuts the power.
    Postgres,
}

/// Where an engine is to be.
pub(crate) struct Site<'s> {
    pub(crate) directory: &'s Path,
    pub(crate) options: &'s Options,
    pub(crate) certificates: Option<&'s Certificates>,
}

/// How an engine is started.
pub(crate) struct Plan {
    /// Its processes, in the order in which they are started.
    pub(crate) recipes: Vec<Recipe>,
    /// The one to which clients connect first.
    pub(crate) main: usize,
    /// Whether they must be started before the first of them serves.
    pub(crate) together: bool,
    /// Whether they are one engine, once each serves.
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
        Self {
            recipes: vec![recipe],
            main: 0,
            together: false,
            settled: |_| true,
            discarded: |_| (),
            credentials: None,
            tools: None,
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Redis, Self::Valkey, Self::Postgres];

    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Postgres => "postgres",
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
            Self::Postgres => postgres::plan(site),
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
