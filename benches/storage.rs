//! What the embedded store costs: a batch until it is durable, a load until it is answered.
//!
//! `commit`: one shard hands over a batch and waits, with an fsync per commit and without. `commit shared`: eight
//! shards at once; one fsync serves those that wait together. `load`: 64 loads on their way at a time.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deepstream::connector::embedded::{Durability, Embedded};
use deepstream::service::Waker;
use deepstream::storage::{self, Client, Options, Storage};
use deepstream_engine::{Completion, StoreBatch, Ticket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

const NAMES: u64 = 10_000;
const BATCH: u64 = 64;
const LOADS: u64 = 64;
const VALUE: &[u8] =
    br#"{"firstname":"Wolfram","lastname":"Hempel","age":29,"reply_tos":["a","b","c"],"balance":1234.56}"#;

fn open(name: &str, durability: Durability, shards: usize) -> Storage {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}"));
    let _ = std::fs::remove_dir_all(&directory);
    let thread: Thread = std::thread::current();
    let waker = Arc::new(move || thread.unpark()) as Waker;
    let options = Options {
        load_timeout: Duration::from_mins(1),
        start_timeout: Duration::ZERO,
        cpus: Vec::new(),
        wakers: vec![waker; shards],
        off_core: Vec::new(),
        server: "test".to_owned(),
        cluster: None,
        cache: None,
        deposed: Arc::new(|_| {}),
    };
    storage::start(Embedded::new(directory, durability), options).expect("the target directory is writable")
}

fn fill(batch: &mut StoreBatch, first: u64, records: u64) {
    for n in first..first + records {
        batch.push(format!("bench/{}", n % NAMES).as_bytes(), n as i32, Some(VALUE));
    }
}

/// Waits for one answer of this client and takes the batch back.
fn stored(client: &mut Client) -> StoreBatch {
    let mut back = None;
    while back.is_none() {
        client.poll(&mut |outcome, batch| {
            assert!(matches!(outcome, Completion::Stored { result: Ok(()), .. }), "{outcome:?}");
            back = batch;
        });
        if back.is_none() && !client.has_answers() {
            std::thread::park();
        }
    }
    back.unwrap_or_default()
}

fn commit(criterion: &mut Criterion) {
    for (name, durability) in [("always", Durability::Always), ("none", Durability::None)] {
        let mut group = criterion.benchmark_group(format!("storage/commit {name}"));
        for records in [1, BATCH] {
            let mut storage = open(&format!("commit-{name}-{records}"), durability, 1);
            let (mut batch, mut n) = (StoreBatch::default(), 0);
            group.throughput(Throughput::Elements(records));
            group.bench_function(format!("{records} records"), |bencher| {
                bencher.iter(|| {
                    fill(&mut batch, n, records);
                    n += records;
                    storage.clients[0].store(std::mem::take(&mut batch));
                    batch = stored(&mut storage.clients[0]);
                });
            });
            storage.stop();
        }
        group.finish();
    }
}

fn commit_shared(criterion: &mut Criterion) {
    const SHARDS: u64 = 8;
    let mut group = criterion.benchmark_group("storage/commit shared");
    let mut storage = open("shared", Durability::Always, SHARDS as usize);
    let mut batches: Vec<StoreBatch> = Vec::new();
    batches.resize_with(SHARDS as usize, StoreBatch::default);
    let mut n = 0;
    group.throughput(Throughput::Elements(SHARDS));
    group.bench_function("8 batches of 1 record", |bencher| {
        bencher.iter(|| {
            for (client, batch) in storage.clients.iter_mut().zip(&mut batches) {
                fill(batch, n, 1);
                n += 1;
                client.store(std::mem::take(batch));
            }
            for (client, batch) in storage.clients.iter_mut().zip(&mut batches) {
                *batch = stored(client);
            }
        });
    });
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let mut storage = open("load", Durability::None, 1);
    let client = &mut storage.clients[0];
    let mut batch = StoreBatch::default();
    fill(&mut batch, 0, NAMES);
    client.store(batch);
    stored(client);
    let mut group = criterion.benchmark_group("storage/load");
    group.throughput(Throughput::Elements(LOADS));
    let mut n = 0_u64;
    group.bench_function("64 at a time", |bencher| {
        bencher.iter(|| {
            for _ in 0..LOADS {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                client.load(Ticket(n), format!("bench/{}", (n >> 33) % NAMES).into_bytes().into());
            }
            let mut answers = 0;
            while answers < LOADS {
                client.poll(&mut |outcome, _| {
                    assert!(matches!(outcome, Completion::Loaded { result: Ok(Some(_)), .. }), "{outcome:?}");
                    answers += 1;
                });
                if answers < LOADS && !client.has_answers() {
                    std::thread::park();
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, commit, commit_shared, load);
criterion_main!(benches);
