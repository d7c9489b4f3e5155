use super::rig::{Rig, about, bulk};
use crate::{ConnId, Options, Outbox};
use deepstream_wire::{Action, Outgoing};

fn subscribe(rig: &mut Rig, conn: ConnId, name: &str) {
    rig.send(conn, &bulk(Action::EventSubscribe, &[name.as_bytes()], "0"));
    assert_eq!(rig.read(conn), ["EVENT.SUBSCRIBE id=0 ack"]);
}

fn emit<'a>(name: &'a str, data: &'a str) -> Outgoing<'a> {
    Outgoing { data: Some(data.as_bytes()), ..about(Action::EventEmit, name) }
}

#[test]
fn an_event_reaches_every_subscriber_but_the_emitter_on_every_pair_of_cores() {
    for owner in 0..3 {
        let mut rig = Rig::new(3);
        let name = rig.name_on(owner, "event");
        let clients: Vec<ConnId> = (0..3).flat_map(|core| [rig.client(core), rig.client(core)]).collect();
        for &client in &clients {
            subscribe(&mut rig, client, &name);
        }
        for &emitter in &clients {
            rig.send(emitter, &emit(&name, "[1]"));
            for &client in &clients {
                let heard = rig.read(client);
                if client == emitter {
                    assert!(heard.is_empty(), "{heard:?}");
                } else {
                    assert_eq!(heard, [format!("EVENT.EMIT name={name} data=[1]")]);
                }
            }
        }
    }
}

#[test]
fn an_event_costs_its_owner_one_packet_for_each_core_that_listens() {
    let mut rig = Rig::new(16);
    let name = rig.name_on(0, "event");
    for core in 0..16 {
        for _ in 0..3 {
            let client = rig.client(core);
            subscribe(&mut rig, client, &name);
        }
    }
    let emitter = rig.client(0);
    rig.send_only(emitter, &emit(&name, "1"));
    for core in 1..16 {
        assert_eq!(rig.take_packets(0, core).len(), 1, "to core {core}");
    }
}

#[test]
fn who_waits_longest_is_flushed_first_and_takes_along_what_came_meanwhile() {
    let mut rig = Rig::new(1);
    let clients: Vec<ConnId> = (0..4).map(|_| rig.client(0)).collect();
    for &client in &clients {
        subscribe(&mut rig, client, "e");
    }
    let (emitter, listeners) = (clients[0], &clients[1..]);
    let flush_one = |rig: &mut Rig| {
        let conn = rig.shards[0].dirty().expect("somebody was told something");
        let mut outbox = Outbox::default();
        rig.shards[0].take_output(conn, &mut outbox);
        rig.shards[0].flushed(rig.now, conn, outbox.len());
        (conn, outbox.len())
    };
    rig.send_only(emitter, &emit("e", "1"));
    let (first, one_long) = flush_one(&mut rig);
    rig.send_only(emitter, &emit("e", "2"));
    let then: Vec<_> = (0..3).map(|_| flush_one(&mut rig)).collect();
    assert_eq!(first, listeners[0]);
    assert_eq!(then, [(listeners[1], 2 * one_long), (listeners[2], 2 * one_long), (first, one_long)]);
    assert_eq!(rig.shards[0].dirty(), None);
}

#[test]
fn an_event_without_data_arrives_without_data() {
    let mut rig = Rig::new(1);
    let (one, two) = (rig.client(0), rig.client(0));
    subscribe(&mut rig, two, "e");
    rig.send(one, &about(Action::EventEmit, "e"));
    assert_eq!(rig.read(two), ["EVENT.EMIT name=e"]);
}

#[test]
fn poison_never_reaches_a_subscriber() {
    let mut rig = Rig::new(2);
    let (one, two) = (rig.client(0), rig.client(1));
    subscribe(&mut rig, two, "e");
    for data in ["{bad", " ", "1 2", "\"\u{1}\""] {
        rig.send(one, &emit("e", data));
        assert_eq!(rig.read(one), ["EVENT.INVALID_MESSAGE_DATA name=e original=EMIT error"], "{data}");
    }
    rig.send(one, &Outgoing { data: Some(b"1"), ..Outgoing::new(Action::EventEmit) });
    assert_eq!(rig.read(one), ["EVENT.INVALID_MESSAGE_DATA original=EMIT error"]);
    assert!(rig.read(two).is_empty());
}

#[test]
fn a_second_subscription_is_told_so_and_acknowledged() {
    let mut rig = Rig::new(2);
    let client = rig.client(0);
    let name = rig.name_on(1, "e");
    subscribe(&mut rig, client, &name);
    rig.send(client, &bulk(Action::EventSubscribe, &[name.as_bytes()], "1"));
    let told =
        [format!("EVENT.MULTIPLE_SUBSCRIPTIONS name={name} original=SUBSCRIBE"), "EVENT.SUBSCRIBE id=1 ack".into()];
    assert_eq!(rig.read(client), told);
}

#[test]
fn a_bulk_over_all_cores_is_acknowledged_once_and_an_empty_one_too() {
    let mut rig = Rig::with(4, &Options { presence: false, ..Options::default() });
    let client = rig.client(2);
    let names: Vec<String> = (0..100).map(|number| format!("e{number}")).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    rig.send(client, &bulk(Action::EventSubscribe, &names, "5"));
    assert_eq!(rig.read(client), ["EVENT.SUBSCRIBE id=5 ack"]);
    rig.send(client, &bulk(Action::EventUnsubscribe, &names, "6"));
    assert_eq!(rig.read(client), ["EVENT.UNSUBSCRIBE id=6 ack"]);
    rig.send(client, &bulk(Action::EventSubscribe, &[], "7"));
    assert_eq!(rig.read(client), ["EVENT.SUBSCRIBE id=7 ack"]);
    for shard in &rig.shards {
        let census = shard.census();
        assert_eq!((census.edge_names, census.owned_names, census.bulk_requests), (0, 0, 0));
    }
}

#[test]
fn names_over_their_limits_are_refused_and_the_others_served() {
    let mut options = Options::default();
    options.limits.name_bytes_max = 4;
    options.limits.names_per_message_max = 3;
    options.limits.subscriptions_per_connection_max = 2;
    let mut rig = Rig::with(1, &options);
    let client = rig.client(0);
    rig.send(client, &bulk(Action::EventSubscribe, &[b"toolong", b"a"], "1"));
    let told = ["EVENT.INVALID_MESSAGE_DATA id=1 original=SUBSCRIBE error", "EVENT.SUBSCRIBE id=1 ack"];
    assert_eq!(rig.read(client), told);
    rig.send(client, &bulk(Action::EventSubscribe, &[b"a", b"b", b"c", b"d"], "2"));
    assert_eq!(rig.read(client), ["EVENT.INVALID_MESSAGE_DATA id=2 original=SUBSCRIBE error"]);
    rig.send(client, &bulk(Action::EventSubscribe, &[b"b", b"c"], "3"));
    let told = ["EVENT.INVALID_MESSAGE_DATA name=c id=3 original=SUBSCRIBE error", "EVENT.SUBSCRIBE id=3 ack"];
    assert_eq!(rig.read(client), told);
    rig.send(client, &bulk(Action::EventSubscribe, &[b"c"], "4"));
    assert_eq!(rig.read(client), ["EVENT.INVALID_MESSAGE_DATA name=c id=4 original=SUBSCRIBE error"]);
}

#[test]
fn one_who_left_while_joining_leaves_nothing_behind() {
    let mut rig = Rig::with(2, &Options { presence: false, ..Options::default() });
    let name = rig.name_on(1, "e");
    let (stays, goes) = (rig.client(0), rig.client(0));
    subscribe(&mut rig, stays, &name);
    let mut payload = Vec::new();
    deepstream_wire::encode::encode_message(&bulk(Action::EventSubscribe, &[name.as_bytes()], "1"), &mut payload);
    let _ = rig.bytes_only(goes, &payload);
    rig.drop_client(goes);
    let emitter = rig.client(1);
    rig.send(emitter, &emit(&name, "1"));
    assert_eq!(rig.read(stays).len(), 1);
    rig.drop_client(stays);
    for shard in &rig.shards {
        let census = shard.census();
        assert_eq!((census.edge_members, census.owned_names, census.bulk_requests), (0, 0, 0));
    }
}

#[test]
fn a_large_event_is_shared_not_copied_and_arrives_whole() {
    for cores in [1, 2] {
        let mut rig = Rig::new(cores);
        let name = rig.name_on(0, "e");
        let (one, two) = (rig.client(0), rig.client(cores as usize - 1));
        subscribe(&mut rig, two, &name);
        let data = format!("\"{}\"", "x".repeat(100_000));
        rig.send(one, &emit(&name, &data));
        rig.send(one, &emit(&name, "1"));
        assert_eq!(
            rig.read(two),
            [format!("EVENT.EMIT name={name} data={data}"), format!("EVENT.EMIT name={name} data=1")]
        );
    }
}
