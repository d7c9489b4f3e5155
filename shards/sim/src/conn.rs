//! One simulated connection: the host's end with a real link, the client's end, and the network between them.
//!
//! *Owns* bytes under way. *Promises* that they arrive in order or not at all. *Does not* decide when.

use crate::pipe::Pipe;
use crate::world::intruder::Intruder;
use deepstream_engine::{ConnId, Reason};
use deepstream_wire::Link;
use deepstream_wire::client::ServerReader;

/// A connection from its accept to its end; a client that comes back gets a new one.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) client: usize,
    pub(crate) core: usize,
    pub(crate) id: ConnId,
    /// Its client id, under which only one connection may exist; mostly empty.
    pub(crate) name: &'static str,
    /// Whether the host still has the socket.
    pub(crate) alive: bool,
    /// Client to server.
    pub(crate) up: Pipe,
    /// Server to client.
    pub(crate) down: Pipe,
    /// Nothing follows `up`.
    pub(crate) up_ended: bool,
    pub(crate) link: Link,
    /// What its shard was last told that the link keeps.
    pub(crate) held_bytes: usize,
    /// Bytes taken from the outbox and not yet sent.
    pub(crate) unsent: Pipe,
    pub(crate) resume_due: bool,
    /// To be closed once `unsent` is sent.
    pub(crate) closing: Option<Reason>,
    /// Reads the server's output for the oracles, at the moment it is produced.
    pub(crate) spy: ServerReader,
    /// Reads what arrives at the client.
    pub(crate) reader: ServerReader,
    /// Whether the client still has the socket.
    pub(crate) client_alive: bool,
    /// The state of an intruder, which has no socket.
    pub(crate) intruder: Option<Intruder>,
}

impl Conn {
    pub(crate) fn new(client: usize, core: usize, id: ConnId) -> Self {
        Self {
            client,
            core,
            id,
            name: "",
            alive: true,
            up: Pipe::default(),
            down: Pipe::default(),
            up_ended: false,
            link: Link::new(),
            held_bytes: 0,
            unsent: Pipe::default(),
            resume_due: false,
            closing: None,
            spy: ServerReader::new(),
            reader: ServerReader::new(),
            client_alive: true,
            intruder: None,
        }
    }

    /// Whether the host would read from it.
    pub(crate) fn readable(&self) -> bool {
        self.alive && self.closing.is_none() && !self.link.is_paused() && (!self.up.is_empty() || self.up_ended)
    }
}
