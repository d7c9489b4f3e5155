//! *Owns* the table with the mark of the server that the database belongs to. *Promises* that of two who replace the same
//! mark one succeeds. *Does not* know what a mark says.

use super::Postgres;
use super::trouble::trouble;
use crate::storage::{Request, Trouble, together};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

/// Replaces what is expected, and returns what is there then. Makes the table if there is none.
pub(super) async fn keep(
    postgres: &Postgres,
    client: &Client,
    expected: Option<&[u8]>,
    mark: &[u8],
) -> Result<Option<Vec<u8>>, Trouble> {
    let mut kept = kept(postgres, client, expected, mark).await;
    if kept.as_ref().is_err_and(|error| error.code() == Some(&SqlState::UNDEFINED_TABLE)) {
        kept = match client.batch_execute(&postgres.tables.keeper()).await {
            Ok(()) => self::kept(postgres, client, expected, mark).await,
            Err(error) => Err(error),
        };
    }
    kept.map_err(|error| trouble(&postgres.settings, &error))
}

async fn kept(
    postgres: &Postgres,
    client: &Client,
    expected: Option<&[u8]>,
    mark: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    let (put, there) = (postgres.tables.put_mark(expected.is_some()), postgres.tables.mark());
    let given: Vec<&[u8]> = [mark].into_iter().chain(expected).collect();
    let put = async {
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            given.iter().map(|bytes| (bytes as &(dyn ToSql + Sync), Type::BYTEA)).collect();
        client.query_typed(&put, &parameters).await
    };
    let there = async { client.query_typed(&there, &[]).await };
    // Two transactions: the second sees what the first has done, or what made it do nothing.
    let requests: Vec<Request<'_, Result<Vec<Row>, Error>>> = vec![Box::pin(put), Box::pin(there)];
    let told = together(requests).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    told.last().and_then(|rows| rows.first()).map(|row| row.try_get(0)).transpose()
}
