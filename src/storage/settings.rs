//! The trait of a connector's settings, by which configuration and connectors know nothing of each other.
//!
//! *Owns* the trait only. *Promises* that the configuration keeps settings without knowing the connector, and that a
//! server starts a connector without knowing which one it is. *Does not* read files.

use super::names::Names;
use super::{OpenError, Options, Storage};
use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the module. A connector implements it for its section of the configuration.
pub trait Settings: Comparable + fmt::Debug + Send + Sync {
    /// Where records are kept, in words: `PostgreSQL, database ds at localhost`.
    fn place(&self) -> String;

    /// Which names the store can keep.
    fn names(&self) -> Arc<dyn Names>;

    /// Files that it may have open at once, in a process that may have `limit` of them.
    fn files_max(&self, limit: usize) -> usize;

    /// The local directory of the records, if they are in one.
    fn directory(&self) -> Option<&Path> {
        None
    }

    /// Changes that directory, if there is one.
    fn move_to(&mut self, _directory: PathBuf) {}

    /// Opens the store and starts its threads.
    fn start(&self, options: Options) -> Result<Storage, OpenError>;
}

/// Copying and comparing settings behind a trait object. Implemented for everything that is `Clone` and `PartialEq`.
pub trait Comparable: Any {
    /// A copy.
    fn copy(&self) -> Box<dyn Settings>;

    /// Whether the other has the same type and value.
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
    /// Wraps these settings.
    pub fn new(settings: impl Settings) -> Self {
        Self(Box::new(settings))
    }

    /// The settings, if they are of this type.
    pub fn get<T: Settings>(&self) -> Option<&T> {
        let settings: &dyn Any = &*self.0;
        settings.downcast_ref()
    }

    /// The same, mutable.
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
