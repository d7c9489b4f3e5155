//! The configuration as a tree, and the way back from a place in the tree to a line.
//!
//! *Owns* parsing of YAML and JSON into [`Node`]. *Promises* that every duplicate key is reported, that the spelling of
//! a scalar is kept, and that [`place_of`] is right whatever the style of the text. *Does not* know any key.
//!
//! `serde_yaml` keeps no positions in its values, but it stamps an error with the position of what it was reading.
//! [`place_of`] reads the text a second time and fails on purpose at the wanted place.

use super::error::ConfigError;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Write as _};
use std::path::Path;

/// One value of the configuration. Maps keep the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Flag(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Spelled(Box<Spelled>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A scalar whose spelling matters: `007` is not just 7, or environment variables are a part of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spelled {
    pub(crate) text: String,
    /// It is written without quotes, so it may be a number.
    pub(crate) plain: bool,
    pub(crate) variables: Vec<String>,
}

impl Spelled {
    /// Its value where no text is expected.
    fn typed(&self) -> Node {
        if self.plain { plain(&self.text) } else { Node::Text(self.text.clone()) }
    }

    /// Its value where a text is expected.
    fn text(&self) -> Option<&str> {
        // An empty scalar without quotes is null, not a text.
        (!self.plain || !self.text.is_empty()).then_some(&self.text)
    }

    /// Which environment variables are a part of it.
    fn origin(&self) -> String {
        match &self.variables[..] {
            [name] => format!("the value of the environment variable {name}"),
            names => format!("the values of the environment variables {}", names.join(", ")),
        }
    }
}

/// A scalar without quotes, as YAML takes it.
fn plain(text: &str) -> Node {
    let trimmed = text.trim();
    let word = |char: char| char.is_ascii_alphanumeric() || "+-._~".contains(char);
    if trimmed.is_empty() {
        return Node::Null;
    }
    if !trimmed.chars().all(word) {
        return Node::Text(text.to_owned());
    }
    match serde_yaml::from_str(trimmed) {
        Ok(node @ (Node::Null | Node::Flag(_) | Node::Integer(_) | Node::Float(_))) => node,
        _ => Node::Text(text.to_owned()),
    }
}

/// Longest part of a text that an error message shows.
const SHOWN_CHARS_MAX: usize = 100;

impl Node {
    /// A copy in which scalars have the type YAML gives them: `8080` is a number, also if a variable gave it.
    pub(crate) fn typed(&self) -> Node {
        self.mapped(&|scalar| if let Node::Spelled(spelled) = scalar { spelled.typed() } else { scalar.clone() })
    }

    /// A copy in which every scalar is the text as written: `007` is not 7.
    pub(crate) fn texts(&self) -> Node {
        self.mapped(&|scalar| scalar.text().map_or_else(|| scalar.typed(), Node::Text))
    }

    fn mapped(&self, scalar: &dyn Fn(&Node) -> Node) -> Node {
        match self {
            Node::List(items) => Node::List(items.iter().map(|item| item.mapped(scalar)).collect()),
            Node::Map(entries) => {
                Node::Map(entries.iter().map(|(key, node)| (key.clone(), node.mapped(scalar))).collect())
            }
            other => scalar(other),
        }
    }

    /// Its value where a text is expected, if it is a scalar.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Node::Text(text) => Some(text.clone()),
            Node::Spelled(spelled) => spelled.text().map(str::to_owned),
            Node::Flag(value) => Some(value.to_string()),
            Node::Integer(value) => Some(value.to_string()),
            Node::Float(value) => Some(value.to_string()),
            Node::Null | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// Whether there is no value, or only an empty variable.
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Node::Null => true,
            Node::Spelled(spelled) => spelled.typed() == Node::Null,
            _ => false,
        }
    }

    /// All scalars in this node of which environment variables are a part.
    pub(crate) fn given(&self) -> Vec<&Spelled> {
        match self {
            Node::Spelled(spelled) if !spelled.variables.is_empty() => vec![spelled],
            Node::List(items) => items.iter().flat_map(Node::given).collect(),
            Node::Map(entries) => entries.iter().flat_map(|(_, node)| node.given()).collect(),
            _ => Vec::new(),
        }
    }

    /// The value under a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A description for error messages. Values of environment variables are not shown: they may be secrets.
    pub(crate) fn describe(&self) -> String {
        match self {
            Node::Null => "nothing".to_owned(),
            Node::Flag(value) => format!("{value}"),
            Node::Integer(value) => format!("{value}"),
            Node::Float(value) => format!("{value}"),
            Node::Text(value) => {
                let shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
                let more = if shown.len() < value.len() { " and so on" } else { "" };
                format!("the text {}{more}", to_json(&Node::Text(shown)))
            }
            Node::Spelled(spelled) if spelled.text().is_none() => "nothing".to_owned(),
            Node::Spelled(spelled) if spelled.variables.is_empty() => spelled.text.clone(),
            Node::Spelled(spelled) => spelled.origin(),
            Node::List(_) => "a list".to_owned(),
            Node::Map(_) => "a section".to_owned(),
        }
    }

    /// The same for secrets: the value is not shown.
    pub(crate) fn describe_hidden(&self) -> String {
        match self {
            Node::Null | Node::List(_) | Node::Map(_) => self.describe(),
            Node::Spelled(spelled) if !spelled.variables.is_empty() => self.describe(),
            _ => "another value".to_owned(),
        }
    }
}

/// One step from the top of the tree towards a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// `a.b[2].c`
pub(crate) fn path_text(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut out, step| {
        match step {
            Step::Key(key) if out.is_empty() => out.push_str(key),
            Step::Key(key) => {
                out.push('.');
                out.push_str(key);
            }
            Step::Index(index) => {
                let _ = write!(out, "[{index}]");
            }
        }
        out
    })
}

/// Why a text could not be parsed.
#[derive(Debug)]
pub(crate) struct Malformed {
    line: usize,
    column: usize,
    what: String,
    hint: String,
}

impl Malformed {
    /// As an error of a configuration file.
    pub(crate) fn into_error(self, file: &Path) -> ConfigError {
        ConfigError::at_line(file, self.line, self.what, self.hint)
    }

    /// As an error of a file that another loads.
    pub(crate) fn into_error_of_loaded(self, file: &Path) -> ConfigError {
        ConfigError { column: u32::try_from(self.column).ok(), ..self.into_error(file) }
    }

    /// Adds what to do about it, if nothing better is known.
    pub(crate) fn with_hint(self, hint: String) -> Self {
        if self.hint.is_empty() { Self { hint, ..self } } else { self }
    }
}

/// Reads YAML, or JSON if the file's name says so. An empty text is an empty map. Of duplicate keys the first counts,
/// and the others are reported.
pub(crate) fn parse(file: &Path, text: &str) -> Result<(Node, Vec<Malformed>), Malformed> {
    let json = super::text::is_json(file);
    let parsed = if json {
        serde_json::from_str(text).map_err(|fault| Malformed {
            line: fault.line().min(text.lines().count()),
            column: fault.column(),
            what: bare(&fault.to_string()),
            hint: String::new(),
        })
    } else if text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#')) {
        Ok(Node::Null)
    } else {
        serde_yaml::from_str(text).map_err(|fault| {
            let place = fault.location().map_or((1, 1), |at| (at.line(), at.column()));
            malformed(text, place, bare(&fault.to_string()))
        })
    };
    let mut node = parsed?;
    let mut twice = Vec::new();
    repeated(&node, &mut Vec::new(), &mut twice);
    let faults = twice.iter().map(|(steps, turn)| {
        let (line, column) = place_of_turn(text, steps, *turn).unwrap_or((1, 1));
        let key = if let Some(Step::Key(key)) = steps.last() { key.as_str() } else { "" };
        Malformed { line, column, what: format!("duplicate key {key:?}"), hint: String::new() }
    });
    let faults = faults.collect();
    // If this fails the text can only be read as JSON, whose numbers need no respelling.
    let _ = Respelling(&mut node).deserialize(serde_yaml::Deserializer::from_str(text));
    merge(&mut node);
    Ok((if node == Node::Null { Node::Map(Vec::new()) } else { node }, faults))
}

/// The error of a YAML text; indentation by a tab gets a message of its own.
fn malformed(text: &str, (line, column): (usize, usize), what: String) -> Malformed {
    let lines: Vec<&str> = text.lines().collect();
    let indents = |number: usize| {
        let line = lines.get(number.wrapping_sub(1)).copied().unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.find('\t').filter(|_| !line.trim().is_empty())
    };
    let near = [line, line.wrapping_sub(1), line + 1];
    match near.into_iter().find_map(|line| indents(line).map(|at| (line, at + 1))) {
        Some((line, column)) => Malformed {
            line,
            column,
            what: "cannot be parsed: the line is indented with a tab".to_owned(),
            hint: "YAML is indented with spaces only".to_owned(),
        },
        None => Malformed { line, column, what, hint: String::new() },
    }
}

/// Finds duplicate keys, each with the number of those before it.
fn repeated(node: &Node, steps: &mut Vec<Step>, twice: &mut Vec<(Vec<Step>, usize)>) {
    match node {
        Node::Map(entries) => {
            for (index, (key, value)) in entries.iter().enumerate() {
                let earlier = entries[..index].iter().filter(|(name, _)| name == key).count();
                steps.push(Step::Key(key.clone()));
                if earlier > 0 {
                    twice.push((steps.clone(), earlier));
                } else {
                    repeated(value, steps, twice);
                }
                steps.pop();
            }
        }
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                steps.push(Step::Index(index));
                repeated(item, steps, twice);
                steps.pop();
            }
        }
        _ => {}
    }
}

/// The parser's message without the position, which is reported separately.
fn bare(what: &str) -> String {
    let what = what.find(" at line ").map_or(what, |at| &what[..at]);
    format!("cannot be parsed: {what}")
}

/// The tree as JSON on one line.
pub(crate) fn to_json(node: &Node) -> String {
    fn value(node: &Node) -> serde_json::Value {
        match node {
            Node::Null => serde_json::Value::Null,
            Node::Flag(flag) => (*flag).into(),
            Node::Integer(number) => (*number).into(),
            Node::Float(number) => (*number).into(),
            Node::Text(text) => text.as_str().into(),
            Node::Spelled(spelled) => value(&spelled.typed()),
            Node::List(items) => items.iter().map(value).collect(),
            Node::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), value(node))).collect(),
        }
    }
    value(node).to_string()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a plain value, a list or a section")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Float(value as f64), Node::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map: Vec<(String, Node)> = Vec::new();
        // Keys are texts as written: `007` is a name.
        while let Some(key) = entries.next_key::<String>()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Node::Map(map))
    }
}

/// YAML's `<<`: takes over entries of other maps for keys that are not there yet. Of duplicate keys the first counts.
fn merge(node: &mut Node) {
    match node {
        Node::List(items) => items.iter_mut().for_each(merge),
        Node::Map(map) => {
            let mut seen: Vec<String> = Vec::with_capacity(map.len());
            map.retain_mut(|(key, value)| {
                let first = !seen.contains(key);
                if first {
                    seen.push(key.clone());
                    merge(value);
                }
                first
            });
            merge_into(map);
        }
        _ => {}
    }
}

fn merge_into(map: &mut Vec<(String, Node)>) {
    let Some(at) = map.iter().position(|(key, value)| key == "<<" && matches!(value, Node::Map(_) | Node::List(_)))
    else {
        return;
    };
    let (_, merged) = map.remove(at);
    let sources = if let Node::List(list) = merged { list } else { vec![merged] };
    for (key, value) in
        sources.into_iter().filter_map(|node| if let Node::Map(map) = node { Some(map) } else { None }).flatten()
    {
        if !map.iter().any(|(name, _)| *name == key) {
            map.push((key, value));
        }
    }
}

/// Reads a text a second time alongside its tree, to record the spelling of scalars that are not texts.
struct Respelling<'n>(&'n mut Node);

impl<'de> DeserializeSeed<'de> for Respelling<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Node::Flag(_) | Node::Integer(_) | Node::Float(_) => {
                let text = String::deserialize(deserializer)?;
                if self.0.text().as_ref() != Some(&text) {
                    *self.0 = Node::Spelled(Box::new(Spelled { text, plain: true, variables: Vec::new() }));
                }
                Ok(())
            }
            Node::List(_) => deserializer.deserialize_seq(self),
            Node::Map(_) => deserializer.deserialize_map(self),
            _ => IgnoredAny::deserialize(deserializer).map(drop),
        }
    }
}

impl<'de> Visitor<'de> for Respelling<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("what was there before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Node::List(list) = self.0 else { return ignore_items(items) };
        for node in list {
            items.next_element_seed(Respelling(node))?;
        }
        ignore_items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Node::Map(map) = self.0 else { return Ok(()) };
        for (_, node) in map {
            if entries.next_key::<IgnoredAny>()?.is_none() {
                break;
            }
            entries.next_value_seed(Respelling(node))?;
        }
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Line and column where the value at `steps` begins, or its key if it has one; where that is not in the text (a merged key),
/// those of the nearest thing around it.
pub(crate) fn place_of(text: &str, steps: &[Step]) -> Option<(usize, usize)> {
    place_of_turn(text, steps, 0)
}

/// The same for a duplicate key, of which `turn` others come before it.
fn place_of_turn(text: &str, steps: &[Step], turn: usize) -> Option<(usize, usize)> {
    (0..=steps.len()).rev().find_map(|depth| {
        let earlier = if depth == steps.len() { turn } else { 0 };
        let search = Search { steps: &steps[..depth], earlier };
        // JSON is read as YAML here: what differs between them does not move a line.
        let fault = search.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
        fault
            .to_string()
            .contains(HERE)
            .then(|| fault.location().map(|location| (location.line(), location.column())))?
    })
}

const HERE: &str = "the wanted place";

/// Walks down `steps` and fails at the end of them.
struct Search<'s> {
    steps: &'s [Step],
    /// How many occurrences of the last key to skip.
    earlier: usize,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Search<'_> {
    fn arrived<E: de::Error>(&self) -> Result<(), E> {
        if self.steps.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("anything")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.arrived()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.arrived()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.arrived()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.arrived()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.arrived()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.arrived()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.arrived()?;
        let Some((Step::Index(wanted), rest)) = self.steps.split_first() else { return ignore_items(items) };
        for _ in 0..*wanted {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(Search { steps: rest, earlier: self.earlier })?;
        ignore_items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.arrived()?;
        let mut earlier = self.earlier;
        while let Some(here) = entries.next_key_seed(SearchKey { steps: self.steps, earlier: &mut earlier })? {
            if here {
                entries.next_value_seed(Search { steps: &self.steps[1..], earlier })?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

fn ignore_items<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Compares a key with the first step; fails at the key if it is the last one.
struct SearchKey<'s> {
    steps: &'s [Step],
    earlier: &'s mut usize,
}

impl<'de> DeserializeSeed<'de> for SearchKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for SearchKey<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        let here = matches!(&self.steps[0], Step::Key(wanted) if wanted == key);
        if !here || self.steps.len() > 1 {
            return Ok(here);
        }
        match self.earlier.checked_sub(1) {
            Some(earlier) => {
                *self.earlier = earlier;
                Ok(false)
            }
            None => Err(E::custom(HERE)),
        }
    }
}
