//! Which of the nodes each slot goes to: weighted rendezvous hashing.
//!
//! Each core of each candidate draws a number for the slot, and the highest wins. So nodes win in proportion to their cores, and a
//! node that comes or goes moves only the slots that it wins or had won. Draws hang on the name of a node: one that starts again
//! under its name gets back the slots that it had. Only whole numbers take part, which are the same on every machine.

use deepstream_engine::NodeId;
use siphasher::sip::SipHasher13;

/// A node that may have slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) node: NodeId,
    name: u64,
    cores: u16,
}

impl Candidate {
    pub(crate) fn new(node: NodeId, name: &str, cores: u16) -> Self {
        Self { node, name: SipHasher13::new().hash(name.as_bytes()), cores }
    }

    /// The best of its draws for a slot.
    fn draw(&self, slot: u16) -> u64 {
        let draws = (0..self.cores).map(|core| {
            let which = u64::from(slot) << u16::BITS | u64::from(core);
            mixed(self.name ^ mixed(which))
        });
        draws.max().unwrap_or_default()
    }
}

/// Spreads a number over all of its bits (the finalizer of splitmix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Who wins the slot; nobody if there is no candidate.
pub(crate) fn winner(slot: u16, among: &[Candidate]) -> Option<NodeId> {
    among.iter().max_by_key(|candidate| (candidate.draw(slot), candidate.node)).map(|candidate| candidate.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepstream_engine::View;

    fn table(nodes: &[(u8, &str, u16)]) -> Vec<NodeId> {
        let among: Vec<_> =
            nodes.iter().map(|&(node, name, cores)| Candidate::new(NodeId(node), name, cores)).collect();
        (0..View::SLOTS).map(|slot| winner(slot as u16, &among).unwrap()).collect()
    }

    fn moved(before: &[NodeId], after: &[NodeId]) -> f64 {
        before.iter().zip(after).filter(|(before, after)| before != after).count() as f64 / before.len() as f64
    }

    #[test]
    fn slots_are_shared_by_cores() {
        let table = table(&[(0, "a", 1), (1, "b", 2), (2, "c", 5)]);
        for (node, share) in [(0, 1.0 / 8.0), (1, 2.0 / 8.0), (2, 5.0 / 8.0)] {
            let has = table.iter().filter(|owner| owner.0 == node).count() as f64 / table.len() as f64;
            assert!((has - share).abs() < 0.03, "{node} has {has} of the slots, not {share}");
        }
    }

    #[test]
    fn who_comes_or_goes_moves_its_own_share_only() {
        let three = table(&[(0, "a", 2), (1, "b", 2), (2, "c", 2)]);
        let four = table(&[(0, "a", 2), (1, "b", 2), (2, "c", 2), (3, "d", 2)]);
        assert!(moved(&three, &four) < 0.25 * 1.1);
        assert!(three.iter().zip(&four).all(|(before, after)| before == after || after.0 == 3));
        let again = table(&[(7, "d", 2), (2, "c", 2), (1, "b", 2), (0, "a", 2)]);
        assert!(four.iter().zip(&again).all(|(four, again)| four == again || (four.0, again.0) == (3, 7)));
    }

    #[test]
    fn nobody_has_what_nobody_may_have() {
        assert_eq!(winner(7, &[]), None);
    }
}
