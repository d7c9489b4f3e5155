//! The typed configuration: units are in the names of fields, and every default is here.
//!
//! *Owns* the defaults. *Promises* that a default and the shipped `conf/config.yml` say the same (a test holds it).
//! *Does not* read anything.

use super::mqtt::MqttEndpoint;
use super::permissions::Permission;
pub use super::protocol::Protocol;
use super::storage::Storage;
use super::web::HttpEndpoint;
use crate::auth::AuthMethod;
use crate::log::{Level, LogSettings};
use crate::proxies::Network;
use crate::storage::Connector;
use deepstream_engine::Visibility;
use deepstream_wire::Wire;
use std::path::PathBuf;
use std::time::Duration;

/// Everything the server can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of this server; generated if the file says `UUID` or nothing.
    pub server_name: String,
    /// What is logged, and how.
    pub log: LogSettings,
    /// The listening socket.
    pub http: Http,
    /// The WebSocket endpoints, at most one of each kind.
    pub endpoints: Vec<WebSocketEndpoint>,
    /// The HTTP API, if it is on.
    pub http_endpoint: Option<HttpEndpoint>,
    /// MQTT, if it is on.
    pub mqtt: Option<MqttEndpoint>,
    /// Which topics exist.
    pub features: Features,
    /// Calls.
    pub rpc: Rpc,
    /// Listening.
    pub listen: Listen,
    /// Records.
    pub record: Record,
    /// Who may log in, asked in this order.
    pub auth: Vec<AuthMethod>,
    /// What those who logged in may do.
    pub permission: Permission,
    /// Where records are kept.
    pub storage: Storage,
    /// The cache before the storage.
    pub cache: Option<Connector>,
    /// How long the start waits for a database that cannot be reached yet.
    pub initialization_timeout: Duration,
    /// Where shards and helpers run.
    pub cores: Cores,
    /// Bounds of everything a client can make grow.
    pub limits: Limits,
    /// Where the inputs of each shard are recorded, if they are: `--tape`, for which there is no key.
    pub tape: Option<PathBuf>,
}

/// `httpServer.options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on: an IP address or a name.
    pub host: String,
    /// Whether the configuration names it explicitly.
    pub host_is_written: bool,
    /// Whether other machines are refused while everybody could do everything and no host is configured.
    pub protected_mode: bool,
    /// TCP port.
    pub port: u16,
    /// Path that answers 200 while the server lives.
    pub health_check_path: String,
    /// Names, in lower case, of the request headers that authentication gets to see; empty: all.
    pub headers: Vec<String>,
    /// The TLS settings, if connections are secured.
    pub tls: Option<Tls>,
    /// Trusted proxies.
    pub trusted_proxies: Vec<Network>,
    /// Bytes of the body of a request.
    pub body_bytes_max: usize,
    /// Whether pages of every origin are accepted.
    pub all_origins: bool,
    /// The accepted origins, if not all are.
    pub origins: Vec<String>,
    /// The Host requests must name, if not any.
    pub host_url: Option<String>,
}

/// `httpServer.options.ssl`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The private key.
    pub key: Pem,
    /// The certificate, with its intermediate certificates.
    pub certificate: Pem,
    /// The authority of client certificates; `None`: clients need none.
    pub client_authority: Option<Pem>,
    /// The port of secured connections; `None`: the only port is secured.
    pub port: Option<u16>,
}

/// `tls` of a connection that this server makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Who vouches for the other side; `None`: whoever the system trusts.
    pub authority: Option<Pem>,
    /// Certificate of this server, if the other side asks for one.
    pub certificate: Option<Pem>,
    /// Its key.
    pub key: Option<Pem>,
}

/// Keys and certificates in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// The text itself.
    Text(String),
    /// Absolute path of a file with it.
    File(PathBuf),
}

impl Default for Pem {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// `connectionEndpoints` entry of a WebSocket type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketEndpoint {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Path on which upgrades are accepted.
    pub url_path: String,
    /// A connection from which nothing arrives for twice this long is closed.
    pub heartbeat_interval: Duration,
    /// A connection that has not logged in for this long is closed; `None`: never.
    pub unauthenticated_client_timeout: Option<Duration>,
    /// Refused logins after which a connection is closed.
    pub max_auth_attempts: u32,
    /// Whether the data of refused logins is logged.
    pub log_invalid_auth_data: bool,
    /// Largest message, over all its fragments.
    pub max_message_bytes: usize,
    /// For ws-text: the silence in milliseconds after which a client on the path of ws-binary is spoken to in text; 0:
    /// never.
    pub text_after_silence_ms: u32,
}

/// `enabledFeatures`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Whether topic EVENT exists.
    pub event: bool,
    /// Whether topic RECORD exists.
    pub record: bool,
    /// Whether topic RPC exists.
    pub rpc: bool,
    /// Whether topic PRESENCE exists.
    pub presence: bool,
}

/// `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Whether listeners that could provide a name are asked in random order.
    pub shuffle_providers: bool,
    /// How long a listener may take to accept or reject.
    pub response_timeout: Duration,
    /// How often names without a provider are tried again; `None`: never.
    pub rematch_interval: Option<Duration>,
    /// How long until a name is tried again after no provider was found.
    pub match_cooldown: Duration,
}

/// `rpc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// How long a provider may take to accept a call.
    pub ack_timeout: Duration,
    /// How long a provider may take to answer a call.
    pub response_timeout: Duration,
    /// Whether providers are told the caller's user id.
    pub provide_requestor_name: bool,
    /// Whether providers are told the caller's client data.
    pub provide_requestor_data: bool,
}

/// `record`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How long storage may take for one read, one removal or one batch of writes.
    pub storage_retrieval_timeout: Duration,
    /// Names that begin with one of these never touch storage.
    pub storage_exclusion_prefixes: Vec<String>,
    /// When changes of records that storage keeps are seen.
    pub visibility: Visibility,
    /// Names that begin with one of these are written whole and unchecked.
    pub storage_hot_path_prefixes: Vec<String>,
    /// Bytes of record values in memory, in the whole server, above which stored ones that are not in use are dropped.
    pub memory_bytes_max: usize,
}

/// `cores`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// CPUs of the shards.
    pub shards: CpuChoice,
    /// CPUs of storage and other helper threads; `None`: chosen from what the shards leave.
    pub services: Option<Vec<usize>>,
    /// Whether the configuration may put two shards, or a shard and a helper, on the same CPU.
    pub allow_overlap: bool,
    /// Number of shards, if not one per chosen CPU.
    pub count: Option<usize>,
    /// Whether threads are bound to their CPUs.
    pub pin: bool,
    /// How long an idle shard spins before it sleeps.
    pub latency_profile: LatencyProfile,
}

/// Which CPUs shards take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuChoice {
    /// The isolated CPUs if there are any; else one per physical core, leaving one for helpers where there are four
    /// or more.
    Auto,
    /// One CPU of every physical core.
    Physical,
    /// The CPUs that the kernel was told to keep free (`isolcpus=`).
    Isolated,
    /// Every CPU this process may use.
    All,
    /// Exactly these, in this order.
    List(Vec<usize>),
}

/// `cores.latencyProfile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyProfile {
    /// Sleep as soon as there is nothing to do.
    Eco,
    /// Spin for 50 µs first: a request that follows another closely pays no wake-up.
    Balanced,
    /// Never sleep. One CPU per shard is always busy.
    Spin,
}

impl LatencyProfile {
    /// How long an idle shard spins before it sleeps; `None`: forever.
    pub fn idle_spin(self) -> Option<Duration> {
        match self {
            Self::Eco => Some(Duration::ZERO),
            Self::Balanced => Some(Duration::from_micros(50)),
            Self::Spin => None,
        }
    }
}

/// `limits`. Sums are of the whole server; each shard gets an equal share of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of the server. One more is closed right after it was accepted, and counted.
    pub connections_max: usize,
    /// Bytes of the data of one login.
    pub auth_data_bytes_max: usize,
    /// Logins being judged, in the whole server.
    pub logins_max: usize,
    /// Bytes of the data of logins being judged, in the whole server.
    pub login_bytes_max: usize,
    /// Refused logins of one address within the window, after which no more of it are judged; 0: any number.
    pub refused_logins_per_address_max: u32,
    /// Refused logins under one user name within the window, after which logins from new addresses are delayed; 0: any
    /// number.
    pub refused_logins_per_user_max: u32,
    /// How long a refused login counts.
    pub refused_logins_window: Duration,
    /// The longest delay of a login after many refused ones.
    pub login_delay_max: Duration,
    /// Requests to one webhook at a time; further logins wait for one to end.
    pub webhooks_max: usize,
    /// Entries of one batch of the HTTP API.
    pub batch_entries_max: usize,
    /// Names in one bulk message.
    pub names_per_message_max: usize,
    /// Bytes of a name or user id.
    pub name_bytes_max: usize,
    /// Subscriptions of one connection, all topics; and names that it provides, for each shard.
    pub subscriptions_per_connection_max: usize,
    /// Patterns one connection listens to.
    pub listen_patterns_per_connection_max: usize,
    /// Bytes of a listen pattern.
    pub listen_pattern_bytes_max: usize,
    /// Steps that one match of a listen pattern may take.
    pub listen_steps_max: usize,
    /// Unsent bytes of one connection above which its own requests are no longer read.
    pub outbox_high_water_bytes: usize,
    /// Unsent bytes of one connection above which it is closed as a slow consumer.
    pub outbox_bytes_max: usize,
    /// Bytes that the server holds for all connections, unsent or not completely received, above which the heaviest are
    /// dropped; 0: a quarter of the memory it may use.
    pub outbox_bytes_total_max: usize,
    /// If an outbox is above its high-water mark, its client must read a sixteenth of that mark within this time, or it
    /// is closed.
    pub slow_consumer_timeout: Duration,
    /// Frames of at least this size are held by reference in an outbox instead of being copied.
    pub copy_bytes_max: usize,
    /// Messages waiting for storage, in the whole server.
    pub parked_messages_max: usize,
    /// Bytes of messages waiting for storage, in the whole server.
    pub parked_bytes_max: usize,
    /// How far beyond the end of an array a path's index may point.
    pub array_index_gap_max: usize,
    /// Containers nested in each other in one value.
    pub nesting_max: usize,
    /// Bytes of one record's value.
    pub record_bytes_max: usize,
    /// Bytes of values written but not yet stored, in the whole server.
    pub dirty_bytes_max: usize,
    /// Bytes handed to storage in one batch.
    pub store_batch_bytes_max: usize,
    /// Calls under way, in the whole server.
    pub calls_max: usize,
    /// Bytes of their arguments, in the whole server.
    pub call_bytes_max: usize,
    /// Packets waiting for one other shard above which connections that send to it are no longer read.
    pub backlog_packets_max: usize,
    /// Bytes of the head of an HTTP or upgrade request.
    pub request_head_bytes_max: usize,
    /// Time a stopping server takes to flush outboxes and storage before it exits all the same.
    pub drain_timeout: Duration,
}

impl WebSocketEndpoint {
    /// An endpoint with its defaults.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            url_path: protocol.path().to_owned(),
            heartbeat_interval: Duration::from_secs(30),
            unauthenticated_client_timeout: Some(Duration::from_mins(3)),
            max_auth_attempts: 3,
            log_invalid_auth_data: false,
            max_message_bytes: 1 << 20,
            text_after_silence_ms: 1000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1 << 20,
            auth_data_bytes_max: 64 << 10,
            logins_max: 1 << 17,
            login_bytes_max: 64 << 20,
            refused_logins_per_address_max: 300,
            refused_logins_per_user_max: 30,
            refused_logins_window: Duration::from_mins(10),
            login_delay_max: Duration::from_secs(2),
            webhooks_max: 256,
            batch_entries_max: 10_000,
            names_per_message_max: 10_000,
            name_bytes_max: 2048,
            subscriptions_per_connection_max: 100_000,
            listen_patterns_per_connection_max: 10_000,
            listen_pattern_bytes_max: 1024,
            listen_steps_max: 1_000_000,
            outbox_high_water_bytes: 1 << 20,
            outbox_bytes_max: 16 << 20,
            outbox_bytes_total_max: 0,
            slow_consumer_timeout: Duration::from_secs(30),
            copy_bytes_max: 2 << 10,
            parked_messages_max: 100_000,
            parked_bytes_max: 64 << 20,
            array_index_gap_max: 10_000,
            nesting_max: 128,
            record_bytes_max: 16 << 20,
            dirty_bytes_max: 256 << 20,
            store_batch_bytes_max: 4 << 20,
            calls_max: 1 << 20,
            call_bytes_max: 256 << 20,
            backlog_packets_max: 4096,
            request_head_bytes_max: 16 << 10,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Bytes that all connections may make the server hold.
    pub fn outbox_bytes_total_max(&self) -> usize {
        match self.limits.outbox_bytes_total_max {
            0 => super::memory::held_bytes_max(),
            bytes => bytes,
        }
    }

    /// The limits of one of `shards` shards.
    pub fn engine_limits(&self, shards: usize) -> deepstream_engine::Limits {
        let share = |total: usize| total.div_ceil(shards.max(1));
        let limits = &self.limits;
        deepstream_engine::Limits {
            connections_max: share(limits.connections_max),
            auth_data_bytes_max: limits.auth_data_bytes_max,
            names_per_message_max: limits.names_per_message_max,
            name_bytes_max: limits.name_bytes_max,
            subscriptions_per_connection_max: limits.subscriptions_per_connection_max,
            listen_patterns_per_connection_max: limits.listen_patterns_per_connection_max,
            listen_pattern_bytes_max: limits.listen_pattern_bytes_max,
            listen_steps_max: limits.listen_steps_max,
            outbox_high_water_bytes: limits.outbox_high_water_bytes,
            outbox_bytes_max: limits.outbox_bytes_max,
            outbox_bytes_total_max: share(self.outbox_bytes_total_max()),
            slow_consumer_timeout_ns: nanoseconds(limits.slow_consumer_timeout),
            copy_bytes_max: limits.copy_bytes_max,
            parked_messages_max: share(limits.parked_messages_max),
            parked_bytes_max: share(limits.parked_bytes_max),
            array_index_gap_max: limits.array_index_gap_max,
            nesting_max: limits.nesting_max,
            record_bytes_max: limits.record_bytes_max,
            record_memory_bytes_max: share(self.record.memory_bytes_max),
            dirty_bytes_max: share(limits.dirty_bytes_max),
            store_batch_bytes_max: limits.store_batch_bytes_max,
            calls_max: share(limits.calls_max),
            call_bytes_max: share(limits.call_bytes_max),
            backlog_packets_max: limits.backlog_packets_max,
        }
    }

    fn engine_endpoints(&self) -> deepstream_engine::Endpoints {
        let mut endpoints = deepstream_engine::Endpoints::default();
        for endpoint in &self.endpoints {
            let settings = deepstream_engine::Endpoint {
                heartbeat_ns: nanoseconds(endpoint.heartbeat_interval),
                unauthenticated_timeout_ns: endpoint.unauthenticated_client_timeout.map(nanoseconds),
                auth_attempts_max: endpoint.max_auth_attempts,
                log_invalid_auth_data: endpoint.log_invalid_auth_data,
            };
            *endpoints.of_mut(endpoint.protocol.wire()) = settings;
        }
        // The host has deadlines of its own for requests, and each has one login.
        *endpoints.of_mut(Wire::Http) = deepstream_engine::Endpoint {
            heartbeat_ns: u64::MAX,
            unauthenticated_timeout_ns: None,
            auth_attempts_max: u32::MAX,
            log_invalid_auth_data: self.http_endpoint.as_ref().is_some_and(|http| http.log_invalid_auth_data),
        };
        if let Some(endpoint) = &self.mqtt {
            *endpoints.of_mut(Wire::Mqtt) = endpoint.engine_endpoint();
        }
        endpoints
    }

    /// The options of one of `shards` shards.
    pub fn engine_options(&self, shards: usize, seeds: [u64; 4]) -> deepstream_engine::Options {
        let prefixes = |list: &[String]| list.iter().map(|prefix| prefix.as_bytes().into()).collect();
        deepstream_engine::Options {
            seeds,
            limits: self.engine_limits(shards),
            events: self.features.event,
            records: self.features.record,
            rpc: self.features.rpc,
            presence: self.features.presence,
            listen_shuffle: self.listen.shuffle_providers,
            listen_response_timeout_ns: nanoseconds(self.listen.response_timeout),
            listen_rematch_ns: self.listen.rematch_interval.map(nanoseconds),
            listen_cooldown_ns: nanoseconds(self.listen.match_cooldown),
            rpc_ack_timeout_ns: nanoseconds(self.rpc.ack_timeout),
            rpc_response_timeout_ns: nanoseconds(self.rpc.response_timeout),
            rpc_requestor_name: self.rpc.provide_requestor_name,
            rpc_requestor_data: self.rpc.provide_requestor_data,
            endpoints: self.engine_endpoints(),
            storage: self.storage != Storage::Memory,
            storage_timeout_ns: nanoseconds(self.record.storage_retrieval_timeout),
            storage_exclusion_prefixes: prefixes(&self.record.storage_exclusion_prefixes),
            visibility: self.record.visibility,
            hot_path_prefixes: prefixes(&self.record.storage_hot_path_prefixes),
            verbose: self.log.level == Level::Debug,
            permissions: std::sync::Arc::new(self.permissions(0)),
            unix_ns: 0,
            moves_names: false,
        }
    }

    /// The permission rules for shards; `generation` distinguishes them from earlier ones.
    pub fn permissions(&self, generation: u32) -> deepstream_engine::Permissions {
        deepstream_engine::Permissions {
            generation,
            ruleset: self.permission.rules.as_ref().map(|rules| rules.ruleset.clone()),
            shadow: self.permission.shadow(),
            rounds_max: self.permission.rule_iterations_max,
            sweep_ns: nanoseconds(self.permission.cache_evacuation_interval),
            guarded: self.user_tables().map(|table| format!("{table}/").into_bytes().into()).collect(),
        }
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
