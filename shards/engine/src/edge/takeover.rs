//! Connections of clients that may be connected once: what their edge tells the owner of the client's name, and does when
//! another took it over. `owner/takeover.rs` is the other half.

use crate::edge::Edge;
use crate::ident::{ConnId, Nanos};
use crate::packet::Identity;
use crate::sides::{Sides, ToOwner};
use std::sync::Arc;

impl<O: ToOwner> Sides<Edge, O> {
    /// A connection logged in, or is gone.
    pub(crate) fn hold_client_id(&mut self, conn: ConnId, identity: &Arc<Identity>, on: bool) {
        let Some(key) = identity.client_key() else { return };
        let owner = self.cx.owner_of(self.cx.hash(&key));
        // Nodes have but that in common.
        let at = Nanos(self.cx.outputs.now.0.saturating_add(self.cx.options.unix_ns));
        self.tell_holder((owner, key), conn, at, identity, on);
    }
}
