//! A client's side of the protocol, for tests, the simulator and the latency harness.
//!
//! *Owns* what a client sends (upgrade request, masked frames) and how it reads what a server sends. *Promises* to
//! allocate nothing per message once its buffers have grown, and to read whatever [`crate::encode`] writes. Fields that
//! only servers send have no place in a head, and are read from the message's bytes. *Does not* reconnect, time
//! anything out, or speak any protocol but protobuf over WebSocket; frames of text are given as they are.

use std::str::from_utf8;

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::action::{Action, Topic};
use crate::binary;
use crate::encode::{encode_message, envelope_len, key_len, message_len, put_envelope, put_key, put_text};
use crate::field::{BYTES, Field, MAP_KEY, MAP_VALUE, Reader, VARINT, field_of, put_varint, varint_len};
use crate::message::{Message, Outgoing, Unreadable};
use crate::ws::{self, Header, Sender};

/// Appends a WebSocket upgrade request. The key is any 16 bytes; a server proves with it that it read the request.
pub fn upgrade_request(host: &str, path: &str, headers: &[(&str, &str)], out: &mut Vec<u8>) {
    for part in ["GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
    );
    out.extend_from_slice(UPGRADE_KEY.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

/// The key that [`upgrade_request`] sends. It may be fixed, because there are no proxies in tests.
pub const UPGRADE_KEY: &str = "ZGVlcHN0cmVhbS10ZXN0cw==";

/// Appends one masked frame that holds one message.
pub fn encode(message: &Outgoing<'_>, mask: [u8; 4], out: &mut Vec<u8>) {
    let len = message_len(message);
    out.reserve(len + FRAME_HEADER_LEN_MAX);
    frame_header(FINAL_BINARY, len, mask, out);
    let start = out.len();
    encode_message(message, out);
    ws::mask(&mut out[start..], mask);
}

/// Appends the frame of the challenge that opens every session.
pub fn encode_challenge(url: &str, sdk_type: &str, sdk_version: &str, mask: [u8; 4], out: &mut Vec<u8>) {
    const PROTOCOL_VERSION: &str = "0.1a";
    let texts = [(5, url), (6, PROTOCOL_VERSION), (7, sdk_version), (8, sdk_type)];
    let action = Action::ConnectionChallenge;
    let texts_len: usize =
        texts.iter().map(|(field, text)| key_len(*field) + varint_len(text.len() as u64) + text.len()).sum();
    let body = 2 + texts_len;
    let envelope = envelope_len(Topic::Connection, body);
    frame_header(FINAL_BINARY, varint_len(envelope as u64) + envelope, mask, out);
    let start = out.len();
    put_envelope(Topic::Connection, body, envelope, out);
    put_key(1, VARINT, out);
    put_varint(u64::from(action.code()), out);
    for (field, text) in texts {
        put_text(field, text.as_bytes(), out);
    }
    ws::mask(&mut out[start..], mask);
}

/// Appends one masked frame of any kind; `first` is its first byte, final bit and opcode.
pub fn encode_frame(first: u8, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    frame_header(first, payload.len(), mask, out);
    let start = out.len();
    out.extend_from_slice(payload);
    ws::mask(&mut out[start..], mask);
}

pub use crate::ws::{FINAL_BINARY, FINAL_TEXT};
/// First byte of a close frame.
pub const FINAL_CLOSE: u8 = 0x88;
/// First byte of a ping.
pub const FINAL_PING: u8 = 0x89;

const FRAME_HEADER_LEN_MAX: usize = 14;

fn frame_header(first: u8, len: usize, mask: [u8; 4], out: &mut Vec<u8>) {
    const MASKED: u8 = 0x80;
    const LEN_16: u8 = MASKED + 126;
    const LEN_64: u8 = MASKED + 127;
    match len {
        0..=125 => out.extend_from_slice(&[first, MASKED | len as u8]),
        126..=0xffff => {
            out.extend_from_slice(&[first, LEN_16]);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, LEN_64]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
}

/// What a server sent.
#[derive(Clone, Copy, Debug)]
pub enum ServerEvent<'a> {
    /// The answer to the upgrade request: its status. Anything but 101 is followed by nothing but [`Self::Body`].
    Status(u16),
    /// Bytes of the answer to a request that was no upgrade.
    Body(&'a [u8]),
    /// A message.
    Message(Message<&'a [u8]>),
    /// A frame of text: on an endpoint where text is spoken, one or more messages.
    Text(&'a [u8]),
    /// A data frame that holds no message we know.
    Unreadable(Unreadable),
    /// A ping and its payload; a pong is owed.
    Ping(&'a [u8]),
    /// A pong and its payload.
    Pong(&'a [u8]),
    /// A close frame and its code.
    Close(Option<u16>),
    /// Invalid bytes, which this server never sends. Nothing follows.
    Broken,
}

/// Reads a server's side of one connection.
#[derive(Debug, Default)]
pub struct ServerReader {
    state: Reading,
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Answer,
    Frames,
    Body,
    Broken,
}

impl ServerReader {
    /// A reader that expects the answer to an upgrade request first.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader of a connection that is already upgraded.
    pub fn upgraded() -> Self {
        Self { state: Reading::Frames, held: Vec::new() }
    }

    /// Takes in what the socket gave. Whole frames are read where they lie.
    pub fn received(&mut self, input: &[u8], on: &mut impl FnMut(ServerEvent<'_>)) {
        if self.held.is_empty() {
            let taken = self.process(input, on);
            self.held.extend_from_slice(&input[taken..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(input);
            let taken = self.process(&held, on);
            held.drain(..taken);
            self.held = held;
        }
    }

    fn process(&mut self, input: &[u8], on: &mut impl FnMut(ServerEvent<'_>)) -> usize {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let taken = match self.state {
                Reading::Answer => self.answer(rest, on),
                Reading::Frames => self.frame(rest, on),
                Reading::Body => {
                    on(ServerEvent::Body(rest));
                    rest.len()
                }
                Reading::Broken => rest.len(),
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        at
    }

    fn answer(&mut self, input: &[u8], on: &mut impl FnMut(ServerEvent<'_>)) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = input.windows(END.len()).position(|window| window == END) else {
            return 0;
        };
        let status = input.get(9..12).and_then(|digits| from_utf8(digits).ok()?.parse().ok());
        let Some(status) = status.filter(|_| input.starts_with(b"HTTP/1.1 ")) else {
            return self.broken(input, on);
        };
        self.state = if status == 101 { Reading::Frames } else { Reading::Body };
        on(ServerEvent::Status(status));
        end + END.len()
    }

    fn frame(&mut self, input: &[u8], on: &mut impl FnMut(ServerEvent<'_>)) -> usize {
        let header = match Header::read(input, Sender::Server) {
            Ok(Some(header)) => header,
            Ok(None) => return 0,
            Err(_) => return self.broken(input, on),
        };
        let end = header.frame_len();
        let Some(payload) = input.get(header.payload_at..end) else {
            return 0;
        };
        match header.opcode {
            OpCode::Control(Control::Ping) => on(ServerEvent::Ping(payload)),
            OpCode::Control(Control::Close) => match ws::read_close(payload) {
                Ok(code) => on(ServerEvent::Close(code)),
                Err(_) => return self.broken(input, on),
            },
            OpCode::Control(_) => on(ServerEvent::Pong(payload)),
            OpCode::Data(Data::Text) if header.is_final => on(ServerEvent::Text(payload)),
            OpCode::Data(_) if header.is_final => binary::messages(payload)
                .for_each(|message| on(message.map_or_else(ServerEvent::Unreadable, ServerEvent::Message))),
            // Our server sends no fragments.
            OpCode::Data(_) => return self.broken(input, on),
        }
        end
    }

    fn broken(&mut self, input: &[u8], on: &mut impl FnMut(ServerEvent<'_>)) -> usize {
        self.state = Reading::Broken;
        on(ServerEvent::Broken);
        input.len()
    }
}

/// `originalAction` of a reply, if it has one.
pub fn original_action(message: &Message<&[u8]>) -> Option<Action> {
    let topic = message.head.action.topic();
    let code = numbers(message, Field::OriginalAction).last()?;
    Action::from_code(original_topic(message).unwrap_or(topic), code as u32)
}

/// `originalTopic` of a reply, if it has one.
pub fn original_topic(message: &Message<&[u8]>) -> Option<Topic> {
    Topic::from_code(numbers(message, Field::OriginalTopic).last()? as u32)
}

/// `requestorName` of an RPC request, if it has one.
pub fn requestor_name<'a>(message: &Message<&'a [u8]>) -> Option<&'a [u8]> {
    texts(message, Field::RequestorName).last()
}

/// `requestorData` of an RPC request, if it has one.
pub fn requestor_data<'a>(message: &Message<&'a [u8]>) -> Option<&'a [u8]> {
    texts(message, Field::RequestorData).last()
}

/// Entries of `versions` of a HEAD_RESPONSE_BULK, in wire order.
pub fn versions<'a>(message: &Message<&'a [u8]>) -> impl Iterator<Item = (&'a [u8], i32)> {
    texts(message, Field::Versions).filter_map(entry)
}

fn entry(bytes: &[u8]) -> Option<(&[u8], i32)> {
    let mut reader = Reader::new(bytes);
    let mut found: (&[u8], i32) = (&[], 0);
    while !reader.is_empty() {
        match reader.key()? {
            (MAP_KEY, BYTES) => found.0 = reader.chunk()?.1,
            (MAP_VALUE, VARINT) => found.1 = reader.varint()? as i32,
            (number, wire_type) => reader.skip(number, wire_type)?,
        }
    }
    Some(found)
}

enum Value<'a> {
    Number(u64),
    Text(&'a [u8]),
    Other,
}

fn numbers(message: &Message<&[u8]>, wanted: Field) -> impl Iterator<Item = u64> {
    values(message, wanted).filter_map(|value| if let Value::Number(number) = value { Some(number) } else { None })
}

fn texts<'a>(message: &Message<&'a [u8]>, wanted: Field) -> impl Iterator<Item = &'a [u8]> {
    values(message, wanted).filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None })
}

/// Every value of one field. The bytes were decoded before, so they end where a field ends.
fn values<'a>(message: &Message<&'a [u8]>, wanted: Field) -> impl Iterator<Item = Value<'a>> + use<'a> {
    let topic = message.head.action.topic();
    let mut reader = Reader::new(message.bytes);
    std::iter::from_fn(move || {
        while !reader.is_empty() {
            let (number, wire_type) = reader.key()?;
            let value = match wire_type {
                VARINT => Value::Number(reader.varint()?),
                BYTES => Value::Text(reader.chunk()?.1),
                _ => {
                    reader.skip(number, wire_type)?;
                    Value::Other
                }
            };
            if field_of(topic, number) == wanted {
                return Some(value);
            }
        }
        None
    })
}
