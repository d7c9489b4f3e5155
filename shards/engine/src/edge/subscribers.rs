//! Edge side of subscriptions: which of this core's connections hear which name.
//!
//! *Owns* names as this core knows them, their members, and the way from an owner's slot to them.
//! *Promises* constant-time membership changes; a member is told nothing before it joined and nothing after it left.
//! *Does not* know values, permissions or other cores' members. The owner knows cores; the edge knows sockets.
//!
//! A member is *pending* from the request until the owner's `Joined`. Leaving while pending forgets the member; the
//! `Joined` that arrives later then finds nobody and is answered with a leave, so the owner's count stays exact.

use crate::ident::{ConnId, Place};
use crate::packet::ReplyTo;
use crate::sides::Left;
use crate::view::Row;
use ahash::RandomState;
use deepstream_wire::Topic;
use hashbrown::HashTable;
use hashbrown::hash_map::{Entry, HashMap};
use slab::Slab;

const UNPLACED: u32 = u32::MAX;

/// A name some connection of this core subscribes to.
#[derive(Debug)]
pub(crate) struct EdgeName {
    pub(crate) topic: Topic,
    pub(crate) owner: Place,
    pub(crate) hash: u64,
    pub(crate) name: Box<[u8]>,
    /// The owner's slot and epoch; from the first `Joined` on. While a new owner is told of the name it has no slot, and the
    /// attempt to tell it stands for the epoch.
    slot: u32,
    epoch: u32,
    /// Connection slots of those who joined.
    members: Vec<u32>,
    /// Members and pending ones.
    references: u32,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    /// Index in the name's `members`; [`UNPLACED`] while pending.
    place: u32,
    /// Index in the connection's list of names.
    listed: u32,
    attempt: u32,
}

/// What became of a request to subscribe, at the edge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subscribe {
    /// Ask the owner, which answers to this.
    AskOwner(ReplyTo),
    /// The connection is a member or pending already.
    Duplicate,
}

/// All subscriptions of one core's connections.
#[derive(Debug)]
pub(crate) struct Subscribers {
    names: Slab<EdgeName>,
    by_name: HashTable<u32>,
    /// Keyed by connection slot and name.
    members: HashMap<(u32, u32), Member, RandomState>,
    places: Row,
    /// Per owner, as it stands in the row: its slot → our name, or [`UNPLACED`].
    by_slot: Vec<Vec<u32>>,
    /// Per connection slot: its names.
    of_conn: Vec<Vec<u32>>,
    attempt: u32,
    /// In a cluster: names that a new owner is told of, by attempt, until it has said where it keeps them.
    rejoining: HashMap<u32, Rejoining, RandomState>,
}

/// See [`Subscribers::rejoining`].
#[derive(Debug)]
struct Rejoining {
    owner: Place,
    /// Who has left meanwhile.
    gone: Vec<ConnId>,
}

impl Subscribers {
    pub(crate) fn new(places: Row, hasher: RandomState) -> Self {
        Self {
            names: Slab::new(),
            by_name: HashTable::new(),
            members: HashMap::with_hasher(hasher.clone()),
            rejoining: HashMap::with_hasher(hasher),
            by_slot: vec![Vec::new(); places.count()],
            places,
            of_conn: Vec::new(),
            attempt: 0,
        }
    }

    /// There are other places. Those that stood in these columns are gone, and so is what owners knew who `are_gone`.
    pub(crate) fn adopt_places(&mut self, places: Row, cleared: &[usize], are_gone: impl Fn(&EdgeName) -> bool) {
        for (_, name) in self.names.iter_mut().filter(|(_, name)| are_gone(name)) {
            (name.slot, name.epoch) = (UNPLACED, 0);
        }
        self.by_slot.resize_with(places.count(), Vec::new);
        for &column in cleared {
            if let Some(slots) = self.by_slot.get_mut(column) {
                *slots = Vec::new();
            }
        }
        self.places = places;
    }

    /// Names that nobody is to hear any more are forgotten, with their members.
    pub(crate) fn drop_names(&mut self, is_meant: impl Fn(&EdgeName) -> bool) {
        let dropped: Vec<u32> = self.names.iter().filter(|(_, name)| is_meant(name)).map(|(id, _)| id as u32).collect();
        if dropped.is_empty() {
            return;
        }
        let all = self.members.keys().copied();
        let members: Vec<(u32, u32)> = all.filter(|(_, id)| dropped.binary_search(id).is_ok()).collect();
        for (conn, id) in members {
            self.forget(conn, id);
        }
    }

    /// Topics, names and members of the names that are meant.
    pub(crate) fn heard(&self, is_meant: impl Fn(&EdgeName) -> bool) -> Vec<(Topic, Box<[u8]>, Vec<u32>)> {
        let meant = self.names.iter().filter(|(_, name)| is_meant(name));
        meant.map(|(_, name)| (name.topic, name.name.clone(), name.members.clone())).collect()
    }

    /// Names go to the owners that `next` says. Which of them have members.
    pub(crate) fn move_names(&mut self, next: impl Fn(&EdgeName) -> Option<Place>) -> Vec<u32> {
        let mut heard = Vec::new();
        for (id, name) in &mut self.names {
            let Some(owner) = next(name) else { continue };
            if name.slot != UNPLACED {
                displace(self.by_slot.get_mut(self.places.index(name.owner)), name.slot, id as u32);
            } else if name.epoch != 0 {
                self.rejoining.remove(&name.epoch);
            }
            (name.owner, name.slot, name.epoch) = (owner, UNPLACED, 0);
            if !name.members.is_empty() {
                self.attempt = self.attempt.wrapping_add(1).max(1);
                name.epoch = self.attempt;
                self.rejoining.insert(self.attempt, Rejoining { owner, gone: Vec::new() });
                heard.push(id as u32);
            }
        }
        heard
    }

    /// A name that its owner is told of: the attempt, and who hears it.
    pub(crate) fn rejoining(&self, id: u32) -> Option<(&EdgeName, u32, &[u32])> {
        self.names.get(id as usize).map(|name| (name, name.epoch, &name.members[..]))
    }

    /// An owner counts the members of a name that it was told of. Those who have left since.
    pub(crate) fn rejoined(&mut self, owner: Place, id: u32, attempt: u32, slot: u32, epoch: u32) -> Vec<ConnId> {
        if self.rejoining.get(&attempt).is_none_or(|it| it.owner != owner) {
            return Vec::new();
        }
        if let Some(name) = self.names.get_mut(id as usize)
            && name.slot == UNPLACED
            && name.epoch == attempt
        {
            (name.slot, name.epoch) = (slot, epoch);
            place(&mut self.by_slot[self.places.index(owner)], slot, id);
        }
        self.rejoining.remove(&attempt).map_or_else(Vec::new, |it| it.gone)
    }

    /// Whether the owner has counted a subscription.
    pub(crate) fn has_joined(&self, conn: ConnId, reply_to: ReplyTo) -> bool {
        let member = self.members.get(&(conn.slot, reply_to.name_id));
        member.is_some_and(|member| member.attempt == reply_to.attempt && member.place != UNPLACED)
    }

    /// Names with at least one member or pending one.
    pub(crate) fn name_count(&self) -> usize {
        self.names.len()
    }

    /// Members and pending ones.
    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Subscriptions of one connection.
    pub(crate) fn count_of(&self, conn: ConnId) -> usize {
        self.of_conn.get(conn.index()).map_or(0, Vec::len)
    }

    /// Connection slots below this may have subscriptions.
    pub(crate) fn slots(&self) -> u32 {
        self.of_conn.len() as u32
    }

    /// One of the subscriptions of a connection slot, by its place; a pending one counts.
    pub(crate) fn subscription(&self, slot: u32, place: usize) -> Option<&EdgeName> {
        let id = *self.of_conn.get(slot as usize)?.get(place)?;
        self.names.get(id as usize)
    }

    /// The name an answer is about, while somebody subscribes to it.
    pub(crate) fn name_of(&self, reply_to: ReplyTo) -> Option<&EdgeName> {
        self.names.get(reply_to.name_id as usize)
    }

    /// How many there are.
    pub(crate) fn count_at(&self, slot: u32) -> usize {
        self.of_conn.get(slot as usize).map_or(0, Vec::len)
    }

    /// Marks `conn` as wanting `name`.
    pub(crate) fn subscribe(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64, owner: Place) -> Subscribe {
        let id = self.intern(topic, name, hash, owner);
        // Never 0: that stands for "subscribes nothing".
        self.attempt = self.attempt.wrapping_add(1).max(1);
        let Entry::Vacant(vacant) = self.members.entry((conn.slot, id)) else {
            return Subscribe::Duplicate;
        };
        if self.of_conn.len() <= conn.index() {
            self.of_conn.resize_with(conn.index() + 1, Vec::new);
        }
        let listed = self.of_conn[conn.index()].len() as u32;
        self.of_conn[conn.index()].push(id);
        vacant.insert(Member { place: UNPLACED, listed, attempt: self.attempt });
        self.names[id as usize].references += 1;
        Subscribe::AskOwner(ReplyTo { name_id: id, attempt: self.attempt, ..ReplyTo::default() })
    }

    /// The owner counted a subscription. `Err` if nobody wants it any more: the owner must be told.
    pub(crate) fn joined(
        &mut self,
        conn: ConnId,
        reply_to: ReplyTo,
        owner: Place,
        slot: u32,
        epoch: u32,
    ) -> Result<(), Left> {
        let left = Left { owner, slot, epoch };
        let member = self.members.get_mut(&(conn.slot, reply_to.name_id)).ok_or(left)?;
        if member.attempt != reply_to.attempt || member.place != UNPLACED {
            return Err(left);
        }
        let name = &mut self.names[reply_to.name_id as usize];
        if name.owner != owner {
            return Err(left);
        }
        member.place = name.members.len() as u32;
        name.members.push(conn.slot);
        name.slot = slot;
        name.epoch = epoch;
        place(&mut self.by_slot[self.places.index(owner)], slot, reply_to.name_id);
        Ok(())
    }

    /// The owner refused a subscription.
    pub(crate) fn refused(&mut self, conn: ConnId, reply_to: ReplyTo) {
        let pending = self.members.get(&(conn.slot, reply_to.name_id));
        if pending.is_some_and(|member| member.attempt == reply_to.attempt && member.place == UNPLACED) {
            self.forget(conn.slot, reply_to.name_id);
        }
    }

    /// `conn` no longer wants `name`. The owner is to be told only where it has counted the subscription.
    #[inline]
    pub(crate) fn unsubscribe(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) -> Option<Left> {
        let id = self.find(topic, name, hash)?;
        let left = self.forget(conn.slot, id)?;
        self.let_leave(conn, left)
    }

    /// What an owner is to be told at once. One that has not said where it keeps the name is told when it has.
    #[inline]
    fn let_leave(&mut self, conn: ConnId, left: Left) -> Option<Left> {
        if left.slot != UNPLACED {
            return Some(left);
        }
        if let Some(rejoining) = self.rejoining.get_mut(&left.epoch) {
            rejoining.gone.push(conn);
        }
        None
    }

    /// Forgets everything of a connection that is gone.
    pub(crate) fn disconnected(&mut self, conn: ConnId, mut left: impl FnMut(Left)) {
        while let Some(&id) = self.of_conn.get(conn.index()).and_then(|names| names.last()) {
            let leave = self.forget(conn.slot, id);
            if let Some(leave) = leave.and_then(|leave| self.let_leave(conn, leave)) {
                left(leave);
            }
        }
        if let Some(names) = self.of_conn.get_mut(conn.index()) {
            *names = Vec::new();
        }
    }

    /// A name by its number, which somebody still wants.
    pub(crate) fn name(&self, id: u32) -> &[u8] {
        &self.names[id as usize].name
    }

    /// Connection slots of those who hear what the owner sends for its slot.
    #[inline]
    pub(crate) fn members(&self, owner: Place, slot: u32) -> &[u32] {
        self.by_owner(owner, slot).map_or(&[], |id| &self.names[id as usize].members)
    }

    /// Ends all subscriptions the owner counted for its slot, without telling it: it forgot them itself.
    pub(crate) fn end(&mut self, owner: Place, slot: u32) {
        let Some(id) = self.by_owner(owner, slot) else { return };
        while let Some(&conn) = self.names.get(id as usize).and_then(|name| name.members.last()) {
            self.forget(conn, id);
        }
    }

    fn by_owner(&self, owner: Place, slot: u32) -> Option<u32> {
        let id = *self.by_slot.get(self.places.index(owner))?.get(slot as usize)?;
        (id != UNPLACED).then_some(id)
    }

    #[inline]
    fn find(&self, topic: Topic, name: &[u8], hash: u64) -> Option<u32> {
        let names = &self.names;
        self.by_name
            .find(hash, |&id| {
                let other = &names[id as usize];
                other.hash == hash && other.topic == topic && *other.name == *name
            })
            .copied()
    }

    fn intern(&mut self, topic: Topic, name: &[u8], hash: u64, owner: Place) -> u32 {
        if let Some(id) = self.find(topic, name, hash) {
            return id;
        }
        let id = self.names.insert(EdgeName {
            topic,
            owner,
            hash,
            name: name.into(),
            slot: UNPLACED,
            epoch: 0,
            members: Vec::new(),
            references: 0,
        }) as u32;
        let names = &self.names;
        self.by_name.insert_unique(hash, id, |&id| names[id as usize].hash);
        id
    }

    /// Removes one member, and the name with its last one.
    fn forget(&mut self, conn: u32, id: u32) -> Option<Left> {
        let member = self.members.remove(&(conn, id))?;
        let listed = &mut self.of_conn[conn as usize];
        listed.swap_remove(member.listed as usize);
        if let Some(&moved) = listed.get(member.listed as usize)
            && let Some(other) = self.members.get_mut(&(conn, moved))
        {
            other.listed = member.listed;
        }
        let name = &mut self.names[id as usize];
        let mut left = None;
        if member.place != UNPLACED {
            left = Some(Left { owner: name.owner, slot: name.slot, epoch: name.epoch });
            name.members.swap_remove(member.place as usize);
            if let Some(&moved) = name.members.get(member.place as usize)
                && let Some(other) = self.members.get_mut(&(moved, id))
            {
                other.place = member.place;
            }
        }
        name.references -= 1;
        if name.members.is_empty() {
            if name.slot != UNPLACED {
                displace(self.by_slot.get_mut(self.places.index(name.owner)), name.slot, id);
            }
            (name.slot, name.epoch) = (UNPLACED, 0);
        }
        if name.references == 0 {
            let hash = name.hash;
            if let Ok(entry) = self.by_name.find_entry(hash, |&other| other == id) {
                entry.remove();
            }
            self.names.remove(id as usize);
        }
        left
    }
}

/// An owner keeps a name in this slot.
#[inline]
fn place(slots: &mut Vec<u32>, slot: u32, id: u32) {
    if slots.len() <= slot as usize {
        slots.resize(slot as usize + 1, UNPLACED);
    }
    slots[slot as usize] = id;
}

/// An owner keeps a name there no more. It may keep another one there by now, if it lost the name.
#[inline]
fn displace(slots: Option<&mut Vec<u32>>, slot: u32, id: u32) {
    if let Some(place) = slots.and_then(|slots| slots.get_mut(slot as usize))
        && *place == id
    {
        *place = UNPLACED;
    }
}
