use super::rig::{Disk, Rig, about, acked, bulk, patch, patient, permissions, update};
use crate::{ConnId, Limits, Note, Options, Sampled};
use deepstream_wire::{Action, Outgoing};
use std::sync::Arc;

pub(super) const OPEN: [(&str, &str, &str, &str); 12] = [
    ("record", "*", "create", "true"),
    ("record", "*", "read", "true"),
    ("record", "*", "write", "true"),
    ("record", "*", "delete", "true"),
    ("record", "*", "listen", "true"),
    ("record", "*", "notify", "true"),
    ("event", "*", "publish", "true"),
    ("event", "*", "subscribe", "true"),
    ("event", "*", "listen", "true"),
    ("rpc", "*", "provide", "true"),
    ("rpc", "*", "request", "true"),
    ("presence", "*", "allow", "true"),
];

/// Everything is allowed but what these rules say.
pub(super) fn but<'a>(cores: u16, rules: &[(&'a str, &'a str, &'a str, &'a str)]) -> Rig {
    let said = |open: &&(&str, &str, &str, &str)| {
        !rules.iter().any(|rule| (rule.0, rule.1, rule.2) == (open.0, open.1, open.2))
    };
    let all: Vec<_> = OPEN.iter().filter(said).copied().chain(rules.iter().copied()).collect();
    Rig::ruled(cores, &all)
}

pub(super) fn told(rig: &mut Rig, conn: ConnId, message: &Outgoing<'_>) -> Vec<String> {
    rig.send(conn, message);
    rig.read(conn)
}

#[test]
fn every_kind_of_rule_denies_with_the_name_and_the_action() {
    for cores in [1, 2, 4] {
        let mut rig = Rig::ruled(cores, &[]);
        let ann = rig.user(0, "ann");
        let name: &[&[u8]] = &[b"x"];
        let cases: Vec<(Outgoing<'_>, &str)> = vec![
            (about(Action::RecordRead, "x"), "RECORD.MESSAGE_DENIED name=x original=READ error"),
            (about(Action::RecordHead, "x"), "RECORD.MESSAGE_DENIED name=x original=HEAD error"),
            (about(Action::RecordDelete, "x"), "RECORD.MESSAGE_DENIED name=x original=DELETE error"),
            (update("x", 1, "{}"), "RECORD.MESSAGE_DENIED name=x original=UPDATE error"),
            (acked(patch("x", -1, "a", "1"), "7"), "RECORD.MESSAGE_DENIED name=x id=7 original=PATCH error write-ack"),
            (
                Outgoing { action: Action::RecordCreateAndUpdate, ..update("x", -1, "{}") },
                "RECORD.MESSAGE_DENIED name=x original=CREATEANDUPDATE error",
            ),
            (
                bulk(Action::RecordSubscribeCreateAndRead, name, "1"),
                "RECORD.MESSAGE_DENIED name=x id=1 original=SUBSCRIBECREATEANDREAD error",
            ),
            (
                bulk(Action::RecordSubscribeAndHead, name, "1"),
                "RECORD.MESSAGE_DENIED name=x id=1 original=SUBSCRIBEANDHEAD error",
            ),
            (bulk(Action::RecordNotify, name, "1"), "RECORD.MESSAGE_DENIED name=x id=1 original=NOTIFY error"),
            (about(Action::RecordListen, "x"), "RECORD.MESSAGE_DENIED name=x original=LISTEN error"),
            (about(Action::EventEmit, "x"), "EVENT.MESSAGE_DENIED name=x original=EMIT error"),
            (bulk(Action::EventSubscribe, name, "1"), "EVENT.MESSAGE_DENIED name=x id=1 original=SUBSCRIBE error"),
            (about(Action::EventListen, "x"), "EVENT.MESSAGE_DENIED name=x original=LISTEN error"),
            (bulk(Action::RpcProvide, name, "1"), "RPC.MESSAGE_DENIED name=x id=1 original=PROVIDE error"),
            (
                Outgoing { correlation_id: Some(b"9"), ..about(Action::RpcRequest, "x") },
                "RPC.MESSAGE_DENIED name=x id=9 original=REQUEST error",
            ),
            (
                bulk(Action::PresenceSubscribe, name, "1"),
                "PRESENCE.MESSAGE_DENIED name=x id=1 original=SUBSCRIBE error",
            ),
            (bulk(Action::PresenceQuery, name, "1"), "PRESENCE.MESSAGE_DENIED name=x id=1 original=QUERY error"),
            (Outgoing::new(Action::PresenceQueryAll), "PRESENCE.MESSAGE_DENIED original=QUERY_ALL error"),
            (Outgoing::new(Action::PresenceSubscribeAll), "PRESENCE.MESSAGE_DENIED original=SUBSCRIBE_ALL error"),
        ];
        for (message, expected) in cases {
            let lines = told(&mut rig, ann, &message);
            assert_eq!(lines.last().map(String::as_str), Some(expected), "{cores} cores: {lines:?}");
        }
        let census = rig.shards[0].census();
        assert_eq!(
            (census.edge_members, census.bulk_requests, census.owned_names),
            (0, 0, usize::from(census.owned_names > 0))
        );
    }
}

#[test]
fn of_a_bulk_message_exactly_the_denied_names_are_denied() {
    for cores in [1, 3] {
        let mut rig = but(cores, &[("event", "secret*", "subscribe", "user.id === 'boss'")]);
        let (ann, bob) = (rig.user(0, "ann"), rig.user(0, "bob"));
        let names: &[&[u8]] = &[b"secret", b"open", b"secret2"];
        let mut lines = told(&mut rig, ann, &bulk(Action::EventSubscribe, names, "4"));
        lines.sort();
        assert_eq!(
            lines,
            [
                "EVENT.MESSAGE_DENIED name=secret id=4 original=SUBSCRIBE error",
                "EVENT.MESSAGE_DENIED name=secret2 id=4 original=SUBSCRIBE error",
                "EVENT.SUBSCRIBE id=4 ack"
            ]
        );
        for name in ["secret", "open", "secret2"] {
            rig.send(bob, &about(Action::EventEmit, name));
        }
        assert_eq!(rig.read(ann), ["EVENT.EMIT name=open"]);
        let boss = rig.user(0, "boss");
        assert_eq!(told(&mut rig, boss, &bulk(Action::EventSubscribe, names, "5")), ["EVENT.SUBSCRIBE id=5 ack"]);
    }
}

/// Whoever takes the first answer for the whole, as the HTTP API does, must not take the acknowledgement for it.
#[test]
fn a_denied_notification_is_told_before_the_others_are_acknowledged() {
    for cores in 1..=4 {
        let mut rig = but(cores, &[("record", "secret*", "notify", "false")]);
        let ann = rig.user(0, "ann");
        for number in 0..16 {
            let (secret, open) = (format!("secret{number}"), format!("open{number}"));
            for names in [[secret.as_bytes(), open.as_bytes()], [open.as_bytes(), secret.as_bytes()]] {
                let lines = told(&mut rig, ann, &bulk(Action::RecordNotify, &names, "4"));
                assert_eq!(lines.len(), 2, "{lines:?}");
                assert!(lines[0].starts_with("RECORD.MESSAGE_DENIED name=secret"), "{cores} cores: {lines:?}");
                assert!(lines[1].starts_with("RECORD.NOTIFY "), "{cores} cores: {lines:?}");
            }
        }
    }
}

#[test]
fn writes_of_every_form_show_the_rule_the_document_they_lead_to() {
    for cores in [1, 2] {
        let mut rig =
            but(cores, &[("record", "doc", "write", "data.a === 1 && data.b < 3 && (!oldData || oldData.b !== 2)")]);
        let ann = rig.user(0, "ann");
        let create = |data| Outgoing { action: Action::RecordCreateAndUpdate, ..update("doc", -1, data) };
        assert!(told(&mut rig, ann, &create(r#"{"a":2,"b":0}"#))[0].starts_with("RECORD.MESSAGE_DENIED"));
        assert!(told(&mut rig, ann, &create(r#"{"a":1,"b":0}"#)).is_empty());
        // The patch alone would not do.
        assert!(told(&mut rig, ann, &patch("doc", 2, "b", "1")).is_empty());
        let set = Outgoing { action: Action::RecordCreateAndPatch, ..patch("doc", -1, "b", "2") };
        assert!(told(&mut rig, ann, &set).is_empty());
        let denied = told(&mut rig, ann, &patch("doc", 4, "b", "1"));
        assert_eq!(denied, ["RECORD.MESSAGE_DENIED name=doc original=PATCH error"]);
        let multi = Outgoing {
            action: Action::RecordPatchMulti,
            ..update("doc", 4, r#"[{"path":"a","data":1},{"path":"b","data":5}]"#)
        };
        assert_eq!(told(&mut rig, ann, &multi), ["RECORD.MESSAGE_DENIED name=doc original=PATCH_MULTI error"]);
        let head = told(&mut rig, ann, &about(Action::RecordRead, "doc"));
        assert_eq!(head, [r#"RECORD.READ_RESPONSE name=doc data={"a":1,"b":2} version=3"#]);
        // There is nothing to merge with.
        let mut rig = but(cores, &[("record", "*", "write", "data.a === 1")]);
        let ann = rig.user(0, "ann");
        let failed = told(&mut rig, ann, &patch("doc", 1, "a", "1"));
        assert_eq!(failed, ["RECORD.MESSAGE_PERMISSION_ERROR name=doc original=PATCH error"]);
        let why = rig.notes.iter().find_map(|note| match note {
            Note::RuleFailed { why, .. } => Some(why.to_string()),
            _ => None,
        });
        assert_eq!(why.as_deref(), Some("Tried to apply patch to non-existant record doc"));
    }
}

#[test]
fn getting_a_record_creates_it_only_if_it_may_be_created_and_read() {
    let mut rig =
        but(2, &[("record", "own/$user", "create", "$user === user.id"), ("record", "hidden", "read", "false")]);
    let ann = rig.user(0, "ann");
    let get = |name: &'static [&'static [u8]]| bulk(Action::RecordSubscribeCreateAndRead, name, "1");
    let lines = told(&mut rig, ann, &get(&[b"own/ann"]));
    assert_eq!(lines[1], "RECORD.READ_RESPONSE name=own/ann data={} version=0");
    let lines = told(&mut rig, ann, &get(&[b"own/bob"]));
    assert_eq!(lines[1], "RECORD.MESSAGE_DENIED name=own/bob id=1 original=SUBSCRIBECREATEANDREAD error");
    assert!(told(&mut rig, ann, &get(&[b"hidden"]))[1].starts_with("RECORD.MESSAGE_DENIED"));
    assert!(!rig.stored.contains_key(&b"hidden"[..]) && !rig.stored.contains_key(&b"own/bob"[..]));
    // An acknowledged write at any version brings a record into being too.
    let force = acked(patch("own/bob", -1, "a", "1"), "3");
    assert!(told(&mut rig, ann, &force)[0].starts_with("RECORD.MESSAGE_DENIED name=own/bob id=3 original=PATCH"));
}

#[test]
fn a_rule_refers_to_records_of_the_same_and_of_another_core() {
    for home in 0..2 {
        for there in 0..2 {
            for stored in [false, true] {
                let rig = Rig::new(2);
                let key = rig.name_on(there, "key");
                let name = rig.name_on(home, "event");
                let rule = format!("_('{key}').open === data");
                let rules: Vec<_> =
                    OPEN.iter().copied().chain([("event", name.as_str(), "publish", rule.as_str())]).collect();
                let mut rig = Rig::ruled(2, &rules);
                let (ann, bob) = (rig.user(0, "ann"), rig.user(1, "bob"));
                rig.send(bob, &bulk(Action::EventSubscribe, &[name.as_bytes()], "1"));
                rig.read(bob);
                let emit = |data: &'static [u8]| Outgoing { data: Some(data), ..about(Action::EventEmit, &name) };
                // Without the record the rule fails.
                assert!(told(&mut rig, ann, &emit(b"1"))[0].starts_with("EVENT.MESSAGE_PERMISSION_ERROR"));
                if stored {
                    rig.stored.insert(key.as_bytes().to_vec(), (4, br#"{"open":1}"#.to_vec()));
                } else {
                    let set = Outgoing { action: Action::RecordCreateAndUpdate, ..update(&key, -1, r#"{"open":1}"#) };
                    assert!(told(&mut rig, ann, &set).is_empty());
                }
                assert!(told(&mut rig, ann, &emit(b"1")).is_empty());
                assert_eq!(rig.read(bob), [format!("EVENT.EMIT name={name} data=1")]);
                assert!(told(&mut rig, ann, &emit(b"2"))[0].starts_with("EVENT.MESSAGE_DENIED"));
            }
        }
    }
}

#[test]
fn what_waits_for_a_record_keeps_its_place() {
    let rig = Rig::new(2);
    let (key, name) = (rig.name_on(1, "key"), rig.name_on(0, "rec"));
    let rule = format!("data.free || _('{key}').on");
    let rules: Vec<_> = OPEN.iter().copied().chain([("record", name.as_str(), "write", rule.as_str())]).collect();
    let mut rig = Rig::ruled(2, &rules);
    rig.stored.insert(key.as_bytes().to_vec(), (1, br#"{"on":true}"#.to_vec()));
    let (ann, bob) = (rig.user(0, "ann"), rig.user(1, "bob"));
    rig.send(bob, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "1"));
    rig.read(bob);
    rig.disk = Disk::Hangs;
    rig.send(ann, &update(&name, 1, r#"{"n":1}"#));
    rig.send(ann, &update(&name, 2, r#"{"n":2,"free":true}"#));
    assert!(rig.read(bob).is_empty(), "the second waits for the first");
    assert_eq!(rig.shards[0].census().rule_lookups, 1);
    rig.unfreeze();
    let heard = rig.read(bob);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].ends_with("version=1") && heard[1].ends_with("version=2"), "{heard:?}");
    assert_eq!(rig.shards[0].census().rule_lookups, 0);
}

/// A judgement that had to stop for want of room must not be gone on with by the next message of the name.
#[test]
fn what_finds_no_room_to_wait_leaves_no_judgement_behind() {
    let rig = Rig::new(2);
    let (gate, near) = (rig.name_on(0, "gate"), rig.name_on(0, "near"));
    let (name, far) = (rig.name_on(0, "rec"), rig.name_on(1, "far"));
    let (publish, write) = (format!("_('{near}') === null"), format!("_('{far}') === null"));
    let mut rules: Vec<_> = OPEN.into_iter().filter(|rule| (rule.0, rule.2) != ("record", "read")).collect();
    rules.push(("record", "*", "read", "user.id === 'boss'"));
    rules.push(("event", &gate, "publish", &publish));
    rules.push(("record", &name, "write", &write));
    let limits = Limits { parked_messages_max: 1, ..Limits::default() };
    let options = Options { permissions: Arc::new(permissions(0, &rules)), limits, ..patient() };
    let mut rig = Rig::with(2, &options);
    let (ann, boss) = (rig.user(0, "ann"), rig.user(0, "boss"));
    rig.send(boss, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "1"));
    rig.disk = Disk::Hangs;
    rig.send(ann, &about(Action::EventEmit, &gate));
    // The one place is taken. This may create the record, and would have to wait to find out whether it may write it.
    rig.send_only(ann, &Outgoing { action: Action::RecordCreateAndUpdate, ..update(&name, -1, "{}") });
    let asked = rig.take_packets(0, 1);
    rig.unfreeze();
    assert_eq!(rig.read(ann).len(), 1, "refused at once");
    rig.send_only(ann, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "1"));
    rig.give_packets(0, 1, asked);
    let denied = format!("RECORD.MESSAGE_DENIED name={name} id=1 original=SUBSCRIBECREATEANDREAD error");
    assert_eq!(rig.read(ann).last(), Some(&denied));
    let census = rig.shards[0].census();
    assert_eq!((census.rule_lookups, census.parked_messages, census.edge_members), (0, 0, 1), "but for the boss");
}

#[test]
fn a_storage_that_fails_or_hangs_denies_what_refers_to_it() {
    for disk in [Disk::Fails, Disk::Hangs] {
        for there in 0..2 {
            let rig = Rig::new(2);
            let (key, name) = (rig.name_on(there, "key"), rig.name_on(0, "event"));
            let rule = format!("_('{key}') === null");
            let rules: Vec<_> =
                OPEN.iter().copied().chain([("event", name.as_str(), "publish", rule.as_str())]).collect();
            let mut rig = Rig::ruled(2, &rules);
            let ann = rig.user(0, "ann");
            rig.disk = disk;
            rig.send(ann, &about(Action::EventEmit, &name));
            rig.pass(60_000_000_000);
            assert_eq!(rig.read(ann), [format!("EVENT.MESSAGE_PERMISSION_ERROR name={name} original=EMIT error")]);
            for shard in &rig.shards {
                assert_eq!(shard.census().rule_lookups, 0);
            }
        }
    }
}

#[test]
fn nobody_subscribes_unjudged_because_storage_fails() {
    let mut rig = but(1, &[("record", "*", "read", "oldData.public")]);
    let ann = rig.user(0, "ann");
    rig.disk = Disk::Fails;
    for action in [Action::RecordSubscribe, Action::RecordSubscribeAndHead, Action::RecordSubscribeAndRead] {
        rig.send(ann, &bulk(action, &[b"x"], "1"));
    }
    assert_eq!(rig.shards[0].census().edge_members, 0);
    assert_eq!(rig.read(ann).iter().filter(|line| line.ends_with("ack")).count(), 1, "that of the read came at once");
}

#[test]
fn rules_that_refer_to_each_other_end() {
    for cores in [1, 2] {
        let rules =
            [("record", "a", "write", "_('b').x || true"), ("record", "b", "write", "_('a').x || _('b').x || true")];
        let mut rig = but(cores, &rules);
        rig.stored.insert(b"a".to_vec(), (1, br#"{"x":0}"#.to_vec()));
        rig.stored.insert(b"b".to_vec(), (1, br#"{"x":0}"#.to_vec()));
        let (ann, bob) = (rig.user(0, "ann"), rig.user(usize::from(cores > 1), "bob"));
        rig.send_only(ann, &acked(update("a", 2, r#"{"x":1}"#), "1"));
        rig.send_only(bob, &acked(update("b", 2, r#"{"x":1}"#), "2"));
        rig.settle();
        assert!(rig.read(ann)[0].starts_with("RECORD.WRITE_ACKNOWLEDGEMENT"));
        assert!(rig.read(bob)[0].starts_with("RECORD.WRITE_ACKNOWLEDGEMENT"));
    }
}

#[test]
fn listening_waits_for_a_record_without_being_overtaken() {
    let rig = Rig::new(2);
    let key = rig.name_on(1, "key");
    let rule = format!("_('{key}').on");
    let rules: Vec<_> = OPEN.iter().copied().chain([("event", "a/*", "listen", rule.as_str())]).collect();
    let mut rig = Rig::ruled(2, &rules);
    rig.stored.insert(key.as_bytes().to_vec(), (1, br#"{"on":true}"#.to_vec()));
    let ann = rig.user(0, "ann");
    rig.disk = Disk::Hangs;
    rig.send(ann, &about(Action::EventListen, "a/.*"));
    assert!(rig.read(ann).is_empty());
    rig.unfreeze();
    assert_eq!(rig.read(ann), ["EVENT.LISTEN name=a/.* ack"]);
    rig.send(ann, &about(Action::EventUnlisten, "a/.*"));
    assert_eq!(rig.read(ann), ["EVENT.UNLISTEN name=a/.* ack"]);
}

#[test]
fn too_many_rounds_deny() {
    let chain = "_(_(_('a').to).to).to === 'd'";
    let mut rig = but(1, &[("event", "*", "publish", chain)]);
    for (name, to) in [("a", "b"), ("b", "c"), ("c", "d")] {
        rig.stored.insert(name.as_bytes().to_vec(), (1, format!(r#"{{"to":"{to}"}}"#).into_bytes()));
    }
    let ann = rig.user(0, "ann");
    // Whether its records are read from storage or are in memory already.
    for _ in 0..2 {
        assert!(told(&mut rig, ann, &about(Action::EventEmit, "x"))[0].starts_with("EVENT.MESSAGE_PERMISSION_ERROR"));
    }
    let mut rig = but(1, &[("event", "*", "publish", "_(_('a').to).to === 'c'")]);
    for (name, to) in [("a", "b"), ("b", "c")] {
        rig.stored.insert(name.as_bytes().to_vec(), (1, format!(r#"{{"to":"{to}"}}"#).into_bytes()));
    }
    let ann = rig.user(0, "ann");
    for _ in 0..2 {
        assert!(told(&mut rig, ann, &about(Action::EventEmit, "x")).is_empty());
    }
}

#[test]
fn records_at_hand_take_no_rounds_from_those_that_are_not() {
    // Side by side they take one round, wherever they are; upstream would have asked for all of them at once.
    let rule = "[_('a'), _('b'), _('c'), _('d')].length === 4 && _('a').on && _('d').on";
    for cores in [1, 3] {
        let mut rig = but(cores, &[("event", "*", "publish", rule)]);
        for name in ["a", "b", "c", "d"] {
            rig.stored.insert(name.as_bytes().to_vec(), (1, br#"{"on":true}"#.to_vec()));
        }
        let ann = rig.user(0, "ann");
        for _ in 0..3 {
            assert!(told(&mut rig, ann, &about(Action::EventEmit, "x")).is_empty(), "{cores} cores");
        }
    }
}

#[test]
fn a_rule_that_fails_denies_on_every_topic_and_is_told_to_the_log() {
    let fails = "user.data.role === 'admin'";
    let rules = [
        ("record", "*", "read", fails),
        ("event", "*", "publish", fails),
        ("rpc", "*", "request", fails),
        ("presence", "*", "allow", fails),
    ];
    let mut rig = but(2, &rules);
    let ann = rig.user(0, "ann");
    for (message, expected) in [
        (about(Action::RecordRead, "x"), "RECORD.MESSAGE_PERMISSION_ERROR name=x original=READ error"),
        (about(Action::EventEmit, "x"), "EVENT.MESSAGE_PERMISSION_ERROR name=x original=EMIT error"),
        (
            Outgoing { correlation_id: Some(b"1"), ..about(Action::RpcRequest, "x") },
            "RPC.MESSAGE_PERMISSION_ERROR name=x id=1 original=REQUEST error",
        ),
        (Outgoing::new(Action::PresenceQueryAll), "PRESENCE.MESSAGE_PERMISSION_ERROR original=QUERY_ALL error"),
    ] {
        assert_eq!(told(&mut rig, ann, &message), [expected]);
    }
    assert_eq!(rig.notes.iter().filter(|note| matches!(note, Note::RuleFailed { .. })).count(), 4);
}

#[test]
fn of_a_rule_that_gives_neither_true_nor_false_the_log_is_told_once() {
    let rules =
        [("event", "deny", "publish", "user.data && user.data.role"), ("event", "allow", "publish", "data.list")];
    let mut rig = but(1, &rules);
    let ann = rig.user(0, "ann");
    let odd = |rig: &Rig| -> Vec<(String, Option<String>)> {
        let told = rig.notes.iter().filter_map(|note| match note {
            Note::RuleOdd { rule, denied, .. } => Some((rule.to_string(), denied.as_ref().map(ToString::to_string))),
            _ => None,
        });
        told.collect()
    };
    for _ in 0..2 {
        let denied = told(&mut rig, ann, &about(Action::EventEmit, "deny"));
        assert_eq!(denied, ["EVENT.MESSAGE_DENIED name=deny original=EMIT error"]);
        let allowed = Outgoing { data: Some(b"{\"list\":[7]}"), ..about(Action::EventEmit, "allow") };
        assert!(told(&mut rig, ann, &allowed).is_empty());
    }
    let (deny, allow) = ("event \"deny\" publish".to_owned(), "event \"allow\" publish".to_owned());
    assert_eq!(odd(&rig), [(deny.clone(), Some("null".to_owned())), (allow, None)]);
    // Of other rules it is told anew.
    reload(&mut rig, 1, &rules);
    told(&mut rig, ann, &about(Action::EventEmit, "deny"));
    assert_eq!(odd(&rig).last(), Some(&(deny, Some("null".to_owned()))));
    assert_eq!(odd(&rig).len(), 3);
}

#[test]
fn of_many_failures_the_log_is_told_the_first_and_how_many_more_there_were() {
    let mut rig = but(1, &[("event", "*", "publish", "data.a.b")]);
    let ann = rig.user(0, "ann");
    let failed = |rig: &Rig| rig.notes.iter().filter(|note| matches!(note, Note::RuleFailed { .. })).count();
    let left_out = |rig: &Rig| -> Vec<u64> {
        let counts = rig.notes.iter().map(|note| match note {
            Note::LeftOut { what: Sampled::RuleFailures, count } => Some(*count),
            _ => None,
        });
        counts.flatten().collect()
    };
    let at_rest = rig.shards[0].census();
    let emit = |rig: &mut Rig, times: usize| {
        for _ in 0..times {
            assert_eq!(told(rig, ann, &about(Action::EventEmit, "x")).len(), 1, "whoever fails is told each time");
        }
    };
    emit(&mut rig, 1);
    assert_eq!(failed(&rig), 1);
    emit(&mut rig, 24);
    assert_eq!((failed(&rig), left_out(&rig)), (10, Vec::new()));
    assert_eq!(rig.shards[0].census(), at_rest, "a count for the log is not work");
    rig.pass(1_001_000_000);
    assert_eq!((failed(&rig), left_out(&rig)), (10, vec![15]));
    emit(&mut rig, 1);
    assert_eq!(failed(&rig), 11, "the first of the next second is told at once");
    rig.pass(3_000_000_000);
    assert_eq!(left_out(&rig), [15], "nothing is told where nothing was left out");
    emit(&mut rig, 13);
    let now = rig.now;
    rig.shards[0].stop(now);
    rig.settle();
    assert_eq!(left_out(&rig), [15, 3], "what is left out is told at the end");
    assert_eq!(rig.shards[0].counters().rule_failures, 39);
}

#[test]
fn a_denial_is_explained_to_the_log_and_never_to_the_client() {
    let rules: Vec<_> = OPEN.iter().copied().chain([("event", "e", "publish", "data.price > 5")]).collect();
    let permissions = Arc::new(permissions(0, &rules));
    let mut rig = Rig::with(1, &Options { permissions, verbose: true, ..Options::default() });
    let ann = rig.user(0, "ann");
    let emit = Outgoing { data: Some(br#"{"price":4}"#), ..about(Action::EventEmit, "e") };
    assert_eq!(told(&mut rig, ann, &emit), ["EVENT.MESSAGE_DENIED name=e original=EMIT error"]);
    let why = rig.notes.iter().find_map(|note| match note {
        Note::Denied { user, action, name, why } => Some(format!("{user} {action} {name}: {why}")),
        _ => None,
    });
    let why = why.expect("a note");
    assert!(why.starts_with("ann EMIT e: event \"e\" publish") && why.contains("data.price → 4"), "{why}");
}

#[test]
fn who_left_is_judged_by_who_it_was() {
    let mut rig = but(2, &[("record", "*", "write", "user.id === 'ann' && oldData === null")]);
    let name = rig.name_on(1, "rec");
    let ann = rig.user(0, "ann");
    rig.disk = Disk::Hangs;
    rig.send(ann, &Outgoing { action: Action::RecordCreateAndUpdate, ..update(&name, -1, r#"{"a":1}"#) });
    rig.drop_client(ann);
    rig.unfreeze();
    assert!(rig.stored.contains_key(name.as_bytes()));
}

/// Other rules for all shards, which learn of them one after the other.
fn reload(rig: &mut Rig, generation: u32, rules: &[(&str, &str, &str, &str)]) {
    let said = |open: &&(&str, &str, &str, &str)| {
        !rules.iter().any(|rule| (rule.0, rule.1, rule.2) == (open.0, open.1, open.2))
    };
    let all: Vec<_> = OPEN.iter().filter(said).copied().chain(rules.iter().copied()).collect();
    let permissions = Arc::new(permissions(generation, &all));
    for shard in &mut rig.shards {
        shard.adopt_permissions(rig.now, permissions.clone());
    }
    rig.settle();
}

#[test]
fn new_rules_end_what_they_do_not_allow_and_nothing_else() {
    for cores in [1, 2, 4] {
        let mut rig = but(cores, &[]);
        let core = usize::from(cores > 1);
        let (ann, bob) = (rig.user(0, "ann"), rig.user(core, "bob"));
        for conn in [ann, bob] {
            rig.send(conn, &bulk(Action::EventSubscribe, &[b"news", b"other"], "1"));
            rig.send(conn, &bulk(Action::RecordSubscribeCreateAndRead, &[b"doc"], "1"));
            rig.send(conn, &bulk(Action::PresenceSubscribe, &[b"cat"], "1"));
            rig.send(conn, &bulk(Action::RpcProvide, &[b"add"], "1"));
            rig.send(conn, &about(Action::EventListen, "x/.*"));
            rig.send(conn, &Outgoing::new(Action::PresenceSubscribeAll));
        }
        rig.read(ann);
        rig.read(bob);
        let rule = "user.id === 'ann'";
        reload(
            &mut rig,
            1,
            &[
                ("event", "news", "subscribe", rule),
                ("record", "doc", "read", "user.id === 'ann' && oldData !== null"),
                ("presence", "*", "allow", rule),
                ("rpc", "*", "provide", rule),
                ("event", "*", "listen", rule),
            ],
        );
        rig.pass(1);
        assert!(rig.read(ann).is_empty(), "{cores} cores");
        let mut lines = rig.read(bob);
        lines.sort();
        assert_eq!(
            lines,
            [
                "EVENT.MESSAGE_DENIED name=news original=SUBSCRIBE error",
                "EVENT.MESSAGE_DENIED name=x/.* original=LISTEN error",
                "PRESENCE.MESSAGE_DENIED name=cat original=SUBSCRIBE error",
                "PRESENCE.MESSAGE_DENIED original=SUBSCRIBE_ALL error",
                "RECORD.MESSAGE_DENIED name=doc original=SUBSCRIBECREATEANDREAD error",
                "RPC.MESSAGE_DENIED name=add original=PROVIDE error",
            ],
            "{cores} cores"
        );
        let cat = rig.user(0, "cat");
        rig.send(cat, &about(Action::EventEmit, "news"));
        rig.send(cat, &about(Action::EventEmit, "other"));
        rig.send(cat, &update("doc", 1, "{}"));
        rig.send(cat, &bulk(Action::EventSubscribe, &[b"x/1"], "1"));
        rig.send(cat, &Outgoing { correlation_id: Some(b"1"), ..about(Action::RpcRequest, "add") });
        assert_eq!(rig.read(bob), ["EVENT.EMIT name=other"]);
        assert_eq!(
            rig.read(ann).len(),
            7,
            "joins, both events, the update, the listener's and the provider's question"
        );
        // What ended can be asked for again once it is allowed.
        reload(&mut rig, 2, &[]);
        let again = told(&mut rig, bob, &bulk(Action::EventSubscribe, &[b"news"], "9"));
        assert_eq!(again, ["EVENT.SUBSCRIBE id=9 ack"]);
    }
}

#[test]
fn all_names_of_a_message_are_judged_by_the_same_rules() {
    let mut rig = but(2, &[]);
    let (here, there) = (rig.name_on(0, "a"), rig.name_on(1, "b"));
    let first: [(&str, &str, &str, &str); 2] =
        [("event", here.as_str(), "subscribe", "true"), ("event", there.as_str(), "subscribe", "false")];
    let second = [("event", here.as_str(), "subscribe", "false"), ("event", there.as_str(), "subscribe", "true")];
    reload(&mut rig, 1, &first);
    let ann = rig.user(0, "ann");
    rig.send_only(ann, &bulk(Action::EventSubscribe, &[here.as_bytes(), there.as_bytes()], "1"));
    // The owner of the second name has newer rules by the time the message arrives, and so has the edge.
    let all: Vec<_> = OPEN.iter().copied().chain(second).collect();
    let newer = Arc::new(permissions(2, &all));
    rig.shards[1].adopt_permissions(rig.now, newer.clone());
    rig.settle();
    let mut lines = rig.read(ann);
    lines.sort();
    // By the rules it came in under, the second name is denied and the first was allowed; that ended with the new ones.
    assert_eq!(
        lines,
        [
            format!("EVENT.MESSAGE_DENIED name={here} original=SUBSCRIBE error"),
            format!("EVENT.MESSAGE_DENIED name={there} id=1 original=SUBSCRIBE error"),
            "EVENT.SUBSCRIBE id=1 ack".to_owned(),
        ]
    );
    assert_eq!(rig.shards[0].sides.permit.generation(), 2, "a core is told of new rules by the others");
}

#[test]
fn what_the_rules_of_a_message_allow_begins_and_ends_with_those_in_force() {
    let mut rig = but(2, &[]);
    let (name, call) = (rig.name_on(1, "a"), rig.name_on(1, "c"));
    let ann = rig.user(0, "ann");
    rig.send_only(ann, &bulk(Action::EventSubscribe, &[name.as_bytes()], "1"));
    rig.send_only(ann, &bulk(Action::RpcProvide, &[call.as_bytes()], "2"));
    // The owner has newer rules when the messages arrive, the edge when the answer does.
    reload(&mut rig, 1, &[("event", "*", "subscribe", "false"), ("rpc", "*", "provide", "false")]);
    let mut lines = rig.read(ann);
    lines.retain(|line| line.contains("id="));
    assert_eq!(lines, ["EVENT.SUBSCRIBE id=1 ack", "RPC.PROVIDE id=2 ack"], "by their own rules they are allowed");
    assert_eq!((rig.shards[0].census().edge_members, rig.shards[1].census().callers), (0, 0));
}

#[test]
fn a_subscription_on_its_way_when_the_rules_change_does_not_slip_through() {
    for order in [[0, 1], [1, 0]] {
        let mut rig = but(2, &[]);
        let name = rig.name_on(1, "a");
        let ann = rig.user(0, "ann");
        rig.send_only(ann, &bulk(Action::EventSubscribe, &[name.as_bytes()], "1"));
        let all: Vec<_> = OPEN.iter().copied().chain([("event", name.as_str(), "subscribe", "false")]).collect();
        let newer = Arc::new(permissions(1, &all));
        for core in order {
            rig.shards[core].adopt_permissions(rig.now, newer.clone());
        }
        rig.settle();
        assert!(rig.read(ann).iter().any(|line| line.starts_with("EVENT.MESSAGE_DENIED")));
        assert_eq!(rig.shards[0].census().edge_members, 0);
        assert_eq!(rig.shards[1].census().owned_names, usize::from(rig.shards[1].census().owned_names > 0));
        rig.send(ann, &about(Action::EventEmit, &name));
        assert!(rig.read(ann).is_empty());
    }
}
