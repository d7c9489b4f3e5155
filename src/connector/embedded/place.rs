//! *Owns* the check that the store's directory is still where it was opened. *Promises* to notice that the directory or
//! a journal was deleted, moved or replaced: the open files would go on taking writes that are lost at the next start.
//! *Does not* read files: it compares the inodes that the paths lead to, by four system calls of about a microsecond
//! each.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What identifies a file independently of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// Where an open store lies.
pub(super) struct Place {
    marker: (PathBuf, Identity),
    database: (PathBuf, Identity),
    /// The newest journal known.
    journal: (u64, PathBuf, Identity),
    /// The one that will follow it.
    next: PathBuf,
}

impl Place {
    /// Remembers the files. To be called while they are certainly in place.
    pub(super) fn of(marker: &Path, database: &Path) -> io::Result<Self> {
        let remember = |path: &Path| Identity::of(path).map(|identity| (path.to_path_buf(), identity));
        let (number, path) = newest(database)?;
        let identity = Identity::of(&path)?;
        let next = name(database, number + 1);
        Ok(Self { marker: remember(marker)?, database: remember(database)?, journal: (number, path, identity), next })
    }

    /// What is no longer there, in words.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for (path, identity) in [&self.marker, &self.database] {
            same(path, *identity)?;
        }
        let lost = match same(&self.journal.1, self.journal.2) {
            Ok(()) if !self.next.exists() => return Ok(()),
            Ok(()) => None,
            Err(lost) => Some(lost),
        };
        // The database has started another journal, and maybe deleted this one.
        let newer = newest(&self.database.0).ok().filter(|(number, _)| *number > self.journal.0);
        match newer.and_then(|(number, path)| Identity::of(&path).ok().map(|identity| (number, path, identity))) {
            Some(journal) => {
                self.next = name(&self.database.0, journal.0 + 1);
                self.journal = journal;
                Ok(())
            }
            None => lost.map_or(Ok(()), Err),
        }
    }
}

fn name(database: &Path, number: u64) -> PathBuf {
    database.join(format!("{number}.jnl"))
}

fn newest(database: &Path) -> io::Result<(u64, PathBuf)> {
    super::journal::list(database)?.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn same(path: &Path, identity: Identity) -> Result<(), String> {
    match Identity::of(path) {
        Ok(found) if found == identity => Ok(()),
        Ok(_) => Err(format!("{} was replaced", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{} was deleted or moved away", path.display()))
        }
        Err(error) => Err(format!("{} cannot be looked at: {error}", path.display())),
    }
}
