//! The table of cases in `tests/cases.txt`.

use serde_json::{Value as Json, json};

use crate::check::{At, Node, Value, check};
use crate::eval::{Context, Document, Reference, User, Verdict, judge};
use crate::right::Right;
use crate::rules::{Choice, Ruleset};

const CASES: &str = include_str!("../../tests/cases.txt");

fn usual(key: &str) -> Json {
    match key {
        "user" => json!("userA"),
        "server" => json!({"role": "admin", "groups": ["x", "y"], "level": 3}),
        "name" => json!("place/berlin/7"),
        "right" => json!("record.write"),
        "data" => json!({
            "price": 10, "title": "Lamp", "tags": ["newest", "cheap", "lamp"], "stock": {"berlin": 3}, "sold": false,
            "buyer": null, "note": "a\"b\\c\n", "umlaut": "ä", "smile": "😀", "postcode": "10115",
            "big": 12_345_678_901_234_567_000_u64, "tiny": 1e-7
        }),
        "old" => json!({"price": 8, "title": "Lamp", "tags": ["old"], "owner": "userA"}),
        _ => panic!("nothing is called {key}"),
    }
}

fn record(name: &[u8]) -> Option<&'static [u8]> {
    Some(match name {
        b"shop/1" => br#"{"open":true,"owner":"userA","next":2,"boss":"staff/userA","cheap":true}"#,
        b"shop/2" => br#"{"open":false}"#,
        b"staff/userA" => br#"{"name":"Ann","shops":[1,2,7]}"#,
        b"undefined-shop" => br#"{"open":true}"#,
        _ => return None,
    })
}

/// A file with one rule, and `*` where it has to be.
pub(super) fn file(right: Right, path: &str, rule: &str) -> Node {
    let at = At { line: 1, column: 1 };
    let map = |entries: Vec<(&str, Node)>| Node {
        value: Value::Map(entries.into_iter().map(|(name, node)| (name.to_owned(), at, node)).collect()),
        at,
    };
    let rule = || Node { value: Value::Text(rule.to_owned(), vec![(0, at)]), at };
    let sections = ["record", "event", "rpc", "presence"].map(|section| {
        let rules = if section == right.section() { vec![(right.rule(), rule())] } else { Vec::new() };
        let mut paths = vec![("*", map(Vec::new()))];
        if path == "*" {
            paths[0].1 = map(rules);
        } else {
            paths.push((path, map(rules)));
        }
        (section, map(paths))
    });
    map(sections.into_iter().collect())
}

/// Judges with every record at hand that is asked for.
pub(super) fn settle(ruleset: &Ruleset, right: Right, context: Context<'_>) -> Verdict {
    let Choice::Rule(rule, captures) = ruleset.choose(right, context.name) else { return Verdict::Deny };
    let mut names: Vec<Box<[u8]>> = Vec::new();
    for _ in 0..10 {
        let references: Vec<_> = names.iter().map(|name| Reference { name, value: record(name) }).collect();
        let context = Context { captures: &captures, references: &references, ..context };
        match judge(&ruleset.rule(rule).program, &context).verdict {
            Verdict::Need(more) => names.extend(more),
            verdict => return verdict,
        }
    }
    panic!("asks for ever")
}

fn run_case(rule: &str, changes: &Json) -> Result<Verdict, String> {
    let value = |key: &str| changes.get(key).cloned().unwrap_or_else(|| usual(key));
    let text = |key: &str| value(key).as_str().expect("is a text").to_owned();
    let right = text("right");
    let (section, kind) = right.split_once('.').expect("section and type");
    let right = Right::find(section, kind).expect("there is such a right");
    let checked = check(&file(right, "place/$city/$n", rule));
    let checked = checked.map_err(|complaints| complaints[0].what.clone())?;
    let server = value("server");
    let (id, server_data) = (text("user"), (!server.is_null()).then(|| server.to_string().into_bytes()));
    let user = User { id: &id, server_data: server_data.as_deref() };
    let document = |key: &str, there: bool, missing: bool| match value(key) {
        _ if !there => None,
        Json::String(text) if text == "(none)" => None,
        Json::Null if missing => Some(None),
        json => Some(Some(json.to_string().into_bytes())),
    };
    let (data, old) = (document("data", right.has_data(), false), document("old", right.has_old_data(), true));
    let of = |document: &Option<Option<Vec<u8>>>| match document {
        None => Document::Absent,
        Some(None) => Document::Missing,
        // The texts live as long as the test.
        Some(Some(text)) => Document::Text(text.clone().leak()),
    };
    let name = text("name");
    let context = Context {
        user: &user,
        name: Some(name.as_bytes()),
        action: 18,
        now_ms: 1_600_000_000_000.0,
        data: of(&data),
        old_data: of(&old),
        ..Context::default()
    };
    let ruleset = if name.starts_with("place/") {
        checked.ruleset
    } else {
        check(&file(right, "*", rule)).expect("it was accepted before").ruleset
    };
    Ok(settle(&ruleset, right, context))
}

#[test]
fn every_case_of_the_table_is_judged_as_it_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (index, line) in CASES.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        count += 1;
        let (expected, rule, changes) = if let Some(refused) = line.strip_prefix("refused:") {
            let (what, rule) = refused.split_once('\t').expect("what is refused, and why");
            (format!("refused: {what}"), rule, Json::Null)
        } else {
            let (verdict, rest) = line.split_once(' ').expect("a verdict and a rule");
            let (rule, changes) = rest.split_once('\t').unwrap_or((rest, "null"));
            (verdict.to_owned(), rule, serde_json::from_str(changes).expect("changes are JSON"))
        };
        let answer = match run_case(rule, &changes) {
            Ok(Verdict::Allow) => "allow".to_owned(),
            Ok(Verdict::Deny) => "deny".to_owned(),
            Ok(Verdict::Error(_)) => "error".to_owned(),
            Ok(Verdict::Need(_)) => "need".to_owned(),
            Err(what) => format!("refused: {what}"),
        };
        let matches = if expected.starts_with("refused") { answer.starts_with(&expected) } else { answer == expected };
        if !matches {
            wrong.push(format!("line {}: {rule}\n    expected {expected}, got {answer}", index + 1));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 300, "{count} cases");
}
