//! *Owns* the lookup of many records at once: one statement per table, all sent together. *Promises* never to take a
//! row that another program wrote for a record if it is none. *Does not* retry.

use super::trouble::trouble;
use super::{Postgres, layout};
use crate::config::NESTING_MAX;
use crate::storage::{Found, Kind, Request, Trouble, together};
use deepstream_engine::Stored;
use deepstream_json::{Fault as JsonFault, Malformed, Scratch, check};
use std::collections::HashMap;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

/// Ids of one table, each with the indexes of the names that asked for it.
type Ids<'n> = HashMap<&'n str, Vec<usize>>;

/// The answer to a lookup in one table.
type Rows = Result<Vec<Row>, Error>;

pub(super) async fn load(postgres: &Postgres, client: &Client, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
    let mut found: Vec<Found> = names.iter().map(|_| Ok(None)).collect();
    let mut wanted: HashMap<&str, Ids<'_>> = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        match postgres.layout.row(name) {
            Ok(layout::Row { table, id }) => wanted.entry(table).or_default().entry(id).or_default().push(index),
            Err(refusal) => found[index] = Err(refusal.to_string()),
        }
    }
    let (tables, settings) = (&postgres.tables, &postgres.settings);
    let seen = tables.look_at(client, wanted.keys().copied()).await;
    seen.map_err(|error| trouble(settings, &error))?;
    let mut asked = Vec::new();
    let mut requests: Vec<Request<'_, Rows>> = Vec::new();
    for (table, ids) in &wanted {
        // Where there is no table there is no record.
        let Some(shape) = tables.shape(table) else { continue };
        if !shape.exact {
            for index in ids.values().flatten() {
                found[*index] = Err(inexact(table));
            }
            continue;
        }
        let (statement, own) = (tables.select(table, shape), ids.keys().copied().collect::<Vec<_>>());
        let rows = async move { client.query_typed(&statement, &[(&own, Type::TEXT_ARRAY)]).await };
        requests.push(Box::pin(rows));
        asked.push((*table, ids));
    }
    for ((table, ids), rows) in asked.into_iter().zip(together(requests).await) {
        rows.and_then(|rows| settle(&rows, ids, &mut found)).map_err(|error| {
            let trouble = trouble(settings, &error);
            if trouble.kind == Kind::Changed {
                tables.forget(table);
            }
            trouble
        })?;
    }
    Ok(found)
}

/// Why nothing is read from a table, nor written to it.
pub(super) fn inexact(table: &str) -> String {
    format!(
        "the column id of table {table} may take different names for one: make it text, of a deterministic collation"
    )
}

fn settle(rows: &[Row], ids: &Ids<'_>, found: &mut [Found]) -> Result<(), Error> {
    // Records that were accepted once can be read again after `limits.nestingMax` was lowered.
    let mut scratch = Scratch::with_depth_max(NESTING_MAX as usize);
    for row in rows {
        let (id, value, version): (&str, &str, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        // Other programs may have written anything to the table.
        let record = match check(value.as_bytes(), &mut scratch) {
            // It may be JSON but no object or array, which no client could have written. It is given as it is; writing
            // a path turns it into one.
            Ok(_) => Ok(Some(Stored { version, value: value.as_bytes().to_vec() })),
            Err(Malformed { fault: JsonFault::TooDeep, .. }) => {
                Err(format!("the value in the database is nested deeper than {NESTING_MAX}"))
            }
            Err(_) => Err("the value in the database is no JSON".to_owned()),
        };
        for index in ids.get(id).into_iter().flatten() {
            found[*index].clone_from(&record);
        }
    }
    Ok(())
}
