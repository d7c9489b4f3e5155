//! Field numbers of the protobuf protocol, and the primitives its encoding is made of.
//!
//! *Owns* which number means what on which topic (docs/protobuf-protocol.md §5), varints and skipping. *Promises* that
//! reading never panics or hangs: every length is checked, every loop advances. *Does not* allocate, and does not know
//! messages.

use crate::action::Topic;

/// What a field of a topic's message means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Not in the schema; skipped.
    Unknown,
    Action,
    Data,
    CorrelationId,
    IsError,
    IsAck,
    IsWriteAck,
    Name,
    Names,
    Path,
    Subscription,
    Version,
    Versions,
    OriginalTopic,
    OriginalAction,
    RequestorName,
    RequestorData,
    /// A text that is not used, but still has to be UTF-8.
    Text,
}

impl Field {
    /// How a field that is read is written.
    const fn wire_type(self) -> Option<u32> {
        match self {
            Self::Action | Self::Version | Self::IsError | Self::IsAck | Self::IsWriteAck => Some(VARINT),
            Self::Data
            | Self::CorrelationId
            | Self::Name
            | Self::Names
            | Self::Path
            | Self::Subscription
            | Self::RequestorName
            | Self::RequestorData
            | Self::Text => Some(BYTES),
            Self::Unknown | Self::Versions | Self::OriginalTopic | Self::OriginalAction => None,
        }
    }
}

/// One more than the highest field number of any topic's message.
pub(crate) const FIELD_COUNT: usize = 15;

/// The meaning of field `number` in a message of `topic`.
pub(crate) fn field_of(topic: Topic, number: u32) -> Field {
    fields(topic).get(number as usize).copied().unwrap_or(Field::Unknown)
}

/// The number of a field in a message of `topic`, if it has one.
pub(crate) fn field_number(topic: Topic, field: Field) -> Option<u32> {
    fields(topic).iter().position(|&found| found == field).map(|number| number as u32)
}

/// All fields of a topic's message, indexed by field number.
pub(crate) const fn fields(topic: Topic) -> &'static [Field; FIELD_COUNT] {
    match topic {
        Topic::Parser => &PARSER,
        Topic::Connection => &CONNECTION,
        Topic::Auth => &AUTH,
        Topic::Event => &EVENT,
        Topic::Record => &RECORD,
        Topic::Rpc => &RPC,
        Topic::Presence => &PRESENCE,
    }
}

/// One more than the highest key of any field.
const KEY_COUNT: usize = 128;

/// What the fields of a topic's message mean by their key: number and wire type. A field in a wire type that is not its
/// own is not known.
pub(crate) const fn by_key(topic: Topic) -> &'static [Field; KEY_COUNT] {
    match topic {
        Topic::Parser => const { &keys(&PARSER) },
        Topic::Connection => const { &keys(&CONNECTION) },
        Topic::Auth => const { &keys(&AUTH) },
        Topic::Event => const { &keys(&EVENT) },
        Topic::Record => const { &keys(&RECORD) },
        Topic::Rpc => const { &keys(&RPC) },
        Topic::Presence => const { &keys(&PRESENCE) },
    }
}

const fn keys(fields: &[Field; FIELD_COUNT]) -> [Field; KEY_COUNT] {
    const { assert!(FIELD_COUNT << 3 <= KEY_COUNT, "every key is a byte") };
    let mut table = [Field::Unknown; KEY_COUNT];
    let mut number = 1;
    while number < FIELD_COUNT {
        if let Some(wire_type) = fields[number].wire_type() {
            table[number << 3 | wire_type as usize] = fields[number];
        }
        number += 1;
    }
    table
}

/// Field number of `topic` of an envelope.
pub(crate) const ENVELOPE_TOPIC: u32 = 2;
/// Field number of the topic's own message in an envelope.
pub(crate) const ENVELOPE_MESSAGE: u32 = 3;
/// Field number of the key of a map entry.
pub(crate) const MAP_KEY: u32 = 1;
/// Field number of the value of a map entry.
pub(crate) const MAP_VALUE: u32 = 2;

/// Wire type of numbers.
pub(crate) const VARINT: u32 = 0;
/// Wire type of text and nested messages.
pub(crate) const BYTES: u32 = 2;

const PARSER: [Field; FIELD_COUNT] =
    row(&[(1, Field::Action), (2, Field::Data), (8, Field::OriginalTopic), (9, Field::OriginalAction)]);

// The texts of the handshake share fields of the head with others; see [`Head`](crate::Head).
const CONNECTION: [Field; FIELD_COUNT] = row(&[
    (1, Field::Action),
    (2, Field::Data),
    (3, Field::IsError),
    (4, Field::IsAck),
    (5, Field::Name),
    (6, Field::Text),
    (7, Field::CorrelationId),
    (8, Field::Path),
]);

const AUTH: [Field; FIELD_COUNT] = row(&[(1, Field::Action), (2, Field::Data), (3, Field::IsError), (4, Field::IsAck)]);

const EVENT: [Field; FIELD_COUNT] = row(&[
    (1, Field::Action),
    (2, Field::Data),
    (3, Field::CorrelationId),
    (4, Field::IsError),
    (5, Field::IsAck),
    (6, Field::Name),
    (7, Field::Names),
    (8, Field::Subscription),
    (10, Field::OriginalTopic),
    (11, Field::OriginalAction),
]);

const RECORD: [Field; FIELD_COUNT] = row(&[
    (1, Field::Action),
    (2, Field::Data),
    (3, Field::CorrelationId),
    (4, Field::IsError),
    (5, Field::IsAck),
    (6, Field::Name),
    (7, Field::Names),
    (8, Field::Text),
    (9, Field::Subscription),
    (10, Field::OriginalAction),
    (11, Field::IsWriteAck),
    (12, Field::Path),
    (13, Field::Version),
    (14, Field::Versions),
]);

const RPC: [Field; FIELD_COUNT] = row(&[
    (1, Field::Action),
    (2, Field::Data),
    (3, Field::CorrelationId),
    (4, Field::IsError),
    (5, Field::IsAck),
    (6, Field::Names),
    (7, Field::Name),
    (9, Field::OriginalAction),
    (10, Field::RequestorName),
    (11, Field::RequestorData),
]);

const PRESENCE: [Field; FIELD_COUNT] = row(&[
    (1, Field::Action),
    (2, Field::OriginalTopic),
    (3, Field::OriginalAction),
    (4, Field::Data),
    (5, Field::CorrelationId),
    (6, Field::IsError),
    (7, Field::IsAck),
    (8, Field::Name),
    (9, Field::Names),
]);

const fn row(known: &[(usize, Field)]) -> [Field; FIELD_COUNT] {
    let mut table = [Field::Unknown; FIELD_COUNT];
    let mut next = 0;
    while next < known.len() {
        table[known[next].0] = known[next].1;
        next += 1;
    }
    table
}

/// A walk over protobuf bytes. `None` from any method means the bytes are not protobuf, or end too early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        self.long_varint(first)
    }

    fn long_varint(&mut self, first: u8) -> Option<u64> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // The tenth byte has room for one bit.
                return (shift < 63 || byte <= 1).then_some(value);
            }
        }
        None
    }

    /// Field number and wire type.
    #[inline]
    pub(crate) fn key(&mut self) -> Option<(u32, u32)> {
        let key = u32::try_from(self.varint()?).ok()?;
        (key >= 8).then_some((key >> 3, key & 7))
    }

    /// A length and that many bytes, and where they start.
    #[inline]
    pub(crate) fn chunk(&mut self) -> Option<(usize, &'a [u8])> {
        let len = usize::try_from(self.varint()?).ok()?;
        let start = self.at;
        let chunk = self.bytes.get(start..start.checked_add(len)?)?;
        self.at = start + len;
        Some((start, chunk))
    }

    /// Passes over the value of a field nobody asked for.
    pub(crate) fn skip(&mut self, number: u32, wire_type: u32) -> Option<()> {
        match wire_type {
            VARINT => self.varint().map(drop),
            1 => self.advance(8),
            BYTES => self.chunk().map(drop),
            3 => self.skip_group(number),
            5 => self.advance(4),
            _ => None,
        }
    }

    /// Groups are long deprecated; deep nesting is refused rather than followed.
    fn skip_group(&mut self, number: u32) -> Option<()> {
        let mut open = [0u32; 16];
        open[0] = number;
        let mut depth = 1;
        while depth > 0 {
            match self.key()? {
                (inner, 3) => {
                    *open.get_mut(depth)? = inner;
                    depth += 1;
                }
                (inner, 4) => {
                    depth -= 1;
                    if open[depth] != inner {
                        return None;
                    }
                }
                (inner, wire_type) => self.skip(inner, wire_type)?,
            }
        }
        Some(())
    }

    fn advance(&mut self, count: usize) -> Option<()> {
        let end = self.at.checked_add(count)?;
        (end <= self.bytes.len()).then(|| self.at = end)
    }
}

/// How many bytes a varint takes.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    // One byte per started group of seven bits; zero takes one too.
    ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7)
}

/// Appends a varint.
#[inline]
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
