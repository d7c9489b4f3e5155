//! Why the server closes a connection, and how its client is told: a close code of WebSocket, a reason code of MQTT, a
//! few words.
//!
//! *Owns* these three of every [`CloseReason`]. *Promises* that the words fit into a close frame, and that a close code
//! means the same in all protocols: 1001 and 1013 ask the client to come back, 1008 says that it has to do something
//! differently, 44xx are statuses of HTTP after a 4. *Does not* log: only the host knows whose connection it was.

use crate::message::Wire;
use crate::mqtt::{self, Code};
use crate::ws::{self, CLOSE_AWAY, CLOSE_LATER, CLOSE_POLICY};

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It did not log in in time.
    LoginTimeout,
    /// It should have spoken first, and has not.
    NeverSpoke,
    /// A login that makes no sense.
    InvalidLogin,
    /// As many refused logins as are allowed.
    TooManyLogins,
    /// Its login could not be judged.
    Unavailable,
    /// Its login has expired.
    SessionExpired,
    /// Nothing has been received from it for too long.
    Silent,
    /// More bytes wait for it than are allowed.
    OutboxFull,
    /// It does not read what waits for it.
    Stalled,
    /// The same client has connected again.
    TakenOver,
    /// The server stops.
    Shutdown,
}

/// Close code: the login is over, and a fresh one is wanted.
const CLOSE_UNAUTHORIZED: u16 = 4401;
/// Close code: nothing was heard for too long.
const CLOSE_TIMEOUT: u16 = 4408;
/// Close code: this client has another connection now.
const CLOSE_CONFLICT: u16 = 4409;

impl CloseReason {
    /// THE TABLE: what clients of WebSocket and of MQTT are told, in numbers and in words.
    fn row(self) -> (u16, Code, &'static str) {
        match self {
            Self::LoginTimeout => {
                (CLOSE_POLICY, Code::NotAuthorized, "no login within the time of unauthenticatedClientTimeout")
            }
            Self::NeverSpoke => (
                CLOSE_POLICY,
                Code::NotAuthorized,
                "the client speaks first here; clients before release 4 want the path of ws-text (/deepstream-v3)",
            ),
            Self::InvalidLogin => (
                CLOSE_POLICY,
                Code::NotAuthorized,
                "invalid authentication data: a JSON object within limits.authDataBytesMax and limits.nestingMax",
            ),
            Self::TooManyLogins => {
                (CLOSE_POLICY, Code::ConnectionRateExceeded, "too many authentication attempts (maxAuthAttempts)")
            }
            Self::Unavailable => (CLOSE_LATER, Code::ServerUnavailable, "nobody could judge the login: try again"),
            Self::SessionExpired => (CLOSE_UNAUTHORIZED, Code::ConnectTimeExceeded, "session expired"),
            Self::Silent => {
                (CLOSE_TIMEOUT, Code::KeepAliveTimeout, "nothing was heard for two intervals (heartbeatInterval)")
            }
            Self::OutboxFull => (CLOSE_LATER, Code::QuotaExceeded, "read too slowly (limits.outboxBytesMax)"),
            Self::Stalled => {
                (CLOSE_LATER, Code::QuotaExceeded, "next to nothing was read (limits.slowConsumerTimeoutMs)")
            }
            Self::TakenOver => (CLOSE_CONFLICT, Code::TakenOver, "the same client connected anew"),
            Self::Shutdown => (CLOSE_AWAY, Code::ShuttingDown, "the server is stopping"),
        }
    }
}

/// Appends the bytes that close a connection.
pub fn encode_close(wire: Wire, close_reason: CloseReason, out: &mut Vec<u8>) {
    let (close, code, words) = close_reason.row();
    match wire {
        Wire::Mqtt => mqtt::close_reason(code, words, out),
        Wire::Protobuf | Wire::ProtobufNoMulti | Wire::Text | Wire::TextSdk | Wire::Json | Wire::Http => {
            ws::put_close_because(close, words, out);
        }
    }
}

/// Appends a ping of WebSocket, which every client answers: the official ones do not answer pings of their own
/// protocol. Appends nothing for protocols without one.
pub fn encode_probe(wire: Wire, out: &mut Vec<u8>) {
    match wire {
        Wire::Protobuf | Wire::ProtobufNoMulti | Wire::Text | Wire::TextSdk | Wire::Json => ws::put_ping(out),
        Wire::Mqtt | Wire::Http => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_reason_fits_a_close_frame_and_says_which_and_why() {
        for close_reason in [
            CloseReason::LoginTimeout,
            CloseReason::NeverSpoke,
            CloseReason::InvalidLogin,
            CloseReason::TooManyLogins,
            CloseReason::Unavailable,
            CloseReason::SessionExpired,
            CloseReason::Silent,
            CloseReason::OutboxFull,
            CloseReason::Stalled,
            CloseReason::TakenOver,
            CloseReason::Shutdown,
        ] {
            let (close, _, words) = close_reason.row();
            let mut frame = Vec::new();
            encode_close(Wire::Protobuf, close_reason, &mut frame);
            assert_eq!(frame[..2], [0x88, frame.len() as u8 - 2], "{close_reason:?}");
            assert_eq!(ws::read_close(&frame[2..]), Ok(Some(close)), "{close_reason:?}");
            assert_eq!(&frame[4..], words.as_bytes(), "nothing is cut off: {close_reason:?}");
        }
    }
}
