//! Values nested deeper than is allowed: refused to whoever sent them, in words, wherever they are told.

use super::rig::{Rig, about, acked, bulk, patch, update};
use crate::{Note, Options, Reason};
use deepstream_wire::{Action, Outgoing};

const MAX: usize = 5;
const WORDS: &str = "nested deeper than limits.nestingMax (5)";

fn rig() -> Rig {
    let mut options = Options::default();
    options.limits.nesting_max = MAX;
    Rig::with(2, &options)
}

fn nested(depth: usize) -> String {
    ["[".repeat(depth), "]".repeat(depth)].concat()
}

#[test]
fn an_event_that_is_too_deep_is_refused_to_its_emitter_and_told_to_nobody() {
    let mut rig = rig();
    let (emitter, json, text, listener) = (rig.client(0), rig.json_client(0), rig.text_client(1), rig.client(1));
    rig.send(listener, &bulk(Action::EventSubscribe, &[b"e"], "1"));
    rig.read(listener);
    let deep = nested(MAX + 1);
    for conn in [emitter, json, text] {
        rig.send(conn, &Outgoing { data: Some(deep.as_bytes()), ..about(Action::EventEmit, "e") });
    }
    let binary = format!("EVENT.INVALID_MESSAGE_DATA name=e data=\"{WORDS}\" original=EMIT error");
    assert_eq!(rig.read(emitter), [binary]);
    let line =
        format!(r#"{{"topic":4,"action":105,"name":"e","parsedData":"{WORDS}","originalAction":2,"isError":true}}"#);
    assert_eq!(rig.read(json), [line]);
    assert_eq!(rig.read(text), [format!("E|E|INVALID_MESSAGE_DATA|{WORDS}+")]);
    assert!(rig.read(listener).is_empty());
    rig.send(emitter, &Outgoing { data: Some(nested(MAX).as_bytes()), ..about(Action::EventEmit, "e") });
    assert_eq!(rig.read(listener), [format!("EVENT.EMIT name=e data={}", nested(MAX))]);
}

#[test]
fn records_get_no_deeper_by_whatever_way() {
    let mut rig = rig();
    let (protobuf, text) = (rig.client(0), rig.text_client(0));
    rig.send(protobuf, &acked(Outgoing { action: Action::RecordCreateAndUpdate, ..update("r", -1, "{}") }, "1"));
    rig.read(protobuf);
    let (deep, fits) = (nested(MAX + 1), nested(MAX - 1));
    let path = "a.".repeat(MAX - 1) + "a";
    let told = |rig: &mut Rig, conn, message: &Outgoing<'_>| {
        rig.send(conn, message);
        let told = rig.read(conn);
        assert!(told.len() == 1 && told[0].contains("INVALID_MESSAGE_DATA") && told[0].contains(WORDS), "{told:?}");
    };
    for conn in [protobuf, text] {
        told(&mut rig, conn, &update("r", 2, &deep));
        told(&mut rig, conn, &patch("r", 2, "a", &deep));
        // Neither the path nor what is put there is too deep, but both are.
        told(&mut rig, conn, &patch("r", 2, &path, "[]"));
        told(&mut rig, conn, &patch("r", 2, "a.a", &fits));
        let path = "a.".repeat(MAX) + "a";
        told(&mut rig, conn, &Outgoing { data: None, ..patch("r", 2, &path, "") });
        let many = r#"[{"path":"b","data":1},{"path":"a.a.a.a","data":[[]]}]"#;
        told(&mut rig, conn, &Outgoing { action: Action::RecordPatchMulti, ..update("r", 2, many) });
    }
    rig.send(protobuf, &patch("r", 2, &path, "1"));
    assert!(rig.read(protobuf).is_empty(), "as deep as may be");
}

#[test]
fn other_limits_of_records_are_named_too() {
    let mut options = Options::default();
    (options.limits.record_bytes_max, options.limits.array_index_gap_max) = (50, 10);
    let mut rig = Rig::with(1, &options);
    let conn = rig.client(0);
    rig.send(conn, &acked(Outgoing { action: Action::RecordCreateAndUpdate, ..update("r", -1, "{}") }, "1"));
    rig.read(conn);
    for (message, words) in [
        (update("r", 2, &format!("[\"{}\"]", "x".repeat(50))), "larger than limits.recordBytesMax (50)"),
        (patch("r", 2, "a[20]", "1"), "further behind the end of an array than limits.arrayIndexGapMax (10)"),
    ] {
        rig.send(conn, &message);
        let told = rig.read(conn);
        assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    }
}

#[test]
fn a_call_that_is_too_deep_fails_with_the_words() {
    let mut rig = rig();
    let (protobuf, text) = (rig.client(0), rig.text_client(0));
    let deep = nested(MAX + 1);
    for (conn, expected) in [
        (protobuf, format!("RPC.REQUEST_ERROR name=r data=\"{WORDS}\" id=a original=REQUEST")),
        (text, format!("P|E|{WORDS}|r|a+")),
    ] {
        let call =
            Outgoing { correlation_id: Some(b"a"), data: Some(deep.as_bytes()), ..about(Action::RpcRequest, "r") };
        rig.send(conn, &call);
        assert_eq!(rig.read(conn), [expected]);
    }
}

#[test]
fn a_login_that_is_too_deep_is_none() {
    let mut rig = rig();
    let conn = rig.stranger(0);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    let data = format!(r#"{{"a":{}}}"#, nested(MAX));
    rig.send(conn, &Outgoing { data: Some(data.as_bytes()), ..Outgoing::new(Action::AuthRequest) });
    assert_eq!(rig.read(conn), ["CONNECTION.ACCEPT", "AUTH.INVALID_MESSAGE_DATA", "Close(Some(1008))"]);
    assert!(rig.notes.iter().any(|note| matches!(note, Note::Closed { reason: Reason::InvalidAuth, .. })));
}
