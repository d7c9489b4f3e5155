//! Connections of clients that may be connected once: what their edge tells the owner of the client's name, and does when
//! another took it over. `owner/takeover.rs` is the other half.

use crate::ident::{ConnId, Nanos};
use crate::output::Reason;
use crate::packet::{Identity, Lane, Packet};
use crate::shard::Shard;
use crate::view::hash_name;
use std::sync::Arc;

impl Shard {
    /// A connection logged in, or is gone.
    pub(crate) fn hold_client_id(&mut self, conn: ConnId, identity: &Arc<Identity>, on: bool) {
        let Some(key) = identity.client_key() else { return };
        let owner = self.owner_of(hash_name(&self.hasher, &key));
        // Nodes have but that in common.
        let at = Nanos(self.delivery.outputs.now.0.saturating_add(self.options.unix_ns));
        if owner == self.core {
            self.borne(conn, at, key, on);
        } else {
            self.delivery.outputs.post(
                owner,
                Lane::Requests,
                Packet::HoldClientId { conn, at, identity: Arc::clone(identity), on },
            );
        }
    }

    /// Another connection bears its name now.
    pub(crate) fn taken_over(&mut self, conn: ConnId) {
        self.delivery.close(conn, Reason::TakenOver);
    }
}
