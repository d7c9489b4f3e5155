use super::batch::{END, END_MAGIC, ITEM, START};
use super::*;
use crate::connector::embedded::fences::Fences;
use crate::connector::embedded::stamp::{Stamp, VALUE};
use crate::connector::embedded::store::Store;
use crate::storage::{Expected, Write};
use xxhash_rust::xxh3::xxh3_64;

fn key() -> Key {
    Key::from_secret(*b"nobody knows this secret")
}

fn item(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![ITEM, VALUE, 0];
    bytes.extend_from_slice(&1u64.to_le_bytes());
    bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    [&bytes, name, value].concat()
}

/// What a client that knows the format can write: everything but a stamp.
fn unstamped(seqno: u64, items: &[Vec<u8>]) -> Vec<u8> {
    let (count, items) = (items.len() as u32, items.concat());
    let start = [&[START][..], &count.to_le_bytes(), &seqno.to_le_bytes()].concat();
    [&start, &items[..], &[END], &xxh3_64(&items).to_le_bytes(), END_MAGIC].concat()
}

fn stamped(number: u64, durable: u64, values: &[&[u8]]) -> Vec<u8> {
    let mut sum = key().sum();
    let mut items = Vec::new();
    for value in values {
        sum.add(VALUE, b"k", value);
        items.push(item(b"k", value));
    }
    items.push(item(key().name(), &key().encode(Stamp { number, durable, floor: 100 + number, sum: sum.finish() })));
    unstamped(100 + number, &items)
}

fn journals(bytes: &[&[u8]]) -> Vec<Journal> {
    let journal = |(number, bytes): (usize, &&[u8])| Journal {
        number: number as u64,
        path: format!("{number}.jnl").into(),
        bytes: bytes.to_vec(),
    };
    bytes.iter().enumerate().map(journal).collect()
}

fn found(bytes: &[&[u8]]) -> Walk {
    walk(&journals(bytes), &key()).unwrap()
}

/// Values that look like journals: with the next number, the last and the first; alone, in a row and unfinished.
fn hostile() -> Vec<Vec<u8>> {
    let mut values = vec![END_MAGIC.to_vec(), vec![START; 400], vec![ITEM; 400], vec![END; 400]];
    for seqno in [0, 100, 102, 103, 104, u64::MAX] {
        let batch = unstamped(seqno, &[item(b"x", b"forged")]);
        values.push(batch.clone());
        values.push(batch.repeat(9));
        values.push(batch[..batch.len() - 3].to_vec());
        let end = batch.len() - 13;
        values.push(batch[end..].to_vec());
    }
    values
}

#[test]
fn a_cut_anywhere_keeps_the_whole_batches_before_it_whatever_the_last_one_holds() {
    for value in hostile() {
        let (first, second) = (stamped(5, 4, &[b"one", b"two"]), stamped(6, 5, &[&value, b"three", &value]));
        let both = [first.clone(), second].concat();
        for end in 0..=both.len() {
            let padded = [&both[..end], &[0; 40]].concat();
            let whole = [0, first.len(), both.len()].into_iter().rfind(|whole| *whole <= end).unwrap();
            for bytes in [&both[..end], &padded] {
                let walk = found(&[bytes]);
                assert_eq!(walk.readable, [whole], "cut at {end}");
                assert!(walk.promised <= walk.last.unwrap_or(4), "cut at {end}: {walk:?}");
            }
        }
    }
}

#[test]
fn pages_that_are_missing_of_the_last_batch_are_an_unfinished_write_whatever_it_holds() {
    // Pages of eight bytes, so that every part of every header is on one of its own at times.
    for (value, shift) in hostile().iter().flat_map(|value| (0..8).map(move |shift| (value, shift))) {
        let first = stamped(5, 4, &[b"one", &vec![b'x'; shift]]);
        let second = stamped(6, 5, &[value, value]);
        let both = [first.clone(), second].concat();
        for missing in (first.len() / 8..both.len() / 8).flat_map(|page| [page..page + 1, page..page + 3]) {
            let mut bytes = both.clone();
            let end = bytes.len().min(missing.end * 8);
            bytes[first.len().max(missing.start * 8)..end].fill(0);
            if bytes != both {
                let walk = found(&[&bytes]);
                assert!(walk.readable == [first.len()] && walk.promised <= 5, "{missing:?}: {walk:?}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_before_another_batch_is_damage() {
    let before = [stamped(5, 4, &[b"one", b"two"]), stamped(6, 5, &[b"three"])].concat();
    let journal = [&before[..], &stamped(7, 6, &[b"four"])].concat();
    for bit in 0..before.len() * 8 {
        let mut flipped = journal.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let walk = found(&[&flipped]);
        assert!(walk.last.unwrap_or(4) < walk.promised, "bit {bit}: {walk:?}");
    }
}

#[test]
fn batches_that_were_not_promised_may_have_holes() {
    // None of them was synced: a power cut kept the second without the first.
    let (first, second) = (stamped(5, 4, &[b"one"]), stamped(6, 4, &[b"two"]));
    let walk = found(&[&[stamped(4, 3, &[]), vec![0; first.len()], second].concat()]);
    assert_eq!((walk.last, walk.promised), (Some(4), 4));
}

#[test]
fn a_batch_whose_sequence_number_is_changed_is_damage_where_it_matters() {
    let journal = |seqnos: [u64; 3]| {
        let stamps = [(1, 0), (2, 1), (3, 2)].map(|(number, durable)| stamped(number, durable, &[b"one"]));
        let mut bytes = Vec::new();
        for (mut batch, seqno) in stamps.into_iter().zip(seqnos) {
            batch[5..13].copy_from_slice(&seqno.to_le_bytes());
            bytes.extend(batch);
        }
        bytes
    };
    let last = |seqnos| found(&[&journal(seqnos)]).last;
    assert_eq!(last([101, 102, 103]), Some(3));
    assert_eq!(last([104, 110, 140]), Some(3), "the database uses numbers for itself too");
    // Below what it was at least: the database might take the batch for one that is in a table already.
    assert_eq!(last([100, 102, 103]), None);
    assert_eq!(last([105, 105, 106]), Some(1), "no two have the same");
    assert_eq!(last([101, 1 << 40, 103]), Some(2), "and none has more than the next");
    assert_eq!(found(&[&journal([101, 1 << 40, 103])]).promised, 3, "which is no unfinished write");
}

#[test]
fn numbers_go_on_from_journal_to_journal() {
    let (first, second, third) = (stamped(1, 0, &[b"a"]), stamped(2, 1, &[b"b"]), stamped(3, 2, &[b"c"]));
    let walk = found(&[&first, &second, &third]);
    assert_eq!((walk.last, walk.promised), (Some(3), 0));
    let walk = found(&[&first, &third]);
    assert_eq!((walk.readable, walk.last, walk.promised), (vec![first.len(), 0], Some(1), 2), "one is missing");
    // A full disk left half a batch, and the database began another journal.
    let torn = [&first, &second[..9]].concat();
    let walk = found(&[&torn, &[0; 64]]);
    assert_eq!((walk.readable, walk.last, walk.promised), (vec![first.len(), 0], Some(1), 0));
}

#[test]
fn batches_without_a_stamp_count_only_where_an_earlier_release_wrote_them() {
    let (old, new) = (unstamped(7, &[item(b"a", b"1")]), stamped(1, 0, &[]));
    let both = [old.clone(), new.clone()].concat();
    assert_eq!(found(&[&both]).readable, [0], "made with stamps");
    let mut converted = key();
    converted.converted = Some(1);
    let walk_of = |bytes: &[&[u8]]| walk(&journals(bytes), &converted);
    let older = unstamped(6, &[item(b"a", b"0")]);
    assert_eq!(walk_of(&[&older, &both]).unwrap().readable, [older.len(), both.len()]);
    // The batch that ended the conversion is gone.
    assert!(walk_of(&[&old]).is_err());
    assert!(walk_of(&[&[&old[..], &stamped(2, 1, &[])].concat()]).is_err());
    assert_eq!(
        walk_of(&[&both, &[&stamped(2, 1, &[])[..], &old].concat()]).unwrap().readable[1],
        stamped(2, 1, &[]).len()
    );
    assert_eq!(walk_of(&[&both, &[], &old]).unwrap().readable, [both.len(), 0, 0], "nor in later journals");
}

/// Fails when the database writes its journals in another form than the one we read.
#[test]
fn the_database_writes_what_we_read() {
    let path = std::env::temp_dir().join(format!("deepstream-journal-form-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let store = Store::open(&path, key(), 64 << 20).unwrap();
    store.begin().unwrap();
    let long = vec![b'v'; 70_000];
    let write = |name, version, value| Write { name, version, value, expected: Expected::Anything, fence: None };
    let group = [write(b"name", 3, Some(b"{}")), write(b"\x01\x02\x03", 1, None), write(b"long", 1, Some(&long))];
    let fences = Fences::default();
    store.commit(&group, &fences, true).unwrap();
    store.commit(&group, &fences, false).unwrap();
    store.sync().unwrap();
    store.commit(&group, &fences, true).unwrap();
    drop(store);
    assert_eq!(std::fs::read(path.join("version")).unwrap(), END_MAGIC, "the number of the format");
    let journals = read(&path).unwrap();
    let walk = walk(&journals, &key()).unwrap();
    assert_eq!((journals.len(), walk.last), (1, Some(4)));
    let bytes = &journals[0].bytes;
    assert!(is_empty(&bytes[walk.readable[0]..]));
    let (mut at, mut stamps) = (0, Vec::new());
    while let Some(batch) = Batch::read(&bytes[at..], Some(&key())) {
        at += batch.len;
        let stamp = batch.stamp.unwrap();
        stamps.push((stamp.number, stamp.durable));
    }
    assert_eq!(stamps, [(1, 0), (2, 1), (3, 2), (4, 3)]);
    std::fs::remove_dir_all(&path).unwrap();
}
