//! The lease, and who writes the next charter.
//!
//! Whatever is asked may be answered late, wrongly said to have failed, or never. So a renewal is asked at regular times whether the
//! last was answered or not, and a charter is written over one revision only.

use super::{Answer, Ask, ForCore, MS, Node, Note, Revision};
use crate::charter::{Card, Charter, FORM, First, next};
use crate::lease::Renewal;
use bytes::Bytes;
use deepstream_engine::{Nanos, Ticket};
use std::collections::VecDeque;

/// How long each member waits at least for the one before it to write the charter; longer if the registry is slow.
const RANK_NS: u64 = 250 * MS;
/// So often within this time a cluster raises its generations, and then takes it that another one does the same.
const RAISES_MAX: usize = 3;
const RAISES_NS: u64 = 60_000 * MS;
/// Renewals that are not due by time are so far apart at least.
const RENEW_NS_MIN: u64 = 20 * MS;

/// The registry, as it was seen last.
pub(super) struct Registry {
    renew_at: Nanos,
    renewed_at: Option<Nanos>,
    revision: Option<Revision>,
    charter: Option<Charter>,
    /// Of the charter, 0 without one.
    fingerprint: u64,
    bytes: Option<Bytes>,
    live: Vec<Card>,
    /// How long the last answer took.
    round_trip_ns: u64,
    /// The latest renewal whose answer was seen.
    seen: Option<Ticket>,
    /// The cards by which it was last found what follows.
    judged: Option<(Option<Revision>, u64, Vec<Card>)>,
    /// When there was first no charter, or an older one than the one known here.
    forgot_at: Option<Nanos>,
    propose_at: Option<Nanos>,
    /// A charter that was written and not answered.
    swap: Option<(Ticket, Nanos, Charter)>,
    /// A claim came back as late, or a batch was refused, as of this charter: if a renewal after this ticket shows none that follows,
    /// generations are to be raised.
    outrun: Option<(u64, Ticket)>,
    /// When generations were raised last, the latest at the end.
    raises: VecDeque<Nanos>,
    ended: bool,
}

impl Registry {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            renew_at: now,
            renewed_at: None,
            revision: None,
            charter: None,
            fingerprint: 0,
            bytes: None,
            live: Vec::new(),
            round_trip_ns: 0,
            seen: None,
            judged: None,
            forgot_at: None,
            propose_at: None,
            swap: None,
            outrun: None,
            raises: VecDeque::new(),
            ended: false,
        }
    }

    pub(super) fn deadline(&self) -> Nanos {
        self.propose_at.map_or(self.renew_at, |at| at.min(self.renew_at))
    }

    /// The cards of living processes.
    pub(super) fn live(&self) -> &[Card] {
        &self.live
    }

    /// Generations were raised.
    pub(super) fn raised(&mut self, now: Nanos) {
        self.raises.push_back(now);
        if self.raises.len() > RAISES_MAX {
            self.raises.pop_front();
        }
    }

    /// How often of late.
    fn raises(&self, now: Nanos) -> usize {
        self.raises.iter().filter(|&&at| now.since(at) < RAISES_NS).count()
    }

    /// Nothing is asked any more.
    pub(super) fn end(&mut self) {
        (self.renew_at, self.propose_at, self.ended) = (Nanos(u64::MAX), None, true);
    }
}

impl Node {
    /// The card changed, or what the registry holds is to be looked at.
    pub(super) fn renew_soon(&mut self, now: Nanos) {
        if self.registry.ended {
            return;
        }
        let at = self.registry.renewed_at.map_or(now, |at| at.after(RENEW_NS_MIN)).max(now);
        self.registry.renew_at = self.registry.renew_at.min(at);
    }

    /// The registry may hold something else than what was seen last. Nobody needs to say it: it is looked at by itself in time.
    pub fn look(&mut self, now: Nanos) {
        self.renew_soon(now);
        self.tick(now);
    }

    /// What storage took is refused by a later claim, or a claim came late.
    pub fn deposed(&mut self, now: Nanos) {
        self.registry.outrun = Some((self.epoch(), Ticket(self.tickets)));
        self.renew_soon(now);
    }

    pub(super) fn tick_registry(&mut self, now: Nanos) {
        if self.registry.renew_at <= now {
            self.renew(now);
        }
        let ttl = self.settings.ttl_ns;
        if self.registry.swap.as_ref().is_some_and(|&(_, sent, _)| now.since(sent) >= ttl) {
            self.registry.swap = None;
        }
        if self.registry.propose_at.is_some_and(|at| at <= now) {
            self.registry.propose_at = None;
            self.propose(now);
        }
    }

    fn renew(&mut self, now: Nanos) {
        self.registry.renew_at = now.after(self.settings.ttl_ns / 6);
        let ticket = self.ticket();
        let renewal = self.lease.ask(now, ticket);
        if renewal == Renewal::Wait {
            return;
        }
        self.registry.renewed_at = Some(now);
        self.card.grant = self.lease.grant();
        if renewal == Renewal::Fresh {
            self.found_membership(now);
        }
        self.card.yielded = self.yielded_to;
        self.card.hears = self.hears();
        self.asks.push(Ask::Renew {
            ticket,
            card: self.card.clone(),
            ttl_ns: self.settings.ttl_ns,
            fresh: renewal == Renewal::Fresh,
        });
    }

    /// The registry, or the writer of storage, answered.
    pub fn answered(&mut self, now: Nanos, ticket: Ticket, answer: Answer) {
        match answer {
            Answer::Seen { revision, charter, live } => {
                if let Some(sent) = self.lease.answered(ticket) {
                    self.lease.renewed();
                    self.found_membership(now);
                    self.seen(now, ticket, sent, (revision, charter), live);
                }
            }
            Answer::Lapsed => {
                if self.lease.answered(ticket).is_some() {
                    self.lease.lapsed();
                    self.found_membership(now);
                    self.renew_soon(now);
                }
            }
            Answer::NameTaken => {
                if self.lease.answered(ticket).is_some() {
                    self.lease.lapsed();
                    self.found_membership(now);
                    self.notes.push(Note::NameTaken);
                }
            }
            Answer::Swapped(revision) => {
                if let Some(charter) = self.swapped(ticket) {
                    let fingerprint = charter.fingerprint();
                    self.heard_charter(now, &charter, fingerprint);
                    self.heard_cards();
                    if self.registry.revision.is_none_or(|seen| seen < revision) {
                        self.registry.bytes = Some(charter.write());
                        (self.registry.charter, self.registry.fingerprint) = (Some(charter), fingerprint);
                        self.registry.revision = Some(revision);
                        self.registry.forgot_at = None;
                    }
                    self.renew_soon(now);
                }
            }
            Answer::Conflict => {
                if self.swapped(ticket).is_some() {
                    self.renew_soon(now);
                }
            }
            Answer::Claimed { late } => self.claimed(now, ticket, &late),
            Answer::Failed => self.failed(now, ticket),
        }
        self.tick(now);
    }

    /// The charter of the write with this ticket.
    fn swapped(&mut self, ticket: Ticket) -> Option<Charter> {
        let (.., charter) = self.registry.swap.take_if(|(asked, ..)| *asked == ticket)?;
        Some(charter)
    }

    fn failed(&mut self, now: Nanos, ticket: Ticket) {
        // A renewal is asked again when it is due, a charter when it is seen that it was not written.
        self.lease.answered(ticket);
        if self.swapped(ticket).is_some() {
            self.renew_soon(now);
        }
        self.claim_failed(now, ticket);
    }

    fn seen(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        sent: Nanos,
        (revision, bytes): (Option<Revision>, Option<Bytes>),
        live: Vec<Card>,
    ) {
        let is_known = bytes == self.registry.bytes;
        let read = || bytes.as_deref().and_then(Charter::read);
        let charter = if is_known { self.registry.charter.clone() } else { read() };
        let print = || charter.as_ref().map_or(0, Charter::fingerprint);
        let fingerprint = if is_known { self.registry.fingerprint } else { print() };
        // The lease is trusted by what the registry held when it was renewed, whatever came since.
        let named = charter.as_ref().and_then(|charter| charter.member(self.card.incarnation, self.card.grant));
        let named = named.map(|member| (member.node, member.since));
        if let Some(charter) = &charter {
            self.heard_charter(now, charter, fingerprint);
        }
        if named.is_some() && named == self.own && self.is_of_line(fingerprint) && self.lease.trust(sent) {
            let until = self.lease.trusted_until();
            let since = self.own.map_or(0, |(_, since)| since);
            self.for_cores.push_back(ForCore::Leased { since, until });
        }
        if self.registry.seen.is_some_and(|before| before > ticket) {
            return;
        }
        self.registry.seen = Some(ticket);
        self.registry.round_trip_ns = now.since(sent);
        self.note_differences(&live);
        (self.registry.revision, self.registry.charter, self.registry.live) = (revision, charter, live);
        (self.registry.bytes, self.registry.fingerprint) = (bytes, fingerprint);
        self.heard_cards();
        self.consider(now);
    }

    fn note_differences(&mut self, live: &[Card]) {
        for card in live {
            let before = self.registry.live.iter().find(|before| before.incarnation == card.incarnation);
            let is_news = before.is_none_or(|before| (before.form, before.rules) != (card.form, card.rules));
            if is_news && card.form != FORM {
                self.notes.push(Note::FormDiffers(card.name.clone()));
            } else if is_news && card.rules != self.card.rules {
                self.notes.push(Note::RulesDiffer(card.name.clone()));
            }
        }
    }

    /// Whether the charter with this fingerprint is the one that is known here, or one that it came from.
    fn is_of_line(&self, fingerprint: u64) -> bool {
        fingerprint == self.known || self.charter.as_ref().is_some_and(|known| known.came_from(fingerprint))
    }

    /// Whether the registry does not hold what is known here.
    fn is_behind(&self) -> bool {
        self.registry.charter.is_none() || self.registry.fingerprint != self.known
    }

    /// Whether storage is ahead of what the registry holds.
    fn is_outrun(&self) -> bool {
        let is_later = |asked| self.registry.seen.is_some_and(|seen| seen > asked);
        let outrun = self.registry.outrun.is_some_and(|(at, asked)| at == self.epoch() && is_later(asked));
        outrun && !self.is_behind()
    }

    /// Decides whether to write a charter, and when.
    fn consider(&mut self, now: Nanos) {
        if self.is_outrun() && self.registry.raises(now) >= RAISES_MAX {
            return self.must_end(Note::TwoClusters);
        }
        if !self.is_behind() {
            self.registry.forgot_at = None;
        } else if self.registry.forgot_at.is_none() {
            self.registry.forgot_at = Some(now);
        }
        if self.registry.propose_at.is_some() || self.registry.swap.is_some() || self.follows(now).is_none() {
            return;
        }
        // Until what the one before writes can be seen here.
        let turn_ns = RANK_NS.max(2 * self.registry.round_trip_ns);
        let at = now.after(self.rank() * turn_ns);
        // Whoever trusts a lease that the registry forgot must have stopped before others are given what it has.
        let forgot = self.registry.forgot_at.map_or(at, |forgot_at| forgot_at.after(self.settings.ttl_ns));
        self.registry.propose_at = Some(at.max(forgot));
    }

    /// How many living nodes are to write before this one: members in their order, then the others by their names.
    fn rank(&self) -> u64 {
        let members = self.charter.iter().flat_map(|charter| charter.view.members());
        let living = |incarnation| self.registry.live.iter().any(|card| card.incarnation == incarnation);
        let members: Vec<u64> = members.map(|member| member.incarnation).filter(|&member| living(member)).collect();
        if let Some(at) = members.iter().position(|&member| member == self.card.incarnation) {
            return at as u64;
        }
        let before =
            self.registry.live.iter().filter(|card| !members.contains(&card.incarnation) && card.name < self.card.name);
        (members.len() + before.count()) as u64
    }

    /// What should follow in the registry. Found once for the same charters and cards: placing slots is the most that a node computes.
    fn follows(&mut self, now: Nanos) -> Option<Charter> {
        let epoch = self.epoch();
        let judged_by = |card: &Card| Card { yielded: 0, rules: 0, ..card.clone() };
        let cards: Vec<Card> = self.registry.live.iter().map(judged_by).collect();
        let outrun = self.is_outrun();
        let judged = (self.registry.revision, epoch, cards);
        if !outrun && !self.is_behind() && self.registry.judged.as_ref() == Some(&judged) {
            return None;
        }
        if self.charter.is_none() && self.registry.live.iter().any(|card| card.yielded > 0) {
            // Somebody knows the charter that the registry lost.
            return None;
        }
        // Another line than the one that is known here goes on as a new one, for both.
        let is_other = self.charter.is_some() && !self.is_of_line(self.registry.fingerprint);
        let other = self.registry.charter.as_ref().filter(|_| is_other);
        let behind = self.charter.as_ref().filter(|_| self.is_behind());
        let known = other.or(behind).or(self.registry.charter.as_ref());
        let unix_ms = self.settings.unix_ms + self.registry.renewed_at.map_or(0, |at| at.since(self.started)) / MS;
        let first = First { cluster: &self.settings.cluster, unix_ms, seed: self.settings.seed };
        let follows = next(known, &self.registry.live, &self.card, first);
        let follows = match (follows, known) {
            (follows, Some(other)) if is_other && self.registry.charter.is_some() => {
                Some(follows.as_ref().unwrap_or(other).founded_anew(epoch))
            }
            (Some(charter), _) => Some(charter),
            // Nothing changed, but the registry does not have it, or storage is ahead of it.
            (None, Some(known)) if self.is_behind() => Some(known.clone()),
            (None, Some(known)) if outrun => Some(known.raised(self.registry.raises(now))),
            _ => None,
        };
        if follows.is_none() {
            self.registry.judged = Some(judged);
        }
        follows
    }

    fn propose(&mut self, now: Nanos) {
        if !self.lease.is_held() || self.registry.swap.is_some() {
            return;
        }
        let Some(charter) = self.follows(now) else { return };
        if self.is_behind() && self.charter.is_some() {
            self.notes.push(Note::RegistryForgot);
        } else if self.registry.outrun.take().is_some_and(|(epoch, _)| epoch == self.epoch()) {
            self.notes.push(Note::ClaimedByOthers);
        }
        let ticket = self.ticket();
        let (over, bytes) = (self.registry.revision, charter.write());
        self.asks.push(Ask::Swap { ticket, over, charter: bytes });
        self.registry.swap = Some((ticket, now, charter));
    }
}
