//! A decoded message: a fixed head over the bytes it was decoded from.
//!
//! *Owns* the shapes that travel between decoder, engine and encoder.
//! *Promises* that every [`Span`] of a decoded message lies inside its bytes, that all text in it but `data` is UTF-8, and that
//! an absent field is told apart from an empty one (docs/protobuf-protocol.md §2.1).
//! *Does not* interpret payloads: `data` is the JSON text as it came, unchecked.

use crate::action::{Action, Topic};
use crate::binary::Names;
use std::fmt;
use std::ops::BitOr;
use std::str::from_utf8;

/// The encoding of a connection. Fan-out encodes a message once for each wire that some receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Wire {
    /// The protobuf protocol, as JavaScript clients from 7.1.0 speak it.
    Protobuf = 0,
    /// The protobuf protocol for clients that do not know PATCH_MULTI: they are sent whole updates instead
    /// (docs/protobuf-protocol.md §7).
    ProtobufNoMulti = 1,
    /// The text protocol of the third generation of clients.
    Text = 2,
    /// JSON objects. Its clients may be old, so they are not sent PATCH_MULTI.
    Json = 3,
    /// A request of the HTTP API. Between engine and host it is protobuf; the host turns it into JSON.
    Http = 4,
    /// MQTT, of any version: an internal form, which the link turns into packets.
    Mqtt = 5,
    /// The text protocol for the SDKs for Java and iOS, which expect other acknowledgements of presence.
    TextSdk = 6,
}

impl Wire {
    /// How many wires there are; the length of a table indexed by `Wire as usize`.
    pub const COUNT: usize = 7;
    /// Every wire, in index order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Protobuf, Self::ProtobufNoMulti, Self::Text, Self::Json, Self::Http, Self::Mqtt, Self::TextSdk];

    /// The wire whose encoding this one shares, except for messages that differ between the two.
    #[must_use]
    pub fn encoding(self) -> Self {
        match self {
            Self::Protobuf | Self::ProtobufNoMulti | Self::Http => Self::Protobuf,
            Self::Text | Self::TextSdk => Self::Text,
            Self::Json | Self::Mqtt => self,
        }
    }

    /// Whether this is the text protocol, for any of its clients.
    pub fn is_text(self) -> bool {
        self.encoding() == Self::Text
    }

    /// Whether clients of this wire understand PATCH_MULTI. Those that do not are sent the whole value.
    pub fn knows_patch_multi(self) -> bool {
        match self {
            Self::Protobuf | Self::Http => true,
            Self::ProtobufNoMulti | Self::Text | Self::TextSdk | Self::Json | Self::Mqtt => false,
        }
    }

    /// Whether clients of this wire understand patches. Those that do not are sent the whole value.
    pub fn knows_patches(self) -> bool {
        !matches!(self, Self::Mqtt)
    }

    /// Whether SUBSCRIBE_AND_READ and the like are acknowledged at once, before it is known whether they are allowed.
    pub fn is_acknowledged_early(self) -> bool {
        !self.is_text()
    }

    /// Whether the server speaks first, with a challenge that need not be answered, and sends the pings.
    pub fn server_leads(self) -> bool {
        match self {
            Self::Protobuf | Self::ProtobufNoMulti | Self::Json | Self::Http | Self::Mqtt => false,
            Self::Text | Self::TextSdk => true,
        }
    }

    /// Whether the client has to answer a challenge before it logs in.
    pub fn is_challenged(self) -> bool {
        !self.server_leads() && !matches!(self, Self::Http | Self::Mqtt)
    }

    /// Whether a connection has only one login, and ends if it is refused.
    pub fn logs_in_once(self) -> bool {
        self == Self::Mqtt
    }

    /// Whether its connections last. Those of single requests do not count for presence, and are not logged.
    pub fn stays(self) -> bool {
        self != Self::Http
    }
}

/// A range of a message's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// The bytes this span covers. A span outside `bytes` gives the empty slice.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// Which optional fields were on the wire, and the boolean ones that were true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Flags {
    /// `name` was present.
    pub const NAME: Self = Self(1);
    /// `names` held at least one entry.
    pub const NAMES: Self = Self(1 << 1);
    /// `data` was present.
    pub const DATA: Self = Self(1 << 2);
    /// `correlationId` was present.
    pub const CORRELATION_ID: Self = Self(1 << 3);
    /// `path` was present, perhaps empty.
    pub const PATH: Self = Self(1 << 4);
    /// `subscription` was present.
    pub const SUBSCRIPTION: Self = Self(1 << 5);
    /// `version` was present, perhaps 0.
    pub const VERSION: Self = Self(1 << 6);
    /// `isError` was true.
    pub const IS_ERROR: Self = Self(1 << 7);
    /// `isAck` was true.
    pub const IS_ACK: Self = Self(1 << 8);
    /// `isWriteAck` was true.
    pub const IS_WRITE_ACK: Self = Self(1 << 9);
    /// The bytes are, one for one, what the encoder of protobuf makes of the fields that are there.
    pub const EXACT: Self = Self(1 << 10);
    /// The sender also receives its own message if it is subscribed. Not on the wire: implied by some protocols.
    pub const ECHO: Self = Self(1 << 11);
    /// On EMIT: the same data is also written to the record of this name (MQTT's retain flag).
    pub const IS_KEPT: Self = Self(1 << 12);
    /// On SUBSCRIBE or UNSUBSCRIBE: the names are filters, in which `+` stands for a level and `#` for all that follow.
    pub const FILTER: Self = Self(1 << 13);
    /// On EMIT without `data`: its sender explicitly sent "no value" (`undefined`), for which its protocol has a form.
    pub const UNDEFINED: Self = Self(1 << 14);

    /// Whether all bits of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets the bits of `other`.
    pub fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Clears the bits of `other`.
    pub fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

/// The fixed part of a message: decoded once at the edge, then carried with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Seeded hash of `name`; 0 until the engine has filled it in. Decoders leave it 0.
    pub name_hash: u64,
    /// `version`; meaningful where [`Flags::VERSION`] is set.
    pub version: i32,
    /// Which fields are there.
    pub flags: Flags,
    /// The action; implies the topic.
    pub action: Action,
    /// `name`: record, event or RPC name, user, or listen pattern.
    pub name: Span,
    /// `data`: JSON text.
    pub data: Span,
    /// `correlationId`.
    pub correlation_id: Span,
    /// `path` of a record message, or `subscription` of a listen message; the flags tell which, and a message that
    /// has both keeps `path`. Messages of the handshake keep `sdkType` here, `sdkVersion` in `correlation_id` and
    /// `url` in `name`.
    pub path: Span,
    /// Where the repeated `names` fields lie, first to last, in wire encoding; read them with [`Message::names`].
    pub names: Span,
}

const _: () = assert!(size_of::<Head>() == 56, "a head is copied with every hop");

impl Head {
    /// A head with nothing but its action.
    #[inline]
    pub fn new(action: Action) -> Self {
        Self {
            name_hash: 0,
            version: 0,
            flags: Flags::default(),
            action,
            name: Span::default(),
            data: Span::default(),
            correlation_id: Span::default(),
            path: Span::default(),
            names: Span::default(),
        }
    }
}

/// A head and the bytes it points into, owned or borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Message<B> {
    /// The fixed part.
    pub head: Head,
    /// The bytes the head's spans point into.
    pub bytes: B,
}

impl<'a> Message<&'a [u8]> {
    /// A message made by the server, about a name.
    pub fn about(action: Action, name: &'a [u8]) -> Self {
        let mut head = Head { name: Span { start: 0, len: name.len() as u32 }, ..Head::new(action) };
        head.flags.set(Flags::NAME);
        Self { head, bytes: name }
    }
}

impl<B: AsRef<[u8]>> Message<B> {
    /// `name`, or the empty slice where it was absent.
    pub fn name(&self) -> &[u8] {
        self.head.name.of(self.bytes.as_ref())
    }

    /// `data`, if present.
    pub fn data(&self) -> Option<&[u8]> {
        self.field(Flags::DATA, self.head.data)
    }

    /// `correlationId`, if present.
    pub fn correlation_id(&self) -> Option<&[u8]> {
        self.field(Flags::CORRELATION_ID, self.head.correlation_id)
    }

    /// `path`, if present.
    pub fn path(&self) -> Option<&[u8]> {
        self.field(Flags::PATH, self.head.path)
    }

    /// `subscription`, if present.
    pub fn subscription(&self) -> Option<&[u8]> {
        self.field(Flags::SUBSCRIPTION, self.head.path)
    }

    /// Every entry of `names`, in order.
    pub fn names(&self) -> Names<'_> {
        Names::new(self.head.names.of(self.bytes.as_ref()), self.head.action.topic())
    }

    /// The bytes, if they are exactly the encoding of a message with these fields and no others: then it can be passed
    /// on unchanged.
    pub fn verbatim(&self, fields: Flags) -> Option<&[u8]> {
        (self.head.flags.0 == fields.0 | Flags::EXACT.0).then(|| self.bytes.as_ref())
    }

    /// The same message over borrowed bytes.
    pub fn borrowed(&self) -> Message<&[u8]> {
        Message { head: self.head, bytes: self.bytes.as_ref() }
    }

    fn field(&self, flag: Flags, span: Span) -> Option<&[u8]> {
        self.head.flags.has(flag).then(|| span.of(self.bytes.as_ref()))
    }
}

/// Why bytes did not become a message. The answer depends on the session's state, so the engine decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not a message of this protocol at all, or cut short, or not UTF-8.
    #[error("not a message")]
    Malformed,
    /// A well-formed message on a topic that does not exist.
    #[error("unknown topic {0}")]
    Topic(u32),
    /// A known topic with an action number it does not have.
    #[error("unknown action {1} of {topic}", topic = .0.name())]
    Action(Topic, u32),
    /// The same in protocols whose topics are words.
    #[error("unknown topic {0}")]
    TopicWord(Word),
    /// The same in protocols whose actions are words.
    #[error("unknown action {1} of {topic}", topic = .0.name())]
    ActionWord(Topic, Word),
}

impl Unreadable {
    /// The topic of an unknown action.
    pub fn topic(&self) -> Option<Topic> {
        match *self {
            Self::Action(topic, _) | Self::ActionWord(topic, _) => Some(topic),
            Self::Malformed | Self::Topic(_) | Self::TopicWord(_) => None,
        }
    }

    /// The unknown word, if it was one.
    pub fn word(&self) -> Option<&Word> {
        match self {
            Self::TopicWord(word) | Self::ActionWord(_, word) => Some(word),
            Self::Malformed | Self::Topic(_) | Self::Action(..) => None,
        }
    }
}

/// The beginning of an unknown word, as it is repeated to the client: known words have at most three letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word {
    len: u8,
    bytes: [u8; Self::LEN_MAX],
}

impl Word {
    const LEN_MAX: usize = 23;

    /// As many whole characters as there is room for.
    pub fn new(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(Self::LEN_MAX)];
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self { len: text.len() as u8, bytes }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A message to be encoded. Absent fields are not written; `version` is written even when 0.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What is said.
    pub action: Action,
    /// `name`.
    pub name: Option<&'a [u8]>,
    /// `names`.
    pub names: &'a [&'a [u8]],
    /// `data`: JSON text, never empty.
    pub data: Option<&'a [u8]>,
    /// `correlationId`.
    pub correlation_id: Option<&'a [u8]>,
    /// `path`.
    pub path: Option<&'a [u8]>,
    /// `subscription`.
    pub subscription: Option<&'a [u8]>,
    /// `version`.
    pub version: Option<i32>,
    /// `versions` of HEAD_RESPONSE_BULK.
    pub versions: &'a [(&'a [u8], i32)],
    /// `originalTopic`; left out where the topic's message has no such field.
    pub original_topic: Option<Topic>,
    /// `originalAction`; left out where the topic's message has no such field.
    pub original_action: Option<Action>,
    /// `requestorName`: who asks, for an RPC's provider.
    pub requestor_name: Option<&'a [u8]>,
    /// `requestorData`: JSON text, for an RPC's provider.
    pub requestor_data: Option<&'a [u8]>,
    /// `isError`, written when true.
    pub is_error: bool,
    /// `isAck`, written when true.
    pub is_ack: bool,
    /// `isWriteAck`, written when true.
    pub is_write_ack: bool,
    /// On EMIT: subscribers of the record of this name also receive it as a change of that record. Only for protocols
    /// in which events and records are one (MQTT).
    pub is_kept: bool,
    /// On EMIT without `data`: see [`Flags::UNDEFINED`]. Only for protocols with a form for it.
    pub is_undefined: bool,
}

impl Outgoing<'_> {
    /// A message with nothing but its action.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            name: None,
            names: &[],
            data: None,
            correlation_id: None,
            path: None,
            subscription: None,
            version: None,
            versions: &[],
            original_topic: None,
            original_action: None,
            requestor_name: None,
            requestor_data: None,
            is_error: false,
            is_ack: false,
            is_write_ack: false,
            is_kept: false,
            is_undefined: false,
        }
    }
}

/// A message to many receivers.
#[derive(Clone, Copy, Debug)]
pub enum Broadcast<'a> {
    /// A client's message, passed on unchanged ([`Message::verbatim`]).
    Verbatim(Topic, &'a [u8]),
    /// Anything else.
    Encoded(Outgoing<'a>),
}

impl<'a> From<Outgoing<'a>> for Broadcast<'a> {
    #[inline]
    fn from(message: Outgoing<'a>) -> Self {
        Self::Encoded(message)
    }
}
