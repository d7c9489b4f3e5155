//! Redis as a cache before another store.
//!
//! *Owns* the form of what is cached: upstream's keys, and a third one with the stamp. *Promises* that of a record all three
//! keys are written at once, and that a record of which one was forgotten, or written by others, counts as not cached. *Does
//! not* mind how durable Redis is, nor who else caches there.

use super::client::{Client, Role};
use super::guards::strange;
use super::keys::Keys;
use super::load::{bytes, json, scratch};
use crate::config::Redis as Settings;
use crate::storage::names::{Names, Whole};
use crate::storage::{self, Cache, Entry, Found, Request, Trouble, together};
use deepstream_engine::Stored;
use redis::{Cmd, Value, cmd};
use std::sync::Arc;

const SCRIPT: &str = include_str!("cache.lua");
/// Most records of a call.
const RECORDS_MAX: usize = 256;
/// A call with so many bytes takes no further record.
const BYTES_MAX: usize = 512 * 1024;

/// See the module.
pub struct RedisCache {
    settings: Settings,
    keys: Keys,
    client: Client,
}

impl RedisCache {
    /// The cache as it is configured.
    pub fn new(settings: Settings) -> Self {
        Self { keys: Keys::new(&settings), client: Client::new(), settings }
    }

    fn keys_of(&self, name: &[u8]) -> [Vec<u8>; 3] {
        [self.keys.version(name), self.keys.data(name), self.keys.stamp(name)]
    }

    fn call(&self, entries: &[Entry<'_>], stamp: u64) -> Cmd {
        let mut call = cmd("EVAL");
        call.arg(SCRIPT).arg(3 * entries.len());
        for entry in entries {
            call.arg(&self.keys_of(entry.name));
        }
        match self.settings.ttl {
            Some(seconds) => call.arg(seconds),
            None => call.arg(""),
        };
        call.arg(stamp);
        for entry in entries {
            call.arg(entry.version).arg(entry.value);
        }
        call
    }
}

impl Cache for RedisCache {
    fn place(&self) -> String {
        storage::Settings::place(&self.settings)
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(Whole)
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.client.open(&self.settings).await.map(|_| ())
    }

    async fn get(&self, names: &[&[u8]], stamp: u64) -> Result<Vec<Found>, Trouble> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = cmd("MGET");
        for name in names {
            command.arg(&self.keys_of(name));
        }
        let Value::Array(found) = self.client.ask(Role::Reads, &command).await? else { return Err(strange()) };
        if found.len() != 3 * names.len() {
            return Err(strange());
        }
        let (mut found, wanted, mut scratch) = (found.into_iter().map(bytes), stamp.to_string(), scratch());
        let mut cached = || {
            let [version, value, stamp] = std::array::from_fn(|_| found.next().flatten());
            let version = std::str::from_utf8(&version?).ok()?.parse().ok()?;
            let value = value.filter(|_| stamp.is_some_and(|stamp| stamp == wanted.as_bytes()))?;
            json(&value, &mut scratch).ok().map(|()| Stored { version, value })
        };
        Ok(names.iter().map(|_| Ok(cached())).collect())
    }

    async fn set(&self, entries: &[Entry<'_>], stamp: u64) -> Result<(), Trouble> {
        let (mut calls, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (at, entry) in entries.iter().enumerate() {
            bytes += entry.value.len();
            if at + 1 == entries.len() || at + 1 - start == RECORDS_MAX || bytes >= BYTES_MAX {
                calls.push(self.call(&entries[start..=at], stamp));
                (start, bytes) = (at + 1, 0);
            }
        }
        let requests = calls
            .iter()
            .map(|call| -> Request<'_, Result<Value, Trouble>> { Box::pin(self.client.ask(Role::Writes, call)) })
            .collect();
        together(requests).await.into_iter().try_for_each(|answer| answer.map(|_| ()))
    }

    async fn delete(&self, names: &[&[u8]]) -> Result<(), Trouble> {
        if names.is_empty() {
            return Ok(());
        }
        let mut command = cmd("DEL");
        for name in names {
            command.arg(&self.keys_of(name));
        }
        self.client.ask(Role::Writes, &command).await.map(|_| ())
    }

    async fn close(&self) {
        self.client.close();
    }
}
