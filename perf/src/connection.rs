//! One client connection.
//!
//! *Owns* a non-blocking socket, what waits to be written, and how far its conversation is. *Does not* wait: its owner
//! reads when epoll says so.

use crate::dialect::{Dialect, Membership, Speaker, Taker};
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// Bytes to be written; append, then flush.
    pub(crate) out: Vec<u8>,
    written: usize,
    speaker: Speaker,
}

impl Connection {
    /// Connects and says the first thing. The rest follows as answers come in.
    pub(crate) fn open(address: SocketAddr, dialect: Dialect, membership: Membership) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut out = Vec::new();
        let speaker = Speaker::begin(dialect, &address.to_string(), membership, &mut out);
        let mut connection = Self { stream, out, written: 0, speaker };
        connection.flush()?;
        Ok(connection)
    }

    /// Lets the kernel keep as little as it can for a client that will not read.
    pub(crate) fn shrink(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_recv_buffer_size(4096)
    }

    /// Writes what the socket takes. Says whether something is left.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(false)
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// One read, if there is something. `None`: nothing there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match self.stream.read(buffer) {
            Ok(count) => Some(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            // A reset is an end like any other.
            Err(_) => Some(0),
        }
    }

    /// Takes in what [`Self::read`] read, of which nothing is the end.
    pub(crate) fn received(&mut self, bytes: &[u8], on: &mut impl Taker) {
        self.speaker.received(bytes, &mut self.out, on);
    }

    /// Whether it ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.speaker.is_closed()
    }
}
