//! What a connection may not do for too long: say nothing, not log in, not read.

use crate::Limits;
use crate::ident::{ConnId, Nanos};
use crate::output::Reason;
use crate::session::table::{Session, State};
use crate::shard::{Options, Shard, TimerKey};
use deepstream_wire::Action;

/// How long the last bytes of a closed connection may take to leave.
const CLOSE_GRACE_NS: u64 = 2_000_000_000;

impl Shard {
    /// (Re)sets a connection's timer to the next moment at which it could be at fault.
    pub(crate) fn watch(&mut self, conn: ConnId) {
        let Some(session) = self.delivery.sessions.get_mut(conn) else { return };
        self.timers.cancel(session.timer);
        let next = due_next(session, &self.options, &self.delivery.limits);
        session.timer = self.timers.insert(next.1, TimerKey::Session(conn));
    }

    /// A connection's timer fired: it is at fault, or was busy since and is watched on.
    pub(crate) fn session_due(&mut self, now: Nanos, conn: ConnId) {
        let Some(session) = self.delivery.sessions.get(conn) else { return };
        let (reason, deadline) = due_next(session, &self.options, &self.delivery.limits);
        if deadline > now {
            return self.watch(conn);
        }
        match reason {
            // Named a second time: the host drops the socket with whatever is unsent.
            Reason::Shutdown => self.delivery.closes.push((conn, Reason::Shutdown)),
            Reason::AuthenticationTimeout => {
                if !matches!(session.state, State::Connected) {
                    self.say(conn, Action::ConnectionAuthTimeout);
                }
                self.delivery.close(conn, reason);
            }
            _ => self.delivery.close(conn, reason),
        }
        self.watch(conn);
    }
}

fn due_next(session: &Session, options: &Options, limits: &Limits) -> (Reason, Nanos) {
    // A connection that is closing is only waited for; its reason has been told already.
    if let State::Closing = session.state {
        return (Reason::Shutdown, session.heard_at.max(session.moved_at).after(CLOSE_GRACE_NS));
    }
    let mut next = (Reason::HeartbeatMissing, session.heard_at.after(options.heartbeat_ns.saturating_mul(2)));
    let mut earlier = |reason, at: Nanos| {
        if at < next.1 {
            next = (reason, at);
        }
    };
    if !matches!(session.state, State::Open)
        && let Some(timeout) = options.unauthenticated_timeout_ns
    {
        earlier(Reason::AuthenticationTimeout, session.since.after(timeout));
    }
    if session.backlog() > limits.outbox_high_water_bytes {
        earlier(Reason::SlowConsumerStalled, session.moved_at.after(limits.slow_consumer_timeout_ns));
    }
    next
}
