//! Owners of a cluster that wait until their slots are claimed, and their membership is trusted.

use super::rig::{Rig, about, acked, bulk, patient, permissions, update};
use crate::ident::{ConnId, Nanos, NodeId};
use crate::view::{Member, View};
use crate::{Options, Visibility};
use deepstream_wire::{Action, Outgoing};
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;
/// The epoch with which the node became a member, and of which all its slots are.
const SINCE: u64 = 3;

/// One node with so many cores that has all slots.
fn lone(cores: u16) -> Arc<View> {
    let member = Member { node: NodeId(4), cores, incarnation: 1, since: SINCE };
    let slots = vec![NodeId(4); View::SLOTS].into();
    Arc::new(View::new(7, [5, 6], vec![member], slots, vec![SINCE; View::SLOTS].into()).expect("a view"))
}

fn create<'a>(name: &'a str, data: &'a str) -> Outgoing<'a> {
    Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, data) }
}

fn read<'a>(name: &'a str, id: &'a str) -> Outgoing<'a> {
    Outgoing { correlation_id: Some(id.as_bytes()), ..about(Action::RecordRead, name) }
}

fn claim(rig: &mut Rig, generation: u64) {
    let all: Vec<u16> = (0..View::SLOTS as u16).collect();
    for core in 0..rig.shards.len() {
        let now = rig.now;
        rig.shards[core].claimed(now, &all, generation);
    }
    rig.settle();
}

fn lease(rig: &mut Rig, since: u64, until: Nanos) {
    for core in 0..rig.shards.len() {
        let now = rig.now;
        rig.shards[core].leased(now, since, until);
    }
    rig.settle();
}

/// Asks of records, events, presence and calls what is answered at once by whoever may answer.
fn ask_of_all(rig: &mut Rig, client: ConnId) {
    rig.send(client, &acked(create("r", "[1]"), "1"));
    rig.send(client, &acked(create("r", "[2]"), "2"));
    rig.send(client, &bulk(Action::RecordSubscribeAndRead, &[b"r"], "3"));
    rig.send(client, &bulk(Action::EventSubscribe, &[b"e"], "4"));
    rig.send(client, &bulk(Action::PresenceQuery, &[b"ann"], "5"));
    rig.send(client, &bulk(Action::RpcProvide, &[b"p"], "6"));
}

const ANSWERS: [&str; 6] = [
    "RECORD.WRITE_ACKNOWLEDGEMENT name=r id=1 write-ack",
    "RECORD.WRITE_ACKNOWLEDGEMENT name=r id=2 write-ack",
    "RECORD.READ_RESPONSE name=r data=[2] version=2",
    "EVENT.SUBSCRIBE id=4 ack",
    "PRESENCE.QUERY_RESPONSE",
    "RPC.PROVIDE id=6 ack",
];

/// Whether all of it is answered, whatever the order among names.
fn assert_answered(rig: &mut Rig, client: ConnId) {
    let told = rig.read(client);
    for answer in ANSWERS {
        assert!(told.iter().any(|line| line.starts_with(answer)), "{answer} in {told:?}");
    }
    assert_eq!(told.len(), ANSWERS.len(), "{told:?}");
}

#[test]
fn what_is_asked_before_the_claim_waits_and_is_done_in_its_order() {
    for visibility in [Visibility::Accepted, Visibility::Stored] {
        let mut rig = Rig::unclaimed(&lone(2), &Options { visibility, ..patient() });
        let client = rig.user(0, "ann");
        ask_of_all(&mut rig, client);
        assert_eq!(rig.read(client), ["RECORD.SUBSCRIBEANDREAD names=r id=3 ack"], "its edge has it");
        let loads = |rig: &Rig| rig.shards.iter().map(|shard| shard.counters().loads).sum::<u64>();
        for without in [
            // Of another claim, and of another membership.
            |rig: &mut Rig| claim(rig, SINCE - 1),
            |rig: &mut Rig| lease(rig, SINCE + 1, Nanos(u64::MAX)),
            |rig: &mut Rig| claim(rig, SINCE),
        ] {
            without(&mut rig);
            assert_eq!((rig.read(client), loads(&rig)), (Vec::new(), 0), "storage knows too little yet");
        }
        let until = rig.now.after(SECOND);
        lease(&mut rig, SINCE, until);
        assert_answered(&mut rig, client);
        assert_eq!(rig.stored[&b"r"[..]], (2, b"[2]".to_vec()));
        assert_eq!(rig.shards.iter().map(|shard| shard.census().parked_messages).sum::<usize>(), 0);
    }
}

#[test]
fn nothing_is_answered_from_memory_once_the_lease_is_over() {
    let mut rig = Rig::viewing_until(&lone(1), &patient(), SECOND);
    let (client, other) = (rig.client(0), rig.client(0));
    rig.send(client, &acked(create("r", "[1]"), "1"));
    rig.read(client);
    rig.pass(SECOND - 1);
    rig.send(other, &read("r", "2"));
    assert_eq!(rig.read(other).len(), 1, "until then it is");
    rig.pass(1);
    rig.send(other, &read("r", "3"));
    rig.send(client, &acked(create("r", "[2]"), "4"));
    rig.send(other, &read("r", "5"));
    assert_eq!((rig.read(other), rig.read(client)), (Vec::new(), Vec::new()));
    let until = rig.now.after(SECOND);
    lease(&mut rig, SINCE, until);
    let told = rig.read(other);
    assert!(told[0].contains("data=[1]") && told[1].contains("data=[2]"), "{told:?}");
    assert_eq!(rig.read(client).len(), 1);
}

#[test]
fn what_waits_too_long_is_answered_as_storage_that_takes_too_long() {
    // Without any patience, too: what waits is answered as soon as the clock moves.
    for patience in [30 * SECOND, 0] {
        let mut rig = Rig::unclaimed(&lone(1), &Options { storage_timeout_ns: patience, ..patient() });
        let client = rig.user(0, "ann");
        rig.send(client, &acked(create("r", "[1]"), "1"));
        rig.send(client, &read("r", "2"));
        assert_eq!(rig.read(client), Vec::<String>::new());
        if patience > 0 {
            rig.pass(patience - SECOND);
            assert_eq!(rig.read(client), Vec::<String>::new());
        }
        rig.pass(2 * SECOND);
        let told = rig.read(client);
        assert!(told[0].starts_with("RECORD.RECORD_UPDATE_ERROR name=r id=1"), "{told:?}");
        assert!(told[1].starts_with("RECORD.STORAGE_RETRIEVAL_TIMEOUT name=r id=2"), "{told:?}");
        assert_eq!(rig.shards[0].census().owned_names, 1, "the user's");
        claim(&mut rig, SINCE);
        lease(&mut rig, SINCE, Nanos(u64::MAX));
        rig.send(client, &about(Action::RecordHead, "r"));
        assert_eq!(rig.read(client).len(), 1, "and later ones are answered");
    }
}

#[test]
fn what_rules_look_for_waits_for_the_claim() {
    let rules = [
        ("record", "*", "create", "true"),
        ("record", "*", "write", "true"),
        ("record", "*", "read", "true"),
        ("event", "*", "publish", "_('r') !== null"),
        ("event", "*", "subscribe", "true"),
    ];
    for cores in [1, 2] {
        let options = Options { permissions: Arc::new(permissions(0, &rules)), ..patient() };
        let mut rig = Rig::unclaimed(&lone(cores), &options);
        rig.stored.insert(b"r".to_vec(), (4, b"{}".to_vec()));
        let client = rig.user(0, "ann");
        let event = rig.name_on(usize::from(cores) - 1, "e");
        rig.send(client, &bulk(Action::EventSubscribe, &[event.as_bytes()], "1"));
        rig.send(client, &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, &event) });
        // The event's core may answer, but not the record's, if that is another one.
        let all: Vec<u16> = (0..View::SLOTS as u16).collect();
        for core in 0..rig.shards.len() {
            let now = rig.now;
            rig.shards[core].leased(now, SINCE, Nanos(u64::MAX));
        }
        assert_eq!(rig.read(client), Vec::<String>::new());
        for core in 0..rig.shards.len() {
            let now = rig.now;
            rig.shards[core].claimed(now, &all, SINCE);
        }
        rig.settle();
        let told = rig.read(client);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(rig.shards.iter().map(|shard| shard.census().rule_lookups).sum::<usize>(), 0);
    }
}
