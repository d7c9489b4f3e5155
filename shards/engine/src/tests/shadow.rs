//! A candidate beside the rules in force: what is counted and told, and that nobody else notices.

use super::permit::OPEN;
use super::rig::{Disk, Rig, about, acked, bulk, patch, patient, permissions, update};
use crate::{Difference, Note, Options, Permissions, Sampled, Shadow, ShadowTally};
use deepstream_wire::{Action, Outgoing};
use std::sync::Arc;

type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Everything is allowed but what these say.
fn with_open<'a>(rules: &[Row<'a>]) -> Vec<Row<'a>> {
    let unsaid = |open: &&Row<'_>| !rules.iter().any(|rule| (rule.0, rule.1, rule.2) == (open.0, open.1, open.2));
    OPEN.iter().filter(unsaid).copied().chain(rules.iter().copied()).collect()
}

fn beside(generation: u32, live: &[Row<'_>], candidate: &[Row<'_>], samples: u32) -> Arc<Permissions> {
    let shadow = Shadow {
        ruleset: permissions(0, candidate).ruleset.expect("rules"),
        file: "candidate.yml".into(),
        live_file: "live.yml".into(),
        samples_per_minute_max: samples,
    };
    Arc::new(Permissions { shadow: Some(Arc::new(shadow)), ..permissions(generation, live) })
}

fn rig(cores: u16, live: &[Row<'_>], candidate: &[Row<'_>]) -> Rig {
    let permissions = beside(0, &with_open(live), &with_open(candidate), 1000);
    Rig::with(cores, &Options { permissions, ..patient() })
}

fn tally(rig: &Rig) -> ShadowTally {
    let mut sum = ShadowTally::default();
    for counters in rig.shards.iter().map(crate::Shard::counters) {
        sum.judged += counters.shadow_judged;
        sum.would_allow += counters.shadow_would_allow;
        sum.would_deny += counters.shadow_would_deny;
        sum.would_fail += counters.shadow_would_fail;
        sum.undecided += counters.shadow_undecided;
    }
    sum
}

fn differences(rig: &Rig) -> Vec<&Difference> {
    let told = rig.notes.iter().map(|note| match note {
        Note::ShadowDiffers(difference) => Some(&**difference),
        _ => None,
    });
    told.flatten().collect()
}

/// One message of every kind that is judged, each about a name of its own.
fn every_kind() -> Vec<Outgoing<'static>> {
    let name: &[&[u8]] = &[b"x"];
    vec![
        Outgoing { action: Action::RecordCreateAndUpdate, ..update("doc", -1, r#"{"a":1}"#) },
        about(Action::RecordRead, "doc"),
        about(Action::RecordHead, "doc"),
        bulk(Action::RecordSubscribe, &[b"doc"], "1"),
        acked(update("doc", 2, r#"{"a":2}"#), "2"),
        acked(patch("doc", 3, "a", "3"), "3"),
        Outgoing { action: Action::RecordPatchMulti, ..update("doc", 4, r#"[{"path":"b","data":1}]"#) },
        Outgoing { action: Action::RecordErase, data: None, ..patch("doc", 5, "b", "") },
        acked(Outgoing { action: Action::RecordCreateAndPatch, ..patch("doc", -1, "c", "3") }, "4"),
        bulk(Action::RecordSubscribeCreateAndRead, name, "5"),
        bulk(Action::RecordSubscribeAndRead, &[b"doc2"], "6"),
        bulk(Action::RecordSubscribeAndHead, &[b"doc3"], "7"),
        bulk(Action::RecordNotify, name, "8"),
        about(Action::RecordDelete, "doc"),
        about(Action::RecordListen, "x/.*"),
        bulk(Action::EventSubscribe, name, "1"),
        Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "x") },
        about(Action::EventListen, "x/.*"),
        bulk(Action::RpcProvide, name, "1"),
        Outgoing { correlation_id: Some(b"9"), ..about(Action::RpcRequest, "y") },
        bulk(Action::PresenceSubscribe, name, "1"),
        bulk(Action::PresenceQuery, name, "1"),
        Outgoing::new(Action::PresenceQueryAll),
        Outgoing::new(Action::PresenceSubscribeAll),
    ]
}

/// What a client is told, message by message.
fn conversation(rig: &mut Rig) -> Vec<Vec<String>> {
    let ann = rig.user(0, "ann");
    let mut heard = Vec::new();
    for message in every_kind() {
        rig.send(ann, &message);
        heard.push(rig.read(ann));
    }
    heard
}

#[test]
fn no_answer_depends_on_a_candidate() {
    let readers = ["create", "read", "write", "delete", "listen", "notify"].map(|kind| ("record", "*", kind));
    let others = [
        ("event", "*", "publish"),
        ("event", "*", "subscribe"),
        ("event", "*", "listen"),
        ("rpc", "*", "provide"),
        ("rpc", "*", "request"),
        ("presence", "*", "allow"),
    ];
    let all = |rule: &'static str| -> Vec<Row<'static>> {
        readers.iter().chain(&others).map(|&(section, path, kind)| (section, path, kind, rule)).collect()
    };
    let live = [("record", "doc3", "read", "false"), ("record", "*", "write", "data.a !== 7 && _('none') === null")];
    for cores in [1, 2, 4] {
        let plain = conversation(&mut Rig::ruled(cores, &with_open(&live)));
        assert!(plain.iter().filter(|lines| !lines.is_empty()).count() > 18, "{plain:?}");
        for candidate in [
            vec![],
            all("true"),
            all("user.data.x.y"),
            all("_('doc').a === 1 || _('elsewhere').b"),
            all("user.id === 'ann' && _(_('doc').b + 'z') === null"),
            vec![
                ("record", "*", "read", "oldData !== null && oldData.a > 1"),
                ("record", "*", "write", "data.a > 1 && (oldData === null || oldData.a === 1)"),
                ("record", "*", "delete", "oldData.a > 1"),
            ],
        ] {
            let mut rig =
                Rig::with(cores, &Options { permissions: beside(0, &with_open(&live), &candidate, 5), ..patient() });
            assert_eq!(conversation(&mut rig), plain, "{cores} cores beside {candidate:?}");
            assert!(tally(&rig).judged >= 26, "{:?}", tally(&rig));
        }
    }
}

#[test]
fn every_kind_of_message_is_compared_once() {
    for cores in [1, 2, 4] {
        let candidate = Options { permissions: beside(0, &with_open(&[]), &[], 1000), ..patient() };
        let mut denying = Rig::with(cores, &candidate);
        conversation(&mut denying);
        // A rule more for each of the two that set data, and for the one that creates what it subscribes to.
        let judged = every_kind().len() as u64 + 3;
        let expected = ShadowTally { judged, would_deny: judged, ..ShadowTally::default() };
        assert_eq!(tally(&denying), expected, "{cores} cores");
        let told = differences(&denying);
        assert_eq!(told.len() as u64, judged);
        for difference in told {
            assert_eq!(&*difference.user, "ann");
            assert!(difference.live.starts_with("allows by live.yml"), "{difference:?}");
            assert!(difference.candidate.starts_with("denies by candidate.yml (which has no "), "{difference:?}");
        }
        let mut agreeing = rig(cores, &[], &[]);
        conversation(&mut agreeing);
        assert_eq!(tally(&agreeing), ShadowTally { judged, ..ShadowTally::default() }, "{cores} cores");
        assert!(differences(&agreeing).is_empty());
        // Nothing is allowed, so that nothing comes to a second rule.
        let denied = Options { permissions: beside(0, &[], &with_open(&[]), 1000), ..patient() };
        let mut denied = Rig::with(cores, &denied);
        conversation(&mut denied);
        let judged = every_kind().len() as u64;
        let expected = ShadowTally { judged, would_allow: judged, ..ShadowTally::default() };
        assert_eq!(tally(&denied), expected, "{cores} cores");
    }
}

#[test]
fn differences_name_both_rules_by_file_and_line() {
    let mut rig = rig(
        1,
        &[("event", "news/*", "publish", "data < 10")],
        &[("event", "news/$kind", "publish", "$kind === 'good' && data < 5")],
    );
    let ann = rig.user(0, "ann");
    let emit = |name, data: &'static str| Outgoing { data: Some(data.as_bytes()), ..about(Action::EventEmit, name) };
    for (name, data) in [("news/good", "4"), ("news/good", "7"), ("news/bad", "4"), ("news/bad", "12")] {
        rig.send(ann, &emit(name, data));
    }
    assert_eq!(tally(&rig), ShadowTally { judged: 4, would_deny: 2, ..ShadowTally::default() });
    let told = differences(&rig);
    assert_eq!((&*told[0].name, told[0].action), ("news/good", "EMIT"));
    assert_eq!(&*told[0].live, "allows by live.yml:0:0 (event \"news/*\" publish)");
    assert_eq!(&*told[0].candidate, "denies by candidate.yml:0:0 (event \"news/$kind\" publish)");
}

#[test]
fn a_candidate_that_fails_is_counted_and_says_why() {
    let mut rig = rig(
        1,
        &[("event", "a", "publish", "user.id === 'ann'"), ("event", "c", "publish", "data.x.y")],
        &[("event", "*", "publish", "data.x.y")],
    );
    let (ann, bob) = (rig.user(0, "ann"), rig.user(0, "bob"));
    let emit = |name| Outgoing { data: Some(b"{}"), ..about(Action::EventEmit, name) };
    rig.send(ann, &emit("a"));
    rig.send(bob, &emit("a"));
    rig.send(bob, &emit("c"));
    assert_eq!(tally(&rig), ShadowTally { judged: 3, would_deny: 1, would_fail: 3, ..ShadowTally::default() });
    let told = differences(&rig);
    assert_eq!(told.len(), 2, "nothing differs where both fail");
    assert!(told[0].candidate.starts_with("fails by candidate.yml:"), "{told:?}");
    assert!(told[0].candidate.contains("TypeError"), "{told:?}");
    assert!(told[1].live.starts_with("denies by live.yml:"), "{told:?}");
}

#[test]
fn the_candidate_sees_what_a_write_leads_to_and_comes_from() {
    for cores in [1, 2, 4] {
        let mut rig = rig(cores, &[], &[("record", "doc", "write", "oldData === null || data.a > oldData.a")]);
        let ann = rig.user(0, "ann");
        rig.send(ann, &Outgoing { action: Action::RecordCreateAndUpdate, ..update("doc", -1, r#"{"a":1,"b":1}"#) });
        rig.send(ann, &patch("doc", 2, "a", "2"));
        assert_eq!(tally(&rig).would_deny, 0, "{cores} cores");
        rig.send(ann, &patch("doc", 3, "b", "2"));
        assert_eq!(tally(&rig).would_deny, 1);
        rig.send(ann, &Outgoing { action: Action::RecordPatchMulti, ..update("doc", 4, r#"[{"path":"a","data":1}]"#) });
        let expected = ShadowTally { judged: 5, would_deny: 2, ..ShadowTally::default() };
        assert_eq!(tally(&rig), expected, "{cores} cores");
        rig.send(ann, &about(Action::RecordRead, "doc"));
        assert_eq!(rig.read(ann), [r#"RECORD.READ_RESPONSE name=doc data={"a":1,"b":2} version=4"#]);
    }
}

#[test]
fn what_would_have_to_be_looked_for_is_undecided() {
    let near = Rig::new(2).name_on(0, "key");
    let far = Rig::new(2).name_on(1, "key");
    let (near_rule, far_rule) = (format!("_('{near}').open"), format!("_('{far}').open"));
    let event = Rig::new(2).name_on(0, "event");
    for (rule, key, decided) in [(&near_rule, &near, true), (&far_rule, &far, false)] {
        let mut rig = rig(2, &[], &[("event", "*", "publish", rule)]);
        let ann = rig.user(0, "ann");
        let key = Outgoing { action: Action::RecordCreateAndUpdate, ..update(key, -1, r#"{"open":false}"#) };
        rig.send(ann, &key);
        let before = tally(&rig);
        rig.send(ann, &about(Action::EventEmit, &event));
        let (now, hops) = (tally(&rig), rig.shards[0].counters().loads);
        assert_eq!(now.undecided - before.undecided, u64::from(!decided), "{rule}");
        assert_eq!(now.would_deny - before.would_deny, u64::from(decided), "{rule}");
        assert_eq!(hops, rig.shards[0].counters().loads, "nothing is loaded for a candidate");
    }
    // On disk and not in memory: nothing is read for it, however the rules in force are satisfied.
    let mut rig = rig(1, &[], &[("event", "*", "publish", &near_rule), ("record", "cold", "read", "oldData !== null")]);
    rig.stored.insert(near.clone().into_bytes(), (1, br#"{"open":true}"#.to_vec()));
    rig.stored.insert(b"cold".to_vec(), (1, b"{}".to_vec()));
    let ann = rig.user(0, "ann");
    rig.send(ann, &about(Action::EventEmit, "x"));
    assert_eq!((tally(&rig).undecided, rig.shards[0].counters().loads), (1, 0));
    // Nor is one who asks for no value kept waiting.
    rig.disk = Disk::Hangs;
    rig.send(ann, &bulk(Action::RecordSubscribe, &[b"cold"], "1"));
    assert_eq!(rig.read(ann), ["RECORD.SUBSCRIBE id=1 ack"]);
    assert_eq!((tally(&rig).undecided, rig.shards[0].counters().loads), (2, 0));
    // What is read all the same can be judged, once.
    rig.disk = Disk::Works;
    rig.send(ann, &about(Action::RecordRead, "cold"));
    assert_eq!(tally(&rig), ShadowTally { judged: 3, undecided: 2, ..ShadowTally::default() });
}

#[test]
fn what_the_rules_in_force_found_is_there_for_the_candidate() {
    let far = Rig::new(2).name_on(1, "key");
    let event = Rig::new(2).name_on(0, "event");
    let (live, candidate) = (format!("_('{far}').open"), format!("!_('{far}').open"));
    let mut rig = rig(2, &[("event", "*", "publish", &live)], &[("event", "*", "publish", &candidate)]);
    let ann = rig.user(0, "ann");
    rig.send(ann, &Outgoing { action: Action::RecordCreateAndUpdate, ..update(&far, -1, r#"{"open":true}"#) });
    let before = tally(&rig);
    rig.send(ann, &about(Action::EventEmit, &event));
    assert_eq!((tally(&rig).would_deny - before.would_deny, tally(&rig).undecided), (1, 0));
}

#[test]
fn samples_are_few_and_the_rest_is_counted() {
    let permissions = beside(0, &with_open(&[]), &[], 3);
    let mut rig = Rig::with(1, &Options { permissions, ..patient() });
    let ann = rig.user(0, "ann");
    let emit = |rig: &mut Rig, times: usize| (0..times).for_each(|_| rig.send(ann, &about(Action::EventEmit, "x")));
    let left_out = |rig: &Rig| -> Vec<u64> {
        let counts = rig.notes.iter().map(|note| match note {
            Note::LeftOut { what: Sampled::ShadowDifferences, count } => Some(*count),
            _ => None,
        });
        counts.flatten().collect()
    };
    let at_rest = rig.shards[0].census();
    emit(&mut rig, 10);
    assert_eq!((differences(&rig).len(), left_out(&rig)), (3, vec![]));
    assert_eq!(rig.shards[0].census(), at_rest, "a count for the log is not work");
    rig.pass(60_100_000_000);
    assert_eq!(left_out(&rig), [7]);
    emit(&mut rig, 4);
    assert_eq!(differences(&rig).len(), 6);
    // Other rules: what came of the candidate is told, and the next begins at nothing.
    let over = |rig: &Rig| -> Vec<(String, ShadowTally)> {
        let told = rig.notes.iter().map(|note| match note {
            Note::ShadowOver { file, tally } => Some((file.to_string(), *tally)),
            _ => None,
        });
        told.flatten().collect()
    };
    let now = rig.now;
    rig.shards[0].adopt_permissions(now, beside(1, &with_open(&[]), &[], 0));
    rig.settle();
    let first = ShadowTally { judged: 14, would_deny: 14, ..ShadowTally::default() };
    assert_eq!((over(&rig), left_out(&rig)), (vec![("candidate.yml".to_owned(), first)], vec![7, 1]));
    emit(&mut rig, 2);
    assert_eq!(differences(&rig).len(), 6, "none are wanted");
    rig.shards[0].stop(now);
    rig.settle();
    let second = ShadowTally { judged: 2, would_deny: 2, ..ShadowTally::default() };
    assert_eq!(over(&rig)[1].1, second);
}

#[test]
fn what_goes_on_is_compared_when_a_candidate_comes() {
    for cores in [1, 2, 4] {
        let mut rig = Rig::ruled(cores, &with_open(&[]));
        let ann = rig.user(0, "ann");
        rig.send(ann, &bulk(Action::EventSubscribe, &[b"news", b"other"], "1"));
        rig.send(ann, &bulk(Action::RecordSubscribeCreateAndRead, &[b"doc"], "1"));
        rig.read(ann);
        let candidate = with_open(&[("event", "news", "subscribe", "false")]);
        let permissions = beside(1, &with_open(&[]), &candidate, 10);
        for shard in &mut rig.shards {
            shard.adopt_permissions(rig.now, permissions.clone());
        }
        rig.settle();
        rig.pass(1);
        assert!(rig.read(ann).is_empty(), "nothing ends");
        assert_eq!(tally(&rig), ShadowTally { judged: 3, would_deny: 1, ..ShadowTally::default() }, "{cores} cores");
    }
}
