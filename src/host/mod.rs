//! The host: everything between the kernel and the shards. Starts the cores, stops them, and logs what happened.
//!
//! *Owns* the order of starting and stopping. *Promises* that a server which cannot run says what is missing and how to get
//! it, before it serves anybody, and that one that is told to stop tells its clients, keeps what it acknowledged, and ends
//! within the configured time. *Does not* take part in a turn.

mod admission;
mod bell;
mod clock;
mod connections;
mod control;
mod core;
mod descriptors;
mod endings;
mod error;
mod gauges;
mod http;
mod listen;
mod peers;
mod protect;
mod refusals;
mod renewal;
mod report;
mod request;
mod ring;
mod running;
mod services;
mod socket;
mod start;
mod stores;
mod tape;
mod tls;
mod trim;
mod verdicts;

pub use error::StartError;
pub use services::Members;
pub use start::{Server, start};
pub use tls::TlsError;

/// Checks that this kernel has what the cores need. Gives the optional features that it lacks.
pub fn probe() -> Result<Vec<&'static str>, StartError> {
    ring::probe().map_err(|missing| {
        let (what, remedy) = missing.words();
        StartError::Kernel { what, remedy }
    })
}
