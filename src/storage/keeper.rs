//! *Owns* as whom a server writes to a store that others can reach, and how two servers on one store are told apart.
//! *Promises* that it enters the store ([`Driver::enter`]) whenever that was opened, so that nothing which was sent
//! before is written late; that a server which is started on the store of another that lives does not start, nor does a
//! cluster, unless it is a node of the same one; and that a server that was put out writes nothing more. *Does not* know
//! who is a node of a cluster.
//!
//! The server or cluster that a store belongs to has its [`Mark`] in it, and counts that up once a second. Who starts, and
//! finds the mark of another:
//!
//! * that has ended in order, or whose process has been on this machine and is gone: takes its place at once;
//! * whose mark moves: does not start, and says whose that is;
//! * whose mark stands still for three seconds: takes its place. That server may be dead, or frozen, or cut off from the
//!   store. Should it come back it finds that it was put out, writes nothing, and ends.
//!
//! A server alone has the first seat. The node of a cluster has the seat of its number ([`Keeper::sit`]), which it gets with
//! its first claim. So several write at a time, and one that has lost its number, or never had one, writes nothing, which
//! is no end: it can get another one. Whoever takes the place of a cluster puts all its nodes out, whatever their numbers.

use super::driver::{Driver, Kind, Trouble, Writer};
use super::mark::Mark;
use crate::log::{Level, note};
use deepstream_engine::Place;
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

/// The cluster that a server is a node of, as its store has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Keys the hash of names, unless the store has a seed already ([`Storage::seed`](super::Storage::seed)): drawn at random.
    pub seed: [u64; 2],
}

/// See the module.
pub(super) struct Keeper {
    /// As it begins.
    own: Mark,
    /// What the store has of it, or what it has tried to write last.
    mark: Mutex<Mark>,
    /// How often it has tried to enter.
    turn: AtomicU64,
    /// Whether the store is its own.
    settled: AtomicBool,
    /// Where it sits, if it does.
    seat: Mutex<Option<u16>>,
    /// Whether it was put out.
    out: AtomicBool,
}

impl Keeper {
    /// That of the server of this name.
    pub(super) fn draw(server: &str, cluster: Option<Cluster>) -> Result<Self, getrandom::Error> {
        let mut own = Mark::own(server, getrandom::u64()? & HOLDER_MASK);
        if let Some(Cluster { name, seed }) = cluster {
            (own.cluster, own.seed) = (Some(name), Some(seed));
        }
        let (turn, settled, out) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { mark: Mutex::new(own.clone()), own, turn, settled, seat: Mutex::default(), out })
    }

    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> MutexGuard<'_, Option<u16>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_node(&self) -> bool {
        self.own.cluster.is_some()
    }

    /// By which names are spread over slots.
    pub(super) fn seed(&self) -> Option<[u64; 2]> {
        self.mark().seed
    }

    /// Whether it may write at all: always, but for the node of a cluster that has no seat.
    pub(super) fn may_write<D: Driver>(&self) -> bool {
        !D::MANNER.shared || !self.is_node() || self.seat().is_some()
    }

    /// Opens the store and enters it; at the start only if it belongs to nobody else.
    pub(super) async fn open<D: Driver>(&self, driver: &D) -> Result<(), Trouble> {
        driver.open().await?;
        if !D::MANNER.shared {
            return Ok(());
        }
        let at_start = !self.settled.load(Ordering::Relaxed);
        if at_start {
            self.take(driver).await?;
        }
        let is_node = self.is_node();
        let seat = if is_node { *self.seat() } else { Some(0) };
        if let Some(seat) = seat {
            let entered = self.enter(driver, seat, at_start).await?;
            if is_node && !entered {
                *self.seat() = None;
            } else if !entered {
                return Err(self.put_out("another server"));
            }
        }
        if is_node && !at_start {
            self.look(driver).await?;
        }
        self.settled.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn enter<D: Driver>(&self, driver: &D, seat: u16, out: bool) -> Result<bool, Trouble> {
        let (holder, turn) = (self.own.holder, self.turn.fetch_add(1, Ordering::Relaxed) + 1);
        driver.enter(Writer { seat, holder, turn }, out).await
    }

    /// Takes the seat of this node of a cluster, whoever sits there: that one has lost its number.
    pub(super) async fn sit<D: Driver>(&self, driver: &D, node: u16) -> Result<(), Trouble> {
        if !D::MANNER.shared || !self.is_node() || *self.seat() == Some(node) {
            return Ok(());
        }
        *self.seat() = None;
        // Before, so that nobody is put out who has the store now; and afterwards, because whoever gets it meanwhile puts out
        // those who sit there then, and may have done so before.
        self.look(driver).await?;
        if self.enter(driver, node, true).await? {
            self.look(driver).await?;
            *self.seat() = Some(node);
            Ok(())
        } else {
            Err(Trouble::new(Kind::Away, "this server has entered it anew meanwhile", ""))
        }
    }

    /// Fails if the store has the mark of another.
    async fn look<D: Driver>(&self, driver: &D) -> Result<(), Trouble> {
        let last = self.mark().bytes();
        match driver.keep(None, &last).await?.as_deref().and_then(Mark::read) {
            Some(other) if !self.own.is_kin(&other) => Err(self.put_out(&other.words())),
            _ => Ok(()),
        }
    }

    /// Puts the own mark in the place of one whose server is no more.
    async fn take<D: Driver>(&self, driver: &D) -> Result<(), Trouble> {
        let mut own = self.own.clone();
        let mut found = driver.keep(None, &own.bytes()).await?;
        while let Some(theirs) = found.filter(|found| *found != own.bytes()) {
            let say = |level, text: &str| note(level, D::MANNER.event, &format!("{}: {text}", driver.place()));
            let Some(other) = Mark::read(&theirs) else {
                let what = "it was marked by a program that this release does not know";
                return Err(Trouble::new(Kind::Lasting, what, "use the release that has used it last"));
            };
            own.seed = other.seed.or(own.seed);
            if other.is_kin(&own) && !other.clearing {
                *self.mark() = other;
                return Ok(());
            }
            // It may have been written by this very process, which has not been told.
            if other.left || other.holder == own.holder {
                // Its place is free.
            } else if other.is_gone(&own) {
                say(Level::Info, &format!("taken over from {}, which is gone", other.words()));
            } else {
                say(Level::Info, &format!("waiting to see whether {} still writes to it", other.words()));
                let now = watched(driver, &theirs, &own.bytes()).await?;
                if now.as_ref() != Some(&theirs) {
                    let now_there = now.as_deref().and_then(Mark::read);
                    if now_there.is_some_and(|now| now.is_kin(&other) && !now.is_kin(&own) && !now.left) {
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
            // A server alone has one seat, which is taken when this one enters.
            own.clearing = own.cluster.is_some() || other.cluster.is_some() || other.clearing;
            let bytes = own.bytes();
            found = driver.keep(Some(&theirs), &bytes).await?;
            if own.clearing && found.as_ref() == Some(&bytes) {
                for seat in 0..Place::NODES_MAX {
                    self.enter(driver, u16::from(seat), true).await?;
                }
                own.clearing = false;
                found = driver.keep(Some(&bytes), &own.bytes()).await?;
            }
            own.clearing = false;
        }
        *self.mark() = own;
        Ok(())
    }

    /// Shows that this server lives, for as long as it does.
    pub(super) async fn beat<D: Driver>(&self, driver: &D) -> Trouble {
        if !D::MANNER.shared {
            return std::future::pending().await;
        }
        loop {
            sleep(BEAT).await;
            let (last, next) = {
                let mark = self.mark();
                (mark.bytes(), self.own.after(&mark))
            };
            let found = match driver.keep(Some(&last), &next.bytes()).await {
                // Somebody has emptied the table.
                Ok(None) => driver.keep(None, &next.bytes()).await,
                told => told,
            };
            match found {
                Ok(found) => match found.as_deref().and_then(Mark::read) {
                    // It may be an earlier one, if the store has lost the last, or that of another node.
                    Some(found) if found.is_kin(&next) => *self.mark() = found,
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
        // Other nodes of a cluster may go on.
        if !D::MANNER.shared || self.is_node() || self.out.load(Ordering::Relaxed) {
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
