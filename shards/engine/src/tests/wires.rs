//! Connections of different protocols on the same names.

use super::rig::{Disk, Rig, about, acked, bulk, patch, update};
use crate::{Note, Options, Reason};
use deepstream_wire::{Action, Outgoing, Topic, Unreadable, Wire, Word};

const SECOND: u64 = 1_000_000_000;

/// A client of every wire on each of two cores, subscribed to event `e`.
fn listeners(rig: &mut Rig) -> Vec<(Wire, crate::ConnId)> {
    let mut listeners = Vec::new();
    for core in 0..2 {
        listeners.push((Wire::Protobuf, rig.client(core)));
        listeners.push((Wire::ProtobufNoMulti, rig.client_of(core, "7.0.5")));
        listeners.push((Wire::Text, rig.text_client(core)));
        listeners.push((Wire::Json, rig.json_client(core)));
    }
    for &(_, conn) in &listeners {
        rig.send(conn, &bulk(Action::EventSubscribe, &[b"e"], "e"));
        rig.read(conn);
    }
    listeners
}

#[test]
fn everybody_hears_an_event_in_their_own_protocol() {
    let mut rig = Rig::new(2);
    let listeners = listeners(&mut rig);
    let long = format!("\"{}\"", "x".repeat(20_000));
    for data in ["{\"a\":1}", &long, "1"] {
        for emitter in 0..2 {
            let emitter = rig.client(emitter);
            rig.send(emitter, &Outgoing { data: Some(data.as_bytes()), ..about(Action::EventEmit, "e") });
            for &(wire, conn) in &listeners {
                let typed = match data.as_bytes()[0] {
                    b'{' => format!("O{data}"),
                    b'"' => format!("S{}", data.trim_matches('"')),
                    _ => format!("N{data}"),
                };
                let expected = match wire {
                    Wire::Text => format!("E|EVT|e|{typed}+"),
                    Wire::Json => format!(r#"{{"topic":4,"action":2,"name":"e","parsedData":{data}}}"#),
                    _ => format!("EVENT.EMIT name=e data={data}"),
                };
                assert_eq!(rig.read(conn), [expected], "{wire:?}");
            }
        }
    }
}

#[test]
fn what_an_earlier_message_left_behind_reaches_nobody() {
    let mut rig = Rig::new(1);
    let (text, emitter) = (rig.text_client(0), rig.text_client(0));
    rig.send(text, &bulk(Action::EventSubscribe, &[b"secret"], "secret"));
    rig.send(emitter, &Outgoing { data: Some(b"1"), ..about(Action::EventEmit, "secret") });
    let protobuf = rig.client(0);
    rig.send(protobuf, &bulk(Action::EventSubscribe, &[b"e"], "0"));
    rig.read(protobuf);
    rig.send(emitter, &Outgoing { data: Some(b"2"), ..about(Action::EventEmit, "e") });
    assert_eq!(rig.read(protobuf), ["EVENT.EMIT name=e data=2"]);
}

#[test]
fn many_patches_reach_who_does_not_know_them_as_the_whole_value() {
    let mut rig = Rig::new(2);
    let writer = rig.client(0);
    let readers = [
        rig.client(1),
        rig.client_of(1, "7.0.5"),
        rig.text_client(0),
        rig.text_client(1),
        rig.json_client(0),
        rig.json_client(1),
    ];
    for conn in readers {
        rig.send(conn, &bulk(Action::RecordSubscribeCreateAndRead, &[b"r"], "r"));
        rig.read(conn);
    }
    let patches = r#"[{"path":"a","data":1},{"path":"b","data":"x"}]"#;
    rig.send(writer, &Outgoing { action: Action::RecordPatchMulti, ..update("r", 1, patches) });
    let heard: Vec<String> = readers.iter().flat_map(|&conn| rig.read(conn)).collect();
    assert_eq!(
        heard,
        [
            format!("RECORD.PATCH_MULTI name=r data={patches} version=1"),
            r#"RECORD.UPDATE name=r data={"a":1,"b":"x"} version=1"#.to_owned(),
            r#"R|U|r|1|{"a":1,"b":"x"}+"#.to_owned(),
            r#"R|U|r|1|{"a":1,"b":"x"}+"#.to_owned(),
            r#"{"topic":5,"action":18,"name":"r","version":1,"parsedData":{"a":1,"b":"x"}}"#.to_owned(),
            r#"{"topic":5,"action":18,"name":"r","version":1,"parsedData":{"a":1,"b":"x"}}"#.to_owned(),
        ]
    );
}

#[test]
fn answers_of_another_core_come_in_the_askers_protocol() {
    let mut rig = Rig::new(2);
    let conn = rig.text_client(0);
    let name = rig.name_on(1, "there");
    rig.send(conn, &acked(Outgoing { action: Action::RecordCreateAndUpdate, ..update(&name, -1, "{}") }, "-1"));
    assert_eq!(rig.read(conn), [format!("R|WA|{name}|[-1]|L+")]);
    rig.send(conn, &patch(&name, 1, "a", "1"));
    assert_eq!(rig.read(conn), [format!("R|E|VERSION_EXISTS|{name}|1|{{}}+")]);
    rig.send(conn, &Outgoing { correlation_id: Some(b"H"), ..about(Action::RecordHead, &name) });
    assert_eq!(rig.read(conn), [format!("R|H|{name}|T+")]);
}

#[test]
fn presence_is_acknowledged_as_each_text_client_knows_it() {
    let mut rig = Rig::new(2);
    for core in 0..2 {
        for (wire, named) in [(Wire::Text, ["S", "US"]), (Wire::TextSdk, ["U", "U"])] {
            let conn = rig.text_client_of(core, wire);
            rig.send(conn, &Outgoing::new(Action::PresenceSubscribeAll));
            assert_eq!(rig.read(conn), [format!("U|A|S|{}+", named[0])], "{wire:?}");
            rig.send(conn, &Outgoing::new(Action::PresenceUnsubscribeAll));
            assert_eq!(rig.read(conn), [format!("U|A|US|{}+", named[1])], "{wire:?}");
        }
    }
}

#[test]
fn a_connection_that_said_nothing_turns_to_text_and_back() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Text).heartbeat_ns = 10 * SECOND;
    let mut rig = Rig::with(1, &options);
    let (old, late) = (rig.stranger_on(0, Wire::Protobuf), rig.stranger_on(0, Wire::Protobuf));
    for conn in [old, late] {
        rig.shards[0].turned(rig.now, conn, Wire::Text);
    }
    rig.pass(11 * SECOND);
    assert_eq!(rig.read(old), ["C|PI+"], "what is set for text holds");
    rig.send(old, &Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) });
    assert_eq!(rig.read(old), ["A|A+"]);
    rig.read(late);
    rig.shards[0].turned(rig.now, late, Wire::Protobuf);
    rig.send(late, &Outgoing::new(Action::ConnectionChallenge));
    assert_eq!(rig.read(late), ["CONNECTION.ACCEPT"]);
    rig.send(late, &Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) });
    assert!(rig.read(late)[0].starts_with("AUTH.AUTH_SUCCESSFUL"));
}

#[test]
fn the_challenge_may_be_answered_before_the_login_and_is_passed_over_after_it() {
    let mut rig = Rig::new(2);
    let url = |url: &'static [u8]| Outgoing { name: Some(url), ..Outgoing::new(Action::ConnectionChallenge) };
    let bare = Outgoing::new(Action::ConnectionChallenge);
    for (first, named) in [(bare, "S"), (url(b"ws://h:6020/deepstream"), "S"), (url(b"h:6020"), "U")] {
        let conn = rig.stranger_on(0, Wire::Text);
        for answer in [first, bare] {
            rig.send(conn, &answer);
            assert_eq!(rig.read(conn), ["C|A+"], "each is accepted");
        }
        rig.send(conn, &Outgoing { data: Some(br#"{"bad":1}"#), ..Outgoing::new(Action::AuthRequest) });
        assert!(rig.read(conn)[0].starts_with("A|E|INVALID_AUTH_DATA|"));
        rig.send(conn, &first);
        assert_eq!(rig.read(conn), ["C|A+"]);
        rig.send(conn, &Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) });
        assert_eq!(rig.read(conn), ["A|A+"]);
        for late in [bare, url(b"h:6020")] {
            rig.send(conn, &late);
            assert!(rig.read(conn).is_empty(), "and changes nothing:");
        }
        rig.send(conn, &Outgoing::new(Action::PresenceSubscribeAll));
        assert_eq!(rig.read(conn), [format!("U|A|S|{named}+")]);
    }
    assert!(!rig.notes.iter().any(|note| matches!(note, Note::Unexpected { .. })), "nothing to log: {:?}", rig.notes);
}

#[test]
fn text_clients_of_both_kinds_are_told_of_conflicts_alike() {
    let mut rig = Rig::new(1);
    for (wire, name) in [(Wire::Text, "a"), (Wire::TextSdk, "b")] {
        let conn = rig.text_client_of(0, wire);
        rig.send(conn, &acked(Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, "{}") }, "-1"));
        assert_eq!(rig.read(conn), [format!("R|WA|{name}|[-1]|L+")]);
        rig.send(conn, &update(name, 7, r#"{"a":1}"#));
        assert_eq!(rig.read(conn), [format!("R|E|VERSION_EXISTS|{name}|1|{{}}+")], "{wire:?}");
    }
}

#[test]
fn a_text_client_of_another_kind_has_the_settings_of_its_endpoint() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Text).heartbeat_ns = 10 * SECOND;
    let mut rig = Rig::with(1, &options);
    let conn = rig.text_client_of(0, Wire::TextSdk);
    rig.pass(11 * SECOND);
    assert_eq!(rig.read(conn), ["C|PI+"]);
}

#[test]
fn a_text_client_is_pinged_and_closed_when_it_says_nothing() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Text).heartbeat_ns = 10 * SECOND;
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = 1000 * SECOND;
    let mut rig = Rig::with(1, &options);
    let (silent, alive) = (rig.text_client(0), rig.text_client(0));
    let protobuf = rig.client(0);
    for _ in 0..3 {
        rig.pass(9 * SECOND);
        assert!(rig.read(alive).is_empty(), "not before its time");
        rig.pass(2 * SECOND);
        assert_eq!(rig.read(alive), ["C|PI+"]);
        rig.send(alive, &Outgoing::new(Action::ConnectionPong));
        assert!(rig.read(alive).is_empty(), "an answer is not answered");
    }
    assert_eq!(rig.closed[0], (silent, Reason::HeartbeatMissing));
    assert!(rig.closed.iter().all(|&(conn, _)| conn == silent), "{:?}", rig.closed);
    assert!(rig.read(protobuf).is_empty(), "the others ping themselves");
}

#[test]
fn a_text_client_that_does_not_log_in_is_told_in_its_own_words() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Text).unauthenticated_timeout_ns = Some(5 * SECOND);
    options.endpoints.of_mut(Wire::Text).auth_attempts_max = 1;
    let mut rig = Rig::with(1, &options);
    let (late, refused) = (rig.stranger_on(0, Wire::Text), rig.stranger_on(0, Wire::Text));
    rig.send(refused, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(refused, &Outgoing { data: Some(br#"{"bad":1}"#), ..Outgoing::new(Action::AuthRequest) });
    let lines = rig.read(refused);
    assert_eq!(lines[0], "C|A+");
    assert!(lines[1].starts_with("A|E|INVALID_AUTH_DATA|"), "{lines:?}");
    assert_eq!(lines[2], "A|E|TOO_MANY_AUTH_ATTEMPTS|Stoo many authentication attempts+");
    rig.pass(6 * SECOND);
    assert!(rig.read(late)[0].starts_with("C|E|CONNECTION_AUTHENTICATION_TIMEOUT|S"));
    assert!(rig.closed.contains(&(late, Reason::AuthenticationTimeout)));
    assert!(rig.notes.iter().any(|note| matches!(note, Note::LoginRefused { .. })));
}

/// Its clients find what they asked for by the word of the question.
#[test]
fn text_is_told_under_the_word_it_asked_with() {
    for (cores, wire) in [(1, Wire::Text), (3, Wire::Text), (1, Wire::TextSdk), (3, Wire::TextSdk)] {
        let mut rig = Rig::ruled(cores, &[("record", "*", "create", "true"), ("record", "open", "read", "true")]);
        let text = rig.text_client_of(0, wire);
        let ask = |rig: &mut Rig, message: &Outgoing<'_>| {
            rig.send(text, message);
            rig.read(text).concat()
        };
        let shut = rig.name_on(usize::from(cores - 1), "shut");
        let names: [&[u8]; 1] = [shut.as_bytes()];
        let create = bulk(Action::RecordSubscribeCreateAndRead, &names, &shut);
        for _ in 0..2 {
            assert_eq!(ask(&mut rig, &create), format!("R|E|MESSAGE_DENIED|{shut}|R+"), "nothing before it");
        }
        let has = Outgoing { correlation_id: Some(b"H"), ..about(Action::RecordHead, &shut) };
        assert_eq!(ask(&mut rig, &has), format!("R|E|H|{shut}|MESSAGE_DENIED+"));
        assert_eq!(ask(&mut rig, &about(Action::RecordHead, &shut)), format!("R|E|HD|{shut}|MESSAGE_DENIED+"));
        assert_eq!(ask(&mut rig, &about(Action::RecordRead, &shut)), format!("R|E|SN|{shut}|MESSAGE_DENIED+"));
        assert_eq!(ask(&mut rig, &about(Action::RecordRead, "open")), "R|E|SN|open|RECORD_NOT_FOUND+");
        let create = bulk(Action::RecordSubscribeCreateAndRead, &[b"open"], "open");
        assert_eq!(ask(&mut rig, &create), "R|A|S|open+R|R|open|0|{}+");
        assert_eq!(ask(&mut rig, &create), "R|E|MULTIPLE_SUBSCRIPTIONS|open+R|A|S|open+R|R|open|0|{}+");
    }
}

#[test]
fn a_text_client_that_does_not_say_whether_it_provides_is_told_nothing_of_it() {
    let options = Options { listen_response_timeout_ns: SECOND, ..Options::default() };
    let mut rig = Rig::with(2, &options);
    let (text, sdk) = (rig.text_client(0), rig.text_client_of(0, Wire::TextSdk));
    let (protobuf, asker) = (rig.client(1), rig.client(0));
    for listener in [text, sdk, protobuf] {
        rig.send(listener, &about(Action::EventListen, "e.*"));
        rig.read(listener);
    }
    rig.send(asker, &bulk(Action::EventSubscribe, &[b"e1"], "1"));
    let listeners = [text, sdk, protobuf];
    let mut told = listeners.map(|conn| rig.read(conn).concat());
    for _ in 0..5 {
        rig.pass(2 * SECOND);
        for (told, conn) in told.iter_mut().zip(listeners) {
            *told += &rig.read(conn).concat();
        }
    }
    for told in &told[..2] {
        assert_eq!(told.replace("C|PI+", ""), "E|SP|e.*|e1+");
    }
    assert!(told[2].contains("EVENT.LISTEN_RESPONSE_TIMEOUT"), "{}", told[2]);
}

/// As the servers its clients were made for: `C` is the right to create.
#[test]
fn text_is_told_when_it_may_not_create() {
    let rules = [
        ("record", "*", "read", "true"),
        ("record", "*", "write", "true"),
        ("record", "bad", "create", "user.id.a.b.c"),
    ];
    for cores in [1, 3] {
        let mut rig = Rig::ruled(cores, &rules);
        let (text, protobuf) = (rig.text_client(0), rig.client(0));
        let name = rig.name_on(usize::from(cores - 1), "r");
        let names: [&[u8]; 1] = [name.as_bytes()];
        let create = bulk(Action::RecordSubscribeCreateAndRead, &names, &name);
        let set =
            Outgoing { action: Action::RecordCreateAndUpdate, correlation_id: Some(b"-1"), ..update(&name, -1, "{}") };
        let denied = format!("R|E|MESSAGE_DENIED|{name}|C+");
        rig.send(text, &create);
        rig.send(text, &set);
        rig.send(text, &Outgoing { is_write_ack: true, ..set });
        let settled = format!("R|WA|{name}|[-1]|SMESSAGE_DENIED+");
        assert_eq!(rig.read(text), [denied.clone(), denied.clone(), denied, settled]);
        rig.send(text, &bulk(Action::RecordSubscribeCreateAndRead, &[b"bad"], "bad"));
        assert_eq!(rig.read(text), ["R|E|MESSAGE_PERMISSION_ERROR|bad|C+"]);
        rig.send(protobuf, &create);
        let told = rig.read(protobuf).concat();
        assert!(told.contains("original=SUBSCRIBECREATEANDREAD"), "the others as ever: {told}");
    }
}

#[test]
fn text_is_told_which_word_nobody_knows() {
    let mut rig = Rig::new(1);
    for wire in [Wire::Text, Wire::TextSdk] {
        let conn = rig.text_client_of(0, wire);
        let word = Word::new("XYZ");
        for (what, told) in [
            (Unreadable::ActionWord(Topic::Event, word), "E|E|UNKNOWN_ACTION|unknown action XYZ+"),
            (Unreadable::ActionWord(Topic::Record, word), "R|E|UNKNOWN_ACTION|unknown action XYZ+"),
            (Unreadable::ActionWord(Topic::Rpc, word), "P|E|UNKNOWN_ACTION|unknown action XYZ+"),
            (Unreadable::ActionWord(Topic::Presence, word), "U|E|UNKNOWN_ACTION|unknown action XYZ+"),
            (Unreadable::ActionWord(Topic::Event, Word::new("")), "E|E|UNKNOWN_ACTION|unknown action undefined+"),
            (Unreadable::ActionWord(Topic::Connection, word), "X|E|UNKNOWN_TOPIC|C+"),
            (Unreadable::ActionWord(Topic::Parser, word), "X|E|UNKNOWN_TOPIC|X+"),
            (Unreadable::TopicWord(Word::new("Z")), "X|E|UNKNOWN_TOPIC|Z+"),
            (Unreadable::TopicWord(Word::new("")), "X|E|UNKNOWN_TOPIC|undefined+"),
        ] {
            let _ = rig.shards[0].unreadable(rig.now, conn, what);
            rig.settle();
            assert_eq!(rig.read(conn), [told], "{what:?}");
        }
    }
}

/// What is answered to what nobody knows has to be read as well, or no more is taken in.
#[test]
fn whoever_says_what_nobody_knows_and_does_not_read_is_not_read_from() {
    let mut rig = Rig::new(1);
    let conn = rig.text_client(0);
    rig.slow_down(conn);
    let what = Unreadable::ActionWord(Topic::Event, Word::new("XYZ"));
    let paused = (0..100_000).any(|_| rig.shards[0].unreadable(rig.now, conn, what) == crate::Flow::Pause);
    assert!(paused);
}

/// Who lets go of what it does not hold is acknowledged, and waits for nothing.
#[test]
fn a_text_client_that_does_not_listen_any_more_is_acknowledged() {
    let mut rig = Rig::new(2);
    for wire in [Wire::Text, Wire::TextSdk] {
        let conn = rig.text_client_of(0, wire);
        for (action, topic) in [(Action::EventUnlisten, 'E'), (Action::RecordUnlisten, 'R')] {
            rig.send(conn, &about(action, "a/.*"));
            assert_eq!(rig.read(conn), [format!("{topic}|A|UL|a/.*+")], "{wire:?}");
            rig.send(conn, &about(action, ""));
            assert_eq!(rig.read(conn), [format!("{topic}|E|INVALID_MESSAGE_DATA|undefined+")], "{wire:?}");
        }
    }
    let protobuf = rig.client(0);
    rig.send(protobuf, &about(Action::EventUnlisten, "a/.*"));
    assert!(rig.read(protobuf).is_empty(), "the reference says nothing");
}

#[test]
fn a_text_client_that_says_unasked_that_it_provides_is_told_that_it_does_not() {
    let mut rig = Rig::new(2);
    let (text, protobuf) = (rig.text_client(0), rig.client(1));
    for name in [rig.name_on(0, "a"), rig.name_on(1, "a")] {
        for conn in [text, protobuf] {
            let accept = Outgoing { subscription: Some(name.as_bytes()), ..about(Action::RecordListenAccept, "a.*") };
            rig.send(conn, &accept);
            rig.send(conn, &Outgoing { action: Action::RecordListenReject, ..accept });
        }
        assert_eq!(rig.read(text), [format!("R|SR|a.*|{name}+")]);
        assert!(rig.read(protobuf).is_empty());
    }
}

#[test]
fn text_names_are_never_empty() {
    let mut rig = Rig::new(1);
    let text = rig.text_client(0);
    for (action, answer) in [
        (Action::EventUnsubscribe, "E|E|INVALID_MESSAGE_DATA|undefined+"),
        (Action::RecordUnsubscribe, "R|E|INVALID_MESSAGE_DATA|undefined+"),
        (Action::PresenceUnsubscribe, "U|E|INVALID_PRESENCE_USERS|users are required to be a json array of usernames+"),
    ] {
        rig.send(text, &bulk(action, &[b""], ""));
        assert_eq!(rig.read(text), [answer]);
    }
}

#[test]
fn text_is_told_what_is_wrong_with_a_write_and_with_a_pattern() {
    let mut rig = Rig::new(1);
    let text = rig.text_client(0);
    let ask = |rig: &mut Rig, message: &Outgoing<'_>| {
        rig.send(text, message);
        rig.read(text).concat()
    };
    let named = |id: &'static str, message| Outgoing { correlation_id: Some(id.as_bytes()), ..message };
    rig.send(text, &named("-1", Outgoing { action: Action::RecordCreateAndUpdate, ..update("r", -1, "{}") }));
    let path = named("1", patch("r", 1, "__proto__.x", "1"));
    assert_eq!(ask(&mut rig, &path), r#"R|E|INVALID_MESSAGE_DATA|not a path: "__proto__.x"+"#);
    let version = Outgoing { version: None, ..named("one", update("r", 0, "{}")) };
    assert_eq!(ask(&mut rig, &version), "R|E|INVALID_VERSION|r|one+");
    let waits = Outgoing { is_write_ack: true, ..version };
    assert_eq!(ask(&mut rig, &waits), "R|E|INVALID_VERSION|r|one+R|WA|r|[]|SINVALID_VERSION+");
    for (action, topic) in [(Action::EventListen, 'E'), (Action::RecordListen, 'R')] {
        let told = ask(&mut rig, &about(action, "("));
        let start = format!("{topic}|E|INVALID_MESSAGE_DATA|SyntaxError: Invalid regular expression: /(/: ");
        assert!(told.starts_with(&start) && told.len() > start.len() + 1, "{told}");
    }
}

#[test]
fn a_snapshot_that_storage_fails_is_told_to_whoever_waits_for_it() {
    let mut rig = Rig::new(1);
    rig.disk = Disk::Fails;
    let text = rig.text_client(0);
    rig.send(text, &about(Action::RecordRead, "r"));
    rig.send(text, &Outgoing { correlation_id: Some(b"H"), ..about(Action::RecordHead, "r") });
    assert_eq!(rig.read(text), ["R|E|SN|r|RECORD_LOAD_ERROR+", "R|E|H|r|RECORD_LOAD_ERROR+"]);
}

#[test]
fn only_text_is_shown_what_it_sent_wrong() {
    let mut rig = Rig::new(1);
    let (text, protobuf) = (rig.text_client(0), rig.client(0));
    for conn in [text, protobuf] {
        rig.send(conn, &Outgoing { data: Some(b"{bad"), version: Some(1), ..about(Action::RecordUpdate, "r") });
    }
    assert_eq!(rig.read(text), ["R|E|INVALID_MESSAGE_DATA|{bad+"]);
    let line = rig.read(protobuf).remove(0);
    assert!(line.starts_with("RECORD.INVALID_MESSAGE_DATA") && !line.contains("data="), "{line}");
}

#[test]
fn a_json_client_stays_one_whatever_its_challenge_says() {
    let mut rig = Rig::new(1);
    let conn = rig.stranger_on(0, Wire::Json);
    rig.send(conn, &about(Action::EventEmit, "e"));
    assert_eq!(rig.read(conn), [r#"{"topic":2,"action":101,"originalTopic":4,"originalAction":2}"#]);
    let mut frame = Vec::new();
    deepstream_wire::client::encode_challenge("ws://h", "javascript", "7.0.5", [0; 4], &mut frame);
    rig.bytes(conn, &frame[6..]);
    rig.send(conn, &about(Action::EventEmit, "e"));
    rig.send(conn, &Outgoing { data: Some(b"[]"), ..Outgoing::new(Action::AuthRequest) });
    rig.send(conn, &bulk(Action::EventSubscribe, &[b"e"], "1"));
    let expected = [
        r#"{"topic":2,"action":4}"#,
        r#"{"topic":3,"action":101,"originalTopic":4,"originalAction":2}"#,
        r#"{"topic":3,"action":3}"#,
        r#"{"topic":4,"action":3,"correlationId":"1","isAck":true}"#,
    ];
    assert_eq!(rig.read(conn), expected);
}
