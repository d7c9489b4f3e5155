//! What the host keeps of connections beside their outboxes: told to the shard, which has one bound for all of it.

use super::{Connections, Key, Socket, Stage};

/// Bytes of sessions that are over which a core goes on sending, in all; beyond that the oldest are let go.
const DRAINING_BYTES_MAX: usize = 32 << 20;

impl Connections {
    /// Tells the shard what is kept of a connection, if that has changed.
    pub(in crate::host) fn weigh(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key).filter(|socket| socket.stage == Stage::Open) else { return };
        let kept = socket.kept();
        if kept != socket.told {
            socket.told = kept;
            let (unsent, received) = kept;
            self.overburdened |= self.shard.holds(self.now, socket.conn, unsent, received);
        }
    }

    /// So many bytes are to be sent for a session that is over, and of which the shard knows nothing any more.
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
    /// Bytes that are kept: of answers that are not in the outbox yet, and of what came and is not dealt with.
    fn kept(&self) -> (usize, usize) {
        let (unsent, asked) = self.http.as_ref().map_or((0, 0), |talk| talk.kept());
        let handshake = self.tls.as_ref().map_or(0, |tls| tls.deferred_bytes());
        (unsent, asked + handshake + self.link.held_bytes())
    }
}
