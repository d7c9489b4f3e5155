//! Turns the parsed tree into the typed configuration, by the rows of the table.
//!
//! *Owns* the walk through the tree. *Promises* to find all errors at once, and that no key is silently ignored. *Does
//! not* know any single key; see `table`.

use super::node::{Node, Step};
use super::table::{Literal, Row, Rule, rows};
use super::types::Config;

/// An error at a place of the tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) steps: Vec<Step>,
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// The result of the walk.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) complaints: Vec<Complaint>,
    /// Keys accepted without meaning, and why that is harmless.
    pub(crate) accepted: Vec<(Vec<Step>, &'static str)>,
}

/// Applies every key of `root` to `config`.
pub(crate) fn apply(root: &Node, config: &mut Config) -> Findings {
    let mut walk = Walk { config, steps: Vec::new(), findings: Findings::default() };
    walk.section("", root);
    walk.findings
}

struct Walk<'c> {
    config: &'c mut Config,
    steps: Vec<Step>,
    findings: Findings,
}

impl Walk<'_> {
    fn complain(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.findings.complaints.push(Complaint { steps: self.steps.clone(), what: what.into(), hint: hint.into() });
    }

    fn expected(&mut self, expected: &str, node: &Node) {
        let quoted = |text: &str| text.parse::<f64>().is_ok() || ["true", "false"].contains(&text);
        let hint = match node {
            Node::Text(text) if quoted(text) => "remove the quotes",
            Node::Spelled(spelled) if !spelled.plain && quoted(&spelled.text) => "remove the quotes",
            Node::Spelled(spelled) if !spelled.variables.is_empty() && holds_several(&spelled.text) => {
                "a variable stands for one value, not for a list or a section: write those here, with a variable for \
                 each of their values, or in a file that fileLoad names"
            }
            _ => "",
        };
        let hidden = self.is_secret() || node.text().is_some_and(|text| names_a_password(&text));
        let found = if hidden { node.describe_hidden() } else { node.describe() };
        self.complain(format!("expected {expected}, found {found}"), hint);
    }

    /// Whether the value here is a secret.
    fn is_secret(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Key(key)) if SECRETS.contains(&key.as_str()))
    }

    fn below<T>(&mut self, step: Step, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.steps.push(step);
        let result = walk(self);
        self.steps.pop();
        result
    }

    /// The keys of a map whose rows begin with `pattern`.
    fn section(&mut self, pattern: &str, node: &Node) {
        let entries = match node {
            Node::Map(entries) => entries.as_slice(),
            // A section whose keys are all commented out.
            node if node.is_nothing() => &[],
            _ => return self.expected("a section of keys", node),
        };
        for (key, value) in entries {
            let path = join(pattern, key);
            self.below(Step::Key(key.clone()), |walk| match find(&path) {
                Some(row) => walk.rule(row, &path, value),
                None => walk.unknown(pattern, key),
            });
        }
    }

    fn rule(&mut self, row: &'static Row, path: &str, node: &Node) {
        let result = match &row.rule {
            Rule::Section => return self.section(path, node),
            Rule::Service { list, default } => return self.service(path, *list, default, node),
            Rule::Later(sentence) => return self.complain(*sentence, ""),
            Rule::Inert(why) => return self.findings.accepted.push((self.steps.clone(), why)),
            Rule::Only { values, why, refusal } => return self.only(values, why, refusal, node),
            // Only found through its service.
            Rule::Kind(enter) => {
                enter(self.config);
                return;
            }
            Rule::Flag(set) => match node.typed() {
                Node::Flag(value) => {
                    set(self.config, value);
                    return;
                }
                _ => Err("true or false".to_owned()),
            },
            Rule::Number { min, max, unit, set } => match node.typed() {
                Node::Integer(value) if u64::try_from(value).is_ok_and(|value| (*min..=*max).contains(&value)) => {
                    set(self.config, value as u64);
                    return;
                }
                _ => Err(format!(
                    "a whole number{}{} from {min} to {max}",
                    if unit.is_empty() { "" } else { " of " },
                    unit
                )),
            },
            // A number counts as text, as written: a secret may be 007.
            Rule::Text(set) => match node.text() {
                Some(text) => set(self.config, &text),
                None => Err("text".to_owned()),
            },
            Rule::Value(set) => set(self.config, &node.typed()),
            Rule::Texts(set) => set(self.config, &node.texts()),
            Rule::Tree(set) => set(self.config, node),
        };
        if let Err(expected) = result {
            self.expected(&expected, node);
        }
    }

    fn only(&mut self, values: &[Literal], why: &'static str, refusal: &'static str, given: &Node) {
        let node = &given.typed();
        if values.iter().any(|literal| literal.is(node)) {
            self.findings.accepted.push((self.steps.clone(), why));
        } else if values.iter().any(|literal| matches!(literal, Literal::Flag(_))) && !matches!(node, Node::Flag(_)) {
            self.expected("true or false", given);
        } else {
            self.complain(refusal, "");
        }
    }

    /// A service: one entry, or several.
    fn service(&mut self, path: &str, list: bool, default: &str, node: &Node) {
        match node {
            Node::Map(entries) if list && is_map_of_entries(entries) => {
                self.complain(
                    "the entries are written as a map, as in old releases",
                    "write a list of entries with a type",
                );
            }
            // The old map form of what is a list today: one entry.
            Node::Map(_) => self.entry(path, default, node),
            Node::List(items) if list => {
                for (index, item) in items.iter().enumerate() {
                    // In release 3 null switched an entry off.
                    if !item.is_nothing() {
                        self.below(Step::Index(index), |walk| walk.entry(path, default, item));
                    }
                }
            }
            _ if list => self.expected("a list of entries with a type", node),
            _ => self.expected("a section with a type", node),
        }
    }

    fn entry(&mut self, path: &str, default: &str, node: &Node) {
        let Node::Map(entries) = node else { return self.expected("a section with a type", node) };
        if entries.iter().any(|(key, _)| key == "path") {
            return self.below(Step::Key("path".to_owned()), |walk| {
                walk.complain("JavaScript plugins cannot be loaded by this server", kinds_hint(path));
            });
        }
        let named = entries.iter().find(|(key, _)| key == "name").or(entries.iter().find(|(key, _)| key == "type"));
        let (key, kind) = match named.map(|(key, node)| (key, node, node.text())) {
            Some((key, _, Some(kind))) => (key.as_str(), kind),
            Some((key, other, None)) => {
                return self.below(Step::Key(key.clone()), |walk| walk.expected("text", other));
            }
            None if default.is_empty() => return self.complain("the entry has no type", kinds_hint(path)),
            None => ("type", default.to_owned()),
        };
        let kind = kind.as_str();
        let pattern = format!("{path}[{kind}]");
        let Some(row) = find(&pattern) else {
            let hint = suggestion(kind, kinds(path)).unwrap_or_else(|| kinds_hint(path));
            return self
                .below(Step::Key(key.to_owned()), |walk| walk.complain(format!("unknown {key} {kind:?}"), hint));
        };
        if let Rule::Later(_) = row.rule {
            return self.below(Step::Key(key.to_owned()), |walk| walk.rule(row, &pattern, node));
        }
        self.rule(row, &pattern, node);
        for (key, value) in entries {
            self.below(Step::Key(key.clone()), |walk| match key.as_str() {
                "type" | "name" => {}
                "options" => walk.section(&join(&pattern, "options"), value),
                _ => {
                    let hint = suggestion(key, ["type", "name", "options"].into_iter())
                        .unwrap_or_else(|| "an entry has type and options".to_owned());
                    walk.complain("unknown key", hint);
                }
            });
        }
    }

    fn unknown(&mut self, pattern: &str, key: &str) {
        let near = suggestion(key, children(pattern));
        let elsewhere = || {
            let found = rows().find(|row| row.rule.is_honoured() && row.path.rsplit('.').next() == Some(key))?;
            Some(format!("did you mean {}?", found.path.replace("[*]", "").replace("[ws-*]", "")))
        };
        let listing = || {
            let known: Vec<_> = children(pattern).collect();
            if known.is_empty() || known.len() > 20 {
                String::new()
            } else {
                format!("known here are {}", known.join(", "))
            }
        };
        let hint = near.or_else(elsewhere).unwrap_or_else(listing);
        self.complain("unknown key", hint);
    }
}

/// Keys whose values must not be shown, not even in an error.
const SECRETS: [&str; 8] = [
    "password",
    "secret",
    "passphrase",
    "sslPassphrase",
    "connectionString",
    "key",
    "jwks",
    // Somebody may have put the private key there.
    "publicKey",
];

/// Whether a text looks like an address that contains a password.
fn names_a_password(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Whether a text looks like a list, a section or lines of several keys.
fn holds_several(text: &str) -> bool {
    text.trim_start().starts_with(['[', '{', '-']) || text.contains('\n') || text.contains(": ")
}

/// Whether these are the entries of a service under names of their own (releases 2 and 3), not the keys of one entry.
fn is_map_of_entries(entries: &[(String, Node)]) -> bool {
    let keys = ["type", "name", "path", "options"];
    !entries.is_empty() && !entries.iter().any(|(key, _)| keys.contains(&key.as_str()))
}

fn join(pattern: &str, key: &str) -> String {
    if pattern.is_empty() { key.to_owned() } else { format!("{pattern}.{key}") }
}

/// The row of a path; rows that hold for every kind of a service are written with `[*]`, or with `[ws-*]` if for every kind
/// of WebSockets.
fn find(path: &str) -> Option<&'static Row> {
    let general = general(path);
    rows().find(|row| row.path == path).or_else(|| rows().find(|row| Some(row.path) == general.as_deref()))
}

/// `a[kind].options.b` as `a[*].options.b`, `a[ws-kind].options.b` as `a[ws-*].options.b`.
fn general(path: &str) -> Option<String> {
    let (service, rest) = path.split_once('[')?;
    let (kind, rest) = rest.split_once(']')?;
    let kinds = if kind.starts_with("ws-") { "ws-*" } else { "*" };
    Some(format!("{service}[{kinds}]{rest}"))
}

/// Names of the keys directly below a pattern, refused ones left out.
fn children(pattern: &str) -> impl Iterator<Item = &'static str> {
    let exact = if pattern.is_empty() { String::new() } else { format!("{pattern}.") };
    let general = general(&exact);
    rows().filter(|row| !matches!(row.rule, Rule::Later(_))).filter_map(move |row| {
        let mut prefix = [Some(exact.as_str()), general.as_deref()].into_iter().flatten();
        let name = prefix.find_map(|prefix| row.path.strip_prefix(prefix))?;
        (!name.contains(['.', '['])).then_some(name)
    })
}

/// Names of the kinds of a service, refused ones left out.
fn kinds(path: &str) -> impl Iterator<Item = &'static str> {
    let prefix = format!("{path}[");
    rows()
        .filter(|row| matches!(row.rule, Rule::Kind(_)))
        .filter_map(move |row| row.path.strip_prefix(&prefix)?.strip_suffix(']'))
}

fn kinds_hint(path: &str) -> String {
    format!("known here: {}", kinds(path).collect::<Vec<_>>().join(", "))
}

/// The key that was probably meant.
fn suggestion<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<String> {
    let lower = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("did you mean {candidate}?"))
}
