//! The tape under way: frames, and the digest of what was said between them.
//!
//! *Owns* how a frame is told to be whole. *Promises* that it is whole in the sink before anything follows from it. *Does not*
//! know what inputs there are.

use crate::codec::Put;
use crate::ident::Nanos;
use std::fmt;
use std::io::Write;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What stands before each frame: how long it is, and by what it is known to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes that follow.
    pub len: u32,
    sum: u32,
}

impl FrameHead {
    /// Bytes of it.
    pub const LEN: usize = 12;

    fn of(frame: &[u8]) -> Self {
        Self { len: frame.len() as u32, sum: checksum(frame) }
    }

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4..8].copy_from_slice(&checksum(&self.len.to_le_bytes()).to_le_bytes());
        bytes[8..].copy_from_slice(&self.sum.to_le_bytes());
        bytes
    }

    /// Reads one; `None` if it is damaged.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        (number(4) == checksum(&bytes[..4])).then(|| Self { len: number(0), sum: number(8) })
    }

    /// Whether these are the bytes that followed it.
    pub fn fits(self, frame: &[u8]) -> bool {
        self == Self::of(frame)
    }
}

/// Where a shard's tape goes, frame by frame.
pub(super) type Sink = Box<dyn FnMut(&[u8])>;

/// A tape under way.
pub(crate) struct Tape {
    sink: Sink,
    /// Of all that was said so far.
    digest: u64,
    /// The moment of the last entry.
    at: Nanos,
    frame: Vec<u8>,
    said: Vec<u8>,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("digest", &self.digest).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Tape {
    pub(super) fn new(now: Nanos, sink: Sink) -> Self {
        Self { sink, digest: 0, at: now, frame: Vec::new(), said: Vec::new() }
    }

    /// The shard said something.
    pub(crate) fn said(&mut self, what: &impl Put) {
        self.said.clear();
        what.put(&mut self.said);
        self.digest = xxh3_64_with_seed(&self.said, self.digest);
    }

    /// The shard said something that is only ever shown.
    pub(crate) fn showed(&mut self, what: &impl fmt::Debug) {
        self.said.clear();
        write!(self.said, "{what:?}").expect("memory takes everything");
        self.digest = xxh3_64_with_seed(&self.said, self.digest);
    }

    /// An input came in.
    pub(super) fn write(&mut self, now: Nanos, kind: u8, due: Option<Nanos>, what: &impl Put) {
        self.said(&due);
        let (digest, passed) = (self.digest as u32, now.0.wrapping_sub(self.at.0));
        self.at = now;
        self.frame(|to| {
            to.extend_from_slice(&digest.to_le_bytes());
            to.push(kind);
            passed.put(to);
            what.put(to);
        });
    }

    pub(super) fn frame(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        self.frame.clear();
        self.frame.extend_from_slice(&[0; FrameHead::LEN]);
        fill(&mut self.frame);
        let head = FrameHead::of(&self.frame[FrameHead::LEN..]).to_bytes();
        self.frame[..FrameHead::LEN].copy_from_slice(&head);
        (self.sink)(&self.frame);
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}
