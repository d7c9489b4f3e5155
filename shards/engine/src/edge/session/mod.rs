//! Connections from their socket to their end.

pub(crate) mod close_reason;
mod expiry;
mod login;
mod outboxes;
pub(crate) mod table;
mod transport;
mod watch;
