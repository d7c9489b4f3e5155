//! The contract between the server and a store of records.
//!
//! *Owns* the shapes only. *Promises* nothing itself: what follows is what a driver promises, and what it may rely on.
//! `tests/stores` holds every driver to it.
//!
//! ## What a driver promises
//!
//! * **Names are one-to-one** ([`names`](super::names)): a name whose [`place`](super::names::Names::place) is refused is
//!   never given to it; two that have places never share a record.
//! * **What was written is what is read**: version and value, byte by byte, unless the store keeps JSON as such. A
//!   record that cannot be read fails alone, with a reason, and is never reported as missing.
//! * **A commit that succeeded is as durable as the store can make it** and is seen by every load that begins after it.
//!   One that failed with a [`Trouble`] may have been written, wholly, partly or not at all: it is repeated.
//! * **So everything may be done twice.** Removing a record that is not there succeeds. A write whose condition does
//!   not hold because exactly this version and value is there already succeeds: the answer to it was lost.
//! * **A condition is checked by the store, atomically with the write**, so that of two writers on two machines one
//!   gets [`Why::Conflict`].
//! * **A fence is checked by the store, atomically with the write**: a write with another generation than the slot was
//!   last claimed with is refused with [`Why::Deposed`], and a claim waits for commits under an earlier one. So a node
//!   that has lost its slots without knowing it changes nothing more.
//! * **Nothing is written late.** What was sent over a connection that is gone may still be on its way: it may be executed
//!   after it was repeated over another connection, acknowledged, and overtaken by something newer. So a driver whose
//!   store others reach too ([`Manner::shared`]) [`enter`](Driver::enter)s it each time it was opened, and the store
//!   checks with every write, atomically, that nobody has entered since. Otherwise the commit fails with [`Kind::Away`],
//!   and nothing of it is written.
//! * **An entry that can never be stored is refused alone** if the driver knows which one it is. If it only knows that
//!   the group was refused it fails with [`Kind::Lasting`], and is called again with the halves of the group.
//! * **Failures are classified** ([`Kind`]). It neither waits nor retries nor logs: all of that is written once, around
//!   it.
//! * **It may be called before it is open and after it is closed**, and then fails with [`Kind::Away`].
//!
//! ## What it may rely on
//!
//! * `open`, `enter`, `claim`, `commit`, `attend` and `close` are called on one thread, `commit` once at a time and each name
//!   once in a group. `enter` follows every `open` that went well, before anything is committed or claimed.
//!   `load` is called by as many at a time as [`rounds`](Driver::rounds) says; a name may occur twice in it.
//! * `close` is called last, when everything handed over has been written or given up.
//! * A future that it returned may be dropped when its time is up.
//!
//! ## Why asynchronous
//!
//! Nearly every database has an asynchronous client, which keeps many requests under way over one connection; a thread
//! for each of them would be slower. So the functions return futures, which run off the cores, on a runtime of the
//! store's own. A driver whose calls block, such as the embedded store, says so ([`Manner::blocking`]) and simply
//! blocks: then lookups have a second thread, and its futures never wait. The futures need not be [`Send`], because
//! they are not moved between threads.

use super::names::Names;
use deepstream_engine::{Fence, Stored};
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

/// One thing to do, with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'w> {
    /// Which record; [`Names`](super::names::Names) has accepted its name.
    pub name: &'w [u8],
    /// Its version from now on.
    pub version: i32,
    /// Its value: JSON text; `None` removes it.
    pub value: Option<&'w [u8]>,
    /// What must be stored now for the write to happen.
    pub expected: Expected,
    /// In a cluster: who must own the slot of the name for the write to happen.
    pub fence: Option<Fence>,
}

/// Who writes. Of all who enter a store in the same seat, only the one who came last writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Which of those that may write to one store at the same time: zero for a server that is alone.
    pub seat: u16,
    /// Drawn at random when the server starts. Below 2^63.
    pub holder: u64,
    /// How often this holder has entered, this time included.
    pub turn: u64,
}

/// A slot that was not claimed, because somebody has claimed it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Late {
    /// The slot.
    pub slot: u16,
    /// The generation that holds it.
    pub held: u64,
}

/// What must be stored for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything or nothing.
    Anything,
    /// No record of this name.
    Nothing,
    /// A record of this version.
    Version(i32),
}

impl Expected {
    /// Whether a write is done if this is found: if it meets the condition, or is what the write would store.
    pub fn allows(self, write: &Write<'_>, found: Option<&Stored>) -> bool {
        let done = match (found, write.value) {
            (None, None) => true,
            (Some(found), Some(value)) => found.version == write.version && found.value == value,
            _ => false,
        };
        done || match self {
            Self::Anything => true,
            Self::Nothing => found.is_none(),
            Self::Version(version) => found.is_some_and(|found| found.version == version),
        }
    }
}

/// A write of a group that was refused, while the others were done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the group.
    pub entry: usize,
    /// Why.
    pub why: Why,
}

/// Why a write was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It can never be stored; with the reason for the client that wrote it.
    Unstorable(String),
    /// Something else is stored than was expected: another writer was faster.
    Conflict,
    /// The slot was claimed with another generation, or not at all: the writer does not own the name.
    Deposed,
}

/// The result of a lookup of one name: the record, that there is none, or why it cannot be read.
pub type Found = Result<Option<Stored>, String>;

/// Why a call failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How it is dealt with.
    pub kind: Kind,
    /// What is wrong.
    pub what: String,
    /// What a person can do, if anything.
    pub hint: String,
}

/// How a failed call is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The store or its connection is gone: it is opened again, and then the call is repeated.
    Away,
    /// It may work after a pause.
    Busy,
    /// The store has changed (its tables, for example), and the driver has dropped what it knew: it may work at once.
    Changed,
    /// It will never work, however often it is repeated.
    Lasting,
    /// Another server has entered the store in our seat: this one may write nothing more. No driver needs to say it; it
    /// follows from what `enter` returns.
    Deposed,
}

impl Trouble {
    /// A failure of this kind.
    pub fn new(kind: Kind, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: hint.into() }
    }

    /// In words, with the hint.
    pub fn words(&self) -> String {
        if self.hint.is_empty() { self.what.clone() } else { format!("{}; {}", self.what, self.hint) }
    }
}

/// How a driver is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Name of its thread. If it blocks, the thread of lookups has `-read` appended.
    pub thread: &'static str,
    /// The event of its log lines.
    pub event: &'static str,
    /// Whether its functions block the thread that polls them. Lookups then have a thread of their own.
    pub blocking: bool,
    /// Whether calls wait while the store is away or busy: commits until it is back, lookups as long as a lookup may
    /// take. This is right for a database that others operate and will bring back. Otherwise both fail at once, and the
    /// engine tries again with the values that are newest then.
    pub waits: bool,
    /// Most names of one shard that are looked up together, so that a burst of one shard does not keep the others
    /// waiting.
    pub round: usize,
    /// Whether other servers may reach the same store at the same time, by mistake or as nodes of a cluster. Then the
    /// driver has an [`enter`](Driver::enter) and a [`keep`](Driver::keep) of its own.
    pub shared: bool,
    /// The longest pause between two tries to open it.
    pub retry_max: Duration,
}

/// See the module.
pub trait Driver: Send + Sync + 'static {
    /// How it is to be used.
    const MANNER: Manner;

    /// What it is, for people: `PostgreSQL, database ds at localhost`.
    fn place(&self) -> String;

    /// Which names it can keep.
    fn names(&self) -> Arc<dyn Names>;

    /// Lookups that may be under way at once.
    fn rounds(&self) -> usize {
        1
    }

    /// How many fsyncs it has made, if it makes any itself.
    fn syncs(&self) -> u64 {
        0
    }

    /// Makes the store usable: at the start, and whenever it was away. At the start a failure of [`Kind::Away`] or
    /// [`Kind::Busy`] is retried as long as is configured, and any other one ends the start; later every failure is
    /// retried.
    fn open(&self) -> impl Future<Output = Result<(), Trouble>>;

    /// Enters the store, which has just been opened: from then on it executes no commit of anybody who entered before in
    /// this seat, this driver included, and waits for those under way. The writer's turn is the highest so far.
    ///
    /// Returns `false`, and changes nothing, if somebody else holds the seat and shall not be put `out`, or if the same
    /// holder has entered in a later turn. Entering the same again does no harm.
    fn enter(&self, _writer: Writer, _out: bool) -> impl Future<Output = Result<bool, Trouble>> {
        async { Ok(true) }
    }

    /// Keeps one small mark beside the records, by which servers on one store are told apart: puts `mark` there if what is
    /// there is `expected` (`None`: nothing), in one step, so that of two who expect the same one succeeds. Returns what is
    /// there afterwards. It is called at any time between `open` and `close`, and must not wait behind a commit.
    fn keep(&self, _expected: Option<&[u8]>, mark: &[u8]) -> impl Future<Output = Result<Option<Vec<u8>>, Trouble>> {
        async { Ok(Some(mark.to_vec())) }
    }

    /// Background work, run from one `open` to the next. Ends only when the store is away, so that this is noticed
    /// before the next request.
    fn attend(&self) -> impl Future<Output = Trouble> {
        pending()
    }

    /// Looks up many records at a time; gives the result of each, in the same order.
    fn load(&self, names: &[&[u8]]) -> impl Future<Output = Result<Vec<Found>, Trouble>>;

    /// Claims slots: from then on writes with another [`Fence`] for them are refused, until a later generation claims
    /// them. Returns the slots that a later generation already holds, which stay as they are, and by which one: so
    /// whoever has forgotten how far generations were counted learns it. Claiming the same again does no harm.
    fn claim(&self, slots: &[u16], generation: u64) -> impl Future<Output = Result<Vec<Late>, Trouble>>;

    /// Writes a group. Returns the refused writes; all others are stored then.
    fn commit(&self, group: &[Write<'_>]) -> impl Future<Output = Result<Vec<Refused>, Trouble>>;

    /// Ends in order.
    fn close(&self) -> impl Future<Output = ()>;
}
