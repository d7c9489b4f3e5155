//! Seeded worlds in which whole servers run without sockets or clocks.
//!
//! A world has real shards and real links, scripted clients, a storage that fails on demand, and a clock that is set by
//! the simulation. In each step the seed picks one of all things that could happen next. Oracles check everything that
//! is observable.
//!
//! *Owns* worlds, faults and oracles. *Promises* that a seed always gives the same run, on every machine. *Does not*
//! test the host, the disk or the memory order of rings; other tests do.
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
mod sketch;
mod store;
mod trace;
mod workload;
mod world;

pub use corner::{Corner, Line, every_order};
pub use mutation::Mutation;
pub use rng::Rng;
pub use run::{Failure, Run};
pub use trace::Tracing;
