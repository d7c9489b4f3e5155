//! What a connector is configured with: the joint between the configuration and the connectors.
//!
//! *Owns* the trait only. *Promises* that the configuration reads and keeps settings without knowing what becomes of them, and
//! that whoever starts a server needs not know which connector it starts. *Does not* read a file.

use super::names::Names;
use super::{OpenError, Options, Storage};
use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the module. A connector implements it for its section of the configuration.
pub trait Settings: Comparable + fmt::Debug + Send + Sync {
    /// What is kept where, for people: `PostgreSQL, database ds at localhost`.
    fn place(&self) -> String;

    /// What the store says of names.
    fn names(&self) -> Arc<dyn Names>;

    /// Files that it may have open at once, in a process that may have `limit` of them.
    fn files_max(&self, limit: usize) -> usize;

    /// The directory of this machine that records are kept in, if they are in one.
    fn directory(&self) -> Option<&Path> {
        None
    }

    /// Keeps them in another one, if they are in one.
    fn move_to(&mut self, _directory: PathBuf) {}

    /// Opens the store and starts its threads.
    fn start(&self, options: Options) -> Result<Storage, OpenError>;
}

/// What lets settings of any kind be copied and compared: whatever is `Clone` and `PartialEq` has it.
pub trait Comparable: Any {
    /// The same once more.
    fn copy(&self) -> Box<dyn Settings>;

    /// Whether the other is of the same kind and says the same.
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: Settings + Clone + PartialEq> Comparable for T {
    fn copy(&self) -> Box<dyn Settings> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}

/// Settings of some connector.
pub struct Connector(Box<dyn Settings>);

impl Connector {
    /// These.
    pub fn new(settings: impl Settings) -> Self {
        Self(Box::new(settings))
    }

    /// As what they are, if they are that.
    pub fn get<T: Settings>(&self) -> Option<&T> {
        let settings: &dyn Any = &*self.0;
        settings.downcast_ref()
    }

    /// The same, to be changed.
    pub fn get_mut<T: Settings>(&mut self) -> Option<&mut T> {
        let settings: &mut dyn Any = &mut *self.0;
        settings.downcast_mut()
    }
}

impl Deref for Connector {
    type Target = dyn Settings;

    fn deref(&self) -> &dyn Settings {
        &*self.0
    }
}

impl DerefMut for Connector {
    fn deref_mut(&mut self) -> &mut dyn Settings {
        &mut *self.0
    }
}

impl Clone for Connector {
    fn clone(&self) -> Self {
        Self(self.0.copy())
    }
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
