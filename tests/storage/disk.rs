//! A full disk: writes fail while it is full, and nothing acknowledged is lost when there is space again.

use super::hostile;
use super::random::Random;
use super::rig::{Rig, directory, failed, record};
use deepstream::connector::embedded::Durability;
use deepstream_engine::Stored;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own; gone with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(&path).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn full_disk_gives_faults_and_heals_without_losing_anything_acknowledged() {
    let Some(disk) = SmallDisk::mount(directory("small-disk"), "120m") else {
        eprintln!("SKIPPED: full_disk needs the right to mount a tmpfs (root)");
        return;
    };
    let (store, ballast) = (disk.0.join("store"), disk.0.join("ballast"));
    let mut rig = Rig::open(&store, Durability::Always, 1);
    let mut acknowledged = 0;
    // Too little for the journal; then enough for it, but not for the table that is written beside it.
    for (round, left_bytes) in [1 << 20, 18 << 20, 1 << 20].into_iter().enumerate() {
        take_all_but(&ballast, left_bytes);
        let why = fill(&mut rig, &mut acknowledged);
        assert!(why.contains("No space left") || why.contains("an earlier write failed"), "{why}");
        // Still full: still a fault, no hang, no panic.
        failed(write(&mut rig, acknowledged + 1));
        std::fs::remove_file(&ballast).unwrap();
        rig.until(|rig| write(rig, acknowledged + 1).is_ok());
        acknowledged += 1;
        assert!(rig.storage.counters().reopens > round as u64);
        check(&mut rig, acknowledged);
    }
    take_all_but(&ballast, 0);
    rig.stop();
    check(&mut Rig::open(&store, Durability::Always, 1), acknowledged);
}

/// How often the disk is filled; the seed of what fills it.
const ROUNDS: &str = "DEEPSTREAM_DISK_ROUNDS";
const SEED: &str = "DEEPSTREAM_DISK_SEED";

#[test]
fn a_disk_that_fills_again_and_again_with_hostile_names_heals_each_time_there_is_room() {
    let Some(disk) = SmallDisk::mount(directory("hostile-disk"), "320m") else {
        eprintln!("SKIPPED: a_disk_that_fills_again needs the right to mount a tmpfs (root)");
        return;
    };
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().expect(name));
    let (rounds, seed) = (number(ROUNDS, 4), number(SEED, 1));
    let (store, ballast) = (disk.0.join("store"), disk.0.join("ballast"));
    let mut random = Random::new(seed);
    // What is acknowledged of every name, and what failed since: that may be there or not.
    let mut known: BTreeMap<Vec<u8>, Vec<Option<Stored>>> = BTreeMap::new();
    let mut rig = Rig::open(&store, Durability::Always, 1);
    let mut version = 0;
    for round in 0..rounds {
        take_all_but(&ballast, random.within(1..6 << 20));
        let mut full = false;
        let mut failures = 0;
        // Failures in a row, while the disk stays full: what is written then is torn at many places.
        while failures < 12 {
            version += 1;
            let name = hostile_name(&mut random, &known);
            let value = hostile_value(&mut random, &name);
            let answer = rig.store(0, &[(&name, version, value.as_deref())]);
            let stored = value.and_then(|value| record(version, &value));
            let states = known.entry(name).or_insert_with(|| vec![None]);
            if answer.is_ok() {
                *states = vec![stored];
            } else {
                full = true;
                states.push(stored);
            }
            failures += usize::from(full);
        }
        if round % 2 == 1 {
            // A restart on the full disk opens or asks for room, and calls nothing damaged.
            rig.stop();
            if let Err(error) = Rig::try_open(&store, Durability::Always, 1).map(Rig::stop) {
                assert!(error.to_string().contains("free some disk space"), "seed {seed}, round {round}: {error}");
            }
            std::fs::remove_file(&ballast).unwrap();
            rig = Rig::open(&store, Durability::Always, 1);
        } else {
            std::fs::remove_file(&ballast).unwrap();
        }
        version += 1;
        rig.until(|rig| rig.store(0, &[(b"room", version, Some(b"{}"))]).is_ok());
        for (name, states) in &mut known {
            let found = rig.load(0, name).unwrap();
            assert!(states.contains(&found), "seed {seed}, round {round}: {found:?}");
            *states = vec![found];
        }
    }
}

fn hostile_name(random: &mut Random, known: &BTreeMap<Vec<u8>, Vec<Option<Stored>>>) -> Vec<u8> {
    let name = hostile::bytes(random);
    // A limited set of names: the disk is to be full of journal, not of records.
    if name.is_empty() || known.len() > 60 {
        known.keys().nth(random.within(0..known.len())).unwrap().clone()
    } else {
        name
    }
}

fn hostile_value(random: &mut Random, name: &[u8]) -> Option<Vec<u8>> {
    match random.below(8) {
        0 => None,
        1 => Some(hostile::early_end(random, name)),
        2 => Some(hostile::bytes(random)),
        _ => Some(hostile::bytes(random).repeat(random.within(1..600))),
    }
}

/// The database may have to merge all its tables before it can go on, if it did not get to that before the disk was full. For
/// that it needs as much space again as they take, so half of this disk is freed. Less is enough only if it was fast enough.
#[test]
fn a_small_disk_recovers_with_room_for_its_tables() {
    let Some(disk) = SmallDisk::mount(directory("tiny-disk"), "20m") else {
        eprintln!("SKIPPED: a_small_disk needs the right to mount a tmpfs (root)");
        return;
    };
    let (store, ballast) = (disk.0.join("store"), disk.0.join("ballast"));
    std::fs::write(&ballast, vec![1; 10 << 20]).unwrap();
    let mut rig = Rig::open(&store, Durability::Always, 1);
    let mut acknowledged = 0;
    // Merged tables give room back a few times.
    let mut why = String::new();
    rig.until(|rig| {
        why = fill(rig, &mut acknowledged);
        why.contains("kept for recovery")
    });
    assert!(why.contains("of which 2.5 MB are kept for recovery; free"), "{why}");
    // It is read meanwhile, but for the moments in which it is opened again.
    for n in 1..=acknowledged {
        rig.until(|rig| rig.load(0, format!("{n}").as_bytes()).is_ok_and(|found| found == record(n, &value(n))));
    }
    std::fs::remove_file(&ballast).unwrap();
    rig.until(|rig| write(rig, acknowledged + 1).is_ok());
    check(&mut rig, acknowledged + 1);
}

#[test]
fn the_reserve_is_held_while_the_store_runs_and_given_back_when_it_stops() {
    let path = directory("reserve");
    let rig = Rig::open(&path, Durability::Always, 1);
    let held = || std::fs::metadata(path.join("reserve")).unwrap().blocks() * 512;
    assert!(held() >= 64 << 20);
    rig.stop();
    assert_eq!(held(), 0);
}

/// Fills the disk up to this much.
fn take_all_but(ballast: &Path, left_bytes: usize) {
    let mut file = File::create(ballast).unwrap();
    let mut taken = 0;
    while let Ok(bytes) = file.write(&[1; 4096]) {
        taken += bytes;
    }
    file.set_len(taken.saturating_sub(left_bytes) as u64).unwrap();
}

#[test]
fn opening_on_a_full_disk_is_refused_in_words() {
    let Some(disk) = SmallDisk::mount(directory("no-disk"), "64k") else {
        eprintln!("SKIPPED: opening_on_a_full_disk needs the right to mount a tmpfs (root)");
        return;
    };
    let _ = std::fs::write(disk.0.join("ballast"), vec![1; 1 << 20]);
    let error = Rig::try_open(&disk.0.join("store"), Durability::Always, 1).map(Rig::stop).unwrap_err();
    assert!(error.to_string().contains("free some disk space"), "{error}");
    assert!(is_empty_or_ours(&disk.0.join("store")), "nothing half-made is taken for a store");
}

fn is_empty_or_ours(store: &Path) -> bool {
    !store.join("records").exists()
}

fn value(n: i32) -> Vec<u8> {
    vec![b'0' + (n % 10) as u8; 100_000]
}

fn write(rig: &mut Rig, n: i32) -> super::rig::Answer {
    rig.store(0, &[(format!("{n}").as_bytes(), n, Some(&value(n)))])
}

fn fill(rig: &mut Rig, acknowledged: &mut i32) -> String {
    loop {
        match write(rig, *acknowledged + 1) {
            Ok(()) => *acknowledged += 1,
            failure => return failed(failure),
        }
        assert!(*acknowledged < 1000, "the disk never fills");
    }
}

fn check(rig: &mut Rig, acknowledged: i32) {
    for n in 1..=acknowledged {
        assert_eq!(rig.load(0, format!("{n}").as_bytes()).unwrap(), record(n, &value(n)), "record {n}");
    }
}
