//! Owner side of names: which cores hear which of this core's names.
//!
//! *Owns* every name of this shard that has a value, a subscriber or work in flight.
//! *Promises* that a slot is used again only after every core has left it.
//! *Does not* know connections: a name with a hundred thousand listeners is a handful of counts here.

use crate::ident::{ConnId, Nanos};
use crate::interest::Interest;
use crate::owner::listen::Assignment;
use crate::owner::park::Waiting;
use crate::owner::record::Record;
use deepstream_wire::Topic;
use hashbrown::HashTable;
use slab::Slab;

/// One who answers calls of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider {
    pub(crate) conn: ConnId,
    /// Where the name stands among those that the connection provides.
    pub(crate) place: u32,
}

/// What a name of topic EVENT or RECORD is besides: one that listeners can be asked to provide.
#[derive(Debug, Default)]
pub(crate) struct Listened {
    /// Who provides it, or is asked to.
    pub(crate) assignment: Option<Box<Assignment>>,
    /// When a search for a provider last found nobody.
    pub(crate) search_failed_at: Nanos,
    /// It stands for all names that fit it.
    pub(crate) is_filter: bool,
}

/// What a name is, by its topic.
#[derive(Debug)]
#[repr(u8)]
enum What {
    Event(Listened),
    Record(Listened, Record),
    Rpc {
        /// Who answers calls of that name.
        providers: Vec<Provider>,
        /// Calls of that name under way.
        calls: u32,
    },
    Presence {
        /// Connections logged in as the user of that name.
        online: u32,
    },
}

impl What {
    fn of(topic: Topic) -> Self {
        match topic {
            Topic::Event => Self::Event(Listened::default()),
            Topic::Record => Self::Record(Listened::default(), Record::default()),
            Topic::Rpc => Self::Rpc { providers: Vec::new(), calls: 0 },
            Topic::Presence => Self::Presence { online: 0 },
            Topic::Parser | Topic::Connection | Topic::Auth => unreachable!("a topic without names"),
        }
    }
}

/// Whoever found a slot knows what topic it is of. A core that does not must not go on.
#[cold]
fn mistaken() -> ! {
    unreachable!("the name is of another topic")
}

/// A name this shard owns.
#[derive(Debug)]
pub(crate) struct OwnedName {
    pub(crate) hash: u64,
    /// Which life of the name's subscriptions this is; changes when they are all ended at once.
    pub(crate) epoch: u32,
    pub(crate) name: Box<[u8]>,
    pub(crate) interest: Interest,
    /// Messages about it that cannot be handled yet.
    pub(crate) waiting: Waiting,
    what: What,
}

impl OwnedName {
    #[inline]
    pub(crate) fn topic(&self) -> Topic {
        match self.what {
            What::Event(_) => Topic::Event,
            What::Record(..) => Topic::Record,
            What::Rpc { .. } => Topic::Rpc,
            What::Presence { .. } => Topic::Presence,
        }
    }

    /// The record of that name, if it is one.
    #[inline]
    pub(crate) fn as_record(&self) -> Option<&Record> {
        match &self.what {
            What::Record(_, record) => Some(record),
            What::Event(_) | What::Rpc { .. } | What::Presence { .. } => None,
        }
    }

    /// As [`OwnedName::as_record`], to change it.
    #[inline]
    pub(crate) fn as_record_mut(&mut self) -> Option<&mut Record> {
        match &mut self.what {
            What::Record(_, record) => Some(record),
            What::Event(_) | What::Rpc { .. } | What::Presence { .. } => None,
        }
    }

    /// The record of a name that is one.
    #[inline]
    pub(crate) fn record(&self) -> &Record {
        self.as_record().unwrap_or_else(|| mistaken())
    }

    /// As [`OwnedName::record`], to change it.
    #[inline]
    pub(crate) fn record_mut(&mut self) -> &mut Record {
        self.as_record_mut().unwrap_or_else(|| mistaken())
    }

    /// What listeners have to do with it, if its topic is one that is listened to.
    #[inline]
    pub(crate) fn listened(&self) -> Option<&Listened> {
        match &self.what {
            What::Event(listened) | What::Record(listened, _) => Some(listened),
            What::Rpc { .. } | What::Presence { .. } => None,
        }
    }

    /// As [`OwnedName::listened`], to change it.
    #[inline]
    pub(crate) fn listened_mut(&mut self) -> Option<&mut Listened> {
        match &mut self.what {
            What::Event(listened) | What::Record(listened, _) => Some(listened),
            What::Rpc { .. } | What::Presence { .. } => None,
        }
    }

    /// Who provides it, or is asked to.
    #[inline]
    pub(crate) fn assignment(&self) -> Option<&Assignment> {
        self.listened()?.assignment.as_deref()
    }

    /// As [`OwnedName::assignment`], to change it.
    pub(crate) fn assignment_mut(&mut self) -> Option<&mut Assignment> {
        self.listened_mut()?.assignment.as_deref_mut()
    }

    /// Whether it stands for all names that fit it.
    #[inline]
    pub(crate) fn is_filter(&self) -> bool {
        self.listened().is_some_and(|listened| listened.is_filter)
    }

    /// Who answers calls of that name.
    #[inline]
    pub(crate) fn providers(&self) -> &[Provider] {
        match &self.what {
            What::Rpc { providers, .. } => providers,
            What::Event(_) | What::Record(..) | What::Presence { .. } => &[],
        }
    }

    /// As [`OwnedName::providers`], to change them: of a name that is called.
    #[inline]
    pub(crate) fn providers_mut(&mut self) -> &mut Vec<Provider> {
        match &mut self.what {
            What::Rpc { providers, .. } => providers,
            What::Event(_) | What::Record(..) | What::Presence { .. } => mistaken(),
        }
    }

    /// How many calls are under way, of a name that is called.
    #[inline]
    pub(crate) fn calls_mut(&mut self) -> &mut u32 {
        match &mut self.what {
            What::Rpc { calls, .. } => calls,
            What::Event(_) | What::Record(..) | What::Presence { .. } => mistaken(),
        }
    }

    /// How many connections are logged in as the user of that name.
    pub(crate) fn online(&self) -> u32 {
        match self.what {
            What::Presence { online } => online,
            What::Event(_) | What::Record(..) | What::Rpc { .. } => 0,
        }
    }

    /// As [`OwnedName::online`], to change it: of a name that is a user's.
    pub(crate) fn online_mut(&mut self) -> &mut u32 {
        match &mut self.what {
            What::Presence { online } => online,
            What::Event(_) | What::Record(..) | What::Rpc { .. } => mistaken(),
        }
    }

    /// Whether messages about it have to wait.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting.judging || self.waiting.is_unserved || self.as_record().is_some_and(Record::is_busy)
    }

    /// Whether nobody needs it: no subscriber, no value, no provider, no work in flight.
    fn is_idle(&self) -> bool {
        self.interest.is_empty()
            && self.waiting.is_idle()
            && self.assignment().is_none()
            && match &self.what {
                What::Event(_) => true,
                What::Record(_, record) => record.is_idle(),
                What::Rpc { providers, calls } => providers.is_empty() && *calls == 0,
                What::Presence { online } => *online == 0,
            }
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

    #[inline]
    pub(crate) fn find(&self, topic: Topic, name: &[u8], hash: u64) -> Option<u32> {
        let table = &self.table;
        self.by_name
            .find(hash, |&slot| {
                let other = &table[slot as usize];
                other.hash == hash && other.topic() == topic && *other.name == *name
            })
            .copied()
    }

    #[inline]
    pub(crate) fn find_or_insert(&mut self, topic: Topic, name: &[u8], hash: u64) -> u32 {
        self.find(topic, name, hash).unwrap_or_else(|| self.insert(topic, name, hash))
    }

    fn insert(&mut self, topic: Topic, name: &[u8], hash: u64) -> u32 {
        let epoch = self.next_epoch();
        let slot = self.table.insert(OwnedName {
            hash,
            epoch,
            name: name.into(),
            interest: Interest::default(),
            waiting: Waiting::default(),
            what: What::of(topic),
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

    /// The record in a slot, if there is one.
    pub(crate) fn record(&self, slot: u32) -> Option<&Record> {
        self.get(slot)?.as_record()
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

    /// A connection is a subscriber no more, if the subscription is of the name's present life.
    #[inline]
    pub(crate) fn leave(&mut self, conn: ConnId, slot: u32, epoch: u32) -> bool {
        match self.table.get_mut(slot as usize) {
            Some(name) if name.epoch == epoch => {
                name.interest.subtract(conn);
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
        if name.is_idle() {
            self.remove(slot);
        }
    }

    /// Forgets a name that is another node's.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(name) = self.table.get(slot as usize) else { return };
        if let Ok(entry) = self.by_name.find_entry(name.hash, |&other| other == slot) {
            entry.remove();
        }
        self.table.remove(slot as usize);
    }

    fn next_epoch(&mut self) -> u32 {
        self.epoch = self.epoch.wrapping_add(1);
        self.epoch
    }
}
