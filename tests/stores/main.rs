//! One suite of tests for everything that can keep records.

mod contract;
mod law;
mod memory;
mod postgres;
mod toy;

use contract::{Subject, holds};
use deepstream::connector::embedded::{Durability, Embedded};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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
        toy::Toy(self.clone(), AtomicBool::new(false))
    }

    fn away(&self, away: bool) -> bool {
        self.away.store(away, Ordering::Relaxed);
        true
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
fn a_cache_before_a_store_spares_it_lookups_and_never_makes_a_version_go_back() {
    memory::order_holds(&memory::Before(memory::Memory::default(), toy::World::default()));
    memory::order_holds(&memory::Before(memory::Memory::default(), Directory::new("ordered", Durability::None)));
}
