//! One connection's framing, upgrade and protocol as one state machine: bytes in, events out.
//!
//! *Owns* the bytes of a message that has not arrived whole, and those kept while the engine asked for a pause.
//! *Promises* the same events however the bytes were split on arrival; that messages which arrive whole are decoded in
//! place, without a copy; and that an idle link holds no buffer. [`LinkEvent::Close`] is its last event. *Does not* own
//! a socket, and sends nothing: what has to be sent is appended to `replies`.
//!
//! A further protocol over WebSocket is a file with its decoder and a variant of [`Wire`]; a further framing is a
//! variant of `Phase`.

mod generation;
mod refusal;
mod shapes;

use std::mem::take;
use std::ops::ControlFlow;
use std::str::from_utf8;

use tungstenite::protocol::frame::coding::{Control, OpCode};

use crate::action::Action;
use crate::binary;
use crate::encode::encode;
use crate::message::{Head, Message, Outgoing, Unreadable, Wire};
use crate::mqtt;
use crate::plain;
use crate::text;
use crate::upgrade::{self, Refusal};
use crate::utf8::Unfinished;
use crate::ws::{self, CLOSE_INVALID_TEXT, CLOSE_PROTOCOL_ERROR, FINAL_BINARY, Header, Kind, LEN_16, MASKED, Sender};

use generation::Doubt;
use refusal::{NO_TEXT, belongs_to};

pub use crate::upgrade::Handshake;
pub use shapes::{Closing, Endpoint, LinkConfig, LinkEvent, Medium};

/// One connection, from its first byte to its last.
#[derive(Debug)]
pub struct Link {
    phase: Phase,
    /// Index of the endpoint of its upgrade; kept after the link is over, for the log.
    upgraded_on: Option<u8>,
    paused: bool,
    doubt: Doubt,
    held: Option<Box<Held>>,
}

const _: () = assert!(size_of::<Link>() <= 64, "an idle connection costs as little as possible");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Request,
    /// With the index of its endpoint.
    WebSocket(u8),
    /// It carries requests of HTTP, which are passed on.
    Http,
    Mqtt,
    Closed,
}

/// Bytes that could not be processed yet.
#[derive(Debug, Default)]
struct Held {
    /// Bytes as received; those before `input_at` were processed. Emptied once all were.
    input: Vec<u8>,
    input_at: usize,
    /// An unmasked payload, of which the messages before `payload_at` were given before a pause. An offset, because
    /// moving the rest to the front after every pause would make small messages expensive.
    payload: Vec<u8>,
    payload_at: usize,
    /// Unmasked fragments of a message whose last one has not come, and what kind its first one was.
    fragments: Vec<u8>,
    fragmented: Option<Kind>,
    /// The state of the UTF-8 check, if it is a text message.
    unfinished: Unfinished,
    /// The session of a connection of MQTT. It outlasts the link, because what is still to be sent goes through it.
    mqtt: Option<Box<mqtt::Session>>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.input.is_empty() && self.payload.is_empty() && self.fragmented.is_none() && self.mqtt.is_none()
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A connection of HTTP that has just been accepted.
    pub fn new() -> Self {
        Self { phase: Phase::Request, upgraded_on: None, paused: false, doubt: Doubt::None, held: None }
    }

    /// A connection that has just been accepted.
    pub fn of(medium: Medium) -> Self {
        match medium {
            Medium::Web => Self::new(),
            Medium::Mqtt => {
                let held = Held { mqtt: Some(Box::default()), ..Held::default() };
                Self { phase: Phase::Mqtt, held: Some(Box::new(held)), ..Self::new() }
            }
        }
    }

    /// Whether an event handler broke off and [`Link::resumed`] has not been called since.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether the link is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether it holds received bytes that [`Link::resumed`] will process.
    pub fn keeps_input(&self) -> bool {
        let rest = |held: &Held| held.input_at < held.input.len() || held.payload_at < held.payload.len();
        self.held.as_ref().is_some_and(|held| rest(held))
    }

    /// Heap memory of the link in bytes.
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| {
            let queued = held.mqtt.as_ref().map_or(0, |session| session.queued_bytes());
            size_of::<Held>() + held.input.capacity() + held.payload.capacity() + held.fragments.capacity() + queued
        })
    }

    /// Processes received bytes. All of `input` is consumed; it is unmasked in place.
    ///
    /// The event for which `on` breaks counts as processed; everything after it is kept until [`Link::resumed`].
    pub fn received(
        &mut self,
        config: &LinkConfig,
        input: &mut [u8],
        replies: &mut Vec<u8>,
        on: &mut impl FnMut(LinkEvent<'_>) -> ControlFlow<()>,
    ) {
        let mut turn = Turn { endpoint: self.endpoint(config), link: self, config, replies, on };
        let input = turn.complete_held(input);
        let taken = turn.process(input);
        self.keep(&input[taken..]);
    }

    /// Processes what was kept during a pause.
    pub fn resumed(
        &mut self,
        config: &LinkConfig,
        replies: &mut Vec<u8>,
        on: &mut impl FnMut(LinkEvent<'_>) -> ControlFlow<()>,
    ) {
        self.paused = false;
        let mut turn = Turn { endpoint: self.endpoint(config), link: self, config, replies, on };
        turn.payload_held();
        turn.process_held();
        self.keep(&[]);
    }

    /// Which of the endpoints the connection was upgraded on, if it was.
    pub fn upgraded_on<'c>(&self, config: &'c LinkConfig) -> Option<&'c Endpoint> {
        config.endpoints.get(usize::from(self.upgraded_on?))
    }

    /// Ends the link from our side: appends a close frame, if there is a WebSocket to close. Without a code the peer
    /// sees 1005, as upstream's clients do when its server closes.
    pub fn close(&mut self, code: Option<u16>, replies: &mut Vec<u8>) {
        if matches!(self.phase, Phase::WebSocket(_)) {
            ws::put_close(code, replies);
        }
        self.phase = Phase::Closed;
        self.let_go();
    }

    /// Whether the engine's output has to go through [`Link::translate`] before it is sent.
    pub fn translates(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.mqtt.is_some())
    }

    /// Translates whole messages of the engine in `said` and appends what is to be sent to `out`. `on` receives
    /// messages that renew subscriptions, and that the link is over. `scratch` is left as it was.
    pub fn translate(
        &mut self,
        said: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
        on: &mut impl FnMut(LinkEvent<'_>) -> ControlFlow<()>,
    ) {
        if let Some(session) = self.conversation() {
            let mut turn = mqtt::Turn { replies: scratch, on, paused: false };
            session.translate(said, out, &mut turn);
        }
    }

    /// Gives the client's will (a message to be published if its connection is lost) to `on`, once.
    pub fn will(&mut self, scratch: &mut Vec<u8>, on: &mut impl FnMut(LinkEvent<'_>) -> ControlFlow<()>) {
        if let Some(session) = self.conversation() {
            session.will(&mut mqtt::Turn { replies: scratch, on, paused: false });
        }
    }

    fn conversation(&mut self) -> Option<&mut mqtt::Session> {
        self.held.as_mut()?.mqtt.as_deref_mut()
    }

    /// Ends processing and frees all buffers.
    fn let_go(&mut self) {
        let mqtt = self.held.take().and_then(|held| held.mqtt);
        self.held = mqtt.map(|mqtt| Box::new(Held { mqtt: Some(mqtt), ..Held::default() }));
    }

    fn endpoint<'c>(&self, config: &'c LinkConfig) -> Option<&'c Endpoint> {
        let Phase::WebSocket(endpoint) = self.phase else { return None };
        config.endpoints.get(usize::from(endpoint))
    }

    /// Keeps the unprocessed rest, and frees buffers that are not needed.
    fn keep(&mut self, rest: &[u8]) {
        if self.phase == Phase::Closed {
            self.let_go();
        } else if !rest.is_empty() {
            self.held.get_or_insert_default().input.extend_from_slice(rest);
        } else if self.held.as_ref().is_some_and(|held| held.is_empty()) {
            self.held = None;
        }
    }
}

/// The first message where the server speaks first: the challenge, and nothing more. Some clients accept nothing else
/// before they have answered it.
fn greet(wire: Wire, replies: &mut Vec<u8>) {
    encode(wire, &Outgoing::new(Action::ConnectionChallenge), replies);
}

/// Length of the header of a masked frame whose length takes one byte.
const SHORT_HEADER_LEN: usize = 6;

/// A link while it processes bytes.
struct Turn<'t, F> {
    /// The link's, once it has one.
    endpoint: Option<&'t Endpoint>,
    link: &'t mut Link,
    config: &'t LinkConfig,
    replies: &'t mut Vec<u8>,
    on: &'t mut F,
}

impl<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>> Turn<'_, F> {
    /// Completes the incomplete frame that was kept with as few bytes of `input` as it needs, so that what follows is
    /// again decoded in place. Gives the rest of `input`.
    fn complete_held<'i>(&mut self, mut input: &'i mut [u8]) -> &'i mut [u8] {
        while !self.link.paused && !input.is_empty() {
            let Some(held) = self.link.held.as_mut().filter(|held| !held.input.is_empty()) else {
                break;
            };
            let wanted = match self.link.phase {
                Phase::WebSocket(_) => ws::missing(&held.input[held.input_at..]),
                Phase::Mqtt => mqtt::missing(&held.input[held.input_at..]),
                Phase::Request | Phase::Http | Phase::Closed => input.len(),
            };
            let (head, rest) = input.split_at_mut(wanted.clamp(1, input.len()));
            held.input.extend_from_slice(head);
            input = rest;
            self.process_held();
        }
        input
    }

    fn process_held(&mut self) {
        let Some(held) = &mut self.link.held else {
            return;
        };
        let (mut input, at) = (take(&mut held.input), take(&mut held.input_at));
        let at = at + self.process(&mut input[at..]);
        let Some(held) = self.link.held.as_mut().filter(|_| at < input.len()) else {
            return;
        };
        held.input_at = at;
        if at > input.len() / 2 {
            input.drain(..at);
            held.input_at = 0;
        }
        held.input = input;
    }

    fn payload_held(&mut self) {
        let Some(held) = &mut self.link.held else {
            return;
        };
        if held.payload.is_empty() {
            // There is no payload; an empty one was reported as unreadable and never kept.
            return;
        }
        let (payload, at) = (take(&mut held.payload), take(&mut held.payload_at));
        let Some(endpoint) = self.endpoint else { return };
        let at = at + self.payload(endpoint.wire, &payload[at..]);
        if at < payload.len() {
            let held = self.link.held.get_or_insert_default();
            held.payload = payload;
            held.payload_at = at;
        }
    }

    /// Processes `input` until its end, an incomplete frame, or until the handler breaks. Gives how much was consumed.
    fn process(&mut self, input: &mut [u8]) -> usize {
        let mut at = 0;
        while at < input.len() && !self.link.paused {
            let rest = &mut input[at..];
            if self.link.doubt != Doubt::None && self.settle(rest).is_break() {
                break;
            }
            let taken = match self.link.phase {
                Phase::Request => self.request(rest),
                Phase::WebSocket(_) => match self.endpoint {
                    Some(endpoint) => match self.short_frame(endpoint, rest) {
                        0 => self.frame(endpoint, rest),
                        taken => taken,
                    },
                    // The configuration has changed, and this endpoint is gone.
                    None => self.fail(CLOSE_PROTOCOL_ERROR, "its endpoint is served no more", rest.len()),
                },
                Phase::Http => self.http(rest),
                Phase::Mqtt => self.packet(rest),
                Phase::Closed => rest.len(),
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        at
    }

    fn request(&mut self, input: &[u8]) -> usize {
        match upgrade::read(input, self.config) {
            Ok(None) => 0,
            Ok(Some(upgrade)) => {
                upgrade.put_response(self.replies);
                let wire = upgrade.handshake.wire();
                if wire.server_leads() {
                    greet(wire, self.replies);
                }
                self.link.serve(upgrade.endpoint);
                self.link.doubt = Doubt::of(&upgrade, self.config);
                self.endpoint = self.link.endpoint(self.config);
                self.tell(LinkEvent::Upgraded(&upgrade.handshake));
                upgrade.len
            }
            Err(Refusal::NoUpgrade) => {
                self.link.phase = Phase::Http;
                self.http(input)
            }
            Err(Refusal::Forbidden(why)) => {
                upgrade::put_forbidden(&why, self.replies);
                self.tell(LinkEvent::Forbidden(&why));
                self.end(Closing::Answered(upgrade::FORBIDDEN));
                input.len()
            }
            Err(Refusal::Status(status)) => {
                status.put(self.replies);
                self.end(Closing::Answered(status.code()));
                input.len()
            }
        }
    }

    fn http(&mut self, input: &[u8]) -> usize {
        self.tell(LinkEvent::Http(input));
        input.len()
    }

    /// One packet of MQTT; 0 if it is not whole.
    fn packet(&mut self, input: &[u8]) -> usize {
        let Some(session) = self.link.conversation() else { return input.len() };
        let mut turn = mqtt::Turn { replies: self.replies, on: self.on, paused: false };
        let taken = session.received(&self.config.mqtt, input, &mut turn);
        self.link.paused |= turn.paused;
        taken.unwrap_or_else(|closing| {
            self.end(closing);
            input.len()
        })
    }

    /// A fast path for the frame that clients of protobuf nearly always send: complete, short and not fragmented. 0 if
    /// it is another.
    #[inline]
    fn short_frame(&mut self, endpoint: &Endpoint, input: &mut [u8]) -> usize {
        let [FINAL_BINARY, second, a, b, c, d, rest @ ..] = input else { return 0 };
        let len = usize::from(second.wrapping_sub(MASKED));
        let fits = len < usize::from(LEN_16) && len <= endpoint.max_message_bytes;
        let fragmented = self.link.held.as_ref().is_some_and(|held| held.fragmented.is_some());
        if !fits || fragmented || endpoint.wire.encoding() != Wire::Protobuf {
            return 0;
        }
        let key = [*a, *b, *c, *d];
        let Some(payload) = rest.get_mut(..len) else { return 0 };
        ws::mask(payload, key);
        let mut message = Message { head: Head::new(Action::ParserError), bytes: &[][..] };
        if binary::short(payload, &mut message) {
            self.tell(LinkEvent::Message(&message));
        } else {
            self.message(endpoint.wire, Kind::Binary, payload);
        }
        SHORT_HEADER_LEN + len
    }

    /// One frame; 0 if it is not whole.
    fn frame(&mut self, endpoint: &Endpoint, input: &mut [u8]) -> usize {
        let header = match Header::read(input, Sender::Client) {
            Ok(Some(header)) => header,
            Ok(None) => return 0,
            Err(why) => return self.fail(CLOSE_PROTOCOL_ERROR, why, input.len()),
        };
        // Checked before the payload has arrived, so that a message that is too large is refused early.
        if let Err(closing) = self.admit(endpoint, &header) {
            self.refuse(closing);
            return input.len();
        }
        let end = header.frame_len();
        let Some(payload) = input.get_mut(header.payload_at..end) else {
            let came = input.get(header.payload_at..).unwrap_or_default();
            let waits = self.may_become_text(&header, came);
            return if waits { 0 } else { self.fail(CLOSE_INVALID_TEXT, NO_TEXT, input.len()) };
        };
        if let Some(key) = header.mask {
            ws::mask(payload, key);
        }
        match header.opcode {
            OpCode::Control(Control::Ping) => ws::put_control(Control::Pong, payload, self.replies),
            OpCode::Control(Control::Close) => self.peer_closed(payload),
            OpCode::Control(_) => {}
            OpCode::Data(data) => self.data(endpoint.wire, ws::kind(data), header.is_final, payload),
        }
        end
    }

    /// Whether a frame is allowed now, by its size and by the frames before it.
    fn admit(&self, endpoint: &Endpoint, header: &Header) -> Result<(), Closing> {
        let OpCode::Data(data) = header.opcode else {
            return Ok(());
        };
        let held = self.link.held.as_deref();
        let fragmented = held.is_some_and(|held| held.fragmented.is_some());
        let starts = ws::kind(data).is_some();
        if starts == fragmented {
            return Err(Closing::Protocol(CLOSE_PROTOCOL_ERROR, "a fragment out of its order"));
        }
        let so_far = held.map_or(0, |held| held.fragments.len());
        let room = endpoint.max_message_bytes.saturating_sub(so_far);
        if header.payload_len > room as u64 { Err(Closing::TooBig) } else { Ok(()) }
    }

    /// Whether the part of a frame that has arrived can still become valid text; if not, it is refused at once.
    fn may_become_text(&mut self, header: &Header, came: &[u8]) -> bool {
        let OpCode::Data(data) = header.opcode else { return true };
        if ws::kind(data).or_else(|| self.link.held.as_ref()?.fragmented) != Some(Kind::Text) {
            return true;
        }
        let held = self.link.held.get_or_insert_default();
        held.unfinished.frame(&held.fragments, came, header.mask)
    }

    /// A data frame that was admitted; `start` is its kind if it starts a message.
    fn data(&mut self, wire: Wire, start: Option<Kind>, is_final: bool, payload: &[u8]) {
        match (start, is_final) {
            (Some(kind), true) => self.message(wire, kind, payload),
            (start, false) => {
                let held = self.link.held.get_or_insert_default();
                held.fragmented = held.fragmented.or(start);
                held.fragments.extend_from_slice(payload);
                if held.fragmented == Some(Kind::Text) && !held.unfinished.fragments(&held.fragments) {
                    self.fail(CLOSE_INVALID_TEXT, NO_TEXT, 0);
                }
            }
            (None, true) => {
                let held = self.link.held.get_or_insert_default();
                let mut whole = take(&mut held.fragments);
                let kind = held.fragmented.take().unwrap_or(Kind::Binary);
                whole.extend_from_slice(payload);
                self.message(wire, kind, &whole);
            }
        }
    }

    /// A whole WebSocket message. On protobuf endpoints a text message is checked to be UTF-8 and then read like a
    /// binary one, as upstream does.
    fn message(&mut self, wire: Wire, kind: Kind, payload: &[u8]) {
        if kind == Kind::Text
            && let Some(held) = &mut self.link.held
        {
            held.unfinished = Unfinished::default();
        }
        if kind == Kind::Text && from_utf8(payload).is_err() {
            self.fail(CLOSE_INVALID_TEXT, NO_TEXT, 0);
        } else if let Some(other) = belongs_to(wire, kind, payload)
            && !self.turns_to(other)
        {
            self.refuse(Closing::Elsewhere(other));
        } else {
            self.link.doubt = Doubt::None;
            let wire = self.endpoint.map_or(wire, |endpoint| endpoint.wire);
            let given = if self.link.paused { 0 } else { self.payload(wire, payload) };
            if given < payload.len() {
                self.link.held.get_or_insert_default().payload.extend_from_slice(&payload[given..]);
            }
        }
    }

    /// Gives the messages of a payload until the handler breaks. Returns how many bytes were processed: all of them
    /// unless messages are left.
    fn payload(&mut self, wire: Wire, payload: &[u8]) -> usize {
        match wire {
            Wire::Protobuf | Wire::ProtobufNoMulti | Wire::Http => {
                let mut messages = binary::messages(payload);
                for message in messages.by_ref() {
                    self.told(&message);
                    if self.link.paused {
                        break;
                    }
                }
                payload.len() - messages.rest().len()
            }
            Wire::Text | Wire::TextSdk => self.text(payload),
            Wire::Json => self.json(payload),
            // Never spoken over WebSocket.
            Wire::Mqtt => payload.len(),
        }
    }

    fn text(&mut self, payload: &[u8]) -> usize {
        for (message, next) in text::messages(payload) {
            self.drafted(|buffer| text::read(message, buffer));
            if self.link.paused {
                return next;
            }
        }
        payload.len()
    }

    /// One message, however long: there is no rest to keep.
    fn json(&mut self, payload: &[u8]) -> usize {
        if plain::is_json(payload) {
            self.drafted(|buffer| plain::read(payload, buffer));
        } else {
            self.fail(CLOSE_INVALID_TEXT, "a frame that is not JSON", 0);
        }
        payload.len()
    }

    /// Gives a message that has to be built first. It is built after the replies in their buffer, which saves another
    /// buffer.
    fn drafted(&mut self, read: impl for<'b> FnOnce(&'b mut Vec<u8>) -> Result<Message<&'b [u8]>, Unreadable>) {
        let mut buffer = take(self.replies);
        let replies_len = buffer.len();
        let message = read(&mut buffer);
        self.told(&message);
        buffer.truncate(replies_len);
        *self.replies = buffer;
    }

    fn peer_closed(&mut self, payload: &[u8]) {
        match ws::read_close(payload) {
            Ok(code) => {
                ws::put_close(code, self.replies);
                self.end(Closing::Peer(code));
            }
            Err(code) => {
                self.fail(code, "a close frame with a code that there is not, or words that are not UTF-8", 0);
            }
        }
    }

    fn end(&mut self, closing: Closing) {
        self.link.phase = Phase::Closed;
        self.link.let_go();
        let _ = (self.on)(LinkEvent::Close(closing));
    }

    fn told(&mut self, message: &Result<Message<&[u8]>, Unreadable>) {
        self.tell(match message {
            Ok(message) => LinkEvent::Message(message),
            Err(what) => LinkEvent::Unreadable(*what),
        });
    }

    #[inline]
    fn tell(&mut self, event: LinkEvent<'_>) {
        if (self.on)(event).is_break() {
            self.link.paused = true;
        }
    }
}
