//! The floor: a process that copies bytes between sockets and does nothing else.
//!
//! *Owns* a TCP relay in one thread over epoll: one read of a sender, one write for each receiver of its group.
//! *Promises* that receivers get whole messages, in the order of each sender, and that a receiver that does not read
//! does not delay others. *Does not* parse, frame, check or name anything after a client has joined.
//!
//! Joining is one line, `JOIN group-to-send-to group-to-receive size`, with `-` for none; the answer is one byte.

use crate::poll::Poll;
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// What the relay answers to a client that joined.
pub(crate) const WELCOME: u8 = b'+';

/// The line that joins a client.
pub(crate) fn join_line(publishes: Option<&str>, receives: Option<&str>, message_bytes: usize) -> String {
    format!("JOIN {} {} {message_bytes}\n", publishes.unwrap_or("-"), receives.unwrap_or("-"))
}

/// Bytes that may wait for one receiver before it is given up.
const OUTBOX_BYTES_MAX: usize = 16 << 20;
const READ_BYTES: usize = 256 << 10;
const LISTENER: usize = usize::MAX;

/// Listens as a server does that expects many at once.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    const BACKLOG: i32 = 65535;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until the process is killed.
pub(crate) fn serve(listener: &TcpListener, spin: bool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut relay = Relay { poll: Poll::new()?, clients: Vec::new(), groups: HashMap::new() };
    relay.poll.add(listener, LISTENER)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut ready = Vec::new();
    loop {
        relay.poll.wait(if spin { Some(0) } else { None }, &mut ready)?;
        for &(token, _) in &ready {
            if token == LISTENER {
                relay.accept(listener)?;
            } else if relay.serve(token, &mut buffer).is_err() {
                relay.forget(token);
            }
        }
    }
}

struct Relay {
    poll: Poll,
    /// By token; a slot is never used again.
    clients: Vec<Option<Client>>,
    groups: HashMap<String, Vec<usize>>,
}

struct Client {
    stream: TcpStream,
    publishes: Option<String>,
    receives: Option<String>,
    /// 0 until it joined.
    message_bytes: usize,
    /// The beginning of a message whose end has not come.
    held: Vec<u8>,
    outbox: Vec<u8>,
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.poll.add(&stream, self.clients.len())?;
            let (held, outbox) = (Vec::new(), Vec::new());
            self.clients.push(Some(Client { stream, publishes: None, receives: None, message_bytes: 0, held, outbox }));
        }
    }

    /// A client can be read or written.
    fn serve(&mut self, token: usize, buffer: &mut [u8]) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(token).and_then(Option::as_mut) else { return Ok(()) };
        if !client.outbox.is_empty() {
            let outbox = std::mem::take(&mut client.outbox);
            client.send(&outbox)?;
            if client.outbox.is_empty() {
                self.poll.want(&client.stream, token, false)?;
            }
        }
        let count = match client.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if client.message_bytes == 0 { self.join(token, &buffer[..count]) } else { self.copy(token, &buffer[..count]) }
    }

    fn join(&mut self, token: usize, bytes: &[u8]) -> io::Result<()> {
        let Some(client) = self.clients[token].as_mut() else { return Ok(()) };
        client.held.extend_from_slice(bytes);
        let Some(line) = client.held.strip_suffix(b"\n") else { return Ok(()) };
        let line = String::from_utf8_lossy(line).into_owned();
        let words: Vec<&str> = line.split(' ').collect();
        let ["JOIN", publishes, receives, size] = words[..] else { return Err(ErrorKind::InvalidData.into()) };
        let named = |word: &str| (word != "-").then(|| word.to_owned());
        client.message_bytes = size.parse().ok().filter(|size| *size > 0).ok_or(ErrorKind::InvalidData)?;
        client.publishes = named(publishes);
        client.receives = named(receives);
        client.held.clear();
        if let Some(group) = &client.receives {
            self.groups.entry(group.clone()).or_default().push(token);
        }
        client.send(&[WELCOME])
    }

    fn copy(&mut self, token: usize, bytes: &[u8]) -> io::Result<()> {
        let Some(client) = self.clients[token].as_mut() else { return Ok(()) };
        let Some(receivers) = client.publishes.as_ref().and_then(|group| self.groups.get(group)) else {
            return Ok(());
        };
        // Messages of several senders must not be cut into each other.
        let joined;
        let bytes = if client.held.is_empty() {
            bytes
        } else {
            joined = [client.held.as_slice(), bytes].concat();
            client.held.clear();
            &joined
        };
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % client.message_bytes);
        client.held.extend_from_slice(rest);
        if whole.is_empty() {
            return Ok(());
        }
        let mut lost = Vec::new();
        for &receiver in receivers {
            let Some(other) = self.clients[receiver].as_mut() else { continue };
            let was_empty = other.outbox.is_empty();
            if other.send(whole).is_err() {
                lost.push(receiver);
            } else if was_empty && !other.outbox.is_empty() {
                self.poll.want(&other.stream, receiver, true)?;
            }
        }
        for receiver in lost {
            self.forget(receiver);
        }
        Ok(())
    }

    fn forget(&mut self, token: usize) {
        let Some(client) = self.clients.get_mut(token).and_then(Option::take) else { return };
        if let Some(receivers) = client.receives.and_then(|group| self.groups.get_mut(&group)) {
            receivers.retain(|receiver| *receiver != token);
        }
    }
}

impl Client {
    /// One write; what does not fit waits.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = if self.outbox.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            }
        } else {
            0
        };
        self.outbox.extend_from_slice(&bytes[written..]);
        if self.outbox.len() > OUTBOX_BYTES_MAX { Err(ErrorKind::OutOfMemory.into()) } else { Ok(()) }
    }
}
