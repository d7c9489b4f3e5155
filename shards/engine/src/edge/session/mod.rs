//! Connections from their socket to their end.

mod carry;
mod expiry;
mod login;
mod outboxes;
pub(crate) mod parting;
pub(crate) mod table;
mod watch;
