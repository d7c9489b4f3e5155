//! Storage that is not ours: connectors, and the one type behind which the host does not see which it is.
//!
//! *Owns* the choice. *Promises* that whatever keeps the records is asked through the same [`Client`]s, and that none of
//! them makes one record of two names ([`names`](crate::storage::names)). *Does not* know how any of it is done.

pub mod embedded;
pub mod postgres;

use crate::storage::{Client, Counters};
use embedded::Storage;

/// Whatever keeps the records. Ends, with everything written that can be, when it is dropped.
pub enum Keeper {
    /// The embedded store.
    Embedded(Storage),
    /// Tables of a PostgreSQL database.
    Postgres(postgres::Postgres),
}

impl Keeper {
    /// One client per shard, in order, and the outsider's. Once.
    pub fn take_clients(&mut self) -> (Vec<Client>, Option<Client>) {
        let (clients, outsider) = match self {
            Self::Embedded(storage) => (&mut storage.clients, &mut storage.outsider),
            Self::Postgres(postgres) => (&mut postgres.clients, &mut postgres.outsider),
        };
        (std::mem::take(clients), outsider.take())
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        match self {
            Self::Embedded(storage) => storage.counters(),
            Self::Postgres(postgres) => postgres.counters(),
        }
    }
}
