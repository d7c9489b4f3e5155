//! What keeps records: the members, one folder each, of the contract that `src/storage/driver.rs` is.
//!
//! *Owns* the way from what is configured to the member that does it. *Promises* that nobody else needs to know which it is.
//! *Does not* know how any of it is done.

pub mod embedded;
pub mod postgres;

use crate::config::{Durability, Storage as Settings};
use crate::storage::{OpenError, Options, Storage, start};

/// Starts what is configured, and says what it is; nothing where records live in memory only.
pub fn open(settings: &Settings, options: Options) -> Result<(Option<Storage>, String), OpenError> {
    let (storage, what) = match settings {
        Settings::Embedded { directory, durability } => {
            let durability = match durability {
                Durability::Always => embedded::Durability::Always,
                Durability::Interval(every) => embedded::Durability::Interval(*every),
                Durability::None => embedded::Durability::None,
            };
            let driver = embedded::Embedded::new(directory.clone(), durability);
            (start(driver, options)?, format!("Embedded Storage in {}", directory.display()))
        }
        Settings::Postgres(settings) => {
            let driver = postgres::Postgres::new((**settings).clone());
            (start(driver, options)?, format!("PostgreSQL, database {}", settings.place()))
        }
        Settings::Memory => return Ok((None, "none, records live and die with this process".to_owned())),
    };
    Ok((Some(storage), what))
}
