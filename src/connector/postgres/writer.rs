//! *Owns* the task that writes: group commit. *Promises* that a batch is answered well only after the transaction that
//! holds it was committed, and that what the shards had at the same time shares one. *Does not* give up: while the
//! database is away the group waits for it, and with it the shards it came from, whose next batches gather what is
//! newest. Only an end of the server while the database is away, and records that cannot be stored, end badly.
//!
//! **A commit whose answer was lost** with the connection is done again: to write the same rows twice does no harm.
//!
//! **One record must not keep the others from being stored.** A group that the database refuses is written again record
//! by record, each within a savepoint, and those that fail are answered as refused.

use super::layout;
use super::link::{Link, RETRY_FIRST, RETRY_LAST};
use super::reader::inexact;
use super::table::{Shape, announcer, schema};
use super::trouble::{Trouble, hint, words};
use super::{Ear, Shared};
use crate::log::{Level, note};
use crate::storage::Waker;
use crate::storage::client::{WriteLane, Written};
use deepstream_engine::{Fault, Refusal, StoreBatch};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// Bytes of a group at which no further batch joins it.
const GROUP_BYTES: usize = 8 << 20;
/// How long a server that stops waits for a database that is away.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How often tables may turn out to be different before it counts as a failure.
const LOOKS_MAX: usize = 4;

pub(super) struct Writer {
    lanes: Vec<WriteLane>,
    wakers: Vec<Waker>,
    ear: Ear,
    link: Link,
    /// The lane that is asked first: turns, so that a capped group does not favour low shards.
    first: usize,
}

/// A batch, and the lane it came from.
type Grouped = (usize, StoreBatch);

/// Which entry of which batch of a group.
type At = (usize, usize);

/// One row to write; without a value, to remove.
struct Row<'g> {
    version: i32,
    value: Option<&'g str>,
    at: At,
}

/// Rows by table and id: in the same order on every server, so that no two wait for each other.
type Plan<'g> = BTreeMap<&'g str, BTreeMap<&'g str, Row<'g>>>;

/// What cannot be stored, and why.
type Refused = Vec<(At, String)>;

/// Why a group was not written.
enum Failure {
    Of(Error),
    /// The server ends.
    Stopped,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Of(error)
    }
}

impl Writer {
    pub(super) fn new(lanes: Vec<WriteLane>, wakers: Vec<Waker>, ear: Ear, link: Link) -> Self {
        Self { lanes, wakers, ear, link, first: 0 }
    }

    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        loop {
            // Read before gathering: a batch that came before the stop is written.
            let stopping = shared.stopping.load(Ordering::Acquire);
            let group = self.gather();
            if !group.is_empty() {
                let result = self.write(&shared, &group).await;
                self.answer(&shared, group, &result);
            } else if stopping {
                break;
            } else {
                let lanes = &self.lanes;
                let has_work =
                    || lanes.iter().any(|lane| !lane.batches.is_empty()) || shared.stopping.load(Ordering::Acquire);
                self.ear.wait(has_work).await;
            }
        }
        drop(self.lanes);
        self.wakers.iter().for_each(|waker| waker());
    }

    /// Takes the batches that are there, one per lane at most.
    fn gather(&mut self) -> Vec<Grouped> {
        let (count, mut bytes, mut group) = (self.lanes.len(), 0, Vec::new());
        for turn in 0..count {
            let index = (self.first + turn) % count;
            if bytes < GROUP_BYTES
                && let Ok(batch) = self.lanes[index].batches.pop()
            {
                bytes += batch.bytes.len();
                group.push((index, batch));
            }
        }
        self.first = (self.first + 1) % count.max(1);
        group
    }

    fn answer(&mut self, shared: &Shared, group: Vec<Grouped>, result: &Result<Refused, Fault>) {
        if result.is_ok() {
            let records: usize = group.iter().map(|(_, batch)| batch.entries.len()).sum();
            let counters = &shared.counters;
            counters.commits.fetch_add(1, Ordering::Relaxed);
            counters.batches.fetch_add(group.len() as u64, Ordering::Relaxed);
            counters.records.fetch_add(records as u64, Ordering::Relaxed);
        }
        for (number, (lane, batch)) in group.into_iter().enumerate() {
            let result = match result {
                Err(fault) => Err(fault.clone()),
                Ok(refused) => of_batch(number, refused),
            };
            // Cannot be full: a client has at most as many batches on their way as the lane has room. A core that is
            // gone does not miss the answer.
            let _ = self.lanes[lane].answers.push(Written { batch, result });
            self.wakers[lane]();
        }
    }

    /// Writes a group, however long it takes; answers what cannot be written.
    async fn write(&mut self, shared: &Shared, group: &[Grouped]) -> Result<Refused, Fault> {
        let (plan, mut refused) = plan(shared, group);
        let (mut pause, mut looks) = (RETRY_FIRST, 0);
        loop {
            let error = match self.attempt(shared, &plan).await {
                Ok(more) => {
                    refused.extend(more);
                    return Ok(refused);
                }
                Err(Failure::Stopped) => {
                    let records: usize = plan.values().map(BTreeMap::len).sum();
                    let why = format!("database {} is away and the server ends", shared.settings.place());
                    note(Level::Error, "POSTGRES", &format!("{why}: {records} records were not written"));
                    return Err(Fault::Failed(why));
                }
                Err(Failure::Of(error)) => error,
            };
            let mut trouble = Trouble::of(&error);
            if trouble == Trouble::Changed {
                looks += 1;
                for table in plan.keys() {
                    shared.tables.forget(table);
                }
                if looks > LOOKS_MAX {
                    trouble = Trouble::Busy;
                }
            }
            match trouble {
                // The link knows, tells and brings it back.
                Trouble::Away => tokio::task::yield_now().await,
                Trouble::Changed => {}
                Trouble::Busy => {
                    let (what, hint) = (words(&error), hint(&shared.settings, &error));
                    let text = format!("database {} cannot write: {what}; {hint}", shared.settings.place());
                    note(Level::Error, "POSTGRES", &format!("{text}. It is tried again"));
                    if shared.stopping.load(Ordering::Acquire) {
                        return Err(Fault::Failed(text));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LAST);
                }
                Trouble::Lasting => match self.one_by_one(shared, &plan).await {
                    Ok(more) => {
                        refused.extend(more);
                        return Ok(refused);
                    }
                    Err(Failure::Of(error)) if Trouble::of(&error) != Trouble::Lasting => {
                        sleep(pause).await;
                        pause = (pause * 2).min(RETRY_LAST);
                    }
                    Err(Failure::Of(error)) => return Err(Fault::Failed(words(&error))),
                    Err(Failure::Stopped) => {}
                },
            }
        }
    }

    /// The connection; given up on when the server ends and it does not come.
    async fn client(&mut self, shared: &Shared) -> Result<Arc<Client>, Failure> {
        loop {
            let stopping = shared.stopping.load(Ordering::Acquire);
            match timeout(LAST_WAIT, self.link.client()).await {
                Ok(client) => return Ok(client),
                Err(_) if stopping => return Err(Failure::Stopped),
                Err(_) => {}
            }
        }
    }

    /// One transaction, sent without waiting for anything in between. What has no table that can take it is refused.
    async fn attempt(&mut self, shared: &Shared, plan: &Plan<'_>) -> Result<Refused, Failure> {
        let client = self.client(shared).await?;
        let shapes = ready(shared, &client, plan).await?;
        let mut refused = Refused::new();
        let mut steps: Vec<Step<'_>> = vec![plain(&client, "BEGIN")];
        for (table, rows) in plan {
            match usable(table, shapes.get(table), rows) {
                // Without a table there is nothing to remove from it.
                Ok(None) => {}
                Ok(Some(shape)) => steps.extend(statements(shared, &client, table, shape, rows.iter())),
                Err(why) => refused.extend(rows.values().map(|row| (row.at, why.clone()))),
            }
        }
        steps.push(plain(&client, "COMMIT"));
        together(steps).await?;
        Ok(refused)
    }

    /// Every record for itself; those that fail are answered.
    async fn one_by_one(&mut self, shared: &Shared, plan: &Plan<'_>) -> Result<Refused, Failure> {
        let client = self.client(shared).await?;
        // A table that cannot be made is the fault of the names that want it.
        let (mut refused, mut shapes) = (Refused::new(), BTreeMap::new());
        for (table, rows) in plan {
            match made(shared, &client, table, rows).await {
                Ok(shape) => shapes.extend(shape.map(|shape| (*table, shape))),
                Err(error) if Trouble::of(&error) == Trouble::Lasting => {
                    refused.extend(rows.values().map(|row| (row.at, words(&error))));
                }
                Err(error) => return Err(error.into()),
            }
        }
        client.batch_execute("BEGIN").await?;
        for (table, rows) in plan {
            let shape = match usable(table, shapes.get(table), rows) {
                Ok(Some(shape)) => shape,
                Ok(None) => continue,
                Err(why) => {
                    refused.extend(rows.values().map(|row| (row.at, why.clone())));
                    continue;
                }
            };
            for (id, row) in rows {
                let mut steps = vec![plain(&client, "SAVEPOINT one")];
                steps.extend(statements(shared, &client, table, shape, std::iter::once((id, row))));
                steps.push(plain(&client, "RELEASE one"));
                if let Err(error) = together(steps).await {
                    if Trouble::of(&error) != Trouble::Lasting {
                        // What has been written comes back with the next attempt.
                        if Trouble::of(&error) != Trouble::Away {
                            client.batch_execute("ROLLBACK").await?;
                        }
                        return Err(error.into());
                    }
                    client.batch_execute("ROLLBACK TO one").await?;
                    refused.push((row.at, words(&error)));
                }
            }
        }
        client.batch_execute("COMMIT").await?;
        Ok(refused)
    }
}

/// Where everything goes. What has no place is refused.
fn plan<'g>(shared: &'g Shared, group: &'g [Grouped]) -> (Plan<'g>, Refused) {
    let (mut plan, mut refused) = (Plan::new(), Refused::new());
    for (number, (_, batch)) in group.iter().enumerate() {
        for (index, entry) in batch.entries.iter().enumerate() {
            let (at, name) = ((number, index), batch.name(entry));
            let value = batch.value(entry).map(std::str::from_utf8);
            match (shared.layout.row(name), value.transpose()) {
                (Ok(layout::Row { table, id }), Ok(value)) => {
                    plan.entry(table).or_default().insert(id, Row { version: entry.version, value, at });
                }
                // What cannot be stored is removed already.
                (Err(_), Ok(None)) => {}
                (Err(why), _) => refused.push((at, why.to_string())),
                (Ok(_), Err(_)) => refused.push((at, "the value is not UTF-8".to_owned())),
            }
        }
    }
    (plan, refused)
}

/// What of it concerns one batch: of each entry the first reason.
fn of_batch(number: usize, refused: &Refused) -> Result<(), Fault> {
    let own = refused.iter().filter(|((of, _), _)| *of == number);
    let mut own: Vec<Refusal> =
        own.map(|((_, index), why)| Refusal { entry: *index as u32, why: why.clone() }).collect();
    own.sort_by_key(|refusal| refusal.entry);
    own.dedup_by_key(|refusal| refusal.entry);
    if own.is_empty() { Ok(()) } else { Err(Fault::Refused(own)) }
}

/// What a table looks like, if it takes these rows; `None`: there is none, and nothing to put there.
fn usable(table: &str, shape: Option<&Shape>, rows: &BTreeMap<&str, Row<'_>>) -> Result<Option<Shape>, String> {
    match shape {
        Some(shape) if !shape.exact => Err(inexact(table)),
        None if rows.values().any(|row| row.value.is_some()) => {
            // An index is one: that of the primary key of the table `users` is called `users_pkey`.
            Err(format!("table {table} cannot be made, because something else in the schema has its name"))
        }
        shape => Ok(shape.copied()),
    }
}

/// Makes the tables that a plan lacks; what all of them look like then.
async fn ready<'p>(shared: &Shared, client: &Client, plan: &'p Plan<'_>) -> Result<BTreeMap<&'p str, Shape>, Error> {
    shared.tables.look_at(client, plan.keys().copied()).await?;
    let mut shapes = BTreeMap::new();
    for (table, rows) in plan {
        if let Some(shape) = made(shared, client, table, rows).await? {
            shapes.insert(*table, shape);
        }
    }
    Ok(shapes)
}

/// What a table looks like, once it is there and can take a version; `None`: there is none, and nothing to put there.
async fn made(
    shared: &Shared,
    client: &Client,
    table: &str,
    rows: &BTreeMap<&str, Row<'_>>,
) -> Result<Option<Shape>, Error> {
    let (tables, settings) = (&shared.tables, &shared.settings);
    let wanted = rows.values().any(|row| row.value.is_some());
    match tables.shape(table) {
        None if wanted => {
            let create = tables.create(table);
            let mut result = client.batch_execute(&create).await;
            if result.as_ref().is_err_and(|error| error.code() == Some(&SqlState::INVALID_SCHEMA_NAME)) {
                client.batch_execute(&schema(settings)).await?;
                if settings.notifications.of_rows() {
                    client.batch_execute(&announcer(settings)).await?;
                }
                result = client.batch_execute(&create).await;
            }
            let exists = |error: &Error| {
                error.code().is_some_and(|code| [SqlState::DUPLICATE_TABLE, SqlState::UNIQUE_VIOLATION].contains(code))
            };
            // Somebody else has made it meanwhile.
            result.or_else(|error| if exists(&error) { Ok(()) } else { Err(error) })?;
        }
        Some(shape) if wanted && !shape.versioned => {
            let text =
                format!("table {table} of an old release is given the column version; old rows stay as they are");
            note(Level::Info, "POSTGRES", &text);
            client.batch_execute(&tables.modernise(table)).await?;
        }
        shape => return Ok(shape),
    }
    tables.forget(table);
    tables.look_at(client, std::iter::once(table)).await?;
    Ok(tables.shape(table))
}

/// Something to send, sent when it is first polled.
type Step<'s> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 's>>;

fn plain<'s>(client: &'s Client, sql: &'static str) -> Step<'s> {
    Box::pin(client.batch_execute(sql))
}

/// What writes some rows of a table and removes others.
fn statements<'s>(
    shared: &Shared,
    client: &'s Client,
    table: &str,
    shape: Shape,
    rows: impl Iterator<Item = (&'s &'s str, &'s Row<'s>)>,
) -> Vec<Step<'s>> {
    let (mut ids, mut versions, mut values, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, row) in rows {
        if let Some(value) = row.value {
            ids.push(*id);
            versions.push(row.version);
            values.push(value);
        } else {
            gone.push(*id);
        }
    }
    let mut steps: Vec<Step<'s>> = Vec::new();
    if !ids.is_empty() {
        let sql = shared.tables.upsert(table, shape);
        steps.push(Box::pin(async move {
            let parameters: [(&(dyn ToSql + Sync), Type); 3] =
                [(&ids, Type::TEXT_ARRAY), (&versions, Type::INT4_ARRAY), (&values, Type::TEXT_ARRAY)];
            client.execute_typed(&sql, &parameters).await.map(drop)
        }));
    }
    if !gone.is_empty() {
        let sql = shared.tables.delete(table);
        steps.push(Box::pin(async move { client.execute_typed(&sql, &[(&gone, Type::TEXT_ARRAY)]).await.map(drop) }));
    }
    steps
}

/// Sends all of it in order before it waits for any of it. The first failure, which is the cause of the others.
async fn together(mut steps: Vec<Step<'_>>) -> Result<(), Error> {
    let mut results: Vec<Option<Result<(), Error>>> = steps.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut done = true;
        for (step, result) in steps.iter_mut().zip(&mut results) {
            if result.is_none() {
                match step.as_mut().poll(context) {
                    Poll::Ready(ended) => *result = Some(ended),
                    Poll::Pending => done = false,
                }
            }
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}
