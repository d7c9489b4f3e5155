//! Payloads and values: what a PUBLISH carries as the JSON that events and records hold, and back.
//!
//! *Promises* that a payload comes out of an event or a record as it went in, byte for byte.

use std::borrow::Cow;
use std::str::from_utf8;

use deepstream_json::{Kind, Scratch, check, string_of, write_string};

/// A retained payload that is no object and no array stands between these, as the record `{"value":…,"mqtt":true}`.
const WRAP: (&[u8], &[u8]) = (b"{\"value\":", b",\"mqtt\":true}");

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Empty,
    /// An object or an array.
    Document,
    /// A number, `true`, `false` or `null`.
    Scalar,
    /// Anything else that is UTF-8, JSON strings included.
    Text,
}

/// What these bytes are; `None` for bytes that are no text, for which JSON has no form.
pub(super) fn classify(payload: &[u8], json: &mut Scratch) -> Option<Payload> {
    let may_be_json = match payload.trim_ascii_start().first() {
        None if payload.is_empty() => return Some(Payload::Empty),
        None => false,
        Some(first) => matches!(first, b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'),
    };
    if may_be_json && let Ok(kind) = check(payload, json) {
        return Some(if matches!(kind, Kind::Object | Kind::Array) { Payload::Document } else { Payload::Scalar });
    }
    from_utf8(payload).is_ok().then_some(Payload::Text)
}

/// Appends the value of an event.
pub(super) fn put_value(payload: &[u8], kind: Payload, out: &mut Vec<u8>) {
    match kind {
        Payload::Empty => {}
        Payload::Document | Payload::Scalar => out.extend_from_slice(payload),
        Payload::Text => write_string(payload, out),
    }
}

/// Appends the value of a record.
pub(super) fn put_record(payload: &[u8], kind: Payload, out: &mut Vec<u8>) {
    if kind == Payload::Document {
        return out.extend_from_slice(payload);
    }
    out.extend_from_slice(WRAP.0);
    put_value(payload, kind, out);
    out.extend_from_slice(WRAP.1);
}

/// The payload for an event's value.
pub(super) fn of_value(value: Option<&[u8]>) -> Cow<'_, [u8]> {
    let value = value.unwrap_or_default();
    string_of(value).unwrap_or(Cow::Borrowed(value))
}

/// The payload for a record's value.
pub(super) fn of_record(value: Option<&[u8]>) -> Cow<'_, [u8]> {
    let value = value.unwrap_or_default();
    let wrapped = value.strip_prefix(WRAP.0).and_then(|rest| rest.strip_suffix(WRAP.1));
    match wrapped {
        // What is wrapped is a scalar; anything longer is a document that happens to begin and end like that.
        Some(inner) if matches!(deepstream_json::kind_of(inner), Some(Kind::Object | Kind::Array) | None) => {
            Cow::Borrowed(value)
        }
        Some(inner) => of_value(Some(inner)),
        None => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_comes_back_as_it_was_sent() {
        let payloads: &[&[u8]] = &[
            b"{\"a\":1}",
            b" [1, 2] ",
            b"12",
            b"-0.50",
            b"true",
            b"null",
            b"nullx",
            b"on",
            b"\"quoted\"",
            b"\"half",
            b" ",
            b"{broken",
            "gr\u{fc}n \u{1f600}".as_bytes(),
            b"tab\tand\\",
            b"{\"value\":5}",
            b"01",
            b" \"x\" ",
        ];
        let mut json = Scratch::new();
        for payload in payloads {
            let kind = classify(payload, &mut json).unwrap();
            let (mut value, mut record) = (Vec::new(), Vec::new());
            put_value(payload, kind, &mut value);
            put_record(payload, kind, &mut record);
            check(&value, &mut json).unwrap();
            assert!(matches!(check(&record, &mut json), Ok(Kind::Object | Kind::Array)));
            let text = String::from_utf8_lossy(payload);
            assert_eq!(of_value(Some(&value)), *payload, "{text}");
            assert_eq!(of_record(Some(&record)), *payload, "{text}");
        }
        assert_eq!(classify(b"", &mut json), Some(Payload::Empty));
        assert_eq!(classify(&[0xff, 0xfe], &mut json), None);
        assert_eq!(classify(b"{\"a\":\"\xff\"}", &mut json), None);
    }
}
