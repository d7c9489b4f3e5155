use super::rig::{Rig, about, acked, bulk, patient, update};
use crate::{ConnId, Limits, Options, Reason};
use deepstream_wire::{Action, Outgoing};

const HIGH_WATER: usize = 10_000;
const OUTBOX_MAX: usize = 40_000;
/// Acknowledgements, and what a message is in bytes beside its value.
const SLACK: usize = 200;

/// Shards whose outboxes are small.
fn narrow(cores: u16) -> Rig {
    let limits = Limits { outbox_high_water_bytes: HIGH_WATER, outbox_bytes_max: OUTBOX_MAX, ..Limits::default() };
    Rig::with(cores, &Options { limits, ..patient() })
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
        // An owner tells strangers a little before it asks whether there is room.
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
