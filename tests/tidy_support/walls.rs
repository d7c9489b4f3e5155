//! Walls: who imports whom, and where `unsafe`, clocks, runtimes, connectors and lines of the log stand.

use super::{MODULES, Modules, Source, assert_none, breaches, find, is_word, keys, named, names, tree};
use std::collections::BTreeSet;

/// Crate, its manifest's folder, and what it may import of ours.
const IMPORTS: &[(&str, &str, &[&str])] = &[
    ("cpulist", "shards/cpulist", &[]),
    ("json", "shards/json", &[]),
    ("mesh", "shards/mesh", &[]),
    ("wire", "shards/wire", &["json"]),
    ("pattern", "shards/pattern", &[]),
    ("valve", "shards/valve", &["json", "pattern"]),
    ("engine", "shards/engine", &["json", "wire", "pattern", "valve"]),
    ("cluster", "shards/cluster", &["engine"]),
    ("sim", "shards/sim", &["json", "wire", "valve", "engine", "cluster"]),
    ("benches", "benches", &["wire", "valve", "engine", "mesh", "cluster"]),
    ("perf", "perf", &["cpulist", "wire"]),
    ("engines", "tests/engines", &[]),
    ("deepstream", "", &["cluster", "cpulist", "json", "wire", "pattern", "valve", "engine", "mesh"]),
];
/// Crates that decide: no clock, thread, socket, file or randomly seeded map.
const PURE: &[&str] =
    &["shards/json/", "shards/wire/", "shards/pattern/", "shards/valve/", "shards/engine/", "shards/cluster/"];
/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["shards/mesh/", "src/host/ring.rs", "src/host/ring/"];
/// Where the time may be read: the host's clock; measuring tools; and what is neither on a core nor in a simulated world.
const CLOCKS: &[(&str, &str)] = &[
    ("src/host/clock.rs", "the one clock of all cores"),
    ("src/auth/", "off-core: tokens end at a time of day, keys are fetched again"),
    ("src/permissions/", "a command that judges as of now"),
    ("src/log.rs", "stamps log lines with the time of day"),
    ("src/cluster/", "off-core: how long a start waits, and the time of day in a first charter"),
    ("src/config/", "makes a server name up at start"),
    ("src/connector/", "off-core: when the next sync is due"),
    ("src/registry/", "off-core: when a lease is over"),
    ("src/storage/", "off-core: how long something may take, and when it is tried again"),
    ("shards/sim/src/bin/", "reports how long a run took"),
    ("perf/", "measures"),
];
/// Where a line may be written other than by `note` and its siblings.
const LOG_LINES: &[(&str, &str)] = &[
    ("src/log.rs", "is the log"),
    ("src/main.rs", "answers whoever typed a command, and what keeps the log from starting"),
];

pub(crate) fn unlisted_imports(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for &(name, folder, allowed) in IMPORTS {
        let path = if folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
        let Some(manifest) = files.iter().find(|file| file.path == path) else { continue };
        for table in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for key in keys(manifest, table) {
                let Some(import) = key.strip_prefix("deepstream-") else { continue };
                let for_tests =
                    folder.is_empty() && table == "dev-dependencies" && ["engines", "sim"].contains(&import);
                if !allowed.contains(&import) && !for_tests {
                    found.push(format!("{path}: {name} may not import {import}"));
                }
            }
        }
    }
    found
}

fn tables() -> impl Iterator<Item = &'static Modules> {
    MODULES.iter()
}

pub(crate) fn unlisted_arrows(files: &[Source]) -> Vec<String> {
    tables().flat_map(|table| table.unlisted(files)).collect()
}

pub(crate) fn stray_unsafe(files: &[Source]) -> Vec<String> {
    let elsewhere = |file: &Source| !UNSAFE.iter().any(|place| file.is_under(place));
    breaches(files, elsewhere, |line| named(line, &["unsafe"]))
}

pub(crate) fn unargued_unsafe(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        for (number, line) in file.numbered().filter(|(_, line)| names(&line.code, "unsafe")) {
            let above = file.lines[..number - 1].iter().rev().map(|line| line.text.trim());
            let mut comments = above.take_while(|text| text.starts_with("//") || text.starts_with("#["));
            if !line.text.contains("// SAFETY:") && !comments.any(|text| text.starts_with("// SAFETY:")) {
                found.push(format!("{}:{number}: unsafe without its SAFETY comment right above", file.path));
            }
        }
    }
    found
}

pub(crate) fn stray_runtimes(files: &[Source]) -> Vec<String> {
    let mut found = breaches(files, |file| !file.is_under("src/host/"), |line| named(line, &["glommio", "io_uring"]));
    let off_core = |file: &Source| {
        [
            "src/service/",
            "src/connector/",
            "src/storage/",
            "src/bus/",
            "src/cluster/",
            "src/registry/",
            "src/auth/",
            "src/monitor/reader.rs",
            "tests/stores/",
            "tests/busses/",
            "tests/registries/",
        ]
        .iter()
        .any(|place| file.is_under(place))
    };
    found.extend(breaches(files, |file| !off_core(file), |line| named(line, &["tokio"])));
    // One home for threads and runtimes, but for the log's, to which services write.
    let at_home = |file: &Source| ["src/service/", "src/log.rs"].iter().any(|place| file.is_under(place));
    let begins = ["thread::Builder", "thread::spawn", "runtime::Builder", "new_current_thread"];
    let server = |file: &Source| file.is_under("src/") && !at_home(file) && !file.is_test();
    found.extend(breaches(files, server, |line| named(line, &begins).filter(|_| !line.test)));
    found
}

/// What is told an operator, past the log: without an event, in another format, or waiting for whoever reads it.
pub(crate) fn stray_log_lines(files: &[Source]) -> Vec<String> {
    let elsewhere = |file: &Source| {
        file.is_under("src/") && !file.is_test() && !LOG_LINES.iter().any(|(place, _)| file.is_under(place))
    };
    breaches(files, elsewhere, |line| named(line, &["tracing", "println!", "eprintln!"]).filter(|_| !line.test))
}

/// Connectors that are named where `docs/add-connector.md` does not send who adds one.
pub(crate) fn stray_connectors(files: &[Source]) -> Vec<String> {
    let places = [
        "src/connector/",
        "src/config/mod.rs",
        "src/config/storage.rs",
        "src/config/embedded.rs",
        "src/config/postgres.rs",
        "src/config/redis.rs",
    ];
    let elsewhere =
        |file: &Source| file.is_under("src/") && !file.is_test() && !places.iter().any(|place| file.is_under(place));
    breaches(files, elsewhere, |line| named(line, &["embedded", "postgres", "redis"]).filter(|_| !line.test))
}

/// Methods of authentication that are named where `docs/authentication.md` does not send who adds one.
pub(crate) fn stray_methods(files: &[Source]) -> Vec<String> {
    let places = ["src/auth/methods/", "src/config/mod.rs", "src/config/auth/"];
    let elsewhere =
        |file: &Source| file.is_under("src/") && !file.is_test() && !places.iter().any(|place| file.is_under(place));
    // The settings of every method are called `…Auth`, and of what else is called so one name is in use.
    let settings = |word: &&str| word.ends_with("Auth") && !["Auth", "InvalidAuth"].contains(word);
    breaches(files, elsewhere, |line| {
        let word = line.code.split(|mark| !is_word(mark)).find(settings)?;
        (!line.test).then(|| word.to_owned())
    })
}

pub(crate) fn stray_clocks(files: &[Source]) -> Vec<String> {
    let elsewhere = |file: &Source| !file.is_test() && !CLOCKS.iter().any(|(place, _)| file.is_under(place));
    breaches(files, elsewhere, |line| named(line, &["Instant::now", "SystemTime::now"]).filter(|_| !line.test))
}

pub(crate) fn random_maps(files: &[Source]) -> Vec<String> {
    let pure = |file: &Source| PURE.iter().any(|place| file.is_under(place));
    let forbidden = [
        "HashMap::new",
        "HashSet::new",
        "RandomState::new",
        "hash::RandomState",
        "collections::HashMap",
        "collections::HashSet",
    ];
    breaches(files, pure, |line| named(line, &forbidden).filter(|_| !line.test))
}

#[test]
fn crates_import_only_what_the_table_lists() {
    assert_none("imports the table does not list", &unlisted_imports(&tree()));
}

#[test]
fn modules_import_only_what_their_table_lists() {
    let files = tree();
    assert_none("imports the table does not list", &unlisted_arrows(&files));
    let unused: Vec<String> = tables().flat_map(|table| table.unused(&files)).collect();
    assert_none("imports the table lists for nothing", &unused);
}

#[test]
fn circles_of_modules_become_no_larger() {
    for table in tables() {
        let circles = table.circles();
        assert_eq!(circles.len(), table.in_circles, "{} has these modules in circles: {circles:?}", table.folder);
    }
}

#[test]
fn every_crate_has_a_row_in_the_table_of_imports() {
    let files = tree();
    let folders = files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    let unlisted: Vec<_> = folders
        .filter(|folder| !folder.ends_with("fuzz"))
        .filter(|folder| !IMPORTS.iter().any(|row| row.1 == *folder))
        .collect();
    assert!(unlisted.is_empty(), "no row for {unlisted:?}");
}

#[test]
fn workspace_members_are_the_folders_and_are_named_after_them() {
    let files = tree();
    let root = find(&files, "Cargo.toml");
    let members = root.lines.iter().find(|line| line.text.starts_with("members")).expect("the workspace has members");
    let listed: BTreeSet<&str> = members.text.split('"').skip(1).step_by(2).collect();
    let manifests = files.iter().filter(|file| file.path.ends_with("Cargo.toml") && !file.path.contains("fuzz/"));
    let folders: BTreeSet<&str> =
        manifests.clone().map(|file| file.path.trim_end_matches("Cargo.toml").trim_end_matches('/')).collect();
    let folders: BTreeSet<&str> =
        folders.into_iter().map(|folder| if folder.is_empty() { "." } else { folder }).collect();
    assert_eq!(listed, folders);
    for manifest in manifests.filter(|file| file.path.starts_with("shards/")) {
        let folder = manifest.path.split('/').nth(1).unwrap();
        let name = format!("name = \"deepstream-{folder}\"");
        assert!(manifest.lines.iter().any(|line| line.text == name), "{} is not named after its folder", manifest.path);
    }
}

#[test]
fn crates_that_decide_forbid_unsafe_and_list_what_they_may_not_touch() {
    let files = tree();
    for place in PURE.iter().chain(&["shards/sim/"]) {
        let Some(root) = files.iter().find(|file| file.path == format!("{place}src/lib.rs")) else { continue };
        assert!(
            root.lines.iter().any(|line| line.code == "#![forbid(unsafe_code)]"),
            "{} allows unsafe code",
            root.path
        );
    }
    for place in PURE.iter().filter(|place| files.iter().any(|file| file.path == format!("{place}Cargo.toml"))) {
        let list = find(&files, &format!("{place}clippy.toml"));
        for key in ["disallowed-methods", "disallowed-types"] {
            assert!(list.lines.iter().any(|line| line.text.starts_with(key)), "{} has no {key}", list.path);
        }
    }
}

#[test]
fn unsafe_stands_only_where_it_may_and_argues_for_itself() {
    assert_none("unsafe outside of its places", &stray_unsafe(&tree()));
    assert_none("unsafe that does not say why it is sound", &unargued_unsafe(&tree()));
}

#[test]
fn runtimes_are_named_only_in_their_folders() {
    assert_none("a runtime is named outside of its folder", &stray_runtimes(&tree()));
}

#[test]
fn connectors_are_named_where_the_documentation_says() {
    assert_none("a connector is named outside of its places", &stray_connectors(&tree()));
}

#[test]
fn methods_of_authentication_are_named_where_the_documentation_says() {
    assert_none("a method of authentication is named outside of its places", &stray_methods(&tree()));
}

#[test]
fn what_the_operator_is_told_goes_through_the_log() {
    assert_none("told past the log", &stray_log_lines(&tree()));
}

#[test]
fn time_is_an_argument_outside_of_the_clock() {
    assert_none("clocks are read", &stray_clocks(&tree()));
}

#[test]
fn every_exception_for_a_clock_is_still_needed() {
    let files = tree();
    for (place, reason) in CLOCKS {
        let mut there = files.iter().filter(|file| file.is_under(place)).peekable();
        let absent = there.peek().is_none();
        let used = there.any(|file| file.lines.iter().any(|line| line.code.contains("::now")));
        assert!(absent || used, "{place} ({reason}) reads no clock");
    }
}

#[test]
fn crates_that_decide_use_no_randomly_seeded_map() {
    assert_none("randomly seeded maps", &random_maps(&tree()));
}
