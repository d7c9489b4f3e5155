//! Which patterns a name may match, found without trying them all.
//!
//! A pattern stands in the index under a few bytes that every name it matches contains: of all that it is known to need,
//! those that the fewest others stood under when it came. A name is looked up by all its runs of bytes of those lengths, so that its cost is its own length
//! and the patterns that share its bytes, not the number of patterns. Patterns that need no certain bytes (`.*`) are tried
//! for every name.

use ahash::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Lengths of the runs, longest first: the longest that fits is taken.
const LENGTHS: [usize; 4] = [8, 4, 2, 1];

/// A run of bytes: which length, and the bytes.
pub(super) type Run = (u8, u64);

#[derive(Debug)]
pub(super) struct Index {
    runs: HashMap<Run, SmallVec<[u32; 2]>, RandomState>,
    /// Runs of each length.
    counts: [usize; 4],
    /// Patterns without.
    always: Vec<u32>,
}

impl Index {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { runs: HashMap::with_hasher(hasher), counts: [0; 4], always: Vec::new() }
    }

    /// Adds a pattern and returns what it stands under.
    pub(super) fn insert(&mut self, pattern: u32, required: &[Vec<Box<[u8]>>]) -> Vec<Run> {
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
            self.always.push(pattern);
        }
        under
    }

    /// Removes a pattern from where it stands.
    pub(super) fn remove(&mut self, pattern: u32, under: &[Run]) {
        for run in under {
            let Some(patterns) = self.runs.get_mut(run) else { continue };
            patterns.retain(|other| *other != pattern);
            if patterns.is_empty() {
                self.runs.remove(run);
                self.counts[usize::from(run.0)] -= 1;
            }
        }
        if under.is_empty() {
            self.always.retain(|&other| other != pattern);
        }
    }

    /// Calls `found` with every pattern that may match, some of them several times.
    pub(super) fn candidates(&self, name: &[u8], mut found: impl FnMut(u32)) {
        for (kind, length) in LENGTHS.into_iter().enumerate() {
            if self.counts[kind] == 0 {
                continue;
            }
            for run in name.windows(length) {
                if let Some(patterns) = self.runs.get(&(kind as u8, number(run))) {
                    patterns.iter().for_each(|&pattern| found(pattern));
                }
            }
        }
        self.always.iter().for_each(|&pattern| found(pattern));
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
