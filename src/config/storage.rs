//! Where records are kept, and THE TABLE of the connectors that can keep them.
//!
//! *Owns* the list of connectors. *Promises* that a connector which this build does not have is refused with a message
//! that says what to do. *Does not* know the settings of any: each has a file of its own beside this one.

#[cfg(feature = "embedded")]
use super::embedded;
use super::node::Node;
#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "redis")]
use super::redis;
use super::table::Row;
use super::types::Config;
use crate::storage::{Connector, Settings};
use std::path::Path;

/// `storage`.
#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    /// Records live and die with the process.
    Memory,
    /// A connector keeps them.
    Kept(Connector),
}

impl Storage {
    /// What these settings describe.
    pub fn of(settings: impl Settings) -> Self {
        Self::Kept(Connector::of(settings))
    }

    /// The settings of the connector, if there is one.
    pub fn kept(&self) -> Option<&Connector> {
        match self {
            Self::Kept(connector) => Some(connector),
            Self::Memory => None,
        }
    }

    /// The same, to be changed.
    pub fn kept_mut(&mut self) -> Option<&mut Connector> {
        match self {
            Self::Kept(connector) => Some(connector),
            Self::Memory => None,
        }
    }

    /// Changes the settings of a connector, if it is of this kind.
    pub fn change<T: Settings>(&mut self, change: impl FnOnce(&mut T)) {
        if let Some(settings) = self.kept_mut().and_then(Connector::get_mut) {
            change(settings);
        }
    }
}

/// The default: the embedded store, if this build has it.
impl Default for Storage {
    fn default() -> Self {
        #[cfg(feature = "embedded")]
        let storage = Self::of(embedded::Embedded::default());
        #[cfg(not(feature = "embedded"))]
        let storage = Self::Memory;
        storage
    }
}

/// Reports an error: of which key, what is wrong, and what to do.
pub(super) type Complain<'c> = dyn FnMut(&[&str], &str, &str) + 'c;

/// What the configuration knows of a connector.
struct Known {
    /// Its keys.
    rows: &'static [&'static [Row]],
    /// Checks what can only be checked once everything was read: it is given the file, its tree, and the configuration
    /// made of it.
    settle: fn(&Path, &Node, &mut Config, &mut Complain<'_>),
}

/// The entry of a connector that this build does not have.
macro_rules! unbuilt {
    ($feature:literal) => {
        concat!(
            "this server was built without the connector ",
            $feature,
            ": build it with --features ",
            $feature,
            ", or choose another storage; storage: {type: memory} keeps records in memory only"
        )
    };
}

/// A row for each connector: the feature with which it is built, and the keys by which it is chosen.
macro_rules! connectors {
    ($($feature:literal [$($key:literal),*] $module:ident;)*) => {
        static KNOWN: &[Known] = &[$(
            #[cfg(feature = $feature)]
            Known { rows: &$module::ROWS, settle: $module::settle },
            #[cfg(not(feature = $feature))]
            Known { rows: &[&[$(super::table::row($key, super::table::Rule::Later(unbuilt!($feature)))),*]], settle: |_, _, _, _| () },
        )*];
    };
}

#[rustfmt::skip]
connectors! {
    "embedded" ["storage[default]"]               embedded;
    "postgres" ["storage[postgres]"]              postgres;
    "redis"    ["storage[redis]", "cache[redis]"] redis;
}

/// The keys of all connectors.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    KNOWN.iter().flat_map(|known| known.rows).copied().flatten()
}

/// What can only be judged once everything was read.
///
/// A cache without a storage keeps the records: so it does for upstream, whose storage keeps nothing unless it is configured.
pub(super) fn settle(file: &Path, root: &Node, in_memory: bool, config: &mut Config, complain: &mut Complain<'_>) {
    for known in KNOWN {
        (known.settle)(file, root, config, complain);
    }
    let Some(cache) = config.cache.take().filter(|_| !in_memory) else { return };
    if root.get("storage").is_none() {
        config.storage = Storage::Kept(cache);
        return;
    }
    let hint = "leave one of them out: without storage, records are kept where cache says";
    match config.storage.kept() {
        None => complain(&["cache"], "there is a cache before a storage that keeps nothing", hint),
        Some(kept) if kept.directory().is_some() => {
            complain(&["cache"], "there is a cache before a storage in files of this machine, which is faster", hint);
        }
        Some(_) => config.cache = Some(cache),
    }
}

/// If no storage is configured, the embedded store is meant. A build without it refuses to start, so that nobody loses
/// records at the first restart.
pub(super) fn demand(root: &Node, cached: bool, complain: &mut Complain<'_>) {
    if cfg!(not(feature = "embedded")) && root.get("storage").is_none() && !cached {
        complain(&["storage"], "nothing is said of storage", unbuilt!("embedded"));
    }
}
