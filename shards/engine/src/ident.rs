//! Small names for things: cores, connections, tickets, moments.

use ahash::RandomState;

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

    /// As a number all of whose bits hang on all of it, as if drawn by chance.
    pub(crate) fn mixed(self) -> u64 {
        mixed(u64::from(self.core.0) << 48 | u64::from(self.generation) << 32 | u64::from(self.slot))
    }

    /// The connection with this number.
    #[allow(clippy::cast_possible_truncation, reason = "the parts of the number")]
    pub(crate) fn of_mixed(number: u64) -> Self {
        let plain = unmixed(number);
        Self { core: CoreId((plain >> 48) as u16), generation: (plain >> 32) as u16, slot: plain as u32 }
    }
}

/// Hashes names; the same seeds on every core of a process.
pub(crate) fn hash_name(hasher: &RandomState, name: &[u8]) -> u64 {
    hasher.hash_one(name)
}

/// Spreads a number over all of its bits (the finalizer of splitmix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The number that was spread.
fn unmixed(number: u64) -> u64 {
    let number = (number ^ (number >> 31) ^ (number >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    let number = (number ^ (number >> 27) ^ (number >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    number ^ (number >> 30) ^ (number >> 60)
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
