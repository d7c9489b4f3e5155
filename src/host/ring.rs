//! The core's network ring: every socket of a core, on one io_uring.
//!
//! *Owns* the ring, the sockets and their descriptors, the receive buffers, and all outgoing bytes: memory that the
//! kernel may still read or write is never freed, moved or lent out. *Promises* typed completions, nothing more about a
//! socket after [`Ring::close`], one send per socket at a time with partial sends continued, and at most one system
//! call per [`Ring::submit`], [`Ring::sleep`] or [`Ring::send`]. *Does not* know connections, protocols or policies.
//!
//! Bytes are sent by a system call of their own, and go through the ring only as far as the socket does not take them
//! at once, which is seldom. A send through the ring that completes at once, as nearly all do, would end the sleep that
//! was submitted with it, so each send would cost a second turn and a second sleep. Measured side by side, server's CPU
//! time a message: 10 receivers of one event 970 ns -> 891 ns, a record's patch 643 ns -> 576 ns, a call 1,191 ns ->
//! 1,111 ns.
//!
//! This module and its children are the only place of the host with `unsafe`. Where a kernel lacks `DEFER_TASKRUN` or
//! ring messages the ring works without, and [`Ring::shortcomings`] says so.

mod accepting;
mod buffers;
mod completion;
mod heap;
mod sending;
mod setup;
#[cfg(test)]
mod tests;
mod watching;

use super::bell::Waker;
use super::descriptors::Descriptors;
use accepting::Listener;
pub(super) use buffers::Buffer;
use buffers::{Buffers, GROUP};
pub(super) use completion::{Completion, Key, ListenerId};
use completion::{GENERATION_MASK, Kind};
use deepstream_engine::Outbox;
pub(super) use heap::give_back;
use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};
use rustix::net::{self, SendFlags};
use sending::Sending;
pub(super) use setup::probe;
use setup::{NO_BELL_MESSAGES, has_bell_messages, setup};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::mem::take;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Drain;

/// Finished sends whose memory is kept for reuse.
const SPARE_MAX: usize = 4096;

/// One socket and what the kernel is doing with it.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    generation: u32,
    /// A receive is with the kernel.
    receiving: bool,
    /// A watch for its peer's end is with the kernel.
    watched: bool,
    /// Its owner wants to receive.
    wanted: bool,
    /// The last byte has been received.
    ended: bool,
    /// Its owner has closed it; it is freed when the kernel is done with it.
    closing: bool,
    sending: Option<Box<Sending>>,
}

/// How to wake a core that sleeps in its ring. Descriptors are shared, so that they stay valid while anybody may ring.
#[derive(Clone, Debug)]
pub(super) struct Doorbell {
    ring: Arc<OwnedFd>,
    waker: Waker,
}

/// How much a socket took at once.
#[derive(Debug)]
pub(super) enum Taken {
    /// Everything: no completion follows, and the memory can be reused.
    All(Outbox),
    /// This many bytes; [`Completion::Sent`] reports the others.
    Part(usize),
}

/// See the module.
pub(super) struct Ring {
    uring: IoUring,
    buffers: Buffers,
    sockets: Slab<Socket>,
    /// Finished sends, to be reused.
    #[allow(clippy::vec_box, reason = "the kernel is given addresses in them: a send keeps its place while it is one")]
    spare: Vec<Box<Sending>>,
    sent: Vec<Outbox>,
    generation: u32,
    listeners: Vec<Listener>,
    descriptors: Arc<Descriptors>,
    waker: Waker,
    /// Where the kernel writes the waker's count. Boxed, because its address must not change.
    wake_count: Box<u64>,
    peers: Arc<[Doorbell]>,
    bell_messages: bool,
    shortcomings: Vec<&'static str>,
    /// Completions taken from the kernel and not processed yet.
    taken: VecDeque<cqueue::Entry>,
    /// Sockets whose receive stopped for want of a buffer.
    starved: Vec<Key>,
}

impl Ring {
    /// Makes the ring of the calling thread, which must be the only one that uses it.
    pub(super) fn new(waker: Waker, descriptors: Arc<Descriptors>) -> io::Result<Self> {
        let mut shortcomings = Vec::new();
        let uring = setup(&mut shortcomings)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let bell_messages = has_bell_messages(&probe);
        if !bell_messages {
            shortcomings.push(NO_BELL_MESSAGES);
        }
        let buffers = Buffers::register(&uring)?;
        let mut ring = Self {
            uring,
            buffers,
            sockets: Slab::new(),
            spare: Vec::new(),
            sent: Vec::new(),
            generation: 0,
            listeners: Vec::new(),
            descriptors,
            waker,
            wake_count: Box::new(0),
            peers: Arc::new([]),
            bell_messages,
            shortcomings,
            taken: VecDeque::new(),
            starved: Vec::new(),
        };
        // Saves the kernel a lookup in the descriptor table at every call. If the kernel cannot do that, it does no
        // harm.
        let _ = ring.uring.split().0.register_ring_fd();
        ring.listen_to_waker();
        Ok(ring)
    }

    /// Reserves room for this many sockets, so that none has to be moved.
    pub(super) fn reserve(&mut self, sockets: usize) {
        self.sockets.reserve(sockets);
    }

    /// The features that this kernel lacks, and what is done instead.
    pub(super) fn shortcomings(&self) -> &[&'static str] {
        &self.shortcomings
    }

    /// How peers ring this core.
    pub(super) fn doorbell(&self) -> io::Result<Doorbell> {
        // SAFETY: the ring's descriptor is open as long as `self`; the borrow ends with this statement.
        let ring = unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) }.try_clone_to_owned()?;
        Ok(Doorbell { ring: Arc::new(ring), waker: self.waker.clone() })
    }

    /// Gives the ring the doorbells of its peers, by core.
    pub(super) fn meet(&mut self, peers: Arc<[Doorbell]>) {
        self.peers = peers;
    }

    /// Wakes a peer with the next submission.
    pub(super) fn ring_bell(&mut self, peer: usize) {
        if !self.bell_messages {
            return self.peers[peer].waker.wake();
        }
        let to = types::Fd(self.peers[peer].ring.as_raw_fd());
        let entry = opcode::MsgRingData::new(to, 0, Kind::Bell.numbered(0), None).build();
        let failed = Kind::BellFailed.numbered(peer as u32);
        self.push(&entry.user_data(failed).flags(squeue::Flags::SKIP_SUCCESS));
    }

    /// Where a connection comes from.
    pub(super) fn peer_address(&self, key: Key) -> Option<SocketAddr> {
        self.socket(key)?.stream.peer_addr().ok()
    }

    /// Whether its other end is on this machine, whatever address it uses.
    pub(super) fn is_near(&self, key: Key) -> bool {
        let Some(stream) = self.socket(key).map(|socket| &socket.stream) else { return false };
        // A connection that is already closed has no address; it counts as remote.
        let Ok(peer) = stream.peer_addr().map(|peer| peer.ip().to_canonical()) else { return false };
        peer.is_loopback() || stream.local_addr().is_ok_and(|own| own.ip().to_canonical() == peer)
    }

    /// Stops receiving. What the kernel has already received still comes.
    pub(super) fn pause(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else { return };
        if take(&mut socket.wanted) && socket.receiving {
            self.cancel(Kind::Receive, key);
        }
    }

    /// Receives again.
    pub(super) fn resume(&mut self, key: Key) {
        if let Some(socket) = self.socket_mut(key) {
            socket.wanted = true;
            if socket.watched {
                self.cancel(Kind::Watch, key);
            }
            self.receive(key);
        }
    }

    /// Sends all of an outbox: what the socket takes at once, and the rest through the ring. There is one at a time per
    /// socket: where this did not take all, the next after [`Completion::Sent`] said `all`.
    pub(super) fn send(&mut self, key: Key, outbox: Outbox) -> Taken {
        let Some(socket) = self.socket(key) else { return Taken::Part(0) };
        assert!(socket.sending.is_none(), "socket {key:?} is sending already");
        // Outboxes with frames by reference consist of many pieces, which the ring keeps track of. After an error here
        // the send through the ring reports it.
        let at_once = if outbox.shared.is_empty() {
            net::send(&socket.stream, &outbox.bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).unwrap_or(0)
        } else {
            0
        };
        if at_once == outbox.len() {
            return Taken::All(outbox);
        }
        let sending = match self.spare.pop() {
            Some(mut spare) => {
                spare.begin(outbox, at_once);
                spare
            }
            None => Box::new(Sending::new(outbox, at_once)),
        };
        if let Some(socket) = self.socket_mut(key) {
            socket.sending = Some(sending);
        }
        self.send_on(key);
        Taken::Part(at_once)
    }

    /// Outboxes that were sent completely; their memory can be reused.
    pub(super) fn sent_outboxes(&mut self) -> Drain<'_, Outbox> {
        self.sent.drain(..)
    }

    /// Tells the peer that nothing more will be sent.
    pub(super) fn end_sending(&mut self, key: Key) {
        if let Some(socket) = self.socket_mut(key) {
            // It only fails for a broken socket, which the receive reports.
            let _ = socket.stream.shutdown(Shutdown::Write);
        }
    }

    /// Closes a socket: it is shut down now, and its descriptor is closed once the kernel is done with it.
    pub(super) fn close(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else { return };
        let watched = socket.watched;
        socket.closing = true;
        // Ends all operations in the kernel. It only fails if the peer has already closed.
        let _ = socket.stream.shutdown(Shutdown::Both);
        if socket.receiving {
            // A receive that was just woken by bytes may miss the shutdown and wait again, so it is also cancelled.
            self.cancel(Kind::Receive, key);
        }
        if watched {
            self.cancel(Kind::Watch, key);
        }
        self.free_if_idle(key.slot);
    }

    /// Sockets that are not closed yet, including those that only the kernel still holds.
    pub(super) fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// The bytes of a buffer.
    pub(super) fn bytes(&mut self, buffer: &Buffer) -> &mut [u8] {
        self.buffers.bytes(buffer)
    }

    /// Gives a buffer back to the kernel.
    #[allow(clippy::needless_pass_by_value, reason = "the buffer is the only token there is: it must be gone")]
    pub(super) fn release(&mut self, buffer: Buffer) {
        self.buffers.provide(buffer.id);
    }

    /// Whether there are completions; costs no system call.
    pub(super) fn has_completions(&mut self) -> bool {
        let (_, submissions, completions) = self.uring.split();
        // Sockets that found no buffer are served at the next reap, so there is something to do.
        let starved = !self.starved.is_empty();
        let arrived = !self.taken.is_empty() || !completions.is_empty();
        starved || arrived || submissions.taskrun() || submissions.cq_overflow()
    }

    /// Submits all prepared operations, and lets the kernel run its deferred work.
    pub(super) fn submit(&mut self) {
        let (submitter, submissions, _) = self.uring.split();
        if submissions.is_empty() && !submissions.taskrun() && !submissions.cq_overflow() {
            return;
        }
        drop(submissions);
        let result = submitter.submit();
        self.check(result);
    }

    /// Submits all prepared operations, and sleeps until there is a completion, or for `timeout`.
    pub(super) fn sleep(&mut self, timeout: Option<Duration>) {
        if !self.taken.is_empty() {
            return self.submit();
        }
        let result = match timeout {
            None => self.uring.submit_and_wait(1),
            Some(timeout) => {
                let timeout = types::Timespec::from(timeout);
                self.uring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&timeout))
            }
        };
        self.check(result);
    }

    /// Takes completions from the kernel; [`Ring::next`] gives them out.
    pub(super) fn reap(&mut self) {
        self.feed_starved();
        self.take_completions();
    }

    /// The next completion of those taken.
    pub(super) fn next(&mut self) -> Option<Completion> {
        loop {
            let entry = self.taken.pop_front()?;
            if let Some(completion) = self.completed(&entry) {
                return Some(completion);
            }
        }
    }

    fn take_completions(&mut self) {
        let Self { uring, taken, .. } = self;
        taken.extend(uring.completion());
    }

    fn completed(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let (data, result) = (entry.user_data(), entry.result());
        let key = Key::of(data);
        match Kind::of(data) {
            Kind::Accept => self.accepted(ListenerId(key.slot), entry),
            Kind::Receive => self.received(key, entry),
            Kind::Send => self.sent(key, result),
            Kind::Wake => {
                self.listen_to_waker();
                Some(Completion::Woken)
            }
            Kind::Bell => Some(Completion::Woken),
            Kind::BellFailed => {
                self.peers[key.slot as usize].waker.wake();
                None
            }
            Kind::Cancel => None,
            Kind::Watch => self.seen(key, result),
        }
    }

    fn received(&mut self, key: Key, entry: &cqueue::Entry) -> Option<Completion> {
        let (result, flags) = (entry.result(), entry.flags());
        let buffer = cqueue::buffer_select(flags).map(|id| Buffer { id, len: result.max(0) as u32 });
        if buffer.is_some() {
            self.buffers.taken();
        }
        let socket = self.sockets.get_mut(key.slot as usize).filter(|socket| socket.generation == key.generation);
        let socket = socket.expect("a socket outlives its receive");
        if !cqueue::more(flags) {
            socket.receiving = false;
        }
        if socket.closing {
            if let Some(buffer) = buffer {
                self.buffers.provide(buffer.id);
            }
            self.free_if_idle(key.slot);
            return None;
        }
        match (result, buffer) {
            (1.., Some(buffer)) => {
                self.receive(key);
                Some(Completion::Received(key, buffer))
            }
            (_, Some(buffer)) => {
                self.buffers.provide(buffer.id);
                self.received_nothing(key, result)
            }
            (_, None) => self.received_nothing(key, result),
        }
    }

    fn received_nothing(&mut self, key: Key, result: i32) -> Option<Completion> {
        match -result {
            0 => {
                self.socket_mut(key)?.ended = true;
                Some(Completion::Ended(key))
            }
            libc::ENOBUFS => {
                self.starved.push(key);
                None
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {
                self.receive(key);
                None
            }
            _ => {
                self.socket_mut(key)?.ended = true;
                Some(Completion::Lost(key))
            }
        }
    }

    fn sent(&mut self, key: Key, result: i32) -> Option<Completion> {
        let socket = self.sockets.get_mut(key.slot as usize).filter(|socket| socket.generation == key.generation);
        let socket = socket.expect("a socket outlives its send");
        let sending = socket.sending.as_mut().expect("a send keeps its bytes");
        if socket.closing {
            socket.sending = None;
            self.free_if_idle(key.slot);
            return None;
        }
        match -result {
            ..0 => {
                let bytes = result as usize;
                let all = sending.advance(bytes);
                if all {
                    if let Some(mut done) = socket.sending.take() {
                        self.sent.push(done.finish());
                        if self.spare.len() < SPARE_MAX {
                            self.spare.push(done);
                        }
                    }
                } else {
                    self.send_on(key);
                }
                Some(Completion::Sent { key, bytes, all })
            }
            libc::EINTR | libc::EAGAIN => {
                self.send_on(key);
                None
            }
            _ => {
                socket.sending = None;
                Some(Completion::Lost(key))
            }
        }
    }

    /// Prepares a receive, if it is wanted and none is under way.
    fn receive(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else { return };
        if socket.wanted && !socket.receiving && !socket.ended {
            socket.receiving = true;
            let entry = opcode::RecvMulti::new(types::Fd(socket.stream.as_raw_fd()), GROUP).build();
            self.push(&entry.user_data(Kind::Receive.data(key)));
        }
    }

    fn cancel(&mut self, what: Kind, key: Key) {
        let entry = opcode::AsyncCancel::new(what.data(key)).build();
        self.push(&entry.user_data(Kind::Cancel.numbered(0)));
    }

    /// Prepares a send of the bytes that are left.
    fn send_on(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else { return };
        let to = types::Fd(socket.stream.as_raw_fd());
        let sending = socket.sending.as_mut().expect("there is something to send");
        let entry = sending.entry(to);
        self.push(&entry.user_data(Kind::Send.data(key)));
    }

    /// Gives the kernel more buffers, and lets sockets that found none receive again.
    fn feed_starved(&mut self) {
        if !self.starved.is_empty() {
            self.buffers.grow();
            for key in take(&mut self.starved) {
                self.receive(key);
            }
        }
    }

    fn free_if_idle(&mut self, slot: u32) {
        let idle = |socket: &Socket| socket.closing && !socket.receiving && !socket.watched && socket.sending.is_none();
        if self.sockets.get(slot as usize).is_some_and(idle) {
            self.sockets.remove(slot as usize);
            self.descriptors.give_back();
        }
    }

    fn listen_to_waker(&mut self) {
        let into = (&raw mut *self.wake_count).cast::<u8>();
        let entry = opcode::Read::new(types::Fd(self.waker.as_raw_fd()), into, 8).build();
        self.push(&entry.user_data(Kind::Wake.numbered(0)));
    }

    /// A socket that its owner has not closed.
    fn socket(&self, key: Key) -> Option<&Socket> {
        let present = |socket: &&Socket| socket.generation == key.generation && !socket.closing;
        self.sockets.get(key.slot as usize).filter(present)
    }

    fn socket_mut(&mut self, key: Key) -> Option<&mut Socket> {
        let present = |socket: &&mut Socket| socket.generation == key.generation && !socket.closing;
        self.sockets.get_mut(key.slot as usize).filter(present)
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what an entry points to stays in its place until its completion was seen: sockets, listener and waker
        // own their descriptors, `Sending` is boxed and kept in its socket, `wake_count` is boxed, receive buffers live as
        // long as the ring, and the ring waits for all of them when it is dropped.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            let result = self.uring.submit();
            self.check(result);
        }
    }

    fn check(&mut self, result: io::Result<usize>) {
        let Err(error) = result else { return };
        match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR) => {}
            // The completion queue is full, or the kernel is short of memory: the operations stay prepared.
            Some(libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => self.take_completions(),
            _ => panic!("the network ring failed: {error}"),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.stop_accepting();
        let keys: Vec<_> = self.sockets.iter().map(|(slot, s)| (slot as u32, s.generation)).collect();
        for (slot, generation) in keys {
            self.close(Key { slot, generation });
        }
        for _ in 0..100 {
            if self.sockets.is_empty() {
                break;
            }
            self.sleep(Some(Duration::from_millis(10)));
            self.reap();
            while self.next().is_some() {}
        }
        // Memory that the kernel has not given back by now is leaked on purpose, because the kernel may still write to
        // it.
        std::mem::forget(take(&mut self.wake_count));
        if self.sockets.is_empty() {
            self.buffers.unregister(&self.uring);
        } else {
            std::mem::forget(take(&mut self.sockets));
        }
    }
}
