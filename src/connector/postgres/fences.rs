//! *Owns* the table of fences. *Promises* that a fence which holds when it is checked holds until that transaction
//! ends: a claim waits for it. *Does not* make the table before anybody claims a slot.
//!
//! The first statement of a transaction fails unless all fences hold. So everything can be sent at once, and nothing is
//! written if one does not hold. Only then the database is asked which.

use super::Postgres;
use super::trouble::trouble;
use crate::storage::{Fence, Late, Trouble};
use std::collections::{BTreeSet, HashMap, HashSet};
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
) -> Result<Vec<Late>, Trouble> {
    let claimed = async {
        client.batch_execute(&postgres.tables.fences()).await?;
        let (numbers, generation) = (slots.iter().map(|slot| i32::from(*slot)).collect::<Vec<_>>(), signed(generation));
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&numbers, Type::INT4_ARRAY), (&generation, Type::INT8)];
        let rows = client.query_typed(&postgres.tables.claim(), &parameters).await?;
        let claimed: HashSet<i32> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, Error>>()?;
        let late: BTreeSet<u16> = slots.iter().copied().filter(|slot| !claimed.contains(&i32::from(*slot))).collect();
        if late.is_empty() {
            return Ok(Vec::new());
        }
        let held = held(postgres, client, &late).await?;
        // Generations only grow: what is read now is at least what kept us out.
        let held = |slot| held.get(&i32::from(slot)).map_or(0, |generation| generation.unsigned_abs());
        Ok(late.into_iter().map(|slot| Late { slot, held: held(slot) }).collect())
    };
    claimed.await.map_err(|error: Error| trouble(&postgres.settings, &error))
}

/// Slots and generations, for the statement that guards a transaction.
pub(super) fn columns(fences: &BTreeSet<Fence>) -> (Vec<i32>, Vec<i64>) {
    fences.iter().map(|fence| (i32::from(fence.slot), signed(fence.generation))).unzip()
}

/// Whether that statement failed because not all fences hold. Without a table nobody has ever claimed a slot.
pub(super) fn are_down(error: &Error) -> bool {
    error.code().is_some_and(|code| [SqlState::DIVISION_BY_ZERO, SqlState::UNDEFINED_TABLE].contains(code))
}

/// Reads which generations hold these slots.
pub(super) async fn held(postgres: &Postgres, client: &Client, slots: &BTreeSet<u16>) -> Result<Held, Error> {
    let slots: Vec<i32> = slots.iter().copied().map(i32::from).collect();
    match client.query_typed(&postgres.tables.held(), &[(&slots, Type::INT4_ARRAY)]).await {
        Ok(rows) => rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect(),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(Held::new()),
        Err(error) => Err(error),
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
