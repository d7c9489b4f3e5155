//! What a connection turns out to be: a WebSocket, a proxy's, one that carries requests of HTTP.

use crate::edge::Edge;
use crate::edge::session::table::State;
use crate::ident::{ConnId, Nanos};
use crate::output::{Headers, Note};
use crate::sides::Sides;
use deepstream_wire::Wire;
use std::sync::Arc;

impl<O> Sides<Edge, O> {
    /// A connection became a WebSocket on which `wire` is spoken. Where the server leads, the link has greeted.
    pub(crate) fn upgraded(&mut self, now: Nanos, conn: ConnId, wire: Wire, referer: &str, headers: Headers) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        if let State::Connected = session.state {
            session.state = if wire.is_challenged() { State::AwaitChallenge } else { State::AwaitAuth };
            session.wire = wire;
            session.copies |= wire == Wire::Mqtt;
            session.heard_at = now;
            let interval = if wire.server_leads() { self.cx.options.endpoints.of(wire).heartbeat_ns } else { 0 };
            session.ping_at = now.after(interval);
            let peer = Arc::make_mut(&mut session.visit.get_or_insert_default().peer);
            peer.referer = referer.into();
            peer.headers = headers;
            if wire.stays() {
                let note = Note::IncomingConnection { conn, remote: peer.remote.clone(), referer: referer.into() };
                self.cx.outputs.note(note);
            }
            self.watch(conn);
        }
    }

    /// A connection on which nothing was said yet is spoken to on another wire than its upgrade said: its client waits for the
    /// server to speak, or was only late to speak itself. Where the server leads, the link has greeted.
    pub(crate) fn turned(&mut self, now: Nanos, conn: ConnId, wire: Wire) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        let untouched = matches!(session.state, State::AwaitChallenge)
            || matches!(session.state, State::AwaitAuth) && session.wire.server_leads();
        debug_assert!(untouched || matches!(session.state, State::Closing), "nothing was said yet");
        if untouched {
            session.state = if wire.is_challenged() { State::AwaitChallenge } else { State::AwaitAuth };
            session.wire = wire;
            let interval = if wire.server_leads() { self.cx.options.endpoints.of(wire).heartbeat_ns } else { 0 };
            session.ping_at = now.after(interval);
            self.watch(conn);
        }
    }

    /// A connection is a proxy's, and this is whom it speaks for.
    pub(crate) fn speaks_for(&mut self, conn: ConnId, remote: &str) {
        if let Some(session) = self.edges.here.sessions.get_mut(conn) {
            Arc::make_mut(&mut session.visit.get_or_insert_default().peer).remote = remote.into();
        }
    }

    /// A connection turned out to carry requests of HTTP: each is a connection of its own, what they are told goes out
    /// through this one, and for how long it may say nothing is the host's business.
    pub(crate) fn became_http(&mut self, conn: ConnId) {
        if let Some(session) = self.edges.here.sessions.get_mut(conn) {
            session.wire = Wire::Http;
            self.watch(conn);
        }
    }
}
