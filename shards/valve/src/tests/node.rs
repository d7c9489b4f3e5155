//! The same expressions through a JavaScript engine.
//!
//! `VALVE_NODE_EXPRESSIONS` says how many (a few thousand unless told), `VALVE_NODE_SEED` where to begin.

use std::io::Write;
use std::process::{Command, Stdio};

use super::world::{Rng, context, context_script, expression, user};
use crate::compile::Program;
use crate::eval::run;

#[allow(clippy::disallowed_methods, reason = "how much is tested is a setting of the test run")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub(super) fn ask_node(expressions: &[String]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle.cjs");
    let mut node = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed (scripts/test sees to it)");
    let question = serde_json::json!({ "context": context_script(), "expressions": expressions });
    let mut input = node.stdin.take().expect("its input is piped");
    input.write_all(question.to_string().as_bytes()).expect("node reads");
    drop(input);
    let output = node.wait_with_output().expect("node answers");
    assert!(output.status.success(), "node failed");
    let text = String::from_utf8(output.stdout).expect("node writes UTF-8");
    text.split('\n').map(str::to_owned).collect()
}

pub(super) fn ask_valve(text: &str) -> String {
    let user = user();
    let (program, _) = match Program::new(text, &["$x".to_owned()]) {
        Ok(program) => program,
        Err(refused) if refused.what.starts_with("SyntaxError") => return "refused".to_owned(),
        Err(refused) => return format!("not in the subset: {} in {text}", refused.what),
    };
    let ran = run(&program, &context(&user), None);
    match ran.value {
        _ if !ran.needs.is_empty() => "needs".to_owned(),
        // A document is shown as it is written; the only escape that JSON does not need stands in the tests' document.
        Ok(value) => value.shown(1 << 20).replace("\\u0041", "A"),
        Err(thrown) if thrown.to_string().ends_with("not supported") => "not supported".to_owned(),
        Err(thrown) => format!("throws {}", thrown.to_string().split(':').next().unwrap_or_default()),
    }
}

#[test]
fn expressions_mean_what_they_mean_in_javascript() {
    let count = setting("VALVE_NODE_EXPRESSIONS", 4_000) as usize;
    let mut rng = Rng(setting("VALVE_NODE_SEED", 0x5eed) | 1);
    let mut differences = Vec::new();
    let mut refused = 0;
    for _ in 0..count.div_ceil(20_000) {
        let expressions: Vec<String> = (0..count.min(20_000))
            .map(|_| {
                let depth = 1 + rng.below(3);
                expression(&mut rng, depth)
            })
            .collect();
        let answers = ask_node(&expressions);
        assert_eq!(answers.len(), expressions.len());
        for (text, expected) in expressions.iter().zip(answers) {
            let answer = ask_valve(text);
            refused += usize::from(answer == "refused");
            if answer != expected && answer != "not supported" {
                differences.push(format!("{text}\n    node:  {expected}\n    valve: {answer}"));
            }
        }
    }
    let shown = differences.len().min(25);
    assert!(differences.is_empty(), "{} of {count} differ:\n{}", differences.len(), differences[..shown].join("\n"));
    assert!(refused < count / 20, "too many expressions are no expressions: {refused}");
}
