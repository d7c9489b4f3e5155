//! *Owns* the table of fences. *Promises* that a fence which holds when it is checked holds until that transaction
//! ends: a claim waits for it. *Does not* make the table before anybody claims a slot.

use super::Postgres;
use super::trouble::trouble;
use crate::storage::{Fence, Trouble};
use std::collections::{HashMap, HashSet};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// The generation that each slot has.
pub(super) type Held = HashMap<i32, i64>;

/// Claims slots. Returns those that a later generation holds, which it does not get.
pub(super) async fn claim(
    postgres: &Postgres,
    client: &Client,
    slots: &[u16],
    generation: u64,
) -> Result<Vec<u16>, Trouble> {
    let claimed = async {
        client.batch_execute(&postgres.tables.fences()).await?;
        let (numbers, generation) = (slots.iter().map(|slot| i32::from(*slot)).collect::<Vec<_>>(), signed(generation));
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&numbers, Type::INT4_ARRAY), (&generation, Type::INT8)];
        let rows = client.query_typed(&postgres.tables.claim(), &parameters).await?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<i32>, Error>>()
    };
    let claimed = claimed.await.map_err(|error| trouble(&postgres.settings, &error))?;
    Ok(slots.iter().copied().filter(|slot| !claimed.contains(&i32::from(*slot))).collect())
}

/// Begins a transaction, and reads which generations hold these slots; they cannot be claimed until it ends.
pub(super) async fn begin(postgres: &Postgres, client: &Client, slots: Vec<i32>) -> Result<Held, Error> {
    client.batch_execute("BEGIN").await?;
    let held = async {
        let rows = client.query_typed(&postgres.tables.hold(), &[(&slots, Type::INT4_ARRAY)]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Held, Error>>()
    };
    match held.await {
        Err(error) => {
            // Whether this succeeds or not, the first error is reported.
            let _ = client.batch_execute("ROLLBACK").await;
            if error.code() != Some(&SqlState::UNDEFINED_TABLE) {
                return Err(error);
            }
            // Nobody has ever claimed anything.
            client.batch_execute("BEGIN").await.map(|()| Held::new())
        }
        held => held,
    }
}

/// Whether a write guarded by this fence is still allowed.
pub(super) fn holds(held: &Held, fence: Fence) -> bool {
    held.get(&i32::from(fence.slot)) == Some(&signed(fence.generation))
}

/// Generations are counted up from one, so they never exceed an i64.
fn signed(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(i64::MAX)
}
