//! What the log says at the start of who may do what.

use crate::config::Config;
use crate::log::{Level, note};

/// What authentication keeps in storage is nobody's, which rules for all records do not change.
pub(super) fn announce_users(config: &Config) {
    for table in config.user_tables() {
        let path = format!("{table}/");
        let lifting = config.permission.rules.as_ref().map_or(0, |rules| {
            let ruleset = &rules.ruleset;
            ruleset.rules().iter().filter(|rule| ruleset.path_of(rule).starts_with(&path)).count()
        });
        let but = match lifting {
            0 => "; a permission rule whose path begins so would change that".to_owned(),
            count => format!(", but by the {count} rules whose paths begin so"),
        };
        let text =
            format!("records below {path} are authentication's: nobody reads, writes, deletes or listens to them{but}");
        note(Level::Info, "STORAGE_AUTH", &text);
    }
}
