//! Giving memory back to the machine. It stands here because the allocator can only be told so in C.
//!
//! The allocator keeps what is freed for what comes next, and gives it back as more is allocated and freed: a core that has
//! let go of a flood and has nothing to do would keep it for ever.

// Whoever links the library alone has no allocator of ours, but the call.
use mimalloc as _;

// SAFETY: this is how the allocator declares it.
unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// Gives back what the calling thread has freed. It takes milliseconds.
pub(in crate::host) fn give_back() {
    // SAFETY: it may be called by any thread at any time, and touches nothing but what is free.
    unsafe { mi_collect(true) };
}
