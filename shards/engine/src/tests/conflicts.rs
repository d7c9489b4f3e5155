//! Writes on versions that are taken, or that cannot follow: what their writers are told, and who is given the document.

use super::permit::{but, told};
use super::rig::{Disk, Rig, acked, bulk, patch, update};
use crate::{ConnId, Note};
use deepstream_wire::{Action, Outgoing, Wire};

/// The document that nobody is to see.
const SECRET: &str = r#"{"secret":"of the house"}"#;

/// All ways to write on a version.
fn writes(name: &str, version: i32) -> Vec<Outgoing<'_>> {
    let as_action = |action, message| Outgoing { action, ..message };
    let whole = || update(name, version, r#"{"mine":1}"#);
    let part = || patch(name, version, "mine", "1");
    vec![
        whole(),
        part(),
        as_action(Action::RecordPatchMulti, update(name, version, r#"[{"path":"mine","data":1}]"#)),
        Outgoing { data: None, ..as_action(Action::RecordErase, part()) },
        as_action(Action::RecordCreateAndUpdate, whole()),
        as_action(Action::RecordCreateAndPatch, part()),
    ]
}

/// A record at version 3 whose document is a secret, and somebody who may do everything but read it.
fn dropbox(cores: u16) -> (Rig, ConnId, ConnId) {
    let mut rig = but(cores, &[("record", "*", "read", "user.id === 'boss'")]);
    let (boss, ann) = (rig.user(0, "boss"), rig.user(0, "ann"));
    for version in 1..=3 {
        rig.send(boss, &Outgoing { action: Action::RecordCreateAndUpdate, ..update("box", version, SECRET) });
    }
    assert!(rig.read(boss).is_empty());
    (rig, boss, ann)
}

/// What a write is called that may create what it writes.
fn written(action: Action) -> &'static str {
    match action {
        Action::RecordCreateAndUpdate => Action::RecordUpdate.name(),
        Action::RecordCreateAndPatch => Action::RecordPatch.name(),
        action => action.name(),
    }
}

fn asker(rig: &mut Rig) -> ConnId {
    let conn = rig.stranger_on(0, Wire::Http);
    rig.send(conn, &Outgoing { data: Some(br#"{"user":"ann"}"#), ..Outgoing::new(Action::AuthRequest) });
    rig.read(conn);
    conn
}

#[test]
fn who_may_not_read_is_told_the_version_and_goes_on_without_the_document() {
    for cores in [1, 2, 4] {
        let (mut rig, _, ann) = dropbox(cores);
        for version in [3, 1, 0, -2] {
            for write in writes("box", version) {
                let original = written(write.action);
                let expected =
                    format!("RECORD.VERSION_EXISTS name=box data={{}} id=7 version=3 original={original} write-ack");
                assert_eq!(told(&mut rig, ann, &acked(write, "7")), [expected], "{cores} cores");
            }
        }
        for write in writes("box", 9) {
            let lines = told(&mut rig, ann, &write);
            let original = written(write.action);
            let conflict = format!("RECORD.VERSION_EXISTS name=box data={{}} version=3 original={original}");
            assert_eq!(lines, [conflict], "{cores} cores");
            let lines = told(&mut rig, ann, &acked(write, "7"));
            let conflict = format!("RECORD.VERSION_EXISTS name=box data={{}} id=7 version=3 original={original}");
            assert_eq!(lines[0], conflict);
            let refusal = format!("RECORD.INVALID_VERSION name=box id=7 version=3 original={original} error write-ack");
            assert_eq!(lines[1..], [refusal], "{cores} cores");
        }
        let ack = told(&mut rig, ann, &acked(patch("box", 4, "mine", "1"), "8"));
        assert_eq!(ack, ["RECORD.WRITE_ACKNOWLEDGEMENT name=box id=8 write-ack"]);
    }
}

#[test]
fn who_may_read_is_given_the_document() {
    let (mut rig, boss, _) = dropbox(2);
    for version in [3, 5, i32::MAX] {
        for write in writes("box", version) {
            let lines = told(&mut rig, boss, &write);
            assert_eq!(lines.len(), 1, "{lines:?}");
            let expected = format!("RECORD.VERSION_EXISTS name=box data={SECRET} version=3");
            assert!(lines[0].starts_with(&expected), "{lines:?}");
        }
    }
}

#[test]
fn who_asks_over_http_is_given_no_document_with_either_conflict() {
    for cores in [1, 3] {
        let (mut rig, _, _) = dropbox(cores);
        let conn = asker(&mut rig);
        for (version, action) in [(2, "VERSION_EXISTS"), (9, "INVALID_VERSION")] {
            for write in writes("box", version) {
                let lines = told(&mut rig, conn, &acked(write, "0"));
                assert!(lines[0].starts_with(&format!("RECORD.{action} name=box id=0 version=3")), "{lines:?}");
            }
        }
    }
}

/// Of INVALID_VERSION its clients take over no version: one write that was denied, and all later ones would be lost.
#[test]
fn text_is_told_of_every_conflict_as_of_a_version_that_exists() {
    for cores in [1, 3] {
        let mut rig = Rig::new(cores);
        let text = rig.text_client(0);
        let name = rig.name_on(usize::from(cores - 1), "r");
        let create = Outgoing { action: Action::RecordCreateAndUpdate, ..update(&name, -1, r#"{"a":1}"#) };
        assert!(told(&mut rig, text, &create).is_empty());
        for version in [i32::MIN, 0, 1, 3, i32::MAX] {
            let plain = format!(r#"R|E|VERSION_EXISTS|{name}|1|{{"a":1}}+"#);
            assert_eq!(told(&mut rig, text, &update(&name, version, "{}")), [&*plain]);
            assert_eq!(told(&mut rig, text, &patch(&name, version, "p", "1")), [&*plain]);
            let settled = format!("R|WA|{name}|[{version}]|L+");
            let id = version.to_string();
            let whole = told(&mut rig, text, &acked(update(&name, version, "{}"), &id));
            assert_eq!(whole.concat(), format!("{plain}{settled}"));
            let by_path = told(&mut rig, text, &acked(patch(&name, version, "p", "1"), &id));
            let plain = plain.replace('+', r#"|{"writeSuccess":true}+"#);
            assert_eq!(by_path.concat(), format!("{plain}{settled}"));
        }
        let next = told(&mut rig, text, &acked(patch(&name, 2, "p", "1"), "2"));
        assert_eq!(next, [format!("R|WA|{name}|[2]|L+")]);
    }
}

#[test]
fn clients_of_text_and_json_are_shown_an_empty_document() {
    let mut rig = but(2, &[("record", "*", "read", "false")]);
    let boss = rig.user(0, "boss");
    rig.send(boss, &Outgoing { action: Action::RecordCreateAndUpdate, ..update("box", -1, SECRET) });
    let (text, json) = (rig.text_client(0), rig.json_client(1));
    assert_eq!(told(&mut rig, text, &patch("box", 1, "a", "1")), ["R|E|VERSION_EXISTS|box|1|{}+"]);
    let acked_one = told(&mut rig, text, &acked(patch("box", 1, "a", "1"), "1"));
    assert_eq!(acked_one, [r#"R|E|VERSION_EXISTS|box|1|{}|{"writeSuccess":true}+"#, "R|WA|box|[1]|L+"]);
    let too_high = told(&mut rig, text, &acked(update("box", 9, r#"{"a":1}"#), "9"));
    assert_eq!(too_high, ["R|E|VERSION_EXISTS|box|1|{}+", "R|WA|box|[9]|L+"]);
    for version in [1, 9] {
        let lines = told(&mut rig, json, &patch("box", version, "a", "1"));
        assert!(lines[0].contains(r#""version":1,"#) && lines.len() == 1, "{lines:?}");
        assert!(lines[0].contains(r#""parsedData":{}"#) && !lines[0].contains("secret"), "{lines:?}");
    }
}

#[test]
fn the_document_itself_says_who_is_given_it() {
    let mut rig = but(2, &[("record", "*", "read", "oldData.open === true")]);
    let ann = rig.user(0, "ann");
    let create = |data| Outgoing { action: Action::RecordCreateAndUpdate, ..update("box", -1, data) };
    rig.send(ann, &create(r#"{"open":true}"#));
    let shown = told(&mut rig, ann, &update("box", 1, "{}"));
    assert!(shown[0].starts_with(r#"RECORD.VERSION_EXISTS name=box data={"open":true} version=1"#), "{shown:?}");
    rig.send(ann, &create(r#"{"open":false,"secret":1}"#));
    let withheld = told(&mut rig, ann, &update("box", 1, "{}"));
    assert!(withheld[0].starts_with("RECORD.VERSION_EXISTS name=box data={} version=2"), "{withheld:?}");
}

/// The answer waits for a record on another core that storage has to look for, and what comes behind it waits too.
#[test]
fn a_conflict_is_answered_once_the_records_of_its_rule_are_there() {
    let shown = SECRET.replace('}', r#","x":1}"#);
    for (found, disk, document) in [
        (Some(r#"{"open":true}"#), Disk::Works, &*shown),
        (Some(r#"{"open":false}"#), Disk::Works, "{}"),
        (None, Disk::Works, "{}"),
        // What cannot be found out denies.
        (Some(r#"{"open":true}"#), Disk::Fails, "{}"),
    ] {
        let rig = Rig::new(2);
        let (box_name, key) = (rig.name_on(0, "box"), rig.name_on(1, "key"));
        let read = format!("_('{key}').open");
        let mut rig = but(2, &[("record", &box_name, "read", &read)]);
        rig.stored.insert(box_name.clone().into_bytes(), (3, SECRET.into()));
        if let Some(found) = found {
            rig.stored.insert(key.clone().into_bytes(), (1, found.into()));
        }
        let (ann, bob) = (rig.user(1, "ann"), rig.user(0, "bob"));
        // In memory by a write that is denied nothing.
        assert!(told(&mut rig, bob, &patch(&box_name, 4, "x", "1")).is_empty());
        rig.disk = Disk::Hangs;
        let two = acked(patch(&box_name, 4, "mine", "1"), "2");
        assert!(told(&mut rig, ann, &two).is_empty(), "the key has to be looked for");
        assert!(told(&mut rig, bob, &update(&box_name, 4, "{}")).is_empty(), "in order");
        rig.unfreeze_to(disk);
        let answer =
            |rest: &str| format!("RECORD.VERSION_EXISTS name={box_name} data={document} {rest}version=4 original=");
        assert_eq!(rig.read(ann), [format!("{}PATCH write-ack", answer("id=2 "))]);
        if disk == Disk::Works {
            assert_eq!(rig.read(bob), [format!("{}UPDATE", answer(""))]);
        }
        assert_eq!(rig.notes.iter().filter(|note| matches!(note, Note::VersionExists { .. })).count(), 2);
        assert_eq!((rig.shards[0].census().rule_lookups, rig.shards[0].census().parked_messages), (0, 0));
    }
}

#[test]
fn a_conflict_that_finds_no_room_to_wait_is_refused_without_the_document() {
    let rig = Rig::new(2);
    let (box_name, key) = (rig.name_on(0, "box"), rig.name_on(1, "key"));
    let read = format!("_('{key}').open");
    let rules = [super::permit::OPEN.as_slice(), &[("record", &box_name, "read", &read)]].concat();
    let mut options = super::rig::patient();
    options.permissions = std::sync::Arc::new(super::rig::permissions(0, &rules));
    options.limits.parked_messages_max = 0;
    options.storage = false;
    let mut rig = Rig::with(2, &options);
    let ann = rig.user(0, "ann");
    rig.send(ann, &Outgoing { action: Action::RecordCreateAndUpdate, ..update(&box_name, -1, SECRET) });
    let lines = told(&mut rig, ann, &acked(update(&box_name, 1, "{}"), "1"));
    assert_eq!(lines, [format!("RECORD.RECORD_UPDATE_ERROR name={box_name} id=1 original=UPDATE error write-ack")]);
    rig.send(ann, &bulk(Action::RecordSubscribe, &[b"other"], "2"));
    assert_eq!(rig.shards[0].census().rule_lookups, 0);
}
