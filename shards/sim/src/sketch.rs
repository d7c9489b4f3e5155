//! The parts of a view, from which the next view is made, or one that a shard must refuse.
//!
//! *Owns* the parts. *Promises* that a view which is to be refused has one thing wrong with it, and says which. *Does not*
//! give views to shards.

use crate::rng::Rng;
use deepstream_engine::{Member, NodeId, Place, Unviewable, View};
use std::sync::Arc;

/// A view, in parts.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    pub(crate) epoch: u64,
    pub(crate) seed: [u64; 2],
    /// In the order in which they joined.
    pub(crate) members: Vec<Member>,
    /// The owner of each slot.
    pub(crate) slots: Box<[NodeId]>,
    /// From which epoch on.
    pub(crate) since: Box<[u64]>,
}

/// A node and its cores. It is a member in all views that have it, however early they are.
pub(crate) fn member(node: NodeId, cores: u16) -> Member {
    Member { node, cores, incarnation: u64::from(node.0), since: 0 }
}

impl Sketch {
    /// One node that owns all slots.
    pub(crate) fn lone(member: Member, seed: [u64; 2]) -> Self {
        let slots = vec![member.node; View::SLOTS].into();
        Self { epoch: 1, seed, members: vec![member], slots, since: first_slots() }
    }

    /// The parts of a view.
    pub(crate) fn of(view: &View) -> Self {
        let slots = 0..View::SLOTS as u16;
        Self {
            epoch: view.epoch(),
            seed: view.seed(),
            members: view.members().to_vec(),
            slots: slots.clone().map(|slot| view.node_of(slot)).collect(),
            since: slots.map(|slot| view.generation(slot)).collect(),
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        let view = View::new(self.epoch, self.seed, self.members.clone(), self.slots.clone(), self.since.clone());
        Arc::new(view.expect("every slot is of one of the members"))
    }

    /// How many cores its members have.
    pub(crate) fn cores(&self) -> u16 {
        self.members.iter().map(|member| member.cores).sum()
    }

    /// The next view, with the same members or one more that owns no slot.
    pub(crate) fn next(&self, joins: Option<Member>) -> Self {
        let mut next = Self { epoch: self.epoch + 1, ..self.clone() };
        next.members.extend(joins);
        next
    }

    /// A node that is not a member.
    pub(crate) fn stranger(&self, rng: &mut Rng) -> Member {
        let from = rng.between(0, u64::from(Place::NODES_MAX) - 1) as u8;
        let mut nodes = (0..Place::NODES_MAX).map(|step| NodeId((from + step) % Place::NODES_MAX));
        let node = nodes.find(|&node| !self.has(node)).expect("there are few members");
        member(node, rng.between(1, 2) as u16)
    }

    fn has(&self, node: NodeId) -> bool {
        self.members.iter().any(|member| member.node == node)
    }

    /// A view that a shard with this one must refuse, and the reason. Its epoch is mostly much later: a shard that adopts it by
    /// mistake refuses all proper views after it.
    pub(crate) fn refused(&self, rng: &mut Rng) -> (Self, Unviewable) {
        let mut other = self.next(None);
        other.epoch += rng.between(0, 1000);
        let joins = rng.chance(30).then(|| self.stranger(rng));
        let at = rng.below(self.members.len());
        let gone = Unviewable::Gone(self.members[at].node);
        let why = match rng.below(6) {
            0 => {
                other.epoch = rng.between(0, self.epoch);
                Unviewable::Stale
            }
            1 => {
                other.seed[rng.below(2)] ^= 1 << rng.below(64);
                Unviewable::Seed
            }
            2 if self.members.len() > 1 => {
                let lost = other.members.remove(at).node;
                let heir = other.members[0].node;
                other.slots.iter_mut().filter(|node| **node == lost).for_each(|node| *node = heir);
                gone
            }
            3 if self.members.len() > 1 => {
                other.members.rotate_left(1);
                Unviewable::Gone(self.members[0].node)
            }
            2..=3 => {
                other.members[at].cores += 1;
                gone
            }
            _ => {
                // The new owner is another member, or a node that joins.
                let joins = self.stranger(rng);
                let slot = rng.below(other.slots.len());
                let mut others = self.members.iter().filter(|member| member.node != other.slots[slot]);
                let heir = others.next().copied().filter(|_| rng.chance(50)).unwrap_or(joins);
                if heir == joins {
                    other.members.push(joins);
                }
                other.slots[slot] = heir.node;
                return (other, Unviewable::Moved(slot));
            }
        };
        other.members.extend(joins);
        (other, why)
    }
}

/// All slots have been their nodes' since before any view that may be drawn.
pub(crate) fn first_slots() -> Box<[u64]> {
    vec![0; View::SLOTS].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_view_is_one_and_every_reason_is_drawn() {
        let mut rng = Rng::new(1, "sketch");
        let lone = Sketch::lone(member(NodeId(3), 2), [1, 2]);
        let pair = lone.next(Some(member(NodeId(1), 1)));
        for sketch in [&lone, &pair] {
            let mut drawn = [0; 4];
            for _ in 0..200 {
                let (other, why) = sketch.refused(&mut rng);
                // A view it is all the same.
                assert_eq!(other.view().members(), other.members);
                drawn[match why {
                    Unviewable::Stale => 0,
                    Unviewable::Seed => 1,
                    Unviewable::Gone(node) => {
                        assert!(sketch.has(node));
                        2
                    }
                    _ => 3,
                }] += 1;
            }
            assert!(drawn.iter().all(|&count| count > 5), "{drawn:?}");
        }
    }
}
