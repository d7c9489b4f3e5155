//! Slots are claimed in storage before they are served: from then on nobody else's writes are taken there.
//!
//! A claim waits until every other living member has given up what it had to up to this very charter: what it gave up to another one
//! of the same epoch, or a later one, says nothing here. A member that was none yet when the slot came here, and has never had a
//! view, never had it; one that is gone has a lease that is over, and answers nothing. A claim beside a member that still answers
//! from its memory would let two answer at once.

use super::{Ask, ForCore, MS, Node};
use deepstream_engine::{Nanos, Ticket, View};

/// When a claim that was not answered is made again.
const CLAIM_NS: u64 = 2000 * MS;
/// When one that failed is.
const RETRY_NS: u64 = 250 * MS;

struct Claim {
    ticket: Ticket,
    generation: u64,
    slots: Box<[u16]>,
    until: Nanos,
}

/// What was claimed, and what is being claimed.
pub(super) struct Claims {
    /// By slot: the latest generation that was claimed.
    claimed: Box<[u64]>,
    under_way: Option<Claim>,
    not_before: Nanos,
    /// Whether something changed since it was last looked at what is to be claimed.
    look: bool,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self { claimed: vec![0; View::SLOTS].into(), under_way: None, not_before: Nanos(0), look: false }
    }

    pub(super) fn look(&mut self) {
        self.look = true;
    }

    /// The node is no member: whatever it gets again it claims again.
    pub(super) fn forget(&mut self) {
        self.claimed.fill(0);
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        match &self.under_way {
            Some(claim) => Some(claim.until),
            None => self.look.then_some(self.not_before),
        }
    }
}

impl Node {
    pub(super) fn tick_claims(&mut self, now: Nanos) {
        if self.claims.under_way.as_ref().is_some_and(|claim| claim.until <= now) {
            self.claims.under_way = None;
            self.claims.look = true;
        }
        if self.claims.under_way.is_some() || !self.claims.look || self.claims.not_before > now {
            return;
        }
        self.claims.look = false;
        let Some((generation, slots)) = self.claimable() else { return };
        let ticket = self.ticket();
        self.asks.push(Ask::Claim { ticket, slots: slots.clone(), generation });
        self.claims.under_way = Some(Claim { ticket, generation, slots, until: now.after(CLAIM_NS) });
    }

    /// The slots of one generation that this node has, has not claimed, and nobody else can still answer for.
    fn claimable(&self) -> Option<(u64, Box<[u16]>)> {
        let (node, _) = self.own?;
        let view = &self.charter.as_ref()?.view;
        let open =
            |&slot: &u16| view.node_of(slot) == node && self.claims.claimed[usize::from(slot)] < view.generation(slot);
        let slots: Vec<u16> = (0..View::SLOTS as u16).filter(open).collect();
        let mut generations: Vec<u64> = slots.iter().map(|&slot| view.generation(slot)).collect();
        generations.sort_unstable();
        generations.dedup();
        let generation = generations.into_iter().find(|&generation| self.is_given_up(generation))?;
        Some((generation, slots.into_iter().filter(|&slot| view.generation(slot) == generation).collect()))
    }

    /// Whether nobody else answers for slots that moved with this view.
    fn is_given_up(&self, generation: u64) -> bool {
        self.peers.values().all(|peer| peer.gave_up(self.known) || peer.is_new(generation))
    }

    pub(super) fn claimed(&mut self, now: Nanos, ticket: Ticket, late: &[u16]) {
        let Some(claim) = self.claims.under_way.take_if(|claim| claim.ticket == ticket) else { return };
        self.claims.look = true;
        let Claim { generation, slots, .. } = claim;
        let view = self.charter.as_ref().filter(|_| self.own.is_some()).map(|charter| &charter.view);
        let is_meant = |slot: &u16| {
            let is_present = view.is_some_and(|view| view.generation(*slot) == generation);
            is_present && !late.contains(slot)
        };
        let slots: Box<[u16]> = slots.iter().copied().filter(is_meant).collect();
        for &slot in &slots {
            self.claims.claimed[usize::from(slot)] = generation;
        }
        if !slots.is_empty() {
            self.for_cores.push_back(ForCore::Claimed { slots, generation });
        }
        if !late.is_empty() {
            self.claims.not_before = now.after(RETRY_NS);
            self.deposed(now);
        }
    }

    pub(super) fn claim_failed(&mut self, now: Nanos, ticket: Ticket) {
        if self.claims.under_way.take_if(|claim| claim.ticket == ticket).is_some() {
            self.claims.look = true;
            self.claims.not_before = now.after(RETRY_NS);
        }
    }

    /// How many slots this node has, and how many of them it has claimed.
    pub(super) fn slots_claimed(&self) -> (usize, usize) {
        let (Some((node, _)), Some(charter)) = (self.own, &self.charter) else { return (0, 0) };
        let slots = (0..View::SLOTS as u16).filter(|&slot| charter.view.node_of(slot) == node);
        let claimed =
            slots.clone().filter(|&slot| self.claims.claimed[usize::from(slot)] == charter.view.generation(slot));
        (slots.count(), claimed.count())
    }
}
