//! What a shard holds, counted: for tests, and for whoever watches a running server.

/// How much of everything a shard holds; all zero but the resident values once the last client left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named after what they count")]
pub struct Census {
    pub connections: usize,
    pub remote_connections: usize,
    pub edge_names: usize,
    pub edge_members: usize,
    pub owned_names: usize,
    pub bulk_requests: usize,
    pub calls: usize,
    pub callers: usize,
    pub everyone: usize,
    pub client_ids: usize,
    pub patterns: usize,
    pub listeners: usize,
    pub provided_names: usize,
    pub asked_names: usize,
    pub listen_work: usize,
    pub timers: usize,
    pub rule_lookups: usize,
    pub parked_messages: usize,
    pub parked_bytes: usize,
    pub pending_loads: usize,
    pub pending_write_acks: usize,
    pub dirty_records: usize,
    pub unstored_answers: usize,
    pub resident_records: usize,
    pub resident_bytes: usize,
    pub outbox_bytes: usize,
    pub packets: usize,
    pub held_back: usize,
    pub withheld: usize,
    pub held_bytes: usize,
    pub asked_of_nodes: usize,
    pub held_requests: usize,
}
