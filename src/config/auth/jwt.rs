//! Authentication of `type: jwt`: its settings, and their keys in the configuration.

use super::{Known, Settling, last, texts, web_address};
use crate::auth::AuthMethod;
use crate::config::node::{Node, to_json};
use crate::config::table::{Row, Rule, milliseconds, row};
use crate::config::types::Config;
use crate::credentials::{KeySource, Keys};
use std::time::Duration;

/// `type: jwt`.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtAuth {
    /// What tokens are signed with.
    pub keys: KeySource,
    /// Names of the algorithms; empty: all that fit the keys.
    pub algorithms: Vec<String>,
    /// Accepted values of `iss`; empty: any.
    pub issuer: Vec<String>,
    /// Accepted values of `aud`; empty: any.
    pub audience: Vec<String>,
    /// How far clocks may differ.
    pub clock_tolerance: Duration,
    /// The field of the login that is the token.
    pub token_field: String,
    /// The claim that is the user's id: names, outermost first.
    pub id_claim: Vec<String>,
    /// The claims that become server data.
    pub server_data: Claims,
    /// The claims that become client data.
    pub client_data: Claims,
    /// Whether a token without an end is refused.
    pub require_expiry: bool,
    /// How long before its end a client is told.
    pub expiry_warning: Duration,
    /// How often keys are fetched again.
    pub refresh_interval: Duration,
    /// How long fetching may take.
    pub request_timeout: Duration,
    /// Whether a bad token is an answer; else the next entry is asked.
    pub report: bool,
    pub(crate) raw_report: Option<bool>,
}

/// Which claims become data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claims {
    /// None of them.
    None,
    /// All of them, as one object.
    All,
    /// The value of one: names, outermost first.
    One(Vec<String>),
    /// An object of these.
    Some(Vec<String>),
}

impl Default for JwtAuth {
    fn default() -> Self {
        Self {
            keys: KeySource::Missing,
            algorithms: Vec::new(),
            issuer: Vec::new(),
            audience: Vec::new(),
            clock_tolerance: Duration::from_secs(5),
            token_field: "token".to_owned(),
            id_claim: vec!["sub".to_owned()],
            server_data: Claims::All,
            client_data: Claims::One(vec!["clientData".to_owned()]),
            require_expiry: true,
            expiry_warning: Duration::from_mins(1),
            refresh_interval: Duration::from_mins(10),
            request_timeout: Duration::from_secs(5),
            report: true,
            raw_report: None,
        }
    }
}

pub(super) static KNOWN: Known = Known { rows: ROWS, settle };

static ROWS: &[Row] = &[
    row("auth[jwt]", Rule::Kind(|c| c.auth.push(AuthMethod::of(JwtAuth::default())))),
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
    row("auth[jwt].options.reportInvalidParameters", Rule::Flag(|c, on| jwt(c).raw_report = Some(on))),
];

fn jwt(config: &mut Config) -> &mut JwtAuth {
    last(config)
}

fn jwks_url(config: &mut Config, text: &str) -> Result<(), String> {
    web_address(text)?;
    key(config, KeySource::Url(text.to_owned()))
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

/// Checks what can only be checked once the whole section was read.
fn settle(at: &mut Settling<'_>, method: &mut AuthMethod) {
    if let Some(jwt) = method.get_mut::<JwtAuth>() {
        jwt.report = at.reports(jwt.raw_report);
        at.keys(jwt);
    }
}

impl Settling<'_> {
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
