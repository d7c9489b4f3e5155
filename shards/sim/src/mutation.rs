//! Planted bugs: ways in which a world can misbehave on purpose, to prove that somebody would notice.
//!
//! They sit in the world, never in the engine: a packet lost between cores looks like a packet never sent.

use crate::rng::Rng;
use deepstream_engine::{Packet, Stored};

/// A planted bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    /// None: the world is as it should be.
    #[default]
    None,
    /// Now and then a fan-out does not arrive at a core.
    LoseFanOut,
    /// Now and then a fan-out arrives twice.
    RepeatFanOut,
    /// Now and then two neighbours on a lane of deliveries change places.
    SwapDeliveries,
    /// Now and then a reply does not arrive.
    LoseReply,
    /// Now and then a leave does not arrive.
    LoseLeave,
    /// Storage says that a batch is durable, and forgets one record of it.
    ForgetStored,
    /// Storage gives an older version of a record than it was given.
    AgeLoaded,
}

/// What a mutation does to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tampering {
    Keep,
    Lose,
    Repeat,
    /// Goes behind the next one.
    Swap,
}

impl Mutation {
    /// All planted bugs.
    pub const ALL: [Self; 7] = [
        Self::LoseFanOut,
        Self::RepeatFanOut,
        Self::SwapDeliveries,
        Self::LoseReply,
        Self::LoseLeave,
        Self::ForgetStored,
        Self::AgeLoaded,
    ];

    /// What happens to a packet that is about to be delivered.
    pub(crate) fn tamper(self, rng: &mut Rng, packet: &Packet) -> Tampering {
        let tampering = match (self, packet) {
            (Self::LoseFanOut, Packet::FanOut { .. })
            | (Self::LoseReply, Packet::Reply(..))
            | (Self::LoseLeave, Packet::Leave { .. }) => Tampering::Lose,
            (Self::RepeatFanOut, Packet::FanOut { .. }) => Tampering::Repeat,
            (Self::SwapDeliveries, Packet::FanOut { .. } | Packet::Reply(..) | Packet::Joined { .. }) => {
                Tampering::Swap
            }
            _ => return Tampering::Keep,
        };
        if rng.chance(10) { tampering } else { Tampering::Keep }
    }

    /// Whether one record of a batch is forgotten.
    pub(crate) fn forgets(self, rng: &mut Rng) -> bool {
        self == Self::ForgetStored && rng.chance(20)
    }

    /// What storage gives for what it holds.
    pub(crate) fn age(self, rng: &mut Rng, stored: Option<Stored>) -> Option<Stored> {
        match stored {
            Some(stored) if self == Self::AgeLoaded && stored.version > 1 && rng.chance(30) => {
                Some(Stored { version: stored.version - 1, ..stored })
            }
            stored => stored,
        }
    }
}
