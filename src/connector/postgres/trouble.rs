//! *Owns* how failures of the database are classified and worded. *Promises* a sentence with what to do, and that only
//! failures which waiting cannot cure are called lasting. *Does not* wait.

use crate::config::Postgres as Settings;
use crate::storage::{Kind, Trouble};
use std::error::Error as _;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Classifies a failure, and puts it into words.
pub(super) fn trouble(settings: &Settings, error: &Error) -> Trouble {
    Trouble::new(kind(error), words(error), hint(settings, error))
}

fn kind(error: &Error) -> Kind {
    let Some(state) = error.code() else {
        // While the connection is open, the only thing that can fail on our side is encoding a parameter.
        return if error.is_closed() || is_io(error) { Kind::Away } else { Kind::Lasting };
    };
    match *state {
        SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::INVALID_SCHEMA_NAME
        | SqlState::DATATYPE_MISMATCH
        | SqlState::DUPLICATE_TABLE
        | SqlState::DUPLICATE_COLUMN => return Kind::Changed,
        SqlState::QUERY_CANCELED => return Kind::Busy,
        // An invalid name, or a trigger that fails on an id.
        SqlState::SYNTAX_ERROR | SqlState::INVALID_NAME | SqlState::NAME_TOO_LONG => return Kind::Lasting,
        _ => {}
    }
    match state.code().get(..2) {
        Some("08" | "57") => Kind::Away,
        // Errors about data, keys and lengths, and those raised by triggers.
        Some("22" | "23" | "38" | "39" | "44" | "54" | "P0") => Kind::Lasting,
        // Locks, lack of resources, internal errors, or missing rights, which an administrator can grant.
        _ => Kind::Busy,
    }
}

/// Whether another try at the start may succeed.
pub(super) fn passes(error: &Error) -> bool {
    match error.code() {
        Some(state) => matches!(state.code().get(..2), Some("08" | "40" | "53" | "57" | "XX")),
        None => kind(error) == Kind::Away,
    }
}

fn is_io(error: &Error) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// A failure in words.
fn words(error: &Error) -> String {
    if let Some(database) = error.as_db_error() {
        // The detail of a violated constraint contains the row, which is a record and must not be logged.
        let told = database.detail().filter(|_| !database.code().code().starts_with("23"));
        let detail = told.map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail} [{}]", database.message(), database.code().code());
    }
    match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

/// What to do about it.
fn hint(settings: &Settings, error: &Error) -> String {
    let Settings { user, .. } = settings;
    let database = settings.database();
    let Some(state) = error.code() else {
        if is_io(error) {
            return "start PostgreSQL there, or correct host and port in storage.options".to_owned();
        }
        if error.is_closed() {
            return "see the log of the database".to_owned();
        }
        return "check storage.options".to_owned();
    };
    match *state {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "correct user and password in storage.options, or allow the user in pg_hba.conf".to_owned()
        }
        SqlState::INVALID_CATALOG_NAME => {
            format!("create it (createdb -O {user} {database}), or correct database in storage.options")
        }
        SqlState::INSUFFICIENT_PRIVILEGE => format!(
            "let the user make schemas (GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\"), or make the schema \
             \"{}\" for it",
            settings.schema
        ),
        SqlState::TOO_MANY_CONNECTIONS => "raise max_connections of the database, or lower max here".to_owned(),
        SqlState::DISK_FULL => "free some disk space on the database's machine".to_owned(),
        _ => "see the log of the database".to_owned(),
    }
}
