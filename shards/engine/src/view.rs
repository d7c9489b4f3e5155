//! Where names are: on the cores of a server alone, or on those of the nodes that a view names.
//!
//! A view is an input: which nodes there are, with how many cores, and which of them has each of 4,096 slots. A name falls into a
//! slot by a hash that all nodes share, onto a node by the table, and onto one of its cores by the same hash.
//!
//! *Owns* the way from a name's hash to its owner, and the row of all places by which a shard's tables are kept. *Promises* that
//! shards with the same view find the same owner of a name, whatever machines they run on; and that a server alone has no view,
//! asks none, and never changes. *Does not* agree on views, nor make them.
//!
//! What a shard does when the view changes is said at [`Shard::adopt_view`](crate::Shard::adopt_view).

use crate::codec::{Get, Put, byte, structs};
use crate::ident::{NodeId, Place};
use ahash::RandomState;
use siphasher::sip::SipHasher13;
use std::sync::Arc;

/// A node and its cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub node: NodeId,
    /// How many: 1 to [`Place::CORES_MAX`].
    pub cores: u16,
}

/// The nodes of a cluster, and which of them each slot belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    epoch: u64,
    seed: [u64; 2],
    members: Vec<Member>,
    slots: Box<[NodeId]>,
    /// All places, the members' one after the other.
    row: Box<[Place]>,
    /// By node: where its places begin in the row, and how many there are.
    rows: Box<[(u32, u16); Place::NODES_MAX as usize]>,
}

/// Why there is no such view, or why a shard does not adopt it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unviewable {
    /// The table is of another size.
    #[error("a table of {0} slots, not of {slots}", slots = View::SLOTS)]
    Slots(usize),
    /// A node is named twice, or its number or that of its cores is out of bounds.
    #[error("node {} is no member, or twice", .0.0)]
    Member(NodeId),
    /// A slot belongs to a node that is no member.
    #[error("slot {0} belongs to no member")]
    Nobodys(usize),
    /// It is not later than the one that the shard has, or that has none.
    #[error("not later than the view in force")]
    Stale,
    /// Names would fall into other slots.
    #[error("another seed than that of the view in force")]
    Seed,
    /// A member is missing, or has another number of cores or another place in the list.
    #[error("node {} is not where it was", .0.0)]
    Gone(NodeId),
    /// A slot belongs to another node than before.
    #[error("slot {0} belongs to another node than in the view in force")]
    Moved(usize),
}

impl View {
    /// How many slots there are, whatever the number of nodes.
    pub const SLOTS: usize = 1 << Self::SLOT_BITS;
    const SLOT_BITS: u32 = 12;

    /// A view. `seed` keys the hash of names, which are hostile: it is to be drawn at random, once for a cluster. `members` are
    /// in the order in which they joined; `slots` says of each slot whose it is.
    pub fn new(epoch: u64, seed: [u64; 2], members: Vec<Member>, slots: Box<[NodeId]>) -> Result<Self, Unviewable> {
        let mut row = Vec::new();
        let mut rows = Box::new([(0, 0); Place::NODES_MAX as usize]);
        for &Member { node, cores } in &members {
            let unviewable = Unviewable::Member(node);
            let known = rows.get_mut(usize::from(node.0)).ok_or(unviewable)?;
            if known.1 > 0 || !(1..=Place::CORES_MAX).contains(&cores) {
                return Err(unviewable);
            }
            *known = (row.len() as u32, cores);
            row.extend((0..cores).map(|core| Place::of(node, core)));
        }
        if slots.len() != Self::SLOTS {
            return Err(Unviewable::Slots(slots.len()));
        }
        let is_member = |node: &NodeId| rows.get(usize::from(node.0)).is_some_and(|row| row.1 > 0);
        match slots.iter().position(|node| !is_member(node)) {
            Some(slot) => Err(Unviewable::Nobodys(slot)),
            None => Ok(Self { epoch, seed, members, slots, row: row.into(), rows }),
        }
    }

    /// Later ones have a larger one.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The nodes, in the order in which they joined.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// All places: the members' in their order, of each the first core first.
    pub fn places(&self) -> &[Place] {
        &self.row
    }

    /// Whether it is one of its places.
    #[inline]
    pub fn has(&self, place: Place) -> bool {
        self.rows.get(usize::from(place.node().0)).is_some_and(|row| place.core() < row.1)
    }

    /// Who owns the names with this hash.
    fn owner(&self, hash: u64) -> Place {
        let node = self.slots[(hash >> (u64::BITS - Self::SLOT_BITS)) as usize];
        // The bits below those of the slot; tables index with the lowest.
        Place::of(node, scaled(hash << Self::SLOT_BITS, self.rows[usize::from(node.0)].1))
    }

    /// Whether a shard can go from another view to this one with all that it holds.
    fn follows(&self, before: &Self) -> Result<(), Unviewable> {
        if self.epoch <= before.epoch {
            return Err(Unviewable::Stale);
        }
        if self.seed != before.seed {
            return Err(Unviewable::Seed);
        }
        for (at, member) in before.members.iter().enumerate() {
            if self.members.get(at) != Some(member) {
                return Err(Unviewable::Gone(member.node));
            }
        }
        let moved = self.slots.iter().zip(&before.slots).position(|(node, before)| node != before);
        moved.map_or(Ok(()), |slot| Err(Unviewable::Moved(slot)))
    }
}

/// The upper half of a hash, as one of so many cores.
fn scaled(hash: u64, cores: u16) -> u16 {
    (((hash >> 32) * u64::from(cores)) >> 32) as u16
}

structs! { Member { node: node, cores: cores } }

impl Put for NodeId {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(self.0);
    }
}

impl Get<'_> for NodeId {
    fn get(from: &mut &[u8]) -> Option<Self> {
        byte(from).map(Self)
    }
}

impl Put for View {
    fn put(&self, to: &mut Vec<u8>) {
        (self.epoch, self.seed, &self.members, &self.slots).put(to);
    }
}

impl Get<'_> for View {
    fn get(from: &mut &[u8]) -> Option<Self> {
        Self::new(Get::get(from)?, Get::get(from)?, Get::get(from)?, Get::get(from)?).ok()
    }
}

/// The hash of names: on a server alone the fastest there is; in a cluster one that is the same on every machine.
#[derive(Clone, Debug)]
pub(crate) enum NameHasher {
    Alone(RandomState),
    Shared([u64; 2]),
}

/// Hashes names; the same on every core that may own one.
#[inline]
pub(crate) fn hash_name(hasher: &NameHasher, name: &[u8]) -> u64 {
    match hasher {
        NameHasher::Alone(hasher) => hasher.hash_one(name),
        &NameHasher::Shared(keys) => hash_shared(keys, name),
    }
}

/// Apart, so that the hash of a server alone is small enough to be inlined.
#[inline(never)]
fn hash_shared([a, b]: [u64; 2], name: &[u8]) -> u64 {
    SipHasher13::new_with_keys(a, b).hash(name)
}

/// The hash of a filter as a name of one core: another one than that of the event or record that is really called so.
pub(crate) fn filter_hash(hasher: &NameHasher, filter: &[u8], core: Place) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    hash_name(hasher, filter) ^ (u64::from(core.0) + 1).wrapping_mul(SPREAD)
}

/// All places that a shard knows, in a row that only ever gets longer: its tables have an entry for each.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    own: Place,
    /// Of its node.
    cores: u16,
    view: Option<Arc<View>>,
}

impl Row {
    /// The cores of a server alone.
    pub(crate) fn alone(own: Place, cores: u16) -> Self {
        debug_assert_eq!(own.node(), NodeId(0), "a server alone is node 0");
        Self { own, cores, view: None }
    }

    /// A core of a member of a view.
    pub(crate) fn member(own: Place, view: Arc<View>) -> Self {
        let cores = view.rows[usize::from(own.node().0)].1;
        Self { own, cores, view: Some(view) }
    }

    pub(crate) fn hasher(&self, alone: RandomState) -> NameHasher {
        self.view.as_ref().map_or(NameHasher::Alone(alone), |view| NameHasher::Shared(view.seed))
    }

    /// Of the node, and the view that it is a member of.
    pub(crate) fn of_tape(&self) -> (u16, Option<&Arc<View>>) {
        (self.cores, self.view.as_ref())
    }

    /// The view to go on with.
    pub(crate) fn adopt(&mut self, view: Arc<View>) -> Result<(), Unviewable> {
        view.follows(self.view.as_ref().ok_or(Unviewable::Stale)?)?;
        self.view = Some(view);
        Ok(())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.view.as_ref().map_or(self.cores.into(), |view| view.row.len())
    }

    /// Where a place stands in the row.
    #[inline]
    pub(crate) fn index(&self, place: Place) -> usize {
        match &self.view {
            None => place.index(),
            Some(view) => view.rows[usize::from(place.node().0)].0 as usize + place.index(),
        }
    }

    /// The place that stands there.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> Place {
        match &self.view {
            None => Place::alone(index as u16),
            Some(view) => view.row[index],
        }
    }

    /// Whether it is one of them.
    #[inline]
    pub(crate) fn has(&self, place: Place) -> bool {
        match &self.view {
            None => place.0 < self.cores,
            Some(view) => view.has(place),
        }
    }

    /// Who owns the names with this hash.
    #[inline]
    pub(crate) fn owner(&self, hash: u64) -> Place {
        match &self.view {
            None => Place::alone(scaled(hash, self.cores)),
            Some(view) => view.owner(hash),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Place> + use<> {
        let places = self.clone();
        (0..places.count()).map(move |index| places.at(index))
    }

    /// All but the shard's own.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Place> + use<> {
        let own = self.own;
        self.all().filter(move |&place| place != own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(epoch: u64, members: &[(u8, u16)], slot: impl Fn(usize) -> u8) -> Result<View, Unviewable> {
        let members = members.iter().map(|&(node, cores)| Member { node: NodeId(node), cores }).collect();
        View::new(epoch, [3, 4], members, (0..View::SLOTS).map(|at| NodeId(slot(at))).collect())
    }

    fn bytes(view: &View) -> Vec<u8> {
        let mut bytes = Vec::new();
        view.put(&mut bytes);
        bytes
    }

    #[test]
    fn what_makes_no_sense_is_no_view() {
        let member = |node| Err(Unviewable::Member(NodeId(node)));
        assert_eq!(view(1, &[(0, 2), (0, 2)], |_| 0), member(0));
        assert_eq!(view(1, &[(0, 2), (1, 0)], |_| 0), member(1));
        assert_eq!(view(1, &[(0, Place::CORES_MAX + 1)], |_| 0), member(0));
        assert_eq!(view(1, &[(0, 2), (Place::NODES_MAX, 1)], |_| 0), member(Place::NODES_MAX));
        assert_eq!(view(1, &[(0, 2)], |slot| u8::from(slot == 7)), Err(Unviewable::Nobodys(7)));
        assert_eq!(view(1, &[(0, 2)], |slot| if slot == 7 { 255 } else { 0 }), Err(Unviewable::Nobodys(7)));
        assert_eq!(View::new(1, [3, 4], Vec::new(), Box::new([])), Err(Unviewable::Slots(0)));
        assert!(view(1, &[(Place::NODES_MAX - 1, Place::CORES_MAX)], |_| Place::NODES_MAX - 1).is_ok());
    }

    #[test]
    fn view_follows_another_that_leaves_all_where_it_is() {
        let before = view(5, &[(4, 2), (1, 3)], |slot| if slot < 9 { 1 } else { 4 }).unwrap();
        let same = |slot| if slot < 9 { 1 } else { 4 };
        let follows = |after: Result<View, Unviewable>| after.unwrap().follows(&before);
        assert_eq!(follows(view(6, &[(4, 2), (1, 3), (0, 1)], same)), Ok(()));
        assert_eq!(follows(view(5, &[(4, 2), (1, 3)], same)), Err(Unviewable::Stale));
        assert_eq!(follows(view(6, &[(1, 3), (4, 2)], same)), Err(Unviewable::Gone(NodeId(4))));
        assert_eq!(follows(view(6, &[(4, 2), (1, 2)], same)), Err(Unviewable::Gone(NodeId(1))));
        assert_eq!(follows(view(6, &[(4, 2)], |_| 4)), Err(Unviewable::Gone(NodeId(1))));
        assert_eq!(follows(view(6, &[(4, 2), (1, 3)], |_| 4)), Err(Unviewable::Moved(0)));
        let slots = (0..View::SLOTS).map(|at| NodeId(same(at))).collect();
        assert_eq!(follows(View::new(6, [3, 5], before.members.clone(), slots)), Err(Unviewable::Seed));
        let mut alone = Row::alone(Place::alone(0), 2);
        assert_eq!(alone.adopt(Arc::new(before)), Err(Unviewable::Stale));
    }

    #[test]
    fn every_place_stands_in_the_row_once_and_owns_its_share() {
        let view = Arc::new(view(1, &[(4, 2), (0, 3)], |slot| if slot % 2 == 0 { 0 } else { 4 }).unwrap());
        let places = Row::member(Place::of(NodeId(0), 1), view);
        let all: Vec<Place> = places.all().collect();
        assert_eq!(format!("{all:?}"), "[4.0, 4.1, 0.0, 0.1, 0.2]");
        assert_eq!(places.peers().count(), 4);
        let hasher = places.hasher(RandomState::with_seeds(1, 2, 3, 4));
        let mut owned = vec![0; places.count()];
        for name in 0..6000_u32 {
            let owner = places.owner(hash_name(&hasher, &name.to_le_bytes()));
            owned[places.index(owner)] += 1;
        }
        for (index, place) in all.into_iter().enumerate() {
            assert_eq!((places.index(place), places.at(index), places.has(place)), (index, place, true));
            let share = if place.node() == NodeId(0) { 1000 } else { 1500 };
            assert!((share - 150..share + 150).contains(&owned[index]), "{owned:?}");
        }
        let strangers = [Place::of(NodeId(4), 2), Place::of(NodeId(1), 0), Place(u16::MAX)];
        assert!(strangers.into_iter().all(|place| !places.has(place)));
        let alone = Row::alone(Place::alone(0), 2);
        assert!(alone.has(Place::alone(1)) && !alone.has(Place::alone(2)) && !alone.has(strangers[1]));
    }

    #[test]
    fn shared_hash_is_the_same_on_every_machine() {
        let hash = |seed| hash_name(&NameHasher::Shared(seed), b"stock/acme");
        assert_eq!(hash([1, 2]), 13_959_149_002_270_183_853);
        assert_ne!(hash([1, 2]), hash([1, 3]));
    }

    #[test]
    fn view_is_read_as_it_was_written_and_nonsense_is_none() {
        let view = view(9, &[(4, 2), (0, 3)], |slot| if slot % 3 == 0 { 0 } else { 4 }).unwrap();
        let bytes = bytes(&view);
        assert_eq!(View::get(&mut &bytes[..]), Some(view));
        let mut changed = bytes.clone();
        changed[bytes.len() - 1] = 3;
        assert_eq!(View::get(&mut &changed[..]), None);
        assert_eq!(View::get(&mut &bytes[..bytes.len() - 1]), None);
    }
}
