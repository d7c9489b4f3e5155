//! One stream as its sender has it: frames that are not known to have arrived.

use super::{LinkSettings, Pace};
use crate::frame::Ack;
use bytes::Bytes;
use deepstream_engine::Nanos;
use std::collections::VecDeque;

/// Equal acknowledgements that speak of a gap, until what is missing is taken as lost and not as late.
const EQUAL_ACKS: u32 = 3;

struct Sent {
    bytes: Bytes,
    goes_on: bool,
    /// When last; nothing if not yet.
    at: Option<Nanos>,
    again: bool,
}

#[derive(Default)]
pub(super) struct Outgoing {
    /// From the first that is not acknowledged on.
    frames: VecDeque<Sent>,
    /// Of the first of them.
    number: u32,
    /// How many of them were sent.
    sent: usize,
    bytes: usize,
    bytes_sent: usize,
    /// Frames that arrived at the other side and were not taken there.
    waiting: u32,
    equal_acks: u32,
    /// While something is being made good: the number up to which frames may be lost.
    recover: Option<u32>,
    /// The first frame is to be sent again, now.
    resend: bool,
    /// How often the resend time passed since something arrived.
    timeouts: u32,
}

/// A frame to be sent now.
pub(super) struct Next {
    pub(super) number: u32,
    pub(super) goes_on: bool,
    pub(super) again: bool,
    pub(super) bytes: Bytes,
}

impl Outgoing {
    /// Cuts a bundle into frames.
    pub(super) fn push(&mut self, mut bundle: Bytes, settings: &LinkSettings) {
        self.bytes += bundle.len();
        loop {
            let bytes = bundle.split_to(bundle.len().min(settings.frame_bytes_max));
            let goes_on = !bundle.is_empty();
            self.frames.push_back(Sent { bytes, goes_on, at: None, again: false });
            if !goes_on {
                return;
            }
        }
    }

    /// Bytes that are not acknowledged, sent or not.
    pub(super) fn held(&self) -> usize {
        self.bytes
    }

    /// Bytes that wait behind the bundle in front.
    pub(super) fn behind(&self) -> usize {
        let last = self.frames.iter().position(|frame| !frame.goes_on);
        let first = self.frames.iter().take(last.map_or(0, |at| at + 1));
        self.bytes - first.map(|frame| frame.bytes.len()).sum::<usize>()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.sent
    }

    /// What of it arrived.
    pub(super) fn heard(&mut self, now: Nanos, ack: Ack, bare: bool, pace: &mut Pace) {
        let arrived = ack.received.wrapping_sub(self.number);
        if arrived as usize > self.sent {
            // Older than another one, or of frames that were never sent.
            return;
        }
        self.waiting = ack.waiting;
        if arrived == 0 {
            if bare && ack.gap && self.sent > 0 {
                self.equal_acks += 1;
                if self.equal_acks == EQUAL_ACKS && self.recover.is_none() {
                    self.recover = Some(self.number.wrapping_add(self.sent as u32));
                    self.resend = true;
                }
            }
            return;
        }
        for frame in self.frames.drain(..arrived as usize) {
            self.bytes -= frame.bytes.len();
            self.bytes_sent -= frame.bytes.len();
            if let (Some(at), false) = (frame.at, frame.again) {
                pace.measured(now.since(at));
            }
        }
        self.number = ack.received;
        self.sent -= arrived as usize;
        (self.equal_acks, self.timeouts) = (0, 0);
        // What was sent before the loss was noticed may be lost too: one after the other, without waiting for the time again.
        let recovering = self.recover.is_some_and(|end| (end.wrapping_sub(self.number).cast_signed()) > 0);
        self.resend = recovering && self.sent > 0;
        if !recovering {
            self.recover = None;
        }
    }

    /// When the first frame is sent again if nothing arrives.
    pub(super) fn deadline(&self, pace: &Pace, settings: &LinkSettings) -> Option<Nanos> {
        let first = self.frames.front().filter(|_| self.sent > 0)?;
        first.at.map(|at| at.after(pace.resend_ns(self.timeouts, settings)))
    }

    pub(super) fn tick(&mut self, now: Nanos, pace: &Pace, settings: &LinkSettings) {
        if !self.resend && self.deadline(pace, settings).is_some_and(|at| at <= now) {
            self.timeouts += 1;
            self.recover = Some(self.number.wrapping_add(self.sent as u32));
            self.resend = true;
        }
    }

    /// Whether the other side takes a frame more.
    fn may_send(&self, settings: &LinkSettings) -> bool {
        let Some(next) = self.frames.get(self.sent) else { return false };
        let frames = self.sent + self.waiting as usize;
        let fits = self.sent == 0 || self.bytes_sent + next.bytes.len() <= settings.window_bytes;
        frames < settings.window_frames as usize && fits
    }

    pub(super) fn has_next(&self, settings: &LinkSettings) -> bool {
        self.resend || self.may_send(settings)
    }

    pub(super) fn next(&mut self, now: Nanos, settings: &LinkSettings) -> Option<Next> {
        let at = if self.resend {
            self.resend = false;
            0
        } else if self.may_send(settings) {
            self.sent += 1;
            self.bytes_sent += self.frames[self.sent - 1].bytes.len();
            self.sent - 1
        } else {
            return None;
        };
        let frame = &mut self.frames[at];
        frame.again = frame.at.is_some();
        frame.at = Some(now);
        let number = self.number.wrapping_add(at as u32);
        Some(Next { number, goes_on: frame.goes_on, again: frame.again, bytes: frame.bytes.clone() })
    }
}

#[cfg(test)]
impl Outgoing {
    pub(super) fn begin_at(&mut self, number: u32) {
        self.number = number;
    }
}
