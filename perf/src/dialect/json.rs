//! deepstream's JSON protocol: an object to a frame, with the names and numbers of the protobuf one.
//!
//! Objects are put together and searched as text: the harness's own names and payloads need no escapes.

use super::websocket::MASK;
use super::{Call, Incoming, Membership, Publication, Stage, Taker, end};
use crate::scenario::Kind;
use deepstream_wire::Action;
use deepstream_wire::client::{FINAL_TEXT, ServerEvent, encode_frame};

pub(super) const PATH: &str = "/deepstream-json";

pub(super) fn heard(
    event: ServerEvent<'_>,
    stage: &mut Stage,
    membership: &Membership,
    out: &mut Vec<u8>,
    on: &mut impl Taker,
) {
    match event {
        ServerEvent::Text(object) => told(object, stage, membership, out, on),
        ServerEvent::Status(101) => {
            say(Action::ConnectionChallenge, &[(b"url", b"\"x\""), (b"protocolVersion", b"\"0.1a\"")], out);
        }
        ServerEvent::Ping(_) | ServerEvent::Pong(_) => {}
        _ => end(stage, out, on),
    }
}

fn told(object: &[u8], stage: &mut Stage, membership: &Membership, out: &mut Vec<u8>, on: &mut impl Taker) {
    let number = |key: &str| super::number(value(object, key)?);
    let code = |key| number(key).and_then(|number| u8::try_from(number).ok());
    let Some((topic, action)) = code("topic").zip(code("action")) else { return end(stage, out, on) };
    let is = |wanted: Action| (wanted.topic() as u8, wanted.code()) == (topic, action);
    let data = || value(object, "parsedData").unwrap_or_default();
    let correlation = || value(object, "correlationId").map(unquoted);
    let entering = *stage != Stage::Ready;
    if is(Action::EventEmit) || is(Action::RpcResponse) || is(Action::RecordPatch) || is(Action::RecordUpdate) {
        on(Incoming::Delivery(data(), None), out);
    } else if is(Action::RpcRequest) {
        on(Incoming::Delivery(data(), correlation()), out);
    } else if is(Action::RecordWriteAcknowledgement) {
        on(Incoming::Acknowledged(correlation().unwrap_or_default()), out);
    } else if is(Action::ConnectionAccept) {
        say(Action::AuthRequest, &[(b"parsedData", b"{}")], out);
    } else if is(Action::AuthSuccessful) {
        let Some(topic) = &membership.receives else { return ready(stage, 0, out, on) };
        *stage = Stage::Joining;
        let action = match membership.kind {
            Kind::Event => Action::EventSubscribe,
            Kind::Rpc => Action::RpcProvide,
            _ => Action::RecordSubscribeCreateAndRead,
        };
        let names = format!("[\"{topic}\"]");
        say(action, &[(b"names", names.as_bytes()), (b"correlationId", b"\"join\"")], out);
    } else if is(Action::RecordReadResponse) && !entering {
        on(Incoming::Delivery(data(), None), out);
    } else if is(Action::RecordReadResponse) {
        ready(stage, number("version").and_then(|version| i32::try_from(version).ok()).unwrap_or(0), out, on);
    } else if entering && (is(Action::EventSubscribe) || is(Action::RpcProvide)) {
        ready(stage, 0, out, on);
    } else if value(object, "isError").is_some() {
        on(Incoming::Refused(&String::from_utf8_lossy(object)), out);
    }
}

fn ready(stage: &mut Stage, version: i32, out: &mut Vec<u8>, on: &mut impl Taker) {
    *stage = Stage::Ready;
    on(Incoming::Ready(version), out);
}

/// The value of a key: a number or word, a text without escapes, or an object without objects in it.
pub(super) fn value<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let key = key.as_bytes();
    let mut from = 0;
    let value = loop {
        let at = from + object[from..].iter().position(|byte| *byte == b'"')? + 1;
        let rest = &object[at..];
        match rest.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"\":")) {
            Some(value) => break value,
            None => from = at,
        }
    };
    let (from, ends): (usize, &[u8]) = match value.first()? {
        b'"' => (1, b"\""),
        b'{' => (1, b"}"),
        _ => (0, b",}]"),
    };
    let end = from + value[from..].iter().position(|byte| ends.contains(byte))?;
    Some(&value[..end + from])
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
}

pub(super) fn publish(message: &Publication<'_>, out: &mut Vec<u8>) {
    let Publication { kind, topic, data, version, correlation } = *message;
    let quoted = |text: &[u8]| [b"\"", text, b"\""].concat();
    let (name, id) = (quoted(topic), correlation.map(quoted));
    let (action, version) = match kind {
        Kind::Event => (Action::EventEmit, None),
        Kind::RecordPatch => (Action::RecordPatch, Some(version)),
        Kind::RecordUpdate => (Action::RecordUpdate, Some(version)),
        Kind::RecordUpsert => (Action::RecordCreateAndPatch, Some(-1)),
        Kind::RecordRead => (Action::RecordRead, None),
        Kind::Rpc => (Action::RpcRequest, None),
    };
    let version = version.map(|version| version.to_string());
    let mut members: Vec<(&[u8], &[u8])> = vec![(b"name", &name)];
    members.extend(version.as_ref().map(|version| (&b"version"[..], version.as_bytes())));
    if matches!(kind, Kind::RecordPatch | Kind::RecordUpsert) {
        members.push((b"path", b"\"v\""));
    }
    if kind != Kind::RecordRead {
        members.push((b"parsedData", data));
    }
    members.extend(id.as_ref().map(|id| (&b"correlationId"[..], &id[..])));
    if id.is_some() && kind != Kind::Rpc {
        members.push((b"isWriteAck", b"true"));
    }
    say(action, &members, out);
}

/// A provider accepts and answers.
pub(super) fn answer(call: &Call<'_>, correlation: &[u8], out: &mut Vec<u8>) {
    let (name, id) = ([b"\"", call.topic, b"\""].concat(), [b"\"", correlation, b"\""].concat());
    let members: [(&[u8], &[u8]); 3] = [(b"name", &name), (b"correlationId", &id), (b"parsedData", call.data)];
    say(Action::RpcAccept, &members[..2], out);
    say(Action::RpcResponse, &members, out);
}

fn say(action: Action, members: &[(&[u8], &[u8])], out: &mut Vec<u8>) {
    let mut object = format!("{{\"topic\":{},\"action\":{}", action.topic() as u8, action.code()).into_bytes();
    for (key, value) in members {
        for part in [b",\"", *key, b"\":", value] {
            object.extend_from_slice(part);
        }
    }
    object.push(b'}');
    encode_frame(FINAL_TEXT, &object, MASK, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_keys() {
        let object = br#"{"topic":6,"action":2,"name":"topic","parsedData":{"v":"x"},"version":-1}"#;
        let found = |key| value(object, key).map(|value| std::str::from_utf8(value).expect("text"));
        assert_eq!(found("topic"), Some("6"));
        assert_eq!(found("name").map(|name| unquoted(name.as_bytes())), Some(&b"topic"[..]));
        assert_eq!(found("parsedData"), Some(r#"{"v":"x"}"#));
        assert_eq!(found("version"), Some("-1"));
        assert_eq!(found("nothing"), None);
        assert_eq!(value(br#"{"a":"cut"#, "a"), None);
    }
}
