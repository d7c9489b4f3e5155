//! *Owns* as whom a server writes to its store. *Promises* that it enters the store ([`Driver::enter`]) whenever that
//! was opened, so that nothing which was sent before is written late; and that it puts nobody out but at its start. So
//! of two servers on one store the one that was put out does not come back, and acknowledges nothing more.

use super::driver::{Driver, Kind, Trouble, Writer};
use std::sync::atomic::{AtomicU64, Ordering};

/// Holders are kept as signed numbers by some stores.
const HOLDER_MASK: u64 = u64::MAX >> 1;

/// See the module.
pub(super) struct Keeper {
    holder: u64,
    /// How often it has tried to enter.
    turn: AtomicU64,
    /// The first turn in which it has entered; zero before.
    seated: AtomicU64,
}

impl Keeper {
    /// A new one.
    pub(super) fn draw() -> Result<Self, getrandom::Error> {
        let holder = getrandom::u64()? & HOLDER_MASK;
        Ok(Self { holder, turn: AtomicU64::new(0), seated: AtomicU64::new(0) })
    }

    /// Opens the store and enters it.
    pub(super) async fn open<D: Driver>(&self, driver: &D) -> Result<(), Trouble> {
        driver.open().await?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        let at_start = self.seated.load(Ordering::Relaxed) == 0;
        if driver.enter(Writer { seat: 0, holder: self.holder, turn }, at_start).await? {
            if at_start {
                self.seated.store(turn, Ordering::Relaxed);
            }
            Ok(())
        } else {
            let what = "another server writes to it since, and nothing more is written from here";
            Err(Trouble::new(
                Kind::Deposed,
                what,
                "let one server write to it, and restart this one if that is to be it",
            ))
        }
    }
}
