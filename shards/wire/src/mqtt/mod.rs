//! MQTT 3.1.1 and 5: packets to messages of the engine and back (docs/mqtt.md).
//!
//! *Owns* one connection's half of the conversation: what it subscribed with which quality of service, which of its
//! packets wait for an answer, which of ours do, and its last will. *Promises* one SUBACK per SUBSCRIBE and one answer per
//! PUBLISH that asks for one, given when the engine has answered; that packets out of place end the connection with the
//! reason code they deserve; and that what a client makes it keep is bounded.
//! *Does not* keep anything beyond the connection: a session ends with it, and clients that ask for more are told so.
//!
//! A topic is an event, and what is retained on it a record, both of its name: a SUBSCRIBE subscribes to both, a
//! PUBLISH emits the event, one with the retain flag writes the record too. A payload is the JSON it holds or else a
//! text; a JSON string goes as it is written, so that every payload arrives as it was sent. A record is an object or an
//! array: any other payload is retained in an object, see [`payload`].
//!
//! The codec reads what is rare (CONNECT, SUBSCRIBE, properties); what is frequent is read and written in place.

mod connect;
mod deliver;
mod flight;
mod frame;
mod id;
mod packet;
mod payload;
mod publish;
mod subscribe;
mod topics;

use std::collections::BTreeSet;
use std::mem::take;
use std::ops::ControlFlow;

use crate::action::Action;
use crate::draft::Draft;
use crate::link::{Closing, LinkEvent};

use connect::Will;
use flight::Flight;
use packet::{Body, Version, kind};
use subscribe::Pending;
use topics::Topics;

pub(crate) use frame::{close_reason, write};
pub(crate) use packet::{Code, missing};

/// What the reason code with which a link was ended means.
pub fn words_of(code: u8) -> &'static str {
    packet::words_of(code)
}

/// What a link has to know about its listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest packet a client may send.
    pub packet_bytes_max: usize,
    /// Seconds of silence after which a client that promises no keep-alive is closed; `None`: never.
    pub idle_timeout_s: Option<u32>,
    /// Bytes of messages that wait for a client to acknowledge earlier ones. More: it is closed.
    pub queued_bytes_max: usize,
    /// Nobody is let in, and told this.
    pub closed: Option<Box<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { packet_bytes_max: 1 << 20, idle_timeout_s: Some(180), queued_bytes_max: 16 << 20, closed: None }
    }
}

/// What a client said about itself before it logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction<'a> {
    /// The name under which it can be connected once; empty if it has none.
    pub client: &'a [u8],
    /// Milliseconds of silence after which it is closed; `None`: never.
    pub silence_ms_max: Option<u64>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing came yet.
    Silent,
    /// CONNECT came, CONNACK was not sent.
    Connecting,
    Open,
    /// Nothing more is said.
    Over,
}

/// One connection's conversation.
#[derive(Debug)]
pub(crate) struct Session {
    version: Version,
    stage: Stage,
    will: Option<Box<Will>>,
    topics: Topics,
    pending: Vec<Pending>,
    flight: Flight,
    /// Packet identifiers of quality of service 2 that came and were not released.
    unreleased: BTreeSet<u16>,
    /// Records whose deletion is to be acknowledged, and with what id: it is answered by name alone.
    deletions: Vec<Deletion>,
    /// Largest packet the client takes.
    packet_bytes_max: usize,
    queued_bytes_max: usize,
    /// Whether the client wants to be told why something is refused.
    wants_reasons: bool,
    /// Why the client is not let in.
    refusal: Option<Box<str>>,
    /// Properties of the CONNACK to come.
    greeting: Vec<u8>,
    json: deepstream_json::Scratch,
}

/// A record that is being deleted, and who is told.
type Deletion = (Box<[u8]>, Box<[u8]>);

/// What a session works with while it has something to work on.
pub(crate) struct Turn<'t, F> {
    /// What the link answers by itself, as frames.
    pub(crate) replies: &'t mut Vec<u8>,
    pub(crate) on: &'t mut F,
    /// The handler broke off.
    pub(crate) paused: bool,
}

impl<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>> Turn<'_, F> {
    /// Tells of a message that has to be put together. It is, behind the replies: that buffer is there, and kept.
    ///
    /// A handler that breaks off is handed what else the packet holds all the same: it cannot be taken up in its middle,
    /// and is bounded.
    fn say(&mut self, action: Action, fill: impl FnOnce(&mut Draft<'_>)) {
        let mut buffer = take(self.replies);
        let replies_len = buffer.len();
        let mut draft = Draft::new(action, &mut buffer);
        fill(&mut draft);
        let message = draft.finish();
        self.tell(LinkEvent::Message(&message));
        buffer.truncate(replies_len);
        *self.replies = buffer;
    }

    fn tell(&mut self, event: LinkEvent<'_>) {
        self.paused |= (self.on)(event).is_break();
    }

    fn reply(&mut self, packet: impl FnOnce(&mut Vec<u8>)) {
        frame::raw(self.replies, packet);
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            version: Version::V3,
            stage: Stage::Silent,
            will: None,
            topics: Topics::default(),
            pending: Vec::new(),
            flight: Flight::default(),
            unreleased: BTreeSet::new(),
            deletions: Vec::new(),
            packet_bytes_max: usize::MAX,
            queued_bytes_max: 0,
            wants_reasons: true,
            refusal: None,
            greeting: Vec::new(),
            // How deep a payload may be is for the engine to say: what it refuses is not a text for that.
            json: deepstream_json::Scratch::with_depth_max(usize::MAX),
        }
    }
}

impl Session {
    /// The packet `input` starts with. Gives how long it was, or 0 if it is not whole; the error ends the connection.
    pub(crate) fn received<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        settings: &Settings,
        input: &[u8],
        turn: &mut Turn<'_, F>,
    ) -> Result<usize, Closing> {
        let taken = self.packet(settings, input, turn);
        taken.map_err(|ending| match ending {
            Ending::Left => Closing::Peer(None),
            Ending::Broken(code) => {
                // As what is to be said last: whether it is greeted before that is on its way from the engine.
                close_reason(code, code.words(), turn.replies);
                Closing::Packet(code as u8)
            }
        })
    }

    fn packet<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>>(
        &mut self,
        settings: &Settings,
        input: &[u8],
        turn: &mut Turn<'_, F>,
    ) -> Result<usize, Ending> {
        let Some(&first) = input.first() else { return Ok(0) };
        let kind = first >> 4;
        if (self.stage == Stage::Silent) != (kind == kind::CONNECT) || !flags_fit(first) {
            // Not MQTT at all, as a rule; or a second CONNECT.
            return Err(Ending::Broken(Code::ProtocolError));
        }
        let Some(extent) = packet::extent(input)? else { return Ok(0) };
        if extent.end > settings.packet_bytes_max {
            return Err(Ending::Broken(Code::PacketTooLarge));
        }
        let Some(body) = input.get(extent.body_at..extent.end) else { return Ok(0) };
        match kind {
            kind::CONNECT => self.connect(settings, body, turn)?,
            kind::PUBLISH => self.publish(first, body, turn)?,
            kind::PUBACK => self.acknowledged(&mut Body::new(body), turn)?,
            kind::PUBREL => self.released(&mut Body::new(body), turn)?,
            kind::SUBSCRIBE => self.subscribe(first, body, turn)?,
            kind::UNSUBSCRIBE => self.unsubscribe(first, body, turn)?,
            kind::PINGREQ => turn.say(Action::ConnectionPing, |_| ()),
            kind::DISCONNECT => return Err(self.left(body)),
            kind::AUTH => return Err(Ending::Broken(Code::BadAuthenticationMethod)),
            // Only servers send the rest.
            _ => return Err(Ending::Broken(Code::ProtocolError)),
        }
        Ok(extent.end)
    }
}

/// Why a connection is over.
enum Ending {
    /// The client said so.
    Left,
    Broken(Code),
}

impl From<Code> for Ending {
    fn from(code: Code) -> Self {
        Self::Broken(code)
    }
}

/// Whether the lower half of a first byte is what its kind demands.
fn flags_fit(first: u8) -> bool {
    let wanted = match first >> 4 {
        kind::PUBLISH => return true,
        kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 2,
        _ => 0,
    };
    first & 0xf == wanted
}
