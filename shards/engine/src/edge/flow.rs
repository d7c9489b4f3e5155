//! Whether sockets are read on: backpressure falls on whoever causes it.

use crate::edge::Edge;
use crate::edge::session::table::State;
use crate::ident::{ConnId, Place};
use crate::output::Flow;
use crate::sides::Sides;

impl<O> Sides<Edge, O> {
    /// Whether the connection's socket is to be read on. It rests while its own outbox, or the lane to the owner it just
    /// used, is long: backpressure falls on whoever causes it.
    #[inline]
    pub(crate) fn flow(&mut self, conn: ConnId, owner: Option<Place>) -> Flow {
        let high_water = self.edges.here.sessions.high_water();
        let congested = match owner {
            Some(owner) if owner != self.cx.core => self.is_congested(owner).then_some(owner),
            Some(_) => None,
            None => self.cx.congested_peer(),
        };
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return Flow::Close };
        if let State::Closing = session.state {
            return Flow::Close;
        }
        if session.backlog() > high_water || session.is_behind() {
            session.paused = true;
            self.watch(conn);
            return Flow::Pause;
        }
        if session.is_judged() {
            // Until it is known whether it may do what it just asked for.
            session.paused = true;
            return Flow::Pause;
        }
        if let Some(peer) = congested {
            session.paused = true;
            self.edges.here.held_back.push((peer, conn));
            return Flow::Pause;
        }
        Flow::Continue
    }

    /// Whether whoever adds to what is on its way to an owner should wait. Nobody's place stands for owners to come.
    fn is_congested(&self, owner: Place) -> bool {
        if owner == Place::NOBODY {
            return self.edges.here.far.as_ref().is_some_and(|far| far.is_crowded(&self.cx));
        }
        self.cx.outputs.congested(owner)
    }

    /// Lets a paused connection be read again, unless its login is being judged: that ends with the verdict alone.
    pub(crate) fn resume(&mut self, conn: ConnId) {
        if let Some(session) = self.edges.here.sessions.get_mut(conn)
            && session.paused
            && !session.is_judged()
        {
            session.paused = false;
            // Nothing was read meanwhile: that it was silent is no fault of its own.
            session.heard_at = self.cx.outputs.now;
            self.edges.here.sessions.resumed.push(conn);
        }
    }

    /// Lets those be read again whose peer's lane has drained.
    pub(crate) fn release_held_back(&mut self) {
        let mut held_back = std::mem::take(&mut self.edges.here.held_back);
        held_back.retain(|&(peer, conn)| {
            let long = if peer == Place::NOBODY { self.is_congested(peer) } else { self.cx.is_held_back_by(peer) };
            if !long {
                self.resume(conn);
            }
            long
        });
        self.edges.here.held_back = held_back;
    }

    /// A connection that was paused because of what waits for it is read again once that is little.
    pub(crate) fn read_on(&mut self, conn: ConnId) {
        let low_water = self.edges.here.sessions.high_water() / 2;
        let session = self.edges.here.sessions.get(conn);
        if session.is_some_and(|session| session.paused && session.backlog() <= low_water && !session.is_behind()) {
            self.resume(conn);
        }
    }
}
