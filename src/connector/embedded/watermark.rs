//! *Owns* the number of the last batch that is known to be on the disk, in a file beside the database. *Promises* that
//! the number it gives was really on the disk. *Does not* promise the newest: the file is not synced, so after a power
//! cut it may give an older number, and after a crash of the process it gives the last.
//!
//! A sync of its own would make every commit twice as slow. What is missing after a power cut, the stamps of later
//! batches tell (`stamp.rs`); only damage to the very last batch before a power cut looks like a write that never
//! finished, as in every write-ahead log.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const FILE: &str = "acknowledged";
/// The number and its checksum.
const BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct Watermark(File);

impl Watermark {
    /// Opens the one in `directory`, or makes it.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        File::options().create(true).truncate(false).read(true).write(true).open(directory.join(FILE)).map(Self)
    }

    /// The number, or zero if there is none, or none that is whole.
    pub(super) fn read(&self) -> io::Result<u64> {
        let mut bytes = [0; BYTES];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
            Err(error) => return Err(error),
        }
        let (number, check) = bytes.split_at(8);
        let intact = check == xxh3_64(number).to_le_bytes();
        Ok(number.first_chunk().filter(|_| intact).map_or(0, |number| u64::from_le_bytes(*number)))
    }

    /// Records that everything up to this number is on the disk. Survives a crash of the process.
    pub(super) fn put(&self, number: u64) -> io::Result<()> {
        let number = number.to_le_bytes();
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&number);
        bytes[8..].copy_from_slice(&xxh3_64(&number).to_le_bytes());
        self.0.write_all_at(&bytes, 0)
    }

    /// The same, and it survives a power cut too.
    pub(super) fn put_durably(&self, number: u64) -> io::Result<()> {
        self.put(number)?;
        self.0.sync_all()
    }
}
