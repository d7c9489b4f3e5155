//! What types look like that stand on tapes only. Those with private fields say it where they are; what packets are made of is in
//! `packet/form.rs`.

use crate::codec::{Get, Put, enums, structs};
use crate::context::{Options, Visibility};
use crate::endpoint::Endpoint;
use crate::ident::Ticket;
use crate::limits::Limits;
use crate::output::{Account, Completion, Expiry, Fault, Login, Peer, Refusal, Refused, Stored};
use deepstream_wire::{Message, Unreadable, Word};

structs! {
    Ticket { 0: number }
    Peer { remote: remote, referer: referer, headers: headers, is_secured: is_secured }
    Stored { version: version, value: value }
    Refusal { entry: entry, why: why }
    Account {
        user_id: user_id,
        client_data: client_data,
        token: token,
        server_data: server_data,
        expiry: expiry,
    }
    Expiry { in_ns: in_ns, warning_ns: warning_ns }
    Endpoint {
        heartbeat_ns: heartbeat_ns,
        unauthenticated_timeout_ns: unauthenticated_timeout_ns,
        auth_attempts_max: auth_attempts_max,
        log_invalid_auth_data: log_invalid_auth_data,
    }
    Limits {
        connections_max: connections_max,
        auth_data_bytes_max: auth_data_bytes_max,
        names_per_message_max: names_per_message_max,
        name_bytes_max: name_bytes_max,
        subscriptions_per_connection_max: subscriptions_per_connection_max,
        listen_patterns_per_connection_max: listen_patterns_per_connection_max,
        listen_pattern_bytes_max: listen_pattern_bytes_max,
        listen_steps_max: listen_steps_max,
        outbox_high_water_bytes: outbox_high_water_bytes,
        outbox_bytes_max: outbox_bytes_max,
        outbox_bytes_total_max: outbox_bytes_total_max,
        slow_consumer_timeout_ns: slow_consumer_timeout_ns,
        copy_bytes_max: copy_bytes_max,
        parked_messages_max: parked_messages_max,
        parked_bytes_max: parked_bytes_max,
        array_index_gap_max: array_index_gap_max,
        nesting_max: nesting_max,
        record_bytes_max: record_bytes_max,
        record_memory_bytes_max: record_memory_bytes_max,
        dirty_bytes_max: dirty_bytes_max,
        store_batch_bytes_max: store_batch_bytes_max,
        calls_max: calls_max,
        call_bytes_max: call_bytes_max,
        backlog_packets_max: backlog_packets_max,
    }
    Options {
        seeds: seeds,
        limits: limits,
        events: events,
        records: records,
        rpc: rpc,
        presence: presence,
        rpc_ack_timeout_ns: rpc_ack_timeout_ns,
        rpc_response_timeout_ns: rpc_response_timeout_ns,
        rpc_requestor_name: rpc_requestor_name,
        rpc_requestor_data: rpc_requestor_data,
        listen_shuffle: listen_shuffle,
        listen_response_timeout_ns: listen_response_timeout_ns,
        listen_rematch_ns: listen_rematch_ns,
        listen_cooldown_ns: listen_cooldown_ns,
        endpoints: endpoints,
        storage: storage,
        storage_timeout_ns: storage_timeout_ns,
        storage_exclusion_prefixes: storage_exclusion_prefixes,
        visibility: visibility,
        hot_path_prefixes: hot_path_prefixes,
        verbose: verbose,
        permissions: permissions,
        unix_ns: unix_ns,
        moves_names: moves_names,
    }
}

enums! {
    Visibility {
        0 Accepted {}
        1 Stored {}
    }
    Unreadable {
        0 Malformed {}
        1 Topic { 0: topic }
        2 Action { 0: topic, 1: action }
        3 TopicWord { 0: word }
        4 ActionWord { 0: topic, 1: word }
    }
    Fault {
        0 Timeout {}
        1 Failed { 0: why }
        2 Refused { 0: refused }
        3 Unstorable { 0: why }
    }
    Refused {
        0 Unstorable { 0: why }
        1 Deposed {}
    }
    Login {
        0 Accepted { 0: account }
        1 Refused { client_data: client_data }
        2 Unjudged { client_data: client_data }
        3 Barred { client_data: client_data, retry_s: retry_s }
    }
    Completion {
        0 Loaded { ticket: ticket, result: result }
        1 Stored { ticket: ticket, result: result }
        2 Authenticated { conn: conn, login: login }
    }
}

impl Put for Word {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_str().put(to);
    }
}

impl Get<'_> for Word {
    fn get(from: &mut &[u8]) -> Option<Self> {
        <&str>::get(from).map(Self::new)
    }
}

impl Put for Message<&[u8]> {
    fn put(&self, to: &mut Vec<u8>) {
        (&self.head, self.bytes).put(to);
    }
}

impl<'a> Get<'a> for Message<&'a [u8]> {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        Some(Self { head: Get::get(from)?, bytes: Get::get(from)? })
    }
}
