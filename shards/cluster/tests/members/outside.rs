//! What nodes have in common: the registry, the fences of storage, and chance.

use crate::Planted;
use bytes::Bytes;
use deepstream_cluster::{Answer, Ask, Card, Charter, Revision};
use deepstream_engine::View;
use std::collections::BTreeMap;

/// Numbers by chance, the same for the same seed.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn of<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let at = self.below(items.len() as u64) as usize;
        items.get(at)
    }
}

/// The registry keeps leases by its own clock, and one charter.
pub(crate) struct Registry {
    leases: BTreeMap<Box<str>, (Card, u64)>,
    charter: Option<(Revision, Bytes)>,
    /// Those before it.
    before: Vec<(Revision, Bytes)>,
    revisions: u64,
    planted: Planted,
}

impl Registry {
    pub(crate) fn new(planted: Planted) -> Self {
        Self { leases: BTreeMap::new(), charter: None, before: Vec::new(), revisions: 0, planted }
    }

    pub(crate) fn forget(&mut self) {
        self.leases.clear();
        self.charter = None;
        self.before.clear();
    }

    /// Loses the charters that were written last. What was lost has had its revision: another one gets another.
    pub(crate) fn lose(&mut self, charters: usize) {
        for _ in 0..charters {
            self.charter = self.before.pop().or(self.charter.take());
        }
    }

    /// How many charters were ever written.
    pub(crate) fn written(&self) -> usize {
        self.revisions as usize
    }

    pub(crate) fn charter(&self) -> Option<&Bytes> {
        self.charter.as_ref().map(|(_, bytes)| bytes)
    }

    /// Carries out what is asked. `now` is by the registry's clock.
    pub(crate) fn carry_out(&mut self, now: u64, ask: &Ask) -> Option<Answer> {
        match ask {
            Ask::Renew { card, ttl_ns, fresh, .. } => Some(self.renew(now, card, *ttl_ns, *fresh)),
            Ask::Swap { over, charter, .. } => {
                let is_at = self.charter.as_ref().map(|(revision, _)| *revision) == *over;
                if !is_at && self.planted != Planted::SwapWithoutCompare {
                    return Some(Answer::Conflict);
                }
                self.revisions += 1;
                let revision = self.revisions;
                self.before.extend(self.charter.replace((revision, charter.clone())));
                Some(Answer::Swapped(revision))
            }
            Ask::Release { incarnation, grant } => {
                let is_its = |card: &Card| (card.incarnation, card.grant) == (*incarnation, *grant);
                self.leases.retain(|_, (card, _)| !is_its(card));
                None
            }
            Ask::Claim { .. } => None,
        }
    }

    fn renew(&mut self, now: u64, card: &Card, ttl_ns: u64, fresh: bool) -> Answer {
        let prolongs_ended = self.planted == Planted::EndedLeaseProlonged;
        if !prolongs_ended {
            self.leases.retain(|_, (_, until)| *until > now);
        }
        match self.leases.get(&card.name).filter(|(_, until)| *until > now || !fresh) {
            Some((held, _)) if held.incarnation != card.incarnation => return Answer::NameTaken,
            Some((held, _)) if held.grant > card.grant || held.grant < card.grant && !fresh => return Answer::Lapsed,
            None if !fresh => return Answer::Lapsed,
            _ => {}
        }
        self.leases.insert(card.name.clone(), (card.clone(), now + ttl_ns));
        let living = self.leases.values().filter(|(_, until)| *until > now);
        let mut live: Vec<Card> = living.map(|(card, _)| card.clone()).collect();
        if self.planted == Planted::ClaimBesideOwner
            && let Some(charter) = self.charter().and_then(|bytes| Charter::read(bytes))
        {
            let fingerprint = charter.fingerprint();
            for card in &mut live {
                card.yielded = fingerprint;
            }
        }
        let (revision, charter) = self.charter.clone().unzip();
        Answer::Seen { revision, charter, live }
    }
}

/// Storage, as far as slots are claimed there.
pub(crate) struct Fences(Vec<u64>);

impl Fences {
    pub(crate) fn new() -> Self {
        Self(vec![0; View::SLOTS])
    }

    /// Returns the slots that somebody claimed by a later generation.
    pub(crate) fn claim(&mut self, slots: &[u16], generation: u64) -> Vec<u16> {
        let (late, taken): (Vec<u16>, Vec<u16>) =
            slots.iter().partition(|&&slot| self.0[usize::from(slot)] > generation);
        for slot in taken {
            self.0[usize::from(slot)] = generation;
        }
        late
    }
}
