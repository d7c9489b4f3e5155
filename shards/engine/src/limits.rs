//! Every bound of the engine: its unit in its name, its fate beside it.

/// What one shard may hold and what one client may ask of it. The configuration's `limits` section has one key each.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections per shard. One more is closed right after it was accepted, and counted.
    pub connections_max: usize,
    /// Bytes of the data of one login. More: INVALID_MESSAGE_DATA, and the connection is closed.
    pub auth_data_bytes_max: usize,
    /// Names in one bulk message. More: INVALID_MESSAGE_DATA, nothing of the message is done.
    pub names_per_message_max: usize,
    /// Bytes of a name. Longer: INVALID_MESSAGE_DATA, and for a user id AUTH_UNSUCCESSFUL.
    pub name_bytes_max: usize,
    /// Subscriptions of one connection, all topics, and, counted by each shard, names that it provides. More:
    /// INVALID_MESSAGE_DATA for the name.
    pub subscriptions_per_connection_max: usize,
    /// Patterns one connection listens to. More: INVALID_MESSAGE_DATA for the pattern.
    pub listen_patterns_per_connection_max: usize,
    /// Bytes of a listen pattern. Longer: INVALID_MESSAGE_DATA.
    pub listen_pattern_bytes_max: usize,
    /// Steps that matching one name against one pattern may take. More: the pattern matches nothing from then on, which is
    /// noted.
    pub listen_steps_max: usize,
    /// Unsent bytes of one connection above which its own requests are no longer read.
    pub outbox_high_water_bytes: usize,
    /// Unsent bytes of one connection above which it is closed as a slow consumer, unless a single frame took it there. Answers
    /// to its own readings wait with their owners before it comes to that.
    pub outbox_bytes_max: usize,
    /// Bytes that all connections of a shard make it hold: unsent ones, and those of messages that have not come whole. Above
    /// half of it who has much unsent is read no more; above it the heaviest connections are dropped.
    pub outbox_bytes_total_max: usize,
    /// Time within which a sixteenth of the high-water mark must be taken of an outbox over it. Less: the connection is
    /// closed as a slow consumer.
    pub slow_consumer_timeout_ns: u64,
    /// Frames of at least this size are held by reference in an outbox instead of being copied.
    pub copy_bytes_max: usize,
    /// Messages parked on one shard while something is loaded or removed. One more is answered as a load that timed
    /// out.
    pub parked_messages_max: usize,
    /// Bytes of parked messages on one shard; the fate is that of `parked_messages_max`.
    pub parked_bytes_max: usize,
    /// How far beyond the end of an array a path's index may point. Further: INVALID_MESSAGE_DATA.
    pub array_index_gap_max: usize,
    /// Containers nested in each other in one value: of an event, a record, a call, a login. More: INVALID_MESSAGE_DATA, for a
    /// caller REQUEST_ERROR, with that in words.
    pub nesting_max: usize,
    /// Bytes of one record's value. More: INVALID_MESSAGE_DATA for the write.
    pub record_bytes_max: usize,
    /// Bytes of resident record values per shard above which cold, stored values are dropped from memory.
    pub record_memory_bytes_max: usize,
    /// Bytes of values written but not yet stored, per shard. More: RECORD_UPDATE_ERROR for the write.
    pub dirty_bytes_max: usize,
    /// Bytes of names and values handed to storage in one batch, unless a single record is larger.
    pub store_batch_bytes_max: usize,
    /// Calls under way of one shard's names. One more is answered as one that no provider accepted in time.
    pub calls_max: usize,
    /// Bytes of the arguments of those; the fate is that of `calls_max`.
    pub call_bytes_max: usize,
    /// Packets waiting for one peer above which connections that send to it are no longer read.
    pub backlog_packets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1 << 20,
            auth_data_bytes_max: 64 << 10,
            names_per_message_max: 10_000,
            name_bytes_max: 2048,
            subscriptions_per_connection_max: 100_000,
            listen_patterns_per_connection_max: 10_000,
            listen_pattern_bytes_max: 1024,
            listen_steps_max: 1_000_000,
            outbox_high_water_bytes: 1 << 20,
            outbox_bytes_max: 16 << 20,
            outbox_bytes_total_max: 256 << 20,
            slow_consumer_timeout_ns: 30_000_000_000,
            copy_bytes_max: 2 << 10,
            parked_messages_max: 100_000,
            parked_bytes_max: 64 << 20,
            array_index_gap_max: 10_000,
            nesting_max: deepstream_json::JSON_DEPTH_MAX,
            record_bytes_max: 16 << 20,
            record_memory_bytes_max: 1 << 30,
            dirty_bytes_max: 256 << 20,
            store_batch_bytes_max: 4 << 20,
            calls_max: 1 << 20,
            call_bytes_max: 256 << 20,
            backlog_packets_max: 4096,
        }
    }
}
