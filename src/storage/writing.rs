//! *Owns* the task that writes: group commit. *Promises* that success is only reported for a batch after its commit,
//! and that batches which the shards hand over at the same time share one commit. *Does not* give up on a store that is
//! to be waited for ([`Manner::waits`](super::Manner)): the group waits, and with it the shards it came from, whose
//! next batches collect the newest values meanwhile. It only fails if the server stops while it waits, or for records
//! that cannot be stored.
//!
//! **A claim of slots** waits for the batches that were handed over before it, and goes before those that come after. It is
//! tried once: whoever asked for it decides whether it is still wanted.
//!
//! **The node of a cluster that has lost its number**, or has none yet, is answered that others own what it writes, at once.
//!
//! **A commit whose answer was lost** is repeated: writing the same twice does no harm.
//!
//! **One record must not keep the others from being stored.** A group that the store refuses as a whole is written
//! again in halves, down to the single records that cause the refusal, and those are answered as refused.

use super::Shared;
use super::client::{Claim, Claimed, WriteLane, Written};
use super::driver::{Driver, Expected, Kind, Late, Refused, Trouble, Why, Write};
use super::health::{Opening, RETRY_FIRST};
use super::names::Names;
use crate::log::{Level, note};
use crate::service::Waker;
use crate::service::bell::BellReceiver;
use deepstream_engine::{self as engine, Fault, Refusal, StoreBatch};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

/// Bytes of a group at which no further batch joins it.
const GROUP_BYTES: usize = 8 << 20;
/// How long a server that stops waits for a store that is away.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How often [`Kind::Changed`](super::Kind) is retried for one group before it counts as a failure.
const LOOKS_MAX: usize = 4;

pub(super) struct Writer<D> {
    pub(super) driver: Arc<D>,
    pub(super) shared: Arc<Shared>,
    pub(super) names: Arc<dyn Names>,
    pub(super) lanes: Vec<WriteLane>,
    pub(super) wakers: Vec<Waker>,
    /// The number of lanes of shards; the lanes after them belong to services off the cores.
    pub(super) shards: usize,
    pub(super) receiver: BellReceiver,
    /// The lane that is served first. It changes, so that a group of limited size does not favour the first shards.
    pub(super) first: usize,
}

/// A batch, and the lane it came from.
type Grouped = (usize, StoreBatch);

/// Entries of a group that cannot be stored: which batch, which of its entries, and why.
type Refusals = Vec<(usize, Refusal)>;

impl<D: Driver> Writer<D> {
    /// Writes until the server stops.
    pub(super) async fn run(&mut self) {
        loop {
            // Read before batches are collected, so that a batch which came before the stop is written.
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            let claims = self.claims();
            // In so many rounds each lane is served, however large groups are.
            let rounds = if claims.is_empty() { 1 } else { self.lanes.len() };
            let mut idle = claims.is_empty();
            for _ in 0..rounds {
                let group = self.gather();
                if group.is_empty() {
                    break;
                }
                idle = false;
                let result = self.write(&group).await;
                self.answer(group, &result);
            }
            if !idle {
                for (lane, claim) in claims {
                    let result = self.claim(&claim).await;
                    // As for batches, the lane cannot be full.
                    let _ = self.lanes[lane].claimed.push(Claimed { ticket: claim.ticket, result });
                    self.wakers[lane]();
                }
                // Lets the store's other tasks run: the futures of a driver that blocks never wait.
                yield_now().await;
            } else if stopping {
                break;
            } else {
                let (lanes, stopping) = (&self.lanes, &self.shared.stopping);
                let has_work = || lanes.iter().any(WriteLane::has_work) || stopping.load(Ordering::Acquire);
                self.receiver.wait(has_work).await;
            }
        }
    }

    /// Takes the claims that have arrived.
    fn claims(&mut self) -> Vec<(usize, Claim)> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.flat_map(|(lane, ends)| std::iter::from_fn(move || Some((lane, ends.claims.pop().ok()?)))).collect()
    }

    /// Claims slots, if the store is there.
    async fn claim(&self, claim: &Claim) -> Result<Vec<Late>, Fault> {
        let failed = |why: &Trouble| Fault::Failed(format!("{}: {}", self.driver.place(), why.words()));
        let mut looks = 0;
        loop {
            let opening = self.shared.health.now().map_err(|why| failed(&why))?;
            let claimed = async {
                self.shared.keeper.sit(&*self.driver, u16::from(claim.node.0)).await?;
                self.driver.claim(&claim.slots, claim.generation).await
            };
            let trouble = match claimed.await {
                Ok(late) => {
                    self.shared.counters.claims.fetch_add(1, Ordering::Relaxed);
                    return Ok(late);
                }
                Err(trouble) => trouble,
            };
            looks += 1;
            match trouble.kind {
                Kind::Changed if looks <= LOOKS_MAX => {}
                kind => {
                    if matches!(kind, Kind::Away | Kind::Deposed) {
                        self.shared.health.report(opening, &trouble);
                    }
                    return Err(failed(&trouble));
                }
            }
        }
    }

    /// Ends. Wakes cores that sleep while waiting for a batch: they find the lane abandoned.
    pub(super) fn end(self) {
        drop(self.lanes);
        self.wakers.iter().for_each(|waker| waker());
    }

    /// Takes the batches that have arrived, at most one per shard. A batch of a service off the cores goes alone: a name
    /// belongs to one shard, so it occurs only once in what shards write together, but such a service may write any name.
    fn gather(&mut self) -> Vec<Grouped> {
        let (count, mut bytes, mut group) = (self.lanes.len(), 0, Vec::new());
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let alone = index >= self.shards;
            if bytes < GROUP_BYTES
                && (!alone || group.is_empty())
                && let Ok(batch) = self.lanes[index].batches.pop()
            {
                bytes += batch.bytes.len();
                group.push((index, batch));
                if alone {
                    break;
                }
            }
        }
        self.first = (self.first + 1) % count.max(1);
        group
    }

    fn answer(&mut self, group: Vec<Grouped>, result: &Result<Refusals, Fault>) {
        if result.is_ok() {
            let records: usize = group.iter().map(|(_, batch)| batch.entries.len()).sum();
            let counters = &self.shared.counters;
            counters.commits.fetch_add(1, Ordering::Relaxed);
            counters.batches.fetch_add(group.len() as u64, Ordering::Relaxed);
            counters.records.fetch_add(records as u64, Ordering::Relaxed);
        }
        for (number, (lane, batch)) in group.into_iter().enumerate() {
            let result = match result {
                Err(fault) => Err(fault.clone()),
                Ok(refusals) => of_batch(number, refusals),
            };
            // The lane cannot be full, because a client has at most as many batches under way as it has room. If the
            // core is gone it needs no answer.
            let _ = self.lanes[lane].answers.push(Written { batch, result });
            self.wakers[lane]();
        }
    }

    /// Writes a group. Returns what cannot be stored.
    async fn write(&self, group: &[Grouped]) -> Result<Refusals, Fault> {
        let (mut writes, mut places, mut refusals) = (Vec::new(), Vec::new(), Refusals::new());
        for (number, (_, batch)) in group.iter().enumerate() {
            for (entry, stored) in (0..).zip(&batch.entries) {
                let (name, value) = (batch.name(stored), batch.value(stored));
                match self.names.place(name) {
                    Ok(_) => {
                        writes.push(Write {
                            name,
                            version: stored.version,
                            value,
                            expected: Expected::Anything,
                            fence: batch.fences.get(entry as usize).copied(),
                        });
                        places.push((number, entry));
                    }
                    // A name that cannot be stored needs no removal.
                    Err(_) if value.is_none() => {}
                    Err(why) => refusals.push((number, unstorable(entry, why.to_string()))),
                }
            }
        }
        // Ranges that are still to be written, the first one last.
        let mut ranges = vec![(0, writes.len())];
        while let Some((start, end)) = ranges.pop() {
            let range = start..end;
            let refused = match self.commit(&writes[range.clone()]).await? {
                Ok(refused) => refused,
                Err(trouble) if range.len() <= 1 => vec![Refused { entry: 0, why: Why::Unstorable(trouble.what) }],
                Err(_) => {
                    let middle = range.start + range.len() / 2;
                    ranges.push((middle, end));
                    ranges.push((start, middle));
                    continue;
                }
            };
            refusals.extend(refused.into_iter().filter_map(|Refused { entry, why }| {
                let why = match why {
                    Why::Unstorable(why) => engine::Refused::Unstorable(why),
                    Why::Conflict => engine::Refused::Unstorable("another writer was faster".to_owned()),
                    Why::Deposed => {
                        self.shared.counters.deposed.fetch_add(1, Ordering::Relaxed);
                        engine::Refused::Deposed
                    }
                };
                places.get(range.start + entry).map(|&(number, entry)| (number, Refusal { entry, why }))
            }));
        }
        Ok(refusals)
    }

    /// Commits these writes, however long that takes if the store is to be waited for. The inner error: they can never
    /// be stored as a group.
    async fn commit(&self, writes: &[Write<'_>]) -> Result<Result<Vec<Refused>, Trouble>, Fault> {
        let manner = D::MANNER;
        let failed = |why: &str| Fault::Failed(format!("{}: {why}", self.driver.place()));
        let stopping = || self.shared.stopping.load(Ordering::Acquire);
        let (mut pause, mut looks) = (RETRY_FIRST, 0);
        loop {
            let opening = match self.shared.health.now() {
                Ok(opening) => opening,
                Err(why) if !manner.waits => return Err(failed(&why.words())),
                Err(_) => self.wait(writes.len()).await?,
            };
            if !self.shared.keeper.may_write::<D>() {
                return Ok(Ok((0..writes.len()).map(|entry| Refused { entry, why: Why::Deposed }).collect()));
            }
            let trouble = match self.driver.commit(writes).await {
                Ok(refused) => return Ok(Ok(refused)),
                Err(trouble) => trouble,
            };
            looks += usize::from(trouble.kind == Kind::Changed);
            match trouble.kind {
                Kind::Lasting => return Ok(Err(trouble)),
                Kind::Changed if looks <= LOOKS_MAX => {}
                Kind::Away | Kind::Deposed => {
                    self.shared.health.report(opening, &trouble);
                    if !manner.waits {
                        return Err(failed(&trouble.words()));
                    }
                }
                Kind::Busy | Kind::Changed => {
                    let why = format!("cannot write: {}", trouble.words());
                    if !manner.waits {
                        return Err(failed(&trouble.words()));
                    }
                    note(Level::Error, manner.event, &format!("{}: {why}. It is tried again", self.driver.place()));
                    if stopping() {
                        return Err(failed(&why));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(manner.retry_max);
                }
            }
        }
    }

    /// Waits for a store that is away, but not when the server ends.
    async fn wait(&self, records: usize) -> Result<Opening, Fault> {
        loop {
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            match timeout(LAST_WAIT, self.shared.health.open()).await {
                Ok(opening) => return Ok(opening),
                Err(_) if stopping => {
                    let why = format!("{} is away and the server ends", self.driver.place());
                    note(Level::Error, D::MANNER.event, &format!("{why}: {records} records were not written"));
                    return Err(Fault::Failed(why));
                }
                Err(_) => {}
            }
        }
    }
}

fn unstorable(entry: u32, why: String) -> Refusal {
    Refusal { entry, why: engine::Refused::Unstorable(why) }
}

/// The refusals of one batch: for each entry the first reason.
fn of_batch(number: usize, refusals: &Refusals) -> Result<(), Fault> {
    let own = refusals.iter().filter(|(of, _)| *of == number);
    let mut own: Vec<Refusal> = own.map(|(_, refusal)| refusal.clone()).collect();
    own.sort_by_key(|refusal| refusal.entry);
    own.dedup_by_key(|refusal| refusal.entry);
    if own.is_empty() { Ok(()) } else { Err(Fault::Refused(own)) }
}
