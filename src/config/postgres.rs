//! PostgreSQL as storage: its settings, and its keys, which are upstream's and those of the client library upstream uses.

use super::node::Node;
use super::storage::{Complain, Storage};
use super::table::{Literal, Row, Rule, count, host_text, milliseconds, row};
use super::types::Config;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::config::Host;

/// `storage` of type `postgres`.
#[derive(Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Name or address of the machine, or the directory of its socket.
    pub host: String,
    /// TCP port, also part of the name of the socket.
    pub port: u16,
    /// The database user.
    pub user: String,
    /// Its password, if any.
    pub password: Option<String>,
    /// The database; by default it has the name of the user.
    pub database: Option<String>,
    /// The schema that holds the tables; made if it does not exist.
    pub schema: String,
    /// The table of names without a slash.
    pub default_table: String,
    /// The role that new tables are given to; `None`: they stay the user's.
    pub role: Option<String>,
    /// Whether new tables keep values as `jsonb`, not as text.
    pub jsonb: bool,
    /// Connections: one writes, the others read.
    pub connections: usize,
    /// How long one try to connect may take.
    pub connect_timeout: Duration,
    /// The name of this client in the database's statistics.
    pub application_name: String,
    /// What is announced to those who LISTEN to the schema.
    pub notifications: PostgresNotifications,
}

/// What is announced with NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresNotifications {
    /// New tables.
    pub create_table: bool,
    /// New rows.
    pub insert: bool,
    /// Changed rows.
    pub update: bool,
    /// Removed rows.
    pub delete: bool,
}

impl PostgresNotifications {
    /// Whether rows announce anything.
    pub fn of_rows(self) -> bool {
        self.insert || self.update || self.delete
    }
}

const SILENT: PostgresNotifications =
    PostgresNotifications { create_table: false, insert: false, update: false, delete: false };

impl Default for Postgres {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 5432,
            user: String::new(),
            password: None,
            database: None,
            schema: "ds".to_owned(),
            default_table: "default".to_owned(),
            role: None,
            jsonb: false,
            connections: 3,
            connect_timeout: Duration::from_secs(5),
            application_name: "deepstream".to_owned(),
            notifications: PostgresNotifications { create_table: true, insert: true, update: true, delete: true },
        }
    }
}

// Written by hand, so that a logged configuration shows no password.
impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Postgres {
    /// The database's name.
    pub fn database(&self) -> &str {
        self.database.as_deref().unwrap_or(&self.user)
    }

    /// Which database this is, for people.
    pub fn place(&self) -> String {
        format!("{} at {}:{}", self.database(), self.host, self.port)
    }
}

const POOL: &str = "connections are kept";
const PACE: &str = "a batch is committed as soon as the one before it is";
const OLD_TABLE: &str = "this key is from an old release: write defaultTable in place of table.defaultName; a prefix of \
                         tables is not supported, use a schema of its own";

pub(super) static ROWS: [&[Row]; 1] = [&[
    row("storage[postgres]", Rule::Kind(|c| c.storage = Storage::of(Postgres::default()))),
    row("storage[postgres].options.connectionString", Rule::Text(connection_string)),
    row("storage[postgres].options.host", Rule::Text(host)),
    row("storage[postgres].options.port", count(1, 65_535, |c, port| with(c, |p| p.port = port as u16))),
    row("storage[postgres].options.user", Rule::Text(|c, text| name(c, text, |p, text| p.user = text))),
    row("storage[postgres].options.password", Rule::Texts(password)),
    row("storage[postgres].options.database", Rule::Text(|c, text| name(c, text, |p, text| p.database = Some(text)))),
    row("storage[postgres].options.schema", Rule::Text(|c, text| name(c, text, |p, text| p.schema = text))),
    row(
        "storage[postgres].options.defaultTable",
        Rule::Text(|c, text| name(c, text, |p, text| p.default_table = text)),
    ),
    row("storage[postgres].options.role", Rule::Text(|c, text| name(c, text, |p, text| p.role = Some(text)))),
    row("storage[postgres].options.useJsonb", Rule::Flag(|c, on| with(c, |p| p.jsonb = on))),
    row("storage[postgres].options.max", count(2, 64, |c, n| with(c, |p| p.connections = n as usize))),
    row(
        "storage[postgres].options.connectionTimeoutMillis",
        milliseconds(1, |c, ms| with(c, |p| p.connect_timeout = Duration::from_millis(ms))),
    ),
    row(
        "storage[postgres].options.application_name",
        Rule::Text(|c, text| name(c, text, |p, text| p.application_name = text)),
    ),
    // If given, it replaces all defaults, as in upstream.
    row("storage[postgres].options.notifications", Rule::Value(notifications)),
    // Known to upstream or its client library, without a meaning here.
    row("storage[postgres].options.splitChar", Rule::Value(split_char)),
    row("storage[postgres].options.writeInterval", Rule::Inert(PACE)),
    row("storage[postgres].options.idleTimeoutMillis", Rule::Inert(POOL)),
    row("storage[postgres].options.min", Rule::Inert(POOL)),
    row("storage[postgres].options.allowExitOnIdle", Rule::Inert(POOL)),
    row("storage[postgres].options.keepAlive", Rule::Inert("connections are always watched")),
    row("storage[postgres].options.keepAliveInitialDelayMillis", Rule::Inert("connections are always watched")),
    row(
        "storage[postgres].options.ssl",
        Rule::Only {
            values: &[Literal::Flag(false), Literal::Null],
            why: "connections are not encrypted",
            refusal: "connections to the database cannot be encrypted in this release: use the directory of its socket \
                      as host, or a tunnel, and leave it out",
        },
    ),
    row("storage[postgres].options.table", Rule::Later(OLD_TABLE)),
]];

fn with(config: &mut Config, set: impl FnOnce(&mut Postgres)) {
    config.storage.change(set);
}

fn name(config: &mut Config, text: &str, set: impl FnOnce(&mut Postgres, String)) -> Result<(), String> {
    // The database would silently truncate a longer one.
    if text.is_empty() || text.len() > 63 || text.contains(['\0', '"']) {
        return Err("a name of 1 to 63 bytes without quotes".to_owned());
    }
    with(config, |postgres| set(postgres, text.to_owned()));
    Ok(())
}

fn host(config: &mut Config, text: &str) -> Result<(), String> {
    let mut host = String::new();
    host_text(text, &mut host)?;
    with(config, |postgres| postgres.host = host);
    Ok(())
}

fn password(config: &mut Config, node: &Node) -> Result<(), String> {
    let password = match node {
        Node::Text(text) => Some(text.clone()),
        Node::Null => None,
        _ => return Err("text".to_owned()),
    };
    with(config, |postgres| postgres.password = password);
    Ok(())
}

fn split_char(_: &mut Config, node: &Node) -> Result<(), String> {
    match node {
        Node::Text(text) if text == "/" => Ok(()),
        // Upstream reads the key and splits at slashes whatever it says.
        _ => Err("\"/\", the only character at which names are split into table and id".to_owned()),
    }
}

fn connection_string(config: &mut Config, text: &str) -> Result<(), String> {
    let expected = || "postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned();
    let parsed: tokio_postgres::Config = text.parse().map_err(|_| expected())?;
    let host = match parsed.get_hosts() {
        [] => None,
        [Host::Tcp(host)] => Some(host.clone()),
        [Host::Unix(path)] => Some(path.to_str().ok_or_else(expected)?.to_owned()),
        _ => return Err(format!("{}, with one host", expected())),
    };
    let password = parsed.get_password().map(|password| String::from_utf8(password.to_vec()));
    let password = password.transpose().map_err(|_| expected())?;
    with(config, |postgres| {
        postgres.host = host.unwrap_or_else(|| std::mem::take(&mut postgres.host));
        postgres.port = parsed.get_ports().first().copied().unwrap_or(postgres.port);
        postgres.user = parsed.get_user().map_or_else(|| std::mem::take(&mut postgres.user), str::to_owned);
        postgres.password = password.or_else(|| postgres.password.take());
        postgres.database = parsed.get_dbname().map(str::to_owned).or_else(|| postgres.database.take());
    });
    Ok(())
}

fn notifications(config: &mut Config, node: &Node) -> Result<(), String> {
    let known = || "CREATE_TABLE, DESTROY_TABLE, INSERT, UPDATE and DELETE, each true or false".to_owned();
    let Node::Map(entries) = node else { return Err(known()) };
    let mut wanted = SILENT;
    for (key, value) in entries {
        let Node::Flag(on) = value else { return Err(format!("{}, {key} too", known())) };
        match key.as_str() {
            "CREATE_TABLE" => wanted.create_table = *on,
            "INSERT" => wanted.insert = *on,
            "UPDATE" => wanted.update = *on,
            "DELETE" => wanted.delete = *on,
            // Tables are never dropped, so there is nothing to announce.
            "DESTROY_TABLE" => {}
            _ => return Err(format!("{}, not {key}", known())),
        }
    }
    with(config, |postgres| postgres.notifications = wanted);
    Ok(())
}

/// Checks what can only be checked once everything was read.
pub(super) fn settle(_: &Path, _: &Node, config: &mut Config, complain: &mut Complain<'_>) {
    with(config, |postgres| {
        if postgres.user.is_empty() {
            let hint = "write user, password, host and database into its options, or a connectionString";
            complain(&["storage"], "postgres has no user to log in with", hint);
        }
    });
}
