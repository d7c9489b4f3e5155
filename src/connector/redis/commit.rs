//! *Owns* how a group becomes calls of a script. *Promises* that all of them are sent before any answer is awaited, and
//! that each is short, because Redis does nothing else meanwhile. *Does not* retry.

use super::client::Role;
use super::guards::{self, Script};
use super::{Redis, keys::Keys};
use crate::storage::{Expected, Fence, Refused, Request, Trouble, Why, Write, together};
use redis::{Cmd, Value};
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Most writes of a call.
const WRITES_MAX: usize = 256;
/// A call with so many bytes takes no further write.
const BYTES_MAX: usize = 512 * 1024;

/// Why the script did not do a write.
const CONFLICT: i64 = 1;

/// Writes a group.
pub(super) async fn commit(redis: &Redis, group: &[Write<'_>]) -> Result<Vec<Refused>, Trouble> {
    let (wanted, mut refused) = storable(redis, group);
    let parts = parts(group, &wanted);
    let writer = redis.guards.entered()?;
    let calls = parts.iter().map(|part| call(redis, &writer, group, &wanted[part.clone()])).collect::<Vec<_>>();
    let requests = calls
        .iter()
        .map(|call| -> Request<'_, Result<Value, Trouble>> { Box::pin(redis.client.ask(Role::Writes, call)) })
        .collect();
    for (part, answer) in parts.into_iter().zip(together(requests).await) {
        let answer = match answer {
            Ok(answer) => numbers(&answer).ok_or_else(guards::strange)?,
            Err(trouble) => return Err(guards::taught(redis, trouble).await),
        };
        if answer == [0] {
            return Err(guards::replaced(redis));
        }
        let wanted = &wanted[part];
        for told in answer.chunks_exact(2) {
            let entry = usize::try_from(told[0]).ok().and_then(|at| wanted.get(at)).ok_or_else(guards::strange)?;
            let why = if told[1] == CONFLICT { Why::Conflict } else { Why::Deposed };
            refused.push(Refused { entry: *entry, why });
        }
    }
    Ok(refused)
}

/// The places of the writes that Redis can take, and the others, refused.
fn storable(redis: &Redis, group: &[Write<'_>]) -> (Vec<usize>, Vec<Refused>) {
    let most = redis.value_bytes_max.load(Ordering::Relaxed);
    let fits = |at: &usize| group[*at].value.is_none_or(|value| value.len() <= most);
    let (wanted, large): (Vec<usize>, Vec<usize>) = (0..group.len()).partition(fits);
    let why = || Why::Unstorable(format!("Redis takes no text of more than {most} bytes (proto-max-bulk-len)"));
    (wanted, large.into_iter().map(|entry| Refused { entry, why: why() }).collect())
}

/// Which writes go into one call.
fn parts(group: &[Write<'_>], wanted: &[usize]) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, entry) in wanted.iter().enumerate() {
        if at - start == WRITES_MAX || bytes >= BYTES_MAX {
            parts.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += group[*entry].value.map_or(0, <[u8]>::len);
    }
    if start < wanted.len() {
        parts.push(start..wanted.len());
    }
    parts
}

/// A call of the script; it says what its arguments mean.
fn call(redis: &Redis, writer: &[String; 2], group: &[Write<'_>], wanted: &[usize]) -> Cmd {
    let Redis { settings, keys, guards, .. } = redis;
    let writes = || wanted.iter().map(|entry| &group[*entry]);
    let mut fences: Vec<Fence> = writes().filter_map(|write| write.fence).collect();
    fences.sort_unstable();
    fences.dedup();
    let own: Vec<Vec<Vec<u8>>> = writes().map(|write| keys_of(keys, settings.ttl.is_some(), write)).collect();
    let mut call = guards.call(Script::Commit);
    call.arg(1 + own.iter().map(Vec::len).sum::<usize>()).arg(keys.guards()).arg(&own);
    match settings.ttl {
        Some(seconds) => call.arg(seconds),
        None => call.arg(""),
    };
    call.arg(1 + fences.len()).arg(writer);
    for fence in &fences {
        call.arg(fence.slot).arg(fence.generation);
    }
    for (write, own) in writes().zip(&own) {
        // Counted from one, as the script does; the first is the writer's.
        call.arg(write.fence.map_or(1, |fence| 2 + fences.binary_search(&fence).unwrap_or_default()));
        match write.expected {
            Expected::Anything => call.arg("*"),
            Expected::Nothing => call.arg("-"),
            Expected::Version(version) => call.arg(version),
        };
        call.arg(usize::from(own.len() > 2));
        match write.value {
            Some(value) => call.arg(write.version).arg(value),
            None => call.arg("").arg(""),
        };
    }
    call
}

/// The keys that a write is about: that of release 1 only where it matters whether there is one.
fn keys_of(keys: &Keys, forgets: bool, write: &Write<'_>) -> Vec<Vec<u8>> {
    let mut own = vec![keys.version(write.name), keys.data(write.name)];
    if forgets || write.value.is_none() || write.expected != Expected::Anything {
        own.extend(keys.first_release(write.name));
    }
    own
}

fn numbers(value: &Value) -> Option<Vec<i64>> {
    let Value::Array(items) = value else { return None };
    items.iter().map(|item| if let Value::Int(number) = item { Some(*number) } else { None }).collect()
}
