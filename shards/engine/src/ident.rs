//! Small names for things: cores, connections, tickets, moments.

/// A core, and the shard it hosts: 0 .. cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoreId(pub u16);

impl CoreId {
    /// As an index into per-core tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A connection, anywhere in the process. A stale one is harmless: its generation no longer matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// The core that holds the socket.
    pub core: CoreId,
    /// Counts the uses of the slot, wrapping.
    pub generation: u16,
    /// Index in that core's connection table; the host keys its sockets by it too.
    pub slot: u32,
}

impl ConnId {
    /// A value no connection has; stands for "nobody" in packets.
    pub const NOBODY: Self = Self { core: CoreId(u16::MAX), generation: u16::MAX, slot: u32::MAX };

    /// As an index into the owning core's tables.
    pub fn index(self) -> usize {
        self.slot as usize
    }
}

/// The number of an [`Ask`](crate::output::Ask) or store batch; comes back with its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A moment: nanoseconds since a start that the host chose. Time only enters the engine as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// This moment plus `ns` nanoseconds, at most the end of time.
    #[must_use]
    pub fn after(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds since `earlier`; 0 if that is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
