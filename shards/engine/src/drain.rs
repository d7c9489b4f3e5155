//! What the host drains after each turn: bytes, packets, requests to the host, notes, what is to be stored or closed.
//!
//! *Owns* nothing: all of it waits in the shard. *Promises* that each is handed out once, and that what a drain changes is on the
//! tape like any input. *Does not* send.

use crate::delivery::Delivery;
use crate::edge::burden::Burden;
use crate::edge::session::table::Sessions;
use crate::ident::{ConnId, Nanos, Place};
use crate::output::{Deadline, HostRequest, Note, Outbox, Reason, Spare, StoreBatch};
use crate::outputs::{Counters, Outputs};
use crate::packet::{Lane, Packet};
use crate::shard::Shard;
use crate::tape::Kind;
use std::vec::Drain;

impl Shard {
    /// When [`Shard::tick`] is due.
    pub fn next_deadline(&self) -> Deadline {
        self.timers.next_deadline()
    }

    /// A connection with something to send, the longest waiting first; each once until something more is put in its outbox.
    /// There may be inputs between two drains: whom they concern waits behind the others, or is told along with what it waits
    /// for.
    #[inline]
    pub fn dirty(&mut self) -> Option<ConnId> {
        if !self.delivery.sessions.dirty.is_empty() {
            self.drained(Kind::Dirty, &());
        }
        loop {
            let conn = self.delivery.sessions.dirty.pop_front()?;
            let high_water = self.options.limits.outbox_high_water_bytes;
            if let Some(session) = self.delivery.sessions.get_mut(conn) {
                session.dirty = false;
                // Deliveries alone may fill it: a client that only listens asks nothing by which it would be noticed.
                if session.backlog() > high_water {
                    self.watch(conn);
                }
                return Some(self.answers(conn));
            }
        }
    }

    /// Exchanges a connection's outbox for `empty`, whose memory, if it has any, is used for what comes next. Report what
    /// the kernel took of it to [`Shard::flushed`], and give it back with [`Shard::reuse`] when all of it was sent.
    #[inline]
    pub fn take_output(&mut self, conn: ConnId, empty: &mut Outbox) {
        debug_assert!(empty.is_empty(), "an outbox is exchanged for an empty one");
        self.drained(Kind::TakeOutput, &conn);
        if let Some(session) = self.delivery.sessions.get_mut(conn) {
            session.unsent += session.outbox.len();
            std::mem::swap(&mut session.outbox, empty);
        }
        self.says(empty);
    }

    /// Gives the memory of an outbox that was sent back to those that begin to fill.
    pub fn reuse(&mut self, sent: Outbox) {
        self.delivery.sessions.spare.put(sent.bytes);
    }

    /// Connections to close once what they were sent is out, and why. One named a second time, or for
    /// [`Reason::Overburdened`], is dropped with whatever is unsent. To be asked for once outboxes were offered to their sockets.
    /// The host answers with [`Shard::disconnected`].
    pub fn closes(&mut self) -> Vec<(ConnId, Reason)> {
        let over = self.delivery.sessions.is_overburdened();
        if !over && self.delivery.sessions.burden.filling.is_empty() && self.delivery.sessions.closes.is_empty() {
            return Vec::new();
        }
        self.drained(Kind::Closes, &());
        // One that only listens is watched from here on too, not just one whose requests are held back.
        while let Some(conn) = self.delivery.sessions.burden.filling.pop() {
            self.watch(conn);
        }
        if over {
            self.delivery.sessions.relieve(&mut self.delivery.outputs, Burden::held);
        }
        let closes = std::mem::take(&mut self.delivery.sessions.closes);
        for &(conn, _) in &closes {
            self.watch(conn);
        }
        self.answers(closes)
    }

    /// Connections whose sockets are to be read again.
    pub fn resumed(&mut self) -> Drain<'_, ConnId> {
        if !self.held_back.is_empty() || !self.delivery.sessions.resumed.is_empty() {
            self.drained(Kind::Resumed, &());
            self.release_held_back();
            let Delivery { sessions, outputs, .. } = &mut self.delivery;
            if let Some(tape) = &mut outputs.tape {
                tape.showed(&sessions.resumed);
            }
        }
        self.delivery.sessions.resumed.drain(..)
    }

    /// Packets for a peer, in order.
    pub fn packets(&self, to: Place, lane: Lane) -> &[Packet] {
        self.delivery.outputs.packets(to, lane)
    }

    /// Has packets for a peer removed, from the front: those that the host's ring takes.
    pub fn take_packets<T>(&mut self, to: Place, lane: Lane, take: impl FnOnce(&mut Vec<Packet>) -> T) -> T {
        let packets = self.delivery.outputs.packets_mut(to, lane);
        let before = packets.len();
        let result = take(packets);
        let taken = before - packets.len();
        if taken > 0 {
            self.drained(Kind::TakePackets, &(to, lane, taken));
        }
        result
    }

    /// Whether there are requests to the world.
    pub fn is_asking(&self) -> bool {
        !self.delivery.outputs.host_requests.is_empty()
    }

    /// Requests to the world.
    pub fn host_requests(&mut self) -> Drain<'_, HostRequest> {
        if !self.delivery.outputs.host_requests.is_empty() {
            self.drained(Kind::HostRequests, &());
            let Outputs { host_requests, tape, .. } = &mut self.delivery.outputs;
            if let Some(tape) = tape {
                tape.showed(host_requests);
            }
        }
        self.delivery.outputs.host_requests.drain(..)
    }

    /// What a human might want to know.
    pub fn notes(&mut self) -> Drain<'_, Note> {
        if !self.delivery.outputs.notes.is_empty() {
            self.drained(Kind::Notes, &());
            let Outputs { notes, tape, .. } = &mut self.delivery.outputs;
            if let Some(tape) = tape {
                tape.showed(notes);
            }
        }
        self.delivery.outputs.notes.drain(..)
    }

    /// Whether there is something to be stored that [`Shard::take_stores`] would give.
    pub fn has_stores(&self) -> bool {
        self.records.has_stores()
    }

    /// Fills `batch` with what is to be stored next; `false` if there is nothing, or the previous batch is not answered
    /// yet. Its outcome goes to [`Shard::completed`].
    pub fn take_stores(&mut self, now: Nanos, batch: &mut StoreBatch) -> bool {
        if !self.records.has_stores() {
            return false;
        }
        self.input(now, Kind::TakeStores, &());
        self.fill_stores(batch);
        if let Some(tape) = &mut self.delivery.outputs.tape {
            tape.showed(&(batch.ticket, &batch.entries));
            tape.said(&batch.bytes);
        }
        true
    }

    /// Whether the host has something to drain: a turn that left it there must be followed by another, not by sleep. Packets
    /// are left out, because only the host knows which of them wait for room; so are stores while `storage_is_busy`.
    pub fn has_output(&self, storage_is_busy: bool) -> bool {
        let Sessions { dirty, closes, burden, resumed, .. } = &self.delivery.sessions;
        let Outputs { host_requests, notes, .. } = &self.delivery.outputs;
        !dirty.is_empty()
            || !closes.is_empty()
            || !burden.filling.is_empty()
            || self.delivery.sessions.is_overburdened()
            || !resumed.is_empty()
            || !host_requests.is_empty()
            || !notes.is_empty()
            || self.held_back.iter().any(|&(peer, _)| !self.is_held_back_by(peer))
            || (!storage_is_busy && self.records.has_stores())
    }

    /// Bytes that connections make this shard hold.
    pub fn held_bytes(&self) -> usize {
        self.delivery.sessions.burden.held()
    }

    /// Gives up the memory that is kept for outboxes that begin to fill.
    pub fn forget_spare(&mut self) {
        self.delivery.sessions.spare = Spare::default();
    }

    /// Bytes of answers that were ever sent to other cores.
    pub fn posted_bytes(&self) -> u64 {
        self.delivery.outputs.posted_bytes
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.delivery.outputs.counters
    }
}
