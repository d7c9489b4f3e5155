//! *Owns* what has come for a node and was not yet received. *Promises* that it is bounded, that what finds no room is counted, and
//! that whoever waits is told when the bus goes away. *Does not* know how packets come.

use super::{INBOX_BYTES, INBOX_PACKETS};
use crate::storage::Trouble;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// See the module. It is used from one opening of the bus to its end.
pub(crate) struct Inbox {
    state: Mutex<State>,
    bell: Notify,
    lost: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    bytes: usize,
    packets: VecDeque<Bytes>,
    /// Why the bus is away, once it is.
    ended: Option<Trouble>,
}

impl Inbox {
    /// An inbox that counts there what it loses.
    pub(crate) fn new(lost: &Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), bell: Notify::new(), lost: Arc::clone(lost) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a packet if there is room for it.
    pub(crate) fn put(&self, packet: Bytes) {
        let mut state = self.lock();
        let has_room = state.packets.len() < INBOX_PACKETS
            && (state.packets.is_empty() || state.bytes + packet.len() <= INBOX_BYTES);
        if has_room {
            state.bytes += packet.len();
            state.packets.push_back(packet);
            self.bell.notify_one();
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The bus is away, for this reason if it is the first.
    pub(crate) fn end(&self, why: Trouble) {
        self.lock().ended.get_or_insert(why);
        self.bell.notify_one();
    }

    /// Whether the bus is there.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        self.lock().ended.clone().map_or(Ok(()), Err)
    }

    /// Waits for the next packet. A ring that comes between looking and waiting is remembered by the bell.
    pub(crate) async fn next(&self) -> Result<Bytes, Trouble> {
        loop {
            if let Some(packet) = self.take()? {
                return Ok(packet);
            }
            self.bell.notified().await;
        }
    }

    fn take(&self) -> Result<Option<Bytes>, Trouble> {
        let mut state = self.lock();
        if let Some(why) = &state.ended {
            return Err(why.clone());
        }
        let packet = state.packets.pop_front();
        state.bytes -= packet.as_ref().map_or(0, Bytes::len);
        Ok(packet)
    }
}
