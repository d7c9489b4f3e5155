//! The contract between the server and whatever keeps its records.
//!
//! *Owns* the shapes only. *Promises* nothing itself: what follows is what a driver promises, and what it may rely on.
//! `tests/stores` holds every driver to it.
//!
//! ## What a driver promises
//!
//! * **Names are one-to-one** ([`names`](super::names)): a name whose [`place`](super::names::Names::place) is refused is
//!   never given to it; two that have places never share a record.
//! * **What was written is what is read**: version and value, byte by byte, unless the store keeps JSON as such. A record that
//!   cannot be read fails alone, in words, and is never told as missing.
//! * **A commit that ended well is as durable as the store can make it** and is seen by every load that begins after it. One
//!   that ended with a [`Trouble`] may have been written, wholly, partly or not at all: it is done again.
//! * **So everything may be done twice.** A removal of what is not there is done. A write whose condition does not hold,
//!   because exactly this version and value is there already, is done: the answer to it was lost.
//! * **A condition is judged by the store, together with the write**, so that of two writers on two machines one is told
//!   [`Why::Conflict`].
//! * **A fence is judged by the store, together with the write**: what whoever claimed a slot last has not written is refused with
//!   [`Why::Deposed`], and a claim waits for commits behind an earlier one. So a node that was given up, and does not know it,
//!   changes nothing more.
//! * **An entry that can never be stored is refused alone** where the driver knows which it is. Where only the group as a
//!   whole is refused it says [`Kind::Lasting`], and gets the group again in halves.
//! * **Failures are told apart** ([`Kind`]). It neither waits nor tries again nor logs: all of that is written once, around it.
//! * **It may be called before it is open and after it is closed**, and then fails with [`Kind::Away`].
//!
//! ## What it may rely on
//!
//! * `open`, `claim`, `commit`, `attend` and `close` are called on one thread, `commit` once at a time and each name once in a group.
//!   `load` is called by as many at a time as [`rounds`](Driver::rounds) says; a name may occur twice in it.
//! * `close` is called last, when everything handed over was written or given up.
//! * A future that it returned may be dropped when its time is up.
//!
//! ## Why asynchronous
//!
//! Nearly every database is reached by an asynchronous client, which keeps many questions on their way over one connection;
//! a thread for each of them would be the slower way to do the same. So the functions return futures, which are run off the
//! cores, by a runtime of the store's own. Where a call blocks, as in the embedded store, which calls into the kernel, the
//! driver says so ([`Manner::blocking`]) and simply does it: then lookups have a second thread, and its futures never wait.
//! The futures need not be [`Send`]: nothing is moved between threads.

use super::names::Names;
use deepstream_engine::Stored;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

/// One thing to do, with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'w> {
    /// Which record; its place is known to be fine.
    pub name: &'w [u8],
    /// Its version from now on.
    pub version: i32,
    /// Its value: JSON text; `None` removes it.
    pub value: Option<&'w [u8]>,
    /// What must be there for it to be done.
    pub expected: Expected,
    /// Who must own the slot of the name for it to be done, among nodes.
    pub fence: Option<Fence>,
}

/// An owner of one of the slots that names are shared out by: whoever claimed it with this generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Which.
    pub slot: u16,
    /// Whoever owns it later has a higher one.
    pub generation: u64,
}

/// What must be there for a write to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Anything,
    /// No record of this name.
    Nothing,
    /// A record of this version.
    Version(i32),
}

impl Expected {
    /// Whether a write is to be done where this is found, which is also where it was done already.
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

/// A write of a group that was not done, while the others were.
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
    /// It cannot be stored however often it is tried; in words for whoever wrote it.
    Unstorable(String),
    /// Something else is there than was expected: another writer was faster.
    Conflict,
    /// The slot was claimed with another generation, or not at all: the writer does not own the name.
    Deposed,
}

/// What a lookup of one name gave: the record, that there is none, or why it cannot be read.
pub type Found = Result<Option<Stored>, String>;

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What becomes of it.
    pub kind: Kind,
    /// What is wrong.
    pub what: String,
    /// What a person can do, if anything.
    pub hint: String,
}

/// What becomes of what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The store is gone, or its connection: it is opened again, and then the same is asked again.
    Away,
    /// It could not, or would not: the same may work after a pause.
    Busy,
    /// It is not as the driver knew it, and the driver has forgotten what it knew: the same may work at once.
    Changed,
    /// What was asked for cannot be done however often it is asked for.
    Lasting,
}

impl Trouble {
    /// One that is told apart by its kind.
    pub fn new(kind: Kind, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: hint.into() }
    }

    /// For people.
    pub fn words(&self) -> String {
        if self.hint.is_empty() { self.what.clone() } else { format!("{}; {}", self.what, self.hint) }
    }
}

/// How a driver wants to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Of its thread. Lookups of one that blocks have another, `-read` appended.
    pub thread: &'static str,
    /// The event of its log lines.
    pub event: &'static str,
    /// Whether its functions block the thread that polls them. Lookups then have a thread of their own.
    pub blocking: bool,
    /// Whether a group waits for a store that is away or busy. It is right for what others keep and will bring back, where
    /// reads wait too, as long as a lookup may take. Otherwise both are answered with a failure at once, and the engine comes
    /// back with what is newest then.
    pub waits: bool,
    /// Names of one shard that are looked up together, so that a storm of one does not keep the others waiting.
    pub round: usize,
    /// The longest pause between two tries to open it.
    pub retry_max: Duration,
}

/// See the module.
pub trait Driver: Send + Sync + 'static {
    /// How it wants to be used.
    const MANNER: Manner;

    /// What it is, for people: `PostgreSQL, database ds at localhost`.
    fn place(&self) -> String;

    /// What it says of names.
    fn names(&self) -> Arc<dyn Names>;

    /// Lookups that may be on their way at once.
    fn rounds(&self) -> usize {
        1
    }

    /// fsyncs for the sake of durability so far, if it makes any itself.
    fn syncs(&self) -> u64 {
        0
    }

    /// Makes the store usable: at the start, and whenever it was away. At the start [`Kind::Away`] and [`Kind::Busy`] are
    /// waited for, as long as is configured, and everything else is the end; later everything is tried again.
    fn open(&self) -> impl Future<Output = Result<(), Trouble>>;

    /// Whatever it has to do while nobody asks; run from one `open` to the next. Ends only when the store is away, which is
    /// so noticed before anybody needs it.
    fn attend(&self) -> impl Future<Output = Trouble> {
        pending()
    }

    /// Looks up many records at a time; what became of each, in the same order.
    fn load(&self, names: &[&[u8]]) -> impl Future<Output = Result<Vec<Found>, Trouble>>;

    /// Claims slots: from then on writes behind another [`Fence`] of theirs are refused, until a later generation claims them. Those
    /// that a later one has already, which stay as they are. To claim the same again is no harm.
    fn claim(&self, slots: &[u16], generation: u64) -> impl Future<Output = Result<Vec<u16>, Trouble>>;

    /// Writes a group; which of it was refused. All else is stored then.
    fn commit(&self, group: &[Write<'_>]) -> impl Future<Output = Result<Vec<Refused>, Trouble>>;

    /// Ends in order.
    fn close(&self) -> impl Future<Output = ()>;
}
