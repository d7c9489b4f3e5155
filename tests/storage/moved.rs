//! A directory that is deleted, moved away or replaced while the store runs: noticed before the next acknowledgement.

use super::rig::{Rig, directory, failed, record};
use deepstream::connector::embedded::Durability;
use std::fs::{create_dir_all, remove_dir_all, remove_file, rename, write};
use std::path::Path;

type Harm = fn(&Path);

fn running(name: &str) -> (std::path::PathBuf, Rig) {
    let path = directory(name).join("data");
    let mut rig = Rig::open(&path, Durability::Always, 1);
    rig.store(0, &[(b"a", 1, Some(b"{}"))]).unwrap();
    (path, rig)
}

#[test]
fn the_first_write_after_the_directory_is_gone_is_not_acknowledged() {
    let gone: &[(&str, Harm)] = &[
        ("the directory deleted", |path| remove_dir_all(path).unwrap()),
        ("the directory moved away", |path| rename(path, path.with_extension("old")).unwrap()),
        ("the directory replaced by an empty one", |path| {
            remove_dir_all(path).unwrap();
            create_dir_all(path).unwrap();
        }),
        ("the directory replaced by another store", |path| {
            let other = path.with_extension("other");
            Rig::open(&other, Durability::Always, 1).stop();
            rename(path, path.with_extension("old")).unwrap();
            rename(other, path).unwrap();
        }),
        ("what is in it deleted", |path| {
            remove_file(path.join("deepstream-store")).unwrap();
            remove_dir_all(path.join("records")).unwrap();
        }),
        ("the database moved away", |path| rename(path.join("records"), path.join("records.old")).unwrap()),
        ("the marker deleted", |path| remove_file(path.join("deepstream-store")).unwrap()),
        ("the journal deleted", |path| remove_file(path.join("records/0.jnl")).unwrap()),
        ("the journal replaced", |path| {
            let journal = path.join("records/0.jnl");
            remove_file(&journal).unwrap();
            write(journal, "").unwrap();
        }),
    ];
    for (what, harm) in gone {
        let (path, mut rig) = running("moved");
        harm(&path);
        let why = failed(rig.store(0, &[(b"a", 2, Some(b"{}"))]));
        assert!(why.contains(&path.display().to_string()), "{what}: {why}");
        assert!(why.contains("deleted or moved away") || why.contains("was replaced"), "{what}: {why}");
        assert!(why.contains("put it back, or restart the server"), "{what}: {why}");
        failed(rig.store(0, &[(b"a", 3, Some(b"{}"))]));
        // What is open is read on.
        assert!(rig.load(0, b"a").unwrap().is_some(), "{what}");
        let before = list(&path);
        rig.stop();
        assert_eq!(list(&path), before, "{what}: nothing is left in what is there now");
    }
}

#[test]
fn writes_go_on_once_the_directory_is_back_and_nothing_is_missing() {
    let (path, mut rig) = running("moved-back");
    let away = path.with_extension("away");
    for version in 2..5 {
        rename(&path, &away).unwrap();
        failed(rig.store(0, &[(b"b", version, Some(b"{}"))]));
        rename(&away, &path).unwrap();
        rig.store(0, &[(b"b", version, Some(b"{}"))]).unwrap();
    }
    assert_eq!(rig.storage.counters().reopens, 0, "the database stayed open");
    rig.stop();
    let mut rig = Rig::open(&path, Durability::Always, 1);
    assert_eq!(rig.load(0, b"a").unwrap(), record(1, b"{}"));
    assert_eq!(rig.load(0, b"b").unwrap(), record(4, b"{}"));
}

#[test]
fn journals_that_the_database_starts_and_deletes_itself_are_no_loss() {
    let (_path, mut rig) = running("rotated");
    let big = vec![b'b'; 4 << 20];
    for version in 0..40 {
        rig.store(0, &[(b"big", version, Some(&big))]).unwrap();
    }
    assert_eq!(rig.load(0, b"a").unwrap(), record(1, b"{}"));
}

fn list(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let entry = entry.unwrap();
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            names.extend(list(&entry.path()));
        }
    }
    names.sort();
    names
}
