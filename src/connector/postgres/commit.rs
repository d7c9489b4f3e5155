//! *Owns* how a group becomes one transaction. *Promises* that all statements are sent before any answer is awaited,
//! fences or not; that nothing is written unless all fences of the transaction hold and nobody has entered since; and that a
//! condition is judged by the statement that writes. *Does not* retry, except without the writes whose fences do not hold: the caller splits a
//! group that the database refuses, and calls again with its halves.

use super::fences::{self, Held};
use super::layout;
use super::load::inexact;
use super::table::{Shape, announcer, schema};
use super::trouble::trouble;
use super::{Postgres, layout::Layout, writer};
use crate::log::{Level, note};
use crate::storage::{Expected, Fence, Kind, Refused, Request, Trouble, Why, Write, Writer, together};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// One row to write; without a value, to remove.
struct Row<'g> {
    version: i32,
    value: Option<&'g str>,
    expected: Expected,
    fence: Option<Fence>,
    at: usize,
}

/// The rows of a table, by id.
type Rows<'g> = BTreeMap<&'g str, Row<'g>>;

/// Rows by table and id: in the same order on every server, so that no two wait for each other.
type Plan<'g> = BTreeMap<&'g str, Rows<'g>>;

/// Writes a group as one transaction. Writes for which there is no suitable table are refused.
pub(super) async fn commit(postgres: &Postgres, client: &Client, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
    let own = writer::own(postgres)?;
    let (mut plan, mut refused) = plan(&postgres.layout, group);
    let tables: Vec<&str> = plan.keys().copied().collect();
    let failed = |error: &Error| {
        let trouble = trouble(&postgres.settings, error);
        if trouble.kind == Kind::Changed {
            for table in &tables {
                postgres.tables.forget(table);
            }
        }
        trouble
    };
    let shapes = ready(postgres, client, &plan).await.map_err(|error| failed(&error))?;
    loop {
        let fences = fences(&plan);
        match sent(postgres, client, own, &plan, &shapes, &fences).await.map_err(|error| failed(&error))? {
            Outcome::Done(more) => {
                refused.extend(more);
                return Ok(refused);
            }
            Outcome::Shut => {
                writer::forget(postgres);
                return Err(writer::shut());
            }
            Outcome::Deposed => {}
        }
        // Rare: only a node that lost its slots, and does not know it yet, writes behind a fence that does not hold.
        let slots = fences.iter().map(|fence| fence.slot).collect();
        let held = fences::held(postgres, client, &slots).await.map_err(|error| failed(&error))?;
        refused.extend(deposed(&mut plan, &held));
    }
}

/// What became of a transaction.
enum Outcome {
    /// It was done, without the refused writes.
    Done(Vec<Refused>),
    /// Somebody has entered since, and nothing was written.
    Shut,
    /// A fence does not hold, and nothing was written.
    Deposed,
}

/// Sends a transaction.
async fn sent(
    postgres: &Postgres,
    client: &Client,
    own: Writer,
    plan: &Plan<'_>,
    shapes: &BTreeMap<&str, Shape>,
    fences: &BTreeSet<Fence>,
) -> Result<Outcome, Error> {
    let mut steps = vec![plain(client, "BEGIN")];
    let door = steps.len();
    let given = writer::columns(own).map(Given::Whole).into();
    steps.push(Box::pin(told(client, postgres.tables.door(), given)));
    let guard = (!fences.is_empty()).then_some(steps.len());
    if guard.is_some() {
        let (slots, generations) = fences::columns(fences);
        let given = vec![Given::Numbers(slots), Given::Generations(generations)];
        steps.push(Box::pin(told(client, postgres.tables.guard(), given)));
    }
    let (mut conditional, mut refused) = (Vec::new(), Vec::new());
    for (table, rows) in plan {
        match usable(table, shapes.get(table), rows) {
            // Without a table there is nothing to remove, and a condition that expects a version does not hold.
            Ok(None) => {}
            Ok(Some(shape)) => {
                for step in statements(postgres, client, table, shape, rows) {
                    if let Some(judged) = step.judged {
                        conditional.push((steps.len(), *table, judged));
                    }
                    steps.push(step.request);
                }
            }
            Err(why) => {
                refused.extend(rows.values().map(|row| Refused { entry: row.at, why: Why::Unstorable(why.clone()) }));
            }
        }
    }
    steps.push(plain(client, "COMMIT"));
    let told = together(steps).await;
    // The first failure is the cause of the others.
    for (step, outcome) in [(Some(door), Outcome::Shut), (guard, Outcome::Deposed)] {
        if step.is_some_and(|step| told[step].as_ref().is_err_and(fences::are_down)) {
            return Ok(outcome);
        }
    }
    let told = told.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (step, table, judged) in conditional {
        let told: HashSet<&str> = told[step].iter().map(String::as_str).collect();
        let lost = plan[table].iter().filter(|(id, row)| judged.lost(row, told.contains(*id)));
        refused.extend(lost.map(|(_, row)| Refused { entry: row.at, why: Why::Conflict }));
    }
    Ok(Outcome::Done(refused))
}

/// Where everything goes.
fn plan<'g>(layout: &'g Layout, group: &'g [Write<'g>]) -> (Plan<'g>, Vec<Refused>) {
    let (mut plan, mut refused) = (Plan::new(), Vec::new());
    for (at, write) in group.iter().enumerate() {
        let value = write.value.map(std::str::from_utf8).transpose();
        match (layout.row(write.name), value) {
            (Ok(layout::Row { table, id }), Ok(value)) => {
                let Write { version, expected, fence, .. } = *write;
                plan.entry(table).or_default().insert(id, Row { version, value, expected, fence, at });
            }
            (Err(why), _) => refused.push(Refused { entry: at, why: Why::Unstorable(why.to_string()) }),
            (Ok(_), Err(_)) => {
                refused.push(Refused { entry: at, why: Why::Unstorable("the value is not UTF-8".to_owned()) });
            }
        }
    }
    (plan, refused)
}

/// The fences that guard its writes.
fn fences(plan: &Plan<'_>) -> BTreeSet<Fence> {
    plan.values().flat_map(Rows::values).filter_map(|row| row.fence).collect()
}

/// Removes from a plan, and returns, the writes whose fence does not hold.
fn deposed(plan: &mut Plan<'_>, held: &Held) -> Vec<Refused> {
    let mut refused = Vec::new();
    for rows in plan.values_mut() {
        rows.retain(|_, row| {
            let holds = row.fence.is_none_or(|fence| fences::holds(held, fence));
            if !holds {
                refused.push(Refused { entry: row.at, why: Why::Deposed });
            }
            holds
        });
    }
    refused
}

/// What a table looks like, if it takes these rows; `None`: there is none, and nothing to put there.
fn usable(table: &str, shape: Option<&Shape>, rows: &Rows<'_>) -> Result<Option<Shape>, String> {
    match shape {
        Some(shape) if !shape.exact => Err(inexact(table)),
        None if rows.values().any(|row| row.value.is_some()) => {
            // Indexes share the namespace of tables: the primary key of the table `users` has an index called
            // `users_pkey`.
            Err(format!("table {table} cannot be made, because something else in the schema has its name"))
        }
        shape => Ok(shape.copied()),
    }
}

/// Makes the tables that a plan lacks; what all of them look like then.
async fn ready<'p>(postgres: &Postgres, client: &Client, plan: &Plan<'p>) -> Result<BTreeMap<&'p str, Shape>, Error> {
    postgres.tables.look_at(client, plan.keys().copied()).await?;
    let mut shapes = BTreeMap::new();
    for (table, rows) in plan {
        if let Some(shape) = made(postgres, client, table, rows).await? {
            shapes.insert(*table, shape);
        }
    }
    Ok(shapes)
}

/// What a table looks like, once it is there and can take a version; `None`: there is none, and nothing to put there.
async fn made(postgres: &Postgres, client: &Client, table: &str, rows: &Rows<'_>) -> Result<Option<Shape>, Error> {
    let (tables, settings) = (&postgres.tables, &postgres.settings);
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

/// The ids that a statement returns.
type Told = Result<Vec<String>, Error>;

/// What the ids that a statement returns say about its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// It replaces rows, and returns those that it replaced.
    Replaced,
    /// It inserts rows, and returns those that it inserted.
    Made,
    /// It removes rows under a condition, and returns those that are still there.
    Left,
}

impl Judged {
    /// Whether another writer was faster with this row.
    fn lost(self, row: &Row<'_>, told: bool) -> bool {
        match (row.expected, row.value.is_some()) {
            (Expected::Version(_), true) => self == Self::Replaced && !told,
            (Expected::Nothing, true) => self == Self::Made && !told,
            (Expected::Version(_) | Expected::Nothing, false) => self == Self::Left && told,
            (Expected::Anything, _) => false,
        }
    }
}

struct Step<'s> {
    request: Request<'s, Told>,
    judged: Option<Judged>,
}

fn plain<'s>(client: &'s Client, sql: &'static str) -> Request<'s, Told> {
    Box::pin(async move { client.batch_execute(sql).await.map(|()| Vec::new()) })
}

/// A parameter of a statement.
enum Given<'s> {
    Texts(Vec<&'s str>),
    Numbers(Vec<i32>),
    Generations(Vec<i64>),
    Whole(i64),
}

/// The parameters of a statement: columns of rows.
#[derive(Default)]
struct Columns<'s> {
    ids: Vec<&'s str>,
    versions: Vec<i32>,
    values: Vec<&'s str>,
    expected: Vec<i32>,
}

impl<'s> Columns<'s> {
    fn push(&mut self, id: &'s str, row: &Row<'s>) {
        self.ids.push(id);
        self.versions.push(row.version);
        self.values.push(row.value.unwrap_or_default());
        self.expected.extend(if let Expected::Version(version) = row.expected { Some(version) } else { None });
    }
}

/// The statements that write some rows of a table and remove others.
fn statements<'s>(
    postgres: &Postgres,
    client: &'s Client,
    table: &str,
    shape: Shape,
    rows: &'s Rows<'s>,
) -> Vec<Step<'s>> {
    let [mut put, mut gone, mut replaced, mut made, mut taken, mut asked] = [(); 6].map(|()| Columns::default());
    for (id, row) in rows {
        match (row.expected, row.value.is_some()) {
            (Expected::Anything, true) => put.push(id, row),
            (Expected::Anything, false) => gone.push(id, row),
            (Expected::Version(_), true) => replaced.push(id, row),
            (Expected::Nothing, true) => made.push(id, row),
            (expected, false) => {
                if expected != Expected::Nothing {
                    taken.push(id, row);
                }
                asked.push(id, row);
            }
        }
    }
    let tables = &postgres.tables;
    // In an order that is the same on all servers, so that they cannot deadlock; only the last two can concern the same
    // row.
    let (texts, numbers) = (Given::Texts, Given::Numbers);
    let statements = [
        (vec![texts(put.ids), numbers(put.versions), texts(put.values)], tables.upsert(table, shape), None),
        (vec![texts(gone.ids)], tables.delete(table), None),
        (
            vec![texts(replaced.ids), numbers(replaced.versions), texts(replaced.values), numbers(replaced.expected)],
            tables.replace(table, shape),
            Some(Judged::Replaced),
        ),
        (
            vec![texts(made.ids), numbers(made.versions), texts(made.values)],
            tables.insert(table, shape),
            Some(Judged::Made),
        ),
        (vec![texts(taken.ids), numbers(taken.expected)], tables.delete_expected(table, shape), None),
        (vec![texts(asked.ids)], tables.ids(table), Some(Judged::Left)),
    ];
    let wanted = statements.into_iter().filter(|(given, ..)| !matches!(&given[0], Given::Texts(ids) if ids.is_empty()));
    wanted.map(|(given, sql, judged)| Step { request: Box::pin(told(client, sql, given)), judged }).collect()
}

/// Executes a statement, and gives the ids that it returns.
async fn told(client: &Client, sql: String, given: Vec<Given<'_>>) -> Told {
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> = given
        .iter()
        .map(|given| match given {
            Given::Texts(texts) => (texts as &(dyn ToSql + Sync), Type::TEXT_ARRAY),
            Given::Numbers(numbers) => (numbers as &(dyn ToSql + Sync), Type::INT4_ARRAY),
            Given::Generations(numbers) => (numbers as &(dyn ToSql + Sync), Type::INT8_ARRAY),
            Given::Whole(number) => (number as &(dyn ToSql + Sync), Type::INT8),
        })
        .collect();
    client.query_typed(&sql, &parameters).await?.iter().map(|row| row.try_get(0)).collect()
}
