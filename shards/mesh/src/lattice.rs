//! All pairs of cores, two lanes each way, built once at start.
//!
//! *Owns* every ring between cores and hands each core its ends: one [`Port`] per core.
//! *Promises* order per (sender, receiver, lane); that a core asleep is rung for packets that arrived and for room it waited
//! for. *Does not* choose lanes or sizes of turns, nor wake anybody.
//!
//! # Waiting for room
//!
//! What does not fit into a ring stays with its sender, who may then go to sleep. A sender that sleeps over leftovers raises
//! the ring's `wants_room` together with its own `asleep`; a receiver that released slots looks at `wants_room` after its
//! fence, and rings the sender if it is up. The proof is that of [`bell`](crate::bell) with "slots released" in place of "item
//! published". `wants_room` is lowered by the sender alone, when it woke. (A receiver that lowers it after reading it loses a
//! wake-up: it may read it between the sender's refill of the very room it had released and the sender's sleep.)

use crate::bell::{Bell, Sleeper, bell};
use crate::ring::{Consumer, Producer, ring};
use crate::sync::{Arc, AtomicBool, Ordering, fence};
use crossbeam::utils::CachePadded;
use std::marker::PhantomData;
use std::mem::take;

/// No ring is smaller, whatever the budget: below this, batches are cut so small that the fences show.
pub const SLOTS_PER_RING_MIN: usize = 64;

/// Slots of each ring if all rings between `cores` cores together are to stay within a budget.
pub fn slots_per_ring(budget_bytes: usize, cores: usize, slot_bytes: usize) -> usize {
    let rings = cores * cores.saturating_sub(1) * Lane::ALL.len();
    (budget_bytes / rings.max(1) / slot_bytes.max(1)).max(SLOTS_PER_RING_MIN)
}

/// Which of the two rings from one core to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Edge to owner. May be left alone by its receiver while deliveries are congested.
    Requests = 0,
    /// Owner to edge. Always drained by its receiver.
    Deliveries = 1,
}

impl Lane {
    /// Both, in index order.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Deliveries];
}

/// Builds the ports.
#[derive(Debug)]
pub struct Lattice<T>(PhantomData<T>);

impl<T> Lattice<T> {
    /// The ports of `cores` cores, in order, with `slots` slots per ring.
    #[allow(clippy::new_ret_no_self, reason = "the lattice is nothing but its ports, each owned by its core")]
    pub fn new(cores: usize, slots: usize) -> Vec<Port<T>> {
        let (sleepers, bells): (Vec<Sleeper>, Vec<Bell>) = (0..cores).map(|_| bell()).unzip();
        let mut outs: Vec<Vec<[Out<T>; 2]>> = (0..cores).map(|_| Vec::with_capacity(cores)).collect();
        let mut ins: Vec<Vec<[In<T>; 2]>> = (0..cores).map(|_| Vec::with_capacity(cores)).collect();
        for (from, outs) in outs.iter_mut().enumerate() {
            for (_, ins) in ins.iter_mut().enumerate().filter(|&(to, _)| to != from) {
                let ((out_requests, in_requests), (out_deliveries, in_deliveries)) = (lane(slots), lane(slots));
                outs.push([out_requests, out_deliveries]);
                // Senders come in ascending order, so each core finds its inputs in the order of its peers.
                ins.push([in_requests, in_deliveries]);
            }
        }
        let ends = outs.into_iter().zip(ins).map(|(outs, ins)| outs.into_iter().zip(ins));
        let port = |(core, (sleeper, ends)): (usize, (Sleeper, _))| Port::assemble(core, sleeper, ends, &bells);
        sleepers.into_iter().zip(ends).enumerate().map(port).collect()
    }
}

fn lane<T>(slots: usize) -> (Out<T>, In<T>) {
    let wants_room = Arc::new(CachePadded::new(AtomicBool::new(false)));
    let (producer, consumer) = ring(slots);
    let out = Out { ring: producer, stuck: false, wants_room: wants_room.clone() };
    (out, In { ring: consumer, released: false, wants_room })
}

/// The sending end of one ring.
#[derive(Debug)]
struct Out<T> {
    ring: Producer<T>,
    /// The last batch did not fit as a whole.
    stuck: bool,
    /// Raised while this core sleeps over what did not fit.
    wants_room: Arc<CachePadded<AtomicBool>>,
}

/// The receiving end of one ring.
#[derive(Debug)]
struct In<T> {
    ring: Consumer<T>,
    /// Slots were released since the last look at `wants_room`.
    released: bool,
    wants_room: Arc<CachePadded<AtomicBool>>,
}

/// One peer, seen from one core.
#[derive(Debug)]
struct Peer<T> {
    bell: Bell,
    /// Something was published since the last look at the bell.
    published: bool,
    out: [Out<T>; 2],
    input: [In<T>; 2],
}

/// Everything one core needs to speak with all others. Made on one thread, moved to its core's, kept there.
///
/// A turn takes from every peer, works, sends to every peer, and ends with [`ring_sleepers`](Self::ring_sleepers). To sleep:
///
/// ```text
///     port.prepare_sleep();
///     if !port.has_work() && nothing else came { sleep until a bell or a deadline }
///     port.woke();
/// ```
#[derive(Debug)]
pub struct Port<T> {
    core: usize,
    /// By core; nothing in this core's own place.
    peers: Vec<Option<Peer<T>>>,
    sleeper: Sleeper,
    bell: Bell,
    /// Some peer has `published` or `released` set.
    touched: bool,
}

impl<T> Port<T> {
    fn assemble(
        core: usize,
        sleeper: Sleeper,
        ends: impl Iterator<Item = ([Out<T>; 2], [In<T>; 2])>,
        bells: &[Bell],
    ) -> Self {
        let others = bells.iter().enumerate().filter(|&(peer, _)| peer != core);
        let peer = |((_, bell), (out, input)): ((usize, &Bell), _)| {
            Some(Peer { bell: bell.clone(), published: false, out, input })
        };
        let mut peers: Vec<_> = others.zip(ends).map(peer).collect();
        peers.insert(core, None);
        Self { core, peers, sleeper, bell: bells[core].clone(), touched: false }
    }

    /// Which core this is.
    pub fn core(&self) -> usize {
        self.core
    }

    /// How many cores there are, this one included.
    pub fn cores(&self) -> usize {
        self.peers.len()
    }

    /// Moves as many items as fit to a peer; the rest stays, in order. True if all went. To be called with the leftovers
    /// before anything newer is sent on that lane, which a single vector per lane does by itself.
    pub fn send(&mut self, peer: usize, lane: Lane, items: &mut Vec<T>) -> bool {
        let there = self.peers[peer].as_mut().expect("a core sends nothing to itself");
        let out = &mut there.out[lane as usize];
        if out.ring.publish(items) > 0 {
            there.published = true;
            self.touched = true;
        }
        out.stuck = !items.is_empty();
        !out.stuck
    }

    /// Whether the last batch for a peer did not fit: what is left waits for room, and so does everything after it.
    pub fn is_stuck(&self, peer: usize, lane: Lane) -> bool {
        self.peers[peer].as_ref().is_some_and(|there| there.out[lane as usize].stuck)
    }

    /// Hands at most `max` items of a peer to `each`, in order. Returns how many. A core has nothing for itself.
    pub fn take(&mut self, peer: usize, lane: Lane, max: usize, each: impl FnMut(T)) -> usize {
        let Some(there) = &mut self.peers[peer] else { return 0 };
        let input = &mut there.input[lane as usize];
        let taken = input.ring.take(max, each);
        if taken > 0 {
            input.released = true;
            self.touched = true;
        }
        taken
    }

    /// Calls `wake` for every peer that must be woken because of what was sent or taken since the last call. Such a
    /// peer has gone to sleep, and nobody else will wake it. To be called at the end of each turn: one fence, however
    /// many peers.
    pub fn ring_sleepers(&mut self, mut wake: impl FnMut(usize)) {
        if !take(&mut self.touched) {
            return;
        }
        fence(Ordering::SeqCst);
        for (index, there) in self.peers.iter_mut().enumerate() {
            let Some(there) = there else { continue };
            let mut owed = take(&mut there.published);
            for input in &mut there.input {
                owed |= take(&mut input.released) && input.wants_room.load(Ordering::Relaxed);
            }
            if owed && there.bell.claim() {
                wake(index);
            }
        }
    }

    /// Whether a packet waits to be taken.
    pub fn has_input(&self) -> bool {
        self.peers.iter().flatten().any(|there| there.input.iter().any(|input| !input.ring.is_empty()))
    }

    /// Whether a packet waits to be taken, or one that did not fit would fit now: what to look at before sleeping.
    pub fn has_work(&self) -> bool {
        let unstuck = |out: &Out<T>| out.stuck && !out.ring.is_full();
        self.has_input() || self.peers.iter().flatten().any(|there| there.out.iter().any(unstuck))
    }

    /// Says that this core is about to sleep; see [`Sleeper::prepare_sleep`]. Everything sent before must have been followed
    /// by [`ring_sleepers`](Self::ring_sleepers).
    pub fn prepare_sleep(&mut self) {
        debug_assert!(!self.touched, "core {} would sleep while it owes bells", self.core);
        self.want_room(true);
        self.sleeper.prepare_sleep();
    }

    /// Says that this core is awake, or decided not to sleep; see [`Sleeper::woke`].
    pub fn woke(&mut self) -> bool {
        self.want_room(false);
        self.sleeper.woke()
    }

    fn want_room(&mut self, wanted: bool) {
        for out in self.peers.iter().flatten().flat_map(|there| &there.out).filter(|out| out.stuck) {
            out.wants_room.store(wanted, Ordering::Relaxed);
        }
    }

    /// A bell of this core, for threads that are not cores and bring it answers: publish the answer, then ask
    /// [`Bell::needs_ring`].
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn budget_is_divided_by_the_rings_of_all_pairs() {
        assert_eq!(slots_per_ring(1 << 20, 2, 128), (1 << 20) / 4 / 128);
        assert_eq!(slots_per_ring(64 << 20, 4, 128), (64 << 20) / 24 / 128);
    }

    #[test]
    fn small_budget_still_gives_the_least_useful_ring() {
        assert_eq!(slots_per_ring(0, 64, 128), SLOTS_PER_RING_MIN);
        assert_eq!(slots_per_ring(0, 1, 0), SLOTS_PER_RING_MIN);
    }
}
