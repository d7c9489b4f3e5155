//! Permission rules as all cores share them, and what is told of them: to other cores, to the host, to the log.
//!
//! *Owns* the shapes. *Does not* judge: that is `permit`.

use crate::codec::structs;
use deepstream_valve::{Right, Ruleset};
use std::sync::Arc;

/// What all shards judge by.
#[derive(Debug)]
pub struct Permissions {
    /// Tells these from others; later ones have a larger one.
    pub generation: u32,
    /// The rules; `None`: everybody may do everything.
    pub ruleset: Option<Arc<Ruleset>>,
    /// Rules that are asked beside those, if there are any.
    pub shadow: Option<Arc<Shadow>>,
    /// How often one rule may be asked, records that it refers to being fetched in between.
    pub rounds_max: u32,
    /// How often choices of rules that were not used meanwhile are forgotten.
    pub sweep_ns: u64,
    /// Records whose names begin with one of these are nobody's, unless the path of a rule begins with it, too: tables of
    /// authentication, each with its slash.
    pub guarded: Vec<Box<[u8]>>,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            generation: 0,
            ruleset: None,
            shadow: None,
            rounds_max: 3,
            sweep_ns: 60_000_000_000,
            guarded: Vec::new(),
        }
    }
}

impl Permissions {
    /// The table of a record that is guarded, with its slash. A pattern that begins with it is about records of it, too.
    pub(crate) fn guard_of(&self, right: Right, name: Option<&[u8]>) -> Option<&[u8]> {
        if self.guarded.is_empty() || !right.is_about_records() {
            return None;
        }
        let name = name?;
        self.guarded.iter().map(|table| &**table).find(|table| name.starts_with(table))
    }

    /// Whether anything is judged.
    pub(crate) fn judges(&self) -> bool {
        self.ruleset.is_some() || !self.guarded.is_empty()
    }
}

/// Rules that are asked and not obeyed.
#[derive(Debug)]
pub struct Shadow {
    /// What they say.
    pub ruleset: Arc<Ruleset>,
    /// Their file, for people.
    pub file: Box<str>,
    /// The file of the rules in force, for people.
    pub live_file: Box<str>,
    /// Differences that the log is told in a minute; the others are counted.
    pub samples_per_minute_max: u32,
}

/// What came of a candidate on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see the counters of the same names")]
pub struct ShadowTally {
    pub judged: u64,
    pub would_allow: u64,
    pub would_deny: u64,
    pub would_fail: u64,
    pub undecided: u64,
}

/// What is told in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// Rules that failed.
    RuleFailures,
    /// What a candidate judges otherwise than the rules in force.
    ShadowDifferences,
}

/// Names an rule lookup; stale once it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleLookupId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

structs! { RuleLookupId { index: index, generation: generation } }
