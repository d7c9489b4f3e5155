//! *Owns* as whom a server writes to a store that others can reach, and how two servers on one store are told apart.
//! *Promises* that it enters the store ([`Driver::enter`]) whenever that was opened, so that nothing which was sent
//! before is written late; that a server which is started on the store of another that lives does not start; and that a
//! server that was put out writes nothing more. *Does not* know clusters, whose nodes share a store.
//!
//! The server that a store belongs to has its [`Mark`] in it, and counts that up once a second. Who starts, and finds
//! the mark of another server:
//!
//! * that has ended in order, or whose process has been on this machine and is gone: takes its place at once;
//! * whose mark moves: does not start, and says which server that is;
//! * whose mark stands still for three seconds: takes its place. That server may be dead, or frozen, or cut off from the
//!   store. Should it come back it finds that it was put out, writes nothing, and ends.

use super::driver::{Driver, Kind, Trouble, Writer};
use super::mark::Mark;
use crate::log::{Level, note};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often a mark is counted up.
const BEAT: Duration = Duration::from_secs(1);
/// For so many beats a mark stands still before its server is put out.
const BEATS: usize = 3;
/// How long a server that ends waits until its mark says so.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Holders are kept as signed numbers by some stores.
const HOLDER_MASK: u64 = u64::MAX >> 1;

/// See the module.
pub(super) struct Keeper {
    /// What the store has of it, or what it has tried to write last.
    mark: Mutex<Mark>,
    /// How often it has tried to enter.
    turn: AtomicU64,
    /// Whether it has ever entered.
    seated: AtomicBool,
    /// Whether it was put out.
    out: AtomicBool,
}

impl Keeper {
    /// That of the server of this name.
    pub(super) fn draw(server: &str) -> Result<Self, getrandom::Error> {
        let mark = Mark::own(server, getrandom::u64()? & HOLDER_MASK);
        let (turn, seated, out) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { mark: Mutex::new(mark), turn, seated, out })
    }

    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the store and enters it; at the start only if it belongs to nobody else.
    pub(super) async fn open<D: Driver>(&self, driver: &D) -> Result<(), Trouble> {
        driver.open().await?;
        if !D::MANNER.shared {
            return Ok(());
        }
        let at_start = !self.seated.load(Ordering::Relaxed);
        if at_start {
            self.take(driver).await?;
        }
        let (holder, turn) = (self.mark().holder, self.turn.fetch_add(1, Ordering::Relaxed) + 1);
        if driver.enter(Writer { seat: 0, holder, turn }, at_start).await? {
            self.seated.store(true, Ordering::Relaxed);
            Ok(())
        } else {
            Err(self.put_out("another server"))
        }
    }

    /// Puts the own mark in the place of one whose server is no more.
    async fn take<D: Driver>(&self, driver: &D) -> Result<(), Trouble> {
        let own = self.mark().clone();
        let bytes = own.bytes();
        let mut found = driver.keep(None, &bytes).await?;
        loop {
            let Some(theirs) = found.filter(|found| *found != bytes) else { return Ok(()) };
            let say = |level, text: &str| note(level, D::MANNER.event, &format!("{}: {text}", driver.place()));
            let Some(other) = Mark::read(&theirs) else {
                let what = "it was marked by a program that this release does not know";
                return Err(Trouble::new(Kind::Lasting, what, "use the release that has used it last"));
            };
            if other.left {
                // Its place is free.
            } else if other.is_gone(&own) {
                say(Level::Info, &format!("taken over from {}, which is gone", other.words()));
            } else {
                say(Level::Info, &format!("waiting to see whether {} still writes to it", other.words()));
                let now = watched(driver, &theirs, &bytes).await?;
                if now.as_ref() != Some(&theirs) {
                    if now.as_deref().and_then(Mark::read).is_some_and(|now| now.holder == other.holder && !now.left) {
                        return Err(taken(&other));
                    }
                    found = now;
                    continue;
                }
                let seconds = (BEAT * BEATS as u32).as_secs();
                let text =
                    format!("taken over from {}, which has not shown itself for {seconds} seconds", other.words());
                say(Level::Warn, &text);
            }
            found = driver.keep(Some(&theirs), &bytes).await?;
        }
    }

    /// Shows that this server lives, for as long as it does.
    pub(super) async fn beat<D: Driver>(&self, driver: &D) -> Trouble {
        if !D::MANNER.shared {
            return std::future::pending().await;
        }
        loop {
            sleep(BEAT).await;
            let (last, mut next) = {
                let mark = self.mark();
                (mark.bytes(), mark.clone())
            };
            next.beat += 1;
            let found = match driver.keep(Some(&last), &next.bytes()).await {
                // Somebody has emptied the table.
                Ok(None) => driver.keep(None, &next.bytes()).await,
                told => told,
            };
            match found {
                Ok(found) => match found.as_deref().and_then(Mark::read) {
                    // It may be an earlier one, if the store has lost the last.
                    Some(found) if found.holder == next.holder => *self.mark() = found,
                    Some(other) => return self.put_out(&other.words()),
                    None => {}
                },
                Err(trouble) if trouble.kind == Kind::Away => return trouble,
                Err(_) => {}
            }
        }
    }

    /// Says in the store that this server has ended.
    pub(super) async fn leave<D: Driver>(&self, driver: &D) {
        if !D::MANNER.shared || self.out.load(Ordering::Relaxed) {
            return;
        }
        // If this does not succeed, the next server sees that the process is gone, or waits.
        let _ = timeout(LAST_WAIT, async {
            let mut last = self.mark().clone();
            while !last.left {
                let mut left = last.clone();
                left.left = true;
                let found = driver.keep(Some(&last.bytes()), &left.bytes()).await.ok()??;
                // It may have counted up once more, and not have been told.
                last = Mark::read(&found).filter(|found| found.holder == last.holder)?;
            }
            Some(())
        })
        .await;
    }

    fn put_out(&self, by: &str) -> Trouble {
        self.out.store(true, Ordering::Relaxed);
        let what =
            format!("{by} has taken it over while this server did not reach it; nothing more is written from here");
        Trouble::new(Kind::Deposed, what, "let one server write to it, or give each a database of its own")
    }
}

/// Watches a mark until it changes, but no longer than for some beats. What is there then.
async fn watched<D: Driver>(driver: &D, theirs: &[u8], own: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
    let mut found = Some(theirs.to_vec());
    for _ in 0..BEATS {
        sleep(BEAT).await;
        found = driver.keep(None, own).await?;
        if found.as_deref() != Some(theirs) {
            break;
        }
    }
    Ok(found)
}

fn taken(by: &Mark) -> Trouble {
    let what = format!("{} writes to it", by.words());
    Trouble::new(Kind::Lasting, what, "stop that server first, or give this one a database of its own")
}
