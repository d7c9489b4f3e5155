//! Which cores hear a name: whom its owner tells what happens to it.
//!
//! *Owns* the counts. *Promises* that a name with a hundred thousand listeners is a handful of them. *Does not* know connections,
//! unless there is but one.

use crate::ident::{ConnId, NodeId, Place};
use deepstream_wire::Wire;
use smallvec::SmallVec;

#[derive(Clone, Copy, Debug)]
struct CoreInterest {
    core: Place,
    /// Wires spoken by subscribers there since the count was last 0.
    wires: u8,
    count: u32,
}

/// The cores that have subscribers of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interest {
    cores: SmallVec<[CoreInterest; 1]>,
    /// The sum of the [`ConnId::mixed`] numbers of all subscribers. Of few or many it tells whether they are one and the same
    /// connection, and which, without a list of them: see [`Interest::only`].
    sum: u128,
}

impl Interest {
    pub(crate) fn add(&mut self, conn: ConnId, wire: Wire) {
        let bit = 1 << wire as u8;
        self.sum = self.sum.wrapping_add(conn.mixed().into());
        match self.cores.iter_mut().find(|interest| interest.core == conn.core) {
            Some(interest) => {
                interest.wires |= bit;
                interest.count += 1;
            }
            None => self.cores.push(CoreInterest { core: conn.core, wires: bit, count: 1 }),
        }
    }

    /// So many subscribers of a core, with the sum of their mixed numbers, and a bit for each wire that they read.
    pub(crate) fn add_many(&mut self, core: Place, count: u32, sum: u128, wires: u8) {
        self.sum = self.sum.wrapping_add(sum);
        match self.cores.iter_mut().find(|interest| interest.core == core) {
            Some(interest) => {
                interest.wires |= wires;
                interest.count += count;
            }
            None => self.cores.push(CoreInterest { core, wires, count }),
        }
    }

    /// The subscribers of one core, to tell them something.
    pub(crate) fn on(&self, core: Place) -> Self {
        let cores = self.cores.iter().copied().filter(|interest| interest.core == core).collect();
        Self { cores, sum: 0 }
    }

    /// Forgets the subscribers of a node, whose mixed numbers add up to this. Whether there were any.
    pub(crate) fn forget_node(&mut self, node: NodeId, sum: u128) -> bool {
        let before = self.cores.len();
        self.cores.retain(|interest| interest.core.node() != node);
        self.sum = self.sum.wrapping_sub(sum);
        self.cores.len() < before
    }

    /// A connection is a subscriber no more.
    pub(crate) fn subtract(&mut self, conn: ConnId) {
        let place = self.cores.iter().position(|interest| interest.core == conn.core);
        debug_assert!(place.is_some(), "a core leaves only what it joined");
        let Some(place) = place else { return };
        self.sum = self.sum.wrapping_sub(conn.mixed().into());
        self.cores[place].count -= 1;
        if self.cores[place].count == 0 {
            self.cores.swap_remove(place);
        }
    }

    /// The one connection that all subscriptions are of, if they are of one. It can have several for a moment, when it left and
    /// came again before it heard of the first. That others add up to what one connection would is as likely as two equal
    /// hashes of 64 bits, and costs a listener a question that it is asked later, or not.
    pub(crate) fn only(&self) -> Option<ConnId> {
        let [CoreInterest { core, count, .. }] = self.cores[..] else { return None };
        let count = u128::from(count);
        if !self.sum.is_multiple_of(count) {
            return None;
        }
        let only = ConnId::of_mixed(u64::try_from(self.sum / count).ok()?);
        (only.core == core).then_some(only)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cores.is_empty()
    }

    /// One bit per wire some subscriber reads.
    pub(crate) fn wires(&self) -> u8 {
        self.cores.iter().fold(0, |wires, interest| wires | interest.wires)
    }

    /// The wire of all subscribers, if they are on one core, which is `core`, and of one wire.
    #[inline]
    pub(crate) fn only_wire_on(&self, core: Place) -> Option<Wire> {
        match self.cores[..] {
            [CoreInterest { core: only, wires, .. }] if only == core && wires.is_power_of_two() => {
                Some(Wire::ALL[wires.trailing_zeros() as usize])
            }
            _ => None,
        }
    }

    pub(crate) fn cores(&self) -> impl Iterator<Item = Place> + '_ {
        self.cores.iter().map(|interest| interest.core)
    }

    /// Forgets everybody.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_tells_whose_it_is_alone() {
        let conn = |core, slot, generation| ConnId { core: Place::alone(core), generation, slot };
        let (ann, bob, cid) = (conn(0, 3, 1), conn(0, 4, 1), conn(1, 3, 1));
        let mut interest = Interest::default();
        assert_eq!(interest.only(), None);
        for (joins, who, only) in [
            (true, ann, Some(ann)),
            (true, ann, Some(ann)),
            (true, cid, None),
            (false, ann, None),
            (true, bob, None),
            (false, cid, None),
            (false, ann, Some(bob)),
            (false, bob, None),
            (true, cid, Some(cid)),
        ] {
            if joins {
                interest.add(who, Wire::Protobuf);
            } else {
                interest.subtract(who);
            }
            assert_eq!(interest.only(), only, "{who:?} {joins}");
        }
        interest.clear();
        assert_eq!((interest.only(), interest.sum), (None, 0));
        // Neighbours do not add up to the one between them, as their own numbers would.
        for slot in 0..1000 {
            let mut interest = Interest::default();
            interest.add(conn(0, slot, 7), Wire::Text);
            assert_eq!(interest.only(), Some(conn(0, slot, 7)));
            interest.add(conn(0, slot + 2, 7), Wire::Text);
            assert_eq!(interest.only(), None);
        }
    }
}
