//! Records that a rule need not wait for: this core owns them and has them in memory.
//!
//! *Owns* the look that a rule takes while it is asked. *Promises* that looking changes nothing, and an account of what was
//! seen, by which rounds are charged and caches kept warm. *Does not* load or ask other cores: what is not near is fetched.

use super::state::{FindResident, Found, RecordState};
use crate::context::Context;
use crate::sides::{Sides, ToEdge, ToOwner};
use deepstream_valve::AtHand;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::fmt;

/// A record that a rule looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Here(u32),
    Missing(Box<[u8]>),
}

/// All that one asking looked at, each once.
pub(super) type AllSeen = SmallVec<[Seen; 2]>;

/// This core's records, for the time of one asking.
pub(super) struct LocalRecords<'s, O> {
    cx: &'s Context,
    owner: &'s O,
    seen: RefCell<AllSeen>,
}

impl<'s, O> LocalRecords<'s, O> {
    pub(super) fn of(cx: &'s Context, owner: &'s O) -> Self {
        Self { cx, owner, seen: RefCell::default() }
    }

    pub(super) fn seen(self) -> AllSeen {
        self.seen.into_inner()
    }

    fn saw(&self, what: Seen) {
        let mut seen = self.seen.borrow_mut();
        if !seen.contains(&what) {
            seen.push(what);
        }
    }
}

impl<O> fmt::Debug for LocalRecords<'_, O> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("LocalRecords").field(&self.seen).finish()
    }
}

impl<O: ToOwner> AtHand for LocalRecords<'_, O> {
    fn value(&self, name: &[u8]) -> Option<Option<&[u8]>> {
        let hash = self.cx.hash(name);
        if self.cx.owner_of(hash) != self.cx.core {
            return None;
        }
        match self.owner.find_resident(self.cx, name, hash) {
            FindResident::Here(slot) => {
                self.saw(Seen::Here(slot));
                Some(Some(self.owner.value_of(slot)))
            }
            FindResident::Missing => {
                self.saw(Seen::Missing(name.into()));
                Some(None)
            }
            FindResident::Unknown => None,
        }
    }
}

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// What a rule looked at was used.
    pub(super) fn touch(&mut self, seen: &AllSeen) {
        for seen in seen {
            if let Seen::Here(slot) = *seen {
                self.owner.used(slot);
            }
        }
    }

    /// What a rule looked at before it has to wait is to be the same when it goes on.
    pub(super) fn keep(&self, seen: AllSeen, found: &mut Found) {
        found.records.extend(seen.into_iter().map(|seen| match seen {
            Seen::Here(slot) => (self.owner.name_of(slot).into(), RecordState::Here(slot)),
            Seen::Missing(name) => (name, RecordState::Missing),
        }));
    }
}
