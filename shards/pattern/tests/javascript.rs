//! Every pattern of `javascript.jsonl` against every name of its first line, compared with what a JavaScript engine says.
//!
//! `tests/client/suites/patterns.test.mjs` asks the JavaScript engine at hand whether the file still tells the truth.

use deepstream_pattern::{Budget, Input, Pattern, Scratch};
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

const STEPS: u64 = 10_000;

#[test]
fn patterns_mean_what_they_mean_in_javascript() {
    let mut lines = include_str!("javascript.jsonl").lines();
    let names: Names = serde_json::from_str(lines.next().expect("names")).expect("names");
    let mut wrong = Vec::new();
    let mut scratch = Scratch::default();
    for line in lines {
        let row: Row = serde_json::from_str(line).expect("a row");
        let pattern = match Pattern::new(&row.pattern, "") {
            Ok(_) if row.error => {
                wrong.push(format!("{:?} is accepted", row.pattern));
                continue;
            }
            Ok(pattern) => pattern,
            Err(_) if row.error => continue,
            Err(why) => {
                wrong.push(format!("{:?} is refused: {why}", row.pattern));
                continue;
            }
        };
        let required = pattern.required();
        for name in &names.names {
            let units: Vec<u16> = name.encode_utf16().collect();
            let found = pattern.is_match(Input::Utf16(&units), &mut Budget::new(STEPS), &mut scratch);
            if found != Ok(row.matches.contains(name)) {
                wrong.push(format!("{:?} on {name:?}: {found:?}", row.pattern));
            }
            if name.is_ascii() {
                let ascii = pattern.is_match(Input::Ascii(name.as_bytes()), &mut Budget::new(STEPS), &mut scratch);
                assert_eq!(ascii, found, "{:?} on {name:?}: width matters", row.pattern);
            }
            let has = |texts: &Vec<Box<[u8]>>| texts.iter().any(|text| contains(name.as_bytes(), text));
            if found == Ok(true) && !required.iter().all(has) {
                wrong.push(format!("{:?} matches {name:?}, which lacks some of {required:?}", row.pattern));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
