//! Batches of the HTTP API: requests to messages, answers to one body.

use deepstream_wire::jif::{Answers, Batch, Post, TOO_LARGE, check_body};
use deepstream_wire::{Action, Flags, Outgoing, binary, encode};
use proptest::prelude::*;

fn batch(body: &str) -> Result<Batch, String> {
    Batch::read(body.as_bytes(), 100)
}

/// Takes what the engine would say.
fn take(answers: &mut Answers, batch: &Batch, message: &Outgoing<'_>) {
    let mut bytes = Vec::new();
    encode::encode_message(message, &mut bytes);
    for message in binary::messages(&bytes) {
        answers.take(batch, &message.unwrap());
    }
}

#[test]
fn entries_become_messages_with_their_number() {
    let batch = batch(
        r#"[{"topic":"event","action":"emit","eventName":"e","data":null},
            {"topic":"record","action":"write","recordName":"r","data":{},"version":0},
            {"topic":"record","action":"write","recordName":"r","data":5,"version":7,"path":"a.b"},
            {"topic":"presence","action":"query","names":["a","b"]}, {"topic":"presence","action":"query"},
            {"topic":"record","action":"notify","recordNames":[]}]"#,
    )
    .unwrap();
    assert_eq!(batch.len(), 6);
    let emit = batch.message(0).unwrap();
    assert_eq!((emit.head.action, emit.name(), emit.data()), (Action::EventEmit, &b"e"[..], Some(&b"null"[..])));
    assert!(emit.head.flags.has(Flags::IS_ACK) && !emit.head.flags.has(Flags::UNDEFINED));
    let write = batch.message(1).unwrap();
    assert_eq!((write.head.action, write.head.version), (Action::RecordCreateAndUpdate, -1));
    assert!(write.head.flags.has(Flags::IS_WRITE_ACK));
    let patch = batch.message(2).unwrap();
    assert_eq!((patch.head.action, patch.head.version), (Action::RecordCreateAndPatch, 7));
    assert_eq!((patch.path(), patch.correlation_id()), (Some(&b"a.b"[..]), Some(&b"2"[..])));
    assert_eq!(batch.message(3).unwrap().names().collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(batch.message(4).unwrap().head.action, Action::PresenceQueryAll);
    assert_eq!(batch.message(5).unwrap_err(), r#"{"success":true}"#);
}

#[test]
fn answers_find_their_entries_by_number_or_by_name_in_order() {
    let batch = batch(
        r#"[{"topic":"record","action":"read","recordName":"a"},{"topic":"record","action":"read","recordName":"b"},
            {"topic":"record","action":"read","recordName":"a"},{"topic":"record","action":"delete","recordName":"a"},
            {"topic":"event","action":"emit","eventName":"e"},{"topic":"record","action":"head","recordName":"a"}]"#,
    )
    .unwrap();
    assert!(batch.message(4).unwrap().head.flags.has(Flags::UNDEFINED), "an event without data");
    let mut answers = Answers::new(batch.len(), 10_000);
    let new = Outgoing::new;
    take(&mut answers, &batch, &Outgoing { correlation_id: Some(b"4"), is_ack: true, ..new(Action::EventEmit) });
    let read = |name: &'static [u8], version| Outgoing {
        name: Some(name),
        version: Some(version),
        data: Some(b"{}"),
        ..new(Action::RecordReadResponse)
    };
    take(&mut answers, &batch, &read(b"a", 1));
    take(&mut answers, &batch, &read(b"unasked", 9));
    let missing = Outgoing {
        name: Some(b"b"),
        original_action: Some(Action::RecordRead),
        is_error: true,
        ..new(Action::RecordNotFound)
    };
    take(&mut answers, &batch, &missing);
    take(&mut answers, &batch, &read(b"a", 2));
    take(&mut answers, &batch, &read(b"a", 3));
    take(&mut answers, &batch, &Outgoing { name: Some(b"a"), ..new(Action::RecordDeleteSuccess) });
    assert!(!answers.is_complete());
    take(&mut answers, &batch, &Outgoing { correlation_id: Some(b"77"), ..new(Action::RecordHeadResponse) });
    answers.put_rest(r#"{"success":false}"#);
    assert!(answers.is_complete());
    let expected = concat!(
        r#"{"result":"PARTIAL_SUCCESS","body":[{"version":1,"data":{},"success":true},"#,
        r#"{"errorTopic":"record","errorEvent":107,"success":false,"error":"Record read failed. Record \"b\" could not be found."},"#,
        r#"{"version":2,"data":{},"success":true},{"success":true},{"success":true},{"success":false}]}"#
    );
    assert_eq!(String::from_utf8(answers.body()).unwrap(), expected);
}

#[test]
fn denials_say_what_was_asked() {
    let batch = batch(
        r#"[{"topic":"record","action":"write","recordName":"r","data":1,"path":"a"},
            {"topic":"event","action":"emit","eventName":"e"},{"topic":"presence","action":"query"},
            {"topic":"record","action":"read","recordName":"r"}]"#,
    )
    .unwrap();
    let mut answers = Answers::new(batch.len(), 10_000);
    let denied = |action, id: &'static [u8]| Outgoing {
        name: Some(b"r"),
        correlation_id: Some(id),
        is_error: true,
        ..Outgoing::new(action)
    };
    take(&mut answers, &batch, &denied(Action::RecordDenied, b"0"));
    take(&mut answers, &batch, &denied(Action::EventDenied, b"1"));
    take(&mut answers, &batch, &denied(Action::PresenceDenied, b"2"));
    take(&mut answers, &batch, &denied(Action::RecordLoadError, b"3"));
    let expected = concat!(
        r#"{"result":"FAILURE","body":[{"errorTopic":"record","errorEvent":115,"success":false,"#,
        r#""error":"Message denied. Action \"CREATEANDPATCH\" is not permitted.","action":17},"#,
        r#"{"success":false,"error":"Message denied. Action 'emit' is not permitted.","errorEvent":"MESSAGE_DENIED","errorAction":"emit","errorTopic":"event"},"#,
        r#"{"errorTopic":"presence","errorEvent":102,"success":false,"error":"Message denied. Action \"QUERY_ALL\" is not permitted.","action":2},"#,
        r#"{"errorTopic":"record","errorEvent":103,"success":false,"error":"An error occurred: RECORD_LOAD_ERROR.","errorParams":"r"}]}"#
    );
    assert_eq!(String::from_utf8(answers.body()).unwrap(), expected);
}

#[test]
fn what_does_not_fit_is_said_so() {
    let batch = batch(&format!("[{}]", [r#"{"topic":"rpc","action":"make","rpcName":"f"}"#; 3].join(","))).unwrap();
    let mut answers = Answers::new(3, 100);
    for id in [&b"0"[..], b"1", b"2"] {
        let data = format!("\"{}\"", "x".repeat(50));
        let response =
            Outgoing { correlation_id: Some(id), data: Some(data.as_bytes()), ..Outgoing::new(Action::RpcResponse) };
        take(&mut answers, &batch, &response);
    }
    let body = String::from_utf8(answers.body()).unwrap();
    assert!(body.starts_with(r#"{"result":"PARTIAL_SUCCESS""#) && body.matches(TOO_LARGE).count() == 2, "{body}");
}

#[test]
fn a_batch_has_a_length() {
    let entry = r#"{"topic":"presence","action":"query"}"#;
    let of = |count: usize| format!("[{}]", vec![entry; count].join(","));
    assert!(batch(&of(100)).is_ok());
    assert!(batch(&of(101)).unwrap_err().contains("more than 100 entries"));
}

proptest! {
    /// Any JSON at all is a batch or a reason, and its messages read.
    #[test]
    fn any_body_is_survived(pairs in prop::collection::vec((
        prop::sample::select(vec!["topic", "action", "eventName", "recordName", "recordNames", "listName", "rpcName",
            "names", "data", "path", "version", "x"]),
        prop::sample::select(vec!["\"event\"", "\"record\"", "\"list\"", "\"rpc\"", "\"presence\"", "\"emit\"", "\"write\"",
            "\"read\"", "\"make\"", "\"query\"", "\"notify\"", "1", "-1", "null", "\"\"", "[]", "[\"a\"]", "{}", "\"\\ud800\""]),
    ), 0..8)) {
        let members: Vec<String> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let body = format!("{{\"body\":[{{{}}}]}}", members.join(","));
        check_body(body.as_bytes()).unwrap();
        let post = Post::read(body.as_bytes(), true).unwrap();
        if let Ok(batch) = Batch::read(&post.body, 10)
            && let Ok(message) = batch.message(0)
        {
            let texts = [Some(message.name()), message.path(), message.correlation_id()];
            assert!(texts.into_iter().flatten().chain(message.names()).all(|text| str::from_utf8(text).is_ok()));
        }
    }
}
