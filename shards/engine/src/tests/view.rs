//! Names that are owned, and heard, on several nodes.

use super::rig::{Rig, patient, update};
use crate::ident::{ConnId, Fence, NodeId, Place};
use crate::output::{Completion, Flow, HostRequest, StoreBatch};
use crate::packet::Packet;
use crate::view::{Member, Unviewable, View};
use bytes::Bytes;
use deepstream_wire::{Action, Flags, Outgoing, binary, encode};
use std::sync::Arc;

/// Nodes with so many cores each; slots belong to the two owners in turn.
fn view(epoch: u64, members: &[(u8, u16)], owners: [u8; 2]) -> Arc<View> {
    let member = |&(node, cores)| Member { node: NodeId(node), cores, incarnation: 1, since: 1 };
    let slots = (0..View::SLOTS).map(|slot| NodeId(owners[slot % 2])).collect();
    let view = View::new(epoch, [5, 6], members.iter().map(member).collect(), slots, vec![1; View::SLOTS].into());
    Arc::new(view.expect("a view"))
}

fn bulk(rig: &mut Rig, conn: ConnId, action: Action, names: &[String]) {
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    rig.send(conn, &Outgoing { names: &names, correlation_id: Some(b"1"), ..Outgoing::new(action) });
}

/// No shard holds anything of anybody.
fn assert_empty(rig: &Rig) {
    for (core, shard) in rig.shards.iter().enumerate() {
        assert_eq!(
            shard.census(),
            crate::Census { timers: shard.census().timers, ..crate::Census::default() },
            "{core}"
        );
    }
}

fn emit(rig: &mut Rig, conn: ConnId, name: &str) {
    let event = Outgoing { name: Some(name.as_bytes()), data: Some(b"1"), ..Outgoing::new(Action::EventEmit) };
    rig.send(conn, &event);
}

#[test]
fn what_is_said_on_one_node_is_heard_on_every_other() {
    let mut rig = Rig::viewing(&view(1, &[(3, 2), (0, 1), (62, 1)], [62, 3]), &patient());
    let clients: Vec<ConnId> = (0..4).map(|core| rig.client(core)).collect();
    let names: Vec<String> = (0..40).map(|name| format!("e{name}")).collect();
    for &client in &clients {
        bulk(&mut rig, client, Action::EventSubscribe, &names);
        assert_eq!(rig.read(client).len(), 1, "acknowledged");
    }
    let owned: Vec<usize> = rig.shards.iter().map(|shard| shard.census().owned_names).collect();
    assert!(owned[0] > 3 && owned[1] > 3 && owned[2] == 0 && owned[3] > 10, "{owned:?}");
    for name in &names {
        emit(&mut rig, clients[2], name);
    }
    let told: Vec<usize> = clients.iter().map(|&client| rig.read(client).len()).collect();
    assert_eq!(told, [40, 40, 0, 40]);
    for client in clients {
        rig.drop_client(client);
    }
    assert_empty(&rig);
}

#[test]
fn node_that_joins_hears_and_is_heard_and_nothing_is_left_when_all_are_gone() {
    let first = view(1, &[(1, 2)], [1, 1]);
    let mut rig = Rig::viewing(&first, &patient());
    let old = rig.client(1);
    let listen = Outgoing { name: Some(b"^e"), correlation_id: Some(b"1"), ..Outgoing::new(Action::EventListen) };
    rig.send(old, &listen);
    rig.send(old, &Outgoing { correlation_id: Some(b"1"), ..Outgoing::new(Action::PresenceSubscribeAll) });
    bulk(&mut rig, old, Action::EventSubscribe, &["f".to_owned(), "g".to_owned()]);
    rig.read(old);
    rig.adopt(&view(2, &[(1, 2), (0, 1)], [1, 1]), &patient());
    let new = rig.user(2, "bea");
    assert_eq!(rig.read(old).len(), 1, "who came");
    emit(&mut rig, new, "f");
    emit(&mut rig, new, "g");
    assert_eq!(rig.read(old).len(), 2);
    bulk(&mut rig, new, Action::EventSubscribe, &["e".to_owned(), "f".to_owned()]);
    assert_eq!(rig.read(old).len(), 1, "somebody wants what is listened to");
    emit(&mut rig, old, "f");
    assert_eq!(rig.read(new).len(), 2, "acknowledged and told");
    rig.send(old, &Outgoing { correlation_id: Some(b"1"), ..Outgoing::new(Action::PresenceUnsubscribeAll) });
    rig.send(old, &Outgoing { correlation_id: Some(b"1"), ..Outgoing::new(Action::PresenceSubscribeAll) });
    for client in [old, new] {
        rig.drop_client(client);
    }
    assert_empty(&rig);
}

#[test]
fn view_that_moves_something_changes_nothing() {
    let mut rig = Rig::viewing(&view(5, &[(1, 1), (0, 1)], [1, 0]), &patient());
    let client = rig.client(0);
    bulk(&mut rig, client, Action::EventSubscribe, &["e".to_owned()]);
    rig.read(client);
    for (refused, why) in [
        (view(5, &[(1, 1), (0, 1)], [1, 0]), Unviewable::Stale),
        (view(6, &[(1, 1), (0, 1)], [1, 1]), Unviewable::Moved(1)),
        (view(6, &[(1, 1)], [1, 1]), Unviewable::Gone(NodeId(0))),
    ] {
        let now = rig.now;
        assert_eq!(rig.shards[0].adopt_view(now, refused), Err(why));
    }
    let other = rig.client(1);
    emit(&mut rig, other, "e");
    assert_eq!(rig.read(client).len(), 1);
    let mut alone = Rig::new(1);
    let now = alone.now;
    assert_eq!(alone.shards[0].adopt_view(now, view(1, &[(0, 1)], [0, 0])), Err(Unviewable::Stale));
}

#[test]
fn who_is_no_member_is_not_heard() {
    let mut rig = Rig::viewing(&view(1, &[(1, 1), (0, 1)], [1, 0]), &patient());
    let client = rig.client(0);
    let now = rig.now;
    let told = |rig: &mut Rig, from| {
        let reply = Packet::Reply(client, Bytes::from_static(b"\x82\x02\x08\x05"));
        rig.shards[0].packet(now, from, reply);
        rig.settle();
        rig.shards[0].counters().sent
    };
    let before = told(&mut rig, Place::of(NodeId(0), 0));
    for stranger in [Place::of(NodeId(0), 1), Place::of(NodeId(2), 0), ConnId::NOBODY.core] {
        assert_eq!(told(&mut rig, stranger), before, "{stranger:?}");
    }
    assert_eq!(told(&mut rig, Place::of(NodeId(0), 0)), before + 1);
}

#[test]
fn what_is_stored_says_under_which_claim() {
    let create = Outgoing { action: Action::RecordCreateAndUpdate, ..update("r", -1, "{}") };
    let members = [(1, 1), (0, 1)].map(|(node, cores)| Member { node: NodeId(node), cores, incarnation: 1, since: 1 });
    let slots = vec![NodeId(1); View::SLOTS].into();
    let since = (0..View::SLOTS as u64).map(|slot| 1 + slot % 7).collect();
    let view = Arc::new(View::new(9, [5, 6], members.into(), slots, since).expect("a view"));
    for (mut rig, is_fenced) in [(Rig::viewing(&view, &patient()), true), (Rig::with(1, &patient()), false)] {
        let client = rig.client(0);
        rig.send_only(client, &create);
        let asks: Vec<HostRequest> = rig.shards[0].host_requests().collect();
        let [HostRequest::Load { ticket, .. }] = asks[..] else { panic!("{asks:?}") };
        let now = rig.now;
        rig.shards[0].completed(now, Completion::Loaded { ticket, result: Ok(None) });
        let mut batch = StoreBatch::default();
        assert!(rig.shards[0].take_stores(now, &mut batch));
        assert_eq!(batch.entries.len(), 1);
        let slot = View::slot_of(rig.shards[0].sides.cx.hash(b"r"));
        let fence = Fence { slot, generation: 1 + u64::from(slot) % 7 };
        assert_eq!(batch.fences, Vec::from_iter(is_fenced.then_some(fence)));
    }
}

#[test]
fn filter_is_told_of_names_that_any_node_owns() {
    let mut rig = Rig::viewing(&view(1, &[(3, 2), (0, 1)], [0, 3]), &patient());
    let (client, other) = (rig.client(1), rig.client(2));
    let filter = |rig: &mut Rig, action| {
        let mut payload = Vec::new();
        let names: [&[u8]; 1] = [b"e/+"];
        let message = Outgoing { names: &names, correlation_id: Some(b"1"), ..Outgoing::new(action) };
        encode::encode_message(&message, &mut payload);
        for mut message in binary::messages(&payload).flatten() {
            message.head.flags.set(Flags::FILTER);
            let now = rig.now;
            assert_eq!(rig.shards[1].received(now, client, &message), Flow::Continue);
        }
        rig.settle();
        assert_eq!(rig.read(client).len(), 1, "acknowledged");
    };
    filter(&mut rig, Action::EventSubscribe);
    for name in 0..20 {
        emit(&mut rig, other, &format!("e/{name}"));
    }
    assert_eq!(rig.read(client).len(), 20);
    filter(&mut rig, Action::EventUnsubscribe);
    emit(&mut rig, other, "e/1");
    assert!(rig.read(client).is_empty());
    for client in [client, other] {
        rig.drop_client(client);
    }
    assert_empty(&rig);
}
