use super::permit::OPEN;
use super::rig::{Rig, bulk};
use crate::Options;
use deepstream_wire::{Action, Outgoing};

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn everybody_but_the_asker_is_online_wherever_they_are() {
    for cores in [1, 2, 4] {
        let mut rig = Rig::new(cores);
        let last = usize::from(cores) - 1;
        let asker = rig.user(0, "asker");
        rig.user(last, "anne");
        rig.user(0, "bert");
        rig.user(0, "asker");
        rig.user(last, "OPEN");
        rig.send(asker, &Outgoing::new(Action::PresenceQueryAll));
        let lines = rig.read(asker);
        assert_eq!(lines.len(), 1);
        let names: Vec<&str> = lines[0].split(" names=").skip(1).collect();
        assert_eq!(names, ["anne", "bert"]);
        rig.send(asker, &bulk(Action::PresenceQuery, &[b"anne", b"nobody", b"asker", b"anne", b"OPEN"], "q"));
        let data = r#"{"anne":true,"nobody":false,"asker":true,"OPEN":false}"#;
        assert_eq!(rig.read(asker), [format!("PRESENCE.QUERY_RESPONSE data={data} id=q")]);
        rig.send(asker, &bulk(Action::PresenceQuery, &[], "e"));
        assert_eq!(rig.read(asker), ["PRESENCE.QUERY_RESPONSE data={} id=e"]);
    }
}

#[test]
fn a_user_joins_with_the_first_connection_and_leaves_with_the_last() {
    for cores in [1, 2, 4] {
        let mut rig = Rig::new(cores);
        let last = usize::from(cores) - 1;
        let (all, one) = (rig.user(0, "all"), rig.user(last, "one"));
        rig.send(all, &Outgoing::new(Action::PresenceSubscribeAll));
        assert_eq!(rig.read(all), ["PRESENCE.SUBSCRIBE_ALL ack"]);
        rig.send(one, &bulk(Action::PresenceSubscribe, &[b"anne"], "0"));
        assert_eq!(rig.read(one), ["PRESENCE.SUBSCRIBE id=0 ack"]);
        let first = rig.user(last, "anne");
        let second = rig.user(0, "anne");
        rig.user(0, "OPEN");
        assert_eq!(rig.read(all), ["PRESENCE.PRESENCE_JOIN_ALL name=anne"]);
        assert_eq!(rig.read(one), ["PRESENCE.PRESENCE_JOIN name=anne"]);
        rig.drop_client(first);
        assert!(rig.read(all).is_empty() && rig.read(one).is_empty());
        rig.drop_client(second);
        assert_eq!(rig.read(all), ["PRESENCE.PRESENCE_LEAVE_ALL name=anne"]);
        assert_eq!(rig.read(one), ["PRESENCE.PRESENCE_LEAVE name=anne"]);
    }
}

#[test]
fn a_login_is_answered_once_whoever_asks_is_told_of_it() {
    let mut rig = Rig::new(3);
    let (anne, bert) = (rig.name_on(1, "anne"), rig.name_on(0, "bert"));
    let watcher = rig.user(2, "watcher");
    let asked = |rig: &mut Rig, user: &str| {
        rig.send(watcher, &bulk(Action::PresenceQuery, &[user.as_bytes()], "q"));
        rig.read(watcher)
    };
    let conn = rig.stranger(0);
    rig.join_quietly(conn, &anne);
    let on_their_way = rig.take_packets(0, 1);
    rig.settle();
    assert_eq!(rig.read(conn), ["CONNECTION.ACCEPT"]);
    assert_eq!(asked(&mut rig, &anne), [format!(r#"PRESENCE.QUERY_RESPONSE data={{"{anne}":false}} id=q"#)]);
    rig.give_packets(0, 1, on_their_way);
    assert_eq!(rig.read(conn), [format!(r#"AUTH.AUTH_SUCCESSFUL data={{"me":"{anne}"}}"#)]);
    assert_eq!(asked(&mut rig, &anne), [format!(r#"PRESENCE.QUERY_RESPONSE data={{"{anne}":true}} id=q"#)]);

    // Who goes before that leaves nothing behind.
    let conn = rig.stranger(1);
    rig.join_quietly(conn, &bert);
    let now = rig.now;
    rig.shards[1].disconnected(now, conn);
    rig.settle();
    assert_eq!(asked(&mut rig, &bert), [format!(r#"PRESENCE.QUERY_RESPONSE data={{"{bert}":false}} id=q"#)]);
}

#[test]
fn both_kinds_of_subscription_are_told_all_first() {
    let mut rig = Rig::new(1);
    let client = rig.user(0, "client");
    rig.send(client, &Outgoing::new(Action::PresenceSubscribeAll));
    rig.send(client, &bulk(Action::PresenceSubscribe, &[b"anne"], "0"));
    rig.read(client);
    rig.user(0, "anne");
    let told = ["PRESENCE.PRESENCE_JOIN_ALL name=anne", "PRESENCE.PRESENCE_JOIN name=anne"];
    assert_eq!(rig.read(client), told);
}

#[test]
fn subscribing_twice_is_told_so_and_unsubscribing_twice_is_not() {
    let mut rig = Rig::new(2);
    let client = rig.user(0, "client");
    for _ in 0..2 {
        rig.send(client, &Outgoing::new(Action::PresenceSubscribeAll));
    }
    let told = [
        "PRESENCE.SUBSCRIBE_ALL ack",
        "PRESENCE.MULTIPLE_SUBSCRIPTIONS original=SUBSCRIBE_ALL",
        "PRESENCE.SUBSCRIBE_ALL ack",
    ];
    assert_eq!(rig.read(client), told);
    for _ in 0..2 {
        rig.send(client, &Outgoing::new(Action::PresenceUnsubscribeAll));
    }
    assert_eq!(rig.read(client), ["PRESENCE.UNSUBSCRIBE_ALL ack", "PRESENCE.UNSUBSCRIBE_ALL ack"]);
    rig.user(1, "anne");
    assert!(rig.read(client).is_empty());
}

#[test]
fn users_no_longer_subscribed_come_and_go_unheard() {
    let mut rig = Rig::new(2);
    let client = rig.user(0, "client");
    rig.send(client, &bulk(Action::PresenceSubscribe, &[b"anne", b"bert"], "0"));
    for id in ["1", "2"] {
        rig.send(client, &bulk(Action::PresenceUnsubscribe, &[b"anne"], id));
    }
    let acks = ["PRESENCE.SUBSCRIBE id=0 ack", "PRESENCE.UNSUBSCRIBE id=1 ack", "PRESENCE.UNSUBSCRIBE id=2 ack"];
    assert_eq!(rig.read(client), acks);
    rig.user(1, "anne");
    rig.user(1, "bert");
    assert_eq!(rig.read(client), ["PRESENCE.PRESENCE_JOIN name=bert"]);
}

#[test]
fn users_with_names_over_the_limit_are_refused() {
    let mut options = Options::default();
    options.limits.name_bytes_max = 6;
    let mut rig = Rig::with(1, &options);
    let client = rig.user(0, "client");
    rig.send(client, &bulk(Action::PresenceQuery, &[b"a-long-name"], "q"));
    assert_eq!(rig.read(client), ["PRESENCE.INVALID_PRESENCE_USERS id=q original=QUERY error"]);
}

#[test]
fn watchers_of_everybody_stop_in_any_order() {
    let mut rig = Rig::new(1);
    let watchers: Vec<_> = (0..6).map(|number| rig.user(0, &format!("watcher{number}"))).collect();
    for &watcher in &watchers {
        rig.send(watcher, &Outgoing::new(Action::PresenceSubscribeAll));
    }
    let mut watching = [true; 6];
    for at in [2, 0, 5, 3] {
        watching[at] = false;
        rig.send(watchers[at], &Outgoing::new(Action::PresenceUnsubscribeAll));
        for &watcher in &watchers {
            rig.read(watcher);
        }
        let user = rig.user(0, "anne");
        for (&watcher, watching) in watchers.iter().zip(watching) {
            assert_eq!(!rig.read(watcher).is_empty(), watching);
        }
        rig.drop_client(user);
    }
    rig.drop_client(watchers[1]);
    rig.read(watchers[4]);
    rig.user(0, "bert");
    assert_eq!(rig.read(watchers[4]), ["PRESENCE.PRESENCE_JOIN_ALL name=bert"]);
}

#[test]
fn a_user_named_like_upstreams_token_for_everybody_is_only_a_user() {
    let mut rig = Rig::new(1);
    let client = rig.user(0, "client");
    rig.send(client, &bulk(Action::PresenceSubscribe, &[b"%_EVERYONE_%"], "0"));
    rig.read(client);
    rig.user(0, "anne");
    assert!(rig.read(client).is_empty());
}

#[test]
fn those_who_leave_leave_nothing() {
    let mut rig = Rig::new(3);
    let clients: Vec<_> = (0..9).map(|number| rig.user(number % 3, &format!("user{}", number / 2))).collect();
    for &client in &clients {
        rig.send(client, &Outgoing::new(Action::PresenceSubscribeAll));
        rig.send(client, &bulk(Action::PresenceSubscribe, &[b"user1", b"user3"], "0"));
    }
    assert!(!sorted(rig.read(clients[0])).is_empty());
    for client in clients {
        rig.drop_client(client);
    }
    for shard in &rig.shards {
        assert_eq!(shard.census(), crate::Census::default());
    }
}

#[test]
fn who_subscribes_to_everybody_again_is_not_told_what_was_meant_for_its_first_time() {
    let mut rig = Rig::new(2);
    let user = rig.name_on(1, "user");
    let client = rig.user(0, "client");
    rig.send(client, &Outgoing::new(Action::PresenceSubscribeAll));
    assert_eq!(rig.read(client), ["PRESENCE.SUBSCRIBE_ALL ack"]);
    let conn = rig.stranger(1);
    // On its way: the owner has said that the user came, and the client's core has not heard it.
    rig.join_quietly(conn, &user);
    let late = rig.take_packets(1, 0);
    for action in [Action::PresenceUnsubscribeAll, Action::PresenceSubscribeAll] {
        rig.send_only(client, &Outgoing::new(action));
    }
    let subscribing = rig.take_packets(0, 1);
    rig.give_packets(1, 0, late);
    assert_eq!(rig.read(client), ["PRESENCE.UNSUBSCRIBE_ALL ack"]);
    rig.give_packets(0, 1, subscribing);
    assert_eq!(rig.read(client), ["PRESENCE.SUBSCRIBE_ALL ack"]);
    rig.drop_client(conn);
    assert_eq!(rig.read(client), [format!("PRESENCE.PRESENCE_LEAVE_ALL name={user}")]);
}

/// Whoever may ask for everybody is told of those whom it may ask for by name, and of nobody else.
#[test]
fn everybody_is_everybody_one_may_ask_for() {
    for cores in [1, 2, 4] {
        let rule = "_('friends').open";
        let rules: Vec<_> = OPEN
            .iter()
            .copied()
            .chain([
                ("presence", "boss", "allow", "user.id === 'deputy'"),
                ("presence", "of/$user/*", "allow", "$user === user.id"),
                ("presence", "far*", "allow", rule),
            ])
            .collect();
        let mut rig = Rig::ruled(cores, &rules);
        let last = usize::from(cores) - 1;
        let (ann, deputy) = (rig.user(0, "ann"), rig.user(last, "deputy"));
        for watcher in [ann, deputy] {
            rig.send(watcher, &Outgoing::new(Action::PresenceSubscribeAll));
            assert_eq!(rig.read(watcher).last().map(String::as_str), Some("PRESENCE.SUBSCRIBE_ALL ack"));
        }
        let others = ["boss", "bob", "of/ann/1", "of/bob/1", "far"];
        let conns: Vec<_> = others.iter().map(|user| rig.user(last, user)).collect();
        let came = |users: &[&str], what: &str| -> Vec<String> {
            users.iter().map(|user| format!("PRESENCE.PRESENCE_{what}_ALL name={user}")).collect()
        };
        assert_eq!(rig.read(ann), came(&["bob", "of/ann/1"], "JOIN"));
        assert_eq!(rig.read(deputy), came(&["boss", "bob"], "JOIN"));
        for (asker, expected) in [(ann, vec!["bob", "deputy", "of/ann/1"]), (deputy, vec!["ann", "bob", "boss"])] {
            rig.send(asker, &Outgoing::new(Action::PresenceQueryAll));
            let lines = rig.read(asker);
            assert_eq!(lines[0].split(" names=").skip(1).collect::<Vec<_>>(), expected, "{cores} cores");
        }
        for conn in conns {
            rig.drop_client(conn);
        }
        assert_eq!(rig.read(ann), came(&["bob", "of/ann/1"], "LEAVE"));
        assert_eq!(rig.read(deputy), came(&["boss", "bob"], "LEAVE"));
    }
}

/// One rule for all that has to read a record is asked once, with the question, and not for each user.
#[test]
fn a_rule_for_everybody_that_reads_a_record_is_not_asked_of_each() {
    for home in 0..2 {
        let key = Rig::new(2).name_on(home, "key");
        let rule = format!("_('{key}').open");
        let rules: Vec<_> = OPEN
            .iter()
            .copied()
            .filter(|rule| rule.0 != "presence")
            .chain([("presence", "*", "allow", &*rule)])
            .collect();
        let mut rig = Rig::ruled(2, &rules);
        rig.stored.insert(key.into_bytes(), (1, br#"{"open":true}"#.to_vec()));
        let (ann, _bob) = (rig.user(0, "ann"), rig.user(1, "bob"));
        rig.send(ann, &Outgoing::new(Action::PresenceQueryAll));
        assert_eq!(rig.read(ann), ["PRESENCE.QUERY_ALL_RESPONSE names=bob"]);
        rig.send(ann, &Outgoing::new(Action::PresenceSubscribeAll));
        rig.read(ann);
        rig.user(1, "cid");
        assert_eq!(rig.read(ann), ["PRESENCE.PRESENCE_JOIN_ALL name=cid"]);
    }
}
