//! *Owns* the request that a login method is given and the verdicts it may answer with. *Promises* that verdicts become
//! logins as in upstream: data that is falsy in JavaScript is no data, a user without an id is `OPEN`. *Does not*
//! judge.

use super::guesses::Tried;
use super::open::text_of_truthy;
use super::origin::Origin;
use deepstream_engine::{Account, Expiry, Login, Peer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// User id of those whom a method accepts without naming them. Open login has another, because upstream has two, and
/// rules and presence tell them apart.
const NAMELESS: &str = "OPEN";
/// To a client whose login is not judged. Upstream's word for a connection that tries too often.
const BARRED: &str = "TOO_MANY_AUTH_ATTEMPTS";
/// What a client is told beside the word for it.
const UNABLE: &str = "nobody could judge this login, which says nothing about its data: try again later";

/// A login as it is judged.
#[derive(Debug)]
pub struct Request {
    /// A JSON object or array.
    pub(super) data: Value,
    pub(super) peer: Arc<Peer>,
    /// Whose turn it takes.
    pub(super) origin: Origin,
    /// Under what it is counted if it is refused; `None` where refusals are not counted.
    pub(super) tried: Option<Tried>,
    /// The user exists, and the password was wrong.
    missed: AtomicBool,
    /// The data was valid at some time, so it is no guess.
    excused: AtomicBool,
}

impl Request {
    /// A login that is not counted.
    pub(super) fn new(data: Value, peer: Arc<Peer>) -> Self {
        let origin = Origin::of(&peer.remote);
        Self { data, peer, origin, tried: None, missed: AtomicBool::new(false), excused: AtomicBool::new(false) }
    }

    /// Notes that the password of an existing user was wrong, whatever else becomes of the login.
    pub fn miss(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    /// Notes that this data can only come from somebody who was accepted before, such as an expired token with a good
    /// signature.
    pub fn excuse(&self) {
        self.excused.store(true, Ordering::Relaxed);
    }

    /// Whether a login with this verdict counts as a guess. If several methods judged it, an excuse of one of them does
    /// not count.
    pub(super) fn is_guess(&self, verdict: Option<&Verdict>, ways: usize) -> bool {
        let refused = matches!(verdict, None | Some(Verdict::Refused(_)));
        let excused = ways == 1 && self.excused.load(Ordering::Relaxed);
        self.missed.load(Ordering::Relaxed) || (refused && !excused)
    }

    /// The name under which somebody tries to log in, if there is one: webhooks have names of their own for it.
    pub fn user(&self) -> Option<String> {
        ["username", "user", "email"].into_iter().find_map(|field| id_of(self.data.get(field)?))
    }

    /// All that the client sent: any JSON.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// The connection it came on.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// A field that is text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.data.get(field)?.as_str()
    }
}

/// The final answer of a way of logging in. One that does not know the user gives none.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It is let in.
    Accepted(Accepted),
    /// With data for the client.
    Refused(Option<Value>),
    /// It cannot be judged: what the method depends on is unreachable, or answers nonsense.
    Unable {
        /// Data for the client.
        told: Value,
        /// No further method is asked.
        last: bool,
    },
    /// It is not judged.
    Barred(Barred),
}

/// Too many logins were refused, so this one is not judged. It may be again after this time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Barred(pub(super) Duration);

/// What is known of a user who was accepted.
#[derive(Debug, Default, PartialEq)]
pub struct Accepted {
    /// The user's id; without one it is `OPEN`.
    pub id: Option<String>,
    /// For the client.
    pub client_data: Option<Value>,
    /// For permission rules.
    pub server_data: Option<Value>,
    /// For logins over HTTP: the token to use from now on.
    pub token: Option<Value>,
    /// When it has to log in again.
    pub expiry: Option<Expiry>,
}

impl Verdict {
    /// A refusal with a reason for the client if refusals are final here (`report`); else `None`, so that the next
    /// method is asked.
    pub fn no(report: bool, error: Option<&str>) -> Option<Self> {
        report.then(|| Self::Refused(error.map(|error| json!({ "error": error }))))
    }

    /// That the login cannot be judged, and why, in a word of upstream's where it has one. Where refusals are final no
    /// further method is asked: if this one is unreachable, a later one must not accept whom it would have refused.
    pub fn unable(report: bool, error: &str) -> Self {
        Self::Unable { told: json!({ "error": error, "message": UNABLE }), last: report }
    }
}

impl From<Option<Verdict>> for Answer {
    fn from(verdict: Option<Verdict>) -> Self {
        Self(match verdict {
            Some(Verdict::Accepted(accepted)) => Login::Accepted(Account {
                user_id: accepted.id.filter(|id| !id.is_empty()).unwrap_or_else(|| NAMELESS.to_owned()).into(),
                client_data: text(accepted.client_data),
                server_data: text(accepted.server_data),
                token: text(accepted.token),
                expiry: accepted.expiry,
            }),
            Some(Verdict::Refused(client_data)) => Login::Refused { client_data: text(client_data) },
            Some(Verdict::Unable { told, .. }) => Login::Unjudged { client_data: told.to_string().into_bytes().into() },
            Some(Verdict::Barred(Barred(until))) => {
                let retry_s = u32::try_from(until.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
                let message =
                    format!("too many logins were refused, this one was not judged: try again in {retry_s} s");
                let told = json!({ "error": BARRED, "message": message, "retryAfterSeconds": retry_s });
                Login::Barred { client_data: told.to_string().into_bytes().into(), retry_s }
            }
            None => Login::Refused { client_data: None },
        })
    }
}

/// What the engine is told.
pub(super) struct Answer(pub(super) Login);

fn text(value: Option<Value>) -> Option<Box<[u8]>> {
    value.filter(is_truthy).map(|value| value.to_string().into_bytes().into())
}

/// The user id in a webhook's answer or in a claim: a text that is not empty, or a number, also `0`. Anything else is
/// none: JavaScript would turn many different values into the same text, such as `[object Object]`.
pub(super) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) => Some("0".to_owned()),
        Value::Number(_) | Value::String(_) => text_of_truthy(value),
        _ => None,
    }
}

/// Whether a value is truthy in JavaScript.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_logins_as_upstream_makes_them() {
        let told = |accepted| match Answer::from(Some(Verdict::Accepted(accepted))).0 {
            Login::Accepted(account) => account,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(Accepted::default()), Account::of("OPEN"));
        let id = Some(String::new());
        assert_eq!(told(Accepted { id, client_data: Some(json!(0)), ..Accepted::default() }), Account::of("OPEN"));
        let account = told(Accepted {
            id: Some("ann".into()),
            client_data: Some(json!({ "a": 1 })),
            server_data: Some(json!([])),
            ..Accepted::default()
        });
        assert_eq!((&*account.user_id, account.client_data.as_deref()), ("ann", Some(&br#"{"a":1}"#[..])));
        assert_eq!(account.server_data.as_deref(), Some(&b"[]"[..]));
        assert_eq!(Answer::from(None).0, Login::Refused { client_data: None });
        assert_eq!(Verdict::no(false, Some("x")), None);
        assert_eq!(Verdict::no(true, Some("x")), Some(Verdict::Refused(Some(json!({ "error": "x" })))));
        let unable = Answer::from(Some(Verdict::unable(true, "AWAY"))).0;
        assert!(matches!(&unable, Login::Unjudged { client_data } if client_data.starts_with(br#"{"error":"AWAY""#)));
    }

    #[test]
    fn ids_are_texts_and_numbers() {
        for (value, id) in [
            (json!("ann"), Some("ann")),
            (json!(7), Some("7")),
            (json!(0), Some("0")),
            (json!(-0.0), Some("0")),
            (json!(""), None),
            (json!(null), None),
            (json!(true), None),
            (json!({}), None),
            (json!(["ann"]), None),
        ] {
            assert_eq!(id_of(&value).as_deref(), id, "{value}");
        }
    }
}
