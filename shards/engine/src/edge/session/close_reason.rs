//! Why a connection is closed, as it is told.

use crate::output::Reason;
use deepstream_wire::CloseReason;

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
