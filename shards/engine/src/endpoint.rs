//! What holds for a connection by what it speaks.

use crate::codec::structs;
use deepstream_wire::Wire;

/// The endpoints' settings, by what is spoken there.
#[derive(Clone, Debug, Default)]
pub struct Endpoints([Endpoint; Wire::COUNT]);

structs! { Endpoints { 0: all } }

impl Endpoints {
    /// The settings for a wire. Protobuf's also hold for connections that have not said yet what they speak.
    pub fn of(&self, wire: Wire) -> &Endpoint {
        &self.0[place(wire)]
    }

    /// The settings for a wire, to be changed.
    pub fn of_mut(&mut self, wire: Wire) -> &mut Endpoint {
        &mut self.0[place(wire)]
    }
}

/// What a client knows of its protocol makes no other endpoint of it.
fn place(wire: Wire) -> usize {
    match wire {
        Wire::ProtobufNoMulti => Wire::Protobuf as usize,
        Wire::TextSdk => Wire::Text as usize,
        Wire::Protobuf | Wire::Text | Wire::Json | Wire::Http | Wire::Mqtt => wire as usize,
    }
}

/// What holds for the connections of one endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// A connection that says nothing for twice this long is closed. Where the server leads, it pings this often.
    pub heartbeat_ns: u64,
    /// A connection that has not logged in for this long is closed; `None`: never.
    pub unauthenticated_timeout_ns: Option<u64>,
    /// Refused logins after which a connection is closed.
    pub auth_attempts_max: u32,
    /// Whether the data of refused logins is logged.
    pub log_invalid_auth_data: bool,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            heartbeat_ns: 30_000_000_000,
            unauthenticated_timeout_ns: Some(180_000_000_000),
            auth_attempts_max: 3,
            log_invalid_auth_data: false,
        }
    }
}
