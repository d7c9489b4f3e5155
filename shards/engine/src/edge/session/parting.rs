//! The end of a connection: what its client left to be said, and what it is told itself.

use crate::ident::{ConnId, Nanos};
use crate::output::Reason;
use crate::shard::Shard;
use crate::tape::Kind;
use deepstream_wire::{Message, Parting};

impl Shard {
    /// A message that a client left to be said once it is lost; its connection is told to be gone next. Means nothing
    /// before the login.
    pub fn last_words(&mut self, now: Nanos, conn: ConnId, message: &Message<&[u8]>) {
        self.input(now, Kind::LastWords, &(conn, message));
        if self.delivery.sessions.get(conn).is_some_and(|session| session.identity.is_some()) {
            // Whether its socket is to be read on is of no interest any more.
            let _ = self.route(conn, message);
        }
    }
}

/// What a client is told of why it is closed.
pub(crate) fn parting_of(reason: Reason) -> Parting {
    match reason {
        Reason::AuthenticationTimeout => Parting::LoginTimeout,
        Reason::NeverSpoke => Parting::NeverSpoke,
        Reason::InvalidAuth => Parting::InvalidLogin,
        Reason::TooManyAuthAttempts => Parting::TooManyLogins,
        Reason::LoginUnjudged => Parting::Unavailable,
        Reason::HeartbeatMissing => Parting::Silent,
        Reason::SlowConsumerFull | Reason::Overburdened => Parting::OutboxFull,
        Reason::SlowConsumerStalled => Parting::Stalled,
        Reason::SessionExpired => Parting::SessionExpired,
        Reason::TakenOver => Parting::TakenOver,
        Reason::Shutdown => Parting::Shutdown,
    }
}
