//! Bounds the number of connections, because each takes a file descriptor, and so does each file that storage opens.
//!
//! *Owns* the count of accepted connections, over all cores and listeners. *Promises* that connections leave enough
//! descriptors for the rest of the process: otherwise a client that opens enough idle connections could keep storage
//! from writing, for everybody. *Does not* accept or close.
//!
//! All cores share one count, because the kernel does not spread connections evenly over them; it is touched twice in
//! the life of a connection.

use super::error::StartError;
use crate::config::{Config, Limits};
use crate::log::{Level, note};
use crate::monitor::Listeners;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Files that are open only briefly: by a reload, for looking up host names, for a report.
const PASSING: usize = 16;
/// Below this many connections a server refuses to start.
const CONNECTIONS_MIN: usize = 4;
/// The value used if the kernel has no limit.
const INFINITE: usize = 1 << 30;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    open: AtomicUsize,
    max: AtomicUsize,
    /// How many the kernel may accept by itself before the server can refuse one.
    burst: AtomicUsize,
    listeners: AtomicUsize,
    refused: AtomicU64,
}

impl Descriptors {
    /// Counts one more connection, if there may be one.
    pub(super) fn take_one(&self) -> bool {
        let taken = self.open.fetch_add(1, Ordering::Relaxed) < self.max.load(Ordering::Relaxed);
        if !taken {
            self.give_back();
        }
        taken
    }

    /// Counts one connection less.
    pub(super) fn give_back(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether there is room for twice as many as the kernel may accept by itself.
    pub(super) fn are_ample(&self) -> bool {
        let left = self.max.load(Ordering::Relaxed).saturating_sub(self.open.load(Ordering::Relaxed));
        left / 2 > self.burst.load(Ordering::Relaxed)
    }

    /// Counts a connection that was refused for lack of descriptors.
    pub(super) fn refused_one(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The figures of all listeners together.
    pub(super) fn counters(&self) -> Listeners {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        Listeners {
            listeners: read(&self.listeners),
            open_connections: read(&self.open),
            connections_max: read(&self.max),
            no_descriptor: self.refused.load(Ordering::Relaxed),
        }
    }

    /// How many connections there may be.
    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn of(max: usize, burst: usize) -> Self {
        Self { max: AtomicUsize::new(max), burst: AtomicUsize::new(burst), ..Self::default() }
    }

    /// Called when everything but connections is open: the remaining descriptors are theirs, less what the rest of the
    /// server may still open. `queues`: how many connections may wait to be accepted, at all listeners together.
    pub(super) fn settle(&self, config: &Config, listeners: usize, queues: usize) -> Result<(), StartError> {
        let limit = limit();
        // The kernel accepts one at each listener before it can be refused.
        let kept = open_now() + reserve(config, limit) + listeners;
        let max = limit.saturating_sub(kept);
        if max < CONNECTIONS_MIN {
            return Err(StartError::Kernel {
                what: format!("this process may have {limit} open files, and needs {kept} beside its connections"),
                remedy: "raise the limit (ulimit -n 65536; LimitNOFILE=65536 in a systemd unit)".to_owned(),
            });
        }
        self.max.store(max, Ordering::Relaxed);
        self.burst.store(queues, Ordering::Relaxed);
        self.listeners.store(listeners, Ordering::Relaxed);
        let wanted = config.limits.connections_max;
        let (level, fewer) = judged(max, wanted);
        let text = format!(
            "up to {} connections: this process may have {limit} open files, of which {kept} are kept for storage, logins \
             and itself{fewer}",
            max.min(wanted)
        );
        note(level, "INFO", &text);
        Ok(())
    }
}

/// The log line if only `max` connections are possible where `wanted` are configured, with what to do about it. Hardly
/// any machine allows as many as the default, so it is only a warning if the number was configured explicitly.
fn judged(max: usize, wanted: usize) -> (Level, String) {
    const REMEDY: &str = "raise the limit of open files (ulimit -n; LimitNOFILE in a systemd unit)";
    if max >= wanted {
        (Level::Info, String::new())
    } else if wanted == Limits::default().connections_max {
        (Level::Info, format!("; for more, {REMEDY}"))
    } else {
        (Level::Warn, format!("; limits.connectionsMax is {wanted}: {REMEDY}, or lower limits.connectionsMax"))
    }
}

/// Raises the limit of open files as far as allowed: each connection is one.
pub(super) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        note(Level::Warn, "INFO", &format!("the limit of open files stays where it is: {error}"));
    }
}

/// How many open files this process may have.
fn limit() -> usize {
    getrlimit(Resource::Nofile).current.map_or(INFINITE, |limit| usize::try_from(limit).unwrap_or(INFINITE))
}

/// How many are open now.
fn open_now() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// How many requests to a webhook may be under way, so that they leave descriptors for the rest.
pub(super) fn webhooks_max(config: &Config) -> usize {
    config.limits.webhooks_max.min(limit() / 16).max(1)
}

/// How many descriptors the rest of the server may still open after the start.
fn reserve(config: &Config, limit: usize) -> usize {
    let storage = config.storage.kept().map_or(0, |kept| kept.files_max(limit));
    let webhooks = config.auth.iter().filter(|method| method.asks_elsewhere()).count() * webhooks_max(config);
    PASSING + storage + webhooks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_there_may_be() {
        let descriptors = Descriptors::of(2, 0);
        assert!(descriptors.take_one() && descriptors.take_one());
        assert!(!descriptors.take_one(), "there are two");
        descriptors.give_back();
        assert!(descriptors.take_one());
    }

    #[test]
    fn only_who_chose_a_number_is_warned_of_fewer() {
        let default = Limits::default().connections_max;
        assert_eq!(judged(default, default), (Level::Info, String::new()));
        let (level, text) = judged(19_670, default);
        assert!(level == Level::Info && text.contains("ulimit -n") && !text.contains("connectionsMax"), "{text}");
        let (level, text) = judged(19_670, 50_000);
        assert!(level == Level::Warn && text.contains("limits.connectionsMax is 50000"), "{text}");
    }

    #[test]
    fn room_is_ample_only_beyond_all_that_could_come_at_once() {
        let descriptors = Descriptors::of(100, 40);
        assert!(descriptors.are_ample());
        (0..20).for_each(|_| assert!(descriptors.take_one()));
        assert!(!descriptors.are_ample(), "80 are left, twice the burst");
    }
}
