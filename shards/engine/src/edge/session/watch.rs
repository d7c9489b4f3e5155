//! What a connection may not do for too long: say nothing, not log in, not read.
//!
//! Nothing was heard of it is said of a connection of which nothing came for two heartbeat intervals: no message, no pong, no
//! part of a message, and of which nothing was taken either that had waited for it. Halfway through the second interval it is
//! asked whether it lives, once: every WebSocket answers, also one whose client pings more rarely than is expected here, or by
//! other means. So whoever is there stays, and whoever is gone is closed two intervals after the last sign of it; at most two
//! more if only then what it is sent has filled all buffers on the way.

use crate::context::{Options, TimerKey};
use crate::edge::Edge;
use crate::edge::session::table::{Session, State};
use crate::ident::{ConnId, Nanos};
use crate::limits::Limits;
use crate::output::Reason;
use crate::sides::Sides;
use deepstream_wire::Action;

/// How long the last bytes of a closed connection may take to leave.
const CLOSE_GRACE_NS: u64 = 2_000_000_000;

impl<O> Sides<Edge, O> {
    /// A client said under which name it is connected once, if it has one, and how long it may be silent; `None`: for ever.
    pub(crate) fn introduced(&mut self, conn: ConnId, client: &[u8], silence_ns_max: Option<u64>) {
        if let Some(session) = self.edges.here.sessions.get_mut(conn) {
            session.silence_ns_max = Some(silence_ns_max.unwrap_or(u64::MAX));
            if !client.is_empty() {
                session.visit.get_or_insert_default().client = Some(client.into());
            }
            self.watch(conn);
        }
    }

    /// (Re)sets a connection's timer to the next moment at which it could be at fault, or is to be pinged.
    pub(crate) fn watch(&mut self, conn: ConnId) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        self.cx.timers.cancel(session.timer);
        let next = due_next(self.cx.outputs.now, session, &self.cx.options, &self.cx.options.limits);
        session.timer = self.cx.timers.insert(next.1, TimerKey::Session(conn));
    }

    /// A connection's timer fired: it is at fault, is to be pinged, or was busy since and is watched on.
    pub(crate) fn session_due(&mut self, now: Nanos, conn: ConnId) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        let (due, deadline) = due_next(now, session, &self.cx.options, &self.cx.options.limits);
        if deadline > now {
            return self.watch(conn);
        }
        match due {
            Due::Warning => self.warn_of_expiry(conn),
            Due::Ping => {
                session.ping_at = now.after(self.cx.options.endpoints.of(session.wire).heartbeat_ns);
                self.say(conn, Action::ConnectionPing);
            }
            Due::Probe => {
                session.ping_at = now;
                self.edges.here.sessions.probe(&mut self.cx.outputs, conn);
            }
            // Named a second time: the host drops the socket with whatever is unsent.
            Due::Close(Reason::Shutdown) => self.edges.here.sessions.closes.push((conn, Reason::Shutdown)),
            Due::Close(reason) => {
                let waits = matches!(session.state, State::AwaitChallenge);
                if reason == Reason::AuthenticationTimeout && !matches!(session.state, State::Connected) {
                    self.say(conn, Action::ConnectionAuthTimeout);
                }
                let mute = waits && matches!(reason, Reason::AuthenticationTimeout | Reason::HeartbeatMissing);
                self.edges.here.close(&mut self.cx.outputs, conn, if mute { Reason::NeverSpoke } else { reason });
            }
        }
        self.watch(conn);
    }
}

/// What a connection's timer is set for.
enum Due {
    /// Its login will end soon.
    Warning,
    /// It is to be told that the server lives.
    Ping,
    /// It is asked whether it lives.
    Probe,
    Close(Reason),
}

fn due_next(now: Nanos, session: &Session, options: &Options, limits: &Limits) -> (Due, Nanos) {
    // A connection that is closing is only waited for; its reason has been told already.
    if let State::Closing = session.state {
        // Nor for ever, however little it takes at a time.
        let last = session.since.after(limits.slow_consumer_timeout_ns.max(CLOSE_GRACE_NS));
        let quiet_at = session.heard_at.max(session.moved_at).after(CLOSE_GRACE_NS);
        return (Due::Close(Reason::Shutdown), quiet_at.min(last));
    }
    let endpoint = options.endpoints.of(session.wire);
    // Who is not read cannot be heard: while a login is judged, or a client first has to read what it was told before its
    // pings are, silence is ours. One that does not read at all is found by its outbox.
    let heard_at = if session.is_judged() || session.paused { now } else { session.last_sign() };
    let silence_ns_max = session.silence_ns_max.unwrap_or(endpoint.heartbeat_ns.saturating_mul(2));
    let mut silent_at = heard_at.after(silence_ns_max);
    let probed = session.may_be_probed() && session.ping_at > heard_at;
    if probed {
        // Whoever was asked has the time to answer, also if this core came too late to ask in time.
        silent_at = silent_at.max(session.ping_at.after(endpoint.heartbeat_ns / 2));
    }
    let mut next = (Due::Close(Reason::HeartbeatMissing), silent_at);
    let mut sooner = |due, at: Nanos| {
        if at < next.1 {
            next = (due, at);
        }
    };
    if let Some(visit) = &session.visit {
        // Whoever has not been told that the login succeeded is not told that it will end.
        let warn_at = visit.warn_at.filter(|_| matches!(session.state, State::Open));
        for (due, at) in [(Due::Warning, warn_at), (Due::Close(Reason::SessionExpired), visit.expires_at)] {
            if let Some(at) = at {
                sooner(due, at);
            }
        }
    }
    if session.wire.server_leads() {
        sooner(Due::Ping, session.ping_at);
    } else if session.may_be_probed() && !probed {
        // Official clients ping every interval by themselves, and are never asked.
        sooner(Due::Probe, heard_at.after(endpoint.heartbeat_ns.saturating_add(endpoint.heartbeat_ns / 2)));
    }
    let mut earlier = |reason, at| sooner(Due::Close(reason), at);
    if !matches!(session.state, State::Open)
        && let Some(timeout) = endpoint.unauthenticated_timeout_ns
    {
        // Whoever was refused is a person, as a rule, and types: upstream would wait for ever.
        let timeout = if session.attempts > 0 { timeout.max(endpoint.heartbeat_ns.saturating_mul(2)) } else { timeout };
        earlier(Reason::AuthenticationTimeout, session.since.after(timeout));
    }
    if session.filling || session.backlog() > limits.outbox_high_water_bytes {
        earlier(Reason::SlowConsumerStalled, session.stepped_at.after(limits.slow_consumer_timeout_ns));
    }
    next
}
