//! Names and values of an attacker who knows the form of the database's journal, and tries to have them read as a part
//! of it.

use super::random::Random;
use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const MAGIC: &[u8] = b"FJL\x03";
/// The keyspace of records.
const KEYSPACE: u64 = 1;

fn item(name: &[u8], value: &[u8]) -> Vec<u8> {
    let len = (value.len() as u32).to_le_bytes();
    let head = [&[ITEM, 0, 0][..], &KEYSPACE.to_le_bytes(), &(name.len() as u16).to_le_bytes(), &len, &len].concat();
    [&head, name, value].concat()
}

fn end(items: &[u8]) -> Vec<u8> {
    [&[END][..], &xxh3_64(items).to_le_bytes(), MAGIC].concat()
}

fn batch(seqno: u64, count: u32, items: &[u8]) -> Vec<u8> {
    [&[START][..], &count.to_le_bytes(), &seqno.to_le_bytes(), items, &end(items)].concat()
}

/// What a stamp looks like, with a secret that is guessed.
fn stamp(random: &mut Random, seqno: u64) -> Vec<u8> {
    let words = [seqno, seqno.wrapping_sub(1), 0, random.next(), random.next()].map(u64::to_le_bytes).concat();
    item(&random.bytes(16), &words)
}

/// One that could be read, with a number as the running store may give it next.
fn whole(random: &mut Random) -> Vec<u8> {
    let seqno = match random.below(4) {
        0 => random.below(4),
        1 => u64::MAX >> random.below(64),
        _ => random.below(80),
    };
    let mut items = Vec::new();
    let count = random.below(3) as u32;
    for _ in 0..count {
        let len = random.below(9) as usize;
        items.extend(item(&random.bytes(len), b"forged"));
    }
    if random.below(2) == 0 {
        items.extend(stamp(random, seqno));
        return batch(seqno, count + 1, &items);
    }
    batch(seqno, count, &items)
}

/// Bytes that are, or become when something before them is lost, parts of a journal.
pub(crate) fn bytes(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        // At every alignment.
        let shift = random.below(9) as usize;
        match random.below(9) {
            0 => bytes.extend(vec![0; shift]),
            1 => bytes.extend(random.bytes(shift)),
            _ => {}
        }
        match random.below(10) {
            0 => bytes.extend(MAGIC),
            1 => bytes.extend(vec![[START, ITEM, END, 4][random.below(4) as usize]; 1 + random.below(60) as usize]),
            2 => bytes.extend(item(&random.bytes(3), b"forged")),
            3 => bytes.extend(end(&random.bytes(8))),
            4 => bytes.extend([&[START][..], &u32::MAX.to_le_bytes(), &random.below(80).to_le_bytes()].concat()),
            5 => {
                let one = whole(random);
                bytes.extend(one.repeat(1 + random.below(40) as usize));
            }
            6 => {
                let one = whole(random);
                bytes.extend(&one[..random.below(one.len() as u64) as usize]);
            }
            _ => bytes.extend(whole(random)),
        }
    }
    bytes
}

/// Where in a batch the length of its first value stands, twice.
pub(crate) const FIRST_LENGTH: std::ops::Range<usize> = 26..34;

/// A value that ends the item of this name early: if the lengths before the name are lost, what follows the name is the
/// rest of a whole batch in which the value is empty, checksum and all.
pub(crate) fn early_end(random: &mut Random, name: &[u8]) -> Vec<u8> {
    // What comes after it in the real batch: a stamp, mostly.
    let mut rest = Vec::new();
    for _ in 0..[0, 1, 1, 1, 2][random.below(5) as usize] {
        let seqno = random.below(9);
        rest.extend(stamp(random, seqno));
    }
    let check = end(&[item(name, b""), rest.clone()].concat());
    let mut value = [rest, check].concat();
    if random.below(2) == 0 {
        value.extend(whole(random));
    }
    value.extend(random.bytes(5));
    value
}
