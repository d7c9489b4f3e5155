//! The protocols in which the generator speaks to the servers that it measures.
//!
//! *Owns* the few steps until a connection may be used, and the forms of a message on its way out and in. *Promises*
//! that a connection's owner sees the same few kinds of [`Incoming`], whatever is at the other end.

pub(crate) mod deepstream;
mod http;
mod json;
mod mqtt;
mod nats;
mod relay;
mod resp;
mod text;
mod websocket;

use crate::payload::Payload;
use crate::scenario::{Door, Kind, Scenario};
use std::sync::Arc;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// deepstream's protobuf protocol over WebSocket.
    Deepstream,
    /// deepstream's text protocol over WebSocket.
    Text,
    /// deepstream's JSON protocol over WebSocket.
    Json,
    /// deepstream's HTTP API for senders, its protobuf protocol for the others.
    Http,
    /// Copied bytes, in messages of this size.
    Relay { message_bytes: usize },
    /// Redis's publish and subscribe.
    Resp,
    /// NATS's text protocol.
    Nats,
    /// MQTT 3.1.1, quality of service 0; records are what is retained.
    Mqtt,
}

impl Dialect {
    /// The protocol of a door of the server. A new door has its row here, and its file beside this one.
    pub(crate) fn of(door: Door) -> Self {
        match door {
            Door::Binary => Self::Deepstream,
            Door::Text => Self::Text,
            Door::Json => Self::Json,
            Door::Http => Self::Http,
            Door::Mqtt => Self::Mqtt,
        }
    }

    /// Whether it knows records, not only messages that are passed on.
    fn has_records(self) -> bool {
        !matches!(self, Self::Relay { .. } | Self::Resp | Self::Nats)
    }

    /// Whether the writer of a record names the version that it makes.
    pub(crate) fn has_versions(self) -> bool {
        matches!(self, Self::Deepstream | Self::Text | Self::Json)
    }

    /// The load as this can carry it: whatever has no records passes messages on and nothing more.
    pub(crate) fn adapt(self, scenario: &Scenario) -> Scenario {
        if self.has_records() { scenario.clone() } else { scenario.plain() }
    }

    /// A payload of the right form.
    pub(crate) fn payload(self, scenario: &Scenario) -> Payload {
        let whole = matches!(scenario.message, Kind::RecordUpdate | Kind::RecordRead);
        match self {
            Self::Relay { message_bytes } => Payload::raw(message_bytes),
            _ if whole && self.has_records() => Payload::object(scenario.payload_bytes),
            _ => Payload::text(scenario.payload_bytes),
        }
    }

    /// Appends one message.
    pub(crate) fn publish(self, message: &Publication<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Deepstream => deepstream::publish(message, out),
            Self::Text => text::publish(message, out),
            Self::Json => json::publish(message, out),
            Self::Http => http::publish(message, out),
            Self::Relay { .. } => out.extend_from_slice(message.data),
            Self::Resp => resp::publish(message, out),
            Self::Nats => nats::publish(message, out),
            Self::Mqtt => mqtt::publish(message, out),
        }
    }

    /// Appends the answer of a subscriber to a message it received.
    pub(crate) fn answer(self, call: &Call<'_>, out: &mut Vec<u8>) {
        let Call { topic, data, correlation } = *call;
        match (self, correlation) {
            (Self::Deepstream | Self::Http, Some(correlation)) => deepstream::answer(call, correlation, out),
            (Self::Text, Some(correlation)) => text::answer(call, correlation, out),
            (Self::Json, Some(correlation)) => json::answer(call, correlation, out),
            _ => self.publish(&Publication { kind: Kind::Event, topic, data, version: 0, correlation: None }, out),
        }
    }
}

/// What a connection takes part in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Membership {
    /// Topic it sends to; only the relay needs to know.
    pub(crate) publishes: Option<String>,
    /// Topic it receives.
    pub(crate) receives: Option<String>,
    /// What that topic is.
    pub(crate) kind: Kind,
    /// What it logs in with; nothing: with an empty map.
    pub(crate) login: Option<Arc<str>>,
}

/// A message as it goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// Event, record or procedure.
    pub(crate) topic: &'a [u8],
    /// JSON text.
    pub(crate) data: &'a [u8],
    /// Version it makes, of a record written with versions.
    pub(crate) version: i32,
    /// Correlation id, if it is to be answered or acknowledged.
    pub(crate) correlation: Option<&'a [u8]>,
}

/// A message as it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// The procedure; of an event the topic the answer goes to.
    pub(crate) topic: &'a [u8],
    /// Sent back as it came.
    pub(crate) data: &'a [u8],
    /// Of a procedure call.
    pub(crate) correlation: Option<&'a [u8]>,
}

/// What came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Incoming<'a> {
    /// The connection may be used from now on. With the version of the record it takes part in, if that is a record.
    Ready(i32),
    /// A message's payload, and the correlation id of a call.
    Delivery(&'a [u8], Option<&'a [u8]>),
    /// The correlation id of an acknowledged write.
    Acknowledged(&'a [u8]),
    /// The server complained.
    Refused(&'a str),
    /// It ended.
    Closed,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Entering,
    Joining,
    Ready,
    Closed,
}

/// Who takes what came in; may append to the bytes to be written.
pub(crate) trait Taker: FnMut(Incoming<'_>, &mut Vec<u8>) {}
impl<T: FnMut(Incoming<'_>, &mut Vec<u8>)> Taker for T {}

/// Where a connection is in its dialect.
#[derive(Debug)]
pub(crate) struct Speaker {
    reader: Reader,
    stage: Stage,
    membership: Membership,
}

#[derive(Debug)]
enum Reader {
    Deepstream(websocket::Reader),
    Text(websocket::Reader),
    Json(websocket::Reader),
    Http(Vec<u8>),
    Relay { message_bytes: usize, held: Vec<u8> },
    Resp(Vec<u8>),
    Nats(Vec<u8>),
    Mqtt(Vec<u8>),
}

impl Speaker {
    /// Begins a conversation with the first thing to say.
    pub(crate) fn begin(dialect: Dialect, address: &str, membership: Membership, out: &mut Vec<u8>) -> Self {
        let (reader, stage) = match dialect {
            Dialect::Http if membership.receives.is_none() => {
                http::begin(out);
                (Reader::Http(Vec::new()), Stage::Entering)
            }
            Dialect::Deepstream | Dialect::Http => {
                (Reader::Deepstream(websocket::begin(address, deepstream::PATH, out)), Stage::Entering)
            }
            Dialect::Text => (Reader::Text(websocket::begin(address, text::PATH, out)), Stage::Entering),
            Dialect::Json => (Reader::Json(websocket::begin(address, json::PATH, out)), Stage::Entering),
            Dialect::Relay { message_bytes } => {
                relay::begin(&membership, message_bytes, out);
                (Reader::Relay { message_bytes, held: Vec::new() }, Stage::Joining)
            }
            Dialect::Resp => {
                resp::begin(&membership, out);
                (Reader::Resp(Vec::new()), Stage::Joining)
            }
            Dialect::Nats => (Reader::Nats(Vec::new()), Stage::Entering),
            Dialect::Mqtt => {
                mqtt::begin(out);
                (Reader::Mqtt(Vec::new()), Stage::Entering)
            }
        };
        Self { reader, stage, membership }
    }

    /// Takes in bytes, of which nothing is the end.
    pub(crate) fn received(&mut self, bytes: &[u8], out: &mut Vec<u8>, on: &mut impl Taker) {
        if bytes.is_empty() {
            return end(&mut self.stage, out, on);
        }
        let Self { reader, stage, membership } = self;
        match reader {
            Reader::Deepstream(reader) => {
                reader.received(bytes, &mut |event| deepstream::heard(event, stage, membership, out, on));
            }
            Reader::Text(reader) => reader.received(bytes, &mut |event| text::heard(event, stage, membership, out, on)),
            Reader::Json(reader) => reader.received(bytes, &mut |event| json::heard(event, stage, membership, out, on)),
            Reader::Http(held) => whole(held, bytes, |rest| http::received(rest, stage, out, on)),
            Reader::Relay { message_bytes, held } => relay::received(bytes, *message_bytes, held, stage, out, on),
            Reader::Resp(held) => whole(held, bytes, |rest| resp::received(rest, stage, out, on)),
            Reader::Nats(held) => whole(held, bytes, |rest| nats::received(rest, stage, membership, out, on)),
            Reader::Mqtt(held) => whole(held, bytes, |rest| mqtt::received(rest, stage, membership, out, on)),
        }
    }

    /// Whether it ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }
}

fn end(stage: &mut Stage, out: &mut Vec<u8>, on: &mut impl Taker) {
    if *stage != Stage::Closed {
        *stage = Stage::Closed;
        on(Incoming::Closed, out);
    }
}

/// Hands out the rest of the input again and again, as long as one more item is taken from it (its length; 0: it is
/// not all there), and keeps what is left.
fn whole(held: &mut Vec<u8>, bytes: &[u8], mut take: impl FnMut(&[u8]) -> usize) {
    let mut consume = |input: &[u8]| {
        let mut at = 0;
        while at < input.len() {
            match take(&input[at..]) {
                0 => break,
                taken => at += taken,
            }
        }
        at
    };
    if held.is_empty() {
        let at = consume(bytes);
        held.extend_from_slice(&bytes[at..]);
    } else {
        held.extend_from_slice(bytes);
        let at = consume(held);
        held.drain(..at);
    }
}

/// A line without its end, and how long it is with it.
fn line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = input.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&input[..end], end + 2))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}
