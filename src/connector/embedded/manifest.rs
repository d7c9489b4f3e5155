//! *Owns* the check of the database's lists of tables before the database opens them. *Promises* that a list which is
//! missing or changed is refused. *Does not* look into tables: their blocks carry checksums, which the database checks
//! as it reads them.
//!
//! The database writes a checksum of every list beside it, but does not compare it; it takes a keyspace without a list
//! for an unfinished one and removes it, and it panics on values no list ever had. Format: fjall 3 with lsm-tree 3.

use super::damage::Damage;
use std::io;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// The database's own keyspace and that of records: the first it ever makes.
const KEYSPACES: [&str; 2] = ["0", "1"];
/// Marks a directory as a database: without it, the database would make itself anew.
const VERSION: &str = "version";
const VERSION_BYTES: &[u8] = b"FJL\x03";

/// Checks the lists of the database in `database`.
pub(super) fn check(database: &Path) -> Result<(), Damage> {
    if read(database, VERSION)? != VERSION_BYTES {
        return Err(changed(VERSION));
    }
    for keyspace in KEYSPACES {
        let current_name = format!("keyspaces/{keyspace}/current");
        let current = read(database, &current_name)?;
        // Number of the list, its checksum, kind of checksum.
        let (Some((number, rest)), 25) = (current.split_first_chunk(), current.len()) else {
            return Err(changed(&current_name));
        };
        let list_name = format!("keyspaces/{keyspace}/v{}", u64::from_le_bytes(*number));
        let list = read(database, &list_name)?;
        if rest[..16] != xxh3_128(&list).to_le_bytes() || rest[16] != 0 {
            return Err(changed(&list_name));
        }
    }
    Ok(())
}

fn read(database: &Path, name: &str) -> Result<Vec<u8>, Damage> {
    std::fs::read(database.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Damage::Found(format!("its file {name} is missing")),
        _ => Damage::Io(error),
    })
}

fn changed(name: &str) -> Damage {
    Damage::Found(format!("its file {name} is not what was written"))
}
