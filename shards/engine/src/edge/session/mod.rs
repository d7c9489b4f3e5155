//! Connections from their socket to their end.

pub(crate) mod burden;
pub(crate) mod close_reason;
mod expiry;
mod inputs;
mod login;
mod outboxes;
pub(crate) mod table;
mod transport;
mod watch;
