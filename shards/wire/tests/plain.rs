//! The JSON protocol: every field both ways, through a link, however the bytes are cut.

mod rig;

use deepstream_wire::client::{FINAL_BINARY, FINAL_TEXT};
use deepstream_wire::{Action, Closing, Endpoint, LinkConfig, Outgoing, Topic, Unreadable, Wire};
use proptest::prelude::*;
use rig::{frame, payload, upgrade_at};

fn config() -> LinkConfig {
    LinkConfig {
        endpoints: vec![Endpoint { path: "/json".into(), wire: Wire::Json, max_message_bytes: 4096 }],
        max_request_bytes: 1024,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    }
}

fn upgrade() -> Vec<u8> {
    upgrade_at("/json")
}

fn hear(pieces: &[&[u8]], pausing: bool) -> (Vec<String>, Vec<u8>) {
    rig::hear(&config(), pieces, pausing)
}

/// What one text frame is read as.
fn read(payload: &str) -> String {
    let (mut events, _) = hear(&[&upgrade(), &frame(FINAL_TEXT, payload.as_bytes())], false);
    assert_eq!(events.remove(0), "upgraded to Json");
    assert_eq!(events.len(), 1, "{payload}: {events:?}");
    events.remove(0)
}

/// A message as JSON, out of its frame.
fn written(message: &Outgoing<'_>) -> String {
    payload(Wire::Json, message)
}

#[test]
fn every_field_of_a_client_is_read() {
    for (json, expected) in [
        (r#"{"topic":2,"action":2}"#, "ConnectionPing"),
        (
            r#"{"topic":2,"action":5,"url":"ws://h","protocolVersion":"0.1a","sdkVersion":"7.0.5","sdkType":"javascript"}"#,
            "ConnectionChallenge name=ws://h path=javascript id=7.0.5",
        ),
        (r#"{"topic":3,"action":2,"data":"{\"username\":\"ann\"}"}"#, r#"AuthRequest data={"username":"ann"}"#),
        (r#"{"topic":3,"action":2,"parsedData":{"username":"ann"}}"#, r#"AuthRequest data={"username":"ann"}"#),
        (r#"{"topic":4,"action":3,"names":["a","b"],"correlationId":"1"}"#, "EventSubscribe names=a,b id=1"),
        (r#"{"topic":4,"action":3,"names":[]}"#, "EventSubscribe"),
        (r#"{"topic":4,"action":2,"name":"e","parsedData":null}"#, "EventEmit name=e data=null"),
        (r#"{"topic":4,"action":2,"name":"e","parsedData":{"a":[1,2]},"data":"5"}"#, "EventEmit name=e data=5"),
        (r#"{"topic":4,"action":2,"name":"e","parsedData":1,"data":""}"#, "EventEmit name=e data=1"),
        (r#"{"topic":4,"action":2,"name":"e","data":null}"#, "EventEmit name=e"),
        (r#"{"topic":4,"action":2,"name":"\u00fc\n\ud83d\ude80"}"#, "EventEmit name=ü\n🚀"),
        (
            r#"{"topic":4,"action":7,"name":"a/.*","subscription":"a/1"}"#,
            "EventListenAccept name=a/.* subscription=a/1",
        ),
        (
            r#" { "action" : 19 , "topic" : 5 , "name" : "r" , "version" : -1 , "path" : "" , "data" : "[1]" ,
                "isWriteAck" : true , "isAck" : false , "isError" : null , "correlationId" : "7" } "#,
            "RecordPatch name=r version=-1 path= data=[1] id=7 writeAck=yes",
        ),
        (
            r#"{"topic":6,"action":5,"name":"f","correlationId":"x","isAck":true,"isError":true}"#,
            "RpcResponse name=f id=x error=yes ack=yes",
        ),
        (r#"{"topic":7,"action":2}"#, "PresenceQueryAll"),
    ] {
        assert_eq!(read(json), expected, "{json}");
    }
}

#[test]
fn unknown_keys_are_dropped_escaped_ones_are_read_and_the_last_of_two_counts() {
    assert_eq!(
        read(r#"{"topic":4,"action":2,"name":"a","__proto__":{"name":"b"},"trusted":true}"#),
        "EventEmit name=a"
    );
    assert_eq!(read(r#"{"top\u0069c":4,"action":2,"n\u0061me":"a"}"#), "EventEmit name=a");
    assert_eq!(
        read(r#"{"topic":9,"topic":4,"action":2,"name":"a","names":["x"],"name":"b","names":null}"#),
        "EventEmit name=b"
    );
}

#[test]
fn what_is_no_message_is_told_apart() {
    for (json, expected) in [
        ("[]", Unreadable::Topic(0)),
        (r#"[{"topic":4,"action":2}]"#, Unreadable::Topic(0)),
        ("5", Unreadable::Topic(0)),
        ("{}", Unreadable::Topic(0)),
        (r#"{"action":2}"#, Unreadable::Topic(0)),
        (r#"{"topic":"4","action":2}"#, Unreadable::Topic(0)),
        (r#"{"topic":99,"action":2}"#, Unreadable::Topic(99)),
        (r#"{"topic":-4,"action":2}"#, Unreadable::Topic(0)),
        (r#"{"topic":4}"#, Unreadable::Action(Topic::Event, 0)),
        (r#"{"topic":4,"action":77}"#, Unreadable::Action(Topic::Event, 77)),
        (r#"{"topic":4,"action":true}"#, Unreadable::Action(Topic::Event, 0)),
    ] {
        assert_eq!(read(json), format!("{expected:?}"), "{json}");
    }
}

#[test]
fn a_field_of_the_wrong_type_spoils_the_message_and_nothing_else() {
    for field in [
        r#""name":5"#,
        r#""names":"a""#,
        r#""names":{"0":"a"}"#,
        r#""names":["a",5]"#,
        r#""names":["a",null]"#,
        r#""data":{"a":1}"#,
        r#""data":1"#,
        r#""data":false"#,
        r#""path":["a"]"#,
        r#""subscription":1"#,
        r#""version":"1""#,
        r#""version":1.5"#,
        r#""version":99999999999"#,
        r#""isWriteAck":1"#,
        r#""isAck":"true""#,
        r#""isError":{}"#,
    ] {
        let json = format!(r#"{{"topic":5,"action":18,"correlationId":"3",{field}}}"#);
        assert_eq!(read(&json), "RecordUpdate names= data=\0 id=3", "{json}");
    }
    let json = r#"{"topic":5,"action":18,"name":"r","isWriteAck":true,"version":[],"correlationId":"3"}"#;
    assert_eq!(read(json), "RecordUpdate name=r names= data=\0 id=3 writeAck=yes");
    let json = r#"{"topic":5,"action":18,"name":"r","correlationId":3}"#;
    assert_eq!(read(json), "RecordUpdate name=r names= data=\0");
}

#[test]
fn broken_json_and_bytes_close_the_connection() {
    let close = |first, payload: &[u8]| hear(&[&upgrade(), &frame(first, payload)], false);
    for broken in ["", " ", "{", "{\"topic\":4", "nope", "{\"topic\":4}{\"topic\":4}", "{'topic':4}", "{\"a\":\"\n\"}"]
    {
        let (events, replies) = close(FINAL_TEXT, broken.as_bytes());
        assert_eq!(events[1..], [format!("{:?}", Closing::Protocol(1007, "a frame that is not JSON"))], "{broken}");
        assert!(replies.ends_with(b"\x03\xefa frame that is not JSON"), "{broken}");
    }
    let no_text = Closing::Protocol(1007, "a text that is not UTF-8");
    assert_eq!(close(FINAL_TEXT, b"{\"a\":\"\xff\"}").0[1..], [format!("{no_text:?}")]);
    let elsewhere = Closing::Elsewhere(Wire::Protobuf);
    assert_eq!(close(FINAL_BINARY, b"{\"topic\":2,\"action\":2}").0[1..], [format!("{elsewhere:?}")]);
    assert_eq!(close(FINAL_TEXT, &[b' '; 5000]).0[1..], [format!("{:?}", Closing::TooBig)]);
    // A deeply nested value is not malformed: the engine refuses it and tells the sender.
    let deep = ["[".repeat(2000), "]".repeat(2000)].concat();
    let emit = format!(r#"{{"topic":4,"action":2,"name":"e","parsedData":{deep}}}"#);
    let (events, _) = close(FINAL_TEXT, emit.as_bytes());
    assert!(events.last().is_some_and(|event| event.contains(&deep)), "{:?}", events.len());
}

#[test]
fn it_makes_no_difference_where_the_bytes_are_cut() {
    let mut stream = upgrade();
    let update = r#"{"topic":5,"action":18,"name":"r","version":1,"parsedData":{"ü":"🚀"},"correlationId":"1"}"#;
    stream.extend(frame(FINAL_TEXT, br#"{"topic":2,"action":2}"#));
    stream.extend(frame(0x01, &update.as_bytes()[..60]));
    stream.extend(frame(0x89, b"ping"));
    stream.extend(frame(0x80, &update.as_bytes()[60..]));
    stream.extend(frame(FINAL_TEXT, br#"{"topic":4,"action":3,"names":["a","b"]}"#));
    stream.extend(frame(0x88, &[3, 232]));
    let (expected, replies) = hear(&[&stream], false);
    assert_eq!(expected.len(), 5);
    assert_eq!(expected[2], r#"RecordUpdate name=r version=1 data={"ü":"🚀"} id=1"#);
    for at in 0..stream.len() {
        for pausing in [false, true] {
            let (cut, cut_replies) = hear(&[&stream[..at], &stream[at..]], pausing);
            assert_eq!((&cut, &cut_replies), (&expected, &replies), "cut at {at}");
        }
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(hear(&bytes, true), (expected, replies));
}

#[test]
fn every_field_of_the_server_is_written() {
    let new = Outgoing::new;
    assert_eq!(written(&new(Action::ConnectionAccept)), r#"{"topic":2,"action":4}"#);
    let early = Outgoing {
        original_topic: Some(Topic::Auth),
        original_action: Some(Action::AuthRequest),
        ..new(Action::ConnectionInvalidMessage)
    };
    assert_eq!(written(&early), r#"{"topic":2,"action":101,"originalTopic":3,"originalAction":2}"#);
    let read = Outgoing { name: Some(b"j1"), version: Some(0), data: Some(b"{}"), ..new(Action::RecordReadResponse) };
    assert_eq!(written(&read), r#"{"topic":5,"action":4,"name":"j1","version":0,"parsedData":{}}"#);
    let acked = Outgoing {
        name: Some(b"j1"),
        correlation_id: Some(b"2"),
        is_write_ack: true,
        ..new(Action::RecordWriteAcknowledgement)
    };
    assert_eq!(written(&acked), r#"{"topic":5,"action":14,"name":"j1","correlationId":"2","isWriteAck":true}"#);
    let ack = Outgoing {
        names: &[b"a", b"\"b\"\n"],
        correlation_id: Some(b"1"),
        is_ack: true,
        ..new(Action::RecordSubscribeCreateAndRead)
    };
    let expected = r#"{"topic":5,"action":23,"names":["a","\"b\"\n"],"correlationId":"1","isAck":true}"#;
    assert_eq!(written(&ack), expected);
    let versions =
        Outgoing { versions: &[(b"a", 1), (b"", -1), (b"\\", i32::MIN)], ..new(Action::RecordHeadResponseBulk) };
    assert_eq!(written(&versions), r#"{"topic":5,"action":8,"versions":{"a":1,"":-1,"\\":-2147483648}}"#);
    let call = Outgoing {
        name: Some(b"f"),
        correlation_id: Some(b"9"),
        data: Some(b" [1] "),
        requestor_name: Some(b"ann"),
        requestor_data: Some(br#"{"role":1}"#),
        ..new(Action::RpcRequest)
    };
    let expected = r#"{"topic":6,"action":2,"name":"f","parsedData": [1] ,"correlationId":"9","requestorName":"ann","requestorData":{"role":1}}"#;
    assert_eq!(written(&call), expected);
    let patch = Outgoing { path: Some(b""), data: Some(b"null"), is_error: true, ..new(Action::RecordPatch) };
    assert_eq!(written(&patch), r#"{"topic":5,"action":19,"path":"","parsedData":null,"isError":true}"#);
    let nothing = Outgoing { subscription: Some(b"a/1"), data: Some(b""), ..new(Action::EventPatternFound) };
    assert_eq!(written(&nothing), r#"{"topic":4,"action":11,"subscription":"a/1"}"#);
    let long = format!("\"{}\"", "x".repeat(70_000));
    let long = Outgoing { data: Some(long.as_bytes()), ..new(Action::EventEmit) };
    assert_eq!(written(&long).len(), 70_002 + r#"{"topic":4,"action":2,"parsedData":}"#.len());
}

proptest! {
    /// Whatever a client of ours says in texts of any kind is what is read.
    #[test]
    fn texts_survive(name in ".*", id in ".*", path in ".*", data in ".*", key in "[a-z]{0,12}") {
        let quoted = |text: &str| {
            let mut out = Vec::new();
            deepstream_json::write_string(text.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        let payload = quoted(&data);
        let json = format!(
            r#"{{"topic":5,"action":19,"name":{},"correlationId":{},"path":{},"version":3,{}:"other","data":{}}}"#,
            quoted(&name), quoted(&id), quoted(&path), quoted(&format!("x{key}")), quoted(&payload),
        );
        prop_assume!(json.len() <= 4096);
        assert_eq!(read(&json), format!("RecordPatch name={name} version=3 path={path} data={payload} id={id}"));
    }

    /// Any JSON at all gives one event, and a message that reads.
    #[test]
    fn any_object_is_survived(pairs in prop::collection::vec((
        prop::sample::select(vec!["topic", "action", "name", "names", "data", "parsedData", "correlationId", "path",
            "subscription", "version", "isWriteAck", "isAck", "isError", "url", "sdkType", "sdkVersion", "x"]),
        prop::sample::select(vec!["1", "2", "3", "4", "5", "6", "7", "18", "-1", "null", "true", "\"\"", "\"a\"", "\"\\ud800\"",
            "[]", "[\"a\",\"\"]", "[[1]]", "{}", "{\"a\":{\"b\":[1]}}", "1e999"]),
    ), 0..12)) {
        let members: Vec<String> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        read(&format!("{{{}}}", members.join(",")));
    }
}
