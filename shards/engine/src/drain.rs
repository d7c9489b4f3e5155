//! What the host drains after each turn: bytes, packets, requests to the host, notes, what is to be stored or closed.
//!
//! *Owns* nothing: all of it waits in the shard. *Promises* that each is handed out once, and that what a drain changes is on the
//! tape like any input. *Does not* send.

use crate::ident::{ConnId, Nanos, Place};
use crate::output::{Deadline, HostRequest, Note, Outbox, Reason, StoreBatch};
use crate::outputs::{Counters, Outputs};
use crate::packet::{Lane, Packet};
use crate::shard::Shard;
use crate::tape::input::Kind;
use std::vec::Drain;

impl Shard {
    /// When [`Shard::tick`] is due.
    pub fn next_deadline(&self) -> Deadline {
        self.sides.cx.timers.next_deadline()
    }

    /// A connection with something to send, the longest waiting first; each once until something more is put in its outbox.
    /// There may be inputs between two drains: whom they concern waits behind the others, or is told along with what it waits
    /// for.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "asked twice for each connection that is told: 1 % of a call")]
    pub fn dirty(&mut self) -> Option<ConnId> {
        if self.sides.edges.here.is_dirty() {
            self.drained(Kind::Dirty, &());
        }
        let conn = self.sides.next_dirty()?;
        Some(self.answers(conn))
    }

    /// Exchanges a connection's outbox for `empty`, whose memory, if it has any, is used for what comes next. Report what
    /// the kernel took of it to [`Shard::flushed`], and give it back with [`Shard::reuse`] when all of it was sent.
    #[inline]
    pub fn take_output(&mut self, conn: ConnId, empty: &mut Outbox) {
        debug_assert!(empty.is_empty(), "an outbox is exchanged for an empty one");
        self.drained(Kind::TakeOutput, &conn);
        self.sides.edges.here.take_output(conn, empty);
        self.says(empty);
    }

    /// Gives the memory of an outbox that was sent back to those that begin to fill.
    pub fn reuse(&mut self, sent: Outbox) {
        self.sides.edges.here.reuse(sent);
    }

    /// Connections to close once what they were sent is out, and why. One named a second time, or for
    /// [`Reason::Overburdened`], is dropped with whatever is unsent. To be asked for once outboxes were offered to their sockets.
    /// The host answers with [`Shard::disconnected`].
    pub fn closes(&mut self) -> Vec<(ConnId, Reason)> {
        if !self.sides.edges.here.has_closes() {
            return Vec::new();
        }
        self.drained(Kind::Closes, &());
        let closes = self.sides.take_closes();
        self.answers(closes)
    }

    /// Connections whose sockets are to be read again.
    pub fn resumed(&mut self) -> Drain<'_, ConnId> {
        if self.sides.edges.here.has_resumed() {
            self.drained(Kind::Resumed, &());
            self.sides.release_held_back();
            if let Some(tape) = &mut self.sides.cx.outputs.tape {
                tape.showed(self.sides.edges.here.resumed());
            }
        }
        self.sides.edges.here.resumed().drain(..)
    }

    /// Packets for a peer, in order.
    pub fn packets(&self, to: Place, lane: Lane) -> &[Packet] {
        self.sides.cx.outputs.packets(to, lane)
    }

    /// Has packets for a peer removed, from the front: those that the host's ring takes.
    #[inline]
    pub fn take_packets<T>(&mut self, to: Place, lane: Lane, take: impl FnOnce(&mut Vec<Packet>) -> T) -> T {
        let Some(packets) = self.sides.cx.outputs.packets_mut(to, lane) else { return take(&mut Vec::new()) };
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
        !self.sides.cx.outputs.host_requests.is_empty()
    }

    /// Requests to the world.
    pub fn host_requests(&mut self) -> Drain<'_, HostRequest> {
        if !self.sides.cx.outputs.host_requests.is_empty() {
            self.drained(Kind::HostRequests, &());
            let Outputs { host_requests, tape, .. } = &mut self.sides.cx.outputs;
            if let Some(tape) = tape {
                tape.showed(host_requests);
            }
        }
        self.sides.cx.outputs.host_requests.drain(..)
    }

    /// What a human might want to know.
    pub fn notes(&mut self) -> Drain<'_, Note> {
        if !self.sides.cx.outputs.notes.is_empty() {
            self.drained(Kind::Notes, &());
            let Outputs { notes, tape, .. } = &mut self.sides.cx.outputs;
            if let Some(tape) = tape {
                tape.showed(notes);
            }
        }
        self.sides.cx.outputs.notes.drain(..)
    }

    /// Whether there is something to be stored that [`Shard::take_stores`] would give.
    pub fn has_stores(&self) -> bool {
        self.sides.owner.has_stores()
    }

    /// Fills `batch` with what is to be stored next; `false` if there is nothing, or the previous batch is not answered
    /// yet. Its outcome goes to [`Shard::completed`].
    pub fn take_stores(&mut self, now: Nanos, batch: &mut StoreBatch) -> bool {
        if !self.sides.owner.has_stores() {
            return false;
        }
        self.input(now, Kind::TakeStores, &());
        self.sides.fill_stores(batch);
        if let Some(tape) = &mut self.sides.cx.outputs.tape {
            tape.showed(&(batch.ticket, &batch.entries, &batch.fences));
            tape.said(&batch.bytes);
        }
        true
    }

    /// Whether the host has something to drain: a turn that left it there must be followed by another, not by sleep. Packets
    /// are left out, because only the host knows which of them wait for room; so are stores while `storage_is_busy`.
    pub fn has_output(&self, storage_is_busy: bool) -> bool {
        let Outputs { host_requests, notes, .. } = &self.sides.cx.outputs;
        self.sides.edges.here.has_output(&self.sides.cx)
            || !host_requests.is_empty()
            || !notes.is_empty()
            || (!storage_is_busy && self.sides.owner.has_stores())
    }

    /// Bytes that connections make this shard hold.
    pub fn held_bytes(&self) -> usize {
        self.sides.edges.here.held_bytes()
    }

    /// Gives up the memory that is kept for outboxes that begin to fill.
    pub fn forget_spare(&mut self) {
        self.sides.edges.here.forget_spare();
    }

    /// Bytes of answers that were ever sent to other cores.
    pub fn posted_bytes(&self) -> u64 {
        self.sides.cx.outputs.posted_bytes
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.sides.cx.outputs.counters
    }
}
