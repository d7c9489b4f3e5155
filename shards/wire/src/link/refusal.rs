//! Closes connections that break a rule, with a reason.
//!
//! *Promises* that a client which its link closes is sent a code and the reason first.

use std::ops::ControlFlow;

use super::{Closing, LinkEvent, Turn};
use crate::message::Wire;
use crate::ws::{self, CLOSE_TOO_BIG, CLOSE_UNSUPPORTED, Kind};

/// The reason for invalid text.
pub(super) const NO_TEXT: &str = "a text that is not UTF-8";

impl<F: FnMut(LinkEvent<'_>) -> ControlFlow<()>> Turn<'_, F> {
    /// Closes for a broken rule. All other bytes are ignored: gives `rest` as consumed.
    #[cold]
    pub(super) fn fail(&mut self, code: u16, why: &'static str, rest: usize) -> usize {
        self.refuse(Closing::Protocol(code, why));
        rest
    }

    /// Closes, and tells the peer why.
    #[cold]
    pub(super) fn refuse(&mut self, closing: Closing) {
        match closing {
            Closing::Protocol(code, why) => ws::put_close_because(code, why, self.replies),
            Closing::TooBig => {
                let max = self.endpoint.map_or(0, |endpoint| endpoint.max_message_bytes);
                let why = format!("a message above maxMessageSize ({max} bytes)");
                ws::put_close_because(CLOSE_TOO_BIG, &why, self.replies);
            }
            Closing::Elsewhere(wire) => {
                let what = match wire.encoding() {
                    Wire::Json => "JSON",
                    Wire::Text => "the text protocol",
                    _ => "protobuf",
                };
                let why = match self.config.path_of(wire) {
                    Some(path) => format!("not spoken here: {what} has the path {path}"),
                    None => format!("not spoken here: {what} has no path"),
                };
                ws::put_close_because(CLOSE_UNSUPPORTED, &why, self.replies);
            }
            Closing::Peer(_) | Closing::Answered(_) | Closing::Packet(_) => {}
        }
        self.end(closing);
    }
}

/// Recognises the protocol of a client that was given the wrong path: a binary frame is protobuf; on a protobuf
/// endpoint a text frame is JSON if it begins with a brace, or the text protocol if it has its separator.
pub(super) fn belongs_to(wire: Wire, kind: Kind, payload: &[u8]) -> Option<Wire> {
    match (wire.encoding(), kind, payload) {
        (Wire::Json | Wire::Text, Kind::Binary, _) => Some(Wire::Protobuf),
        (Wire::Protobuf | Wire::Text, Kind::Text, [b'{', b'"' | b'}' | b' ' | b'\t' | b'\r' | b'\n', ..]) => {
            Some(Wire::Json)
        }
        (Wire::Protobuf | Wire::Json, Kind::Text, [b'A'..=b'Z', 0x1f, ..]) => Some(Wire::Text),
        _ => None,
    }
}
