//! A store of the release before batches had stamps: it is converted, or refused with the way out.

use super::rig::{Rig, directory, record};
use deepstream::connector::embedded::Durability;
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What that release left behind when it was killed: names with these versions, each in a batch of its own.
fn left_behind(name: &str, versions: &[(&str, i32)]) -> PathBuf {
    // Records lie in it as they do now.
    let modern = directory(&format!("{name}-modern"));
    let mut rig = Rig::open(&modern, Durability::Always, 1);
    for (name, version) in versions {
        rig.store(0, &[(name.as_bytes(), *version, Some(b"{}"))]).unwrap();
    }
    rig.stop();
    let open = |path: &Path| {
        let database = Database::builder(path.join("records")).open().unwrap();
        let records = database.keyspace("records", KeyspaceCreateOptions::default).unwrap();
        (database, records)
    };
    let path = directory(name);
    let (_modern, from) = open(&modern);
    let (database, to) = open(&path);
    for (name, _) in versions {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&to, *name, from.get(name).unwrap().unwrap());
        batch.commit().unwrap();
    }
    std::fs::write(path.join("deepstream-store"), "deepstream record store, format 1\n").unwrap();
    path
}

#[test]
fn a_store_of_the_earlier_release_is_converted_and_from_then_on_as_safe_as_any() {
    let path = left_behind("earlier", &[("a", 1), ("b", 2)]);
    let mut rig = Rig::open(&path, Durability::Always, 1);
    assert_eq!(rig.load(0, b"a").unwrap(), record(1, b"{}"));
    rig.store(0, &[(b"c", 3, Some(b"{}"))]).unwrap();
    rig.stop();
    assert_eq!(std::fs::read_to_string(path.join("deepstream-store")).unwrap(), "deepstream record store, format 2\n");
    let check = |path: &Path| {
        let mut rig = Rig::open(path, Durability::Always, 1);
        for (name, version) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(rig.load(0, name.as_bytes()).unwrap(), record(version, b"{}"), "{name}");
        }
    };
    check(&path);
    // As after a crash: the journals are walked, from those without stamps on.
    std::fs::remove_file(path.join("sealed")).unwrap();
    check(&path);
    std::fs::remove_file(path.join("sealed")).unwrap();
    let journal = path.join("records/0.jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let error = Rig::try_open(&path, Durability::Always, 1).map(Rig::stop).unwrap_err();
    assert!(error.to_string().contains("cannot be read at byte 0"), "{error}");
}

#[test]
fn an_unfinished_write_of_the_earlier_release_is_left_to_it() {
    let path = left_behind("earlier-torn", &[("a", 1)]);
    let journal = path.join("records/0.jnl");
    let whole = std::fs::read(&journal).unwrap();
    let written = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let mut file = std::fs::File::create(&journal).unwrap();
    file.write_all(&whole[..written]).unwrap();
    file.write_all(b"\x01\x01").unwrap();
    let error = Rig::try_open(&path, Durability::Always, 1).map(Rig::stop).unwrap_err().to_string();
    assert!(error.contains("was last used by an earlier release"), "{error}");
    assert!(error.contains("start that release on it once more and stop it"), "{error}");
    assert_eq!(std::fs::metadata(&journal).unwrap().len(), written as u64 + 2, "it is as it was");
}
