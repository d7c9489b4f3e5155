//! The text protocol: every message both ways to the byte, through a link, however the bytes are cut.
//! In these tables `|` stands for the byte between parts and `+` for the one that ends a message.

mod rig;

use deepstream_wire::client::{self, FINAL_BINARY, FINAL_TEXT, UPGRADE_KEY};
use deepstream_wire::{Action, Closing, Endpoint, LinkConfig, Outgoing, Topic, Unreadable, Wire, Word};
use rig::{frame, payload, payloads, upgrade_at};

fn config() -> LinkConfig {
    let endpoint = |path: &str, wire| Endpoint { path: path.into(), wire, max_message_bytes: 4096 };
    LinkConfig {
        endpoints: vec![endpoint("/deepstream", Wire::Protobuf), endpoint("/deepstream-v3", Wire::Text)],
        max_request_bytes: 1024,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    }
}

fn said(text: &str) -> Vec<u8> {
    text.replace('|', "\u{1f}").replace('+', "\u{1e}").into_bytes()
}

fn upgrade() -> Vec<u8> {
    upgrade_at("/deepstream-v3")
}

fn hear(pieces: &[&[u8]], pausing: bool) -> (Vec<String>, Vec<u8>) {
    rig::hear(&config(), pieces, pausing)
}

/// What the messages of one text frame are read as.
fn read(payload: &str) -> Vec<String> {
    let (mut events, _) = hear(&[&upgrade(), &frame(FINAL_TEXT, &said(payload))], false);
    assert_eq!(events.remove(0), "upgraded to Text");
    events
}

/// A message as text, out of its frame.
fn written(message: &Outgoing<'_>) -> String {
    payload(Wire::Text, message).replace('\u{1f}', "|").replace('\u{1e}', "+")
}

#[test]
fn the_sdks_for_java_and_ios_are_told_apart_by_their_handshake() {
    const IOS: (&str, &str) =
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits; server_max_window_bits=15");
    let asks = |more: &[(&str, &str)], version: &str| {
        let mut request = Vec::new();
        client::upgrade_request("localhost:6020", "/deepstream-v3", more, &mut request);
        let request = String::from_utf8(request).unwrap().replace("Version: 13", &format!("Version: {version}"));
        hear(&[request.as_bytes()], false).0
    };
    let browser = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    for (more, version, expected) in [
        (&[][..], "8", "upgraded to TextSdk"),
        (&[IOS, ("Origin", "http://localhost:6020")], "13", "upgraded to TextSdk"),
        (&[], "13", "upgraded to Text"),
        (&[browser], "13", "upgraded to Text"),
        (&[IOS, ("User-Agent", "Mozilla/5.0")], "13", "upgraded to Text"),
    ] {
        assert_eq!(asks(more, version), [expected], "{more:?} {version}");
    }
}

#[test]
fn the_sdks_for_java_and_ios_have_their_own_acknowledgements_of_presence() {
    let sdk = |message: &Outgoing<'_>| payload(Wire::TextSdk, message).replace('\u{1f}', "|").replace('\u{1e}', "+");
    let ack = |action| Outgoing { is_ack: true, ..Outgoing::new(action) };
    assert_eq!(sdk(&ack(Action::PresenceSubscribeAll)), "U|A|S|U+");
    assert_eq!(sdk(&ack(Action::PresenceUnsubscribeAll)), "U|A|US|U+");
    for other in [
        Outgoing { correlation_id: Some(b"7"), ..ack(Action::PresenceSubscribe) },
        Outgoing { name: Some(b"ann"), ..Outgoing::new(Action::PresenceJoinAll) },
        Outgoing { correlation_id: Some(b"x"), ..ack(Action::EventSubscribe) },
    ] {
        assert_eq!(sdk(&other), written(&other));
    }
}

#[test]
fn every_message_of_a_client_is_read() {
    for (text, expected) in [
        ("C|PI+", "ConnectionPing"),
        ("C|PO+", "ConnectionPong"),
        ("C|CHR|localhost:6020+", "ConnectionChallenge name=localhost:6020"),
        ("C|CHR|+", "ConnectionChallenge name="),
        ("C|CHR+", "ConnectionChallenge"),
        (r#"A|REQ|{"username":"ann"}+"#, r#"AuthRequest data={"username":"ann"}"#),
        ("A|REQ+", "AuthRequest"),
        ("E|S|news+", "EventSubscribe names=news id=news"),
        ("E|US|news+", "EventUnsubscribe names=news id=news"),
        ("E|EVT|news|Shello+", r#"EventEmit name=news data="hello""#),
        ("E|EVT|news|N1.5+", "EventEmit name=news data=1.5"),
        ("E|EVT|news|U+", "EventEmit name=news undefined=yes"),
        ("E|EVT|news+", "EventEmit name=news"),
        ("E|EVT|news|5+", "EventEmit name=news data=|5"),
        ("E|L|a/.*+", "EventListen name=a/.*"),
        ("E|UL|a/.*+", "EventUnlisten name=a/.*"),
        ("E|LA|a/.*|a/1+", "EventListenAccept name=a/.* subscription=a/1"),
        ("E|LR|a/.*|a/1+", "EventListenReject name=a/.* subscription=a/1"),
        ("R|L|a/.*+", "RecordListen name=a/.*"),
        ("R|LA|a/.*|a/1+", "RecordListenAccept name=a/.* subscription=a/1"),
        ("R|CR|r+", "RecordSubscribeCreateAndRead names=r id=r"),
        ("R|S|r+", "RecordSubscribe names=r id=r"),
        ("R|US|r+", "RecordUnsubscribe names=r id=r"),
        ("R|R|r+", "RecordRead name=r"),
        ("R|SN|r+", "RecordRead name=r"),
        ("R|HD|r+", "RecordHead name=r"),
        ("R|H|r+", "RecordHead name=r id=H"),
        ("R|D|r+", "RecordDelete name=r"),
        (r#"R|U|r|3|{"a":1}+"#, r#"RecordUpdate name=r version=3 data={"a":1} id=3"#),
        (r#"R|U|r|3|{}|{"writeSuccess":true}+"#, "RecordUpdate name=r version=3 data={} id=3 writeAck=yes"),
        (r#"R|U|r|3|{}|{"writeSuccess": true}+"#, "RecordUpdate name=r version=3 data={} id=3"),
        ("R|U|r|three|{}+", "RecordUpdate name=r data={} id=three"),
        ("R|P|r|4|a.b|T+", "RecordPatch name=r version=4 path=a.b data=true id=4"),
        ("R|P|r|4|a.b|U+", "RecordPatch name=r version=4 path=a.b id=4"),
        (
            r#"R|P|r|4|a.b|L|{"writeSuccess":true}+"#,
            "RecordPatch name=r version=4 path=a.b data=null id=4 writeAck=yes",
        ),
        ("R|CU|r|-1|{}|{}+", "RecordCreateAndUpdate name=r version=-1 data={} id=-1"),
        (
            r#"R|CU|r|-1|{}|{"writeSuccess":true}+"#,
            "RecordCreateAndUpdate name=r version=-1 data={} id=-1 writeAck=yes",
        ),
        ("R|CU|r|-1|a|O[]|{}+", "RecordCreateAndPatch name=r version=-1 path=a data=[] id=-1"),
        ("P|S|add+", "RpcProvide names=add id=add"),
        ("P|US|add+", "RpcUnprovide names=add id=add"),
        ("P|REQ|add|7|N2+", "RpcRequest name=add data=2 id=7"),
        ("P|A|REQ|add|7+", "RpcAccept name=add id=7"),
        ("P|A|S|add+", "RpcAccept name=add id="),
        ("P|A+", "RpcAccept name= id="),
        ("P|RES|add|7|O{}+", "RpcResponse name=add data={} id=7"),
        ("P|REJ|add|7+", "RpcReject name=add id=7"),
        (r#"P|E|no "way"|add|7+"#, r#"RpcRequestError name=add data="no \"way\"" id=7"#),
        ("U|S|S+", "PresenceSubscribeAll"),
        ("U|S|U+", "PresenceSubscribeAll"),
        ("U|US|US+", "PresenceUnsubscribeAll"),
        ("U|Q|Q+", "PresenceQueryAll"),
        (r#"U|S|1|["ann","b\u0041b"]+"#, "PresenceSubscribe names=ann,bAb id=1"),
        (r#"U|US|2|["ann"]+"#, "PresenceUnsubscribe names=ann id=2"),
        ("U|Q|3|[]+", "PresenceQuery id=3"),
        ("U|Q|3|garbage+", "PresenceQuery names= id=3"),
        (r#"U|Q|3|[1,"ann"]+"#, "PresenceQuery names=,ann id=3"),
    ] {
        assert_eq!(read(text), [expected], "{text}");
    }
}

#[test]
fn what_is_no_message_is_told_by_kind() {
    for (text, topic) in [("hello+", "hello"), ("Z|S|x+", "Z"), ("EE|S|x+", "EE"), ("|S|x+", "")] {
        assert_eq!(read(text), [format!("{:?}", Unreadable::TopicWord(Word::new(topic)))], "{text}");
    }
    for (text, topic, word) in [
        ("E|XYZ|x+", Topic::Event, "XYZ"),
        ("E|CR|x+", Topic::Event, "CR"),
        ("R|WA|x|[1]|L+", Topic::Record, "WA"),
        ("R|A|D|x+", Topic::Record, "A"),
        ("A|A+", Topic::Auth, "A"),
        ("P|CR|x+", Topic::Rpc, "CR"),
        ("U|CR|S+", Topic::Presence, "CR"),
        ("X|E|x+", Topic::Parser, "E"),
        ("C||x+", Topic::Connection, ""),
    ] {
        assert_eq!(read(text), [format!("{:?}", Unreadable::ActionWord(topic, Word::new(word)))], "{text}");
    }
    let long = format!("E|{}ü{}|x+", "x".repeat(22), "y".repeat(2000));
    assert_eq!(read(&long), [format!("ActionWord(Event, {:?})", "x".repeat(22))], "in whole characters");
    for silent in ["", "+", "++", "R|+", "ab+", "+a+b+cd"] {
        assert_eq!(read(silent), Vec::<String>::new(), "{silent}");
    }
}

#[test]
fn missing_parts_are_empty_and_further_ones_ignored() {
    assert_eq!(read("R|D+"), ["RecordDelete name="]);
    assert_eq!(read("E|S+"), ["EventSubscribe names= id="]);
    assert_eq!(read("R|U|r+"), ["RecordUpdate name=r id="]);
    assert_eq!(read("P|REQ+"), ["RpcRequest name= id="]);
    assert_eq!(read("R|D|r|a|b|c|d|e|f|g|h+"), ["RecordDelete name=r"]);
}

fn about(action: Action) -> Outgoing<'static> {
    Outgoing { name: Some(b"n"), ..Outgoing::new(action) }
}

fn denied(action: Action, original: Action, id: Option<&'static [u8]>) -> Outgoing<'static> {
    Outgoing { original_action: Some(original), correlation_id: id, is_error: true, ..about(action) }
}

fn failed_for(action: Action, original: Action, id: Option<&'static [u8]>) -> Outgoing<'static> {
    Outgoing { is_write_ack: true, ..denied(action, original, id) }
}

#[test]
fn every_message_of_the_session_is_written() {
    let bare = Outgoing::new;
    let data = |action, data: &'static str| Outgoing { data: Some(data.as_bytes()), ..bare(action) };
    for (message, expected) in [
        (bare(Action::ConnectionAccept), "C|A+"),
        (bare(Action::ConnectionPing), "C|PI+"),
        (bare(Action::ConnectionPong), "C|PO+"),
        (bare(Action::ConnectionChallenge), "C|CH+"),
        (
            bare(Action::ConnectionAuthTimeout),
            "C|E|CONNECTION_AUTHENTICATION_TIMEOUT|Sconnection has not authenticated successfully in the expected time+",
        ),
        (bare(Action::ConnectionInvalidMessage), "C|E|INVALID_MESSAGE|invalid connection message+"),
        (bare(Action::AuthInvalidMessage), "C|E|INVALID_MESSAGE|invalid connection message+"),
        (bare(Action::AuthSuccessful), "A|A+"),
        (data(Action::AuthSuccessful, r#"{"color":"red"}"#), r#"A|A|O{"color":"red"}+"#),
        (bare(Action::AuthUnsuccessful), "A|E|INVALID_AUTH_DATA|U+"),
        (data(Action::AuthUnsuccessful, r#""go away""#), "A|E|INVALID_AUTH_DATA|Sgo away+"),
        (data(Action::AuthUnsuccessful, r#"{"error":"no"}"#), r#"A|E|INVALID_AUTH_DATA|O{"error":"no"}+"#),
        (data(Action::AuthUnsuccessful, r#"{"clientData":{"why":1}}"#), r#"A|E|INVALID_AUTH_DATA|O{"why":1}+"#),
        (bare(Action::AuthInvalidMessageData), "A|E|INVALID_AUTH_MSG|invalid authentication message+"),
        (bare(Action::AuthTooManyAttempts), "A|E|TOO_MANY_AUTH_ATTEMPTS|Stoo many authentication attempts+"),
        (bare(Action::ParserUnknownTopic), "X|E|UNKNOWN_TOPIC|PARSER+"),
        (Outgoing { original_topic: Some(Topic::Rpc), ..bare(Action::ParserUnknownTopic) }, "X|E|UNKNOWN_TOPIC|P+"),
        (Outgoing { name: Some(b"Z"), ..bare(Action::ParserUnknownTopic) }, "X|E|UNKNOWN_TOPIC|Z+"),
        (
            Outgoing { name: Some(b"CR"), original_topic: Some(Topic::Event), ..bare(Action::ParserUnknownAction) },
            "E|E|UNKNOWN_ACTION|unknown action CR+",
        ),
    ] {
        assert_eq!(written(&message), expected);
    }
}

#[test]
fn every_message_about_events_and_calls_and_users_is_written() {
    let ack = |action| Outgoing { is_ack: true, correlation_id: Some(b"n"), ..Outgoing::new(action) };
    let with = |action, data: &'static str| Outgoing { data: Some(data.as_bytes()), ..about(action) };
    let call = |action| Outgoing { correlation_id: Some(b"7"), ..about(action) };
    let pattern = |action| Outgoing { subscription: Some(b"n/1"), ..about(action) };
    for (message, expected) in [
        (with(Action::EventEmit, r#""a\tb""#), "E|EVT|n|Sa\tb+"),
        (about(Action::EventEmit), "E|EVT|n+"),
        (Outgoing { is_undefined: true, ..about(Action::EventEmit) }, "E|EVT|n|U+"),
        (ack(Action::EventSubscribe), "E|A|S|n+"),
        (ack(Action::EventUnsubscribe), "E|A|US|n+"),
        (Outgoing { is_ack: true, ..about(Action::EventListen) }, "E|A|L|n+"),
        (Outgoing { is_ack: true, ..about(Action::RecordUnlisten) }, "R|A|UL|n+"),
        (pattern(Action::EventPatternFound), "E|SP|n|n/1+"),
        (pattern(Action::EventPatternRemoved), "E|SR|n|n/1+"),
        (pattern(Action::RecordPatternFound), "R|SP|n|n/1+"),
        (about(Action::EventMultipleSubscriptions), "E|E|MULTIPLE_SUBSCRIPTIONS|n+"),
        (denied(Action::EventDenied, Action::EventEmit, None), "E|E|MESSAGE_DENIED|n|EVT+"),
        (denied(Action::EventDenied, Action::EventSubscribe, Some(b"n")), "E|E|MESSAGE_DENIED|n|S+"),
        (denied(Action::EventPermissionError, Action::EventSubscribe, Some(b"n")), "E|E|MESSAGE_PERMISSION_ERROR|n|S+"),
        (denied(Action::EventPermissionError, Action::EventEmit, None), "E|E|MESSAGE_PERMISSION_ERROR|n|EVT+"),
        (with(Action::EventInvalidMessageData, "\u{1f}5"), "E|E|INVALID_MESSAGE_DATA|5+"),
        (
            Outgoing { name: Some(b"("), data: Some(b"why"), ..about(Action::EventInvalidListenRegex) },
            "E|E|INVALID_MESSAGE_DATA|SyntaxError: Invalid regular expression: /(/: why+",
        ),
        (pattern(Action::EventListenResponseTimeout), "C|PO+"),
        (ack(Action::RpcProvide), "P|A|S|n+"),
        (ack(Action::RpcUnprovide), "P|A|US|n+"),
        (call(Action::RpcRequest), "P|REQ|n|7|U+"),
        (Outgoing { data: Some(b"5"), ..call(Action::RpcResponse) }, "P|RES|n|7|N5+"),
        (call(Action::RpcAccept), "P|A|REQ|n|7+"),
        (call(Action::RpcReject), "P|REJ|n|7+"),
        (Outgoing { data: Some(br#""no way""#), ..call(Action::RpcRequestError) }, "P|E|no way|n|7+"),
        (Outgoing { data: Some(br#"{"code":1}"#), ..call(Action::RpcRequestError) }, r#"P|E|{"code":1}|n|7+"#),
        (call(Action::RpcNoProvider), "P|E|NO_RPC_PROVIDER|n|7+"),
        (call(Action::RpcAcceptTimeout), "P|E|ACK_TIMEOUT|n|7+"),
        (call(Action::RpcMultipleAccept), "P|E|MULTIPLE_ACK|n|7+"),
        (call(Action::RpcInvalidCorrelationId), "P|E|INVALID_RPC_CORRELATION_ID|n|7+"),
        (denied(Action::RpcDenied, Action::RpcRequest, Some(b"7")), "P|E|MESSAGE_DENIED|n|REQ|7+"),
        (denied(Action::RpcDenied, Action::RpcProvide, Some(b"n")), "P|E|MESSAGE_DENIED|n|S+"),
        (denied(Action::RpcPermissionError, Action::RpcRequest, Some(b"7")), "P|E|MESSAGE_PERMISSION_ERROR|n|7+"),
        (denied(Action::RpcPermissionError, Action::RpcProvide, Some(b"n")), "P|E|MESSAGE_PERMISSION_ERROR|n|S+"),
        (about(Action::RpcMultipleProviders), "P|E|MULTIPLE_SUBSCRIPTIONS|n+"),
        (about(Action::RpcNotProvided), "P|E|NOT_SUBSCRIBED|n+"),
        (about(Action::PresenceJoin), "U|PNJ|n+"),
        (about(Action::PresenceLeaveAll), "U|PNL|n+"),
        (Outgoing { is_ack: true, ..Outgoing::new(Action::PresenceSubscribeAll) }, "U|A|S|S+"),
        (Outgoing { is_ack: true, ..Outgoing::new(Action::PresenceUnsubscribeAll) }, "U|A|US|US+"),
        (Outgoing { is_ack: true, correlation_id: Some(b"7"), ..Outgoing::new(Action::PresenceSubscribe) }, "U|A|S|7+"),
        (Outgoing { names: &[b"ann", b"bob"], ..Outgoing::new(Action::PresenceQueryAllResponse) }, "U|Q|ann|bob+"),
        (Outgoing::new(Action::PresenceQueryAllResponse), "U|Q+"),
        (Outgoing { data: Some(br#"{"ann":true}"#), ..call(Action::PresenceQueryResponse) }, r#"U|Q|7|{"ann":true}+"#),
        (denied(Action::PresenceDenied, Action::PresenceQuery, Some(b"7")), "U|E|MESSAGE_DENIED|n|Q|7+"),
        (
            Outgoing { name: None, ..denied(Action::PresenceDenied, Action::PresenceSubscribeAll, None) },
            "U|E|MESSAGE_DENIED|S|S+",
        ),
        (Outgoing::new(Action::PresenceMultipleSubscriptions), "U|E|MULTIPLE_SUBSCRIPTIONS|U+"),
        (
            Outgoing::new(Action::PresenceInvalidUsers),
            "U|E|INVALID_PRESENCE_USERS|users are required to be a json array of usernames+",
        ),
    ] {
        assert_eq!(written(&message), expected);
    }
}

#[test]
fn every_message_about_records_is_written() {
    let value = |action| Outgoing { version: Some(3), data: Some(br#"{"a":1}"#), ..about(action) };
    let write = |action| Outgoing { correlation_id: Some(b"3"), ..about(action) };
    let failed = |action| Outgoing { is_error: true, is_write_ack: true, ..write(action) };
    let patch = Outgoing { path: Some(b"a.b"), version: Some(-1), ..about(Action::RecordPatch) };
    let head = |version| Outgoing { version: Some(version), ..about(Action::RecordHeadResponse) };
    let conflicting = |original, message| Outgoing {
        is_write_ack: true,
        original_action: Some(original),
        correlation_id: Some(b"9"),
        ..message
    };
    for (message, expected) in [
        (
            Outgoing {
                is_ack: true,
                names: &[b"n"],
                correlation_id: Some(b"n"),
                ..about(Action::RecordSubscribeCreateAndRead)
            },
            "R|A|S|n+",
        ),
        (Outgoing { is_ack: true, correlation_id: Some(b"n"), ..about(Action::RecordUnsubscribe) }, "R|A|US|n+"),
        (value(Action::RecordReadResponse), r#"R|R|n|3|{"a":1}+"#),
        (value(Action::RecordUpdate), r#"R|U|n|3|{"a":1}+"#),
        (Outgoing { data: Some(b" 5"), ..patch }, "R|P|n|-1|a.b|N5+"),
        (patch, "R|P|n|-1|a.b|U+"),
        (head(i32::MAX), "R|HD|n|2147483647+"),
        (head(i32::MIN), "R|HD|n|-2147483648+"),
        (Outgoing { correlation_id: Some(b"H"), ..head(0) }, "R|H|n|T+"),
        (Outgoing { correlation_id: Some(b"H"), ..head(-1) }, "R|H|n|F+"),
        (write(Action::RecordWriteAcknowledgement), "R|WA|n|[3]|L+"),
        (Outgoing { correlation_id: Some(b"-1"), ..about(Action::RecordWriteAcknowledgement) }, "R|WA|n|[-1]|L+"),
        (about(Action::RecordDeleteSuccess), "R|A|D|n+"),
        (about(Action::RecordDeleted), "R|A|D|n+"),
        (about(Action::RecordHasProvider), "R|SH|n|T+"),
        (about(Action::RecordHasNoProvider), "R|SH|n|F+"),
        (value(Action::RecordVersionExists), r#"R|E|VERSION_EXISTS|n|3|{"a":1}+"#),
        (
            conflicting(Action::RecordUpdate, value(Action::RecordVersionExists)),
            r#"R|E|VERSION_EXISTS|n|3|{"a":1}+R|WA|n|[9]|L+"#,
        ),
        (
            conflicting(Action::RecordPatch, value(Action::RecordVersionExists)),
            r#"R|E|VERSION_EXISTS|n|3|{"a":1}|{"writeSuccess":true}+R|WA|n|[9]|L+"#,
        ),
        (Outgoing { version: Some(7), ..about(Action::RecordInvalidVersion) }, "R|E|INVALID_VERSION|n|7+"),
        (denied(Action::RecordNotFound, Action::RecordRead, None), "R|E|SN|n|RECORD_NOT_FOUND+"),
        (denied(Action::RecordLoadError, Action::RecordRead, None), "R|E|SN|n|RECORD_LOAD_ERROR+"),
        (denied(Action::RecordLoadError, Action::RecordHead, None), "R|E|HD|n|RECORD_LOAD_ERROR+"),
        (
            denied(Action::RecordStorageRetrievalTimeout, Action::RecordHead, Some(b"H")),
            "R|E|H|n|STORAGE_RETRIEVAL_TIMEOUT+",
        ),
        (denied(Action::RecordDenied, Action::RecordHead, Some(b"H")), "R|E|H|n|MESSAGE_DENIED+"),
        (denied(Action::RecordDenied, Action::RecordHead, None), "R|E|HD|n|MESSAGE_DENIED+"),
        (denied(Action::RecordPermissionError, Action::RecordHead, Some(b"H")), "R|E|H|n|MESSAGE_PERMISSION_ERROR+"),
        (denied(Action::RecordPermissionError, Action::RecordRead, None), "R|E|SN|n|MESSAGE_PERMISSION_ERROR+"),
        (
            denied(Action::RecordPermissionError, Action::RecordUpdate, Some(b"3")),
            "R|E|MESSAGE_PERMISSION_ERROR|n|U|3+",
        ),
        (about(Action::RecordLoadError), "R|E|RECORD_LOAD_ERROR|n+"),
        (about(Action::RecordStorageRetrievalTimeout), "R|E|STORAGE_RETRIEVAL_TIMEOUT|n+"),
        (write(Action::RecordUpdateError), "R|E|RECORD_UPDATE_ERROR|n+"),
        (failed(Action::RecordUpdateError), "R|E|RECORD_UPDATE_ERROR|n+R|WA|n|[3]|SRECORD_UPDATE_ERROR+"),
        (denied(Action::RecordDenied, Action::RecordUpdate, Some(b"3")), "R|E|MESSAGE_DENIED|n|U|3+"),
        (denied(Action::RecordDenied, Action::RecordSubscribeCreateAndRead, Some(b"n")), "R|E|MESSAGE_DENIED|n|R+"),
        (denied(Action::RecordDenied, Action::RecordRead, None), "R|E|SN|n|MESSAGE_DENIED+"),
        (denied(Action::RecordDenied, Action::RecordCreate, Some(b"n")), "R|E|MESSAGE_DENIED|n|C+"),
        (
            Outgoing { is_write_ack: true, ..denied(Action::RecordDenied, Action::RecordCreateAndPatch, Some(b"-1")) },
            "R|E|MESSAGE_DENIED|n|U+R|WA|n|[-1]|SMESSAGE_DENIED+",
        ),
        (
            Outgoing {
                data: Some(b"{}"),
                ..failed_for(Action::RecordInvalidMessageData, Action::RecordUpdate, Some(b"one"))
            },
            "R|E|INVALID_VERSION|n|one+R|WA|n|[]|SINVALID_VERSION+",
        ),
        (
            failed_for(Action::RecordInvalidMessageData, Action::RecordUpdate, Some(b"")),
            "R|E|INVALID_MESSAGE_DATA|n+R|WA|n|[]|SINVALID_MESSAGE_DATA+",
        ),
        (Outgoing { data: Some(b"{bad"), ..write(Action::RecordInvalidMessageData) }, "R|E|INVALID_MESSAGE_DATA|{bad+"),
        (about(Action::RecordListenResponseTimeout), "C|PO+"),
    ] {
        assert_eq!(written(&message), expected);
    }
}

#[test]
fn nothing_becomes_an_empty_frame_or_breaks_out_of_its_part() {
    let evil: &[u8] = b"a\x1eR\x1fD\x1fx";
    for &action in Action::ALL {
        for is_ack in [false, true] {
            let message = Outgoing {
                name: Some(evil),
                names: &[evil],
                path: Some(evil),
                subscription: Some(evil),
                correlation_id: Some(evil),
                data: Some(br#""a\u001eR\u001f""#),
                is_error: true,
                is_ack,
                is_write_ack: true,
                ..Outgoing::new(action)
            };
            let text = written(&message);
            let messages: Vec<&str> = text.split_terminator('+').collect();
            assert!(text.ends_with('+') && messages.len() <= 2, "{action:?}: {text}");
            assert!(messages.iter().all(|message| message.len() >= 3), "{action:?}: {text}");
            assert!(!text.contains("|D|x"), "{action:?}: {text}");
            // Some clients read one message of a frame, and no further.
            for frame in payloads(Wire::Text, &message) {
                assert_eq!(frame.find('\u{1e}'), Some(frame.len() - 1), "{action:?}: {frame}");
            }
        }
    }
}

/// Clients in Java drop the empty parts at the end of a message and then look at them, those in C++ take them for broken: so no message
/// ends in one, whatever is said, and whatever of it is missing or empty.
#[test]
fn no_message_ends_in_an_empty_part() {
    const NOTHING: &[Option<&[u8]>] = &[None, Some(b"")];
    let mut seen = 0;
    for &action in Action::ALL {
        let of_topic = Action::ALL.iter().filter(|original| original.topic() == action.topic());
        let originals: Vec<Option<Action>> =
            [None].into_iter().chain(of_topic.map(|&original| Some(original))).collect();
        for fields in 0..1 << 9 {
            let bit = |at: u32| fields >> at & 1 == 1;
            let nothing = |at: u32| NOTHING[usize::from(bit(at))];
            // An error alone looks at what it answers, and not at these.
            let answers = if bit(8) && !bit(1) && !bit(2) && !bit(5) { &originals[..] } else { &originals[..1] };
            for &original_action in answers {
                let message = Outgoing {
                    name: nothing(0),
                    names: if bit(1) { &[b""] } else { &[] },
                    path: nothing(2),
                    subscription: nothing(2),
                    correlation_id: nothing(3),
                    data: nothing(4),
                    original_topic: bit(5).then(|| action.topic()),
                    original_action,
                    is_ack: bit(6),
                    is_write_ack: bit(7),
                    is_error: bit(8),
                    ..Outgoing::new(action)
                };
                for wire in [Wire::Text, Wire::TextSdk] {
                    let text = payload(wire, &message);
                    assert!(text.ends_with('\u{1e}'), "{message:?}: {text:?}");
                    for line in text.split_terminator('\u{1e}') {
                        let mut parts = line.split('\u{1f}');
                        assert_eq!(parts.next().map(str::len), Some(1), "a topic: {message:?}: {line:?}");
                        assert!(parts.next_back().is_some_and(|last| !last.is_empty()), "{message:?}: {line:?}");
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 100_000, "{seen}");
}

#[test]
fn long_messages_have_the_right_header() {
    for len in [0, 50, 100, 115, 118, 119, 120, 121, 122, 123, 200, 65_525, 65_529, 65_530, 65_535, 70_000] {
        let data = format!("\"{}\"", "x".repeat(len));
        let message = Outgoing { data: Some(data.as_bytes()), ..about(Action::EventEmit) };
        assert_eq!(written(&message).len(), "E|EVT|n|S+".len() + len, "{len}");
    }
}

/// Upgrade, one message, several in one frame with short ones between, fragments with a ping between, text beyond ASCII,
/// garbage, a close.
fn conversation() -> Vec<u8> {
    let together = said("E|S|a+E|S|b++R|+R|SN|c+U|Q|Q");
    let fragmented = said("R|P|r|1|a|Sünïcödé+E|EVT|x|L+");
    let (first, rest) = fragmented.split_at(16);
    [
        upgrade(),
        frame(FINAL_TEXT, &said("A|REQ|{}+")),
        frame(FINAL_TEXT, &together),
        frame(FINAL_TEXT, b""),
        frame(0x01, first),
        frame(client::FINAL_PING, b"?"),
        frame(0x80, rest),
        frame(FINAL_TEXT, &said("Z|Z|z+C|PO+")),
        frame(client::FINAL_CLOSE, &1000u16.to_be_bytes()),
    ]
    .concat()
}

#[test]
fn a_conversation_is_the_same_however_it_is_cut_and_paused() {
    let stream = conversation();
    let whole = hear(&[&stream], false);
    assert_eq!(
        whole.0,
        [
            "upgraded to Text",
            "AuthRequest data={}",
            "EventSubscribe names=a id=a",
            "EventSubscribe names=b id=b",
            "RecordRead name=c",
            "PresenceQueryAll",
            r#"RecordPatch name=r version=1 path=a data="ünïcödé" id=1"#,
            "EventEmit name=x data=null",
            r#"TopicWord("Z")"#,
            "ConnectionPong",
            "Peer(Some(1000))"
        ]
    );
    let replies = String::from_utf8_lossy(&whole.1).into_owned();
    assert!(replies.starts_with("HTTP/1.1 101"), "{replies}");
    let greeted = "\r\n\r\n\u{fffd}\u{5}C\u{1f}CH\u{1e}";
    assert!(!UPGRADE_KEY.is_empty() && replies.contains(greeted), "challenged: {replies:?}");
    assert!(!replies.contains("C\u{1f}PI") && !replies.contains("C\u{1f}A"), "and nothing else: {replies:?}");
    let bytes: Vec<[u8; 1]> = stream.iter().map(|&byte| [byte]).collect();
    let single: Vec<&[u8]> = bytes.iter().map(<[u8; 1]>::as_slice).collect();
    for pausing in [false, true] {
        assert_eq!(hear(&single, pausing), whole, "byte by byte, pausing: {pausing}");
        for cut in 1..stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(hear(&[head, tail], pausing), whole, "cut at {cut}, pausing: {pausing}");
        }
    }
}

#[test]
fn bytes_and_broken_text_close_the_connection() {
    let closed = |frame: &[u8]| hear(&[&upgrade(), frame], false).0.pop();
    assert_eq!(closed(&frame(FINAL_BINARY, &said("C|PI+"))), Some(format!("{:?}", Closing::Elsewhere(Wire::Protobuf))));
    assert_eq!(
        closed(&frame(FINAL_TEXT, b"E\x1fEVT\x1fa\x1fS\xff\x1e")),
        Some(format!("{:?}", Closing::Protocol(1007, "a text that is not UTF-8")))
    );
    assert_eq!(closed(&frame(FINAL_TEXT, &[b'x'; 4097])), Some(format!("{:?}", Closing::TooBig)));
}
