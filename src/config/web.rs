//! The HTTP API and the checks before it: keys and settings.

use super::node::Node;
use super::table::{Row, Rule, headers, milliseconds, prefixes, row, url_path_text};
use super::types::{Config, Protocol};
use crate::proxies::Network;
use deepstream_wire::Pages;
use std::time::Duration;

/// `connectionEndpoints` entry of type http.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoint {
    /// Path of batches.
    pub post_path: String,
    /// Path of GET requests for reads, which are not supported.
    pub get_path: String,
    /// Path of requests that only contain credentials.
    pub auth_path: String,
    /// Whether there is such a path.
    pub auth_enabled: bool,
    /// Whether a batch may bring credentials, not only a token.
    pub allow_auth_data: bool,
    /// How long a request may take to arrive, and how long its answer may take.
    pub request_timeout: Duration,
    /// Whether the data of refused logins is logged.
    pub log_invalid_auth_data: bool,
}

impl Default for HttpEndpoint {
    fn default() -> Self {
        Self {
            post_path: "/api".to_owned(),
            get_path: "/api".to_owned(),
            auth_path: "/api/auth".to_owned(),
            auth_enabled: true,
            allow_auth_data: true,
            request_timeout: Duration::from_secs(20),
            log_invalid_auth_data: false,
        }
    }
}

/// The rows; see `table`.
pub(crate) static ROWS: &[Row] = &[
    row("httpServer[*].options.allowAllOrigins", Rule::Flag(|c, on| c.http.all_origins = on)),
    row("httpServer[*].options.origins", Rule::Texts(|c, node| prefixes(node, &mut c.http.origins))),
    row("httpServer[*].options.trustedProxies", Rule::Texts(trusted_proxies)),
    row("httpServer[*].options.hostUrl", Rule::Texts(host_url)),
    row("connectionEndpoints[http]", Rule::Kind(|c| c.http_endpoint = Some(HttpEndpoint::default()))),
    row("connectionEndpoints[http].options.enableAuthEndpoint", Rule::Flag(|c, on| http(c).auth_enabled = on)),
    row("connectionEndpoints[http].options.authPath", Rule::Text(|c, text| path_of(text, &mut http(c).auth_path))),
    row("connectionEndpoints[http].options.postPath", Rule::Text(|c, text| path_of(text, &mut http(c).post_path))),
    row("connectionEndpoints[http].options.getPath", Rule::Text(|c, text| path_of(text, &mut http(c).get_path))),
    row("connectionEndpoints[http].options.allowAuthData", Rule::Flag(|c, on| http(c).allow_auth_data = on)),
    row(
        "connectionEndpoints[http].options.requestTimeout",
        milliseconds(1, |c, ms| http(c).request_timeout = Duration::from_millis(ms)),
    ),
    row("connectionEndpoints[http].options.logInvalidAuthData", Rule::Flag(|c, on| http(c).log_invalid_auth_data = on)),
    row("connectionEndpoints[http].options.headers", Rule::Texts(headers)),
];

impl Config {
    /// The accepted pages of browsers, if not all are.
    pub fn pages(&self) -> Option<Pages> {
        let http = &self.http;
        (!http.all_origins).then(|| Pages { origins: http.origins.clone(), host: http.host_url.clone() })
    }

    /// The silence in milliseconds after which a client on the path of ws-binary is spoken to in text, if text is
    /// spoken at all.
    pub fn text_after_ms(&self) -> Option<u32> {
        let text = self.endpoints.iter().find(|endpoint| endpoint.protocol == Protocol::Text)?;
        Some(text.text_after_silence_ms).filter(|&ms| ms > 0)
    }
}

/// The HTTP API, whose options are being read.
fn http(config: &mut Config) -> &mut HttpEndpoint {
    config.http_endpoint.get_or_insert_with(HttpEndpoint::default)
}

fn path_of(text: &str, path: &mut String) -> Result<(), String> {
    *path = url_path_text(text)?;
    Ok(())
}

fn trusted_proxies(config: &mut Config, node: &Node) -> Result<(), String> {
    let mut list = Vec::new();
    prefixes(node, &mut list)?;
    let read = |text: &String| Network::read(text).ok_or("a list of addresses and networks, such as 10.0.0.0/8");
    config.http.trusted_proxies = list.iter().map(read).collect::<Result<_, _>>()?;
    Ok(())
}

fn host_url(config: &mut Config, node: &Node) -> Result<(), String> {
    config.http.host_url = match node {
        Node::Null => None,
        Node::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => return Err("a host, with its port if it is not the usual one, as requests name it".to_owned()),
    };
    Ok(())
}
