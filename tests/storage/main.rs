//! The embedded store on a real disk: what was answered is there, whatever happens in between.

mod crash;
mod damage;
mod disk;
mod earlier;
mod hostile;
mod images;
mod moved;
mod random;
mod rig;

use deepstream::connector::embedded::Durability;
use deepstream::storage::LOADS_MAX;
use deepstream_engine::{Completion, Fault, Stored, Ticket};
use rig::{Rig, directory, record};
use std::time::Duration;

#[test]
fn records_come_back_and_removed_ones_do_not() {
    let path = directory("round-trip");
    let mut rig = Rig::open(&path, Durability::Always, 1);
    let long_name = vec![b'n'; 65_535];
    let big = vec![b'x'; 3 << 20];
    let names: [&[u8]; 4] = [b"a", b"\x00\xff\n", &long_name, "\u{1f600}/ü".as_bytes()];
    let values: [&[u8]; 4] = [b"{}", b"", b"[1]", &big];
    for (version, (name, value)) in names.iter().zip(values).enumerate() {
        rig.store(0, &[(name, version as i32, Some(value))]).unwrap();
    }
    rig.store(0, &[(b"a", 9, None), (b"b", i32::MAX, Some(b"1")), (b"c", 0, None)]).unwrap();
    for round in ["running", "opened again"] {
        assert_eq!(rig.load(0, b"a").unwrap(), None, "{round}");
        assert_eq!(rig.load(0, b"b").unwrap(), record(i32::MAX, b"1"), "{round}");
        for version in 1..4 {
            assert_eq!(rig.load(0, names[version]).unwrap(), record(version as i32, values[version]), "{round}");
        }
        rig.stop();
        rig = Rig::open(&path, Durability::Always, 1);
    }
}

#[test]
fn names_the_database_cannot_take_are_refused_and_keep_no_others_from_being_stored() {
    let mut rig = Rig::open(&directory("names"), Durability::Always, 1);
    for (version, (bad, words)) in
        (1..).zip([(&b""[..], "it is empty"), (&vec![b'n'; 65_536], "more than 65535 bytes")])
    {
        let entries =
            [(&b"good"[..], version, Some(&b"{}"[..])), (bad, 1, Some(b"{}")), (b"fine", version, Some(b"{}"))];
        let Err(Fault::Refused(refused)) = rig.store(0, &entries) else { panic!("it is refused") };
        assert_eq!(refused.iter().map(|refusal| refusal.entry).collect::<Vec<_>>(), [1]);
        let why = refused[0].why.words();
        assert!(why.contains(words), "{why}");
        let unstorable = rig.load(0, bad);
        assert_eq!(unstorable, Err(Fault::Unstorable(why.to_owned())));
        for good in [b"good", b"fine"] {
            assert_eq!(rig.load(0, good).unwrap(), record(version, b"{}"));
        }
        rig.store(0, &[(bad, 0, None)]).expect("a removal of what cannot be there is done");
    }
}

#[test]
fn batches_of_two_shards_that_wait_together_share_one_fsync() {
    let mut rig = Rig::open(&directory("group"), Durability::Always, 8);
    // While the first commit runs, the others gather behind it: far fewer fsyncs than batches, whatever the timing.
    for round in 0..200 {
        for shard in 0..8 {
            rig.send(shard, round, &[(format!("{shard}").as_bytes(), round as i32, Some(b"{}"))]);
        }
        for shard in 0..8 {
            rig.written(shard).unwrap();
        }
    }
    let counters = rig.storage.counters();
    assert_eq!(counters.batches, 1600);
    assert_eq!(counters.records, 1600);
    assert_eq!(counters.syncs, counters.commits, "one fsync per commit");
    assert!(counters.syncs < 1200, "{counters:?}");
}

#[test]
fn interval_answers_first_and_syncs_later_and_none_never_syncs_while_it_runs() {
    let mut rig = Rig::open(&directory("interval"), Durability::Interval(Duration::from_millis(20)), 1);
    rig.store(0, &[(b"a", 1, Some(b"{}"))]).unwrap();
    rig.until(|rig| rig.storage.counters().syncs == 1);
    rig.store(0, &[(b"a", 2, Some(b"{}"))]).unwrap();
    rig.until(|rig| rig.storage.counters().syncs == 2);

    let path = directory("none");
    let mut rig = Rig::open(&path, Durability::None, 1);
    for version in 0..50 {
        rig.store(0, &[(b"a", version, Some(b"{}"))]).unwrap();
    }
    assert_eq!(rig.storage.counters().syncs, 0);
    rig.stop();
    assert_eq!(Rig::open(&path, Durability::None, 1).load(0, b"a").unwrap(), record(49, b"{}"));
}

#[test]
fn one_load_too_many_is_answered_with_a_fault_at_once() {
    let mut rig = Rig::open(&directory("full"), Durability::Always, 1);
    rig.store(0, &[(b"a", 1, Some(b"{}"))]).unwrap();
    // Never polled in between, so the reader's answers count as on their way.
    for ticket in 0..=LOADS_MAX as u64 {
        rig.storage.clients[0].load(Ticket(ticket), (*b"a").into());
    }
    assert!(rig.storage.clients[0].has_answers());
    let mut answers = Vec::new();
    while answers.len() <= LOADS_MAX {
        rig.wait_for_answers(0);
        rig.storage.clients[0].poll(&mut |outcome, _| answers.push(outcome));
    }
    assert_eq!(answers.len(), LOADS_MAX + 1);
    let mut refused = 0;
    for answer in answers {
        let Completion::Loaded { ticket, result } = answer else { panic!("{answer:?}") };
        if result == Err(Fault::Failed("storage queue is full".into())) {
            assert_eq!(ticket, Ticket(LOADS_MAX as u64));
            refused += 1;
        } else {
            assert_eq!(result.unwrap(), Some(Stored { version: 1, value: b"{}".to_vec() }));
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(rig.load(0, b"a").unwrap(), record(1, b"{}"), "and it goes on");
}

#[test]
fn stopping_writes_what_was_handed_over_and_answers_later_asks_with_faults() {
    let path = directory("stop");
    let mut rig = Rig::open(&path, Durability::None, 2);
    rig.send(0, 7, &[(b"a", 7, Some(b"{}"))]);
    rig.send(1, 8, &[(b"b", 8, Some(b"{}"))]);
    let mut clients = std::mem::take(&mut rig.storage.clients);
    rig.stop();
    for (client, ticket) in clients.iter_mut().zip([7, 8]) {
        client.poll(&mut |outcome, batch| {
            assert!(matches!(outcome, Completion::Stored { ticket: Ticket(t), result: Ok(()) } if t == ticket));
            assert!(batch.unwrap().entries.is_empty());
        });
        client.load(Ticket(1), (*b"a").into());
        assert!(client.has_answers());
        client.poll(&mut |outcome, _| assert!(matches!(outcome, Completion::Loaded { result: Err(_), .. })));
        assert!(!client.has_answers());
    }
    let mut rig = Rig::open(&path, Durability::None, 2);
    assert_eq!(rig.load(0, b"a").unwrap(), record(7, b"{}"));
    assert_eq!(rig.load(1, b"b").unwrap(), record(8, b"{}"));
}

#[test]
fn threads_run_on_the_cpus_they_are_given_and_impossible_ones_are_refused() {
    let path = directory("cpus");
    let mut rig = Rig::try_open_on(&path, Durability::Always, 1, vec![0]).unwrap();
    rig.store(0, &[(b"a", 1, Some(b"{}"))]).unwrap();
    let mut pinned = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        let name = status.lines().next().unwrap_or_default().trim_start_matches("Name:").trim();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::trim);
        // Other tests run stores of their own, which are not pinned.
        pinned += usize::from(["storage", "storage-read", "fjall:worker"].contains(&name) && allowed == Some("0"));
    }
    assert!(pinned >= 4, "writer, reader and two workers of the database: {pinned}");
    for cpus in [vec![1023], vec![100_000]] {
        let error = Rig::try_open_on(&directory("no-cpus"), Durability::Always, 1, cpus).map(Rig::stop).unwrap_err();
        assert!(error.to_string().contains("configure CPUs that this machine has"), "{error}");
    }
}
