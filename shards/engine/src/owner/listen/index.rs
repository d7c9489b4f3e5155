//! Which patterns a name may match, found without trying them all.
//!
//! A pattern stands in the index under a few bytes that every name it matches contains: of all that it is known to need,
//! those that the fewest others stood under when it came. A name is looked up by all its runs of bytes of those lengths, so that its cost is its own length
//! and the patterns that share its bytes, not the number of patterns. Patterns that need no certain bytes (`.*`) are looked
//! at for every name that is long enough, and are candidates if its shape is theirs.

use ahash::RandomState;
use deepstream_pattern::{Shape, Traits};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Lengths of the runs, longest first: the longest that fits is taken.
const LENGTHS: [usize; 4] = [8, 4, 2, 1];

/// A run of bytes: which length, and the bytes.
pub(super) type Run = (u8, u64);

#[derive(Debug)]
pub(super) struct Index {
    runs: HashMap<Run, SmallVec<[u32; 2]>, RandomState>,
    /// Runs of each length.
    counts: [usize; 4],
    /// Patterns without, by the length that names must have. Their shapes stand here because they are all that is looked at.
    others: BTreeMap<u32, Vec<(Shape, u32)>>,
}

impl Index {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { runs: HashMap::with_hasher(hasher), counts: [0; 4], others: BTreeMap::new() }
    }

    /// Adds a pattern and returns what it stands under.
    pub(super) fn insert(&mut self, pattern: u32, required: &[Vec<Box<[u8]>>], shape: &Shape) -> Vec<Run> {
        let runs_of = |texts: &Vec<Box<[u8]>>| {
            let mut runs: Vec<Run> = texts.iter().map(|text| self.rarest(text)).collect();
            runs.sort_unstable();
            runs.dedup();
            runs
        };
        let company = |runs: &Vec<Run>| -> usize { runs.iter().map(|run| self.count(run)).sum() };
        let under = required.iter().map(runs_of).min_by_key(company).unwrap_or_default();
        for &run in &under {
            let patterns = self.runs.entry(run).or_default();
            self.counts[usize::from(run.0)] += usize::from(patterns.is_empty());
            patterns.push(pattern);
        }
        if under.is_empty() {
            self.others.entry(shape.len_min()).or_default().push((*shape, pattern));
        }
        under
    }

    /// Removes a pattern from where it stands.
    pub(super) fn remove(&mut self, pattern: u32, under: &[Run], shape: &Shape) {
        for run in under {
            let Some(patterns) = self.runs.get_mut(run) else { continue };
            patterns.retain(|other| *other != pattern);
            if patterns.is_empty() {
                self.runs.remove(run);
                self.counts[usize::from(run.0)] -= 1;
            }
        }
        if under.is_empty()
            && let Some(others) = self.others.get_mut(&shape.len_min())
        {
            others.retain(|&(_, other)| other != pattern);
            if others.is_empty() {
                self.others.remove(&shape.len_min());
            }
        }
    }

    /// Calls `found` with every pattern that may match, some of them several times.
    pub(super) fn candidates(&self, name: &[u8], traits: &Traits, mut found: impl FnMut(u32)) {
        for (kind, length) in LENGTHS.into_iter().enumerate() {
            if self.counts[kind] == 0 {
                continue;
            }
            let Some((first, rest)) = name.split_at_checked(length - 1) else { continue };
            let mask = u64::MAX >> (64 - 8 * length);
            let mut run = number(first);
            for &byte in rest {
                run = (run << 8 | u64::from(byte)) & mask;
                if let Some(patterns) = self.runs.get(&(kind as u8, run)) {
                    patterns.iter().for_each(|&pattern| found(pattern));
                }
            }
        }
        for (shape, pattern) in self.others.range(..=traits.len()).flat_map(|(_, others)| others) {
            if shape.admits(traits) {
                found(*pattern);
            }
        }
    }

    /// Of a text's runs the one with the fewest patterns.
    fn rarest(&self, text: &[u8]) -> Run {
        let kind = LENGTHS.iter().position(|&length| length <= text.len()).unwrap_or(LENGTHS.len() - 1);
        let runs = text.windows(LENGTHS[kind]).map(|run| (kind as u8, number(run)));
        runs.min_by_key(|run| self.count(run)).unwrap_or_default()
    }

    /// How many patterns stand under a run.
    fn count(&self, run: &Run) -> usize {
        self.runs.get(run).map_or(0, SmallVec::len)
    }
}

fn number(run: &[u8]) -> u64 {
    run.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::Index;
    use crate::pattern::Matcher;
    use crate::pattern::NamePattern;
    use ahash::RandomState;
    use std::collections::BTreeSet;

    #[test]
    fn candidates_are_all_that_match_and_of_those_without_certain_bytes_few_others() {
        let sources = [
            ".*",
            r"^[a-z]{3}$",
            r"^\d+$",
            "^.{10,}",
            "[A-F]",
            "^[^/]*$",
            r"\w$",
            "user/",
            "^stock/[^/]+$",
            "a|b",
            "(.)\\1",
        ];
        let names = ["abc", "12", "stock/acme", "user/12", "é", "/", "BEEF", "aé", "0123456789", "a/b"];
        let patterns = sources.map(|source| NamePattern::compile(source).unwrap());
        let mut index = Index::new(RandomState::with_seeds(1, 2, 3, 4));
        let mut under = Vec::new();
        for (number, pattern) in patterns.iter().enumerate() {
            under.push(index.insert(number as u32, pattern.required(), pattern.shape()));
        }
        let mut matcher = Matcher::new(10_000);
        for name in names.map(str::as_bytes) {
            assert!(matcher.take(name));
            let mut found = BTreeSet::new();
            index.candidates(name, &matcher.traits(), |pattern| {
                found.insert(pattern);
            });
            for (number, pattern) in patterns.iter().enumerate() {
                let matches = matcher.matches(pattern, name).unwrap();
                let is_candidate = found.contains(&(number as u32));
                let line = || format!("{} for {}", pattern.source(), String::from_utf8_lossy(name));
                assert!(is_candidate || !matches, "{} is missing", line());
                // What these say of a name is their shape alone, so that nothing else is left to be tried.
                assert!(matches || !is_candidate || number >= 6, "{} is tried in vain", line());
            }
        }
        for (number, pattern) in patterns.iter().enumerate() {
            index.remove(number as u32, &under[number], pattern.shape());
        }
        assert!(index.runs.is_empty() && index.others.is_empty() && index.counts == [0; 4]);
    }
}
