//! Listen patterns: JavaScript regular expressions without flags, searched for anywhere in a name.
//!
//! *Owns* the JavaScript syntax (`parse.rs`) and what it means in the words of the engines that match (`translate.rs`).
//! *Promises* JavaScript's answer for every pattern it accepts, down to UTF-16 code units; a bound on the memory of every
//! pattern and on the steps of every match, whoever wrote the pattern; and an error for what it does not accept.
//! *Does not* know names, connections or who listens.
//!
//! Most patterns are regular and run on `regex-automata`, in time proportional to states times bytes. Lookarounds and
//! backreferences need backtracking: those run on `fancy-regex` with a limit of steps, beyond which
//! [`Pattern::matches`] gives up.
//!
//! Names are texts of UTF-16 code units in JavaScript. All our text is UTF-8, where only characters beyond the basic plane
//! differ: JavaScript sees two units. [`units`] spells such a name with one stand-in character per unit, and patterns are
//! compiled for that spelling.
#![forbid(unsafe_code)]

mod literal;
mod node;
mod parse;
mod reference;
mod translate;
mod units;

use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
pub use units::units;

/// What a pattern may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes a compiled pattern may take.
    pub compiled_bytes_max: usize,
    /// Steps back that one match of a pattern with lookarounds or backreferences may take.
    pub steps_max: usize,
}

/// Why a pattern is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a regular expression.
    #[error("{what} at character {at}")]
    Syntax {
        /// What is wrong.
        what: &'static str,
        /// Which UTF-16 unit of the pattern, counted from 0.
        at: usize,
    },
    /// It would take more memory than it may.
    #[error("too large")]
    TooLarge,
    /// Its backreferences mean something in JavaScript that no bounded engine here can do.
    #[error("a backreference that cannot be matched within bounds")]
    Reference,
}

/// One match took more steps than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern takes too many steps")]
pub struct TooSlow;

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    source: Box<str>,
    literals: Vec<Box<[u8]>>,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    Regular(Box<BoundedBacktracker>),
    Backtracking(Box<fancy_regex::Regex>),
}

/// Memory for matching, used again for every pattern.
#[derive(Debug)]
pub struct Scratch(backtrack::Cache);

impl Default for Scratch {
    fn default() -> Self {
        let nothing = BoundedBacktracker::never_match().expect("an expression without states compiles");
        Self(nothing.create_cache())
    }
}

impl Pattern {
    /// Compiles a pattern.
    pub fn compile(source: &str, bounds: &Bounds) -> Result<Self, Refused> {
        let mut tree = parse::parse(source)?;
        reference::resolve(&mut tree)?;
        let literals = literal::required(&tree.root);
        let matcher = if tree.is_regular() {
            Matcher::Regular(Box::new(regular(&translate::regular(&tree), bounds)?))
        } else {
            Matcher::Backtracking(Box::new(backtracking(&translate::backtracking(&tree), bounds)?))
        };
        Ok(Self { source: source.into(), literals, matcher })
    }

    /// What it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every name that matches, spelled by [`units`], contains one of these; none given: nothing is known.
    pub fn literals(&self) -> &[Box<[u8]>] {
        &self.literals
    }

    /// Roughly the steps that matching takes per byte of a name, at worst.
    pub fn states(&self) -> usize {
        match &self.matcher {
            Matcher::Regular(engine) => engine.get_nfa().states().len(),
            Matcher::Backtracking(_) => BACKTRACKING_STATES,
        }
    }

    /// Whether it matches somewhere in a name, which is to be spelled by [`units`].
    pub fn matches(&self, name: &str, scratch: &mut Scratch) -> Result<bool, TooSlow> {
        if !self.may_match(name) {
            return Ok(false);
        }
        match &self.matcher {
            Matcher::Regular(engine) => {
                scratch.0.reset(engine);
                engine.try_is_match(&mut scratch.0, name).map_err(|_| TooSlow)
            }
            Matcher::Backtracking(engine) => engine.is_match(name).map_err(|_| TooSlow),
        }
    }
}

impl Pattern {
    fn may_match(&self, name: &str) -> bool {
        let has = |literal: &[u8]| memchr::memmem::find(name.as_bytes(), literal).is_some();
        self.literals.is_empty() || self.literals.iter().any(|literal| has(literal))
    }
}

/// Stands for what cannot be counted.
const BACKTRACKING_STATES: usize = 1000;
/// Memory of one match: one bit per state and byte of the name.
const VISITED_BYTES_MAX: usize = 4 << 20;

fn regular(pattern: &str, bounds: &Bounds) -> Result<BoundedBacktracker, Refused> {
    let compiler = thompson::Config::new()
        .nfa_size_limit(Some(bounds.compiled_bytes_max))
        .which_captures(WhichCaptures::None)
        .shrink(true);
    BoundedBacktracker::builder()
        .syntax(syntax::Config::new().unicode(true).utf8(false))
        .thompson(compiler)
        .configure(BoundedBacktracker::config().visited_capacity(VISITED_BYTES_MAX))
        .build(pattern)
        .map_err(|_| Refused::TooLarge)
}

fn backtracking(pattern: &str, bounds: &Bounds) -> Result<fancy_regex::Regex, Refused> {
    /// Instructions are this large, roughly.
    const INSTRUCTION_BYTES: usize = 64;
    fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(bounds.steps_max)
        .delegate_size_limit(bounds.compiled_bytes_max)
        .max_prog_size(bounds.compiled_bytes_max / INSTRUCTION_BYTES)
        // Neither pass is worth its risk for texts as short as names.
        .optimize(false)
        .seek(false)
        .build()
        .map_err(|_| Refused::TooLarge)
}
