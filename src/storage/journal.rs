//! *Owns* the look into the database's journals before the database opens them. *Promises* that a journal which lost
//! its middle is refused rather than cut short, and that what a restart builds on has really reached the disk.
//! *Does not* replay anything: the database does.
//!
//! The database itself ends the replay at the first entry it cannot read and cuts the file there, without a word: one
//! flipped bit would take every acknowledged record behind it. So every batch is walked first. What is behind the last
//! readable batch is either nothing (zeros: the file is allocated ahead), or a torn last write, which nobody was told
//! about and which is dropped, or it holds further readable batches: then something in between is damaged.
//!
//! The format is that of fjall 3: `Start(count, seqno) Item* End(xxh3 of the items, magic)`, little-endian. A batch that
//! was flipped exactly at the end of a journal after a crash looks like a torn write, as in every write-ahead log; an
//! orderly stop leaves a seal (`seal.rs`) that tells them apart.

use super::damage::Damage;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const END_MAGIC: &[u8] = b"FJL\x03";

/// What is behind the last readable batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing but the zeros of allocation.
    Empty,
    /// The beginning of a batch, or its scattered pages.
    Torn,
    /// Unreadable bytes and then readable batches.
    Damaged,
}

/// Checks all journals in `database`, cuts the one that is still written to its readable part and writes that part over
/// itself. This matters after a failed fsync, and after a crash that may have followed one: the kernel can show bytes
/// that never reached the disk and never will; bytes written anew will. In place, because a full disk has no room for
/// a copy; and safe in place, because a sector has the same content before and after, if it ever had it.
///
/// `holes_allowed`: batches were not synced one by one, so a power cut may have left later ones without earlier ones.
/// The replay then ends at the hole.
pub(super) fn prepare(database: &Path, holes_allowed: bool) -> Result<(), Damage> {
    let journals = list(database)?;
    if journals.is_empty() {
        return Err(Damage::Found("it has lost its journal".into()));
    }
    let mut seqno = 0;
    for (position, path) in journals.iter().enumerate() {
        let bytes = std::fs::read(path)?;
        let scan = scan(&bytes, seqno);
        let last = position + 1 == journals.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let at = scan.readable;
        match scan.tail {
            Tail::Empty => {}
            Tail::Torn if last => tracing::warn!("journal {name}: an unfinished write at byte {at} is dropped"),
            Tail::Damaged if last && holes_allowed => {
                tracing::warn!("journal {name}: everything from byte {at} on is dropped, it was not synced completely");
            }
            Tail::Torn | Tail::Damaged => {
                return Err(Damage::Found(format!("its journal {name} cannot be read at byte {at}")));
            }
        }
        if last {
            rewrite(path, &bytes[..scan.readable])?;
        }
        seqno = scan.seqno;
    }
    Ok(())
}

/// Journal files in the order they were written.
fn list(database: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(database)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|extension| extension == "jnl")) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

fn rewrite(path: &Path, readable: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.set_len(readable.len() as u64)?;
    file.write_all(readable)?;
    file.sync_all()
}

struct Scan {
    /// Bytes of readable batches from the start.
    readable: usize,
    /// The last batch's number.
    seqno: u64,
    tail: Tail,
}

fn scan(bytes: &[u8], mut seqno: u64) -> Scan {
    let mut readable = 0;
    while let Some(batch) = Batch::read(&bytes[readable..]).filter(|batch| batch.seqno >= seqno) {
        readable += batch.len;
        seqno = batch.seqno;
    }
    let rest = &bytes[readable..];
    let tail = if rest.iter().all(|&byte| byte == 0) {
        Tail::Empty
    } else if Batch::read(rest).is_some() || (1..rest.len()).any(|at| follows(&rest[at..], seqno)) {
        Tail::Damaged
    } else {
        Tail::Torn
    };
    Scan { readable, seqno, tail }
}

fn follows(bytes: &[u8], seqno: u64) -> bool {
    bytes[0] == START && Batch::read(bytes).is_some_and(|batch| batch.seqno >= seqno)
}

struct Batch {
    len: usize,
    seqno: u64,
}

impl Batch {
    /// The complete batch at the start of `bytes`, if its checksum holds.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut cut = Cut(bytes);
        if cut.byte()? != START {
            return None;
        }
        let (count, seqno) = (cut.u32()?, cut.u64()?);
        let items = cut.0;
        for _ in 0..count {
            cut.item()?;
        }
        let items = &items[..items.len() - cut.0.len()];
        let (end, check) = (cut.byte()?, cut.u64()?);
        let complete = end == END && cut.take(END_MAGIC.len())? == END_MAGIC;
        let mut hasher = Xxh3::new();
        hasher.update(items);
        (complete && hasher.digest() == check).then(|| Self { len: bytes.len() - cut.0.len(), seqno })
    }
}

/// Bytes that get shorter from the front.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.0.split_first_chunk().map(|(bytes, rest)| {
            self.0 = rest;
            u16::from_le_bytes(*bytes)
        })
    }

    fn u32(&mut self) -> Option<u32> {
        self.0.split_first_chunk().map(|(bytes, rest)| {
            self.0 = rest;
            u32::from_le_bytes(*bytes)
        })
    }

    fn u64(&mut self) -> Option<u64> {
        self.0.split_first_chunk().map(|(bytes, rest)| {
            self.0 = rest;
            u64::from_le_bytes(*bytes)
        })
    }

    fn item(&mut self) -> Option<()> {
        match self.byte()? {
            ITEM => {
                // Kind of value, compression, keyspace.
                self.take(1 + 1 + 8)?;
                let (key, _unpacked, packed) = (self.u16()?, self.u32()?, self.u32()?);
                self.take(key as usize)?;
                self.take(packed as usize)?;
            }
            CLEAR => {
                self.take(8)?;
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(seqno: u64, values: &[&[u8]]) -> Vec<u8> {
        let mut items = Vec::new();
        for value in values {
            items.extend_from_slice(&[ITEM, 0, 0]);
            items.extend_from_slice(&1u64.to_le_bytes());
            items.extend_from_slice(&1u16.to_le_bytes());
            items.extend_from_slice(&(value.len() as u32).to_le_bytes());
            items.extend_from_slice(&(value.len() as u32).to_le_bytes());
            items.push(b'k');
            items.extend_from_slice(value);
        }
        let mut hasher = Xxh3::new();
        hasher.update(&items);
        let mut bytes = vec![START];
        bytes.extend_from_slice(&(values.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&seqno.to_le_bytes());
        bytes.extend_from_slice(&items);
        bytes.push(END);
        bytes.extend_from_slice(&hasher.digest().to_le_bytes());
        bytes.extend_from_slice(END_MAGIC);
        bytes
    }

    #[test]
    fn a_cut_anywhere_keeps_the_whole_batches_before_it_and_is_torn() {
        let (first, second) = (batch(5, &[b"one", b"two"]), batch(6, &[b"three"]));
        let both = [first.clone(), second].concat();
        for end in 0..=both.len() {
            let padded = [&both[..end], &[0; 40]].concat();
            for bytes in [&both[..end], &padded] {
                let scan = scan(bytes, 0);
                let whole = if end < first.len() {
                    0
                } else if end < both.len() {
                    first.len()
                } else {
                    end
                };
                assert_eq!(scan.readable, whole, "cut at {end}");
                assert_eq!(scan.tail, if end == whole { Tail::Empty } else { Tail::Torn }, "cut at {end}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_before_other_batches_is_damage_and_never_a_shorter_journal() {
        let first = batch(5, &[b"one", b"two"]);
        let journal = [first.clone(), batch(6, &[b"three"]), batch(7, &[b"four"])].concat();
        for bit in 0..first.len() * 8 {
            let mut flipped = journal.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let scan = scan(&flipped, 0);
            // The number of a batch is not under its checksum: a smaller one that still ascends changes nothing.
            let unharmed = scan.tail == Tail::Empty && scan.readable == journal.len();
            assert!(scan.tail == Tail::Damaged || unharmed && (5..13).contains(&(bit / 8)), "bit {bit}");
        }
    }
}
