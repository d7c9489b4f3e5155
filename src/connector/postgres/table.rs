//! *Owns* the layout of tables, and the SQL that touches them. *Promises* upstream's layout for the tables it makes,
//! that a name only becomes SQL in quotes and a value never, and that tables whose collation treats different ids as
//! equal are recognised. *Does not* send any SQL itself except to look up how a table is laid out.
//!
//! Upstream's connector wrote `(id, version, val)` since its release 3, before that `(id, val)` with
//! `{"_v": version, "_d": data}` as val. A row without a version, in a column or for want of one, is of the old kind: so
//! an old table is read as it is, and becomes a new one by being given the column when it is first written to.

use crate::config::{Postgres as Settings, PostgresNotifications};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

/// Locked while something is created: several servers may start, or need the same new table, at the same time.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7238249176452101);";

/// The table of fences. No name of a record leads to it: those with a semicolon are refused.
const FENCES: &str = "fences;";

/// The table of writers, likewise.
const WRITERS: &str = "writers;";

/// The table with the mark of the server that the database belongs to, likewise.
const KEEPER: &str = "keeper;";

/// The type of a table's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There are none.
    None,
    Text,
    Json,
    Jsonb,
}

/// What a table looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether it has the column of versions; without, it is from an old release.
    pub(super) versioned: bool,
    /// Whether ids with different bytes are different for the database. They are in tables that we or upstream made.
    pub(super) exact: bool,
    kind: Kind,
}

impl Kind {
    /// The SQL cast from text to the type of values.
    fn cast(self) -> &'static str {
        match self {
            Self::None | Self::Text => "",
            Self::Json => "::json",
            Self::Jsonb => "::jsonb",
        }
    }

    /// The SQL cast from a value to something that can be compared.
    fn compared(self) -> &'static str {
        if self == Self::Json { "::text" } else { "" }
    }
}

impl Shape {
    /// SQL for the version of a row, also of the old kind.
    fn version_of(self, row: &str) -> String {
        let old = format!("COALESCE(({row}.val::text::json->>'_v')::int4, 0)");
        if self.versioned { format!("COALESCE({row}.version::int4, {old})") } else { old }
    }
}

/// The tables of one schema.
pub(super) struct Tables {
    schema: String,
    jsonb: bool,
    role: Option<String>,
    notifications: PostgresNotifications,
    shapes: Mutex<HashMap<String, Shape>>,
}

impl Tables {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            schema: settings.schema.clone(),
            jsonb: settings.jsonb,
            role: settings.role.clone(),
            notifications: settings.notifications,
            shapes: Mutex::default(),
        }
    }

    fn shapes(&self) -> MutexGuard<'_, HashMap<String, Shape>> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layout of a table when it was last looked up; `None`: there was none.
    pub(super) fn shape(&self, table: &str) -> Option<Shape> {
        self.shapes().get(table).copied()
    }

    /// Forgets the layout of a table, because it has changed or may have.
    pub(super) fn forget(&self, table: &str) {
        self.shapes().remove(table);
    }

    /// Looks up those of `tables` that are not known.
    pub(super) async fn look_at(&self, client: &Client, tables: impl Iterator<Item = &str>) -> Result<(), Error> {
        let unknown: Vec<&str> = {
            let shapes = self.shapes();
            tables.filter(|table| !shapes.contains_key(*table)).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let full: Vec<String> = unknown.iter().map(|table| self.full(table)).collect();
        // PostgreSQL before 12 has no collation in which different texts are equal, nor the column that says so.
        let columns = "SELECT t.n, a.attname::text, CASE WHEN to_jsonb(c) ->> 'collisdeterministic' = 'false' \
                       THEN 'text of collation ' || c.collname ELSE format_type(a.atttypid, NULL) END \
                       FROM unnest($1::text[]) WITH ORDINALITY AS t(name, n) \
                       JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) \
                       LEFT JOIN pg_collation c ON c.oid = a.attcollation \
                       WHERE a.attname IN ('id', 'version', 'val') AND NOT a.attisdropped";
        let rows = client.query_typed(columns, &[(&full, Type::TEXT_ARRAY)]).await?;
        let mut found: HashMap<&str, Shape> = HashMap::new();
        let blank = Shape { versioned: false, exact: false, kind: Kind::None };
        for row in &rows {
            let (number, column, of): (i64, &str, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let Some(table) = usize::try_from(number).ok().and_then(|number| unknown.get(number.wrapping_sub(1)))
            else {
                continue;
            };
            let shape = found.entry(table).or_insert(blank);
            match (column, of) {
                ("id", of) => shape.exact = ["text", "character varying"].contains(&of),
                ("version", _) => shape.versioned = true,
                (_, "jsonb") => shape.kind = Kind::Jsonb,
                (_, "json") => shape.kind = Kind::Json,
                _ => shape.kind = Kind::Text,
            }
        }
        let mut shapes = self.shapes();
        for (table, shape) in found {
            // Without a column of values it is no table of records: an index has columns, too.
            if shape.kind != Kind::None {
                shapes.insert(table.to_owned(), shape);
            }
        }
        Ok(())
    }

    fn full(&self, table: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(table))
    }

    /// `id`, value and version of the rows with the ids `$1`.
    pub(super) fn select(&self, table: &str, shape: Shape) -> String {
        let old = "COALESCE((val::text::json->'_d')::text, val::text)";
        let old_version = "COALESCE((val::text::json->>'_v')::int4, 0)";
        let full = self.full(table);
        if shape.versioned {
            format!(
                "SELECT id, CASE WHEN version IS NULL THEN {old} ELSE val::text END, \
                 COALESCE(version::int4, {old_version}) FROM {full} WHERE id = ANY($1)"
            )
        } else {
            format!("SELECT id, {old}, {old_version} FROM {full} WHERE id = ANY($1)")
        }
    }

    /// Writes the rows of `$1` (ids), `$2` (versions) and `$3` (values).
    pub(super) fn upsert(&self, table: &str, shape: Shape) -> String {
        format!(
            "INSERT INTO {} (id, version, val) SELECT i, v, d{} FROM unnest($1, $2, $3) AS r(i, v, d) \
             ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version, val = EXCLUDED.val",
            self.full(table),
            shape.kind.cast()
        )
    }

    /// Makes the rows of `$1` (ids), `$2` (versions) and `$3` (values), and gives back the ids of those that were made, or
    /// are there exactly so.
    pub(super) fn insert(&self, table: &str, shape: Shape) -> String {
        let (cast, compared) = (shape.kind.cast(), shape.kind.compared());
        format!(
            "INSERT INTO {} AS t (id, version, val) SELECT i, v, d{cast} FROM unnest($1, $2, $3) AS r(i, v, d) \
             ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version \
             WHERE t.version = EXCLUDED.version AND t.val{compared} = EXCLUDED.val{compared} RETURNING t.id::text",
            self.full(table)
        )
    }

    /// Replaces those rows of `$1` (ids), `$2` (versions) and `$3` (values) which have the versions of `$4`, or are there
    /// exactly so already, and gives back their ids.
    pub(super) fn replace(&self, table: &str, shape: Shape) -> String {
        let (cast, compared) = (shape.kind.cast(), shape.kind.compared());
        format!(
            "UPDATE {} AS t SET version = r.v, val = r.d{cast} FROM unnest($1, $2, $3, $4) AS r(i, v, d, e) \
             WHERE t.id = r.i AND ({} = r.e OR (t.version = r.v AND t.val{compared} = (r.d{cast}){compared})) \
             RETURNING t.id::text",
            self.full(table),
            shape.version_of("t")
        )
    }

    /// Removes the rows with the ids `$1`.
    pub(super) fn delete(&self, table: &str) -> String {
        format!("DELETE FROM {} WHERE id = ANY($1)", self.full(table))
    }

    /// Removes those rows with the ids `$1` which have the versions of `$2`.
    pub(super) fn delete_expected(&self, table: &str, shape: Shape) -> String {
        format!(
            "DELETE FROM {} AS t USING unnest($1, $2) AS r(i, e) WHERE t.id = r.i AND {} = r.e",
            self.full(table),
            shape.version_of("t")
        )
    }

    /// Those of the ids `$1` that are there.
    pub(super) fn ids(&self, table: &str) -> String {
        format!("SELECT id::text FROM {} WHERE id = ANY($1)", self.full(table))
    }

    /// Makes the table of the mark.
    pub(super) fn keeper(&self) -> String {
        let full = self.full(KEEPER);
        let columns = "id int PRIMARY KEY, mark bytea NOT NULL";
        format!("{LOCK} CREATE TABLE IF NOT EXISTS {full} ({columns});{}", self.owned(&full))
    }

    /// Puts the mark `$1` in the place of `$2`, or where there is none.
    pub(super) fn put_mark(&self, replace: bool) -> String {
        let full = self.full(KEEPER);
        if replace {
            format!("UPDATE {full} SET mark = $1 WHERE id = 0 AND mark = $2")
        } else {
            format!("INSERT INTO {full} (id, mark) VALUES (0, $1) ON CONFLICT DO NOTHING")
        }
    }

    /// Reads the mark.
    pub(super) fn mark(&self) -> String {
        format!("SELECT mark FROM {} WHERE id = 0", self.full(KEEPER))
    }

    /// Makes the table of writers.
    pub(super) fn writers(&self) -> String {
        let full = self.full(WRITERS);
        let columns = "seat bigint PRIMARY KEY, holder bigint NOT NULL, turn bigint NOT NULL";
        format!("{LOCK} CREATE TABLE IF NOT EXISTS {full} ({columns});{}", self.owned(&full))
    }

    /// Puts the holder `$2` into the seat `$1` for the turn `$3`, unless it has had a later one, or somebody else sits
    /// there and `$4` is zero. Waits for transactions of whoever sat there. Gives back one row if it is done.
    pub(super) fn enter(&self) -> String {
        format!(
            "INSERT INTO {} AS w (seat, holder, turn) VALUES ($1, $2, $3) \
             ON CONFLICT (seat) DO UPDATE SET holder = EXCLUDED.holder, turn = EXCLUDED.turn \
             WHERE (w.holder = EXCLUDED.holder AND w.turn <= EXCLUDED.turn) \
             OR (w.holder <> EXCLUDED.holder AND $4 <> 0) RETURNING seat",
            self.full(WRITERS)
        )
    }

    /// Keeps others from entering the seat `$1` until the transaction ends, and fails (it divides by zero) unless the holder
    /// `$2` sits there, in the turn `$3`.
    pub(super) fn door(&self) -> String {
        format!(
            "SELECT (1 / count(*))::text FROM \
             (SELECT 1 FROM {} WHERE seat = $1 AND holder = $2 AND turn = $3 FOR SHARE) AS seated",
            self.full(WRITERS)
        )
    }

    /// Makes the table of fences.
    pub(super) fn fences(&self) -> String {
        let full = self.full(FENCES);
        format!("{LOCK} CREATE TABLE IF NOT EXISTS {full} (slot int PRIMARY KEY, generation bigint NOT NULL);")
    }

    /// Claims the slots `$1` with the generation `$2`, unless a later one has them, and gives back those that were claimed.
    pub(super) fn claim(&self) -> String {
        format!(
            "INSERT INTO {} AS f (slot, generation) SELECT s, $2 FROM unnest($1) AS r(s) ORDER BY s \
             ON CONFLICT (slot) DO UPDATE SET generation = EXCLUDED.generation \
             WHERE f.generation <= EXCLUDED.generation RETURNING slot",
            self.full(FENCES)
        )
    }

    /// Locks the slots `$1` until the transaction ends, and fails (it divides by zero) unless each has its generation in `$2`.
    pub(super) fn guard(&self) -> String {
        format!(
            "SELECT (1 / (count(*) = cardinality($1))::int)::text FROM (SELECT 1 FROM {} AS f \
             JOIN unnest($1, $2) AS r(s, g) ON f.slot = r.s AND f.generation = r.g ORDER BY f.slot FOR SHARE OF f) AS held",
            self.full(FENCES)
        )
    }

    /// Reads the generations of the slots `$1`.
    pub(super) fn held(&self) -> String {
        format!("SELECT slot, generation FROM {} WHERE slot = ANY($1)", self.full(FENCES))
    }

    /// Makes a table. In a transaction of its own, so that one that exists since is no harm.
    pub(super) fn create(&self, table: &str) -> String {
        let (full, kind) = (self.full(table), if self.jsonb { "jsonb" } else { "text" });
        let mut sql = format!(
            "{LOCK} CREATE TABLE {full} (id text NOT NULL, version int DEFAULT 0, val {kind} NOT NULL, PRIMARY KEY (id));"
        );
        sql += &self.owned(&full);
        let on = &self.notifications;
        let events = [(on.insert, "INSERT"), (on.update, "UPDATE"), (on.delete, "DELETE")];
        let events: Vec<&str> = events.iter().filter(|(wanted, _)| *wanted).map(|(_, event)| *event).collect();
        if !events.is_empty() {
            let trigger = quoted(&format!("broadcast_update_{}_{table}", self.schema));
            let _ = write!(
                sql,
                "CREATE TRIGGER {trigger} AFTER {} ON {full} FOR EACH ROW EXECUTE PROCEDURE {}.broadcast_update();",
                events.join(" OR "),
                quoted(&self.schema)
            );
        }
        if on.create_table {
            let payload = literal(&format!("CREATE_TABLE:{table}"));
            let _ = write!(sql, "SELECT pg_notify({}, {payload});", literal(&self.schema));
        }
        sql
    }

    /// Gives a table that was just made to its owner, if one is configured.
    fn owned(&self, full: &str) -> String {
        self.role.as_ref().map_or_else(String::new, |role| format!("ALTER TABLE {full} OWNER TO {};", quoted(role)))
    }

    /// Gives an old table the column that makes it a new one. Its rows stay old until each is written.
    pub(super) fn modernise(&self, table: &str) -> String {
        let full = self.full(table);
        format!(
            "{LOCK} ALTER TABLE {full} ADD COLUMN IF NOT EXISTS version int; \
             ALTER TABLE {full} ALTER COLUMN version SET DEFAULT 0;"
        )
    }
}

/// Makes the schema.
pub(super) fn schema(settings: &Settings) -> String {
    format!("{LOCK} CREATE SCHEMA IF NOT EXISTS {};", quoted(&settings.schema))
}

/// Makes the trigger function that announces rows with NOTIFY, as `INSERT:table:id` and so on, on the channel named
/// like the schema. Upstream puts it where the user's search path begins, which since release 15 of the database
/// belongs to its owner alone.
pub(super) fn announcer(settings: &Settings) -> String {
    let schema = quoted(&settings.schema);
    format!(
        "{LOCK} CREATE OR REPLACE FUNCTION {schema}.broadcast_update() RETURNS trigger AS $announcer$ \
         DECLARE payload text := TG_OP || ':' || TG_TABLE_NAME || ':' || \
             CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END; \
         BEGIN IF octet_length(payload) < 8000 THEN PERFORM pg_notify(TG_TABLE_SCHEMA, payload); END IF; \
         RETURN NULL; END; $announcer$ LANGUAGE plpgsql;"
    )
}

/// An identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal that is right whether or not the server takes backslashes for escapes.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_ends_where_it_should() {
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(literal("it's \\' so"), "E'it''s \\\\'' so'");
    }
}
