//! Bytes to messages and back, for every protocol, without sockets or clocks.
//!
//! *Owns* the action table, the decoders and encoders, WebSocket framing, and [`link::Link`]: one connection's
//! framing, protocol and upgrade as one state machine.
//! *Promises* that decoding is total: any bytes give a message or a named refusal, never a panic.
//! *Does not* know sessions, permissions or sockets.
#![forbid(unsafe_code)]

#[warn(clippy::wildcard_enum_match_arm)]
pub mod action;
pub mod binary;
#[warn(clippy::wildcard_enum_match_arm)]
pub mod client;
#[warn(clippy::wildcard_enum_match_arm)]
pub mod close_reason;
mod draft;
#[warn(clippy::wildcard_enum_match_arm)]
pub mod encode;
mod field;
pub mod gate;
#[warn(clippy::wildcard_enum_match_arm)]
pub mod jif;
pub mod link;
pub mod message;
#[warn(clippy::wildcard_enum_match_arm)]
pub mod mqtt;
#[warn(clippy::wildcard_enum_match_arm)]
mod plain;
#[warn(clippy::wildcard_enum_match_arm)]
mod text;
mod upgrade;
mod utf8;
pub mod ws;

pub use action::{
    Action, AuthRequest, ByTopic, ConnectionRequest, EventRequest, Kind, PresenceRequest, RecordRequest, Request,
    RpcRequest, Topic,
};
pub use close_reason::CloseReason;
pub use gate::{Gate, Pages};
pub use link::{Closing, Endpoint, Handshake, Link, LinkConfig, LinkEvent, Medium};
pub use message::{Broadcast, Flags, Head, Message, Outgoing, Span, Unreadable, Wire, Word};
