//! Requests to etcd's HTTP gateway.
//!
//! *Owns* the connections, the token of a user, and how failures are worded. *Promises* to ask the members of the list one after the
//! other while they cannot be reached. *Does not* repeat what may have been done.

use crate::storage::{Kind, Trouble};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::AUTHORIZATION;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest answer: 63 nodes with what they say, and a view, in base64.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How etcd is reached.
#[derive(Clone)]
pub struct Settings {
    /// Addresses of its members: `http://10.0.0.7:2379`.
    pub endpoints: Vec<String>,
    /// A user and a password.
    pub user: Option<(String, String)>,
    /// The authority that signed the members' certificates, as PEM; by default those that the machine trusts.
    pub authority: Option<Vec<u8>>,
    /// A certificate and its key, as PEM, if etcd asks for one.
    pub identity: Option<Vec<u8>>,
    /// How long it may take to connect.
    pub connect_timeout: Duration,
}

// Written by hand, so that it shows no password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// See the module.
pub(super) struct Gateway {
    settings: Settings,
    client: Client,
    open: AtomicBool,
    /// Which member is asked first.
    next: AtomicUsize,
    token: Mutex<Option<String>>,
}

/// A key, or all that begin alike.
pub(super) struct Key {
    key: Vec<u8>,
    end: Option<Vec<u8>>,
}

/// A key with its value.
pub(super) struct Pair {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// At which revision of etcd the value was written.
    pub(super) revision: u64,
    /// etcd's number of its lease.
    pub(super) lease: String,
}

/// As the gateway has bytes.
pub(super) fn text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Numbers are texts, and those that are zero are left out.
pub(super) fn number(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64()).unwrap_or(0)
}

/// The pairs of a range.
pub(super) fn pairs(pairs: &Value) -> Result<Vec<Pair>, Trouble> {
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default());
    let read = |pair: &Value| {
        let (key, value) = (bytes(&pair["key"])?, bytes(&pair["value"])?);
        let lease = pair["lease"].as_str().unwrap_or("0").to_owned();
        Ok(Pair { key, value, revision: number(&pair["mod_revision"]).cast_unsigned(), lease })
    };
    let all: Result<Vec<Pair>, base64::DecodeError> = pairs.as_array().into_iter().flatten().map(read).collect();
    all.map_err(|_| nonsense())
}

fn nonsense() -> Trouble {
    let hint = "see whether the address is etcd's, of release 3.4 or later";
    Trouble::new(Kind::Away, "its answer makes no sense", hint)
}

impl Key {
    pub(super) fn of(key: &str) -> Self {
        Self { key: key.as_bytes().to_vec(), end: None }
    }

    /// All keys that begin with this, which ends in a slash.
    pub(super) fn below(folder: &str) -> Self {
        let mut end = folder.as_bytes().to_vec();
        end.pop();
        end.push(b'/' + 1);
        Self { key: folder.as_bytes().to_vec(), end: Some(end) }
    }

    pub(super) fn text(&self) -> String {
        text(&self.key)
    }

    pub(super) fn range(&self) -> Value {
        match &self.end {
            Some(end) => json!({ "key": self.text(), "range_end": text(end) }),
            None => json!({ "key": self.text() }),
        }
    }
}

impl Gateway {
    pub(super) fn new(settings: Settings) -> Result<Self, String> {
        let mut client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .redirect(Policy::none())
            // Those of the environment are for an operator's shell.
            .no_proxy()
            .user_agent(concat!("deepstream/", env!("CARGO_PKG_VERSION")));
        if let Some(authority) = &settings.authority {
            let certificates = Certificate::from_pem_bundle(authority).map_err(|error| words(&error))?;
            client = client.tls_certs_only(certificates);
        }
        if let Some(identity) = &settings.identity {
            client = client.identity(Identity::from_pem(identity).map_err(|error| words(&error))?);
        }
        let client = client.build().map_err(|error| words(&error))?;
        let (open, next) = (AtomicBool::new(false), AtomicUsize::new(0));
        Ok(Self { settings, client, open, next, token: Mutex::default() })
    }

    pub(super) fn place(&self) -> String {
        self.settings.endpoints.join(", ")
    }

    /// How long it may take to open it.
    pub(super) fn patience(&self) -> Duration {
        self.settings.connect_timeout
    }

    pub(super) fn is_open(&self) -> Result<(), Trouble> {
        let is = self.open.load(Ordering::Relaxed);
        if is { Ok(()) } else { Err(Trouble::new(Kind::Away, "it is not open", "")) }
    }

    pub(super) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Logs in, and asks for something that every member can answer only with the others.
    pub(super) async fn open(&self) -> Result<(), Trouble> {
        if let Some((name, password)) = &self.settings.user {
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let answer = self.ask("auth/authenticate", &json!({ "name": name, "password": password })).await?;
            let token = answer["token"].as_str().map(str::to_owned);
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        }
        self.ask("kv/range", &Key::of("/deepstream/").range()).await.map(drop)
    }

    /// Asks one member, the next one if it cannot be reached.
    async fn post(&self, path: &str, body: &Value) -> Result<Response, Trouble> {
        let count = self.settings.endpoints.len();
        let mut last = Trouble::new(Kind::Lasting, "no address is known", "name at least one");
        for _ in 0..count {
            let at = self.next.load(Ordering::Relaxed) % count;
            let address = format!("{}/v3/{path}", self.settings.endpoints[at].trim_end_matches('/'));
            let mut request = self.client.post(address).body(body.to_string());
            if let Some(token) = &*self.token.lock().unwrap_or_else(PoisonError::into_inner) {
                request = request.header(AUTHORIZATION, token);
            }
            match request.send().await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    // The next call begins with another one, whatever became of this.
                    self.next.store(at + 1, Ordering::Relaxed);
                    last = Trouble::new(Kind::Away, words(&error), "start etcd there, or correct the address");
                    if !error.is_connect() {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let mut response = self.post(path, body).await?;
        let (status, mut answer) = (response.status(), Vec::new());
        loop {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| Trouble::new(Kind::Away, words(&error), "see its log"))? {
                Some(chunk) if answer.len() + chunk.len() <= ANSWER_BYTES_MAX => answer.extend_from_slice(&chunk),
                Some(_) => return Err(nonsense()),
                None => break,
            }
        }
        let answer: Option<Value> = serde_json::from_slice(&answer).ok();
        if status.is_success() {
            return answer.ok_or_else(nonsense);
        }
        self.next.fetch_add(1, Ordering::Relaxed);
        Err(refusal(status, &answer.unwrap_or_default()))
    }

    /// Waits until one of these keys changes, from this revision on.
    pub(super) async fn watch(&self, keys: &Key, revision: i64) -> Result<(), Trouble> {
        let mut create = keys.range();
        create["start_revision"] = json!(revision.to_string());
        let mut response = self.post("watch", &json!({ "create_request": create })).await?;
        // A line says that it watches; whatever comes after it is news, or the end.
        let mut lines = 0;
        while lines < 2 {
            match response.chunk().await {
                Ok(Some(chunk)) => lines += chunk.split(|byte| *byte == b'\n').count() - 1,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Trouble::new(Kind::Away, words(&error), "see its log")),
            }
        }
        Ok(())
    }
}

/// A failure with all of its reasons, without the address, which holds a password in some configurations.
fn words(error: &reqwest::Error) -> String {
    let mut words = String::new();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = source {
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    if words.is_empty() { "the request failed".to_owned() } else { words }
}

/// What etcd says, with what to do.
fn refusal(status: StatusCode, answer: &Value) -> Trouble {
    let said = answer["error"].as_str().or_else(|| answer["message"].as_str()).unwrap_or("without a reason");
    let what = format!("{said} [{}]", status.as_u16());
    let (kind, hint) = if status == StatusCode::NOT_FOUND {
        (Kind::Lasting, "etcd's HTTP gateway is off (--enable-grpc-gateway=false), or this is not etcd 3.4 or later")
    } else if said.contains("CommonName") {
        (Kind::Lasting, "etcd's gateway lets in no certificate with a common name: use one without, or a user")
    } else if said.contains("permission denied") || said.contains("user name is empty") {
        (Kind::Lasting, "give the user the right to read and write the keys below /deepstream/")
    } else if said.contains("authentication failed") {
        (Kind::Lasting, "correct the user and the password")
    } else {
        (Kind::Away, "see the log of etcd")
    };
    Trouble::new(kind, what, hint)
}
