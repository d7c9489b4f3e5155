//! *Owns* the mapping from a record's name to its row: upstream's, as far as that maps no two names to one row.
//!
//! `users/ann/1` is the row `ann/1` of the table `users`, a name without a slash one of the default table. Upstream
//! drops quotes and semicolons from names and lets the database truncate names of tables, so that several names share a
//! row. Here a row belongs to the name that maps to it unchanged, and the others are refused: what upstream wrote for
//! `a;b` is the record `ab`, and there is no record `a;b`.
//!
//! Names of triggers are derived from those of tables and truncated too, which does no harm: they only need to be
//! unique within their table.

use crate::config::Postgres as Settings;
use crate::storage::names::{Names, Place, Refusal};

/// The database truncates longer names of tables.
const TABLE_BYTES_MAX: usize = 63;
/// Longer ids may not fit into the index of the primary key, whose entries take at most a third of a page (2,704 bytes
/// with headers).
const ID_BYTES_MAX: usize = 2692;
/// Characters that upstream drops from tables and ids.
const LEFT_OUT: [char; 2] = ['"', ';'];

/// See the module.
pub struct Layout {
    default_table: String,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Row<'n> {
    pub(super) table: &'n str,
    pub(super) id: &'n str,
}

impl Layout {
    /// The layout of this configuration.
    pub fn new(settings: &Settings) -> Self {
        Self { default_table: settings.default_table.clone() }
    }

    /// The row of a name, or why it has none.
    pub(super) fn row<'n>(&'n self, name: &'n [u8]) -> Result<Row<'n>, Refusal> {
        let refused = |why: String| Err(Refusal(why));
        let Ok(name) = str::from_utf8(name) else { return refused("it is not UTF-8".to_owned()) };
        if name.contains('\0') {
            return refused("it contains a zero byte".to_owned());
        }
        if name.contains(LEFT_OUT) {
            let kept = name.replace(LEFT_OUT, "");
            return refused(format!(
                "quotes and semicolons are left out of tables, so that its row would be that of {kept}"
            ));
        }
        let (table, id) = match name.split_once('/') {
            Some((table, id)) if table == self.default_table && !id.contains('/') => {
                return refused(format!(
                    "{table} is the table of names without a slash, so that its row is that of {id}"
                ));
            }
            Some(("", _)) => return refused("no table is named before its first slash".to_owned()),
            Some((table, id)) => (table, id),
            None => (&*self.default_table, name),
        };
        if table.len() > TABLE_BYTES_MAX {
            let why =
                format!("what is before its first slash has more than {TABLE_BYTES_MAX} bytes, which names a table");
            return refused(why);
        }
        if id.len() > ID_BYTES_MAX {
            return refused(format!(
                "what is behind its first slash has more than {ID_BYTES_MAX} bytes, which no index takes"
            ));
        }
        Ok(Row { table, id })
    }
}

impl Names for Layout {
    fn place<'n>(&'n self, name: &'n [u8]) -> Result<Place<'n>, Refusal> {
        self.row(name).map(|Row { table, id }| Place { table, id: id.as_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(default_table: &str) -> Layout {
        Layout { default_table: default_table.to_owned() }
    }

    fn why(name: &[u8]) -> String {
        layout("default").row(name).unwrap_err().0
    }

    #[test]
    fn names_fall_into_table_and_id_as_upstream_has_them() {
        for (name, table, id) in [
            ("plain", "default", "plain"),
            ("users/a", "users", "a"),
            ("users/a/b//c", "users", "a/b//c"),
            ("users/", "users", ""),
            ("it's/it's ", "it's", "it's "),
            ("DEFAULT/a", "DEFAULT", "a"),
            ("default/a/b", "default", "a/b"),
            (" /\u{e9}", " ", "\u{e9}"),
        ] {
            assert_eq!(layout("default").row(name.as_bytes()), Ok(Row { table, id }), "{name}");
        }
        let long = "t".repeat(TABLE_BYTES_MAX);
        let name = format!("{long}/{}", "i".repeat(ID_BYTES_MAX));
        assert_eq!(layout("default").row(name.as_bytes()).map(|row| row.table), Ok(&*long));
    }

    #[test]
    fn names_that_would_share_a_row_are_refused_in_words() {
        for (name, words) in [
            ("secret;/x", "that of secret/x"),
            ("\"secret/x", "that of secret/x"),
            ("secr;et/\";x", "that of secret/x"),
            ("with;\"", "that of with"),
            ("default/vault", "that of vault"),
            ("default/", "default is the table of names without a slash"),
            ("/a", "no table"),
            ("\"/a", "left out"),
            ("a\0b", "zero byte"),
            (&format!("{}/id", "t".repeat(64)), "more than 63 bytes"),
            (&format!("{}\u{e9}/id", "t".repeat(62)), "more than 63 bytes"),
            (&format!("t/{}", "i".repeat(2693)), "more than 2692 bytes"),
            (&"i".repeat(2693), "more than 2692 bytes"),
        ] {
            let why = why(name.as_bytes());
            assert!(why.contains(words), "{name}: {why}");
        }
        assert!(why(b"\xff").contains("UTF-8"));
        let other = layout("vaults");
        assert!(other.row(b"vaults/a").is_err());
        assert_eq!(other.row(b"default/a"), Ok(Row { table: "default", id: "a" }));
    }
}
