//! Checks UTF-8 of text messages that arrive in parts.
//!
//! *Owns* the state of the check. *Promises* to look at each byte once, and to report as soon as the text can no longer
//! become valid, so that the rest need not be received. *Does not* keep the text.

use std::str::from_utf8;

use crate::ws;

/// The state for one message: its fragments, and the frame that is arriving.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// Bytes of fragments that were checked and are whole characters.
    whole: usize,
    /// Bytes of the frame's payload that were looked at.
    seen: usize,
    /// The bytes of an incomplete character at the end.
    open: Vec<u8>,
}

impl Unfinished {
    /// Whether these complete fragments may still become valid text.
    pub(crate) fn fragments(&mut self, all: &[u8]) -> bool {
        (self.seen, self.open) = (0, Vec::new());
        match from_utf8(&all[self.whole..]) {
            Ok(text) => self.whole += text.len(),
            Err(error) if error.error_len().is_none() => self.whole += error.valid_up_to(),
            Err(_) => return false,
        }
        true
    }

    /// Whether a frame may still become valid text after these fragments; `payload` is the masked part that has
    /// arrived.
    pub(crate) fn frame(&mut self, fragments: &[u8], payload: &[u8], key: Option<[u8; 4]>) -> bool {
        if self.seen == 0 {
            self.open = fragments[self.whole..].to_vec();
        }
        let start = self.open.len();
        self.open.extend_from_slice(payload.get(self.seen..).unwrap_or_default());
        if let Some(mut key) = key {
            let turn = self.seen % key.len();
            key.rotate_left(turn);
            ws::mask(&mut self.open[start..], key);
        }
        self.seen = payload.len();
        match from_utf8(&self.open) {
            Ok(_) => self.open.clear(),
            Err(error) if error.error_len().is_none() => drop(self.open.drain(..error.valid_up_to())),
            Err(_) => return false,
        }
        true
    }
}
