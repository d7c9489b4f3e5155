//! The shard proved without sockets: whole conversations, on one core and across several.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks out what it is about")]

mod burden;
mod conflicts;
mod events;
mod form;
mod guard;
mod listen;
mod listened;
mod logins;
mod moves;
mod nesting;
mod permit;
mod presence;
mod records;
mod reroute;
mod rig;
mod rpc;
mod serving;
mod sessions;
mod shadow;
mod storage;
mod takeover;
mod view;
mod visibility;
mod wires;
mod withheld;
