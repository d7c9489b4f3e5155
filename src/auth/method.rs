//! The trait that every way of logging in implements, and the list of those that are built in.
//!
//! *Owns* the contract and the list: a new way is a file beside this one, its line in `build`, and its section of the
//! configuration; or it is brought by the program that starts the server. *Promises* that nothing else in `auth` names one of
//! them. *Does not* judge.
//!
//! What is asked of a method:
//!
//! * It answers every login, whatever its data is: any JSON. `None` is "I do not know this user", and the next one is
//!   asked. [`Verdict::Refused`] is only given where the configuration says that a wrong password is final (`report`).
//! * If it depends on something that cannot be reached now, it answers [`Verdict::Unable`], after a time that its
//!   settings bound, and never refuses.
//! * A login may be called off at any point: then the future is dropped. Nothing but what it has already written may
//!   remain.
//! * A limited resource (a webhook, a hashing thread) is taken in turns by [`Request::origin`]. When its turn has come,
//!   a login calls [`Tools::admit`] again before it goes on.
//! * A wrong password of an existing user is reported with [`Request::miss`], so that it counts as a guess.
//! * It never blocks: work for the CPU goes to the hashing threads by way of [`Tools`].
//! * A method that the embedding program brings stays the same object when the configuration is read again: then
//!   `warm_up` may be called once more, and `inherit` with itself.

use super::file::File;
use super::http::Webhook;
use super::jwt::Jwt;
use super::logins::Tools;
use super::open::Open;
use super::storage::Table;
use super::verdict::{Request, Verdict};
use crate::config::AuthMethod;
use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

/// The future of a verdict; `None`: this method does not know the user. Boxed, because methods are behind a trait
/// object: one allocation a login and method is nothing beside what judging costs.
pub type Judging<'j> = Pin<Box<dyn Future<Output = Option<Verdict>> + Send + 'j>>;

/// One way of logging in; see the module.
pub trait Method: Any + Send + Sync {
    /// Judges a login.
    fn judge<'j>(&'j self, request: &'j Request, tools: &'j Tools) -> Judging<'j>;

    /// Starts what is needed before the first login, without waiting for it. Called where tasks can be spawned.
    fn warm_up(&self) {}

    /// Takes over what an earlier method has learned, such as fetched keys. It is called with every method of the
    /// previous configuration, of whatever kind.
    fn inherit(&self, _earlier: &dyn Method) {}

    /// Whether it accepts everybody, under the name that is given. If it is the first, cores do that without asking it.
    fn is_open(&self) -> bool {
        false
    }

    /// Whether it looks at the headers of the request that a connection began with; they are kept for it until the login.
    fn wants_headers(&self) -> bool {
        false
    }
}

/// The list: one line a method. Fails if the method cannot be built, for example because this machine's certificates
/// cannot be read.
pub(super) fn build(settings: &AuthMethod, tools: &Tools) -> Result<Arc<dyn Method>, String> {
    Ok(match settings {
        AuthMethod::Open => Arc::new(Open),
        AuthMethod::File(settings) => Arc::new(File::new(settings)),
        AuthMethod::Http(settings) => Arc::new(Webhook::new(settings, tools)?),
        AuthMethod::Storage(settings) => Arc::new(Table::new(settings)),
        AuthMethod::Jwt(settings) => Arc::new(Jwt::new(settings)?),
        AuthMethod::Member(name) => tools.member(name).ok_or_else(|| format!("no member is called {name}"))?,
    })
}

#[cfg(test)]
#[path = "method_tests.rs"]
mod tests;
