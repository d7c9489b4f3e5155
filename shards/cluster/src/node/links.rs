//! The links to the other members: beats, silence, new beginnings, bundles.

use super::{Arrived, BEAT_NS, ForCore, MS, Node};
use crate::charter::{Card, Charter};
use crate::frame::{Frame, NoFrame, Said};
use crate::link::{Heard, Link};
use bytes::Bytes;
use deepstream_engine::{Lane, Nanos, NodeId};

/// The registry is looked at no more often than this for what members say of it.
const LOOK_NS: u64 = 250 * MS;

/// Another member.
pub(super) struct Peer {
    pub(super) link: Link,
    address: Box<[u8]>,
    /// What its beats and its cards said of what it gave up: the last, and whether ever that it has up to the charter with this
    /// fingerprint. They may overtake each other.
    yielded: Option<u64>,
    gave_up: u64,
    heard_once: bool,
    /// Not heard for too long. Its link began anew for that.
    silent: bool,
    /// Whether cores know of the link.
    pub(super) told: bool,
}

impl Peer {
    pub(super) fn new(link: Link, address: Box<[u8]>) -> Self {
        Self { link, address, yielded: None, gave_up: 0, heard_once: false, silent: false, told: false }
    }

    /// It said what it gave up, to a node that goes by the charter with a fingerprint.
    fn said(&mut self, yielded: u64, known: u64) {
        self.yielded = Some(yielded);
        if yielded == known {
            self.gave_up = known;
        }
    }

    /// Whether it has given up what it had to, up to the charter with this fingerprint.
    pub(super) fn gave_up(&self, known: u64) -> bool {
        self.gave_up == known || self.yielded == Some(known)
    }

    /// Whether it became a member at that epoch or later, and has never had a view.
    pub(super) fn is_new(&self, epoch: u64) -> bool {
        self.link.peer().since >= epoch && self.yielded == Some(0)
    }

    pub(super) fn restarted(&self) -> ForCore {
        let peer = self.link.peer();
        ForCore::Restarted { node: peer.node, since: peer.since, link: self.link.number() }
    }

    fn reached(&self) -> ForCore {
        let peer = self.link.peer();
        ForCore::Reached { node: peer.node, since: peer.since, heard: !self.silent }
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        let silent = (!self.silent).then(|| self.link.silent_at());
        silent.into_iter().chain(self.link.next_deadline()).min()
    }
}

/// The epoch of the view by which a bundle was written: the first eight bytes of each, the least first.
pub fn epoch_of(bundle: &[u8]) -> Option<u64> {
    bundle.first_chunk().map(|epoch| u64::from_le_bytes(*epoch))
}

impl Node {
    /// A frame came.
    pub fn heard(&mut self, now: Nanos, bytes: &Bytes) -> Result<(), NoFrame> {
        let frame = Frame::read(bytes)?;
        // Whoever knows no charter is told by the registry.
        let Some(cluster) = self.charter.as_ref().map(Charter::hash) else { return Ok(()) };
        if frame.cluster != cluster {
            return Err(NoFrame::Foreign);
        }
        self.heard_member(now, &frame, bytes);
        self.tick(now);
        Ok(())
    }

    fn heard_member(&mut self, now: Nanos, frame: &Frame<'_>, bytes: &Bytes) {
        let (own_epoch, known) = (self.epoch(), self.known);
        let Some(peer) = self.peers.get_mut(&frame.from.node) else { return };
        let heard = peer.link.heard(now, frame, bytes);
        if heard == Heard::Stranger {
            return;
        }
        let is_news = !peer.heard_once || peer.silent;
        if heard == Heard::Restarted {
            self.for_cores.push_back(peer.restarted());
        }
        if peer.silent {
            peer.silent = false;
            self.for_cores.push_back(peer.reached());
        }
        peer.heard_once = true;
        if let Said::Beat { epoch, yielded, .. } = frame.said {
            peer.said(yielded, known);
            self.claims.look();
            // Charters are believed from the registry only: whoever can write to the bus could make up any.
            if epoch > own_epoch && self.looked_at.is_none_or(|at| now.since(at) >= LOOK_NS) {
                self.looked_at = Some(now);
                self.renew_soon(now);
            }
        }
        if is_news {
            self.beat_at = now;
            self.renew_soon(now);
        }
    }

    /// What living nodes say in the registry.
    pub(super) fn heard_cards(&mut self) {
        let Some(charter) = &self.charter else { return };
        for (member, seat) in charter.members() {
            let is_its = |card: &&Card| (card.incarnation, card.grant) == (member.incarnation, seat.grant);
            let card = self.registry.live().iter().find(is_its);
            if let (Some(card), Some(peer)) = (card, self.peers.get_mut(&member.node)) {
                peer.said(card.yielded, self.known);
            }
        }
        self.claims.look();
    }

    /// Whom this node hears.
    pub(super) fn hears(&self) -> u64 {
        let heard = self.peers.iter().filter(|(_, peer)| peer.heard_once && !peer.silent);
        heard.fold(0, |mask, (node, _)| mask | 1 << node.0)
    }

    pub(super) fn tick_links(&mut self, now: Nanos) {
        let mut silent = Vec::new();
        for (&node, peer) in &mut self.peers {
            peer.link.tick(now);
            if !peer.silent && peer.link.is_silent(now) {
                peer.silent = true;
                silent.push(node);
            }
        }
        for node in silent {
            self.begin_anew(node);
            let reached = self.peers.get(&node).map(Peer::reached);
            self.for_cores.extend(reached);
            self.renew_soon(now);
        }
        if self.beat_at <= now {
            self.beat_at = now.after(BEAT_NS);
            let (epoch, yielded, hears) = (self.epoch(), self.yielded_to, self.hears());
            for peer in self.peers.values_mut() {
                peer.link.beat(epoch, yielded, hears);
            }
        }
    }

    /// What is under way to and from a member is given up.
    fn begin_anew(&mut self, node: NodeId) {
        self.resets += 1;
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.link.reset(self.resets);
            self.for_cores.push_back(peer.restarted());
        }
    }

    /// Whether a member takes more. What waits for it stays with its core, and does not hold up what is for others.
    pub fn has_room(&self, to: NodeId, lane: Lane) -> bool {
        self.peers.get(&to).is_some_and(|peer| peer.link.has_room(lane))
    }

    /// A core has something for a member. `link` is what the core knows of the link: what was written before the core heard that it
    /// began anew is dropped, because it was answered with an error.
    pub fn bundle(&mut self, now: Nanos, (to, since, link): (NodeId, u64, u32), lane: Lane, bundle: Bytes) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if (peer.link.peer().since, peer.link.number()) != (since, link) {
            return;
        }
        // One that is longer than any may be is lost as all else is that was under way: whoever waits for it is told so.
        let carries = peer.link.carries(&bundle);
        if carries {
            peer.link.send(lane, bundle);
        }
        if !carries || peer.link.is_overfull() {
            self.begin_anew(to);
            self.tick(now);
        }
    }

    /// The next bundle of a stream that has come, of any member. None comes before all cores have the view by which it was
    /// written.
    pub fn next_bundle(&mut self, now: Nanos, lane: Lane) -> Option<Arrived> {
        let adopted = self.adopted_up_to();
        let may_be_taken = |peer: &Peer| {
            let first = peer.link.first(lane);
            first.is_some_and(|bundle| epoch_of(bundle).is_none_or(|epoch| epoch <= adopted))
        };
        let from = self.whose_turn(may_be_taken)?;
        let peer = self.peers.get_mut(&from)?;
        let bundle = peer.link.take(now, lane)?;
        Some(Arrived { from, since: peer.link.peer().since, link: peer.link.number(), lane, bundle })
    }

    /// Writes the next frame to send; returns the address of the inbox that it is for.
    pub fn next_frame(&mut self, now: Nanos, to: &mut Vec<u8>) -> Option<Box<[u8]>> {
        let cluster = self.charter.as_ref().map(Charter::hash)?;
        let node = self.whose_turn(|peer| peer.link.has_frame(now))?;
        let peer = self.peers.get_mut(&node)?;
        peer.link.next_frame(now, cluster, to);
        Some(peer.address.clone())
    }

    /// The next member for which this holds: each has its turn.
    fn whose_turn(&mut self, mut holds: impl FnMut(&Peer) -> bool) -> Option<NodeId> {
        let turn = NodeId(self.turn);
        let members = self.peers.range(turn..).chain(self.peers.range(..turn));
        let (&node, _) = members.into_iter().find(|(_, peer)| holds(peer))?;
        self.turn = node.0 + 1;
        Some(node)
    }
}
