//! deepstream's text protocol: fields, separated by one control byte, ended by another.
//!
//! A JSON string is said as a letter and its content. The harness's own strings need no escapes, so that what stands
//! behind the letter is what stood behind the quote: a stamp is read from either.

use super::websocket::MASK;
use super::{Call, Incoming, Membership, Publication, Stage, Taker, end};
use crate::scenario::Kind;
use deepstream_wire::client::{FINAL_TEXT, ServerEvent, encode_frame};

pub(super) const PATH: &str = "/deepstream-v3";
/// What it says that it connected to.
const URL: &[u8] = b"ws://deepstream-perf/deepstream-v3";
const FIELD_END: u8 = 0x1f;
const MESSAGE_END: u8 = 0x1e;

pub(super) fn heard(
    event: ServerEvent<'_>,
    stage: &mut Stage,
    membership: &Membership,
    out: &mut Vec<u8>,
    on: &mut impl Taker,
) {
    match event {
        ServerEvent::Text(frame) => {
            for message in frame.split(|byte| *byte == MESSAGE_END).filter(|message| !message.is_empty()) {
                told(&Fields(message), stage, membership, out, on);
            }
        }
        ServerEvent::Status(101) | ServerEvent::Ping(_) | ServerEvent::Pong(_) => {}
        _ => end(stage, out, on),
    }
}

/// A message, read field by field: most are needed for one or two of them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn get(&self, number: usize) -> &'a [u8] {
        self.0.split(|byte| *byte == FIELD_END).nth(number).unwrap_or_default()
    }
}

fn told(message: &Fields<'_>, stage: &mut Stage, membership: &Membership, out: &mut Vec<u8>, on: &mut impl Taker) {
    let number = |field: usize| std::str::from_utf8(message.get(field)).ok().and_then(|text| text.parse().ok());
    let entering = *stage != Stage::Ready;
    match (message.get(0), message.get(1)) {
        (b"C", b"PI") => say(&[b"C", b"PO"], out),
        (b"C", b"CH") => say(&[b"C", b"CHR", URL], out),
        (b"C", b"A") => say(&[b"A", b"REQ", b"{}"], out),
        (b"A", b"A") => match &membership.receives {
            Some(topic) => {
                *stage = Stage::Joining;
                let words: [&[u8]; 2] = match membership.kind {
                    Kind::Event => [b"E", b"S"],
                    Kind::Rpc => [b"P", b"S"],
                    _ => [b"R", b"CR"],
                };
                say(&[words[0], words[1], topic.as_bytes()], out);
            }
            None => ready(stage, 0, out, on),
        },
        (b"E" | b"P", b"A") if entering && message.get(2) == b"S" => ready(stage, 0, out, on),
        (b"R", b"R") if entering => ready(stage, number(3).unwrap_or(0), out, on),
        (b"E", b"EVT") => on(Incoming::Delivery(untyped(message.get(3)), None), out),
        (b"R", b"R" | b"U") => on(Incoming::Delivery(message.get(4), None), out),
        (b"R", b"P") => on(Incoming::Delivery(untyped(message.get(5)), None), out),
        (b"P", b"REQ") => on(Incoming::Delivery(untyped(message.get(4)), Some(message.get(3))), out),
        (b"P", b"RES") => on(Incoming::Delivery(untyped(message.get(4)), None), out),
        (_, b"E") => on(Incoming::Refused(&String::from_utf8_lossy(message.get(2))), out),
        _ => {}
    }
}

fn ready(stage: &mut Stage, version: i32, out: &mut Vec<u8>, on: &mut impl Taker) {
    *stage = Stage::Ready;
    on(Incoming::Ready(version), out);
}

/// Of an object the JSON; a string stays what it is.
fn untyped(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"O").unwrap_or(value)
}

/// A harness payload, JSON or as it came, as the protocol says it: the letter of its type and its content.
fn typed(data: &[u8]) -> (&'static [u8], &[u8]) {
    match data {
        [b'"', inside @ .., b'"'] | [b'S', inside @ ..] => (b"S", inside),
        _ => (b"O", data),
    }
}

pub(super) fn publish(message: &Publication<'_>, out: &mut Vec<u8>) {
    let Publication { kind, topic, data, version, correlation } = *message;
    let (letter, content) = typed(data);
    let version = version.to_string();
    let version = version.as_bytes();
    match kind {
        Kind::Event => say_value(&[b"E", b"EVT", topic], letter, content, b"", out),
        Kind::RecordPatch => say_value(&[b"R", b"P", topic, version, b"v"], letter, content, b"", out),
        Kind::RecordUpdate => say_value(&[b"R", b"U", topic, version], b"", data, b"", out),
        Kind::RecordUpsert => say_value(&[b"R", b"CU", topic, b"-1", b"v"], letter, content, b"\x1f{}", out),
        Kind::RecordRead => say(&[b"R", b"SN", topic], out),
        Kind::Rpc => say_value(&[b"P", b"REQ", topic, correlation.unwrap_or_default()], letter, content, b"", out),
    }
}

/// A provider accepts and answers.
pub(super) fn answer(call: &Call<'_>, correlation: &[u8], out: &mut Vec<u8>) {
    let (letter, content) = typed(call.data);
    say(&[b"P", b"A", b"REQ", call.topic, correlation], out);
    say_value(&[b"P", b"RES", call.topic, correlation], letter, content, b"", out);
}

fn say(fields: &[&[u8]], out: &mut Vec<u8>) {
    let mut text = fields.join(&FIELD_END);
    text.push(MESSAGE_END);
    encode_frame(FINAL_TEXT, &text, MASK, out);
}

/// Fields and one more, that is put together.
fn say_value(fields: &[&[u8]], letter: &[u8], content: &[u8], rest: &[u8], out: &mut Vec<u8>) {
    let mut text = fields.join(&FIELD_END);
    text.push(FIELD_END);
    for part in [letter, content, rest, &[MESSAGE_END]] {
        text.extend_from_slice(part);
    }
    encode_frame(FINAL_TEXT, &text, MASK, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Payload, Stamp};

    fn taken(text: &[u8], stage: Stage) -> Vec<String> {
        let mut taken = Vec::new();
        let (mut stage, mut out) = (stage, Vec::new());
        let membership = Membership { receives: Some("t".to_owned()), ..Membership::default() };
        heard(ServerEvent::Text(text), &mut stage, &membership, &mut out, &mut |incoming: Incoming<'_>, _: &mut _| {
            taken.push(match incoming {
                Incoming::Delivery(data, id) => format!("{:?} {id:?}", Stamp::of_json(data).map(|stamp| stamp.number)),
                other => format!("{other:?}"),
            });
        });
        taken.extend((!out.is_empty()).then(|| format!("said {}", out.len())));
        taken
    }

    #[test]
    fn a_conversation_is_understood() {
        for said in [&b"C\x1fCH\x1e"[..], b"C\x1fA\x1e", b"C\x1fPI\x1e"] {
            assert_eq!(taken(said, Stage::Entering).len(), 1, "answered");
        }
        assert_eq!(taken(b"E\x1fA\x1fS\x1ft\x1e", Stage::Joining), ["Ready(0)"]);
        assert_eq!(taken(b"R\x1fR\x1ft\x1f7\x1f{}\x1e", Stage::Joining), ["Ready(7)"]);
        assert_eq!(
            taken(b"E\x1fE\x1fMULTIPLE_SUBSCRIPTIONS\x1ft\x1e", Stage::Ready),
            ["Refused(\"MULTIPLE_SUBSCRIPTIONS\")"]
        );
    }

    #[test]
    fn a_stamp_comes_back_from_every_form() {
        let stamp = Stamp { at: 5, publisher: 1, number: 9 };
        for mut payload in [Payload::text(64), Payload::object(64)] {
            let (letter, content) = typed(payload.stamped(stamp));
            let event = [b"E\x1fEVT\x1ft\x1f", letter, content, b"\x1e"].concat();
            assert_eq!(taken(&event, Stage::Ready), ["Some(9) None"]);
            let call = [b"P\x1fREQ\x1ft\x1fid\x1f", letter, content, b"\x1e"].concat();
            assert_eq!(taken(&call, Stage::Ready), ["Some(9) Some([105, 100])"]);
        }
    }
}
