//! The compiled form of a pattern.
//!
//! *Owns* the instructions. *Promises* that a program is about as long as its pattern: repetitions are counted, not
//! unrolled. *Does not* run.

use crate::class::Class;
use crate::literal::required;
use crate::matcher::{Budget, Exhausted, Input, Match, Scratch, search};
use crate::read::{Flags, PatternError, parsed, read};
use crate::shape::Shape;
use crate::visited::{Rounds, rounds};

/// One instruction. Those that read have a direction, because the inside of a lookbehind is read backwards.
#[derive(Clone, Debug)]
pub(crate) enum Inst {
    Char {
        unit: u32,
        fold: bool,
        back: bool,
    },
    Class {
        class: u32,
        fold: bool,
        back: bool,
    },
    /// Tries `first`, then `second`.
    Split {
        first: u32,
        second: u32,
    },
    Jump(u32),
    /// Notes the position as an end of a group.
    Save(u32),
    LineStart {
        multiline: bool,
    },
    LineEnd {
        multiline: bool,
    },
    Boundary {
        negative: bool,
        fold: bool,
    },
    /// The same text as one of these groups.
    Again {
        groups: Box<[u32]>,
        fold: bool,
        back: bool,
    },
    /// A lookaround; its body follows and ends with `Found`, then comes `end`.
    Look {
        negative: bool,
        end: u32,
    },
    Found,
    /// The beginning of a repetition.
    Reset {
        register: u32,
    },
    /// Decides between one more round and `end`; the next instruction is `Round`.
    Loop {
        register: u32,
        min: u32,
        max: u32,
        greedy: bool,
        end: u32,
    },
    /// Begins a round: forgets the groups inside.
    Round {
        register: u32,
        groups: (u32, u32),
    },
    /// Ends a round; one that read nothing does not count.
    RoundEnd {
        register: u32,
        min: u32,
        start: u32,
    },
    /// As many characters of one class as there are: the most common repetition, with one stack entry for all.
    Run {
        class: u32,
        fold: bool,
        back: bool,
        min: u32,
        max: u32,
    },
}

/// A compiled regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub(crate) insts: Box<[Inst]>,
    pub(crate) classes: Box<[Class]>,
    /// Groups, the whole match included.
    pub(crate) groups: u32,
    pub(crate) registers: u32,
    pub(crate) rounds: Option<Box<[Rounds]>>,
    /// Records visited states from the first step on.
    #[cfg(test)]
    pub(crate) eager: bool,
    pub(crate) names: Box<[(Box<str>, u32)]>,
    pub(crate) flags: Flags,
    shape: Shape,
    source: Box<str>,
}

impl Pattern {
    /// Compiles the text between the slashes, and the flags after them.
    pub fn new(source: &str, flags: &str) -> Result<Self, PatternError> {
        let flags = Flags::new(flags)?;
        let (insts, classes, groups, registers, names, shape) = read(source, flags)?;
        Ok(Self {
            rounds: rounds(&insts),
            #[cfg(test)]
            eager: false,
            insts: insts.into(),
            classes: classes.into(),
            groups,
            registers,
            names: names.into(),
            flags,
            shape,
            source: source.into(),
        })
    }

    /// The first match that begins at `start` or later; with flag `y`, exactly there.
    pub fn find(&self, input: Input<'_>, start: usize, budget: &mut Budget) -> Result<Option<Match>, Exhausted> {
        search(self, input, start, budget, &mut Scratch::default())
    }

    /// Whether there is a match, with memory of the caller's.
    pub fn is_match(&self, input: Input<'_>, budget: &mut Budget, scratch: &mut Scratch) -> Result<bool, Exhausted> {
        Ok(search(self, input, 0, budget, scratch)?.is_some())
    }

    /// Sets of texts, in UTF-8: every match contains at least one text of each set. The most selective set comes first;
    /// there are none if nothing is known.
    pub fn required(&self) -> Vec<Vec<Box<[u8]>>> {
        if self.flags.ignore_case {
            return Vec::new();
        }
        parsed(&self.source, self.flags, |pattern| Ok(required(&pattern.body))).unwrap_or_default()
    }

    /// Properties that all matching texts share.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Instructions.
    pub fn len(&self) -> usize {
        self.insts.len()
    }

    /// Never: even an empty one has instructions.
    pub fn is_empty(&self) -> bool {
        self.insts.is_empty()
    }

    /// The position after the character at `at`: where the search goes on after an empty match.
    pub fn after(&self, input: Input<'_>, at: usize) -> usize {
        input.next(at, self.flags.unicode).map_or(at + 1, |(_, next)| next)
    }

    /// The text between the slashes.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The letters behind the slashes.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The named groups and their numbers, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().map(|(name, group)| (&**name, *group as usize))
    }

    /// How many groups there are, the whole match included.
    pub fn groups(&self) -> usize {
        self.groups as usize
    }
}
