//! The `auth` section: its rows, and what they become.
//!
//! *Owns* the keys of every way of logging in. *Promises* that what is typed here can be started:
//! hashes that no password can give, keys that verify nothing and options that contradict each other are refused.
//! *Does not* judge logins.

use super::methods::{AuthMethod, Claims, FileAuth, HttpAuth, JwtAuth, RawHash, StorageAuth, User};
use super::node::{Node, Step, to_json};
use super::table::{Row, Rule, count, milliseconds, row};
use super::types::Config;
use super::walk::Complaint;
use crate::credentials::{Digest, KeySource, Keys, PasswordHash};
use crate::storage::names::Names;
use std::time::Duration;

/// The rows of the section; see `table`.
pub(crate) static ROWS: &[Row] = &[
    row("auth", Rule::Service { list: true, default: "" }),
    row("auth[none]", Rule::Kind(|c| c.auth.push(AuthMethod::Open))),
    row("auth[none].options.reportInvalidParameters", Rule::Inert("open login has no parameters")),
    row("auth[file]", Rule::Kind(|c| c.auth.push(AuthMethod::File(FileAuth::default())))),
    row("auth[file].options.users", Rule::Tree(users)),
    // The users of release 3's path are loaded before the rows are asked.
    row("auth[file].options.path", Rule::Later("users and path are both given: keep users")),
    row("auth[file].options.hash", Rule::Value(hash)),
    row("auth[file].options.iterations", count(1, ITERATIONS_MAX, iterations)),
    row("auth[file].options.keyLength", count(1, KEY_LENGTH_MAX, key_length)),
    row("auth[file].options.reportInvalidParameters", Rule::Flag(report)),
    row("auth[http]", Rule::Kind(|c| c.auth.push(AuthMethod::Http(HttpAuth::default())))),
    row("auth[http].options.endpointUrl", Rule::Text(endpoint_url)),
    row(
        "auth[http].options.permittedStatusCodes",
        Rule::Value(|c, node| statuses(node).map(|codes| http(c).permitted_status_codes = codes)),
    ),
    row(
        "auth[http].options.requestTimeout",
        milliseconds(1, |c, ms| http(c).request_timeout = Duration::from_millis(ms)),
    ),
    row(
        "auth[http].options.retryStatusCodes",
        Rule::Value(|c, node| statuses(node).map(|codes| http(c).retry_status_codes = codes)),
    ),
    row("auth[http].options.retryAttempts", count(0, 100, |c, n| http(c).retry_attempts = n as u32)),
    row(
        "auth[http].options.retryInterval",
        milliseconds(0, |c, ms| http(c).retry_interval = Duration::from_millis(ms)),
    ),
    row(
        "auth[http].options.promoteToHeader",
        Rule::Texts(|c, node| header_names(node).map(|names| http(c).promote_to_header = names)),
    ),
    row("auth[http].options.idOptional", Rule::Flag(|c, on| http(c).id_optional = on)),
    row("auth[http].options.reportInvalidParameters", Rule::Flag(report)),
    row("auth[storage]", Rule::Kind(|c| c.auth.push(AuthMethod::Storage(StorageAuth::default())))),
    row("auth[storage].options.table", Rule::Text(table)),
    row("auth[storage].options.tableSplitChar", Rule::Inert("table and user are always joined by /")),
    row("auth[storage].options.createUser", Rule::Flag(|c, on| storage(c).create_user = on)),
    row("auth[storage].options.hash", Rule::Value(hash)),
    row("auth[storage].options.iterations", count(1, ITERATIONS_MAX, iterations)),
    row("auth[storage].options.keyLength", count(1, KEY_LENGTH_MAX, key_length)),
    row("auth[storage].options.reportInvalidParameters", Rule::Flag(report)),
    row("auth[jwt]", Rule::Kind(|c| c.auth.push(AuthMethod::Jwt(JwtAuth::default())))),
    row("auth[jwt].options.secret", Rule::Text(|c, text| key(c, KeySource::Secret(text.to_owned())))),
    row("auth[jwt].options.publicKey", Rule::Text(|c, text| key(c, KeySource::Pem(text.to_owned())))),
    row("auth[jwt].options.jwks", Rule::Value(jwks)),
    row("auth[jwt].options.jwksUrl", Rule::Text(jwks_url)),
    row(
        "auth[jwt].options.jwksRefreshInterval",
        milliseconds(1000, |c, ms| jwt(c).refresh_interval = Duration::from_millis(ms)),
    ),
    row(
        "auth[jwt].options.requestTimeout",
        milliseconds(1, |c, ms| jwt(c).request_timeout = Duration::from_millis(ms)),
    ),
    row("auth[jwt].options.algorithms", Rule::Texts(|c, node| texts(node).map(|names| jwt(c).algorithms = names))),
    row("auth[jwt].options.issuer", Rule::Texts(|c, node| texts(node).map(|names| jwt(c).issuer = names))),
    row("auth[jwt].options.audience", Rule::Texts(|c, node| texts(node).map(|names| jwt(c).audience = names))),
    row(
        "auth[jwt].options.clockTolerance",
        milliseconds(0, |c, ms| jwt(c).clock_tolerance = Duration::from_millis(ms)),
    ),
    row("auth[jwt].options.tokenField", Rule::Text(token_field)),
    row("auth[jwt].options.idClaim", Rule::Text(|c, text| claim_path(text).map(|path| jwt(c).id_claim = path))),
    row(
        "auth[jwt].options.serverDataClaims",
        Rule::Value(|c, node| claims(node).map(|claims| jwt(c).server_data = claims)),
    ),
    row(
        "auth[jwt].options.clientDataClaims",
        Rule::Value(|c, node| claims(node).map(|claims| jwt(c).client_data = claims)),
    ),
    row("auth[jwt].options.requireExpiry", Rule::Flag(|c, on| jwt(c).require_expiry = on)),
    row("auth[jwt].options.expiryWarning", milliseconds(0, |c, ms| jwt(c).expiry_warning = Duration::from_millis(ms))),
    row("auth[jwt].options.reportInvalidParameters", Rule::Flag(report)),
];

/// More takes a CPU minutes for one login.
pub const ITERATIONS_MAX: u64 = 100_000_000;
/// Bytes; nobody needs more.
pub const KEY_LENGTH_MAX: u64 = 4096;

/// The entry whose options are being read. Rows are only reached through the entry's kind, which pushed it.
macro_rules! last {
    ($name:ident, $kind:ident, $settings:ty) => {
        fn $name(config: &mut Config) -> &mut $settings {
            if !matches!(config.auth.last(), Some(AuthMethod::$kind(_))) {
                config.auth.push(AuthMethod::$kind(<$settings>::default()));
            }
            match config.auth.last_mut() {
                Some(AuthMethod::$kind(settings)) => settings,
                _ => unreachable!("it was just pushed"),
            }
        }
    };
}

last!(file, File, FileAuth);
last!(http, Http, HttpAuth);
last!(storage, Storage, StorageAuth);
last!(jwt, Jwt, JwtAuth);

fn raw_hash(config: &mut Config) -> &mut RawHash {
    if let Some(AuthMethod::Storage(_)) = config.auth.last() {
        &mut storage(config).raw_hash
    } else {
        &mut file(config).raw_hash
    }
}

fn hash(config: &mut Config, node: &Node) -> Result<(), String> {
    raw_hash(config).digest = match node {
        // Upstream's manual has null or false for passwords in plain text.
        Node::Null | Node::Flag(false) => None,
        Node::Text(name) if Digest::from_name(name).is_some() => Some(name.clone()),
        _ => return Err(format!("false or the name of a hash: {}", Digest::names().join(", "))),
    };
    Ok(())
}

fn iterations(config: &mut Config, number: u64) {
    raw_hash(config).iterations = Some(number as u32);
}

fn key_length(config: &mut Config, number: u64) {
    raw_hash(config).key_length = Some(number as usize);
}

fn report(config: &mut Config, on: bool) {
    match config.auth.last_mut() {
        Some(
            AuthMethod::File(FileAuth { raw_report, .. })
            | AuthMethod::Http(HttpAuth { raw_report, .. })
            | AuthMethod::Storage(StorageAuth { raw_report, .. })
            | AuthMethod::Jwt(JwtAuth { raw_report, .. }),
        ) => *raw_report = Some(on),
        Some(AuthMethod::Open | AuthMethod::Member(_)) | None => {}
    }
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

fn endpoint_url(config: &mut Config, text: &str) -> Result<(), String> {
    web_address(text)?;
    text.clone_into(&mut http(config).endpoint_url);
    Ok(())
}

fn jwks_url(config: &mut Config, text: &str) -> Result<(), String> {
    web_address(text)?;
    key(config, KeySource::Url(text.to_owned()))
}

fn web_address(text: &str) -> Result<(), String> {
    match reqwest::Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(()),
        _ => Err("an address that begins with http:// or https:// and has a host".to_owned()),
    }
}

fn statuses(node: &Node) -> Result<Vec<u16>, String> {
    let expected = || "a list of HTTP status codes, 100 to 599".to_owned();
    let Node::List(items) = node else { return Err(expected()) };
    let code = |item: &Node| match item {
        Node::Integer(code @ 100..=599) => Ok(*code as u16),
        _ => Err(expected()),
    };
    items.iter().map(code).collect()
}

fn header_names(node: &Node) -> Result<Vec<String>, String> {
    let names = if *node == Node::Null { Vec::new() } else { texts(node)? };
    let valid = |name: &String| reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok();
    if names.iter().all(valid) { Ok(names) } else { Err("a list of names that can be HTTP headers".to_owned()) }
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

fn table(config: &mut Config, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the name of a table: users are the records table/username".to_owned());
    }
    text.clone_into(&mut storage(config).table);
    Ok(())
}

fn key(config: &mut Config, source: KeySource) -> Result<(), String> {
    if jwt(config).keys != KeySource::Missing {
        return Err("only one of secret, publicKey, jwks and jwksUrl".to_owned());
    }
    jwt(config).keys = source;
    Ok(())
}

fn jwks(config: &mut Config, node: &Node) -> Result<(), String> {
    match node {
        Node::Map(_) => key(config, KeySource::Jwks(to_json(node))),
        _ => Err("a key set, or fileLoad(keys.json)".to_owned()),
    }
}

fn token_field(config: &mut Config, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the name of the field that is the token".to_owned());
    }
    text.clone_into(&mut jwt(config).token_field);
    Ok(())
}

fn claim_path(text: &str) -> Result<Vec<String>, String> {
    let path: Vec<String> = text.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err("the name of a claim; a.b is the field b of the claim a".to_owned());
    }
    Ok(path)
}

fn claims(node: &Node) -> Result<Claims, String> {
    let expected = || "\"*\" for all, the name of a claim, a list of names, or false".to_owned();
    Ok(match node {
        Node::Flag(false) | Node::Null => Claims::None,
        Node::Text(text) if text == "*" => Claims::All,
        Node::Text(text) => Claims::One(claim_path(text)?),
        Node::List(_) => Claims::Some(texts(node).map_err(|_| expected())?),
        _ => return Err(expected()),
    })
}

impl Config {
    /// The tables in which authentication keeps its users.
    pub fn user_tables(&self) -> impl Iterator<Item = &str> {
        self.auth.iter().filter_map(|method| match method {
            AuthMethod::Storage(storage) => Some(storage.table.as_str()),
            _ => None,
        })
    }
}

/// Checks what can only be checked once the whole section was read.
pub(super) fn settle(root: &Node, config: &mut Config) -> Vec<Complaint> {
    if config.auth.is_empty() {
        config.auth.push(AuthMethod::Open);
        return Vec::new();
    }
    let several = config.auth.len() > 1;
    let memory = config.storage == super::storage::Storage::Memory;
    let tables: Vec<String> = config.user_tables().map(str::to_owned).collect();
    let keeps = config.storage.kept().map(|kept| kept.names());
    let mut complaints = Vec::new();
    for (method, (steps, node)) in config.auth.iter_mut().zip(entries(root)) {
        let mut at = Settling { steps, node, complaints: &mut complaints };
        match method {
            AuthMethod::Open | AuthMethod::Member(_) => {}
            AuthMethod::File(file) => {
                file.report = reports(file.raw_report, several);
                file.hash = at.hash(&file.raw_hash);
                at.users(file);
            }
            AuthMethod::Http(http) => {
                http.report = reports(http.raw_report, several);
                for key in ["endpointUrl", "permittedStatusCodes", "requestTimeout"] {
                    at.demand(key);
                }
            }
            AuthMethod::Storage(storage) => {
                storage.report = reports(storage.raw_report, several);
                storage.hash = at.hash(&storage.raw_hash);
                at.demand("table");
                at.table(&storage.table, &tables, keeps.as_deref());
                if memory {
                    let hint = "configure a storage, or another way of logging in";
                    at.complain(&[], "there is no storage to keep users in", hint);
                }
            }
            AuthMethod::Jwt(jwt) => {
                jwt.report = reports(jwt.raw_report, several);
                at.keys(jwt);
            }
        }
    }
    complaints
}

/// Whether a refusal is final. With several methods it is only if the file says so; else the next one is asked.
fn reports(said: Option<bool>, several: bool) -> bool {
    if several { said == Some(true) } else { said != Some(false) }
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

/// One entry while it is settled.
struct Settling<'a> {
    steps: Vec<Step>,
    node: &'a Node,
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

    /// A user is a record right below the table, and of no other entry.
    fn table(&mut self, table: &str, all: &[String], keeps: Option<&dyn Names>) {
        let below = |other: &String| table.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if let Some(other) = all.iter().find(|other| below(other)) {
            let what = format!("the table lies below {other}, in which another entry keeps its users");
            self.complain(&["options", "table"], what, "keep users in tables of which none is below another");
        }
        let name = format!("{table}/user");
        if let Some(Err(refusal)) = keeps.filter(|_| !table.is_empty()).map(|keeps| keeps.place(name.as_bytes())) {
            let what = format!("no user can be kept there: of {name}, {refusal}");
            self.complain(&["options", "table"], what, "choose a table whose records storage keeps");
        }
    }

    fn demand(&mut self, key: &str) {
        if self.option(key).is_none() {
            self.complain(&["options"], format!("Missing key {key}"), "");
        }
    }

    fn hash(&mut self, raw: &RawHash) -> Option<PasswordHash> {
        let digest = Digest::from_name(raw.digest.as_deref()?)?;
        self.demand("iterations");
        self.demand("keyLength");
        Some(PasswordHash { digest, iterations: raw.iterations?, key_length: raw.key_length? })
    }

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

    fn keys(&mut self, jwt: &JwtAuth) {
        let (key, checked) = match &jwt.keys {
            KeySource::Missing => {
                let what = "tokens cannot be verified without a key";
                return self.complain(&["options"], what, "write one of secret, publicKey, jwks, jwksUrl");
            }
            KeySource::Secret(_) => ("secret", Keys::of(&jwt.keys, &jwt.algorithms)),
            KeySource::Pem(_) => ("publicKey", Keys::of(&jwt.keys, &jwt.algorithms)),
            KeySource::Jwks(_) => ("jwks", Keys::of(&jwt.keys, &jwt.algorithms)),
            KeySource::Url(_) => ("algorithms", Keys::check_algorithms(&jwt.algorithms).map(|()| Keys::default())),
        };
        if let Err(why) = checked {
            self.complain(&["options", key], why, "");
        }
    }
}

/// How the first entry that keeps hashed passwords hashes them. Other faults of the section are ignored: this is asked
/// by the `hash` command, which may be run before the section is complete.
pub(crate) fn hashing(root: &Node) -> Result<Option<PasswordHash>, String> {
    for (_, entry) in entries(root) {
        let Some(options) = entry.get("options") else { continue };
        let kind = entry.get("type").and_then(Node::text).unwrap_or_default();
        let name = options.get("hash").map(Node::typed);
        let Some(Node::Text(name)) = name.filter(|_| ["file", "storage"].contains(&kind.as_str())) else { continue };
        let digest = Digest::from_name(&name).ok_or_else(|| {
            format!("auth.options.hash: {name} is the name of no hash; known are {}", Digest::names().join(", "))
        })?;
        let number = |key: &str, max: u64| match options.get(key).map(Node::typed) {
            Some(Node::Integer(number)) if u64::try_from(number).is_ok_and(|n| (1..=max).contains(&n)) => Ok(number),
            _ => Err(format!("auth.options.{key}: expected a whole number from 1 to {max} beside hash")),
        };
        let iterations = number("iterations", ITERATIONS_MAX)? as u32;
        let key_length = number("keyLength", KEY_LENGTH_MAX)? as usize;
        return Ok(Some(PasswordHash { digest, iterations, key_length }));
    }
    Ok(None)
}
