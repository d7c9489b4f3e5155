//! What the nodes of a cluster say to each other over a bus that loses, repeats and reorders.
//!
//! *Owns* the links between nodes and the form of what goes over them. *Promises* that what one node gives a link comes out at the
//! other whole, once and in order, or that both are told that the link began anew. *Does not* read clocks, open sockets, or know
//! what the bytes mean that it carries.
#![forbid(unsafe_code)]

pub mod frame;
pub mod link;

pub use frame::{Ack, Frame, NoFrame, Said, Session};
pub use link::{Heard, Link, LinkCensus, LinkSettings};
