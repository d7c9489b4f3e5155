//! What is left lying about: reminders, files that nobody compiles or reads to the end, unwraps, limits without a word, sleeps.

use super::{Source, assert_none, breaches, find, is_word, named, names, tree};
use std::collections::BTreeSet;

/// Tests that pause although they wait for nothing.
const PAUSES: &[(&str, &str)] = &[("tests/storage/crash.rs", "kills at a random moment")];
pub(crate) const FILE_LINES_MAX: usize = 600;

pub(crate) fn unwraps(files: &[Source]) -> Vec<String> {
    breaches(files, |file| !file.is_test(), |line| named(line, &[".unwrap()"]).filter(|_| !line.test))
}

pub(crate) fn reminders(files: &[Source]) -> Vec<String> {
    // Spelled so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let macros = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
    let mut found = breaches(files, |_| true, |line| named(line, &macros));
    for (file, (number, line)) in files.iter().flat_map(|file| file.numbered().map(move |line| (file, line))) {
        let word = words.iter().find(|word| names(&line.text, word));
        found.extend(word.map(|word| format!("{}:{number}: {word}", file.path)));
    }
    found
}

pub(crate) fn long_files(files: &[Source]) -> Vec<String> {
    let long = files.iter().filter(|file| file.path.ends_with(".rs") && !file.is_test());
    let long = long.filter(|file| file.lines.iter().filter(|line| !line.test).count() > FILE_LINES_MAX);
    long.map(|file| format!("{}: {} lines", file.path, file.lines.len())).collect()
}

pub(crate) fn undocumented_limits(file: &Source) -> Vec<String> {
    let fields = file.numbered().filter(|(_, line)| line.code.starts_with("    pub ") && line.code.contains(':'));
    let bare = fields.filter(|(number, _)| !file.lines[number - 2].text.trim().starts_with("///"));
    bare.map(|(number, line)| format!("{}:{number}: {}", file.path, line.text.trim())).collect()
}

/// Sleeping a fixed time proves nothing and costs everybody the time. Helpers that wait for a condition may pause between looks.
pub(crate) fn fixed_sleeps(files: &[Source]) -> Vec<String> {
    const WAITING: &[&str] = &["wait", "until", "within", "eventually"];
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs") || file.path.ends_with("js")) {
        let script = !file.path.ends_with(".rs");
        if script && !file.is_under("tests/") || PAUSES.iter().any(|(place, _)| file.path == *place) {
            continue;
        }
        let mut function = String::new();
        for (number, line) in file.numbered().filter(|(_, line)| script || line.test) {
            let heads = line.code.split_once("fn ").or_else(|| line.code.split_once("function "));
            if let Some((_, rest)) = heads {
                function = rest.chars().take_while(|&mark| is_word(mark)).collect();
            }
            let sleeps = ["thread::sleep", "setTimeout"];
            let asleep = sleeps.iter().find(|name| names(&line.code, name));
            if let Some(name) = asleep.filter(|_| !WAITING.iter().any(|verb| function.starts_with(verb))) {
                found.push(format!("{}:{number}: {name} in {function}", file.path));
            }
        }
    }
    found
}

/// Modules that no other declares are compiled by nobody.
pub(crate) fn dead_files(files: &[Source]) -> Vec<String> {
    let declared: BTreeSet<String> = files
        .iter()
        .flat_map(|file| &file.lines)
        .flat_map(|line| {
            let module = line.code.trim().trim_end_matches(';').rsplit_once("mod ").map(|(_, name)| name.to_owned());
            let path = line.text.split_once("#[path = \"").and_then(|(_, rest)| rest.split_once(".rs\""));
            [module, path.map(|(path, _)| path.rsplit('/').next().unwrap_or_default().to_owned())]
        })
        .flatten()
        .collect();
    let mut dead = Vec::new();
    for file in files {
        let Some(path) = file.path.strip_suffix(".rs") else { continue };
        let mut parts: Vec<&str> = path.split('/').collect();
        let mut name = parts.pop().unwrap_or_default();
        let folder = parts.last().copied().unwrap_or_default();
        let root = ["main", "lib", "build"].contains(&name)
            || ["bin", "benches", "fuzz_targets", "examples"].contains(&folder);
        if name == "mod" {
            name = folder;
        }
        let test_target = folder == "tests" && !parts.contains(&"src");
        if !root && !test_target && !declared.contains(name) {
            dead.push(file.path.clone());
        }
    }
    dead
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    assert_none("unwrap outside of tests", &unwraps(&tree()));
}

#[test]
fn nothing_is_left_for_later() {
    assert_none("leftover reminders", &reminders(&tree()));
}

#[test]
fn no_file_is_too_long_to_read() {
    assert_none("more lines than anybody reads", &long_files(&tree()));
}

#[test]
fn no_file_is_dead() {
    assert_none("files that no module declares", &dead_files(&tree()));
}

#[test]
fn every_limit_is_documented() {
    let files = tree();
    let limits = find(&files, "shards/engine/src/limits.rs");
    assert_none("limits without their fate", &undocumented_limits(limits));
}

#[test]
fn tests_wait_for_conditions_and_never_for_time() {
    assert_none("tests that sleep", &fixed_sleeps(&tree()));
}
