use super::rig::{Rig, about, acked, bulk, patch, update};
use crate::{ConnId, Options};
use deepstream_wire::{Action, Outgoing};

/// Subscribes to a record, creating it, and gives its READ_RESPONSE.
fn get(rig: &mut Rig, conn: ConnId, name: &str) -> String {
    rig.send(conn, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "0"));
    let lines = rig.read(conn);
    assert_eq!(lines[0], format!("RECORD.SUBSCRIBECREATEANDREAD names={name} id=0 ack"));
    lines.last().expect("a response").clone()
}

/// Runs a conversation on one core and on every placement over two.
fn everywhere(test: impl Fn(&mut Rig, &str, ConnId, ConnId)) {
    for (cores, owner, writer, watcher) in
        [(1, 0, 0, 0), (2, 0, 0, 1), (2, 0, 1, 0), (2, 0, 1, 1), (2, 1, 0, 1), (3, 2, 0, 1)]
    {
        let mut rig = Rig::new(cores);
        let name = rig.name_on(owner, "record");
        let (writer, watcher) = (rig.client(writer), rig.client(watcher));
        test(&mut rig, &name, writer, watcher);
    }
}

#[test]
fn a_record_is_created_empty_at_version_0_and_every_write_is_seen_by_the_others_only() {
    everywhere(|rig, name, writer, watcher| {
        let fresh = format!("RECORD.READ_RESPONSE name={name} data={{}} version=0");
        assert_eq!(get(rig, writer, name), fresh);
        assert_eq!(get(rig, watcher, name), fresh);
        rig.send(writer, &update(name, 1, r#"{"a":1}"#));
        rig.send(writer, &patch(name, 2, "b.c", "[2]"));
        rig.send(writer, &Outgoing { data: None, action: Action::RecordErase, ..patch(name, 3, "a", "") });
        assert!(rig.read(writer).is_empty());
        assert_eq!(
            rig.read(watcher),
            [
                format!(r#"RECORD.UPDATE name={name} data={{"a":1}} version=1"#),
                format!("RECORD.PATCH name={name} path=b.c data=[2] version=2"),
                format!("RECORD.PATCH name={name} path=a version=3"),
            ]
        );
        rig.send(watcher, &about(Action::RecordRead, name));
        let value = format!(r#"RECORD.READ_RESPONSE name={name} data={{"b":{{"c":[2]}}}} version=3"#);
        assert_eq!(rig.read(watcher), [value]);
    });
}

#[test]
fn second_writer_of_a_version_is_told_the_winners_change_then_the_current_record() {
    everywhere(|rig, name, winner, loser| {
        get(rig, winner, name);
        get(rig, loser, name);
        rig.send(winner, &update(name, 1, r#"{"w":1}"#));
        rig.send(loser, &acked(update(name, 1, r#"{"l":1}"#), "9"));
        assert_eq!(
            rig.read(loser),
            [
                format!(r#"RECORD.UPDATE name={name} data={{"w":1}} version=1"#),
                format!(r#"RECORD.VERSION_EXISTS name={name} data={{"w":1}} id=9 version=1 original=UPDATE write-ack"#),
            ]
        );
    });
}

#[test]
fn a_version_from_the_future_is_told_the_current_record_then_who_waits_is_refused() {
    everywhere(|rig, name, writer, _| {
        get(rig, writer, name);
        for version in [2, 5, i32::MAX] {
            rig.send(writer, &patch(name, version, "a", "1"));
            let conflict = format!("RECORD.VERSION_EXISTS name={name} data={{}} version=0 original=PATCH");
            assert_eq!(rig.read(writer), [conflict]);
            rig.send(writer, &acked(patch(name, version, "a", "1"), "4"));
            let refusal = "id=4 version=0 original=PATCH error write-ack";
            assert_eq!(
                rig.read(writer),
                [
                    format!("RECORD.VERSION_EXISTS name={name} data={{}} id=4 version=0 original=PATCH"),
                    format!("RECORD.INVALID_VERSION name={name} {refusal}"),
                ]
            );
        }
    });
}

#[test]
fn a_forced_write_takes_the_next_version() {
    everywhere(|rig, name, writer, watcher| {
        get(rig, watcher, name);
        let create = Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, "[1]") };
        rig.send(writer, &create);
        rig.send(writer, &create);
        assert_eq!(
            rig.read(watcher),
            [
                format!("RECORD.UPDATE name={name} data=[1] version=1"),
                format!("RECORD.UPDATE name={name} data=[1] version=2"),
            ]
        );
    });
}

#[test]
fn create_and_write_makes_a_record_at_version_1_and_no_other() {
    everywhere(|rig, name, writer, _| {
        let create = |version| Outgoing { action: Action::RecordCreateAndPatch, ..patch(name, version, "a", "1") };
        rig.send(writer, &create(5));
        let told = format!("RECORD.VERSION_EXISTS name={name} data={{}} version=0 original=PATCH");
        assert_eq!(rig.read(writer), [told]);
        rig.send(writer, &acked(create(1), "2"));
        assert_eq!(rig.read(writer), [format!("RECORD.WRITE_ACKNOWLEDGEMENT name={name} id=2 write-ack")]);
        rig.send(writer, &about(Action::RecordHead, name));
        assert_eq!(rig.read(writer), [format!("RECORD.HEAD_RESPONSE name={name} version=1")]);
    });
}

#[test]
fn what_is_missing_reads_as_missing() {
    everywhere(|rig, name, client, _| {
        rig.send(client, &about(Action::RecordRead, name));
        rig.send(client, &about(Action::RecordHead, name));
        rig.send(client, &bulk(Action::RecordSubscribeAndRead, &[name.as_bytes()], "1"));
        rig.send(client, &acked(update(name, 1, "{}"), "3"));
        rig.send(client, &update(name, 1, "{}"));
        let mut lines = rig.read(client);
        lines.sort();
        assert_eq!(
            lines,
            [
                format!("RECORD.HEAD_RESPONSE name={name} version=-1"),
                format!("RECORD.READ_RESPONSE name={name} data={{}} version=-1"),
                format!("RECORD.RECORD_NOT_FOUND name={name} original=READ error"),
                format!("RECORD.RECORD_UPDATE_ERROR name={name} id=3 original=UPDATE error write-ack"),
                format!("RECORD.RECORD_UPDATE_ERROR name={name} original=UPDATE error"),
                format!("RECORD.SUBSCRIBEANDREAD names={name} id=1 ack"),
            ]
        );
        // What setData sends for a path of a record it never read, to be erased, with an ack.
        let erase = Outgoing { data: None, action: Action::RecordErase, ..patch(name, -1, "a", "") };
        rig.send(client, &acked(erase, "4"));
        assert_eq!(rig.read(client), [format!("RECORD.WRITE_ACKNOWLEDGEMENT name={name} id=4 write-ack")]);
    });
}

#[test]
fn unsound_writes_are_refused_and_change_nothing() {
    everywhere(|rig, name, writer, watcher| {
        get(rig, writer, name);
        get(rig, watcher, name);
        let multi = |data| Outgoing { action: Action::RecordPatchMulti, ..update(name, 1, data) };
        let unsound = [
            update(name, 1, "1"),
            update(name, 1, "null"),
            update(name, 1, "{bad"),
            Outgoing { data: None, ..update(name, 1, "") },
            Outgoing { version: None, ..update(name, 1, "{}") },
            patch(name, 1, "__proto__.x", "1"),
            patch(name, 1, "a.constructor", "1"),
            patch(name, 1, "a[99999999]", "1"),
            patch(name, 1, "a[-1]", "1"),
            patch(name, 1, "", "1"),
            patch(name, 1, "a", "{bad"),
            Outgoing { action: Action::RecordPatch, ..update(name, 1, "1") },
            multi("[]"),
            multi("{}"),
            multi(r#"[{"path":"prototype","data":1}]"#),
            multi(r#"[{"path":"a","data":1},{"data":1}]"#),
        ];
        for message in unsound {
            rig.send(writer, &acked(message, "1"));
            let lines = rig.read(writer);
            assert_eq!(lines.len(), 1, "{message:?}");
            let told = format!("RECORD.INVALID_MESSAGE_DATA name={name}");
            assert!(lines[0].starts_with(&told) && lines[0].ends_with("error write-ack"), "{lines:?}");
        }
        assert!(rig.read(watcher).is_empty());
        rig.send(writer, &about(Action::RecordHead, name));
        assert_eq!(rig.read(writer), [format!("RECORD.HEAD_RESPONSE name={name} version=0")]);
    });
}

#[test]
fn a_patch_below_null_replaces_it() {
    everywhere(|rig, name, writer, _| {
        get(rig, writer, name);
        rig.send(writer, &update(name, 1, r#"{"a":null}"#));
        rig.send(writer, &patch(name, 2, "a.b", "1"));
        rig.send(writer, &about(Action::RecordRead, name));
        let value = format!(r#"RECORD.READ_RESPONSE name={name} data={{"a":{{"b":1}}}} version=2"#);
        assert_eq!(rig.read(writer), [value]);
    });
}

#[test]
fn several_patches_are_one_version_and_old_clients_are_sent_the_whole_value() {
    for (cores, old_core) in [(1, 0), (2, 0), (2, 1)] {
        let mut rig = Rig::new(cores);
        let name = rig.name_on(0, "record");
        let (writer, new, old) = (rig.client(0), rig.client(cores as usize - 1), rig.client_of(old_core, "7.0.5"));
        for conn in [writer, new, old] {
            get(&mut rig, conn, &name);
        }
        let patches = r#"[{"path":"a","data":1},{"path":"b.c","data":2},{"path":"a"}]"#;
        rig.send(writer, &Outgoing { action: Action::RecordPatchMulti, ..update(&name, 1, patches) });
        assert_eq!(rig.read(new), [format!("RECORD.PATCH_MULTI name={name} data={patches} version=1")]);
        let whole = format!(r#"RECORD.UPDATE name={name} data={{"b":{{"c":2}}}} version=1"#);
        assert_eq!(rig.read(old), [whole]);
    }
}

#[test]
fn deletion_tells_everybody_ends_subscriptions_and_starts_anew() {
    everywhere(|rig, name, deleter, watcher| {
        get(rig, deleter, name);
        get(rig, watcher, name);
        rig.send(deleter, &update(name, 1, r#"{"a":1}"#));
        rig.read(watcher);
        rig.send(deleter, &about(Action::RecordDelete, name));
        assert_eq!(rig.read(deleter), [format!("RECORD.DELETE_SUCCESS name={name}")]);
        assert_eq!(rig.read(watcher), [format!("RECORD.DELETED name={name}")]);
        let fresh = format!("RECORD.READ_RESPONSE name={name} data={{}} version=0");
        assert_eq!(get(rig, deleter, name), fresh);
        rig.send(deleter, &update(name, 1, "[]"));
        assert!(rig.read(watcher).is_empty(), "its subscription ended");
        assert_eq!(get(rig, watcher, name), format!("RECORD.READ_RESPONSE name={name} data=[] version=1"));
        rig.send(watcher, &bulk(Action::RecordUnsubscribe, &[name.as_bytes()], name));
        assert_eq!(rig.read(watcher), [format!("RECORD.UNSUBSCRIBE id={name} ack")]);
    });
}

#[test]
fn deleting_what_does_not_exist_succeeds() {
    everywhere(|rig, name, deleter, _| {
        rig.send(deleter, &about(Action::RecordDelete, name));
        assert_eq!(rig.read(deleter), [format!("RECORD.DELETE_SUCCESS name={name}")]);
    });
}

#[test]
fn a_second_reading_subscription_is_told_so_and_read_all_the_same() {
    everywhere(|rig, name, client, _| {
        get(rig, client, name);
        rig.send(client, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "1"));
        let mut lines = rig.read(client);
        lines.sort();
        assert_eq!(
            lines,
            [
                format!("RECORD.MULTIPLE_SUBSCRIPTIONS name={name} original=SUBSCRIBE"),
                format!("RECORD.READ_RESPONSE name={name} data={{}} version=0"),
                format!("RECORD.SUBSCRIBECREATEANDREAD names={name} id=1 ack"),
            ]
        );
    });
}

#[test]
fn resubscribing_gives_all_versions_at_once_then_the_ack() {
    let mut rig = Rig::new(3);
    let client = rig.client(0);
    let names: Vec<String> = (0..3).map(|core| rig.name_on(core, "r")).collect();
    for (count, name) in names.iter().enumerate().skip(1) {
        get(&mut rig, client, name);
        for version in 1..=count {
            rig.send(client, &update(name, version as i32, "{}"));
        }
    }
    let other = rig.client(1);
    let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    rig.send(other, &bulk(Action::RecordSubscribeAndHead, &bytes, "3"));
    let versions = format!("RECORD.HEAD_RESPONSE_BULK {}:-1 {}:1 {}:2", names[0], names[1], names[2]);
    assert_eq!(rig.read(other), [versions, "RECORD.SUBSCRIBEANDHEAD id=3 ack".into()]);
    rig.send(client, &update(&names[2], 3, "[]"));
    assert_eq!(rig.read(other), [format!("RECORD.UPDATE name={} data=[] version=3", names[2])]);
}

#[test]
fn hot_names_take_any_version_whole_and_no_path() {
    let options = Options { hot_path_prefixes: vec![b"hot/"[..].into()], ..Options::default() };
    let mut rig = Rig::with(1, &options);
    let (writer, watcher) = (rig.client(0), rig.client(0));
    get(&mut rig, watcher, "hot/1");
    let write = |version| Outgoing { action: Action::RecordCreateAndUpdate, ..update("hot/1", version, "[1]") };
    rig.send(writer, &acked(write(-1), "1"));
    rig.send(writer, &write(17));
    assert_eq!(rig.read(writer), ["RECORD.WRITE_ACKNOWLEDGEMENT name=hot/1 id=1 write-ack"]);
    assert_eq!(
        rig.read(watcher),
        ["RECORD.UPDATE name=hot/1 data=[1] version=1", "RECORD.UPDATE name=hot/1 data=[1] version=2"]
    );
    rig.send(writer, &Outgoing { action: Action::RecordCreateAndPatch, ..patch("hot/1", -1, "a", "1") });
    assert_eq!(rig.read(writer), ["RECORD.INVALID_PATCH_ON_HOTPATH name=hot/1 original=CREATEANDPATCH error"]);
}

#[test]
fn the_last_version_is_the_last() {
    let mut rig = Rig::new(1);
    rig.stored.insert(b"r".to_vec(), (i32::MAX, b"{}".to_vec()));
    let client = rig.client(0);
    rig.send(client, &update("r", -1, "{}"));
    assert_eq!(
        rig.read(client),
        [format!("RECORD.INVALID_VERSION name=r data={{}} version={} original=UPDATE error", i32::MAX)]
    );
    for version in [i32::MAX, i32::MAX - 1, 0, -3] {
        rig.send(client, &acked(update("r", version, "[]"), "1"));
        let conflict = "name=r data={} id=1 version=2147483647 original=UPDATE write-ack";
        assert_eq!(rig.read(client), [format!("RECORD.VERSION_EXISTS {conflict}")]);
    }
}
