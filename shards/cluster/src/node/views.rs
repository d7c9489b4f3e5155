//! The charter as it is known here, what cores are told of it, and how far they are.

use super::links::Peer;
use super::{ForCore, Node, Note};
use crate::charter::{Card, Charter, RAISE};
use crate::frame::Session;
use crate::link::Link;
use deepstream_engine::{Nanos, NodeId, View};
use std::sync::Arc;

impl Node {
    /// A core has adopted this view.
    pub fn adopted(&mut self, now: Nanos, core: u16, epoch: u64) {
        let adopted = &mut self.adopted[usize::from(core)];
        *adopted = epoch.max(*adopted);
        self.beat_at = now;
    }

    /// A core has adopted this view, and holds nothing any more that it had to give up: all of it is stored.
    pub fn yielded(&mut self, now: Nanos, core: u16, epoch: u64) {
        let yielded = &mut self.yielded[usize::from(core)];
        *yielded = epoch.max(*yielded);
        if self.told == (self.yielded_up_to(), true) && self.yielded_to != self.known {
            self.yielded_to = self.known;
            self.beat_at = now;
            // By the registry too: a bus that is cut must not keep others waiting.
            self.renew_soon(now);
        }
    }

    /// The view that all cores have.
    pub(super) fn adopted_up_to(&self) -> u64 {
        self.adopted.iter().copied().min().unwrap_or_default()
    }

    fn yielded_up_to(&self) -> u64 {
        self.yielded.iter().copied().min().unwrap_or_default()
    }

    /// A charter that the registry had, with its fingerprint.
    pub(super) fn heard_charter(&mut self, now: Nanos, charter: &Charter, fingerprint: u64) {
        if charter.cluster != self.settings.cluster || fingerprint == self.known {
            return;
        }
        if let Some(known) = &self.charter {
            if known.view.seed() != charter.view.seed() {
                // Names fall into other slots there, and cores cannot change that.
                return self.must_end(Note::OtherCluster);
            }
            // What a node holds that is no member holds nothing back, but cores go to later views only.
            let epoch = known.view.epoch();
            if !(charter.follows(epoch, self.known) || self.own.is_none() && charter.view.epoch() > epoch) {
                return;
            }
            if charter.view.epoch() - known.view.epoch() >= RAISE {
                self.registry.raised(now);
            }
        }
        let mut members = charter.view.members().iter();
        let own = members.find(|member| member.incarnation == self.card.incarnation).map(|member| member.node);
        if self.number.is_some() && own.is_some() && own != self.number {
            return self.must_end(Note::NumberTaken);
        }
        self.note_members(charter);
        (self.charter, self.known) = (Some(charter.clone()), fingerprint);
        self.found_membership(now);
    }

    /// This process cannot go on.
    pub(super) fn must_end(&mut self, why: Note) {
        self.notes.push(why);
        self.release();
    }

    fn note_members(&mut self, after: &Charter) {
        let before = self.charter.as_ref();
        let has = |charter: &Charter, incarnation| {
            charter.view.members().iter().any(|member| member.incarnation == incarnation)
        };
        let left = before.into_iter().flat_map(Charter::members);
        let left = left.filter(|(member, _)| !has(after, member.incarnation));
        let left = left.map(|(member, seat)| Note::Left(member.node, seat.name.clone()));
        let joined =
            after.members().filter(|(member, _)| !before.is_some_and(|before| has(before, member.incarnation)));
        let joined = joined.map(|(member, seat)| Note::Joined(member.node, seat.name.clone()));
        let mut notes: Vec<Note> = left.chain(joined).collect();
        if !notes.is_empty() {
            notes.push(Note::Size(after.seats.len()));
        }
        self.notes.append(&mut notes);
    }

    /// Finds out whether this node is a member, by the charter and the lease as they are now, and tells the cores.
    pub(super) fn found_membership(&mut self, now: Nanos) {
        let Some(charter) = self.charter.as_ref().filter(|_| self.lease.is_held()) else { return self.suspend() };
        let Some(member) = charter.member(self.card.incarnation, self.lease.grant()) else { return self.suspend() };
        let own = Some((member.node, member.since));
        let view = Arc::clone(&charter.view);
        if self.own != own {
            // Whatever was under way is of another membership.
            self.peers.clear();
            self.resets += 1;
            self.own = own;
        }
        self.link_members(now, &view);
        self.claims.look();
        if self.told != (view.epoch(), true) {
            self.told = (view.epoch(), true);
            self.number = own.map(|(node, _)| node);
            self.yielded_to = self.yielded_to.max(Card::NOTHING);
            self.beat_at = now;
            self.for_cores.push_back(ForCore::View(view));
        }
        self.tell_links();
    }

    pub(super) fn suspend(&mut self) {
        if self.own.take().is_some() {
            self.peers.clear();
            self.claims.forget();
            self.notes.push(Note::Suspended);
        }
        let epoch = self.epoch();
        if self.told.1 {
            self.told = (epoch, false);
            self.for_cores.push_back(ForCore::Suspended { epoch });
        }
    }

    /// A link to each other member, and none to who is none any more.
    fn link_members(&mut self, now: Nanos, view: &View) {
        let Some((node, since)) = self.own else { return };
        let others: Vec<_> = view.members().iter().filter(|member| member.node != node).copied().collect();
        self.peers.retain(|&node, peer| {
            others.iter().any(|member| (member.node, member.since) == (node, peer.link.peer().since))
        });
        for member in others {
            if self.peers.contains_key(&member.node) {
                continue;
            }
            let own = Session { node, since, reset: self.resets };
            let other = Session { node: member.node, since: member.since, reset: 0 };
            let peer = Peer::new(Link::new(now, own, other, self.settings.link), self.address(member.node));
            self.peers.insert(member.node, peer);
            self.beat_at = now;
        }
    }

    /// Of a member's inbox.
    fn address(&self, node: NodeId) -> Box<[u8]> {
        let members = self.charter.iter().flat_map(Charter::members);
        members
            .filter(|(member, _)| member.node == node)
            .map(|(_, seat)| seat.address.clone())
            .next()
            .unwrap_or_default()
    }

    /// Cores learn of new links after the view that has their nodes.
    fn tell_links(&mut self) {
        for peer in self.peers.values_mut().filter(|peer| !peer.told) {
            peer.told = true;
            self.for_cores.push_back(peer.restarted());
        }
    }
}
