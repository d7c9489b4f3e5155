//! One suite of tests for everything that can keep records.

mod cluster;
mod contract;
mod gate;
mod law;
mod memory;
mod postgres;
mod redis;
mod rig;
mod toy;

use contract::{Detour, Subject, holds, opened, run};
use deepstream::connector::embedded::{Durability, Embedded};
use deepstream::storage::{Driver, Expected, Fence, Refused, Why, Write};
use engines::Kind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

struct Directory(PathBuf, Durability);

impl Directory {
    fn new(name: &str, durability: Durability) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stores-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        Self(path, durability)
    }
}

impl Subject for Directory {
    type Driver = Embedded;

    fn driver(&self) -> Embedded {
        Embedded::new(self.0.clone(), self.1)
    }
}

impl Subject for toy::World {
    type Driver = toy::Toy;

    fn driver(&self) -> toy::Toy {
        toy::Toy::on(self)
    }

    fn detour(&self) -> Option<(toy::Toy, Box<dyn Detour>)> {
        Some((self.driver(), Box::new(Roadblock(self.clone(), Mutex::default()))))
    }

    fn away(&self, away: bool) -> bool {
        self.away.store(away, Ordering::Relaxed);
        true
    }
}

/// Where commits to a toy are held up.
struct Roadblock(toy::World, Mutex<Vec<toy::Sent>>);

impl Detour for Roadblock {
    fn hold(&self) {
        *self.0.on_the_way.lock().unwrap() = Some(Vec::new());
    }

    fn holds(&self) -> bool {
        self.0.on_the_way.lock().unwrap().as_ref().is_some_and(|held| !held.is_empty())
    }

    fn cut(&self) {
        *self.1.lock().unwrap() = self.0.on_the_way.lock().unwrap().take().unwrap();
    }

    fn release(&self) {
        self.1.lock().unwrap().drain(..).for_each(|sent| sent(&self.0));
    }
}

#[test]
fn the_embedded_store_holds_the_contract() {
    holds(&Directory::new("always", Durability::Always));
}

#[test]
fn the_embedded_store_holds_the_contract_where_it_does_not_sync() {
    holds(&Directory::new("none", Durability::None));
}

#[test]
fn postgres_holds_the_contract() {
    for options in [postgres::Values::Text, postgres::Values::Jsonb] {
        holds(&postgres::Server::start(options));
    }
}

#[test]
fn redis_holds_the_contract() {
    for (kind, prefix) in [(Kind::Redis, ""), (Kind::Redis, "app:"), (Kind::Valkey, "")] {
        holds(&redis::Server::start(kind, prefix));
    }
}

/// A commit takes one round trip, with fences or without: all answers are held back until COMMIT was sent, so a driver that waits
/// for one of them before would wait for ever.
#[test]
fn postgres_is_sent_a_whole_group_before_it_answers() {
    let server = postgres::Server::start(postgres::Values::Text);
    let gate = gate::Gate::before(server.port(), postgres::END);
    let driver = server.driver_at(gate.port());
    let write = |name: &'static str, generation: Option<u64>| Write {
        name: name.as_bytes(),
        version: 1,
        value: Some(b"{}"),
        expected: Expected::Nothing,
        fence: generation.map(|generation| Fence { slot: 7, generation }),
    };
    run(async {
        let deadline = Instant::now() + contract::PATIENCE;
        while let Err(why) = driver.open().await {
            assert!(Instant::now() < deadline, "{why:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        opened(&driver).await;
        assert_eq!(driver.claim(&[7], 3).await, Ok(vec![]));
        assert_eq!(driver.commit(&[write("gate/known", None)]).await, Ok(vec![]));
        for (name, generation) in [("gate/open", None), ("gate/fenced", Some(3))] {
            gate.shut();
            let group = [write(name, generation), write("gate/known", generation)];
            let committed = tokio::time::timeout(contract::PATIENCE, driver.commit(&group)).await;
            assert_eq!(committed.expect("nothing is waited for"), Ok(vec![]), "{name}");
        }
        let late = [write("gate/late", Some(2)), write("gate/fenced", Some(3))];
        assert_eq!(driver.commit(&late).await, Ok(vec![Refused { entry: 0, why: Why::Deposed }]));
        driver.close().await;
    });
}

#[test]
fn a_toy_holds_the_contract() {
    holds(&toy::World::default());
}

#[test]
fn a_cache_in_memory_holds_the_contract() {
    memory::holds(&memory::Memory::default());
}

#[test]
fn a_cache_before_a_store_is_a_store() {
    holds(&memory::Before(memory::Memory::default(), toy::World::default()));
    holds(&memory::Before(memory::Memory::default(), Directory::new("tiered", Durability::None)));
}

#[test]
fn redis_holds_the_contract_of_caches() {
    for (kind, prefix) in [(Kind::Redis, ""), (Kind::Redis, "app:"), (Kind::Valkey, "")] {
        memory::holds(&redis::Server::start(kind, prefix).cache());
    }
}

#[test]
fn redis_before_a_store_is_a_store() {
    holds(&redis::Cached(redis::Server::start(Kind::Redis, ""), toy::World::default()));
}

#[test]
fn a_cache_before_a_store_spares_it_lookups_and_never_makes_a_version_go_back() {
    memory::order_holds(&memory::Before(memory::Memory::default(), toy::World::default()));
    memory::order_holds(&memory::Before(memory::Memory::default(), Directory::new("ordered", Durability::None)));
}
