//! One connection from its first byte to its last, however the bytes are cut.

use std::ops::ControlFlow;

use deepstream_wire::client::{self, FINAL_BINARY, FINAL_CLOSE, FINAL_PING, ServerEvent, ServerReader};
use deepstream_wire::{Action, Closing, Endpoint, Link, LinkConfig, LinkEvent, Outgoing, Unreadable, Wire};

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
const TEXT: u8 = 0x81;
const PONG: u8 = 0x8a;
const MESSAGE_BYTES_MAX: usize = 4096;

fn config() -> LinkConfig {
    LinkConfig {
        endpoints: vec![Endpoint {
            path: "/deepstream".into(),
            wire: Wire::Protobuf,
            max_message_bytes: MESSAGE_BYTES_MAX,
        }],
        max_request_bytes: 1024,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    }
}

/// An event, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Upgraded(String, Option<String>),
    Message(Action, Vec<u8>, Option<Vec<u8>>, Vec<Vec<u8>>),
    Unreadable(Unreadable),
    Http(Vec<u8>),
    Forbidden(String),
    Close(Closing),
}

fn seen(event: &LinkEvent<'_>) -> Seen {
    match event {
        LinkEvent::Upgraded(handshake) => {
            Seen::Upgraded(handshake.path().into(), handshake.header("x-forwarded-for").map(Into::into))
        }
        LinkEvent::Message(message) => Seen::Message(
            message.head.action,
            message.name().to_vec(),
            message.data().map(Into::into),
            message.names().map(Into::into).collect(),
        ),
        LinkEvent::Unreadable(why) => Seen::Unreadable(*why),
        LinkEvent::Http(bytes) => Seen::Http(bytes.to_vec()),
        LinkEvent::Close(why) => Seen::Close(*why),
        LinkEvent::Forbidden(why) => Seen::Forbidden((*why).to_owned()),
        LinkEvent::Introduced(_) | LinkEvent::Turned(_) => unreachable!("a link of HTTP, of one generation"),
    }
}

/// A link, everything it said and everything it replied.
struct Peer {
    link: Link,
    config: LinkConfig,
    replies: Vec<u8>,
    events: Vec<Seen>,
}

impl Peer {
    fn new() -> Self {
        Self { link: Link::new(), config: config(), replies: Vec::new(), events: Vec::new() }
    }

    fn upgraded() -> Self {
        let mut peer = Self::new();
        peer.send(&upgrade());
        assert!(matches!(peer.events[..], [Seen::Upgraded(..)]));
        peer.events.clear();
        peer.replies.clear();
        peer
    }

    fn send(&mut self, bytes: &[u8]) {
        let events = &mut self.events;
        self.link.received(&self.config, &mut bytes.to_vec(), &mut self.replies, &mut |event| {
            events.push(seen(&event));
            ControlFlow::Continue(())
        });
    }

    /// Like `send`, but the handler breaks off after every event.
    fn send_reluctantly(&mut self, bytes: &[u8]) {
        let events = &mut self.events;
        let mut on = |event: LinkEvent<'_>| {
            events.push(seen(&event));
            ControlFlow::Break(())
        };
        self.link.received(&self.config, &mut bytes.to_vec(), &mut self.replies, &mut on);
    }

    fn resume_reluctantly(&mut self) {
        let events = &mut self.events;
        let mut on = |event: LinkEvent<'_>| {
            events.push(seen(&event));
            ControlFlow::Break(())
        };
        self.link.resumed(&self.config, &mut self.replies, &mut on);
    }

    fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(first, payload));
    }
}

fn upgrade() -> Vec<u8> {
    let mut out = Vec::new();
    client::upgrade_request("localhost:6020", "/deepstream?a=b", &[("X-Forwarded-For", "1.2.3.4")], &mut out);
    out
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    client::encode_frame(first, payload, MASK, &mut out);
    out
}

fn payload(message: &Outgoing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    deepstream_wire::encode::encode_message(message, &mut out);
    out
}

fn emit<'a>(name: &'a [u8], data: &'a [u8]) -> Outgoing<'a> {
    Outgoing { name: Some(name), data: Some(data), ..Outgoing::new(Action::EventEmit) }
}

fn emitted(name: &[u8], data: &[u8]) -> Seen {
    Seen::Message(Action::EventEmit, name.to_vec(), Some(data.to_vec()), Vec::new())
}

/// One of everything a well-behaved client may send, in pieces: upgrade, messages of several sizes, two messages in
/// one frame, fragments with control frames between them, text, garbage that is still a frame, a close.
fn conversation() -> Vec<Vec<u8>> {
    let long = vec![b'7'; 200];
    let two = [payload(&emit(b"x", b"1")), payload(&emit(b"y", b"2"))].concat();
    let whole = payload(&emit(b"fragmented", b"[1,2,3]"));
    let (first, rest) = whole.split_at(5);
    let (second, third) = rest.split_at(7);
    let names = Outgoing {
        names: &[b"a", b"bc", b""],
        correlation_id: Some(b"0"),
        ..Outgoing::new(Action::RecordSubscribeCreateAndRead)
    };
    vec![
        upgrade(),
        frame(FINAL_BINARY, &payload(&emit(b"e", b"1"))),
        frame(FINAL_BINARY, &payload(&names)),
        frame(FINAL_BINARY, &payload(&emit(b"long", &long))),
        frame(FINAL_BINARY, &two),
        frame(FINAL_BINARY, b""),
        frame(FINAL_PING, b"are you there"),
        frame(0x02, first),
        frame(FINAL_PING, b""),
        frame(0x00, second),
        frame(0x00, b""),
        frame(PONG, b"unasked"),
        frame(0x80, third),
        frame(TEXT, &payload(&Outgoing::new(Action::ConnectionPing))),
        frame(FINAL_BINARY, &[9, 9, 9]),
        frame(FINAL_CLOSE, &[&1000u16.to_be_bytes()[..], b"bye"].concat()),
    ]
}

fn said_at_once(stream: &[u8]) -> (Vec<Seen>, Vec<u8>) {
    let mut peer = Peer::new();
    peer.send(stream);
    (peer.events, peer.replies)
}

#[test]
fn a_conversation_gives_its_events_and_replies() {
    let (events, replies) = said_at_once(&conversation().concat());
    let expected = [
        Seen::Upgraded("/deepstream".into(), Some("1.2.3.4".into())),
        emitted(b"e", b"1"),
        Seen::Message(
            Action::RecordSubscribeCreateAndRead,
            vec![],
            None,
            vec![b"a".to_vec(), b"bc".to_vec(), b"".to_vec()],
        ),
        emitted(b"long", &[b'7'; 200]),
        emitted(b"x", b"1"),
        emitted(b"y", b"2"),
        Seen::Unreadable(Unreadable::Malformed),
        emitted(b"fragmented", b"[1,2,3]"),
        Seen::Message(Action::ConnectionPing, vec![], None, vec![]),
        Seen::Unreadable(Unreadable::Malformed),
        Seen::Close(Closing::Peer(Some(1000))),
    ];
    assert_eq!(events, expected);

    let mut answers = Vec::new();
    ServerReader::new().received(&replies, &mut |event| answers.push(format!("{event:?}")));
    let pong = |payload: &[u8]| format!("Pong({payload:?})");
    assert_eq!(answers, ["Status(101)", &pong(b"are you there"), &pong(b""), "Close(Some(1000))"]);
}

#[test]
fn a_stream_cut_at_any_byte_says_the_same() {
    let stream = conversation().concat();
    let whole = said_at_once(&stream);
    for cut in 0..=stream.len() {
        let mut peer = Peer::new();
        peer.send(&stream[..cut]);
        peer.send(&stream[cut..]);
        assert_eq!((peer.events, peer.replies), whole, "cut at {cut}");
    }
}

#[test]
fn a_stream_that_drips_in_small_pieces_says_the_same() {
    let stream = conversation().concat();
    let whole = said_at_once(&stream);
    for size in 1..64 {
        let mut peer = Peer::new();
        stream.chunks(size).for_each(|chunk| peer.send(chunk));
        assert_eq!((peer.events, peer.replies), whole, "pieces of {size}");
    }
}

#[test]
fn pieces_glued_in_every_pair_say_the_same() {
    let pieces = conversation();
    let whole = said_at_once(&pieces.concat());
    for glued in 0..pieces.len() {
        for also in glued + 1..pieces.len() {
            let mut peer = Peer::new();
            peer.send(&pieces[..glued].concat());
            peer.send(&pieces[glued..also].concat());
            peer.send(&pieces[also..].concat());
            assert_eq!((&peer.events, &peer.replies), (&whole.0, &whole.1), "glued {glued}..{also}");
        }
    }
}

#[test]
fn a_handler_that_always_breaks_off_is_told_the_same_one_by_one() {
    let stream = conversation().concat();
    let whole = said_at_once(&stream);
    for cut in 0..=stream.len() {
        let mut peer = Peer::new();
        peer.send_reluctantly(&stream[..cut]);
        assert!(peer.events.len() <= 1);
        peer.send_reluctantly(&stream[cut..]);
        while peer.link.is_paused() && !peer.link.is_closed() {
            let before = peer.events.len();
            peer.resume_reluctantly();
            assert!(peer.events.len() <= before + 1, "one event per resumption");
        }
        assert_eq!((peer.events, peer.replies), whole, "cut at {cut}");
    }
}

#[test]
fn an_idle_link_holds_no_buffer() {
    assert!(size_of::<Link>() <= 16);
    let mut peer = Peer::upgraded();
    assert_eq!(peer.link.held_bytes(), 0);
    let whole = frame(FINAL_BINARY, &payload(&emit(b"e", b"1")));
    peer.send(&whole[..9]);
    assert!(peer.link.held_bytes() > 0);
    peer.send(&whole[9..]);
    assert_eq!(peer.link.held_bytes(), 0);
    peer.send(&frame(0x02, b"half"));
    assert!(peer.link.held_bytes() > 0);
    peer.send(&frame(0x80, b""));
    assert_eq!(peer.link.held_bytes(), 0);
}

#[test]
fn the_upgrade_is_answered_with_the_key_of_the_request() {
    let mut peer = Peer::new();
    peer.send(&upgrade());
    let answer = String::from_utf8(peer.replies).unwrap();
    let key = tungstenite::handshake::derive_accept_key(client::UPGRADE_KEY.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains(&format!("sec-websocket-accept: {key}\r\n").to_lowercase()), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"));
}

#[test]
fn the_drafts_that_old_clients_were_built_by_are_answered_like_the_final_version() {
    let asks = |version: &str, more: &str| {
        let mut peer = Peer::new();
        let request = String::from_utf8(upgrade()).unwrap();
        let request = request.replace("Sec-WebSocket-Version: 13\r\n", &format!("{version}{more}"));
        peer.send(request.as_bytes());
        String::from_utf8(peer.replies).unwrap()
    };
    let answer = asks("Sec-WebSocket-Version: 13\r\n", "");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    for version in ["8", "7"] {
        assert_eq!(asks(&format!("Sec-WebSocket-Version: {version}\r\n"), ""), answer, "version {version}");
    }
    for version in
        ["", "Sec-WebSocket-Version: 6\r\n", "Sec-WebSocket-Version: 14\r\n", "Sec-WebSocket-Version: 08\r\n"]
    {
        let answer = asks(version, "");
        assert!(answer.starts_with("HTTP/1.1 426 "), "{version:?}: {answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13, 8, 7\r\n"), "{answer}");
    }
}

#[test]
fn the_drafts_name_of_an_origin_is_read_as_the_origin() {
    let origins = |version: &str, named: &str| {
        let mut input = String::from_utf8(upgrade()).unwrap();
        input = input.replace("Sec-WebSocket-Version: 13\r\n", &format!("Sec-WebSocket-Version: {version}\r\n{named}"));
        let (mut link, mut replies, mut seen) = (Link::new(), Vec::new(), Vec::new());
        link.received(&config(), &mut input.into_bytes(), &mut replies, &mut |event| {
            if let LinkEvent::Upgraded(handshake) = event {
                let origins = handshake.headers().filter(|(name, _)| *name == "origin");
                seen.extend(origins.map(|(_, value)| String::from_utf8_lossy(value).into_owned()));
            }
            ControlFlow::Continue(())
        });
        seen
    };
    let old = "Sec-WebSocket-Origin: http://page.example\r\n";
    assert_eq!(origins("8", old), ["http://page.example"]);
    assert_eq!(origins("7", &format!("Origin: http://other.example\r\n{old}")).len(), 2);
    assert_eq!(origins("8", "Origin: http://page.example\r\n"), ["http://page.example"]);
    assert!(origins("13", old).is_empty());
}

#[test]
fn an_upgrade_that_fails_is_answered_and_closed() {
    let cases: [(&str, u16, &str); 5] = [
        ("GET /deepstream HTTP/1.1\r\n\r\n", 426, "Only WebSocket versions 13, 8 and 7 are spoken here."),
        (
            "GET /deepstream HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
            400,
            "Bad request.",
        ),
        ("GET /elsewhere HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 404, "Endpoint not found."),
        ("GET /\0 HTTP/1.1\r\n\r\n", 400, "Bad request."),
        ("\u{16}\u{3}\u{1}", 400, "Bad request."),
    ];
    for (request, status, body) in cases {
        let mut peer = Peer::new();
        peer.send(request.as_bytes());
        assert_eq!(peer.events, [Seen::Close(Closing::Answered(status))], "{request:?}");
        let answer = String::from_utf8(peer.replies.clone()).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");

        peer.send(request.as_bytes());
        assert_eq!(peer.events.len(), 1, "nothing is said after the end");
    }
}

#[test]
fn what_is_no_upgrade_is_handed_on_as_it_came() {
    for request in [
        "GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\nGET /deepstream HTTP/1.1\r\n\r\n",
        "POST /deepstream HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "GET /health-check HTTP/1.0\r\n\r\n",
        "HEAD / HTTP/1.1\r\n\r\n",
    ] {
        for at in 0..request.len() {
            let mut peer = Peer::new();
            peer.send(&request.as_bytes()[..at]);
            peer.send(&request.as_bytes()[at..]);
            let handed: Vec<u8> = peer
                .events
                .iter()
                .flat_map(|event| match event {
                    Seen::Http(bytes) => bytes.clone(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(String::from_utf8_lossy(&handed), request, "cut at {at}");
            assert!(peer.replies.is_empty() && peer.link.held_bytes() == 0);
        }
    }
}

#[test]
fn what_comes_of_a_head_beyond_the_bound_does_not_hang_on_its_cuts() {
    let filler = "0".repeat(1100);
    for head in
        [format!("POST /x HTTP/1.1\r\nX-Filler: {filler}\r\n\r\n"), format!("GET /{filler}\x01 HTTP/1.1\r\n\r\n")]
    {
        for piece in [1, 100, head.len()] {
            let mut peer = Peer::new();
            head.as_bytes().chunks(piece).for_each(|bytes| peer.send(bytes));
            assert_eq!(peer.events, [Seen::Close(Closing::Answered(431))], "pieces of {piece}");
        }
    }
}

#[test]
fn a_request_head_that_never_ends_is_refused() {
    let mut peer = Peer::new();
    peer.send(b"GET /deepstream HTTP/1.1\r\n");
    for _ in 0..200 {
        peer.send(b"X-Filler: 0123456789\r\n");
    }
    assert_eq!(peer.events, [Seen::Close(Closing::Answered(431))]);
    assert!(peer.replies.starts_with(b"HTTP/1.1 431 "));
    assert_eq!(peer.link.held_bytes(), 0);

    let whole = format!("GET /deepstream HTTP/1.1\r\nX-Filler: {}\r\n\r\n", "0".repeat(2000));
    let mut peer = Peer::new();
    peer.send(whole.as_bytes());
    assert_eq!(peer.events, [Seen::Close(Closing::Answered(431))]);

    let many = format!("GET /deepstream HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(150));
    let mut peer = Peer::new();
    peer.send(many.as_bytes());
    assert_eq!(peer.events, [Seen::Close(Closing::Answered(431))]);
}

/// What the peer is told for frames that break a rule.
fn refusal(bytes: &[u8]) -> (Vec<Seen>, Vec<u8>) {
    let mut peer = Peer::upgraded();
    peer.send(bytes);
    peer.send(&frame(FINAL_BINARY, &payload(&emit(b"after", b"1"))));
    assert!(peer.link.is_closed());
    assert_eq!(peer.link.held_bytes(), 0);
    without_words(peer.events, peer.replies)
}

/// The same without the words of a refusal, of which there must be some, the same for the peer and for the log.
fn without_words(mut events: Vec<Seen>, mut replies: Vec<u8>) -> (Vec<Seen>, Vec<u8>) {
    match events.last_mut() {
        Some(Seen::Close(Closing::Protocol(code, words))) => {
            let told = [&[0x88, words.len() as u8 + 2][..], &code.to_be_bytes(), words.as_bytes()].concat();
            assert!(!words.is_empty() && replies.ends_with(&told), "{code} {words}");
            replies.truncate(replies.len() - told.len());
            replies.extend_from_slice(&[&[0x88, 2][..], &code.to_be_bytes()].concat());
            *words = "";
        }
        Some(Seen::Close(Closing::TooBig)) => {
            let words = b"a message above maxMessageSize (4096 bytes)";
            assert!(replies.ends_with(words), "{replies:?}");
            replies.truncate(replies.len() - words.len());
            let at = replies.len() - 3;
            replies[at] = 2;
        }
        _ => {}
    }
    (events, replies)
}

fn refused_with(code: u16) -> (Vec<Seen>, Vec<u8>) {
    let closing = if code == 1009 { Closing::TooBig } else { Closing::Protocol(code, "") };
    (vec![Seen::Close(closing)], [&[0x88, 2][..], &code.to_be_bytes()].concat())
}

#[test]
fn frames_against_the_rules_close_with_1002() {
    let mut unmasked = vec![FINAL_BINARY, 8];
    unmasked.extend_from_slice(&payload(&Outgoing::new(Action::ConnectionPing)));
    assert_eq!(refusal(&unmasked), refused_with(1002), "unmasked");
    for reserved in [0x40, 0x20, 0x10] {
        assert_eq!(refusal(&frame(FINAL_BINARY | reserved, b"")), refused_with(1002), "reserved bit {reserved:x}");
    }
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        assert_eq!(refusal(&frame(0x80 | opcode, b"")), refused_with(1002), "opcode {opcode:x}");
    }
    for control in [8, 9, 0xa] {
        assert_eq!(refusal(&frame(control, b"")), refused_with(1002), "fragmented control {control:x}");
        assert_eq!(refusal(&frame(0x80 | control, &[0; 126])), refused_with(1002), "long control {control:x}");
    }
    assert_eq!(refusal(&frame(0x80, b"x")), refused_with(1002), "continuation of nothing");
    assert_eq!(refusal(&frame(0x00, b"x")), refused_with(1002), "unfinished continuation of nothing");
    let inside = [frame(0x02, b"x"), frame(FINAL_BINARY, b"y")].concat();
    assert_eq!(refusal(&inside), refused_with(1002), "a message inside a fragmented one");
}

#[test]
fn close_frames_are_checked_and_echoed() {
    for code in [1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 3000, 4999] {
        let closed = refusal(&frame(FINAL_CLOSE, &code.to_be_bytes()));
        let echo = [&[0x88, 2][..], &code.to_be_bytes()].concat();
        assert_eq!(closed, (vec![Seen::Close(Closing::Peer(Some(code)))], echo));
    }
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        assert_eq!(refusal(&frame(FINAL_CLOSE, &code.to_be_bytes())), refused_with(1002), "{code}");
    }
    assert_eq!(refusal(&frame(FINAL_CLOSE, b"")), (vec![Seen::Close(Closing::Peer(None))], vec![0x88, 0]));
    assert_eq!(refusal(&frame(FINAL_CLOSE, b"\x03")), refused_with(1002), "half a code");
    assert_eq!(refusal(&frame(FINAL_CLOSE, b"\x03\xe8\xff")), refused_with(1007), "reason is not UTF-8");
}

#[test]
fn text_that_is_not_utf8_closes_with_1007() {
    assert_eq!(refusal(&frame(TEXT, b"\xff\xfe")), refused_with(1007));
    // A character cut by a fragment is whole again at the end; one that stays cut is not.
    let fragmented = |end: &[u8]| [frame(0x01, b"\xe2\x82"), frame(0x80, end)].concat();
    assert_eq!(refusal(&fragmented(b"")), refused_with(1007));
    let mut peer = Peer::upgraded();
    peer.send(&fragmented(b"\xac"));
    assert_eq!(peer.events, [Seen::Unreadable(Unreadable::Malformed)]);
    // What can never become text is not waited for, and what was text before does not excuse it.
    assert_eq!(refusal(&frame(0x01, b"ab\xff")), refused_with(1007));
    let later =
        [frame(0x01, "\u{20ac}".as_bytes()), frame(0x00, b"\xe2\x82"), frame(0x00, b"\xac\xe2"), frame(0x00, b"x")];
    assert_eq!(refusal(&later.concat()), refused_with(1007));
    peer.send(&[&later[..3].concat()[..], &frame(0x80, b"\x82\xac")].concat());
    assert_eq!(peer.events.len(), 2);
    // A frame that is not whole is judged by what came of it, however it was cut and wherever its characters were.
    let text = "κόσμε, κόσμε".as_bytes();
    for (at, chunk) in [(1, 1), (3, 2), (text.len() - 1, 7)] {
        for before in [&[][..], &frame(0x01, &text[..at])] {
            let (first, rest) = if before.is_empty() { (0x81, text) } else { (0x80, &text[at..]) };
            let good = [before, &frame(first, rest)].concat();
            let mut peer = Peer::upgraded();
            good.chunks(chunk).for_each(|piece| peer.send(piece));
            assert_eq!(peer.events, [Seen::Unreadable(Unreadable::Malformed)]);
            let mut bad = [before, &frame(first, &[rest, b"\xed\xa0\x80", &[b'x'; 90]].concat())].concat();
            // The byte that makes it hopeless is the second of the three, with its length and mask behind the frame's start.
            bad.truncate(bad.len() - 91);
            let mut peer = Peer::upgraded();
            let (last, others) = bad.split_last().unwrap();
            others.chunks(chunk).for_each(|piece| peer.send(piece));
            assert_eq!(peer.events, []);
            peer.send(&[*last]);
            assert_eq!(without_words(peer.events, peer.replies).0, [Seen::Close(Closing::Protocol(1007, ""))]);
        }
    }
    let mut peer = Peer::upgraded();
    // Bytes are not held to it, and text after them is judged from its beginning.
    peer.send(&[frame(0x02, b"\xff"), frame(0x80, b"\xff"), frame(0x01, b"a"), frame(0x80, b"\xe2\x82\xac")].concat());
    assert_eq!(peer.events.len(), 2);
}

#[test]
fn messages_above_the_limit_close_with_1009_before_they_are_sent() {
    let too_long = frame(FINAL_BINARY, &vec![0; MESSAGE_BYTES_MAX + 1]);
    assert_eq!(refusal(&too_long[..8]), refused_with(1009), "the header is enough");
    assert_eq!(refusal(&[FINAL_BINARY, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]), refused_with(1009));
    let half = vec![0; MESSAGE_BYTES_MAX / 2];
    let in_parts = [frame(0x02, &half), frame(0x00, &half), frame(0x80, b"x")].concat();
    assert_eq!(refusal(&in_parts), refused_with(1009), "fragments count together");

    let data = vec![b'1'; MESSAGE_BYTES_MAX - 15];
    let fits = payload(&emit(b"e", &data));
    assert_eq!(fits.len(), MESSAGE_BYTES_MAX);
    let mut peer = Peer::upgraded();
    peer.send_frame(FINAL_BINARY, &fits);
    assert_eq!(peer.events, [emitted(b"e", &data)]);
}

#[test]
fn bytes_that_come_while_paused_wait_in_order() {
    let mut peer = Peer::upgraded();
    let one = frame(FINAL_BINARY, &payload(&emit(b"1", b"1")));
    let two = frame(FINAL_BINARY, &payload(&emit(b"2", b"2")));
    let three = frame(FINAL_BINARY, &payload(&emit(b"3", b"3")));
    peer.send_reluctantly(&[one, two].concat());
    peer.send(&three);
    assert_eq!(peer.events, [emitted(b"1", b"1")]);
    peer.resume_reluctantly();
    peer.resume_reluctantly();
    assert_eq!(peer.events, [emitted(b"1", b"1"), emitted(b"2", b"2"), emitted(b"3", b"3")]);
    peer.resume_reluctantly();
    assert_eq!(peer.link.held_bytes(), 0);
    assert!(!peer.link.is_paused());
}

#[test]
fn pauses_inside_one_frame_lose_and_repeat_nothing() {
    let mut peer = Peer::upgraded();
    let names: Vec<[u8; 1]> = (b'a'..=b'g').map(|name| [name]).collect();
    let together: Vec<u8> = names.iter().flat_map(|name| payload(&emit(name, b"1"))).collect();
    peer.send_reluctantly(&frame(FINAL_BINARY, &together));
    peer.send(&frame(FINAL_BINARY, &payload(&emit(b"last", b"1"))));
    let mut expected = Vec::new();
    for name in &names {
        expected.push(emitted(name, b"1"));
        assert_eq!(peer.events, expected);
        peer.resume_reluctantly();
    }
    assert_eq!(peer.events.last(), Some(&emitted(b"last", b"1")));
    peer.resume_reluctantly();
    assert_eq!(peer.link.held_bytes(), 0);
}

#[test]
fn closing_from_our_side_ends_the_link() {
    let mut peer = Peer::upgraded();
    peer.link.close(None, &mut peer.replies);
    assert_eq!(peer.replies, [0x88, 0]);
    peer.send_frame(FINAL_BINARY, &payload(&emit(b"e", b"1")));
    assert!(peer.events.is_empty());

    let mut before_upgrade = Peer::new();
    before_upgrade.link.close(Some(1001), &mut before_upgrade.replies);
    assert!(before_upgrade.replies.is_empty());
}

#[test]
fn the_client_reads_a_server_stream_cut_anywhere() {
    let mut stream = Vec::new();
    let mut link = Link::new();
    link.received(&config(), &mut upgrade(), &mut stream, &mut |_| ControlFlow::Continue(()));
    let long = vec![b'1'; 70_000];
    for data in [&b"1"[..], &long[..300], &long] {
        deepstream_wire::encode::encode(Wire::Protobuf, &emit(b"e", data), &mut stream);
    }
    link.close(Some(1001), &mut stream);
    let read = |cuts: &[usize]| {
        let mut reader = ServerReader::new();
        let mut events = Vec::new();
        let mut from = 0;
        for &to in cuts.iter().chain([&stream.len()]) {
            reader.received(&stream[from..to], &mut |event| match event {
                ServerEvent::Message(message) => {
                    events.push(format!("{:?} {:?}", message.head.action, message.data().map(<[u8]>::len)));
                }
                other => events.push(format!("{other:?}")),
            });
            from = to;
        }
        events
    };
    let expected =
        ["Status(101)", "EventEmit Some(1)", "EventEmit Some(300)", "EventEmit Some(70000)", "Close(Some(1001))"];
    assert_eq!(read(&[]), expected);
    for cut in (0..stream.len().min(700)).chain([stream.len() - 1]) {
        assert_eq!(read(&[cut]), expected, "cut at {cut}");
    }
}

#[test]
fn slashes_at_the_end_of_a_path_are_forgiven() {
    for path in ["/deepstream/", "/deepstream//", "/deepstream/?x=1"] {
        let mut peer = Peer::new();
        let mut request = Vec::new();
        client::upgrade_request("localhost:6020", path, &[], &mut request);
        peer.send(&request);
        assert!(matches!(peer.events[..], [Seen::Upgraded(..)]), "{path}: {:?}", peer.events);
    }
    let served =
        |own: &str, path: &str| Endpoint { path: own.into(), wire: Wire::Json, max_message_bytes: 1 }.serves(path);
    assert!(served("/json/", "/json") && served("/", "/") && served("/a/b", "/a/b/"));
    assert!(!served("/json", "/jso") && !served("/a/b", "/a") && !served("/", "/a"));
}

#[test]
fn who_was_given_another_protocols_path_is_told_which_is_theirs() {
    let paths = [(Wire::Protobuf, "/deepstream"), (Wire::Text, "/deepstream-v3"), (Wire::Json, "/deepstream-json")];
    let endpoints = paths.map(|(wire, path)| Endpoint { path: path.into(), wire, max_message_bytes: 4096 });
    let told = |path: &str, first: u8, payload: &[u8], endpoints: &[Endpoint]| {
        let mut peer = Peer::new();
        peer.config.endpoints = endpoints.to_vec();
        let mut request = Vec::new();
        client::upgrade_request("localhost:6020", path, &[], &mut request);
        peer.send(&request);
        peer.replies.clear();
        peer.send_frame(first, payload);
        let words = String::from_utf8_lossy(peer.replies.get(4..).unwrap_or_default()).into_owned();
        (peer.replies.get(2..4).map(|code| u16::from_be_bytes([code[0], code[1]])), words, peer.events.pop())
    };
    let challenge = payload(&Outgoing::new(Action::ConnectionPing));
    let (json, old) = (br#"{"topic":2,"action":5}"#, b"A\x1fREQ\x1f{}\x1e");
    for (path, first, bytes, wire, what) in [
        ("/deepstream-v3", FINAL_BINARY, &challenge[..], Wire::Protobuf, "protobuf has the path /deepstream"),
        ("/deepstream-json", FINAL_BINARY, &challenge, Wire::Protobuf, "protobuf has the path /deepstream"),
        ("/deepstream", TEXT, json, Wire::Json, "JSON has the path /deepstream-json"),
        ("/deepstream-v3", TEXT, json, Wire::Json, "JSON has the path /deepstream-json"),
        ("/deepstream", TEXT, old, Wire::Text, "the text protocol has the path /deepstream-v3"),
        ("/deepstream-json", TEXT, old, Wire::Text, "the text protocol has the path /deepstream-v3"),
    ] {
        let expected = (Some(1003), format!("not spoken here: {what}"), Some(Seen::Close(Closing::Elsewhere(wire))));
        assert_eq!(told(path, first, bytes, &endpoints), expected, "{path} {wire:?}");
    }
    let (_, words, _) = told("/deepstream", TEXT, json, &endpoints[..1]);
    assert_eq!(words, "not spoken here: JSON has no path");
    // However long a configured path is, the reason fits into a close frame.
    let long = Endpoint { path: format!("/{}", "ü".repeat(200)), ..endpoints[2].clone() };
    let (code, words, _) = told("/deepstream", TEXT, json, &[endpoints[0].clone(), long]);
    assert!(code == Some(1003) && (122..=123).contains(&words.len()), "{words}");
}

/// What one piece comes to under a gate, and the first line and the body of what is replied.
fn at_gate(gate: &deepstream_wire::Gate, request: &str) -> (Vec<Seen>, String, String) {
    let config = LinkConfig { gate: gate.clone(), ..config() };
    let (mut link, mut replies, mut all) = (Link::new(), Vec::new(), Vec::new());
    link.received(&config, &mut request.as_bytes().to_vec(), &mut replies, &mut |event| {
        all.push(seen(&event));
        ControlFlow::Continue(())
    });
    let text = String::from_utf8_lossy(&replies).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (all, head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

const UPGRADE: &str = "GET /deepstream HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn pages_that_are_not_let_in_are_told_before_anything_is_upgraded() {
    let pages = deepstream_wire::Pages { origins: vec!["https://good.example".into()], host: None };
    let gate = deepstream_wire::Gate { closed: None, pages: Some(pages) };
    let (seen, line, body) = at_gate(&gate, &format!("{UPGRADE}Origin: https://evil.example\r\n\r\n"));
    let why = "Origin \"https://evil.example\" is forbidden.";
    assert_eq!((&*line, &*body), ("HTTP/1.1 403 Forbidden", why));
    assert_eq!(seen, [Seen::Forbidden(why.into()), Seen::Close(Closing::Answered(403))]);
    for (version, origin) in [("8", "Sec-WebSocket-Origin"), ("7", "Sec-WebSocket-Origin"), ("8", "Origin")] {
        let old = UPGRADE.replace("Version: 13", &format!("Version: {version}"));
        let (_, line, body) = at_gate(&gate, &format!("{old}{origin}: https://evil.example\r\n\r\n"));
        assert_eq!((&*line, &*body), ("HTTP/1.1 403 Forbidden", why), "{version} {origin}");
        let (_, line, _) = at_gate(&gate, &format!("{old}{origin}: https://good.example\r\n\r\n"));
        assert!(line.starts_with("HTTP/1.1 101"), "{version} {origin} {line}");
    }
    for origin in ["Origin: https://good.example\r\n", ""] {
        let (seen, line, _) = at_gate(&gate, &format!("{UPGRADE}{origin}\r\n"));
        assert!(matches!(seen[..], [Seen::Upgraded(..)]) && line.starts_with("HTTP/1.1 101"), "{origin} {line}");
    }
}

#[test]
fn a_closed_gate_says_so_to_whatever_is_asked() {
    let gate = deepstream_wire::Gate { closed: Some("Nobody is let in.".into()), pages: None };
    for request in [
        format!("{UPGRADE}\r\n"),
        "GET /health-check HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "GET /nowhere HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n".to_owned(),
    ] {
        let (seen, line, body) = at_gate(&gate, &request);
        assert_eq!((&*line, &*body), ("HTTP/1.1 403 Forbidden", "Nobody is let in."), "{request}");
        assert_eq!(seen, [Seen::Forbidden("Nobody is let in.".into()), Seen::Close(Closing::Answered(403))]);
    }
}
