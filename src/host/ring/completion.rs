//! Operations and completions: an operation carries its kind and its socket in the 64 bits that come back with the
//! completion.

use super::buffers::Buffer;
use std::io;
use std::net::TcpStream;

/// Bits of a generation that fit into a completion's data.
pub(super) const GENERATION_MASK: u32 = 0xff_ffff;

/// A socket of this ring. A stale one is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::host) struct Key {
    pub(in crate::host) slot: u32,
    /// 24 bits of a counter.
    pub(in crate::host) generation: u32,
}

impl Key {
    /// The socket that a completion is about.
    pub(super) fn of(data: u64) -> Self {
        Self { slot: data as u32, generation: (data >> 32) as u32 & GENERATION_MASK }
    }
}

/// Which of a core's listeners: its place in the order of the calls of [`Ring::listen`](super::Ring::listen).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) struct ListenerId(pub(in crate::host) u32);

/// What the kernel did.
#[derive(Debug)]
pub(in crate::host) enum Completion {
    /// A connection was accepted; receiving from it has begun.
    Accepted(Key, ListenerId),
    /// A connection for which there is no descriptor; it is closed when this is dropped.
    Refused(TcpStream, ListenerId),
    /// Accepting stopped at some listener; [`Ring::accept`](super::Ring::accept) starts it again.
    AcceptFailed(io::Error),
    /// Bytes were received.
    Received(Key, Buffer),
    /// The peer will send nothing more.
    Ended(Key),
    /// The kernel has taken this many bytes of what was given to [`Ring::send`](super::Ring::send); `all`: there are no
    /// more.
    Sent { key: Key, bytes: usize, all: bool },
    /// The connection is broken.
    Lost(Key),
    /// The peer of a socket that was watched is gone.
    HungUp(Key),
    /// A doorbell was rung.
    Woken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept = 1,
    Receive,
    Send,
    Wake,
    Bell,
    BellFailed,
    Cancel,
    Watch,
}

impl Kind {
    const ALL: [Self; 8] =
        [Self::Accept, Self::Receive, Self::Send, Self::Wake, Self::Bell, Self::BellFailed, Self::Cancel, Self::Watch];

    pub(super) fn data(self, key: Key) -> u64 {
        (self as u64) << 56 | u64::from(key.generation) << 32 | u64::from(key.slot)
    }

    /// For an operation that is identified by a number instead of a socket.
    pub(super) fn numbered(self, n: u32) -> u64 {
        self.data(Key { slot: n, generation: 0 })
    }

    pub(super) fn of(data: u64) -> Self {
        let tag = (data >> 56) as u8;
        Self::ALL.into_iter().find(|kind| *kind as u8 == tag).expect("completions carry what was submitted")
    }
}
