//! Who wants the names that others provide, and what they are told about that.

use super::Place;
use crate::oracle::Oracle;
use crate::oracle::record::text;
use deepstream_wire::{Action, Message};
use std::collections::{BTreeMap, BTreeSet};

/// What a subscriber was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    No,
    Yes,
    /// Its subscription may have ended and begun since.
    Unknown,
}

/// Subscriptions, as far as they matter here.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Those that count at their owner for certain, and since when.
    sure: BTreeMap<(Place, usize), u64>,
    /// What subscribers of records were told.
    pub(super) told: BTreeMap<(usize, Box<[u8]>), Told>,
    /// Who ever asked for a name.
    askers: BTreeMap<Place, BTreeSet<usize>>,
}

impl Wanted {
    pub(super) fn disconnected(&mut self, conn: usize) {
        self.sure.retain(|(_, other), _| *other != conn);
        self.told.retain(|(other, _), _| *other != conn);
    }

    fn asked(&mut self, conn: usize, place: Place) {
        self.askers.entry(place).or_default().insert(conn);
    }

    /// Whether somebody but this connection ever asked for a name.
    pub(super) fn others_asked(&self, conn: usize, place: &Place) -> bool {
        self.askers.get(place).is_some_and(|askers| askers.iter().any(|&other| other != conn))
    }

    /// Names that somebody wants.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> + '_ {
        self.sure.keys().map(|(place, _)| place)
    }

    /// Since when connections are subscribed for certain.
    pub(super) fn sure(&self, place: &Place) -> impl Iterator<Item = (usize, u64)> + '_ {
        let from = (place.clone(), 0)..=(place.clone(), usize::MAX);
        self.sure.range(from).map(|((_, conn), since)| (*conn, *since))
    }
}

impl Oracle {
    /// A subscription has come to count.
    pub(in crate::oracle) fn wants(&mut self, conn: usize, records: bool, name: &[u8]) {
        let moment = self.listening.moment;
        self.listening.wanted.sure.entry(((records, name.into()), conn)).or_insert(moment);
    }

    /// A subscription may count no more.
    pub(in crate::oracle) fn wants_no_more(&mut self, conn: usize, records: bool, name: &[u8]) {
        self.listening.wanted.sure.remove(&((records, name.into()), conn));
    }

    /// A record was deleted: its subscriptions end.
    pub(in crate::oracle) fn nobody_wants(&mut self, name: &[u8]) {
        self.listening.wanted.sure.retain(|((records, other), _), _| !records || **other != *name);
    }

    /// Something else that was heard.
    pub(super) fn wish_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        if message.names().count() > self.limits.names_per_message_max {
            return;
        }
        match message.head.action {
            Action::EventSubscribe => {
                message.names().for_each(|name| self.listening.wanted.asked(conn, (false, name.into())));
            }
            Action::RecordSubscribe
            | Action::RecordSubscribeAndHead
            | Action::RecordSubscribeAndRead
            | Action::RecordSubscribeCreateAndRead => {
                for name in message.names() {
                    self.listening.wanted.asked(conn, (true, name.into()));
                    self.listening.wanted.told.entry((conn, name.into())).or_insert(Told::No);
                }
            }
            Action::RecordUnsubscribe => {
                for name in message.names() {
                    self.listening.wanted.told.remove(&(conn, name.into()));
                }
            }
            Action::RecordDelete => self.unclear(conn, message.name()),
            _ => {}
        }
    }

    /// A subscription is no more.
    pub(in crate::oracle) fn told_no_more(&mut self, conn: usize, name: &[u8]) {
        self.listening.wanted.told.remove(&(conn, name.into()));
    }

    fn unclear(&mut self, conn: usize, name: &[u8]) {
        if let Some(told) = self.listening.wanted.told.get_mut(&(conn, name.into())) {
            *told = Told::Unknown;
        }
    }

    /// Something else that was said; `true` if it is about a provider.
    pub(super) fn wish_said(&mut self, conn: usize, message: &Message<&[u8]>) -> bool {
        let name = message.name();
        match message.head.action {
            Action::RecordDeleted => {
                self.listening.wanted.told.remove(&(conn, name.into()));
                self.wants_no_more(conn, true, name);
            }
            Action::RecordDeleteSuccess
            | Action::RecordDeleteError
            | Action::RecordInvalidMessageData
            | Action::RecordLoadError
            | Action::RecordStorageRetrievalTimeout => self.unclear(conn, name),
            Action::RecordUpdateError
                if deepstream_wire::client::original_action(message) == Some(Action::RecordSubscribeCreateAndRead) =>
            {
                self.unclear(conn, name);
            }
            Action::RecordHasProvider | Action::RecordHasNoProvider => {
                self.provider_said(conn, name, message.head.action == Action::RecordHasProvider);
                return true;
            }
            _ => {}
        }
        false
    }

    fn provider_said(&mut self, conn: usize, name: &[u8], has: bool) {
        let deleting = self.is_deleting(conn, name);
        let Some(told) = self.listening.wanted.told.get_mut(&(conn, name.into())) else {
            return self.fail(format!("conn {conn} is not subscribed to {} and told of its provider", text(name)));
        };
        let now = if has { Told::Yes } else { Told::No };
        let again = *told == now && !deleting;
        *told = if deleting { Told::Unknown } else { now };
        self.check(!again, || format!("conn {conn} is told again of {}: provided {has}", text(name)));
    }
}
