//! The receive buffers: memory, and the ring on which the kernel is told which of them it may fill.
//!
//! *Owns* the mapping for as long as the kernel may write to it. *Promises* that a buffer belongs either to the kernel
//! or to the holder of its [`Buffer`], never to both. *Does not* know sockets.

use io_uring::{IoUring, types};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// Bytes of one receive buffer: the most one completion can bring.
const BUFFER_BYTES: usize = 16 << 10;
/// Most receive buffers of a core. Only as many as were ever in use at once take memory.
const BUFFERS_MAX: u16 = 1024;
/// Receive buffers that the kernel has at first. Their number is doubled whenever they run out. A quiet core uses few,
/// which stay in its cache.
const BUFFERS_MIN: u16 = 64;
/// The group the receive buffers are registered as.
pub(super) const GROUP: u16 = 1;

/// Received bytes; to be given back with [`Ring::release`](super::Ring::release).
#[derive(Debug)]
#[must_use = "a buffer that is not released is lost to the ring"]
pub(in crate::host) struct Buffer {
    pub(super) id: u16,
    pub(super) len: u32,
}

/// See the module.
pub(super) struct Buffers {
    /// The buffer ring in the first pages, the buffers behind it.
    memory: *mut types::BufRingEntry,
    tail: u16,
    /// Buffers the kernel was ever given: the others have never been touched.
    given: u16,
    /// Buffers the kernel has now.
    with_kernel: u16,
    unregistered: bool,
}

const BUFFER_RING_BYTES: usize = BUFFERS_MAX as usize * size_of::<types::BufRingEntry>();
const MEMORY_BYTES: usize = BUFFER_RING_BYTES + BUFFERS_MAX as usize * BUFFER_BYTES;

impl Buffers {
    pub(super) fn register(uring: &IoUring) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping; no memory of ours is concerned.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), MEMORY_BYTES, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut buffers = Self { memory: memory.cast(), tail: 0, given: 0, with_kernel: 0, unregistered: true };
        // SAFETY: the mapping is page-aligned, zeroed, long enough for the ring, and stays until the ring has been
        // unregistered (or for ever).
        unsafe { uring.submitter().register_buf_ring_with_flags(memory as u64, BUFFERS_MAX, GROUP, 0) }?;
        buffers.unregistered = false;
        buffers.grow();
        Ok(buffers)
    }

    pub(super) fn unregister(&mut self, uring: &IoUring) {
        self.unregistered = uring.submitter().unregister_buf_ring(GROUP).is_ok();
    }

    /// Gives the kernel buffers it never had, as many as it ever had, if it is running short.
    pub(super) fn grow(&mut self) {
        if self.with_kernel > self.given / 4 {
            return;
        }
        let upto = (self.given * 2).clamp(BUFFERS_MIN, BUFFERS_MAX);
        for id in self.given..upto {
            self.provide(id);
        }
        self.given = upto;
    }

    /// Buffers the kernel was given that it does not have.
    #[cfg(test)]
    pub(super) fn out(&self) -> u16 {
        self.given - self.with_kernel
    }

    /// The kernel filled one.
    pub(super) fn taken(&mut self) {
        self.with_kernel -= 1;
    }

    pub(super) fn provide(&mut self, id: u16) {
        let ring = self.memory;
        let index = self.tail & (BUFFERS_MAX - 1);
        // SAFETY: `index` is within the ring, which only this thread writes, and the kernel does not read an entry
        // before the tail has passed it.
        unsafe {
            let entry = &mut *ring.add(index as usize);
            entry.set_addr(self.start(id) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        self.with_kernel += 1;
        // SAFETY: the tail lies in the first entry of the ring, aligned, and is shared with the kernel as an atomic.
        unsafe { AtomicU16::from_ptr(types::BufRingEntry::tail(ring).cast_mut()) }.store(self.tail, Ordering::Release);
    }

    fn start(&self, id: u16) -> *mut u8 {
        debug_assert!(id < BUFFERS_MAX);
        // SAFETY: within the mapping for every id below BUFFERS_MAX, and only such ids are ever provided.
        unsafe { self.memory.cast::<u8>().add(BUFFER_RING_BYTES + id as usize * BUFFER_BYTES) }
    }

    pub(super) fn bytes(&mut self, buffer: &Buffer) -> &mut [u8] {
        // SAFETY: the kernel handed this buffer over with `len` bytes in it and gets it back only through `provide`,
        // which takes the only token there is; the slice borrows the ring, so that cannot happen meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.start(buffer.id), buffer.len as usize) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.unregistered {
            // SAFETY: the mapping is ours, the kernel has let go of it, and nothing borrows from it any more.
            unsafe { libc::munmap(self.memory.cast(), MEMORY_BYTES) };
        }
    }
}
