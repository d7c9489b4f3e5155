//! A disk that is full: faults while it is, and nothing acknowledged is lost when there is space again.

use super::rig::{Rig, directory, failed, record};
use deepstream::storage::Durability;
use std::fs::File;
use std::io::Write as _;
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
