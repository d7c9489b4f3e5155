//! Every pattern of `javascript.jsonl` against every name of its first line, compared with what a JavaScript engine says.
//!
//! `tests/client/patterns.test.mjs` asks the JavaScript engine at hand whether the file still tells the truth.

use deepstream_listen::{Bounds, Pattern, Refused, Scratch, units};
use serde::Deserialize;

#[derive(Deserialize)]
struct Names {
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Row {
    pattern: String,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    matches: Vec<String>,
}

const BOUNDS: Bounds = Bounds { compiled_bytes_max: 64 << 10, steps_max: 10_000 };

/// Patterns that JavaScript accepts and we refuse, knowingly.
const REFUSED: &[&str] = &[r"^(?:(a)|(b)\2)+$"];

#[test]
fn patterns_mean_what_they_mean_in_javascript() {
    let mut lines = include_str!("javascript.jsonl").lines();
    let names: Names = serde_json::from_str(lines.next().expect("names")).expect("names");
    let mut wrong = Vec::new();
    let (mut scratch, mut text) = (Scratch::default(), String::new());
    for line in lines {
        let row: Row = serde_json::from_str(line).expect("a row");
        let pattern = match Pattern::compile(&row.pattern, &BOUNDS) {
            Ok(pattern) => pattern,
            Err(why) => {
                let expected = if row.error {
                    matches!(why, Refused::Syntax { .. })
                } else {
                    REFUSED.contains(&&*row.pattern) && why == Refused::Reference
                };
                if !expected {
                    wrong.push(format!("{:?} is refused: {why}", row.pattern));
                }
                continue;
            }
        };
        if row.error {
            wrong.push(format!("{:?} is accepted", row.pattern));
            continue;
        }
        for name in &names.names {
            let spelled = units(name, &mut text);
            let found = pattern.matches(spelled, &mut scratch);
            if found != Ok(row.matches.contains(name)) {
                wrong.push(format!("{:?} on {name:?}: {found:?}", row.pattern));
            }
            let literals = pattern.literals();
            let has = literals.is_empty() || literals.iter().any(|literal| contains(spelled.as_bytes(), literal));
            if found == Ok(true) && !has {
                wrong.push(format!("{:?} matches {name:?}, which contains none of {literals:?}", row.pattern));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
