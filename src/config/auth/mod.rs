//! The `auth` section, and THE TABLE of the methods that can stand in it.
//!
//! *Owns* the list of methods. *Promises* that a section which passed its checks can be started: hashes that no password can
//! have, keys that verify nothing and options that contradict each other are refused. *Does not* know the settings of any
//! method, each of which has a file of its own beside this one. *Does not* judge logins.

mod file;
mod hash;
mod http;
mod jwt;
mod storage;
#[cfg(test)]
mod toy;

use super::node::{Node, Step};
use super::table::{Row, Rule, row};
use super::types::Config;
use super::walk::Complaint;
use crate::auth::{AuthMethod, Settings};
use crate::storage::names::Names;
use std::sync::Arc;

pub use file::{FileAuth, User};
pub(crate) use hash::hashing;
pub use hash::{ITERATIONS_MAX, KEY_LENGTH_MAX};
pub use http::HttpAuth;
pub use jwt::{Claims, JwtAuth};
pub use storage::StorageAuth;
#[cfg(test)]
pub(crate) use toy::ToyAuth;

/// What the configuration knows of a method.
struct Known {
    /// Its keys.
    rows: &'static [Row],
    /// Checks what can only be checked once the whole section was read. It is given the entries of all methods, one after
    /// the other.
    settle: fn(&mut Settling<'_>, &mut AuthMethod),
}

/// Everybody is let in. This has no settings.
static OPEN: Known = Known {
    rows: &[
        row("auth[none]", Rule::Kind(|c| c.auth.push(AuthMethod::open()))),
        row("auth[none].options.reportInvalidParameters", Rule::Inert("open login has no parameters")),
    ],
    settle: |_, _| (),
};

/// One row for each method.
static KNOWN: &[&Known] = &[
    &OPEN,
    &file::KNOWN,
    &http::KNOWN,
    &storage::KNOWN,
    &jwt::KNOWN,
    #[cfg(test)]
    &toy::KNOWN,
];

static SECTION: Row = row("auth", Rule::Service { list: true, default: "" });

/// The rows of the section; see `table`.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    std::iter::once(&SECTION).chain(KNOWN.iter().flat_map(|known| known.rows))
}

/// The settings of the entry whose options are being read. It is the last one: the row of its type has pushed it.
fn last<T: Settings + Default>(config: &mut Config) -> &mut T {
    if config.auth.last().is_none_or(|method| method.get::<T>().is_none()) {
        config.auth.push(AuthMethod::of(T::default()));
    }
    config.auth.last_mut().and_then(AuthMethod::get_mut).expect("it was there, or just pushed")
}

fn web_address(text: &str) -> Result<(), String> {
    match reqwest::Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(()),
        _ => Err("an address that begins with http:// or https:// and has a host".to_owned()),
    }
}

/// One text or a list of them.
fn texts(node: &Node) -> Result<Vec<String>, String> {
    let expected = || "a text or a list of texts that are not empty".to_owned();
    let text = |node: &Node| match node {
        Node::Text(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(expected()),
    };
    match node {
        Node::List(items) if !items.is_empty() => items.iter().map(text).collect(),
        node => text(node).map(|text| vec![text]),
    }
}

impl Config {
    /// The tables in which authentication keeps its users.
    pub fn user_tables(&self) -> impl Iterator<Item = &str> {
        self.auth.iter().filter_map(|method| method.user_table())
    }
}

/// Checks what can only be checked once the whole section was read.
pub(super) fn settle(root: &Node, config: &mut Config) -> Vec<Complaint> {
    if config.auth.is_empty() {
        config.auth.push(AuthMethod::open());
        return Vec::new();
    }
    let all = All {
        are_several: config.auth.len() > 1,
        has_storage: config.storage != super::storage::Storage::Memory,
        tables: config.user_tables().map(str::to_owned).collect(),
        names: config.storage.kept().map(|kept| kept.names()),
    };
    let mut complaints = Vec::new();
    for (method, (steps, node)) in config.auth.iter_mut().zip(entries(root)) {
        let mut at = Settling { steps, node, all: &all, complaints: &mut complaints };
        for known in KNOWN {
            (known.settle)(&mut at, method);
        }
    }
    complaints
}

/// The entries of the section with their places in the file, without those that are switched off.
fn entries(root: &Node) -> Vec<(Vec<Step>, &Node)> {
    let section = Step::Key("auth".to_owned());
    match root.get("auth") {
        Some(Node::List(items)) => items
            .iter()
            .enumerate()
            .filter(|(_, item)| matches!(item, Node::Map(_)))
            .map(|(index, item)| (vec![section.clone(), Step::Index(index)], item))
            .collect(),
        Some(map) => vec![(vec![section], map)],
        None => Vec::new(),
    }
}

/// What the check of one entry may have to know of the rest of the configuration.
struct All {
    are_several: bool,
    has_storage: bool,
    /// The tables in which entries keep users.
    tables: Vec<String>,
    /// Which names the store can keep, if there is a store.
    names: Option<Arc<dyn Names>>,
}

/// One entry, while it is checked.
struct Settling<'a> {
    steps: Vec<Step>,
    node: &'a Node,
    all: &'a All,
    complaints: &'a mut Vec<Complaint>,
}

impl Settling<'_> {
    fn complain(&mut self, below: &[&str], what: impl Into<String>, hint: &str) {
        let mut steps = self.steps.clone();
        steps.extend(below.iter().map(|key| Step::Key((*key).to_owned())));
        self.complaints.push(Complaint { steps, what: what.into(), hint: hint.to_owned() });
    }

    fn option(&self, key: &str) -> Option<&Node> {
        self.node.get("options")?.get(key)
    }

    fn demand(&mut self, key: &str) {
        if self.option(key).is_none() {
            self.complain(&["options"], format!("Missing key {key}"), "");
        }
    }

    /// Whether a refusal is final. With several methods it is only if the file says so; else the next one is asked.
    fn reports(&self, said: Option<bool>) -> bool {
        if self.all.are_several { said == Some(true) } else { said != Some(false) }
    }
}
