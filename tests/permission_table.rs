//! The table of rule cases in `tests/permissions`, judged as `deepstream permissions test` judges it. The same cases are
//! tried on a running server by `tests/client/suites/permission-table.test.mjs`.

use deepstream::cli::PermissionsCommand;
use deepstream::permissions;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As the command has it unless told.
const RULE_ITERATIONS_MAX: u32 = 3;

/// Themes, each a permission file and its cases.
fn themes() -> Vec<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/permissions");
    let mut rules: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".rules.yml"))
        .collect();
    rules.sort();
    rules.into_iter().map(|rules| (cases_of(&rules), rules)).map(|(cases, rules)| (rules, cases)).collect()
}

fn cases_of(rules: &Path) -> PathBuf {
    rules.to_str().unwrap().replace(".rules.yml", ".cases.yml").into()
}

/// What is printed, and whether all cases are judged as expected.
fn test(rules: &Path, cases: &Path) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_deepstream"))
        .args(["permissions", "test"])
        .args([rules, cases])
        .output()
        .expect("the command runs");
    let told = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).expect("is text"));
    (done.status.success(), told.concat())
}

#[test]
fn every_case_of_the_table_is_judged_as_expected() {
    let mut count = 0;
    for (rules, cases) in themes() {
        let (good, told) = test(&rules, &cases);
        assert!(good, "{}\n{told}", cases.display());
        let number = told.trim().split(' ').next().and_then(|word| word.parse::<usize>().ok());
        count += number.unwrap_or_else(|| panic!("{told} tells how many"));
    }
    assert!(count >= 300, "only {count} cases");
}

/// Replaces every rule of a theme by `true` and by `false` in turn: some case must notice, for constant rules in one
/// direction.
#[test]
fn no_rule_of_the_table_can_change_unnoticed() {
    let themes = themes();
    let tried = std::thread::scope(|scope| {
        let trials: Vec<_> = themes.iter().map(|(rules, cases)| scope.spawn(|| try_rules(rules, cases))).collect();
        trials.into_iter().flat_map(|trial| trial.join().unwrap()).collect::<Vec<_>>()
    });
    let unnoticed: Vec<_> = tried.iter().filter(|(_, noticed)| *noticed == [false, false]).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
    let half = tried.iter().filter(|(_, noticed)| noticed[0] != noticed[1]).count();
    assert!(half * 4 < tried.len(), "of {} rules, {half} are tried in one direction only", tried.len());
}

/// The rules of a theme, and whether a case notices that they are open or shut.
fn try_rules(rules: &Path, cases: &Path) -> Vec<(String, [bool; 2])> {
    let theme = rules.file_name().unwrap().to_str().unwrap();
    let scratch = std::env::temp_dir().join(format!("deepstream-table-{}-{theme}", std::process::id()));
    let text = fs::read_to_string(rules).unwrap();
    let tried = expressions(&text).into_iter().map(|(start, end)| {
        let noticed = ["true", "false"].map(|answer| {
            fs::write(&scratch, format!("{}{answer}{}", &text[..start], &text[end..])).unwrap();
            let command = PermissionsCommand::Test {
                file: scratch.clone(),
                cases: cases.to_owned(),
                max_rule_iterations: RULE_ITERATIONS_MAX,
                users_table: Vec::new(),
            };
            permissions::run(command).is_err_and(|told| told.contains("judged otherwise"))
        });
        (format!("{theme}: {}", &text[start..end]), noticed)
    });
    let tried = tried.collect();
    // A theme of constants writes none.
    let _ = fs::remove_file(&scratch);
    tried
}

/// Where the rules stand that are expressions: in quotes, behind a rule type.
fn expressions(text: &str) -> Vec<(usize, usize)> {
    let types = [
        "create",
        "read",
        "write",
        "delete",
        "listen",
        "notify",
        "publish",
        "subscribe",
        "request",
        "provide",
        "allow",
    ];
    let mut found = Vec::new();
    for (at, _) in text.match_indices(": \"") {
        let start = at + 2;
        if !types.iter().any(|kind| text[..at].ends_with(kind)) {
            continue;
        }
        let mut escaped = false;
        let end = text[start + 1..].bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        found.push((start, start + 1 + end.expect("the quote ends") + 1));
    }
    found
}
