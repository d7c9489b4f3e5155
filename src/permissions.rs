//! `permissions check`, `test` and `explain`: checks of a permission file before it is in force.
//!
//! *Owns* the commands; the format of a table of cases is `table`'s. *Promises* the verdicts that the server gives,
//! including the bound on evaluations of a rule. The protection of the records that authentication keeps applies if the
//! table is given, because it is named in the configuration, not in the permission file. *Does not* start a server.

mod table;

use crate::cli::{ExplainArguments, PermissionsCommand};
use crate::config::{permissions, unreadable};
use deepstream_valve::Verdict;
use deepstream_valve::check::Checked;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use table::{Case, Expected};

/// Runs a command. Gives what it prints, or why it fails.
pub fn run(command: PermissionsCommand) -> Result<String, String> {
    match command {
        PermissionsCommand::Check { file, strict } => check(&file, strict),
        PermissionsCommand::Test { file, cases, max_rule_iterations, users_table } => {
            test(&file, &cases, max_rule_iterations, &users_table)
        }
        PermissionsCommand::Explain(arguments) => account(arguments),
    }
}

fn read(file: &Path) -> Result<Checked, String> {
    permissions::read(file).map_err(|errors| errors.to_string())
}

/// Errors and warnings of a file. One with warnings can be used; `strict` makes them errors.
fn check(file: &Path, strict: bool) -> Result<String, String> {
    let checked = permissions::read(file).map_err(|errors| match errors.0.len() {
        1 => errors.to_string(),
        faults => format!("{errors}\n{}: {faults} faults", file.display()),
    })?;
    let mut told = String::new();
    for warning in &checked.warnings {
        let _ = writeln!(told, "warning: {}", permissions::error(file, warning));
    }
    let rules = checked.ruleset.rules().len();
    let _ = match checked.warnings.len() {
        0 => write!(told, "{}: {rules} rules, all of them good", file.display()),
        1 => write!(told, "{}: {rules} rules that can be used, with one warning", file.display()),
        count => write!(told, "{}: {rules} rules that can be used, with {count} warnings", file.display()),
    };
    if strict && !checked.warnings.is_empty() { Err(told) } else { Ok(told) }
}

fn test(file: &Path, cases: &Path, rounds_max: u32, tables: &[String]) -> Result<String, String> {
    let ruleset = read(file)?.ruleset;
    let text = std::fs::read_to_string(cases)
        .map_err(|fault| format!("{}: {}; give the path of a table of cases", cases.display(), unreadable(&fault)))?;
    let rows = table::read(cases, &text)?;
    let (count, mut failures) = (rows.len(), String::new());
    let mut failed = 0;
    for (index, case) in rows.iter().enumerate() {
        let place = || format!("{}{}", cases.display(), table::place(&text, index));
        let wrong = |what: &str| format!("{}: {}: {what}", place(), case.label(index));
        let expected = case.expected.ok_or_else(|| wrong("lacks expected: allow or deny"))?;
        let judged = case.judge(&ruleset, rounds_max, tables).map_err(|what| wrong(&what))?;
        let got = if judged.verdict == Verdict::Allow { Expected::Allow } else { Expected::Deny };
        if got != expected {
            failed += 1;
            let (minus, plus) = (format!("{expected:?}").to_lowercase(), format!("{got:?}").to_lowercase());
            let why = judged.explanation.trim_end().replace('\n', "\n    ");
            let _ = writeln!(failures, "{}: {}\n  - {minus}\n  + {plus}\n    {why}", place(), case.label(index));
        }
    }
    if failed > 0 {
        return Err(format!("{failures}{failed} of {count} cases are judged otherwise than expected"));
    }
    Ok(format!("{count} cases, all of them judged as expected"))
}

fn account(arguments: ExplainArguments) -> Result<String, String> {
    let json = |what: &str, text: Option<String>| {
        text.map(|text| serde_json::from_str::<Value>(&text).map_err(|fault| format!("{what} is not JSON: {fault}")))
            .transpose()
    };
    let mut records = BTreeMap::new();
    for record in arguments.record {
        let (name, value) = record.split_once('=').ok_or("give --record as name=JSON")?;
        records.extend(json("--record", Some(value.to_owned()))?.map(|value| (name.to_owned(), value)));
    }
    let case = Case {
        action: arguments.action,
        name: arguments.name,
        user: arguments.user,
        server_data: json("--server-data", arguments.server_data)?,
        data: json("--data", arguments.data)?,
        old_data: json("--old-data", arguments.old_data)?,
        records,
        now: arguments.now,
        ..Case::default()
    };
    let ruleset = read(&arguments.file)?.ruleset;
    Ok(case.judge(&ruleset, arguments.max_rule_iterations, &arguments.users_table)?.explanation.trim_end().to_owned())
}
