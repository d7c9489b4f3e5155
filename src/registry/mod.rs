//! The contract between the server and whatever keeps who is a member of a cluster.
//!
//! *Owns* the shapes only, and the member that needs nobody else ([`Desk`]). *Promises* nothing itself: what follows is what a member
//! promises, and what it may rely on; `tests/registries` holds every member to it. *Does not* decide who owns what: the nodes do,
//! and write it down here.
//!
//! A registry keeps two things for each cluster: a *lease* for each node, which ends by itself unless it is renewed, and one
//! document, the *view*, which says who the members are and what they own.
//!
//! ## What a member promises
//!
//! * **A view is replaced by compare-and-set, linearizably.** Of all [`swap`](Registry::swap)s that expect one revision at most one is
//!   [`Swapped::Done`]. Revisions ascend. Whoever looks after a swap has ended sees it, or a later one. A swap by a node whose lease is
//!   over is refused in the same step.
//! * **A lease has one holder**: while one incarnation of a node holds it, every other one is told [`Renewed::Held`]. It lasts at least
//!   as long as was asked for, from the moment at which the call began, by the clock of the registry; it may last longer.
//!   What is over is over for all alike, and free to be taken.
//! * **Renewing tells**: the answer holds the leases there are and the view, so nobody depends on [`changed`](Registry::changed),
//!   which only makes that faster.
//! * **A lease that is over is never prolonged.** One is begun with a grant, a number that ascends within a process ([`Lease::fresh`]), and
//!   prolonged by that grant only; else the answer is [`Renewed::Lapsed`]. Whoever saw it over may be about to give away what its
//!   holder had, so it must not be there again as if nothing had been. What comes late is of an earlier grant, and does nothing.
//! * **So everything may be done twice.** Releasing what is over succeeds. A swap of which the answer was lost is told from another's by looking again.
//! * **Deadlines**: no call takes longer than [`deadline`](Registry::deadline), but for `open` and `changed`. What is late is
//!   [`Kind::Away`](crate::storage::Kind), and may have been done, or be done yet: a swap only as long as nobody else swaps.
//! * Clusters of different names do not see each other, and neither do records of the same database.
//! * It neither retries nor logs.
//!
//! It does not promise that what it holds survives its own loss of data. Whoever uses it notices by revisions that go back, and no
//! record is harmed: writes are guarded by the fences of the store, not by the registry.
//!
//! ## What it may rely on
//!
//! * Names of clusters and nodes are UTF-8 of 1 to [`NAME_BYTES_MAX`] bytes without zeros, what a lease says at most [`ABOUT_BYTES_MAX`], a view
//!   [`VIEW_BYTES_MAX`]. A cluster has at most 63 nodes.
//! * A lease is asked for by at least [`ttl_min`](Registry::ttl_min).
//! * Calls are made on one thread, and may be under way at the same time. A future that it returned may be dropped.
//!
//! Its functions are asynchronous for the reason that those of stores are ([`driver`](crate::storage::driver)).

mod desk;

pub use desk::{Chair, Desk};

use crate::storage::Trouble;
use std::future::Future;
use std::time::Duration;

/// The longest name of a cluster or a node.
pub const NAME_BYTES_MAX: usize = 255;
/// The most that a lease says of its holder.
pub const ABOUT_BYTES_MAX: usize = 4 << 10;
/// The longest view.
pub const VIEW_BYTES_MAX: usize = 64 << 10;

/// A lease that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease<'l> {
    /// Which node.
    pub name: &'l str,
    /// Which process of that name: drawn at random when it was started.
    pub incarnation: u64,
    /// Which of its leases: each that is begun has a higher number, from 1 on.
    pub grant: u32,
    /// Whether it is begun now, in place of one with a lower grant; else one with this very grant is prolonged.
    pub fresh: bool,
    /// What all others are to know of it.
    pub about: &'l [u8],
    /// For how long.
    pub ttl: Duration,
}

/// Which lease somebody takes to be theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'l> {
    /// Which node.
    pub name: &'l str,
    /// Which process of that name.
    pub incarnation: u64,
    /// Which of its leases.
    pub grant: u32,
}

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which node.
    pub name: String,
    /// Which process of that name.
    pub incarnation: u64,
    /// Which of its leases.
    pub grant: u32,
    /// What it said of itself last.
    pub about: Vec<u8>,
}

/// What the registry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of the view; 0: there is none yet.
    pub revision: u64,
    /// The view itself; `None` if there is none, or if its revision is the one that the caller said it knew.
    pub view: Option<Vec<u8>>,
    /// Changes whenever the view does, a lease is taken or ends, or says something else.
    pub stamp: u64,
    /// The leases that are held, by name.
    pub holders: Vec<Holder>,
}

/// What came of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The lease is the caller's.
    Yours(Seen),
    /// There is no lease with this grant, or there is one with a higher one.
    Lapsed,
    /// Another process of this name holds it, for so long unless it is renewed.
    Held(Holder, Duration),
}

/// What came of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The view is there, under this revision.
    Done(u64),
    /// Another revision is there than was expected.
    Other(u64),
    /// Whoever asked holds no lease.
    NotHeld,
}

/// See the module.
pub trait Registry: Send + Sync + 'static {
    /// What it is, for people: `etcd at 10.0.0.7:2379`.
    fn place(&self) -> String;

    /// The shortest lease that it can give.
    fn ttl_min(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// How long a call may take.
    fn deadline(&self) -> Duration;

    /// Makes it usable: at the start, and whenever it was away.
    fn open(&self) -> impl Future<Output = Result<(), Trouble>>;

    /// Begins a lease or prolongs one, says what it says from now on, and looks.
    fn renew(&self, lease: &Lease<'_>, known: u64) -> impl Future<Output = Result<Renewed, Trouble>>;

    /// Ends a lease at once.
    fn release(&self, lease: Held<'_>) -> impl Future<Output = Result<(), Trouble>>;

    /// Looks, without a lease.
    fn look(&self, known: u64) -> impl Future<Output = Result<Seen, Trouble>>;

    /// Replaces the view, if its revision is this one and the lease is held.
    fn swap(&self, expected: u64, view: &[u8], lease: Held<'_>) -> impl Future<Output = Result<Swapped, Trouble>>;

    /// Waits until there may be another stamp than this one. May end early; need not notice what ends by itself. Fails only when the
    /// registry is away.
    fn changed(&self, stamp: u64) -> impl Future<Output = Result<(), Trouble>>;

    /// Ends in order. Leases last until they are released, or over.
    fn close(&self) -> impl Future<Output = ()>;
}
