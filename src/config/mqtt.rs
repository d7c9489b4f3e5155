//! The MQTT endpoint: its settings, and its keys.
//!
//! It needs a port of its own, so it is only on if it is listed.

use super::node::Node;
use super::table::{MESSAGE_BYTES_MAX, Row, Rule, bytes, count, host_text, milliseconds, pem, row, timeout_or_never};
use super::types::{Config, Pem, Tls, nanoseconds};
use std::time::Duration;

/// `connectionEndpoints` entry of type `mqtt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttEndpoint {
    /// Address to listen on.
    pub host: String,
    /// Whether the configuration names it explicitly.
    pub host_is_written: bool,
    /// TCP port.
    pub port: u16,
    /// What connections are secured with, if they are.
    pub tls: Option<Tls>,
    /// A client that promises no keep-alive is closed after so much silence.
    pub idle_timeout: Duration,
    /// A connection that has not logged in for this long is closed; `None`: never.
    pub unauthenticated_client_timeout: Option<Duration>,
    /// Whether the data of refused logins is logged.
    pub log_invalid_auth_data: bool,
    /// Largest packet.
    pub max_message_bytes: usize,
}

/// Until a connection is closed that has not logged in.
const UNAUTHENTICATED_TIMEOUT: Duration = Duration::from_mins(3);

impl Default for MqttEndpoint {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            host_is_written: false,
            port: 1883,
            tls: None,
            idle_timeout: Duration::from_mins(3),
            unauthenticated_client_timeout: Some(UNAUTHENTICATED_TIMEOUT),
            log_invalid_auth_data: false,
            max_message_bytes: 1 << 20,
        }
    }
}

impl MqttEndpoint {
    /// The engine's limits for its connections.
    pub(super) fn engine_endpoint(&self) -> deepstream_engine::Endpoint {
        deepstream_engine::Endpoint {
            // A connection is closed after twice this time; a client with a shorter keep-alive after one and a half of
            // that.
            heartbeat_ns: nanoseconds(self.idle_timeout) / 2,
            unauthenticated_timeout_ns: self.unauthenticated_client_timeout.map(nanoseconds),
            // A connection is made for one login.
            auth_attempts_max: 1,
            log_invalid_auth_data: self.log_invalid_auth_data,
        }
    }
}

const NO_HTTP: Rule = Rule::Later("MQTT is not spoken over HTTP: remove it");

pub(super) static ROWS: &[Row] = &[
    row("connectionEndpoints[mqtt]", Rule::Kind(|c| c.mqtt = Some(MqttEndpoint::default()))),
    row("connectionEndpoints[mqtt].options.host", Rule::Text(host)),
    row("connectionEndpoints[mqtt].options.port", count(1, 65_535, |c, port| mqtt(c).port = port as u16)),
    row(
        "connectionEndpoints[mqtt].options.idleTimeout",
        milliseconds(1000, |c, ms| mqtt(c).idle_timeout = Duration::from_millis(ms)),
    ),
    row("connectionEndpoints[mqtt].options.unauthenticatedClientTimeout", Rule::Value(unauthenticated_timeout)),
    row("connectionEndpoints[mqtt].options.logInvalidAuthData", Rule::Flag(|c, on| mqtt(c).log_invalid_auth_data = on)),
    row(
        "connectionEndpoints[mqtt].options.maxMessageSize",
        bytes(128, MESSAGE_BYTES_MAX, |c, bytes| mqtt(c).max_message_bytes = bytes as usize),
    ),
    row("connectionEndpoints[mqtt].options.ssl", Rule::Section),
    row("connectionEndpoints[mqtt].options.ssl.key", Rule::Text(|c, text| pem(text, &mut tls(c).key))),
    row("connectionEndpoints[mqtt].options.ssl.cert", Rule::Text(|c, text| pem(text, &mut tls(c).certificate))),
    row(
        "connectionEndpoints[mqtt].options.ssl.ca",
        Rule::Text(|c, text| pem(text, tls(c).client_authority.get_or_insert_with(Pem::default))),
    ),
    row("connectionEndpoints[mqtt].options.ssl.port", count(1, 65_535, |c, port| tls(c).port = Some(port as u16))),
    // Options of the other endpoints.
    row("connectionEndpoints[mqtt].options.urlPath", NO_HTTP),
    row("connectionEndpoints[mqtt].options.headers", NO_HTTP),
    row("connectionEndpoints[mqtt].options.perMessageDeflate", NO_HTTP),
    row(
        "connectionEndpoints[mqtt].options.heartbeatInterval",
        Rule::Later(
            "clients of MQTT say themselves how often they will be heard: idleTimeout is for those that do not",
        ),
    ),
    row("connectionEndpoints[mqtt].options.maxAuthAttempts", Rule::Inert("a connection of MQTT is one attempt")),
];

fn mqtt(config: &mut Config) -> &mut MqttEndpoint {
    config.mqtt.get_or_insert_with(MqttEndpoint::default)
}

fn host(config: &mut Config, text: &str) -> Result<(), String> {
    let mqtt = mqtt(config);
    mqtt.host_is_written = true;
    host_text(text, &mut mqtt.host)
}

fn tls(config: &mut Config) -> &mut Tls {
    mqtt(config).tls.get_or_insert_with(Tls::default)
}

fn unauthenticated_timeout(config: &mut Config, node: &Node) -> Result<(), String> {
    mqtt(config).unauthenticated_client_timeout = timeout_or_never(node, Some(UNAUTHENTICATED_TIMEOUT))?;
    Ok(())
}
