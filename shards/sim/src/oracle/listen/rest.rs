//! What must be true of listening once nothing is under way.

use super::wanted::Told;
use super::{Bond, Listener, Place, Turned};
use crate::oracle::Oracle;
use crate::oracle::permit::Grant;
use crate::oracle::record::text;
use crate::workload::listen::{matches, willing, words};

impl Oracle {
    /// Checks at rest: every wanted name has a provider if any listener would provide it, and everybody knows about it.
    pub(in crate::oracle) fn listening_at_rest(&mut self) {
        let wrong = self.turns_at_rest().or_else(|| self.listeners_at_rest()).or_else(|| self.told_at_rest());
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }

    /// Listeners of connections that are told what they should be.
    fn sound_listeners(&self) -> impl Iterator<Item = (usize, bool, &[u8], &Listener)> + '_ {
        let listeners = self.listening.listeners.iter();
        let ours = listeners.map(|((conn, records, pattern), listener)| (*conn, *records, &**pattern, listener));
        ours.filter(|(conn, .., listener)| self.sound(*conn) && listener.is_clear())
    }

    /// Whether another connection than this one wants a name. What it wants itself is for others to provide.
    fn is_wanted_of(&self, conn: usize, place: &Place) -> bool {
        self.listening.wanted.sure(place).any(|(other, _)| other != conn && self.sound(other))
    }

    /// Whether another connection than this one may be subscribed.
    fn may_be_wanted_of(&self, conn: usize, place: &Place) -> bool {
        if place.0 {
            self.listening.wanted.told.keys().any(|(other, name)| *other != conn && *name == place.1)
        } else {
            self.has_event_subscribers_but(conn, &place.1)
        }
    }

    /// Whether a listener may be told of a name under the newest rules, whatever records say.
    fn may_be_told_of(&self, conn: usize, place: &Place) -> bool {
        let rules = self.newest_rules();
        !self.permit.ruled() || self.stands(conn, words(place.0).listen, Some(&place.1), rules).always()
    }

    /// Names that a listener was told of and is asked for, or provides.
    pub(in crate::oracle) fn granted_assignments(&self, grant: &mut Vec<Grant>) {
        for (place, turned) in &self.listening.turns {
            grant.push((turned.conn, words(place.0).listen, Some(place.1.clone())));
        }
    }

    fn turns_at_rest(&self) -> Option<String> {
        for (place, turned) in &self.listening.turns {
            let name = text(&place.1);
            if !turned.provides {
                return Some(format!("{turned:?} is still asked for {name}"));
            }
            if !self.may_be_wanted_of(turned.conn, place) {
                return Some(format!("{turned:?} provides {name}, which nobody else wants"));
            }
            let key = (turned.conn, place.0, turned.pattern.clone());
            if !self.listening.listeners.get(&key).is_some_and(|listener| listener.on) {
                return Some(format!("{turned:?} provides {name} and does not listen"));
            }
        }
        None
    }

    fn listeners_at_rest(&self) -> Option<String> {
        for (conn, records, pattern, listener) in self.sound_listeners() {
            for (name, bond) in &listener.bonds {
                let place = (records, name.clone());
                if let Some(wrong) = self.bond_at_rest(conn, pattern, &place, bond) {
                    return Some(format!("conn {conn} by {} of {}: {wrong}: {bond:?}", text(pattern), text(name)));
                }
            }
            let places = self.listening.wanted.places();
            let unserved = places.filter(|place| place.0 == records && matches(pattern, &place.1) == Some(true));
            let meant = |place: &&Place| {
                let turns = &self.listening.turns;
                !turns.contains_key(place) && self.is_wanted_of(conn, place) && self.may_be_told_of(conn, place)
            };
            for place in unserved.filter(meant) {
                let asked = listener.bonds.get(&place.1).is_some_and(|bond| bond.found > 0);
                if !asked {
                    return Some(format!("conn {conn} by {} was never asked for {}", text(pattern), text(&place.1)));
                }
                if self.listening.rematches && willing(conn, &place.1) {
                    return Some(format!("conn {conn} would provide {}, and nobody does", text(&place.1)));
                }
            }
        }
        None
    }

    fn bond_at_rest(&self, conn: usize, pattern: &[u8], place: &Place, bond: &Bond) -> Option<&'static str> {
        let turned = self.listening.turns.get(place);
        let provides = turned.is_some_and(|Turned { conn: other, pattern: by, .. }| *other == conn && **by == *pattern);
        if bond.found != bond.asked {
            return Some("was not told what it was asked");
        }
        if bond.blurred {
            return None;
        }
        let since =
            |(subscriber, since): (usize, u64)| subscriber != conn && self.sound(subscriber) && since <= bond.asked_at;
        // New rules take a question back without a word.
        let may_end = self.ends_by_rules(conn, words(place.0).listen, &place.1);
        // An acceptance that comes too late for one question answers the next, if that was put by then.
        if bond.open && !provides && !may_end && self.listening.wanted.sure(place).any(since) {
            return Some("was asked, and never told that it is too late");
        }
        match (bond.believes, provides) {
            (true, false) => Some("believes that it provides, and does not"),
            (false, true) => Some("provides, and does not know"),
            _ => None,
        }
    }

    fn told_at_rest(&self) -> Option<String> {
        for ((conn, name), told) in self.listening.wanted.told.iter().filter(|((conn, _), _)| self.sound(*conn)) {
            let place = (true, name.clone());
            let sure = self.listening.wanted.sure(&place).any(|(other, _)| other == *conn);
            let provided = self.listening.turns.contains_key(&place);
            let wrong = match told {
                Told::Yes => !provided,
                Told::No => provided,
                Told::Unknown => false,
            };
            if sure && wrong {
                return Some(format!("conn {conn} believes of {} {told:?}, and provided is {provided}", text(name)));
            }
        }
        None
    }
}
