//! Owner side of names: which cores hear which of this core's names.
//!
//! *Owns* every name of this shard that has a value, a subscriber or work in flight.
//! *Promises* that a slot is used again only after every core has left it.
//! *Does not* know connections: a name with a hundred thousand listeners is a handful of counts here.

use crate::ident::{ConnId, CoreId, Nanos};
use crate::listen::Provision;
use crate::record::Record;
use deepstream_wire::{Topic, Wire};
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

#[derive(Clone, Copy, Debug)]
struct CoreInterest {
    core: CoreId,
    /// Wires spoken by subscribers there since the count was last 0.
    wires: u8,
    count: u32,
}

/// The cores that have subscribers of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interest(SmallVec<[CoreInterest; 1]>);

impl Interest {
    pub(crate) fn add(&mut self, core: CoreId, wire: Wire) {
        let bit = 1 << wire as u8;
        match self.0.iter_mut().find(|interest| interest.core == core) {
            Some(interest) => {
                interest.wires |= bit;
                interest.count += 1;
            }
            None => self.0.push(CoreInterest { core, wires: bit, count: 1 }),
        }
    }

    /// One subscriber fewer on `core`.
    pub(crate) fn subtract(&mut self, core: CoreId) {
        let place = self.0.iter().position(|interest| interest.core == core);
        debug_assert!(place.is_some(), "a core leaves only what it joined");
        let Some(place) = place else { return };
        self.0[place].count -= 1;
        if self.0[place].count == 0 {
            self.0.swap_remove(place);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One bit per wire some subscriber reads.
    pub(crate) fn wires(&self) -> u8 {
        self.0.iter().fold(0, |wires, interest| wires | interest.wires)
    }

    /// The wire of all subscribers, if they are on one core, which is `core`, and of one wire.
    #[inline]
    pub(crate) fn only_wire_on(&self, core: CoreId) -> Option<Wire> {
        match self.0[..] {
            [CoreInterest { core: only, wires, .. }] if only == core && wires.is_power_of_two() => {
                Some(Wire::ALL[wires.trailing_zeros() as usize])
            }
            _ => None,
        }
    }

    pub(crate) fn cores(&self) -> impl Iterator<Item = CoreId> + '_ {
        self.0.iter().map(|interest| interest.core)
    }

    /// Forgets everybody.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// One who answers calls of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider {
    pub(crate) conn: ConnId,
    /// Where the name stands among those that the connection provides.
    pub(crate) place: u32,
}

/// A name this shard owns.
#[derive(Debug)]
pub(crate) struct OwnedName {
    pub(crate) topic: Topic,
    pub(crate) hash: u64,
    /// Which life of the name's subscriptions this is; changes when they are all ended at once.
    pub(crate) epoch: u32,
    pub(crate) name: Box<[u8]>,
    pub(crate) interest: Interest,
    /// The record of that name, for names on topic RECORD.
    pub(crate) record: Record,
    /// Connections logged in as the user of that name, for names on topic PRESENCE.
    pub(crate) online: u32,
    /// Who answers calls of that name, for names on topic RPC.
    pub(crate) providers: Vec<Provider>,
    /// Calls of that name under way.
    pub(crate) calls: u32,
    /// Who provides it, or is asked to, for names on topics EVENT and RECORD.
    pub(crate) provision: Option<Box<Provision>>,
    /// When a search for a provider last found nobody.
    pub(crate) search_failed_at: Nanos,
    /// It stands for all names that fit it.
    pub(crate) is_filter: bool,
}

impl OwnedName {
    /// Whether nobody needs it: no subscriber, no value, no provider, no work in flight.
    fn is_idle(&self) -> bool {
        self.interest.is_empty()
            && self.record.is_idle()
            && self.online == 0
            && self.providers.is_empty()
            && self.calls == 0
            && self.provision.is_none()
    }
}

/// All names of one shard.
#[derive(Debug, Default)]
pub(crate) struct Names {
    table: Slab<OwnedName>,
    by_name: HashTable<u32>,
    epoch: u32,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn find(&self, topic: Topic, name: &[u8], hash: u64) -> Option<u32> {
        let table = &self.table;
        self.by_name
            .find(hash, |&slot| {
                let other = &table[slot as usize];
                other.hash == hash && other.topic == topic && *other.name == *name
            })
            .copied()
    }

    pub(crate) fn find_or_insert(&mut self, topic: Topic, name: &[u8], hash: u64) -> u32 {
        if let Some(slot) = self.find(topic, name, hash) {
            return slot;
        }
        let epoch = self.next_epoch();
        let slot = self.table.insert(OwnedName {
            topic,
            hash,
            epoch,
            name: name.into(),
            interest: Interest::default(),
            record: Record::default(),
            online: 0,
            providers: Vec::new(),
            calls: 0,
            provision: None,
            search_failed_at: Nanos::default(),
            is_filter: false,
        }) as u32;
        let table = &self.table;
        self.by_name.insert_unique(hash, slot, |&slot| table[slot as usize].hash);
        slot
    }

    /// All slots are below this.
    pub(crate) fn slots(&self) -> u32 {
        self.table.capacity() as u32
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&OwnedName> {
        self.table.get(slot as usize)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut OwnedName> {
        self.table.get_mut(slot as usize)
    }

    /// A slot the caller got from this table and has not removed.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> &OwnedName {
        &self.table[slot as usize]
    }

    /// As [`Names::at`], to change it.
    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut OwnedName {
        &mut self.table[slot as usize]
    }

    /// One subscriber of `core` fewer, if the subscription is of the name's present life.
    pub(crate) fn leave(&mut self, core: CoreId, slot: u32, epoch: u32) -> bool {
        match self.table.get_mut(slot as usize) {
            Some(name) if name.epoch == epoch => {
                name.interest.subtract(core);
                true
            }
            _ => false,
        }
    }

    /// Ends all subscriptions of a name.
    pub(crate) fn end(&mut self, slot: u32) {
        let epoch = self.next_epoch();
        let name = self.at_mut(slot);
        name.interest.clear();
        name.epoch = epoch;
    }

    /// Forgets a name that nobody needs.
    pub(crate) fn remove_if_idle(&mut self, slot: u32) {
        let Some(name) = self.table.get(slot as usize) else { return };
        if !name.is_idle() {
            return;
        }
        let hash = name.hash;
        if let Ok(entry) = self.by_name.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        self.table.remove(slot as usize);
    }

    fn next_epoch(&mut self) -> u32 {
        self.epoch = self.epoch.wrapping_add(1);
        self.epoch
    }
}
