//! *Owns* the reserve: a file that keeps disk space for what the database must write before it can free any. *Promises*
//! that the space is really allocated, and is released at once. *Does not* decide when: the writer does.
//!
//! A database that ran into a full disk has to write tables before it can delete the journals they replace. If somebody
//! frees a little space, new writes would use it up, and the database would be stuck again. So after the disk was full
//! nothing is written for clients until this reserve can be allocated again.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const FILE: &str = "reserve";
/// Smallest and largest size of the reserve.
const BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=64 << 20;
/// The part of a small disk that is kept.
const PART: u64 = 8;
/// The database starts a new journal at 64 MB, and until then deletes none; tables, memtables and the reserve come on
/// top. A smaller disk is full before the first journal is deleted.
const DISK_BYTES_MIN: u64 = 256 << 20;
/// Written where the file system cannot allocate without writing.
const PIECE_BYTES: usize = 64 << 10;

pub(super) struct Reserve {
    directory: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// The reserve of the store in `directory`; not allocated yet.
    pub(super) fn new(directory: &Path) -> Self {
        let bytes =
            disk_bytes(directory).map_or(*BYTES.end(), |(total, _)| (total / PART).clamp(*BYTES.start(), *BYTES.end()));
        Self { directory: directory.to_path_buf(), bytes }
    }

    /// How much room it keeps.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is wrong with the disk, if it is too small.
    pub(super) fn too_small(&self) -> Option<String> {
        let (total, _) = disk_bytes(&self.directory).filter(|(total, _)| *total < DISK_BYTES_MIN)?;
        Some(format!(
            "the disk has {} MB; its journal alone takes 64 MB, so give it {} MB or more",
            total >> 20,
            DISK_BYTES_MIN >> 20
        ))
    }

    /// Takes the room, or says how much is missing.
    pub(super) fn take(&self) -> Result<(), String> {
        let path = self.directory.join(FILE);
        let taken =
            File::options().create(true).truncate(false).write(true).open(&path).and_then(|file| self.fill(&file));
        taken.map_err(|error| {
            self.release();
            format!("{} ({error})", self.lack(0))
        })
    }

    /// Takes the reserve, and checks that there is some space beside it. Used after the disk was full: otherwise the
    /// next write would find it full again, and the database would be opened again and again.
    pub(super) fn take_with_slack(&self) -> Result<(), String> {
        self.take()?;
        match disk_bytes(&self.directory) {
            Some((_, free)) if free < self.slack() => Err(self.lack(0)),
            _ => Ok(()),
        }
    }

    fn slack(&self) -> u64 {
        self.bytes / PART
    }

    /// How much space there is and how much is needed, for the operator who can free some. `beside`: what the database
    /// needs beside the reserve.
    pub(super) fn lack(&self, beside: u64) -> String {
        let held = std::fs::metadata(self.directory.join(FILE)).map_or(0, |file| file.blocks() * 512);
        let free = disk_bytes(&self.directory).map_or(0, |(_, free)| free) + held;
        let missing = self.missing(free, beside);
        let [free, kept, missing] = [free, self.bytes, missing].map(|bytes| bytes as f64 / f64::from(1 << 20));
        format!(
            "the disk is full: it has {free:.1} MB, of which {kept:.1} MB are kept for recovery; free {missing:.1} MB or more"
        )
    }

    fn missing(&self, free: u64, beside: u64) -> u64 {
        let needed = self.bytes + self.slack() + beside;
        if free < needed { needed - free } else { self.bytes }
    }

    fn fill(&self, file: &File) -> io::Result<()> {
        let metadata = file.metadata()?;
        if metadata.len() == self.bytes && metadata.blocks() * 512 >= self.bytes {
            return Ok(());
        }
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => file.set_len(self.bytes),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                // Not zeros, because some file systems do not allocate space for them.
                let piece: Vec<u8> = (0..PIECE_BYTES).map(|at| ((at * 131) >> 3) as u8).collect();
                for at in (0..self.bytes).step_by(PIECE_BYTES) {
                    file.write_all_at(&piece[..PIECE_BYTES.min((self.bytes - at) as usize)], at)?;
                }
                file.sync_data()
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the room back.
    pub(super) fn release(&self) {
        // If it is not there, there is nothing to give.
        let _ = File::options().write(true).open(self.directory.join(FILE)).and_then(|file| file.set_len(0));
    }
}

/// Size of the disk and what is free for us.
fn disk_bytes(directory: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some((disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_enough_for_what_the_database_needs() {
        let reserve = Reserve { directory: PathBuf::new(), bytes: 800 };
        for (free, beside, missing) in [(700, 0, 200), (900, 0, 800), (900, 5000, 5000), (6000, 5000, 800)] {
            assert_eq!(reserve.missing(free, beside), missing, "{free} free, {beside} beside the reserve");
        }
    }
}
