//! *Owns* what a way of logging in is asked and what it may answer. *Promises* that answers become logins as upstream
//! makes them: data that JavaScript holds for false is no data, a user without an id is `OPEN`. *Does not* judge.

use deepstream_engine::{Account, Expiry, Login, Peer};
use serde_json::{Value, json};
use std::sync::Arc;

/// User id of those whom a way of logging in lets in without saying who they are. Not that of open login: upstream has
/// two, and rules and presence tell them apart.
const NAMELESS: &str = "OPEN";

/// A login as it is judged.
#[derive(Debug)]
pub(super) struct Request {
    /// A JSON object or array.
    pub(super) data: Value,
    pub(super) peer: Arc<Peer>,
}

impl Request {
    /// A field that is text.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.data.get(field)?.as_str()
    }
}

/// The final answer of a way of logging in. One that does not know the user gives none.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Accepted(Accepted),
    /// With data for the client.
    Refused(Option<Value>),
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Accepted {
    pub(super) id: Option<String>,
    pub(super) client_data: Option<Value>,
    pub(super) server_data: Option<Value>,
    pub(super) token: Option<Value>,
    pub(super) expiry: Option<Expiry>,
}

impl Verdict {
    /// A no with a reason for the client, if a no is an answer here; else the next one is asked.
    pub(super) fn no(report: bool, error: Option<&str>) -> Option<Self> {
        report.then(|| Self::Refused(error.map(|error| json!({ "error": error }))))
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
            None => Login::Refused { client_data: None },
        })
    }
}

/// What the engine is told.
pub(super) struct Answer(pub(super) Login);

fn text(value: Option<Value>) -> Option<Box<[u8]>> {
    value.filter(is_truthy).map(|value| value.to_string().into_bytes().into())
}

/// What JavaScript holds for true.
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
            other @ Login::Refused { .. } => panic!("{other:?}"),
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
    }
}
