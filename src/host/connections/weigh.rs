//! Reports to the shard how many bytes the host holds for connections beside their outboxes, because one limit applies
//! to all of it.

use super::{Connections, Key, Socket, Stage};

/// Most unsent bytes of ended sessions that a core goes on sending, in all; beyond that the oldest are dropped.
const DRAINING_BYTES_MAX: usize = 32 << 20;

impl Connections {
    /// Tells the shard how much is held for a connection, if that has changed.
    pub(in crate::host) fn weigh(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key).filter(|socket| socket.stage == Stage::Open) else { return };
        let kept = socket.kept();
        if kept != socket.told {
            socket.told = kept;
            let (unsent, received) = kept;
            self.overburdened |= self.shard.holds(self.now, socket.conn, unsent, received);
        }
    }

    /// Counts the unsent bytes of a session that is over, which the shard no longer counts.
    pub(super) fn drain(&mut self, key: Key, bytes: usize) {
        if let Some(socket) = self.sockets.get(key) {
            socket.draining_bytes = bytes;
            self.sockets.draining_bytes += bytes;
        }
        if self.sockets.draining_bytes > DRAINING_BYTES_MAX {
            let oldest: Vec<Key> = self.sockets.late.iter().map(|&(_, key)| key).collect();
            for key in oldest {
                let drains = self.sockets.get(key).is_some_and(|socket| socket.draining_bytes > 0);
                if drains && self.sockets.draining_bytes > DRAINING_BYTES_MAX {
                    self.forget(key);
                }
            }
        }
    }
}

impl Socket {
    /// Bytes held: of answers that are not in the outbox yet, and of input that is not processed yet.
    fn kept(&self) -> (usize, usize) {
        let (unsent, asked) = self.http.as_ref().map_or((0, 0), |talk| talk.kept());
        let handshake = self.tls.as_ref().map_or(0, |tls| tls.deferred_bytes());
        (unsent, asked + handshake + self.link.held_bytes())
    }
}
