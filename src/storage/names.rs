//! The law of names, which every store keeps.
//!
//! *Owns* what a store must say of a name before it is given a record of it; `tests/stores/law.rs` holds all of them to it.
//! *Promises* that two names never share a record: permissions are judged by names, and the engine
//! remembers records by names, so whoever could reach a record by another name would be past both. *Does not* know how any
//! store lays out what it keeps.
//!
//! A store that cannot keep every name refuses those it cannot, in words:
//!
//! * A load of one is answered with [`Fault::Unstorable`](deepstream_engine::Fault::Unstorable), by the [`Client`] of every
//!   store and without asking it. There is no record of that name, so who reads is told that, who deletes has succeeded,
//!   and who wants to make one is told why there can be none.
//! * In a batch it is refused with [`Fault::Refused`](deepstream_engine::Fault::Refused), and a removal of it is done.
//!
//! [`Client`]: crate::storage::Client

use std::fmt;

/// What a store says of names.
pub trait Names: Send + Sync {
    /// Where a record of this name lies, or why none of this name can be kept.
    ///
    /// **One to one:** of two names at most one is given a place that is the same as the other's. **Whole:** nothing beneath
    /// this makes one of two places, be it by cutting, by folding cases, or by leaving characters out. **Steady:** it depends
    /// on the name and on what is configured, on nothing else.
    fn place<'n>(&'n self, name: &'n [u8]) -> Result<Place<'n>, Refusal>;
}

/// Where a record lies in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place<'n> {
    /// Of a store with tables: which of them. Empty in others.
    pub table: &'n str,
    /// What tells it from all others there.
    pub id: &'n [u8],
}

/// Why a store keeps nothing under a name: the end of a sentence that begins with `storage keeps no record of this name:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "storage keeps no record of this name: {}", self.0)
    }
}

/// The longest name that the embedded database takes; it would panic at a longer one.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// What a store says of names that keeps them as they are, byte by byte, control characters too, as upstream does.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

impl Names for Whole {
    fn place<'n>(&'n self, name: &'n [u8]) -> Result<Place<'n>, Refusal> {
        match name.len() {
            0 => Err(Refusal("it is empty".to_owned())),
            len if len > NAME_BYTES_MAX => Err(Refusal(format!("it has more than {NAME_BYTES_MAX} bytes"))),
            _ => Ok(Place { table: "", id: name }),
        }
    }
}
