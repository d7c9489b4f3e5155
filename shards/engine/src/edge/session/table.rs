//! The connections of one core: who they are, how far they are, what waits for them.

use crate::edge::session::burden::{Borrowed, Burden};
use crate::edge::withheld::Withheld;
use crate::ident::{ConnId, Nanos, Place};
use crate::limits::Limits;
use crate::output::{Outbox, Peer, Reason, Spare};
use crate::packet::Identity;
use crate::timer::TimerId;
use bytes::Bytes;
use deepstream_wire::Wire;
use slab::Slab;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// How far a connection is (docs/protobuf-protocol.md §6).
#[derive(Debug)]
pub(crate) enum State {
    /// The socket is there; its upgrade is not.
    Connected,
    /// Upgraded; the client speaks first.
    AwaitChallenge,
    /// Challenge accepted; the client is to log in.
    AwaitAuth,
    /// A login is being judged; nothing else is read meanwhile.
    Authenticating,
    /// Let in, and not told so yet: whoever hears of it is to find its user online.
    Arriving,
    /// Logged in.
    Open,
    /// Nothing more is read; what waits is sent, then the socket is closed.
    Closing,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) generation: u16,
    pub(crate) wire: Wire,
    /// It waits for records that a permission rule refers to; nothing else is read meanwhile.
    pub(crate) asking: bool,
    /// Among the dirty ones, that is: named by the next `Shard::dirty`.
    pub(crate) dirty: bool,
    /// Its socket is not read until it is named by `Shard::resumed`.
    pub(crate) paused: bool,
    /// It was ended for a message that is too large.
    pub(crate) oversized: bool,
    /// Its outbox went over the high-water mark and is not down at half of that yet; its timer knows.
    pub(crate) filling: bool,
    pub(crate) attempts: u32,
    pub(crate) state: State,
    pub(crate) outbox: Outbox,
    /// Bytes the host took and has not sent yet.
    pub(crate) unsent: usize,
    /// When `unsent` last shrank, or the outbox last began to fill.
    pub(crate) moved_at: Nanos,
    /// When the last step was through that a client must take to count as one that reads, or the outbox last went over its
    /// high-water mark.
    pub(crate) stepped_at: Nanos,
    /// Bytes of the step under way.
    pub(crate) step_bytes: usize,
    /// Bytes that were ever put into its outbox.
    pub(crate) put_bytes: u64,
    /// Frames among its unsent bytes that it shares with others.
    pub(crate) borrowed: VecDeque<Borrowed>,
    /// Bytes of answers that the host will put into its outbox, and of what came and is not dealt with.
    pub(crate) unsent_aside: usize,
    pub(crate) received_aside: usize,
    /// What it is sent is copied for it alone: sealed, or put in another form.
    pub(crate) copies: bool,
    /// It is over, and what it made the shard hold is forgotten.
    pub(crate) dropped: bool,
    /// Answers it asked for that wait for room, if any do.
    pub(crate) withheld: Option<Box<Withheld>>,
    pub(crate) heard_at: Nanos,
    /// Silence after which it is closed, if it named one itself.
    pub(crate) silence_ns_max: Option<u64>,
    /// When it connected, or a login of it was last refused.
    pub(crate) since: Nanos,
    /// When it is pinged next, where the server leads; elsewhere when it was last asked whether it lives.
    pub(crate) ping_at: Nanos,
    pub(crate) timer: TimerId,
    /// Cores that know this connection: one bit each.
    pub(crate) introduced: SmallVec<[u64; 1]>,
    /// There until the login is complete, and beyond if it ends by itself.
    pub(crate) visit: Option<Box<Visit>>,
    /// Who it is, from its login on.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// What is only kept of a connection that has not logged in, or whose login will end.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    /// The name under which its client is connected once.
    pub(crate) client: Option<Box<[u8]>>,
    pub(crate) peer: Arc<Peer>,
    /// Data of the login that is being judged, if a refusal is to be logged with it.
    pub(crate) data: Option<Bytes>,
    /// A fresh login of an open session is being judged; nothing else is read meanwhile.
    pub(crate) extending: bool,
    /// When the login ends.
    pub(crate) expires_at: Option<Nanos>,
    /// When its client is told that it will; `None` once it was.
    pub(crate) warn_at: Option<Nanos>,
}

impl Session {
    /// Whether a login, or a message that nothing may overtake, is being judged, until when nothing more is read.
    pub(crate) fn is_judged(&self) -> bool {
        self.asking
            || matches!(self.state, State::Authenticating | State::Arriving)
            || self.visit.as_ref().is_some_and(|visit| visit.extending)
    }

    /// When there was last a sign that somebody is at the other end: something was heard, or of what the kernel had no room
    /// for some was taken, which it does when what was before it has arrived.
    pub(crate) fn last_sign(&self) -> Nanos {
        if self.unsent > 0 { self.heard_at.max(self.moved_at) } else { self.heard_at }
    }

    /// Whether it can be asked whether it lives: a WebSocket, once its client has said that it is one of ours.
    pub(crate) fn may_be_probed(&self) -> bool {
        matches!(self.wire, Wire::Protobuf | Wire::ProtobufNoMulti | Wire::Json)
            && !matches!(self.state, State::Connected | State::AwaitChallenge | State::Closing)
    }

    /// Bytes that wait for this connection's socket.
    pub(crate) fn backlog(&self) -> usize {
        self.queued() + self.unsent_aside
    }

    /// Those of them that are in its outbox, or were taken from it.
    pub(crate) fn queued(&self) -> usize {
        self.outbox.len() + self.unsent
    }

    /// Whether answers it asked for wait to be fetched.
    pub(crate) fn is_behind(&self) -> bool {
        self.withheld.as_ref().is_some_and(|withheld| withheld.is_waiting())
    }

    /// Whether anything more is put in its outbox. Nothing follows a close frame, and a connection that is closed
    /// because its outbox is full must not fill it further.
    pub(crate) fn is_told(&self) -> bool {
        !matches!(self.state, State::Closing)
    }

    /// The user's id once logged in.
    pub(crate) fn user(&self) -> Option<&str> {
        self.identity.as_deref().map(|identity| &*identity.user)
    }

    /// Where it comes from, as long as that is kept here: until somebody has logged in.
    pub(crate) fn remote(&self) -> Box<str> {
        self.visit.as_ref().map_or_else(Box::default, |visit| visit.peer.remote.clone())
    }

    /// Marks the core that stands there in the row as knowing this connection; `false` if it did already.
    pub(crate) fn introduce(&mut self, index: usize) -> bool {
        let (word, bit) = (index / 64, 1 << (index % 64));
        if self.introduced.len() <= word {
            self.introduced.resize(word + 1, 0);
        }
        let fresh = self.introduced[word] & bit == 0;
        self.introduced[word] |= bit;
        fresh
    }

    /// Where the cores that know this connection stand in the row.
    pub(crate) fn introduced(&self) -> impl Iterator<Item = usize> + '_ {
        self.introduced
            .iter()
            .enumerate()
            .flat_map(|(word, &bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit))
    }
}

/// All connections of one core, and what is to be done for them.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(super) core: Place,
    generation: u16,
    pub(super) table: Slab<Session>,
    pub(crate) limits: Limits,
    /// Those with something to send, in the order in which they are to be offered it.
    pub(crate) dirty: VecDeque<ConnId>,
    pub(crate) closes: Vec<Closing>,
    /// Those that are to be read again.
    pub(crate) resumed: Vec<ConnId>,
    pub(crate) burden: Burden,
    pub(crate) spare: Spare,
}

impl Sessions {
    pub(crate) fn new(core: Place, limits: Limits) -> Self {
        Self {
            core,
            generation: 0,
            table: Slab::new(),
            limits,
            dirty: VecDeque::new(),
            closes: Vec::new(),
            resumed: Vec::new(),
            burden: Burden::default(),
            spare: Spare::default(),
        }
    }

    /// Makes room for so many without moving any.
    pub(crate) fn reserve(&mut self, sessions: usize) {
        self.table.reserve(sessions);
    }

    /// Where they are.
    #[inline]
    pub(crate) fn core(&self) -> Place {
        self.core
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn open(&mut self, now: Nanos, peer: Peer) -> ConnId {
        // Any value but that of the slot's previous use would do; a counter gives that.
        self.generation = self.generation.wrapping_add(1);
        let session = Session {
            generation: self.generation,
            wire: Wire::Protobuf,
            asking: false,
            dirty: false,
            paused: false,
            oversized: false,
            filling: false,
            attempts: 0,
            state: State::Connected,
            outbox: Outbox::default(),
            unsent: 0,
            moved_at: now,
            stepped_at: now,
            step_bytes: 0,
            put_bytes: 0,
            borrowed: VecDeque::new(),
            unsent_aside: 0,
            received_aside: 0,
            copies: peer.is_secured,
            dropped: false,
            withheld: None,
            heard_at: now,
            silence_ns_max: None,
            since: now,
            ping_at: now,
            timer: TimerId::NONE,
            introduced: SmallVec::new(),
            visit: Some(Box::new(Visit { peer: Arc::new(peer), ..Visit::default() })),
            identity: None,
        };
        let slot = self.table.insert(session) as u32;
        ConnId { core: self.core, generation: self.generation, slot }
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Session> {
        self.table.get(conn.index()).filter(|session| session.generation == conn.generation)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        find_mut(&mut self.table, conn)
    }

    /// The same, beside what all connections make the shard hold.
    pub(crate) fn with_burden(&mut self, conn: ConnId) -> Option<(&mut Session, &mut Burden)> {
        find_mut(&mut self.table, conn).map(|session| (session, &mut self.burden))
    }

    /// The connection that has a slot now.
    pub(crate) fn id_at(&self, slot: u32) -> Option<ConnId> {
        let generation = self.table.get(slot as usize)?.generation;
        Some(ConnId { core: self.core, generation, slot })
    }

    /// Those that stood in these columns of the row are gone, or know nobody any more.
    pub(crate) fn forget_columns(&mut self, columns: &[usize]) {
        for (_, session) in &mut self.table {
            for &column in columns {
                if let Some(bits) = session.introduced.get_mut(column / 64) {
                    *bits &= !(1 << (column % 64));
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Session> {
        self.get(conn)?;
        Some(self.table.remove(conn.index()))
    }

    pub(crate) fn ids(&self) -> Vec<ConnId> {
        let id = |(slot, session): (usize, &Session)| ConnId {
            core: self.core,
            generation: session.generation,
            slot: slot as u32,
        };
        self.table.iter().map(id).collect()
    }
}

/// A connection in the table, if it is still the one that is meant.
#[inline]
pub(super) fn find_mut(table: &mut Slab<Session>, conn: ConnId) -> Option<&mut Session> {
    table.get_mut(conn.index()).filter(|session| session.generation == conn.generation)
}

/// A connection that is to be closed, and why.
pub(crate) type Closing = (ConnId, Reason);
