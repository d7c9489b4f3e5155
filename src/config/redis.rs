//! Redis as storage or cache: its settings, and its keys, which are upstream's and those of the client library upstream uses.

use super::node::Node;
use super::storage::{Complain, Storage};
use super::table::{Row, Rule, count, host_text, milliseconds, pem, row};
use super::text;
use super::types::{ClientTls, Config, Pem};
use crate::storage::Connector;
use redis::{ConnectionAddr, IntoConnectionInfo};
use std::path::Path;
use std::time::Duration;

/// `storage` or `cache` of type `redis`.
#[derive(Clone, PartialEq, Eq)]
pub struct Redis {
    /// Name or address of the machine.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name and port of sentinels, which say where the server is; if there are any, `host` and `port` say nothing.
    pub sentinels: Vec<(String, u16)>,
    /// What the sentinels call it.
    pub watched_as: Option<String>,
    /// The user of the sentinels, if they let not everybody ask.
    pub sentinel_username: Option<String>,
    /// The password of the sentinels.
    pub sentinel_password: Option<String>,
    /// The user of an access list; `None`: the default user.
    pub username: Option<String>,
    /// The password, if any.
    pub password: Option<String>,
    /// Number of the database.
    pub database: u32,
    /// Whether and how the connection is encrypted.
    pub tls: Option<ClientTls>,
    /// Seconds after which a record that was not written again is forgotten; `None`: never.
    pub ttl: Option<u32>,
    /// What all keys begin with.
    pub key_prefix: String,
    /// How long one try to connect may take.
    pub connect_timeout: Duration,
    /// How long Redis may take for one answer; then the connection is given up.
    pub command_timeout: Duration,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 6379,
            sentinels: Vec::new(),
            watched_as: None,
            sentinel_username: None,
            sentinel_password: None,
            username: None,
            password: None,
            database: 0,
            tls: None,
            ttl: None,
            key_prefix: String::new(),
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(5),
        }
    }
}

// Written by hand, so that a logged configuration shows no password.
impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Redis {
    /// Which database this is, for people.
    pub fn place(&self) -> String {
        match (&self.watched_as, self.sentinels.first()) {
            (Some(name), Some((host, port))) => format!("{} of {name} behind {host}:{port}", self.database),
            _ => format!("{} at {}:{}", self.database, self.host, self.port),
        }
    }
}

/// Databases are numbered; a server may be built for more than the usual 16.
const DATABASE_MAX: u64 = 1 << 20;
/// Longer prefixes are typing errors.
const PREFIX_BYTES_MAX: usize = 1024;
/// A year.
const TTL_MAX: u64 = 365 * 86_400;

/// Where sentinels are, unless it is said.
const SENTINEL_PORT: u16 = 26379;

const CLUSTER: &str = "Redis Cluster is not in this release: write host and port of one server";
const CONNECTION: &str = "a connection that ends is opened again by itself, and what waits for it is kept";
const SOCKET: &str = "it says how another client library uses its connection";
const SOCKET_FILE: &str = "write host and port: the socket of a directory cannot be used in this release";

/// The keys below an entry of this path, whose settings are found so.
macro_rules! keys {
    ($at:literal, $of:path, $enter:expr) => {
        &[
            row($at, Rule::Kind($enter)),
            row(concat!($at, ".options.url"), Rule::Text(|c, text| url($of(c), text))),
            row(concat!($at, ".options.host"), Rule::Text(|c, text| host($of(c), text))),
            row(concat!($at, ".options.port"), count(1, 65_535, |c, port| with($of(c), |r| r.port = port as u16))),
            row(
                concat!($at, ".options.username"),
                Rule::Texts(|c, node| secret($of(c), node, |r, name| r.username = name)),
            ),
            row(
                concat!($at, ".options.password"),
                Rule::Texts(|c, node| secret($of(c), node, |r, word| r.password = word)),
            ),
            row(concat!($at, ".options.db"), count(0, DATABASE_MAX, |c, db| with($of(c), |r| r.database = db as u32))),
            row(concat!($at, ".options.sentinels"), Rule::Tree(|c, node| sentinels($of(c), node))),
            row(concat!($at, ".options.name"), Rule::Text(|c, text| watched_as($of(c), text))),
            row(
                concat!($at, ".options.sentinelUsername"),
                Rule::Texts(|c, node| secret($of(c), node, |r, name| r.sentinel_username = name)),
            ),
            row(
                concat!($at, ".options.sentinelPassword"),
                Rule::Texts(|c, node| secret($of(c), node, |r, word| r.sentinel_password = word)),
            ),
            row(concat!($at, ".options.tls"), Rule::Tree(|c, node| tls($of(c), node))),
            row(
                concat!($at, ".options.ttl"),
                count(1, TTL_MAX, |c, seconds| with($of(c), |r| r.ttl = Some(seconds as u32))),
            ),
            row(concat!($at, ".options.keyPrefix"), Rule::Text(|c, text| prefix($of(c), text))),
            row(
                concat!($at, ".options.connectTimeout"),
                milliseconds(1, |c, ms| with($of(c), |r| r.connect_timeout = Duration::from_millis(ms))),
            ),
            row(
                concat!($at, ".options.commandTimeout"),
                milliseconds(1, |c, ms| with($of(c), |r| r.command_timeout = Duration::from_millis(ms))),
            ),
            // The same once more, where upstream expects it beside `nodes`.
            row(concat!($at, ".options.redisOptions"), Rule::Section),
            row(
                concat!($at, ".options.redisOptions.username"),
                Rule::Texts(|c, node| secret($of(c), node, |r, name| r.username = name)),
            ),
            row(
                concat!($at, ".options.redisOptions.password"),
                Rule::Texts(|c, node| secret($of(c), node, |r, word| r.password = word)),
            ),
            row(
                concat!($at, ".options.redisOptions.db"),
                count(0, DATABASE_MAX, |c, db| with($of(c), |r| r.database = db as u32)),
            ),
            row(concat!($at, ".options.redisOptions.tls"), Rule::Tree(|c, node| tls($of(c), node))),
            // Known to upstream or its client library, without a meaning here.
            row(concat!($at, ".options.maxRedirections"), Rule::Inert("one server sends nobody elsewhere")),
            row(concat!($at, ".options.lazyConnect"), Rule::Inert("the server starts once it is connected")),
            row(concat!($at, ".options.retryStrategy"), Rule::Inert(CONNECTION)),
            row(concat!($at, ".options.reconnectOnError"), Rule::Inert(CONNECTION)),
            row(concat!($at, ".options.maxRetriesPerRequest"), Rule::Inert(CONNECTION)),
            row(concat!($at, ".options.enableOfflineQueue"), Rule::Inert(CONNECTION)),
            row(
                concat!($at, ".options.enableReadyCheck"),
                Rule::Inert("a server that still loads its data is waited for"),
            ),
            row(concat!($at, ".options.autoResendUnfulfilledCommands"), Rule::Inert(CONNECTION)),
            row(concat!($at, ".options.keepAlive"), Rule::Inert("connections are always watched")),
            row(concat!($at, ".options.noDelay"), Rule::Inert(SOCKET)),
            row(concat!($at, ".options.family"), Rule::Inert(SOCKET)),
            row(concat!($at, ".options.connectionName"), Rule::Inert(SOCKET)),
            row(concat!($at, ".options.dropBufferSupport"), Rule::Inert(SOCKET)),
            row(concat!($at, ".options.stringNumbers"), Rule::Inert(SOCKET)),
            row(concat!($at, ".options.showFriendlyErrorStack"), Rule::Inert(SOCKET)),
            // What it cannot do yet.
            row(concat!($at, ".options.nodes"), Rule::Later(CLUSTER)),
            row(concat!($at, ".options.path"), Rule::Later(SOCKET_FILE)),
        ]
    };
}

static OF_STORAGE: &[Row] = keys!("storage[redis]", of_storage, |c| c.storage = Storage::of(Redis::default()));
static OF_CACHE: &[Row] = keys!("cache[redis]", of_cache, |c| c.cache = Some(Connector::of(Redis::default())));

pub(super) static ROWS: [&[Row]; 2] = [OF_STORAGE, OF_CACHE];

fn of_storage(config: &mut Config) -> Option<&mut Redis> {
    config.storage.kept_mut().and_then(Connector::get_mut)
}

fn of_cache(config: &mut Config) -> Option<&mut Redis> {
    config.cache.as_mut().and_then(Connector::get_mut)
}

fn with(redis: Option<&mut Redis>, set: impl FnOnce(&mut Redis)) {
    if let Some(redis) = redis {
        set(redis);
    }
}

fn host(redis: Option<&mut Redis>, text: &str) -> Result<(), String> {
    let mut host = String::new();
    host_text(text, &mut host)?;
    with(redis, |redis| redis.host = host);
    Ok(())
}

fn secret(redis: Option<&mut Redis>, node: &Node, set: impl FnOnce(&mut Redis, Option<String>)) -> Result<(), String> {
    let text = match node {
        Node::Text(text) => Some(text.clone()),
        Node::Null => None,
        _ => return Err("text".to_owned()),
    };
    with(redis, |redis| set(redis, text));
    Ok(())
}

fn watched_as(redis: Option<&mut Redis>, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("what the sentinels call the server".to_owned());
    }
    with(redis, |redis| redis.watched_as = Some(text.to_owned()));
    Ok(())
}

fn sentinels(redis: Option<&mut Redis>, node: &Node) -> Result<(), String> {
    let known = || "a list of sentinels, each a host and a port: {host: db-1, port: 26379}".to_owned();
    let Node::List(items) = node.typed() else { return Err(known()) };
    let read = items.iter().map(|item| {
        let Node::Map(entries) = item else { return Err(known()) };
        let (mut host, mut port) = (String::new(), SENTINEL_PORT);
        for (key, value) in entries {
            match (key.as_str(), value) {
                ("host", Node::Text(text)) => host_text(text, &mut host)?,
                ("port", Node::Integer(number)) => port = u16::try_from(*number).map_err(|_| known())?,
                _ => return Err(known()),
            }
        }
        if host.is_empty() || port == 0 { Err(known()) } else { Ok((host, port)) }
    });
    let found = read.collect::<Result<Vec<_>, _>>()?;
    with(redis, |redis| redis.sentinels = found);
    Ok(())
}

fn prefix(redis: Option<&mut Redis>, text: &str) -> Result<(), String> {
    if text.len() > PREFIX_BYTES_MAX {
        return Err(format!("a text of at most {PREFIX_BYTES_MAX} bytes"));
    }
    with(redis, |redis| text.clone_into(&mut redis.key_prefix));
    Ok(())
}

fn url(redis: Option<&mut Redis>, text: &str) -> Result<(), String> {
    let expected = || "redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for an encrypted connection".to_owned();
    let parsed = text.into_connection_info().map_err(|_| expected())?;
    let (host, port, encrypted) = match parsed.addr() {
        ConnectionAddr::Tcp(host, port) => (host.clone(), *port, false),
        ConnectionAddr::TcpTls { host, port, insecure: false, .. } => (host.clone(), *port, true),
        _ => return Err(expected()),
    };
    let (of_user, named) = (parsed.redis_settings(), names_a_database(text));
    let database = u32::try_from(of_user.db()).map_err(|_| expected())?;
    with(redis, |redis| {
        (redis.host, redis.port) = (host, port);
        redis.username = of_user.username().map(str::to_owned).or_else(|| redis.username.take());
        redis.password = of_user.password().map(str::to_owned).or_else(|| redis.password.take());
        if named {
            redis.database = database;
        }
        if encrypted {
            redis.tls.get_or_insert_default();
        }
    });
    Ok(())
}

fn names_a_database(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/').is_some_and(|(_, path)| path.starts_with(|c: char| c.is_ascii_digit()))
}

fn tls(redis: Option<&mut Redis>, node: &Node) -> Result<(), String> {
    let known = || "true, false, or ca, cert and key, each a PEM text or the path of a file".to_owned();
    let wanted = match &node.typed() {
        Node::Flag(true) => Some(ClientTls::default()),
        Node::Flag(false) | Node::Null => None,
        Node::Map(entries) => {
            let mut wanted = ClientTls::default();
            for (key, value) in entries {
                let slot = match key.as_str() {
                    "ca" => &mut wanted.authority,
                    "cert" => &mut wanted.certificate,
                    "key" => &mut wanted.key,
                    "rejectUnauthorized" if *value == Node::Flag(true) => continue,
                    "rejectUnauthorized" => {
                        return Err("a server whose certificate is checked: write its authority as ca".to_owned());
                    }
                    "servername" => {
                        return Err("a certificate for the name in host: write that name there".to_owned());
                    }
                    _ => return Err(format!("{}, not {key}", known())),
                };
                let Node::Text(text) = value else { return Err(known()) };
                pem(text, slot.get_or_insert_default())?;
            }
            Some(wanted)
        }
        _ => return Err(known()),
    };
    with(redis, |redis| redis.tls = wanted);
    Ok(())
}

/// Checks what can only be checked once everything was read.
pub(super) fn settle(file: &Path, _: &Node, config: &mut Config, complain: &mut Complain<'_>) {
    let directory = file.parent().unwrap_or(Path::new(""));
    for section in ["storage", "cache"] {
        let found = if section == "cache" { of_cache(config) } else { of_storage(config) };
        let Some(redis) = found else { continue };
        if redis.username.is_some() && redis.password.is_none() {
            complain(&[section], "redis has a username without a password", "write password beside it");
        }
        if redis.sentinels.is_empty() != redis.watched_as.is_none() {
            complain(&[section], "redis has one of sentinels and name", "write both, or neither");
        }
        let Some(tls) = &mut redis.tls else { continue };
        if tls.certificate.is_some() != tls.key.is_some() {
            complain(&[section], "tls of redis has one of cert and key", "write both, or neither");
        }
        for pem in [&mut tls.authority, &mut tls.certificate, &mut tls.key].into_iter().flatten() {
            if let Pem::File(path) = pem {
                *path = text::absolute(&directory.join(&*path));
            }
        }
    }
}
