//! A store behind the server's own threads and lanes, and clients of it.

use crate::contract::{PATIENCE, Subject, plain};
use deepstream::service::Waker;
use deepstream::storage::{self, Client, Cluster, Deposed, OpenError, Options, Storage};
use deepstream_engine::{Completion, Fault, StoreBatch, Stored, Ticket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A name, a version, and a value or the wish to remove.
type Change<'c> = (&'c [u8], i32, Option<&'c [u8]>);

#[derive(Default)]
struct Signal {
    rung: Mutex<bool>,
    bell: Condvar,
    /// Why another has the store.
    deposed: Mutex<Option<String>>,
}

/// A store with clients, and somebody who waits for their answers.
pub(crate) struct Rig {
    pub(crate) storage: Storage,
    /// Of the shards, and of one service off the cores.
    pub(crate) clients: Vec<Client>,
    signal: Arc<Signal>,
}

fn deposed(signal: &Arc<Signal>) -> Deposed {
    let signal = Arc::clone(signal);
    Arc::new(move |why| {
        *signal.deposed.lock().unwrap() = Some(why.to_owned());
        signal.bell.notify_all();
    })
}

impl Rig {
    pub(crate) fn open(subject: &impl Subject, shards: usize) -> Self {
        Self::begin(subject, shards, "test", None).unwrap_or_else(|error| panic!("{error}"))
    }

    /// One of a server with this name, which may be a node of a cluster. It has as many shards.
    pub(crate) fn begin(
        subject: &impl Subject,
        shards: usize,
        server: &str,
        cluster: Option<&Cluster>,
    ) -> Result<Self, OpenError> {
        let signal = Arc::new(Signal::default());
        let waker = || {
            let signal = Arc::clone(&signal);
            Arc::new(move || {
                *signal.rung.lock().unwrap() = true;
                signal.bell.notify_all();
            }) as Waker
        };
        let options = || Options {
            load_timeout: Duration::from_millis(500),
            start_timeout: Duration::from_secs(5),
            cpus: Vec::new(),
            wakers: (0..shards).map(|_| waker()).collect(),
            off_core: vec![waker()],
            server: server.to_owned(),
            cluster: cluster.cloned(),
            cache: None,
            deposed: deposed(&signal),
        };
        let deadline = Instant::now() + PATIENCE;
        let mut storage = loop {
            match storage::start(subject.driver(), options()) {
                Ok(storage) => break storage,
                // A process that a test beside this one has just started holds all our locks until it becomes its program.
                Err(error) if error.what.contains("in use") && Instant::now() < deadline => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        };
        let (mut clients, services) = storage.take_clients();
        clients.extend(services);
        Ok(Self { storage, clients, signal })
    }

    /// Waits until it is told that another has the store; why.
    pub(crate) fn deposed(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut rung = self.signal.rung.lock().unwrap();
        loop {
            if let Some(why) = self.signal.deposed.lock().unwrap().clone() {
                return why;
            }
            assert!(Instant::now() < deadline, "it is not told");
            rung = self.signal.bell.wait_timeout(rung, Duration::from_secs(1)).unwrap().0;
        }
    }

    /// Waits until there is an answer.
    pub(crate) fn wait(&self, shard: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut rung = self.signal.rung.lock().unwrap();
        while !self.clients[shard].has_answers() {
            assert!(Instant::now() < deadline, "no answer");
            rung = self.signal.bell.wait_timeout(rung, Duration::from_secs(1)).unwrap().0;
        }
        *rung = false;
    }

    pub(crate) fn answers(&mut self, shard: usize, wanted: usize) -> Vec<Completion> {
        let mut answers = Vec::new();
        while answers.len() < wanted {
            self.wait(shard);
            self.clients[shard].poll(&mut |outcome, _| answers.push(outcome));
        }
        answers
    }

    pub(crate) fn send(&mut self, shard: usize, writes: &[Change<'_>]) {
        let mut batch = StoreBatch { ticket: Ticket(1), ..StoreBatch::default() };
        for (name, version, value) in writes {
            batch.push(name, *version, *value);
        }
        self.clients[shard].store(batch);
    }

    pub(crate) fn written(&mut self, shard: usize) -> Result<(), Fault> {
        match self.answers(shard, 1).remove(0) {
            Completion::Stored { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn store(&mut self, shard: usize, writes: &[Change<'_>]) -> Result<(), Fault> {
        self.send(shard, writes);
        self.written(shard)
    }

    pub(crate) fn load(&mut self, shard: usize, names: &[&[u8]]) -> Vec<Result<Option<Stored>, Fault>> {
        for (ticket, name) in (0..).zip(names) {
            self.clients[shard].load(Ticket(ticket), (*name).into());
        }
        let mut answers = self.answers(shard, names.len());
        answers.sort_by_key(|answer| if let Completion::Loaded { ticket, .. } = answer { ticket.0 } else { u64::MAX });
        let result = |answer| match answer {
            Completion::Loaded { result, .. } => result.map(|found| found.map(plain)),
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(result).collect()
    }
}
