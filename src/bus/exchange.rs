//! A bus between the nodes of one process: for servers that are started side by side as a library, and as the reference
//! that other members are compared with.
//!
//! *Owns* the inboxes. *Promises* what every bus does. *Does not* reach another process.

use super::{Bus, Heard, Node};
use crate::storage::{Kind, Trouble};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The smallest limit that other members have by default, so that all behave alike: NATS takes a mebibyte.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// Where the nodes of a process meet. Clones share one state.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Set by tests: no node can reach it.
    away: bool,
    openings: u64,
    inboxes: BTreeMap<Node, Inbox>,
}

struct Inbox {
    /// Which call of `open` it belongs to.
    opening: u64,
    room: usize,
    packets: VecDeque<Vec<u8>>,
    bell: Arc<Notify>,
}

/// A node's place at an exchange.
pub struct Seat {
    exchange: Exchange,
    node: Node,
    room: usize,
    own: Mutex<Own>,
}

/// What a seat knows.
#[derive(Default)]
struct Own {
    /// That of its last `open`; `None` once it was closed.
    opening: Option<u64>,
    bell: Arc<Notify>,
    /// The nodes whose joining it has reported, with the opening that it reported.
    told: BTreeMap<Node, u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn away(why: &str) -> Trouble {
    Trouble::new(Kind::Away, why, "")
}

impl State {
    fn ring_all(&self) {
        self.inboxes.values().for_each(|inbox| inbox.bell.notify_one());
    }
}

impl Exchange {
    /// A place for this node, whose inbox has room for so many packets.
    pub fn seat(&self, node: Node, room: usize) -> Seat {
        Seat { exchange: self.clone(), node, room, own: Mutex::default() }
    }

    /// Takes the exchange away from all who are at it, or brings it back. Who was there must open again.
    pub fn set_away(&self, away: bool) {
        let mut state = lock(&self.0);
        state.away = away;
        state.ring_all();
        state.inboxes.clear();
    }
}

impl Seat {
    /// Whether no other seat has opened as the same node since.
    fn is_seated(&self, state: &State, own: &Own) -> bool {
        own.opening.is_some() && state.inboxes.get(&self.node).map(|inbox| inbox.opening) == own.opening
    }

    /// The next event; else what to wait on for one.
    fn next(&self) -> Result<Result<Heard, Arc<Notify>>, Trouble> {
        let (mut state, mut own) = (lock(&self.exchange.0), lock(&self.own));
        if !self.is_seated(&state, &own) {
            return Err(away("this node is not at the exchange"));
        }
        let is_there =
            |node: &Node, opening: u64| state.inboxes.get(node).is_some_and(|inbox| inbox.opening == opening);
        if let Some(gone) = own.told.iter().find(|(node, opening)| !is_there(node, **opening)).map(|(node, _)| *node) {
            own.told.remove(&gone);
            return Ok(Ok(Heard::Left(gone)));
        }
        let news = state.inboxes.iter().find(|(node, _)| **node != self.node && !own.told.contains_key(node));
        if let Some((node, opening)) = news.map(|(node, inbox)| (*node, inbox.opening)) {
            own.told.insert(node, opening);
            return Ok(Ok(Heard::Joined(node)));
        }
        let packet = state.inboxes.get_mut(&self.node).and_then(|inbox| inbox.packets.pop_front());
        Ok(packet.map(Heard::Packet).ok_or_else(|| Arc::clone(&own.bell)))
    }
}

impl Bus for Seat {
    fn place(&self) -> String {
        "the nodes of this process".to_owned()
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    async fn open(&self) -> Result<(), Trouble> {
        let (mut state, mut own) = (lock(&self.exchange.0), lock(&self.own));
        if state.away {
            return Err(away("the exchange is away"));
        }
        state.openings += 1;
        let (opening, bell) = (state.openings, Arc::new(Notify::new()));
        *own = Own { opening: Some(opening), bell: Arc::clone(&bell), told: BTreeMap::new() };
        // An earlier seat of this node wakes up too, and finds that it was replaced.
        state.ring_all();
        state.inboxes.insert(self.node, Inbox { opening, room: self.room, packets: VecDeque::new(), bell });
        Ok(())
    }

    async fn send(&self, to: Node, packet: &[u8]) -> Result<(), Trouble> {
        if packet.len() > PACKET_BYTES_MAX {
            let what = format!("a packet of {} bytes is longer than {PACKET_BYTES_MAX}", packet.len());
            return Err(Trouble::new(Kind::Lasting, what, ""));
        }
        let mut state = lock(&self.exchange.0);
        if !self.is_seated(&state, &lock(&self.own)) {
            return Err(away("this node is not at the exchange"));
        }
        if let Some(inbox) = state.inboxes.get_mut(&to).filter(|inbox| inbox.packets.len() < inbox.room) {
            inbox.packets.push_back(packet.to_vec());
            inbox.bell.notify_one();
        }
        Ok(())
    }

    async fn receive(&self) -> Result<Heard, Trouble> {
        loop {
            match self.next()? {
                Ok(heard) => return Ok(heard),
                // A ring that came between looking and waiting is remembered by the bell.
                Err(bell) => bell.notified().await,
            }
        }
    }

    async fn close(&self) {
        let (mut state, mut own) = (lock(&self.exchange.0), lock(&self.own));
        if self.is_seated(&state, &own) {
            state.inboxes.remove(&self.node);
            state.ring_all();
        }
        own.opening = None;
    }
}
