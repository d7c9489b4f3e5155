//! *Owns* the stamp: the last item of every batch, by which the recovery knows that a batch is one of ours, which one
//! it is, and what was durable when it was begun. *Promises* that no name and no value that a client writes can be
//! taken for a stamp, or for a batch with one. *Does not* read journals.
//!
//! Names and values are chosen by clients, and the database's journal holds them as they are. A client that knows its
//! format can write a value that is a whole batch, with a valid checksum. So the checksum of the database says only
//! that bytes are intact, not that they are a batch. The stamp says that: its name in the database is a secret that was
//! drawn at random when the store was made, that never leaves the store's directory, and that nobody can guess; its
//! value is bound to the items before it by a sum that starts from the secret.

use super::StorageError;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// The file that keeps the secret. Plain text: this line, the secret, and since when batches have stamps.
const FILE: &str = "journal-key";
const MAGIC: &str = "deepstream journal key 1\n";
const NAME_BYTES: usize = 16;
const SECRET_BYTES: usize = NAME_BYTES + 8;
/// What an item is, as the database has it.
pub(super) const VALUE: u8 = 0;
pub(super) const REMOVAL: u8 = 1;
/// Number, durable, floor, sum of the batch, check.
const WORDS: usize = 5;
const CHECKED_BYTES: usize = (WORDS - 1) * 8;
pub(super) const VALUE_BYTES: usize = WORDS * 8;

/// The secret of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    name: [u8; NAME_BYTES],
    seed: u64,
    /// The number of the last journal that may begin with batches without stamps: those that a release before the stamp
    /// wrote. None: the store was made with stamps.
    pub(super) converted: Option<u64>,
}

/// What the last item of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Batches are numbered from one on, without gaps, as long as the store lives.
    pub(super) number: u64,
    /// The last batch of which it was known that it is on the disk when this one was begun.
    pub(super) durable: u64,
    /// The sequence number that the database gives the batch is this one or a later one. It stands in the batch's head
    /// under no checksum, and the database skips a batch whose number is too low.
    pub(super) floor: u64,
    /// Of the items before it.
    pub(super) sum: u64,
}

/// The sum of a batch's items.
pub(super) struct Sum(Xxh3);

impl Sum {
    /// Adds an item.
    pub(super) fn add(&mut self, kind: u8, name: &[u8], value: &[u8]) {
        self.0.update(&[kind]);
        self.0.update(&(name.len() as u64).to_le_bytes());
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(name);
        self.0.update(value);
    }

    pub(super) fn finish(&self) -> u64 {
        self.0.digest()
    }
}

impl Key {
    pub(super) fn draw() -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Ok(Self::from_secret(secret))
    }

    pub(super) fn from_secret(secret: [u8; SECRET_BYTES]) -> Self {
        let (mut name, mut seed) = ([0; NAME_BYTES], [0; 8]);
        name.copy_from_slice(&secret[..NAME_BYTES]);
        seed.copy_from_slice(&secret[NAME_BYTES..]);
        Self { name, seed: u64::from_le_bytes(seed), converted: None }
    }

    /// The name of stamps in the database.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(super) fn sum(&self) -> Sum {
        Sum(Xxh3::with_seed(self.seed))
    }

    pub(super) fn encode(&self, stamp: Stamp) -> [u8; VALUE_BYTES] {
        let mut bytes = [0; VALUE_BYTES];
        for (word, value) in bytes.chunks_exact_mut(8).zip([stamp.number, stamp.durable, stamp.floor, stamp.sum]) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        let check = xxh3_64_with_seed(&bytes[..CHECKED_BYTES], self.seed);
        bytes[CHECKED_BYTES..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Option<Stamp> {
        let mut words = [0; WORDS];
        if bytes.len() != VALUE_BYTES {
            return None;
        }
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let [number, durable, floor, sum, check] = words;
        let intact = check == xxh3_64_with_seed(&bytes[..CHECKED_BYTES], self.seed);
        intact.then_some(Stamp { number, durable, floor, sum })
    }

    /// All stamps in bytes that cannot be read as batches. Nothing but a stamp has the secret in it.
    pub(super) fn find<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Stamp> + 'a {
        memchr::memmem::find_iter(bytes, &self.name).filter_map(|at| {
            let value = bytes[at + NAME_BYTES..].get(..VALUE_BYTES)?;
            self.decode(value)
        })
    }

    /// Reads the key of the store in `directory`, if it has one.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, StorageError> {
        let mut text = String::new();
        match File::open(directory.join(FILE)).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => text.clear(),
            Err(error) => return Err(StorageError::system(directory, &format!("read its file {FILE}"), &error)),
        }
        let damaged =
            || StorageError::damaged(directory, format!("its file {FILE} is not what a deepstream server writes"));
        Self::parse(&text).map(Some).ok_or_else(damaged)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(MAGIC)?.strip_suffix('\n')?.split('\n');
        let (secret, since) = (lines.next()?, lines.next()?);
        let mut bytes = [0; SECRET_BYTES];
        if secret.len() != 2 * SECRET_BYTES || !secret.is_ascii() {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&secret[at..at + 2], 16).ok()?;
        }
        let mut key = Self::from_secret(bytes);
        key.converted = match since {
            "since its beginning" => None,
            since => Some(since.strip_prefix("since journal ")?.parse().ok()?),
        };
        (key.text() == text).then_some(key)
    }

    fn text(&self) -> String {
        let mut hex = String::new();
        for byte in self.name.iter().chain(&self.seed.to_le_bytes()) {
            hex.extend([byte >> 4, byte & 15].map(|half| char::from(b"0123456789abcdef"[half as usize])));
        }
        let since = self.converted.map_or("since its beginning".into(), |journal| format!("since journal {journal}"));
        let text = format!("{MAGIC}{hex}\n{since}\n");
        let check = xxh3_64_with_seed(text.as_bytes(), self.seed);
        format!("{text}{check:016x}\n")
    }

    /// Writes the key of the store in `directory`. Only the server's user may read it.
    pub(super) fn write(&self, directory: &Path) -> std::io::Result<()> {
        let temporary = directory.join("journal-key.new");
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, directory.join(FILE))?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_secret(*b"sixteen bytes ..and more")
    }

    #[test]
    fn a_key_comes_back_from_its_file_and_a_changed_one_does_not() {
        for converted in [None, Some(0), Some(17)] {
            let key = Key { converted, ..key() };
            let text = key.text();
            assert_eq!(Key::parse(&text), Some(key));
            for at in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(Key::parse(&changed), None, "byte {at} of {text}");
            }
            assert_eq!(Key::parse(&text[..text.len() - 1]), None);
        }
        assert_ne!(Key::draw().unwrap(), Key::draw().unwrap());
    }

    #[test]
    fn stamps_are_found_among_anything_and_a_broken_one_is_none() {
        let key = key();
        let stamp = |number| Stamp { number, durable: number - 1, floor: number + 9, sum: number * 7 };
        let mut bytes = b"payload".to_vec();
        for number in [5, 6] {
            bytes.extend_from_slice(key.name());
            bytes.extend_from_slice(&key.encode(stamp(number)));
            bytes.extend_from_slice(b"\x01\x02sixteen ");
        }
        bytes.extend_from_slice(key.name());
        assert_eq!(key.find(&bytes).collect::<Vec<_>>(), [stamp(5), stamp(6)]);
        let value = key.encode(stamp(5));
        for bit in 0..value.len() * 8 {
            let mut flipped = value;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(key.decode(&value[1..]), None);
    }
}
