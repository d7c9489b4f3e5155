//! A cache before a store: a driver made of both.
//!
//! *Owns* the order in which they are asked. *Promises* what every driver promises, as far as its store does; that a
//! cache which is away, slow or emptied is no outage; and that no reader ever sees an older version after a newer one,
//! whatever became of the cache or of this process, and whoever else uses that cache. *Does not* read from a cache that
//! may be outdated.
//!
//! * **A lookup** asks the cache, then the store for what is not cached, and caches what was found.
//! * **A commit** writes to the store, and then puts what it wrote into the cache; it ends after both.
//! * **What a lookup found is not cached** if a commit of the same name was under way at any moment of the lookup,
//!   because it may be older.
//! * **What is cached has a stamp**, a random number, and only what has the present one is believed. Another is drawn when
//!   this process starts, whenever the cache was away, and whenever slots were claimed. So what was not told of a change
//!   is never believed again: what this process had cached before it ended, what reached the cache late over a connection
//!   that is gone, what another node of a cluster cached that has lost the slot. The price is a cache that starts empty
//!   then.

use super::cache::{Cache, Entry};
use super::driver::{Driver, Expected, Found, Kind, Late, Manner, Refused, Trouble, Write, Writer};
use super::health::{RETRY_FIRST, first_of};
use super::names::Names;
use crate::log::{Level, note};
use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Guarded, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

/// A cache that takes longer is no faster than the store.
const PATIENCE: Duration = Duration::from_millis(250);
/// Most names that are noted, of each kind; above it all names count as noted.
const NAMES_MAX: usize = 1 << 20;
const EVENT: &str = "CACHE";
/// The record by which it is tried whether the cache works. One of a client by this name is only forgotten.
const PROBE: &[u8] = b"deepstream:probe";

/// See the module.
pub struct Tiered<C, S> {
    cache: C,
    store: S,
    /// Whether the cache is asked.
    trusted: AtomicBool,
    /// What is cached is believed if it has this one.
    stamp: AtomicU64,
    /// Signalled when the cache is no longer asked.
    lost: Notify,
    /// Held while the cache is changed.
    turn: Mutex<()>,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    /// Names that are being committed.
    under_way: Noted,
    /// Names that were committed while a lookup was under way.
    touched: Noted,
    lookups: usize,
}

/// A set of names, or all names.
#[derive(Default)]
struct Noted {
    names: HashSet<Box<[u8]>>,
    all: bool,
}

impl Noted {
    fn add(&mut self, group: &[Write<'_>]) {
        if self.names.len() + group.len() > NAMES_MAX {
            self.all = true;
        } else {
            self.names.extend(group.iter().map(|write| Box::from(write.name)));
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.all || self.names.contains(name)
    }

    fn clear(&mut self) {
        self.names.clear();
        self.all = false;
    }
}

/// A lookup under way.
struct Lookup<'t>(&'t Guarded<State>);

impl<'t> Lookup<'t> {
    fn begin(state: &'t Guarded<State>) -> Self {
        lock(state).lookups += 1;
        Self(state)
    }
}

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        let mut state = lock(self.0);
        state.lookups -= 1;
        if state.lookups == 0 {
            state.touched.clear();
        }
    }
}

fn lock(state: &Guarded<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Cache, S: Driver> Tiered<C, S> {
    /// A cache before a store.
    pub fn new(cache: C, store: S) -> Self {
        let (trusted, stamp, lost) = (AtomicBool::new(false), AtomicU64::new(0), Notify::new());
        Self { cache, store, trusted, stamp, lost, turn: Mutex::default(), state: Guarded::default() }
    }

    fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Acquire)
    }

    /// Draws another stamp: from here on nothing is believed that was cached before.
    fn renew(&self) -> Result<(), Trouble> {
        let failed = |error: getrandom::Error| Trouble::new(Kind::Busy, format!("no random numbers: {error}"), "");
        let drawn = getrandom::u64().map_err(failed);
        // One that was not drawn is at least another one, and nothing is asked until one is.
        self.stamp.store(*drawn.as_ref().unwrap_or(&self.stamp().wrapping_add(1)), Ordering::Release);
        drawn.map(|_| ())
    }

    /// The cache's answer if it comes in time; otherwise the cache is not asked any more.
    async fn asked<T>(&self, answer: impl Future<Output = Result<T, Trouble>>) -> Option<T> {
        if !self.trusted.load(Ordering::Acquire) {
            return None;
        }
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(trouble)) => self.lose(&trouble.words()),
            Err(_) => self.lose("no answer in time"),
        }
        None
    }

    fn lose(&self, why: &str) {
        if self.trusted.swap(false, Ordering::AcqRel) {
            let text = format!(
                "cache {}: {why}. Records that are not in memory are read from {} alone until it is back, which takes \
                 longer; nothing else changes",
                self.cache.place(),
                self.store.place()
            );
            note(Level::Error, EVENT, &text);
            self.lost.notify_one();
        }
    }

    /// Opens the cache; from then on it is asked, for what is put there from now on.
    async fn trust(&self) -> Result<(), Trouble> {
        self.cache.open().await?;
        // A connection that is open says nothing of whether it is answered, nor whether anything can be written.
        let _turn = self.turn.lock().await;
        self.cache.set(&[Entry { name: PROBE, version: 0, value: b"{}" }], 0).await?;
        self.cache.get(&[PROBE], 0).await?;
        self.cache.delete(&[PROBE]).await?;
        self.renew()?;
        self.trusted.store(true, Ordering::Release);
        Ok(())
    }

    /// Brings the cache back whenever it is away. Never ends.
    async fn revive(&self) -> Trouble {
        loop {
            let mut pause = RETRY_FIRST;
            while !self.trusted.load(Ordering::Acquire) {
                sleep(pause).await;
                pause = (pause * 2).min(S::MANNER.retry_max);
                if timeout(pause.max(PATIENCE), self.trust()).await.is_ok_and(|result| result.is_ok()) {
                    let text = format!("cache {} is back, and counts as empty", self.cache.place());
                    note(Level::Info, EVENT, &text);
                }
            }
            self.lost.notified().await;
        }
    }

    /// Caches what a lookup found in the store, unless it was written meanwhile.
    async fn fill(&self, names: &[&[u8]], found: &[Found], stamp: u64) {
        let _turn = self.turn.lock().await;
        let entries: Vec<Entry<'_>> = {
            let state = lock(&self.state);
            let known = names.iter().zip(found);
            let known = known.filter(|(name, _)| !state.touched.has(name) && !state.under_way.has(name));
            known
                .filter_map(|(name, found)| found.as_ref().ok()?.as_ref().map(|stored| (name, stored)))
                .map(|(name, stored)| Entry { name, version: stored.version, value: &stored.value })
                .collect()
        };
        if !entries.is_empty() {
            self.asked(self.cache.set(&entries, stamp)).await;
        }
    }

    /// Brings the cache up to date after a commit: what was written is put there, and of what may not have been written
    /// nothing is kept.
    async fn follow(&self, group: &[Write<'_>], outcome: &Result<Vec<Refused>, Trouble>, stamp: u64) {
        let _turn = self.turn.lock().await;
        let (mut entries, mut gone) = (Vec::new(), Vec::new());
        let refused: HashSet<usize> = outcome.iter().flatten().map(|refused| refused.entry).collect();
        for (at, write) in group.iter().enumerate() {
            // Records written with a condition are written by others too.
            let is_own = outcome.is_ok() && !refused.contains(&at) && write.expected == Expected::Anything;
            match write.value.filter(|_| is_own) {
                Some(value) => entries.push(Entry { name: write.name, version: write.version, value }),
                None => gone.push(write.name),
            }
        }
        if !entries.is_empty() {
            self.asked(self.cache.set(&entries, stamp)).await;
        }
        if !gone.is_empty() {
            self.asked(self.cache.delete(&gone)).await;
        }
    }
}

impl<C: Cache, S: Driver> Driver for Tiered<C, S> {
    const MANNER: Manner = S::MANNER;

    fn place(&self) -> String {
        self.store.place()
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Both(self.cache.names(), self.store.names()))
    }

    fn rounds(&self) -> usize {
        self.store.rounds()
    }

    fn syncs(&self) -> u64 {
        self.store.syncs()
    }

    /// The server starts even if the cache is away.
    async fn open(&self) -> Result<(), Trouble> {
        self.store.open().await?;
        if !self.trusted.load(Ordering::Acquire)
            && let Ok(Err(why)) = timeout(PATIENCE, self.trust()).await
        {
            note(Level::Warn, EVENT, &format!("cache {}: {}. It is tried again", self.cache.place(), why.words()));
        }
        Ok(())
    }

    async fn enter(&self, writer: Writer, out: bool) -> Result<bool, Trouble> {
        self.store.enter(writer, out).await
    }

    async fn keep(&self, expected: Option<&[u8]>, mark: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        self.store.keep(expected, mark).await
    }

    async fn attend(&self) -> Trouble {
        first_of(self.store.attend(), self.revive()).await
    }

    async fn load(&self, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
        let _lookup = Lookup::begin(&self.state);
        let stamp = self.stamp();
        let mut found = self.asked(self.cache.get(names, stamp)).await.unwrap_or_default();
        if stamp != self.stamp() {
            found.clear();
        }
        found.resize(names.len(), Ok(None));
        let missing: Vec<usize> = (0..names.len()).filter(|at| !matches!(found[*at], Ok(Some(_)))).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let asked: Vec<&[u8]> = missing.iter().map(|at| names[*at]).collect();
        let stored = self.store.load(&asked).await?;
        // Under the stamp of the beginning: if slots were claimed meanwhile their last owner may have written since.
        self.fill(&asked, &stored, stamp).await;
        for (at, stored) in missing.into_iter().zip(stored) {
            found[at] = stored;
        }
        Ok(found)
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
        let claimed = self.store.claim(slots, generation).await;
        // Afterwards: until then their last owner may have written.
        if let Err(why) = self.renew() {
            self.lose(&why.words());
        }
        claimed
    }

    async fn commit(&self, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        let stamp = self.stamp();
        lock(&self.state).under_way.add(group);
        let outcome = self.store.commit(group).await;
        self.follow(group, &outcome, stamp).await;
        let mut state = lock(&self.state);
        if state.lookups > 0 {
            state.touched.add(group);
        }
        state.under_way.clear();
        outcome
    }

    async fn close(&self) {
        self.trusted.store(false, Ordering::Release);
        self.cache.close().await;
        self.store.close().await;
    }
}

/// The names that both can keep.
struct Both(Arc<dyn Names>, Arc<dyn Names>);

impl Names for Both {
    fn place<'n>(&'n self, name: &'n [u8]) -> Result<super::names::Place<'n>, super::names::Refusal> {
        self.0.place(name).and_then(|_| self.1.place(name))
    }
}
