//! The host's state of each socket of a core.
//!
//! *Owns* the table of sockets, and the lists of those that need attention later. *Promises* that a key of the ring and
//! a connection of the shard lead to the same socket, and to none once that socket is gone. *Does not* act on sockets:
//! see `connections`.

use super::http::Conversation;
use super::ring::Key;
use super::running::Running;
use super::tls::Session;
use deepstream_engine::{ConnId, Nanos, Outbox};
use deepstream_wire::{Link, LinkConfig, Medium, Wire};
use std::collections::VecDeque;
use std::net::IpAddr;

/// The host's state of one socket.
pub(super) struct Socket {
    pub(super) generation: u32,
    pub(super) conn: ConnId,
    /// The address of its other end; of a WebSocket behind a trusted proxy, that of the client.
    pub(super) address: Option<IpAddr>,
    /// What is spoken on its listener.
    pub(super) medium: Medium,
    pub(super) link: Link,
    pub(super) stage: Stage,
    /// It is refused, whatever it asks for.
    pub(super) refused: bool,
    /// Input is ignored from now on.
    pub(super) ignores_input: bool,
    /// The shard has paused it.
    pub(super) paused: bool,
    /// The peer has sent its last byte.
    pub(super) ended: bool,
    /// Bytes are with the kernel.
    pub(super) sending: bool,
    /// The shard has more output than the kernel has taken over.
    pub(super) more: bool,
    /// The last output of an ended session, to be sent after what the kernel has.
    pub(super) rest: Option<Box<Outbox>>,
    /// The TLS session, on a secured connection.
    pub(super) tls: Option<Box<Session>>,
    /// The HTTP conversation, if there is one.
    pub(super) http: Option<Box<Conversation>>,
    /// If output is recoded (encrypted, or translated to another protocol): how many of the shard's bytes the kernel
    /// has.
    pub(super) recoded_bytes: usize,
    /// The number of recoded bytes that the kernel still has.
    pub(super) sealed_bytes: usize,
    /// The bytes beside its outbox that the shard was last told about: unsent, and received.
    pub(super) told: (usize, usize),
    /// Bytes that were unsent when its session ended.
    pub(super) draining_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The shard has it.
    Open,
    /// The shard wants it closed when everything is sent.
    Closing,
    /// The session is over; the last output is being sent.
    Draining,
    /// Everything is sent and the peer was told; it is expected to close, too.
    Lingering,
}

/// All sockets of a core, by the ring's slots.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) table: Vec<Option<Socket>>,
    /// The ring's key of each of the shard's connection slots: of its socket, or for a request of HTTP of the socket it
    /// came through.
    pub(super) keys: Vec<Option<Key>>,
    /// Sockets with the time at which they are dropped, in order.
    pub(super) late: VecDeque<(Nanos, Key)>,
    /// Unsent bytes of sessions that are over.
    pub(super) draining_bytes: usize,
    /// Clients that may wait for the server to speak first, with the time to do so, in order.
    pub(super) silent: VecDeque<(Nanos, Key)>,
    /// Sockets with output whose last send is done.
    pub(super) ready: Vec<Key>,
    /// Sockets that were paused in this turn.
    pub(super) pausing: Vec<Key>,
    /// Secured connections whose handshake continues in a later turn.
    pub(super) handshakes: VecDeque<Key>,
    /// Whether a handshake was continued in this turn.
    pub(super) shook_hands: bool,
    pub(super) replies: Vec<u8>,
    pub(super) plain: Vec<u8>,
}

impl Sockets {
    /// With room for this many without moving any.
    pub(super) fn with_room(sockets: usize) -> Self {
        Self { table: Vec::with_capacity(sockets), keys: Vec::with_capacity(sockets), ..Self::default() }
    }

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Socket> {
        let socket = self.table.get_mut(key.slot as usize)?.as_mut();
        socket.filter(|socket| socket.generation == key.generation)
    }

    pub(super) fn insert(
        &mut self,
        key: Key,
        conn: ConnId,
        medium: Medium,
        peer: (Option<IpAddr>, bool),
        tls: Option<Session>,
    ) {
        let (address, refused) = peer;
        let socket = Socket {
            generation: key.generation,
            conn,
            address,
            medium,
            link: Link::of(medium),
            stage: Stage::Open,
            refused,
            ignores_input: false,
            paused: false,
            ended: false,
            sending: false,
            more: false,
            rest: None,
            tls: tls.map(Box::new),
            http: None,
            recoded_bytes: 0,
            sealed_bytes: 0,
            told: (0, 0),
            draining_bytes: 0,
        };
        put(&mut self.table, key.slot as usize, socket);
        self.place(conn, key);
    }

    /// Records through which socket a connection of the shard is reached.
    pub(super) fn place(&mut self, conn: ConnId, key: Key) {
        put(&mut self.keys, conn.index(), key);
    }

    /// The socket of one of the shard's connections.
    pub(super) fn key(&mut self, conn: ConnId) -> Option<Key> {
        let key = (*self.keys.get(conn.index())?)?;
        self.get(key).filter(|socket| socket.conn == conn).map(|_| key)
    }

    /// The request that is executed on a socket.
    pub(super) fn running(&mut self, key: Key) -> Option<&mut Running> {
        self.get(key)?.http.as_mut()?.running.as_deref_mut()
    }

    /// The socket through which a request came.
    pub(super) fn asked_by(&mut self, conn: ConnId) -> Option<Key> {
        let key = (*self.keys.get(conn.index())?)?;
        self.running(key).filter(|running| running.conn == conn).map(|_| key)
    }

    /// All sockets on which HTTP is spoken.
    pub(super) fn conversations(&self) -> Vec<Key> {
        let open = |(slot, socket): (usize, &Option<Socket>)| {
            let socket = socket.as_ref().filter(|socket| socket.http.is_some())?;
            Some(Key { slot: slot as u32, generation: socket.generation })
        };
        self.table.iter().enumerate().filter_map(open).collect()
    }

    /// The wire of a socket, as far as it is known.
    pub(super) fn wire(&mut self, key: Key, links: &LinkConfig) -> Wire {
        let Some(socket) = self.get(key) else { return Wire::Protobuf };
        match socket.link.upgraded_on(links) {
            Some(endpoint) => endpoint.wire,
            None if socket.medium == Medium::Mqtt => Wire::Mqtt,
            None if socket.http.is_some() => Wire::Http,
            None => Wire::Protobuf,
        }
    }

    /// Whether a flush has work that the shard does not know of.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.pausing.is_empty()
    }

    /// Whether a handshake waits for its turn.
    pub(super) fn has_handshakes(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// When the next socket is dropped.
    pub(super) fn next_late(&self) -> Option<Nanos> {
        self.late.front().map(|&(at, _)| at)
    }
}

fn put<T>(table: &mut Vec<Option<T>>, index: usize, value: T) {
    if table.len() <= index {
        table.resize_with(index + 1, || None);
    }
    table[index] = Some(value);
}
