//! What makes a cluster of nodes: who is a member, which slots each has, and links between them over a bus that loses, repeats and
//! reorders.
//!
//! All of it lies in one machine beside a process's cores, [`Node`]. Cores know views, sessions and what is claimed; they never see
//! the bus or the registry.
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
