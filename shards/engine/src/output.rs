//! What a shard gives its host to do: bytes for sockets, asks for the world, notes for people.
//!
//! *Owns* the shapes only; the lanes themselves live in [`Shard`](crate::Shard).
//! *Promises* that everything frequent is written in place, into memory that is cleared and used again.

use crate::ident::{ConnId, Fence, Nanos, Ticket};
use crate::permissions::{Sampled, ShadowTally};
use bytes::Bytes;
use deepstream_wire::{Unreadable, Wire};
use std::sync::Arc;

/// Bytes waiting for one socket, in order: one contiguous buffer, with large frames held by reference between its
/// parts.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Copied frames, back to back.
    pub bytes: Vec<u8>,
    /// Frames held by reference: each goes out before the byte of `bytes` at its offset. Offsets ascend.
    pub shared: Vec<(usize, Bytes)>,
    /// Total bytes of `shared`.
    pub shared_bytes: usize,
}

impl Outbox {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what waits, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shared.clear();
        self.shared_bytes = 0;
    }

    /// Appends bytes that are not shared, into `spare` memory if there is none yet.
    pub(crate) fn open(&mut self, spare: &mut Spare) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0
            && let Some(bytes) = spare.take()
        {
            self.bytes = bytes;
        }
        &mut self.bytes
    }

    /// What waits, piece by piece, in order; pieces may be empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        let ends = self.shared.iter().map(|(offset, frame)| (*offset, &frame[..])).chain([(self.bytes.len(), &[][..])]);
        ends.flat_map(move |(offset, frame)| [&self.bytes[std::mem::replace(&mut at, offset)..offset], frame])
    }

    /// Appends a frame by reference.
    pub fn push_shared(&mut self, frame: Bytes) {
        self.shared_bytes += frame.len();
        self.shared.push((self.bytes.len(), frame));
    }
}

/// Memory of outboxes that were sent, for those that begin to fill: connections that say nothing keep none, and busy ones
/// allocate none.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// Empty, the warmest last.
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// Buffers that grew beyond this are given back to the allocator.
const SPARE_BUFFER_BYTES_MAX: usize = 256 << 10;
/// Bytes that spare buffers have in all.
const SPARE_BYTES_MAX: usize = 8 << 20;

impl Spare {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    pub(crate) fn put(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes > 0 && bytes <= SPARE_BUFFER_BYTES_MAX && self.bytes + bytes <= SPARE_BYTES_MAX {
            buffer.clear();
            self.bytes += bytes;
            self.buffers.push(buffer);
        }
    }
}

/// One message, encoded once for every wire that some receiver speaks; an entry is empty where nobody does.
#[derive(Clone, Debug)]
pub struct Frames(Arc<[Bytes; Wire::COUNT]>);

impl Frames {
    /// Shares these encodings, indexed by wire.
    pub fn new(frames: [Bytes; Wire::COUNT]) -> Self {
        Self(Arc::new(frames))
    }

    /// Whether they are the same, not only equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The encoding for a wire.
    pub fn of(&self, wire: Wire) -> &Bytes {
        &self.0[wire as usize]
    }
}

/// What the host should do with a socket after it handed in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop reading this socket until it is named by [`Shard::resumed`](crate::Shard::resumed).
    Pause,
    /// Hand in nothing more of this connection; it is, or will be, among [`Shard::closes`](crate::Shard::closes).
    Close,
}

/// Why a connection is closed by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No successful login within the time.
    AuthenticationTimeout,
    /// Where the client speaks first, it said nothing: not even that it is one of ours.
    NeverSpoke,
    /// A login message that makes no sense.
    InvalidAuth,
    /// As many refused logins as are allowed.
    TooManyAuthAttempts,
    /// Its login could not be judged, and it has but one.
    LoginUnjudged,
    /// Nothing was heard for two heartbeat intervals.
    HeartbeatMissing,
    /// Unsent bytes above their maximum.
    SlowConsumerFull,
    /// Of all connections, which hold more than they may together, it holds most. It is dropped with whatever is unsent.
    Overburdened,
    /// Unsent bytes that did not move for their timeout.
    SlowConsumerStalled,
    /// What the login was granted for is over, and no fresh login extended it.
    SessionExpired,
    /// Its client connected anew.
    TakenOver,
    /// The server is stopping.
    Shutdown,
}

/// A request to the world outside the shard. Its outcome comes back through
/// [`Shard::completed`](crate::Shard::completed).
#[derive(Debug)]
pub enum HostRequest {
    /// Read one record from storage.
    Load {
        /// Returned with the outcome.
        ticket: Ticket,
        /// The record's name.
        name: Box<[u8]>,
    },
    /// Judge a login.
    Authenticate {
        /// Who asks; returned with the outcome.
        conn: ConnId,
        /// The login data: a JSON object or array.
        data: Bytes,
        /// Where it comes from.
        peer: Arc<Peer>,
    },
    /// Find out how things stand in the cluster: storage refused a write, because another node has claimed its slot.
    Deposed,
}

/// The answer to a [`HostRequest`] or to a batch of stores.
#[derive(Debug)]
pub enum Completion {
    /// To [`HostRequest::Load`]: the record, or that there is none.
    Loaded {
        /// The ask's.
        ticket: Ticket,
        /// What was found.
        result: Result<Option<Stored>, Fault>,
    },
    /// To a batch taken with [`Shard::take_stores`](crate::Shard::take_stores): all of it is durable, or none is known
    /// to be.
    Stored {
        /// The batch's.
        ticket: Ticket,
        /// Whether it is as durable as the configuration asks.
        result: Result<(), Fault>,
    },
    /// To [`HostRequest::Authenticate`].
    Authenticated {
        /// The ask's.
        conn: ConnId,
        /// The verdict.
        login: Login,
    },
}

/// A record as storage keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its version.
    pub version: i32,
    /// Its value: JSON text.
    pub value: Vec<u8>,
}

/// What the world did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer in time.
    Timeout,
    /// An error, in words for the log.
    Failed(String),
    /// Of a batch: these records are not stored, however often it is tried; all others are. In the order of their entries.
    Refused(Vec<Refusal>),
    /// Of a load: there is no record of this name, and storage will not take one; why, in words for whoever makes one.
    Unstorable(String),
}

impl Fault {
    /// For people.
    pub fn words(&self) -> &str {
        match self {
            Self::Timeout => "no answer in time",
            Self::Failed(why) | Self::Unstorable(why) => why,
            Self::Refused(refused) => refused.first().map_or("", |refusal| refusal.why.words()),
        }
    }
}

/// A record of a batch that is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its place among the entries.
    pub entry: u32,
    /// Why.
    pub why: Refused,
}

/// Why a record is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It cannot be: what is wrong with it, in words for whoever wrote it.
    Unstorable(String),
    /// The slot of its name was claimed with a later generation than that of its [`Fence`]: another node owns it. Whether it was
    /// stored before that, by a try whose answer was lost, this does not say.
    Deposed,
}

impl Refused {
    /// For whoever wrote it.
    pub fn words(&self) -> &str {
        match self {
            Self::Unstorable(why) => why,
            Self::Deposed => "another node owns this name",
        }
    }
}

/// Verdict on a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Let in.
    Accepted(Account),
    /// Refused.
    Refused {
        /// JSON text sent with AUTH_UNSUCCESSFUL, if any.
        client_data: Option<Box<[u8]>>,
    },
    /// Nobody could judge it, which says nothing about it.
    Unjudged {
        /// JSON text sent with AUTH_UNSUCCESSFUL: why.
        client_data: Box<[u8]>,
    },
    /// Not judged: too many from there were refused.
    Barred {
        /// JSON text sent with AUTH_UNSUCCESSFUL: why.
        client_data: Box<[u8]>,
        /// After so many seconds it may be tried again.
        retry_s: u32,
    },
}

/// What a login is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Who it is.
    pub user_id: Box<str>,
    /// JSON text sent with AUTH_SUCCESSFUL, if any.
    pub client_data: Option<Box<[u8]>>,
    /// JSON text of a token for whoever asked for one, if any. The shard has no use for it.
    pub token: Option<Box<[u8]>>,
    /// JSON text for the permission rules only, if any.
    pub server_data: Option<Box<[u8]>>,
    /// When it ends by itself; `None`: with the connection.
    pub expiry: Option<Expiry>,
}

/// The end of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// How long from now.
    pub in_ns: u64,
    /// How long before the end the client is told.
    pub warning_ns: u64,
}

impl Account {
    /// A login that says who it is and nothing else.
    pub fn of(user_id: &str) -> Self {
        Self { user_id: user_id.into(), ..Self::default() }
    }
}

/// Records to store or remove, in one go. The names and values lie back to back in `bytes`. Made by the shard, filled
/// by it, given back by the host for the next one: nothing is allocated once it has grown.
#[derive(Debug, Default)]
pub struct StoreBatch {
    /// Returned with the outcome.
    pub ticket: Ticket,
    /// What to do, each name at most once.
    pub entries: Vec<StoreEntry>,
    /// Of each entry, in the same order, the claim under which it is written. A server alone has claimed nothing: none at all.
    pub fences: Vec<Fence>,
    /// Names and values.
    pub bytes: Vec<u8>,
}

/// One record of a [`StoreBatch`].
#[derive(Clone, Copy, Debug)]
pub struct StoreEntry {
    /// Start of the name in `bytes`; the value follows the name.
    pub start: u32,
    /// Bytes of the name.
    pub name_len: u32,
    /// Bytes of the value; `None` removes the record.
    pub value_len: Option<u32>,
    /// The record's version.
    pub version: i32,
}

impl StoreBatch {
    /// Forgets the entries, keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.fences.clear();
        self.bytes.clear();
    }

    /// Appends one record; `None` removes it.
    pub fn push(&mut self, name: &[u8], version: i32, value: Option<&[u8]>) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let value_len = value.map(|value| value.len() as u32);
        self.entries.push(StoreEntry { start, name_len: name.len() as u32, value_len, version });
    }

    /// The name of an entry.
    pub fn name(&self, entry: &StoreEntry) -> &[u8] {
        let start = entry.start as usize;
        &self.bytes[start..start + entry.name_len as usize]
    }

    /// The value of an entry; `None` removes it.
    pub fn value(&self, entry: &StoreEntry) -> Option<&[u8]> {
        let start = (entry.start + entry.name_len) as usize;
        entry.value_len.map(|len| &self.bytes[start..start + len as usize])
    }
}

/// What a human might want to know. The host gives it words and a level (docs/operation.md §2); tests count it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named after what they hold")]
pub enum Note {
    /// A connection was upgraded.
    IncomingConnection { conn: ConnId, remote: Box<str>, referer: Box<str> },
    /// A connection ended; where it came from, if nobody logged in.
    Disconnected { user: Option<Box<str>>, remote: Box<str> },
    /// A login was accepted.
    LoggedIn { user: Box<str> },
    /// A login was refused, to whoever is at this address; with what it was tried, if that is to be logged.
    LoginRefused { conn: ConnId, remote: Box<str>, data: Option<Bytes> },
    /// Nobody could judge the login of whoever is at this address.
    LoginUnjudged { remote: Box<str> },
    /// A login was not judged: too many from this address were refused.
    LoginBarred { remote: Box<str> },
    /// A login that ends by itself was extended by a fresh one.
    SessionExtended { user: Box<str> },
    /// A connection was closed by the server. Where it came from, if nobody logged in: the host knows it of all. For how long it
    /// had been silent, or not read, where that is the reason.
    Closed { conn: ConnId, user: Option<Box<str>>, remote: Box<str>, wire: Wire, reason: Reason, waited_ns: u64 },
    /// The connection limit was reached, and one from there refused.
    ConnectionsFull { remote: Box<str> },
    /// A message that could not be understood.
    Unreadable { conn: ConnId, user: Option<Box<str>>, what: Unreadable },
    /// A message that makes no sense where it came: unexpected topic, missing name, unsupported action.
    Unexpected { conn: ConnId, user: Option<Box<str>>, event: &'static str, text: Box<str> },
    /// A second subscription to a name by one connection.
    MultipleSubscriptions { user: Box<str>, name: Box<str> },
    /// A listen pattern that is not accepted.
    InvalidPattern { user: Box<str>, pattern: Box<str>, why: Box<str> },
    /// A listen pattern took too many steps, and matches nothing from now on.
    SlowPattern { pattern: Box<str> },
    /// A write on a version that exists.
    VersionExists { user: Box<str>, name: Box<str>, wanted: i32, current: i32 },
    /// A record could not be loaded.
    LoadFailed { name: Box<str>, fault: Fault },
    /// Records could not be stored; they will be tried again.
    StoreFailed { records: usize, fault: Fault },
    /// Records cannot be stored, this one and others; they live in memory only.
    StoreRefused { records: usize, name: Box<str>, why: Box<str> },
    /// Somebody wanted to make a record of a name under which storage keeps none.
    Unstorable { user: Box<str>, name: Box<str>, why: Box<str> },
    /// A record was removed.
    RecordDeleted { name: Box<str> },
    /// A permission rule failed, which denied what it was asked for.
    RuleFailed { rule: Box<str>, at: Option<(u32, u32)>, text: Box<str>, name: Box<str>, why: Box<str> },
    /// A permission rule gave neither true nor false, for the first time on this shard; what, if that denies.
    RuleOdd { rule: Box<str>, at: Option<(u32, u32)>, text: Box<str>, name: Box<str>, denied: Option<Box<str>> },
    /// More of these than are told one by one.
    LeftOut { what: Sampled, count: u64 },
    /// A candidate judges otherwise than the rules in force.
    ShadowDiffers(Box<Difference>),
    /// What came of a candidate on this shard, which is over.
    ShadowOver { file: Box<str>, tally: ShadowTally },
    /// Debug only: what a permission rule denied, and how it came to that.
    Denied { user: Box<str>, action: &'static str, name: Box<str>, why: Box<str> },
    /// Debug only: a subscription began or ended.
    Subscription { event: &'static str, topic: &'static str, name: Box<str>, user: Box<str> },
    /// Debug only: a record took a new version; nobody wrote it if a subscription created it.
    RecordChanged { name: Box<str>, version: i32, value: Box<[u8]>, writer: Option<ConnId> },
    /// Debug only: the first connection of a user logged in, or the last is gone.
    Presence { user: Box<str>, online: bool },
    /// Debug only: a listener is asked for a name, provides it, or does neither any more.
    Listener { turn: Turn, topic: &'static str, name: Box<str>, pattern: Box<str>, conn: ConnId },
    /// Debug only: the answer to somebody's message about a record waits for room.
    AnswerWithheld { name: Box<str>, conn: ConnId, correlation_id: Option<Box<[u8]>> },
    /// Debug only: an event was published.
    Emitted { name: Box<str>, data: Box<str> },
}

/// What a candidate and the rules in force say of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named after what they hold")]
pub struct Difference {
    pub user: Box<str>,
    pub action: &'static str,
    pub name: Box<str>,
    /// What the rules in force say, and at which place.
    pub live: Box<str>,
    pub candidate: Box<str>,
}

/// What a listener is to a name from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is asked whether it provides.
    Asked,
    /// It provides.
    Provides,
    /// Neither: it is the next one's turn, if anybody's.
    Over,
}

/// The headers and address a connection came with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Address as logged and as handed to authentication.
    pub remote: Box<str>,
    /// `Referer` header, or empty.
    pub referer: Box<str>,
    /// Headers of the upgrade that authentication wants to see; names in lower case.
    pub headers: Headers,
    /// What it is sent is sealed for it alone.
    pub is_secured: bool,
}

/// Names and values.
pub type Headers = Box<[(Box<str>, Box<str>)]>;

/// When the next thing is due; `None` if nothing is.
pub type Deadline = Option<Nanos>;
