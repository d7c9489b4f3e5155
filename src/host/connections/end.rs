//! Closes connections: output is sent first, within a time limit, unless the connection is lost or memory is short.

use super::{Connections, Key, LINGER_NS, Stage};
use deepstream_engine::{Outbox, Reason};

impl Connections {
    /// The connection is broken.
    pub(in crate::host) fn lost(&mut self, key: Key) {
        self.leave(key);
        let Some(socket) = self.sockets.get(key) else { return };
        if matches!(socket.stage, Stage::Open | Stage::Closing) {
            self.depart(key);
        }
        self.forget(key);
    }

    /// The client of this socket's request is gone.
    pub(in crate::host) fn leave(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        if let Some(running) = socket.http.as_mut().and_then(|talk| talk.running.take()) {
            self.auth.forget(running.conn);
            self.shard.disconnected(self.now, running.conn);
        }
    }

    /// The shard closes a connection. The second time, or if memory is short, without waiting for its output.
    pub(in crate::host) fn close(&mut self, key: Key, reason: Reason) {
        if reason == Reason::Overburdened {
            return self.lost(key);
        }
        let Some(socket) = self.sockets.get(key) else { return };
        socket.ignores_input = true;
        if socket.stage == Stage::Closing {
            return self.lost(key);
        }
        socket.stage = Stage::Closing;
        let (conn, sending) = (socket.conn, socket.sending);
        self.auth.forget(conn);
        self.leave(key);
        if !sending {
            self.flushed(key);
        }
    }

    /// Ends the session; what is in its outbox is still sent.
    pub(in crate::host) fn part(&mut self, key: Key) {
        self.leave(key);
        let deadline = self.now.after(LINGER_NS);
        let Some(socket) = self.sockets.get(key) else { return };
        if matches!(socket.stage, Stage::Draining | Stage::Lingering) {
            return;
        }
        socket.ignores_input = true;
        socket.stage = Stage::Draining;
        let (conn, sending, sealed) = (socket.conn, socket.sending, socket.sealed_bytes);
        let mut rest = Outbox::default();
        self.shard.take_output(conn, &mut rest);
        self.depart(key);
        self.drain(key, rest.len() + if sending { sealed } else { 0 });
        let Self { sockets, shard, now, .. } = self;
        let rest = sockets.get(key).map_or_else(Outbox::default, |socket| {
            socket.translate(shard, *now, &mut rest);
            socket.sealed(rest)
        });
        self.sockets.late.push_back((deadline, key));
        if rest.is_empty() && !sending {
            return self.flushed(key);
        }
        let Some(socket) = self.sockets.get(key) else { return };
        socket.more = false;
        if rest.is_empty() {
            return;
        }
        if sending {
            socket.rest = Some(Box::new(rest));
        } else {
            self.send_rest(key, rest);
        }
    }

    /// Nothing is left to send for now; continues closing if it waited for that.
    pub(super) fn flushed(&mut self, key: Key) {
        let deadline = self.now.after(LINGER_NS);
        let Some(socket) = self.sockets.get(key) else { return };
        let (stage, ended) = (socket.stage, socket.ended);
        match stage {
            Stage::Open | Stage::Lingering => return,
            Stage::Closing => {
                self.depart(key);
                self.sockets.late.push_back((deadline, key));
            }
            Stage::Draining => {}
        }
        let Some(socket) = self.sockets.get(key) else { return };
        socket.stage = Stage::Draining;
        let farewell = socket.tls.as_mut().map_or_else(Outbox::default, |tls| tls.end());
        if !farewell.is_empty() {
            return self.send_rest(key, farewell);
        }
        if ended {
            return self.forget(key);
        }
        // Closing at once would make the kernel throw away what is still on its way, if the peer had sent anything unread.
        self.ring.end_sending(key);
        self.ring.resume(key);
        if let Some(socket) = self.sockets.get(key) {
            socket.stage = Stage::Lingering;
            let drained = std::mem::take(&mut socket.draining_bytes);
            self.sockets.draining_bytes -= drained;
        }
    }

    /// Drops sockets whose time is over.
    pub(in crate::host) fn close_late(&mut self) {
        while let Some(&(at, key)) = self.sockets.late.front() {
            if at > self.now {
                break;
            }
            self.sockets.late.pop_front();
            if self.sockets.get(key).is_some() {
                self.forget(key);
            }
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.ring.close(key);
        let socket = self.sockets.table[key.slot as usize].take();
        self.sockets.draining_bytes -= socket.map_or(0, |socket| socket.draining_bytes);
    }
}
