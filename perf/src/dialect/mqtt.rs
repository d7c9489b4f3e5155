//! MQTT 3.1.1 at quality of service 0.

use super::{Incoming, Membership, Publication, Stage, Taker, end};
use crate::scenario::Kind;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const RETAIN: u8 = 0x01;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

pub(super) fn begin(out: &mut Vec<u8>) {
    // Protocol name and level, clean session, no keep-alive, and a client id the server makes up.
    packet(CONNECT, &[&[0, 4], b"MQTT", &[4, 2, 0, 0, 0, 0]], out);
}

pub(super) fn publish(message: &Publication<'_>, out: &mut Vec<u8>) {
    let len = (message.topic.len() as u16).to_be_bytes();
    let retain = if message.kind == Kind::Event { 0 } else { RETAIN };
    packet(PUBLISH | retain, &[&len, message.topic, message.data], out);
}

fn packet(first: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    out.push(first);
    let mut len: usize = parts.iter().map(|part| part.len()).sum();
    while len > 0x7f {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// One packet of the server.
pub(super) fn received(
    input: &[u8],
    stage: &mut Stage,
    membership: &Membership,
    out: &mut Vec<u8>,
    on: &mut impl Taker,
) -> usize {
    let Some((start, len)) = length(&input[1..]) else { return 0 };
    let Some(body) = input.get(1 + start..1 + start + len) else { return 0 };
    match (input[0] & 0xf0, &membership.receives) {
        // The second byte says why not.
        (CONNACK, _) if body.get(1) != Some(&0) => end(stage, out, on),
        (CONNACK, Some(topic)) => {
            *stage = Stage::Joining;
            let topic_len = (topic.len() as u16).to_be_bytes();
            packet(SUBSCRIBE, &[&[0, 1], &topic_len, topic.as_bytes(), &[0]], out);
        }
        (CONNACK, None) | (SUBACK, _) => {
            *stage = Stage::Ready;
            on(Incoming::Ready(0), out);
        }
        (PUBLISH, _) => {
            let topic = body.first_chunk().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
            on(Incoming::Delivery(body.get(2 + topic..).unwrap_or_default(), None), out);
        }
        _ => end(stage, out, on),
    }
    1 + start + len
}

/// A length of up to four bytes with seven bits each, and how many bytes it took.
fn length(input: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in input.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((at + 1, value));
        }
    }
    None
}
