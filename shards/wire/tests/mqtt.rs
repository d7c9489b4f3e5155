//! A link of MQTT: packets in, messages out; what the engine says, packets again.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use deepstream_wire::close_reason::{CloseReason, encode_close};
use deepstream_wire::encode::encode;
use deepstream_wire::mqtt::Settings;
use deepstream_wire::{Action, Closing, Flags, Gate, Link, LinkConfig, LinkEvent, Medium, Message, Outgoing, Wire};

fn config() -> LinkConfig {
    LinkConfig {
        endpoints: Vec::new(),
        max_request_bytes: 4096,
        mqtt: Settings { packet_bytes_max: 4096, idle_timeout_s: Some(60), queued_bytes_max: 1000, closed: None },
        gate: Gate::default(),
        text_after_ms: None,
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![first];
    let mut len = body.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(&body);
    out
}

fn connect(level: u8, flags: u8, rest: &[&[u8]]) -> Vec<u8> {
    let (name, properties): (_, &[u8]) = (text("MQTT"), if level == 5 { &[0] } else { &[] });
    packet(0x10, &[&name, &[level, flags, 0, 10], properties, &text("me"), &rest.concat()])
}

fn subscribe(level: u8, id: u8, filter: &str, options: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    packet(0x82, &[&[0, id], properties, &text(filter), &[options]])
}

/// A link and all that came of it.
struct Client {
    link: Link,
    config: LinkConfig,
    told: Vec<String>,
    sent: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        Self { link: Link::of(Medium::Mqtt), config: config(), told: Vec::new(), sent: Vec::new() }
    }

    fn open(level: u8) -> Self {
        let mut client = Self::new();
        client.send(&connect(level, 2, &[]));
        client.hear(&Outgoing::new(Action::AuthSuccessful));
        client.told.clear();
        client.sent.clear();
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        let (mut replies, told) = (Vec::new(), &mut self.told);
        self.link.received(&self.config, &mut bytes.to_vec(), &mut replies, &mut |event| note(told, &event));
        self.frames(&replies);
    }

    fn hear(&mut self, message: &Outgoing<'_>) {
        let mut frame = Vec::new();
        encode(Wire::Mqtt, message, &mut frame);
        self.frames(&frame);
    }

    fn frames(&mut self, frames: &[u8]) {
        let told = &mut self.told;
        self.link.translate(frames, &mut self.sent, &mut Vec::new(), &mut |event| note(told, &event));
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }
}

fn note(told: &mut Vec<String>, event: &LinkEvent<'_>) -> ControlFlow<()> {
    told.push(match event {
        LinkEvent::Message(message) => line(message),
        LinkEvent::Introduced(introduction) => {
            let client = String::from_utf8_lossy(introduction.client);
            format!("introduced {client} {:?}", introduction.silence_ms_max)
        }
        other => format!("{other:?}"),
    });
    ControlFlow::Continue(())
}

fn line(message: &Message<&[u8]>) -> String {
    let mut line = format!("{:?}", message.head.action);
    let mut put = |key: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            write!(line, " {key}={}", String::from_utf8_lossy(value)).unwrap();
        }
    };
    let flags = message.head.flags;
    put("name", flags.has(Flags::NAME).then(|| message.name()));
    for name in message.names() {
        put("names", Some(name));
    }
    put("data", message.data());
    put("id", message.correlation_id());
    let marks =
        [(Flags::IS_WRITE_ACK, "write-ack"), (Flags::IS_ACK, "ack"), (Flags::ECHO, "echo"), (Flags::IS_KEPT, "kept")];
    for (flag, name) in marks {
        put(name, flags.has(flag).then_some(b"1"));
    }
    line
}

fn named(action: Action, name: &str) -> Outgoing<'_> {
    Outgoing { name: Some(name.as_bytes()), ..Outgoing::new(action) }
}

fn answer(action: Action, id: &str) -> Outgoing<'_> {
    Outgoing { correlation_id: Some(id.as_bytes()), is_ack: true, ..Outgoing::new(action) }
}

#[test]
fn a_client_is_introduced_logged_in_and_welcomed() {
    let mut client = Client::new();
    client.send(&connect(4, 0xc2, &[&text("ann"), &text("pass\"word")]));
    let login = r#"AuthRequest data={"username":"ann","password":"pass\"word"}"#;
    assert_eq!(client.told(), ["introduced me Some(15000)", login]);
    client.hear(&Outgoing::new(Action::AuthSuccessful));
    assert_eq!(client.sent(), [0x20, 2, 0, 0]);
    let mut modern = Client::new();
    modern.send(&connect(5, 2, &[]));
    assert_eq!(modern.told(), ["introduced me Some(15000)", "AuthRequest data={}"]);
    modern.hear(&Outgoing::new(Action::AuthSuccessful));
    // Largest packet 4096, no shared subscriptions.
    assert_eq!(modern.sent(), [0x20, 10, 0, 0, 7, 0x27, 0, 0, 16, 0, 0x2a, 0]);
}

#[test]
fn refusals_have_the_code_of_their_version() {
    let in_words = |code: u8, words: &str| {
        let properties = words.len() as u8 + 3;
        [&[0x20, properties + 3, 0, code, properties, 0x1f, 0, words.len() as u8][..], words.as_bytes()].concat()
    };
    for (level, expected) in [(4, vec![0x20, 2, 0, 5]), (5, in_words(0x87, "the login was refused"))] {
        let mut client = Client::new();
        client.send(&connect(level, 2, &[]));
        client.hear(&Outgoing::new(Action::AuthUnsuccessful));
        let mut close_reason = Vec::new();
        encode_close(Wire::Mqtt, CloseReason::TooManyLogins, &mut close_reason);
        client.frames(&close_reason);
        assert_eq!(client.sent(), expected);
    }
    let unknown = in_words(0x84, "MQTT 3.1.1 and 5 are spoken here");
    for (level, expected) in [(3, vec![0x20, 2, 0, 1]), (6, unknown)] {
        let mut client = Client::new();
        client.send(&connect(level, 2, &[]));
        assert_eq!(client.sent(), expected);
        assert_eq!(client.told(), [format!("{:?}", LinkEvent::Close(Closing::Packet(0x84)))]);
        assert!(client.link.is_closed());
    }
}

#[test]
fn every_subscribe_has_one_answer_with_a_code_per_filter() {
    let mut client = Client::open(5);
    let filters = [&text("a")[..], &[1], &text("b"), &[0], &text("$share/g/c"), &[0]].concat();
    client.send(&packet(0x82, &[&[0, 7, 0], &filters]));
    let subscribed = ["EventSubscribe names=a id=s7.0", "RecordSubscribe names=a id=s7.0", "RecordRead name=a"];
    assert_eq!(client.told()[..3], subscribed);
    for (action, id) in [(Action::EventSubscribe, "s7.0"), (Action::RecordSubscribe, "s7.0")] {
        client.hear(&answer(action, id));
    }
    let denied = |action, original| Outgoing {
        original_action: Some(original),
        correlation_id: Some(b"s7.1"),
        ..named(action, "b")
    };
    client.hear(&denied(Action::EventDenied, Action::EventSubscribe));
    assert_eq!(client.sent(), [0; 0], "not before all are answered");
    client.hear(&denied(Action::RecordDenied, Action::RecordSubscribe));
    assert_eq!(client.sent(), [0x90, 6, 0, 7, 0, 1, 0x87, 0x9e]);
    client.hear(&Outgoing { data: Some(b"1"), ..named(Action::EventEmit, "b") });
    assert_eq!(client.sent(), [0; 0], "what was refused is not sent");
}

#[test]
fn publishing_writes_and_emits_and_is_acknowledged_when_done() {
    let mut client = Client::open(4);
    client.send(&packet(0x32, &[&text("t"), &[0, 9], b"on"]));
    assert_eq!(client.told(), ["EventEmit name=t data=\"on\" id=a9 ack=1"]);
    assert_eq!(client.sent(), [0; 0]);
    client.hear(&answer(Action::EventEmit, "a9"));
    assert_eq!(client.sent(), [0x40, 2, 0, 9]);
    client.send(&packet(0x33, &[&text("t"), &[0, 10], b"{}"]));
    let written = ["RecordCreateAndUpdate name=t data={} id=a10 write-ack=1", "EventEmit name=t data={} kept=1"];
    assert_eq!(client.told(), written);
    client.hear(&answer(Action::RecordWriteAcknowledgement, "a10"));
    assert_eq!(client.sent(), [0x40, 2, 0, 10]);
    client.send(&packet(0x33, &[&text("t"), &[0, 11]]));
    assert_eq!(client.told(), ["RecordDelete name=t id=a11", "EventEmit name=t kept=1"]);
    client.hear(&named(Action::RecordDeleteSuccess, "t"));
    assert_eq!(client.sent(), [0x40, 2, 0, 11]);
    let mut modern = Client::open(5);
    modern.send(&packet(0x32, &[&text("t"), &[0, 9, 0], b"1"]));
    modern.hear(&Outgoing { is_ack: false, ..answer(Action::EventDenied, "a9") });
    assert_eq!(modern.sent(), [0x40, 3, 0, 9, 0x87]);
    modern.send(&packet(0x32, &[&text("t"), &[0, 9, 0], &[0xff]]));
    let sent = modern.sent();
    assert_eq!((&sent[2..5], sent[6]), (&[0, 9, 0x99][..], 0x1f), "bytes that are no text have no JSON, which is said");
    assert!(sent.ends_with(deepstream_wire::mqtt::words_of(0x99).as_bytes()));
    let deep = ["[".repeat(2000), "]".repeat(2000)].concat();
    modern.send(&packet(0x32, &[&text("t"), &[0, 9, 0], deep.as_bytes()]));
    assert_eq!(modern.told().pop(), Some(format!("EventEmit name=t data={deep} id=a9 ack=1")), "the engine judges it");
}

#[test]
fn second_quality_messages_are_put_once() {
    let mut client = Client::open(4);
    let publish = packet(0x34, &[&text("t"), &[0, 3], b"1"]);
    client.send(&publish);
    client.send(&packet(0x3c, &[&text("t"), &[0, 3], b"1"]));
    assert_eq!(client.told(), ["EventEmit name=t data=1 id=r3 ack=1"]);
    client.hear(&answer(Action::EventEmit, "r3"));
    client.send(&[0x62, 2, 0, 3]);
    assert_eq!(client.sent(), [0x50, 2, 0, 3, 0x50, 2, 0, 3, 0x70, 2, 0, 3]);
    client.told();
    client.send(&publish);
    assert_eq!(client.told(), ["EventEmit name=t data=1 id=r3 ack=1"]);
}

#[test]
fn packets_out_of_place_end_the_connection() {
    let cases: &[(u8, Vec<u8>, u8)] = &[
        (0, packet(0x30, &[&text("t"), b"1"]), 0x82),
        (0, b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0x82),
        (0, vec![0x16, 3, 1, 0, 200], 0x82),
        (5, connect(5, 2, &[]), 0x82),
        (5, vec![0x20, 2, 0, 0], 0x82),
        (5, vec![0xf0, 0], 0x8c),
        (5, packet(0x36, &[&text("t"), &[0, 1, 0]]), 0x81),
        (5, packet(0x30, &[&text("a/+"), &[0]]), 0x90),
        (5, packet(0x30, &[&text(""), &[0]]), 0x90),
        (5, packet(0x30, &[&text("t"), &[3, 0x23, 0, 1]]), 0x94),
        (5, packet(0x32, &[&text("t"), &[0, 0, 0]]), 0x81),
        (5, packet(0x30, &[&[0, 1, 0xff], &[0]]), 0x81),
        (5, packet(0x30, &[&text("t"), &[0, 0xff]]), 0x99),
        (5, vec![0x30, 0xff, 0xff, 0xff, 0xff], 0x81),
        (5, vec![0x30, 0xff, 0x7f], 0x95),
        (5, vec![0x40, 2, 0, 5], 0x82),
        (5, packet(0x80, &[&[0, 1, 0], &text("t"), &[0]]), 0x82),
        (5, packet(0x82, &[&[0, 1, 0]]), 0x81),
        (5, packet(0x82, &[&[0, 1, 0], &text("a#"), &[0]]), 0x81),
        (4, packet(0x82, &[&[0, 1], &text("t"), &[3]]), 0x81),
    ];
    for (level, bytes, code) in cases {
        let mut client = if *level == 0 { Client::new() } else { Client::open(*level) };
        client.send(bytes);
        assert_eq!(client.told().pop(), Some(format!("Close(Packet({code}))")), "{bytes:02x?}");
        let (sent, words) = (client.sent(), deepstream_wire::mqtt::words_of(*code));
        if *level == 5 {
            let properties = words.len() as u8 + 3;
            let told = [&[0xe0, properties + 2, *code, properties, 0x1f, 0, words.len() as u8][..], words.as_bytes()];
            assert_eq!(sent, told.concat(), "{bytes:02x?}");
            assert_ne!(words, "refused", "{code:02x}");
        } else {
            assert_eq!(sent, [0; 0], "{bytes:02x?}");
        }
    }
}

#[test]
fn a_will_is_said_unless_the_client_leaves() {
    let will = connect(4, 0x26, &[&text("w"), &text("gone")]);
    let said = |bytes: &[u8]| {
        let mut client = Client::new();
        client.send(&will);
        client.hear(&Outgoing::new(Action::AuthSuccessful));
        client.send(bytes);
        client.told();
        let told = &mut client.told;
        client.link.will(&mut Vec::new(), &mut |event| note(told, &event));
        client.told()
    };
    let record = "RecordCreateAndUpdate name=w data={\"value\":\"gone\",\"mqtt\":true}";
    assert_eq!(said(&[]), [record, "EventEmit name=w data=\"gone\" kept=1"]);
    assert_eq!(said(&[0xff]).len(), 2, "broken is lost");
    assert_eq!(said(&[0xe0, 0]), [""; 0]);
}

#[test]
fn a_client_is_sent_no_more_than_it_takes_and_closed_if_it_takes_nothing() {
    let mut client = Client::new();
    // Two at a time.
    let properties: &[u8] = &[3, 0x21, 0, 2];
    client.send(&packet(0x10, &[&text("MQTT"), &[5, 2, 0, 10], properties, &text("me")]));
    client.hear(&Outgoing::new(Action::AuthSuccessful));
    client.send(&subscribe(5, 1, "t", 1));
    client.sent();
    let message = Outgoing { data: Some(b"1"), ..named(Action::EventEmit, "t") };
    for _ in 0..3 {
        client.hear(&message);
    }
    let publish = |id| [0x32, 7, 0, 1, b't', 0, id, 0, b'1'];
    assert_eq!(client.sent(), [publish(1), publish(2)].concat());
    client.send(&[0x40, 2, 0, 1]);
    assert_eq!(client.sent(), publish(3));
    client.told();
    while client.told.is_empty() {
        client.hear(&message);
    }
    assert_eq!(client.told(), ["Close(Packet(151))"]);
    assert_eq!(client.sent()[2..4], [0x97, deepstream_wire::mqtt::words_of(0x97).len() as u8 + 3]);
}

#[test]
fn what_is_sent_depends_on_how_it_is_subscribed() {
    let mut client = Client::open(5);
    // With identifier 200, quality 1, no local messages, retain as published.
    client.send(&packet(0x82, &[&[0, 1, 3, 0x0b, 0xc8, 1], &text("t"), &[0x0d]]));
    client.hear(&answer(Action::EventSubscribe, "s1.0"));
    client.hear(&answer(Action::RecordSubscribe, "s1.0"));
    client.sent();
    client.told();
    client.hear(&Outgoing { data: Some(br#""a""#), ..named(Action::EventEmit, "t") });
    assert_eq!(client.sent(), [0x32, 10, 0, 1, b't', 0, 1, 3, 0x0b, 0xc8, 1, b'a']);
    client.hear(&Outgoing { data: Some(b"{}"), version: Some(1), ..named(Action::RecordUpdate, "t") });
    assert_eq!(client.sent()[0], 0x33);
    client.hear(&Outgoing { data: Some(b"1"), is_kept: true, ..named(Action::EventEmit, "t") });
    assert_eq!(client.sent(), [0; 0], "it comes as a change of the record");
    client.send(&packet(0x30, &[&text("t"), &[0], b"1"]));
    assert_eq!(client.told(), ["EventEmit name=t data=1"], "without an echo");
    client.hear(&named(Action::RecordDeleted, "t"));
    assert_eq!(client.told(), ["RecordSubscribe names=t"], "the subscription ended, not the client's");
    assert_eq!(client.sent()[..2], [0x33, 9]);
}

/// A conversation with everything in it.
fn conversation(level: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    [
        connect(level, 0xc6, &[properties, &text("w"), &text("gone"), &text("ann"), &text("pw")]),
        subscribe(level, 1, "a/b", 1),
        packet(0x30, &[&text("a/b"), properties, b"x"]),
        packet(0x32, &[&text("a/b"), &[0, 2], properties, b"{\"y\":1}"]),
        packet(0x33, &[&text("c"), &[0, 3], properties, b"[]"]),
        packet(0x34, &[&text("d"), &[0, 4], properties]),
        vec![0x62, 2, 0, 4],
        vec![0xc0, 0],
        packet(0xa2, &[&[0, 5], properties, &text("a/b"), &text("nothing")]),
        vec![0xe0, 0],
    ]
    .concat()
}

#[test]
fn cuts_make_no_difference() {
    for level in [4, 5] {
        let bytes = conversation(level);
        let mut whole = Client::new();
        whole.send(&bytes);
        let expected = (whole.told(), whole.sent());
        assert_eq!(expected.0.last().map(String::as_str), Some("Close(Peer(None))"));
        for cut in 0..bytes.len() {
            let mut client = Client::new();
            client.send(&bytes[..cut]);
            client.send(&bytes[cut..]);
            assert_eq!((client.told(), client.sent()), expected, "cut at {cut}");
        }
        let mut drops = Client::new();
        for byte in &bytes {
            drops.send(&[*byte]);
        }
        assert_eq!((drops.told(), drops.sent()), expected);
    }
}

#[test]
fn any_change_of_any_byte_is_survived() {
    for level in [4, 5] {
        let bytes = conversation(level);
        for at in 0..bytes.len() {
            for value in [0, 1, 0x0f, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x10] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let mut client = Client::new();
                client.send(&changed);
                client.hear(&Outgoing::new(Action::AuthSuccessful));
                client.hear(&Outgoing { data: Some(b"1"), ..named(Action::EventEmit, "a/b") });
            }
        }
    }
}

#[test]
fn who_is_not_let_in_is_told_why_in_the_words_of_its_version() {
    for (level, told) in [(4, vec![0x20, 2, 0, 5]), (5, [&[0x20, 11, 0, 0x87, 8, 0x1f, 0, 5][..], b"Shut."].concat())] {
        let mut client = Client::new();
        client.config.mqtt.closed = Some("Shut.".into());
        client.send(&connect(level, 2, &[]));
        assert_eq!(client.sent(), told, "{level}");
        assert_eq!(client.told(), ["Forbidden(\"Shut.\")", "Close(Packet(135))"], "{level}");
    }
}

#[test]
fn who_may_not_retain_is_told_why_if_there_is_a_form_for_it_and_room() {
    let publish = packet(0x33, &[&text("a"), &[0, 7], &[0], b"{}"]);
    let refusal = Outgoing {
        data: Some(br#""no such \"record\"""#),
        is_error: true,
        is_write_ack: true,
        ..named(Action::RecordUpdateError, "a")
    };
    let mut client = Client::open(5);
    client.send(&publish);
    let id =
        client.told().iter().find_map(|line| Some(line.split_once(" id=")?.1.split(' ').next()?.to_owned())).unwrap();
    client.hear(&Outgoing { correlation_id: Some(id.as_bytes()), ..refusal });
    let sent = client.sent();
    let reason = [&[0x1f, 0, 16][..], b"no such \"record\""].concat();
    assert_eq!(sent, [&[0x40, 23, 0, 7, 0x80, 19][..], &reason].concat());
}
