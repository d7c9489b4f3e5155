//! Which names a store can keep, and the rule that every store obeys.
//!
//! *Owns* the trait by which a store accepts or refuses names; `tests/stores/law.rs` tests all stores against it.
//! *Promises* that two names never share a record: permissions are judged by name and the engine caches records by
//! name, so a client that could reach a record by another name would get around both. *Does not* know how any store
//! lays out its records.
//!
//! A store that cannot keep some names refuses them, with a reason:
//!
//! * A load of such a name is answered with [`Fault::Unstorable`](deepstream_engine::Fault::Unstorable) by the
//!   [`Client`], without asking the store. There is no record of that name: a reader is told so, a deletion succeeds,
//!   and a client that wants to create one is told why there can be none.
//! * In a batch it is refused with [`Fault::Refused`](deepstream_engine::Fault::Refused), while its removal succeeds.
//!
//! [`Client`]: crate::storage::Client

use std::fmt;

/// Which names a store can keep, and where it puts them.
pub trait Names: Send + Sync {
    /// The place of a record with this name, or why none can be kept.
    ///
    /// **One to one:** two names never get the same place. **Whole:** no lower layer turns two places into one, by
    /// truncating, ignoring case or dropping characters. **Stable:** it depends on the name and the configuration only.
    fn place<'n>(&'n self, name: &'n [u8]) -> Result<Place<'n>, Refusal>;
}

/// The place of a record in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place<'n> {
    /// The table, if the store has tables; else empty.
    pub table: &'n str,
    /// Its key in that table or store.
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

/// The names of a store that keeps them as they are, byte by byte, including control characters, as upstream does.
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
