//! Who may do what: the permission language.
//!
//! Rules are expressions of ECMAScript. They are parsed by a parser of that language, restricted to an accepted subset,
//! compiled once and evaluated for each message; a rule that depends on nothing is a constant.
//!
//! *Owns* rules: from the permission file's sections to a verdict. *Promises* the answers that a JavaScript engine
//! would give inside the subset; an end within bounds that are counted in steps, not in time; and that anything outside
//! of the subset is refused when it is loaded, with line and column. *Does not* fetch records, read files or know
//! connections: records that a rule needs are named in its verdict, and the engine evaluates it again.
#![forbid(unsafe_code)]

mod builtin;
pub mod check;
mod compile;
mod cover;
mod eval;
mod explain;
mod meant;
mod meter;
mod number;
mod operator;
mod parse;
mod path;
mod right;
mod rules;
mod settle;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod value;

pub use compile::{Program, Uses};
pub use eval::{AtHand, Context, Document, Judged, REFERENCES_MAX, Reference, Thrown, User, Verdict, judge};
pub use explain::{Explanation, Part, explain};
pub use meter::{MADE_BYTES_MAX, STEPS_MAX};
pub use parse::{RULE_BYTES_MAX, Refused};
pub use path::{Captures, Paths};
pub use right::Right;
pub use rules::{Choice, Choices, Rule, Ruleset};
pub use settle::{Fetched, settle, too_many_rounds};
