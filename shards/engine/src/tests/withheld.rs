use super::permit::OPEN;
use super::rig::{Disk, Rig, about, acked, bulk, patch, patient, permissions, update};
use crate::{ConnId, Limits, Options, Permissions, Reason};
use deepstream_wire::{Action, Outgoing};
use std::sync::Arc;

const HIGH_WATER: usize = 10_000;
const OUTBOX_MAX: usize = 40_000;
/// Acknowledgements, and what a message is in bytes beside its value.
const SLACK: usize = 200;

/// Shards whose outboxes are small.
fn narrow(cores: u16) -> Rig {
    narrow_under(cores, Arc::default())
}

fn narrow_under(cores: u16, permissions: Arc<Permissions>) -> Rig {
    let limits = Limits { outbox_high_water_bytes: HIGH_WATER, outbox_bytes_max: OUTBOX_MAX, ..Limits::default() };
    Rig::with(cores, &Options { limits, permissions, ..patient() })
}

/// Writes a record of so many bytes.
fn write(rig: &mut Rig, conn: ConnId, name: &str, bytes: usize) {
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes));
    rig.send(conn, &acked(Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, &data) }, "w"));
    rig.read(conn);
}

fn answers(lines: &[String], action: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(action)).count()
}

#[test]
fn one_message_is_answered_as_its_outbox_has_room() {
    for cores in [1, 2, 3] {
        let mut rig = narrow(cores);
        let writer = rig.client(0);
        let names: Vec<String> = (0..30).map(|number| format!("large/{number}")).collect();
        for name in &names {
            write(&mut rig, writer, name, 5000);
        }
        let reader = rig.client(0);
        rig.slow_down(reader);
        let list: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        rig.send(reader, &bulk(Action::RecordSubscribeCreateAndRead, &list, "0"));
        // An owner tells connections of other cores a little before it asks whether there is room.
        let mut most = rig.unread(reader);
        while rig.unread(reader) > 0 {
            most = most.max(rig.read_some(reader, 1000));
        }
        assert!(most <= HIGH_WATER * usize::from(cores) + SLACK, "{cores} cores: {most} bytes waited at once");
        assert_eq!(answers(&rig.read(reader), "RECORD.READ_RESPONSE"), 30, "{cores} cores");
        assert_eq!(rig.closed, [], "{cores} cores");

        // All of them are subscribed to.
        rig.send(writer, &update("large/7", 2, r#"{"n":1}"#));
        assert!(rig.unread(reader) > 0);
        assert!(rig.shards.iter().all(|shard| shard.census().withheld == 0));
    }
}

#[test]
fn readings_that_come_one_by_one_and_all_at_once_wait_alike() {
    for cores in [1, 2] {
        let mut rig = narrow(cores);
        let writer = rig.client(0);
        let name = rig.name_on(usize::from(cores) - 1, "r");
        write(&mut rig, writer, &name, 5000);
        let reader = rig.client(0);
        rig.slow_down(reader);
        (0..50).for_each(|_| rig.send_only(reader, &about(Action::RecordRead, &name)));
        rig.settle();
        let mut most = rig.unread(reader);
        while rig.unread(reader) > 0 {
            most = most.max(rig.read_some(reader, 1000));
        }
        assert!(most <= HIGH_WATER + SLACK, "{cores} cores: {most}");
        assert_eq!(answers(&rig.read(reader), "RECORD.READ_RESPONSE"), 50);
        assert_eq!(rig.closed, []);
    }
}

#[test]
fn what_a_connection_says_next_of_a_name_finds_its_reading_answered() {
    for cores in [1, 2] {
        let mut rig = narrow(cores);
        let writer = rig.client(0);
        let name = rig.name_on(usize::from(cores) - 1, "r");
        write(&mut rig, writer, &name, 12_000);
        let reader = rig.client(0);
        rig.slow_down(reader);
        rig.send_only(reader, &about(Action::RecordRead, &name));
        rig.send_only(reader, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "0"));
        rig.send_only(reader, &about(Action::RecordDelete, &name));
        rig.settle();
        while rig.unread(reader) > 0 {
            rig.read_some(reader, 1000);
        }
        let lines: Vec<String> =
            rig.read(reader).iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
        let told =
            ["RECORD.SUBSCRIBECREATEANDREAD", "RECORD.READ_RESPONSE", "RECORD.READ_RESPONSE", "RECORD.DELETE_SUCCESS"];
        let order: Vec<&str> = told.iter().copied().filter(|told| lines.contains(&(*told).to_owned())).collect();
        assert_eq!(order, told, "{cores} cores: {lines:?}");
        let place = |what: &str| lines.iter().rposition(|line| line == what);
        assert!(place("RECORD.READ_RESPONSE") < place("RECORD.DELETE_SUCCESS"), "{lines:?}");
        assert!(rig.shards.iter().all(|shard| shard.census().withheld == 0));
    }
}

#[test]
fn what_is_withheld_from_one_who_leaves_is_forgotten() {
    let mut rig = narrow(2);
    let writer = rig.client(0);
    let names: Vec<String> = (0..20).map(|number| format!("large/{number}")).collect();
    for name in &names {
        write(&mut rig, writer, name, 5000);
    }
    let reader = rig.client(0);
    rig.slow_down(reader);
    let list: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    rig.send(reader, &bulk(Action::RecordSubscribeAndRead, &list, "0"));
    assert!(rig.shards[0].census().withheld > 0);
    rig.drop_client(reader);
    for name in &names {
        rig.send(writer, &about(Action::RecordDelete, name));
    }
    rig.drop_client(writer);
    let left: Vec<_> = rig.shards.iter().map(|shard| (shard.census().owned_names, shard.census().withheld)).collect();
    assert_eq!(left, [(0, 0), (0, 0)]);
}

/// One that is fetched waits for the record to be deleted, with the next behind it. The end of the first has its edge, which
/// is the owner's core, fetch the next, of which nothing is left to do: neither is there anything left of the name.
#[test]
fn what_is_fetched_of_a_record_that_goes_is_told_that_there_is_none() {
    for cores in [1, 2] {
        for home in 0..usize::from(cores) {
            for (asked, answered) in [
                (about(Action::RecordRead, ""), "RECORD.RECORD_NOT_FOUND"),
                (patch("", 1, "a", "1"), "RECORD.VERSION_EXISTS"),
                (acked(update("", 1, "{}"), "7"), "RECORD.VERSION_EXISTS"),
            ] {
                let mut rig = narrow(cores);
                let writer = rig.client(0);
                let name = rig.name_on(home, "r");
                write(&mut rig, writer, &name, 12_000);
                let reader = rig.client(0);
                rig.slow_down(reader);
                rig.send(reader, &about(Action::RecordRead, &name));
                for _ in 0..4 {
                    rig.send_only(reader, &Outgoing { name: Some(name.as_bytes()), ..asked });
                }
                rig.settle();
                rig.disk = Disk::Hangs;
                rig.send(writer, &about(Action::RecordDelete, &name));
                while rig.unread(reader) > 0 {
                    rig.read_some(reader, 1000);
                }
                let before = answers(&rig.read(reader), answered);
                rig.unfreeze();
                while rig.unread(reader) > 0 {
                    rig.read_some(reader, 1000);
                }
                let lines = rig.read(reader);
                assert!(
                    before < 4 && answers(&lines, answered) + before == 4,
                    "{home} of {cores}: {before}, {lines:?}"
                );
                assert!(rig.shards.iter().all(|shard| shard.census().withheld == 0));
                rig.send(reader, &about(Action::RecordRead, &name));
                rig.read_some(reader, 1000);
                assert_eq!(answers(&rig.read(reader), "RECORD.RECORD_NOT_FOUND"), 1);
            }
        }
    }
}

#[test]
fn a_record_larger_than_an_outbox_may_be_is_read_all_the_same() {
    for cores in [1, 2] {
        let mut rig = narrow(cores);
        let writer = rig.client(0);
        let name = rig.name_on(usize::from(cores) - 1, "r");
        write(&mut rig, writer, &name, OUTBOX_MAX * 2);
        let reader = rig.client(0);
        rig.slow_down(reader);
        rig.send(reader, &bulk(Action::RecordSubscribeAndRead, &[name.as_bytes(), b"other"], "0"));
        while rig.unread(reader) > 0 {
            rig.read_some(reader, 1000);
        }
        assert_eq!(answers(&rig.read(reader), "RECORD.READ_RESPONSE"), 2);
        assert_eq!(rig.closed, []);
    }
}

/// A conflict is answered with the record, too, and one who counts on from a write that was denied has many at once.
#[test]
fn conflicts_with_a_large_record_wait_as_readings_do() {
    for cores in [1, 2] {
        for version in [1, 9] {
            let mut rig = narrow(cores);
            let writer = rig.client(0);
            let name = rig.name_on(usize::from(cores) - 1, "r");
            write(&mut rig, writer, &name, 5000);
            let loser = rig.client(0);
            rig.slow_down(loser);
            for number in 0..50 {
                let id = number.to_string();
                rig.send_only(loser, &acked(patch(&name, version, "mine", "1"), &id));
            }
            rig.settle();
            let mut most = rig.unread(loser);
            while rig.unread(loser) > 0 {
                most = most.max(rig.read_some(loser, 1000));
            }
            assert_eq!(rig.closed, [], "{cores} cores");
            assert!(most <= HIGH_WATER + SLACK, "{cores} cores: {most}");
            let lines = rig.read(loser);
            for number in 0..50 {
                let told: Vec<&str> = lines
                    .iter()
                    .filter(|line| line.contains(&format!(" id={number} version=1 original=PATCH")))
                    .map(|line| line.split(' ').next().unwrap_or_default())
                    .collect();
                let refused = ["RECORD.VERSION_EXISTS", "RECORD.INVALID_VERSION"];
                assert_eq!(told, &refused[..if version == 9 { 2 } else { 1 }], "{cores} cores: {number}");
            }
            assert!(rig.shards.iter().all(|shard| shard.census().withheld == 0));
        }
    }
}

#[test]
fn what_a_connection_says_behind_a_conflict_is_answered_behind_it() {
    for cores in [1, 2] {
        let mut rig = narrow(cores);
        let writer = rig.client(0);
        let name = rig.name_on(usize::from(cores) - 1, "r");
        write(&mut rig, writer, &name, 9_000);
        let loser = rig.client(0);
        rig.slow_down(loser);
        rig.send_only(loser, &about(Action::RecordRead, &name));
        rig.send_only(loser, &acked(update(&name, 9, "{}"), "1"));
        rig.send_only(loser, &about(Action::RecordRead, &name));
        rig.send_only(loser, &acked(update(&name, 1, "{}"), "2"));
        rig.send_only(loser, &acked(update(&name, 2, "{}"), "3"));
        rig.send_only(loser, &acked(update(&name, 2, "{}"), "4"));
        rig.send_only(loser, &about(Action::RecordHead, &name));
        rig.settle();
        while rig.unread(loser) > 0 {
            rig.read_some(loser, 1000);
        }
        let lines = rig.read(loser);
        // Storage acknowledges when it has it.
        let (acks, lines): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.contains("WRITE_ACKNOWLEDGEMENT"));
        assert_eq!(acks, [format!("RECORD.WRITE_ACKNOWLEDGEMENT name={name} id=3 write-ack")]);
        let told: Vec<String> = lines
            .iter()
            .map(|line| {
                let id = line.split(' ').find(|part| part.starts_with("id=")).unwrap_or_default();
                format!("{}{id}", line.split(' ').next().unwrap_or_default().trim_start_matches("RECORD."))
            })
            .collect();
        let expected = [
            "READ_RESPONSE",
            "VERSION_EXISTSid=1",
            "INVALID_VERSIONid=1",
            "READ_RESPONSE",
            "VERSION_EXISTSid=2",
            "VERSION_EXISTSid=4",
            "HEAD_RESPONSE",
        ];
        assert_eq!(told, expected, "{cores} cores");
        assert!(rig.shards.iter().all(|shard| shard.census().withheld == 0 && shard.census().parked_messages == 0));
    }
}

/// What was withheld is told as it is by then, and to who may read it then, whether it is fetched or comes first of more.
#[test]
fn what_became_a_secret_meanwhile_is_not_told() {
    let cases = [1, 2].into_iter().flat_map(|cores| [(cores, false), (cores, true)]);
    for ((cores, asks_more), conflicts) in cases.flat_map(|case| [(case, false), (case, true)]) {
        let rules = [OPEN.as_slice(), &[("record", "box*", "read", "oldData.open === true")]].concat();
        let mut rig = narrow_under(cores, Arc::new(permissions(0, &rules)));
        let (boss, ann) = (rig.user(0, "boss"), rig.user(0, "ann"));
        let name = rig.name_on(usize::from(cores) - 1, "box");
        let document = |open, word: &str| format!(r#"{{"open":{open},"text":"{}"}}"#, word.repeat(1500));
        let put = |rig: &mut Rig, data: &str| {
            rig.send(boss, &Outgoing { action: Action::RecordCreateAndUpdate, ..update(&name, -1, data) });
        };
        put(&mut rig, &document(true, "plain "));
        rig.slow_down(ann);
        let message = if conflicts { update(&name, 9, "{}") } else { about(Action::RecordRead, &name) };
        (0..3).for_each(|_| rig.send_only(ann, &message));
        rig.settle();
        put(&mut rig, &document(false, "secret "));
        if asks_more {
            rig.send(ann, &acked(patch(&name, 3, "mine", "1"), "3"));
        }
        while rig.unread(ann) > 0 {
            rig.read_some(ann, 1000);
        }
        let case = format!("{cores} cores, conflicts: {conflicts}, host_requests more: {asks_more}");
        assert_eq!(rig.closed, [], "{case}");
        let lines = rig.read(ann);
        assert!(!lines.concat().contains("secret"), "{case}");
        let answered = ["RECORD.VERSION_EXISTS", "RECORD.READ_RESPONSE", "RECORD.MESSAGE_DENIED"];
        let answered: usize = answered.iter().map(|action| answers(&lines, action)).sum();
        assert_eq!(answered, 3, "{case}");
        assert_eq!(answers(&lines, "RECORD.WRITE_ACKNOWLEDGEMENT"), usize::from(asks_more), "{case}");
    }
}

#[test]
fn what_others_say_still_ends_one_who_does_not_keep_up() {
    let mut rig = narrow(1);
    let (writer, reader) = (rig.client(0), rig.client(0));
    write(&mut rig, writer, "r", 10);
    rig.send(reader, &bulk(Action::RecordSubscribeAndRead, &[b"r"], "0"));
    rig.slow_down(reader);
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(9000));
    for version in 2..10 {
        rig.send(writer, &update("r", version, &data));
        rig.read_some(reader, 1000);
    }
    assert_eq!(rig.closed, [(reader, Reason::SlowConsumerFull)]);
}
