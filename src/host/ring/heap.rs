//! Gives memory back to the operating system. It is here because the allocator offers that only as a C function, which
//! is `unsafe` to call.
//!
//! The allocator keeps freed memory for later, and returns it only in the course of further allocations: a core that is
//! idle after a flood would keep it for ever.

// Links the crate also into programs that use this library with another allocator: the function below must exist.
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
