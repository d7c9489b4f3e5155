//! The trait that every way of logging in implements.
//!
//! *Owns* the contract. A method that is built in is a file in `methods`, and its settings say how it is built
//! (`settings`); others are brought by the embedding program. *Promises* that nothing else in `auth` names one of them.
//! *Does not* judge.
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

use super::logins::Tools;
use super::verdict::{Request, Verdict};
use std::any::Any;
use std::pin::Pin;

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

#[cfg(test)]
#[path = "method_tests.rs"]
mod tests;
