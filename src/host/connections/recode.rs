//! Recodes output on its way from the shard to the kernel: translated for protocols that the shard does not encode
//! itself, and encrypted on secured connections. Also hands a client's will to the shard.

use super::{Connections, Key, Next, Socket};
use crate::note::Ending;
use deepstream_engine::{Nanos, Outbox, Shard};
use deepstream_wire::{Closing, LinkEvent, Wire};
use std::ops::ControlFlow;

impl Connections {
    /// A connection of HTTP is flushed at the end of the turn, so that requests which came together are answered
    /// together.
    pub(in crate::host) fn flush_soon(&mut self, key: Key) -> Next {
        if self.sockets.get(key).is_none_or(|socket| socket.http.is_none()) {
            return self.flush_one(key);
        }
        if self.sockets.ready.last() != Some(&key) {
            self.sockets.ready.push(key);
        }
        Next::Nothing
    }

    pub(in crate::host) fn flush_one(&mut self, key: Key) -> Next {
        let Self { sockets, shard, now, .. } = self;
        let Some(socket) = sockets.get(key) else { return Next::Nothing };
        if socket.sending {
            socket.more = true;
            return Next::Nothing;
        }
        let mut outbox = Outbox::default();
        shard.take_output(socket.conn, &mut outbox);
        let over = socket.translate(shard, *now, &mut outbox);
        let outbox = socket.sealed(outbox);
        let next = if outbox.is_empty() {
            // There was output, but nothing that the client's protocol can express.
            let bytes = std::mem::take(&mut socket.recoded_bytes);
            if bytes > 0 {
                shard.flushed(*now, socket.conn, bytes);
            }
            self.flushed(key);
            Next::Nothing
        } else {
            self.send(key, outbox)
        };
        if let Some(closing) = over {
            self.tell_end_of(key, Ending::Link(closing, Wire::Mqtt));
            self.part(key);
        } else if self.sockets.get(key).is_some_and(|socket| socket.link.translates()) {
            // What waits for acknowledgements is kept in the link.
            self.weigh(key);
        }
        next
    }

    /// Tells the shard that a connection is gone; before that, hands it the client's will.
    pub(super) fn depart(&mut self, key: Key) {
        let Self { sockets, shard, auth, now, .. } = self;
        let Some(socket) = sockets.get(key) else { return };
        let (conn, now) = (socket.conn, *now);
        auth.forget(conn);
        socket.link.will(&mut Vec::new(), &mut |event| {
            if let LinkEvent::Message(message) = event {
                shard.will(now, conn, message);
            }
            ControlFlow::Continue(())
        });
        shard.disconnected(now, conn);
    }
}

impl Socket {
    /// Translates the shard's output for the client's protocol. Returns why the link is over by that, if it is.
    pub(super) fn translate(&mut self, shard: &mut Shard, now: Nanos, outbox: &mut Outbox) -> Option<Closing> {
        if !self.link.translates() || outbox.is_empty() {
            return None;
        }
        let (conn, mut over) = (self.conn, None);
        let (mut sent, mut scratch) = (Outbox::default(), Vec::new());
        let mut on = |event: LinkEvent<'_>| {
            match event {
                LinkEvent::Message(message) => drop(shard.received(now, conn, message)),
                LinkEvent::Close(closing) => over = Some(closing),
                _ => {}
            }
            ControlFlow::Continue(())
        };
        for piece in outbox.pieces() {
            self.link.translate(piece, &mut sent.bytes, &mut scratch, &mut on);
        }
        self.recoded_bytes += outbox.len();
        shard.reuse(std::mem::replace(outbox, sent));
        over
    }

    /// Whether the bytes sent differ from the shard's.
    pub(super) fn recodes(&self) -> bool {
        self.tls.is_some() || self.link.translates()
    }

    /// How many of the shard's bytes correspond to this many sent bytes: their share, and in the end the rest. So the
    /// shard knows that a client which reads a long ciphertext in small pieces is reading.
    pub(super) fn recoded(&mut self, bytes: usize, all: bool) -> usize {
        let share = match self.sealed_bytes {
            0 => 0,
            sealed => (self.recoded_bytes as u64 * bytes as u64 / sealed as u64) as usize,
        };
        self.sealed_bytes = self.sealed_bytes.saturating_sub(bytes);
        let out = if all { self.recoded_bytes } else { share.min(self.recoded_bytes) };
        self.recoded_bytes -= out;
        out
    }

    /// The bytes to send for the shard's output.
    pub(super) fn sealed(&mut self, outbox: Outbox) -> Outbox {
        let Some(tls) = &mut self.tls else { return outbox };
        if !self.link.translates() {
            self.recoded_bytes += outbox.len();
        }
        tls.seal(outbox)
    }
}
