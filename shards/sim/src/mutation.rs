//! Planted bugs: ways in which a world can misbehave on purpose, to prove that the oracles find them.
//!
//! They are in the world, never in the engine: a packet lost between cores looks to the oracles like one that the
//! engine never sent.

use crate::plan::Plan;
use crate::rng::Rng;
use crate::rules::Rules;
use deepstream_engine::{Options, Packet, Stored, Visibility};
use deepstream_valve::Right;
use deepstream_wire::Action;
use deepstream_wire::client::{ServerEvent, ServerReader};

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
    /// Storage acknowledges a batch but loses one record of it.
    ForgetStored,
    /// Storage gives an older version of a record than it was given.
    AgeLoaded,
    /// Now and then a request for a call does not arrive at its owner.
    LoseCall,
    /// Now and then a request for a call, or a provider's answer, arrives twice.
    RepeatCall,
    /// Now and then a provider's answer arrives as if another connection had said it.
    StealAnswer,
    /// Calls may take three times as long as they should.
    SlowCalls,
    /// Now and then a farewell (that a connection is gone) does not arrive.
    LoseFarewell,
    /// Now and then a notice that a user came or went does not arrive.
    LosePresence,
    /// Now and then a subscription to the presence of all users does not arrive.
    LoseEveryone,
    /// Now and then a listener is not told that it is asked.
    LoseFound,
    /// Now and then a listener is not told to stop.
    LoseRemoved,
    /// Now and then a listener's acceptance does not arrive.
    LoseAccept,
    /// Now and then a listener's acceptance arrives as if from another connection.
    StealAccept,
    /// Names without provider are never tried again.
    NeverRematch,
    /// Listeners are told of all names that their patterns match, whatever the rules say of those.
    TellNames,
    /// Now and then an unsubscription is attributed to another subscriber.
    StealLeave,
    /// One core never hears of new rules.
    LoseRules,
    /// Now and then a message is judged by other rules than those in force where it came in.
    MixRules,
    /// One right is everybody's, whatever the rules say.
    LoosenRules,
    /// One right is nobody's, whatever the rules say.
    TightenRules,
    /// Now and then a core takes a connection for another user's.
    StealIdentity,
    /// Now and then a denial does not arrive.
    LoseDenial,
    /// Now and then a denial arrives twice.
    RepeatDenial,
    /// Now and then a connection is not told that another one took over its client id.
    LoseTakeOver,
    /// The answer to a conflict contains the record even if its receiver may not read it.
    TellConflict,
    /// Now and then the notice that an answer waits for room does not arrive.
    LoseWithheld,
    /// A core adopts a view with another seed.
    AdoptSeed,
    /// Changes are seen before they are stored, whatever was asked for.
    PublishEarly,
    /// Now and then a link between two nodes loses a bundle.
    LoseBundle,
    /// Now and then a link between two nodes gives a bundle twice.
    RepeatBundle,
    /// Now and then a link between two nodes gives two bundles in another order.
    SwapBundles,
    /// Storage does not know of a claim under which it is given a record.
    ForgetClaim,
    /// Where there is little room, the answer to a conflict has the version that the write would have followed.
    AgeConflict,
}

/// What a mutation does to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tampering {
    Keep,
    Lose,
    Repeat,
    /// Goes behind the next one.
    Swap,
    /// Comes from somebody else.
    Forge,
}

impl Mutation {
    /// All planted bugs.
    pub const ALL: [Self; 38] = [
        Self::LoseFanOut,
        Self::RepeatFanOut,
        Self::SwapDeliveries,
        Self::LoseReply,
        Self::LoseLeave,
        Self::ForgetStored,
        Self::AgeLoaded,
        Self::LoseCall,
        Self::RepeatCall,
        Self::StealAnswer,
        Self::SlowCalls,
        Self::LoseFarewell,
        Self::LosePresence,
        Self::LoseEveryone,
        Self::LoseFound,
        Self::LoseRemoved,
        Self::LoseAccept,
        Self::StealAccept,
        Self::NeverRematch,
        Self::TellNames,
        Self::StealLeave,
        Self::LoseRules,
        Self::MixRules,
        Self::LoosenRules,
        Self::TightenRules,
        Self::StealIdentity,
        Self::LoseDenial,
        Self::RepeatDenial,
        Self::LoseTakeOver,
        Self::TellConflict,
        Self::LoseWithheld,
        Self::AgeConflict,
        Self::AdoptSeed,
        Self::PublishEarly,
        Self::LoseBundle,
        Self::RepeatBundle,
        Self::SwapBundles,
        Self::ForgetClaim,
    ];

    /// Decides what happens to a packet that is about to be delivered.
    pub(crate) fn tamper(self, rng: &mut Rng, packet: &Packet) -> Tampering {
        let action = if let Packet::Request(forwarded) = packet { Some(forwarded.head.action) } else { None };
        let tampering = match (self, packet) {
            (Self::LoseCall, _) if action == Some(Action::RpcRequest) => Tampering::Lose,
            (Self::RepeatCall, _) if matches!(action, Some(Action::RpcRequest | Action::RpcResponse)) => {
                Tampering::Repeat
            }
            (Self::LoseAccept, _) if is_accept(action) => Tampering::Lose,
            (Self::StealAccept, _) if is_accept(action) => Tampering::Forge,
            (Self::LoseFound, Packet::Reply(_, frame))
                if tells(frame, &[Action::EventPatternFound, Action::RecordPatternFound]) =>
            {
                Tampering::Lose
            }
            (Self::LoseRemoved, Packet::Reply(_, frame))
                if tells(frame, &[Action::EventPatternRemoved, Action::RecordPatternRemoved]) =>
            {
                Tampering::Lose
            }
            (Self::LoseRules, Packet::Rules(_)) => return Tampering::Lose,
            (Self::MixRules, Packet::Request(forwarded)) if forwarded.reply_to.rules > 0 => Tampering::Forge,
            (Self::StealIdentity, Packet::Introduce(..)) | (Self::StealLeave, Packet::Leave { .. }) => Tampering::Forge,
            (Self::LoseDenial, Packet::Reply(_, frame)) if tells(frame, &DENIALS) => Tampering::Lose,
            (Self::RepeatDenial, Packet::Reply(_, frame)) if tells(frame, &DENIALS) => Tampering::Repeat,
            (Self::StealAnswer, _) if action == Some(Action::RpcResponse) => Tampering::Forge,
            (Self::LoseFanOut, Packet::FanOut { .. } | Packet::Announced { .. })
            | (Self::LoseReply, Packet::Reply(..))
            | (Self::LoseLeave, Packet::Leave { .. })
            | (Self::LoseFarewell, Packet::Farewell(..))
            | (Self::LosePresence, Packet::Presence { .. })
            | (Self::LoseTakeOver, Packet::TakenOver(_))
            | (Self::LoseWithheld, Packet::Withheld(_))
            | (Self::LoseEveryone, Packet::Everyone { on: true, .. }) => Tampering::Lose,
            (Self::TellConflict | Self::AgeConflict, Packet::Reply(_, frame))
                if tells(frame, &[Action::RecordVersionExists]) =>
            {
                return Tampering::Forge;
            }
            (Self::RepeatFanOut, Packet::FanOut { .. }) => Tampering::Repeat,
            (Self::SwapDeliveries, Packet::FanOut { .. } | Packet::Reply(..) | Packet::Joined { .. }) => {
                Tampering::Swap
            }
            _ => return Tampering::Keep,
        };
        if rng.chance(10) { tampering } else { Tampering::Keep }
    }

    /// The options that shards are given which begin under these rules.
    pub(crate) fn misled(self, plan: &Plan, generation: u32) -> Options {
        let mut options = plan.options.clone();
        if let Some(rules) = plan.rules.get(generation as usize) {
            options.permissions = self.bend(rules).permissions(generation, plan.sweep_ns);
        }
        if self == Self::SlowCalls {
            options.rpc_ack_timeout_ns *= 3;
            options.rpc_response_timeout_ns *= 3;
        }
        if self == Self::PublishEarly {
            options.visibility = Visibility::Accepted;
        }
        if self == Self::NeverRematch {
            options.listen_rematch_ns = None;
        }
        options
    }

    /// The rules that shards are given for these.
    pub(crate) fn bend(self, rules: &Rules) -> Rules {
        match self {
            Self::LoosenRules => rules.bent(Right::EventPublish, true),
            Self::TellNames => rules.telling_names(),
            Self::TightenRules => rules.bent(Right::RecordRead, false),
            _ => rules.clone(),
        }
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

/// What is said of what is not allowed.
const DENIALS: [Action; 4] = [Action::EventDenied, Action::RecordDenied, Action::RpcDenied, Action::PresenceDenied];

fn is_accept(action: Option<Action>) -> bool {
    matches!(action, Some(Action::EventListenAccept | Action::RecordListenAccept))
}

/// Whether a frame for a connection says one of these things.
fn tells(frame: &[u8], actions: &[Action]) -> bool {
    let mut told = false;
    ServerReader::upgraded().received(frame, &mut |event| {
        told |= matches!(event, ServerEvent::Message(message) if actions.contains(&message.head.action));
    });
    told
}
