//! The protobuf protocol, inbound: bytes of one WebSocket message to heads (docs/protobuf-protocol.md §2, §5).
//!
//! *Owns* the decoder. *Promises* no allocation, no panic for any bytes, and that every text a head points at, except
//! `data`, is UTF-8. A repeated scalar's last value wins, unknown fields and wire types are passed over. A frame may
//! hold several delimited messages (upstream reads only the first); each is given on its own, with only its own bytes,
//! so that keeping one does not keep the others. It does not use a generated decoder: those copy fields into owned
//! values, while we want their positions in the bytes, and whether they are present.

use std::str::from_utf8;

use crate::action::{Action, Topic};
use crate::field::{BYTES, ENVELOPE_MESSAGE, ENVELOPE_TOPIC, Field, Reader, VARINT, by_key, field_of, varint_len};
use crate::message::{Flags, Head, Message, Span, Unreadable};

/// Every message of one frame's payload, in order. An empty payload gives one [`Unreadable::Malformed`]; a malformed
/// message is the last, one on an unknown topic or with an unknown action is not.
pub fn messages(payload: &[u8]) -> Messages<'_> {
    Messages { reader: Reader::new(payload), done: false }
}

/// Iterator of [`messages`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    reader: Reader<'a>,
    done: bool,
}

impl<'a> Messages<'a> {
    /// The payload's bytes that have not been given yet.
    pub fn rest(&self) -> &'a [u8] {
        if self.done { &[] } else { self.reader.bytes.get(self.reader.at..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<&'a [u8]>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let message = match self.reader.chunk() {
            Some((_, envelope)) if !envelope.is_empty() => decode(envelope),
            _ => Err(Unreadable::Malformed),
        };
        // Nothing can be read after malformed bytes, so there is one error per frame, as in upstream.
        self.done = self.reader.is_empty() || message.as_ref().err() == Some(&Unreadable::Malformed);
        Some(message)
    }
}

/// One message without its length.
#[inline]
pub fn decode(envelope: &[u8]) -> Result<Message<&[u8]>, Unreadable> {
    let (topic, body) = open(envelope).ok_or(Unreadable::Malformed)?;
    let topic = Topic::from_code(topic).ok_or(Unreadable::Topic(topic))?;
    if u32::try_from(body.len()).is_err() {
        return Err(Unreadable::Malformed);
    }
    // A placeholder, which is replaced below.
    let mut message = Message { head: Head::new(Action::ParserError), bytes: body };
    let action = read_body(topic, body, &mut message.head).ok_or(Unreadable::Malformed)?;
    message.head.action = Action::from_code(topic, action).ok_or(Unreadable::Action(topic, action))?;
    Ok(message)
}

/// A fast path for a payload that holds one short message in the canonical encoding, as nearly all do: the same result
/// as [`messages`], at a third of the cost. `false`: the payload has to be read the general way, and the content of
/// `message` is undefined.
#[inline]
pub(crate) fn short<'a>(payload: &'a [u8], message: &mut Message<&'a [u8]>) -> bool {
    read_short(payload, message).is_some()
}

#[inline]
fn read_short<'a>(payload: &'a [u8], message: &mut Message<&'a [u8]>) -> Option<()> {
    let &[envelope @ ..0x80, TOPIC_KEY, topic, MESSAGE_KEY, len @ ..0x80, ref body @ ..] = payload else { return None };
    let &[ACTION_KEY, action @ ..0x80, ..] = body else { return None };
    if usize::from(envelope) + 1 != payload.len() || usize::from(len) != body.len() {
        return None;
    }
    let topic = Topic::from_code(u32::from(topic))?;
    *message = Message { head: Head::new(Action::from_code(topic, u32::from(action))?), bytes: body };
    let head = &mut message.head;
    let meanings = by_key(topic);
    let mut last = ACTION_KEY;
    let mut at = 2;
    while let Some(&[key, value]) = body.get(at..).and_then(<[u8]>::first_chunk::<2>) {
        // Keys must ascend, so no field occurs twice.
        if key <= last || key >= 0x80 {
            return None;
        }
        last = key;
        at += 2;
        if u32::from(key & 7) == BYTES {
            let end = at + usize::from(value);
            // Lengths here take one byte: a longer text does not fit into a short message.
            let text = body.get(at..end)?;
            let span = Span { start: at as u32, len: u32::from(value) };
            let (flag, place) = match meanings[usize::from(key)] {
                Field::Data if !text.is_empty() => {
                    head.data = span;
                    head.flags.set(Flags::DATA);
                    at = end;
                    continue;
                }
                Field::Name => (Flags::NAME, &mut head.name),
                Field::CorrelationId => (Flags::CORRELATION_ID, &mut head.correlation_id),
                Field::Path => (Flags::PATH, &mut head.path),
                _ => return None,
            };
            if !is_ascii(text) {
                return None;
            }
            *place = span;
            head.flags.set(flag);
            at = end;
        } else {
            at = read_short_number(body, at - 1, meanings[usize::from(key)], head)?;
        }
    }
    head.flags.set(Flags::EXACT);
    (at == body.len()).then_some(())
}

/// Reads the number at `at`. Gives where it ends, if it is in the canonical encoding.
fn read_short_number(body: &[u8], at: usize, field: Field, head: &mut Head) -> Option<usize> {
    if !matches!(field, Field::Version | Field::IsError | Field::IsAck | Field::IsWriteAck) {
        return None;
    }
    let mut reader = Reader { bytes: body, at };
    let number = reader.varint()?;
    (number_read(head, field, number) && reader.at == at + varint_len(number)).then_some(reader.at)
}

const TOPIC_KEY: u8 = (ENVELOPE_TOPIC << 3 | VARINT) as u8;
const MESSAGE_KEY: u8 = (ENVELOPE_MESSAGE << 3 | BYTES) as u8;
/// The action is the first field of every topic's message.
const ACTION_KEY: u8 = (1 << 3 | VARINT) as u8;

/// Topic code and the topic's own message.
#[inline]
fn open(envelope: &[u8]) -> Option<(u32, &[u8])> {
    let mut reader = Reader { bytes: envelope, at: 3 };
    if let &[TOPIC_KEY, topic @ ..0x80, MESSAGE_KEY, ..] = envelope
        && let Some((_, body)) = reader.chunk()
        && reader.is_empty()
    {
        // The canonical encoding.
        return Some((u32::from(topic), body));
    }
    open_any(envelope)
}

fn open_any(envelope: &[u8]) -> Option<(u32, &[u8])> {
    let mut reader = Reader::new(envelope);
    let mut topic = 0;
    let mut body: &[u8] = &[];
    while !reader.is_empty() {
        match reader.key()? {
            (ENVELOPE_TOPIC, VARINT) => topic = reader.varint()? as u32,
            (ENVELOPE_MESSAGE, BYTES) => body = reader.chunk()?.1,
            (number, wire_type) => reader.skip(number, wire_type)?,
        }
    }
    Some((topic, body))
}

/// Reads everything but the action into the head, and gives the action's code.
fn read_body(topic: Topic, body: &[u8], head: &mut Head) -> Option<u32> {
    let meanings = by_key(topic);
    let mut reader = Reader::new(body);
    let mut action = 0;
    let mut exact = true;
    let mut last = 0;
    while !reader.is_empty() {
        let start = reader.at;
        let key = u32::try_from(reader.varint()?).ok()?;
        exact &= key > last && reader.at == start + 1;
        last = key;
        let field = meanings.get(key as usize).copied().unwrap_or(Field::Unknown);
        match field {
            Field::Action => {
                let value = reader.varint()?;
                action = value as u32;
                exact &= value < 0x80;
            }
            Field::Version | Field::IsError | Field::IsAck | Field::IsWriteAck => {
                let at = reader.at;
                let value = reader.varint()?;
                exact &= number_read(head, field, value) && reader.at == at + varint_len(value);
            }
            Field::Data => {
                let (at, text) = reader.chunk()?;
                // That it is UTF-8 is checked together with its JSON, where the sender can be told which message was
                // wrong.
                head.flags.set(Flags::DATA);
                head.data = Span { start: at as u32, len: text.len() as u32 };
                exact &= !text.is_empty() && at == start + 1 + varint_len(text.len() as u64);
            }
            Field::Unknown => {
                exact = false;
                let number = key >> 3;
                reader.skip((number > 0).then_some(number)?, key & 7)?;
            }
            _ => {
                let (at, text) = reader.chunk()?;
                if !is_utf8(text) {
                    return None;
                }
                let span = Span { start: at as u32, len: text.len() as u32 };
                let whole = Span { start: start as u32, len: (reader.at - start) as u32 };
                exact &= text_read(head, field, span, whole) && at == start + 1 + varint_len(text.len() as u64);
            }
        }
    }
    if exact {
        head.flags.set(Flags::EXACT);
    }
    Some(action)
}

/// Stores a number. Returns whether it is in the canonical form.
fn number_read(head: &mut Head, field: Field, value: u64) -> bool {
    let flag = match field {
        Field::Version => {
            head.version = value as i32;
            head.flags.set(Flags::VERSION);
            return i64::from(head.version) as u64 == value;
        }
        Field::IsError => Flags::IS_ERROR,
        Field::IsAck => Flags::IS_ACK,
        _ => Flags::IS_WRITE_ACK,
    };
    if value == 0 {
        head.flags.clear(flag);
    } else {
        head.flags.set(flag);
    }
    value == 1
}

/// Stores a text. Returns whether the head represents it completely.
#[inline]
fn text_read(head: &mut Head, field: Field, text: Span, whole_field: Span) -> bool {
    match field {
        Field::Name => keep(head, Flags::NAME, |head| &mut head.name, text),
        Field::CorrelationId => keep(head, Flags::CORRELATION_ID, |head| &mut head.correlation_id, text),
        Field::Names if head.flags.has(Flags::NAMES) => {
            head.names.len = whole_field.start + whole_field.len - head.names.start;
        }
        Field::Names => keep(head, Flags::NAMES, |head| &mut head.names, whole_field),
        // `path` and `subscription` share one span. A message with both is a write, for which `path` counts.
        Field::Path => {
            let alone = !head.flags.has(Flags::SUBSCRIPTION);
            head.flags.clear(Flags::SUBSCRIPTION);
            keep(head, Flags::PATH, |head| &mut head.path, text);
            return alone;
        }
        Field::Subscription if !head.flags.has(Flags::PATH) => {
            keep(head, Flags::SUBSCRIPTION, |head| &mut head.path, text);
        }
        _ => return false,
    }
    true
}

#[inline]
fn keep(head: &mut Head, flag: Flags, place: impl FnOnce(&mut Head) -> &mut Span, span: Span) {
    head.flags.set(flag);
    *place(head) = span;
}

/// Names are short and mostly ASCII, so that is checked first, eight bytes at a time.
#[inline]
fn is_utf8(text: &[u8]) -> bool {
    is_ascii(text) || from_utf8(text).is_ok()
}

#[inline]
fn is_ascii(text: &[u8]) -> bool {
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = text.as_chunks::<8>();
    let mut all = words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word)) & HIGHS;
    all |= match text.last_chunk::<8>() {
        // The last eight bytes overlap those before, which is cheaper than single bytes.
        Some(last) => u64::from_le_bytes(*last) & HIGHS,
        None => rest.iter().fold(0, |all, &byte| all | u64::from(byte)) & 0x80,
    };
    all == 0
}

/// Iterator of [`Message::names`](crate::Message::names).
#[derive(Clone, Debug)]
pub struct Names<'a> {
    reader: Reader<'a>,
    topic: Topic,
}

impl<'a> Names<'a> {
    pub(crate) fn new(region: &'a [u8], topic: Topic) -> Self {
        Self { reader: Reader::new(region), topic }
    }

    fn advance(&mut self) -> Option<&'a [u8]> {
        while !self.reader.is_empty() {
            let (number, wire_type) = self.reader.key()?;
            if wire_type == BYTES && field_of(self.topic, number) == Field::Names {
                return Some(self.reader.chunk()?.1);
            }
            self.reader.skip(number, wire_type)?;
        }
        None
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.advance()
    }
}
