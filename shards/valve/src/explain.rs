//! Explains the verdict of a rule.
//!
//! *Owns* the explanation of one judgement: which rule was used, its position, and the value of every part of it that
//! was evaluated. *Promises* the same verdict as without explanation. It compiles the rule again, so it is not for the
//! hot path.

use std::fmt;

use crate::check::At;
use crate::compile::Program;
use crate::eval::{Context, Thrown, Verdict, judge, run};
use crate::right::Right;
use crate::rules::{Choice, Ruleset};

/// Bytes of a value that are shown.
const SHOWN_BYTES_MAX: usize = 120;

/// A part of a rule and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its text in the rule.
    pub text: String,
    /// Its value, as text.
    pub value: String,
}

/// The account of a judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked for.
    pub right: Right,
    /// The path and the text of the rule; `None` if there is none for this name.
    pub rule: Option<(String, String)>,
    /// Where it stands.
    pub at: Option<At>,
    /// Its parts, as they were evaluated.
    pub parts: Vec<Part>,
    /// What it says.
    pub verdict: Verdict,
}

/// Judges and tells why. The context's captures are found here.
pub fn explain(ruleset: &Ruleset, right: Right, context: &Context<'_>) -> Explanation {
    let silent = |verdict| Explanation { right, rule: None, at: None, parts: Vec::new(), verdict };
    let Choice::Rule(index, captures) = ruleset.choose(right, context.name) else { return silent(Verdict::Deny) };
    let rule = ruleset.rule(index);
    let context = Context { captures: &captures, ..*context };
    let path = &ruleset.paths[rule.path as usize];
    let mut parts: Vec<Part> = Vec::new();
    if let Ok(program) = Program::explained(rule.program.text(), &path.variables) {
        let text = rule.program.text();
        let mut watch = |(start, end): (u32, u32), value: &crate::value::Value<'_>| {
            let part = text.get(start as usize..end as usize).unwrap_or_default().to_owned();
            parts.push(Part { text: part, value: value.shown(SHOWN_BYTES_MAX) });
        };
        let ran = run(&program, &context, Some(&mut watch));
        if let Err(thrown) = ran.value {
            let at = thrown.at.unwrap_or_default();
            let part = text.get(at.0 as usize..at.1 as usize).unwrap_or_default().to_owned();
            parts.push(Part { text: part, value: format!("throws {thrown}") });
        }
    }
    Explanation {
        right,
        rule: Some((path.text.to_string(), rule.program.text().to_owned())),
        at: rule.at,
        parts,
        verdict: judge(&rule.program, &context).verdict,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (section, name) = (self.right.section(), self.right.rule());
        let Some((path, text)) = &self.rule else {
            return writeln!(to, "no {section} rule of type {name} matches this name: denied");
        };
        write!(to, "{section} \"{path}\" {name}")?;
        self.at.map_or(Ok(()), |at| write!(to, " at {at}"))?;
        writeln!(to, ": {text}")?;
        for part in &self.parts {
            writeln!(to, "  {} → {}", part.text, part.value)?;
        }
        match &self.verdict {
            Verdict::Allow => writeln!(to, "allowed"),
            Verdict::Deny => writeln!(to, "denied"),
            Verdict::Need(names) => {
                let names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>();
                writeln!(to, "needs the records {}", names.join(", "))
            }
            Verdict::Error(Thrown { .. }) => writeln!(to, "denied, because the rule failed"),
        }
    }
}
