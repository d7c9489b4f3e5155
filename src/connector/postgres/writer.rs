//! *Owns* the table of writers: who writes in each seat. *Promises* that whoever enters waits for transactions of those
//! who entered before, and that none of theirs writes anything afterwards, however late it arrives: each begins by
//! looking whether its writer still sits there. *Does not* judge who may enter.

use super::Postgres;
use super::pool::of_start;
use crate::storage::{Kind, Trouble, Writer};
use std::sync::{MutexGuard, PoisonError};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// Enters. Makes the table if there is none.
pub(super) async fn enter(postgres: &Postgres, client: &Client, writer: Writer, out: bool) -> Result<bool, Trouble> {
    forget(postgres);
    let mut entered = entered(postgres, client, writer, out).await;
    if entered.as_ref().is_err_and(|error| error.code() == Some(&SqlState::UNDEFINED_TABLE)) {
        entered = match client.batch_execute(&postgres.tables.writers()).await {
            Ok(()) => self::entered(postgres, client, writer, out).await,
            Err(error) => Err(error),
        };
    }
    let entered = entered.map_err(|error| of_start(&postgres.settings, &error))?;
    if entered {
        *lock(postgres) = Some(writer);
    }
    Ok(entered)
}

async fn entered(postgres: &Postgres, client: &Client, writer: Writer, out: bool) -> Result<bool, Error> {
    let [seat, holder, turn] = columns(writer);
    let given = [seat, holder, turn, i64::from(out)];
    let parameters = given.each_ref().map(|number| (number as &(dyn ToSql + Sync), Type::INT8));
    Ok(!client.query_typed(&postgres.tables.enter(), &parameters).await?.is_empty())
}

/// What the statement that guards a transaction is given.
pub(super) fn columns(writer: Writer) -> [i64; 3] {
    let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
    [i64::from(writer.seat), signed(writer.holder), signed(writer.turn)]
}

/// As whom it writes.
pub(super) fn own(postgres: &Postgres) -> Result<Writer, Trouble> {
    lock(postgres).ok_or_else(|| Trouble::new(Kind::Away, "it is being opened", ""))
}

/// From here on nothing is written until it is entered again.
pub(super) fn forget(postgres: &Postgres) {
    *lock(postgres) = None;
}

/// Why nothing is written.
pub(super) fn shut() -> Trouble {
    Trouble::new(Kind::Away, "another server has entered the database, or its table of writers was emptied", "")
}

fn lock(postgres: &Postgres) -> MutexGuard<'_, Option<Writer>> {
    postgres.entered.lock().unwrap_or_else(PoisonError::into_inner)
}
