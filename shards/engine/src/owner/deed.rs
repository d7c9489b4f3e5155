//! What the owner of a record is asked to do with it.
//!
//! *Owns* the one place where what clients say of records is told apart; whoever does it matches over these, which has no arm
//! for all others, so that a new action is decided about everywhere.

use deepstream_wire::{Action, RecordRequest, Request};

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Read(Reading),
    Write(Writing),
    Head,
    SubscribeAndHead,
    Subscribe,
    Delete,
    Notify,
}

/// What is answered with the value, which may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Plain,
    Subscribe,
    SubscribeCreate,
}

/// What makes a version, or is answered with the value if it conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    Update,
    Patch,
    PatchMulti,
    Erase,
    CreateAndUpdate,
    CreateAndPatch,
}

impl Deed {
    /// `None`: the owner of a record has nothing to do with it, or it says of listening.
    #[inline]
    pub(crate) fn of(action: Action) -> Option<Self> {
        let Request::Record(said) = action.request()? else { return None };
        Self::of_request(said)
    }

    /// The same, of what is known to be about records.
    #[inline]
    pub(crate) fn of_request(said: RecordRequest) -> Option<Self> {
        Some(match said {
            RecordRequest::Read => Self::Read(Reading::Plain),
            RecordRequest::SubscribeAndRead => Self::Read(Reading::Subscribe),
            RecordRequest::SubscribeCreateAndRead => Self::Read(Reading::SubscribeCreate),
            RecordRequest::Update => Self::Write(Writing::Update),
            RecordRequest::Patch => Self::Write(Writing::Patch),
            RecordRequest::PatchMulti => Self::Write(Writing::PatchMulti),
            RecordRequest::Erase => Self::Write(Writing::Erase),
            RecordRequest::CreateAndUpdate => Self::Write(Writing::CreateAndUpdate),
            RecordRequest::CreateAndPatch => Self::Write(Writing::CreateAndPatch),
            RecordRequest::Head => Self::Head,
            RecordRequest::SubscribeAndHead => Self::SubscribeAndHead,
            RecordRequest::Subscribe => Self::Subscribe,
            RecordRequest::Delete => Self::Delete,
            RecordRequest::Notify => Self::Notify,
            RecordRequest::Unsubscribe
            | RecordRequest::Listen
            | RecordRequest::Unlisten
            | RecordRequest::ListenAccept
            | RecordRequest::ListenReject => return None,
        })
    }

    /// Whether it waits until it is known what its record is.
    pub(crate) fn needs_value(self) -> bool {
        match self {
            Self::Read(_) | Self::Write(_) | Self::Head | Self::SubscribeAndHead => true,
            Self::Subscribe | Self::Delete | Self::Notify => false,
        }
    }
}

impl Writing {
    /// Whether it says itself that the record is to be made if there is none.
    pub(crate) fn creates(self) -> bool {
        match self {
            Self::CreateAndUpdate | Self::CreateAndPatch => true,
            Self::Update | Self::Patch | Self::PatchMulti | Self::Erase => false,
        }
    }
}

/// Whether the answer to a message can be withheld.
pub(crate) fn can_be_withheld(action: Action) -> bool {
    matches!(Deed::of(action), Some(Deed::Read(_) | Deed::Write(_)))
}

/// Whether a message writes a record, and is answered with its value if it conflicts.
pub(crate) fn is_write(action: Action) -> bool {
    matches!(Deed::of(action), Some(Deed::Write(_)))
}

/// Whether a message asks for a record's value, which may be large.
pub fn is_reading(action: Action) -> bool {
    matches!(Deed::of(action), Some(Deed::Read(_)))
}
