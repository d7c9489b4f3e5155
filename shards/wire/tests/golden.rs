//! Frames captured from upstream's encoder (docs/protobuf-protocol.md §2): ours writes the same bytes and reads them back.

use deepstream_wire::client::{self, encode_challenge};
use deepstream_wire::encode::{encode, encode_message, frame_header, message_len};
use deepstream_wire::{Action, Flags, Message, Outgoing, Topic, Unreadable, Wire, binary};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn encoded(message: &Outgoing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(message, &mut out);
    assert_eq!(out.len(), message_len(message));
    out
}

fn only(bytes: &[u8]) -> Message<&[u8]> {
    let mut messages = binary::messages(bytes);
    let message = messages.next().unwrap().unwrap();
    assert!(messages.next().is_none());
    message
}

#[test]
fn challenge_is_written_and_read_like_upstreams() {
    let golden =
        hex("3210021a2e08052a1177733a2f2f682f6465657073747265616d3204302e31613a05372e302e35420a6a617661736372697074");
    let mut frame = Vec::new();
    encode_challenge("ws://h/deepstream", "javascript", "7.0.5", [0; 4], &mut frame);
    assert_eq!(&frame[6..], golden);

    let message = only(&golden);
    assert_eq!(message.head.action, Action::ConnectionChallenge);
    assert_eq!(message.path(), Some(&b"javascript"[..]));
    assert_eq!(message.correlation_id(), Some(&b"7.0.5"[..]));
    assert_eq!(message.name(), b"ws://h/deepstream");
}

#[test]
fn bare_messages_are_written_like_upstreams() {
    for (action, golden) in [
        (Action::ConnectionAccept, "0610021a020804"),
        (Action::ConnectionPing, "0610021a020802"),
        (Action::ConnectionPong, "0610021a020803"),
        (Action::ConnectionAuthTimeout, "0610021a020864"),
        (Action::AuthSuccessful, "0610031a020803"),
        (Action::AuthUnsuccessful, "0610031a020804"),
        (Action::PresenceQueryAllResponse, "0610071a020803"),
        (Action::ParserUnknownTopic, "0610011a020801"),
    ] {
        assert_eq!(encoded(&Outgoing::new(action)), hex(golden), "{action:?}");
        assert_eq!(only(&hex(golden)).head.action, action);
    }
}

#[test]
fn messages_with_fields_are_written_like_upstreams() {
    let login = Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) };
    assert_eq!(encoded(&login), hex("0a10031a06080212027b7d"));

    let read =
        Outgoing { name: Some(b"r"), version: Some(0), data: Some(b"{}"), ..Outgoing::new(Action::RecordReadResponse) };
    assert_eq!(encoded(&read), hex("0f10051a0b080412027b7d3201726800"));

    let head = Outgoing { name: Some(b"r"), version: Some(-1), ..Outgoing::new(Action::RecordHeadResponse) };
    let golden = hex("1410051a10080632017268ffffffffffffffffff01");
    assert_eq!(encoded(&head), golden);
    assert_eq!(only(&golden).head.version, -1);
    assert!(only(&golden).head.flags.has(Flags::VERSION));

    let ack = Outgoing { correlation_id: Some(b"7"), is_ack: true, ..Outgoing::new(Action::RecordSubscribe) };
    assert_eq!(encoded(&ack), hex("0b10051a0708191a01372801"));

    let emit = Outgoing { name: Some(b"e"), data: Some(b"1"), ..Outgoing::new(Action::EventEmit) };
    assert_eq!(encoded(&emit), hex("0c10041a080802120131320165"));
}

#[test]
fn versions_are_written_like_upstreams_and_read_by_the_client() {
    let bulk = Outgoing { versions: &[(b"a", 0), (b"b", 300)], ..Outgoing::new(Action::RecordHeadResponseBulk) };
    let golden = hex("1510051a11080872050a0161100072060a016210ac02");
    assert_eq!(encoded(&bulk), golden);
    let read: Vec<_> = client::versions(&only(&golden)).collect();
    assert_eq!(read, [(&b"a"[..], 0), (&b"b"[..], 300)]);
}

#[test]
fn empty_data_is_never_written_but_an_empty_path_is() {
    let message = Outgoing { data: Some(b""), path: Some(b""), ..Outgoing::new(Action::RecordPatch) };
    let bytes = encoded(&message);
    assert_eq!(only(&bytes).data(), None);
    assert_eq!(only(&bytes).path(), Some(&b""[..]));
}

#[test]
fn original_action_is_left_out_where_a_topic_has_no_such_field() {
    for action in [Action::ConnectionInvalidMessage, Action::AuthInvalidMessageData] {
        let with = Outgoing {
            original_action: Some(Action::RecordRead),
            original_topic: Some(Topic::Record),
            ..Outgoing::new(action)
        };
        assert_eq!(encoded(&with), encoded(&Outgoing::new(action)));
    }
}

#[test]
fn parser_replies_name_the_original_topic_and_action() {
    let reply = Outgoing {
        original_topic: Some(Topic::Record),
        original_action: Some(Action::RecordRead),
        ..Outgoing::new(Action::ParserUnknownAction)
    };
    let bytes = encoded(&reply);
    assert_eq!(client::original_topic(&only(&bytes)), Some(Topic::Record));
    assert_eq!(client::original_action(&only(&bytes)), Some(Action::RecordRead));
}

#[test]
fn frames_are_headed_by_the_shortest_length() {
    for (len, header) in
        [(0, "8200"), (125, "827d"), (126, "827e007e"), (65535, "827effff"), (65536, "827f0000000000010000")]
    {
        let mut out = Vec::new();
        frame_header(client::FINAL_BINARY, len, &mut out);
        assert_eq!(out, hex(header), "{len}");
    }
    let mut out = b"before".to_vec();
    encode(Wire::Protobuf, &Outgoing::new(Action::ConnectionPong), &mut out);
    assert_eq!(out, [&b"before"[..], &hex("82070610021a020803")].concat());
}

#[test]
fn what_is_no_message_is_told_by_kind() {
    let unreadable = |text: &str| binary::messages(&hex(text)).map(Result::err).collect::<Vec<_>>();
    assert_eq!(unreadable(""), [Some(Unreadable::Malformed)]);
    assert_eq!(unreadable("0710021a020804"), [Some(Unreadable::Malformed)]);
    assert_eq!(unreadable("06100c1a020804"), [Some(Unreadable::Topic(12))]);
    for topic in [0u32, 8, 9, 10, 11, 100] {
        assert_eq!(unreadable(&format!("0610{topic:02x}1a020804")), [Some(Unreadable::Topic(topic))]);
    }
    assert_eq!(unreadable("0610051a02087f"), [Some(Unreadable::Action(Topic::Record, 127))]);
    assert_eq!(unreadable("021005"), [Some(Unreadable::Action(Topic::Record, 0))]);
    assert_eq!(unreadable("021a00"), [Some(Unreadable::Topic(0))]);
    // name = 0xff
    assert_eq!(unreadable("0910041a0508023201ff"), [Some(Unreadable::Malformed)]);
}

#[test]
fn garbage_is_complained_about_once_per_frame() {
    for garbage in [vec![0; 64], vec![b'a'; 500], b"\x02\xff\xff\x06\x10\x02\x1a\x02\x08\x02".to_vec()] {
        let read: Vec<_> = binary::messages(&garbage).map(Result::err).collect();
        assert_eq!(read, [Some(Unreadable::Malformed)], "{garbage:?}");
    }
}

#[test]
fn all_messages_of_one_frame_are_read_even_past_an_unknown_one() {
    let frame = hex("0610021a0208020610021a02080306100c1a0208040610021a020804");
    let read: Vec<_> = binary::messages(&frame).map(|message| message.map(|message| message.head.action)).collect();
    assert_eq!(
        read,
        [
            Ok(Action::ConnectionPing),
            Ok(Action::ConnectionPong),
            Err(Unreadable::Topic(12)),
            Ok(Action::ConnectionAccept)
        ]
    );
}

#[test]
fn names_are_found_between_other_fields() {
    // names "a", correlationId "1", an unknown field, names "", names "b", name "n" (RECORD.SUBSCRIBE)
    let body = hex("08193a01611a0131a006053a003a016232016e");
    let mut frame = vec![body.len() as u8 + 4, 0x10, 5, 0x1a, body.len() as u8];
    frame.extend_from_slice(&body);
    let message = only(&frame);
    assert_eq!(message.names().collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
    assert_eq!(message.correlation_id(), Some(&b"1"[..]));
    assert_eq!(message.name(), b"n");
}

#[test]
fn a_field_above_the_tables_end_is_skipped() {
    // field 200 varint, field 15 fixed32, field 16 fixed64, name
    let body = hex("0802c00c057d010203048101010203040506070832016503");
    let frame = |body: &[u8]| [&[body.len() as u8 + 4, 0x10, 4, 0x1a, body.len() as u8], body].concat();
    assert_eq!(binary::messages(&frame(&body)).next().unwrap().err(), Some(Unreadable::Malformed));
    let good = frame(&body[..body.len() - 1]);
    assert_eq!(only(&good).name(), b"e");
    // a group of field 20, nested in itself, then name
    let grouped = frame(&hex("0802a301a3010801a401a401320165"));
    assert_eq!(only(&grouped).name(), b"e");
    let unbalanced = frame(&hex("0802a301ac01320165"));
    assert_eq!(binary::messages(&unbalanced).next().unwrap().err(), Some(Unreadable::Malformed));
}

#[test]
fn numbers_and_groups_beyond_what_is_sane_are_refused() {
    let read = |body: &[u8]| {
        let frame = [&[body.len() as u8 + 4, 0x10, 4, 0x1a, body.len() as u8], body].concat();
        binary::messages(&frame).next().unwrap().map(|message| message.head.action)
    };
    let number = |last: &str| hex(&format!("0802 a001 ffffffffffffffffff {last}").replace(' ', ""));
    assert_eq!(read(&number("01")), Ok(Action::EventEmit), "ten bytes hold 64 bits");
    assert_eq!(read(&number("02")), Err(Unreadable::Malformed), "a 65th bit");
    assert_eq!(read(&number("8101")), Err(Unreadable::Malformed), "an eleventh byte");
    assert_eq!(read(&hex("0802f8ffffff7f01")), Err(Unreadable::Malformed), "a field number above 29 bits");
    assert_eq!(read(&hex("08020001")), Err(Unreadable::Malformed), "field number 0");
    for wire_type in [4, 6, 7] {
        assert_eq!(read(&[8, 2, 0x78 | wire_type, 1]), Err(Unreadable::Malformed), "wire type {wire_type}");
    }
    let nested = |depth: usize| [&[8, 2][..], &[0x7b].repeat(depth), &[0x7c].repeat(depth)].concat();
    assert_eq!(read(&nested(16)), Ok(Action::EventEmit));
    assert_eq!(read(&nested(17)), Err(Unreadable::Malformed));
}
