//! `kill -9` while acknowledged batches pour in: what was acknowledged is there, batches are whole.

use super::rig::{Rig, Write, directory, record};
use deepstream::connector::embedded::Durability;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SHARDS: usize = 2;
/// Names a shard writes in turn.
const NAMES: u64 = 7;
const ROUNDS: u64 = 28;
/// Makes the test executable write until it is killed: directory, durability, first batch of each shard.
const CHILD: &str = "STORAGE_TEST_CHILD";

/// What batch `n` of a shard does: sets a counter and one record, removes another.
fn batch(shard: usize, n: u64) -> Vec<(Vec<u8>, i32, Option<Vec<u8>>)> {
    let name = |slot: u64| format!("{shard}/{}", slot % NAMES).into_bytes();
    let value = format!("{{\"n\":{n},\"filler\":\"{}\"}}", "x".repeat((n * 131 % 3000) as usize));
    vec![
        (format!("{shard}/counter").into_bytes(), n as i32, Some(n.to_string().into_bytes())),
        (name(n), n as i32, Some(value.into_bytes())),
        (name(n + 3), n as i32, None),
    ]
}

fn state_after(shard: usize, last: u64) -> BTreeMap<Vec<u8>, (i32, Vec<u8>)> {
    let mut state = BTreeMap::new();
    for n in 1..=last {
        for (name, version, value) in batch(shard, n) {
            match value {
                Some(value) => state.insert(name, (version, value)),
                None => state.remove(&name),
            };
        }
    }
    state
}

fn send(rig: &mut Rig, shard: usize, n: u64) {
    let writes = batch(shard, n);
    let writes: Vec<Write> =
        writes.iter().map(|(name, version, value)| (&name[..], *version, value.as_deref())).collect();
    rig.send(shard, n, &writes);
}

/// Not a test of its own: the process that is killed.
#[test]
fn child_that_is_killed() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let arguments: Vec<_> = arguments.split('|').collect();
    let durability = if arguments[1] == "always" { Durability::Always } else { Durability::None };
    let mut rig = Rig::open(arguments[0].as_ref(), durability, SHARDS);
    let mut next: Vec<u64> = arguments[2..].iter().map(|n| n.parse().unwrap()).collect();
    let mut out = std::io::stdout();
    loop {
        for (shard, n) in next.iter().enumerate() {
            send(&mut rig, shard, *n);
        }
        for (shard, n) in next.iter_mut().enumerate() {
            rig.written(shard).unwrap();
            writeln!(out, "\nacknowledged {shard} {n}").unwrap();
            out.flush().unwrap();
            *n += 1;
        }
    }
}

#[test]
fn every_acknowledged_batch_survives_kill_9_whole() {
    let path = directory("kill");
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut last = [0; SHARDS];
    for round in 0..ROUNDS {
        let durability = if round % 4 == 3 { "none" } else { "always" };
        let next = last.map(|n: u64| (n + 1).to_string()).join("|");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{}|{durability}|{next}", path.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round);
        let (acknowledgements, pause) = (1 + (random >> 33) % 60, Duration::from_micros((random >> 40) % 3000));
        let mut acknowledged = last;
        let mut seen = 0;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines {
            // What was written before the kill is read to its end: all of it was promised.
            let line = line.unwrap();
            let Some(rest) = line.strip_prefix("acknowledged ") else { continue };
            let (shard, n) = rest.split_once(' ').unwrap();
            acknowledged[shard.parse::<usize>().unwrap()] = n.parse().unwrap();
            seen += 1;
            if seen == acknowledgements {
                std::thread::sleep(pause); // The random point; nothing is waited for.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= acknowledgements, "round {round}: the child ended by itself after {seen}");
        last = check(&path, round, acknowledged);
    }
}

/// Compares the store with the model; gives the last batch of each shard that is in it.
fn check(path: &Path, round: u64, acknowledged: [u64; SHARDS]) -> [u64; SHARDS] {
    let mut rig = Rig::open(path, Durability::Always, SHARDS);
    let mut last = acknowledged;
    for shard in 0..SHARDS {
        let counter = rig.load(shard, format!("{shard}/counter").as_bytes()).unwrap();
        let n = counter.map_or(0, |counter| counter.version as u64);
        let expected = acknowledged[shard]..=acknowledged[shard] + 1;
        assert!(
            expected.contains(&n),
            "round {round} shard {shard}: batch {n} is the last, {expected:?} were expected"
        );
        let state = state_after(shard, n);
        for slot in 0..NAMES {
            let name = format!("{shard}/{slot}").into_bytes();
            let wanted = state.get(&name).and_then(|(version, value)| record(*version, value));
            assert_eq!(rig.load(shard, &name).unwrap(), wanted, "round {round} shard {shard} slot {slot} after {n}");
        }
        last[shard] = n;
    }
    last
}
