//! How the room for the pending logins of one shard is shared between addresses.
//!
//! *Owns* the bounds of their number and bytes. *Promises* that a login finds room unless its own address already uses
//! the most: when it is full, the latest login of the address that uses the most is dropped. *Does not* judge logins.

use super::origin::Origin;
use deepstream_engine::ConnId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// See the module.
#[derive(Debug)]
pub(super) struct Shares {
    logins_max: usize,
    bytes_max: usize,
    bytes: usize,
    next: u64,
    all: HashMap<ConnId, Login>,
    by_origin: HashMap<Origin, Share>,
    /// Origins by how much room they use.
    by_weight: BTreeSet<(usize, Origin)>,
}

#[derive(Debug)]
struct Login {
    origin: Origin,
    number: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Share {
    weight: usize,
    /// In the order in which they came.
    logins: BTreeMap<u64, ConnId>,
}

impl Shares {
    pub(super) fn new(logins_max: usize, bytes_max: usize) -> Self {
        let (all, by_origin, by_weight) = (HashMap::new(), HashMap::new(), BTreeSet::new());
        Self { logins_max, bytes_max, bytes: 0, next: 0, all, by_origin, by_weight }
    }

    /// Makes room for a login. Returns whether there is room for it, and the logins that were dropped to make it.
    pub(super) fn admit(&mut self, conn: ConnId, origin: Origin, bytes: usize) -> (bool, Vec<ConnId>) {
        let mut gone = Vec::new();
        self.insert(conn, origin, bytes);
        while self.all.len() > self.logins_max || self.bytes > self.bytes_max {
            let Some(latest) = self.latest_of_heaviest(origin).filter(|latest| *latest != conn) else {
                self.remove(conn);
                return (false, gone);
            };
            self.remove(latest);
            gone.push(latest);
        }
        (true, gone)
    }

    /// Among origins that use equally much, the latest login is dropped.
    fn latest_of_heaviest(&self, coming: Origin) -> Option<ConnId> {
        let &(most, heaviest) = self.by_weight.last()?;
        let share = self.by_origin.get(&coming).filter(|share| share.weight >= most);
        share.or_else(|| self.by_origin.get(&heaviest))?.logins.values().next_back().copied()
    }

    /// A login is over. Whether it was there.
    pub(super) fn remove(&mut self, conn: ConnId) -> bool {
        let Some(Login { origin, number, bytes }) = self.all.remove(&conn) else { return false };
        self.bytes -= bytes;
        let weight = self.weight(bytes);
        if let Some(share) = self.by_origin.get_mut(&origin) {
            self.by_weight.remove(&(share.weight, origin));
            share.logins.remove(&number);
            share.weight -= weight;
            if share.logins.is_empty() {
                self.by_origin.remove(&origin);
            } else {
                self.by_weight.insert((share.weight, origin));
            }
        }
        true
    }

    fn insert(&mut self, conn: ConnId, origin: Origin, bytes: usize) {
        self.next += 1;
        let (number, weight) = (self.next, self.weight(bytes));
        self.bytes += bytes;
        self.all.insert(conn, Login { origin, number, bytes });
        let share = self.by_origin.entry(origin).or_default();
        self.by_weight.remove(&(share.weight, origin));
        share.weight += weight;
        share.logins.insert(number, conn);
        self.by_weight.insert((share.weight, origin));
    }

    /// How much of both bounds a login takes, in bytes.
    fn weight(&self, bytes: usize) -> usize {
        bytes + (self.bytes_max / self.logins_max.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepstream_engine::Place;

    fn conn(slot: u32) -> ConnId {
        ConnId { core: Place::alone(0), generation: 1, slot }
    }

    fn origin(n: u8) -> Origin {
        Origin::of(&format!("10.0.0.{n}"))
    }

    #[test]
    fn one_may_have_all_until_another_comes() {
        let mut shares = Shares::new(4, 1000);
        for slot in 0..4 {
            assert_eq!(shares.admit(conn(slot), origin(1), 10), (true, vec![]));
        }
        assert_eq!(shares.admit(conn(4), origin(1), 10), (false, vec![]), "not at its own cost");
        assert_eq!(shares.admit(conn(5), origin(2), 10), (true, vec![conn(3)]));
        assert_eq!(shares.admit(conn(6), origin(3), 10), (true, vec![conn(2)]));
        // They now have two, one and one: a login that would make its origin use as much as the heaviest is refused
        // itself.
        assert_eq!(shares.admit(conn(7), origin(2), 10), (false, vec![]));
        assert_eq!(shares.admit(conn(8), origin(4), 10), (true, vec![conn(1)]));
        assert_eq!(shares.admit(conn(9), origin(5), 10), (false, vec![]), "all have one");
    }

    #[test]
    fn bytes_are_shared_too_and_nothing_is_left_behind() {
        let mut shares = Shares::new(100, 1000);
        assert_eq!(shares.admit(conn(0), origin(1), 400), (true, vec![]));
        assert_eq!(shares.admit(conn(1), origin(1), 400), (true, vec![]));
        assert_eq!(shares.admit(conn(2), origin(2), 300), (true, vec![conn(1)]));
        assert_eq!(shares.admit(conn(3), origin(3), 2000), (false, vec![]), "what never fits moves nobody");
        assert!(shares.remove(conn(0)) && shares.remove(conn(2)) && !shares.remove(conn(1)));
        assert_eq!((shares.bytes, shares.all.len(), shares.by_origin.len(), shares.by_weight.len()), (0, 0, 0, 0));
    }
}
