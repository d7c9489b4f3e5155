//! What the host remembers of each socket of a core.
//!
//! *Owns* the table of sockets, and the lists of those that need attention later in a turn. *Promises* that a key of the ring
//! and a connection of the shard lead to the same socket, and to none once that socket is gone. *Does not* act on sockets: see
//! `connections`.

use super::http::Conversation;
use super::ring::Key;
use super::running::Running;
use super::tls::Session;
use deepstream_engine::{ConnId, Nanos, Outbox};
use deepstream_wire::{Link, LinkConfig, Medium, Wire};
use std::collections::VecDeque;
use std::net::IpAddr;

/// What the host knows of one socket.
pub(super) struct Socket {
    pub(super) generation: u32,
    pub(super) conn: ConnId,
    /// Its other end; of a WebSocket, whoever a trusted proxy says is behind that.
    pub(super) address: Option<IpAddr>,
    /// What its door expects to be spoken.
    pub(super) medium: Medium,
    pub(super) link: Link,
    pub(super) stage: Stage,
    /// It is told that it is not let in, whatever it wants.
    pub(super) shut_out: bool,
    /// Nothing is handed in any more.
    pub(super) deaf: bool,
    /// The shard asked for a pause and has not ended it.
    pub(super) paused: bool,
    /// The peer has sent its last byte.
    pub(super) ended: bool,
    /// Bytes are with the kernel.
    pub(super) sending: bool,
    /// The shard has more for it than what is with the kernel.
    pub(super) more: bool,
    /// Taken from the shard when the session ended, to be sent after what is with the kernel.
    pub(super) rest: Option<Box<Outbox>>,
    /// Between the socket's bytes and the link's, on a secured connection.
    pub(super) tls: Option<Box<Session>>,
    /// What HTTP is spoken on it, if any is.
    pub(super) http: Option<Box<Conversation>>,
    /// Bytes of the shard in what is with the kernel, where that is something else: ciphertext, or another protocol's.
    pub(super) recoded_bytes: usize,
    /// Bytes of that something else which are still with the kernel.
    pub(super) sealed_bytes: usize,
    /// What the shard was last told that is kept beside its outbox: unsent, and received.
    pub(super) told: (usize, usize),
    /// Bytes that were still to be sent when its session ended.
    pub(super) draining_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The shard knows it.
    Open,
    /// The shard wants it closed once everything is sent.
    Closing,
    /// The shard has forgotten it; its rest is being sent.
    Draining,
    /// Everything is sent and the peer knows; it is to close too.
    Lingering,
}

/// All sockets of a core, by the ring's slots.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) table: Vec<Option<Socket>>,
    /// The ring's key of each of the shard's connection slots: its own, or that of the socket through which it asks.
    pub(super) keys: Vec<Option<Key>>,
    /// Sockets that must be gone at a moment, in order.
    pub(super) late: VecDeque<(Nanos, Key)>,
    /// Bytes that are still to be sent for sessions that are over.
    pub(super) draining_bytes: usize,
    /// When to speak to which client that may wait for the server to do so, in order.
    pub(super) silent: VecDeque<(Nanos, Key)>,
    /// Sockets whose shard has something to send and whose last send is done.
    pub(super) ready: Vec<Key>,
    /// Sockets that were paused in this turn.
    pub(super) pausing: Vec<Key>,
    /// Secured connections whose handshake goes on in a later turn.
    pub(super) handshakes: VecDeque<Key>,
    /// Whether a handshake has gone on in this turn.
    pub(super) shook_hands: bool,
    pub(super) replies: Vec<u8>,
    pub(super) plain: Vec<u8>,
}

impl Sockets {
    /// Room for so many without moving any.
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
        let (address, shut_out) = peer;
        let socket = Socket {
            generation: key.generation,
            conn,
            address,
            medium,
            link: Link::of(medium),
            stage: Stage::Open,
            shut_out,
            deaf: false,
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

    /// Remembers through which socket a connection of the shard is reached.
    pub(super) fn place(&mut self, conn: ConnId, key: Key) {
        put(&mut self.keys, conn.index(), key);
    }

    /// The socket of a connection that the shard speaks of.
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

    /// What is spoken on a socket, as far as that is known.
    pub(super) fn wire(&mut self, key: Key, links: &LinkConfig) -> Wire {
        let Some(socket) = self.get(key) else { return Wire::Protobuf };
        match socket.link.upgraded_on(links) {
            Some(endpoint) => endpoint.wire,
            None if socket.medium == Medium::Mqtt => Wire::Mqtt,
            None if socket.http.is_some() => Wire::Http,
            None => Wire::Protobuf,
        }
    }

    /// Whether a flush has something to do that the shard does not know of.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.pausing.is_empty()
    }

    /// Whether a handshake waits for its turn.
    pub(super) fn has_handshakes(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// When the next socket must be gone.
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
