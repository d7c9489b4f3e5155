//! *Owns* `type: none`: everybody is let in. *Promises* a verdict for any JSON object or array, at once. *Does not* look
//! at anything but the user name.

use super::logins::Tools;
use super::method::{Judging, Method};
use super::settings::Settings;
use super::verdict::{Accepted, Request, Verdict};
use deepstream_engine::{Account, Login};
use serde_json::Value;
use std::sync::Arc;

/// User id of those who log in without a user name.
const ANONYMOUS: &str = "open";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open;

impl Settings for Open {
    fn description(&self) -> String {
        "Open Authentication".to_owned()
    }

    fn build(&self, _: &Tools) -> Result<Arc<dyn Method>, String> {
        Ok(Arc::new(Self))
    }

    fn is_open(&self) -> bool {
        true
    }
}

impl Method for Open {
    fn judge<'j>(&'j self, request: &'j Request, _tools: &'j Tools) -> Judging<'j> {
        let accepted = Accepted { id: Some(user_id(&request.data)), ..Accepted::default() };
        Box::pin(std::future::ready(Some(Verdict::Accepted(accepted))))
    }

    fn is_open(&self) -> bool {
        true
    }
}

/// Lets everybody in, under the user name they give. Any name that is truthy in JavaScript counts, converted as
/// JavaScript would (upstream: `authData.username.toString()`).
pub(super) fn open(data: &[u8]) -> Login {
    let data: Value = serde_json::from_slice(data).unwrap_or_default();
    Login::Accepted(Account::of(&user_id(&data)))
}

/// The user's id.
pub(super) fn user_id(data: &Value) -> String {
    data.get("username").and_then(text_of_truthy).unwrap_or_else(|| ANONYMOUS.to_owned())
}

/// JavaScript's `value.toString()`, if the value is truthy.
pub(super) fn text_of_truthy(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some("true".to_owned()),
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        Value::Number(number) => Some(match number.as_f64() {
            // JavaScript writes whole numbers without a fraction, up to this size.
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
            _ => number.to_string(),
        }),
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().map(element_text).collect::<Vec<_>>().join(",")),
        Value::Object(_) => Some("[object Object]".to_owned()),
    }
}

/// An element as `Array.prototype.toString` writes it.
fn element_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(false) => "false".to_owned(),
        Value::Number(number) if number.as_f64() == Some(0.0) => "0".to_owned(),
        other => text_of_truthy(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(data: &str) -> String {
        match open(data.as_bytes()) {
            Login::Accepted(account) => account.user_id.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whoever_names_himself_is_called_that() {
        assert_eq!(user(r#"{"username":"ann"}"#), "ann");
        assert_eq!(user(r#"{"username":7}"#), "7");
        assert_eq!(user(r#"{"username":7.0}"#), "7");
        assert_eq!(user(r#"{"username":-1.5}"#), "-1.5");
        assert_eq!(user(r#"{"username":true}"#), "true");
        assert_eq!(user(r#"{"username":[1,null,"a",0,false]}"#), "1,,a,0,false");
        assert_eq!(user(r#"{"username":{}}"#), "[object Object]");
    }

    #[test]
    fn whoever_does_not_is_open() {
        for data in
            ["{}", "[]", r#"{"username":""}"#, r#"{"username":0}"#, r#"{"username":null}"#, r#"{"username":false}"#]
        {
            assert_eq!(user(data), "open", "{data}");
        }
    }
}
