//! The edge: where connections are. What they say is checked here and goes to the owners of its names; what owners say is put
//! into their outboxes.
//!
//! *Owns* this core's sessions, what they subscribe to, and their messages that are not answered yet.
//! *Promises* that what a connection says of one name reaches the name's owner in the order it was said.
//! *Does not* know what a name holds: that is its owner's.

mod begin;
pub(crate) mod bulk;
pub(crate) mod burden;
mod listen;
mod member;
pub(crate) mod presence;
mod route;
pub(crate) mod session;
pub(crate) mod subscribers;
mod takeover;
pub(crate) mod withheld;
