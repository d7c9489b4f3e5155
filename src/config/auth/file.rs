//! Authentication of `type: file`: its settings, and their keys in the configuration.

use super::hash::{ITERATIONS_MAX, KEY_LENGTH_MAX, RawHash};
use super::{Known, Settling, last};
use crate::auth::AuthMethod;
use crate::config::node::{Node, to_json};
use crate::config::table::{Row, Rule, count, row};
use crate::config::types::Config;
use crate::credentials::PasswordHash;

/// `type: file`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileAuth {
    /// By name.
    pub users: Vec<User>,
    /// How the passwords are kept; `None`: as they are.
    pub hash: Option<PasswordHash>,
    /// Whether a wrong password is an answer; else the next entry is asked.
    pub report: bool,
    pub(crate) raw_hash: RawHash,
    pub(crate) raw_report: Option<bool>,
}

/// A user of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What it logs in with, and its id.
    pub name: String,
    /// As it is, or its hash.
    pub password: String,
    /// JSON text for the permission rules.
    pub server_data: Option<String>,
    /// JSON text for the client.
    pub client_data: Option<String>,
}

pub(super) static KNOWN: Known = Known { rows: ROWS, settle };

static ROWS: &[Row] = &[
    row("auth[file]", Rule::Kind(|c| c.auth.push(AuthMethod::of(FileAuth::default())))),
    row("auth[file].options.users", Rule::Tree(users)),
    // The users of release 3's path are loaded before the rows are asked.
    row("auth[file].options.path", Rule::Later("users and path are both given: keep users")),
    row("auth[file].options.hash", Rule::Value(|c, node| file(c).raw_hash.name(node))),
    row("auth[file].options.iterations", count(1, ITERATIONS_MAX, |c, n| file(c).raw_hash.iterations = Some(n as u32))),
    row(
        "auth[file].options.keyLength",
        count(1, KEY_LENGTH_MAX, |c, n| file(c).raw_hash.key_length = Some(n as usize)),
    ),
    row("auth[file].options.reportInvalidParameters", Rule::Flag(|c, on| file(c).raw_report = Some(on))),
];

fn file(config: &mut Config) -> &mut FileAuth {
    last(config)
}

/// Checks only the shape; faults of a single user are found by [`settle`], which knows its place in the file.
fn users(config: &mut Config, node: &Node) -> Result<(), String> {
    let Node::Map(entries) = node else {
        return Err("a section with a user per key, or fileLoad(users.yml)".to_owned());
    };
    // A password is the text as written, also if it looks like a number; data keeps its type.
    let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default();
    let data = |node: Option<&Node>| node.map(Node::typed).filter(is_truthy).map(|node| to_json(&node));
    let user = |(name, entry): &(String, Node)| User {
        name: name.clone(),
        password: text(entry.get("password")),
        server_data: data(entry.get("serverData")),
        client_data: data(entry.get("clientData")),
    };
    file(config).users = entries.iter().map(user).collect();
    Ok(())
}

/// Whether a value is truthy in JavaScript: falsy data counts as no data.
fn is_truthy(node: &Node) -> bool {
    !matches!(node, Node::Null | Node::Flag(false) | Node::Integer(0)) && *node != Node::Text(String::new())
}

/// Checks what can only be checked once the whole section was read.
fn settle(at: &mut Settling<'_>, method: &mut AuthMethod) {
    if let Some(file) = method.get_mut::<FileAuth>() {
        file.report = at.reports(file.raw_report);
        file.hash = at.hash(&file.raw_hash);
        at.users(file);
    }
}

impl Settling<'_> {
    fn users(&mut self, file: &FileAuth) {
        let node = self.node;
        match node.get("options").and_then(|options| options.get("users")) {
            Some(Node::Map(users)) if users.is_empty() => {
                self.complain(&["options", "users"], "no users present in user file", "");
            }
            Some(Node::Map(users)) => users.iter().for_each(|(name, entry)| self.user(file, name, entry)),
            // Another shape was already complained about when it was read.
            Some(_) => {}
            None => self.complain(&["options"], "no users present in user file", "write users: fileLoad(users.yml)"),
        }
    }

    fn user(&mut self, file: &FileAuth, name: &str, entry: &Node) {
        let path = ["options", "users", name];
        let Node::Map(fields) = entry else {
            return self.complain(&path, "expected a section with a password", "");
        };
        for (key, _) in fields {
            if !["password", "serverData", "clientData"].contains(&key.as_str()) {
                let hint = "known here are password, serverData, clientData";
                self.complain(&["options", "users", name, key], "unknown key", hint);
            }
        }
        let path = ["options", "users", name, "password"];
        match entry.get("password").map(|node| (node, node.text())) {
            Some((_, Some(password))) if !password.is_empty() => {
                if let Some(Err(why)) = file.hash.map(|hash| hash.check(&password)) {
                    let what = format!("no password has this hash: {why}");
                    self.complain(&path, what, "deepstream hash prints one");
                }
            }
            Some((other @ (Node::List(_) | Node::Map(_)), _)) => {
                self.complain(&path, format!("expected text, found {}", other.describe()), "");
            }
            _ => self.complain(&path, format!("missing password for {name}"), ""),
        }
    }
}
