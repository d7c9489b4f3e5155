//! The HTTP API without the execution of requests: which request is answered how, and which needs its body first
//! (docs/http-api.md).
//!
//! *Owns* paths, methods, origins, status codes and the words of refusals. *Promises* that every request is answered,
//! and that every answer has the headers that browsers need (CORS). *Does not* wait, log anybody in or know sockets.

use super::body::Coding;
use crate::config::{Config, HttpEndpoint};
use crate::proxies::{Network, client_of};
use bytes::Bytes;
use deepstream_wire::Pages;
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONNECTION,
    CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, REFERER, TRANSFER_ENCODING, VARY,
};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Response, StatusCode, Version};
use std::net::IpAddr;
use std::time::Duration;

/// A response and its body.
pub type Answer = Response<Full<Bytes>>;

/// What all requests of a server have in common.
#[derive(Clone, Debug)]
pub struct Service {
    /// The API; without it there are only health checks.
    pub api: Option<HttpEndpoint>,
    /// Path of health checks.
    pub health_check_path: String,
    /// Pages of browsers that may ask; `None`: all.
    pub pages: Option<Pages>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// Entries of a batch.
    pub batch_entries_max: usize,
    /// Bytes of the answers to one batch.
    pub answer_bytes_max: usize,
}

/// What to do with a request of which the head has arrived.
#[derive(Debug)]
pub enum Verdict {
    /// It is answered at once.
    Answer(Answer),
    /// It comes from a page of another origin, which is not allowed to; with the reason.
    Forbidden(String),
    /// Its body has to be read, and decompressed: a batch, or credentials.
    Read(Purpose, Coding),
}

/// What a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A batch.
    Batch,
    /// Credentials to be judged.
    Login,
}

const METHODS: &str = "GET, POST, OPTIONS";
const HEADERS: [&str; 4] = ["X-Requested-With", "X-HTTP-Method-Override", "Content-Type", "Accept"];
const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// Every body ends with this, because upstream's do.
const END: &str = "\r\n\r\n";

impl Service {
    /// The settings of this configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            api: config.http_endpoint.clone(),
            health_check_path: config.http.health_check_path.clone(),
            pages: config.pages(),
            proxies: config.http.trusted_proxies.clone(),
            body_bytes_max: config.http.body_bytes_max,
            batch_entries_max: config.limits.batch_entries_max,
            answer_bytes_max: config.limits.outbox_bytes_max,
        }
    }

    /// How long a request may take to arrive, and to be executed.
    pub fn request_timeout(&self) -> Duration {
        self.api.as_ref().map_or_else(|| HttpEndpoint::default().request_timeout, |api| api.request_timeout)
    }

    /// The address of whoever asks.
    pub fn client(&self, socket: IpAddr, forwarded: Option<&str>) -> IpAddr {
        client_of(socket, forwarded, &self.proxies)
    }

    /// Judges a request by its head.
    pub fn judge(&self, head: &Parts) -> Verdict {
        let path = head.uri.path();
        if let Some(refusal) = misframed(head) {
            return Verdict::Answer(refusal);
        }
        // Health checks do not come from pages, so their origin is not checked.
        if matches!(head.method, Method::GET | Method::HEAD) && is_below(path, &self.health_check_path) {
            return Verdict::Answer(healthy());
        }
        if let Some(why) = self.refusal(&head.headers) {
            return Verdict::Forbidden(why);
        }
        match head.method {
            Method::OPTIONS => Verdict::Answer(preflight(&head.headers)),
            Method::GET if self.api.as_ref().is_some_and(|api| is_below(path, &api.get_path)) => {
                const NOT_YET: &str =
                    "Reading records via HTTP GET is not yet implemented, please use a post request instead.";
                Verdict::Answer(text(StatusCode::BAD_REQUEST, NOT_YET))
            }
            Method::GET => Verdict::Answer(text(StatusCode::NOT_FOUND, "Endpoint not found.")),
            Method::POST => self.judge_post(head, path),
            _ => {
                let what = format!("Unsupported method. Supported methods: {METHODS}");
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &what);
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
                Verdict::Answer(answer)
            }
        }
    }

    fn judge_post(&self, head: &Parts, path: &str) -> Verdict {
        let text = |status, what: &str| Verdict::Answer(text(status, what));
        if !is_json(&head.headers) {
            const WRONG: &str = "Invalid \"Content-Type\" header. Supported media types: \"application/json\"";
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, WRONG);
        }
        let coding = match Coding::of(&head.headers) {
            Ok(coding) => coding,
            Err(name) => {
                return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("Unsupported content encoding \"{name}\"."));
            }
        };
        let Some(api) = &self.api else { return text(StatusCode::NOT_FOUND, "Endpoint not found.") };
        let fits = |base: &str| is_below(path, base).then_some(base.len());
        let login = fits(&api.auth_path).filter(|_| api.auth_enabled);
        // If both paths match, the longer one is meant.
        match (login, fits(&api.post_path)) {
            (None, None) => text(StatusCode::NOT_FOUND, "Endpoint not found."),
            (login, batch) if login > batch => Verdict::Read(Purpose::Login, coding),
            _ => Verdict::Read(Purpose::Batch, coding),
        }
    }

    /// Why a page is refused, if it is.
    fn refusal(&self, headers: &HeaderMap) -> Option<String> {
        self.pages.as_ref()?.refusal(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes))
    }

    /// Tells a browser that its page may read an answer.
    pub fn admit(&self, origin: Option<&HeaderValue>, answer: &mut Answer) {
        let headers = answer.headers_mut();
        match (&self.pages, origin) {
            (None, _) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            (Some(pages), Some(origin)) if pages.admits(origin.as_bytes()) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                headers.insert(VARY, HeaderValue::from_static("Origin"));
            }
            (Some(_), _) => {
                headers.insert(VARY, HeaderValue::from_static("Origin"));
            }
        }
    }
}

/// The origin of the page that asks.
pub fn origin_value(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(ORIGIN).or_else(|| headers.get(REFERER))
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a path is `base` or lies below it.
fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || base.ends_with('/'))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = header(headers, &CONTENT_TYPE).and_then(|value| value.split(';').next());
    media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// Refuses heads that another server on the way may have read differently (request smuggling; RFC 9112, 3.2 and 6.1).
/// Nothing that follows is read.
fn misframed(head: &Parts) -> Option<Answer> {
    let refused = |status, what: &str| Some(last(text(status, what)));
    let mut hosts = head.headers.get_all(HOST).iter();
    let is_host = |host: &HeaderValue| {
        host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|name| !name.as_str().contains('@'))
    };
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version < Version::HTTP_11 => {}
        (Some(host), None) if is_host(host) => {}
        _ => return refused(StatusCode::BAD_REQUEST, "Requests must set one valid \"Host\" header."),
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return refused(StatusCode::NOT_IMPLEMENTED, "The only transfer coding is \"chunked\".");
    }
    None
}

/// The answer to a CORS preflight request.
fn preflight(headers: &HeaderMap) -> Answer {
    let missing = |name: &str| text(StatusCode::BAD_REQUEST, &format!("Missing header \"{name}\"."));
    let Some(method) = header(headers, &ACCESS_CONTROL_REQUEST_METHOD) else {
        return missing("Access-Control-Request-Method");
    };
    if !METHODS.split(", ").any(|known| known == method) {
        let what = format!("Method {method} is forbidden. Supported methods: {METHODS}");
        return text(StatusCode::FORBIDDEN, &what);
    }
    let Some(wanted) = header(headers, &ACCESS_CONTROL_REQUEST_HEADERS) else {
        return missing("Access-Control-Request-Headers");
    };
    let listed = HEADERS.join(", ");
    for name in wanted.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return text(StatusCode::FORBIDDEN, &format!("Header {name} is forbidden. Supported headers: {listed}"));
        }
    }
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_str(&listed).expect("these are header names"));
    answer
}

fn healthy() -> Answer {
    respond(StatusCode::OK, JSON, Bytes::new())
}

/// An answer in words.
pub fn text(status: StatusCode, what: &str) -> Answer {
    respond(status, TEXT, [what, END].concat().into())
}

/// An answer in JSON.
pub fn json(mut body: Vec<u8>) -> Answer {
    body.extend_from_slice(END.as_bytes());
    respond(StatusCode::OK, JSON, body.into())
}

/// The answer to a body that makes no sense, and why.
pub fn unreadable(why: &str) -> Answer {
    text(StatusCode::BAD_REQUEST, &format!("Failed to parse body of request: {why}"))
}

/// The answer to a request that makes no sense.
pub fn bad_request(what: &str) -> Answer {
    text(StatusCode::BAD_REQUEST, what)
}

/// The answer to a body that does not come, after which nothing else is read.
pub fn too_slow() -> Answer {
    last(text(StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive."))
}

/// Makes an answer the last one: the connection is closed after it, and it says so, because otherwise the client would
/// send its next request in vain. Used for every answer that is given before the body was read (RFC 9112, 9.6).
pub fn last(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The answer to a body above the limit.
pub fn too_large() -> Answer {
    unreadable("request entity too large")
}

fn respond(status: StatusCode, media: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}
