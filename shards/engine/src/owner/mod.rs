//! The owner: where names are. What any core's connections ask of a name is judged and done here, one thing after the other.
//!
//! *Owns* the names that hash to this core, with their records, calls, providers and counts of subscribers.
//! *Promises* that messages about one name are done in the order they came, whatever they wait for.
//! *Does not* know sockets: it answers connections by their ids, wherever they are.

pub(crate) mod deed;
mod event;
pub(crate) mod filters;
pub(crate) mod interest;
pub(crate) mod listen;
mod member;
pub(crate) mod names;
pub(crate) mod park;
pub(crate) mod permit;
pub(crate) mod presence;
pub(crate) mod record;
mod request;
pub(crate) mod rpc;
pub(crate) mod takeover;
pub(crate) mod withheld;
