//! The protobuf protocol, inbound: bytes of one WebSocket message to heads (protocol-binary §2, §5).
//!
//! *Owns* the decoder.
//! *Promises* no allocation, no panic for any bytes, and that every text a head points at, except `data`, is UTF-8. A repeated
//! scalar's last value wins, unknown fields and wire types are passed over. A frame may hold several delimited messages
//! (upstream reads only the first); each is given on its own, its bytes cut to its own extent, so that whoever keeps
//! it keeps nothing else.
//! *Does not* use a generated decoder: those build owned or repeated-field views, and we want spans and presence.

use std::str::from_utf8;

use crate::action::{Action, Topic};
use crate::field::{BYTES, ENVELOPE_MESSAGE, ENVELOPE_TOPIC, Field, Reader, VARINT, field_of, fields};
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
        // What follows garbage is garbage: one complaint per frame, as upstream makes it.
        self.done = self.reader.is_empty() || message.as_ref().err() == Some(&Unreadable::Malformed);
        Some(message)
    }
}

/// One message without its length.
pub fn decode(envelope: &[u8]) -> Result<Message<&[u8]>, Unreadable> {
    let (topic, body) = open(envelope).ok_or(Unreadable::Malformed)?;
    let topic = Topic::from_code(topic).ok_or(Unreadable::Topic(topic))?;
    if u32::try_from(body.len()).is_err() {
        return Err(Unreadable::Malformed);
    }
    let (action, mut head) = read_body(topic, body).ok_or(Unreadable::Malformed)?;
    head.action = Action::from_code(topic, action).ok_or(Unreadable::Action(topic, action))?;
    Ok(Message { head, bytes: body })
}

/// Topic code and the topic's own message.
fn open(envelope: &[u8]) -> Option<(u32, &[u8])> {
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

/// Action code, and the head with everything but its action.
fn read_body(topic: Topic, body: &[u8]) -> Option<(u32, Head)> {
    let table = fields(topic);
    let mut reader = Reader::new(body);
    let mut action = 0;
    // The action is replaced before anyone sees it.
    let mut head = Head::new(Action::ParserError);
    while !reader.is_empty() {
        let start = reader.at;
        let (number, wire_type) = reader.key()?;
        let field = table.get(number as usize).copied().unwrap_or(Field::Unknown);
        match wire_type {
            VARINT => {
                let value = reader.varint()?;
                if field == Field::Action {
                    action = value as u32;
                } else {
                    number_read(&mut head, field, value);
                }
            }
            BYTES => {
                let (at, text) = reader.chunk()?;
                let span = Span { start: at as u32, len: text.len() as u32 };
                if field == Field::Data {
                    // A payload is checked with its JSON, where its sender can still be told which message was bad.
                    head.flags.set(Flags::DATA);
                    head.data = span;
                } else if is_text(field) {
                    from_utf8(text).ok()?;
                    let field_span = Span { start: start as u32, len: (reader.at - start) as u32 };
                    text_read(&mut head, field, span, field_span);
                }
            }
            _ => reader.skip(number, wire_type)?,
        }
    }
    Some((action, head))
}

fn number_read(head: &mut Head, field: Field, value: u64) {
    let flag = match field {
        Field::Version => {
            head.version = value as i32;
            head.flags.set(Flags::VERSION);
            return;
        }
        Field::IsError => Flags::IS_ERROR,
        Field::IsAck => Flags::IS_ACK,
        Field::IsWriteAck => Flags::IS_WRITE_ACK,
        _ => return,
    };
    if value == 0 { head.flags.clear(flag) } else { head.flags.set(flag) }
}

fn text_read(head: &mut Head, field: Field, text: Span, whole_field: Span) {
    match field {
        Field::Name => keep(head, Flags::NAME, |head| &mut head.name, text),
        Field::CorrelationId => keep(head, Flags::CORRELATION_ID, |head| &mut head.correlation_id, text),
        Field::Names if head.flags.has(Flags::NAMES) => {
            head.names.len = whole_field.start + whole_field.len - head.names.start;
        }
        Field::Names => keep(head, Flags::NAMES, |head| &mut head.names, whole_field),
        // Both live in one span: a message that has both is a write, and a write is about its path.
        Field::Path => {
            head.flags.clear(Flags::SUBSCRIPTION);
            keep(head, Flags::PATH, |head| &mut head.path, text);
        }
        Field::Subscription if !head.flags.has(Flags::PATH) => {
            keep(head, Flags::SUBSCRIPTION, |head| &mut head.path, text);
        }
        _ => {}
    }
}

fn keep(head: &mut Head, flag: Flags, place: impl FnOnce(&mut Head) -> &mut Span, span: Span) {
    head.flags.set(flag);
    *place(head) = span;
}

fn is_text(field: Field) -> bool {
    matches!(
        field,
        Field::Name
            | Field::Names
            | Field::CorrelationId
            | Field::Path
            | Field::Subscription
            | Field::RequestorName
            | Field::RequestorData
            | Field::Text
    )
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
