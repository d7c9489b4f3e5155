//! Authentication of `type: http`: its settings, and their keys in the configuration.

use super::{Known, Settling, last, texts, web_address};
use crate::auth::AuthMethod;
use crate::config::node::Node;
use crate::config::table::{Row, Rule, count, milliseconds, row};
use crate::config::types::Config;
use std::time::Duration;

/// `type: http`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpAuth {
    /// Where logins are posted.
    pub endpoint_url: String,
    /// Statuses that mean yes.
    pub permitted_status_codes: Vec<u16>,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Statuses after which the request is tried again.
    pub retry_status_codes: Vec<u16>,
    /// How often a request is tried again.
    pub retry_attempts: u32,
    /// How long after.
    pub retry_interval: Duration,
    /// Fields of the login that become headers of the request.
    pub promote_to_header: Vec<String>,
    /// Whether a permitted answer without an id is the user `OPEN`; else it is a no.
    pub id_optional: bool,
    /// Whether a no is an answer; else the next entry is asked.
    pub report: bool,
    pub(crate) raw_report: Option<bool>,
}

pub(super) static KNOWN: Known = Known { rows: ROWS, settle };

static ROWS: &[Row] = &[
    row("auth[http]", Rule::Kind(|c| c.auth.push(AuthMethod::of(HttpAuth::default())))),
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
    row("auth[http].options.reportInvalidParameters", Rule::Flag(|c, on| http(c).raw_report = Some(on))),
];

fn http(config: &mut Config) -> &mut HttpAuth {
    last(config)
}

fn endpoint_url(config: &mut Config, text: &str) -> Result<(), String> {
    web_address(text)?;
    text.clone_into(&mut http(config).endpoint_url);
    Ok(())
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

/// Checks what can only be checked once the whole section was read.
fn settle(at: &mut Settling<'_>, method: &mut AuthMethod) {
    if let Some(http) = method.get_mut::<HttpAuth>() {
        http.report = at.reports(http.raw_report);
        for key in ["endpointUrl", "permittedStatusCodes", "requestTimeout"] {
            at.demand(key);
        }
    }
}
