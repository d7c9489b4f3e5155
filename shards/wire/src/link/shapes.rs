//! The settings of links, and the events that they give.
//!
//! *Owns* the types only; the logic is in [`Link`](super::Link).

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
    /// Whether a request's path is this one's. Trailing slashes are ignored, because people and proxies add them.
    pub fn serves(&self, path: &str) -> bool {
        self.path == path || self.path.trim_end_matches('/') == path.trim_end_matches('/')
    }
}

/// The settings of a listener, shared by all its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// At most 256.
    pub endpoints: Vec<Endpoint>,
    /// Largest head of an upgrade request.
    pub max_request_bytes: usize,
    /// The settings of MQTT.
    pub mqtt: mqtt::Settings,
    /// Which connections are accepted.
    pub gate: Gate,
    /// On the path of protobuf: the silence in milliseconds after which a client is sent the text challenge, because it
    /// seems to wait for the server to speak first. `None`: only protobuf is spoken there.
    pub text_after_ms: Option<u32>,
}

impl LinkConfig {
    /// The path on which this is spoken, if any.
    pub fn path_of(&self, wire: Wire) -> Option<&str> {
        self.endpoints.iter().find(|endpoint| endpoint.wire == wire).map(|endpoint| endpoint.path.as_str())
    }

    /// If this is the protobuf endpoint: the text endpoint whose clients are also served on its path.
    pub(crate) fn text_beside(&self, index: usize) -> Option<usize> {
        self.text_after_ms?;
        self.endpoints.get(index).filter(|endpoint| endpoint.wire == Wire::Protobuf)?;
        self.endpoints.iter().position(|endpoint| endpoint.wire == Wire::Text)
    }

    /// Whether a request with this head is for the link, not for HTTP: it asks for a WebSocket, and is upgraded or
    /// refused.
    pub fn takes_over(&self, head: &[u8]) -> bool {
        let judged = upgrade::read(head, self);
        !matches!(judged, Ok(None) | Err(Refusal::NoUpgrade))
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// HTTP, and WebSocket after an upgrade.
    #[default]
    Web,
    /// MQTT.
    Mqtt,
}

/// What received bytes resulted in.
#[derive(Debug)]
pub enum LinkEvent<'a> {
    /// The upgrade was accepted; messages may follow.
    Upgraded(&'a Handshake),
    /// Before the client's first message it turned out to speak something else than its path says.
    Turned(Wire),
    /// A client of MQTT said who it is; its login follows.
    Introduced(mqtt::Introduction<'a>),
    /// A message.
    Message(&'a Message<&'a [u8]>),
    /// Bytes that are no message; the link goes on.
    Unreadable(Unreadable),
    /// Bytes of a connection that carries HTTP, from the first one on.
    Http(&'a [u8]),
    /// The connection is refused for this reason, and the client was told; the link is over.
    Forbidden(&'a str),
    /// The link is over: flush `replies`, then close the socket. The handler's answer is ignored.
    Close(Closing),
}

/// Why a link is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The peer sent a close frame, with this code; it was echoed.
    Peer(Option<u16>),
    /// The peer broke the rules of WebSocket or of the protocol; it was sent this close code and reason.
    Protocol(u16, &'static str),
    /// It speaks another protocol, which belongs on another path, if on any; it was sent 1003 and that path.
    Elsewhere(Wire),
    /// A message above `max_message_bytes`; the peer was sent 1009 and the limit.
    TooBig,
    /// It was no valid upgrade, and was answered with this HTTP status.
    Answered(u16),
    /// The peer broke the rules of MQTT, or is too slow; it was sent this reason code if its version has them.
    Packet(u8),
}
