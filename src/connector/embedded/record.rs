//! *Owns* the stored form of one record: an rkyv archive followed by one byte that names its layout. *Promises* to
//! detect any bytes that it did not write. *Does not* copy before it has checked.
//!
//! The checksum covers the name too: a value that turns up under another name is as wrong as a flipped bit. The
//! database has checksums of its own for blocks; this one is end to end.

use deepstream_engine::Stored;
use rkyv::rancor::Error;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Layout byte of [`Record`]. A later release adds another and keeps reading this one.
const LAYOUT: u8 = 1;

/// A record as archived. The archive is little-endian and unaligned (crate features), because the database hands out
/// slices from the middle of its blocks.
#[derive(Archive, Serialize)]
struct Record<'a> {
    check: u64,
    version: i32,
    #[rkyv(with = InlineAsBox)]
    value: &'a [u8],
}

/// Appends the stored form to `out`.
pub(super) fn encode(name: &[u8], version: i32, value: &[u8], out: Vec<u8>) -> Result<Vec<u8>, String> {
    let record = Record { check: check(name, version, value), version, value };
    let mut out = rkyv::api::high::to_bytes_in::<_, Error>(&record, out).map_err(|error| error.to_string())?;
    out.push(LAYOUT);
    Ok(out)
}

/// Reads the stored form, or says what is wrong with it.
pub(super) fn decode(name: &[u8], bytes: &[u8]) -> Result<Stored, &'static str> {
    let Some((&layout, archive)) = bytes.split_last() else { return Err("is empty") };
    if layout != LAYOUT {
        return Err("has a layout this release does not know");
    }
    let record = rkyv::access::<ArchivedRecord<'_>, Error>(archive).map_err(|_| "is not a valid archive")?;
    let (version, value) = (record.version.to_native(), &*record.value);
    if record.check.to_native() != check(name, version, value) {
        return Err("fails its checksum");
    }
    Ok(Stored { version, value: value.to_vec() })
}

fn check(name: &[u8], version: i32, value: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name);
    hasher.update(&version.to_le_bytes());
    hasher.update(value);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_any_alignment() {
        for (name, value) in [(&b"a"[..], &b"{}"[..]), (b"\xff\x00", b""), (b"long", &[7; 5000])] {
            let bytes = encode(name, -3, value, Vec::new()).unwrap();
            for offset in 0..9 {
                let mut shifted = vec![0; offset];
                shifted.extend_from_slice(&bytes);
                let stored = decode(name, &shifted[offset..]).unwrap();
                assert_eq!((stored.version, &stored.value[..]), (-3, value));
            }
        }
    }

    #[test]
    fn every_flipped_bit_cut_and_foreign_name_is_noticed() {
        let bytes = encode(b"name", 7, b"{\"a\":1}", Vec::new()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A flipped bit in padding may go unnoticed, but must not change what is read.
            if let Ok(stored) = decode(b"name", &flipped) {
                assert_eq!(stored, Stored { version: 7, value: b"{\"a\":1}".to_vec() }, "bit {bit}");
            }
        }
        for end in 0..bytes.len() {
            assert!(decode(b"name", &bytes[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(decode(b"nama", &bytes), Err("fails its checksum"));
    }
}
