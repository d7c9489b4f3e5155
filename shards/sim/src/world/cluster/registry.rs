//! The registry: leases by its own clock, and one charter.

use bytes::Bytes;
use deepstream_cluster::{Answer, Ask, Card, Charter, Revision};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By name, with the moment at which each is over.
    leases: BTreeMap<Box<str>, (Card, u64)>,
    charter: Option<(Revision, Bytes)>,
}

impl Registry {
    pub(super) fn charter(&self) -> Option<Charter> {
        self.charter.as_ref().and_then(|(_, bytes)| Charter::read(bytes))
    }

    /// Carries out what is asked; a claim is no matter of the registry.
    pub(super) fn carry_out(&mut self, real: u64, ask: &Ask) -> Option<Answer> {
        match ask {
            Ask::Renew { card, ttl_ns, fresh, .. } => Some(self.renew(real, card, *ttl_ns, *fresh)),
            Ask::Swap { over, charter, .. } => {
                let revision = self.charter.as_ref().map(|(revision, _)| *revision);
                if revision != *over {
                    return Some(Answer::Conflict);
                }
                let next = revision.unwrap_or_default() + 1;
                self.charter = Some((next, charter.clone()));
                Some(Answer::Swapped(next))
            }
            Ask::Release { incarnation, grant } => {
                self.leases.retain(|_, (card, _)| (card.incarnation, card.grant) != (*incarnation, *grant));
                None
            }
            Ask::Claim { .. } => None,
        }
    }

    fn renew(&mut self, real: u64, card: &Card, ttl_ns: u64, fresh: bool) -> Answer {
        self.leases.retain(|_, (_, until)| *until > real);
        match self.leases.get(&card.name) {
            Some((held, _)) if held.incarnation != card.incarnation => return Answer::NameTaken,
            Some((held, _)) if held.grant > card.grant || held.grant < card.grant && !fresh => return Answer::Lapsed,
            None if !fresh => return Answer::Lapsed,
            _ => {}
        }
        self.leases.insert(card.name.clone(), (card.clone(), real + ttl_ns));
        let live = self.leases.values().map(|(card, _)| card.clone()).collect();
        let (revision, charter) = self.charter.clone().unzip();
        Answer::Seen { revision, charter, live }
    }
}
