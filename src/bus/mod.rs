//! The contract between the server and whatever carries packets between nodes.
//!
//! *Owns* the shapes only, and the member that needs nobody else ([`Exchange`]). *Promises* nothing itself: what follows is what a
//! member promises, and what it may rely on; `tests/busses` holds every member to it. *Does not* make packets arrive: whoever
//! sends numbers them, sends again what nobody acknowledged, and passes over what came twice.
//!
//! ## What a member promises
//!
//! * **One inbox an address.** A packet goes to the one process that has opened under its [`Address`]. A process that was started again under
//!   the same number has another incarnation, so it receives nothing that was meant for the one before it.
//! * **Whole or not at all.** A packet arrives byte by byte as it was sent. It may be lost, come twice or out of order; all of that is
//!   rare while nothing is disturbed, and none of it is an error. What is sent to nobody ends well, and is lost.
//! * **Bounded.** An inbox holds at most [`INBOX_PACKETS`] packets and [`INBOX_BYTES`] bytes; what finds no room is lost, and
//!   counted ([`lost`](Bus::lost)). `send` may wait for the bus, but never for a receiver.
//! * **Away**: once the connection is known to be gone, `send` and `receive` fail with [`Kind::Away`](crate::storage::Kind), also
//!   those that were waiting already. What was in the inbox may be lost. Only `open` brings it back: nothing is opened again out of sight.
//! * A packet of more than [`packet_bytes_max`](Bus::packet_bytes_max) is refused with [`Kind::Lasting`](crate::storage::Kind).
//! * It neither retries nor logs, and it gives up by itself what takes longer than its deadlines.
//!
//! It does not tell who is there: that is what the registry's leases and the silence of a peer say, by one rule for all buses.
//! Whatever else is published where it listens reaches `receive` as bytes, and harms nobody there: who receives tells strangers apart.
//!
//! ## What it may rely on
//!
//! * `open`, `receive` and `close` are called one at a time, `send` beside them and beside itself.
//! * A future that it returned may be dropped at any time: a packet that was not yet handed over by `receive` is not lost by that.
//! * No two processes have the same address.
//!
//! Its functions are asynchronous for the reason that those of stores are ([`driver`](crate::storage::driver)).

mod exchange;
mod inbox;

pub use exchange::{Exchange, Seat};
#[cfg(feature = "redis")]
pub(crate) use inbox::Inbox;

use crate::storage::Trouble;
use bytes::Bytes;
use deepstream_engine::NodeId;
use std::future::Future;

/// Packets that an inbox holds at most.
pub const INBOX_PACKETS: usize = 4096;
/// Bytes that an inbox holds at most, but for a single packet.
pub const INBOX_BYTES: usize = 64 << 20;

/// Where packets are sent to: a node, and which of the processes that have its number one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Its number in the cluster.
    pub node: NodeId,
    /// Drawn at random when the process was started.
    pub incarnation: u64,
}

/// See the module.
pub trait Bus: Send + Sync + 'static {
    /// What it is, for people.
    fn place(&self) -> String;

    /// The longest packet that it carries. It may depend on the other side, and is known once the bus was opened.
    fn packet_bytes_max(&self) -> usize;

    /// How many packets found no room in the inbox.
    fn lost(&self) -> u64;

    /// Takes the inbox of this address: at the start, and whenever the bus was away.
    fn open(&self, own: Address) -> impl Future<Output = Result<(), Trouble>>;

    /// Sends a packet on its way.
    fn send(&self, to: Address, packet: Bytes) -> impl Future<Output = Result<(), Trouble>>;

    /// Waits for what is next in the inbox.
    fn receive(&self) -> impl Future<Output = Result<Bytes, Trouble>>;

    /// Leaves.
    fn close(&self) -> impl Future<Output = ()>;
}
