//! Ways of logging in, as configured.
//!
//! *Owns* their settings and defaults. *Promises* that settings which passed the checks of `auth` can be started. *Does
//! not* read keys or judge logins.

use crate::credentials::{KeySource, PasswordHash};
use std::time::Duration;

/// One way of logging in; they are asked in order until one knows the user.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthMethod {
    /// Everybody, under any name.
    Open,
    /// Users of a file.
    File(FileAuth),
    /// An HTTP server decides.
    Http(HttpAuth),
    /// Users of a table in the storage.
    Storage(StorageAuth),
    /// Whoever holds a signed token.
    Jwt(JwtAuth),
    /// One that the embedding program brings (see `docs/library.md`), by its name. No configuration file can say this.
    Member(String),
}

/// `type: file`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileAuth {
    /// By name.
    pub users: Vec<User>,
    /// How the passwords are kept; `None`: as they are.
    pub hash: Option<PasswordHash>,
    /// Whether a wrong password is an answer; else the next entry is asked.
    pub report: bool,
    pub(crate) raw_hash: RawHash,
    pub(crate) raw_report: Option<bool>,
}

/// A user of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What it logs in with, and its id.
    pub name: String,
    /// As it is, or its hash.
    pub password: String,
    /// JSON text for the permission rules.
    pub server_data: Option<String>,
    /// JSON text for the client.
    pub client_data: Option<String>,
}

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

/// `type: storage`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageAuth {
    /// Records `table/username` are the users.
    pub table: String,
    /// Whether whoever is unknown becomes a user.
    pub create_user: bool,
    /// How the passwords are kept; `None`: as they are.
    pub hash: Option<PasswordHash>,
    /// Whether a wrong password is an answer; else the next entry is asked.
    pub report: bool,
    pub(crate) raw_hash: RawHash,
    pub(crate) raw_report: Option<bool>,
}

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

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RawHash {
    pub(super) digest: Option<String>,
    pub(super) iterations: Option<u32>,
    pub(super) key_length: Option<usize>,
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

impl AuthMethod {
    /// Its description in the log, in upstream's words where it has any.
    pub fn description(&self) -> String {
        match self {
            Self::Open => "Open Authentication".to_owned(),
            Self::File(_) => "File Authentication".to_owned(),
            Self::Http(http) => format!("http webhook to {}", without_credentials(&http.endpoint_url)),
            Self::Storage(storage) => format!("Storage using table: {}", storage.table),
            Self::Jwt(jwt) => match &jwt.keys {
                KeySource::Url(url) => format!("JWT with keys from {}", without_credentials(url)),
                _ => "JWT".to_owned(),
            },
            Self::Member(name) => name.clone(),
        }
    }
}

/// An address for the log: user, password and query may be secrets.
fn without_credentials(address: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(address) else { return "an address".to_owned() };
    let hidden = url.query().is_some();
    url.set_query(None);
    // This only fails for addresses without a host, which were refused before.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    if hidden { format!("{url}?…") } else { url.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_addresses_without_what_is_secret_in_them() {
        let told = |url: &str| {
            AuthMethod::Http(HttpAuth { endpoint_url: url.to_owned(), ..HttpAuth::default() }).description()
        };
        assert_eq!(told("https://example.com/login"), "http webhook to https://example.com/login");
        assert_eq!(told("http://ann:secret@h:8080/a?key=secret"), "http webhook to http://h:8080/a?…");
        let jwt = JwtAuth { keys: KeySource::Url("https://h/k?token=secret".to_owned()), ..JwtAuth::default() };
        assert_eq!(AuthMethod::Jwt(jwt).description(), "JWT with keys from https://h/k?…");
    }
}
