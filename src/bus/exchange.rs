//! A bus between the nodes of one process: for servers that are started side by side as a library, and as the reference
//! that other members are compared with.
//!
//! *Owns* the inboxes. *Promises* what every bus does, and more: nothing comes twice or out of order. *Does not* reach another process.

use super::inbox::Inbox;
use super::{Address, Bus};
use crate::storage::{Kind, Trouble};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As other members have it.
const PACKET_BYTES_MAX: usize = 256 << 10;

/// Where the nodes of a process meet. Clones share one state.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Set by tests: no node can reach it.
    away: bool,
    inboxes: BTreeMap<Address, Arc<Inbox>>,
}

/// A node's place at an exchange.
pub struct Seat {
    exchange: Exchange,
    /// Where its last `open` was, until it is closed.
    own: Mutex<Option<(Address, Arc<Inbox>)>>,
    lost: Arc<AtomicU64>,
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
    pub fn set_away(&self, is_away: bool) {
        let mut state = lock(&self.0);
        state.away = is_away;
        for (_, inbox) in std::mem::take(&mut state.inboxes) {
            inbox.end(away("the exchange is away"));
        }
    }
}

impl Seat {
    fn inbox(&self) -> Result<Arc<Inbox>, Trouble> {
        let inbox = lock(&self.own).as_ref().map(|(_, inbox)| Arc::clone(inbox));
        inbox.ok_or_else(|| away("this node is not at the exchange"))
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
        let mut state = lock(&self.exchange.0);
        if state.away {
            return Err(away("the exchange is away"));
        }
        let inbox = Inbox::new(&self.lost);
        *lock(&self.own) = Some((own, Arc::clone(&inbox)));
        state.inboxes.insert(own, inbox);
        Ok(())
    }

    async fn send(&self, to: Address, packet: Bytes) -> Result<(), Trouble> {
        if packet.len() > PACKET_BYTES_MAX {
            let what = format!("a packet of {} bytes is longer than {PACKET_BYTES_MAX}", packet.len());
            return Err(Trouble::new(Kind::Lasting, what, ""));
        }
        self.inbox()?.check()?;
        if let Some(inbox) = lock(&self.exchange.0).inboxes.get(&to) {
            inbox.put(packet);
        }
        Ok(())
    }

    async fn receive(&self) -> Result<Bytes, Trouble> {
        self.inbox()?.next().await
    }

    async fn close(&self) {
        if let Some((address, inbox)) = lock(&self.own).take() {
            lock(&self.exchange.0).inboxes.remove(&address);
            inbox.end(away("this node is not at the exchange"));
        }
    }
}
