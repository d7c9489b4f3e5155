//! The charter: the one value in the registry that all nodes agree on, and which one follows.
//!
//! It is changed by compare-and-set only. Every node computes what should follow by the same function, of what the registry holds;
//! who is first to write it wins, and the others look again.
//!
//! A registry that loses what was written last lets two different charters follow the same one. Nodes that hold one of them must not go
//! on to a successor of the other: what they have given up to each other holds in their own line only. So a charter names those that
//! it came from, by their fingerprints, and is believed by whoever holds one of these. Two lines become one by a charter that is
//! [founded anew](Charter::founded_anew), with which everybody becomes a member and claims slots as if nothing had been.
//!
//! *Owns* the membership: who is one, under which number, since when, and who has which slot since when. *Promises* that a member
//! stays one as long as its lease does; that a slot moves only if it must; and that a number of a node comes again as late as
//! possible. *Does not* know the registry.

use crate::placing::{Candidate, winner};
use bytes::Bytes;
use deepstream_engine::codec::{Get, Put, structs};
use deepstream_engine::{Member, NodeId, Place, View};
use siphasher::sip::SipHasher13;
use std::cmp::Reverse;
use std::sync::Arc;

/// Another form of charters or frames is another number. Nodes of another form are not taken as members.
pub const FORM: u16 = 1;

/// How far a charter goes ahead to be past whatever another one has claimed in storage: a quarter of an hour of milliseconds, by which the
/// first epoch was chosen.
pub(crate) const RAISE: u64 = 1 << 20;

/// How many predecessors a charter names. Whoever has missed more takes it for one of another line.
const BEFORE_MAX: usize = 100;

/// Two different successors of one charter have the same epoch by chance only, of so many.
const STEPS: u64 = 256;

/// What a node says of itself in its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What its operator calls it. No two living nodes have the same.
    pub name: Box<str>,
    /// Which process it is.
    pub incarnation: u64,
    /// Which lease of that process: a lease that ended is never prolonged, but followed by another one.
    pub grant: u32,
    /// Of its inbox on the bus.
    pub address: Box<[u8]>,
    /// How many cores it has.
    pub cores: u16,
    /// Which form it speaks.
    pub form: u16,
    /// The fingerprint of its permission rules.
    pub rules: u64,
    /// Whether it can have slots: its cores run.
    pub ready: bool,
    /// Whether it gives up all slots, to end.
    pub leaving: bool,
    /// The [fingerprint](Charter::fingerprint) of the charter up to which it gave up what it had to: 0 if its cores have never had a
    /// view, [`Card::NOTHING`] if they have given up nothing yet.
    pub yielded: u64,
    /// Which nodes it hears over the bus: a bit a number.
    pub hears: u64,
}

/// A member, as far as its cores have no use for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// As the member's card says.
    pub name: Box<str>,
    /// Which lease it is a member by.
    pub grant: u32,
    /// Of its inbox.
    pub address: Box<[u8]>,
}

/// Who is in the cluster, and what is whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// The cluster's name.
    pub cluster: Box<str>,
    /// What the cores go by.
    pub view: Arc<View>,
    /// Of each member of the view, in the same order.
    pub seats: Vec<Seat>,
    /// The last process that had each number, those first that are gone for longest.
    pub numbers: Vec<(NodeId, u64)>,
    /// The epoch at which its line began.
    pub founded: u64,
    /// The fingerprints of those that it came from, in its line: the last ones, the latest at the end.
    pub before: Vec<u64>,
}

structs! {
    Card {
        name: name,
        incarnation: incarnation,
        grant: grant,
        address: address,
        cores: cores,
        form: form,
        rules: rules,
        ready: ready,
        leaving: leaving,
        yielded: yielded,
        hears: hears,
    }
    Seat { name: name, grant: grant, address: address }
}

impl Card {
    /// Of a node that has a view and has given up nothing yet.
    pub const NOTHING: u64 = 1;

    /// As it stands in a lease.
    pub fn write(&self) -> Bytes {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes.into()
    }

    /// Reads one; `None` if that is none.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        Self::get(&mut bytes).filter(|_| bytes.is_empty())
    }

    fn may_be_member(&self, form: u16) -> bool {
        self.form == form && (1..=Place::CORES_MAX).contains(&self.cores)
    }
}

/// What a first charter is made with.
#[derive(Clone, Copy, Debug)]
pub struct First<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The time of day: a registry that lost its data does not fall behind what was claimed in storage before.
    pub unix_ms: u64,
    /// Keys the hash of names: drawn at random.
    pub seed: [u64; 2],
}

impl Charter {
    /// As it stands in the registry.
    pub fn write(&self) -> Bytes {
        let mut bytes = Vec::new();
        FORM.put(&mut bytes);
        (&self.cluster, &self.view, &self.seats, &self.numbers).put(&mut bytes);
        (self.founded, &self.before).put(&mut bytes);
        bytes.into()
    }

    /// Reads one; `None` if that is none, or of another form.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        if u16::get(from)? != FORM {
            return None;
        }
        let (cluster, view, seats, numbers) = <(_, Arc<View>, Vec<Seat>, Vec<(NodeId, u64)>)>::get(from)?;
        let (founded, before) = <(u64, Vec<u64>)>::get(from)?;
        let known = numbers.iter().all(|(node, _)| node.0 < Place::NODES_MAX);
        // Successors count on from it.
        let of_its_line = view.epoch() < u64::MAX >> 1 && founded <= view.epoch() && before.len() <= BEFORE_MAX;
        let whole = from.is_empty() && known && of_its_line && seats.len() == view.members().len();
        whole.then_some(Self { cluster, view, seats, numbers, founded, before })
    }

    /// Tells it from any other, also from one of the same epoch.
    pub fn fingerprint(&self) -> u64 {
        SipHasher13::new().hash(&self.write()).max(Card::NOTHING + 1)
    }

    /// Whether it came from the charter with this fingerprint, as far as it knows.
    pub fn came_from(&self, fingerprint: u64) -> bool {
        self.before.contains(&fingerprint)
    }

    /// Whether a node can go on to it from another charter: it is later, and of the same line; or nothing of what the node knows holds
    /// in it.
    pub fn follows(&self, epoch: u64, fingerprint: u64) -> bool {
        self.view.epoch() > epoch && (self.founded > epoch || self.came_from(fingerprint))
    }

    /// Tells the frames of the cluster from those of others on the same bus.
    pub fn hash(&self) -> u64 {
        let [a, b] = self.view.seed();
        SipHasher13::new_with_keys(a, b).hash(self.cluster.as_bytes())
    }

    /// The members with their seats.
    pub fn members(&self) -> impl Iterator<Item = (&Member, &Seat)> {
        self.view.members().iter().zip(&self.seats)
    }

    /// The membership of a process by one of its leases.
    pub fn member(&self, incarnation: u64, grant: u32) -> Option<&Member> {
        let mut members = self.members();
        let (member, _) = members.find(|(member, seat)| (member.incarnation, seat.grant) == (incarnation, grant))?;
        Some(member)
    }

    /// The same with all generations raised, far past whatever another charter has claimed. Each time after others it goes sixteen
    /// times as far: some hours, and then some days, should it be a clock that was behind.
    #[must_use]
    pub fn raised(&self, after: usize) -> Self {
        let epoch = self.view.epoch() + (RAISE << (4 * after));
        let view = self.claimed_anew(epoch, self.view.members().to_vec());
        Self { view, before: self.line(), ..self.clone() }
    }

    /// The same as the beginning of a line, for whoever holds charters of other lines up to an epoch.
    #[must_use]
    pub fn founded_anew(&self, past: u64) -> Self {
        let epoch = past.max(self.view.epoch()) + 1 + self.fingerprint() % STEPS;
        let members = self.view.members().iter().map(|member| Member { since: epoch, ..*member });
        let view = self.claimed_anew(epoch, members.collect());
        Self { view, founded: epoch, before: Vec::new(), ..self.clone() }
    }

    fn claimed_anew(&self, epoch: u64, members: Vec<Member>) -> Arc<View> {
        let slots: Box<[NodeId]> = (0..View::SLOTS).map(|slot| self.view.node_of(slot as u16)).collect();
        let view = View::new(epoch, self.view.seed(), members, slots, vec![epoch; View::SLOTS].into());
        Arc::new(view.expect("the view was one"))
    }

    /// What its successors come from.
    fn line(&self) -> Vec<u64> {
        let skipped = (self.before.len() + 1).saturating_sub(BEFORE_MAX);
        let before = self.before.iter().skip(skipped).copied();
        before.chain([self.fingerprint()]).collect()
    }
}

/// The charter that should follow, if one should; the same on every node that is told the same. `live` are the cards of all living
/// leases. Nothing follows for a node that has none itself.
pub fn next(charter: Option<&Charter>, live: &[Card], own: &Card, first: First<'_>) -> Option<Charter> {
    let mut live: Vec<&Card> = live.iter().filter(|card| card.may_be_member(own.form)).collect();
    live.sort_by(|a, b| (&a.name, a.incarnation).cmp(&(&b.name, b.incarnation)));
    live.dedup_by(|b, a| a.name == b.name);
    if !live.iter().any(|card| (card.incarnation, card.grant) == (own.incarnation, own.grant)) {
        return None;
    }
    let line = charter.map_or(Vec::new(), Charter::line);
    let epoch = charter.map_or(first.unix_ms, |charter| charter.view.epoch() + 1 + step(&line, &live));
    let mut numbers = charter.map_or(Vec::new(), |charter| charter.numbers.clone());
    let mut seated: Vec<(Member, &Card)> = Vec::new();
    for (member, seat) in charter.iter().flat_map(|charter| charter.members()) {
        match live.iter().find(|card| (card.incarnation, card.grant) == (member.incarnation, seat.grant)) {
            Some(card) => seated.push((*member, card)),
            None => gone(&mut numbers, member),
        }
    }
    let kept = seated.len();
    for card in &live {
        let is_member = seated.iter().any(|(member, _)| member.incarnation == card.incarnation);
        if !is_member && let Some(node) = number(&mut numbers, card.incarnation, &seated) {
            let member = Member { node, cores: card.cores, incarnation: card.incarnation, since: epoch };
            seated.push((member, card));
        }
    }
    let before = charter.map(|charter| &*charter.view);
    let (slots, since) = placed(epoch, before, &seated, kept)?;
    let same_members = before.is_some_and(|before| (before.members().len(), kept) == (kept, seated.len()));
    if same_members && !since.contains(&epoch) {
        return None;
    }
    let seats = seated.iter().map(|(_, card)| Seat {
        name: card.name.clone(),
        grant: card.grant,
        address: card.address.clone(),
    });
    let seats = seats.collect();
    let seed = before.map_or(first.seed, View::seed);
    let members = seated.into_iter().map(|(member, _)| member).collect();
    let view = View::new(epoch, seed, members, slots, since).ok()?;
    let cluster = charter.map_or(first.cluster, |charter| &charter.cluster).into();
    let founded = charter.map_or(epoch, |charter| charter.founded);
    Some(Charter { cluster, view: Arc::new(view), seats, numbers, founded, before: line })
}

/// By what follows what: other nodes living make it another one.
fn step(line: &[u64], live: &[&Card]) -> u64 {
    let mut bytes = Vec::new();
    line.last().put(&mut bytes);
    for card in live {
        (card.incarnation, card.grant, (card.ready, card.leaving)).put(&mut bytes);
    }
    SipHasher13::new().hash(&bytes) % STEPS
}

/// The number of a member that went is the last to come again.
fn gone(numbers: &mut Vec<(NodeId, u64)>, member: &Member) {
    if let Some(at) = numbers.iter().position(|(node, _)| *node == member.node) {
        let entry = numbers.remove(at);
        numbers.push(entry);
    }
}

/// The number for a process: the one that it had; else one that nobody had; else the one whose member is gone for longest.
/// Connections of a process carry its number, and those of the next process with the same number must not be taken for them.
fn number(numbers: &mut Vec<(NodeId, u64)>, incarnation: u64, seated: &[(Member, &Card)]) -> Option<NodeId> {
    let is_free = |node: NodeId| !seated.iter().any(|(member, _)| member.node == node);
    if let Some(&(node, _)) = numbers.iter().find(|&&(node, last)| last == incarnation && is_free(node)) {
        return Some(node);
    }
    let is_new = |node: &NodeId| !numbers.iter().any(|(known, _)| known == node);
    if let Some(node) = (0..Place::NODES_MAX).map(NodeId).find(is_new) {
        numbers.push((node, incarnation));
        return Some(node);
    }
    let at = numbers.iter().position(|&(node, _)| is_free(node))?;
    let (node, _) = numbers.remove(at);
    numbers.push((node, incarnation));
    Some(node)
}

/// Whose each slot is, and since when. The first `kept` of the members were members before.
#[allow(clippy::type_complexity, reason = "the two tables of a view")]
fn placed(
    epoch: u64,
    before: Option<&View>,
    seated: &[(Member, &Card)],
    kept: usize,
) -> Option<(Box<[NodeId]>, Box<[u64]>)> {
    let candidate = |(member, card): &(Member, &Card)| Candidate::new(member.node, &card.name, member.cores);
    let owns = |node| before.is_some_and(|before| (0..View::SLOTS).any(|slot| before.node_of(slot as u16) == node));
    let able: Vec<_> = seated.iter().filter(|(_, card)| card.ready && !card.leaving).copied().collect();
    let able: Vec<_> = hearing(able, owns).iter().map(candidate).collect();
    // Somebody has every slot, even if nobody serves it yet.
    let all: Vec<_> = seated.iter().map(candidate).collect();
    let mut slots = Vec::with_capacity(View::SLOTS);
    let mut since = Vec::with_capacity(View::SLOTS);
    for slot in 0..View::SLOTS as u16 {
        let holder = before.map(|before| before.node_of(slot));
        let holder = holder.filter(|&node| seated[..kept].iter().any(|(member, _)| member.node == node));
        let owner = winner(slot, &able).or(holder).or_else(|| winner(slot, &all))?;
        slots.push(owner);
        let stays = before.filter(|_| holder == Some(owner));
        since.push(stays.map_or(epoch, |before| before.generation(slot)));
    }
    Some((slots.into(), since.into()))
}

/// A group of which all hear each other: who is missed by most goes first. Of two that miss each other stays the one that has slots,
/// then the one with more cores, then the lower number.
fn hearing(mut able: Vec<(Member, &Card)>, owns: impl Fn(NodeId) -> bool) -> Vec<(Member, &Card)> {
    let hears = |card: &Card, node: NodeId| card.hears >> node.0 & 1 == 1;
    loop {
        let misses = |(member, card): &(Member, &Card)| {
            let is_apart = |(other, of): &&(Member, &Card)| {
                other.node != member.node && !(hears(card, other.node) && hears(of, member.node))
            };
            able.iter().filter(is_apart).count()
        };
        let rank = |seated: &(Member, &Card)| {
            let (Member { node, cores, .. }, _) = *seated;
            (misses(seated), !owns(node), Reverse(cores), node)
        };
        let Some((at, worst)) = able.iter().enumerate().max_by_key(|(_, seated)| rank(seated)) else { return able };
        if misses(worst) == 0 {
            return able;
        }
        able.remove(at);
    }
}

#[cfg(test)]
mod tests;
