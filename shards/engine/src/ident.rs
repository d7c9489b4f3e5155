//! Small names for things: cores, connections, tickets, moments.

use std::fmt;

/// A node of a cluster; a server alone is node 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u8);

/// A core of a node, and the shard it hosts: who owns a name, and who hears it. Two bytes, so that an address is as small as
/// within one node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(pub(crate) u16);

impl Place {
    const CORE_BITS: u32 = 10;
    /// Cores of one node: they are numbered from 0.
    pub const CORES_MAX: u16 = 1 << Self::CORE_BITS;
    /// Nodes of one cluster: they are numbered from 0, and the number after the last is nobody's.
    pub const NODES_MAX: u8 = (u16::MAX >> Self::CORE_BITS) as u8;

    /// A core of a node.
    pub const fn of(node: NodeId, core: u16) -> Self {
        debug_assert!(node.0 < Self::NODES_MAX && core < Self::CORES_MAX, "there are so many");
        Self((node.0 as u16) << Self::CORE_BITS | core)
    }

    /// A core of a server alone.
    pub const fn alone(core: u16) -> Self {
        Self::of(NodeId(0), core)
    }

    /// Its node.
    pub const fn node(self) -> NodeId {
        NodeId((self.0 >> Self::CORE_BITS) as u8)
    }

    /// Which of the node's cores.
    pub const fn core(self) -> u16 {
        self.0 & (Self::CORES_MAX - 1)
    }

    /// A value no place has.
    pub(crate) const NOBODY: Self = Self(u16::MAX);

    /// As an index into tables of one node's cores.
    pub fn index(self) -> usize {
        self.core().into()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node().0, self.core())
    }
}

/// A connection, anywhere in a cluster. A stale one is harmless: its generation no longer matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// The core that holds the socket.
    pub core: Place,
    /// Counts the uses of the slot, wrapping.
    pub generation: u16,
    /// Index in that core's connection table; the host keys its sockets by it too.
    pub slot: u32,
}

const _: () = assert!(size_of::<ConnId>() == 8, "addresses are in every packet and table");

impl ConnId {
    /// A value no connection has; stands for "nobody" in packets.
    pub const NOBODY: Self = Self { core: Place::NOBODY, generation: u16::MAX, slot: u32::MAX };

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
        Self { core: Place((plain >> 48) as u16), generation: (plain >> 32) as u16, slot: plain as u32 }
    }
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

/// The claim under which a node writes: a slot of names, and the generation with which the node has claimed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence {
    /// The slot.
    pub slot: u16,
    /// Every later owner has a higher one.
    pub generation: u64,
}

/// The number of a [`HostRequest`](crate::output::HostRequest) or store batch; comes back with its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names a call; stale once it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Names one question put to one listener, and what becomes of it; stale once that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttemptId {
    pub(crate) slot: u32,
    pub(crate) attempt: u32,
}

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
