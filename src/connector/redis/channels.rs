//! *Owns* where a cluster is in Redis: the key of its registry, and the channels of its nodes. *Promises* that no two clusters share one,
//! and that no record has that key. *Does not* tell apart what has the same prefix and the name of one cluster: channels belong to
//! a server as a whole, whatever the number of the database.
//!
//! The name stands in braces, so that all keys of a cluster are in one slot.

use crate::bus::Address;
use crate::config::Redis as Settings;

/// See the module.
pub(super) struct Channels {
    of_cluster: String,
}

impl Channels {
    pub(super) fn new(settings: &Settings, cluster: &str) -> Self {
        Self { of_cluster: format!("{}deepstream:{{{cluster}}}:", settings.key_prefix) }
    }

    /// The registry. A hash, so that it is never read as a record.
    pub(super) fn registry(&self) -> String {
        format!("{}registry", self.of_cluster)
    }

    /// Where it is told that the registry has changed.
    pub(super) fn changed(&self) -> String {
        format!("{}changed", self.of_cluster)
    }

    /// The inbox of a node's process.
    pub(super) fn inbox(&self, of: Address) -> String {
        format!("{}{}:{:016x}", self.of_cluster, of.node.0, of.incarnation)
    }
}
