//! The edge: where connections are. What they say is checked here and goes to the owners of its names; what owners say is put
//! into their outboxes.
//!
//! *Owns* this core's sessions, what they subscribe to, and their messages that are not answered yet.
//! *Promises* that what a connection says of one name reaches the name's owner in the order it was said.
//! *Does not* know what a name holds: that is its owner's, to whom it speaks by [`ToOwner`](crate::sides::ToOwner) or by packets.

mod begin;
mod bulk;
mod door;
mod drain;
mod far;
mod flow;
mod listen;
mod member;
mod presence;
mod route;
mod session;
mod subscribers;
mod takeover;
mod withheld;

use crate::context::Options;
use crate::context::hasher;
use crate::ident::{ConnId, Place};
use crate::view::Row;
use bulk::BulkRequests;
use far::Far;
use presence::Watchers;
use session::table::Sessions;
use subscribers::Subscribers;

/// What an edge keeps.
pub(crate) struct Edge {
    sessions: Sessions,
    /// Which of them hear which name.
    subscribers: Subscribers,
    bulk_requests: BulkRequests,
    watchers: Watchers,
    /// Connections whose socket rests because a peer's lane is long.
    held_back: Vec<(Place, ConnId)>,
    /// Counts bulk messages that are answered name by name.
    message: u32,
    /// In a cluster: what is asked of other nodes, and of names whose owner changes.
    far: Option<Box<Far>>,
}

impl Edge {
    pub(crate) fn new(core: Place, places: Row, options: &Options) -> Self {
        let hasher = hasher(options);
        Self {
            sessions: Sessions::new(core, options.limits.clone()),
            far: Far::of(&places, hasher.clone()),
            subscribers: Subscribers::new(places, hasher.clone()),
            bulk_requests: BulkRequests::default(),
            watchers: Watchers::new(hasher),
            held_back: Vec::new(),
            message: 0,
        }
    }

    /// Makes room for so many connections without moving any.
    pub(crate) fn reserve(&mut self, connections: usize) {
        self.sessions.reserve(connections);
    }
}
