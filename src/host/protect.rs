//! Logs at the start who can reach this server.

use crate::config::{Config, ListenerKind};
use crate::log::{Level, note};
use std::net::SocketAddr;

/// Warns the operator of a server without authentication or permissions: a line for each port that other machines can
/// reach, or could.
pub(super) fn announce(config: &Config, kind: ListenerKind, address: SocketAddr) {
    if address.ip().is_loopback() {
        return;
    }
    let Some(why) = config.is_open() else { return };
    let (host, otherwise) = match kind {
        ListenerKind::Web => ("httpServer.options.host", "configure auth and permission"),
        ListenerKind::Mqtt => ("options.host of the mqtt endpoint", "configure auth and permission"),
    };
    let text = if config.allows_remote(kind) {
        format!("{why}: whoever reaches {address} is served, because that is configured; {otherwise} before others can")
    } else {
        format!(
            "{why}: connections to {address} from other machines are refused. To let others in {otherwise}; or, if that is \
             meant, write {host} or httpServer.options.protectedMode: false, or start with --no-protected-mode or \
             DEEPSTREAM_PROTECTED_MODE=false"
        )
    };
    note(Level::Warn, "PROTECTED_MODE", &text);
}

/// Logs that clients cannot reach the records in which authentication keeps its users, unless a rule names their table.
pub(super) fn announce_users(config: &Config) {
    for table in config.user_tables() {
        let path = format!("{table}/");
        let lifting = config.permission.rules.as_ref().map_or(0, |rules| {
            let ruleset = &rules.ruleset;
            ruleset.rules().iter().filter(|rule| ruleset.names_table(rule, path.as_bytes())).count()
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
