//! The calls under way, found by who answers, listed by who asks and who answers.
//!
//! Nothing is allocated per call once the tables have grown: ended calls leave their buffers to the next ones.

use crate::context::Options;
use crate::ident::{CallId, ConnId, Nanos, Place};
use crate::limits::Limits;
use crate::timer::TimerId;
use ahash::RandomState;
use deepstream_wire::{Action, Outgoing};
use hashbrown::{HashMap, HashTable};
use slab::Slab;
use smallvec::SmallVec;

const NIL: u32 = u32::MAX;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    generation: u32,
    /// The name's.
    pub(crate) slot: u32,
    /// [`ConnId::NOBODY`] once it left.
    pub(crate) requestor: ConnId,
    /// The number of the request, where its edge waits for its end.
    pub(crate) asked: u32,
    pub(crate) requestor_id: SmallVec<[u8; 32]>,
    pub(crate) provider: ConnId,
    /// The correlation id the provider knows: the requestor's, unless another call has that with the same provider.
    pub(crate) provider_id: SmallVec<[u8; 32]>,
    /// Of provider and id, under which the call is found.
    provider_hash: u64,
    /// Providers that were asked, sorted.
    pub(crate) tried: SmallVec<[ConnId; 2]>,
    pub(crate) accepted: bool,
    /// When its provider must have accepted it.
    pub(crate) accept_due: Nanos,
    /// When its provider must have answered it.
    pub(crate) answer_due: Nanos,
    /// Set for the earlier of the two, and not taken back when it is accepted: as a rule it is answered before.
    pub(crate) timer: TimerId,
    has_data: bool,
    data: Vec<u8>,
    links: [Link; 2],
}

impl Call {
    pub(crate) fn data(&self) -> Option<&[u8]> {
        self.has_data.then_some(&self.data)
    }

    /// What its provider is asked.
    pub(crate) fn request<'a>(&'a self, name: &'a [u8]) -> Outgoing<'a> {
        Outgoing {
            name: Some(name),
            correlation_id: Some(&self.provider_id),
            data: self.data(),
            ..Outgoing::new(Action::RpcRequest)
        }
    }

    /// What whoever asked is told.
    pub(crate) fn answer<'a>(&'a self, name: &'a [u8], action: Action, data: Option<&'a [u8]>) -> Outgoing<'a> {
        Outgoing { name: Some(name), correlation_id: Some(&self.requestor_id), data, ..Outgoing::new(action) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

const UNLINKED: Link = Link { previous: NIL, next: NIL };

/// The two roles a connection has in calls, as indices of [`Call::links`].
#[derive(Clone, Copy)]
enum Role {
    Requestor = 0,
    Provider = 1,
}

/// A name that a connection provides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provided {
    pub(crate) slot: u32,
    /// Where the connection stands among the name's providers, or behind that: it moves up as others before it leave.
    pub(crate) at: u32,
}

/// What a connection has to do with calls of this shard.
#[derive(Debug, Default)]
struct Held {
    /// First calls of its two lists, plus one; 0 for none.
    heads: [u32; 2],
    /// The names it provides.
    provides: SmallVec<[Provided; 4]>,
    /// Calls that were handed over when it stopped providing, and that it has not rejected since.
    taken_away: u32,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.heads == [0, 0] && self.provides.is_empty() && self.taken_away == 0
    }
}

/// All calls of one shard.
#[derive(Debug)]
pub(crate) struct Calls {
    hasher: RandomState,
    random: u64,
    generation: u32,
    table: Slab<Call>,
    by_provider: HashTable<u32>,
    held: HashMap<ConnId, Held, RandomState>,
    /// Bytes of all arguments.
    bytes: usize,
    /// Makes ids up.
    invented: u64,
    buffers: Vec<Vec<u8>>,
}

/// Buffers of ended calls that are kept for later ones: no more, and no larger ones.
const BUFFERS_MAX: usize = 1024;
const BUFFER_BYTES_MAX: usize = 4096;

impl Calls {
    pub(crate) fn new(core: Place, options: &Options) -> Self {
        let [a, b, c, d] = options.seeds;
        let hasher = RandomState::with_seeds(a, b, c, d);
        Self {
            // Any odd number will do to begin with; each core gets its own.
            random: hasher.hash_one(core) | 1,
            generation: 0,
            table: Slab::new(),
            by_provider: HashTable::new(),
            held: HashMap::with_hasher(hasher.clone()),
            bytes: 0,
            invented: 0,
            buffers: Vec::new(),
            hasher,
        }
    }

    /// Connections that provide, ask or are asked.
    pub(crate) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.held.keys().copied()
    }

    /// Calls under way.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Connections that provide, ask or are asked.
    pub(crate) fn party_count(&self) -> usize {
        self.held.len()
    }

    /// Whether there is room for one call more.
    pub(crate) fn has_room(&self, data: usize, limits: &Limits) -> bool {
        self.table.len() < limits.calls_max && self.bytes + data <= limits.call_bytes_max
    }

    /// A number below `bound`, by chance (xorshift64, Marsaglia 2003).
    pub(crate) fn chance(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (((self.random >> 32) * bound as u64) >> 32) as usize
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&Call> {
        self.table.get(id.index as usize).filter(|call| call.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: CallId) -> Option<&mut Call> {
        self.table.get_mut(id.index as usize).filter(|call| call.generation == id.generation)
    }

    /// The call a provider means by an id.
    pub(crate) fn find(&self, provider: ConnId, id: &[u8]) -> Option<CallId> {
        self.find_hashed(self.hash(provider, id), provider, id)
    }

    fn find_hashed(&self, hash: u64, provider: ConnId, id: &[u8]) -> Option<CallId> {
        let table = &self.table;
        let found = self.by_provider.find(hash, |&index| {
            let call = &table[index as usize];
            call.provider == provider && call.provider_id[..] == *id
        });
        found.map(|&index| self.id(index))
    }

    /// Notes that a connection provides a name; the name's place among its names, or `None` if it has `max` of them.
    pub(crate) fn provides(&mut self, conn: ConnId, name: Provided, max: usize) -> Option<u32> {
        let provides = &mut self.held.entry(conn).or_default().provides;
        let place = provides.len();
        let room = place < max;
        if room {
            provides.push(name);
        }
        self.forget_if_empty(conn);
        room.then_some(place as u32)
    }

    /// Notes that it does no more. The name that took the place, if one did.
    pub(crate) fn provides_no_more(&mut self, conn: ConnId, place: u32) -> Option<u32> {
        let held = self.held.get_mut(&conn)?;
        held.provides.swap_remove(place as usize);
        let moved = held.provides.get(place as usize).map(|name| name.slot);
        self.forget_if_empty(conn);
        moved
    }

    /// The names that a connection provides, in no order.
    pub(crate) fn provided_by(&self, conn: ConnId) -> &[Provided] {
        self.held.get(&conn).map_or(&[], |held| &held.provides)
    }

    /// Notes where a connection stands among the providers of the name in this place of its names.
    pub(crate) fn stands_at(&mut self, conn: ConnId, place: u32, at: u32) {
        if let Some(name) = self.held.get_mut(&conn).and_then(|held| held.provides.get_mut(place as usize)) {
            name.at = at;
        }
    }

    /// Notes that a call goes to somebody else although this provider has not answered it.
    pub(crate) fn took_away(&mut self, provider: ConnId) {
        self.held.entry(provider).or_default().taken_away += 1;
    }

    /// Whether a rejection by this provider may be of a call that was taken away from it; each once.
    pub(crate) fn gave_up(&mut self, provider: ConnId) -> bool {
        let Some(held) = self.held.get_mut(&provider).filter(|held| held.taken_away > 0) else { return false };
        held.taken_away -= 1;
        self.forget_if_empty(provider);
        true
    }

    /// The names a connection that is gone provided.
    pub(crate) fn forget_provider(&mut self, conn: ConnId) -> SmallVec<[Provided; 4]> {
        let provides = self.held.get_mut(&conn).map(|held| {
            held.taken_away = 0;
            std::mem::take(&mut held.provides)
        });
        self.forget_if_empty(conn);
        provides.unwrap_or_default()
    }

    /// A new call, nobody asked yet.
    pub(crate) fn begin(
        &mut self,
        slot: u32,
        (requestor, asked): (ConnId, u32),
        id: &[u8],
        data: Option<&[u8]>,
    ) -> CallId {
        self.generation = self.generation.wrapping_add(1);
        let mut buffer = self.buffers.pop().unwrap_or_default();
        buffer.extend_from_slice(data.unwrap_or_default());
        self.bytes += buffer.len();
        let index = self.table.insert(Call {
            generation: self.generation,
            slot,
            requestor,
            asked,
            requestor_id: SmallVec::from_slice(id),
            provider: ConnId::NOBODY,
            provider_id: SmallVec::new(),
            provider_hash: 0,
            tried: SmallVec::new(),
            accepted: false,
            accept_due: Nanos::default(),
            answer_due: Nanos::default(),
            timer: TimerId::NONE,
            has_data: data.is_some(),
            data: buffer,
            links: [UNLINKED; 2],
        }) as u32;
        self.link(index, requestor, Role::Requestor);
        self.id(index)
    }

    /// A provider is asked, instead of the one before.
    pub(crate) fn asked(&mut self, id: CallId, provider: ConnId) {
        self.leave_provider(id.index);
        let call = &self.table[id.index as usize];
        let mut provider_id = SmallVec::from_slice(&call.requestor_id);
        let mut hash = self.hash(provider, &provider_id);
        while self.find_hashed(hash, provider, &provider_id).is_some() {
            // Two requestors chose the same id; the provider is given another, which somebody may have chosen too.
            self.invented += 1;
            provider_id = SmallVec::from_slice(format!("~{}", self.invented).as_bytes());
            hash = self.hash(provider, &provider_id);
        }
        let call = &mut self.table[id.index as usize];
        call.provider = provider;
        call.provider_id = provider_id;
        call.provider_hash = hash;
        let place = call.tried.binary_search(&provider).unwrap_or_else(|place| place);
        call.tried.insert(place, provider);
        call.accepted = false;
        let table = &self.table;
        self.by_provider.insert_unique(hash, id.index, |&index| table[index as usize].provider_hash);
        self.link(id.index, provider, Role::Provider);
    }

    /// Forgets a call; its name's slot and its timer.
    pub(crate) fn end(&mut self, id: CallId) -> Option<(u32, TimerId)> {
        let requestor = self.get(id)?.requestor;
        self.leave_provider(id.index);
        if requestor != ConnId::NOBODY {
            self.unlink(id.index, requestor, Role::Requestor);
        }
        let mut call = self.table.remove(id.index as usize);
        self.bytes -= call.data.len();
        if call.data.capacity() <= BUFFER_BYTES_MAX && self.buffers.len() < BUFFERS_MAX {
            call.data.clear();
            self.buffers.push(call.data);
        }
        Some((call.slot, call.timer))
    }

    /// Nobody waits for a call any more; what its provider still says of it is in order.
    pub(crate) fn abandon(&mut self, id: CallId) {
        let Some(call) = self.get_mut(id) else { return };
        let requestor = std::mem::replace(&mut call.requestor, ConnId::NOBODY);
        let data = std::mem::take(&mut call.data);
        self.bytes -= data.len();
        self.unlink(id.index, requestor, Role::Requestor);
    }

    /// The calls a connection made.
    pub(crate) fn of_requestor(&self, conn: ConnId) -> Vec<CallId> {
        self.list(conn, Role::Requestor)
    }

    /// The calls a connection is asked to answer.
    pub(crate) fn of_provider(&self, conn: ConnId) -> Vec<CallId> {
        self.list(conn, Role::Provider)
    }

    /// The calls of these names, which are in ascending order.
    pub(crate) fn of_names(&self, names: &[u32]) -> Vec<CallId> {
        let of_them = self.table.iter().filter(|(_, call)| names.binary_search(&call.slot).is_ok());
        of_them.map(|(index, call)| CallId { index: index as u32, generation: call.generation }).collect()
    }

    fn id(&self, index: u32) -> CallId {
        CallId { index, generation: self.table[index as usize].generation }
    }

    fn hash(&self, provider: ConnId, id: &[u8]) -> u64 {
        self.hasher.hash_one((provider, id))
    }

    fn leave_provider(&mut self, index: u32) {
        let call = &self.table[index as usize];
        let provider = call.provider;
        if provider == ConnId::NOBODY {
            return;
        }
        if let Ok(entry) = self.by_provider.find_entry(call.provider_hash, |&other| other == index) {
            entry.remove();
        }
        self.unlink(index, provider, Role::Provider);
    }

    fn list(&self, conn: ConnId, role: Role) -> Vec<CallId> {
        let first = self.held.get(&conn).map_or(0, |held| held.heads[role as usize]);
        let mut index = first.wrapping_sub(1);
        let mut list = Vec::new();
        while index != NIL {
            list.push(self.id(index));
            index = self.table[index as usize].links[role as usize].next;
        }
        list
    }

    fn link(&mut self, index: u32, conn: ConnId, role: Role) {
        let head = &mut self.held.entry(conn).or_default().heads[role as usize];
        let next = head.wrapping_sub(1);
        *head = index + 1;
        self.table[index as usize].links[role as usize] = Link { previous: NIL, next };
        if next != NIL {
            self.table[next as usize].links[role as usize].previous = index;
        }
    }

    fn unlink(&mut self, index: u32, conn: ConnId, role: Role) {
        let Link { previous, next } = self.table[index as usize].links[role as usize];
        if next != NIL {
            self.table[next as usize].links[role as usize].previous = previous;
        }
        if previous != NIL {
            self.table[previous as usize].links[role as usize].next = next;
        } else if let Some(held) = self.held.get_mut(&conn) {
            held.heads[role as usize] = next.wrapping_add(1);
            self.forget_if_empty(conn);
        }
    }

    fn forget_if_empty(&mut self, conn: ConnId) {
        if self.held.get(&conn).is_some_and(Held::is_empty) {
            self.held.remove(&conn);
        }
    }
}
