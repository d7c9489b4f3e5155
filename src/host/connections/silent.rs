//! Clients that stay silent on the path of both generations, which shows that they wait for the server to speak first.
//!
//! *Owns* when each is spoken to. *Promises* to leave clients alone that have begun to speak by then. *Does not* know
//! the protocols.

use super::{Connections, NANOS_PER_MS, Stage};
use crate::host::ring::Key;
use deepstream_engine::Nanos;

impl Connections {
    /// A client was upgraded that may wait for the server to speak first.
    pub(super) fn wait_for_word(&mut self, key: Key) {
        if let Some(after_ms) = self.links.open.text_after_ms
            && self.sockets.get(key).is_some_and(|socket| socket.link.is_silent())
        {
            self.sockets.silent.push_back((self.now.after(u64::from(after_ms) * NANOS_PER_MS), key));
        }
    }

    /// When the next client will have been silent for too long.
    pub(in crate::host) fn next_silent(&self) -> Option<Nanos> {
        self.sockets.silent.front().map(|&(at, _)| at)
    }

    /// Speaks to clients that have been silent for too long.
    pub(in crate::host) fn speak_to_silent(&mut self) {
        while self.next_silent().is_some_and(|at| at <= self.now) {
            let Some((_, key)) = self.sockets.silent.pop_front() else { break };
            let Self { sockets, shard, links, now, .. } = self;
            let mut replies = std::mem::take(&mut sockets.replies);
            if let Some(socket) = sockets.get(key).filter(|socket| !socket.ignores_input && socket.stage == Stage::Open)
                && let Some(wire) = socket.link.speak_first(&links.open, &mut replies)
            {
                shard.turned(*now, socket.conn, wire);
                shard.raw(*now, socket.conn, &replies);
                replies.clear();
            }
            self.sockets.replies = replies;
        }
    }
}
