//! One send: the bytes on their way out, with everything the kernel reads meanwhile.
//!
//! *Owns* those bytes until the kernel has taken them all. *Promises* that an entry points only into itself, which is boxed and
//! kept in its socket. *Does not* submit anything.

use deepstream_engine::Outbox;
use io_uring::{opcode, squeue, types};

/// Pieces of one `sendmsg`; the kernel's own limit.
const SLICES_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Sending {
    outbox: Outbox,
    sent: usize,
    slices: Vec<libc::iovec>,
    header: libc::msghdr,
}

impl Sending {
    /// For an outbox of which this many bytes are sent already.
    pub(super) fn new(outbox: Outbox, sent: usize) -> Self {
        // SAFETY: a message header is plain data for which all zeroes means "nothing".
        let header = unsafe { std::mem::zeroed() };
        Self { outbox, sent, slices: Vec::new(), header }
    }

    /// Begins another outbox, of which this many bytes are sent already; the last one is finished.
    pub(super) fn begin(&mut self, outbox: Outbox, sent: usize) {
        self.outbox = outbox;
        self.sent = sent;
    }

    /// Gives up the outbox.
    pub(super) fn finish(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    /// The kernel took this many bytes. Returns whether that was all.
    pub(super) fn advance(&mut self, bytes: usize) -> bool {
        self.sent += bytes;
        self.sent == self.outbox.len()
    }

    /// The operation that sends what is left.
    pub(super) fn entry(&mut self, to: types::Fd) -> squeue::Entry {
        let Outbox { bytes, shared, .. } = &self.outbox;
        if shared.is_empty() {
            let rest = &bytes[self.sent..];
            let len = rest.len().min(i32::MAX as usize) as u32;
            return opcode::Send::new(to, rest.as_ptr(), len).flags(libc::MSG_NOSIGNAL).build();
        }
        self.slices.clear();
        let mut skip = self.sent;
        for piece in self.outbox.pieces() {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            let rest = &piece[skipped..];
            if !rest.is_empty() && self.slices.len() < SLICES_MAX {
                let base = rest.as_ptr().cast_mut().cast();
                self.slices.push(libc::iovec { iov_base: base, iov_len: rest.len() });
            }
        }
        self.header.msg_iov = self.slices.as_mut_ptr();
        self.header.msg_iovlen = self.slices.len();
        opcode::SendMsg::new(to, &raw const self.header).flags(libc::MSG_NOSIGNAL as u32).build()
    }
}
