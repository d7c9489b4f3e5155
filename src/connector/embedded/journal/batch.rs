//! *Owns* the form of one batch in a journal of fjall 3.1. *Promises* that what it reads as a batch has the length and
//! the checksum of one, and tells whether it carries a stamp of this store. *Does not* judge what a batch without one
//! means.

use crate::connector::embedded::stamp::{Key, REMOVAL, Stamp, VALUE};
use xxhash_rust::xxh3::xxh3_64;

pub(super) const START: u8 = 1;
pub(super) const ITEM: u8 = 2;
pub(super) const END: u8 = 3;
pub(super) const END_MAGIC: &[u8] = b"FJL\x03";
/// The database keeps the uppermost bits of sequence numbers for itself.
const SEQNO_MAX: u64 = 1 << 62;

pub(super) struct Batch {
    pub(super) len: usize,
    pub(super) seqno: u64,
    pub(super) stamp: Option<Stamp>,
}

struct Item<'a> {
    kind: u8,
    name: &'a [u8],
    value: &'a [u8],
}

impl Batch {
    /// The complete batch at the start of `bytes`, if its checksum holds. It has a stamp only if all of it is what was
    /// committed with that stamp.
    pub(super) fn read(bytes: &[u8], key: Option<&Key>) -> Option<Self> {
        let mut cut = Cut(bytes);
        if cut.byte()? != START {
            return None;
        }
        let (count, seqno) = (cut.u32()?, cut.u64()?);
        let items = cut.0;
        let mut sum = key.map(Key::sum);
        let mut last: Option<Item> = None;
        for _ in 0..count {
            let item = cut.item()?;
            if let (Some(sum), Some(before)) = (&mut sum, last.replace(item)) {
                sum.add(before.kind, before.name, before.value);
            }
        }
        let items = &items[..items.len() - cut.0.len()];
        let (end, check) = (cut.byte()?, cut.u64()?);
        let complete = end == END && cut.take(END_MAGIC.len())? == END_MAGIC && seqno < SEQNO_MAX;
        if !complete || xxh3_64(items) != check {
            return None;
        }
        let stamp = key.zip(sum).zip(last).and_then(|((key, sum), last)| {
            let stamp = key.decode(last.value).filter(|_| last.kind == VALUE && last.name == key.name())?;
            (stamp.sum == sum.finish() && stamp.floor <= seqno).then_some(stamp)
        });
        Some(Self { len: bytes.len() - cut.0.len(), seqno, stamp })
    }
}

/// A reader that consumes bytes from the front.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*front)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An item as we have the database write them: never compressed, and keyspaces are never cleared.
    fn item(&mut self) -> Option<Item<'a>> {
        if self.byte()? != ITEM {
            return None;
        }
        let (kind, compression, _keyspace) = (self.byte()?, self.byte()?, self.u64()?);
        let (name, unpacked, packed) = (self.u16()?, self.u32()?, self.u32()?);
        if kind > REMOVAL || compression != 0 || unpacked != packed {
            return None;
        }
        Some(Item { kind, name: self.take(name as usize)?, value: self.take(packed as usize)? })
    }
}
