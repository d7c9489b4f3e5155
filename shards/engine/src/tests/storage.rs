use super::rig::{Disk, Rig, about, acked, bulk, patch, patient, update};
use crate::{Limits, Note, Options};
use deepstream_wire::{Action, Outgoing};

const SECOND: u64 = 1_000_000_000;

fn ack(name: &str, id: &str) -> String {
    format!("RECORD.WRITE_ACKNOWLEDGEMENT name={name} id={id} write-ack")
}

fn create<'a>(name: &'a str, data: &'a str) -> Outgoing<'a> {
    Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, data) }
}

#[test]
fn a_write_is_seen_at_once_and_acknowledged_when_it_is_stored() {
    let mut rig = Rig::new(2);
    let name = rig.name_on(1, "r");
    let (writer, watcher) = (rig.client(0), rig.client(0));
    rig.send(watcher, &bulk(Action::RecordSubscribeAndRead, &[name.as_bytes()], "0"));
    rig.read(watcher);
    rig.disk = Disk::Hangs;
    rig.send(writer, &acked(create(&name, "[1]"), "1"));
    rig.send(writer, &acked(create(&name, "[2]"), "2"));
    assert!(rig.read(writer).is_empty());
    assert_eq!(rig.read(watcher).len(), 2);
    rig.unfreeze();
    assert_eq!(rig.read(writer), [ack(&name, "1"), ack(&name, "2")]);
    assert_eq!(rig.stored[name.as_bytes()], (2, b"[2]".to_vec()));
}

#[test]
fn many_writes_of_one_record_are_one_store() {
    let mut rig = Rig::new(1);
    let writer = rig.client(0);
    rig.send(writer, &create("r", "{}"));
    rig.disk = Disk::Hangs;
    let stores = rig.shards[0].counters().stores;
    for number in 0..100 {
        rig.send(writer, &create("r", &format!("[{number}]")));
    }
    rig.unfreeze();
    assert_eq!(rig.shards[0].counters().stores - stores, 2, "the first, and all that came while it was stored");
    assert_eq!(rig.stored[&b"r"[..]], (101, b"[99]".to_vec()));
}

#[test]
fn what_failed_is_told_tried_again_and_stored_in_the_end() {
    let mut rig = Rig::new(1);
    let writer = rig.client(0);
    rig.send(writer, &create("r", "{}"));
    rig.disk = Disk::Fails;
    rig.send(writer, &acked(create("r", "[1]"), "1"));
    assert_eq!(rig.read(writer), ["RECORD.RECORD_UPDATE_ERROR name=r id=1 error write-ack"]);
    assert!(rig.notes.iter().any(|note| matches!(note, Note::StoreFailed { records: 1, .. })));
    rig.disk = Disk::Works;
    rig.pass(SECOND);
    assert_eq!(rig.stored[&b"r"[..]], (2, b"[1]".to_vec()));
    assert_eq!(rig.shards[0].census().dirty_records, 0);
}

#[test]
fn what_storage_refuses_is_told_once_and_keeps_nothing_else_from_being_stored() {
    let mut rig = Rig::new(1);
    let writer = rig.client(0);
    rig.send(writer, &create("first", "{}"));
    rig.disk = Disk::Hangs;
    rig.send(writer, &create("first", "[0]"));
    // These share a batch.
    for (name, id) in [("good", "1"), ("bad", "2"), ("fine", "3")] {
        rig.send(writer, &acked(create(name, "[1]"), id));
    }
    rig.unfreeze_to(Disk::Refuses);
    let refused = r#"RECORD.RECORD_UPDATE_ERROR name=bad data="it is \"bad\"" id=2 error write-ack"#.to_owned();
    assert_eq!(rig.read(writer), [ack("good", "1"), refused, ack("fine", "3")]);
    assert_eq!((rig.stored.contains_key(&b"fine"[..]), rig.stored.contains_key(&b"bad"[..])), (true, false));
    let (stores, census) = (rig.shards[0].counters().stores, rig.shards[0].census());
    assert_eq!(census.dirty_records, 0);
    rig.pass(SECOND);
    assert_eq!(rig.shards[0].counters().stores, stores, "nothing is tried again");
    rig.send(writer, &acked(create("good", "[2]"), "4"));
    assert_eq!(rig.read(writer), [ack("good", "4")], "and storage is not left alone");
    rig.send(writer, &about(Action::RecordRead, "bad"));
    assert_eq!(rig.read(writer), ["RECORD.READ_RESPONSE name=bad data=[1] version=1"], "it lives on in memory");
}

#[test]
fn a_name_that_storage_keeps_nothing_under_is_no_record_and_becomes_none() {
    const WHY: &str = r#"data="it is \"bad\"""#;
    for cores in [1, 2] {
        let mut rig = Rig::new(cores);
        let name = rig.name_on(usize::from(cores) - 1, "bad");
        let names: &[&[u8]] = &[name.as_bytes()];
        rig.disk = Disk::Bars;
        let (client, watcher) = (rig.client(0), rig.client(0));
        rig.send(watcher, &bulk(Action::RecordSubscribe, names, "1"));
        rig.read(watcher);
        // Removed unread, which tells nothing of whether there may be one.
        rig.disk = Disk::Hangs;
        rig.send(client, &about(Action::RecordDelete, &name));
        rig.send(client, &acked(create(&name, "[0]"), "0"));
        rig.unfreeze_to(Disk::Bars);
        let refused = format!("RECORD.RECORD_UPDATE_ERROR name={name} {WHY} id=0");
        let refused = format!("{refused} original=CREATEANDUPDATE error write-ack");
        assert_eq!(rig.read(client), [format!("RECORD.DELETE_SUCCESS name={name}"), refused]);
        rig.read(watcher);
        // Twice: as long as somebody is subscribed the name is known, otherwise it is not.
        for _ in 0..2 {
            rig.send(client, &about(Action::RecordRead, &name));
            assert_eq!(rig.read(client), [format!("RECORD.RECORD_NOT_FOUND name={name} original=READ error")]);
            rig.send(client, &Outgoing { correlation_id: Some(b"2"), ..about(Action::RecordHead, &name) });
            assert_eq!(rig.read(client), [format!("RECORD.HEAD_RESPONSE name={name} id=2 version=-1")]);
            rig.send(client, &about(Action::RecordDelete, &name));
            assert_eq!(rig.read(client), [format!("RECORD.DELETE_SUCCESS name={name}")]);
            rig.read(watcher);
            rig.send(client, &acked(create(&name, "[1]"), "3"));
            let refused = format!("RECORD.RECORD_UPDATE_ERROR name={name} {WHY} id=3");
            assert_eq!(rig.read(client), [format!("{refused} original=CREATEANDUPDATE error write-ack")]);
            rig.send(client, &patch(&name, 1, "a", "1"));
            let refused = format!("RECORD.RECORD_UPDATE_ERROR name={name} {WHY} original=PATCH error");
            assert_eq!(rig.read(client), [refused]);
            rig.send(client, &bulk(Action::RecordSubscribeCreateAndRead, names, "4"));
            let refused = format!("RECORD.RECORD_UPDATE_ERROR name={name} {WHY}");
            let lines = rig.read(client);
            assert_eq!(lines.last(), Some(&format!("{refused} original=SUBSCRIBECREATEANDREAD error")), "{lines:?}");
            assert!(rig.read(watcher).is_empty(), "nothing was changed");
            rig.send(client, &bulk(Action::RecordNotify, names, "5"));
            rig.read(client);
            rig.drop_client(watcher);
        }
        let told = rig.notes.iter().filter(|note| matches!(note, Note::Unstorable { .. })).count();
        assert_eq!(told, 7, "each of those who wanted to make one");
        assert!(rig.stored.is_empty());
        let owned = rig.shards.iter().map(|shard| shard.census().owned_names).sum::<usize>();
        assert_eq!(owned, 1, "nothing is kept of it, but that a user is here");
        // Who was refused is not subscribed.
        rig.send(client, &bulk(Action::RecordSubscribe, names, "6"));
        assert_eq!(rig.read(client).len(), 1, "an acknowledgement, and not that it is subscribed twice");
    }
}

#[test]
fn a_store_that_takes_too_long_fails_its_acks_once_and_storage_is_not_overtaken() {
    let mut rig = Rig::with(1, &patient());
    let writer = rig.client(0);
    rig.disk = Disk::Hangs;
    rig.shards[0].tick(rig.now);
    rig.stored.insert(b"r".to_vec(), (1, b"{}".to_vec()));
    rig.disk = Disk::Works;
    rig.send(writer, &about(Action::RecordRead, "r"));
    rig.read(writer);
    rig.disk = Disk::Hangs;
    rig.send(writer, &acked(create("r", "[1]"), "1"));
    rig.pass(20 * SECOND);
    rig.send(writer, &acked(create("r", "[2]"), "2"));
    rig.pass(11 * SECOND);
    assert_eq!(rig.read(writer), ["RECORD.RECORD_UPDATE_ERROR name=r id=1 error write-ack"]);
    rig.unfreeze();
    assert_eq!(rig.read(writer), [ack("r", "2")]);
    assert_eq!(rig.stored[&b"r"[..]], (3, b"[2]".to_vec()));
}

#[test]
fn a_cold_record_is_loaded_once_and_what_came_meanwhile_is_done_in_order() {
    let mut rig = Rig::new(2);
    let name = rig.name_on(1, "r");
    rig.stored.insert(name.clone().into_bytes(), (7, br#"{"a":1}"#.to_vec()));
    let client = rig.client(0);
    rig.disk = Disk::Hangs;
    rig.send(client, &about(Action::RecordRead, &name));
    rig.send(client, &patch(&name, 8, "b", "2"));
    rig.send(client, &about(Action::RecordHead, &name));
    rig.send(client, &about(Action::RecordRead, &name));
    assert!(rig.read(client).is_empty());
    assert_eq!(rig.shards[1].counters().loads, 1);
    rig.unfreeze();
    assert_eq!(
        rig.read(client),
        [
            format!(r#"RECORD.READ_RESPONSE name={name} data={{"a":1}} version=7"#),
            format!("RECORD.HEAD_RESPONSE name={name} version=8"),
            format!(r#"RECORD.READ_RESPONSE name={name} data={{"a":1,"b":2}} version=8"#),
        ]
    );
}

#[test]
fn a_load_that_fails_or_takes_too_long_answers_everybody_who_waited() {
    for (disk, error) in [(Disk::Fails, "RECORD_LOAD_ERROR"), (Disk::Hangs, "STORAGE_RETRIEVAL_TIMEOUT")] {
        let mut rig = Rig::with(1, &patient());
        let client = rig.client(0);
        rig.disk = disk;
        rig.send(client, &about(Action::RecordRead, "r"));
        rig.send(client, &about(Action::RecordHead, "r"));
        rig.send(client, &acked(update("r", 1, "{}"), "1"));
        rig.send(client, &bulk(Action::RecordSubscribeCreateAndRead, &[b"r"], "2"));
        rig.send(client, &bulk(Action::RecordNotify, &[b"r"], "3"));
        rig.send(client, &bulk(Action::RecordSubscribeAndHead, &[b"r"], "4"));
        rig.pass(31 * SECOND);
        rig.pass(31 * SECOND);
        let mut lines = rig.read(client);
        lines.sort();
        assert!(lines.contains(&format!("RECORD.{error} name=r original=READ error")), "{lines:?}");
        assert!(lines.contains(&format!("RECORD.{error} name=r original=HEAD error")), "{lines:?}");
        let update = "RECORD.RECORD_UPDATE_ERROR name=r id=1 original=UPDATE error write-ack";
        assert!(lines.contains(&update.into()), "{lines:?}");
        let get = format!("RECORD.{error} name=r original=SUBSCRIBECREATEANDREAD error");
        assert!(lines.contains(&get), "{lines:?}");
        assert!(lines.contains(&"RECORD.SUBSCRIBEANDHEAD id=4 ack".into()), "{lines:?}");
        rig.unfreeze();
        assert!(rig.read(client).iter().all(|line| !line.contains("READ_RESPONSE")), "late answers are ignored");
        rig.drop_client(client);
        let census = rig.shards[0].census();
        assert_eq!((census.parked_messages, census.pending_loads, census.bulk_requests), (0, 0, 0));
    }
}

#[test]
fn a_removal_is_told_when_storage_did_it_and_what_came_meanwhile_waits() {
    let mut rig = Rig::new(1);
    let client = rig.client(0);
    rig.send(client, &create("r", "[1]"));
    rig.disk = Disk::Hangs;
    rig.send(client, &about(Action::RecordDelete, "r"));
    rig.send(client, &about(Action::RecordHead, "r"));
    assert!(rig.read(client).is_empty());
    rig.unfreeze();
    assert_eq!(rig.read(client), ["RECORD.DELETE_SUCCESS name=r", "RECORD.HEAD_RESPONSE name=r version=-1"]);
    assert!(rig.stored.is_empty());
}

#[test]
fn a_removal_that_fails_leaves_the_record() {
    let mut rig = Rig::new(1);
    let client = rig.client(0);
    rig.send(client, &bulk(Action::RecordSubscribeCreateAndRead, &[b"r"], "0"));
    rig.send(client, &update("r", 1, "[1]"));
    rig.read(client);
    rig.disk = Disk::Fails;
    rig.send(client, &about(Action::RecordDelete, "r"));
    rig.send(client, &about(Action::RecordHead, "r"));
    assert_eq!(
        rig.read(client),
        ["RECORD.RECORD_DELETE_ERROR name=r original=DELETE error", "RECORD.HEAD_RESPONSE name=r version=1"]
    );
    rig.disk = Disk::Works;
    rig.pass(SECOND);
    assert_eq!(rig.stored[&b"r"[..]], (1, b"[1]".to_vec()));
}

#[test]
fn a_removal_that_takes_too_long_is_refused_yet_told_when_it_happens() {
    let mut rig = Rig::with(1, &patient());
    let (deleter, watcher) = (rig.client(0), rig.client(0));
    rig.send(watcher, &bulk(Action::RecordSubscribeCreateAndRead, &[b"r"], "0"));
    rig.read(watcher);
    rig.disk = Disk::Hangs;
    rig.send(deleter, &about(Action::RecordDelete, "r"));
    rig.send(watcher, &about(Action::RecordRead, "r"));
    rig.pass(31 * SECOND);
    assert_eq!(rig.read(deleter), ["RECORD.RECORD_DELETE_ERROR name=r original=DELETE error"]);
    assert_eq!(rig.read(watcher), ["RECORD.STORAGE_RETRIEVAL_TIMEOUT name=r original=READ error"]);
    rig.unfreeze();
    assert_eq!(rig.read(watcher), ["RECORD.DELETED name=r"]);
    assert!(rig.read(deleter).is_empty(), "it had its answer");
}

#[test]
fn names_excluded_from_storage_never_touch_it_and_are_acknowledged_at_once() {
    let options = Options { storage_exclusion_prefixes: vec![b"tmp/"[..].into()], ..Options::default() };
    let mut rig = Rig::with(1, &options);
    let client = rig.client(0);
    rig.disk = Disk::Fails;
    rig.send(client, &acked(create("tmp/1", "[1]"), "1"));
    assert_eq!(rig.read(client), [ack("tmp/1", "1")]);
    rig.send(client, &about(Action::RecordDelete, "tmp/1"));
    assert_eq!(rig.read(client), ["RECORD.DELETE_SUCCESS name=tmp/1"]);
    assert_eq!((rig.shards[0].counters().loads, rig.shards[0].counters().stores), (0, 0));
}

#[test]
fn cold_values_leave_memory_and_come_back() {
    let mut options = Options::default();
    options.limits.record_memory_bytes_max = 50_000;
    let mut rig = Rig::with(1, &options);
    let client = rig.client(0);
    for number in 0..500 {
        rig.send(client, &create(&format!("r{number}"), &format!("[{number},\"{}\"]", "x".repeat(300))));
    }
    let census = rig.shards[0].census();
    assert!(census.resident_bytes < 60_000, "{census:?}");
    assert!(rig.shards[0].counters().evicted > 300);
    for number in [0, 250, 499] {
        rig.send(client, &about(Action::RecordHead, &format!("r{number}")));
        assert_eq!(rig.read(client), [format!("RECORD.HEAD_RESPONSE name=r{number} version=1")]);
    }
}

#[test]
fn writes_that_cannot_be_stored_in_time_are_bounded() {
    let mut options = Options::default();
    options.limits.dirty_bytes_max = 1000;
    let mut rig = Rig::with(1, &options);
    let client = rig.client(0);
    for number in 0..20 {
        rig.send(client, &about(Action::RecordHead, &format!("r{number}")));
    }
    rig.read(client);
    rig.disk = Disk::Hangs;
    let data = format!("[\"{}\"]", "x".repeat(200));
    let mut refused = 0;
    for number in 0..20 {
        let name = format!("r{number}");
        rig.send(client, &bulk(Action::RecordSubscribe, &[name.as_bytes()], "0"));
        rig.disk = Disk::Works;
        rig.send(client, &about(Action::RecordHead, &name));
        rig.disk = Disk::Hangs;
        rig.read(client);
        rig.send(client, &create(&name, &data));
        refused += rig.read(client).iter().filter(|line| line.contains("RECORD_UPDATE_ERROR")).count();
    }
    assert!(refused >= 15, "{refused}");
    rig.unfreeze();
    rig.send(client, &acked(create("r19", &data), "1"));
    assert_eq!(rig.read(client), [ack("r19", "1")]);
}

#[test]
fn notify_reads_anew_and_tells_every_subscriber() {
    for cores in [1, 2] {
        let mut rig = Rig::new(cores);
        let name = rig.name_on(0, "r");
        let client = rig.client(cores as usize - 1);
        rig.send(client, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "0"));
        rig.read(client);
        rig.stored.insert(name.clone().into_bytes(), (9, b"[9]".to_vec()));
        rig.send(client, &bulk(Action::RecordNotify, &[name.as_bytes(), b"unheard"], "n"));
        assert_eq!(
            rig.read(client),
            [
                format!("RECORD.UPDATE name={name} data=[9] version=9"),
                format!("RECORD.NOTIFY names={name} names=unheard id=n ack"),
            ]
        );
        rig.stored.clear();
        rig.send(client, &bulk(Action::RecordNotify, &[name.as_bytes()], "m"));
        let told = [format!("RECORD.DELETED name={name}"), format!("RECORD.NOTIFY names={name} id=m ack")];
        assert_eq!(rig.read(client), told);
        rig.send(client, &bulk(Action::RecordNotify, &[], "e"));
        assert_eq!(rig.read(client), ["RECORD.NOTIFY id=e ack"]);
    }
}

#[test]
fn without_storage_nothing_is_asked_of_it() {
    let mut rig = Rig::with(1, &Options { storage: false, ..Options::default() });
    let client = rig.client(0);
    rig.disk = Disk::Fails;
    rig.send(client, &acked(create("r", "[1]"), "1"));
    rig.send(client, &about(Action::RecordRead, "r"));
    assert_eq!(rig.read(client), [ack("r", "1"), "RECORD.READ_RESPONSE name=r data=[1] version=1".into()]);
}

#[test]
fn when_everybody_left_nothing_is_left_but_values() {
    let mut rig = Rig::new(3);
    let clients: Vec<_> = (0..9).map(|number| rig.client(number % 3)).collect();
    for (number, &client) in clients.iter().enumerate() {
        let names: Vec<String> = (0..20).map(|name| format!("r{}", name * (number + 1) % 31)).collect();
        let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        rig.send(client, &bulk(Action::RecordSubscribeCreateAndRead, &names, "0"));
        rig.send(client, &bulk(Action::EventSubscribe, &names, "1"));
        rig.send(client, &acked(create("r5", "[1]"), "2"));
        rig.send(client, &about(Action::RecordDelete, "r7"));
    }
    for client in clients {
        rig.drop_client(client);
    }
    for shard in &rig.shards {
        let census = shard.census();
        assert_eq!(census.owned_names, census.resident_records, "{census:?}");
        let rest = crate::Census { owned_names: 0, resident_records: 0, resident_bytes: 0, ..census };
        assert_eq!(rest, crate::Census::default());
    }
}

#[test]
fn who_subscribes_behind_its_own_deletion_without_room_to_wait_hears_of_the_end() {
    let limits = Limits { parked_messages_max: 0, ..Limits::default() };
    let mut rig = Rig::with(2, &Options { limits, ..patient() });
    for action in [Action::RecordSubscribe, Action::RecordSubscribeAndHead] {
        for core in [0, 1] {
            let (name, other) = (rig.name_on(core, "r"), rig.name_on(1 - core, "s"));
            let client = rig.client(0);
            rig.send(client, &create(&name, "{}"));
            rig.disk = Disk::Hangs;
            rig.send(client, &about(Action::RecordDelete, &name));
            rig.send(client, &bulk(action, &[name.as_bytes(), other.as_bytes()], "1"));
            rig.read(client);
            rig.unfreeze();
            let ended = [format!("RECORD.DELETED name={name}"), format!("RECORD.DELETE_SUCCESS name={name}")];
            assert_eq!(rig.read(client), ended, "{action:?} on core {core}");
            rig.disk = Disk::Works;
        }
    }
}

#[test]
fn who_subscribes_ahead_of_its_own_deletion_is_told_of_that_alone() {
    let mut rig = Rig::with(1, &patient());
    let client = rig.client(0);
    rig.send(client, &create("r", "{}"));
    rig.send(client, &bulk(Action::RecordSubscribe, &[b"r"], "1"));
    rig.read(client);
    rig.send(client, &about(Action::RecordDelete, "r"));
    assert_eq!(rig.read(client), ["RECORD.DELETE_SUCCESS name=r"]);
}
