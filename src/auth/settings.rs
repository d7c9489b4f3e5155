//! The trait of a method's settings, by which configuration and methods know nothing of each other.
//!
//! *Owns* the trait, and the settings of a method that the embedding program brings. *Promises* that the configuration keeps
//! settings without knowing the method, and that a server builds a method without knowing which one it is. *Does not* read
//! files.

use super::logins::Tools;
use super::method::Method;
use super::open::Open;
use crate::settings::{Configured, Value};
use std::any::Any;
use std::sync::Arc;

/// See the module. A method implements it for its section of the configuration.
pub trait Settings: Value {
    /// Its description in the log, in upstream's words where it has any.
    fn description(&self) -> String;

    /// Builds the method. Fails if that cannot be done, for example because this machine's certificates cannot be read.
    fn build(&self, tools: &Tools) -> Result<Arc<dyn Method>, String>;

    /// Whether it accepts everybody.
    fn is_open(&self) -> bool {
        false
    }

    /// The table of the store in which it keeps its users, if it keeps any.
    fn user_table(&self) -> Option<&str> {
        None
    }

    /// Whether it asks another server about every login, so that it needs connections of its own: `limits.webhooksMax` of them.
    fn asks_elsewhere(&self) -> bool {
        false
    }
}

/// The settings of one method of authentication. Methods are asked in order until one knows the user.
pub type AuthMethod = Configured<dyn Settings>;

impl AuthMethod {
    /// Wraps these settings.
    pub fn of<T: Settings>(settings: T) -> Self {
        Self::seen_as(settings, view::<T>, view_mut::<T>)
    }

    /// Accepts everybody, under any name.
    pub fn open() -> Self {
        Self::of(Open)
    }

    /// One that the embedding program brings (see `docs/library.md`), by its name. No configuration file can say this.
    pub fn member(name: &str) -> Self {
        Self::of(Member(name.to_owned()))
    }
}

const IT_IS: &str = "settings keep their type";

fn view<T: Settings>(settings: &dyn Any) -> &(dyn Settings + 'static) {
    settings.downcast_ref::<T>().expect(IT_IS)
}

fn view_mut<T: Settings>(settings: &mut dyn Any) -> &mut (dyn Settings + 'static) {
    settings.downcast_mut::<T>().expect(IT_IS)
}

/// See [`AuthMethod::member`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member(String);

impl Settings for Member {
    fn description(&self) -> String {
        self.0.clone()
    }

    fn build(&self, tools: &Tools) -> Result<Arc<dyn Method>, String> {
        tools.member(&self.0).ok_or_else(|| format!("no member is called {}", self.0))
    }
}
