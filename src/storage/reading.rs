//! *Owns* the task that looks records up. *Promises* an answer for every load, in order for each shard; that shards
//! take turns; and, if the driver does not block, that no answer comes later than a lookup may take. *Does not* wait
//! for writes.
//!
//! Loads that arrive at the same time are looked up together in one round, and as many rounds are under way as the
//! driver allows. A round that fails as a whole is repeated in halves, so that one unreadable record does not hide the
//! others.

use super::Shared;
use super::client::{Load, Loaded, ReadLane};
use super::driver::{Driver, Kind};
use crate::service::Waker;
use crate::service::bell::BellReceiver;
use deepstream_engine::{Fault, Stored};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout_at;

pub(super) struct Reader<D> {
    pub(super) driver: Arc<D>,
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: Vec<ReadLane>,
    pub(super) wakers: Vec<Waker>,
    pub(super) receiver: BellReceiver,
    pub(super) patience: Duration,
    /// Oldest first; with the lane of each load.
    rounds: VecDeque<(Vec<usize>, JoinHandle<Vec<Loaded>>)>,
    /// The lane that is served first, if the driver blocks.
    first: usize,
}

impl<D: Driver> Reader<D> {
    pub(super) fn new(
        driver: Arc<D>,
        shared: Arc<Shared>,
        lanes: Vec<ReadLane>,
        wakers: Vec<Waker>,
        receiver: BellReceiver,
        patience: Duration,
    ) -> Self {
        Self { driver, shared, lanes, wakers, receiver, patience, rounds: VecDeque::new(), first: 0 }
    }

    pub(super) async fn run(mut self) {
        let rounds_max = self.driver.rounds().max(1);
        loop {
            // Read before the round, so that a load which came before the stop is answered.
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            let room = self.rounds.len() < rounds_max;
            if room && self.begin() {
                continue;
            }
            if self.rounds.is_empty() && stopping {
                break;
            }
            if let Some(answers) = self.next(room).await {
                self.answer(answers);
            }
        }
        drop(self.lanes);
        // Wakes cores that sleep while waiting for a load: they find the lane abandoned.
        self.wakers.iter().for_each(|waker| waker());
    }

    /// Starts a round. Returns whether there was anything to look up. While a driver blocks nobody is answered, so its
    /// rounds are of one shard each.
    fn begin(&mut self) -> bool {
        let (mut owners, mut loads) = (Vec::new(), Vec::new());
        let count = self.lanes.len();
        for turn in 0..count {
            let index = (self.first + turn) % count;
            for _ in 0..D::MANNER.round {
                let Ok(load) = self.lanes[index].loads.pop() else { break };
                owners.push(index);
                loads.push(load);
            }
            if D::MANNER.blocking && !loads.is_empty() {
                self.first = (index + 1) % count;
                break;
            }
        }
        if loads.is_empty() {
            return false;
        }
        self.shared.counters.loads.fetch_add(loads.len() as u64, Ordering::Relaxed);
        let (driver, shared) = (Arc::clone(&self.driver), Arc::clone(&self.shared));
        let round = round(driver, shared, loads, Instant::now() + self.patience);
        self.rounds.push_back((owners, spawn_local(round)));
        true
    }

    /// Waits for the oldest round, or, if there is room for another one, for more to look up.
    async fn next(&mut self, room: bool) -> Option<Vec<Loaded>> {
        let (lanes, receiver, shared) = (&self.lanes, &self.receiver, &self.shared);
        let has_work = || lanes.iter().any(|lane| !lane.loads.is_empty()) || shared.stopping.load(Ordering::Acquire);
        let Some((_, oldest)) = self.rounds.front_mut() else {
            receiver.wait(has_work).await;
            return None;
        };
        if !room || shared.stopping.load(Ordering::Acquire) {
            return Some(oldest.await.unwrap_or_default());
        }
        let mut more = pin!(receiver.wait(has_work));
        poll_fn(|context| {
            if let Poll::Ready(answers) = Pin::new(&mut *oldest).poll(context) {
                return Poll::Ready(Some(answers.unwrap_or_default()));
            }
            more.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    fn answer(&mut self, answers: Vec<Loaded>) {
        let Some((owners, _)) = self.rounds.pop_front() else { return };
        for (&owner, answer) in owners.iter().zip(answers) {
            // The lane cannot be full, because a client has at most as many loads under way as it has room. If the core
            // is gone it needs no answer.
            let _ = self.lanes[owner].answers.push(answer);
        }
        for (index, waker) in self.wakers.iter().enumerate() {
            if owners.contains(&index) {
                waker();
            }
        }
    }
}

type Answer = Result<Option<Stored>, Fault>;

/// Looks up what a round asks for.
async fn round<D: Driver>(driver: Arc<D>, shared: Arc<Shared>, loads: Vec<Load>, deadline: Instant) -> Vec<Loaded> {
    let names: Vec<&[u8]> = loads.iter().map(|load| &*load.name).collect();
    let looked_up = timeout_at(deadline.into(), look_up(&*driver, &shared, &names)).await;
    let found = looked_up.unwrap_or_else(|_| names.iter().map(|_| Err(Fault::Timeout)).collect());
    loads.iter().zip(found).map(|(load, result)| Loaded { ticket: load.ticket, result }).collect()
}

async fn look_up<D: Driver>(driver: &D, shared: &Shared, names: &[&[u8]]) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(names.len());
    // Ranges that are still to be looked up, the first last.
    let mut ranges = vec![(0..names.len(), true)];
    while let Some((range, afresh)) = ranges.pop() {
        // A store that is not waited for is asked even while it is away, because it may be readable while it cannot be
        // written to.
        let opening = if D::MANNER.waits { Some(shared.health.open().await) } else { None };
        let trouble = match driver.load(&names[range.clone()]).await {
            Ok(found) => {
                answers.extend(found.into_iter().map(|found| found.map_err(Fault::Failed)));
                continue;
            }
            Err(trouble) => trouble,
        };
        match (trouble.kind, opening) {
            (Kind::Away, Some(opening)) => {
                shared.health.report(opening, &trouble);
                ranges.push((range, afresh));
            }
            (Kind::Changed, _) if afresh => ranges.push((range, false)),
            (Kind::Changed | Kind::Lasting, _) | (Kind::Busy, Some(_)) if range.len() > 1 => {
                let middle = range.start + range.len() / 2;
                ranges.push((middle..range.end, true));
                ranges.push((range.start..middle, true));
            }
            _ => {
                let why = format!("{}: {}", driver.place(), trouble.words());
                answers.extend(range.map(|_| Err(Fault::Failed(why.clone()))));
            }
        }
    }
    answers
}
