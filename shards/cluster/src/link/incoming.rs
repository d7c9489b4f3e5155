//! One stream as its receiver has it: what came early, what is whole and waits to be taken.

use super::LinkSettings;
use crate::frame::Ack;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Incoming {
    /// The number of the next frame in order.
    next: u32,
    /// From the next on: those that came early.
    early: VecDeque<Option<(bool, Bytes)>>,
    /// How many those are.
    held: usize,
    early_bytes: usize,
    /// The beginning of the bundle under way.
    parts: Vec<Bytes>,
    parts_bytes: usize,
    whole: VecDeque<Bytes>,
    whole_bytes: usize,
}

/// What a frame was to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    InOrder,
    Early,
    Repeated,
    /// Further ahead than any sender may go, or of a bundle larger than any: nothing that a node of ours sends. It is dropped, for
    /// whoever can write to the bus could fill the memory.
    Wrong,
}

/// Frames of one bundle: as many as the largest has on a bus of the smallest messages.
const PARTS_MAX: usize = 1 << 16;

impl Incoming {
    pub(super) fn heard(&mut self, number: u32, goes_on: bool, bytes: Bytes, settings: &LinkSettings) -> Came {
        let ahead = number.wrapping_sub(self.next);
        if ahead.cast_signed() < 0 {
            return Came::Repeated;
        }
        if ahead >= settings.window_frames || self.takes_no_more(ahead, bytes.len(), settings) {
            return Came::Wrong;
        }
        let at = ahead as usize;
        if self.early.len() <= at {
            self.early.resize(at + 1, None);
        }
        if self.early[at].is_some() {
            return Came::Repeated;
        }
        self.early_bytes += bytes.len();
        self.early[at] = Some((goes_on, bytes));
        self.held += 1;
        if at > 0 {
            return Came::Early;
        }
        while let Some(Some((goes_on, bytes))) = self.early.pop_front_if(|frame| frame.is_some()) {
            self.held -= 1;
            self.early_bytes -= bytes.len();
            if self.parts_bytes + bytes.len() > settings.bundle_bytes_max || self.parts.len() == PARTS_MAX {
                return Came::Wrong;
            }
            self.next = self.next.wrapping_add(1);
            self.parts_bytes += bytes.len();
            self.parts.push(bytes);
            if !goes_on {
                self.finish();
            }
        }
        Came::InOrder
    }

    /// Whether no sender that keeps to the window sends such a frame: more bytes than a window before those in order, or more behind a
    /// window, and a bundle that was under way then, that wait for being taken.
    fn takes_no_more(&self, ahead: u32, len: usize, settings: &LinkSettings) -> bool {
        let window = settings.window_bytes.max(settings.frame_bytes_max);
        let waits_max = 2 * window + settings.bundle_bytes_max;
        let is_early = ahead > 0 && self.early_bytes + len > window;
        is_early || self.whole.len() >= settings.window_frames as usize || self.whole_bytes > waits_max
    }

    /// The bundle under way is whole.
    fn finish(&mut self) {
        let bundle = if self.parts.len() == 1 {
            self.parts.swap_remove(0)
        } else {
            let mut bundle = BytesMut::with_capacity(self.parts_bytes);
            for part in &self.parts {
                bundle.extend_from_slice(part);
            }
            bundle.freeze()
        };
        self.parts.clear();
        self.parts_bytes = 0;
        self.whole_bytes += bundle.len();
        self.whole.push_back(bundle);
    }

    pub(super) fn first(&self) -> Option<&Bytes> {
        self.whole.front()
    }

    pub(super) fn take(&mut self) -> Option<Bytes> {
        let bundle = self.whole.pop_front()?;
        self.whole_bytes -= bundle.len();
        Some(bundle)
    }

    /// Frames of a bundle under way count as taken, or one of more frames than a window would never end; what waits counts by
    /// its number and by its bytes.
    pub(super) fn ack(&self, settings: &LinkSettings) -> Ack {
        let a_frame = (settings.window_bytes / settings.window_frames as usize).max(1);
        let waiting = self.whole.len().max(self.whole_bytes / a_frame) as u32;
        Ack { received: self.next, waiting, gap: self.held > 0 }
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
impl Incoming {
    /// Bytes and frames, early and under way and whole.
    pub(super) fn holds(&self) -> (usize, usize) {
        let parts = self.held + self.parts.len() + self.whole.len();
        (self.early_bytes + self.parts_bytes + self.whole_bytes, parts)
    }

    pub(super) fn begin_at(&mut self, number: u32) {
        self.next = number;
    }
}
