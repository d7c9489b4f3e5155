//! Generates the configuration reference of the documentation from the tables of keys, and compares it with the file.

use super::table::{Literal, Row, Rule, rows};
use super::tests::shipped_rows;
use std::fmt::Write as _;
use std::path::Path;

const FILE: &str = "docs/configuration-reference.md";
/// If this variable is set, the reference is written instead of compared.
const VARIABLE: &str = "DEEPSTREAM_WRITE_DOCS";
const SHIPPED: &str = include_str!("../../conf/config.yml");

const HEAD: &str = "# Configuration: all keys\n\n\
Written from the tables in `src/config` that the server reads, by `DEEPSTREAM_WRITE_DOCS=1 cargo test --lib reference`; a test compares. \
What each key is for, and its default, is said beside it in `conf/config.yml`; a default is given here where that \
file has one.\n\n\
`auth[file]` is the entry of `auth` whose `type` is `file`; `[*]` is any. What is not listed is refused.\n";

/// The kind of value of a key, in words.
fn value(rule: &Rule) -> String {
    match rule {
        Rule::Section => "a section".to_owned(),
        Rule::Service { list: false, .. } => "a service: `type` and `options`".to_owned(),
        Rule::Service { list: true, .. } => "a list of services".to_owned(),
        Rule::Kind(_) => "a type of service".to_owned(),
        Rule::Flag(_) => "true or false".to_owned(),
        Rule::Number { min, max, unit, .. } => {
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            format!("{min} to {max}{unit}")
        }
        Rule::Text(_) => "a text".to_owned(),
        Rule::Value(_) | Rule::Texts(_) | Rule::Tree(_) => "see `conf/config.yml`".to_owned(),
        Rule::Inert(why) => (*why).to_owned(),
        Rule::Only { values, why, .. } => {
            let values: Vec<String> = values.iter().map(|value| format!("`{}`", written(*value))).collect();
            format!("{} only: {why}", values.join(" or "))
        }
        Rule::Later(sentence) => (*sentence).to_owned(),
    }
}

fn written(literal: Literal) -> String {
    match literal {
        Literal::Null => "null".to_owned(),
        Literal::Flag(on) => on.to_string(),
        Literal::Nothing => "{}".to_owned(),
    }
}

/// The value of a key in the shipped file, where the key stands there as a plain one.
fn default_of(row: &Row) -> Option<String> {
    let shipped: serde_yaml::Value = serde_yaml::from_str(SHIPPED).ok()?;
    let mut at = &shipped;
    for part in row.path.split('.') {
        let (key, kind) =
            part.split_once('[').map_or((part, None), |(key, kind)| (key, Some(kind.trim_end_matches(']'))));
        at = at.get(key)?;
        if let Some(kind) = kind {
            let fits = |entry: &&serde_yaml::Value| {
                let named = entry.get("type").and_then(|name| name.as_str()).unwrap_or_default();
                kind.strip_suffix('*').map_or(named == kind, |start| named.starts_with(start))
            };
            at = match at.as_sequence() {
                Some(entries) => entries.iter().find(fits)?,
                None => Some(at).filter(fits)?,
            };
        }
    }
    match at {
        serde_yaml::Value::Mapping(_) | serde_yaml::Value::Null => None,
        serde_yaml::Value::Sequence(_) => serde_json::to_string(at).ok(),
        plain => serde_yaml::to_string(plain).ok().map(|text| text.trim().to_owned()),
    }
}

/// The section that a key belongs to.
fn section(row: &Row) -> &str {
    row.path.split(['.', '[']).next().unwrap_or_default()
}

fn table(title: &str, head: &str, rows: &[&Row], default: bool) -> String {
    let mut text = format!("\n{title}\n\n{head}\n");
    for row in rows {
        let _ = write!(text, "| `{}` | {} |", row.path, value(&row.rule).replace('|', "\\|"));
        if default {
            let _ = write!(text, " {} |", default_of(row).map_or_else(String::new, |value| format!("`{value}`")));
        }
        text.push('\n');
    }
    text
}

fn reference() -> String {
    let mut text = HEAD.to_owned();
    let honoured: Vec<&Row> = shipped_rows().filter(|row| row.rule.is_honoured()).collect();
    let mut sections: Vec<&str> = Vec::new();
    for row in &honoured {
        if !sections.contains(&section(row)) {
            sections.push(section(row));
        }
    }
    for name in sections {
        let of: Vec<&Row> = honoured.iter().copied().filter(|row| section(row) == name).collect();
        text += &table(&format!("## {name}"), "| key | value | default |\n|---|---|---|", &of, true);
    }
    let inert: Vec<&Row> =
        shipped_rows().filter(|row| matches!(row.rule, Rule::Inert(_) | Rule::Only { .. })).collect();
    text += &table("## Accepted without meaning", "| key | why |\n|---|---|", &inert, false);
    let refused: Vec<&Row> = shipped_rows().filter(|row| matches!(row.rule, Rule::Later(_))).collect();
    text += &table("## Refused", "| key | what is said |\n|---|---|", &refused, false);
    text
}

#[test]
fn the_reference_in_the_documentation_is_what_the_tables_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let reference = reference();
    if std::env::var_os(VARIABLE).is_some() {
        std::fs::write(&file, &reference).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = reference.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
    assert!(found == reference, "{FILE} is not up to date: run {VARIABLE}=1 cargo test --lib reference\n{differs:?}");
}

#[test]
fn a_key_has_its_default_from_the_shipped_file() {
    let default = |path: &str| default_of(rows().find(|row| row.path == path).expect(path));
    assert_eq!(default("httpServer[*].options.port").as_deref(), Some("6020"));
    assert_eq!(default("connectionEndpoints[ws-*].options.urlPath").as_deref(), Some("/deepstream"));
    assert_eq!(default("limits.connectionsMax").as_deref(), Some("1048576"));
    assert_eq!(default("cores.count"), None, "it is off by default");
}

/// The configurations that the documentation shows can be read.
#[test]
fn configurations_in_the_documentation_are_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = super::tests::Scratch::new("documents");
    for (name, text) in [
        ("permissions.yml", include_str!("../../conf/permissions.yml")),
        ("users.yml", include_str!("../../conf/users.yml")),
        ("candidate.yml", include_str!("../../conf/permissions.yml")),
    ] {
        scratch.write(name, text);
    }
    let mut read = 0;
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for block in text.split("\n```yaml\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            let file = scratch.write("config.yml", block);
            let environment = |name: &str| ["JWT_SECRET", "PASSWORD"].contains(&name).then(|| "s".repeat(64));
            let arguments = crate::config::StartArguments::default();
            if let Err(errors) = super::read(&file, block, &arguments, &environment) {
                let faults = errors.to_string();
                // The samples name TLS keys that do not exist here.
                let only_files = faults.lines().all(|line| line.contains("/etc/deepstream/"));
                assert!(only_files, "{}:\n{block}\n{faults}", path.display());
            }
            read += 1;
        }
    }
    assert!(read >= 7, "{read} configurations were found");
    let example = root.join("examples/trading/config.yml");
    let text = std::fs::read_to_string(&example).unwrap();
    super::read(&example, &text, &crate::config::StartArguments::default(), &|_| None).unwrap();
}
