//! A registry for the nodes of one process: for servers that are started side by side as a library, and as the reference
//! that other members are compared with.
//!
//! *Owns* leases and views of all clusters that meet at it. *Promises* what every registry does. *Does not* reach another process.

use super::{Held, Holder, Lease, Registry, Renewed, Seen, Swapped};
use crate::storage::{Kind, Trouble};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Where the nodes of a process meet. Clones share one state.
#[derive(Clone)]
pub struct Desk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// How often anything changed, or the desk went away.
    bell: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Set by tests: no node can reach it.
    away: bool,
    clusters: BTreeMap<String, Cluster>,
}

#[derive(Default)]
struct Cluster {
    revision: u64,
    view: Option<Vec<u8>>,
    stamp: u64,
    leases: BTreeMap<String, Entry>,
}

struct Entry {
    incarnation: u64,
    grant: u32,
    about: Vec<u8>,
    until: Instant,
}

/// A cluster's place at the desk, as one process has it.
pub struct Chair {
    desk: Desk,
    cluster: String,
    open: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Desk {
    fn default() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), bell: watch::Sender::new(0) }))
    }
}

impl Desk {
    /// A place at it, for one process of this cluster.
    pub fn chair(&self, cluster: &str) -> Chair {
        Chair { desk: self.clone(), cluster: cluster.to_owned(), open: Mutex::default() }
    }

    /// Takes the desk away from all who are at it, or brings it back.
    pub fn set_away(&self, away: bool) {
        lock(&self.0.state).away = away;
        self.ring();
    }

    fn ring(&self) {
        self.0.bell.send_modify(|count| *count += 1);
    }
}

impl Cluster {
    fn end_what_is_over(&mut self, now: Instant) {
        let before = self.leases.len();
        self.leases.retain(|_, held| held.until > now);
        self.stamp += u64::from(self.leases.len() != before);
    }

    fn holds(&self, lease: Held<'_>) -> bool {
        let of = (lease.incarnation, lease.grant);
        self.leases.get(lease.name).is_some_and(|held| (held.incarnation, held.grant) == of)
    }

    fn seen(&self, known: u64) -> Seen {
        let view = self.view.clone().filter(|_| self.revision != known);
        let holders = self.leases.iter().map(|(name, held)| held.told(name)).collect();
        Seen { revision: self.revision, view, stamp: self.stamp, holders }
    }
}

impl Entry {
    fn told(&self, name: &str) -> Holder {
        Holder { name: name.to_owned(), incarnation: self.incarnation, grant: self.grant, about: self.about.clone() }
    }
}

impl Chair {
    /// Does something with the cluster's state, with what is over gone from it.
    fn with<T>(&self, act: impl FnOnce(&mut Cluster, Instant) -> T) -> Result<T, Trouble> {
        let mut state = lock(&self.desk.0.state);
        if state.away || !*lock(&self.open) {
            return Err(away());
        }
        let now = Instant::now();
        let cluster = state.clusters.entry(self.cluster.clone()).or_default();
        let before = cluster.stamp;
        cluster.end_what_is_over(now);
        let result = act(cluster, now);
        let is_changed = cluster.stamp != before;
        drop(state);
        if is_changed {
            self.desk.ring();
        }
        Ok(result)
    }
}

fn away() -> Trouble {
    Trouble::new(Kind::Away, "this process is not at the desk", "")
}

impl Registry for Chair {
    fn place(&self) -> String {
        "the nodes of this process".to_owned()
    }

    fn deadline(&self) -> Duration {
        Duration::from_millis(250)
    }

    async fn open(&self) -> Result<(), Trouble> {
        *lock(&self.open) = true;
        self.with(|_, _| ()).inspect_err(|_| *lock(&self.open) = false)
    }

    async fn renew(&self, lease: &Lease<'_>, known: u64) -> Result<Renewed, Trouble> {
        self.with(|cluster, now| {
            let until = now + lease.ttl;
            match cluster.leases.get_mut(lease.name) {
                Some(held) if held.incarnation != lease.incarnation => {
                    return Renewed::Held(held.told(lease.name), held.until.saturating_duration_since(now));
                }
                Some(held) if held.grant == lease.grant => {
                    held.until = held.until.max(until);
                    if held.about != lease.about {
                        held.about = lease.about.to_vec();
                        cluster.stamp += 1;
                    }
                }
                Some(held) if !lease.fresh || held.grant > lease.grant => return Renewed::Lapsed,
                None if !lease.fresh => return Renewed::Lapsed,
                _ => {
                    let (incarnation, grant, about) = (lease.incarnation, lease.grant, lease.about.to_vec());
                    cluster.leases.insert(lease.name.to_owned(), Entry { incarnation, grant, about, until });
                    cluster.stamp += 1;
                }
            }
            Renewed::Yours(cluster.seen(known))
        })
    }

    async fn release(&self, lease: Held<'_>) -> Result<(), Trouble> {
        self.with(|cluster, _| {
            if cluster.holds(lease) {
                cluster.leases.remove(lease.name);
                cluster.stamp += 1;
            }
        })
    }

    async fn look(&self, known: u64) -> Result<Seen, Trouble> {
        self.with(|cluster, _| cluster.seen(known))
    }

    async fn swap(&self, expected: u64, view: &[u8], lease: Held<'_>) -> Result<Swapped, Trouble> {
        self.with(|cluster, _| {
            if !cluster.holds(lease) {
                return Swapped::NotHeld;
            }
            if cluster.revision != expected {
                return Swapped::Other(cluster.revision);
            }
            cluster.revision += 1;
            cluster.view = Some(view.to_vec());
            cluster.stamp += 1;
            Swapped::Done(cluster.revision)
        })
    }

    async fn changed(&self, stamp: u64) -> Result<(), Trouble> {
        let mut bell = self.desk.0.bell.subscribe();
        loop {
            bell.mark_unchanged();
            if self.with(|cluster, _| cluster.stamp)? != stamp {
                return Ok(());
            }
            // This cannot fail, because the sender is kept by the desk.
            let _ = bell.changed().await;
        }
    }

    async fn close(&self) {
        *lock(&self.open) = false;
        self.desk.ring();
    }
}
