use super::rig::{Rig, about, bulk, patient};
use crate::{ConnId, Flow, Limits, Options, Reason};
use deepstream_wire::{Action, Outgoing, binary, encode};

const TOTAL_MAX: usize = 50_000;

fn burdened(copy_bytes_max: usize) -> Rig {
    let limits = Limits { outbox_bytes_total_max: TOTAL_MAX, copy_bytes_max, ..Limits::default() };
    Rig::with(1, &Options { limits, ..patient() })
}

/// Clients that read nothing, each subscribed to an event of its own and one that all have in common.
fn stuck(rig: &mut Rig, count: usize) -> Vec<ConnId> {
    let clients: Vec<ConnId> = (0..count).map(|_| rig.client(0)).collect();
    for (number, &conn) in clients.iter().enumerate() {
        let own = format!("e{number}");
        rig.send(conn, &bulk(Action::EventSubscribe, &[own.as_bytes(), b"all"], "0"));
        rig.slow_down(conn);
    }
    clients
}

fn emit(rig: &mut Rig, from: ConnId, name: &str, bytes: usize) {
    let data = format!("\"{}\"", "x".repeat(bytes));
    rig.send(from, &Outgoing { data: Some(data.as_bytes()), ..about(Action::EventEmit, name) });
    assert!(rig.shards[0].census().held_bytes <= TOTAL_MAX, "after {name}");
}

#[test]
fn the_heaviest_are_dropped_first_until_the_others_fit() {
    let mut rig = burdened(1 << 20);
    let emitter = rig.client(0);
    let clients = stuck(&mut rig, 4);
    for (name, bytes) in [("e0", 9000), ("e1", 20_000), ("e2", 15_000), ("e3", 5000)] {
        emit(&mut rig, emitter, name, bytes);
    }
    assert_eq!(rig.closed, [], "49,000 bytes fit");
    emit(&mut rig, emitter, "e3", 5000);
    assert_eq!(rig.closed, [(clients[1], Reason::Overburdened)]);
    assert!(rig.shards[0].census().held_bytes < 36_000);
    emit(&mut rig, emitter, "e0", 18_000);
    assert_eq!(rig.closed[1..], [(clients[0], Reason::Overburdened)], "27,000 are most by now");
    rig.read_some(clients[3], usize::MAX);
    rig.read_some(clients[2], usize::MAX);
    for &conn in &clients {
        rig.shards[0].disconnected(rig.now, conn);
    }
    assert_eq!(rig.shards[0].census().held_bytes, 0);
}

#[test]
fn who_refills_what_was_made_free_is_weighed_once_an_eighth_of_the_bound() {
    let mut rig = burdened(1 << 20);
    let emitter = rig.client(0);
    let clients = stuck(&mut rig, 40);
    for number in 0..24 {
        emit(&mut rig, emitter, &format!("e{number}"), 2000);
    }
    assert_eq!(rig.closed, [], "48,000 bytes fit");
    emit(&mut rig, emitter, "e24", 2500);
    let dropped = rig.closed.len();
    assert_eq!(rig.closed[0], (clients[24], Reason::Overburdened), "the heaviest first");
    assert!(rig.shards[0].census().held_bytes <= TOTAL_MAX / 8 * 7);
    emit(&mut rig, emitter, "e30", 2000);
    emit(&mut rig, emitter, "e31", 2000);
    assert_eq!(rig.closed.len(), dropped, "there is room");
}

#[test]
fn what_many_are_sent_counts_once_until_the_last_has_read_it() {
    let mut rig = burdened(100);
    let emitter = rig.client(0);
    let clients = stuck(&mut rig, 40);
    (0..3).for_each(|_| emit(&mut rig, emitter, "all", 10_000));
    assert_eq!(rig.closed, [], "1,200,000 bytes wait, 30,000 are held");
    let held = rig.shards[0].census().held_bytes;
    assert!((30_000..31_000).contains(&held), "{held}");
    for &conn in &clients[1..] {
        rig.read_some(conn, usize::MAX);
    }
    assert!(rig.shards[0].census().held_bytes >= 30_000, "one has not read");
    rig.read_some(clients[0], 15_000);
    let held = rig.shards[0].census().held_bytes;
    assert!((20_000..21_000).contains(&held), "the second frame is whole as long as a part of it waits: {held}");
    rig.drop_client(clients[0]);
    assert_eq!(rig.shards[0].census().held_bytes, 0);
}

#[test]
fn what_did_not_come_whole_counts_too() {
    let mut rig = burdened(100);
    let emitter = rig.client(0);
    let clients = stuck(&mut rig, 2);
    let _ = rig.shards[0].holds(rig.now, clients[0], 0, 30_000);
    let _ = rig.shards[0].holds(rig.now, clients[1], 10_000, 0);
    rig.settle();
    assert_eq!(rig.closed, []);
    emit(&mut rig, emitter, "e1", 12_000);
    assert_eq!(rig.closed, [(clients[0], Reason::Overburdened)]);
    let _ = rig.shards[0].holds(rig.now, clients[0], 0, 60_000);
    rig.settle();
    assert_eq!(rig.closed.len(), 1, "it is forgotten");
    for &conn in &clients {
        rig.shards[0].disconnected(rig.now, conn);
    }
    assert_eq!(rig.shards[0].census().held_bytes, 0);
}

#[test]
fn an_answer_that_is_kept_outside_falls_under_the_clock_of_slow_readers() {
    let limits = Limits { outbox_bytes_total_max: 16 << 20, ..Limits::default() };
    let mut rig = Rig::with(1, &Options { limits, ..patient() });
    let conn = rig.client(0);
    let _ = rig.shards[0].holds(rig.now, conn, 2 << 20, 0);
    rig.settle();
    rig.pass(29_000_000_000);
    assert_eq!(rig.closed, []);
    rig.pass(2_000_000_000);
    assert_eq!(rig.closed, [(conn, Reason::SlowConsumerStalled)]);
}

#[test]
fn above_half_of_the_bound_who_has_much_unsent_is_read_no_more() {
    let mut rig = burdened(1 << 20);
    let emitter = rig.client(0);
    let clients = stuck(&mut rig, 2);
    let mut ping = Vec::new();
    encode::encode_message(&Outgoing::new(Action::ConnectionPing), &mut ping);
    let asks = |rig: &mut Rig, conn: ConnId| {
        let message = binary::messages(&ping).next().expect("one").expect("a ping");
        rig.shards[0].received(rig.now, conn, &message)
    };
    let high_water = Limits::default().outbox_high_water_bytes;
    assert!(TOTAL_MAX / 2 < high_water / 16, "neither would be paused by a sixteenth of the mark");
    emit(&mut rig, emitter, "e0", 20_000);
    assert_eq!(asks(&mut rig, clients[0]), Flow::Continue);

    let limits = Limits { outbox_high_water_bytes: 20_000, outbox_bytes_total_max: TOTAL_MAX, ..Limits::default() };
    let mut rig = Rig::with(1, &Options { limits, ..patient() });
    let emitter = rig.client(0);
    let clients = stuck(&mut rig, 3);
    emit(&mut rig, emitter, "e0", 2000);
    assert_eq!(asks(&mut rig, clients[0]), Flow::Continue);
    emit(&mut rig, emitter, "e1", 19_000);
    emit(&mut rig, emitter, "e2", 10_000);
    assert_eq!(asks(&mut rig, clients[0]), Flow::Pause, "2,000 bytes are more than a sixteenth");
    rig.read_some(clients[0], usize::MAX);
    assert_eq!(asks(&mut rig, clients[0]), Flow::Continue);
}
