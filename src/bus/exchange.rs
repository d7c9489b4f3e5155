//! A bus between the nodes of one process: for servers that are started side by side as a library, and as the reference
//! that other members are compared with.
//!
//! *Owns* the inboxes. *Promises* what every bus does, and more: nothing comes twice or out of order. *Does not* reach another process.

use super::{Address, Bus, INBOX_BYTES, INBOX_PACKETS};
use crate::storage::{Kind, Trouble};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// As other members have it.
const PACKET_BYTES_MAX: usize = 256 << 10;

/// Where the nodes of a process meet. Clones share one state.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Set by tests: no node can reach it.
    away: bool,
    inboxes: BTreeMap<Address, Inbox>,
}

struct Inbox {
    bytes: usize,
    packets: VecDeque<Bytes>,
    bell: Arc<Notify>,
    lost: Arc<AtomicU64>,
}

/// A node's place at an exchange.
pub struct Seat {
    exchange: Exchange,
    own: Mutex<Own>,
    lost: Arc<AtomicU64>,
}

/// What a seat knows.
#[derive(Default)]
struct Own {
    /// Of its last `open`; `None` before it and once it was closed.
    opened: Option<Address>,
    bell: Arc<Notify>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn away(why: &str) -> Trouble {
    Trouble::new(Kind::Away, why, "")
}

impl Exchange {
    /// A place at it.
    pub fn seat(&self) -> Seat {
        Seat { exchange: self.clone(), own: Mutex::default(), lost: Arc::default() }
    }

    /// Takes the exchange away from all who are at it, or brings it back. Who was there must open again.
    pub fn set_away(&self, away: bool) {
        let mut state = lock(&self.0);
        state.away = away;
        state.inboxes.values().for_each(|inbox| inbox.bell.notify_one());
        state.inboxes.clear();
    }
}

impl Inbox {
    fn put(&mut self, packet: Bytes) {
        let has_room =
            self.packets.len() < INBOX_PACKETS && (self.packets.is_empty() || self.bytes + packet.len() <= INBOX_BYTES);
        if has_room {
            self.bytes += packet.len();
            self.packets.push_back(packet);
            self.bell.notify_one();
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.len();
        Some(packet)
    }
}

impl State {
    /// The inbox of this address, unless it was taken away or closed.
    fn inbox(&mut self, own: Option<Address>) -> Result<&mut Inbox, Trouble> {
        own.and_then(|own| self.inboxes.get_mut(&own)).ok_or_else(|| away("this node is not at the exchange"))
    }
}

impl Seat {
    /// The next packet; else what to wait on for one.
    fn next(&self) -> Result<Result<Bytes, Arc<Notify>>, Trouble> {
        let (mut state, own) = (lock(&self.exchange.0), lock(&self.own));
        let packet = state.inbox(own.opened)?.take();
        Ok(packet.ok_or_else(|| Arc::clone(&own.bell)))
    }
}

impl Bus for Seat {
    fn place(&self) -> String {
        "the nodes of this process".to_owned()
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn open(&self, own: Address) -> Result<(), Trouble> {
        let (mut state, mut known) = (lock(&self.exchange.0), lock(&self.own));
        if state.away {
            return Err(away("the exchange is away"));
        }
        let bell = Arc::new(Notify::new());
        *known = Own { opened: Some(own), bell: Arc::clone(&bell) };
        let inbox = Inbox { bytes: 0, packets: VecDeque::new(), bell, lost: Arc::clone(&self.lost) };
        state.inboxes.insert(own, inbox);
        Ok(())
    }

    async fn send(&self, to: Address, packet: Bytes) -> Result<(), Trouble> {
        if packet.len() > PACKET_BYTES_MAX {
            let what = format!("a packet of {} bytes is longer than {PACKET_BYTES_MAX}", packet.len());
            return Err(Trouble::new(Kind::Lasting, what, ""));
        }
        let mut state = lock(&self.exchange.0);
        state.inbox(lock(&self.own).opened)?;
        if let Some(inbox) = state.inboxes.get_mut(&to) {
            inbox.put(packet);
        }
        Ok(())
    }

    async fn receive(&self) -> Result<Bytes, Trouble> {
        loop {
            match self.next()? {
                Ok(packet) => return Ok(packet),
                // A ring that came between looking and waiting is remembered by the bell.
                Err(bell) => bell.notified().await,
            }
        }
    }

    async fn close(&self) {
        let (mut state, mut own) = (lock(&self.exchange.0), lock(&self.own));
        if let Some(inbox) = own.opened.take().and_then(|address| state.inboxes.remove(&address)) {
            inbox.bell.notify_one();
        }
    }
}
