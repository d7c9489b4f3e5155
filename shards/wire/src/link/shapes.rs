//! What a link is told once, and what it says: listeners' settings and events.
//!
//! *Owns* the shapes only; what they come from is [`Link`](super::Link)'s.

use crate::gate::Gate;
use crate::message::{Message, Unreadable, Wire};
use crate::mqtt;
use crate::upgrade::{self, Handshake, Refusal};

/// A path on which an upgrade is accepted. A request's query string is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The path.
    pub path: String,
    /// What is spoken there.
    pub wire: Wire,
    /// Largest message, over all its fragments.
    pub max_message_bytes: usize,
}

impl Endpoint {
    /// Whether a request's path is this one's. Slashes at the end are as good as none: people and proxies add them.
    pub fn serves(&self, path: &str) -> bool {
        self.path == path || self.path.trim_end_matches('/') == path.trim_end_matches('/')
    }
}

/// What a link has to know about its listener; shared by all links of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// At most 256.
    pub endpoints: Vec<Endpoint>,
    /// Largest head of an upgrade request.
    pub max_request_bytes: usize,
    /// What holds for connections of MQTT.
    pub mqtt: mqtt::Settings,
    /// Who is let in.
    pub gate: Gate,
    /// On the path of protobuf: the silence in milliseconds after which a client is spoken to in text, as it seems to wait for the
    /// server to speak first. `None`: protobuf alone is spoken there.
    pub text_after_ms: Option<u32>,
}

impl LinkConfig {
    /// Where this is spoken, if anywhere.
    pub fn path_of(&self, wire: Wire) -> Option<&str> {
        self.endpoints.iter().find(|endpoint| endpoint.wire == wire).map(|endpoint| endpoint.path.as_str())
    }

    /// The endpoint whose clients are served on the path of this one too, if it is protobuf's.
    pub(crate) fn text_beside(&self, index: usize) -> Option<usize> {
        self.text_after_ms?;
        self.endpoints.get(index).filter(|endpoint| endpoint.wire == Wire::Protobuf)?;
        self.endpoints.iter().position(|endpoint| endpoint.wire == Wire::Text)
    }

    /// Whether a connection that began with this head would not be one of HTTP: it would become a WebSocket, or be told why
    /// not.
    pub fn takes_over(&self, head: &[u8]) -> bool {
        let judged = upgrade::read(head, self);
        !matches!(judged, Ok(None) | Err(Refusal::NoUpgrade))
    }
}

/// What a listener expects to be spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// HTTP, and WebSocket after an upgrade.
    #[default]
    Web,
    /// MQTT.
    Mqtt,
}

/// What the bytes amounted to.
#[derive(Debug)]
pub enum LinkEvent<'a> {
    /// The upgrade was accepted; messages may follow.
    Upgraded(&'a Handshake),
    /// What is spoken turned out to be something else than the upgrade said, before the client's first message.
    Turned(Wire),
    /// A client of MQTT said who it is; its login follows.
    Introduced(mqtt::Introduction<'a>),
    /// A message.
    Message(&'a Message<&'a [u8]>),
    /// Bytes that are no message; the link goes on.
    Unreadable(Unreadable),
    /// Bytes of a connection on which HTTP goes on: from its first one, as they come.
    Http(&'a [u8]),
    /// Whoever is there is not let in, for this reason, and was told; the link is over.
    Forbidden(&'a str),
    /// The link is over: flush `replies`, then close the socket. The handler's answer is ignored.
    Close(Closing),
}

/// Why a link is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The peer sent a close frame, with this code; it was echoed.
    Peer(Option<u16>),
    /// The peer broke the rules of WebSocket, or of what is spoken there; it was told this close code, and these words.
    Protocol(u16, &'static str),
    /// What it sent is another protocol's, spoken on another path, if on any; it was told 1003, and where.
    Elsewhere(Wire),
    /// A message above `max_message_bytes`; the peer was told 1009, and how much that is.
    TooBig,
    /// It was no upgrade, and was answered with this HTTP status.
    Answered(u16),
    /// The peer broke the rules of MQTT, or takes too little; it was told this reason code where it has a form for it.
    Packet(u8),
}
