//! Text of which not everything is there.
//!
//! *Owns* how much of it has proved to be whole characters. *Promises* to look at each byte once, and to tell as soon as what
//! came can never become text, whatever follows: whoever sends that is not heard to the end. *Does not* keep the text.

use std::str::from_utf8;

use crate::ws;

/// Of one message: its fragments, and the frame that is on its way.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// Bytes of fragments that proved to be whole characters.
    whole: usize,
    /// Bytes of the frame's payload that were looked at.
    seen: usize,
    /// Those of a character that is not whole, behind everything looked at.
    open: Vec<u8>,
}

impl Unfinished {
    /// Whether fragments may still become text; the frame of the last of them is whole.
    pub(crate) fn fragments(&mut self, all: &[u8]) -> bool {
        (self.seen, self.open) = (0, Vec::new());
        match from_utf8(&all[self.whole..]) {
            Ok(text) => self.whole += text.len(),
            Err(error) if error.error_len().is_none() => self.whole += error.valid_up_to(),
            Err(_) => return false,
        }
        true
    }

    /// Whether a frame of which this much of the payload came, masked, may still become text behind some fragments.
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
