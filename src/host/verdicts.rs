//! The answers of HTTP to logins.
//!
//! *Owns* the statuses: 401 for a refusal, 503 if the login could not be judged, 429 if it was not judged because too
//! many before it were refused. *Promises* that the reason given by the method reaches the client, as text or as JSON.
//! *Does not* judge.

use crate::endpoint::http::{self, Answer};
use crate::note;
use bytes::Bytes;
use deepstream_engine::{ConnId, Login, Note};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};

/// Refuses a request that contains a batch.
pub(super) const NOT_LOGGED_IN: &str = "Unsuccessful authentication attempt.";
/// Refuses a request that only contains credentials.
const NOT_VALID: &str = "Invalid authentication data.";

/// A request that only contains credentials: where it comes from, and what to log of it.
pub(super) struct Credentials {
    pub(super) remote: Box<str>,
    pub(super) logged: Option<Bytes>,
}

impl Credentials {
    /// The answer to such a request. The shard never hears of it, so it is logged here.
    pub(super) fn answer(self, conn: ConnId, login: &Login) -> Answer {
        let Self { remote, logged } = self;
        match login {
            Login::Accepted(_) => {}
            Login::Refused { .. } => note::write(&Note::LoginRefused { conn, remote, data: logged }),
            Login::Unjudged { .. } => note::write(&Note::LoginUnjudged { remote }),
            Login::Barred { .. } => note::write(&Note::LoginBarred { remote }),
        }
        refusal(login, NOT_VALID).unwrap_or_else(|| http::json(rights(login)))
    }
}

/// The answer to a refused login.
pub(super) fn refusal(login: &Login, otherwise: &str) -> Option<Answer> {
    Some(match login {
        Login::Accepted(_) => return None,
        Login::Refused { client_data } => refused(StatusCode::UNAUTHORIZED, client_data.as_deref(), otherwise),
        Login::Unjudged { client_data } => refused(StatusCode::SERVICE_UNAVAILABLE, Some(client_data), otherwise),
        Login::Barred { client_data, retry_s } => {
            let mut answer = refused(StatusCode::TOO_MANY_REQUESTS, Some(client_data), otherwise);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*retry_s));
            answer
        }
    })
}

/// With the reason that the method gave, if any: a text as it is, any other non-empty value as JSON.
pub(super) fn refused(status: StatusCode, client_data: Option<&[u8]>, otherwise: &str) -> Answer {
    let words = client_data.and_then(deepstream_json::string_of);
    let words = words.as_deref().and_then(|words| str::from_utf8(words).ok()).filter(|words| !words.is_empty());
    match client_data {
        Some(document @ [b'{' | b'[', ..]) => {
            let mut answer = http::json(document.to_vec());
            *answer.status_mut() = status;
            answer
        }
        _ => http::text(status, words.unwrap_or(otherwise)),
    }
}

/// The body of a successful login.
fn rights(login: &Login) -> Vec<u8> {
    let mut body = b"{".to_vec();
    if let Login::Accepted(account) = login {
        if let Some(token) = &account.token {
            body.extend_from_slice(b"\"token\":");
            body.extend_from_slice(token);
        }
        if let Some(data) = account.client_data.as_deref().filter(|data| !data.is_empty()) {
            body.extend_from_slice(if body.len() > 1 { b",\"clientData\":" } else { b"\"clientData\":" });
            body.extend_from_slice(data);
        }
    }
    body.push(b'}');
    body
}
