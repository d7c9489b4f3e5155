//! WebSocket frames in memory (RFC 6455): reading headers, unmasking in place, control frames, close rules.
//!
//! *Owns* the rules for single frames. tungstenite parses headers and knows the close codes; payloads are unmasked
//! here, in place. *Promises* that an illegal frame is refused as soon as its header has arrived. *Does not* know the
//! frames before: fragments are the business of [`crate::link`].

use std::io::Cursor;
use std::str::from_utf8;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Close code: the server stops.
pub const CLOSE_AWAY: u16 = 1001;
/// Close code: a frame that breaks RFC 6455.
pub const CLOSE_PROTOCOL_ERROR: u16 = 1002;
/// Close code: text where bytes are spoken, or bytes where text is.
pub const CLOSE_UNSUPPORTED: u16 = 1003;
/// Close code: text that is not UTF-8.
pub const CLOSE_INVALID_TEXT: u16 = 1007;
/// Close code: a rule of ours is broken, for which there is no other code.
pub const CLOSE_POLICY: u16 = 1008;
/// Close code: a message above the limit.
pub const CLOSE_TOO_BIG: u16 = 1009;
/// Close code: it is too much at present.
pub const CLOSE_LATER: u16 = 1013;

/// First byte of an unfragmented text frame.
pub const FINAL_TEXT: u8 = 0x81;
/// First byte of an unfragmented binary frame.
pub const FINAL_BINARY: u8 = 0x82;

/// The most a control frame may carry.
pub(crate) const CONTROL_LEN_MAX: usize = 125;

/// Bit of the second byte that says a mask follows; the others are the length, if it is below [`LEN_16`].
pub(crate) const MASKED: u8 = 0x80;
/// In place of a length: it follows in two bytes.
pub(crate) const LEN_16: u8 = 126;

/// A frame's header, checked by the rules that do not depend on other frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) is_final: bool,
    pub(crate) opcode: OpCode,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload_at: usize,
    pub(crate) payload_len: u64,
}

/// Who sent the frame: clients mask, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

impl Header {
    /// The header `bytes` start with; `None` while there is too little of it. The error is which rule it breaks.
    pub(crate) fn read(bytes: &[u8], sender: Sender) -> Result<Option<Self>, &'static str> {
        if let (Sender::Client, &[FINAL_BINARY, second, a, b, c, d, ..]) = (sender, bytes)
            && (MASKED..MASKED + LEN_16).contains(&second)
        {
            // A fast path for nearly every frame of a client: complete, binary, masked and short.
            return Ok(Some(Self {
                is_final: true,
                opcode: OpCode::Data(Data::Binary),
                mask: Some([a, b, c, d]),
                payload_at: 6,
                payload_len: u64::from(second - MASKED),
            }));
        }
        Self::parse(bytes, sender)
    }

    /// Any header at all.
    fn parse(bytes: &[u8], sender: Sender) -> Result<Option<Self>, &'static str> {
        let mut cursor = Cursor::new(bytes);
        let (header, payload_len) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(_) => return Err("a frame with an opcode or a length that there is not"),
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err("a frame with reserved bits: no extension such as compression was agreed on");
        }
        if header.mask.is_some() != (sender == Sender::Client) {
            return Err("a frame that is not masked as its sender's must be");
        }
        if matches!(header.opcode, OpCode::Control(_)) && (!header.is_final || payload_len > CONTROL_LEN_MAX as u64) {
            return Err("a control frame that is longer than 125 bytes, or in fragments");
        }
        Ok(Some(Self {
            is_final: header.is_final,
            opcode: header.opcode,
            mask: header.mask,
            payload_at: cursor.position() as usize,
            payload_len,
        }))
    }

    /// Length of header and payload; saturates where no buffer could hold it anyway.
    pub(crate) fn frame_len(&self) -> usize {
        usize::try_from(self.payload_len).unwrap_or(usize::MAX).saturating_add(self.payload_at)
    }
}

/// How many bytes are missing from the one client frame `bytes` start with, or from its header if that is not
/// whole. At least 1 for an incomplete frame.
pub(crate) fn missing(bytes: &[u8]) -> usize {
    const MASK_LEN: usize = 4;
    let Some(&second) = bytes.get(1) else {
        return 2 - bytes.len();
    };
    let mask_len = if second & 0x80 == 0 { 0 } else { MASK_LEN };
    let header_len = mask_len
        + match second & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
    if bytes.len() < header_len {
        return header_len - bytes.len();
    }
    match Header::read(bytes, Sender::Client) {
        Ok(Some(header)) => header.frame_len().saturating_sub(bytes.len()),
        _ => 0,
    }
}

/// Masks or unmasks in place; the two are the same.
pub(crate) fn mask(payload: &mut [u8], key: [u8; 4]) {
    if key == [0; 4] {
        return;
    }
    let wide = u64::from(u32::from_le_bytes(key)) * 0x1_0000_0001;
    let whole = |bytes: [u8; 8], key: u64| (u64::from_le_bytes(bytes) ^ key).to_le_bytes();
    let Some(&end) = payload.last_chunk::<8>() else {
        return payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    };
    // The last eight bytes overlap those before, so that no single bytes are left.
    let turned = wide.rotate_right(8 * (payload.len() as u32 & 3));
    let end = whole(end, turned);
    let (words, _) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = whole(*word, wide);
    }
    if let Some(last) = payload.last_chunk_mut::<8>() {
        *last = end;
    }
}

/// Appends an unmasked control frame. The payload fits: it came in one, or is a code and a short reason.
pub(crate) fn put_control(control: Control, payload: &[u8], out: &mut Vec<u8>) {
    const FINAL: u8 = 0x80;
    debug_assert!(payload.len() <= CONTROL_LEN_MAX, "a control frame of {} bytes", payload.len());
    out.extend_from_slice(&[FINAL | u8::from(OpCode::Control(control)), payload.len() as u8]);
    out.extend_from_slice(payload);
}

/// Appends a close frame; without a code the peer sees 1005.
pub(crate) fn put_close(code: Option<u16>, out: &mut Vec<u8>) {
    match code {
        Some(code) => put_control(Control::Close, &code.to_be_bytes(), out),
        None => put_control(Control::Close, &[], out),
    }
}

/// The most words in a close frame, behind the code.
const CLOSE_WORDS_LEN_MAX: usize = CONTROL_LEN_MAX - 2;

/// Appends a close frame that says why, as far as that fits.
pub(crate) fn put_close_because(code: u16, words: &str, out: &mut Vec<u8>) {
    const FINAL_CLOSE: u8 = 0x88;
    let words = &words.as_bytes()[..words.floor_char_boundary(CLOSE_WORDS_LEN_MAX)];
    out.extend_from_slice(&[FINAL_CLOSE, words.len() as u8 + 2]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(words);
}

/// Appends a ping without a payload.
pub(crate) fn put_ping(out: &mut Vec<u8>) {
    put_control(Control::Ping, &[], out);
}

/// The code a close frame's payload carries, if any. The error is the code to answer with.
pub(crate) fn read_close(payload: &[u8]) -> Result<Option<u16>, u16> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(CLOSE_PROTOCOL_ERROR) };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(CLOSE_PROTOCOL_ERROR);
    }
    if from_utf8(reason).is_err() {
        return Err(CLOSE_INVALID_TEXT);
    }
    Ok(Some(code))
}

/// Whether a data opcode starts a message of text, of bytes, or goes on with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

/// `None` for continuations. Reserved opcodes never get past [`Header::read`].
pub(crate) fn kind(data: Data) -> Option<Kind> {
    match data {
        Data::Text => Some(Kind::Text),
        Data::Binary => Some(Kind::Binary),
        Data::Continue | Data::Reserved(_) => None,
    }
}
