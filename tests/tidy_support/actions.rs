//! Actions: a new one is forgotten nowhere, and each is tested.

use super::{Line, Source, assert_none, names, tree};
use deepstream_wire::Action;

/// Sources whose matches over actions a lint looks at: nothing stands there for all other actions.
const MATCHES_WATCHED: [&str; 2] = ["shards/wire/src", "shards/engine/src"];
/// Of those, where nobody picks out some actions by `matches!` either. In the wires that is about old clients, which know none
/// that are new.
const PICKS_WATCHED: &str = "shards/engine/src";

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
pub(crate) fn unwatched_matches(files: &[Source]) -> Vec<String> {
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
pub(crate) fn untested_actions(files: &[Source]) -> Vec<String> {
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

#[test]
fn a_new_action_cannot_be_forgotten_where_actions_are_matched() {
    assert_none("matches over actions that no lint looks at", &unwatched_matches(&tree()));
}

#[test]
fn every_action_the_engine_names_is_in_some_test() {
    assert_none("actions that no test names", &untested_actions(&tree()));
}
