//! What a shard holds, counted: for tests, and for whoever watches a running server.

use crate::edge::session::table::Session;
use crate::ident::ConnId;
use crate::shard::Shard;

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
    pub resident_records: usize,
    pub resident_bytes: usize,
    pub outbox_bytes: usize,
    pub packets: usize,
    pub held_back: usize,
    pub withheld: usize,
    pub held_bytes: usize,
}

impl Shard {
    /// What is held now.
    pub fn census(&self) -> Census {
        let ids = self.delivery.sessions.ids();
        let backlog = |&conn: &ConnId| self.delivery.sessions.get(conn).map_or(0, Session::backlog);
        let [patterns, listeners, provided_names, asked_names] = self.listening.counts();
        let [pending_loads, pending_write_acks, dirty_records, resident_records, resident_bytes] =
            self.records.counts();
        Census {
            connections: self.delivery.sessions.len(),
            remote_connections: self.delivery.remote_identities.len(),
            edge_names: self.delivery.subscribers.name_count(),
            edge_members: self.delivery.subscribers.member_count(),
            owned_names: self.names.len(),
            bulk_requests: self.bulk_requests.len(),
            calls: self.calls.len(),
            callers: self.calls.party_count(),
            everyone: self.watchers.len() + self.everyone.len(),
            client_ids: self.client_ids.len(),
            patterns,
            listeners,
            provided_names,
            asked_names,
            listen_work: self.listening.work_len(),
            timers: self.timers.len() - self.permit.idle_timers(),
            rule_lookups: self.permit.rule_lookup_count(),
            outbox_bytes: ids.iter().map(backlog).sum(),
            held_bytes: self.delivery.sessions.burden.held(),
            packets: self.delivery.outputs.packets.iter().flatten().map(Vec::len).sum(),
            held_back: self.held_back.len(),
            withheld: ids
                .iter()
                .filter_map(|&conn| self.delivery.sessions.get(conn)?.withheld.as_ref())
                .map(|it| it.len())
                .sum(),
            parked_messages: self.parking.messages,
            parked_bytes: self.parking.bytes,
            pending_loads,
            pending_write_acks,
            dirty_records,
            resident_records,
            resident_bytes,
        }
    }
}
