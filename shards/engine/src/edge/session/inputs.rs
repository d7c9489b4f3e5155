//! What the host says of connections: that they are there, speak, take what they are sent, and are gone.

use crate::edge::Edge;
use crate::edge::session::burden::Burden;
use crate::edge::session::table::State;
use crate::ident::{ConnId, Nanos};
use crate::output::{Flow, Note, Peer, Reason};
use crate::packet::{Lane, Packet};
use crate::sides::{Sides, ToOwner};
use deepstream_wire::{Message, Unreadable};

/// A client whose outbox is over its high-water mark counts as one that reads if it takes one of so many parts of that mark
/// within the time for slow consumers: more than the few bytes with which one could stay for ever.
const STEPS: usize = 16;

impl<O: ToOwner> Sides<Edge, O> {
    /// A socket was accepted. `None`: there are too many.
    pub(crate) fn connected(&mut self, now: Nanos, peer: Peer) -> Option<ConnId> {
        if self.edges.here.sessions.len() >= self.cx.options.limits.connections_max {
            self.cx.outputs.counters.refused_connections += 1;
            self.cx.outputs.note(Note::ConnectionsFull { remote: peer.remote });
            return None;
        }
        self.cx.outputs.counters.connected += 1;
        let conn = self.edges.here.sessions.open(now, peer);
        self.watch(conn);
        Some(conn)
    }

    /// A message arrived.
    #[inline]
    pub(crate) fn hear(&mut self, now: Nanos, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return Flow::Close };
        session.heard_at = now;
        match session.state {
            State::Open => {
                debug_assert!(!session.is_judged(), "the host hands in nothing while it was told to pause");
                self.cx.outputs.counters.received += 1;
                self.route(conn, message)
            }
            State::AwaitChallenge | State::AwaitAuth => self.before_login(conn, message),
            // The host hands in nothing while it was told to pause.
            State::Authenticating | State::Arriving => Flow::Pause,
            State::Connected | State::Closing => Flow::Close,
        }
    }

    /// The will of a client, whose connection is gone without a DISCONNECT. Means nothing before the login.
    pub(crate) fn will(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        if self.edges.here.sessions.get(conn).is_some_and(|session| session.identity.is_some()) {
            // Whether its socket is to be read on is of no interest any more.
            let _ = self.route(conn, message);
        }
    }

    /// Bytes arrived that are no message.
    pub(crate) fn unreadable(&mut self, now: Nanos, conn: ConnId, what: Unreadable) -> Flow {
        if let Some(session) = self.edges.here.sessions.get_mut(conn) {
            session.heard_at = now;
        }
        self.not_understood(conn, what)
    }

    /// Something came that is no message.
    pub(crate) fn heard(&mut self, now: Nanos, conn: ConnId) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        if !matches!(session.state, State::Connected | State::AwaitChallenge | State::Closing) {
            session.heard_at = now;
        }
    }

    /// The connection's link answers by itself.
    pub(crate) fn raw(&mut self, conn: ConnId, bytes: &[u8]) {
        self.edges.here.sessions.raw(&mut self.cx.outputs, conn, bytes);
    }

    /// The connection's link answers for the last time.
    pub(crate) fn goodbye(&mut self, conn: ConnId, bytes: &[u8], oversized: bool) {
        if let Some(session) = self.edges.here.sessions.get_mut(conn) {
            session.oversized = oversized;
        }
        self.edges.here.sessions.goodbye(&mut self.cx.outputs, conn, bytes);
    }

    /// The kernel took bytes of a connection's outbox.
    #[inline]
    pub(crate) fn flushed(&mut self, now: Nanos, conn: ConnId, bytes: usize) {
        let low_water = self.cx.options.limits.outbox_high_water_bytes / 2;
        let Some((session, burden)) = self.edges.here.sessions.with_burden(conn) else { return };
        let bytes = bytes.min(session.unsent);
        burden.sent(session, bytes);
        session.unsent -= bytes;
        session.moved_at = now;
        session.step_bytes += bytes;
        if session.step_bytes >= self.cx.options.limits.outbox_high_water_bytes / STEPS {
            (session.stepped_at, session.step_bytes) = (now, 0);
        }
        session.filling &= session.backlog() > low_water;
        if session.withheld.is_some() {
            self.fetch_withheld(conn);
        } else if session.paused {
            self.read_on(conn);
        }
    }

    /// So many bytes are kept for a connection beside its outbox. Whether connections are to be dropped at once for that.
    pub(crate) fn holds(&mut self, now: Nanos, conn: ConnId, unsent: usize, received: usize) -> bool {
        let high_water = self.cx.options.limits.outbox_high_water_bytes;
        let Some((session, burden)) = self.edges.here.sessions.with_burden(conn) else { return false };
        burden.set_aside(session, unsent, received);
        if session.backlog() > high_water && !session.filling {
            session.filling = true;
            (session.stepped_at, session.step_bytes) = (now, 0);
            burden.filling.push(conn);
        }
        // It is no message that comes to many: there is nothing to wait for.
        let much = self.edges.here.sessions.burden.aside() > self.cx.options.limits.outbox_bytes_total_max;
        if much {
            self.edges.here.sessions.relieve(&mut self.cx.outputs, Burden::aside);
        }
        much
    }

    /// A socket is gone.
    pub(crate) fn disconnected(&mut self, conn: ConnId) {
        let Some(mut session) = self.edges.here.sessions.remove(conn) else { return };
        self.cx.timers.cancel(session.timer);
        self.edges.here.sessions.burden.end(&mut session);
        self.edges.here.forget_provided(conn);
        let mut leaving = Vec::new();
        self.edges.here.subscribers.disconnected(conn, |left| leaving.push(left));
        for left in leaving {
            self.leave(conn, left);
        }
        self.end_watching(conn);
        for index in session.introduced() {
            let core = self.cx.places.at(index);
            self.cx.outputs.post(core, Lane::Requests, Packet::Farewell(conn, session.oversized));
        }
        O::farewell(self, conn, session.oversized);
        for (owner, forwarded) in session.withheld.take().map(|withheld| withheld.into_waiting()).unwrap_or_default() {
            self.give_up(owner, forwarded);
        }
        if let Some(identity) = session.identity.as_ref().filter(|_| session.wire.stays()) {
            self.hold_client_id(conn, identity, false);
            self.presence_changed(conn, identity.clone(), false);
        }
        if session.wire.stays() && !matches!(session.state, State::Connected) {
            let (user, remote) = (session.user().map(Into::into), session.remote());
            self.cx.outputs.note(Note::Disconnected { user, remote });
        }
    }

    /// The server stops: every connection is told and closed.
    pub(crate) fn close_all(&mut self) {
        for conn in self.edges.here.sessions.ids() {
            self.edges.here.close(&mut self.cx.outputs, conn, Reason::Shutdown);
        }
    }
}
