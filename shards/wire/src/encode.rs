//! Encodes messages: into whole WebSocket frames of any protocol, and into protobuf bytes (docs/protobuf-protocol.md
//! §2).
//!
//! *Owns* which fields are written, in ascending order, as upstream's encoder does. *Promises* complete frames appended
//! per call, without intermediate buffers: one, and for a refused write of the text protocol a second. Protobuf is
//! sized first and then written. `version` is written even when 0, booleans only when true, and `data` never empty: an
//! official client runs `JSON.parse` on any `data` that is present and does not survive the empty text
//! (docs/protobuf-protocol.md §2.1). *Does not* check that a message makes sense.

use crate::action::Topic;
use crate::field::{
    BYTES, ENVELOPE_MESSAGE, ENVELOPE_TOPIC, FIELD_COUNT, Field, MAP_KEY, MAP_VALUE, VARINT, fields, put_varint,
    varint_len,
};
use crate::message::{Outgoing, Wire};
use crate::mqtt;
use crate::plain;
use crate::text;
use crate::ws::{FINAL_BINARY, FINAL_TEXT};

/// Appends a message as server frames, headers included. A text frame holds only one message, because some clients read
/// no further.
pub fn encode(wire: Wire, message: &Outgoing<'_>, out: &mut Vec<u8>) {
    match wire {
        Wire::Protobuf | Wire::ProtobufNoMulti | Wire::Http => protobuf_frame(message, out),
        Wire::Text | Wire::TextSdk => {
            let write = if wire == Wire::Text { text::write } else { text::write_for_sdks };
            text_frame(message, write, out);
            if text::settles_writer(message) {
                text_frame(message, text::settle_writer, out);
            }
        }
        Wire::Json => text_frame(message, plain::write, out),
        Wire::Mqtt => mqtt::write(message, out),
    }
}

/// Appends one complete frame of protobuf around an encoded body.
#[inline]
pub fn pass_on(topic: Topic, body: &[u8], out: &mut Vec<u8>) {
    put_head(topic, body.len(), out);
    out.extend_from_slice(body);
}

/// Bytes before the body of a message whose every length is one byte: frame header, envelope, the body's own length.
const SHORT_HEAD_LEN: usize = 7;
/// The longest body of such a message: a frame of more than 125 bytes has a longer header.
const SHORT_BODY_MAX: usize = 125 - (SHORT_HEAD_LEN - 2);

fn protobuf_frame(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let topic = message.action.topic();
    let start = out.len();
    if message.data.map_or(0, <[u8]>::len) <= SHORT_BODY_MAX {
        // Nearly all messages are short, and then the length of their head is known in advance.
        out.reserve(SHORT_HEAD_LEN + SHORT_BODY_MAX);
        out.extend_from_slice(&[0; SHORT_HEAD_LEN]);
        walk(message, out);
        let body = out.len() - start - SHORT_HEAD_LEN;
        if body <= SHORT_BODY_MAX {
            out[start..start + SHORT_HEAD_LEN].copy_from_slice(&short_head(topic, body));
            return;
        }
        out.truncate(start);
    }
    let body = body_len(message);
    put_head(topic, body, out);
    walk(message, out);
}

#[inline]
fn short_head(topic: Topic, body: usize) -> [u8; SHORT_HEAD_LEN] {
    let [topic_key, topic, message_key] = envelope_keys(topic);
    [FINAL_BINARY, body as u8 + 5, body as u8 + 4, topic_key, topic, message_key, body as u8]
}

/// Appends everything before the body, and reserves room for the body.
#[inline]
fn put_head(topic: Topic, body: usize, out: &mut Vec<u8>) {
    if body <= SHORT_BODY_MAX {
        out.reserve(SHORT_HEAD_LEN + body);
        return out.extend_from_slice(&short_head(topic, body));
    }
    put_long_head(topic, body, out);
}

fn put_long_head(topic: Topic, body: usize, out: &mut Vec<u8>) {
    let envelope = envelope_len(topic, body);
    let delimited = varint_len(envelope as u64) + envelope;
    out.reserve(HEADER_LEN_MAX + delimited);
    frame_header(FINAL_BINARY, delimited, out);
    put_envelope(topic, body, envelope, out);
}

/// Appends a text frame. The length of its payload is only known afterwards, so the header is written after it and
/// rotated to the front: for the usual hundred bytes that is cheaper than counting first.
fn text_frame(message: &Outgoing<'_>, write: impl FnOnce(&Outgoing<'_>, &mut Vec<u8>), out: &mut Vec<u8>) {
    let start = out.len();
    write(message, out);
    let end = out.len();
    frame_header(FINAL_TEXT, end - start, out);
    let header_len = out.len() - end;
    out[start..].rotate_right(header_len);
}

/// Appends one delimited message without any frame around it: what the payload of a frame is.
pub fn encode_message(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let body = body_len(message);
    put_message(message, body, envelope_len(message.action.topic(), body), out);
}

/// How many bytes [`encode_message`] will append.
pub fn message_len(message: &Outgoing<'_>) -> usize {
    let envelope = envelope_len(message.action.topic(), body_len(message));
    varint_len(envelope as u64) + envelope
}

/// Appends the header of an unmasked frame with a payload of `len` bytes; `first` is its first byte.
#[inline]
pub fn frame_header(first: u8, len: usize, out: &mut Vec<u8>) {
    match len {
        0..=125 => out.extend_from_slice(&[first, len as u8]),
        126..=0xffff => {
            let [high, low] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The longest header [`frame_header`] writes.
const HEADER_LEN_MAX: usize = 10;

pub(crate) fn envelope_len(topic: Topic, body: usize) -> usize {
    key_len(ENVELOPE_TOPIC) + varint_len(topic as u64) + key_len(ENVELOPE_MESSAGE) + varint_len(body as u64) + body
}

pub(crate) fn put_envelope(topic: Topic, body: usize, envelope: usize, out: &mut Vec<u8>) {
    put_varint(envelope as u64, out);
    out.extend_from_slice(&envelope_keys(topic));
    put_varint(body as u64, out);
}

/// What stands between the envelope's length and the body's.
#[inline]
fn envelope_keys(topic: Topic) -> [u8; 3] {
    const { assert!(ENVELOPE_MESSAGE < 16 && (Topic::Presence as u8) < 0x80, "keys and topics are bytes") };
    let (topic_key, message_key) = (ENVELOPE_TOPIC << 3 | VARINT, ENVELOPE_MESSAGE << 3 | BYTES);
    [topic_key as u8, topic as u8, message_key as u8]
}

fn put_message(message: &Outgoing<'_>, body: usize, envelope: usize, out: &mut Vec<u8>) {
    put_envelope(message.action.topic(), body, envelope, out);
    walk(message, out);
}

fn body_len(message: &Outgoing<'_>) -> usize {
    let mut count = Count(0);
    walk(message, &mut count);
    count.0
}

/// Visits every field that is to be written, in ascending order. Both passes run this, so they cannot disagree.
fn walk(message: &Outgoing<'_>, sink: &mut impl Sink) {
    // Unrolled over the field numbers, so that the compiler resolves each topic's table, and what is left is
    // straight-line code for the fields of that topic (less than half the instructions of a loop over the table).
    macro_rules! each {
        ($topic:expr, $($number:literal)*) => {{
            const { assert!([0, $($number),*].len() == FIELD_COUNT, "every field number is visited") };
            $(walk_field(const { fields($topic)[$number] }, $number, message, sink);)*
        }};
    }
    macro_rules! walk_topic {
        ($topic:expr) => {
            each!($topic, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
        };
    }
    match message.action.topic() {
        Topic::Parser => walk_topic!(Topic::Parser),
        Topic::Connection => walk_topic!(Topic::Connection),
        Topic::Auth => walk_topic!(Topic::Auth),
        Topic::Event => walk_topic!(Topic::Event),
        Topic::Record => walk_topic!(Topic::Record),
        Topic::Rpc => walk_topic!(Topic::Rpc),
        Topic::Presence => walk_topic!(Topic::Presence),
    }
}

#[allow(clippy::inline_always, reason = "the field is a constant at every call, and has to stay one")]
#[inline(always)]
fn walk_field(field: Field, number: u32, message: &Outgoing<'_>, sink: &mut impl Sink) {
    match field {
        Field::Unknown | Field::Text => {}
        Field::Action => sink.number(number, u64::from(message.action.code())),
        Field::Data => sink.optional(number, message.data.filter(|data| !data.is_empty())),
        Field::CorrelationId => sink.optional(number, message.correlation_id),
        Field::IsError => sink.flag(number, message.is_error),
        Field::IsAck => sink.flag(number, message.is_ack),
        Field::IsWriteAck => sink.flag(number, message.is_write_ack),
        Field::Name => sink.optional(number, message.name),
        Field::Names => message.names.iter().for_each(|name| sink.text(number, name)),
        Field::Path => sink.optional(number, message.path),
        Field::Subscription => sink.optional(number, message.subscription),
        Field::Version => {
            if let Some(version) = message.version {
                sink.number(number, signed(version));
            }
        }
        Field::Versions => message.versions.iter().for_each(|&(name, version)| sink.entry(number, name, version)),
        Field::OriginalTopic => {
            if let Some(topic) = message.original_topic {
                sink.number(number, topic as u64);
            }
        }
        Field::OriginalAction => {
            if let Some(action) = message.original_action {
                sink.number(number, u64::from(action.code()));
            }
        }
        Field::RequestorName => sink.optional(number, message.requestor_name),
        Field::RequestorData => sink.optional(number, message.requestor_data),
    }
}

/// A negative int32 is sign-extended: ten bytes.
fn signed(value: i32) -> u64 {
    i64::from(value) as u64
}

/// Receives the fields from [`walk`]: first a counter, then the buffer.
trait Sink {
    fn number(&mut self, field: u32, value: u64);
    fn text(&mut self, field: u32, text: &[u8]);
    fn entry(&mut self, field: u32, key: &[u8], value: i32);

    fn optional(&mut self, field: u32, text: Option<&[u8]>) {
        if let Some(text) = text {
            self.text(field, text);
        }
    }

    fn flag(&mut self, field: u32, value: bool) {
        if value {
            self.number(field, 1);
        }
    }
}

struct Count(usize);

impl Sink for Count {
    fn number(&mut self, field: u32, value: u64) {
        self.0 += key_len(field) + varint_len(value);
    }

    fn text(&mut self, field: u32, text: &[u8]) {
        self.0 += key_len(field) + varint_len(text.len() as u64) + text.len();
    }

    fn entry(&mut self, field: u32, key: &[u8], value: i32) {
        let entry = entry_len(key, value);
        self.0 += key_len(field) + varint_len(entry as u64) + entry;
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn number(&mut self, field: u32, value: u64) {
        if field <= KEY_BYTE_MAX && value < 0x80 {
            return self.extend_from_slice(&[(field << 3 | VARINT) as u8, value as u8]);
        }
        put_key(field, VARINT, self);
        put_varint(value, self);
    }

    fn text(&mut self, field: u32, text: &[u8]) {
        put_text(field, text, self);
    }

    fn entry(&mut self, field: u32, key: &[u8], value: i32) {
        put_key(field, BYTES, self);
        put_varint(entry_len(key, value) as u64, self);
        self.text(MAP_KEY, key);
        self.number(MAP_VALUE, signed(value));
    }
}

fn entry_len(key: &[u8], value: i32) -> usize {
    let mut count = Count(0);
    count.text(MAP_KEY, key);
    count.number(MAP_VALUE, signed(value));
    count.0
}

pub(crate) fn key_len(field: u32) -> usize {
    varint_len(u64::from(field) << 3)
}

pub(crate) fn put_key(field: u32, wire_type: u32, out: &mut Vec<u8>) {
    put_varint(u64::from(field << 3 | wire_type), out);
}

/// The highest field number whose key is one byte.
const KEY_BYTE_MAX: u32 = 15;

pub(crate) fn put_text(field: u32, text: &[u8], out: &mut Vec<u8>) {
    if field <= KEY_BYTE_MAX && text.len() < 0x80 {
        out.extend_from_slice(&[(field << 3 | BYTES) as u8, text.len() as u8]);
    } else {
        put_key(field, BYTES, out);
        put_varint(text.len() as u64, out);
    }
    out.extend_from_slice(text);
}

/// Appends a number in digits, without a formatter: every change of a record has a version.
pub(crate) fn put_number(number: i32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}
