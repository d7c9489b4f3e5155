//! The end of a connection: the will that its client left, and why it is closed, as it is told.

use crate::ident::{ConnId, Nanos};
use crate::output::Reason;
use crate::shard::Shard;
use crate::tape::Kind;
use deepstream_wire::{CloseReason, Message};

impl Shard {
    /// The will of a client (MQTT 5.0, 3.1.2.5): what is published for it when its connection ends without a DISCONNECT. That
    /// the connection is gone is told next. Means nothing before the login.
    pub fn will(&mut self, now: Nanos, conn: ConnId, message: &Message<&[u8]>) {
        self.input(now, Kind::Will, &(conn, message));
        if self.delivery.sessions.get(conn).is_some_and(|session| session.identity.is_some()) {
            // Whether its socket is to be read on is of no interest any more.
            let _ = self.route(conn, message);
        }
    }
}

/// What a client is told of why it is closed.
pub(crate) fn close_reason_of(reason: Reason) -> CloseReason {
    match reason {
        Reason::AuthenticationTimeout => CloseReason::LoginTimeout,
        Reason::NeverSpoke => CloseReason::NeverSpoke,
        Reason::InvalidAuth => CloseReason::InvalidLogin,
        Reason::TooManyAuthAttempts => CloseReason::TooManyLogins,
        Reason::LoginUnjudged => CloseReason::Unavailable,
        Reason::HeartbeatMissing => CloseReason::Silent,
        Reason::SlowConsumerFull | Reason::Overburdened => CloseReason::OutboxFull,
        Reason::SlowConsumerStalled => CloseReason::Stalled,
        Reason::SessionExpired => CloseReason::SessionExpired,
        Reason::TakenOver => CloseReason::TakenOver,
        Reason::Shutdown => CloseReason::Shutdown,
    }
}
