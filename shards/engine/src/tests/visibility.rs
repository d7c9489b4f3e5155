//! Where changes are seen only once they are stored: what waits, in which order it comes, and what becomes of it if it never does.

use super::permit::OPEN;
use super::rig::{Disk, Rig, about, acked, bulk, patch, patient, permissions, update};
use crate::{ConnId, Limits, Options, Visibility};
use deepstream_wire::{Action, Flags, Outgoing, binary, encode};
use std::sync::Arc;

const TIMEOUT_NS: u64 = 2_000_000_000;

fn options() -> Options {
    Options { visibility: Visibility::Stored, storage_timeout_ns: TIMEOUT_NS, ..patient() }
}

fn stored(cores: u16) -> Rig {
    Rig::with(cores, &options())
}

fn create<'a>(name: &'a str, data: &'a str) -> Outgoing<'a> {
    Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, data) }
}

fn ack(name: &str, id: &str) -> String {
    format!("RECORD.WRITE_ACKNOWLEDGEMENT name={name} id={id} write-ack")
}

fn head<'a>(name: &'a str, id: &'a str) -> Outgoing<'a> {
    Outgoing { correlation_id: Some(id.as_bytes()), ..about(Action::RecordHead, name) }
}

/// Somebody subscribes, so that it is known that there is no such record, and nothing has to be loaded.
fn keep(rig: &mut Rig, core: usize, name: &str) {
    let keeper = rig.client(core);
    rig.send(keeper, &bulk(Action::RecordSubscribeAndRead, &[name.as_bytes()], "k"));
}

/// Subscribes to all records whose names fit.
fn subscribe_to_filter(rig: &mut Rig, conn: ConnId, filter: &str) {
    let mut payload = Vec::new();
    encode::encode_message(&bulk(Action::RecordSubscribe, &[filter.as_bytes()], "f"), &mut payload);
    let mut message = binary::messages(&payload).next().expect("one").expect("a message");
    message.head.flags.set(Flags::FILTER);
    let core = rig.core_of(conn);
    let _ = rig.shards[core].received(rig.now, conn, &message);
    rig.settle();
    rig.read(conn);
}

/// Nothing waits for storage on any shard.
fn assert_at_rest(rig: &Rig) {
    for shard in &rig.shards {
        let census = shard.census();
        let held = (census.unstored_answers, census.dirty_records, census.pending_write_acks, census.withheld);
        assert_eq!(held, (0, 0, 0, 0), "{census:?}");
    }
}

/// Where the asker is, as seen from the owner of the name: on its core, or on another.
fn near_and_far(mut test: impl FnMut(Rig, usize, String)) {
    for (cores, asker) in [(1, 0), (2, 0), (2, 1)] {
        let rig = stored(cores);
        let name = rig.name_on(0, "r");
        test(rig, asker, name);
    }
}

#[test]
fn nothing_is_seen_before_it_is_stored_and_then_all_of_it_in_order() {
    near_and_far(|mut rig, asker, name| {
        let (writer, watcher, reader) = (rig.client(asker), rig.client(asker), rig.client(asker));
        let names: &[&[u8]] = &[name.as_bytes()];
        rig.send(watcher, &bulk(Action::RecordSubscribeAndRead, names, "0"));
        subscribe_to_filter(&mut rig, reader, "#");
        rig.read(watcher);
        keep(&mut rig, asker, &name);
        rig.disk = Disk::Hangs;
        rig.send(writer, &acked(create(&name, "[1]"), "1"));
        rig.send(reader, &about(Action::RecordRead, &name));
        rig.send(writer, &acked(create(&name, "[2]"), "2"));
        rig.send(reader, &head(&name, "h"));
        // A conflict shows the record, too.
        rig.send(writer, &update(&name, 1, "[0]"));
        // As does being told of a change made by another program.
        rig.send(reader, &bulk(Action::RecordNotify, names, "n"));
        rig.send(reader, &bulk(Action::RecordSubscribe, names, "s"));
        for conn in [writer, watcher, reader] {
            assert_eq!(rig.read(conn), [""; 0]);
        }
        rig.unfreeze();
        let change =
            |version: i32, conn: &str| format!("RECORD.UPDATE name={name} data=[{version}]{conn} version={version}");
        assert_eq!(rig.read(watcher), [change(1, ""), change(2, ""), change(2, "")]);
        let conflict = format!("RECORD.VERSION_EXISTS name={name} data=[2] version=2 original=UPDATE");
        assert_eq!(rig.read(writer), [ack(&name, "1"), conflict, ack(&name, "2")]);
        let filtered = |version| change(version, " subscription=#");
        assert_eq!(
            rig.read(reader),
            [
                filtered(1),
                format!("RECORD.READ_RESPONSE name={name} data=[1] version=1"),
                filtered(2),
                format!("RECORD.HEAD_RESPONSE name={name} id=h version=2"),
                filtered(2),
                format!("RECORD.NOTIFY names={name} id=n ack"),
                "RECORD.SUBSCRIBE id=s ack".to_owned(),
            ]
        );
        assert_eq!(rig.stored[name.as_bytes()], (2, b"[2]".to_vec()));
        assert_at_rest(&rig);
        // From now on it is subscribed.
        rig.send(writer, &create(&name, "[3]"));
        assert_eq!(rig.read(reader).len(), 2);
    });
}

#[test]
fn a_reading_waits_for_its_own_version_and_not_for_a_moment_of_rest() {
    let mut rig = stored(1);
    let (writer, reader) = (rig.client(0), rig.client(0));
    keep(&mut rig, 0, "r");
    rig.disk = Disk::Hangs;
    rig.send(writer, &create("r", "[1]"));
    rig.send(reader, &about(Action::RecordRead, "r"));
    for number in 2..100 {
        rig.send(writer, &create("r", &format!("[{number}]")));
    }
    rig.send(reader, &about(Action::RecordRead, "r"));
    let stores = rig.shards[0].counters().stores;
    // Only the batch that is under way is answered, and the next hangs again.
    rig.answer_batches();
    assert_eq!(rig.read(reader), ["RECORD.READ_RESPONSE name=r data=[1] version=1"]);
    rig.answer_batches();
    assert_eq!(rig.read(reader), ["RECORD.READ_RESPONSE name=r data=[99] version=99"]);
    assert_eq!(rig.shards[0].counters().stores - stores, 1, "all that came meanwhile is one store");
    assert_at_rest(&rig);
}

#[test]
fn what_lives_in_memory_only_is_seen_at_once() {
    let prefixes = vec![b"memory/"[..].into()];
    let mut rig = Rig::with(1, &Options { storage_exclusion_prefixes: prefixes, ..options() });
    let (writer, watcher) = (rig.client(0), rig.client(0));
    rig.disk = Disk::Hangs;
    rig.send(watcher, &bulk(Action::RecordSubscribe, &[b"memory/a"], "0"));
    rig.read(watcher);
    rig.send(writer, &create("memory/a", "[1]"));
    assert_eq!(rig.read(watcher), ["RECORD.UPDATE name=memory/a data=[1] version=1"]);
}

#[test]
fn what_takes_too_long_is_answered_and_what_was_written_is_seen_when_it_is_stored() {
    near_and_far(|mut rig, asker, name| {
        let (writer, watcher, reader) = (rig.client(asker), rig.client(asker), rig.client(asker));
        let names: &[&[u8]] = &[name.as_bytes()];
        rig.send(watcher, &bulk(Action::RecordSubscribe, names, "0"));
        rig.read(watcher);
        keep(&mut rig, asker, &name);
        rig.disk = Disk::Hangs;
        rig.send(writer, &create(&name, "[1]"));
        rig.send(reader, &about(Action::RecordRead, &name));
        rig.send(reader, &head(&name, "h"));
        rig.send(reader, &bulk(Action::RecordSubscribeAndRead, names, "s"));
        rig.send(writer, &update(&name, 1, "[0]"));
        rig.read(reader);
        rig.pass(TIMEOUT_NS + TIMEOUT_NS / 2);
        let late = |more: &str| format!("RECORD.STORAGE_RETRIEVAL_TIMEOUT name={name} {more} error");
        let told = rig.read(reader);
        assert_eq!(told, [late("original=READ"), late("id=h original=HEAD"), late("original=SUBSCRIBEANDREAD")]);
        assert_eq!(rig.read(writer), [format!("RECORD.RECORD_UPDATE_ERROR name={name} original=UPDATE error")]);
        assert_eq!(rig.read(watcher), [""; 0]);
        rig.unfreeze();
        assert_eq!(rig.read(watcher), [format!("RECORD.UPDATE name={name} data=[1] version=1")]);
        // Who was told that it took too long is not subscribed, here nor there.
        assert_eq!(rig.read(reader), [""; 0]);
        rig.send(writer, &create(&name, "[2]"));
        assert_eq!(rig.read(reader), [""; 0]);
        rig.send(reader, &bulk(Action::RecordSubscribe, names, "t"));
        assert_eq!(rig.read(reader), ["RECORD.SUBSCRIBE id=t ack"]);
        assert_at_rest(&rig);
    });
}

#[test]
fn what_failed_is_seen_when_it_is_stored_in_the_end() {
    let mut rig = stored(1);
    let (writer, watcher) = (rig.client(0), rig.client(0));
    rig.send(watcher, &bulk(Action::RecordSubscribe, &[b"r"], "0"));
    rig.read(watcher);
    keep(&mut rig, 0, "r");
    rig.disk = Disk::Fails;
    rig.send(writer, &acked(create("r", "[1]"), "1"));
    assert_eq!(rig.read(writer), ["RECORD.RECORD_UPDATE_ERROR name=r id=1 error write-ack"]);
    rig.send(watcher, &about(Action::RecordRead, "r"));
    for _ in 0..20 {
        rig.pass(TIMEOUT_NS / 10);
    }
    assert_eq!(rig.read(watcher), ["RECORD.STORAGE_RETRIEVAL_TIMEOUT name=r original=READ error"]);
    rig.disk = Disk::Works;
    rig.pass(TIMEOUT_NS);
    assert_eq!(rig.read(watcher), ["RECORD.UPDATE name=r data=[1] version=1"]);
    assert_at_rest(&rig);
}

#[test]
fn what_storage_never_takes_was_never_there() {
    near_and_far(|mut rig, asker, _| {
        let name = rig.name_on(0, "bad");
        let (writer, watcher, reader) = (rig.client(asker), rig.client(asker), rig.client(asker));
        let names: &[&[u8]] = &[name.as_bytes()];
        rig.stored.insert(name.clone().into_bytes(), (4, b"[4]".to_vec()));
        rig.send(watcher, &bulk(Action::RecordSubscribeAndRead, names, "0"));
        rig.read(watcher);
        rig.disk = Disk::Hangs;
        rig.send(writer, &update(&name, 5, "[5]"));
        rig.send(reader, &about(Action::RecordRead, &name));
        rig.send(writer, &acked(update(&name, 6, "[6]"), "6"));
        rig.send(reader, &bulk(Action::RecordSubscribeAndRead, names, "s"));
        rig.send(reader, &head(&name, "h"));
        rig.read(reader);
        rig.unfreeze_to(Disk::Refuses);
        let why = r#"data="it is \"bad\"""#;
        let mut told = rig.read(writer);
        told.sort();
        let lost = format!("RECORD.RECORD_UPDATE_ERROR name={name} {why}");
        assert_eq!(told, [format!("{lost} id=6 error write-ack"), format!("{lost} original=UPDATE error")]);
        assert_eq!(rig.read(watcher), [""; 0], "nobody saw it");
        let read = format!("RECORD.READ_RESPONSE name={name} data=[4] version=4");
        let version = format!("RECORD.HEAD_RESPONSE name={name} id=h version=4");
        assert_eq!(rig.read(reader), [read.clone(), read, version], "done again, on what there is");
        assert_at_rest(&rig);
        // Who was subscribed is, once.
        rig.disk = Disk::Works;
        rig.send(writer, &update(&name, 5, "[7]"));
        for conn in [watcher, reader] {
            assert_eq!(rig.read(conn), [format!("RECORD.UPDATE name={name} data=[7] version=5")]);
        }
    });
}

/// The answer to a commit was lost, and then storage refuses what the record has become since.
#[test]
fn what_storage_has_in_spite_of_an_answer_is_told_once_it_is_known() {
    near_and_far(|mut rig, asker, _| {
        let name = rig.name_on(0, "bad");
        let (writer, watcher) = (rig.client(asker), rig.client(asker));
        rig.stored.insert(name.clone().into_bytes(), (4, b"[4]".to_vec()));
        rig.send(watcher, &bulk(Action::RecordSubscribeAndRead, &[name.as_bytes()], "0"));
        rig.read(watcher);
        rig.disk = Disk::Fails;
        rig.send(writer, &update(&name, 5, "[5]"));
        rig.send(writer, &update(&name, 6, "[6]"));
        rig.stored.insert(name.clone().into_bytes(), (5, b"[5]".to_vec()));
        assert_eq!(rig.read(watcher), [""; 0]);
        rig.disk = Disk::Refuses;
        rig.pass(TIMEOUT_NS);
        let lost = format!(r#"RECORD.RECORD_UPDATE_ERROR name={name} data="it is \"bad\"" original=UPDATE error"#);
        assert_eq!(rig.read(writer), [lost.clone(), lost], "neither was confirmed");
        assert_eq!(rig.read(watcher), [format!("RECORD.UPDATE name={name} data=[5] version=5")]);
        assert_at_rest(&rig);
    });
}

#[test]
fn a_deletion_is_told_behind_what_was_written_before_it() {
    near_and_far(|mut rig, asker, name| {
        let (writer, watcher) = (rig.client(asker), rig.client(asker));
        rig.send(watcher, &bulk(Action::RecordSubscribe, &[name.as_bytes()], "0"));
        rig.read(watcher);
        keep(&mut rig, asker, &name);
        rig.disk = Disk::Hangs;
        rig.send(writer, &create(&name, "[1]"));
        rig.send(writer, &create(&name, "[2]"));
        rig.send(writer, &about(Action::RecordDelete, &name));
        rig.send(writer, &create(&name, "[9]"));
        assert_eq!((rig.read(writer).len(), rig.read(watcher).len()), (0, 0));
        rig.unfreeze();
        let change = |version: i32| format!("RECORD.UPDATE name={name} data=[{version}] version={version}");
        assert_eq!(rig.read(watcher), [change(1), change(2), format!("RECORD.DELETED name={name}")]);
        assert_eq!(rig.read(writer), [format!("RECORD.DELETE_SUCCESS name={name}")]);
        assert_eq!(rig.stored[name.as_bytes()], (1, b"[9]".to_vec()));
        assert_at_rest(&rig);
    });
}

#[test]
fn who_left_meanwhile_is_told_nothing_and_counts_no_more() {
    near_and_far(|mut rig, asker, name| {
        let (writer, comer, goer) = (rig.client(asker), rig.client(asker), rig.client(asker));
        let names: &[&[u8]] = &[name.as_bytes()];
        keep(&mut rig, asker, &name);
        rig.disk = Disk::Hangs;
        rig.send(writer, &create(&name, "[1]"));
        for conn in [comer, goer] {
            rig.send(conn, &bulk(Action::RecordSubscribeAndRead, names, "0"));
        }
        rig.send(comer, &bulk(Action::RecordUnsubscribe, names, "1"));
        rig.drop_client(goer);
        rig.read(comer);
        rig.unfreeze();
        assert_eq!(rig.read(comer), [format!("RECORD.READ_RESPONSE name={name} data=[1] version=1")]);
        rig.send(writer, &create(&name, "[2]"));
        assert_eq!(rig.read(comer), [""; 0]);
        assert_at_rest(&rig);
        rig.drop_client(comer);
        rig.drop_client(writer);
        let members = rig.shards.iter().map(|shard| shard.census().edge_members).sum::<usize>();
        assert_eq!(members, 1, "who keeps it");
    });
}

/// What one was told that is gone is not remembered: nobody would ever forget it.
#[test]
fn who_left_is_answered_nothing_that_counts() {
    let mut rig = stored(2);
    let (name, large) = (rig.name_on(0, "r"), rig.name_on(0, "large"));
    rig.stored.insert(large.clone().into_bytes(), (1, format!("[\"{}\"]", "x".repeat(1000)).into_bytes()));
    let (writer, reader) = (rig.client(0), rig.client(1));
    keep(&mut rig, 0, &name);
    rig.disk = Disk::Hangs;
    rig.send(reader, &about(Action::RecordRead, &large));
    rig.send(writer, &create(&name, "[1]"));
    rig.send(reader, &about(Action::RecordRead, &name));
    rig.drop_client(reader);
    // The large record is loaded before the small one is stored.
    rig.unfreeze();
    assert_at_rest(&rig);
}

#[test]
fn a_rule_sees_a_record_only_once_it_is_stored() {
    for cores in [1, 2] {
        let open: Vec<_> = OPEN.into_iter().filter(|rule| (rule.0, rule.2) != ("event", "publish")).collect();
        let rules: Vec<_> = open.into_iter().chain([("event", "*", "publish", "_('switch').on === data")]).collect();
        let permissions = Arc::new(permissions(0, &rules));
        let mut rig = Rig::with(cores, &Options { permissions, ..options() });
        let (writer, publisher, listener) = (rig.client(0), rig.client(0), rig.client(0));
        rig.send(listener, &bulk(Action::EventSubscribe, &[b"e"], "0"));
        rig.read(listener);
        rig.send(writer, &create("switch", r#"{"on":1}"#));
        rig.disk = Disk::Hangs;
        rig.send(writer, &create("switch", r#"{"on":2}"#));
        rig.send(publisher, &Outgoing { data: Some(b"2"), ..about(Action::EventEmit, "e") });
        // The record goes on changing, and is never at rest.
        rig.send(writer, &create("switch", r#"{"on":3}"#));
        assert_eq!(rig.read(listener), [""; 0]);
        rig.answer_batches();
        assert_eq!(rig.read(listener), ["EVENT.EMIT name=e data=2"], "{cores} cores");
        rig.unfreeze();
        assert_eq!(rig.read(publisher), [""; 0]);
        assert_at_rest(&rig);
    }
}

#[test]
fn what_waits_is_bounded_and_what_does_not_fit_is_refused_at_once() {
    near_and_far(|_, asker, _| {
        let limits = Limits { dirty_bytes_max: 20_000, ..Limits::default() };
        let mut rig = Rig::with(2, &Options { limits, ..options() });
        let name = rig.name_on(0, "r");
        let (writer, reader) = (rig.client(asker), rig.client(asker));
        keep(&mut rig, asker, &name);
        rig.disk = Disk::Hangs;
        rig.send(writer, &create(&name, &format!(r#"["{}"]"#, "x".repeat(2000))));
        for _ in 0..1000 {
            rig.send(reader, &about(Action::RecordRead, &name));
        }
        let late = format!("RECORD.STORAGE_RETRIEVAL_TIMEOUT name={name} original=READ error");
        let told = rig.read(reader);
        assert!(told.len() > 900 && told.iter().all(|line| *line == late), "{} of 1000 were refused", told.len());
        rig.send(writer, &acked(create(&name, &format!(r#"["{}"]"#, "x".repeat(18_000))), "2"));
        assert_eq!(rig.read(writer).len(), 1, "nor is there room for a write");
        rig.unfreeze();
        assert_eq!(rig.read(reader).len() + told.len(), 1000);
        assert_at_rest(&rig);
    });
}

#[test]
fn large_answers_that_wait_do_not_fill_an_outbox_beyond_its_mark() {
    const HIGH_WATER: usize = 20_000;
    near_and_far(|_, asker, _| {
        let limits = Limits { outbox_high_water_bytes: HIGH_WATER, outbox_bytes_max: 60_000, ..Limits::default() };
        let mut rig = Rig::with(2, &Options { limits, ..options() });
        let name = rig.name_on(0, "r");
        let (writer, reader) = (rig.client(asker), rig.client(asker));
        rig.slow_down(reader);
        keep(&mut rig, asker, &name);
        rig.disk = Disk::Hangs;
        rig.send(writer, &create(&name, &format!(r#"["{}"]"#, "x".repeat(5000))));
        for _ in 0..50 {
            rig.send(reader, &about(Action::RecordRead, &name));
            // However long it takes, what waits is not forgotten.
            rig.pass(TIMEOUT_NS / 100);
        }
        assert_eq!(rig.unread(reader), 0);
        rig.unfreeze();
        let mut most = rig.unread(reader);
        while rig.unread(reader) > 0 {
            most = most.max(rig.read_some(reader, 1000));
        }
        assert!(most <= 2 * HIGH_WATER, "{most} bytes waited at once");
        assert_eq!(rig.closed, []);
        assert_eq!(rig.read(reader).len(), 50);
        assert_at_rest(&rig);
    });
}

#[test]
fn listeners_are_asked_at_once_and_subscribers_hear_of_them_in_order() {
    near_and_far(|mut rig, asker, name| {
        let (listener, watcher, writer) = (rig.client(asker), rig.client(asker), rig.client(asker));
        let pattern = Outgoing { correlation_id: Some(b"l"), ..about(Action::RecordListen, "r.*") };
        rig.send(listener, &pattern);
        rig.read(listener);
        keep(&mut rig, asker, &name);
        rig.disk = Disk::Hangs;
        rig.send(writer, &create(&name, "[1]"));
        rig.send(watcher, &bulk(Action::RecordSubscribe, &[name.as_bytes()], "0"));
        let accept = Outgoing { subscription: Some(name.as_bytes()), ..about(Action::RecordListenAccept, "r.*") };
        let asked = rig.read(listener);
        assert!(asked.iter().any(|line| line.contains("SUBSCRIPTION_FOR_PATTERN_FOUND")), "{asked:?}");
        rig.send(writer, &create(&name, "[2]"));
        rig.send(listener, &accept);
        assert_eq!(rig.read(watcher), [""; 0]);
        rig.unfreeze();
        let told = rig.read(watcher);
        let change = format!("RECORD.UPDATE name={name} data=[2] version=2");
        let provided = format!("RECORD.SUBSCRIPTION_HAS_PROVIDER name={name}");
        assert_eq!(told, ["RECORD.SUBSCRIBE id=0 ack".to_owned(), change, provided]);
        assert_at_rest(&rig);
    });
}

#[test]
fn patches_are_kept_back_as_they_were_said() {
    let mut rig = stored(2);
    let name = rig.name_on(1, "r");
    let (writer, watcher) = (rig.client(0), rig.client(1));
    rig.send(writer, &create(&name, "{}"));
    rig.send(watcher, &bulk(Action::RecordSubscribe, &[name.as_bytes()], "0"));
    rig.read(watcher);
    rig.disk = Disk::Hangs;
    rig.send(writer, &patch(&name, 2, "a", "1"));
    rig.send(writer, &patch(&name, 3, "b", "2"));
    assert_eq!(rig.read(watcher), [""; 0]);
    rig.unfreeze();
    let change = |path: &str, data: &str, version: i32| {
        format!("RECORD.PATCH name={name} path={path} data={data} version={version}")
    };
    assert_eq!(rig.read(watcher), [change("a", "1", 2), change("b", "2", 3)]);
}

#[test]
fn what_storage_never_takes_is_deleted_like_what_was_there_before() {
    near_and_far(|mut rig, asker, _| {
        let name = rig.name_on(0, "bad");
        let (writer, watcher) = (rig.client(asker), rig.client(asker));
        rig.stored.insert(name.clone().into_bytes(), (4, b"[4]".to_vec()));
        rig.send(watcher, &bulk(Action::RecordSubscribeAndRead, &[name.as_bytes()], "0"));
        rig.read(watcher);
        rig.disk = Disk::Hangs;
        rig.send(writer, &acked(update(&name, 5, "[5]"), "5"));
        rig.send(writer, &about(Action::RecordDelete, &name));
        rig.send(writer, &about(Action::RecordRead, &name));
        rig.unfreeze_to(Disk::Refuses);
        let refused = format!(r#"RECORD.RECORD_UPDATE_ERROR name={name} data="it is \"bad\"" id=5 error write-ack"#);
        let told = rig.read(writer);
        assert_eq!(told[0], refused);
        // The disk of this test refuses removals, too: what stands is what was stored.
        assert_eq!(told[1], format!("RECORD.RECORD_DELETE_ERROR name={name} original=DELETE error"));
        assert_eq!(told[2], format!("RECORD.READ_RESPONSE name={name} data=[4] version=4"));
        assert_eq!((told.len(), rig.read(watcher).len()), (3, 0));
        rig.disk = Disk::Works;
        rig.send(writer, &about(Action::RecordDelete, &name));
        assert_eq!(rig.read(writer), [format!("RECORD.DELETE_SUCCESS name={name}")]);
        assert_eq!(rig.read(watcher), [format!("RECORD.DELETED name={name}")]);
        assert_at_rest(&rig);
    });
}

#[test]
fn a_rule_never_sees_what_storage_never_takes() {
    for cores in [1, 2] {
        let open: Vec<_> = OPEN.into_iter().filter(|rule| (rule.0, rule.2) != ("event", "publish")).collect();
        let rules: Vec<_> = open.into_iter().chain([("event", "*", "publish", "_('bad').on === data")]).collect();
        let permissions = Arc::new(permissions(0, &rules));
        let mut rig = Rig::with(cores, &Options { permissions, ..options() });
        let (writer, publisher, listener) = (rig.client(0), rig.client(0), rig.client(0));
        rig.send(listener, &bulk(Action::EventSubscribe, &[b"e"], "0"));
        rig.read(listener);
        rig.send(writer, &create("bad", r#"{"on":1}"#));
        rig.disk = Disk::Hangs;
        rig.send(writer, &create("bad", r#"{"on":2}"#));
        rig.send(publisher, &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "e") });
        rig.send(writer, &create("bad", r#"{"on":3}"#));
        assert_eq!(rig.read(listener), [""; 0]);
        rig.unfreeze_to(Disk::Refuses);
        assert_eq!(rig.read(listener), ["EVENT.EMIT name=e data=1"], "{cores} cores");
        assert_eq!(rig.read(publisher), [""; 0]);
        assert_at_rest(&rig);
    }
}
