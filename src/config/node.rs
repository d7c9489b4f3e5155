//! The configuration as a tree, and the way back from a place in the tree to a line.
//!
//! *Owns* parsing of YAML and JSON into [`Node`]. *Promises* that a duplicate key is an error and that [`line_of`] is
//! right whatever the style of the text. *Does not* know any key.
//!
//! `serde_yaml` keeps no positions in its values, but it stamps an error with the position of what it was reading.
//! [`line_of`] reads the text a second time and fails on purpose at the wanted place.

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
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value under a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What it is, for humans.
    pub(crate) fn describe(&self) -> String {
        match self {
            Node::Null => "nothing".to_owned(),
            Node::Flag(value) => format!("{value}"),
            Node::Integer(value) => format!("{value}"),
            Node::Float(value) => format!("{value}"),
            Node::Text(value) => format!("the text {}", to_json(&Node::Text(value.clone()))),
            Node::List(_) => "a list".to_owned(),
            Node::Map(_) => "a section".to_owned(),
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

/// A text that is no tree.
#[derive(Debug)]
pub(crate) struct Malformed {
    line: usize,
    column: usize,
    what: String,
}

impl Malformed {
    /// As an error of `file`; `line` maps lines of the text to lines of the file.
    pub(crate) fn into_error(self, file: &Path, line: impl Fn(usize) -> usize) -> ConfigError {
        ConfigError::at_line(file, line(self.line), self.what, "")
    }

    /// As an error of a file in which no macro has moved anything.
    pub(crate) fn into_error_of_loaded(self, file: &Path) -> ConfigError {
        ConfigError { column: u32::try_from(self.column).ok(), ..ConfigError::at_line(file, self.line, self.what, "") }
    }
}

const DUPLICATE: &str = "duplicate key ";

/// Reads YAML, or JSON if the file's name says so. An empty text is an empty map.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Node, Malformed> {
    let parsed = if super::text::is_json(file) {
        serde_json::from_str(text).map_err(|fault| Malformed {
            line: fault.line(),
            column: fault.column(),
            what: bare(&fault.to_string()),
        })
    } else if text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#')) {
        Ok(Node::Null)
    } else {
        serde_yaml::from_str(text).map_err(|fault| Malformed {
            line: fault.location().map_or(1, |location| location.line()),
            column: fault.location().map_or(1, |location| location.column()),
            what: bare(&fault.to_string()),
        })
    };
    Ok(match parsed? {
        Node::Null => Node::Map(Vec::new()),
        node => node,
    })
}

/// The parser's sentence without the position, which is told separately.
fn bare(what: &str) -> String {
    let what = what.find(DUPLICATE).map_or(what, |at| &what[at..]);
    let what = what.find(" at line ").map_or(what, |at| &what[..at]);
    if what.starts_with(DUPLICATE) { what.to_owned() } else { format!("cannot be parsed: {what}") }
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
        while let Some(key) = entries.next_key_seed(Key { earlier: &map })? {
            map.push((key, entries.next_value()?));
        }
        merge(&mut map);
        Ok(Node::Map(map))
    }
}

/// YAML's `<<`: entries of other maps, for keys that are not there already.
fn merge(map: &mut Vec<(String, Node)>) {
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

/// Reads a key; a second one of the same name fails right there, so that the error has its line.
struct Key<'m> {
    earlier: &'m [(String, Node)],
}

impl Key<'_> {
    fn accept<E: de::Error>(&self, key: &str) -> Result<String, E> {
        if self.earlier.iter().any(|(name, _)| name == key) {
            return Err(E::custom(format!("{DUPLICATE}{key:?}")));
        }
        Ok(key.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        self.accept(key)
    }

    fn visit_bool<E: de::Error>(self, key: bool) -> Result<String, E> {
        self.accept(&key.to_string())
    }

    fn visit_i64<E: de::Error>(self, key: i64) -> Result<String, E> {
        self.accept(&key.to_string())
    }

    fn visit_u64<E: de::Error>(self, key: u64) -> Result<String, E> {
        self.accept(&key.to_string())
    }

    fn visit_f64<E: de::Error>(self, key: f64) -> Result<String, E> {
        self.accept(&key.to_string())
    }
}

/// The line where the value at `steps` begins, or its key if it has one; where that is not in the text (a merged key),
/// the line of the nearest thing around it.
pub(crate) fn line_of(text: &str, steps: &[Step]) -> Option<usize> {
    place_of(text, steps).map(|(line, _)| line)
}

/// The same with the column.
pub(crate) fn place_of(text: &str, steps: &[Step]) -> Option<(usize, usize)> {
    (0..=steps.len()).rev().find_map(|depth| {
        let search = Search { steps: &steps[..depth] };
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
        items.next_element_seed(Search { steps: rest })?;
        ignore_items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.arrived()?;
        while let Some(here) = entries.next_key_seed(SearchKey { steps: self.steps })? {
            if here {
                entries.next_value_seed(Search { steps: &self.steps[1..] })?;
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
        if here && self.steps.len() == 1 { Err(E::custom(HERE)) } else { Ok(here) }
    }
}
