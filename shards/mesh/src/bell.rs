//! The sleep protocol: who must be woken, and by whom.
//!
//! *Owns* one flag per core, `asleep`. *Promises* that a core which goes to sleep is rung for everything it did not see, and
//! rung at most once per sleep. *Does not* ring: [`Bell::needs_ring`] tells its caller to.
//!
//! # Why no wake-up is lost
//!
//! The sleeper and a producer each write one place and then read the other's, with a sequentially consistent fence
//! between:
//!
//! ```text
//!     sleeper                                    producer
//!     S1  asleep := true                         P1  publish the item
//!     S2  fence                                  P2  fence
//!     S3  look at everything once more           P3  asleep?  then ring
//! ```
//!
//! All such fences stand in one total order. If P2 comes before S2, then S3 sees the item of P1 and the sleeper stays
//! awake. If S2 comes before P2, then P3 sees what S1 wrote, or something newer. Newer values of the flag are `false`
//! written by another producer that took it upon itself to ring, or by the sleeper when it woke; either way the sleeper
//! comes back to S1 before it can sleep again, and the same argument holds for that round. So the sleeper never sleeps
//! while an item waits.
//!
//! # Why one bell per sleep
//!
//! Only the sleeper raises the flag, once per round. Ringing takes it down with a swap, and only the producer whose swap
//! found it up rings. The sleeper takes it down with a swap too: its answer tells whether a bell is still on its way, which
//! then comes to somebody awake and means nothing.
//!
//! The publishing store itself needs no more than release: the fences carry the argument. On x86 a publisher pays one locked
//! instruction per turn for it, not per item.

use crate::sync::{Arc, AtomicBool, Ordering, fence};
use crossbeam::utils::CachePadded;

/// A sleeping place and the first of its bells.
pub fn bell() -> (Sleeper, Bell) {
    // The flag has a cache line of its own: it is read by every peer and must not move when its neighbour is written.
    let asleep = Arc::new(CachePadded::new(AtomicBool::new(false)));
    (Sleeper(asleep.clone()), Bell(asleep))
}

/// The side that sleeps: one per core, kept by it.
#[derive(Debug)]
pub struct Sleeper(Arc<CachePadded<AtomicBool>>);

impl Sleeper {
    /// Says that this core is about to sleep. From here on it must look once more at everything that could hold work for
    /// it; then either really sleep until a bell, or not; then [`woke`](Self::woke), in both cases.
    pub fn prepare_sleep(&mut self) {
        // A swap where a store would do: every write of the flag is then a link of one chain, which is easier to reason about
        // (the model checker cannot place a store among swaps at all), and a core going to sleep has the time.
        self.0.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Says that this core is awake, or decided not to sleep. True if a producer is about to ring: that bell has
    /// arrived or will arrive.
    pub fn woke(&mut self) -> bool {
        !self.0.swap(false, Ordering::AcqRel)
    }
}

/// The side that wakes. Every peer has one, and so has every thread that is not a core but brings answers to one.
#[derive(Clone, Debug)]
pub struct Bell(Arc<CachePadded<AtomicBool>>);

impl Bell {
    /// Asked after publishing: whether the caller must ring now. To be asked once per batch; a yes is given to one caller
    /// per sleep, and must be followed.
    #[must_use = "whoever gets a yes and does not ring leaves a core asleep"]
    pub fn needs_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.claim()
    }

    /// The same for a caller that fenced already, for several bells at once.
    pub(crate) fn claim(&self) -> bool {
        // The load keeps the line shared while everybody is awake, which is nearly always.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}
