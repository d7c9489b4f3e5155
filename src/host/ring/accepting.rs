//! Accepts connections at every listener of a core, and never more than there are descriptors for.
//!
//! *Owns* the listeners. *Promises* that the kernel never accepts more by itself than there are descriptors left: a
//! multishot accept takes whole queues in before the server can refuse one, and near the limit of open files it would
//! use up those that storage needs next. *Does not* say why one is refused.

use super::{Completion, Key, Kind, ListenerId, Ring, Socket, take};
use io_uring::{cqueue, opcode, types};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A listening socket and what the kernel does with it.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    /// An accept is under way in the kernel.
    accepting: bool,
    /// It is a multishot accept, which goes on by itself.
    goes_on: bool,
}

impl Ring {
    /// Accepts from one more listener from now on.
    pub(in crate::host) fn listen(&mut self, socket: TcpListener) {
        self.listeners.push(Listener { socket, accepting: false, goes_on: false });
        self.accept();
    }

    /// Accepts again at every listener where accepting has stopped; one connection at a time if few descriptors are
    /// left.
    pub(in crate::host) fn accept(&mut self) {
        let ample = self.descriptors.are_ample();
        for id in 0..self.listeners.len() {
            let listener = &mut self.listeners[id];
            if std::mem::replace(&mut listener.accepting, true) {
                continue;
            }
            listener.goes_on = ample;
            let from = types::Fd(listener.socket.as_raw_fd());
            let entry = if ample {
                opcode::AcceptMulti::new(from).flags(libc::SOCK_CLOEXEC).build()
            } else {
                opcode::Accept::new(from, std::ptr::null_mut(), std::ptr::null_mut()).flags(libc::SOCK_CLOEXEC).build()
            };
            self.push(&entry.user_data(Kind::Accept.numbered(id as u32)));
        }
    }

    /// Accepts nothing more.
    pub(in crate::host) fn stop_accepting(&mut self) {
        for (id, listener) in take(&mut self.listeners).into_iter().enumerate() {
            if listener.accepting {
                self.cancel_accept(id as u32);
            }
        }
    }

    fn cancel_accept(&mut self, id: u32) {
        let entry = opcode::AsyncCancel::new(Kind::Accept.numbered(id)).build();
        self.push(&entry.user_data(Kind::Cancel.numbered(0)));
    }

    pub(super) fn accepted(&mut self, id: ListenerId, entry: &cqueue::Entry) -> Option<Completion> {
        let (result, more) = (entry.result(), cqueue::more(entry.flags()));
        if !more && let Some(listener) = self.listeners.get_mut(id.0 as usize) {
            listener.accepting = false;
        }
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            if result == -libc::ECANCELED {
                // When the server stops there are no listeners any more; else it goes on, one connection at a time.
                self.accept();
                return None;
            }
            return Some(Completion::AcceptFailed(error));
        }
        // SAFETY: the kernel just made this descriptor for us; nobody else has it.
        let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(result) });
        if !more {
            self.accept();
        } else if !self.descriptors.are_ample()
            && let Some(listener) = self.listeners.get_mut(id.0 as usize)
            && take(&mut listener.goes_on)
        {
            self.cancel_accept(id.0);
        }
        if !self.descriptors.take_one() {
            return Some(Completion::Refused(stream, id));
        }
        self.generation = (self.generation + 1) & super::GENERATION_MASK;
        let generation = self.generation;
        let slot = self.sockets.insert(Socket {
            stream,
            generation,
            receiving: false,
            watched: false,
            wanted: true,
            ended: false,
            closing: false,
            sending: None,
        }) as u32;
        let key = Key { slot, generation };
        self.receive(key);
        Some(Completion::Accepted(key, id))
    }
}
