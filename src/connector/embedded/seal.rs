//! *Owns* the seal: a list of the database's files with lengths and checksums, written by an orderly stop. *Promises*
//! that a database which was changed while no server ran is not opened. There is none while a server runs, nor after a
//! crash: then the journals are checked instead (`journal.rs`).
//!
//! Journals and small files are summed whole; of large tables the two ends, where their directory is: the blocks in
//! between carry checksums of the database and our own per record, and summing them would make a stop as slow as the
//! store is large.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const NAME: &str = "sealed";
const HEADER: &str = "deepstream seal 1\n";
/// Files up to this are summed whole.
const WHOLE_BYTES: u64 = 1 << 20;
/// Bytes summed at either end of a larger one.
const END_BYTES: u64 = 64 << 10;

/// The result of checking the seal.
#[derive(Debug)]
pub(super) enum Seal {
    /// None: the last run ended without one.
    Absent,
    /// All files are as they were when it was written.
    Intact,
    /// Some file is not; in words.
    Broken(String),
}

/// Seals the closed database in `database`, a directory in `store`.
pub(super) fn write(store: &Path, database: &Path) -> io::Result<()> {
    let text = list(database)?;
    let temporary = store.join("sealed.new");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, store.join(NAME))?;
    File::open(store)?.sync_all()
}

/// Whether there is one, good or bad.
pub(super) fn exists(store: &Path) -> bool {
    store.join(NAME).exists()
}

/// Compares the database with its seal.
pub(super) fn check(store: &Path, database: &Path) -> io::Result<Seal> {
    let sealed = match std::fs::read(store.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seal::Absent),
        Err(error) => return Err(error),
    };
    let Some(sealed) = String::from_utf8(sealed).ok().filter(|text| is_whole(text)) else {
        return Ok(Seal::Broken(format!("its file {NAME} is not what a deepstream server writes")));
    };
    let found = list(database)?;
    if sealed == found {
        return Ok(Seal::Intact);
    }
    let (sealed, found): (Vec<_>, Vec<_>) = (sealed.lines().collect(), found.lines().collect());
    // The last line is a checksum of the others, so it always differs.
    let differing = sealed.iter().rev().skip(1).find(|line| !found.contains(line));
    let added = found.iter().rev().skip(1).find(|line| !sealed.contains(line));
    let name = differing.or(added).and_then(|line| line.splitn(3, ' ').nth(2)).unwrap_or("list");
    Ok(Seal::Broken(format!("its file {name} was changed since the server stopped")))
}

/// Breaks the seal, before the first change.
pub(super) fn remove(store: &Path) -> io::Result<()> {
    std::fs::remove_file(store.join(NAME))?;
    File::open(store)?.sync_all()
}

fn is_whole(text: &str) -> bool {
    text.starts_with(HEADER)
        && text.rfind("end ").is_some_and(|at| {
            let (listed, end) = text.split_at(at);
            end == last_line(listed)
        })
}

fn last_line(listed: &str) -> String {
    format!("end {:016x}\n", xxh3_64(listed.as_bytes()))
}

fn list(database: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(database, &mut files)?;
    files.sort();
    let mut text = HEADER.to_owned();
    for path in files {
        let mut file = File::open(&path)?;
        let len = file.metadata()?.len();
        let whole = len <= WHOLE_BYTES || path.extension().is_some_and(|extension| extension == "jnl");
        let sum = sum(&mut file, len, whole)?;
        let name = path.strip_prefix(database).unwrap_or(&path).to_string_lossy();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{sum:016x} {len} {name}");
    }
    let end = last_line(&text);
    Ok(text + &end)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn sum(file: &mut File, len: u64, whole: bool) -> io::Result<u64> {
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; END_BYTES as usize];
    let mut add = |file: &mut File, mut left: u64| -> io::Result<()> {
        while left > 0 {
            let room = left.min(buffer.len() as u64) as usize;
            let got = file.read(&mut buffer[..room])?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&buffer[..got]);
            left -= got as u64;
        }
        Ok(())
    };
    if whole {
        add(file, len)?;
    } else {
        add(file, END_BYTES)?;
        file.seek(SeekFrom::End(-(END_BYTES as i64)))?;
        add(file, END_BYTES)?;
    }
    Ok(hasher.digest())
}
