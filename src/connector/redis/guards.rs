//! *Owns* who may write: the guards of those who have entered the database, the mark of the server that it belongs to,
//! and the claims of slots. *Promises* that nothing which was sent under an earlier guard is written late: each script
//! compares the guard before it writes. *Does not* judge who should be let in.

use super::client::Role;
use super::{EVENT, Redis, trouble};
use crate::log::{Level, note};
use crate::storage::{Kind, Late, Trouble, Writer};
use redis::{Cmd, Value, cmd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Scripts compare generations as numbers, which are exact up to here.
const GENERATION_MAX: u64 = 1 << 53;

/// The field of the mark.
const KEEPER: &str = "keeper";

const SCRIPTS: [&str; 4] =
    [include_str!("writer.lua"), include_str!("commit.lua"), include_str!("claim.lua"), include_str!("keep.lua")];

/// A script, by its place in the list.
#[derive(Clone, Copy)]
pub(super) enum Script {
    Writer,
    Commit,
    Claim,
    Keep,
}

/// What was learnt when the database was opened.
#[derive(Default)]
pub(super) struct Guards {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The digests of the scripts.
    digests: [String; SCRIPTS.len()],
    /// Name and value of the writer's guard, once the database was entered.
    entered: Option<[String; 2]>,
    /// When it was entered last, by the clock of Redis; empty before.
    since: String,
}

impl Guards {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name and value of the writer's guard.
    pub(super) fn entered(&self) -> Result<[String; 2], Trouble> {
        self.lock().entered.clone().ok_or_else(|| Trouble::new(Kind::Away, "it was not entered", ""))
    }

    /// Whether it was ever entered.
    pub(super) fn is_known(&self) -> bool {
        !self.lock().since.is_empty()
    }

    /// Whether a connection has everything it needs.
    pub(super) fn is_taught(&self) -> bool {
        self.lock().digests.iter().all(|digest| !digest.is_empty())
    }

    /// A connection is new.
    pub(super) fn unlearn(&self) {
        self.lock().digests = Default::default();
    }

    /// From here on nothing is sent until it is entered again.
    pub(super) fn forget(&self) {
        self.lock().entered = None;
    }

    /// A call of a script, without its keys and arguments.
    pub(super) fn call(&self, script: Script) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.lock().digests[script as usize]);
        command
    }
}

/// Gives Redis the scripts.
pub(super) async fn teach(redis: &Redis) -> Result<(), Trouble> {
    let mut digests = <[String; SCRIPTS.len()]>::default();
    for (script, digest) in SCRIPTS.iter().zip(&mut digests) {
        let answer = redis.client.ask(Role::Writes, cmd("SCRIPT").arg("LOAD").arg(script)).await?;
        *digest = text(&answer).ok_or_else(strange)?;
    }
    redis.guards.lock().digests = digests;
    Ok(())
}

/// Gives Redis the scripts again if it has forgotten them, so that the call can be repeated.
pub(super) async fn taught(redis: &Redis, trouble: Trouble) -> Trouble {
    if trouble.kind != Kind::Changed {
        return trouble;
    }
    match teach(redis).await {
        Ok(()) => trouble,
        Err(other) => other,
    }
}

/// Replaces the mark if it is what is expected. Gives what is there then. It does not wait behind commits, because it is
/// sent over the connection that reads.
pub(super) async fn keep(redis: &Redis, expected: Option<&[u8]>, mark: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
    let mut again = true;
    loop {
        let mut call = redis.guards.call(Script::Keep);
        call.arg(1).arg(redis.keys.guards()).arg(KEEPER).arg(mark).arg(expected.as_slice());
        match redis.client.ask(Role::Reads, &call).await {
            Ok(Value::BulkString(bytes)) => return Ok(Some(bytes)),
            Ok(Value::Nil) => return Ok(None),
            Ok(_) => return Err(strange()),
            Err(trouble) if again && trouble.kind == Kind::Changed => {
                again = false;
                teach(redis).await?;
            }
            Err(trouble) => return Err(trouble),
        }
    }
}

/// Enters the database. From here on it executes nothing that was sent by whoever entered before.
pub(super) async fn enter(redis: &Redis, Writer { seat, holder, turn }: Writer, out: bool) -> Result<bool, Trouble> {
    let (field, since) = (format!("w{seat}"), redis.guards.lock().since.clone());
    let mut call = redis.guards.call(Script::Writer);
    call.arg(1).arg(redis.keys.guards()).arg(&field).arg(holder).arg(turn).arg(usize::from(out));
    call.arg(if since.is_empty() { "0" } else { &since });
    let answer = match redis.client.ask(Role::Writes, &call).await {
        Ok(answer) => texts(&answer),
        Err(trouble) => return Err(trouble::of_start(taught(redis, trouble).await)),
    };
    if answer.is_empty() {
        return Ok(false);
    }
    let [guard, now, had] = <[String; 3]>::try_from(answer).map_err(|_| strange())?;
    {
        let mut known = redis.guards.lock();
        (known.entered, known.since) = (Some([field, guard]), now);
    }
    let again = !since.is_empty();
    if again && had.is_empty() {
        let text = format!(
            "{}: it has lost its data: it was emptied, replaced, or restarted without keeping them. Records that are in \
             memory here are served on, and stored again when they are written",
            crate::storage::Settings::place(&redis.settings)
        );
        note(Level::Error, EVENT, &text);
    }
    Ok(true)
}

/// Somebody else has entered it since.
pub(super) fn replaced(redis: &Redis) -> Trouble {
    redis.guards.forget();
    Trouble::new(Kind::Away, "another server has entered the same database, or it has lost its data", "")
}

/// Claims slots. Returns those that a later generation holds, which it does not get.
pub(super) async fn claim(redis: &Redis, slots: &[u16], generation: u64) -> Result<Vec<Late>, Trouble> {
    if generation > GENERATION_MAX {
        return Err(Trouble::new(Kind::Lasting, format!("there is no generation {generation}"), ""));
    }
    let mut call = redis.guards.call(Script::Claim);
    call.arg(1).arg(redis.keys.guards()).arg(&redis.guards.entered()?).arg(generation).arg(slots);
    let answer = match redis.client.ask(Role::Writes, &call).await {
        Ok(answer) => texts(&answer),
        Err(trouble) => return Err(taught(redis, trouble).await),
    };
    if answer.first().is_some_and(String::is_empty) {
        return Err(replaced(redis));
    }
    let late = |[slot, held]: &[String; 2]| Some(Late { slot: slot.parse().ok()?, held: held.parse().ok()? });
    answer.as_chunks().0.iter().map(|told| late(told).ok_or_else(strange)).collect()
}

/// An answer that no script of ours gives.
pub(super) fn strange() -> Trouble {
    Trouble::new(Kind::Lasting, "it answers like no Redis", "correct host and port of its options")
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The texts of a list.
fn texts(value: &Value) -> Vec<String> {
    let Value::Array(items) = value else { return Vec::new() };
    items.iter().filter_map(text).collect()
}
