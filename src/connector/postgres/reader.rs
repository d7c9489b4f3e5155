//! *Owns* the task that looks records up. *Promises* an answer per load, in order per shard, a fair turn for every
//! shard, and none later than the time a lookup may take. *Does not* wait for writes.
//!
//! What is asked for at the same time is asked of the database together: a round is one statement per table, and several
//! rounds are on their way at once.

use super::layout;
use super::link::Link;
use super::table::Shape;
use super::trouble::{Trouble, words};
use super::{Ear, Shared};
use crate::config::NESTING_MAX;
use crate::storage::Waker;
use crate::storage::client::{Load, Loaded, ReadLane};
use deepstream_engine::{Fault, Stored};
use deepstream_json::{Fault as JsonFault, Malformed, Scratch, check};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

/// Loads of one shard per round, so that a storm of one does not keep the others waiting.
const ROUND: usize = 256;
/// Rounds on their way per connection.
const ROUNDS: usize = 2;

type Found = Result<Option<Stored>, Fault>;

pub(super) struct Reader {
    lanes: Vec<ReadLane>,
    wakers: Vec<Waker>,
    ear: Ear,
    links: Vec<Link>,
    patience: Duration,
    /// Oldest first; with the lane of each load.
    rounds: VecDeque<(Vec<usize>, JoinHandle<Vec<Loaded>>)>,
    next_link: usize,
}

impl Reader {
    pub(super) fn new(
        lanes: Vec<ReadLane>,
        wakers: Vec<Waker>,
        ear: Ear,
        links: Vec<Link>,
        patience: Duration,
    ) -> Self {
        Self { lanes, wakers, ear, links, patience, rounds: VecDeque::new(), next_link: 0 }
    }

    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        loop {
            // Read before the round: a load that came before the stop is answered.
            let stopping = shared.stopping.load(Ordering::Acquire);
            let room = self.rounds.len() < ROUNDS * self.links.len();
            if room && self.begin(&shared) {
                continue;
            }
            if self.rounds.is_empty() && stopping {
                break;
            }
            if let Some(answers) = self.next(room, &shared).await {
                self.answer(answers);
            }
        }
        drop(self.lanes);
        // A core that sleeps with a load on its way finds the lane abandoned.
        self.wakers.iter().for_each(|waker| waker());
    }

    /// Sends a round on its way; whether there was anything to look up.
    fn begin(&mut self, shared: &Arc<Shared>) -> bool {
        let (mut owners, mut loads) = (Vec::new(), Vec::new());
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            for _ in 0..ROUND {
                let Ok(load) = lane.loads.pop() else { break };
                owners.push(index);
                loads.push(load);
            }
        }
        if loads.is_empty() {
            return false;
        }
        shared.counters.loads.fetch_add(loads.len() as u64, Ordering::Relaxed);
        let link = self.links[self.next_link].clone();
        self.next_link = (self.next_link + 1) % self.links.len();
        let round = round(Arc::clone(shared), link, loads, Instant::now() + self.patience);
        self.rounds.push_back((owners, tokio::spawn(round)));
        true
    }

    /// Waits for the oldest round, or, if there is room for another one, for more to look up.
    async fn next(&mut self, room: bool, shared: &Shared) -> Option<Vec<Loaded>> {
        let (lanes, ear) = (&self.lanes, &self.ear);
        let has_work = || lanes.iter().any(|lane| !lane.loads.is_empty()) || shared.stopping.load(Ordering::Acquire);
        let Some((_, oldest)) = self.rounds.front_mut() else {
            ear.wait(has_work).await;
            return None;
        };
        if !room || shared.stopping.load(Ordering::Acquire) {
            return Some(oldest.await.unwrap_or_default());
        }
        let mut more = pin!(ear.wait(has_work));
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
            // Cannot be full: a client has at most as many loads on their way as the lane has room. A core that is gone
            // does not miss the answer.
            let _ = self.lanes[owner].answers.push(answer);
        }
        for (index, waker) in self.wakers.iter().enumerate() {
            if owners.contains(&index) {
                waker();
            }
        }
    }
}

/// Looks up what a round asks for.
async fn round(shared: Arc<Shared>, mut link: Link, loads: Vec<Load>, deadline: Instant) -> Vec<Loaded> {
    let looked_up = timeout_at(deadline.into(), look_up(&shared, &mut link, &loads)).await;
    let found = looked_up.unwrap_or_else(|_| loads.iter().map(|_| Err(Fault::Timeout)).collect());
    loads.iter().zip(found).map(|(load, result)| Loaded { ticket: load.ticket, result }).collect()
}

/// Ids of one table, each with the loads that ask for it.
type Wanted<'l> = HashMap<&'l str, HashMap<&'l str, Vec<usize>>>;

async fn look_up(shared: &Shared, link: &mut Link, loads: &[Load]) -> Vec<Found> {
    let mut found: Vec<Found> = loads.iter().map(|_| Ok(None)).collect();
    let mut wanted = Wanted::new();
    for (index, load) in loads.iter().enumerate() {
        match shared.layout.row(&load.name) {
            Ok(layout::Row { table, id }) => wanted.entry(table).or_default().entry(id).or_default().push(index),
            Err(refusal) => found[index] = Err(Fault::Unstorable(refusal.to_string())),
        }
    }
    let mut looks = 0;
    while !wanted.is_empty() {
        let client = link.client().await;
        looks += 1;
        if let Err(error) = ask(shared, &client, &mut wanted, &mut found, looks > 1).await {
            if Trouble::of(&error) == Trouble::Away {
                // Noticed by the link too, which has a new client or none after this.
                tokio::task::yield_now().await;
                continue;
            }
            let why = format!("{} in database {}", words(&error), shared.settings.place());
            for index in wanted.values().flat_map(HashMap::values).flatten() {
                found[*index] = Err(Fault::Failed(why.clone()));
            }
            break;
        }
    }
    found
}

/// Asks for all tables at once, and takes those off the list that were answered.
async fn ask(
    shared: &Shared,
    client: &Arc<Client>,
    wanted: &mut Wanted<'_>,
    found: &mut [Found],
    again: bool,
) -> Result<(), Error> {
    let tables = &shared.tables;
    tables.look_at(client, wanted.keys().copied()).await?;
    // Where there is no table there is no record.
    wanted.retain(|table, _| tables.shape(table).is_some());
    let mut asked = Vec::new();
    wanted.retain(|table, ids| {
        let exact = tables.shape(table).is_none_or(|shape| shape.exact);
        if !exact {
            for index in ids.values().flatten() {
                found[*index] = Err(Fault::Failed(inexact(table)));
            }
        }
        exact
    });
    for (table, ids) in &*wanted {
        let Some(shape) = tables.shape(table) else { continue };
        let (client, statement) = (Arc::clone(client), tables.select(table, shape));
        let ids: Vec<String> = ids.keys().map(|id| (*id).to_owned()).collect();
        let rows = tokio::spawn(async move { client.query_typed(&statement, &[(&ids, Type::TEXT_ARRAY)]).await });
        asked.push((*table, shape, rows));
    }
    for (table, shape, rows) in asked {
        let Ok(rows) = rows.await else { continue };
        let Some(ids) = wanted.get(table) else { continue };
        match rows {
            Ok(rows) => settle(&rows, ids, found)?,
            Err(error) => match Trouble::of(&error) {
                Trouble::Changed if !again => {
                    tables.forget(table);
                    continue;
                }
                Trouble::Away => return Err(error),
                // One row that cannot be read must not hide the others.
                _ => one_by_one(shared, client, (table, shape), ids, found).await?,
            },
        }
        wanted.remove(table);
    }
    Ok(())
}

/// Looks up what could not be looked up together.
async fn one_by_one(
    shared: &Shared,
    client: &Client,
    (table, shape): (&str, Shape),
    ids: &HashMap<&str, Vec<usize>>,
    found: &mut [Found],
) -> Result<(), Error> {
    let statement = shared.tables.select(table, shape);
    for (id, indices) in ids {
        match client.query_typed(&statement, &[(&vec![*id], Type::TEXT_ARRAY)]).await {
            Ok(rows) => settle(&rows, ids, found)?,
            Err(error) if Trouble::of(&error) == Trouble::Away => return Err(error),
            Err(error) => {
                for index in indices {
                    found[*index] = Err(Fault::Failed(format!("table {table}: {}", words(&error))));
                }
            }
        }
    }
    Ok(())
}

/// Why nothing is read from a table, nor written to it.
pub(super) fn inexact(table: &str) -> String {
    format!(
        "the column id of table {table} may take different names for one: make it text, of a deterministic collation"
    )
}

fn settle(rows: &[Row], ids: &HashMap<&str, Vec<usize>>, found: &mut [Found]) -> Result<(), Error> {
    // Whatever was accepted once is read again, also after `limits.nestingMax` was lowered.
    let mut scratch = Scratch::with_depth_max(NESTING_MAX as usize);
    for row in rows {
        let (id, value, version): (&str, &str, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        // Whoever can write to the table can write anything.
        let record = match check(value.as_bytes(), &mut scratch) {
            // It may be no document, which no client could have written: it is told as it is, and a path that is written makes
            // it one.
            Ok(_) => Ok(Some(Stored { version, value: value.as_bytes().to_vec() })),
            Err(Malformed { fault: JsonFault::TooDeep, .. }) => {
                Err(Fault::Failed(format!("the value in the database is nested deeper than {NESTING_MAX}")))
            }
            Err(_) => Err(Fault::Failed("the value in the database is no JSON".into())),
        };
        for index in ids.get(id).into_iter().flatten() {
            found[*index].clone_from(&record);
        }
    }
    Ok(())
}
