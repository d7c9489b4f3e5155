//! What the host drains of an edge after each turn, and what the edge holds, counted.

use crate::census::Census;
use crate::context::Context;
use crate::edge::Edge;
use crate::edge::session::burden::Burden;
use crate::edge::session::table::Session;
use crate::ident::ConnId;
use crate::output::{Outbox, Reason, Spare};
use crate::sides::Sides;

impl<O> Sides<Edge, O> {
    /// The next connection with something to send.
    #[inline]
    pub(crate) fn next_dirty(&mut self) -> Option<ConnId> {
        loop {
            let conn = self.edges.here.sessions.dirty.pop_front()?;
            let high_water = self.cx.options.limits.outbox_high_water_bytes;
            if let Some(session) = self.edges.here.sessions.get_mut(conn) {
                session.dirty = false;
                // Deliveries alone may fill it: a client that only listens asks nothing by which it would be noticed.
                if session.backlog() > high_water {
                    self.watch_full(conn);
                }
                return Some(conn);
            }
        }
    }

    /// Looks after a connection whose outbox is long. Rare: kept apart, so that the way of all others is short.
    #[cold]
    #[inline(never)]
    fn watch_full(&mut self, conn: ConnId) {
        self.watch(conn);
    }

    /// Connections to close, and why.
    pub(crate) fn take_closes(&mut self) -> Vec<(ConnId, Reason)> {
        let over = self.edges.here.sessions.is_overburdened();
        // One that only listens is watched from here on too, not just one whose requests are held back.
        while let Some(conn) = self.edges.here.sessions.burden.filling.pop() {
            self.watch(conn);
        }
        if over {
            self.edges.here.sessions.relieve(&mut self.cx.outputs, Burden::held);
        }
        let closes = std::mem::take(&mut self.edges.here.sessions.closes);
        for &(conn, _) in &closes {
            self.watch(conn);
        }
        closes
    }
}

impl Edge {
    /// Whether any connection has something to send.
    #[inline]
    pub(crate) fn is_dirty(&self) -> bool {
        !self.sessions.dirty.is_empty()
    }

    /// Exchanges a connection's outbox for an empty one.
    #[inline]
    pub(crate) fn take_output(&mut self, conn: ConnId, empty: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.unsent += session.outbox.len();
            std::mem::swap(&mut session.outbox, empty);
        }
    }

    /// Gives the memory of an outbox that was sent back to those that begin to fill.
    pub(crate) fn reuse(&mut self, sent: Outbox) {
        self.sessions.spare.put(sent.bytes);
    }

    /// Gives up the memory that is kept for outboxes that begin to fill.
    pub(crate) fn forget_spare(&mut self) {
        self.sessions.spare = Spare::default();
    }

    /// Whether there is something to be done about connections that are to be closed, or that fill.
    pub(crate) fn has_closes(&self) -> bool {
        !self.sessions.closes.is_empty() || !self.sessions.burden.filling.is_empty() || self.sessions.is_overburdened()
    }

    /// Whether any connection is to be read again, or waits for that.
    pub(crate) fn has_resumed(&self) -> bool {
        !self.held_back.is_empty() || !self.sessions.resumed.is_empty()
    }

    /// Connections that are to be read again.
    pub(crate) fn resumed(&mut self) -> &mut Vec<ConnId> {
        &mut self.sessions.resumed
    }

    /// Whether the host has something to drain.
    pub(crate) fn has_output(&self, cx: &Context) -> bool {
        self.is_dirty()
            || self.has_closes()
            || !self.sessions.resumed.is_empty()
            || self.held_back.iter().any(|&(peer, _)| !cx.is_held_back_by(peer))
    }

    /// Bytes that connections make this shard hold.
    pub(crate) fn held_bytes(&self) -> usize {
        self.sessions.burden.held()
    }

    /// The user a connection is logged in as.
    pub(crate) fn user(&self, conn: ConnId) -> Option<&str> {
        self.sessions.get(conn).and_then(Session::user)
    }

    /// What is held here.
    pub(crate) fn count(&self, census: &mut Census) {
        let ids = self.sessions.ids();
        let sessions = || ids.iter().filter_map(|&conn| self.sessions.get(conn));
        census.connections = self.sessions.len();
        census.edge_names = self.subscribers.name_count();
        census.edge_members = self.subscribers.member_count();
        census.bulk_requests = self.bulk_requests.len();
        census.everyone += self.watchers.len();
        census.outbox_bytes = sessions().map(Session::backlog).sum();
        census.held_bytes = self.held_bytes();
        census.asked_of_nodes = self.far.as_ref().map_or(0, |far| far.asked_count());
        census.held_requests = self.far.as_ref().map_or(0, |far| far.held_count());
        census.held_back = self.held_back.len();
        census.withheld = sessions().filter_map(|session| session.withheld.as_ref()).map(|it| it.len()).sum();
    }
}
