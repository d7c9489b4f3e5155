//! The upgrade request of WebSocket, and its answer.
//!
//! *Owns* reading the request head and the handful of answers a WebSocket endpoint gives. *Promises* that an upgrade
//! that fails ends the connection. *Does not* serve HTTP: other requests are passed on unchanged.

use std::io::Write;

use crate::link::LinkConfig;
use crate::message::Wire;

use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, Response, create_response, write_response};
use tungstenite::http::HeaderValue;

/// The request that became a WebSocket.
#[derive(Debug)]
pub struct Handshake {
    request: Request,
    wire: Wire,
}

impl Handshake {
    /// The protocol of this connection, as far as the path and the headers of its request show.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Path of the request, without its query.
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// First value of a header, if it is present and text. Names are compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// All headers, names in lower case, in no promised order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

/// A valid upgrade on one of our paths, its head `len` bytes long.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) len: usize,
    /// Index of its endpoint.
    pub(crate) endpoint: u8,
    /// The endpoint whose path was asked for. It is another one if clients of two generations share a path, and the
    /// request shows that its client is of the older one.
    pub(crate) asked: u8,
    pub(crate) handshake: Handshake,
    response: Response,
}

impl Upgrade {
    /// Appends the 101 answer.
    pub(crate) fn put_response(&self, out: &mut Vec<u8>) {
        let written = write_response(&mut *out, &self.response);
        debug_assert!(written.is_ok(), "an accepted upgrade is answered with plain ASCII headers");
    }
}

/// Why a request is no upgrade of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not ask for an upgrade, so it is a request of HTTP.
    NoUpgrade,
    /// It is refused for this reason.
    Forbidden(String),
    /// It is answered with this status.
    Status(Status),
}

/// The answers that end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    BadRequest,
    NotFound,
    UpgradeRequired,
    HeadTooLarge,
}

impl Status {
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::UpgradeRequired => 426,
            Self::HeadTooLarge => 431,
        }
    }

    /// Appends the whole answer.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        let (line, headers, body) = match self {
            Self::BadRequest => ("400 Bad Request", TEXT, "Bad request."),
            Self::NotFound => ("404 Not Found", TEXT, "Endpoint not found."),
            Self::UpgradeRequired => (
                "426 Upgrade Required",
                "Content-Type: text/plain; charset=utf-8\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13, 8, 7\r\n",
                "Only WebSocket versions 13, 8 and 7 are spoken here.",
            ),
            Self::HeadTooLarge => ("431 Request Header Fields Too Large", TEXT, "Request head too large."),
        };
        put_answer(line, headers, body, out);
    }
}

/// The status of a refusal.
pub(crate) const FORBIDDEN: u16 = 403;
const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n";

/// Appends the answer to a refused request.
pub(crate) fn put_forbidden(why: &str, out: &mut Vec<u8>) {
    put_answer("403 Forbidden", TEXT, why, out);
}

fn put_answer(line: &str, headers: &str, body: &str, out: &mut Vec<u8>) {
    for part in ["HTTP/1.1 ", line, "\r\n", headers, "Content-Length: "] {
        out.extend_from_slice(part.as_bytes());
    }
    let written = write!(out, "{}", body.len());
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
    out.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
    out.extend_from_slice(body.as_bytes());
}

/// Judges the request head at the beginning of `input`. `None` while it is incomplete.
pub(crate) fn read(input: &[u8], config: &LinkConfig) -> Result<Option<Upgrade>, Refusal> {
    match (read_open(input, config), &config.gate.closed) {
        // Malformed and incomplete requests keep their answers; all others are refused alike.
        (Ok(Some(_)) | Err(Refusal::NoUpgrade | Refusal::Status(Status::NotFound)), Some(why)) => {
            Err(Refusal::Forbidden(why.to_string()))
        }
        (judged, _) => judged,
    }
}

fn read_open(input: &[u8], config: &LinkConfig) -> Result<Option<Upgrade>, Refusal> {
    let (endpoints, head_bytes_max) = (&config.endpoints, config.max_request_bytes);
    // Nothing beyond the bound is looked at, so that the result does not depend on how the head was split on arrival.
    let bounded = input.get(..head_bytes_max).unwrap_or(input);
    let Some((len, mut request)) = Request::try_parse(bounded).map_err(|error| refusal_of(&error))? else {
        let long = input.len() > head_bytes_max;
        return if long { Err(Refusal::Status(Status::HeadTooLarge)) } else { Ok(None) };
    };
    let path = request.uri().path();
    let Some(index) = endpoints.iter().position(|endpoint| endpoint.serves(path)) else {
        let means_to = request.headers().contains_key("upgrade");
        return Err(if means_to { Refusal::Status(Status::NotFound) } else { Refusal::NoUpgrade });
    };
    let draft = is_draft(&request);
    let is_of_sdk = draft || is_of_ios_sdk(&request);
    let served = config.text_beside(index).filter(|_| is_of_sdk).unwrap_or(index);
    let wire = endpoints[served].wire;
    let wire = if wire == Wire::Text && is_of_sdk { Wire::TextSdk } else { wire };
    if draft {
        name_origin(&mut request);
    }
    let header = |name| request.headers().get_all(name).iter().map(HeaderValue::as_bytes);
    if let Some(why) = config.gate.pages.as_ref().and_then(|pages| pages.refusal(header)) {
        return Err(Refusal::Forbidden(why));
    }
    let response = if draft { create_response(&as_final(&request)) } else { create_response(&request) };
    let response = response.map_err(|error| refusal_of(&error))?;
    Ok(Some(Upgrade {
        len,
        endpoint: served as u8,
        asked: index as u8,
        handshake: Handshake { request, wire },
        response,
    }))
}

const VERSION: &str = "sec-websocket-version";

/// Whether a request is of one of the last drafts of WebSocket, which old clients were built by and are still around: version
/// 8 (drafts 8 to 12), which the Java SDK asks for, and version 7. From version 7 on frames, masks, close frames and the
/// answer to the upgrade are those of version 13 (RFC 6455); earlier versions had others.
fn is_draft(request: &Request) -> bool {
    request.headers().get(VERSION).is_some_and(|version| version == "8" || version == "7")
}

/// Whether a request is the iOS SDK's. The WebSocket below it (Starscream 2.1 to 3.1) offers compression in words of its own, and
/// with them no browser's `User-Agent`. The SDK is the one for Java, translated.
fn is_of_ios_sdk(request: &Request) -> bool {
    const OFFER: &str = "permessage-deflate; client_max_window_bits; server_max_window_bits=15";
    let headers = request.headers();
    headers.get("sec-websocket-extensions").is_some_and(|offer| offer == OFFER) && !headers.contains_key("user-agent")
}

/// Renames the header for the origin of a page, which the drafts called `Sec-WebSocket-Origin`. A request with both is
/// checked for both.
fn name_origin(request: &mut Request) {
    let headers = request.headers_mut();
    let named: Vec<HeaderValue> = headers.get_all("sec-websocket-origin").iter().cloned().collect();
    for origin in named {
        headers.append("origin", origin);
    }
}

/// The request as version 13 would write it; the answer is the same.
fn as_final(request: &Request) -> Request {
    let mut request = request.clone();
    request.headers_mut().insert(VERSION, HeaderValue::from_static("13"));
    request
}

fn refusal_of(error: &Error) -> Refusal {
    Refusal::Status(match error {
        Error::Protocol(ProtocolError::WrongHttpMethod | ProtocolError::WrongHttpVersion) => return Refusal::NoUpgrade,
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => Status::UpgradeRequired,
        Error::Capacity(_) => Status::HeadTooLarge,
        _ => Status::BadRequest,
    })
}
