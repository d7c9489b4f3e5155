//! ECMAScript regular expressions that cannot run away.
//!
//! *Owns* matching: [`Pattern`] is what `new RegExp(source, flags)` is, on UTF-16 code units. Syntax is read by the parser of
//! `oxc`, property escapes come from the tables of `regex-syntax`.
//!
//! *Promises* to answer as an ECMAScript engine would, or to say [`Exhausted`] once the caller's [`Budget`] is spent: every
//! instruction costs a step and what may be tried later is kept on a stack of bounded length, never on the thread's.
//!
//! *Does not* guess. Automata engines were considered and rejected: they cannot look around or refer back and choose other
//! captures, and the backtracking crates at hand either have no bound or another language.
#![forbid(unsafe_code)]

mod class;
mod fold;
mod literal;
mod matcher;
mod program;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod visited;

pub use matcher::{Budget, Exhausted, Input, Match, Scratch, Span};
pub use program::Pattern;
pub use read::{Flags, PatternError};
pub use shape::{Shape, Traits};
