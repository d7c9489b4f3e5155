//! What can be allowed.
//!
//! *Owns* the sections of a permission file and the types of rule in each. *Promises* one row for each. *Does not* know
//! messages: which of them asks for which right is the engine's.

/// A section and a type of rule in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Right {
    /// To bring a record into being.
    RecordCreate,
    /// To read or subscribe to a record.
    RecordRead,
    /// To change a record.
    RecordWrite,
    /// To remove a record, or a part of one.
    RecordDelete,
    /// To listen for subscriptions to records.
    RecordListen,
    /// To tell that records were changed in storage.
    RecordNotify,
    /// To emit an event.
    EventPublish,
    /// To subscribe to an event.
    EventSubscribe,
    /// To listen for subscriptions to events.
    EventListen,
    /// To provide a procedure.
    RpcProvide,
    /// To call a procedure.
    RpcRequest,
    /// To ask who is there.
    PresenceAllow,
}

/// The sections, in upstream's order.
pub(crate) const SECTIONS: [&str; 4] = ["record", "event", "rpc", "presence"];

impl Right {
    /// Whether it is about records.
    pub fn is_about_records(self) -> bool {
        matches!(
            self,
            Self::RecordCreate
                | Self::RecordRead
                | Self::RecordWrite
                | Self::RecordDelete
                | Self::RecordListen
                | Self::RecordNotify
        )
    }

    /// Every right, in order of section and type.
    pub const ALL: [Self; 12] = [
        Self::RecordCreate,
        Self::RecordRead,
        Self::RecordWrite,
        Self::RecordDelete,
        Self::RecordListen,
        Self::RecordNotify,
        Self::EventPublish,
        Self::EventSubscribe,
        Self::EventListen,
        Self::RpcProvide,
        Self::RpcRequest,
        Self::PresenceAllow,
    ];

    /// The section it stands in.
    pub fn section(self) -> &'static str {
        self.row().0
    }

    /// The type of its rules.
    pub fn rule(self) -> &'static str {
        self.row().1
    }

    /// Whether its rules may speak of `data`.
    pub(crate) fn has_data(self) -> bool {
        self.row().2
    }

    /// Whether its rules may speak of `oldData`.
    pub(crate) fn has_old_data(self) -> bool {
        self.row().3
    }

    /// The right of that name.
    pub fn find(section: &str, rule: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.section() == section && right.rule() == rule)
    }

    fn row(self) -> (&'static str, &'static str, bool, bool) {
        match self {
            Self::RecordCreate => ("record", "create", false, false),
            Self::RecordRead => ("record", "read", false, true),
            Self::RecordWrite => ("record", "write", true, true),
            Self::RecordDelete => ("record", "delete", false, true),
            Self::RecordListen => ("record", "listen", false, false),
            Self::RecordNotify => ("record", "notify", false, false),
            Self::EventPublish => ("event", "publish", true, false),
            Self::EventSubscribe => ("event", "subscribe", true, false),
            Self::EventListen => ("event", "listen", false, false),
            Self::RpcProvide => ("rpc", "provide", false, false),
            Self::RpcRequest => ("rpc", "request", true, false),
            Self::PresenceAllow => ("presence", "allow", false, false),
        }
    }
}
