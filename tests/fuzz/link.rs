//! A connection's link: whatever the bytes, it gives the same events however they are cut and paused.

use deepstream_wire::client::{self, ServerReader, encode_frame, upgrade_request};
use deepstream_wire::{Endpoint, Link, LinkConfig, LinkEvent, Message, Wire};
use std::ops::ControlFlow;

const MESSAGE_BYTES_MAX: usize = 512;
const REQUEST_BYTES_MAX: usize = 512;
const PATHS: [(&str, Wire); 3] =
    [("/deepstream", Wire::Protobuf), ("/deepstream-v3", Wire::Text), ("/deepstream-json", Wire::Json)];

/// The first three bytes say how: bit 0, after an upgrade; bits 2 and 3, of the text or JSON path; bit 1, the rest is a list of frames (first byte, length,
/// payload) and not their bytes; how long the pieces are; after how many events to pause. The rest is what is sent.
pub(crate) fn run(input: &[u8]) {
    let [how, piece, pause_every, rest @ ..] = input else { return };
    let mut stream = Vec::new();
    if how & 1 != 0 {
        upgrade_request("h", PATHS[usize::from(how >> 2 & 3) % PATHS.len()].0, &[], &mut stream);
    }
    if how & 2 != 0 {
        frames(rest, &mut stream);
    } else {
        stream.extend_from_slice(rest);
    }
    let whole = transcript(&stream, stream.len(), usize::MAX);
    let cut = transcript(&stream, usize::from(*piece), usize::from(*pause_every));
    assert_eq!(whole, cut, "pieces of {piece}, a pause after every {pause_every} events");
    let mut reader = ServerReader::new();
    let mut upgraded = ServerReader::upgraded();
    for bytes in [&whole.1[..], rest] {
        reader.received(bytes, &mut |_| ());
        upgraded.received(bytes, &mut |_| ());
    }
}

fn frames(mut rest: &[u8], stream: &mut Vec<u8>) {
    while let [first, len, tail @ ..] = rest {
        let (payload, after) = tail.split_at(usize::from(*len).min(tail.len()));
        encode_frame(*first, payload, [*len, 1, *first, 0], stream);
        rest = after;
    }
}

/// What a link said.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Event(String),
    Http(Vec<u8>),
}

/// What a link said, and the replies.
fn transcript(stream: &[u8], piece: usize, pause_every: usize) -> (Vec<Heard>, Vec<u8>) {
    let config = LinkConfig {
        endpoints: PATHS
            .map(|(path, wire)| Endpoint { path: path.into(), wire, max_message_bytes: MESSAGE_BYTES_MAX })
            .into(),
        max_request_bytes: REQUEST_BYTES_MAX,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    };
    let (mut link, mut events, mut replies) = (Link::new(), Vec::new(), Vec::new());
    let mut over = false;
    let mut on = |event: LinkEvent<'_>| {
        assert!(!over, "an event after the end: {event:?}");
        over = matches!(event, LinkEvent::Close(_));
        match (&event, events.last_mut()) {
            // How the bytes are cut is how they are handed on.
            (LinkEvent::Http(bytes), Some(Heard::Http(all))) => all.extend_from_slice(bytes),
            (LinkEvent::Http(bytes), _) => events.push(Heard::Http(bytes.to_vec())),
            _ => events.push(Heard::Event(text_of(&event))),
        }
        if events.len().is_multiple_of(pause_every.max(1)) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    for bytes in stream.chunks(piece.max(1)) {
        link.received(&config, &mut bytes.to_vec(), &mut replies, &mut on);
        while link.is_paused() && !link.is_closed() {
            link.resumed(&config, &mut replies, &mut on);
        }
        // Growing by doubling, a buffer is at most twice what it holds: one incomplete frame and the fragments before.
        assert!(link.held_bytes() <= 8 * (MESSAGE_BYTES_MAX + REQUEST_BYTES_MAX), "{} bytes held", link.held_bytes());
    }
    assert_eq!(link.is_closed(), over);
    (events, replies)
}

fn text_of(event: &LinkEvent<'_>) -> String {
    match event {
        LinkEvent::Message(message) => {
            check_texts(message);
            format!("{message:?}")
        }
        LinkEvent::Upgraded(handshake) => {
            format!("upgraded {} {:?}", handshake.path(), handshake.headers().collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// Everything of a message that can be read, read.
fn check_texts(message: &Message<&[u8]>) {
    let texts = [message.correlation_id(), message.path(), message.subscription(), Some(message.name())];
    assert!(texts.iter().flatten().all(|text| str::from_utf8(text).is_ok()));
    assert!(message.names().all(|name| str::from_utf8(name).is_ok()));
    let _ = (client::original_action(message), client::original_topic(message));
    let _ = (client::requestor_name(message), client::requestor_data(message), client::versions(message).count());
}
