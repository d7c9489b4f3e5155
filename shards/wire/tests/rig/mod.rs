//! What a link says, in lines that can be compared.

use std::ops::ControlFlow;

use deepstream_wire::client::{self, FINAL_TEXT};
use deepstream_wire::encode::encode;
use deepstream_wire::{Flags, Link, LinkConfig, LinkEvent, Message, Outgoing, Wire};

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A client's frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    client::encode_frame(first, payload, MASK, &mut out);
    out
}

/// A client's request for an upgrade at this path.
pub(crate) fn upgrade_at(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    client::upgrade_request("localhost:6020", path, &[], &mut out);
    out
}

/// A message in one line: action, then the fields that are there. The text protocol's byte between parts is a `|`.
pub(crate) fn line(message: &Message<&[u8]>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\u{1f}', "|");
    let mut line = format!("{:?}", message.head.action);
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            line.extend([" ", key, "=", &value]);
        }
    };
    let flags = message.head.flags;
    put("name", flags.has(Flags::NAME).then(|| text(message.name())));
    put("names", flags.has(Flags::NAMES).then(|| message.names().map(text).collect::<Vec<_>>().join(",")));
    put("version", flags.has(Flags::VERSION).then(|| message.head.version.to_string()));
    put("path", message.path().map(text));
    put("subscription", message.subscription().map(text));
    put("data", message.data().map(text));
    put("id", message.correlation_id().map(text));
    for (key, flag) in [
        ("writeAck", Flags::IS_WRITE_ACK),
        ("error", Flags::IS_ERROR),
        ("ack", Flags::IS_ACK),
        ("undefined", Flags::UNDEFINED),
    ] {
        put(key, flags.has(flag).then(|| "yes".into()));
    }
    line
}

/// An event in one line.
pub(crate) fn seen(event: &LinkEvent<'_>) -> String {
    match event {
        LinkEvent::Upgraded(handshake) => format!("upgraded to {:?}", handshake.wire()),
        LinkEvent::Turned(wire) => format!("turned to {wire:?}"),
        LinkEvent::Introduced(introduction) => format!("{introduction:?}"),
        LinkEvent::Message(message) => line(message),
        LinkEvent::Unreadable(what) => format!("{what:?}"),
        LinkEvent::Http(bytes) => format!("http {}", String::from_utf8_lossy(bytes)),
        LinkEvent::Forbidden(why) => format!("forbidden: {why}"),
        LinkEvent::Close(why) => format!("{why:?}"),
    }
}

/// What a link says to these pieces, and replies. Breaks off after every event if it is to pause.
pub(crate) fn hear(config: &LinkConfig, pieces: &[&[u8]], pausing: bool) -> (Vec<String>, Vec<u8>) {
    let (mut link, mut events, mut replies) = (Link::new(), Vec::new(), Vec::new());
    let mut on = |event: LinkEvent<'_>| {
        events.push(seen(&event));
        if pausing { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    for piece in pieces {
        link.received(config, &mut piece.to_vec(), &mut replies, &mut on);
        while link.is_paused() && !link.is_closed() {
            link.resumed(config, &mut replies, &mut on);
        }
    }
    assert_eq!(link.held_bytes(), 0, "nothing is held once everything was said");
    (events, replies)
}

/// A message as this wire says it to a client, out of its frames.
pub(crate) fn payload(wire: Wire, message: &Outgoing<'_>) -> String {
    payloads(wire, message).concat()
}

pub(crate) fn payloads(wire: Wire, message: &Outgoing<'_>) -> Vec<String> {
    let mut out = b"before".to_vec();
    encode(wire, message, &mut out);
    let mut frames = out.strip_prefix(b"before").expect("what was there stays");
    let mut payloads = Vec::new();
    while let [first, short, ..] = *frames {
        assert_eq!(first, FINAL_TEXT);
        let (header, len) = match short {
            126 => (4, usize::from(u16::from_be_bytes([frames[2], frames[3]]))),
            127 => (10, usize::try_from(u64::from_be_bytes(frames[2..10].try_into().unwrap())).unwrap()),
            len => (2, usize::from(len)),
        };
        payloads.push(String::from_utf8(frames[header..header + len].to_vec()).unwrap());
        frames = &frames[header + len..];
    }
    assert!(frames.is_empty());
    payloads
}
