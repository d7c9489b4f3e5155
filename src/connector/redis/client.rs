//! *Owns* the connections of a store: one writes, the other reads, so that a lookup never waits behind an upload. *Promises* that an
//! end is noticed without a request. *Does not* connect again by itself.

use super::link::{Link, Told};
use super::{sentinel, trouble};
use crate::config::Redis as Settings;
use crate::storage::Trouble;
use redis::{Cmd, Value};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writes,
    Reads,
}

/// See the module.
pub(super) struct Client {
    links: Mutex<[Option<Link>; 2]>,
    ended: Arc<Notify>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self { links: Mutex::default(), ended: Arc::default() }
    }

    fn links(&self) -> MutexGuard<'_, [Option<Link>; 2]> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, role: Role) -> Option<Link> {
        self.links()[role as usize].clone().filter(Link::is_alive)
    }

    /// Opens the connections there are not; says whether the one that writes is new. Both are to one server: what was written is read.
    pub(super) async fn open(&self, settings: &Settings) -> Result<bool, Trouble> {
        if self.link(Role::Writes).is_some() && self.link(Role::Reads).is_some() {
            return Ok(false);
        }
        let settled = sentinel::settled(settings).await?;
        self.close();
        self.connect(&settled, Role::Writes).await?;
        self.connect(&settled, Role::Reads).await?;
        Ok(true)
    }

    async fn connect(&self, settled: &Settings, role: Role) -> Result<(), Trouble> {
        let ended = Arc::clone(&self.ended);
        let notice = move |told| {
            if matches!(told, Told::End) {
                ended.notify_one();
            }
        };
        let link = Link::connect_to(settled, notice).await?;
        self.links()[role as usize] = Some(link);
        Ok(())
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn ask(&self, role: Role, command: &Cmd) -> Result<Value, Trouble> {
        self.link(role).ok_or_else(trouble::away)?.ask(command).await
    }

    /// Waits until one of the connections has ended.
    pub(super) async fn attend(&self) -> Trouble {
        while self.link(Role::Writes).is_some() && self.link(Role::Reads).is_some() {
            self.ended.notified().await;
        }
        trouble::away()
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        self.links().iter_mut().for_each(|link| drop(link.take()));
    }
}
