//! A store with a thread that waits for its answers, as a core would.

#![allow(dead_code, reason = "not every test file uses all of it")]

use deepstream::connector::embedded::{Durability, Embedded};
use deepstream::service::Waker;
use deepstream::storage::{self, OpenError, Options, Storage};
use deepstream_engine::{Completion, Fault, StoreBatch, Stored, Ticket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(1);

/// What an answer to a batch says.
pub(crate) type Answer = Result<(), Fault>;
/// A name, a version, and a value or the wish to remove.
pub(crate) type Write<'a> = (&'a [u8], i32, Option<&'a [u8]>);

/// An empty directory of this test's own.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("storage-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[allow(clippy::unnecessary_wraps, reason = "it is compared with answers")]
/// What a load of an existing record gives.
pub(crate) fn record(version: i32, value: &[u8]) -> Option<Stored> {
    Some(Stored { version, value: value.to_vec() })
}

/// The words of a failure.
pub(crate) fn failed(answer: Answer) -> String {
    match answer {
        Err(Fault::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[derive(Default)]
struct Signal {
    rung: Mutex<bool>,
    bell: Condvar,
}

/// A running store and the means to wait for its answers.
pub(crate) struct Rig {
    pub(crate) storage: Storage,
    signal: Arc<Signal>,
    written: Vec<Vec<(Ticket, Answer)>>,
    loaded: Vec<Vec<Result<Option<Stored>, Fault>>>,
}

impl Rig {
    pub(crate) fn open(path: &Path, durability: Durability, shards: usize) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Self::try_open(path, durability, shards) {
                Ok(rig) => return rig,
                // A process that a test beside this one has just started holds all our locks until it becomes its program.
                Err(error) if error.what.contains("in use") && Instant::now() < deadline => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn try_open(path: &Path, durability: Durability, shards: usize) -> Result<Self, OpenError> {
        Self::try_open_on(path, durability, shards, Vec::new())
    }

    pub(crate) fn try_open_on(
        path: &Path,
        durability: Durability,
        shards: usize,
        cpus: Vec<usize>,
    ) -> Result<Self, OpenError> {
        let signal = Arc::new(Signal::default());
        let wakers = (0..shards).map(|_| {
            let signal = Arc::clone(&signal);
            Arc::new(move || {
                *signal.rung.lock().unwrap() = true;
                signal.bell.notify_all();
            }) as Waker
        });
        let options = Options {
            load_timeout: PATIENCE,
            start_timeout: Duration::ZERO,
            cpus,
            wakers: wakers.collect(),
            off_core: Vec::new(),
            server: "test".to_owned(),
            cluster: None,
            cache: None,
            deposed: Arc::new(|_| {}),
        };
        let storage = storage::start(Embedded::new(path.into(), durability), options)?;
        Ok(Self { storage, signal, written: vec![Vec::new(); shards], loaded: vec![Vec::new(); shards] })
    }

    pub(crate) fn stop(self) {
        self.storage.stop();
    }

    /// Hands over a batch.
    pub(crate) fn send(&mut self, shard: usize, ticket: u64, writes: &[Write]) {
        let mut batch = StoreBatch { ticket: Ticket(ticket), ..StoreBatch::default() };
        for (name, version, value) in writes {
            batch.push(name, *version, *value);
        }
        self.storage.clients[shard].store(batch);
    }

    /// Waits for the answer to a batch.
    pub(crate) fn written(&mut self, shard: usize) -> Answer {
        while self.written[shard].is_empty() {
            self.collect(shard);
        }
        self.written[shard].remove(0).1
    }

    pub(crate) fn store(&mut self, shard: usize, writes: &[Write]) -> Answer {
        self.send(shard, 1, writes);
        self.written(shard)
    }

    pub(crate) fn load(&mut self, shard: usize, name: &[u8]) -> Result<Option<Stored>, Fault> {
        self.storage.clients[shard].load(Ticket(2), name.into());
        while self.loaded[shard].is_empty() {
            self.collect(shard);
        }
        self.loaded[shard].remove(0)
    }

    fn collect(&mut self, shard: usize) {
        self.wait_for_answers(shard);
        let (written, loaded) = (&mut self.written[shard], &mut self.loaded[shard]);
        self.storage.clients[shard].poll(&mut |outcome, batch| match outcome {
            Completion::Stored { ticket, result } => {
                assert!(batch.expect("the batch comes back").entries.is_empty());
                written.push((ticket, result));
            }
            Completion::Loaded { result, .. } => loaded.push(result),
            Completion::Authenticated { .. } => panic!("storage does not judge logins"),
        });
    }

    /// Sleeps until a waker rings and the shard has answers.
    pub(crate) fn wait_for_answers(&self, shard: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut rung = self.signal.rung.lock().unwrap();
        while !self.storage.clients[shard].has_answers() {
            assert!(Instant::now() < deadline, "no answer");
            rung = self.signal.bell.wait_timeout(rung, Duration::from_secs(1)).unwrap().0;
        }
        *rung = false;
    }

    /// Waits for a condition that no waker announces.
    #[track_caller]
    pub(crate) fn until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "it never came true");
            std::thread::yield_now();
        }
    }
}
