//! *Owns* the lookup of many records at once: one command. *Promises* never to take for a record what is none. *Does not*
//! retry.

use super::Redis;
use super::client::Role;
use super::guards::strange;
use crate::config::NESTING_MAX;
use crate::storage::names::{Names, Whole};
use crate::storage::{Found, Trouble};
use deepstream_engine::Stored;
use deepstream_json::{Fault, Malformed, Scratch, check, get_member};
use redis::{Value, cmd};

pub(super) async fn load(redis: &Redis, names: &[&[u8]]) -> Result<Vec<Found>, Trouble> {
    let mut command = cmd("MGET");
    for name in names {
        command.arg(redis.keys.version(name)).arg(redis.keys.data(name)).arg(redis.keys.first_release(name));
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let Value::Array(found) = redis.client.ask(Role::Reads, &command).await? else { return Err(strange()) };
    let mut found = found.into_iter().map(bytes);
    let mut scratch = scratch();
    let mut next = || found.next().ok_or_else(strange);
    names
        .iter()
        .map(|name| {
            let (version, data) = (next()?, next()?);
            let old = if redis.keys.first_release(name).is_some() { next()? } else { None };
            Ok(match Whole.place(name) {
                Ok(_) => read(version, data, old, &mut scratch),
                Err(refusal) => Err(refusal.to_string()),
            })
        })
        .collect()
}

/// Records that were accepted once can be read again after `limits.nestingMax` was lowered.
pub(super) fn scratch() -> Scratch {
    Scratch::with_depth_max(NESTING_MAX as usize)
}

pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        // A client of others may have written a number.
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

/// What is stored, of what was found under the three keys of a record. Other programs may have written anything there.
fn read(version: Option<Vec<u8>>, data: Option<Vec<u8>>, old: Option<Vec<u8>>, scratch: &mut Scratch) -> Found {
    let Some(version) = version else { return Ok(old.and_then(|envelope| first_release(&envelope, scratch))) };
    let version = std::str::from_utf8(&version).ok().and_then(|version| version.parse().ok());
    let version = version.ok_or("the version in Redis is no number")?;
    let value = data.ok_or("Redis has a version of it, but no data")?;
    json(&value, scratch)?;
    Ok(Some(Stored { version, value }))
}

/// A record of release 1. What looks like none is another program's.
fn first_release(envelope: &[u8], scratch: &mut Scratch) -> Option<Stored> {
    if envelope.first() != Some(&b'{') || json(envelope, scratch).is_err() {
        return None;
    }
    let member = |name: &[u8]| get_member(envelope, name);
    let (Some(version), Some(value)) = (member(b"_v"), member(b"_d")) else { return None };
    let version = std::str::from_utf8(version).ok().and_then(|version| version.parse().ok());
    version.map(|version| Stored { version, value: value.to_vec() })
}

pub(super) fn json(value: &[u8], scratch: &mut Scratch) -> Result<(), String> {
    match check(value, scratch) {
        // It may be JSON but no object or array, which no client could have written. It is given as it is.
        Ok(_) => Ok(()),
        Err(Malformed { fault: Fault::TooDeep, .. }) => {
            Err(format!("the value in Redis is nested deeper than {NESTING_MAX}"))
        }
        Err(_) => Err("the value in Redis is no JSON".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_a_record_or_is_said_to_be_none() {
        let mut scratch = Scratch::with_depth_max(NESTING_MAX as usize);
        let mut found = |version: Option<&str>, data: Option<&str>, old: Option<&str>| {
            let [version, data, old] = [version, data, old].map(|text| text.map(|text| text.as_bytes().to_vec()));
            read(version, data, old, &mut scratch)
        };
        let record = |version, value: &str| Ok(Some(Stored { version, value: value.as_bytes().to_vec() }));
        let old = r#"{"_v":9,"_d":{"role":"old"}}"#;
        assert_eq!(found(None, None, None), Ok(None));
        assert_eq!(found(Some("3"), Some("{\"a\":1}"), Some(old)), record(3, "{\"a\":1}"));
        assert_eq!(found(None, None, Some(old)), record(9, "{\"role\":\"old\"}"));
        for foreign in
            ["", "text", "{}", "{\"_v\":1}", "{\"_v\":\"1\",\"_d\":{}}", "{\"_v\":1.5,\"_d\":{}}", "{\"_v\":1,"]
        {
            assert_eq!(found(None, None, Some(foreign)), Ok(None), "{foreign}");
        }
        for (version, data, why) in
            [(Some("3"), None, "no data"), (Some("three"), Some("{}"), "no number"), (Some("3"), Some("{"), "no JSON")]
        {
            let told = found(version, data, Some(old));
            assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{told:?}");
        }
        assert_eq!(found(None, Some("{}"), None), Ok(None), "data without a version are of a record that is gone");
    }
}
