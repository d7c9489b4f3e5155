//! The defaults.

use super::storage::Storage;
use super::types::{
    Config, Cores, CpuChoice, Features, Http, LatencyProfile, Limits, Listen, Protocol, Record, Rpc, WebSocketEndpoint,
};
use super::web::HttpEndpoint;
use crate::auth::AuthMethod;
use crate::config::Permission;
use crate::log::{Colors, Level, LogFormat, LogSettings, Timestamps};
use crate::proxies::Network;
use deepstream_engine::Visibility;
use std::time::Duration;

impl Default for Config {
    fn default() -> Self {
        Self {
            server_name: String::new(),
            log: LogSettings {
                level: Level::Info,
                format: LogFormat::Human,
                colors: Colors::OnTerminal,
                timestamps: Timestamps::InFiles,
            },
            http: Http {
                host: "0.0.0.0".to_owned(),
                host_is_written: false,
                protected_mode: true,
                port: 6020,
                health_check_path: "/health-check".to_owned(),
                trusted_proxies: ["127.0.0.0/8", "::1"].into_iter().filter_map(Network::read).collect(),
                body_bytes_max: 1 << 20,
                all_origins: true,
                origins: Vec::new(),
                host_url: None,
                headers: Vec::new(),
                tls: None,
            },
            endpoints: Protocol::ALL.map(WebSocketEndpoint::new).into(),
            http_endpoint: Some(HttpEndpoint::default()),
            mqtt: None,
            auth: vec![AuthMethod::open()],
            permission: Permission {
                rules: None,
                rule_iterations_max: 3,
                cache_evacuation_interval: Duration::from_mins(1),
                shadow: None,
                samples_per_minute_max: 10,
            },
            features: Features { event: true, record: true, rpc: true, presence: true },
            listen: Listen {
                shuffle_providers: true,
                response_timeout: Duration::from_millis(500),
                rematch_interval: Some(Duration::from_mins(1)),
                match_cooldown: Duration::from_secs(10),
            },
            rpc: Rpc {
                ack_timeout: Duration::from_secs(1),
                response_timeout: Duration::from_secs(10),
                provide_requestor_name: false,
                provide_requestor_data: false,
            },
            record: Record {
                storage_retrieval_timeout: Duration::from_secs(2),
                storage_exclusion_prefixes: Vec::new(),
                visibility: Visibility::Accepted,
                storage_hot_path_prefixes: Vec::new(),
                memory_bytes_max: 1 << 30,
            },
            initialization_timeout: Duration::from_secs(2),
            storage: Storage::default(),
            cache: None,
            cores: Cores {
                shards: CpuChoice::Auto,
                services: None,
                allow_overlap: false,
                count: None,
                pin: true,
                latency_profile: LatencyProfile::Balanced,
            },
            limits: Limits::default(),
            tape: None,
        }
    }
}
