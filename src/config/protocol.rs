//! The protocols of WebSocket endpoints, by the types of their entries in the configuration.

use deepstream_wire::Wire;

/// What is spoken on a WebSocket endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `ws-binary`
    Binary,
    /// `ws-text`
    Text,
    /// `ws-json`
    Json,
}

impl Protocol {
    /// All of them, in the order in which upstream lists them.
    pub const ALL: [Self; 3] = [Self::Binary, Self::Text, Self::Json];

    /// THE TABLE of WebSocket endpoints: type, what the log calls it, what is spoken, where.
    fn row(self) -> (&'static str, &'static str, Wire, &'static str) {
        match self {
            Self::Binary => ("ws-binary", "Binary WebSocket Connection Endpoint", Wire::Protobuf, "/deepstream"),
            Self::Text => ("ws-text", "WS Text Protocol Connection Endpoint", Wire::Text, "/deepstream-v3"),
            Self::Json => ("ws-json", "JSON WebSocket Connection Endpoint", Wire::Json, "/deepstream-json"),
        }
    }

    /// The type of its entry in `connectionEndpoints`.
    pub fn kind(self) -> &'static str {
        self.row().0
    }

    /// What the log calls its endpoint.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// What its connections speak, as far as that is known before they say anything.
    pub fn wire(self) -> Wire {
        self.row().2
    }

    /// Its path, if nothing else is said.
    pub fn path(self) -> &'static str {
        self.row().3
    }
}
