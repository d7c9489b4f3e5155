//! Seeded worlds in which whole servers run without sockets or clocks.
//!
//! A world holds real shards and real links, scripted clients, a storage that fails on demand, and a clock that moves
//! only when told. One step: among everything that could happen next, the seed picks one. Oracles look on.
//!
//! *Owns* worlds, faults and oracles. *Promises* that a seed is a run: the same steps, on every machine.
//! *Does not* test the host, the disk or the memory order of rings; others do.
#![forbid(unsafe_code)]

mod client;
mod conn;
mod corner;
mod mutation;
mod oracle;
mod pipe;
mod plan;
pub mod replay;
mod rng;
mod rules;
mod run;
mod schedule;
mod shadow;
mod store;
mod trace;
mod workload;
mod world;

pub use corner::{Corner, Line, every_order};
pub use mutation::Mutation;
pub use rng::Rng;
pub use run::{Failure, Run};
pub use trace::Tracing;
