use super::rig::{Rig, patient};
use crate::{ConnId, Reason};
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

fn bearers(rig: &Rig) -> usize {
    rig.shards.iter().map(|shard| shard.census().bearers).sum()
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
            assert_eq!(bearers(&rig), 1);
            let last = introduced(&mut rig, one, client, "ann");
            assert_eq!(rig.closed[1..], [(latter, Reason::TakenOver)]);
            rig.drop_client(latter);
            rig.drop_client(last);
            assert_eq!(bearers(&rig), 0);
        }
    }
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
    assert_eq!(bearers(&rig), 3);
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
    assert_eq!(bearers(&rig), 0);
}
