//! The log lines for connections that the server closes or refuses: what happened, to whom, and which key of the
//! configuration controls it.
//!
//! *Owns* level, event and sentence of every [`Ending`]. *Promises* that each line names the cause, then the connection
//! and the key as far as there are any, with the address before any text that a client has chosen. *Does not* limit how
//! many are logged: the core does.

use crate::config::{Protocol, REFUSAL};
use crate::log::Level;
use deepstream_engine::Reason;
use deepstream_wire::gate::FORBIDDEN_HOST;
use deepstream_wire::{Closing, LinkConfig, Wire, mqtt};
use std::fmt::Write as _;

/// A connection, as far as it is known. Unknown details are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Who logged in.
    pub user: Option<Box<str>>,
    /// Where it comes from; behind a trusted proxy, the client's address.
    pub address: Box<str>,
    /// Where it arrived: the path of a WebSocket, or the protocol.
    pub endpoint: Box<str>,
}

/// Why a connection was ended, or not taken.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// By its shard; with how long it had been silent, or had read nothing, if that is the reason.
    Shard(Reason, Wire, u64),
    /// By its link, on an endpoint of this protocol.
    Link(Closing, Wire),
    /// TLS failed, for this reason; with the section of its settings.
    Tls(&'a str, &'static str),
    /// A request of HTTP was answered with an error after which nothing more is read.
    Http(Fault),
    /// It was refused, with this message.
    Refused(&'a str),
    /// There are too many connections.
    Full,
}

/// What was wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its head is above its limit.
    HeadTooLarge,
    /// Its body is.
    BodyTooLarge,
    /// It did not arrive in time.
    Late,
    /// It was not answered in time.
    Unanswered,
    /// It is no HTTP.
    Broken,
}

/// How an ending is logged.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The level of the line.
    pub level: Level,
    /// Upstream's name of it, where upstream has one.
    pub event: &'static str,
    /// The same for all endings of its kind.
    pub kind: &'static str,
    text: String,
    key: String,
    /// Comes last, because the client has chosen parts of it.
    said: String,
}

impl Told {
    /// The whole line, of this connection.
    pub fn line(&self, party: &Party) -> String {
        let mut line = self.text.clone();
        let mut parts = [
            // Before any text that the client has chosen, because programs such as fail2ban take the first address of a
            // line.
            ("address", &*party.address),
            ("user", party.user.as_deref().unwrap_or_default()),
            ("endpoint", &*party.endpoint),
            ("key", &self.key),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty());
        if let Some((name, value)) = parts.next() {
            let _ = write!(line, "; {name} {value}");
        }
        for (name, value) in parts {
            let _ = write!(line, ", {name} {value}");
        }
        if !self.said.is_empty() {
            let _ = write!(line, ": {}", self.said);
        }
        line
    }
}

impl Ending<'_> {
    /// How it is logged; `None` if it is not, because the peer itself closed the connection.
    pub fn told(self, links: &LinkConfig) -> Option<Told> {
        let told =
            |level, event, kind, text: String, key: String| Told { level, event, kind, text, key, said: String::new() };
        Some(match self {
            Self::Shard(reason, wire, waited_ns) => of_shard(reason, wire, waited_ns / 1_000_000, links),
            Self::Link(closing, wire) => return of_link(closing, wire, links),
            Self::Tls(error, section) => {
                let text = format!("a secured connection failed: {error}");
                told(Level::Warn, "CONNECTION_ERROR", "failures of TLS", text, section.to_owned())
            }
            Self::Http(fault) => of_request(fault),
            Self::Refused(why) => of_refused(why),
            Self::Full => told(
                Level::Warn,
                "CONNECTION_ERROR",
                "connections above limits.connectionsMax",
                "a connection was refused: limits.connectionsMax is reached".to_owned(),
                "limits.connectionsMax".to_owned(),
            ),
        })
    }
}

fn of_shard(reason: Reason, wire: Wire, waited_ms: u64, links: &LinkConfig) -> Told {
    let told =
        |level, event, kind, text: String, key: String| Told { level, event, kind, text, key, said: String::new() };
    let own = |key| option(wire, key);
    match reason {
        Reason::AuthenticationTimeout => {
            const TEXT: &str = "connection has not authenticated successfully in the expected time";
            let key = own("unauthenticatedClientTimeout");
            told(Level::Info, "AUTHENTICATION_TIMEOUT", "no login in time", TEXT.to_owned(), key)
        }
        Reason::NeverSpoke => {
            let wanted = match links.path_of(Wire::Text) {
                Some(path) => format!("and want the path {path}"),
                None => "and have no path here".to_owned(),
            };
            let text = format!(
                "connection has said nothing for {waited_ms} ms, where its client is to speak first: clients before release 4 \
                 wait for the server to do so, {wanted}"
            );
            let key = option(Wire::Text, "urlPath");
            told(Level::Warn, "AUTHENTICATION_TIMEOUT", "clients that never said anything", text, key)
        }
        Reason::InvalidAuth => {
            let key = "limits.authDataBytesMax".to_owned();
            let text = "invalid auth message".to_owned();
            told(Level::Warn, "INVALID_MESSAGE_DATA", "invalid auth messages", text, key)
        }
        Reason::TooManyAuthAttempts => {
            const TEXT: &str = "too many authentication attempts";
            told(Level::Info, "TOO_MANY_AUTH_ATTEMPTS", TEXT, TEXT.to_owned(), own("maxAuthAttempts"))
        }
        Reason::LoginUnjudged => {
            const TEXT: &str = "a login could not be judged";
            told(Level::Debug, "CLOSED_SOCKET", TEXT, TEXT.to_owned(), "auth".to_owned())
        }
        Reason::HeartbeatMissing if wire == Wire::Mqtt => {
            let text = format!("Keep-alive missing, terminating connection: nothing was heard for {waited_ms} ms");
            told(Level::Info, "INFO", "connections of which nothing was heard", text, own("idleTimeout"))
        }
        Reason::HeartbeatMissing => {
            let text =
                format!("Heartbeat missing on websocket, terminating connection: nothing was heard for {waited_ms} ms");
            told(Level::Info, "INFO", "connections of which nothing was heard", text, own("heartbeatInterval"))
        }
        Reason::SlowConsumerFull | Reason::Overburdened | Reason::SlowConsumerStalled => {
            let (why, key) = match reason {
                Reason::SlowConsumerFull => ("limits.outboxBytesMax is reached".to_owned(), "limits.outboxBytesMax"),
                Reason::Overburdened => {
                    ("limits.outboxBytesTotalMax is reached, and it held most".to_owned(), "limits.outboxBytesTotalMax")
                }
                _ => (format!("next to nothing was read for {waited_ms} ms"), "limits.slowConsumerTimeoutMs"),
            };
            let text = format!("slow consumer was closed: {why}");
            let kind = if reason == Reason::Overburdened { "connections that held most" } else { "slow consumers" };
            told(Level::Warn, "CLOSED_SOCKET", kind, text, key.to_owned())
        }
        Reason::SessionExpired => {
            const TEXT: &str = "the login has expired";
            told(Level::Info, "SESSION_EXPIRED", "logins that expired", TEXT.to_owned(), String::new())
        }
        Reason::TakenOver => {
            const TEXT: &str = "the client connected anew";
            told(Level::Info, "CLOSED_SOCKET", "clients that connected anew", TEXT.to_owned(), String::new())
        }
        Reason::Shutdown => {
            const TEXT: &str = "the server is stopping";
            told(Level::Debug, "CLOSED_SOCKET", TEXT, TEXT.to_owned(), String::new())
        }
    }
}

fn of_link(closing: Closing, wire: Wire, links: &LinkConfig) -> Option<Told> {
    const EVENT: &str = "CONNECTION_ERROR";
    let told = |level, event, kind, text: String, key: String| {
        Some(Told { level, event, kind, text, key, said: String::new() })
    };
    match closing {
        Closing::Peer(_) => None,
        Closing::TooBig => {
            let max = links.endpoints.iter().find(|endpoint| endpoint.wire == wire);
            let max = max.map_or(0, |endpoint| endpoint.max_message_bytes);
            let text = format!("connection was closed with code 1009: a message above maxMessageSize ({max} bytes)");
            let key = option(wire, "maxMessageSize");
            told(Level::Warn, "MAXIMUM_MESSAGE_SIZE_EXCEEDED", "messages above maxMessageSize", text, key)
        }
        Closing::Protocol(code, why) => {
            let text = format!("connection was closed with code {code}: {why}");
            told(Level::Warn, EVENT, "broken rules of WebSocket", text, String::new())
        }
        Closing::Elsewhere(other) => {
            let where_to = match links.path_of(other) {
                Some(path) => format!("has the path {path}"),
                None => "has no path here".to_owned(),
            };
            let what = protocol(other).map_or("what it speaks", Protocol::kind);
            let text = format!("connection was closed with code 1003: it speaks {what}, which {where_to}");
            told(Level::Warn, EVENT, "clients on another protocol's path", text, option(other, "urlPath"))
        }
        Closing::Answered(status) => {
            let (why, key) = match status {
                404 => {
                    let paths: Vec<&str> = links.endpoints.iter().map(|endpoint| endpoint.path.as_str()).collect();
                    (format!("no WebSocket has its path, only {}", paths.join(", ")), "connectionEndpoints")
                }
                426 => ("it is no upgrade to a version of WebSocket that is spoken here".to_owned(), ""),
                431 => ("its head is too large".to_owned(), "limits.requestHeadBytesMax"),
                _ => ("it is no request of HTTP, or no upgrade".to_owned(), ""),
            };
            let text = format!("a request was refused with status {status}: {why}");
            told(Level::Warn, EVENT, "requests that were refused", text, key.to_owned())
        }
        Closing::Packet(code) => {
            let text = format!("connection was closed with reason code 0x{code:02x}: {}", mqtt::words_of(code));
            let key = match code {
                0x95 => option(Wire::Mqtt, "maxMessageSize"),
                0x97 => "limits.outboxBytesMax".to_owned(),
                0x99 => "limits.nestingMax".to_owned(),
                _ => String::new(),
            };
            told(Level::Warn, EVENT, "broken rules of MQTT", text, key)
        }
    }
}

/// The client has chosen the origin that is quoted in it.
fn of_refused(why: &str) -> Told {
    let (kind, text, key) = match why {
        REFUSAL => (
            "other machines in protected mode",
            "a connection from another machine was not let in",
            "httpServer.options.protectedMode",
        ),
        FORBIDDEN_HOST => ("pages of other hosts", "a page was not let in", "httpServer.options.hostUrl"),
        _ => ("pages of other origins", "a page was not let in", "httpServer.options.origins"),
    };
    Told {
        level: Level::Warn,
        event: "CONNECTION_REFUSED",
        kind,
        text: text.to_owned(),
        key: key.to_owned(),
        said: why.to_owned(),
    }
}

fn of_request(fault: Fault) -> Told {
    const TIMEOUT: &str = "connectionEndpoints[http].options.requestTimeout";
    let told = |event, kind, text: &str, key: &str| Told {
        level: Level::Warn,
        event,
        kind,
        text: text.to_owned(),
        key: key.to_owned(),
        said: String::new(),
    };
    match fault {
        Fault::HeadTooLarge => told(
            "CONNECTION_ERROR",
            "heads of requests that were too large",
            "a request was refused with status 431: its head is too large",
            "limits.requestHeadBytesMax",
        ),
        Fault::BodyTooLarge => told(
            "MAXIMUM_MESSAGE_SIZE_EXCEEDED",
            "bodies of requests above maxMessageSize",
            "a request was refused: its body is above maxMessageSize",
            "httpServer.options.maxMessageSize",
        ),
        Fault::Late => told(
            "HTTP_REQUEST_TIMEOUT",
            "requests that did not arrive in time",
            "a request was refused with status 408: it did not arrive in time",
            TIMEOUT,
        ),
        Fault::Unanswered => {
            told("HTTP_REQUEST_TIMEOUT", "requests that were not answered in time", "HTTP Request timeout", TIMEOUT)
        }
        Fault::Broken => {
            told("CONNECTION_ERROR", "what is no HTTP", "a connection was closed: what came is no request of HTTP", "")
        }
    }
}

/// The endpoint in the configuration whose connections speak this.
fn protocol(wire: Wire) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|protocol| protocol.wire() == wire.encoding())
}

/// The full name of an option of that endpoint.
fn option(wire: Wire, key: &str) -> String {
    let kind = match wire {
        Wire::Http => "http",
        Wire::Mqtt => "mqtt",
        _ => protocol(wire).map_or("ws-binary", Protocol::kind),
    };
    format!("connectionEndpoints[{kind}].options.{key}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepstream_wire::Endpoint;

    fn links() -> LinkConfig {
        let endpoint = |protocol: Protocol| Endpoint {
            path: protocol.path().to_owned(),
            wire: protocol.wire(),
            max_message_bytes: 4096,
        };
        let endpoints = Protocol::ALL.into_iter().map(endpoint).collect();
        LinkConfig {
            endpoints,
            max_request_bytes: 1024,
            mqtt: mqtt::Settings::default(),
            gate: deepstream_wire::Gate::default(),
            text_after_ms: None,
        }
    }

    fn line(ending: Ending<'_>, party: &Party) -> (Level, &'static str, String) {
        let told = ending.told(&links()).expect("it is told");
        (told.level, told.event, told.line(party))
    }

    #[test]
    fn an_ending_names_who_where_why_and_the_key() {
        let party = Party { user: Some("ann".into()), address: "10.0.0.7".into(), endpoint: "/deepstream".into() };
        let cases = [
            (
                Ending::Shard(Reason::HeartbeatMissing, Wire::ProtobufNoMulti, 60_000_000_000),
                (
                    Level::Info,
                    "INFO",
                    "Heartbeat missing on websocket, terminating connection: nothing was heard for 60000 ms; address \
                     10.0.0.7, user ann, endpoint /deepstream, key connectionEndpoints[ws-binary].options.heartbeatInterval",
                ),
            ),
            (
                Ending::Link(Closing::TooBig, Wire::Json),
                (
                    Level::Warn,
                    "MAXIMUM_MESSAGE_SIZE_EXCEEDED",
                    "connection was closed with code 1009: a message above maxMessageSize (4096 bytes); address 10.0.0.7, \
                     user ann, endpoint /deepstream, key connectionEndpoints[ws-json].options.maxMessageSize",
                ),
            ),
            (
                Ending::Shard(Reason::SlowConsumerFull, Wire::Text, 0),
                (
                    Level::Warn,
                    "CLOSED_SOCKET",
                    "slow consumer was closed: limits.outboxBytesMax is reached; address 10.0.0.7, user ann, endpoint \
                     /deepstream, key limits.outboxBytesMax",
                ),
            ),
        ];
        for (ending, (level, event, text)) in cases {
            assert_eq!(line(ending, &party), (level, event, text.to_owned()));
        }
    }

    #[test]
    fn the_address_comes_before_what_a_client_has_chosen() {
        let user = "x, address 9.9.9.9";
        let party = Party { user: Some(user.into()), address: "10.0.0.7".into(), endpoint: "/deepstream".into() };
        let reasons = [
            Reason::HeartbeatMissing,
            Reason::SlowConsumerFull,
            Reason::SlowConsumerStalled,
            Reason::SessionExpired,
            Reason::TakenOver,
            Reason::TooManyAuthAttempts,
            Reason::InvalidAuth,
        ];
        for reason in reasons {
            let text = line(Ending::Shard(reason, Wire::Protobuf, 0), &party).2;
            let (address, chosen) = (text.find("address 10.0.0.7"), text.find(user));
            assert!(address.is_some() && address < chosen, "{text}");
        }
    }

    #[test]
    fn whoever_is_not_let_in_is_told_with_the_key_and_what_they_say_last() {
        let party = Party { address: "10.0.0.7".into(), ..Party::default() };
        let origin = line(Ending::Refused("Origin \"x, address 9.9.9.9\" is forbidden."), &party);
        let text = "a page was not let in; address 10.0.0.7, key httpServer.options.origins: Origin \"x, address 9.9.9.9\" is \
                    forbidden.";
        assert_eq!(origin, (Level::Warn, "CONNECTION_REFUSED", text.to_owned()));
        assert!(
            line(Ending::Refused(REFUSAL), &party).2.contains(", key httpServer.options.protectedMode: This server is")
        );
        assert!(line(Ending::Refused(FORBIDDEN_HOST), &party).2.contains("httpServer.options.hostUrl"));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let timeout = Ending::Shard(Reason::AuthenticationTimeout, Wire::Protobuf, 0);
        let (level, event, text) = line(timeout, &Party::default());
        assert_eq!((level, event), (Level::Info, "AUTHENTICATION_TIMEOUT"));
        // It begins as in upstream, for programs that search for that.
        assert!(text.starts_with("connection has not authenticated successfully in the expected time; key "), "{text}");
        let expired = Ending::Shard(Reason::SessionExpired, Wire::Protobuf, 0);
        assert_eq!(line(expired, &Party::default()).2, "the login has expired");
        assert!(Ending::Link(Closing::Peer(None), Wire::Json).told(&links()).is_none());
    }

    #[test]
    fn whoever_is_on_a_wrong_path_is_told_the_right_one() {
        let mute = line(Ending::Shard(Reason::NeverSpoke, Wire::Protobuf, 0), &Party::default()).2;
        assert!(
            mute.contains("and want the path /deepstream-v3") && mute.contains("[ws-text].options.urlPath"),
            "{mute}"
        );
        let new = line(Ending::Link(Closing::Elsewhere(Wire::Protobuf), Wire::Text), &Party::default()).2;
        assert!(new.contains("ws-binary, which has the path /deepstream;"), "{new}");
        let lost = line(Ending::Link(Closing::Answered(404), Wire::Protobuf), &Party::default()).2;
        assert!(lost.contains("only /deepstream, /deepstream-v3, /deepstream-json"), "{lost}");
    }
}
