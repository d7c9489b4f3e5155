//! Which slots of a cluster's names this core may answer for, and what waits until it may.
//!
//! That a view gives a slot to a node is not enough. The node claims it first, in storage, so that nothing is written any more by
//! whoever had it before; only then what is stored is all there is. Then all others tell what they hear of it, so that nobody misses
//! what happens next; whoever does not within a moment is told later, by version. And it answers only as long as it may trust its
//! membership: afterwards another node may have claimed the slot, and what is in memory here may be old. The moment that counts is the
//! one at which a request comes: an answer that takes longer was right at some moment since, which is all that anybody can tell. Writes
//! need no such trust, storage refuses those of a claim that is over.
//!
//! *Owns* claims, trust, and the list of names at which something waits for them. *Promises* that what came meanwhile is done in
//! its order, or answered as what storage took too long for. *Does not* keep what waits: that is parked at its name, in the bounds
//! of all that waits there. What edges report of their connections (presence, listeners, who left) is counted at once: it is
//! theirs to say.

use crate::context::{Context, TimerKey};
use crate::ident::{ConnId, Fence, Nanos, NodeId, Place};
use crate::owner::Owner;
use crate::owner::begin::is_ordered;
use crate::owner::park::Run;
use crate::packet::{Forwarded, ReplyTo};
use crate::sides::{Sides, ToEdge};
use crate::view::{Row, View};
use bytes::Bytes;
use deepstream_wire::{Flags, Message, Topic};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long a slot that is claimed waits for what others hear of it.
const GRACE_NS: u64 = 500_000_000;

/// How far a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is another node's, or another node has claimed it.
    Elsewhere,
    /// It is this node's, which has not claimed it yet.
    Unclaimed,
    /// It is claimed. Others have still to tell what they hear of it.
    Untold,
    /// What is asked of it is answered.
    Open,
}

/// See the module. A server alone has none.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(super) states: Box<[State; View::SLOTS]>,
    /// With which this node has the slot, or had it last: what it still has to write there is written under that claim.
    pub(super) generations: Box<[u64]>,
    /// The epoch of the first view. Of what it gave to this node nobody hears anything yet.
    first: u64,
    pub(super) trusted_until: Nanos,
    /// Names at which something waits, and since when; the oldest first.
    pub(super) waiting: VecDeque<(u32, Nanos)>,
    /// A timer is set for the first of them.
    is_timed: bool,
    /// Up to which view others have told what they hear.
    pub(super) told: BTreeMap<Place, u64>,
    /// A timer is set after which slots open up to this generation, whoever has told.
    grace_up_to: Option<u64>,
    /// Names of slots that are another node's by now, of which something is still to be stored here.
    pub(super) yielding: BTreeSet<u32>,
    /// The epoch of the last view after which there were none.
    pub(super) yielded: u64,
    /// Who is to be told when there are none, and of which view.
    pub(super) flushes: Vec<(Place, u64)>,
    /// What the connections of other nodes add to the sum of an interest.
    pub(super) sums: BTreeMap<(u32, NodeId), u128>,
    /// How many connections of other nodes there are of the user of a name.
    pub(super) online: BTreeMap<(u32, NodeId), u32>,
    /// Records whose subscribers came from a former owner, and may have missed something.
    pub(super) catching_up: VecDeque<u32>,
}

impl Slots {
    /// Those of a member of a view, which has claimed none.
    pub(crate) fn of(places: &Row, own: Place) -> Option<Box<Self>> {
        let view = places.view()?;
        let mut slots = Self {
            states: Box::new([State::Elsewhere; View::SLOTS]),
            generations: vec![0; View::SLOTS].into(),
            first: view.epoch(),
            trusted_until: Nanos(0),
            waiting: VecDeque::new(),
            is_timed: false,
            told: BTreeMap::new(),
            grace_up_to: None,
            yielding: BTreeSet::new(),
            yielded: view.epoch(),
            flushes: Vec::new(),
            sums: BTreeMap::new(),
            online: BTreeMap::new(),
            catching_up: VecDeque::new(),
        };
        for slot in (0..View::SLOTS as u16).filter(|&slot| view.node_of(slot) == own.node()) {
            slots.gain(slot, view.generation(slot));
        }
        Some(Box::new(slots))
    }

    /// A slot comes to this node.
    pub(super) fn gain(&mut self, slot: u16, generation: u64) {
        self.states[usize::from(slot)] = State::Unclaimed;
        self.generations[usize::from(slot)] = generation;
    }

    pub(super) fn state(&self, hash: u64) -> State {
        self.states[usize::from(View::slot_of(hash))]
    }

    pub(super) fn serves(&self, now: Nanos, hash: u64) -> bool {
        now < self.trusted_until && self.state(hash) == State::Open
    }

    /// The claim under which what has this hash is written.
    pub(super) fn fence(&self, hash: u64) -> Fence {
        let slot = View::slot_of(hash);
        Fence { slot, generation: self.generations[usize::from(slot)] }
    }

    /// Opens what is claimed, and of which all have told what they hear who may hear something.
    fn open(&mut self, view: &View) -> bool {
        let Self { states, generations, told, first, .. } = self;
        let mut opened = false;
        let mut is_told = BTreeMap::new();
        for (state, &generation) in states.iter_mut().zip(&generations[..]) {
            if *state != State::Untold {
                continue;
            }
            let all_told = *is_told.entry(generation).or_insert_with(|| {
                let is_asked =
                    |place: &&Place| view.member(place.node()).is_some_and(|member| member.since < generation);
                let has_told = |place: &Place| told.get(place).is_some_and(|&epoch| epoch >= generation);
                generation <= *first || view.places().iter().filter(is_asked).all(has_told)
            });
            if all_told {
                *state = State::Open;
                opened = true;
            }
        }
        opened
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Storage takes what this node writes in these slots with this generation, and what nobody else has written by now is not
    /// written any more.
    pub(crate) fn claimed(&mut self, claimed: &[u16], generation: u64) {
        let Some(slots) = &mut self.owner.slots else { return };
        for slot in claimed.iter().map(|&slot| usize::from(slot)).filter(|&slot| slot < View::SLOTS) {
            // An answer may be about a claim that is over.
            if slots.states[slot] == State::Unclaimed && slots.generations[slot] == generation {
                slots.states[slot] = State::Untold;
            }
        }
        self.open_told();
        let Some(slots) = &mut self.owner.slots else { return };
        let left = slots.states.iter().zip(&slots.generations[..]).filter(|(state, _)| **state == State::Untold);
        if let Some(generation) = left.map(|(_, &generation)| generation).max()
            && slots.grace_up_to.replace(generation).is_none()
        {
            self.cx.set_timer(GRACE_NS, TimerKey::Untold);
        }
    }

    /// What others hear of slots that are claimed was waited for long enough.
    pub(crate) fn untold_late(&mut self) {
        let Some(slots) = &mut self.owner.slots else { return };
        let Some(up_to) = slots.grace_up_to.take() else { return };
        for (state, &generation) in slots.states.iter_mut().zip(&slots.generations[..]) {
            if *state == State::Untold && generation <= up_to {
                *state = State::Open;
            }
        }
        self.opened();
    }

    /// A place has told all that it hears of what came here up to a view.
    pub(crate) fn told(&mut self, from: Place, epoch: u64) {
        let Some(slots) = &mut self.owner.slots else { return };
        let told = slots.told.entry(from).or_default();
        *told = epoch.max(*told);
        self.open_told();
    }

    pub(super) fn open_told(&mut self) {
        if let (Some(slots), Some(view)) = (&mut self.owner.slots, self.cx.places.view())
            && slots.open(view)
        {
            self.opened();
        }
    }

    fn opened(&mut self) {
        self.search_all_anew();
        self.serve();
    }

    /// No other node claims what this one has before that moment, as long as it is the member that it has been since that view.
    pub(crate) fn leased(&mut self, since: u64, until: Nanos) {
        let (Some(slots), Some(view)) = (&mut self.owner.slots, self.cx.places.view()) else { return };
        if view.member(self.cx.core.node()).is_some_and(|member| member.since == since) {
            slots.trusted_until = slots.trusted_until.max(until);
            self.serve();
        }
    }

    /// Whether what is asked of a name has to wait until this core may answer for it, or behind what does.
    #[inline]
    pub(crate) fn waits_to_be_served(&self, topic: Topic, name: &[u8], hash: u64) -> bool {
        self.owner.slots.as_ref().is_some_and(|slots| {
            let is_served = slots.serves(self.cx.outputs.now, hash);
            !is_served || (!slots.waiting.is_empty() && self.owner.is_unserved(topic, name, hash))
        })
    }

    /// Whether a request is not done now: it waits until it can be answered, or goes back to be sent elsewhere.
    #[cold]
    pub(crate) fn puts_off(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) -> bool {
        let (action, hash) = (message.head.action, message.head.name_hash);
        // Filters are known to all.
        if message.head.flags.has(Flags::FILTER) {
            return false;
        }
        let topic = action.topic();
        if self.owner.is_elsewhere(hash) {
            // What is said of something under way here is for whoever has it.
            if !is_ordered(action) && self.owner.names.find(topic, message.name(), hash).is_some() {
                return false;
            }
            let bytes = Bytes::copy_from_slice(message.bytes);
            self.tell_astray(Forwarded { conn, reply_to, head: message.head, bytes });
            return true;
        }
        if !is_ordered(action) || !self.waits_to_be_served(topic, message.name(), hash) {
            return false;
        }
        let slot = self.unserved(topic, message.name(), hash);
        // What is fetched is found by the name's record, which sees that it has to wait.
        if topic == Topic::Record {
            self.act(conn, reply_to, message);
        } else {
            let parked = self.parked(conn, reply_to, message);
            self.park(slot, parked);
        }
        true
    }

    /// A name at which something is about to wait.
    pub(crate) fn unserved(&mut self, topic: Topic, name: &[u8], hash: u64) -> u32 {
        let slot = self.owner.names.find_or_insert(topic, name, hash);
        let waiting = &mut self.owner.names.at_mut(slot).waiting;
        let now = self.cx.outputs.now;
        if let Some(slots) = &mut self.owner.slots
            && !std::mem::replace(&mut waiting.is_unserved, true)
        {
            slots.waiting.push_back((slot, now));
            self.time_the_unserved();
        }
        slot
    }

    fn time_the_unserved(&mut self) {
        if let Some(slots) = &mut self.owner.slots
            && let Some(&(_, since)) = slots.waiting.front()
            && !std::mem::replace(&mut slots.is_timed, true)
        {
            let left_ns = since.after(self.cx.options.storage_timeout_ns).since(self.cx.outputs.now);
            self.cx.set_timer(left_ns, TimerKey::Unserved);
        }
    }

    /// What can be answered by now is gone on with.
    fn serve(&mut self) {
        let (now, names) = (self.cx.outputs.now, &self.owner.names);
        let Some(slots) = &mut self.owner.slots else { return };
        let waiting = std::mem::take(&mut slots.waiting);
        let (served, rest): (VecDeque<_>, _) =
            waiting.into_iter().partition(|&(slot, _)| slots.serves(now, names.at(slot).hash));
        slots.waiting = rest;
        for (slot, _) in served {
            let name = self.owner.names.at_mut(slot);
            name.waiting.is_unserved = false;
            // Else it waits for something else, too, and is gone on with then.
            if !name.is_busy() && self.look_up_for_readers(slot) {
                self.run_parked(slot, Run::default());
            }
        }
        self.go_on_catching_up();
    }

    /// What has waited for as long as storage may take is answered as what storage took too long for.
    pub(crate) fn unserved_late(&mut self) {
        let (now, patience) = (self.cx.outputs.now, self.cx.options.storage_timeout_ns);
        let Some(slots) = &mut self.owner.slots else { return };
        slots.is_timed = false;
        let late = slots.waiting.iter().take_while(|(_, since)| since.after(patience) <= now).count();
        for (slot, _) in slots.waiting.drain(..late).collect::<Vec<_>>() {
            let name = self.owner.names.at_mut(slot);
            name.waiting.is_unserved = false;
            if name.is_busy() {
                // The first of what waits is under way.
                name.waiting.is_unserved = true;
                self.owner.slots.iter_mut().for_each(|slots| slots.waiting.push_back((slot, now)));
                continue;
            }
            self.fail_readers(slot);
            let before = self.begin_running(slot);
            self.fail_all_parked(slot);
            self.end_running(slot, before);
        }
        self.time_the_unserved();
    }
}

impl Owner {
    /// Whether it may answer for names with this hash.
    #[inline]
    pub(crate) fn serves(&self, cx: &Context, hash: u64) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.serves(cx.outputs.now, hash))
    }

    /// Whether names with this hash are another node's.
    pub(crate) fn is_elsewhere(&self, hash: u64) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.state(hash) == State::Elsewhere)
    }

    /// The epoch up to which nothing is held any more that had to be given up; a server alone gives up nothing.
    pub(crate) fn yielded(&self) -> Option<u64> {
        self.slots.as_ref().map(|slots| slots.yielded)
    }

    fn is_unserved(&self, topic: Topic, name: &[u8], hash: u64) -> bool {
        self.names.find(topic, name, hash).is_some_and(|slot| self.names.at(slot).waiting.is_unserved)
    }
}
