//! Who listens for what, as this shard was told: every listener of every core.

use super::index::{Index, Run};
use super::work::{FEW, Newcomer, Work};
use crate::context::Options;
use crate::ident::{ConnId, mixed};
use crate::pattern::{Matcher, NamePattern};
use crate::timer::TimerId;
use ahash::RandomState;
use deepstream_wire::Topic;
use hashbrown::{HashMap, HashTable};
use slab::Slab;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

/// A pattern somebody listens to.
#[derive(Debug)]
struct Entry {
    topic: Topic,
    hash: u64,
    pattern: Arc<NamePattern>,
    /// In order of their coming.
    listeners: Vec<u32>,
    order: u64,
    /// Where it stands in the index.
    under: Vec<Run>,
    /// It took too many steps once, and is not tried any more.
    spent: bool,
    /// The last name it was tried for.
    tried: u64,
}

/// One connection that listens to one pattern.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) conn: ConnId,
    pub(crate) topic: Topic,
    pub(crate) pattern: Arc<NamePattern>,
    entry: u32,
    /// Counts listeners, so that one names no other that came in its place.
    pub(super) order: u64,
    /// It listens no more; what it provides is being handed over.
    pub(crate) leaving: bool,
    /// Slots of the names it was asked for or provides.
    pub(super) names: Vec<u32>,
    /// Of those, the ones it has not answered for.
    pub(super) asked: usize,
    /// It is among the newcomers that share a pass.
    pub(super) in_pass: bool,
    /// How far it came on its own until it had too much to answer.
    pub(super) resting: Option<(Newcomer, u32)>,
}

/// How far the search for a name's provider has come. Candidates are asked in ascending order of their keys; none is kept in
/// a list, because a hundred thousand names may be searched for at once.
#[derive(Debug)]
pub(crate) struct Search {
    /// Shuffles the candidates of this search; 0: they are asked in order.
    salt: u64,
    /// Listeners that came later are asked last.
    began: u64,
    /// The one who was asked out of order.
    first: u64,
    last: Option<Key>,
    /// The rules in force when it began.
    pub(super) rules: u32,
    pub(super) among: Among,
    /// The first of those who came before it and were still on their way around the names when it began: they count as later.
    underway: u64,
    /// Listeners that were passed over because nobody else subscribed to the name at that moment, by their order, and whose
    /// they are.
    pub(super) own: BTreeMap<u64, ConnId>,
    /// Connections whose users may not listen to the name.
    pub(super) denied: BTreeSet<ConnId>,
}

/// Whom a search asks beside those who came later.
#[derive(Debug)]
pub(super) enum Among {
    Everybody,
    /// What this connection listens with.
    Conn(ConnId),
    /// Listeners by their order.
    Listeners(BTreeSet<u64>),
}

/// Later than all others, rank, order.
type Key = (bool, u64, u64);

/// All listeners of a process, as one shard knows them.
#[derive(Debug)]
pub(crate) struct Listening {
    hasher: RandomState,
    shuffle: bool,
    entries: Slab<Entry>,
    by_source: HashTable<u32>,
    pub(crate) listeners: Slab<Listener>,
    of_conn: HashMap<ConnId, Vec<u32>, RandomState>,
    indices: [Index; 2],
    /// Counts listeners.
    order: u64,
    /// Counts names looked up, and searches.
    count: u64,
    pub(super) attempt: u32,
    /// Questions put to all listeners and not answered yet.
    pub(super) asked: usize,
    pub(super) work: VecDeque<Work>,
    /// Who shares the pass over the names, in the order of their coming, and where it stands.
    pub(super) newcomers: VecDeque<Newcomer>,
    pub(super) cursor: u32,
    /// The timer that goes on with the work; [`TimerId::NONE`] while there is none.
    pub(super) work_timer: TimerId,
    pub(super) rematch_timer: TimerId,
    matcher: Matcher,
    found: Vec<u32>,
    /// Who is asked next, the first on top, for as long as one name is being looked at.
    line: BinaryHeap<Reverse<(Key, u32)>>,
    /// Patterns that took too many steps, to be told of.
    pub(super) slow: Vec<Arc<NamePattern>>,
}

fn place(topic: Topic) -> usize {
    usize::from(topic == Topic::Record)
}

impl Listening {
    pub(crate) fn new(options: &Options) -> Self {
        let [a, b, c, d] = options.seeds;
        let hasher = RandomState::with_seeds(a, b, c, d);
        Self {
            shuffle: options.listen_shuffle,
            entries: Slab::new(),
            by_source: HashTable::new(),
            listeners: Slab::new(),
            of_conn: HashMap::with_hasher(hasher.clone()),
            indices: [Index::new(hasher.clone()), Index::new(hasher.clone())],
            order: 0,
            count: 0,
            attempt: 0,
            asked: 0,
            work: VecDeque::new(),
            newcomers: VecDeque::new(),
            cursor: 0,
            work_timer: TimerId::NONE,
            rematch_timer: TimerId::NONE,
            matcher: Matcher::new(options.limits.listen_steps_max),
            found: Vec::new(),
            line: BinaryHeap::new(),
            slow: Vec::new(),
            hasher,
        }
    }

    /// Who listens.
    pub(crate) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.listeners.iter().map(|(_, listener)| listener.conn)
    }

    /// Patterns, listeners, names they were asked for or provide, and of those the ones not answered for.
    pub(crate) fn counts(&self) -> [usize; 4] {
        let listeners = || self.listeners.iter().map(|(_, listener)| listener);
        let names = listeners().map(|listener| listener.names.len()).sum();
        let asked = listeners().map(|listener| listener.asked).sum();
        [self.entries.len(), self.listeners.len(), names, asked]
    }

    pub(crate) fn work_len(&self) -> usize {
        self.work.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many patterns a connection listens to.
    pub(crate) fn count_of(&self, conn: ConnId) -> usize {
        self.of_conn.get(&conn).map_or(0, Vec::len)
    }

    /// Whether a connection listens on a topic.
    pub(crate) fn listens_on(&self, conn: ConnId, topic: Topic) -> bool {
        if self.of_conn.is_empty() {
            return false;
        }
        let of_conn = self.of_conn.get(&conn).map_or(&[][..], Vec::as_slice);
        of_conn.iter().any(|&listener| self.listeners[listener as usize].topic == topic)
    }

    /// What a connection listens to by this pattern, if it does.
    pub(crate) fn listens(&self, conn: ConnId, topic: Topic, source: &str) -> Option<Arc<NamePattern>> {
        self.find(conn, topic, source).map(|listener| self.listeners[listener as usize].pattern.clone())
    }

    /// The compiled form of a pattern that somebody listens to already.
    pub(crate) fn compiled(&self, topic: Topic, source: &str) -> Option<Arc<NamePattern>> {
        self.entry(topic, source).map(|entry| self.entries[entry as usize].pattern.clone())
    }

    fn hash(&self, topic: Topic, source: &str) -> u64 {
        self.hasher.hash_one((topic, source))
    }

    fn entry(&self, topic: Topic, source: &str) -> Option<u32> {
        let entries = &self.entries;
        let same = |&entry: &u32| {
            let entry = &entries[entry as usize];
            entry.topic == topic && entry.pattern.source() == source
        };
        self.by_source.find(self.hash(topic, source), same).copied()
    }

    /// A connection's listener to a pattern.
    pub(crate) fn find(&self, conn: ConnId, topic: Topic, source: &str) -> Option<u32> {
        let entry = self.entry(topic, source)?;
        let of_conn = self.of_conn.get(&conn)?;
        // Whichever list is shorter.
        let listeners = &self.entries[entry as usize].listeners;
        if of_conn.len() < listeners.len() {
            return of_conn.iter().find(|&&listener| self.listeners[listener as usize].entry == entry).copied();
        }
        listeners.iter().find(|&&listener| self.listeners[listener as usize].conn == conn).copied()
    }

    /// A new listener.
    pub(super) fn add(&mut self, conn: ConnId, topic: Topic, pattern: &Arc<NamePattern>) -> u32 {
        self.order += 1;
        let order = self.order;
        let entry = self.entry(topic, pattern.source()).unwrap_or_else(|| self.add_entry(topic, pattern));
        let pattern = self.entries[entry as usize].pattern.clone();
        let listener = Listener {
            conn,
            topic,
            pattern,
            entry,
            order,
            leaving: false,
            names: Vec::new(),
            asked: 0,
            in_pass: false,
            resting: None,
        };
        let listener = self.listeners.insert(listener) as u32;
        self.entries[entry as usize].listeners.push(listener);
        self.of_conn.entry(conn).or_default().push(listener);
        listener
    }

    fn add_entry(&mut self, topic: Topic, pattern: &Arc<NamePattern>) -> u32 {
        let hash = self.hash(topic, pattern.source());
        let entry = Entry {
            topic,
            hash,
            pattern: pattern.clone(),
            listeners: Vec::new(),
            order: self.order,
            under: Vec::new(),
            spent: false,
            tried: 0,
        };
        let entry = self.entries.insert(entry) as u32;
        let entries = &self.entries;
        self.by_source.insert_unique(hash, entry, |&other| entries[other as usize].hash);
        self.entries[entry as usize].under =
            self.indices[place(topic)].insert(entry, pattern.required(), pattern.shape());
        entry
    }

    /// A listener is asked no more; it stays until what it provides is handed over.
    pub(super) fn retire(&mut self, listener: u32) {
        let conn = self.listeners[listener as usize].conn;
        if let Some(of_conn) = self.of_conn.get_mut(&conn) {
            of_conn.retain(|&other| other != listener);
            if of_conn.is_empty() {
                self.of_conn.remove(&conn);
            }
        }
        self.detach(listener);
    }

    /// All listeners of a connection, which are asked no more.
    pub(super) fn retire_all(&mut self, conn: ConnId) -> Vec<u32> {
        let all = self.of_conn.remove(&conn).unwrap_or_default();
        for &listener in &all {
            self.detach(listener);
        }
        all
    }

    fn detach(&mut self, listener: u32) {
        let leaving = &mut self.listeners[listener as usize];
        leaving.leaving = true;
        // The pattern may be another's, or nobody's, before the pass comes to where this one would be dismissed.
        leaving.in_pass = false;
        let entry = leaving.entry;
        let state = &mut self.entries[entry as usize];
        state.listeners.retain(|&other| other != listener);
        if state.listeners.is_empty() {
            let state = self.entries.remove(entry as usize);
            self.indices[place(state.topic)].remove(entry, &state.under, state.pattern.shape());
            if let Ok(found) = self.by_source.find_entry(state.hash, |&other| other == entry) {
                found.remove();
            }
        }
    }

    /// A search of its own under these rules; `first` is asked before it begins.
    pub(super) fn search(&mut self, rules: u32, first: Option<u32>, among: Among) -> Search {
        self.count += 1;
        Search {
            salt: if self.shuffle { self.hasher.hash_one(self.count) | 1 } else { 0 },
            began: self.order,
            first: first.map_or(0, |first| self.listeners[first as usize].order),
            last: None,
            rules,
            among,
            underway: self.underway(),
            own: BTreeMap::new(),
            denied: BTreeSet::new(),
        }
    }

    /// A search for those whom the one before passed over and had no occasion to ask; it asked everybody else. `own` are
    /// those who are to be passed over still.
    pub(super) fn search_rest(&mut self, rules: u32, passed: BTreeSet<u64>, own: BTreeMap<u64, ConnId>) -> Search {
        Search { underway: u64::MAX, own, ..self.search(rules, None, Among::Listeners(passed)) }
    }

    /// The order of the first listener that has not been around the names yet.
    fn underway(&self) -> u64 {
        let alone = self.work.iter().filter_map(|work| match work {
            Work::Alone { newcomer, .. } => Some(newcomer),
            Work::Pass | Work::HandOver { .. } | Work::Rematch { .. } => None,
        });
        self.newcomers.front().into_iter().chain(alone).map(|newcomer| newcomer.order).min().unwrap_or(u64::MAX)
    }

    /// Puts into line whom a search has not asked yet. `lone` is who alone subscribes to the name, if one does: of those who
    /// listen that one is not asked, because nobody but itself would be provided for.
    pub(super) fn line_up(&mut self, search: &mut Search, topic: Topic, name: &[u8], lone: Option<ConnId>) {
        self.look_up(topic, name);
        let mut line = std::mem::take(&mut self.line).into_vec();
        line.clear();
        for &entry in &self.found {
            let entry = &self.entries[entry as usize];
            for &listener in &entry.listeners {
                let Listener { order, conn, .. } = self.listeners[listener as usize];
                let key = if order > search.began {
                    (true, 0, order)
                } else if search.salt == 0 {
                    (false, entry.order, order)
                } else {
                    (false, mixed(order ^ search.salt), order)
                };
                let untried = order != search.first && search.last.is_none_or(|last| key > last);
                let among = match &search.among {
                    Among::Everybody => true,
                    Among::Conn(only) => *only == conn,
                    Among::Listeners(orders) => orders.contains(&order),
                };
                let meant = among || order > search.began || order >= search.underway;
                if untried && meant && lone == Some(conn) {
                    search.own.insert(order, conn);
                } else if untried && meant {
                    line.push(Reverse((key, listener)));
                }
            }
        }
        self.line = BinaryHeap::from(line);
    }

    /// The next in line whom a search may ask.
    pub(super) fn next_in_line(&mut self, search: &mut Search) -> Option<u32> {
        let (key, listener) = self.pop_line(&search.denied)?;
        search.last = Some(key);
        search.own.remove(&key.2);
        Some(listener)
    }

    fn pop_line(&mut self, denied: &BTreeSet<ConnId>) -> Option<(Key, u32)> {
        loop {
            let Reverse((key, listener)) = self.line.pop()?;
            if denied.is_empty() || !denied.contains(&self.listeners[listener as usize].conn) {
                return Some((key, listener));
            }
        }
    }

    /// Puts into line those of the newcomers that share a pass whose patterns match a name, but for who alone subscribes to
    /// it. How many patterns were tried.
    pub(super) fn line_up_newcomers(&mut self, topic: Topic, name: &[u8], lone: Option<ConnId>) -> usize {
        let mut line = std::mem::take(&mut self.line).into_vec();
        line.clear();
        let passes = |listener: &Listener| listener.in_pass && listener.topic == topic && lone != Some(listener.conn);
        // Another may have come in the place of one that listens no more.
        let is_same = |newcomer: &Newcomer, listener: &Listener| listener.order == newcomer.order;
        let in_order = |listener: u32, order| Reverse(((false, 0, order), listener));
        let tried = if self.newcomers.len() <= FEW {
            let mut tried = 0;
            for place in 0..self.newcomers.len() {
                let newcomer = self.newcomers[place];
                let state = self.listeners.get(newcomer.listener as usize);
                if !state.is_some_and(|listener| is_same(&newcomer, listener) && passes(listener)) {
                    continue;
                }
                tried += 1;
                if self.listens_to(newcomer.listener, name) {
                    line.push(in_order(newcomer.listener, newcomer.order));
                }
            }
            tried
        } else {
            self.look_up(topic, name);
            for &listener in self.found.iter().flat_map(|&entry| &self.entries[entry as usize].listeners) {
                let state = &self.listeners[listener as usize];
                if passes(state) {
                    line.push(in_order(listener, state.order));
                }
            }
            FEW + 1
        };
        self.line = BinaryHeap::from(line);
        tried
    }

    /// The first newcomer in line, if its user is not among those who may not listen to the name.
    pub(super) fn next_newcomer(&mut self, denied: &BTreeSet<ConnId>) -> Option<u32> {
        self.pop_line(denied).map(|(_, listener)| listener)
    }

    /// Finds the patterns that match a name.
    fn look_up(&mut self, topic: Topic, name: &[u8]) {
        self.found.clear();
        if !self.matcher.take(name) {
            return;
        }
        self.count += 1;
        let (count, entries, found) = (self.count, &mut self.entries, &mut self.found);
        let (matcher, slow) = (&mut self.matcher, &mut self.slow);
        let traits = matcher.traits();
        self.indices[place(topic)].candidates(name, &traits, |id| {
            let entry = &mut entries[id as usize];
            if entry.spent || std::mem::replace(&mut entry.tried, count) == count {
                return;
            }
            match matcher.matches(&entry.pattern, name) {
                Ok(true) => found.push(id),
                Ok(false) => {}
                Err(_) => {
                    entry.spent = true;
                    slow.push(entry.pattern.clone());
                }
            }
        });
    }

    /// Whether a listener's pattern matches a name.
    pub(super) fn listens_to(&mut self, listener: u32, name: &[u8]) -> bool {
        let entry = self.listeners[listener as usize].entry;
        let Some(entry) = self.entries.get_mut(entry as usize).filter(|entry| !entry.spent) else { return false };
        if !self.matcher.take(name) {
            return false;
        }
        let matches = self.matcher.matches(&entry.pattern, name);
        if matches.is_err() {
            entry.spent = true;
            self.slow.push(entry.pattern.clone());
        }
        matches == Ok(true)
    }
}
