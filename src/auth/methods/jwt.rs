//! *Owns* `type: jwt`: a client with a token that was signed with a known key is accepted until the token expires.
//! *Promises* that nothing a token says is believed before its signature was verified; that fetched keys are refreshed
//! regularly, and at once for a token signed with an unknown one, but never more often than [`COOLDOWN`] allows; and
//! that a key server which is down does no harm as long as the known keys are enough. *Does not* close sessions: the
//! engine does, when the login expires.

use super::fetch;
use super::jose::{header_of, is_compact};
use crate::auth::logins::Tools;
use crate::auth::method::{Judging, Method};
use crate::auth::settings::Settings;
use crate::auth::verdict::{Accepted, Request, Verdict, id_of, is_truthy};
use crate::config::{Claims, JwtAuth};
use crate::credentials::{KeySource, Keys};
use crate::log::{Level, note};
use deepstream_engine::Expiry;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{AlgorithmFamily, Header, Validation, decode};
use serde_json::Value;
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;

/// Least time between two fetches: otherwise tokens with made-up key ids would make this server flood the key server.
const COOLDOWN: Duration = Duration::from_secs(5);
const MISSING: &str = "missing authentication parameter: ";
const EXPIRED: &str = "token expired";
const INVALID: &str = "invalid token";
/// What a client is told when the keys could not be fetched.
const NO_KEYS: &str = "KEYS_UNAVAILABLE";
/// The field in which a token may come over protocols without a field for it: MQTT only has a user name and a password.
const PASSWORD: &str = "password";
/// Expiry times further away than this count as none: 100 years.
const SECONDS_MAX: f64 = 3.2e9;

/// See the module. Fetching keys goes on after the login for which it began.
pub(super) struct Jwt(Arc<Tokens>);

impl Jwt {
    fn new(settings: &JwtAuth) -> Result<Self, String> {
        Tokens::new(settings).map(|tokens| Self(Arc::new(tokens)))
    }
}

impl Settings for JwtAuth {
    fn description(&self) -> String {
        match &self.keys {
            KeySource::Url(url) => format!("JWT with keys from {}", fetch::without_credentials(url)),
            _ => "JWT".to_owned(),
        }
    }

    fn build(&self, _: &Tools) -> Result<Arc<dyn Method>, String> {
        Ok(Arc::new(Jwt::new(self)?))
    }
}

impl Method for Jwt {
    fn judge<'j>(&'j self, request: &'j Request, _tools: &'j Tools) -> Judging<'j> {
        Box::pin(self.0.judge(request))
    }

    fn warm_up(&self) {
        self.0.warm_up();
    }

    fn inherit(&self, earlier: &dyn Method) {
        let earlier: &dyn Any = earlier;
        if let Some(Self(tokens)) = earlier.downcast_ref() {
            self.0.inherit(tokens);
        }
    }
}

struct Tokens {
    settings: JwtAuth,
    keys: RwLock<Arc<Keys>>,
    remote: Option<Remote>,
}

/// Where keys are fetched.
struct Remote {
    url: String,
    client: reqwest::Client,
    /// The last fetch failed.
    is_away: AtomicBool,
    /// Held while fetching, so that others wait for this fetch instead of starting their own.
    state: Mutex<Fetches>,
}

#[derive(Default)]
struct Fetches {
    tried: Option<Instant>,
    succeeded: Option<Instant>,
}

impl Tokens {
    fn new(settings: &JwtAuth) -> Result<Self, String> {
        let keys = Keys::of(&settings.keys, &settings.algorithms)?;
        let remote = match &settings.keys {
            KeySource::Url(url) => Some(Remote {
                url: url.clone(),
                client: fetch::client(settings.request_timeout)?,
                is_away: AtomicBool::new(false),
                state: Mutex::default(),
            }),
            _ => None,
        };
        Ok(Self { settings: settings.clone(), keys: RwLock::new(Arc::new(keys)), remote })
    }

    /// Takes over the keys another fetched from the same place: a reload must not depend on the key server.
    fn inherit(&self, other: &Self) {
        let same =
            (&self.settings.keys, &self.settings.algorithms) == (&other.settings.keys, &other.settings.algorithms);
        if same && self.remote.is_some() {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = other.current();
        }
    }

    /// Fetches the keys, so that the first login need not wait for them.
    fn warm_up(self: &Arc<Self>) {
        if self.remote.is_some() {
            let tokens = self.clone();
            tokio::spawn(async move { tokens.fetch(|_| false).await });
        }
    }

    async fn judge(self: &Arc<Self>, request: &Request) -> Option<Verdict> {
        let report = self.settings.report;
        let as_password = || request.text(PASSWORD).filter(|text| is_compact(text));
        let Some(token) = request.text(&self.settings.token_field).or_else(as_password) else {
            return Verdict::no(report, Some(&format!("{MISSING}{}", self.settings.token_field)));
        };
        match self.verify(token).await {
            Ok(claims) => self.account(&claims),
            Err(NO_KEYS) => Some(Verdict::unable(report, NO_KEYS)),
            Err(why) => {
                if why == EXPIRED {
                    // The signature was good, so this was no guess.
                    request.excuse();
                }
                Verdict::no(report, Some(why))
            }
        }
    }

    /// The claims of a valid token; else what its client is told.
    async fn verify(self: &Arc<Self>, token: &str) -> Result<Value, &'static str> {
        let header = header_of(token).map_err(|why| {
            note(Level::Debug, "AUTH_ERROR", &format!("a token was refused: {why}"));
            INVALID
        })?;
        let keys = self.keys_for(&header).await;
        let mut why = INVALID;
        for key in keys.candidates(&header) {
            match decode::<Value>(token, key, &self.validation(&header)) {
                Ok(token) => return Ok(token.claims),
                Err(error) => {
                    if *error.kind() == ErrorKind::ExpiredSignature {
                        why = EXPIRED;
                    }
                    note(Level::Debug, "AUTH_ERROR", &format!("a token was refused: {error}"));
                }
            }
        }
        if keys.candidates(&header).next().is_none() {
            let (alg, kid) = (header.alg, header.kid.as_deref().unwrap_or("none"));
            note(Level::Debug, "AUTH_ERROR", &format!("no key for a token of algorithm {alg:?}, key id {kid:?}"));
            if self.may_lack_keys(&header) {
                return Err(NO_KEYS);
            }
        }
        Err(why)
    }

    fn validation(&self, header: &Header) -> Validation {
        // The caller only passes keys that fit this algorithm.
        let mut validation = Validation::new(header.alg);
        validation.leeway = self.settings.clock_tolerance.as_secs();
        validation.validate_nbf = true;
        let mut required = Vec::new();
        if self.settings.require_expiry {
            required.push("exp");
        }
        validation.validate_aud = !self.settings.audience.is_empty();
        if validation.validate_aud {
            validation.set_audience(&self.settings.audience);
            required.push("aud");
        }
        if !self.settings.issuer.is_empty() {
            validation.set_issuer(&self.settings.issuer);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn account(&self, claims: &Value) -> Option<Verdict> {
        let id = at(claims, &self.settings.id_claim).and_then(id_of);
        let Some(id) = id else {
            let text = format!("a token has no claim {}, which names the user", self.settings.id_claim.join("."));
            note(Level::Warn, "AUTH_ERROR", &text);
            return Verdict::no(self.settings.report, Some(INVALID));
        };
        Some(Verdict::Accepted(Accepted {
            id: Some(id),
            client_data: pick(claims, &self.settings.client_data),
            server_data: pick(claims, &self.settings.server_data),
            expiry: self.expiry(claims),
            token: None,
        }))
    }

    fn expiry(&self, claims: &Value) -> Option<Expiry> {
        let end = claims.get("exp")?.as_f64()? + self.settings.clock_tolerance.as_secs_f64();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let in_ns = Duration::from_secs_f64((end - now).clamp(0.0, SECONDS_MAX)).as_nanos() as u64;
        Some(Expiry { in_ns, warning_ns: self.settings.expiry_warning.as_nanos() as u64 })
    }

    fn current(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys to verify a token with, fetched first if they do not know its key.
    async fn keys_for(self: &Arc<Self>, header: &Header) -> Arc<Keys> {
        let Some(remote) = &self.remote else { return self.current() };
        let knows = |keys: &Keys| match &header.kid {
            Some(kid) => keys.has(kid),
            None => keys.candidates(header).next().is_some(),
        };
        if !knows(&self.current()) {
            self.fetch(knows).await;
        } else if remote.state.try_lock().is_ok_and(|state| self.is_stale(&state)) {
            let tokens = self.clone();
            tokio::spawn(async move { tokens.fetch(|_| false).await });
        }
        self.current()
    }

    /// Whether the key of this token may be missing here because the key server did not answer the last time. Shared
    /// secrets never come from there.
    fn may_lack_keys(&self, header: &Header) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.is_away.load(Ordering::Relaxed))
            && header.alg.family() != AlgorithmFamily::Hmac
    }

    fn is_stale(&self, fetches: &Fetches) -> bool {
        fetches.succeeded.is_none_or(|at| at.elapsed() >= self.settings.refresh_interval)
    }

    /// Fetches the keys, unless that was just done, or `enough` accepts what another fetch has brought meanwhile.
    async fn fetch(&self, enough: impl Fn(&Keys) -> bool) {
        let Some(remote) = &self.remote else { return };
        let mut state = remote.state.lock().await;
        if enough(&self.current()) || state.tried.is_some_and(|at| at.elapsed() < COOLDOWN) {
            return;
        }
        let fetched = self.ask(remote).await;
        state.tried = Some(Instant::now());
        remote.is_away.store(fetched.is_err(), Ordering::Relaxed);
        match fetched {
            Ok(keys) => {
                state.succeeded = state.tried;
                note(Level::Debug, "INFO", &format!("fetched {} keys from {}", keys.len(), remote.url));
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(why) => {
                let text = format!("keys cannot be fetched from {}: {why}; the known ones stay", remote.url);
                note(Level::Warn, "AUTH_ERROR", &text);
            }
        }
    }

    async fn ask(&self, remote: &Remote) -> Result<Keys, String> {
        let response = remote.client.get(&remote.url).send().await.map_err(|error| fetch::words(&error))?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let body = fetch::body(response).await?;
        Keys::of_set(&String::from_utf8_lossy(&body), &self.settings.algorithms, false)
    }
}

fn at<'c>(claims: &'c Value, path: &[String]) -> Option<&'c Value> {
    // A claim may have dots in its name, as those that are addresses do.
    claims.get(path.join(".")).or_else(|| path.iter().try_fold(claims, |value, name| value.get(name)))
}

fn pick(claims: &Value, wanted: &Claims) -> Option<Value> {
    match wanted {
        Claims::None => None,
        Claims::All => Some(claims.clone()),
        Claims::One(path) => at(claims, path).filter(|value| is_truthy(value)).cloned(),
        Claims::Some(names) => {
            let named = |name: &String| Some((name.clone(), claims.get(name)?.clone()));
            Some(Value::Object(names.iter().filter_map(named).collect()))
        }
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
