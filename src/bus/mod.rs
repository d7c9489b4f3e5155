//! The contract between the server and whatever carries packets between nodes.
//!
//! *Owns* the shapes only, and the member that needs nobody else ([`Exchange`]). *Promises* nothing itself: what follows is what a
//! member promises, and what it may rely on; `tests/busses` holds every member to it. *Does not* make packets arrive: whoever
//! sends numbers them, and sends again what nobody acknowledged.
//!
//! ## What a member promises
//!
//! * **One inbox a node.** What is sent to a node is received by whoever opened as that node last; an earlier one is told
//!   [`Kind::Away`](crate::storage::Kind) from then on.
//! * **At most once.** A packet arrives whole, byte by byte, once or never. Those of one sender arrive in the order in which they
//!   were sent, but for those that do not arrive. What is sent to a node that is not there ends well, and is lost.
//! * **Bounded.** An inbox takes so many packets as its node said; what comes above that is lost. `send` never waits for a receiver.
//! * **Who is there** is told by `receive`: after an `open` every other node that is there as [`Heard::Joined`], once, and from
//!   then on who comes and goes. A node that came back is told as left and as joined, however quickly it did. It is never
//!   lost for want of room, and is told before packets that are waiting. A node is told as left once it closed, or was not
//!   heard of for as long as the member waits.
//! * **Away**: `send` and `receive` fail with [`Kind::Away`](crate::storage::Kind), also one that was waiting already; what was in the
//!   inbox may be lost. `open` brings it back, and then all nodes that are there are told anew.
//! * A packet of more than [`packet_bytes_max`](Bus::packet_bytes_max) is refused with [`Kind::Lasting`](crate::storage::Kind).
//! * It neither waits for a bus that is away, nor tries again, nor logs.
//!
//! ## What it may rely on
//!
//! * `open`, `receive` and `close` are called one at a time, `send` beside them and beside itself.
//! * A future that it returned may be dropped at any time: a packet that was not yet handed over by `receive` is not lost by that.
//! * No two nodes of a cluster have the same number at a time.
//!
//! Its functions are asynchronous for the reason that those of stores are ([`driver`](crate::storage::driver)).

mod exchange;

pub use exchange::{Exchange, Seat};

use crate::storage::Trouble;
use std::future::Future;

/// A node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u64);

/// What `receive` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody sent this.
    Packet(Vec<u8>),
    /// A node is there.
    Joined(Node),
    /// It no longer is.
    Left(Node),
}

/// See the module.
pub trait Bus: Send + Sync + 'static {
    /// What it is, for people.
    fn place(&self) -> String;

    /// The longest packet that it carries.
    fn packet_bytes_max(&self) -> usize;

    /// Takes the inbox of this node, and tells the others that it is there: at the start, and whenever the bus was away.
    fn open(&self) -> impl Future<Output = Result<(), Trouble>>;

    /// Sends a packet on its way.
    fn send(&self, to: Node, packet: &[u8]) -> impl Future<Output = Result<(), Trouble>>;

    /// Waits for what is next in the inbox.
    fn receive(&self) -> impl Future<Output = Result<Heard, Trouble>>;

    /// Leaves.
    fn close(&self) -> impl Future<Output = ()>;
}
