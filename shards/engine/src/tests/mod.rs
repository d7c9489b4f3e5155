//! The shard proved without sockets: whole conversations, on one core and across several.

mod events;
mod records;
mod rig;
mod sessions;
mod storage;
