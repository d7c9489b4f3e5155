//! What a login came to, as HTTP says it.
//!
//! *Owns* the statuses: 401 is a no of somebody who judged, 503 that nobody could, 429 that too many were refused to be
//! judged at all. *Promises* that whoever said no is heard in his own words, be they a text or a document. *Does not* judge.

use crate::endpoint::http::{self, Answer};
use crate::note;
use bytes::Bytes;
use deepstream_engine::{ConnId, Login, Note};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};

/// To a request that wants something done.
pub(super) const NOT_LOGGED_IN: &str = "Unsuccessful authentication attempt.";
/// To one that brings credentials and nothing else.
const NOT_VALID: &str = "Invalid authentication data.";

/// Credentials that are to be judged, and nothing else: where they come from, and what is to be logged of them.
pub(super) struct Credentials {
    pub(super) remote: Box<str>,
    pub(super) logged: Option<Bytes>,
}

impl Credentials {
    /// The answer to them. The shard does not hear of them, so the log does here.
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

/// The answer to whoever is not let in.
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

/// In the words of whoever refused, if there are any: a text as it is, anything that holds something as JSON.
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

/// What the credentials are good for.
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
