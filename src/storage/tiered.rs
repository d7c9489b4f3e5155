//! A cache before a store: a driver made of both.
//!
//! *Owns* the order in which they are asked. *Promises* what every driver promises, as far as its store does; that a
//! cache which is away, slow or emptied is no outage; and that while this process runs no reader ever sees an older
//! version after a newer one. *Does not* read from a cache that may be outdated.
//!
//! * **A lookup** asks the cache, then the store for what is not cached, and caches what was found.
//! * **A commit** removes the names from the cache, writes them to the store, and puts them into the cache; it ends
//!   after all three. So a process that crashes in between leaves nothing outdated in the cache.
//! * **What a lookup found is not cached** if a commit of the same name was under way at any moment of the lookup,
//!   because it may be older.
//! * **While the cache is away** written names are noted, and removed from the cache before it is asked again. If the
//!   process crashes meanwhile this list is lost, and the operator has to flush the cache; the log says so when the
//!   cache goes away.

use super::cache::{Cache, Entry};
use super::driver::{Driver, Expected, Found, Late, Manner, Refused, Trouble, Write, Writer};
use super::health::{RETRY_FIRST, first_of};
use super::names::Names;
use crate::log::{Level, note};
use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Guarded, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

/// A cache that takes longer is no faster than the store.
const PATIENCE: Duration = Duration::from_millis(250);
/// Most names that are noted, of each kind; above it all names count as noted.
const NAMES_MAX: usize = 1 << 20;

/// See the module.
pub struct Tiered<C, S> {
    cache: C,
    store: S,
    /// Whether the cache is asked.
    trusted: AtomicBool,
    /// Signalled when it is no longer asked.
    lost: Notify,
    /// Held while the cache is changed.
    turn: Mutex<()>,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    /// Names of which the cache may be outdated.
    suspects: Noted,
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
            state.touched = Noted::default();
        }
    }
}

fn lock(state: &Guarded<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Cache, S: Driver> Tiered<C, S> {
    /// A cache before a store.
    pub fn new(cache: C, store: S) -> Self {
        let (trusted, lost) = (AtomicBool::new(false), Notify::new());
        Self { cache, store, trusted, lost, turn: Mutex::default(), state: Guarded::default() }
    }

    /// The cache's answer if it comes in time; otherwise the cache is not asked any more.
    async fn asked<T>(&self, answer: impl Future<Output = Result<T, Trouble>>) -> Option<T> {
        if !self.trusted.load(Ordering::Acquire) {
            return None;
        }
        let why = match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(trouble)) => trouble.words(),
            Err(_) => "no answer in time".to_owned(),
        };
        if self.trusted.swap(false, Ordering::AcqRel) {
            let text = format!(
                "cache {}: {why}. The store alone is asked until it is back; flush it if this server ends before",
                self.cache.place()
            );
            note(Level::Error, "CACHE", &text);
            self.lost.notify_one();
        }
        None
    }

    /// Removes from the cache what may be outdated; from then on it is asked.
    async fn trust(&self) -> Result<(), Trouble> {
        self.cache.open().await?;
        let _turn = self.turn.lock().await;
        // They stay noted until they are removed from the cache, also if this future is dropped halfway. None is added
        // meanwhile, because that needs the lock `turn`.
        let (all, names) = {
            let State { suspects, .. } = &*lock(&self.state);
            (suspects.all, suspects.names.iter().cloned().collect::<Vec<_>>())
        };
        if all {
            let what = "it is behind in too many records";
            return Err(Trouble::new(super::Kind::Busy, what, "flush it, and restart the server"));
        }
        let names: Vec<&[u8]> = names.iter().map(|name| &**name).collect();
        self.cache.delete(&names).await?;
        lock(&self.state).suspects = Noted::default();
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
                    note(Level::Info, "CACHE", &format!("cache {} is back", self.cache.place()));
                }
            }
            self.lost.notified().await;
        }
    }

    /// Caches what a lookup found in the store, unless it was written meanwhile.
    async fn fill(&self, names: &[&[u8]], found: &[Found]) {
        let _turn = self.turn.lock().await;
        let entries: Vec<Entry<'_>> = {
            let state = lock(&self.state);
            let known = names.iter().zip(found).filter(|(name, _)| !state.touched.has(name));
            known
                .filter_map(|(name, found)| found.as_ref().ok()?.as_ref().map(|stored| (name, stored)))
                .map(|(name, stored)| Entry { name, version: stored.version, value: &stored.value })
                .collect()
        };
        if !entries.is_empty() {
            self.asked(self.cache.set(&entries)).await;
        }
    }

    /// Changes the cache because of a commit; names of which it may be outdated afterwards are noted.
    async fn change(&self, group: &[Write<'_>], change: impl Future<Output = Result<(), Trouble>>) {
        {
            let mut state = lock(&self.state);
            if state.lookups > 0 {
                state.touched.add(group);
            }
        }
        let _turn = self.turn.lock().await;
        if self.asked(change).await.is_none() {
            lock(&self.state).suspects.add(group);
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
            note(Level::Warn, "CACHE", &format!("cache {}: {}. It is tried again", self.cache.place(), why.words()));
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
        let mut found = self.asked(self.cache.get(names)).await.unwrap_or_default();
        found.resize(names.len(), Ok(None));
        let missing: Vec<usize> = (0..names.len()).filter(|at| !matches!(found[*at], Ok(Some(_)))).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let asked: Vec<&[u8]> = missing.iter().map(|at| names[*at]).collect();
        let stored = self.store.load(&asked).await?;
        self.fill(&asked, &stored).await;
        for (at, stored) in missing.into_iter().zip(stored) {
            found[at] = stored;
        }
        Ok(found)
    }

    async fn claim(&self, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
        self.store.claim(slots, generation).await
    }

    async fn commit(&self, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
        let names: Vec<&[u8]> = group.iter().map(|write| write.name).collect();
        self.change(group, self.cache.delete(&names)).await;
        let refused = self.store.commit(group).await?;
        let done: Vec<Write<'_>> = {
            let lost: HashSet<usize> = refused.iter().map(|refused| refused.entry).collect();
            let kept = group.iter().enumerate().filter(|(at, _)| !lost.contains(at));
            kept.map(|(_, write)| *write).collect()
        };
        // Records written with a condition or a fence are written by other servers too, so they are not cached, and the
        // next reader asks the store.
        let own = done.iter().filter(|write| write.expected == Expected::Anything && write.fence.is_none());
        let entries: Vec<Entry<'_>> = own
            .filter_map(|write| write.value.map(|value| Entry { name: write.name, version: write.version, value }))
            .collect();
        self.change(&done, self.cache.set(&entries)).await;
        Ok(refused)
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
