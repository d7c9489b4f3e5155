//! Authentication of `type: storage`: its settings, and their keys in the configuration.

use super::hash::{ITERATIONS_MAX, KEY_LENGTH_MAX, RawHash};
use super::{Known, Settling, last};
use crate::auth::AuthMethod;
use crate::config::table::{Row, Rule, count, row};
use crate::config::types::Config;
use crate::credentials::PasswordHash;

/// `type: storage`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageAuth {
    /// Records `table/username` are the users.
    pub table: String,
    /// Whether an unknown name becomes a user with the given password.
    pub create_user: bool,
    /// How the passwords are kept; `None`: as they are.
    pub hash: Option<PasswordHash>,
    /// Whether a wrong password is an answer; else the next entry is asked.
    pub report: bool,
    pub(crate) raw_hash: RawHash,
    pub(crate) raw_report: Option<bool>,
}

pub(super) static KNOWN: Known = Known { rows: ROWS, settle };

static ROWS: &[Row] = &[
    row("auth[storage]", Rule::Kind(|c| c.auth.push(AuthMethod::of(StorageAuth::default())))),
    row("auth[storage].options.table", Rule::Text(table)),
    row("auth[storage].options.tableSplitChar", Rule::Inert("table and user are always joined by /")),
    row("auth[storage].options.createUser", Rule::Flag(|c, on| storage(c).create_user = on)),
    row("auth[storage].options.hash", Rule::Value(|c, node| storage(c).raw_hash.name(node))),
    row(
        "auth[storage].options.iterations",
        count(1, ITERATIONS_MAX, |c, n| storage(c).raw_hash.iterations = Some(n as u32)),
    ),
    row(
        "auth[storage].options.keyLength",
        count(1, KEY_LENGTH_MAX, |c, n| storage(c).raw_hash.key_length = Some(n as usize)),
    ),
    row("auth[storage].options.reportInvalidParameters", Rule::Flag(|c, on| storage(c).raw_report = Some(on))),
];

fn storage(config: &mut Config) -> &mut StorageAuth {
    last(config)
}

fn table(config: &mut Config, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the name of a table: users are the records table/username".to_owned());
    }
    text.clone_into(&mut storage(config).table);
    Ok(())
}

/// Checks what can only be checked once the whole section was read.
fn settle(at: &mut Settling<'_>, method: &mut AuthMethod) {
    if let Some(storage) = method.get_mut::<StorageAuth>() {
        storage.report = at.reports(storage.raw_report);
        storage.hash = at.hash(&storage.raw_hash);
        at.demand("table");
        at.table(&storage.table);
        if !at.all.has_storage {
            let hint = "configure a storage, or another way of logging in";
            at.complain(&[], "there is no storage to keep users in", hint);
        }
    }
}

impl Settling<'_> {
    /// A user is a record right below the table, and of no other entry.
    fn table(&mut self, table: &str) {
        let below = |other: &&String| table.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if let Some(other) = self.all.tables.iter().find(below) {
            let what = format!("the table lies below {other}, in which another entry keeps its users");
            self.complain(&["options", "table"], what, "keep users in tables of which none is below another");
        }
        let name = format!("{table}/user");
        let keeps = self.all.names.as_deref().filter(|_| !table.is_empty());
        if let Some(Err(refusal)) = keeps.map(|keeps| keeps.place(name.as_bytes())) {
            let what = format!("no user can be kept there: of {name}, {refusal}");
            self.complain(&["options", "table"], what, "choose a table whose records storage keeps");
        }
    }
}
