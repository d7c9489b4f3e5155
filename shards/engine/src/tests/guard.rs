//! Records of authentication's tables are nobody's, whatever is allowed of all records.

use super::permit::OPEN;
use super::rig::{Rig, about, acked, bulk, patch, patient, permissions, update};
use crate::{ConnId, Options, Permissions};
use deepstream_valve::Paths;
use deepstream_valve::check::check_rows_of;
use deepstream_wire::{Action, Outgoing};
use std::sync::Arc;

const USER: &str = "users/ann";

fn guarded(permissions: Permissions) -> Arc<Permissions> {
    Arc::new(Permissions { guarded: vec![b"users/"[..].into()], ..permissions })
}

/// With the rules given, or none at all.
fn rig(cores: u16, rules: Option<&[(&str, &str, &str, &str)]>) -> Rig {
    let all = rules.map(|rules| OPEN.iter().copied().chain(rules.iter().copied()).collect::<Vec<_>>());
    let permissions = guarded(all.map_or_else(Permissions::default, |all| permissions(0, &all)));
    let mut rig = Rig::with(cores, &Options { permissions, ..patient() });
    rig.stored.insert(USER.into(), (1, br#"{"password":"x"}"#.to_vec()));
    rig
}

/// Whether it is denied; if not, it is done.
fn denied(rig: &mut Rig, conn: ConnId, message: &Outgoing<'_>) -> bool {
    rig.send(conn, message);
    let lines = rig.read(conn);
    lines.iter().any(|line| line.starts_with("RECORD.MESSAGE_DENIED"))
}

fn everything<'a>(names: &'a [&'a [u8]]) -> Vec<(Outgoing<'a>, &'static str)> {
    let create = Outgoing { action: Action::RecordCreateAndUpdate, ..update(USER, -1, "{}") };
    vec![
        (about(Action::RecordRead, USER), "read"),
        (about(Action::RecordHead, USER), "read"),
        (bulk(Action::RecordSubscribe, names, "1"), "read"),
        (bulk(Action::RecordSubscribeAndHead, names, "2"), "read"),
        (bulk(Action::RecordSubscribeAndRead, names, "3"), "read"),
        (bulk(Action::RecordSubscribeCreateAndRead, names, "4"), "read"),
        (acked(update(USER, 2, "{}"), "5"), "write"),
        (patch(USER, 2, "password", "1"), "write"),
        (create, "write"),
        (Outgoing { path: Some(b"password"), version: Some(9), ..about(Action::RecordErase, USER) }, "delete"),
        (bulk(Action::RecordNotify, names, "6"), "notify"),
        (about(Action::RecordDelete, USER), "delete"),
        (about(Action::RecordListen, "users/.*"), "listen"),
    ]
}

#[test]
fn nobody_does_anything_with_them_though_everybody_may_do_everything() {
    let generic = [("record", "$table/$name", "read", "true"), ("record", "user*", "write", "true")];
    for (rules, cores) in [(None, 1), (None, 2), (Some(&[][..]), 2), (Some(&generic), 2)] {
        let mut rig = rig(cores, rules);
        let ann = rig.user(0, "ann");
        for (message, _) in everything(&[USER.as_bytes()]) {
            assert!(denied(&mut rig, ann, &message), "{rules:?} {message:?}");
        }
        assert_eq!(rig.stored[USER.as_bytes()], (1, br#"{"password":"x"}"#.to_vec()));
        // What is called alike is not meant.
        for name in ["users", "users2/ann", "user", "my/users/ann"] {
            assert!(!denied(&mut rig, ann, &about(Action::RecordRead, name)), "{name}");
        }
        rig.send(ann, &bulk(Action::EventSubscribe, &[USER.as_bytes()], "7"));
        assert_eq!(rig.read(ann), ["EVENT.SUBSCRIBE id=7 ack"], "events are no records");
    }
}

#[test]
fn a_rule_whose_path_names_the_table_lifts_it_for_what_it_allows() {
    for lifted in ["read", "write", "delete", "listen", "notify"] {
        let rule = [("record", "users/*", lifted, "user.id === 'ann'")];
        for (message, right) in everything(&[USER.as_bytes()]) {
            // What writes may have to create, too, which is another right.
            if message.action == Action::RecordCreateAndUpdate {
                continue;
            }
            let mut rig = rig(2, Some(&rule));
            let (ann, bob) = (rig.user(0, "ann"), rig.user(1, "bob"));
            assert_eq!(denied(&mut rig, ann, &message), right != lifted, "{lifted} {message:?}");
            assert!(denied(&mut rig, bob, &message), "{lifted} {message:?}");
        }
    }
}

#[test]
fn the_denial_outlasts_other_rules_and_comes_with_them() {
    let mut rig = Rig::ruled(2, &OPEN);
    rig.stored.insert(USER.into(), (1, b"{}".to_vec()));
    let ann = rig.user(0, "ann");
    assert!(!denied(&mut rig, ann, &bulk(Action::RecordSubscribeAndRead, &[USER.as_bytes()], "1")));
    let adopt = |rig: &mut Rig, rules: Arc<Permissions>| {
        let now = rig.now;
        rig.shards[1].adopt_permissions(now, rules);
        rig.settle();
    };
    adopt(&mut rig, guarded(permissions(1, &OPEN)));
    let lines = rig.read(ann);
    assert_eq!(lines, [format!("RECORD.MESSAGE_DENIED name={USER} original=SUBSCRIBECREATEANDREAD error")]);
    assert!(denied(&mut rig, ann, &about(Action::RecordRead, USER)));
    adopt(&mut rig, guarded(Permissions { generation: 2, ..Permissions::default() }));
    assert!(denied(&mut rig, ann, &about(Action::RecordRead, USER)), "there are no rules any more");
    assert!(!denied(&mut rig, ann, &about(Action::RecordRead, "other")));
    adopt(&mut rig, Arc::new(Permissions { generation: 3, ..Permissions::default() }));
    assert!(!denied(&mut rig, ann, &about(Action::RecordRead, USER)), "authentication keeps nothing there any more");
}

#[test]
fn a_rule_may_look_where_its_user_may_not() {
    let rule = [("record", "door/*", "read", "_('users/' + user.id).password === 'x'")];
    let mut rig = rig(2, Some(&rule));
    let (ann, bob) = (rig.user(0, "ann"), rig.user(0, "bob"));
    assert!(!denied(&mut rig, ann, &about(Action::RecordRead, "door/1")));
    rig.send(bob, &about(Action::RecordRead, "door/1"));
    assert!(!rig.read(bob).iter().any(|line| line.contains("NOT_FOUND")), "there is no record of bob");
}

#[test]
fn who_listens_to_everything_is_not_told_of_them() {
    for (listen, told) in [(("record", "*", "listen", "true"), false), (("record", "users/*", "listen", "true"), true)]
    {
        let rules = [("record", "users/*", "read", "user.id === 'ann'"), listen];
        let mut rig = rig(2, Some(&rules));
        let (ann, eve) = (rig.user(0, "ann"), rig.user(1, "eve"));
        assert!(!denied(&mut rig, eve, &about(Action::RecordListen, ".*")));
        assert!(!denied(&mut rig, ann, &bulk(Action::RecordSubscribe, &[USER.as_bytes(), b"other/x"], "1")));
        let lines = rig.read(eve);
        let found = |name: &str| lines.iter().any(|line| line.contains(&format!("subscription={name}")));
        assert!(found("other/x"), "{lines:?}");
        assert_eq!(found(USER), told, "{lines:?}");
    }
}

#[test]
fn a_rule_lifts_it_in_the_spelling_that_checks_advise_and_in_files_of_literal_paths() {
    let denied_with = |table: &str, paths: Paths, path: &str| {
        let rows: Vec<_> = OPEN.iter().copied().chain([("record", path, "read", "true")]).collect();
        let ruleset = check_rows_of(paths, &rows).expect("good rules").ruleset;
        let guarded = vec![format!("{table}/").into_bytes().into()];
        let permissions = Arc::new(Permissions { ruleset: Some(Arc::new(ruleset)), guarded, ..Permissions::default() });
        let mut rig = Rig::with(1, &Options { permissions, ..patient() });
        let name = format!("{table}/eve");
        rig.stored.insert(name.clone().into(), (1, b"{}".to_vec()));
        let ann = rig.user(0, "ann");
        denied(&mut rig, ann, &about(Action::RecordRead, &name))
    };
    for (table, paths, path) in [
        ("app.users", Paths::Regular, r"app\.users/$name"),
        ("app.users", Paths::Regular, "app.users/$name"),
        ("app.users", Paths::Literal, "app.users/$name"),
        ("a+b", Paths::Regular, r"a\+b/*"),
        ("a+b", Paths::Literal, "a+b/*"),
        ("a$b", Paths::Regular, "a\\x24b/$name"),
    ] {
        assert!(!denied_with(table, paths, path), "{path}");
    }
    for (table, paths, path) in [
        ("app.users", Paths::Literal, "*.users/$name"),
        ("app.users", Paths::Regular, r"app\.*/$name"),
        ("users", Paths::Regular, "[u]sers/$name"),
        ("users", Paths::Regular, "users?/$name"),
        ("users", Paths::Regular, r"\w*/$name"),
        ("users", Paths::Regular, "(users|other)/$name"),
    ] {
        assert!(denied_with(table, paths, path), "{path}");
    }
}
