//! The contract of `src/storage/driver.rs`, tested with every driver: behind the server's own threads and lanes, and
//! once directly, for functions that only a cluster will use.

use crate::cluster;
use crate::rig::Rig;
use deepstream::storage::{self, Driver, Expected, Fence, Found, Kind, Late, Why, Write, Writer};
use deepstream_engine::{Completion, Fault, Stored, Ticket};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Far longer than anything here takes, so it only ends a hang.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A way to a store on which commits can be held up.
pub(crate) trait Detour {
    /// What is sent over the present connections does not get to the store any more.
    fn hold(&self);
    /// Whether a whole commit is held up.
    fn holds(&self) -> bool;
    /// Ends the connections for the driver. What it has sent is still on the way.
    fn cut(&self);
    /// Lets it arrive. Returns once the store has done all it does about it.
    fn release(&self);
}

/// A driver under test, and the means to disturb its store.
pub(crate) trait Subject {
    type Driver: Driver;

    /// A driver on the one store of this test: what one wrote, the next one reads.
    fn driver(&self) -> Self::Driver;

    /// A driver whose commits can be held up on their way. There is one for every store that others reach too.
    fn detour(&self) -> Option<(Self::Driver, Box<dyn Detour>)> {
        None
    }

    /// Makes the store unreachable for the driver, or reachable again. `false`: this one does not support that.
    fn away(&self, _away: bool) -> bool {
        false
    }
}

/// A record whose value is written as this test writes values: a store may keep JSON as such.
pub(crate) fn plain(Stored { version, value }: Stored) -> Stored {
    let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
    Stored { version, value: json.to_string().into_bytes() }
}

#[allow(clippy::unnecessary_wraps, reason = "it is compared with answers")]
pub(crate) fn record(version: i32, value: &[u8]) -> Option<Stored> {
    Some(plain(Stored { version, value: value.to_vec() }))
}

async fn load(driver: &impl Driver, names: &[&[u8]]) -> Vec<Found> {
    let found = driver.load(names).await.unwrap();
    found.into_iter().map(|found| found.map(|found| found.map(plain))).collect()
}

/// Somebody who has never entered anything.
fn somebody() -> Writer {
    static HOLDERS: AtomicU64 = AtomicU64::new(1);
    Writer { seat: 0, holder: HOLDERS.fetch_add(1, Ordering::Relaxed), turn: 1 }
}

/// Opens a store and enters it, whoever holds it.
pub(crate) async fn opened(driver: &impl Driver) -> Writer {
    let writer = somebody();
    driver.open().await.unwrap();
    assert_eq!(driver.enter(writer, true).await, Ok(true));
    writer
}

/// Runs a driver's own future.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

pub(crate) fn holds(subject: &impl Subject) {
    keeps_versions_values_and_removals(subject);
    keeps_hostile_names_apart_or_refuses_them(subject);
    keeps_big_groups_of_many_shards(subject);
    refuses_entries_one_by_one(subject);
    writes_under_a_condition(subject);
    writes_behind_a_fence(subject);
    keeps_one_mark(subject);
    tells_two_servers_apart(subject);
    lets_only_the_last_who_entered_write(subject);
    writes_nothing_late(subject);
    ends_with_work_in_flight(subject);
    goes_away_and_comes_back(subject);
    // Last: whoever comes after a cluster waits.
    cluster::holds(subject);
}

fn keeps_versions_values_and_removals(subject: &impl Subject) {
    let mut rig = Rig::open(subject, 1);
    let big = format!("\"{}\"", "x".repeat(1 << 20));
    let values: [&[u8]; 4] = [b"{}", br#"{"a":[1,2.5,null,"\u00e9"]}"#, b"[\"list\"]", big.as_bytes()];
    let names: [&[u8]; 4] = [b"kept/1", b"kept/2", b"plain", "kept/\u{1f600}".as_bytes()];
    for version in [1, i32::MAX, 0] {
        for (name, value) in names.iter().zip(values) {
            rig.store(0, &[(name, version, Some(value))]).unwrap();
        }
        let found = rig.load(0, &names);
        assert_eq!(found, values.map(|value| Ok(record(version, value))), "version {version}");
    }
    rig.store(0, &[(b"kept/1", 5, None), (b"plain", 2, Some(b"1")), (b"kept/never", 1, None)]).unwrap();
    drop(rig);
    let mut rig = Rig::open(subject, 1);
    let found = rig.load(0, &[b"kept/1", b"plain", b"kept/never", b"kept/2", b"kept/2"]);
    let two = Ok(record(0, values[1]));
    assert_eq!(found, [Ok(None), Ok(record(2, b"1")), Ok(None), two.clone(), two], "opened again");
}

fn keeps_hostile_names_apart_or_refuses_them(subject: &impl Subject) {
    let mut rig = Rig::open(subject, 1);
    let long = [b"t/".to_vec(), vec![b'n'; 700]].concat();
    let longer = [long.clone(), b"!".to_vec()].concat();
    let names: Vec<&[u8]> = vec![
        b"a",
        b"A",
        b"a ",
        b" a",
        b"a/b",
        b"a//b",
        b"a/b/",
        b"a;b",
        b"ab",
        b"a\"b",
        b"a'b",
        b"a\\b",
        b"a\0b",
        b"a%b",
        b"a_b",
        b"a.b",
        b"a:b",
        b"a/$b",
        b"default/a",
        b"a\n",
        b"\xff",
        b"\xfe",
        "\u{e9}".as_bytes(),
        "e\u{301}".as_bytes(),
        b"",
        b"/a",
        b"a/",
        &long,
        &longer,
    ];
    let values: Vec<Vec<u8>> = (0..names.len()).map(|n| n.to_string().into_bytes()).collect();
    let writes: Vec<_> =
        names.iter().zip(&values).zip(1..).map(|((name, value), n)| (*name, n, Some(&**value))).collect();
    let refused: Vec<u32> = match rig.store(0, &writes) {
        Ok(()) => Vec::new(),
        Err(Fault::Refused(refused)) => refused.iter().map(|refusal| refusal.entry).collect(),
        Err(fault) => panic!("{fault:?}"),
    };
    for (n, found) in (0..).zip(rig.load(0, &names)) {
        let name = String::from_utf8_lossy(names[n as usize]);
        if refused.contains(&n) {
            assert!(matches!(found, Err(Fault::Unstorable(_))), "{name:?}: {found:?}");
        } else {
            assert_eq!(found, Ok(record(n as i32 + 1, &values[n as usize])), "{name:?}");
        }
    }
    let gone: Vec<_> = names.iter().map(|name| (*name, 1, None)).collect();
    rig.store(0, &gone).expect("a removal of what cannot be there is done");
    for found in rig.load(0, &names) {
        assert!(matches!(found, Ok(None) | Err(Fault::Unstorable(_))), "{found:?}");
    }
}

fn keeps_big_groups_of_many_shards(subject: &impl Subject) {
    const RECORDS: usize = 1000;
    let mut rig = Rig::open(subject, 4);
    let names: Vec<Vec<String>> =
        (0..4).map(|s| (0..RECORDS).map(|n| format!("big{}/{s}.{n}", n % 3)).collect()).collect();
    for round in 1..4 {
        for (shard, names) in names.iter().enumerate() {
            let writes: Vec<_> = names.iter().map(|name| (name.as_bytes(), round, Some(&b"{\"big\":1}"[..]))).collect();
            rig.send(shard, &writes);
        }
        for shard in 0..4 {
            rig.written(shard).unwrap();
        }
    }
    for (shard, names) in names.iter().enumerate() {
        let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        assert!(rig.load(shard, &names).iter().all(|found| *found == Ok(record(3, b"{\"big\":1}"))));
    }
    let counters = rig.storage.counters();
    assert_eq!((counters.batches, counters.records, counters.loads), (12, 12_000, 4000));
    assert!(counters.commits <= counters.batches, "{counters:?}");
}

fn refuses_entries_one_by_one(subject: &impl Subject) {
    let mut rig = Rig::open(subject, 1);
    // Longer than any store takes.
    let long = vec![b'n'; 70_000];
    let (bad, good) = (&*long, Some(&b"{}"[..]));
    let answer = rig.store(0, &[(b"one/1", 1, good), (bad, 1, good), (b"one/2", 1, good), (bad, 2, None)]);
    let Err(Fault::Refused(refused)) = answer else { panic!("{answer:?}") };
    assert_eq!(refused.iter().map(|refusal| refusal.entry).collect::<Vec<_>>(), [1]);
    assert!(!refused[0].why.words().is_empty());
    assert_eq!(rig.load(0, &[b"one/1", b"one/2"]), [Ok(record(1, b"{}")), Ok(record(1, b"{}"))]);
}

fn writes_under_a_condition(subject: &impl Subject) {
    let conflict = |entry| storage::Refused { entry, why: Why::Conflict };
    let write = |name: &'static str, version, value: Option<&'static str>, expected| Write {
        name: name.as_bytes(),
        version,
        value: value.map(str::as_bytes),
        expected,
        fence: None,
    };
    let driver = subject.driver();
    run(async {
        opened(&driver).await;
        let group = [
            write("if/new", 1, Some("{\"n\":1}"), Expected::Nothing),
            write("if/other", 1, Some("{\"o\":1}"), Expected::Anything),
            write("if/gone", 1, None, Expected::Version(3)),
            write("nowhere/x", 2, Some("{}"), Expected::Version(1)),
        ];
        assert_eq!(driver.commit(&group).await, Ok(vec![conflict(3)]));
        // Done again, as after an answer that was lost, it is done.
        assert_eq!(driver.commit(&group).await, Ok(vec![conflict(3)]));
        let group = [
            write("if/new", 2, Some("{\"n\":2}"), Expected::Version(1)),
            write("if/other", 7, Some("{\"o\":7}"), Expected::Version(6)),
            write("if/third", 1, Some("{}"), Expected::Nothing),
        ];
        assert_eq!(driver.commit(&group).await, Ok(vec![conflict(1)]), "of two writers one is too late");
        assert_eq!(driver.commit(&group).await, Ok(vec![conflict(1)]));
        let found = load(&driver, &[b"if/new", b"if/other", b"if/third", b"nowhere/x"]).await;
        let third = Ok(record(1, b"{}"));
        assert_eq!(found, [Ok(record(2, b"{\"n\":2}")), Ok(record(1, b"{\"o\":1}")), third, Ok(None)]);
        let late = [
            write("if/new", 9, Some("{\"n\":9}"), Expected::Nothing),
            write("if/other", 9, None, Expected::Version(2)),
            write("if/third", 9, None, Expected::Version(1)),
        ];
        let mut refused = driver.commit(&late).await.unwrap();
        refused.sort_by_key(|refused| refused.entry);
        assert_eq!(refused, [conflict(0), conflict(1)]);
        let found = load(&driver, &[b"if/new", b"if/other", b"if/third"]).await;
        assert_eq!(found, [Ok(record(2, b"{\"n\":2}")), Ok(record(1, b"{\"o\":1}")), Ok(None)]);
        driver.close().await;
        assert!(driver.commit(&group).await.is_err(), "it is closed");
        assert!(driver.load(&[b"if/new"]).await.is_err(), "it is closed");
    });
}

fn writes_behind_a_fence(subject: &impl Subject) {
    let deposed = |entry| storage::Refused { entry, why: Why::Deposed };
    let write = |name: &'static str, version, slot, generation| Write {
        name: name.as_bytes(),
        version,
        value: Some(b"{}"),
        expected: Expected::Anything,
        fence: Some(Fence { slot, generation }),
    };
    let driver = subject.driver();
    run(async {
        opened(&driver).await;
        let early = [write("fenced/a", 1, 7, 0), write("fenced/b", 1, 7, 3)];
        assert_eq!(driver.commit(&early).await, Ok(vec![deposed(0), deposed(1)]), "nobody claimed the slot");
        assert_eq!(driver.claim(&[7, 4095], 3).await, Ok(vec![]));
        assert_eq!(driver.claim(&[7], 3).await, Ok(vec![]), "done again, it is done");
        assert_eq!(
            driver.claim(&[7, 8, 0], 2).await,
            Ok(vec![Late { slot: 7, held: 3 }]),
            "it is too late for that one only"
        );
        let group = [
            write("fenced/a", 1, 7, 3),
            write("fenced/b", 2, 7, 2),
            write("fenced/c", 3, 8, 2),
            write("fenced/d", 4, 7, 4),
            write("fenced/e", 5, 9, 3),
            Write { fence: None, ..write("fenced/f", 6, 0, 0) },
            Write { value: None, ..write("fenced/a", 7, 0, 1) },
        ];
        let mut refused = driver.commit(&group[..6]).await.unwrap();
        refused.sort_by_key(|refused| refused.entry);
        assert_eq!(refused, [deposed(1), deposed(3), deposed(4)]);
        assert_eq!(driver.commit(&group[6..]).await, Ok(vec![deposed(0)]), "nor is anything removed");
        let names: [&[u8]; 6] = [b"fenced/a", b"fenced/b", b"fenced/c", b"fenced/d", b"fenced/e", b"fenced/f"];
        let versions = |found: Vec<Found>| -> Vec<Option<i32>> {
            found.into_iter().map(|found| found.unwrap().map(|stored| stored.version)).collect()
        };
        let kept = [Some(1), None, Some(3), None, None, Some(6)];
        assert_eq!(versions(load(&driver, &names).await), kept);
        // What is done already is not done again by whoever does not own it any more.
        assert_eq!(driver.claim(&[7], 4).await, Ok(vec![]));
        assert_eq!(driver.commit(&group[..1]).await, Ok(vec![deposed(0)]));
        let both = [
            Write { expected: Expected::Version(9), ..write("fenced/a", 2, 7, 4) },
            Write { expected: Expected::Version(3), ..write("fenced/c", 4, 8, 2) },
        ];
        assert_eq!(driver.commit(&both).await, Ok(vec![storage::Refused { entry: 0, why: Why::Conflict }]));
        driver.close().await;
        assert!(driver.claim(&[7], 5).await.is_err(), "it is closed");
        let again = subject.driver();
        opened(&again).await;
        assert_eq!(again.commit(&[write("fenced/a", 8, 7, 3)]).await, Ok(vec![deposed(0)]), "claims last");
        assert_eq!(again.commit(&[write("fenced/a", 9, 7, 4)]).await, Ok(vec![]));
        assert_eq!(versions(load(&again, &names[..3]).await), [Some(9), None, Some(4)]);
        again.close().await;
    });
}

/// A write of the one record that several write.
fn contended(version: i32) -> [Write<'static>; 1] {
    [Write { name: b"contended", version, value: Some(b"{}"), expected: Expected::Anything, fence: None }]
}

fn keeps_one_mark<S: Subject>(subject: &S) {
    if !S::Driver::MANNER.shared {
        return;
    }
    let (one, other) = (subject.driver(), subject.driver());
    let mark = |text: &str| Ok(Some(text.as_bytes().to_vec()));
    run(async {
        assert!(one.keep(None, b"a").await.is_err(), "it is not open");
        one.open().await.unwrap();
        other.open().await.unwrap();
        // What the servers of the tests before this one have left there.
        let there = one.keep(None, b"a").await.unwrap().unwrap();
        assert_eq!(one.keep(Some(&there), b"a\0\xff").await, Ok(Some(b"a\0\xff".to_vec())), "any bytes");
        assert_eq!(other.keep(None, b"b").await, Ok(Some(b"a\0\xff".to_vec())), "something is there");
        assert_eq!(other.keep(Some(b"a"), b"b").await, Ok(Some(b"a\0\xff".to_vec())), "something else");
        assert_eq!(other.keep(Some(b"a\0\xff"), b"b").await, mark("b"));
        assert_eq!(one.keep(Some(b"a\0\xff"), b"c").await, mark("b"), "one of two succeeds");
        assert_eq!(one.keep(Some(b"b"), &there).await, Ok(Some(there)));
        one.close().await;
        other.close().await;
    });
}

fn tells_two_servers_apart<S: Subject>(subject: &S) {
    if !S::Driver::MANNER.shared {
        return;
    }
    let mut first = Rig::open(subject, 1);
    let refused = Rig::begin(subject, 1, "other", None).err().expect("the first lives");
    assert!(refused.what.starts_with("the server test on ") && refused.what.ends_with("writes to it"), "{refused}");
    first.store(0, &[(b"apart", 1, Some(b"{}"))]).expect("for the first nothing has changed");
}

fn lets_only_the_last_who_entered_write<S: Subject>(subject: &S) {
    if !S::Driver::MANNER.shared {
        return;
    }
    let (first, second) = (subject.driver(), subject.driver());
    let is_shut = |result: Result<_, storage::Trouble>| matches!(result, Err(trouble) if trouble.kind == Kind::Away);
    run(async {
        first.open().await.unwrap();
        assert!(is_shut(first.commit(&contended(1)).await), "it has not entered");
        let one = opened(&first).await;
        assert_eq!(first.commit(&contended(2)).await, Ok(vec![]));
        assert_eq!(first.enter(one, false).await, Ok(true), "done again, it is done");
        assert_eq!(first.commit(&contended(3)).await, Ok(vec![]));
        second.open().await.unwrap();
        let two = Writer { turn: 2, ..somebody() };
        assert_eq!(second.enter(two, false).await, Ok(false), "somebody holds it");
        assert!(is_shut(second.commit(&contended(4)).await));
        assert_eq!(first.commit(&contended(5)).await, Ok(vec![]), "nothing has changed for that one");
        assert_eq!(second.enter(two, true).await, Ok(true));
        assert!(is_shut(first.commit(&contended(6)).await), "it was put out");
        first.open().await.unwrap();
        assert_eq!(first.enter(Writer { turn: 2, ..one }, false).await, Ok(false), "and does not come back");
        assert!(is_shut(first.commit(&contended(7)).await));
        assert_eq!(second.enter(Writer { turn: 1, ..two }, true).await, Ok(false), "that turn is over");
        assert_eq!(second.enter(two, true).await, Ok(true));
        assert_eq!(second.commit(&contended(8)).await, Ok(vec![]));
        let beside = Writer { seat: 1, turn: 3, ..one };
        assert_eq!(first.enter(beside, false).await, Ok(true), "another seat is free");
        assert_eq!(first.commit(&contended(9)).await, Ok(vec![]));
        assert_eq!(second.commit(&contended(10)).await, Ok(vec![]), "and they do not disturb each other");
        assert_eq!(load(&first, &[b"contended"]).await, [Ok(record(10, b"{}"))]);
        first.close().await;
        second.close().await;
    });
}

/// A commit whose time is up is repeated over a new connection, acknowledged and overtaken. Then it arrives.
fn writes_nothing_late<S: Subject>(subject: &S) {
    let Some((driver, detour)) = subject.detour() else {
        return assert!(!S::Driver::MANNER.shared, "its commits can be held up");
    };
    run(async {
        let mut writer = opened(&driver).await;
        assert_eq!(driver.commit(&contended(1)).await, Ok(vec![]));
        detour.hold();
        let deadline = Instant::now() + PATIENCE;
        {
            let group = contended(2);
            let mut sent = pin!(driver.commit(&group));
            while !detour.holds() {
                assert!(Instant::now() < deadline, "it is sent");
                let answered = tokio::time::timeout(Duration::from_millis(1), sent.as_mut()).await;
                assert!(answered.is_err(), "it cannot be answered: {answered:?}");
            }
        }
        detour.cut();
        // It may take a while until the driver notices.
        loop {
            assert!(Instant::now() < deadline, "it comes back");
            writer.turn += 1;
            if driver.open().await.is_ok()
                && driver.enter(writer, false).await == Ok(true)
                && driver.commit(&contended(2)).await == Ok(vec![])
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(driver.commit(&contended(3)).await, Ok(vec![]));
        detour.release();
        assert_eq!(load(&driver, &[b"contended"]).await, [Ok(record(3, b"{}"))], "what was acknowledged stays");
        assert_eq!(driver.commit(&contended(4)).await, Ok(vec![]), "and nobody was put out by it");
        driver.close().await;
    });
}

fn ends_with_work_in_flight(subject: &impl Subject) {
    let mut rig = Rig::open(subject, 2);
    rig.send(0, &[(b"end/a", 7, Some(b"{}"))]);
    rig.send(1, &[(b"end/b", 8, Some(b"{}"))]);
    rig.clients[0].load(Ticket(3), (*b"end/none").into());
    let Rig { storage, mut clients, .. } = rig;
    drop(storage);
    let mut answers = Vec::new();
    for client in &mut clients {
        client.poll(&mut |outcome, _| answers.push(outcome));
        assert!(!client.has_answers());
        client.load(Ticket(4), (*b"end/a").into());
        client.poll(&mut |outcome, _| assert!(matches!(outcome, Completion::Loaded { result: Err(_), .. })));
    }
    let well = answers.iter().filter(|answer| match answer {
        Completion::Stored { result: Ok(()), .. } | Completion::Loaded { result: Ok(None), .. } => true,
        other => panic!("{other:?}"),
    });
    assert_eq!(well.count(), 3);
    let found = Rig::open(subject, 1).load(0, &[b"end/a", b"end/b"]);
    assert_eq!(found, [Ok(record(7, b"{}")), Ok(record(8, b"{}"))]);
}

fn goes_away_and_comes_back(subject: &impl Subject) {
    let mut rig = Rig::open(subject, 2);
    rig.store(0, &[(b"away/a", 1, Some(b"{}"))]).unwrap();
    if !subject.away(true) {
        return;
    }
    rig.send(0, &[(b"away/a", 2, Some(b"{}"))]);
    let found = rig.load(1, &[b"away/a"]).remove(0);
    assert!(matches!(found, Err(Fault::Timeout | Fault::Failed(_))), "{found:?}");
    subject.away(false);
    // Whoever waits was waited for; whoever does not comes back, as the engine does.
    let mut answer = rig.written(0);
    let deadline = Instant::now() + PATIENCE;
    while answer.is_err() {
        assert!(Instant::now() < deadline, "{answer:?}");
        answer = rig.store(0, &[(b"away/a", 2, Some(b"{}"))]);
    }
    assert_eq!(rig.load(1, &[b"away/a"]), [Ok(record(2, b"{}"))]);
    assert!(rig.storage.counters().reopens > 0);
}
