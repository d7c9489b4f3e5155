//! THE TABLE: every key this server knows, and what becomes of it.
//!
//! *Owns* the list of keys. A key has an effect (its row says where the value goes), is accepted without meaning (its
//! row says why that is harmless), or is refused because what it asks for does not exist here (its row says so in a
//! sentence). *Promises* that a later feature changes its rows and nothing else in this module.
//!
//! Paths are written as in the file; `auth[file]` is the entry of `auth` whose `type` (or `name`) is `file`.

use super::cpulist;
use super::node::Node;
use super::storage::Storage;
use super::types::{Config, CpuChoice, LatencyProfile, Pem, Protocol, Tls, WebSocketEndpoint};
use deepstream_engine::Visibility;
use std::path::PathBuf;
use std::time::Duration;

/// One key.
pub(crate) struct Row {
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
}

/// What becomes of a key.
pub(crate) enum Rule {
    /// Honoured: keys below it have rows of their own.
    Section,
    /// Honoured: one entry with `type` or `name`, or (`list`) several; entries have rows of their own.
    Service { list: bool, default: &'static str },
    /// Honoured: an entry of a service.
    Kind(fn(&mut Config)),
    /// Honoured: true or false.
    Flag(fn(&mut Config, bool)),
    /// Honoured: a whole number within bounds.
    Number { min: u64, max: u64, unit: &'static str, set: fn(&mut Config, u64) },
    /// Honoured: text with rules of its own; a number counts as text, as written. The error says what is expected instead.
    Text(fn(&mut Config, &str) -> Result<(), String>),
    /// Honoured: a value of a shape of its own. The error says what is expected instead.
    Value(fn(&mut Config, &Node) -> Result<(), String>),
    /// The same, but every scalar below is given as a text.
    Texts(fn(&mut Config, &Node) -> Result<(), String>),
    /// The same, but nodes are given as they were read, because some scalars below are texts and others are not.
    Tree(fn(&mut Config, &Node) -> Result<(), String>),
    /// Accepted without meaning, whatever the value; the text says why.
    Inert(&'static str),
    /// Accepted without meaning if the value is one of these; else refused with the sentence.
    Only { values: &'static [Literal], why: &'static str, refusal: &'static str },
    /// Refused with the sentence.
    Later(&'static str),
}

/// A value that can be written in a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Literal {
    Null,
    Flag(bool),
    Nothing,
}

impl Literal {
    pub(crate) fn is(self, node: &Node) -> bool {
        match (self, node) {
            (Literal::Null, Node::Null) => true,
            (Literal::Flag(wanted), Node::Flag(value)) => wanted == *value,
            (Literal::Nothing, Node::Map(entries)) => entries.is_empty(),
            (Literal::Nothing, Node::List(items)) => items.is_empty(),
            _ => false,
        }
    }
}

impl Rule {
    /// Whether the value of this key changes what the server does.
    pub(crate) fn is_honoured(&self) -> bool {
        !matches!(self, Rule::Inert(_) | Rule::Only { .. } | Rule::Later(_))
    }
}

pub(super) const fn row(path: &'static str, rule: Rule) -> Row {
    Row { path, rule }
}

pub(super) const fn bytes(min: u64, max: u64, set: fn(&mut Config, u64)) -> Rule {
    Rule::Number { min, max, unit: "bytes", set }
}

pub(super) const fn milliseconds(min: u64, set: fn(&mut Config, u64)) -> Rule {
    Rule::Number { min, max: TIMEOUT_MS_MAX, unit: "milliseconds", set }
}

pub(super) const fn count(min: u64, max: u64, set: fn(&mut Config, u64)) -> Rule {
    Rule::Number { min, max, unit: "", set }
}

/// Timeouts beyond this are typing errors: a year.
const TIMEOUT_MS_MAX: u64 = 365 * 86_400_000;
/// Byte counts beyond this are typing errors: a pebibyte.
const BYTES_MAX: u64 = 1 << 50;
/// Lengths on the wire are 31 bits.
pub(super) const MESSAGE_BYTES_MAX: u64 = (1 << 31) - 1;
const COUNT_MAX: u64 = u32::MAX as u64;
/// Deeper values are dangerous where they are followed by recursion, here and in clients.
pub(crate) const NESTING_MAX: u64 = 1000;

const CONNECTOR: &str =
    "connectors to other databases are not in this release: use the embedded storage, postgres or redis";
const CLUSTER: &str = "clusters are not in this release: one server uses all cores of its machine by itself";
const MONITORING: &str = "monitoring output is not in this release: leave it at none";
const NODE: &str = "JavaScript plugins cannot be loaded by this server";
const ONE_PROCESS: &str = "a single server has nobody to agree with";
const OLD: &str = "this key is from an old release";

/// All keys.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .chain(super::logger::ROWS)
        .chain(super::auth::rows())
        .chain(super::web::ROWS)
        .chain(super::permissions::ROWS)
        .chain(super::mqtt::ROWS)
        .chain(super::storage::rows())
}

static ROWS: &[Row] = &[
    // The server.
    row("serverName", Rule::Text(server_name)),
    row("showLogo", Rule::Inert("there is no logo")),
    row("libDir", Rule::Inert("there are no plugins to load")),
    row(
        "dependencyInitializationTimeout",
        milliseconds(1000, |c, ms| c.initialization_timeout = Duration::from_millis(ms)),
    ),
    row("exitOnFatalError", Rule::Inert("a fatal error always ends the process")),
    row("plugins", Rule::Only { values: &[Literal::Null, Literal::Nothing], why: "no plugin is named", refusal: NODE }),
    row("enabledFeatures", Rule::Section),
    row("enabledFeatures.event", Rule::Flag(|c, on| c.features.event = on)),
    row("enabledFeatures.record", Rule::Flag(|c, on| c.features.record = on)),
    row("enabledFeatures.rpc", Rule::Flag(|c, on| c.features.rpc = on)),
    row("enabledFeatures.presence", Rule::Flag(|c, on| c.features.presence = on)),
    row("enabledFeatures.monitoring", off("monitoring is not in this release: set it to false or leave it out")),
    // The listening socket.
    row("httpServer", Rule::Service { list: false, default: "default" }),
    row("httpServer[default]", Rule::Kind(|_| ())),
    row("httpServer[uws]", Rule::Kind(|_| ())),
    row("httpServer[*].options.host", Rule::Text(host)),
    row("httpServer[*].options.protectedMode", Rule::Flag(|c, on| c.http.protected_mode = on)),
    row("httpServer[*].options.port", count(1, 65_535, |c, port| c.http.port = port as u16)),
    row("httpServer[*].options.healthCheckPath", Rule::Text(health_check_path)),
    row(
        "httpServer[*].options.maxBackpressure",
        bytes(4096, BYTES_MAX, |c, bytes| c.limits.outbox_bytes_max = bytes as usize),
    ),
    row(
        "httpServer[*].options.maxMessageSize",
        bytes(128, MESSAGE_BYTES_MAX, |c, bytes| c.http.body_bytes_max = bytes as usize),
    ),
    row("httpServer[*].options.headers", Rule::Texts(headers)),
    row("httpServer[*].options.ssl", Rule::Section),
    row("httpServer[*].options.ssl.key", Rule::Text(|c, text| pem(text, &mut tls(c).key))),
    row("httpServer[*].options.ssl.cert", Rule::Text(|c, text| pem(text, &mut tls(c).certificate))),
    row(
        "httpServer[*].options.ssl.ca",
        Rule::Text(|c, text| pem(text, tls(c).client_authority.get_or_insert_with(Pem::default))),
    ),
    row("httpServer[*].options.ssl.port", count(1, 65_535, |c, port| tls(c).port = Some(port as u16))),
    row("httpServer[*].options.ssl.dhParams", Rule::Inert("keys are agreed on over elliptic curves only")),
    row(
        "httpServer[*].options.ssl.passphrase",
        Rule::Only {
            values: &[Literal::Null],
            why: "the key is not encrypted",
            refusal: "encrypted keys cannot be read: decrypt it (openssl pkey -in key.pem -out plain.pem)",
        },
    ),
    // Endpoints.
    row("connectionEndpoints", Rule::Service { list: true, default: "" }),
    row("connectionEndpoints[ws-binary]", Rule::Kind(|c| enter(c, Protocol::Binary))),
    row("connectionEndpoints[ws-text]", Rule::Kind(|c| enter(c, Protocol::Text))),
    row("connectionEndpoints[ws-json]", Rule::Kind(|c| enter(c, Protocol::Json))),
    row("connectionEndpoints[ws-*].options.urlPath", Rule::Text(url_path)),
    row(
        "connectionEndpoints[ws-*].options.heartbeatInterval",
        milliseconds(1, |c, ms| endpoint(c).heartbeat_interval = Duration::from_millis(ms)),
    ),
    row("connectionEndpoints[ws-*].options.unauthenticatedClientTimeout", Rule::Value(unauthenticated_timeout)),
    row(
        "connectionEndpoints[ws-*].options.maxAuthAttempts",
        count(1, COUNT_MAX, |c, attempts| endpoint(c).max_auth_attempts = attempts as u32),
    ),
    row(
        "connectionEndpoints[ws-*].options.logInvalidAuthData",
        Rule::Flag(|c, on| endpoint(c).log_invalid_auth_data = on),
    ),
    row(
        "connectionEndpoints[ws-text].options.textAfterSilence",
        milliseconds(0, |c, ms| endpoint(c).text_after_silence_ms = u32::try_from(ms).unwrap_or(u32::MAX)),
    ),
    row(
        "connectionEndpoints[ws-*].options.maxMessageSize",
        bytes(128, MESSAGE_BYTES_MAX, |c, bytes| endpoint(c).max_message_bytes = bytes as usize),
    ),
    row(
        "connectionEndpoints[ws-*].options.outgoingBufferTimeout",
        Rule::Inert("what a turn of the server produced for a socket is sent together at its end"),
    ),
    row(
        "connectionEndpoints[ws-*].options.maxBufferByteSize",
        Rule::Inert("what a turn of the server produced for a socket is sent together at its end"),
    ),
    row("connectionEndpoints[ws-*].options.headers", Rule::Texts(headers)),
    row("connectionEndpoints[ws-*].options.noDelay", Rule::Inert("small sends are never delayed")),
    row(
        "connectionEndpoints[ws-*].options.perMessageDeflate",
        Rule::Only {
            values: &[Literal::Flag(false), Literal::Null],
            why: "frames are never compressed",
            refusal: "frames are never compressed: set it to false or leave it out",
        },
    ),
    // Calls.
    row("rpc", Rule::Section),
    row("rpc.ackTimeout", milliseconds(1, |c, ms| c.rpc.ack_timeout = Duration::from_millis(ms))),
    row("rpc.responseTimeout", milliseconds(1, |c, ms| c.rpc.response_timeout = Duration::from_millis(ms))),
    row("rpc.provideRequestorName", Rule::Flag(|c, on| c.rpc.provide_requestor_name = on)),
    row("rpc.provideRequestorData", Rule::Flag(|c, on| c.rpc.provide_requestor_data = on)),
    // Listening.
    row("listen", Rule::Section),
    row("listen.shuffleProviders", Rule::Flag(|c, on| c.listen.shuffle_providers = on)),
    row("listen.responseTimeout", milliseconds(1, |c, ms| c.listen.response_timeout = Duration::from_millis(ms))),
    row("listen.rematchInterval", milliseconds(0, |c, ms| c.listen.rematch_interval = rematch_interval(ms))),
    row("listen.matchCooldown", milliseconds(0, |c, ms| c.listen.match_cooldown = Duration::from_millis(ms))),
    // Records.
    row("record", Rule::Section),
    row(
        "record.storageRetrievalTimeout",
        milliseconds(1, |c, ms| c.record.storage_retrieval_timeout = Duration::from_millis(ms)),
    ),
    row(
        "record.storageExclusionPrefixes",
        Rule::Texts(|c, node| prefixes(node, &mut c.record.storage_exclusion_prefixes)),
    ),
    row(
        "record.storageHotPathPrefixes",
        Rule::Texts(|c, node| prefixes(node, &mut c.record.storage_hot_path_prefixes)),
    ),
    row("record.visibility", Rule::Text(visibility)),
    row("record.memoryBytesMax", bytes(1 << 20, BYTES_MAX, |c, bytes| c.record.memory_bytes_max = bytes as usize)),
    row("record.cacheRetrievalTimeout", Rule::Inert("a cache has 250 ms, then the storage alone is asked")),
    row("cache", Rule::Service { list: false, default: "default" }),
    row("cache[default]", Rule::Kind(|_| ())),
    row("cache[memcached]", Rule::Later(CONNECTOR)),
    row("cache[hazelcast]", Rule::Later(CONNECTOR)),
    row("storage", Rule::Service { list: false, default: "default" }),
    row("storage[memory]", Rule::Kind(|c| c.storage = Storage::Memory)),
    row("storage[mongodb]", Rule::Later(CONNECTOR)),
    row("storage[rethinkdb]", Rule::Later(CONNECTOR)),
    row("storage[elasticsearch]", Rule::Later(CONNECTOR)),
    // Cores and limits: our own.
    row("cores", Rule::Section),
    row("cores.shards", Rule::Value(shards)),
    row("cores.services", Rule::Value(services)),
    row("cores.allowOverlap", Rule::Flag(|c, on| c.cores.allow_overlap = on)),
    row("cores.count", count(1, super::placement::SHARDS_MAX as u64, |c, count| c.cores.count = Some(count as usize))),
    row("cores.pin", Rule::Flag(|c, on| c.cores.pin = on)),
    row("cores.latencyProfile", Rule::Text(latency_profile)),
    row("limits", Rule::Section),
    row("limits.connectionsMax", count(1, COUNT_MAX, |c, n| c.limits.connections_max = n as usize)),
    row("limits.authDataBytesMax", bytes(128, MESSAGE_BYTES_MAX, |c, n| c.limits.auth_data_bytes_max = n as usize)),
    row("limits.loginsMax", count(1, COUNT_MAX, |c, n| c.limits.logins_max = n as usize)),
    row("limits.loginBytesMax", bytes(4096, BYTES_MAX, |c, n| c.limits.login_bytes_max = n as usize)),
    row(
        "limits.refusedLoginsPerAddressMax",
        count(0, COUNT_MAX, |c, n| c.limits.refused_logins_per_address_max = n as u32),
    ),
    row("limits.refusedLoginsPerUserMax", count(0, COUNT_MAX, |c, n| c.limits.refused_logins_per_user_max = n as u32)),
    row(
        "limits.refusedLoginsWindowMs",
        milliseconds(1000, |c, ms| c.limits.refused_logins_window = Duration::from_millis(ms)),
    ),
    row("limits.loginDelayMaxMs", milliseconds(0, |c, ms| c.limits.login_delay_max = Duration::from_millis(ms))),
    row("limits.webhooksMax", count(1, 100_000, |c, n| c.limits.webhooks_max = n as usize)),
    row("limits.batchEntriesMax", count(1, COUNT_MAX, |c, n| c.limits.batch_entries_max = n as usize)),
    row("limits.namesPerMessageMax", count(1, COUNT_MAX, |c, n| c.limits.names_per_message_max = n as usize)),
    row("limits.nameBytesMax", bytes(1, 65_535, |c, n| c.limits.name_bytes_max = n as usize)),
    row(
        "limits.subscriptionsPerConnectionMax",
        count(1, COUNT_MAX, |c, n| c.limits.subscriptions_per_connection_max = n as usize),
    ),
    row(
        "limits.listenPatternsPerConnectionMax",
        count(1, COUNT_MAX, |c, n| c.limits.listen_patterns_per_connection_max = n as usize),
    ),
    row("limits.listenPatternBytesMax", bytes(1, 65_535, |c, n| c.limits.listen_pattern_bytes_max = n as usize)),
    row("limits.listenStepsMax", count(100, COUNT_MAX, |c, n| c.limits.listen_steps_max = n as usize)),
    row("limits.outboxHighWaterBytes", bytes(1024, BYTES_MAX, |c, n| c.limits.outbox_high_water_bytes = n as usize)),
    row("limits.outboxBytesMax", bytes(4096, BYTES_MAX, |c, n| c.limits.outbox_bytes_max = n as usize)),
    row("limits.outboxBytesTotalMax", bytes(0, BYTES_MAX, |c, n| c.limits.outbox_bytes_total_max = n as usize)),
    row(
        "limits.slowConsumerTimeoutMs",
        milliseconds(1, |c, ms| c.limits.slow_consumer_timeout = Duration::from_millis(ms)),
    ),
    row("limits.copyBytesMax", bytes(1, BYTES_MAX, |c, n| c.limits.copy_bytes_max = n as usize)),
    row("limits.parkedMessagesMax", count(1, COUNT_MAX, |c, n| c.limits.parked_messages_max = n as usize)),
    row("limits.parkedBytesMax", bytes(4096, BYTES_MAX, |c, n| c.limits.parked_bytes_max = n as usize)),
    row("limits.arrayIndexGapMax", count(0, COUNT_MAX, |c, n| c.limits.array_index_gap_max = n as usize)),
    row("limits.nestingMax", count(1, NESTING_MAX, |c, n| c.limits.nesting_max = n as usize)),
    row("limits.recordBytesMax", bytes(128, MESSAGE_BYTES_MAX, |c, n| c.limits.record_bytes_max = n as usize)),
    row("limits.dirtyBytesMax", bytes(4096, BYTES_MAX, |c, n| c.limits.dirty_bytes_max = n as usize)),
    row("limits.storeBatchBytesMax", bytes(4096, BYTES_MAX, |c, n| c.limits.store_batch_bytes_max = n as usize)),
    row("limits.callsMax", count(1, COUNT_MAX, |c, n| c.limits.calls_max = n as usize)),
    row("limits.callBytesMax", bytes(4096, BYTES_MAX, |c, n| c.limits.call_bytes_max = n as usize)),
    row("limits.backlogPacketsMax", count(1, COUNT_MAX, |c, n| c.limits.backlog_packets_max = n as usize)),
    row("limits.requestHeadBytesMax", bytes(1024, 1 << 20, |c, n| c.limits.request_head_bytes_max = n as usize)),
    row("limits.drainTimeoutMs", milliseconds(0, |c, ms| c.limits.drain_timeout = Duration::from_millis(ms))),
    // Not supported yet.
    row("monitoring", Rule::Service { list: true, default: "none" }),
    row("monitoring[none]", Rule::Kind(|_| ())),
    row("monitoring[http]", Rule::Later(MONITORING)),
    row("monitoring[log]", Rule::Later(MONITORING)),
    row("clusterNode", Rule::Service { list: false, default: "default" }),
    row("clusterNode[default]", Rule::Kind(|_| ())),
    row("clusterNode[redis]", Rule::Later(CLUSTER)),
    // Processes beside each other on one machine, of upstream: what they are for is what one process does here.
    row("clusterNode[vertical]", Rule::Kind(|_| ())),
    row("telemetry", Rule::Service { list: false, default: "deepstreamIO" }),
    row("telemetry[deepstreamIO]", Rule::Kind(|_| ())),
    row(
        "telemetry[deepstreamIO].options.enabled",
        off("this server reports nothing to anybody: set it to false or leave it out"),
    ),
    row("telemetry[deepstreamIO].options.debug", Rule::Inert("nothing is reported to anybody")),
    row("telemetry[deepstreamIO].options.deploymentId", Rule::Inert("nothing is reported to anybody")),
    row("subscriptions", Rule::Inert("a closed socket takes its subscriptions with it, no sweep is needed")),
    row("locks", Rule::Inert(ONE_PROCESS)),
    row("clusterRegistry", Rule::Inert(ONE_PROCESS)),
    row("clusterStates", Rule::Inert(ONE_PROCESS)),
    // Old layouts: what they became.
    row("port", Rule::Later("this key is from an old release: write httpServer.options.port")),
    row("host", Rule::Later("this key is from an old release: write httpServer.options.host")),
    row("urlPath", Rule::Later("this key is from an old release: write it in the options of the endpoint")),
    row("tcpPort", Rule::Later("raw TCP endpoints ended with release 2: remove it")),
    row("tcpHost", Rule::Later("raw TCP endpoints ended with release 2: remove it")),
    row("tcpServerEnabled", off("raw TCP endpoints ended with release 2: remove it")),
    row(
        "webServerEnabled",
        Rule::Only {
            values: &[Literal::Flag(true)],
            why: OLD,
            refusal: "the WebSocket endpoint cannot be switched off: remove it",
        },
    ),
    row("externalUrl", Rule::Inert(OLD)),
    row("sslKey", Rule::Later("this key is from an old release: write httpServer.options.ssl.key")),
    row("sslCert", Rule::Later("this key is from an old release: write httpServer.options.ssl.cert")),
    row("sslCa", Rule::Later("this key is from an old release: write httpServer.options.ssl.ca")),
    row("sslDHParams", Rule::Inert("keys are agreed on over elliptic curves only")),
    row(
        "sslPassphrase",
        Rule::Later("encrypted keys cannot be read: decrypt it, and write httpServer.options.ssl.key"),
    ),
    row(
        "storageExclusion",
        Rule::Later("this key is from an old release: write record.storageExclusionPrefixes, which lists prefixes"),
    ),
    row(
        "storageHotPathPatterns",
        Rule::Later("this key is from an old release: write record.storageHotPathPrefixes, which lists prefixes"),
    ),
    row(
        "storageRetrievalTimeout",
        Rule::Later("this key is from an old release: write record.storageRetrievalTimeout"),
    ),
    row("cacheRetrievalTimeout", Rule::Inert("a cache has 250 ms, then the storage alone is asked")),
    row("rpcAckTimeout", Rule::Later("this key is from an old release: write rpc.ackTimeout")),
    row("rpcTimeout", Rule::Later("this key is from an old release: write rpc.responseTimeout")),
    row("rpcProviderQueryTimeout", Rule::Inert(OLD)),
    row("rpcProviderCacheTime", Rule::Inert(OLD)),
    row("listenResponseTimeout", Rule::Later("this key is from an old release: write listen.responseTimeout")),
    row("shuffleListenProviders", Rule::Later("this key is from an old release: write listen.shuffleProviders")),
    row("timeBetweenSendingQueuedPackages", Rule::Inert(OLD)),
    row("maxMessagesPerPacket", Rule::Inert(OLD)),
    row("broadcastTimeout", Rule::Inert(OLD)),
    row("lockTimeout", Rule::Inert(ONE_PROCESS)),
    row("lockRequestTimeout", Rule::Inert(ONE_PROCESS)),
    row("clusterKeepAliveInterval", Rule::Inert(ONE_PROCESS)),
    row("clusterActiveCheckInterval", Rule::Inert(ONE_PROCESS)),
    row("clusterNodeInactiveTimeout", Rule::Inert(ONE_PROCESS)),
    row("stateReconciliationTimeout", Rule::Inert(ONE_PROCESS)),
    row("dependencyInitialisationTimeout", Rule::Inert(OLD)),
];

/// A feature that can only be off.
const fn off(refusal: &'static str) -> Rule {
    Rule::Only { values: &[Literal::Flag(false)], why: "it is off", refusal }
}

/// In upstream an interval of a second or less means "never".
fn rematch_interval(ms: u64) -> Option<Duration> {
    (ms > 1000).then(|| Duration::from_millis(ms))
}

fn server_name(config: &mut Config, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a name, or UUID for a generated one".to_owned());
    }
    // In upstream "UUID" asks for a generated name.
    config.server_name = if text == "UUID" { String::new() } else { text.to_owned() };
    Ok(())
}

fn host(config: &mut Config, text: &str) -> Result<(), String> {
    config.http.host_is_written = true;
    host_text(text, &mut config.http.host)
}

pub(super) fn host_text(text: &str, host: &mut String) -> Result<(), String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("an address such as 0.0.0.0 or ::, or a host name".to_owned());
    }
    text.clone_into(host);
    Ok(())
}

fn tls(config: &mut Config) -> &mut Tls {
    config.http.tls.get_or_insert_with(Tls::default)
}

/// Upstream's default server takes the text of keys and certificates (`fileLoad`), its other one their paths (`file`).
pub(super) fn pem(text: &str, pem: &mut Pem) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("PEM text, or the path of a file with it".to_owned());
    }
    *pem = if text.contains("-----BEGIN") { Pem::Text(text.to_owned()) } else { Pem::File(PathBuf::from(text)) };
    Ok(())
}

fn health_check_path(config: &mut Config, text: &str) -> Result<(), String> {
    config.http.health_check_path = url_path_text(text)?;
    Ok(())
}

/// An entry of `connectionEndpoints` begins; its options follow.
fn enter(config: &mut Config, protocol: Protocol) {
    config.endpoints.push(WebSocketEndpoint::new(protocol));
}

/// The entry whose options are being read.
fn endpoint(config: &mut Config) -> &mut WebSocketEndpoint {
    config.endpoints.last_mut().expect("options are read after their entry was entered")
}

fn url_path(config: &mut Config, text: &str) -> Result<(), String> {
    endpoint(config).url_path = url_path_text(text)?;
    Ok(())
}

pub(super) fn url_path_text(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || text.contains(['?', '#', ' ']) || !text.is_ascii() {
        return Err("a path that begins with / and has no ?, # or blanks".to_owned());
    }
    Ok(text.to_owned())
}

fn unauthenticated_timeout(config: &mut Config, node: &Node) -> Result<(), String> {
    let endpoint = endpoint(config);
    let default = WebSocketEndpoint::new(endpoint.protocol).unauthenticated_client_timeout;
    endpoint.unauthenticated_client_timeout = timeout_or_never(node, default)?;
    Ok(())
}

pub(super) fn timeout_or_never(node: &Node, default: Option<Duration>) -> Result<Option<Duration>, String> {
    Ok(match node {
        Node::Flag(false) => None,
        // Upstream's schema allows `true`, which its code treats as the default.
        Node::Flag(true) => default,
        Node::Integer(ms) if *ms >= 1 && *ms <= TIMEOUT_MS_MAX as i64 => Some(Duration::from_millis(*ms as u64)),
        _ => return Err("milliseconds, at least 1, or false for no timeout".to_owned()),
    })
}

/// Names of the headers that authentication gets to see.
pub(super) fn headers(config: &mut Config, node: &Node) -> Result<(), String> {
    let mut names = Vec::new();
    prefixes(node, &mut names)?;
    config.http.headers = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    Ok(())
}

pub(super) fn prefixes(node: &Node, into: &mut Vec<String>) -> Result<(), String> {
    let expected = || "a list of texts that are not empty".to_owned();
    let items = match node {
        Node::Null => &[],
        Node::List(items) => items.as_slice(),
        _ => return Err(expected()),
    };
    *into = items
        .iter()
        .map(|item| match item {
            // An empty prefix would match every name, which is certainly a mistake.
            Node::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err(expected()),
        })
        .collect::<Result<_, _>>()?;
    Ok(())
}

fn shards(config: &mut Config, node: &Node) -> Result<(), String> {
    config.cores.shards = match node {
        Node::Text(text) => match text.as_str() {
            "auto" => CpuChoice::Auto,
            "physical" => CpuChoice::Physical,
            "isolated" => CpuChoice::Isolated,
            "all" => CpuChoice::All,
            text if text.starts_with(|c: char| c.is_ascii_digit()) => CpuChoice::List(cpulist::parse(text)?),
            _ => return Err("auto, physical, isolated, all or a list of CPUs such as \"2-7,10\"".to_owned()),
        },
        Node::Integer(number) => return Err(number_of_cpus(*number, "cores.count")),
        _ => return Err("auto, physical, isolated, all or a list of CPUs such as \"2-7,10\"".to_owned()),
    };
    Ok(())
}

fn services(config: &mut Config, node: &Node) -> Result<(), String> {
    config.cores.services = match node {
        Node::Text(text) if text == "auto" => None,
        Node::Text(text) if text.starts_with(|c: char| c.is_ascii_digit()) => Some(cpulist::parse(text)?),
        Node::Integer(number) => return Err(number_of_cpus(*number, "")),
        _ => return Err("auto or a list of CPUs such as \"0,1\"".to_owned()),
    };
    Ok(())
}

/// The error for a bare number, which could mean "this many CPUs" as well as "this CPU".
fn number_of_cpus(number: i64, count_key: &str) -> String {
    let count =
        if count_key.is_empty() { String::new() } else { format!(", or {count_key}: {number} for that many shards") };
    format!("text: \"{number}\" in quotes for CPU {number}{count}")
}

fn visibility(config: &mut Config, text: &str) -> Result<(), String> {
    config.record.visibility = match text {
        "accepted" => Visibility::Accepted,
        "stored" => Visibility::Stored,
        _ => return Err("accepted or stored".to_owned()),
    };
    Ok(())
}

fn latency_profile(config: &mut Config, text: &str) -> Result<(), String> {
    config.cores.latency_profile = match text {
        "eco" => LatencyProfile::Eco,
        "balanced" => LatencyProfile::Balanced,
        "spin" => LatencyProfile::Spin,
        _ => return Err("eco, balanced or spin".to_owned()),
    };
    Ok(())
}
