//! Notices when the peer of a paused socket is gone: a socket that is not read reports nothing, and what is being done
//! for its peer may be expensive.

use super::completion::{Completion, Key, Kind};
use super::{Ring, Socket};
use io_uring::{opcode, types};
use std::mem::replace;
use std::os::fd::AsRawFd;

impl Ring {
    /// While a socket is paused, reports when its peer is gone, unless there are bytes left to be received.
    pub(in crate::host) fn watch(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else { return };
        if !socket.ended && !replace(&mut socket.watched, true) {
            let entry = opcode::PollAdd::new(types::Fd(socket.stream.as_raw_fd()), libc::POLLRDHUP as u32).build();
            self.push(&entry.user_data(Kind::Watch.data(key)));
        }
    }

    /// A watch is over.
    pub(super) fn seen(&mut self, key: Key, result: i32) -> Option<Completion> {
        let socket = self.sockets.get_mut(key.slot as usize).filter(|socket| socket.generation == key.generation);
        let socket = socket.expect("a socket outlives its watch");
        socket.watched = false;
        if socket.closing {
            self.free_if_idle(key.slot);
            return None;
        }
        if socket.wanted {
            return None;
        }
        if result == -libc::ECANCELED {
            // It was paused again before the end of the watch was told.
            self.watch(key);
        }
        // Whether it has ended or is broken. The watch has reported an event, so peeking does not wait.
        let is_empty = |socket: &Socket| socket.stream.peek(&mut [0]).unwrap_or(0) == 0;
        (result > 0 && self.socket(key).is_some_and(is_empty)).then_some(Completion::HungUp(key))
    }
}
