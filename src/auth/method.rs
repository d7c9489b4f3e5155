//! The joint at which ways of logging in hang, and the list of those there are.
//!
//! *Owns* the contract and the list: a new way is a file beside this one, its line in `build`, and its section of the
//! configuration; or it is brought by the program that starts the server. *Promises* that nothing else in `auth` names one of
//! them. *Does not* judge.
//!
//! What is asked of a method:
//!
//! * It answers every login, whatever its data is: any JSON. `None` is "I do not know this user", and the next one is asked.
//!   [`Verdict::Refused`] is only said where the configuration makes a no an answer (`report`).
//! * Whom it cannot ask just now is [`Verdict::Unable`], after a time that its settings bound; it is never a no.
//! * A login may be called off at any point: the future is dropped, and nothing is left of it but what was already written.
//! * What there is only so much of (a webhook, a hash) is taken in turns by [`Request::origin`], and asked again with
//!   [`Tools::admit`] once the turn is there.
//! * A wrong password of a user there is counts as a guess: [`Request::miss`].
//! * Nothing in it blocks: what takes CPU goes to the threads that hash, by way of [`Tools`].
//! * One that the program brings is the same after a configuration was read again: `warm_up` may be called once more, and
//!   `inherit` with itself.

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

/// A verdict that may have to be waited for; `None`: nobody this method knows. A login takes a box of it a method: beside
/// what judging does, that is nothing.
pub type Judging<'j> = Pin<Box<dyn Future<Output = Option<Verdict>> + Send + 'j>>;

/// One way of logging in; see the module.
pub trait Method: Any + Send + Sync {
    /// Judges a login.
    fn judge<'j>(&'j self, request: &'j Request, tools: &'j Tools) -> Judging<'j>;

    /// Starts what is needed before the first login, without waiting for it. Called where tasks can be spawned.
    fn warm_up(&self) {}

    /// Takes over what an earlier method learned and this one would have to learn again. It is called with all methods of the
    /// configuration before, of whatever kind.
    fn inherit(&self, _earlier: &dyn Method) {}

    /// Whether it lets everybody in, under the name that is given: if it is the first, cores do that by themselves.
    fn is_open(&self) -> bool {
        false
    }

    /// Whether it looks at the headers of the request that a connection began with; they are kept for it until the login.
    fn wants_headers(&self) -> bool {
        false
    }
}

/// The list: one line a method. Fails on what only shows when it is built: certificates of this machine that cannot be read.
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
