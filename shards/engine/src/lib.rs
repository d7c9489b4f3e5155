//! One core's share of the server: sessions, events, records, RPC, presence, listening, fan-out.
//!
//! The whole contract is [`Shard`]: inputs are verbs in the past tense and take the time as an argument; outputs are
//! drained by the host after each turn. A handler finds out what is missing, then acts without waiting; what is missing
//! is asked for, the message is parked, and it runs again from the top when the answer came.
//!
//! *Owns* this core's connections and the names that hash to it.
//! *Promises* to run every input to completion; order per connection and name; one encoding per message and wire.
//! *Does not* block, sleep, read clocks, open sockets or touch disks.
#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod codec;
pub mod ident;
pub mod limits;
pub mod output;
pub mod packet;

mod census;
mod context;
mod drain;
mod edge;
mod endpoint;
mod interest;
mod outputs;
mod owner;
mod pattern;
mod permissions;
mod permit;
mod shard;
mod sides;
pub mod tape;
#[cfg(test)]
mod tests;
mod timer;
mod view;

pub use census::Census;
pub use context::{Options, Visibility};
pub use endpoint::{Endpoint, Endpoints};
pub use ident::{ConnId, Fence, Nanos, NodeId, Place, Ticket};
pub use limits::Limits;
pub use output::{
    Account, Completion, Difference, Expiry, Fault, Flow, Frames, Headers, HostRequest, Login, Note, Outbox, Peer,
    Reason, Refusal, Refused, StoreBatch, StoreEntry, Stored, Turn,
};
pub use outputs::Counters;
pub use owner::deed::is_reading;
pub use packet::{Bundle, BundleWriter, Forwarded, Identity, Lane, NoPacket, Packet, Rejoin, Rejoined, ReplyTo};
pub use permissions::{Permissions, RuleLookupId, Sampled, Shadow, ShadowTally};
pub use shard::{Shard, Standing};
pub use view::{Member, Unviewable, View};
