//! The rules of this repository that the compiler does not check: which module imports which, where clocks and `unsafe`
//! are allowed, and so on.
//!
//! *Owns* the rules; `tidy_support` reads the tree. *Promises* that a breach names its file and line. *Does not* parse Rust: it
//! looks at code with comments and strings blanked, which is enough for rules this plain. What types can say, clippy's lists
//! in `shards/*/clippy.toml` say.

#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "our own files end in lower case")]

mod tidy_support;

use deepstream_wire::Action;
use std::collections::BTreeSet;
use tidy_support::{Line, MODULES, Modules, Source, keys, names, tree};

/// Crate, its manifest's folder, and what it may import of ours.
const IMPORTS: &[(&str, &str, &[&str])] = &[
    ("cpulist", "shards/cpulist", &[]),
    ("json", "shards/json", &[]),
    ("mesh", "shards/mesh", &[]),
    ("wire", "shards/wire", &["json"]),
    ("pattern", "shards/pattern", &[]),
    ("valve", "shards/valve", &["json", "pattern"]),
    ("engine", "shards/engine", &["json", "wire", "pattern", "valve"]),
    ("sim", "shards/sim", &["json", "wire", "valve", "engine"]),
    ("benches", "benches", &["wire", "valve", "engine", "mesh"]),
    ("perf", "perf", &["cpulist", "wire"]),
    ("deepstream", "", &["cpulist", "json", "wire", "pattern", "valve", "engine", "mesh"]),
];
/// Crates that decide: no clock, thread, socket, file or randomly seeded map.
const PURE: &[&str] = &["shards/json/", "shards/wire/", "shards/pattern/", "shards/valve/", "shards/engine/"];
/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["shards/mesh/", "src/host/ring.rs", "src/host/ring/"];
/// Where the time may be read: the host's clock; measuring tools; and what is neither on a core nor in a simulated world.
const CLOCKS: &[(&str, &str)] = &[
    ("src/host/clock.rs", "the one clock of all cores"),
    ("src/auth/", "off-core: tokens end at a time of day, keys are fetched again"),
    ("src/permissions/", "a command that judges as of now"),
    ("src/log.rs", "stamps log lines with the time of day"),
    ("src/config/", "makes a server name up at start"),
    ("src/connector/", "off-core: when the next sync is due"),
    ("src/storage/", "off-core: how long something may take, and when it is tried again"),
    ("shards/sim/src/bin/", "reports how long a run took"),
    ("perf/", "measures"),
];
/// Where a line may be written other than by `note` and its siblings.
const LOG_LINES: &[(&str, &str)] = &[
    ("src/log.rs", "is the log"),
    ("src/main.rs", "answers whoever typed a command, and what keeps the log from starting"),
];
/// Sources whose matches over actions a lint looks at: nothing stands there for all other actions.
const MATCHES_WATCHED: [&str; 2] = ["shards/wire/src", "shards/engine/src"];
/// Of those, where nobody picks out some actions by `matches!` either. In the wires that is about old clients, which know none
/// that are new.
const PICKS_WATCHED: &str = "shards/engine/src";
/// Tests that pause although they wait for nothing.
const PAUSES: &[(&str, &str)] = &[("tests/storage/crash.rs", "kills at a random moment")];
const FILE_LINES_MAX: usize = 600;

/// Lines that break a rule, as `path:line: what`.
fn breaches(
    files: &[Source],
    judged: impl Fn(&Source) -> bool,
    broken: impl Fn(&Line) -> Option<String>,
) -> Vec<String> {
    let judged = files.iter().filter(|file| file.path.ends_with(".rs") && judged(file));
    let lines = judged.flat_map(|file| file.numbered().map(move |(number, line)| (file, number, line)));
    lines
        .filter_map(|(file, number, line)| broken(line).map(|what| format!("{}:{number}: {what}", file.path)))
        .collect()
}

/// The first of some names that a line of code names.
fn named(line: &Line, forbidden: &[&str]) -> Option<String> {
    forbidden.iter().find(|name| names(&line.code, name)).map(|&name| name.to_owned())
}

fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

fn find<'a>(files: &'a [Source], path: &str) -> &'a Source {
    files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} exists"))
}

fn unlisted_imports(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for &(name, folder, allowed) in IMPORTS {
        let path = if folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
        let Some(manifest) = files.iter().find(|file| file.path == path) else { continue };
        for table in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for key in keys(manifest, table) {
                let Some(import) = key.strip_prefix("deepstream-") else { continue };
                let for_tests = folder.is_empty() && table == "dev-dependencies" && import == "sim";
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

fn unlisted_arrows(files: &[Source]) -> Vec<String> {
    tables().flat_map(|table| table.unlisted(files)).collect()
}

fn stray_unsafe(files: &[Source]) -> Vec<String> {
    let elsewhere = |file: &Source| !UNSAFE.iter().any(|place| file.is_under(place));
    breaches(files, elsewhere, |line| named(line, &["unsafe"]))
}

fn unargued_unsafe(files: &[Source]) -> Vec<String> {
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

fn stray_runtimes(files: &[Source]) -> Vec<String> {
    let mut found = breaches(files, |file| !file.is_under("src/host/"), |line| named(line, &["glommio", "io_uring"]));
    let off_core = |file: &Source| {
        [
            "src/service/",
            "src/connector/",
            "src/storage/",
            "src/bus/",
            "src/auth/",
            "src/monitor/reader.rs",
            "tests/stores/",
            "tests/busses/",
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
fn stray_log_lines(files: &[Source]) -> Vec<String> {
    let elsewhere = |file: &Source| {
        file.is_under("src/") && !file.is_test() && !LOG_LINES.iter().any(|(place, _)| file.is_under(place))
    };
    breaches(files, elsewhere, |line| named(line, &["tracing", "println!", "eprintln!"]).filter(|_| !line.test))
}

/// Connectors that are named where `docs/add-connector.md` does not send who adds one.
fn stray_connectors(files: &[Source]) -> Vec<String> {
    let places = [
        "src/connector/",
        "src/config/mod.rs",
        "src/config/storage.rs",
        "src/config/embedded.rs",
        "src/config/postgres.rs",
    ];
    let elsewhere =
        |file: &Source| file.is_under("src/") && !file.is_test() && !places.iter().any(|place| file.is_under(place));
    breaches(files, elsewhere, |line| named(line, &["embedded", "postgres"]).filter(|_| !line.test))
}

/// Methods of authentication that are named where `docs/authentication.md` does not send who adds one.
fn stray_methods(files: &[Source]) -> Vec<String> {
    let places = ["src/auth/methods/", "src/config/mod.rs", "src/config/auth/"];
    let elsewhere =
        |file: &Source| file.is_under("src/") && !file.is_test() && !places.iter().any(|place| file.is_under(place));
    let settings = ["FileAuth", "HttpAuth", "StorageAuth", "JwtAuth", "ToyAuth"];
    breaches(files, elsewhere, |line| named(line, &settings).filter(|_| !line.test))
}

fn stray_clocks(files: &[Source]) -> Vec<String> {
    let elsewhere = |file: &Source| !file.is_test() && !CLOCKS.iter().any(|(place, _)| file.is_under(place));
    breaches(files, elsewhere, |line| named(line, &["Instant::now", "SystemTime::now"]).filter(|_| !line.test))
}

fn random_maps(files: &[Source]) -> Vec<String> {
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

fn unwraps(files: &[Source]) -> Vec<String> {
    breaches(files, |file| !file.is_test(), |line| named(line, &[".unwrap()"]).filter(|_| !line.test))
}

fn reminders(files: &[Source]) -> Vec<String> {
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

fn long_files(files: &[Source]) -> Vec<String> {
    let long = files.iter().filter(|file| file.path.ends_with(".rs") && !file.is_test());
    let long = long.filter(|file| file.lines.iter().filter(|line| !line.test).count() > FILE_LINES_MAX);
    long.map(|file| format!("{}: {} lines", file.path, file.lines.len())).collect()
}

fn undocumented_limits(file: &Source) -> Vec<String> {
    let fields = file.numbered().filter(|(_, line)| line.code.starts_with("    pub ") && line.code.contains(':'));
    let bare = fields.filter(|(number, _)| !file.lines[number - 2].text.trim().starts_with("///"));
    bare.map(|(number, line)| format!("{}:{number}: {}", file.path, line.text.trim())).collect()
}

/// Sleeping a fixed time proves nothing and costs everybody the time. Helpers that wait for a condition may pause between looks.
fn fixed_sleeps(files: &[Source]) -> Vec<String> {
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
                function = rest.chars().take_while(|&mark| tidy_support::is_word(mark)).collect();
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

/// Whether a line begins a `matches!` that names actions.
fn picks_actions(lines: &[Line]) -> bool {
    let Some(start) = lines[0].code.find("matches!(") else { return false };
    let mut depth = 0_i32;
    for (index, line) in lines.iter().enumerate() {
        let code = if index == 0 { &line.code[start..] } else { &line.code[..] };
        if ["Action::", "Request::"].iter().any(|names| code.contains(names)) {
            return true;
        }
        depth += code.matches('(').count() as i32 - code.matches(')').count() as i32;
        if depth <= 0 {
            break;
        }
    }
    false
}

/// Matches over actions that no lint looks at: where all others have an arm, a new action is forgotten.
fn unwatched_matches(files: &[Source]) -> Vec<String> {
    const LINT: &str = "(clippy::wildcard_enum_match_arm";
    let mut found = Vec::new();
    for folder in MATCHES_WATCHED {
        let root = files.iter().find(|file| file.path == format!("{folder}/lib.rs"));
        let lines = root.map_or(&[][..], |root| &root.lines);
        let whole = lines.iter().any(|line| line.code.contains(&format!("#![warn{LINT}")));
        let warned = lines.windows(2).filter(|pair| pair[0].code.contains(&format!("#[warn{LINT}")));
        let watched: Vec<&str> =
            warned.filter_map(|pair| pair[1].code.trim_end_matches(';').split(' ').next_back()).collect();
        for file in files.iter().filter(|file| file.is_under(folder) && !file.is_test()) {
            let module = file.path[folder.len()..].trim_start_matches('/').split(['/', '.']).next().unwrap_or_default();
            let own = file.lines.iter().any(|line| line.code.contains(&format!("#![warn{LINT}")));
            let is_watched = whole || own || watched.contains(&module);
            for (number, line) in file.numbered().filter(|(_, line)| !line.test) {
                let arm = line.code.split_once("=>").is_some_and(|(arm, _)| arm.contains("Action::"));
                let silenced = line.code.contains(LINT) && !line.code.contains("warn(");
                // No lint looks at what a macro writes out: `matches!` has an arm for all others.
                let macros = folder == PICKS_WATCHED && picks_actions(&file.lines[number - 1..]);
                if silenced || macros || (arm && !is_watched) {
                    found.push(format!("{}:{number}", file.path));
                }
            }
        }
    }
    found
}

/// Actions that the engine names and no test does, neither as `Action::X` nor as `TOPIC.NAME`. Comments test nothing.
fn untested_actions(files: &[Source]) -> Vec<String> {
    // The table of codes names everything and tests nothing.
    let tests = |file: &Source, line: &Line| {
        let script = file.is_under("tests/client") && !file.path.ends_with("wire.mjs");
        line.test || script || file.is_under("shards/sim/src")
    };
    let (mut engine, mut tested) = (String::new(), String::new());
    for file in files {
        for line in &file.lines {
            if tests(file, line) {
                tested.extend([line.uncommented.as_str(), "\n"]);
            } else if file.is_under("shards/engine/src") {
                engine.extend([line.code.as_str(), "\n"]);
            }
        }
    }
    let answered = Action::ALL.iter().filter(|action| names(&engine, &format!("Action::{action:?}")));
    let spoken = |action: &&Action| format!("{}.{}", action.topic().name(), action.name());
    let untested =
        answered.filter(|action| !names(&tested, &format!("Action::{action:?}")) && !names(&tested, &spoken(action)));
    untested.map(|action| format!("{action:?}")).collect()
}

/// Modules that no other declares are compiled by nobody.
fn dead_files(files: &[Source]) -> Vec<String> {
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
fn a_new_action_cannot_be_forgotten_where_actions_are_matched() {
    assert_none("matches over actions that no lint looks at", &unwatched_matches(&tree()));
}

#[test]
fn every_action_the_engine_names_is_in_some_test() {
    assert_none("actions that no test names", &untested_actions(&tree()));
}

#[test]
fn tests_wait_for_conditions_and_never_for_time() {
    assert_none("tests that sleep", &fixed_sleeps(&tree()));
}

#[test]
fn every_dependency_has_its_reason_in_the_documentation() {
    let files = tree();
    let reasons = find(&files, "docs/dependencies.md");
    let row = |name: &str| reasons.lines.iter().any(|line| line.text.contains('|') && names(&line.text, name));
    let silent: Vec<String> = keys(find(&files, "Cargo.toml"), "workspace.dependencies")
        .into_iter()
        .filter(|name| !name.starts_with("deepstream-") && !row(name))
        .collect();
    assert_none("dependencies without a row in docs/dependencies.md", &silent);
}

/// The rules themselves can fail: one breach each, planted.
#[test]
fn planted_breaches_are_found() {
    type Rule = fn(&[Source]) -> Vec<String>;
    let planted: &[(Rule, &str, &str)] = &[
        (unlisted_imports, "shards/engine/Cargo.toml", "[dependencies]\ndeepstream-mesh.workspace = true"),
        (unlisted_imports, "perf/Cargo.toml", "[dev-dependencies]\ndeepstream-engine = \"1\""),
        (unlisted_imports, "Cargo.toml", "[target.'cfg(loom)'.dependencies]\ndeepstream-sim = \"1\""),
        (unlisted_arrows, "shards/engine/src/edge/subscribers.rs", "use crate::{ident::Place, owner::{names}};"),
        (unlisted_arrows, "shards/engine/src/edge/route.rs", "use crate::owner::Owner;"),
        (unlisted_arrows, "shards/engine/src/owner/event.rs", "use crate::edge::session::table::Session;"),
        (unlisted_arrows, "shards/engine/src/permit/judge.rs", "use crate::owner::Owner;"),
        (unlisted_arrows, "shards/engine/src/owner/event.rs", "use crate::shard::Shard;"),
        (unlisted_arrows, "shards/engine/src/edge/mod.rs", "mod route;\nuse route::Besides;"),
        (unlisted_arrows, "shards/engine/src/edge/session/table.rs", "fn f() { super::super::super::pull::g(); }"),
        (
            unlisted_arrows,
            "shards/engine/src/ident.rs",
            "use crate::Limits;\n#[cfg(test)]\nmod tests {\n    use crate::pull;\n}",
        ),
        (unlisted_arrows, "src/config/walk.rs", "use crate::host::Server;"),
        (unlisted_arrows, "src/log.rs", "use super::config::Config;"),
        (unlisted_arrows, "src/auth/logins.rs", "fn f() { super::super::host::start() }"),
        (unlisted_arrows, "src/auth/combine.rs", "use crate::config::FileAuth;"),
        (unlisted_arrows, "src/host/connections/end.rs", "use crate::host::request::Requests;"),
        (unlisted_arrows, "src/kitchen.rs", "use crate::log::note;"),
        (unlisted_arrows, "src/host/stores.rs", "use super::core::Core;"),
        (unlisted_arrows, "src/host/ring/heap.rs", "pub(in crate::host) fn f() { crate::host::peers::g() }"),
        (stray_unsafe, "src/log.rs", "fn f() { unsafe { g() } }"),
        (unargued_unsafe, "src/host/ring.rs", "// because\nunsafe { g() }"),
        (stray_runtimes, "src/endpoint/http.rs", "use glommio::net::TcpStream;"),
        (stray_runtimes, "src/host/core.rs", "use tokio::net;"),
        (stray_runtimes, "src/auth/logins.rs", "let thread = std::thread::Builder::new();"),
        (stray_connectors, "src/host/services.rs", "use crate::config::{Embedded, postgres};"),
        (stray_methods, "src/host/descriptors.rs", "use crate::config::HttpAuth;"),
        (stray_clocks, "src/host/core.rs", "let now = Instant::now();"),
        (stray_log_lines, "src/storage/service.rs", "tracing::error!(\"a thread has ended\");"),
        (stray_log_lines, "src/host/core.rs", "use tracing::warn;"),
        (
            stray_log_lines,
            "src/auth/logins.rs",
            "eprintln!(\"no\");\n#[cfg(test)]\nmod tests { fn f() { println!(); } }",
        ),
        (random_maps, "shards/wire/src/link.rs", "let map = HashMap::new();"),
        (unwraps, "src/main.rs", "let x = y().unwrap();\n#[cfg(test)]\nmod tests { fn f() { y().unwrap(); } }"),
        (unwraps, "src/main.rs", "#[cfg(test)]\nmod tests;\nlet x = y().unwrap();"),
        (reminders, "src/main.rs", concat!("// TO", "DO: later")),
        (reminders, "README.md", concat!("FIX", "ME")),
        (reminders, "tests/x.rs", "#[test]\n#[ignore = \"slow\"]"),
        (dead_files, "src/forgotten.rs", ""),
        (fixed_sleeps, "tests/x.rs", "fn f() { thread::sleep(SECOND); }"),
        (fixed_sleeps, "tests/client/x.test.mjs", "await new Promise((done) => setTimeout(done, 500))"),
        (untested_actions, "shards/engine/src/owner/event.rs", "Action::EventEmit => {}"),
        (
            unwatched_matches,
            "shards/wire/src/text/write.rs",
            "match action {\n    Action::EventEmit => f(),\n    _ => {}\n}",
        ),
        (unwatched_matches, "shards/wire/src/jif/read.rs", "#[expect(clippy::wildcard_enum_match_arm)]"),
        (unwatched_matches, "shards/engine/src/owner/deed.rs", "matches!(\n    action,\n    Action::RecordRead\n)"),
    ];
    for (rule, path, text) in planted {
        let found = rule(&[Source::new(path, text)]);
        assert_eq!(found.len(), 1, "{path}: {text}\n{found:?}");
    }
    let rows: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])];
    let table = Modules { folder: "src", shared: &[], in_circles: 0, rows };
    assert_eq!(table.circles(), BTreeSet::from(["b", "c"]));
    let room: &[(&str, &[&str])] =
        &[("a", &["a/b", "a/c", "a/d"]), ("a/b", &["a"]), ("a/c", &["a/d"]), ("a/d", &["a/c"])];
    let circles = |shared| Modules { folder: "src", shared, in_circles: 0, rows: room }.circles();
    assert_eq!(circles(&[]), BTreeSet::from(["a", "a/b", "a/c", "a/d"]));
    assert_eq!(circles(&["a"]), BTreeSet::from(["a/c", "a/d"]), "a struct in common is no circle, all others are");
    assert_eq!(table.unused(&[Source::new("src/b/mod.rs", "use crate::c;"), Source::new("src/c.rs", "")]).len(), 2);
    let answered = || Source::new("shards/engine/src/owner/event.rs", "Action::EventEmit => {}");
    for (path, text, untested) in [
        ("tests/x.rs", "// Action::EventEmit\n/* EVENT.EMIT */", 1),
        ("tests/client/x.test.mjs", "// EVENT.EMIT\n/** EVENT.EMIT\n * EVENT.EMIT */\nf() // EVENT.EMIT", 1),
        ("tests/x.rs", "f(\"EVENT.EMIT\"); // said", 0),
        ("tests/client/x.test.mjs", "f('ws://x', EVENT.EMIT) // said", 0),
    ] {
        assert_eq!(untested_actions(&[answered(), Source::new(path, text)]).len(), untested, "{text}");
    }
    let long = "\n".repeat(FILE_LINES_MAX);
    assert_eq!(long_files(&[Source::new("src/main.rs", &long)]).len(), 1);
    let bare = Source::new("limits.rs", "pub struct Limits {\n    /// One.\n    pub a: usize,\n    pub b: usize,\n}");
    assert_eq!(undocumented_limits(&bare).len(), 1);
}

#[test]
fn words_in_comments_and_strings_are_not_code() {
    let text = "// unsafe\nlet a = \"unsafe \\\" unsafe\"; /* unsafe /* x */ unsafe */ let b = r#\"unsafe \" unsafe\"#;\nlet c = ('\"', '\\'', b'\"');\nfn f<'a>(x: &'a str) {} // unsafe";
    assert_none("code", &stray_unsafe(&[Source::new("src/log.rs", text)]));
    let hidden = Source::new("src/log.rs", "let c = '\"'; unsafe {} // \"");
    assert_eq!(stray_unsafe(&[hidden]).len(), 1, "a quote in a character opens no string");
}
