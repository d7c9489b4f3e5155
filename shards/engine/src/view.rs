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
    /// Which process it is: a number that each draws at random when it starts.
    pub incarnation: u64,
    /// The epoch of the view with which it became a member. The same process has another one if it was none for a while: then
    /// nothing of what the others knew of it holds any more.
    pub since: u64,
}

/// The nodes of a cluster, and which of them each slot belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    epoch: u64,
    seed: [u64; 2],
    members: Vec<Member>,
    slots: Box<[NodeId]>,
    since: Box<[u64]>,
    /// All places, the members' one after the other.
    places: Box<[Place]>,
    /// By node: how many it has, none if it is no member.
    cores: Box<[u16; Place::NODES_MAX as usize]>,
}

/// Why there is no such view, or why a shard does not adopt it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unviewable {
    /// The table is of another size.
    #[error("a table of {0} slots, not of {slots}", slots = View::SLOTS)]
    Slots(usize),
    /// A node is named twice, its number or that of its cores is out of bounds, or it became a member later than this view.
    #[error("node {} is no member, or twice", .0.0)]
    Member(NodeId),
    /// A slot belongs to a node that is no member.
    #[error("slot {0} belongs to no member")]
    Nobodys(usize),
    /// A slot has come to its node later than this view, or earlier than the node became a member.
    #[error("slot {0} belongs to its node from an impossible epoch on")]
    Since(usize),
    /// It is not later than the one that the shard has, or that has none.
    #[error("not later than the view in force")]
    Stale,
    /// Names would fall into other slots.
    #[error("another seed than that of the view in force")]
    Seed,
    /// The shard's own node is missing, is another process, or has another number of cores; or another node, if names must not
    /// move.
    #[error("node {} is not where it was", .0.0)]
    Gone(NodeId),
    /// A slot belongs to another node than before, or was another node's in between, and names must not move.
    #[error("slot {0} has moved since the view in force")]
    Moved(usize),
}

impl View {
    /// How many slots there are, whatever the number of nodes.
    pub const SLOTS: usize = 1 << Self::SLOT_BITS;
    const SLOT_BITS: u32 = 12;

    /// A view. `seed` keys the hash of names, which are hostile: it is to be drawn at random, once for a cluster. `members` are
    /// in the order in which they joined; `slots` says of each slot whose it is, and `since` the epoch of the view that made it
    /// so: its generation.
    pub fn new(
        epoch: u64,
        seed: [u64; 2],
        members: Vec<Member>,
        slots: Box<[NodeId]>,
        since: Box<[u64]>,
    ) -> Result<Self, Unviewable> {
        let mut places = Vec::new();
        let mut cores = Box::new([0; Place::NODES_MAX as usize]);
        let mut joined = [u64::MAX; Place::NODES_MAX as usize];
        for member in &members {
            let node = member.node;
            let unviewable = Unviewable::Member(node);
            let known = cores.get_mut(usize::from(node.0)).ok_or(unviewable)?;
            if *known > 0 || !(1..=Place::CORES_MAX).contains(&member.cores) || member.since > epoch {
                return Err(unviewable);
            }
            *known = member.cores;
            joined[usize::from(node.0)] = member.since;
            places.extend((0..member.cores).map(|core| Place::of(node, core)));
        }
        for len in [slots.len(), since.len()] {
            if len != Self::SLOTS {
                return Err(Unviewable::Slots(len));
            }
        }
        for (slot, (node, &since)) in slots.iter().zip(&since).enumerate() {
            match joined.get(usize::from(node.0)) {
                None | Some(&u64::MAX) => return Err(Unviewable::Nobodys(slot)),
                Some(&joined) if since < joined || since > epoch => return Err(Unviewable::Since(slot)),
                Some(_) => {}
            }
        }
        Ok(Self { epoch, seed, members, slots, since, places: places.into(), cores })
    }

    /// Later ones have a larger one.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Keys the hash of names.
    pub fn seed(&self) -> [u64; 2] {
        self.seed
    }

    /// The nodes, in the order in which they joined.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member.
    pub(crate) fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node == node)
    }

    /// All places: the members' in their order, of each the first core first.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The slot of the names with this hash.
    #[inline]
    pub fn slot_of(hash: u64) -> u16 {
        (hash >> (u64::BITS - Self::SLOT_BITS)) as u16
    }

    /// Whose a slot is.
    #[inline]
    pub fn node_of(&self, slot: u16) -> NodeId {
        self.slots[usize::from(slot)]
    }

    /// The epoch of the view with which a slot came to its node. Storage takes what a node writes in the slot only as long as no
    /// later one has claimed it.
    #[inline]
    pub fn generation(&self, slot: u16) -> u64 {
        self.since[usize::from(slot)]
    }

    /// Whether it is one of its places.
    #[inline]
    pub fn has(&self, place: Place) -> bool {
        self.cores.get(usize::from(place.node().0)).is_some_and(|&cores| place.core() < cores)
    }

    /// Who owns the names with this hash.
    fn owner(&self, hash: u64) -> Place {
        let node = self.node_of(Self::slot_of(hash));
        // The bits below those of the slot; tables index with the lowest.
        Place::of(node, scaled(hash << Self::SLOT_BITS, self.cores[usize::from(node.0)]))
    }

    /// Whether a slot is where it was in another view, and has been since.
    fn keeps(&self, slot: u16, before: &Self) -> bool {
        self.node_of(slot) == before.node_of(slot) && self.generation(slot) == before.generation(slot)
    }

    /// Whether a shard of this node can go from another view to this one.
    fn follows(&self, before: &Self, own: NodeId) -> Result<(), Unviewable> {
        if self.epoch <= before.epoch {
            return Err(Unviewable::Stale);
        }
        if self.seed != before.seed {
            return Err(Unviewable::Seed);
        }
        let is_own = |member: &&Member| member.node == own;
        let process = |view: &Self| view.members.iter().find(is_own).map(|member| (member.incarnation, member.cores));
        if process(self) != process(before) {
            return Err(Unviewable::Gone(own));
        }
        Ok(())
    }

    /// Whether everything is left where it was: who joins owns nothing.
    fn leaves_all(&self, before: &Self) -> Result<(), Unviewable> {
        for (at, member) in before.members.iter().enumerate() {
            if self.members.get(at) != Some(member) {
                return Err(Unviewable::Gone(member.node));
            }
        }
        let moved = (0..Self::SLOTS).find(|&slot| !self.keeps(slot as u16, before));
        moved.map_or(Ok(()), |slot| Err(Unviewable::Moved(slot)))
    }
}

fn bit_of(slot: u16) -> (usize, u64) {
    (usize::from(slot / 64), 1 << (slot % 64))
}

/// The upper half of a hash, as one of so many cores.
fn scaled(hash: u64, cores: u16) -> u16 {
    (((hash >> 32) * u64::from(cores)) >> 32) as u16
}

structs! { Member { node: node, cores: cores, incarnation: incarnation, since: since } }

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
        // Views back: epochs may have begun with a clock, and slots seldom move.
        self.since.iter().for_each(|since| (self.epoch - since).put(to));
    }
}

impl Get<'_> for View {
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (epoch, seed, members, slots) = <(u64, _, _, _)>::get(from)?;
        let since: Option<_> = (0..Self::SLOTS).map(|_| epoch.checked_sub(u64::get(from)?)).collect();
        Self::new(epoch, seed, members, slots, since?).ok()
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

/// All places that a shard knows, in a row: its tables have an entry for each. Where the places of a node stood that is gone, those
/// of another may stand later.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    own: Place,
    /// Of its node.
    cores: u16,
    columns: Option<Arc<Columns>>,
    /// Slots that have no owner for the moment, as far as the shard's edge is concerned: one bit each, if there are any.
    held: Option<Arc<[u64; View::SLOTS / 64]>>,
}

/// Where the places of a view's members stand in the row of one shard. That is the shard's own matter: others may have gone from
/// view to view by other ways.
#[derive(Debug)]
struct Columns {
    view: Arc<View>,
    /// Where nobody stands any more, nobody's place does.
    row: Vec<Place>,
    /// By node, and of nobody: where its places begin.
    begins: [u32; Place::NODES_MAX as usize + 1],
}

/// What another view changes.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) before: Arc<View>,
    pub(crate) after: Arc<View>,
    /// The shard's own node has another membership: all others have forgotten what they knew of it.
    pub(crate) anew: bool,
    /// Other nodes that are members no more, or with another membership: nothing holds that was known of them.
    pub(crate) gone: Vec<NodeId>,
    /// Where their places stood in the row. Whoever stands there now has nothing to do with them.
    pub(crate) columns: Vec<usize>,
}

impl Change {
    /// Whether a slot has come to its node with this view, or between the two.
    pub(crate) fn moves(&self, slot: u16) -> bool {
        !self.after.keeps(slot, &self.before)
    }
}

impl Columns {
    /// Those of a view's members that have none yet stand in the first gap that is long enough, or after all others.
    fn of(view: Arc<View>, before: Option<&Self>) -> Self {
        let (mut row, mut begins) =
            before.map_or((Vec::new(), [u32::MAX; _]), |before| (before.row.clone(), before.begins));
        for &Member { node, cores, .. } in before.iter().flat_map(|before| &before.view.members) {
            if view.cores[usize::from(node.0)] != cores {
                let begin = std::mem::replace(&mut begins[usize::from(node.0)], u32::MAX) as usize;
                row[begin..begin + usize::from(cores)].fill(Place::NOBODY);
            }
        }
        for &Member { node, cores, .. } in &view.members {
            let begin = &mut begins[usize::from(node.0)];
            if *begin == u32::MAX {
                let len = usize::from(cores);
                let gap = row.windows(len).position(|gap| gap.iter().all(|&place| place == Place::NOBODY));
                let at = gap.unwrap_or(row.len());
                row.resize(row.len().max(at + len), Place::NOBODY);
                *begin = at as u32;
                row[at..at + len].iter_mut().zip(0..).for_each(|(place, core)| *place = Place::of(node, core));
            }
        }
        Self { view, row, begins }
    }
}

impl Row {
    /// The cores of a server alone.
    pub(crate) fn alone(own: Place, cores: u16) -> Self {
        debug_assert_eq!(own.node(), NodeId(0), "a server alone is node 0");
        Self { own, cores, columns: None, held: None }
    }

    /// A core of a member of a view.
    pub(crate) fn member(own: Place, view: Arc<View>) -> Self {
        let cores = view.cores[usize::from(own.node().0)];
        Self { own, cores, columns: Some(Arc::new(Columns::of(view, None))), held: None }
    }

    pub(crate) fn hasher(&self, alone: RandomState) -> NameHasher {
        self.view().map_or(NameHasher::Alone(alone), |view| NameHasher::Shared(view.seed))
    }

    /// Of the node, and the view that it is a member of.
    pub(crate) fn of_tape(&self) -> (u16, Option<&Arc<View>>) {
        (self.cores, self.view())
    }

    /// The view in force; a server alone has none.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        self.columns.as_ref().map(|columns| &columns.view)
    }

    /// The view to go on with, and what it changes.
    pub(crate) fn adopt(&mut self, after: Arc<View>, may_move: bool) -> Result<Change, Unviewable> {
        let columns = self.columns.as_deref().ok_or(Unviewable::Stale)?;
        let before = Arc::clone(&columns.view);
        after.follows(&before, self.own.node())?;
        if !may_move {
            after.leaves_all(&before)?;
        }
        let (mut gone, mut cleared) = (Vec::new(), Vec::new());
        let anew = before.member(self.own.node()) != after.member(self.own.node());
        let others = before.members.iter().filter(|member| member.node != self.own.node());
        for member in others.filter(|member| anew || !after.members.contains(member)) {
            gone.push(member.node);
            let begin = columns.begins[usize::from(member.node.0)] as usize;
            cleared.extend(begin..begin + usize::from(member.cores));
        }
        self.columns = Some(Arc::new(Columns::of(Arc::clone(&after), Some(columns))));
        Ok(Change { before, after, anew, gone, columns: cleared })
    }

    /// How many stand in the row, nobody's included.
    pub(crate) fn count(&self) -> usize {
        self.columns.as_ref().map_or(self.cores.into(), |columns| columns.row.len())
    }

    /// Where a place stands in the row: one that is none of them, nowhere.
    #[inline]
    pub(crate) fn index(&self, place: Place) -> usize {
        match &self.columns {
            None => place.index(),
            Some(columns) if columns.view.has(place) => {
                columns.begins[usize::from(place.node().0)] as usize + place.index()
            }
            Some(_) => usize::MAX,
        }
    }

    /// The place that stands there; nobody's, if nobody does any more.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> Place {
        match &self.columns {
            None => Place::alone(index as u16),
            Some(columns) => columns.row[index],
        }
    }

    /// Whether it is one of them.
    #[inline]
    pub(crate) fn has(&self, place: Place) -> bool {
        match &self.columns {
            None => place.0 < self.cores,
            Some(columns) => columns.view.has(place),
        }
    }

    /// Who owns the names with this hash; nobody, while their slot is between two owners.
    #[inline]
    pub(crate) fn owner(&self, hash: u64) -> Place {
        match &self.columns {
            None => Place::alone(scaled(hash, self.cores)),
            Some(_) if self.is_held(View::slot_of(hash)) => Place::NOBODY,
            Some(columns) => columns.view.owner(hash),
        }
    }

    fn is_held(&self, slot: u16) -> bool {
        let (word, bit) = bit_of(slot);
        self.held.as_ref().is_some_and(|held| held[word] & bit != 0)
    }

    /// A slot is between two owners.
    pub(crate) fn hold(&mut self, slot: u16) {
        let (word, bit) = bit_of(slot);
        Arc::make_mut(self.held.get_or_insert_with(|| Arc::new([0; _])))[word] |= bit;
    }

    /// A slot has an owner again.
    pub(crate) fn release(&mut self, slot: u16) {
        let (word, bit) = bit_of(slot);
        if let Some(held) = &mut self.held {
            let held = Arc::make_mut(held);
            held[word] &= !bit;
            if held.iter().all(|&bits| bits == 0) {
                self.held = None;
            }
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Place> + use<> {
        let places = self.clone();
        (0..places.count()).map(move |index| places.at(index)).filter(|&place| place != Place::NOBODY)
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

    fn member(node: u8, cores: u16) -> Member {
        Member { node: NodeId(node), cores, incarnation: u64::from(node) + 100, since: 1 }
    }

    fn view(epoch: u64, members: &[(u8, u16)], slot: impl Fn(usize) -> u8) -> Result<View, Unviewable> {
        view_since(epoch, members, slot, |_| 1)
    }

    fn view_since(
        epoch: u64,
        members: &[(u8, u16)],
        slot: impl Fn(usize) -> u8,
        since: impl Fn(usize) -> u64,
    ) -> Result<View, Unviewable> {
        let members = members.iter().map(|&(node, cores)| member(node, cores)).collect();
        let slots = (0..View::SLOTS).map(|at| NodeId(slot(at))).collect();
        View::new(epoch, [3, 4], members, slots, (0..View::SLOTS).map(since).collect())
    }

    fn bytes(view: &View) -> Vec<u8> {
        let mut bytes = Vec::new();
        view.put(&mut bytes);
        bytes
    }

    #[test]
    fn what_makes_no_sense_is_no_view() {
        let unviewable = |node| Err(Unviewable::Member(NodeId(node)));
        assert_eq!(view(1, &[(0, 2), (0, 2)], |_| 0), unviewable(0));
        assert_eq!(view(1, &[(0, 2), (1, 0)], |_| 0), unviewable(1));
        assert_eq!(view(1, &[(0, Place::CORES_MAX + 1)], |_| 0), unviewable(0));
        assert_eq!(view(1, &[(0, 2), (Place::NODES_MAX, 1)], |_| 0), unviewable(Place::NODES_MAX));
        assert_eq!(view(1, &[(0, 2)], |slot| u8::from(slot == 7)), Err(Unviewable::Nobodys(7)));
        assert_eq!(view(1, &[(0, 2)], |slot| if slot == 7 { 255 } else { 0 }), Err(Unviewable::Nobodys(7)));
        assert_eq!(View::new(1, [3, 4], Vec::new(), Box::new([]), Box::new([])), Err(Unviewable::Slots(0)));
        assert_eq!(view(0, &[(0, 2)], |_| 0), unviewable(0), "a member from the next view on");
        let since = |of: u64| view_since(6, &[(0, 2)], |_| 0, |slot| if slot == 9 { of } else { 1 });
        assert_eq!((since(0), since(7)), (Err(Unviewable::Since(9)), Err(Unviewable::Since(9))));
        let late = since(6).unwrap();
        assert_eq!((late.generation(9), late.generation(10)), (6, 1));
        assert!(view(1, &[(Place::NODES_MAX - 1, Place::CORES_MAX)], |_| Place::NODES_MAX - 1).is_ok());
    }

    #[test]
    fn view_follows_another_that_leaves_all_where_it_is() {
        let before = view(5, &[(4, 2), (1, 3)], |slot| if slot < 9 { 1 } else { 4 }).unwrap();
        let same = |slot| if slot < 9 { 1 } else { 4 };
        let follows = |after: Result<View, Unviewable>| {
            let after = after.unwrap();
            after.follows(&before, NodeId(4)).and_then(|()| after.leaves_all(&before))
        };
        assert_eq!(follows(view(6, &[(4, 2), (1, 3), (0, 1)], same)), Ok(()));
        assert_eq!(follows(view(5, &[(4, 2), (1, 3)], same)), Err(Unviewable::Stale));
        assert_eq!(follows(view(6, &[(1, 3), (4, 2)], same)), Err(Unviewable::Gone(NodeId(4))));
        assert_eq!(follows(view(6, &[(4, 2), (1, 2)], same)), Err(Unviewable::Gone(NodeId(1))));
        assert_eq!(follows(view(6, &[(4, 2)], |_| 4)), Err(Unviewable::Gone(NodeId(1))));
        assert_eq!(follows(view(6, &[(4, 2), (1, 3)], |_| 4)), Err(Unviewable::Moved(0)));
        let other = |seed, members| {
            let slots = (0..View::SLOTS).map(|at| NodeId(same(at))).collect();
            follows(View::new(6, seed, members, slots, vec![1; View::SLOTS].into()))
        };
        assert_eq!(other([3, 5], before.members.clone()), Err(Unviewable::Seed));
        let restarted = vec![before.members[0], Member { incarnation: 7, ..before.members[1] }];
        assert_eq!(other([3, 4], restarted), Err(Unviewable::Gone(NodeId(1))));
        let returned = view_since(6, &[(4, 2), (1, 3)], same, |slot| if slot == 8 { 6 } else { 1 });
        assert_eq!(follows(returned), Err(Unviewable::Moved(8)), "it was another's in between");
        let mut alone = Row::alone(Place::alone(0), 2);
        assert_eq!(alone.adopt(Arc::new(before), true).err(), Some(Unviewable::Stale));
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
        // Who joins stands behind those who were there.
        let mut longer = places.clone();
        let slot = |slot| if slot % 2 == 0 { 0 } else { 4 };
        let next = self::view(2, &[(4, 2), (0, 3), (2, 1)], slot);
        assert!(longer.adopt(Arc::new(next.unwrap()), false).is_ok());
        assert_eq!(format!("{:?}", longer.all().collect::<Vec<_>>()), "[4.0, 4.1, 0.0, 0.1, 0.2, 2.0]");
        // Who comes stands where somebody stood who is gone, if there is room; so the row of a cluster of which a node goes and comes
        // for ever does not grow.
        let mut changing = longer.clone();
        for (epoch, members, row) in [
            (3, &[(0, 3), (2, 1)][..], "[0.0, 0.1, 0.2, 2.0]"),
            (4, &[(0, 3), (2, 1), (5, 1)], "[5.0, 0.0, 0.1, 0.2, 2.0]"),
            (5, &[(0, 3), (2, 1), (5, 1), (6, 2)], "[5.0, 0.0, 0.1, 0.2, 2.0, 6.0, 6.1]"),
            (6, &[(0, 3), (2, 1), (6, 2), (7, 1), (8, 1)], "[7.0, 8.0, 0.0, 0.1, 0.2, 2.0, 6.0, 6.1]"),
        ] {
            let next = self::view(epoch, members, |_| 0).unwrap();
            let change = changing.adopt(Arc::new(next), true).unwrap();
            assert!(!change.anew && !change.gone.contains(&NodeId(0)), "{change:?}");
            assert_eq!(format!("{:?}", changing.all().collect::<Vec<_>>()), row);
            assert!(changing.all().all(|place| changing.at(changing.index(place)) == place));
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
        let slot = |slot| if slot % 3 == 0 { 0 } else { 4 };
        let view = view_since(9, &[(4, 2), (0, 3)], slot, |slot| 1 + slot as u64 % 9).unwrap();
        let bytes = bytes(&view);
        assert_eq!(View::get(&mut &bytes[..]), Some(view));
        for (back, nonsense) in [(0, 9), (0, 0x7f), (View::SLOTS, 3)] {
            let mut changed = bytes.clone();
            changed[bytes.len() - 1 - back] = nonsense;
            assert_eq!(View::get(&mut &changed[..]), None, "{back} {nonsense}");
        }
        assert_eq!(View::get(&mut &bytes[..bytes.len() - 1]), None);
    }
}
