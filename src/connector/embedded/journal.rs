//! *Owns* the check of the database's journals before the database opens them. *Promises* that a journal which lost
//! anything acknowledged is refused rather than cut short, that an unfinished write is dropped whatever is in it, and
//! that what a restart builds on has really reached the disk. *Does not* replay anything: the database does.
//!
//! The database itself ends the replay at the first entry it cannot read and cuts the file there, without a word: one
//! flipped bit would take every acknowledged record behind it. And it takes for a batch whatever looks like one, also
//! when a half-written header makes it read a client's value as if it were a batch. So every batch is walked first, and
//! only one that carries the stamp which follows the last (`stamp.rs`) counts as a batch.
//!
//! What comes after the last of them is never searched for batches, because a client may have written it. What decides
//! is which batches were acknowledged: the watermark (`watermark.rs`) and the stamps name a number up to which
//! everything was known to be on the disk. If the last readable batch has that number, or a later one, nothing after it
//! was acknowledged, and it is dropped. Otherwise something acknowledged cannot be read, and that is damage.
//!
//! The format is that of fjall 3.1: `Start(count, seqno) Item* End(xxh3 of the items, magic)`, little-endian. A test
//! compares it with what the database writes.

mod batch;
#[cfg(test)]
mod tests;

use super::damage::Damage;
use super::say;
use super::stamp::Key;
use super::watermark::Watermark;
use crate::log::Level;
use batch::Batch;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// After a failed fsync the database can begin one more journal, but not two, because beginning one reports the
/// failure. So only the last two may hold bytes that never reached the disk.
const DOUBTFUL: usize = 2;

struct Journal {
    number: u64,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// The result of a walk through all journals.
#[derive(Debug, PartialEq, Eq)]
struct Walk {
    /// Of every journal, how many bytes are batches that count.
    readable: Vec<usize>,
    /// The number of the last batch, if there is any with a number.
    last: Option<u64>,
    /// Up to which number everything was acknowledged, as far as the journals themselves tell.
    promised: u64,
    /// The lowest number seen in stamps after the last valid batch.
    unread: Option<u64>,
}

/// Checks all journals in `database`, cuts them to what counts and writes the newest over themselves. This matters after
/// a failed fsync, and after a crash that may have followed one: the kernel can show bytes that never reached the disk
/// and never will; bytes written anew will. In place, because a full disk has no room for a copy; and safe in place,
/// because a sector has the same content before and after, if it ever had it.
pub(super) fn prepare(database: &Path, key: &Key, watermark: &Watermark) -> Result<(), Damage> {
    let journals = read(database)?;
    let walk = walk(&journals, key)?;
    let known = watermark.read()?;
    let promised = walk.promised.max(known);
    // Without a valid batch, the lowest number seen in the rest is the first that is missing.
    let next = walk.last.map(|last| last + 1).or(walk.unread);
    if let Some(next) = next.filter(|next| *next <= promised) {
        return Err(lost(&journals, &walk.readable, promised - next + 1));
    }
    if walk.last.is_none() && promised > known {
        // All batches that count are in tables by now, which only the open database can tell: it is asked then. The
        // journals are about to be cut, so what the stamps in the rest say is recorded first.
        watermark.put_durably(promised)?;
    }
    for (journal, &readable) in journals.iter().zip(&walk.readable) {
        if !is_empty(&journal.bytes[readable..]) {
            let text = format!("journal {}: an unfinished write at byte {readable} is dropped", journal.name());
            say(Level::Warn, &text);
        }
    }
    Ok(settle(&journals, &walk.readable)?)
}

/// Checks journals that a release before the stamp left behind. Without stamps nobody can tell an unfinished write from
/// damage, so there must be neither.
pub(super) fn prepare_without_stamps(database: &Path) -> Result<(), Damage> {
    let journals = read(database)?;
    let mut readable = Vec::new();
    for journal in &journals {
        let (mut at, mut next) = (0, 0);
        while let Some(batch) = Batch::read(&journal.bytes[at..], None).filter(|batch| batch.seqno >= next) {
            at += batch.len;
            next = batch.seqno + 1;
        }
        if !is_empty(&journal.bytes[at..]) {
            return Err(Damage::Found(format!("its journal {} cannot be read at byte {at}", journal.name())));
        }
        readable.push(at);
    }
    Ok(settle(&journals, &readable)?)
}

/// Journal files in the order they were written, with their numbers.
pub(super) fn list(database: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(database)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|extension| extension == "jnl")) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

fn read(database: &Path) -> Result<Vec<Journal>, Damage> {
    let mut journals = Vec::new();
    for (number, path) in list(database)? {
        let bytes = std::fs::read(&path)?;
        journals.push(Journal { number, path, bytes });
    }
    if journals.is_empty() {
        return Err(Damage::Found("it has lost its journal".into()));
    }
    Ok(journals)
}

fn walk(journals: &[Journal], key: &Key) -> Result<Walk, Damage> {
    let mut walk = Walk { readable: Vec::new(), last: None, promised: 0, unread: None };
    let (mut next, mut unstamped, mut unfinished) = (0, false, false);
    for journal in journals {
        let mut at = 0;
        while let Some(batch) = Batch::read(&journal.bytes[at..], Some(key)) {
            if let Some(stamp) = batch.stamp {
                // Behind batches without a stamp stands the first that has one.
                let expected = walk.last.map_or(unstamped.then_some(1), |last| Some(last + 1));
                if expected.is_some_and(|expected| stamp.number != expected) {
                    break;
                }
                if batch.seqno < next {
                    // This batch is whole and follows in sequence, so it was the number of an earlier one that was
                    // changed.
                    walk.promised = walk.promised.max(stamp.number);
                    break;
                }
                walk.last = Some(stamp.number);
            } else {
                let converted = key.converted.is_some_and(|number| journal.number <= number);
                if walk.last.is_some() || !converted || batch.seqno < next {
                    break;
                }
                unstamped = true;
            }
            next = batch.seqno + 1;
            at += batch.len;
        }
        let rest = &journal.bytes[at..];
        // After an unfinished write the database may begin another journal, but it writes no batch to it.
        let lowest = key.find(rest).map(|stamp| stamp.number).min();
        let begun = lowest.filter(|_| unfinished && at == 0).map(|number| number.saturating_sub(1));
        let durable = key.find(rest).map(|stamp| stamp.durable).max();
        walk.promised = walk.promised.max(begun.max(durable).unwrap_or(0));
        walk.unread = [walk.unread, lowest].into_iter().flatten().min();
        walk.readable.push(at);
        unfinished |= !is_empty(rest);
    }
    if unstamped && walk.last.is_none() {
        return Err(lost(journals, &walk.readable, 1));
    }
    Ok(walk)
}

/// The error that names the place which cannot be read.
fn lost(journals: &[Journal], readable: &[usize], count: u64) -> Damage {
    let unreadable = journals.iter().zip(readable).find(|(journal, readable)| !is_empty(&journal.bytes[**readable..]));
    let missing = format!("{count} acknowledged {} missing", if count == 1 { "write is" } else { "writes are" });
    Damage::Found(match unreadable.or_else(|| journals.iter().zip(readable).next_back()) {
        Some((journal, at)) if unreadable.is_some() => {
            format!("its journal {} cannot be read at byte {at}, and {missing}", journal.name())
        }
        Some((journal, at)) => format!("its journal {} ends at byte {at}, and {missing}", journal.name()),
        None => missing,
    })
}

/// Whether there are only zeros: the database allocates journals larger than their content.
fn is_empty(rest: &[u8]) -> bool {
    rest.iter().all(|&byte| byte == 0)
}

fn settle(journals: &[Journal], readable: &[usize]) -> io::Result<()> {
    for (position, (journal, &readable)) in journals.iter().zip(readable).enumerate() {
        let doubtful = position + DOUBTFUL >= journals.len();
        if !doubtful && is_empty(&journal.bytes[readable..]) {
            continue;
        }
        let mut file = File::options().write(true).open(&journal.path)?;
        file.set_len(readable as u64)?;
        if doubtful {
            file.write_all(&journal.bytes[..readable])?;
        }
        file.sync_all()?;
    }
    Ok(())
}

impl Journal {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
