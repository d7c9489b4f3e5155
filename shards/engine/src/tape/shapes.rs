//! What the engine's and the wire's types look like on a tape. Those with private fields say it where they are.

use super::codec::{Get, Put, enums, structs};
use crate::endpoint::Endpoint;
use crate::ident::{ConnId, CoreId, Nanos, Ticket};
use crate::limits::Limits;
use crate::output::{Account, Expiry, Fault, Login, Outcome, Peer, Refusal, Stored};
use crate::packet::{Identity, Lane, Packet, Parcel, Tag};
use crate::pattern::NamePattern;
use crate::permissions::{Permissions, Shadow};
use crate::shard::Options;
use deepstream_valve::check::{At, Outline, RuleOutline};
use deepstream_valve::{Paths, Ruleset};
use deepstream_wire::{Action, Flags, Head, Message, Span, Topic, Unreadable, Wire, Word};

structs! {
    CoreId { 0: number }
    ConnId { core: core, generation: generation, slot: slot }
    Nanos { 0: ns }
    Ticket { 0: number }
    Tag {
        name_id: name_id,
        attempt: attempt,
        gather: gather,
        gather_generation: gather_generation,
        part: part,
        rules: rules,
    }
    Identity { user: user, wire: wire, client: client, client_data: client_data, server_data: server_data }
    Parcel { conn: conn, tag: tag, head: head, bytes: bytes }
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
    Flags { 0: bits }
    Span { start: start, len: len }
    Head {
        name_hash: name_hash,
        version: version,
        flags: flags,
        action: action,
        name: name,
        data: data,
        correlation_id: correlation_id,
        path: path,
        names: names,
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
        hot_path_prefixes: hot_path_prefixes,
        verbose: verbose,
        permissions: permissions,
        unix_ns: unix_ns,
    }
    Permissions {
        generation: generation,
        ruleset: ruleset,
        shadow: shadow,
        rounds_max: rounds_max,
        sweep_ns: sweep_ns,
        guarded: guarded,
    }
    Shadow { ruleset: ruleset, file: file, live_file: live_file, samples_per_minute_max: samples_per_minute_max }
    At { line: line, column: column }
    Outline { made_of: made_of, paths: paths, rules: rules }
    RuleOutline { section: section, kind: kind, path: path, at: at, text: text }
}

enums! {
    Paths {
        0 Regular {}
        1 Literal {}
    }
    Lane {
        0 Requests {}
        1 Deliveries {}
    }
    Wire {
        0 Protobuf {}
        1 ProtobufNoMulti {}
        2 Text {}
        3 Json {}
        4 Http {}
        5 Mqtt {}
        6 TextSdk {}
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
    Login {
        0 Accepted { 0: account }
        1 Refused { client_data: client_data }
        2 Unjudged { client_data: client_data }
        3 Barred { client_data: client_data, retry_s: retry_s }
    }
    Outcome {
        0 Loaded { ticket: ticket, result: result }
        1 Stored { ticket: ticket, result: result }
        2 Authenticated { conn: conn, login: login }
    }
    Packet {
        0 Request { 0: parcel }
        1 Introduce { 0: conn, 1: identity }
        2 Farewell { 0: conn, 1: oversized }
        3 Leave { conn: conn, slot: slot, epoch: epoch }
        4 Presence { conn: conn, identity: identity, online: online }
        5 Everyone { conn: conn, tag: tag, on: on }
        6 Listen { conn: conn, tag: tag, topic: topic, pattern: pattern, on: on }
        7 Users { conn: conn, tag: tag }
        8 Peek { inquiry: inquiry, place: place, hash: hash, name: name }
        9 Rules { 0: permissions }
        10 Peeked { inquiry: inquiry, place: place, found: found }
        11 Online { tag: tag, users: users }
        12 Reply { 0: conn, 1: bytes }
        13 FanOut { slot: slot, end: end, except: except, frames: frames }
        14 Joined { conn: conn, tag: tag, slot: slot, epoch: epoch, provided: provided }
        15 Settled { conn: conn, tag: tag, refused: refused, version: version }
        16 Bears { conn: conn, at: at, identity: identity, on: on }
        17 TakenOver { 0: conn }
        18 Counted { 0: conn }
        19 Withheld { 0: parcel }
        20 Fetched { 0: conn, 1: number }
        21 Announced { user: user, frames: frames }
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

impl Put for Topic {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(*self as u8);
    }
}

impl Get<'_> for Topic {
    fn get(from: &mut &[u8]) -> Option<Self> {
        Self::from_code(super::codec::byte(from)?.into())
    }
}

impl Put for Action {
    fn put(&self, to: &mut Vec<u8>) {
        self.topic().put(to);
        to.push(self.code());
    }
}

impl Get<'_> for Action {
    fn get(from: &mut &[u8]) -> Option<Self> {
        let topic = Topic::get(from)?;
        Self::from_code(topic, super::codec::byte(from)?.into())
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

impl Put for NamePattern {
    fn put(&self, to: &mut Vec<u8>) {
        self.source().put(to);
    }
}

impl Get<'_> for NamePattern {
    fn get(from: &mut &[u8]) -> Option<Self> {
        Self::compile(Get::get(from)?).ok()
    }
}

impl Put for Ruleset {
    fn put(&self, to: &mut Vec<u8>) {
        self.outline().put(to);
    }
}

impl Get<'_> for Ruleset {
    fn get(from: &mut &[u8]) -> Option<Self> {
        Self::of_outline(Outline::get(from)?).ok()
    }
}
