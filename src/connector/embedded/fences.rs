//! *Owns* which generation has claimed each slot, in a file beside the database. *Promises* that a claim which ended
//! well survives a power cut. It need not be in the database: one thread claims and commits, and the directory is
//! locked, so nobody can claim a slot between the check of a fence and the write that it guards.

use super::StorageError;
use crate::storage::{Fence, Late};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Plain text: this line, and one for each slot with its generation.
const FILE: &str = "fences";
const MAGIC: &str = "deepstream fences 1\n";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fences {
    directory: PathBuf,
    generations: BTreeMap<u16, u64>,
}

impl Fences {
    /// Those of the store in `directory`: none, until somebody claims a slot.
    pub(super) fn read(directory: &Path) -> Result<Self, StorageError> {
        let generations = match std::fs::read_to_string(directory.join(FILE)) {
            Ok(text) => parse(&text).ok_or_else(|| {
                StorageError::damaged(directory, format!("its file {FILE} is not what a deepstream server writes"))
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(StorageError::system(directory, &format!("read its file {FILE}"), &error)),
        };
        Ok(Self { directory: directory.to_path_buf(), generations })
    }

    /// Whether a write guarded by this fence is still allowed.
    pub(super) fn hold(&self, fence: Fence) -> bool {
        self.generations.get(&fence.slot) == Some(&fence.generation)
    }

    /// Claims slots. Returns those that a later generation holds, which it does not get.
    pub(super) fn claim(&mut self, slots: &[u16], generation: u64) -> io::Result<Vec<Late>> {
        let mut generations = self.generations.clone();
        let mut late = Vec::new();
        for &slot in slots {
            let own = generations.entry(slot).or_insert(generation);
            if *own > generation {
                late.push(Late { slot, held: *own });
            } else {
                *own = generation;
            }
        }
        let mut text = MAGIC.to_owned();
        for (slot, generation) in &generations {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{slot} {generation}");
        }
        let temporary = self.directory.join("fences.new");
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.directory.join(FILE))?;
        File::open(&self.directory)?.sync_all()?;
        self.generations = generations;
        Ok(late)
    }
}

fn parse(text: &str) -> Option<BTreeMap<u16, u64>> {
    let lines = text.strip_prefix(MAGIC)?.lines();
    lines.map(|line| line.split_once(' ').and_then(|(slot, at)| Some((slot.parse().ok()?, at.parse().ok()?)))).collect()
}
