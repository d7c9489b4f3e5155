//! Where records are kept, and THE ROWS of the connectors that can keep them.
//!
//! *Owns* the list of connectors. *Promises* that one which was not built is refused in words that say what to do.
//! *Does not* know the settings of any: each has a file of its own beside this one.

#[cfg(feature = "embedded")]
use super::embedded;
use super::node::Node;
#[cfg(feature = "postgres")]
use super::postgres;
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
        Self::Kept(Connector::new(settings))
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

/// Where records are kept if nothing is said: in the embedded store, where it was built.
impl Default for Storage {
    fn default() -> Self {
        #[cfg(feature = "embedded")]
        let storage = Self::of(embedded::Embedded::default());
        #[cfg(not(feature = "embedded"))]
        let storage = Self::Memory;
        storage
    }
}

/// How a complaint is made: of which key, what is wrong, and what to do.
pub(super) type Complain<'c> = dyn FnMut(&[&str], &str, &str) + 'c;

/// What the configuration knows of a connector.
struct Known {
    /// Its keys.
    rows: &'static [Row],
    /// Judges what can only be judged once everything was read: the file, its tree, and what was made of it.
    settle: fn(&Path, &Node, &mut Config, &mut Complain<'_>),
}

/// What is said of a connector that was not built.
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

/// A row for each connector: the feature with which it is built, and the key by which it is chosen.
macro_rules! connectors {
    ($($feature:literal $key:literal $module:ident;)*) => {
        static KNOWN: &[Known] = &[$(
            #[cfg(feature = $feature)]
            Known { rows: $module::ROWS, settle: $module::settle },
            #[cfg(not(feature = $feature))]
            Known { rows: &[super::table::row($key, super::table::Rule::Later(unbuilt!($feature)))], settle: |_, _, _, _| () },
        )*];
    };
}

#[rustfmt::skip]
connectors! {
    "embedded" "storage[default]"  embedded;
    "postgres" "storage[postgres]" postgres;
}

/// The keys of all connectors.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    KNOWN.iter().flat_map(|known| known.rows)
}

/// What can only be judged once everything was read.
pub(super) fn settle(file: &Path, root: &Node, config: &mut Config, complain: &mut Complain<'_>) {
    for known in KNOWN {
        (known.settle)(file, root, config, complain);
    }
}

/// Whoever says nothing means the embedded store, and must not find out by a restart that there was none.
pub(super) fn demand(root: &Node, complain: &mut Complain<'_>) {
    if cfg!(not(feature = "embedded")) && root.get("storage").is_none() {
        complain(&["storage"], "nothing is said of storage", unbuilt!("embedded"));
    }
}
