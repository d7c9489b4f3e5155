//! The end of a turn: its output is handed to the kernel.
//!
//! *Owns* the order in which connections are flushed, paused and closed. *Promises* that everything for a connection in
//! a turn goes out in one send. *Does not* move bytes: `connections` does.

use super::Core;
use deepstream_engine::{ConnId, Reason};
use deepstream_wire::jif;

/// How many requests of HTTP are given their answers in a turn before the others wait for the next one. Each takes a
/// few microseconds.
const ANSWERS_PER_TURN: usize = 128;

/// After how many flushed connections of a turn the core takes in new input. A send is a system call of one to three
/// microseconds: while a message is sent to many connections the next ones arrive, and connections that are still to be
/// flushed can send them too. Measured side by side, deliveries a second of the server's CPU time: one event to 1,000,
/// window 4, 1.08 M without looks, 1.45 M with one every 4 sends for the first 256, 1.60 M for all; to 10, window 8,
/// 1.82 M and with one every 8 sends 2.01 M; many to many 12.6 M and 12.1 M.
const SENDS_PER_LOOK: usize = 8;

impl Core {
    /// End of turn: one send for every outbox with output, the longest waiting first; then pauses and closes. By then
    /// all outboxes are filled, so that everything for a connection in a turn goes out in one send. A flush of many
    /// takes time, and more input is taken in meanwhile (see [`SENDS_PER_LOOK`]); connections with new output are
    /// flushed after the others, in this turn.
    pub(super) fn flush(&mut self) {
        self.connections.pause();
        let mut left = ANSWERS_PER_TURN;
        let mut flushed = 0;
        loop {
            while let Some(conn) = self.connections.shard.dirty() {
                if let Some(key) = self.connections.sockets.key(conn) {
                    let next = self.connections.flush_soon(key);
                    self.go_on(key, next);
                } else if let Some(key) = self.connections.sockets.asked_by(conn) {
                    self.requests.hear_answers(&mut self.connections, key);
                    self.relieve();
                    left = left.saturating_sub(1);
                }
                flushed += 1;
                if flushed % SENDS_PER_LOOK == 0 {
                    self.look();
                }
            }
            if self.requests.ask_next(&mut self.connections) {
                self.relieve();
                continue;
            }
            // An answered request may be followed by another one, which now logs in.
            if left == 0 || !self.connections.shard.is_asking() {
                break;
            }
            left -= 1;
            self.answer_asks();
            self.hear_resumed();
        }
        while let Some(key) = self.connections.sockets.ready.pop() {
            let next = self.connections.flush_one(key);
            self.go_on(key, next);
        }
        self.close_named();
    }

    /// Continues connections that are no longer paused.
    pub(super) fn hear_resumed(&mut self) {
        let resumed: Vec<ConnId> = self.connections.shard.resumed().collect();
        for conn in resumed {
            if let Some(key) = self.connections.sockets.asked_by(conn) {
                self.requests.ask_in_time(&mut self.connections, key);
                self.relieve();
            } else if let Some(key) = self.connections.sockets.key(conn) {
                let next = self.connections.resumed(key, conn);
                self.go_on(key, next);
            }
        }
    }

    /// Closes what the shard wants closed at once, if it wants that.
    pub(super) fn relieve(&mut self) {
        if self.connections.overburdened {
            self.close_named();
        }
    }

    /// Closes what the shard wants closed.
    fn close_named(&mut self) {
        let Self { connections, requests, .. } = self;
        loop {
            connections.overburdened = false;
            for (conn, reason) in connections.shard.closes() {
                if let Some(key) = connections.sockets.key(conn) {
                    connections.close(key, reason);
                } else if let Some(key) = connections.sockets.asked_by(conn) {
                    let slow = [Reason::SlowConsumerFull, Reason::SlowConsumerStalled, Reason::Overburdened];
                    let too_large = slow.contains(&reason);
                    requests.break_off(connections, key, if too_large { jif::TOO_LARGE } else { jif::STOPPING });
                }
            }
            if !connections.overburdened {
                return;
            }
        }
    }
}
