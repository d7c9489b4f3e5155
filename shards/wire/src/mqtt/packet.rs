//! Packets on their way out, and where one ends on its way in.
//!
//! *Owns* fixed headers and the few packets a server sends. *Promises* to refuse a packet by its fixed header, before its
//! body is there. *Does not* use the codec for them: that builds owned packets, and these are written in place.

/// A reason code of MQTT 5. Clients of 3.1.1 are told the return code that is closest, where they can be told at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Success = 0x00,
    NoSubscriptionExisted = 0x11,
    Unspecified = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    UnsupportedVersion = 0x84,
    ClientIdInvalid = 0x85,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ShuttingDown = 0x8b,
    BadAuthenticationMethod = 0x8c,
    KeepAliveTimeout = 0x8d,
    TakenOver = 0x8e,
    FilterInvalid = 0x8f,
    TopicNameInvalid = 0x90,
    PacketIdNotFound = 0x92,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    QuotaExceeded = 0x97,
    PayloadFormatInvalid = 0x99,
    SharedSubscriptionsUnsupported = 0x9e,
    ConnectionRateExceeded = 0x9f,
    ConnectTimeExceeded = 0xa0,
}

impl Code {
    const ALL: [Self; 23] = [
        Self::Success,
        Self::NoSubscriptionExisted,
        Self::Unspecified,
        Self::MalformedPacket,
        Self::ProtocolError,
        Self::UnsupportedVersion,
        Self::ClientIdInvalid,
        Self::NotAuthorized,
        Self::ServerUnavailable,
        Self::ShuttingDown,
        Self::BadAuthenticationMethod,
        Self::KeepAliveTimeout,
        Self::TakenOver,
        Self::FilterInvalid,
        Self::TopicNameInvalid,
        Self::PacketIdNotFound,
        Self::TopicAliasInvalid,
        Self::PacketTooLarge,
        Self::QuotaExceeded,
        Self::PayloadFormatInvalid,
        Self::SharedSubscriptionsUnsupported,
        Self::ConnectionRateExceeded,
        Self::ConnectTimeExceeded,
    ];

    /// What it means, for clients of MQTT 5 and for the log.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::NoSubscriptionExisted => "there was no such subscription",
            Self::Unspecified => "refused",
            Self::MalformedPacket => "a packet that cannot be read",
            Self::ProtocolError => "a packet that may not come here, or no MQTT at all",
            Self::UnsupportedVersion => "MQTT 3.1.1 and 5 are spoken here",
            Self::ClientIdInvalid => "a client that wants its session back needs a client identifier",
            Self::NotAuthorized => "the login was refused",
            Self::ServerUnavailable => "the server cannot take it now",
            Self::ShuttingDown => "the server is stopping",
            Self::BadAuthenticationMethod => "enhanced authentication is not spoken here",
            Self::KeepAliveTimeout => "nothing was heard for longer than was promised",
            Self::TakenOver => "the same client connected anew",
            Self::FilterInvalid => "a filter that is none",
            Self::TopicNameInvalid => "a topic that is none",
            Self::PacketIdNotFound => "nothing with that packet identifier is under way",
            Self::TopicAliasInvalid => "topic aliases were not offered",
            Self::PacketTooLarge => "a packet above maxMessageSize",
            Self::QuotaExceeded => "more waits for its acknowledgements than limits.outboxBytesMax",
            Self::PayloadFormatInvalid => "a payload that is neither JSON within limits.nestingMax nor UTF-8",
            Self::SharedSubscriptionsUnsupported => "shared subscriptions are not offered",
            Self::ConnectionRateExceeded => "too many logins were refused",
            Self::ConnectTimeExceeded => "session expired",
        }
    }
}

/// What the reason code with which a connection ended means.
pub(crate) fn words_of(code: u8) -> &'static str {
    Code::ALL.iter().find(|known| **known as u8 == code).map_or("refused", |known| known.words())
}

/// The version a client said it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 3.1 and 3.1.1, which differ in what their clients may send.
    V3,
    V5,
}

/// Types of packets, as they stand in the upper half of the first byte.
pub(super) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const UNSUBACK: u8 = 11;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const PINGRESP: u8 = 13;
    pub(crate) const DISCONNECT: u8 = 14;
    pub(crate) const AUTH: u8 = 15;
}

/// Where a packet's parts lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) body_at: usize,
    pub(super) end: usize,
}

/// The most bytes a remaining length may take.
const LENGTH_LEN_MAX: usize = 4;

/// The extent of the packet `bytes` start with; `None` while its fixed header is not whole.
pub(super) fn extent(bytes: &[u8]) -> Result<Option<Extent>, Code> {
    let mut len = 0;
    for index in 0..LENGTH_LEN_MAX {
        let Some(&byte) = bytes.get(1 + index) else { return Ok(None) };
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let body_at = index + 2;
            return Ok(Some(Extent { body_at, end: body_at + len }));
        }
    }
    Err(Code::MalformedPacket)
}

/// How many bytes are missing from the one packet `bytes` start with, or from its fixed header.
pub(crate) fn missing(bytes: &[u8]) -> usize {
    match extent(bytes) {
        Ok(Some(extent)) => extent.end.saturating_sub(bytes.len()),
        _ => 1,
    }
}

/// Appends a fixed header.
pub(super) fn put_header(first: u8, len: usize, out: &mut Vec<u8>) {
    out.push(first);
    put_length(len, out);
}

/// Appends a variable byte integer.
pub(super) fn put_length(mut len: usize, out: &mut Vec<u8>) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// How many bytes [`put_length`] appends.
pub(super) fn length_len(len: usize) -> usize {
    match len {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// Appends the answer to one packet: PUBACK, PUBREC or PUBCOMP.
///
/// `words` are told with what is no success, where the client takes so much.
pub(super) fn put_answer(
    version: Version,
    kind: u8,
    id: u16,
    code: Code,
    (words, bytes_max): (&[u8], usize),
    out: &mut Vec<u8>,
) {
    let [high, low] = id.to_be_bytes();
    // A client of 3.1.1 cannot be told that its message was refused; it can only be kept from sending it again.
    if version == Version::V5 && code != Code::Success && !words.is_empty() {
        put_reasoned(kind << 4, &[high, low, code as u8], words, bytes_max, out);
    } else if version == Version::V5 && code != Code::Success {
        out.extend_from_slice(&[kind << 4, 3, high, low, code as u8]);
    } else {
        out.extend_from_slice(&[kind << 4, 2, high, low]);
    }
}

/// Appends SUBACK or UNSUBACK.
pub(super) fn put_list(version: Version, kind: u8, id: u16, codes: &[u8], out: &mut Vec<u8>) {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    put_header(kind << 4, 2 + properties.len() + codes.len(), out);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(properties);
    out.extend_from_slice(codes);
}

/// Appends DISCONNECT, which only servers of MQTT 5 send: with the words, if the client takes so much.
pub(super) fn put_disconnect(version: Version, code: u8, words: &[u8], packet_bytes_max: usize, out: &mut Vec<u8>) {
    if version == Version::V5 {
        put_reasoned(kind::DISCONNECT << 4, &[code], words, packet_bytes_max, out);
    }
}

/// Appends a packet of MQTT 5 that is a fixed part, and words if there are any and the client takes so much.
pub(super) fn put_reasoned(first: u8, fixed: &[u8], words: &[u8], packet_bytes_max: usize, out: &mut Vec<u8>) {
    const REASON_STRING: u8 = 0x1f;
    let start = out.len();
    let properties = if words.is_empty() { 0 } else { 3 + words.len() };
    put_header(first, fixed.len() + length_len(properties) + properties, out);
    out.extend_from_slice(fixed);
    put_length(properties, out);
    if properties > 0 {
        out.push(REASON_STRING);
        put_text(words, out);
        if out.len() - start > packet_bytes_max {
            out.truncate(start);
            put_reasoned(first, fixed, &[], packet_bytes_max, out);
        }
    }
}

/// Appends a text with its length in front.
pub(super) fn put_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}

/// Reads the parts of a body.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Body<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn number(&mut self) -> Option<u16> {
        let (number, _) = self.rest().split_first_chunk::<2>()?;
        self.at += 2;
        Some(u16::from_be_bytes(*number))
    }

    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.number()?);
        let text = self.rest().get(..len)?;
        self.at += len;
        Some(text)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
