//! What makes a cluster of nodes: who is a member, which slots each has, and links between them over a bus that loses, repeats and
//! reorders.
//!
//! All of it lies in one machine beside a process's cores, [`Node`]. Cores know views, sessions and what is claimed; they never see
//! the bus or the registry.
//!
//! *What is trusted*: the registry, for charters and cards; and whoever can write to the bus, not to say what it is not. Charters are taken
//! from the registry only. But a process that can send to the inboxes of a cluster and knows its seed can send bundles as any node, acknowledge
//! what did not arrive, say that a node gave up its slots, or that it began anew so often that the node itself is not believed any more: keep
//! the bus to the nodes, by its passwords and certificates. Whatever is not of this cluster, of another form, of another
//! membership, cut, repeated, or old changes nothing; and no frames make a node fail, or hold more for a member than two windows, one
//! bundle under way and one that waits ([`LinkSettings`]), whoever sends them. Records stay whole in any case: storage refuses what
//! is written without a claim.
//!
//! *What it asks*: at rest a node renews its lease every sixth of its time, and asks the registry nothing else; it sends each other
//! member four beats a second.
//!
//! *Owns* the lease, the charter, the links, and the forms of what nodes say. *Promises* that no two nodes believe at once that they may
//! serve a slot, as long as clocks differ in rate by no more than a fifth and the registry keeps its leases; that what one node gives a
//! link comes out at the other whole, once and in order, or that both are told that the link began anew. *Does not* read clocks, open
//! sockets, or know what bundles carry.
#![forbid(unsafe_code)]

pub mod charter;
pub mod frame;
pub mod link;
pub mod node;

mod lease;
mod placing;

pub use charter::{Card, Charter, Seat};
pub use frame::{Ack, Frame, NoFrame, Said, Session};
pub use link::{Heard, Link, LinkCensus, LinkSettings};
pub use node::{Answer, Arrived, Ask, ForCore, Node, Note, Revision, Settings, Standing, epoch_of};
