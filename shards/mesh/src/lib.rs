//! Rings between cores, and the doorbell for those that sleep.
//!
//! *Owns* the memory that packets cross on, and the protocol that decides who must be woken.
//! *Promises* order per ring, no loss (what does not fit stays with its sender, in order), no lost wake-up, at most one bell
//! per sleep.
//! *Does not* wake anybody, know what a packet is, or hold a system call: it says who must be rung, the host rings.
//!
//! There is no `unsafe` here: the ring is `rtrb`'s, the rest is two flags and two fences (see [`bell`]).

pub mod bell;
mod lattice;
#[cfg(loom)]
mod model;
#[cfg(not(loom))]
pub mod ring;
mod sync;

pub use bell::{Bell, Sleeper};
pub use lattice::{Lane, Lattice, Port, SLOTS_PER_RING_MIN, slots_per_ring};
#[cfg(loom)]
use model as ring;
