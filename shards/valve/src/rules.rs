//! Chooses the rule for a name.
//!
//! *Owns* the compiled permission file, and the choice of a rule for a name: that of the longest matching path that has
//! a rule of the wanted type; of equally long ones the last. *Promises* that a choice which does not depend on the name
//! costs no lookup. *Does not* cache verdicts, only choices, because a verdict depends on more than the name.

use deepstream_pattern::Exhausted;
use hashbrown::HashTable;

use crate::check::At;
use crate::compile::Program;
use crate::path::{Captures, Path};
use crate::right::Right;

/// Most choices that a cache holds; when it is full it is emptied.
const CHOICES_MAX: usize = 100_000;

/// A rule and where it comes from.
#[derive(Debug)]
pub struct Rule {
    /// What it says.
    pub program: Program,
    /// The right it decides about.
    pub right: Right,
    /// Where its text begins, if it was read from a file.
    pub at: Option<At>,
    pub(crate) path: u32,
}

/// Everything a permission file says.
#[derive(Debug, Default)]
pub struct Ruleset {
    pub(crate) paths: Vec<Path>,
    pub(crate) rules: Vec<Rule>,
    kinds: [Kind; Right::ALL.len()],
}

#[derive(Debug, Default)]
struct Kind {
    /// Path and rule, the most specific first.
    candidates: Vec<(u32, u32)>,
    /// The answer that all of them give, if they do and the last one matches every name.
    always: Option<bool>,
}

/// Which rule was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This answer, for every name and user.
    Always(bool),
    /// This rule, with the values of its path's variables.
    Rule(u32, Captures),
    /// There is none, which denies.
    None,
}

impl Ruleset {
    pub(crate) fn new(paths: Vec<Path>, rules: Vec<Rule>) -> Self {
        let mut kinds: [Kind; Right::ALL.len()] = Default::default();
        for (index, rule) in rules.iter().enumerate() {
            kinds[rule.right as usize].candidates.push((rule.path, index as u32));
        }
        for kind in &mut kinds {
            kind.candidates.sort_by_key(|(path, _)| std::cmp::Reverse((paths[*path as usize].length, *path)));
            let mut answers = kind.candidates.iter().map(|(_, rule)| rules[*rule as usize].program.answer());
            let first = answers.next().flatten();
            let same = answers.all(|answer| answer == first);
            let everywhere = kind.candidates.iter().any(|(path, _)| &*paths[*path as usize].text == "*");
            kind.always = first.filter(|answer| same && (everywhere || !answer));
            if kind.candidates.is_empty() {
                kind.always = Some(false);
            }
        }
        Self { paths, rules, kinds }
    }

    /// The answer, if it depends neither on the user nor on the message.
    #[inline]
    pub fn always(&self, right: Right, name: &[u8]) -> Option<bool> {
        let answer = self.kinds[right as usize].always?;
        // `*` does not match line breaks, so such a name matches no path.
        let broken = name.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0xe2));
        (!answer || !broken).then_some(answer)
    }

    /// Whether everybody may do that with every name that matches a path.
    pub fn is_open(&self, right: Right) -> bool {
        self.kinds[right as usize].always == Some(true)
    }

    /// The rule for a name; `None` for presence of everybody.
    pub fn choose(&self, right: Right, name: Option<&[u8]>) -> Choice {
        // Without a name upstream matches the text `undefined`, as JavaScript writes it, and leaves the variables
        // undefined.
        match self.choose_by(right, |path| path.find(name.unwrap_or(b"undefined"))) {
            Choice::Rule(rule, _) if name.is_none() => Choice::Rule(rule, Captures::default()),
            choice => choice,
        }
    }

    /// The rule for a name that a pattern matches which somebody listens to: that of the name, where paths that spell out
    /// a pattern's anchors (`\^news/*` for `^news/.*`) are for the names which such a pattern matches too.
    pub fn choose_listened(&self, right: Right, name: &[u8]) -> Choice {
        self.choose_by(right, |path| path.find_listened(name))
    }

    fn choose_by(&self, right: Right, find: impl Fn(&Path) -> Result<Option<Captures>, Exhausted>) -> Choice {
        for (path, rule) in &self.kinds[right as usize].candidates {
            match find(&self.paths[*path as usize]) {
                Ok(None) => {}
                Ok(Some(captures)) => return Choice::Rule(*rule, captures),
                // It may be the rule for this name, so no less specific one may be used instead.
                Err(Exhausted) => return Choice::None,
            }
        }
        Choice::None
    }

    /// Path and rule of all that a right has, the most specific first.
    pub(crate) fn candidates(&self, right: Right) -> &[(u32, u32)] {
        &self.kinds[right as usize].candidates
    }

    /// A chosen rule.
    pub fn rule(&self, index: u32) -> &Rule {
        &self.rules[index as usize]
    }

    /// The path a rule stands under.
    pub fn path_of(&self, rule: &Rule) -> &str {
        &self.paths[rule.path as usize].text
    }

    /// Whether the path of a rule names what is within a table, in so many letters: the table's name and its slash, as they are
    /// or as a regular expression spells them.
    pub fn names_table(&self, rule: &Rule, table: &[u8]) -> bool {
        self.paths[rule.path as usize].begins_with(table)
    }

    /// The rule for a name within a table that is nobody's by default: the one that any name would have, if its path names
    /// the table.
    pub fn choose_within(&self, right: Right, name: Option<&[u8]>, table: &[u8]) -> Choice {
        match self.choose(right, name) {
            Choice::Rule(rule, captures) if self.names_table(self.rule(rule), table) => Choice::Rule(rule, captures),
            _ => Choice::None,
        }
    }

    /// All rules, in the file's order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

#[derive(Debug)]
struct Cached {
    hash: u64,
    right: Right,
    listened: bool,
    name: Box<[u8]>,
    choice: Choice,
    used: bool,
}

/// A shard's cache of choices.
#[derive(Debug, Default)]
pub struct Choices {
    generation: u64,
    table: HashTable<Cached>,
}

impl Choices {
    /// The rule for a name whose (seeded) hash is known; `listened`: the name is one that a pattern matches, see
    /// [`Ruleset::choose_listened`]. `generation` tells one ruleset from another.
    pub fn choose(
        &mut self,
        ruleset: &Ruleset,
        generation: u64,
        right: Right,
        (name, listened): (Option<&[u8]>, bool),
        hash: u64,
    ) -> Choice {
        let Some(named) = name else { return ruleset.choose(right, None) };
        if let Some(answer) = ruleset.always(right, named) {
            return Choice::Always(answer);
        }
        if self.generation != generation || self.table.len() >= CHOICES_MAX {
            self.table.clear();
            self.generation = generation;
        }
        let hash = hash ^ (2 * right as u64 + u64::from(listened)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let same = |cached: &Cached| cached.right == right && cached.listened == listened && *cached.name == *named;
        if let Some(cached) = self.table.find_mut(hash, same) {
            cached.used = true;
            return cached.choice.clone();
        }
        let choice = if listened { ruleset.choose_listened(right, named) } else { ruleset.choose(right, name) };
        let cached = Cached { hash, right, listened, name: named.into(), choice: choice.clone(), used: true };
        self.table.insert_unique(hash, cached, |cached| cached.hash);
        choice
    }

    /// Drops choices that were not used since the last call.
    pub fn sweep(&mut self) {
        self.table.retain(|cached| std::mem::take(&mut cached.used));
    }

    /// How many choices it holds.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// It holds none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}
