//! One path for two generations of clients: a silent one is spoken to in text, and one that was only late is served as
//! usual.

#[allow(dead_code, reason = "what other tests of it use")]
mod rig;

use std::ops::ControlFlow;

use deepstream_wire::client::{self, FINAL_BINARY, FINAL_TEXT};
use deepstream_wire::{Closing, Endpoint, Link, LinkConfig, Wire};
use rig::{frame, upgrade_at};

fn config() -> LinkConfig {
    let endpoint = |path: &str, wire, max_message_bytes| Endpoint { path: path.into(), wire, max_message_bytes };
    LinkConfig {
        endpoints: vec![
            endpoint("/deepstream", Wire::Protobuf, 4096),
            endpoint("/deepstream-json", Wire::Json, 4096),
            endpoint("/deepstream-v3", Wire::Text, 8192),
        ],
        max_request_bytes: 1024,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: Some(1000),
    }
}

/// A client on the path of both, as its link takes it. Breaks off after every event if it is to pause.
struct Peer {
    config: LinkConfig,
    link: Link,
    events: Vec<String>,
    replies: Vec<u8>,
    pausing: bool,
}

impl Peer {
    fn at(request: &[u8], config: LinkConfig, pausing: bool) -> Self {
        let mut peer = Self { config, link: Link::new(), events: Vec::new(), replies: Vec::new(), pausing };
        peer.send(request);
        let end = peer.replies.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer");
        peer.replies.drain(..end + 4);
        peer
    }

    fn new() -> Self {
        Self::at(&upgrade_at("/deepstream"), config(), false)
    }

    fn send(&mut self, bytes: &[u8]) {
        let Self { config, link, events, replies, pausing } = self;
        let mut on = |event: deepstream_wire::LinkEvent<'_>| {
            events.push(rig::seen(&event));
            if *pausing { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        link.received(config, &mut bytes.to_vec(), replies, &mut on);
        while link.is_paused() && !link.is_closed() {
            link.resumed(config, replies, &mut on);
        }
    }

    fn speak_first(&mut self) -> Option<Wire> {
        self.link.speak_first(&self.config, &mut self.replies)
    }

    /// What it was sent since it was last asked.
    fn told(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.replies)).replace('\u{1f}', "|").replace('\u{1e}', "+")
    }
}

const GREETING: &str = "\u{fffd}\u{5}C|CH+";
const PING: u8 = 0x89;

fn challenge() -> Vec<u8> {
    let mut out = Vec::new();
    client::encode_challenge("ws://h", "javascript", "7.1.0", [1, 2, 3, 4], &mut out);
    out
}

fn login() -> Vec<u8> {
    frame(FINAL_TEXT, "A\u{1f}REQ\u{1f}{}\u{1e}".as_bytes())
}

#[test]
fn who_is_silent_is_spoken_to_in_text_and_answers_in_it() {
    let mut peer = Peer::new();
    assert_eq!(peer.events, ["upgraded to Protobuf"]);
    assert_eq!((peer.link.is_silent(), peer.told()), (true, String::new()));
    assert_eq!(peer.speak_first(), Some(Wire::Text));
    assert_eq!(peer.told().replace('\u{81}', "\u{fffd}"), GREETING);
    assert_eq!((peer.link.is_silent(), peer.speak_first()), (false, None), "once");
    peer.send(&login());
    assert_eq!(peer.events[1..], ["AuthRequest data={}"]);
    assert_eq!(peer.link.upgraded_on(&peer.config).map(|endpoint| &*endpoint.path), Some("/deepstream-v3"));
    peer.send(&frame(FINAL_BINARY, &[1]));
    assert_eq!(peer.events[2..], ["Elsewhere(Protobuf)"], "it is certain by then");
}

#[test]
fn who_was_only_late_is_served_in_protobuf() {
    for (pausing, pinging) in [(false, false), (true, false), (false, true)] {
        let mut peer = Peer::at(&upgrade_at("/deepstream"), config(), pausing);
        assert!(peer.speak_first().is_some());
        if pinging {
            peer.send(&frame(PING, b"x"));
        }
        let challenge = challenge();
        for byte in &challenge {
            peer.send(&[*byte]);
        }
        assert_eq!(peer.events[1], "turned to Protobuf");
        assert!(peer.events[2].starts_with("ConnectionChallenge"), "{:?}", peer.events);
        assert_eq!(peer.events.len(), 3);
        peer.send(&challenge);
        assert!(peer.events[3].starts_with("ConnectionChallenge"), "and from there on");
        assert_eq!(peer.link.held_bytes(), 0);
    }
}

#[test]
fn who_has_begun_to_speak_is_not_spoken_to_first() {
    let challenge = challenge();
    let mut peer = Peer::new();
    peer.send(&challenge[..1]);
    assert_eq!((peer.link.is_silent(), peer.speak_first()), (false, None));
    peer.send(&challenge[1..]);
    assert_eq!((peer.events.len(), peer.speak_first(), peer.told()), (2, None, String::new()));
    // A pong or a ping is no word.
    let mut peer = Peer::new();
    peer.send(&frame(PING, b"x"));
    peer.told();
    assert_eq!(peer.speak_first(), Some(Wire::Text));
}

#[test]
fn who_speaks_text_first_is_answered_in_text() {
    for pausing in [false, true] {
        let mut peer = Peer::at(&upgrade_at("/deepstream"), config(), pausing);
        peer.send(&frame(FINAL_TEXT, "C\u{1f}CHR\u{1f}h\u{1e}A\u{1f}REQ\u{1f}{}\u{1e}".as_bytes()));
        assert_eq!(peer.events[1..], ["turned to Text", "ConnectionChallenge name=h", "AuthRequest data={}"]);
        assert_eq!(peer.told().replace('\u{81}', "\u{fffd}"), GREETING);
        peer.send(&login());
        assert_eq!(peer.events.len(), 5);
    }
}

#[test]
fn json_is_not_spoken_there_before_or_after() {
    for greeted in [false, true] {
        let mut peer = Peer::new();
        if greeted {
            peer.speak_first();
        }
        peer.send(&frame(FINAL_TEXT, br#"{"topic":2}"#));
        assert_eq!(peer.events[1..], [format!("{:?}", Closing::Elsewhere(Wire::Json))]);
    }
}

#[test]
fn the_java_sdk_is_known_by_its_handshake_and_spoken_to_at_once() {
    let request = String::from_utf8(upgrade_at("/deepstream")).unwrap().replace("Version: 13", "Version: 8");
    let mut peer = Peer::at(request.as_bytes(), config(), false);
    assert_eq!(peer.events, ["upgraded to TextSdk"]);
    assert_eq!(peer.told().replace('\u{81}', "\u{fffd}"), GREETING);
    assert!(!peer.link.is_silent());
    peer.send(&login());
    assert_eq!(peer.events[1..], ["AuthRequest data={}"]);
    // A client that speaks protobuf over a draft of WebSocket is served as well.
    let mut peer = Peer::at(request.as_bytes(), config(), false);
    peer.send(&challenge());
    assert_eq!(peer.events[1], "turned to Protobuf");
}

#[test]
fn a_path_of_protobuf_alone_waits() {
    let without_text = LinkConfig { endpoints: config().endpoints[..2].to_vec(), ..config() };
    for config in [LinkConfig { text_after_ms: None, ..config() }, without_text] {
        let old = String::from_utf8(upgrade_at("/deepstream")).unwrap().replace("Version: 13", "Version: 8");
        for request in [upgrade_at("/deepstream"), old.into_bytes()] {
            let mut peer = Peer::at(&request, config.clone(), false);
            assert_eq!(peer.events, ["upgraded to Protobuf"]);
            assert_eq!((peer.link.is_silent(), peer.speak_first(), peer.told()), (false, None, String::new()));
            peer.send(&login());
            assert_eq!(peer.events[1..], [format!("{:?}", Closing::Elsewhere(Wire::Text))]);
        }
    }
}
