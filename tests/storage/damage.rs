//! Damaged, foreign, newer and shared directories are refused with a reason, or opened without harm, and never give a
//! wrong record.

use super::rig::{Rig, directory, record};
use deepstream::connector::embedded::Durability;
use deepstream_engine::{Fault, Stored};
use std::path::{Path, PathBuf};

const SMALL: i32 = 24;

fn refusal(path: &Path) -> String {
    let error = Rig::try_open(path, Durability::Always, 1).map(Rig::stop).expect_err("it should be refused");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    text
}

#[test]
fn foreign_directory_is_refused_and_left_alone() {
    let path = directory("foreign");
    std::fs::write(path.join("thesis.txt"), "precious").unwrap();
    let text = refusal(&path);
    assert!(text.contains("is not a deepstream store, but holds thesis.txt"), "{text}");
    assert!(text.contains("configure an empty directory"), "{text}");
    let left: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["thesis.txt"]);

    let path = directory("is-a-file").join("file");
    std::fs::write(&path, "x").unwrap();
    assert!(refusal(&path).contains("cannot create it"));
}

#[test]
fn fresh_file_system_and_an_unfinished_creation_are_no_obstacle() {
    let path = directory("fresh");
    std::fs::create_dir(path.join("lost+found")).unwrap();
    std::fs::create_dir(path.join("records.new")).unwrap();
    std::fs::write(path.join("records.new/0.jnl"), "half").unwrap();
    Rig::open(&path, Durability::Always, 1).store(0, &[(b"a", 1, Some(b"{}"))]).unwrap();
    assert_eq!(Rig::open(&path, Durability::Always, 1).load(0, b"a").unwrap(), record(1, b"{}"));
}

#[test]
fn newer_format_is_refused_with_the_way_out() {
    let path = directory("newer");
    Rig::open(&path, Durability::Always, 1).stop();
    std::fs::write(path.join("deepstream-store"), "deepstream record store, format 3\n").unwrap();
    let text = refusal(&path);
    assert!(text.contains("has format 3, this release reads up to format 2"), "{text}");
    assert!(text.contains("start the newer release"), "{text}");
    for marker in ["", "deepstream record store, format \n", "deepstream record store, format 0\n", "\u{0}\u{0}"] {
        std::fs::write(path.join("deepstream-store"), marker).unwrap();
        assert!(refusal(&path).contains("deepstream-store is not what a deepstream server writes"));
    }
    std::fs::write(path.join("deepstream-store"), "deepstream record store, format 2\n").unwrap();
    Rig::open(&path, Durability::Always, 1).stop();
}

#[test]
fn second_server_on_a_directory_is_refused() {
    let path = directory("shared");
    let mut first = Rig::open(&path, Durability::Always, 1);
    let text = refusal(&path);
    assert!(text.contains("is in use by another server"), "{text}");
    first.store(0, &[(b"a", 1, Some(b"{}"))]).unwrap();
    first.stop();
    assert_eq!(Rig::open(&path, Durability::Always, 1).load(0, b"a").unwrap(), record(1, b"{}"));
}

/// A stopped store with journals and tables.
fn specimen(name: &str) -> PathBuf {
    let path = directory(name);
    let mut rig = Rig::open(&path, Durability::Always, 1);
    let big = vec![b'b'; 1 << 20];
    for version in 1..=SMALL {
        rig.store(0, &[(format!("{version}").as_bytes(), version, Some(b"{\"a\":1}")), (b"big", version, Some(&big))])
            .unwrap();
    }
    rig.until(|_| !files(&path.join("records/keyspaces/1/tables")).is_empty());
    rig.stop();
    path
}

/// Opens what is there and checks that it is refused, or that every record is right or a fault that names it.
/// `losable`: how many of the last batches may be missing, whole.
fn judge(path: &Path, what: &str, losable: i32) {
    let mut rig = match Rig::try_open(path, Durability::Always, 1) {
        Ok(rig) => rig,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&path.display().to_string()), "{what}: {text}");
            assert!(!text.contains("gave up"), "{what}: panicked: {text}");
            return;
        }
    };
    let mut load = |name: &str| match rig.load(0, name.as_bytes()) {
        Err(Fault::Failed(why)) => {
            assert!(why.contains(&format!("record {name}:")), "{what}: {why}");
            None
        }
        other => Some(other.unwrap()),
    };
    let big = load("big");
    let batches = match &big {
        Some(Some(Stored { version, value })) => {
            assert_eq!(value, &vec![b'b'; 1 << 20], "{what}");
            *version
        }
        // Nothing is known: then nothing may be missing.
        None => SMALL,
        Some(None) => 0,
    };
    assert!(batches >= SMALL - losable, "{what}: only {batches} batches are there");
    for n in 1..=SMALL {
        if let Some(found) = load(&n.to_string()) {
            assert_eq!(found, if n <= batches { record(n, b"{\"a\":1}") } else { None }, "{what}: {n} of {batches}");
        }
    }
}

/// Every way to harm one file, applied to a copy of the specimen, one after the other.
fn harm_everything(specimen: &Path, name: &str, judge: impl Fn(&Path, &str)) {
    harm_files(specimen, name, |_| true, judge);
}

fn harm_files(specimen: &Path, name: &str, which: impl Fn(&Path) -> bool, judge: impl Fn(&Path, &str)) {
    let copy = directory(name);
    let mut random = 1_u64;
    for file in files(specimen).into_iter().filter(|file| which(file)) {
        let file = file.strip_prefix(specimen).unwrap();
        let len = std::fs::metadata(specimen.join(file)).unwrap().len();
        let mut harms = vec![Harm::Remove, Harm::Cut(0), Harm::Cut(len / 2), Harm::Cut(len.saturating_sub(1))];
        harms.extend([0, len / 3, len / 2, len.saturating_sub(9), len.saturating_sub(1)].map(Harm::Flip));
        for _ in 0..3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            harms.push(Harm::Flip((random >> 16) % len.max(1)));
        }
        for harm in harms {
            std::fs::remove_dir_all(&copy).unwrap();
            copy_tree(specimen, &copy);
            if harm.apply(&copy.join(file)) {
                judge(&copy, &format!("{harm:?} {}", file.display()));
            }
        }
    }
}

#[derive(Debug)]
enum Harm {
    Remove,
    Cut(u64),
    Flip(u64),
}

impl Harm {
    /// Whether there was anything to harm.
    fn apply(&self, file: &Path) -> bool {
        let mut bytes = std::fs::read(file).unwrap();
        match self {
            Self::Remove => {
                std::fs::remove_file(file).unwrap();
                return true;
            }
            Self::Cut(at) if (*at as usize) < bytes.len() => bytes.truncate(*at as usize),
            Self::Flip(at) if (*at as usize) < bytes.len() => bytes[*at as usize] ^= 0x10,
            _ => return false,
        }
        std::fs::write(file, bytes).unwrap();
        true
    }
}

#[test]
fn any_harm_to_a_stopped_store_is_refused_or_does_no_harm() {
    let specimen = specimen("stopped");
    harm_everything(&specimen, "stopped-harmed", |path, what| judge(path, what, 0));
}

/// There is no seal, but it is known what was acknowledged: a journal that is cut or changed anywhere has lost some of
/// it.
#[test]
fn any_harm_to_a_crashed_store_is_refused_or_does_no_harm() {
    let specimen = specimen("crashed");
    std::fs::remove_file(specimen.join("sealed")).unwrap();
    harm_everything(&specimen, "crashed-harmed", |path, what| judge(path, what, 0));
}

/// After a power cut an older number of what was acknowledged may be found, or none. Then a cut journal looks like one
/// that was never longer, and a flip in the last batch like a write that never finished. A flip elsewhere has batches
/// behind it.
#[test]
fn any_harm_to_a_journal_after_a_power_cut_is_refused_or_does_no_harm_but_to_its_end() {
    let specimen = specimen("powerless");
    std::fs::remove_file(specimen.join("sealed")).unwrap();
    std::fs::remove_file(specimen.join("acknowledged")).unwrap();
    let is_journal = |file: &Path| file.extension().is_some_and(|extension| extension == "jnl");
    harm_files(&specimen, "powerless-harmed", is_journal, |path, what| {
        judge(path, what, if what.starts_with("Cut") { SMALL } else { 1 });
    });
}

#[test]
fn a_store_whose_database_is_gone_is_refused_and_not_made_anew() {
    for sealed in [true, false] {
        let path = directory("gone");
        let mut rig = Rig::open(&path, Durability::Always, 1);
        rig.store(0, &[(b"a", 1, Some(b"{}"))]).unwrap();
        rig.stop();
        std::fs::remove_dir_all(path.join("records")).unwrap();
        if !sealed {
            std::fs::remove_file(path.join("sealed")).unwrap();
        }
        assert!(refusal(&path).contains("its directory records is missing"));
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}
