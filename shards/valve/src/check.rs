//! Checks a permission file and compiles it.
//!
//! *Owns* the required structure of a file, and the messages for errors, in upstream's words. *Promises* a position for
//! every error, and all errors at once, beginning with the one that upstream would report. *Does not* parse YAML or
//! JSON: it is given the document with the positions of its parts.

use std::fmt;

use crate::compile::Program;
use crate::meant::doubts;
use crate::parse::Refused;
use crate::path::{Path, Paths};
use crate::right::{Right, SECTIONS};
use crate::rules::{Rule, Ruleset};

/// A place in a file, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

impl fmt::Display for At {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.line, self.column)
    }
}

/// A part of a permission file.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it begins.
    pub at: At,
}

/// What a part of a permission file is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Keys with their positions and values, in the file's order.
    Map(Vec<(String, At, Node)>),
    /// A text, and how it maps to the file: pairs of a byte of the text and the position in the file from which on they
    /// run in parallel.
    Text(String, Vec<(usize, At)>),
    /// `true` or `false`
    Bool(bool),
    /// Anything else, by JavaScript's name of its type.
    Other(&'static str),
}

/// An error or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// In upstream's words, where upstream has any.
    pub what: String,
    /// The rule it is about: section, path and type.
    pub rule: Option<String>,
    /// Where.
    pub at: At,
}

impl fmt::Display for Complaint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.at, self.what)?;
        self.rule.as_ref().map_or(Ok(()), |rule| write!(to, " ({rule})"))
    }
}

/// A file that can be used.
#[derive(Debug)]
pub struct Checked {
    /// What it says.
    pub ruleset: Ruleset,
    /// Warnings for its author.
    pub warnings: Vec<Complaint>,
}

/// Checks a file. If it is refused there is at least one error.
pub fn check(root: &Node) -> Result<Checked, Vec<Complaint>> {
    let mut reading = Reading::default();
    let sections = reading.sections(root);
    for (section, entries) in sections {
        for (text, at, entry) in entries {
            reading.entry(section, text, *at, entry);
        }
    }
    if !reading.complaints.is_empty() {
        return Err(reading.complaints);
    }
    Ok(Checked { ruleset: Ruleset::new(reading.paths, reading.rules), warnings: reading.warnings })
}

/// Section, path, type and text of a rule.
pub type Row<'r> = (&'r str, &'r str, &'r str, &'r str);

/// The same for rules that do not come from a file. What no row allows is denied.
pub fn check_rows(rows: &[Row<'_>]) -> Result<Checked, Vec<Complaint>> {
    check_rows_of(Paths::Regular, rows)
}

/// The same, with paths of either kind.
pub fn check_rows_of(paths: Paths, rows: &[Row<'_>]) -> Result<Checked, Vec<Complaint>> {
    let at = At::default();
    let map = |entries| Node { value: Value::Map(entries), at };
    let sections = SECTIONS.map(|section| {
        let mut paths = vec![("*".to_owned(), at, map(Vec::new()))];
        for (_, path, kind, text) in rows.iter().filter(|row| row.0 == section) {
            if !paths.iter().any(|(known, _, _)| known == path) {
                paths.push(((*path).to_owned(), at, map(Vec::new())));
            }
            let entry = paths.iter_mut().find(|(known, _, _)| known == path);
            if let Some((_, _, Node { value: Value::Map(kinds), .. })) = entry {
                let rule = Node { value: Value::Text((*text).to_owned(), Vec::new()), at };
                kinds.push(((*kind).to_owned(), at, rule));
            }
        }
        (section.to_owned(), at, map(paths))
    });
    let made_of = Node { value: Value::Text(paths.name().to_owned(), Vec::new()), at };
    check(&map(sections.into_iter().chain([(PATHS.to_owned(), at, made_of)]).collect()))
}

/// The source of a ruleset: enough to compile the same one elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Which kind of paths it has.
    pub made_of: Paths,
    /// The paths, in the file's order.
    pub paths: Vec<String>,
    /// The rules, in the file's order.
    pub rules: Vec<RuleOutline>,
}

/// The source of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleOutline {
    /// The section it stands in.
    pub section: String,
    /// Its type.
    pub kind: String,
    /// Which of the paths it stands under.
    pub path: u32,
    /// Where its text begins, if it was read from a file.
    pub at: Option<At>,
    /// What it says.
    pub text: String,
}

impl Ruleset {
    /// What it was made of.
    pub fn outline(&self) -> Outline {
        let rule = |rule: &Rule| RuleOutline {
            section: rule.right.section().to_owned(),
            kind: rule.right.rule().to_owned(),
            path: rule.path,
            at: rule.at,
            text: rule.program.text().to_owned(),
        };
        Outline {
            made_of: self.paths.first().map_or(Paths::Regular, |path| path.made_of),
            paths: self.paths.iter().map(|path| path.text.to_string()).collect(),
            rules: self.rules.iter().map(rule).collect(),
        }
    }

    /// Compiles an outline again. Fails if it is not the outline of a valid ruleset.
    pub fn of_outline(outline: Outline) -> Result<Self, String> {
        let paths = outline.paths.iter().map(|path| Path::new(path, outline.made_of)).collect::<Result<Vec<_>, _>>()?;
        let mut rules = Vec::new();
        for RuleOutline { section, kind, path, at, text } in outline.rules {
            let right = Right::find(&section, &kind).ok_or_else(|| format!("unknown rule type {section}.{kind}"))?;
            let variables = &paths.get(path as usize).ok_or("a rule of no path")?.variables;
            let (program, _) = Program::new(&text, variables).map_err(|refused| refused.what)?;
            rules.push(Rule { program, right, at, path });
        }
        Ok(Self::new(paths, rules))
    }
}

type Entries = [(String, At, Node)];

/// The key beside the sections that says which kind of paths the file has.
const PATHS: &str = "paths";

impl Paths {
    /// As a file has it.
    fn name(self) -> &'static str {
        match self {
            Self::Regular => "regexp",
            Self::Literal => "literal",
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Map(_) => "object",
        Value::Text(..) => "string",
        Value::Bool(_) => "boolean",
        Value::Other(name) => name,
    }
}

#[derive(Default)]
struct Reading {
    made_of: Paths,
    paths: Vec<Path>,
    rules: Vec<Rule>,
    complaints: Vec<Complaint>,
    warnings: Vec<Complaint>,
}

impl Reading {
    fn complain(&mut self, what: String, at: At) {
        self.complaints.push(Complaint { what, rule: None, at });
    }

    /// The sections that are well-formed, in upstream's order. Errors of the others are reported in upstream's order
    /// too.
    fn sections<'n>(&mut self, root: &'n Node) -> Vec<(&'static str, &'n Entries)> {
        let Value::Map(found) = &root.value else {
            let what = format!("config should be an object literal, but was of type {}", type_of(&root.value));
            self.complain(what, root.at);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for section in SECTIONS {
            match found.iter().find(|(name, _, _)| name == section) {
                Some((_, at, node)) => sections.push((section, *at, node)),
                None => self.complain(format!("missing configuration section \"{section}\""), root.at),
            }
        }
        for (name, at, node) in found {
            if name == PATHS {
                self.paths_are(*at, node);
            } else if !SECTIONS.contains(&name.as_str()) {
                self.complain(format!("unexpected configuration section \"{name}\""), *at);
            }
        }
        let mut entries = Vec::new();
        for (section, at, node) in sections {
            let inside = if let Value::Map(inside) = &node.value { &inside[..] } else { &[] };
            if inside.is_empty() {
                self.complain(format!("empty section \"{section}\""), at);
                continue;
            }
            for (path, at, _) in inside {
                if let Err(what) = Path::new(path, self.made_of) {
                    self.complain(format!("{what} for path {path} in section {section}"), *at);
                }
            }
            entries.push((section, at, inside));
        }
        for (section, at, inside) in &entries {
            if !inside.iter().any(|(path, _, _)| path == "*") {
                self.complain(format!("missing root entry \"*\" for section {section}"), *at);
            }
        }
        entries.into_iter().map(|(section, _, inside)| (section, inside)).collect()
    }

    fn paths_are(&mut self, at: At, node: &Node) {
        let text = if let Value::Text(text, _) = &node.value { text.as_str() } else { "" };
        match [Paths::Regular, Paths::Literal].into_iter().find(|paths| paths.name() == text) {
            Some(paths) => self.made_of = paths,
            None => self.complain("paths are regexp, as without this key, or literal".to_owned(), at),
        }
    }

    fn entry(&mut self, section: &'static str, path: &str, at: At, node: &Node) {
        // Errors of the path were reported; its rules are checked all the same.
        let read = Path::new(path, self.made_of).ok();
        let variables = read.as_ref().map_or(&[][..], |path| &path.variables);
        let Value::Map(rules) = &node.value else {
            let what = format!("the rules of path {path} in section {section} are no map of rule types");
            return self.complain(what, node.at);
        };
        if let Some(what) = doubts(path, self.made_of) {
            self.warnings.push(Complaint { what, rule: Some(format!("{section} \"{path}\"")), at });
        }
        for (name, at, node) in rules {
            let label = format!("{section} \"{path}\" {name}");
            let Some(right) = Right::find(section, name) else {
                self.complain(format!("unknown rule type {name} in section {section}"), *at);
                continue;
            };
            match rule(right, variables, node) {
                Ok((program, warnings)) => {
                    let place = |warning: Refused| Complaint {
                        at: locate(node, warning.at),
                        what: warning.what,
                        rule: Some(label.clone()),
                    };
                    self.warnings.extend(warnings.into_iter().map(place));
                    let path = self.paths.len() as u32;
                    self.rules.push(Rule { program, right, at: Some(locate(node, 0)), path });
                }
                Err(refused) => {
                    let at = locate(node, refused.at);
                    self.complaints.push(Complaint { what: refused.what, rule: Some(label), at });
                }
            }
        }
        self.paths.extend(read);
    }
}

fn rule(right: Right, variables: &[String], node: &Node) -> Result<(Program, Vec<Refused>), Refused> {
    let text = match &node.value {
        Value::Bool(answer) => return Ok((Program::constant(*answer), Vec::new())),
        Value::Text(text, _) => text,
        _ => return Err(Refused { what: "rule must be a string".to_owned(), at: 0 }),
    };
    if text.is_empty() {
        return Err(Refused { what: "rule can't be empty".to_owned(), at: 0 });
    }
    let (program, warnings) = Program::new(text, variables)?;
    let mentions = program.mentions();
    let refuse = |what: &str, at: u32| {
        let what = format!("rule {} for {} does not support {what}", right.rule(), right.section());
        Err(Refused { what, at: at as usize })
    };
    match (mentions.old_data, mentions.data) {
        (Some(at), _) if !right.has_old_data() => refuse("oldData", at),
        (_, Some(at)) if !right.has_data() => refuse("data", at),
        _ => Ok((program, warnings)),
    }
}

/// Where a byte of a text stands in the file.
fn locate(node: &Node, byte: usize) -> At {
    let Value::Text(text, stretches) = &node.value else { return node.at };
    let Some((start, at)) = stretches.iter().rev().find(|(start, _)| *start <= byte) else { return node.at };
    let passed = text.get(*start..byte).map_or(0, |passed| passed.chars().count());
    At { line: at.line, column: at.column + passed as u32 }
}
