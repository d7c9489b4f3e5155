//! Words for what the engine and the host have to tell: upstream's, where upstream has any.
//!
//! *Owns* level, event and sentence of every [`Note`]. *Promises* that scrapers of upstream's log find what they know.
//! *Does not* filter or write: the log does.

use crate::log::{Level, note, note_from};
use deepstream_engine::{Difference, Fault, Note, Reason, Sampled, ShadowTally, Turn};
use std::io;

/// Logs a note.
pub fn write(what: &Note) {
    let (level, event, message) = words(what);
    note_from(level, event, &message, address(what).unwrap_or_default());
}

/// Whose doing it is, as a field of its own where lines have fields.
fn address(what: &Note) -> Option<&str> {
    match what {
        Note::LoginRefused { remote, .. } | Note::LoginUnjudged { remote } | Note::LoginBarred { remote } => {
            Some(remote)
        }
        Note::IncomingConnection { remote, .. } => Some(remote),
        _ => None,
    }
}

/// Logs that connections could not be accepted for a while.
pub(crate) fn accept_failed(error: &io::Error) {
    note(Level::Error, "CONNECTION_ERROR", &format!("connections cannot be accepted: {error}; trying again"));
}

/// Logs that so many connections were refused for want of descriptors, of which they may have `max`.
pub(crate) fn no_descriptors(count: u64, max: usize) {
    let text = format!(
        "{count} connections were refused: there are {max} already, as many as the limit of open files leaves to them (ulimit -n; \
         LimitNOFILE in a systemd unit)"
    );
    note(Level::Warn, "CONNECTION_ERROR", &text);
}

/// Logs that so many connections were refused because of their number.
pub(crate) fn connections_full(count: u64) {
    let text = match count {
        1 => "a connection was refused: limits.connectionsMax is reached".to_owned(),
        _ => format!("{count} connections were refused: limits.connectionsMax is reached"),
    };
    note(Level::Warn, "CONNECTION_ERROR", &text);
}

fn words(what: &Note) -> (Level, &'static str, String) {
    match what {
        Note::IncomingConnection { remote, referer, .. } => {
            (Level::Info, "INCOMING_CONNECTION", format!("from {} ({})", or_undefined(referer), or_undefined(remote)))
        }
        Note::Disconnected { user } => (Level::Info, "CLIENT_DISCONNECTED", or_null(user.as_deref())),
        Note::LoggedIn { user } => (Level::Info, "AUTH_SUCCESSFUL", user.to_string()),
        Note::LoginRefused { remote, data, .. } => {
            // The address comes before anything that whoever tries to log in has chosen.
            let data = data.as_deref().map(|data| format!(": {}", String::from_utf8_lossy(data)));
            let text = format!("invalid authentication data from {}{}", or_undefined(remote), data.unwrap_or_default());
            (Level::Info, "AUTH_UNSUCCESSFUL", text)
        }
        Note::LoginUnjudged { remote } => {
            let text = format!("nobody could judge the login from {}", or_undefined(remote));
            (Level::Info, "AUTH_UNSUCCESSFUL", text)
        }
        Note::LoginBarred { remote } => {
            let text = format!("too many refused logins from {}", or_undefined(remote));
            (Level::Info, "AUTH_UNSUCCESSFUL", text)
        }
        Note::SessionExtended { user } => (Level::Debug, "AUTH_SUCCESSFUL", format!("{user} extended the session")),
        Note::Closed { user, reason, .. } => closed(*reason, user.as_deref()),
        Note::ConnectionsFull => {
            (Level::Warn, "CONNECTION_ERROR", "a connection was refused: limits.connectionsMax is reached".to_owned())
        }
        Note::Unreadable { user, what } => {
            (Level::Warn, "MESSAGE_PARSE_ERROR", format!("{what} from {}", or_null(user.as_deref())))
        }
        Note::Unexpected { event, text, .. } => (Level::Warn, event, text.to_string()),
        Note::MultipleSubscriptions { user, name } => {
            (Level::Warn, "MULTIPLE_SUBSCRIPTIONS", format!("repeat subscription to \"{name}\" by {user}"))
        }
        Note::InvalidPattern { user, pattern, why } => {
            (Level::Warn, "INVALID_LISTEN_REGEX", format!("\"{pattern}\" by {user}: {why}"))
        }
        Note::SlowPattern { pattern } => {
            let text = format!("\"{pattern}\" took more than limits.listenStepsMax steps and matches nothing any more");
            (Level::Warn, "INVALID_LISTEN_REGEX", text)
        }
        Note::VersionExists { user, name, wanted, current } => {
            let text = format!("{user} tried to update record {name} to version {wanted} but it already was {current}");
            (Level::Warn, "VERSION_EXISTS", text)
        }
        Note::LoadFailed { name, fault: Fault::Timeout } => {
            (Level::Error, "STORAGE_RETRIEVAL_TIMEOUT", name.to_string())
        }
        Note::LoadFailed { name, fault: Fault::Failed(why) | Fault::Refused { why, .. } } => {
            (Level::Error, "RECORD_LOAD_ERROR", format!("error while loading {name} from storage: {why}"))
        }
        Note::StoreFailed { fault: Fault::Refused { entries, why }, .. } => {
            let count = entries.len();
            let text = format!("storage:{why} ({count} records that cannot be stored; they live in memory only)");
            (Level::Error, "RECORD_UPDATE_ERROR", text)
        }
        Note::StoreFailed { records, fault } => {
            let why = match fault {
                Fault::Timeout => "no answer in time",
                Fault::Failed(why) | Fault::Refused { why, .. } => why,
            };
            (Level::Error, "RECORD_UPDATE_ERROR", format!("storage:{why} ({records} records; they are tried again)"))
        }
        Note::RuleFailed { rule, at, text, name, why } => {
            let at = at.map(|(line, column)| format!(" at {line}:{column}")).unwrap_or_default();
            let text = format!("error when executing {text} ({rule}{at})\nfor {name}: {why}");
            (Level::Warn, "MESSAGE_PERMISSION_ERROR", text)
        }
        Note::RuleOdd { rule, at, text, name, denied } => {
            let at = at.map(|(line, column)| format!(" at {line}:{column}")).unwrap_or_default();
            let (level, gives) = match denied {
                Some(value) => (Level::Warn, format!("gives {value} for {name}, which denies")),
                None => (Level::Info, format!("allows {name} without giving true")),
            };
            (level, "PERMISSION", format!("{text} ({rule}{at}) {gives}; compare with something, or put !! in front"))
        }
        Note::LeftOut { what: Sampled::RuleFailures, count } => {
            let text = format!("rules failed {count} times more on this core; only the first of a second are told");
            (Level::Warn, "MESSAGE_PERMISSION_ERROR", text)
        }
        Note::LeftOut { what: Sampled::ShadowDifferences, count } => {
            let text =
                format!("{count} messages more are judged otherwise on this core; only the first of a minute are told");
            (Level::Info, "PERMISSION_SHADOW", text)
        }
        Note::ShadowDiffers(difference) => {
            let Difference { user, action, name, live, candidate } = &**difference;
            (Level::Info, "PERMISSION_SHADOW", format!("{user} {action} {name}: {live}, {candidate}"))
        }
        Note::ShadowOver { file, tally } => {
            let ShadowTally { judged, would_allow, would_deny, would_fail, undecided } = tally;
            let text = format!(
                "{file} was asked {judged} times on this core: it would allow {would_allow} that are denied, deny {would_deny} \
                 that are allowed, fail at {would_fail}; {undecided} are undecided"
            );
            (Level::Info, "PERMISSION_SHADOW", text)
        }
        Note::Denied { user, action, name, why } => {
            let text = format!("{user} may not {action} {name}: {}", why.trim_end().replace('\n', "\n  "));
            (Level::Debug, "MESSAGE_DENIED", text)
        }
        Note::RecordDeleted { name } => (Level::Info, "DELETE", name.to_string()),
        Note::Subscription { event, topic, name, user } => {
            (Level::Debug, event, format!("for {topic}:{name} by {user}"))
        }
        Note::RecordChanged { name, version, .. } => {
            (Level::Debug, "RECORD_CHANGED", format!("record {name} is at version {version}"))
        }
        Note::Presence { user, online } => {
            let event = if *online { "PRESENCE_JOIN" } else { "PRESENCE_LEAVE" };
            (Level::Debug, event, user.to_string())
        }
        Note::Listener { turn, topic, name, pattern, .. } => {
            let event = match turn {
                Turn::Asked => "LISTENER_ASKED",
                Turn::Provides => "LISTENER_PROVIDES",
                Turn::Over => "LISTENER_RELEASED",
            };
            (Level::Debug, event, format!("for {topic}:{name} by pattern {pattern}"))
        }
        Note::Emitted { name, data } => (Level::Debug, "EMIT", format!("event: {name} with data: {data}")),
    }
}

fn closed(reason: Reason, user: Option<&str>) -> (Level, &'static str, String) {
    let slow = |why: &str| {
        let user = or_null(user);
        (Level::Warn, "CLOSED_SOCKET", format!("slow consumer {user} was closed: {why}"))
    };
    let told = |level, event, text: &str| (level, event, text.to_owned());
    match reason {
        Reason::AuthenticationTimeout => told(
            Level::Info,
            "AUTHENTICATION_TIMEOUT",
            "connection has not authenticated successfully in the expected time",
        ),
        Reason::InvalidAuth => told(Level::Warn, "INVALID_MESSAGE_DATA", "invalid auth message"),
        Reason::TooManyAuthAttempts => told(Level::Info, "TOO_MANY_AUTH_ATTEMPTS", "too many authentication attempts"),
        Reason::LoginUnjudged => told(Level::Debug, "CLOSED_SOCKET", "a login could not be judged"),
        Reason::HeartbeatMissing => {
            told(Level::Error, "INFO", "Heartbeat missing on websocket, terminating connection")
        }
        Reason::SlowConsumerFull => slow("limits.outboxBytesMax is reached"),
        Reason::SlowConsumerStalled => slow("next to nothing was read within limits.slowConsumerTimeoutMs"),
        Reason::SessionExpired => {
            let text = format!("the login of {} has expired", or_null(user));
            (Level::Info, "SESSION_EXPIRED", text)
        }
        Reason::TakenOver => {
            let text = format!("a client of {} connected anew", or_null(user));
            (Level::Info, "CLOSED_SOCKET", text)
        }
        Reason::Shutdown => told(Level::Debug, "CLOSED_SOCKET", "the server is stopping"),
    }
}

fn or_undefined(text: &str) -> &str {
    if text.is_empty() { "undefined" } else { text }
}

fn or_null(user: Option<&str>) -> String {
    user.unwrap_or("null").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepstream_engine::{ConnId, CoreId};
    use deepstream_wire::Unreadable;

    #[test]
    fn notes_read_as_upstream_writes_them() {
        let conn = ConnId { core: CoreId(0), generation: 1, slot: 0 };
        let cases = [
            (
                Note::IncomingConnection { conn, remote: "127.0.0.1".into(), referer: "".into() },
                (Level::Info, "INCOMING_CONNECTION", "from undefined (127.0.0.1)"),
            ),
            (Note::Disconnected { user: None }, (Level::Info, "CLIENT_DISCONNECTED", "null")),
            (
                Note::LoginRefused { conn, remote: "::1".into(), data: Some(b" from 9.9.9.9".as_slice().into()) },
                (Level::Info, "AUTH_UNSUCCESSFUL", "invalid authentication data from ::1:  from 9.9.9.9"),
            ),
            (Note::LoggedIn { user: "ann".into() }, (Level::Info, "AUTH_SUCCESSFUL", "ann")),
            (
                Note::VersionExists { user: "u".into(), name: "r".into(), wanted: 3, current: 5 },
                (Level::Warn, "VERSION_EXISTS", "u tried to update record r to version 3 but it already was 5"),
            ),
            (
                Note::Closed { conn, user: None, reason: Reason::HeartbeatMissing },
                (Level::Error, "INFO", "Heartbeat missing on websocket, terminating connection"),
            ),
            (
                Note::Unreadable { user: None, what: Unreadable::Malformed },
                (Level::Warn, "MESSAGE_PARSE_ERROR", "not a message from null"),
            ),
        ];
        for (what, (level, event, text)) in cases {
            assert_eq!(words(&what), (level, event, text.to_owned()));
        }
    }
}
