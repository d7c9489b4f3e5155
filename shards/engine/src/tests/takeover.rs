use super::rig::{Rig, patient};
use crate::{ConnId, Packet, Reason};
use deepstream_wire::{Action, Outgoing};

/// A client that introduces itself, and is then somebody.
fn introduced(rig: &mut Rig, core: usize, client: &str, user: &str) -> ConnId {
    let conn = rig.stranger(core);
    let now = rig.now;
    rig.shards[core].introduced(now, conn, client.as_bytes(), None);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    let login = format!(r#"{{"user":"{user}"}}"#);
    rig.send(conn, &Outgoing { data: Some(login.as_bytes()), ..Outgoing::new(Action::AuthRequest) });
    conn
}

fn client_ids(rig: &Rig) -> usize {
    rig.shards.iter().map(|shard| shard.census().client_ids).sum()
}

#[test]
fn client_that_connects_anew_ends_its_former_connection_wherever_that_is() {
    for (one, other) in [(0, 0), (0, 1), (1, 0), (2, 1)] {
        for client in ["a", "b", "c", "d"] {
            let mut rig = Rig::with(3, &patient());
            let former = introduced(&mut rig, one, client, "ann");
            assert_eq!(rig.closed, []);
            let latter = introduced(&mut rig, other, client, "ann");
            assert_eq!(rig.closed, [(former, Reason::TakenOver)], "{client} from {one} to {other}");
            // That the former one goes does not free the name.
            rig.drop_client(former);
            assert_eq!(client_ids(&rig), 1);
            let last = introduced(&mut rig, one, client, "ann");
            assert_eq!(rig.closed[1..], [(latter, Reason::TakenOver)]);
            rig.drop_client(latter);
            rig.drop_client(last);
            assert_eq!(client_ids(&rig), 0);
        }
    }
}

#[test]
fn login_that_is_heard_of_late_ends_itself_not_the_later_one() {
    for client in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let mut rig = Rig::with(3, &patient());
        let former = rig.stranger(1);
        let now = rig.now;
        rig.shards[1].introduced(now, former, client.as_bytes(), None);
        rig.join_quietly(former, "ann");
        let on_their_way = rig.take_packets(1, 0);
        if !on_their_way.iter().any(|packet| matches!(packet, Packet::HoldClientId { .. })) {
            continue;
        }
        rig.pass(1);
        // Core 0 keeps the name, and has not looked at what core 1 says when core 2 says more.
        let latter = introduced(&mut rig, 2, client, "ann");
        assert_eq!(rig.closed, []);
        rig.give_packets(1, 0, on_their_way);
        assert_eq!(rig.closed, [(former, Reason::TakenOver)]);
        rig.drop_client(former);
        assert_eq!(client_ids(&rig), 1, "that the former goes does not free the name");
        rig.drop_client(latter);
        assert_eq!(client_ids(&rig), 0);
        return;
    }
    panic!("core 0 keeps none of these names");
}

#[test]
fn names_are_their_users_own_and_some_clients_have_none() {
    let mut rig = Rig::with(2, &patient());
    for user in ["ann", "bob", ""] {
        introduced(&mut rig, 0, "a", user);
    }
    for core in [0, 1, 0] {
        introduced(&mut rig, core, "", "ann");
    }
    assert_eq!(rig.closed, []);
    assert_eq!(client_ids(&rig), 3);
}

#[test]
fn name_is_borne_by_who_logged_in_not_by_who_tries() {
    let mut rig = Rig::with(2, &patient());
    let conn = introduced(&mut rig, 0, "a", "ann");
    let refused = rig.stranger(1);
    let now = rig.now;
    rig.shards[1].introduced(now, refused, b"a", None);
    rig.send(refused, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(refused, &Outgoing { data: Some(br#"{"bad":1}"#), ..Outgoing::new(Action::AuthRequest) });
    rig.drop_client(refused);
    assert_eq!(rig.closed, []);
    rig.drop_client(conn);
    assert_eq!(client_ids(&rig), 0);
}
