//! The log lines for everything that the engine and the host report, in upstream's words where upstream has any.
//!
//! *Owns* level, event and sentence of every [`Note`]. *Promises* that programs which search upstream's log find the
//! same events, and that unknown details are left out. *Does not* filter or write: the log does.

mod ending;

use crate::log::{Level, note, note_from};
use deepstream_engine::{Difference, Fault, Note, Sampled, ShadowTally, Turn};
use std::io;

pub use ending::{Ending, Fault as RequestFault, Party, Told};

/// Logs a note that contains the connection it is about, if any.
pub fn write(what: &Note) {
    write_of(what, &Party::default());
}

/// Logs a note about this connection. Closed connections are logged by the core, which limits their number.
pub fn write_of(what: &Note, party: &Party) {
    if let Some((level, event, message)) = words(what, party) {
        note_from(level, event, &message, address(what).unwrap_or(&party.address));
    }
}

/// The address of the client that caused it, as a field of its own in JSON lines.
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

/// Logs that connections were refused for lack of descriptors, of which connections may have `max`.
pub(crate) fn no_descriptors(count: u64, max: usize) {
    let text = format!(
        "{count} connections were refused: there are {max} already, as many as the limit of open files leaves to them (ulimit -n; \
         LimitNOFILE in a systemd unit)"
    );
    note(Level::Warn, "CONNECTION_ERROR", &text);
}

#[expect(clippy::too_many_lines, reason = "a table: one row a note")]
fn words(what: &Note, party: &Party) -> Option<(Level, &'static str, String)> {
    Some(match what {
        Note::IncomingConnection { remote, referer, .. } => {
            (Level::Info, "INCOMING_CONNECTION", ["from", &*spaced(referer), &*bracketed(remote)].concat())
        }
        Note::Disconnected { user: Some(user), .. } => (Level::Info, "CLIENT_DISCONNECTED", user.to_string()),
        Note::Disconnected { user: None, remote } => {
            (Level::Info, "CLIENT_DISCONNECTED", format!("nobody had logged in{}", bracketed(remote)))
        }
        Note::LoggedIn { user } => (Level::Info, "AUTH_SUCCESSFUL", user.to_string()),
        Note::LoginRefused { remote, data, .. } => {
            // The address comes before any text that the client has chosen.
            let data = data.as_deref().map(|data| format!(" with {}", String::from_utf8_lossy(data)));
            let text = format!("invalid authentication data{}{}", from(remote), data.unwrap_or_default());
            (Level::Info, "AUTH_UNSUCCESSFUL", text)
        }
        Note::LoginUnjudged { remote } => {
            let text = format!("nobody could judge the login{}", from(remote));
            (Level::Info, "AUTH_UNSUCCESSFUL", text)
        }
        Note::LoginBarred { remote } => {
            let text = format!("too many refused logins{}", from(remote));
            (Level::Info, "AUTH_UNSUCCESSFUL", text)
        }
        Note::SessionExtended { user } => (Level::Debug, "AUTH_SUCCESSFUL", format!("{user} extended the session")),
        Note::Closed { .. } | Note::ConnectionsFull { .. } => return None,
        Note::Unreadable { user, what, .. } => {
            let from = user.as_deref().map(|user| format!(" from {user}")).unwrap_or_default();
            (Level::Warn, "MESSAGE_PARSE_ERROR", format!("{what}{}{from}", bracketed(&party.address)))
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
            let already = if wanted > current { "only" } else { "already" };
            let text =
                format!("{user} tried to update record {name} to version {wanted} but it {already} was {current}");
            (Level::Warn, "VERSION_EXISTS", text)
        }
        Note::LoadFailed { name, fault: Fault::Timeout } => {
            (Level::Error, "STORAGE_RETRIEVAL_TIMEOUT", name.to_string())
        }
        Note::LoadFailed { name, fault } => {
            let text = format!("error while loading {name} from storage: {}", fault.words());
            (Level::Error, "RECORD_LOAD_ERROR", text)
        }
        Note::StoreRefused { records, name, why } => {
            let text = format!(
                "storage:record {name}: {why} ({records} records that cannot be stored; they live in memory only)"
            );
            (Level::Error, "RECORD_UPDATE_ERROR", text)
        }
        Note::StoreFailed { records, fault } => {
            let text = format!("storage:{} ({records} records; they are tried again)", fault.words());
            (Level::Error, "RECORD_UPDATE_ERROR", text)
        }
        Note::Unstorable { user, name, why } => {
            (Level::Warn, "RECORD_UPDATE_ERROR", format!("{user} cannot make record {name}: {why}"))
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
        Note::AnswerWithheld { name, .. } => {
            (Level::Debug, "ANSWER_WITHHELD", format!("about record {name} until there is room for it"))
        }
        Note::Emitted { name, data } => (Level::Debug, "EMIT", format!("event: {name} with data: {data}")),
    })
}

/// The origin of a request in words, if it is known.
fn from(remote: &str) -> String {
    if remote.is_empty() { String::new() } else { format!(" from {remote}") }
}

/// The text in brackets, unless it is empty.
fn bracketed(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn spaced(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepstream_engine::{ConnId, Place};
    use deepstream_wire::Unreadable;

    #[test]
    fn notes_read_as_upstream_writes_them() {
        let conn = ConnId { core: Place::alone(0), generation: 1, slot: 0 };
        let cases = [
            (
                Note::IncomingConnection { conn, remote: "127.0.0.1".into(), referer: "".into() },
                (Level::Info, "INCOMING_CONNECTION", "from (127.0.0.1)"),
            ),
            (
                Note::IncomingConnection { conn, remote: "127.0.0.1".into(), referer: "https://a.example".into() },
                (Level::Info, "INCOMING_CONNECTION", "from https://a.example (127.0.0.1)"),
            ),
            (
                Note::Disconnected { user: Some("ann".into()), remote: "".into() },
                (Level::Info, "CLIENT_DISCONNECTED", "ann"),
            ),
            (
                Note::Disconnected { user: None, remote: "127.0.0.1".into() },
                (Level::Info, "CLIENT_DISCONNECTED", "nobody had logged in (127.0.0.1)"),
            ),
            (
                Note::LoginRefused { conn, remote: "::1".into(), data: Some(b" from 9.9.9.9".as_slice().into()) },
                (Level::Info, "AUTH_UNSUCCESSFUL", "invalid authentication data from ::1 with  from 9.9.9.9"),
            ),
            (
                Note::LoginRefused { conn, remote: "".into(), data: None },
                (Level::Info, "AUTH_UNSUCCESSFUL", "invalid authentication data"),
            ),
            (Note::LoggedIn { user: "ann".into() }, (Level::Info, "AUTH_SUCCESSFUL", "ann")),
            (
                Note::VersionExists { user: "u".into(), name: "r".into(), wanted: 3, current: 5 },
                (Level::Warn, "VERSION_EXISTS", "u tried to update record r to version 3 but it already was 5"),
            ),
            (
                Note::VersionExists { user: "u".into(), name: "r".into(), wanted: 9, current: 5 },
                (Level::Warn, "VERSION_EXISTS", "u tried to update record r to version 9 but it only was 5"),
            ),
            (
                Note::Unreadable { conn, user: None, what: Unreadable::Malformed },
                (Level::Warn, "MESSAGE_PARSE_ERROR", "not a message (10.0.0.7)"),
            ),
            (
                Note::Unreadable { conn, user: Some("ann".into()), what: Unreadable::Malformed },
                (Level::Warn, "MESSAGE_PARSE_ERROR", "not a message (10.0.0.7) from ann"),
            ),
        ];
        let party = Party { address: "10.0.0.7".into(), ..Party::default() };
        for (what, (level, event, text)) in cases {
            let told = words(&what, &party);
            assert_eq!(told, Some((level, event, text.to_owned())));
            let text = told.map(|(_, _, text)| text).unwrap_or_default();
            assert!(!text.contains("undefined") && !text.contains("null"), "{text}");
        }
    }
}
