//! The trait of a connector's settings, by which configuration and connectors know nothing of each other.
//!
//! *Owns* the trait only. *Promises* that the configuration keeps settings without knowing the connector, and that a
//! server starts a connector without knowing which one it is. *Does not* read files.

use super::names::Names;
use super::{AnyCache, OpenError, Options, Storage};
use crate::settings::{Configured, Value};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the module. A connector implements it for its section of the configuration.
pub trait Settings: Value {
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

    /// What is configured, as a cache before another store; `None`: it cannot be one.
    fn cache(&self) -> Option<AnyCache> {
        None
    }

    /// Opens the store and starts its threads.
    fn start(&self, options: Options) -> Result<Storage, OpenError>;
}

/// Settings of some connector.
pub type Connector = Configured<dyn Settings>;

impl Connector {
    /// Wraps these settings.
    pub fn of<T: Settings>(settings: T) -> Self {
        Self::seen_as(settings, view::<T>, view_mut::<T>)
    }
}

const IT_IS: &str = "settings keep their type";

fn view<T: Settings>(settings: &dyn Any) -> &(dyn Settings + 'static) {
    settings.downcast_ref::<T>().expect(IT_IS)
}

fn view_mut<T: Settings>(settings: &mut dyn Any) -> &mut (dyn Settings + 'static) {
    settings.downcast_mut::<T>().expect(IT_IS)
}
