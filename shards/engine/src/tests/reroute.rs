//! Edges whose names go to other owners: what they asked, what they hold, and what becomes of it.

use super::rig::{Rig, about, acked, bulk, patient, permissions, update};
use crate::Flow;
use crate::ident::{ConnId, NodeId, Place};
use crate::packet::{Lane, Packet};
use crate::view::{Member, View};
use crate::{Options, Visibility};
use deepstream_wire::{Action, Flags, Outgoing, binary, encode};
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;

/// A view in which these nodes are members, one core each, and one of them has all slots since an epoch.
fn view(epoch: u64, nodes: &[u8], owner: u8, since: u64) -> Arc<View> {
    let member = |&node: &u8| Member { node: NodeId(node), cores: 1, incarnation: u64::from(node), since: 1 };
    let slots = vec![NodeId(owner); View::SLOTS].into();
    let members = nodes.iter().map(member).collect();
    Arc::new(View::new(epoch, [5, 6], members, slots, vec![since; View::SLOTS].into()).expect("a view"))
}

fn options(visibility: Visibility) -> Options {
    Options { moves_names: true, visibility, ..patient() }
}

/// Nodes 0, 1, 2, of which the first has everything.
fn three(visibility: Visibility) -> Rig {
    Rig::viewing(&view(1, &[0, 1, 2], 0, 1), &options(visibility))
}

impl Rig {
    fn adopt_at(&mut self, node: usize, view: &Arc<View>) {
        let now = self.now;
        assert_eq!(self.shards[node].adopt_view(now, Arc::clone(view)), Ok(()));
    }

    /// All that live adopt a view, and claim what is theirs once nobody else has anything of it to store.
    fn go_to(&mut self, view: &Arc<View>) {
        let living: Vec<usize> = (0..self.shards.len()).filter(|node| !self.dead.contains(node)).collect();
        for &node in &living {
            if self.shards[node].standing().adopted < view.epoch() {
                self.adopt_at(node, view);
            }
        }
        self.settle();
        for &node in &living {
            assert_eq!(self.shards[node].standing().yielded, view.epoch(), "{node}");
            self.claim_all(node, view);
        }
    }

    /// Edges wait for nothing.
    fn assert_at_rest(&self) {
        for (node, shard) in self.shards.iter().enumerate().filter(|(node, _)| !self.dead.contains(node)) {
            let census = shard.census();
            assert_eq!((census.asked_of_nodes, census.held_requests), (0, 0), "{node}");
            assert_eq!((census.bulk_requests, census.parked_messages), (0, 0), "{node}");
        }
    }
}

fn create<'a>(name: &'a str, data: &'a str) -> Outgoing<'a> {
    Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, data) }
}

/// Everything that can be asked of a name's owner and is answered: of a record that is there, an event, a call that nobody answers
/// yet, a user.
fn asked() -> Vec<(Action, Outgoing<'static>)> {
    const R: &[&[u8]] = &[b"r"];
    let single = |action| Outgoing { correlation_id: Some(b"7"), ..about(action, "r") };
    let written = |action| Outgoing { action, ..acked(update("r", 2, "[2]"), "7") };
    let all = vec![
        single(Action::RecordRead),
        single(Action::RecordHead),
        bulk(Action::RecordSubscribe, R, "7"),
        bulk(Action::RecordSubscribeAndHead, R, "7"),
        bulk(Action::RecordSubscribeAndRead, R, "7"),
        bulk(Action::RecordSubscribeCreateAndRead, R, "7"),
        bulk(Action::RecordNotify, R, "7"),
        written(Action::RecordUpdate),
        written(Action::RecordCreateAndUpdate),
        Outgoing { path: Some(b"[0]"), data: Some(b"9"), ..written(Action::RecordPatch) },
        Outgoing { path: Some(b"[0]"), data: Some(b"9"), ..written(Action::RecordCreateAndPatch) },
        Outgoing { path: Some(b"[0]"), data: None, ..written(Action::RecordErase) },
        about(Action::RecordDelete, "r"),
        Outgoing { data: Some(b"1"), is_ack: true, ..single(Action::EventEmit) },
        bulk(Action::EventSubscribe, R, "7"),
        bulk(Action::RpcProvide, R, "7"),
        bulk(Action::RpcUnprovide, R, "7"),
        Outgoing { data: Some(b"1"), ..single(Action::RpcRequest) },
        bulk(Action::PresenceSubscribe, R, "7"),
        bulk(Action::PresenceQuery, R, "7"),
    ];
    all.into_iter().map(|said| (said.action, said)).collect()
}

/// Whether it is unknown what became of it once its owner is lost.
fn does_harm(action: Action) -> bool {
    matches!(
        action,
        Action::RecordUpdate
            | Action::RecordCreateAndUpdate
            | Action::RecordPatch
            | Action::RecordCreateAndPatch
            | Action::RecordErase
            | Action::RecordDelete
            | Action::RpcRequest
    )
}

/// A world in which the record is there, and a client at the second node.
fn begun(visibility: Visibility) -> (Rig, ConnId) {
    let mut rig = three(visibility);
    let client = rig.user(1, "ann");
    rig.send(client, &acked(create("r", "[1]"), "1"));
    rig.read(client);
    (rig, client)
}

/// What is answered when nothing gets in the way.
fn undisturbed(said: &Outgoing<'_>) -> Vec<String> {
    let (mut rig, client) = begun(Visibility::Accepted);
    rig.send(client, said);
    rig.read(client)
}

#[test]
fn whatever_is_asked_of_another_node_is_over_when_it_is_answered() {
    for visibility in [Visibility::Accepted, Visibility::Stored] {
        for (action, said) in asked() {
            let (mut rig, client) = begun(visibility);
            rig.send_only(client, &said);
            assert_eq!(rig.shards[1].census().asked_of_nodes, 1, "{action:?}");
            rig.settle();
            assert!(!rig.read(client).is_empty(), "{action:?}");
            rig.assert_at_rest();
        }
    }
}

#[test]
fn what_comes_too_late_for_its_owner_is_done_by_the_next() {
    for (action, said) in asked() {
        let (mut rig, client) = begun(Visibility::Accepted);
        let next = view(2, &[0, 1, 2], 2, 2);
        rig.send_only(client, &said);
        rig.adopt_at(0, &next);
        rig.settle();
        let census = rig.shards[1].census();
        assert_eq!((census.asked_of_nodes, census.held_requests), (0, 1), "{action:?}: it came back");
        rig.go_to(&next);
        assert_eq!(rig.read(client), undisturbed(&said), "{action:?}");
        rig.assert_at_rest();
    }
}

#[test]
fn what_a_dead_owner_was_asked_is_asked_again_or_ends_in_one_error() {
    for (action, said) in asked() {
        let (mut rig, client) = begun(Visibility::Accepted);
        rig.send_only(client, &said);
        rig.dead.insert(0);
        rig.go_to(&view(2, &[1, 2], 2, 2));
        let told = rig.read(client);
        if does_harm(action) {
            assert!(told.len() == 1 && told[0].contains("ERROR"), "{action:?} {told:?}");
        } else {
            assert_eq!(told, undisturbed(&said), "{action:?}");
        }
        rig.assert_at_rest();
    }
}

#[test]
fn what_a_silent_node_is_asked_ends_in_one_error_at_once() {
    for (action, said) in asked() {
        let (mut rig, client) = begun(Visibility::Accepted);
        let now = rig.now;
        rig.shards[1].reached(now, NodeId(0), 1, false);
        rig.send(client, &said);
        assert_one_error(action, &rig.read(client));
        rig.assert_at_rest();
        rig.shards[1].reached(now, NodeId(0), 1, true);
        rig.send(client, &said);
        let told = rig.read(client);
        assert!(!told.iter().any(|line| line.contains("MULTIPLE")), "{action:?} {told:?}: it is not subscribed");
        rig.assert_at_rest();
    }
}

/// Beside an acknowledgement that only says that the request came in.
fn assert_one_error(action: Action, told: &[String]) {
    let errors = told.iter().filter(|line| !line.ends_with(" ack")).count();
    assert!(errors == 1 && told.len() <= 2, "{action:?} {told:?}");
    assert!(told.iter().any(|line| line.contains("ERROR") || line.contains("TIMEOUT")), "{action:?} {told:?}");
}

#[test]
fn what_finds_no_room_to_wait_and_what_waits_too_long_end_in_one_error() {
    for is_full in [true, false] {
        for (action, said) in asked() {
            let mut given = options(Visibility::Accepted);
            given.limits.parked_messages_max = usize::from(!is_full);
            given.storage_timeout_ns = 30 * SECOND;
            let mut rig = Rig::viewing(&view(1, &[0, 1, 2], 0, 1), &given);
            let client = rig.user(1, "ann");
            // The owner that loses its names never says that it has.
            rig.dead.insert(0);
            rig.adopt_at(1, &view(2, &[0, 1, 2], 2, 2));
            rig.send(client, &said);
            if !is_full {
                let early = rig.read(client);
                assert!(early.iter().all(|line| line.ends_with(" ack")), "{action:?} {early:?}");
                rig.pass(29 * SECOND);
                assert_eq!(rig.read(client), Vec::<String>::new(), "{action:?}");
                rig.pass(2 * SECOND);
            }
            assert_one_error(action, &rig.read(client));
            let census = rig.shards[1].census();
            assert_eq!((census.asked_of_nodes, census.held_requests, census.edge_members), (0, 0, 0), "{action:?}");
        }
    }
}

#[test]
fn writes_that_follow_each_other_are_done_in_order_however_their_owner_changes() {
    for visibility in [Visibility::Accepted, Visibility::Stored] {
        for sent_before in 0..=3 {
            for owner_first in [true, false] {
                let mut rig = three(visibility);
                let client = rig.client(1);
                let next = view(2, &[0, 1, 2], 2, 2);
                let texts = ["[1]", "[2]", "[3]"];
                let write = |rig: &mut Rig, of: std::ops::Range<usize>| {
                    for at in of {
                        rig.send_only(client, &acked(create("r", texts[at]), &at.to_string()));
                    }
                };
                write(&mut rig, 0..sent_before);
                rig.adopt_at(usize::from(!owner_first), &next);
                write(&mut rig, sent_before..3);
                rig.go_to(&next);
                let told = rig.read(client);
                let ack = |id| format!("RECORD.WRITE_ACKNOWLEDGEMENT name=r id={id} write-ack");
                assert_eq!(told, [ack(0), ack(1), ack(2)], "{visibility:?} {sent_before} {owner_first}");
                assert_eq!(rig.stored[&b"r"[..]], (3, b"[3]".to_vec()));
                rig.assert_at_rest();
            }
        }
    }
}

#[test]
fn who_subscribes_goes_on_hearing_whoever_owns_the_name() {
    for is_dead in [false, true] {
        let mut rig = three(Visibility::Accepted);
        let clients = [rig.client(1), rig.client(2), rig.client(1)];
        for client in clients {
            rig.send(client, &bulk(Action::RecordSubscribeAndRead, &[b"r"], "1"));
            rig.send(client, &bulk(Action::EventSubscribe, &[b"e"], "2"));
            rig.read(client);
        }
        let next = if is_dead {
            rig.dead.insert(0);
            view(2, &[1, 2], 2, 2)
        } else {
            view(2, &[0, 1, 2], 2, 2)
        };
        rig.go_to(&next);
        for client in clients {
            rig.read(client);
        }
        rig.send(clients[0], &create("r", "[1]"));
        rig.send(clients[1], &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "e") });
        let update = "RECORD.UPDATE name=r data=[1] version=1";
        let event = "EVENT.EMIT name=e data=1";
        assert_eq!(rig.read(clients[0]), [event]);
        assert_eq!(rig.read(clients[1]), [update]);
        assert_eq!(rig.read(clients[2]), [update, event]);
        for client in clients {
            rig.drop_client(client);
        }
        for node in (0..3).filter(|node| !rig.dead.contains(node)) {
            let census = rig.shards[node].census();
            let left = (census.edge_names, census.edge_members, census.remote_connections);
            assert_eq!((left, census.owned_names - census.resident_records), ((0, 0, 0), 0), "{node}");
        }
    }
}

#[test]
fn subscribers_of_one_name_are_told_of_as_one_and_leave_one_by_one() {
    let mut rig = three(Visibility::Accepted);
    let clients: Vec<ConnId> = (0..1000).map(|_| rig.client(1)).collect();
    for &client in &clients {
        rig.send(client, &bulk(Action::EventSubscribe, &[b"e"], "1"));
    }
    rig.dead.insert(0);
    let next = view(2, &[1, 2], 2, 2);
    rig.adopt_at(2, &next);
    rig.adopt_at(1, &next);
    let told = rig.take_packets(1, 2);
    let rejoins: Vec<_> = told.iter().filter(|packet| matches!(packet, Packet::Rejoin(_))).collect();
    let [Packet::Rejoin(names)] = rejoins[..] else { panic!("{rejoins:?}") };
    let [name] = &names[..] else { panic!("{names:?}") };
    assert_eq!((name.count, &*name.name), (1000, &b"e"[..]));
    // Half of them leave before the owner has said that it counts them.
    for &client in &clients[..500] {
        let now = rig.now;
        rig.shards[1].disconnected(now, client);
    }
    assert!(!rig.take_packets(1, 2).iter().any(|packet| matches!(packet, Packet::Leave { .. })));
    rig.give_packets(1, 2, told);
    rig.claim_all(2, &next);
    let emitter = rig.client(2);
    rig.send(emitter, &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "e") });
    assert_eq!(rig.read(clients[0]).len(), 1, "of what was before");
    assert!(clients[500..].iter().all(|&client| rig.read(client).len() == 2));
    for &client in &clients[500..] {
        rig.drop_client(client);
    }
    assert_eq!(rig.shards[2].census().owned_names, 1, "the emitter's user");
}

#[test]
fn a_member_that_lost_what_it_knew_is_told_again() {
    let mut rig = three(Visibility::Accepted);
    let client = rig.client(1);
    rig.send(client, &bulk(Action::EventSubscribe, &[b"e"], "1"));
    rig.send_only(client, &acked(create("r", "[1]"), "2"));
    let now = rig.now;
    for (here, there) in [(0, 1), (1, 0)] {
        rig.shards[here].restarted(now, NodeId(there), 1, 0);
        rig.shards[here].restarted(now, NodeId(there), 1, 1);
    }
    rig.settle();
    let told = rig.read(client);
    assert!(told.len() == 2 && told[1].starts_with("RECORD.RECORD_UPDATE_ERROR"), "{told:?}");
    let emitter = rig.client(0);
    rig.send(emitter, &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "e") });
    assert_eq!(rig.read(client).len(), 1);
    rig.assert_at_rest();
    rig.drop_client(client);
    assert_eq!(rig.shards[0].census().remote_connections, 0);
}

#[test]
fn every_other_owner_is_told_when_it_has_heard_all() {
    let mut rig = three(Visibility::Accepted);
    let next = view(2, &[0, 1, 2], 2, 2);
    rig.adopt_at(1, &next);
    let lane = |rig: &mut Rig, to: u8| {
        let to = Place::of(NodeId(to), 0);
        rig.shards[1].take_packets(to, Lane::Requests, std::mem::take)
    };
    assert!(matches!(lane(&mut rig, 0)[..], [Packet::Flush { epoch: 2 }]));
    assert!(lane(&mut rig, 2).is_empty(), "nothing before the former owner is flushed");
    let now = rig.now;
    rig.shards[1].packet(now, Place::of(NodeId(0), 0), Packet::Flushed { epoch: 1 });
    assert!(lane(&mut rig, 2).is_empty(), "of an earlier view");
    rig.shards[1].packet(now, Place::of(NodeId(0), 0), Packet::Flushed { epoch: 2 });
    assert!(matches!(lane(&mut rig, 2)[..], [Packet::Told { epoch: 2 }]));
}

/// Listens, hears a filter, and watches everybody.
fn hear_all(rig: &mut Rig, client: ConnId) {
    rig.send(client, &about(Action::EventListen, "^l"));
    rig.send(client, &Outgoing::new(Action::PresenceSubscribeAll));
    let mut payload = Vec::new();
    encode::encode_message(&bulk(Action::EventSubscribe, &[b"f/+"], "1"), &mut payload);
    let node = rig.core_of(client);
    for message in binary::messages(&payload) {
        let mut message = message.expect("whole");
        message.head.flags.set(Flags::FILTER);
        let now = rig.now;
        assert_eq!(rig.shards[node].received(now, client, &message), Flow::Continue);
    }
    rig.settle();
    assert_eq!(rig.read(client).len(), 3, "acknowledged");
}

/// All of it is heard from the owner of all names.
fn assert_heard_all(rig: &mut Rig, client: ConnId, owner: usize) {
    rig.read(client);
    let other = rig.user(owner, &format!("user{}", rig.now.0));
    rig.send(other, &bulk(Action::EventSubscribe, &[b"l1"], "1"));
    rig.send(other, &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "f/a") });
    let told = rig.read(client);
    for what in ["PRESENCE.PRESENCE_JOIN_ALL", "EVENT.SUBSCRIPTION_FOR_PATTERN_FOUND", "EVENT.EMIT name=f/a"] {
        assert_eq!(told.iter().filter(|line| line.starts_with(what)).count(), 1, "{what}: {told:?}");
    }
    rig.drop_client(other);
    rig.read(client);
}

#[test]
fn places_that_join_or_lost_what_they_knew_hear_what_every_owner_knows() {
    let mut rig = Rig::viewing(&view(1, &[0, 1], 0, 1), &options(Visibility::Accepted));
    let client = rig.user(1, "ann");
    hear_all(&mut rig, client);
    assert_heard_all(&mut rig, client, 0);
    let now = rig.now;
    for (here, there) in [(0, 1), (1, 0)] {
        rig.shards[here].restarted(now, NodeId(there), 1, 0);
        rig.shards[here].restarted(now, NodeId(there), 1, 1);
    }
    rig.settle();
    rig.pass(1_000_000);
    assert_heard_all(&mut rig, client, 0);
    rig.adopt(&view(2, &[0, 1, 2], 0, 1), &options(Visibility::Accepted));
    rig.settle();
    rig.go_to(&view(3, &[0, 1, 2], 2, 3));
    rig.pass(1_000_000);
    assert_heard_all(&mut rig, client, 2);
    rig.dead.insert(2);
    rig.go_to(&view(4, &[0, 1], 0, 4));
    assert_eq!(rig.shards[1].census().edge_names, 2, "the filter is heard of two places");
    rig.pass(1_000_000);
    assert_heard_all(&mut rig, client, 0);
    rig.drop_client(client);
    let census = rig.shards[1].census();
    assert_eq!((census.edge_names, census.edge_members, census.listeners), (0, 0, 0));
}

#[test]
fn what_every_owner_is_asked_is_answered_without_one_that_is_lost() {
    let listen = about(Action::EventListen, "^l");
    for said in [Outgoing::new(Action::PresenceQueryAll), Outgoing::new(Action::PresenceSubscribeAll), listen] {
        let (mut rig, client) = begun(Visibility::Accepted);
        rig.send_only(client, &said);
        rig.dead.insert(0);
        rig.settle();
        assert_eq!(rig.read(client), Vec::<String>::new(), "{:?}", said.action);
        rig.go_to(&view(2, &[1, 2], 2, 2));
        let told = rig.read(client);
        assert_eq!(told.iter().filter(|line| line.contains(said.action.name())).count(), 1, "{told:?}");
        rig.assert_at_rest();
    }
}

#[test]
fn who_provides_a_call_is_asked_whoever_owns_its_name() {
    for is_dead in [false, true] {
        let mut rig = three(Visibility::Accepted);
        let (near, far, caller) = (rig.client(2), rig.client(1), rig.client(1));
        rig.send(far, &bulk(Action::RpcProvide, &[b"a", b"b"], "1"));
        rig.send(near, &bulk(Action::RpcProvide, &[b"c"], "1"));
        rig.send(far, &bulk(Action::RpcUnprovide, &[b"b"], "2"));
        let nodes: &[u8] = if is_dead { &[1, 2] } else { &[0, 1, 2] };
        if is_dead {
            rig.dead.insert(0);
        }
        rig.go_to(&view(2, nodes, 2, 2));
        // From there on to a node whose own connection provides one.
        rig.go_to(&view(3, nodes, 1, 3));
        for client in [near, far] {
            rig.read(client);
        }
        for name in ["a", "b", "c"] {
            rig.send(caller, &Outgoing { correlation_id: Some(name.as_bytes()), ..about(Action::RpcRequest, name) });
        }
        assert_eq!(rig.read(far), ["RPC.REQUEST name=a id=a"]);
        assert_eq!(rig.read(near), ["RPC.REQUEST name=c id=c"]);
        assert_eq!(rig.read(caller), ["RPC.NO_RPC_PROVIDER name=b id=b"]);
    }
}

#[test]
fn what_rules_look_for_is_looked_for_where_it_is_by_then() {
    let rules = [
        ("event", "*", "publish", "_('r') !== null"),
        ("event", "*", "subscribe", "true"),
        ("record", "*", "read", "true"),
    ];
    let permissions = Arc::new(permissions(0, &rules));
    for is_dead in [false, true] {
        let given = Options { permissions: Arc::clone(&permissions), ..options(Visibility::Accepted) };
        let mut rig = Rig::viewing(&view(1, &[0, 1, 2], 0, 1), &given);
        rig.stored.insert(b"r".to_vec(), (4, b"{}".to_vec()));
        // Events are owned by the second node, the record is not, and comes to the third.
        let split = |epoch, nodes: &[u8], owner| {
            let before = view(epoch, nodes, owner, epoch);
            let record = View::slot_of(rig.shards[0].sides.cx.hash(b"r"));
            let slots: Vec<u16> = (0..View::SLOTS as u16).collect();
            let owner_of = |slot: &u16| if *slot == record { before.node_of(*slot) } else { NodeId(1) };
            let since = |slot: &u16| if *slot == record { epoch } else { 2 };
            let nodes = slots.iter().map(owner_of).collect();
            let since = slots.iter().map(since).collect();
            Arc::new(View::new(epoch, [5, 6], before.members().to_vec(), nodes, since).expect("a view"))
        };
        let (first, next) = (split(2, &[0, 1, 2], 0), split(3, if is_dead { &[1, 2] } else { &[0, 1, 2] }, 2));
        rig.go_to(&first);
        let client = rig.client(1);
        rig.send(client, &bulk(Action::EventSubscribe, &[b"e"], "1"));
        let other = rig.client(2);
        rig.send(other, &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "e") });
        assert_eq!(rig.read(client).len(), 2, "the record is found");
        rig.send_only(client, &Outgoing { data: Some(b"2"), ..about(Action::EventEmit, "e") });
        assert_eq!(rig.shards[1].census().rule_lookups, 1);
        if is_dead {
            rig.dead.insert(0);
        } else {
            rig.adopt_at(0, &next);
        }
        rig.send_only(other, &Outgoing { data: Some(b"3"), ..about(Action::EventEmit, "e") });
        rig.settle();
        rig.go_to(&next);
        assert_eq!(rig.read(client), ["EVENT.EMIT name=e data=3"]);
        assert_eq!(rig.shards[1].census().rule_lookups, 0);
        rig.assert_at_rest();
    }
}

#[test]
fn what_was_withheld_is_told_by_the_next_owner() {
    for (is_dead, is_fetching) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut given = options(Visibility::Accepted);
        (given.limits.outbox_high_water_bytes, given.limits.outbox_bytes_max) = (10_000, 40_000);
        let mut rig = Rig::viewing(&view(1, &[0, 1, 2], 0, 1), &given);
        rig.stored.insert(b"r".to_vec(), (1, format!(r#"{{"text":"{}"}}"#, "x".repeat(5000)).into_bytes()));
        let reader = rig.client(1);
        rig.slow_down(reader);
        for _ in 0..20 {
            rig.send_only(reader, &about(Action::RecordRead, "r"));
        }
        rig.settle();
        assert!(rig.shards[1].census().withheld > 5, "{:?}", rig.shards[1].census());
        let next = view(2, if is_dead { &[1, 2] } else { &[0, 1, 2] }, 2, 2);
        if is_fetching {
            let (now, unread) = (rig.now, rig.unread(reader));
            rig.shards[1].flushed(now, reader, unread);
            assert_ne!(rig.shards[1].census().asked_of_nodes, 0, "a fetch is on its way");
        }
        if is_dead {
            rig.dead.insert(0);
        } else {
            rig.adopt_at(0, &next);
        }
        rig.go_to(&next);
        while rig.unread(reader) > 0 {
            rig.read_some(reader, 1000);
        }
        let told = rig.read(reader).iter().filter(|line| line.starts_with("RECORD.READ_RESPONSE")).count();
        assert_eq!(told, 20, "{is_dead} {is_fetching}");
        assert_eq!(rig.shards[1].census().withheld, 0);
        rig.assert_at_rest();
    }
}
