//! Why the server ends a connection, as its client is told: a close code of WebSocket, a reason code of MQTT, a few words.
//!
//! *Owns* these three of every [`CloseReason`]. *Promises* that the words fit into a close frame, and that a code means the same
//! whatever was spoken: 1001 and 1013 ask to come back, 1008 that something is mended first, 44.. are HTTP's statuses behind a 4.
//! *Does not* log: who it was, and where, is known to the host.

use crate::message::Wire;
use crate::mqtt::{self, Code};
use crate::ws::{self, CLOSE_AWAY, CLOSE_LATER, CLOSE_POLICY};

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It did not log in in time.
    LoginTimeout,
    /// It is to speak first, and said nothing.
    NeverSpoke,
    /// A login that makes no sense.
    InvalidLogin,
    /// As many refused logins as are allowed.
    TooManyLogins,
    /// Its login could not be judged.
    Unavailable,
    /// What its login was granted for is over.
    SessionExpired,
    /// Nothing was heard of it.
    Silent,
    /// More waits for it than may wait.
    OutboxFull,
    /// It takes nothing of what waits for it.
    Stalled,
    /// The same client connected anew.
    TakenOver,
    /// The server stops.
    Shutdown,
}

/// Close code: the login is over, and a fresh one is wanted.
const CLOSE_UNAUTHORIZED: u16 = 4401;
/// Close code: nothing was heard for too long.
const CLOSE_TIMEOUT: u16 = 4408;
/// Close code: somebody else is this client now.
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

/// Appends what ends a connection from our side.
pub fn encode_close(wire: Wire, close_reason: CloseReason, out: &mut Vec<u8>) {
    let (close, code, words) = close_reason.row();
    match wire {
        Wire::Mqtt => mqtt::close_reason(code, words, out),
        Wire::Protobuf | Wire::ProtobufNoMulti | Wire::Text | Wire::TextSdk | Wire::Json | Wire::Http => {
            ws::put_close_because(close, words, out);
        }
    }
}

/// Appends what asks a client whether it lives, and is answered by every WebSocket, official client or not: these answer no
/// ping of their own protocol. Nothing where there is no such question.
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
