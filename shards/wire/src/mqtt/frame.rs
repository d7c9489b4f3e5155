//! What the engine says to connections of MQTT: frames of our own, which the connection's link turns into packets.
//!
//! *Owns* the form of those frames. *Promises* that reading is total. *Does not* leave the process: one PUBLISH differs
//! from subscriber to subscriber in its packet identifier, its quality of service and its properties, a fan-out is
//! encoded once; so what is encoded once is what all of them have in common.

use super::packet::Code;
use crate::action::Action;
use crate::message::Outgoing;

/// In place of an action: the rest is a packet, ready to be sent.
const RAW: u8 = 0xff;
/// In place of an action: the connection ends, for the reason whose code and words follow.
const CLOSE_REASON: u8 = 0xfe;
/// In place of an original action: there is none.
const NONE: u8 = 0xff;

const IS_ACK: u8 = 1;
const HAS_DATA: u8 = 1 << 1;
const IS_KEPT: u8 = 1 << 2;
const HAS_FILTER: u8 = 1 << 3;

/// Bytes of a frame's length.
const LEN_LEN: usize = 4;
/// Bytes before the texts of a message: action, original action, flags, lengths of name, correlation id and filter.
const HEAD_LEN: usize = 9;

/// One frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame<'a> {
    /// A message of the engine.
    Message(Publication<'a>),
    /// A packet.
    Raw(&'a [u8]),
    /// The server ends the connection; a reason code of MQTT 5, and words.
    CloseReason(u8, &'a [u8]),
}

/// A message, as far as MQTT has a form for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication<'a> {
    pub(super) action: Action,
    pub(super) original_action: Option<Action>,
    pub(super) is_ack: bool,
    pub(super) is_kept: bool,
    pub(super) name: &'a [u8],
    pub(super) correlation_id: &'a [u8],
    /// The filter for which it is sent; `None`: its own name is subscribed to, or it is an answer.
    pub(super) filter: Option<&'a [u8]>,
    pub(super) data: Option<&'a [u8]>,
}

/// Appends a message. One whose name no packet could carry is left out.
pub(crate) fn write(message: &Outgoing<'_>, out: &mut Vec<u8>) {
    let name = message.name.unwrap_or_default();
    let id = message.correlation_id.unwrap_or_default();
    let filter = message.subscription.unwrap_or_default();
    let [Ok(name_len), Ok(id_len), Ok(filter_len)] = [name, id, filter].map(|text| u16::try_from(text.len())) else {
        return;
    };
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let flags = flag(message.is_ack, IS_ACK)
        | flag(message.data.is_some(), HAS_DATA)
        | flag(message.is_kept, IS_KEPT)
        | flag(message.subscription.is_some(), HAS_FILTER);
    let data = message.data.unwrap_or_default();
    let len = HEAD_LEN + name.len() + id.len() + filter.len() + data.len();
    out.reserve(LEN_LEN + len);
    out.extend_from_slice(&(len as u32).to_le_bytes());
    let original = message.original_action.map_or(NONE, |action| action as u8);
    out.extend_from_slice(&[message.action as u8, original, flags]);
    for len in [name_len, id_len, filter_len] {
        out.extend_from_slice(&len.to_le_bytes());
    }
    for text in [name, id, filter, data] {
        out.extend_from_slice(text);
    }
}

/// Appends a packet, as `packet` appends it.
pub(super) fn raw(out: &mut Vec<u8>, packet: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LEN_LEN]);
    out.push(RAW);
    packet(out);
    let len = (out.len() - start - LEN_LEN) as u32;
    if let Some(place) = out.get_mut(start..start + LEN_LEN) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

/// Appends that the connection ends, and why.
pub(crate) fn close_reason(code: Code, words: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(2 + words.len() as u32).to_le_bytes());
    out.extend_from_slice(&[CLOSE_REASON, code as u8]);
    out.extend_from_slice(words.as_bytes());
}

/// Every frame of some bytes; ends where they make no sense.
pub(super) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first_chunk::<LEN_LEN>()?;
        let (frame, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        bytes = rest;
        read(frame)
    })
}

fn read(frame: &[u8]) -> Option<Frame<'_>> {
    let (&kind, rest) = frame.split_first()?;
    match kind {
        RAW => return Some(Frame::Raw(rest)),
        CLOSE_REASON => return rest.split_first().map(|(&code, words)| Frame::CloseReason(code, words)),
        _ => {}
    }
    let action = *Action::ALL.get(usize::from(kind))?;
    let (&[original, flags], rest) = rest.split_first_chunk()?;
    let (lens, rest) = rest.split_first_chunk::<6>()?;
    let len = |at: usize| usize::from(u16::from_le_bytes([lens[at], lens[at + 1]]));
    let (name, rest) = rest.split_at_checked(len(0))?;
    let (correlation_id, rest) = rest.split_at_checked(len(2))?;
    let (filter, data) = rest.split_at_checked(len(4))?;
    Some(Frame::Message(Publication {
        action,
        original_action: Action::ALL.get(usize::from(original)).copied(),
        is_ack: flags & IS_ACK != 0,
        is_kept: flags & IS_KEPT != 0,
        name,
        correlation_id,
        filter: (flags & HAS_FILTER != 0).then_some(filter),
        data: (flags & HAS_DATA != 0).then_some(data),
    }))
}

const _: () = assert!(Action::ALL.len() < CLOSE_REASON as usize, "actions and the other kinds share a byte");
