//! A connection of MQTT: whatever the bytes, the same events and packets however they are cut and paused.

use deepstream_wire::encode::encode;
use deepstream_wire::mqtt::Settings;
use deepstream_wire::{Action, Link, LinkConfig, LinkEvent, Medium, Outgoing, Wire};
use std::ops::ControlFlow;

const PACKET_BYTES_MAX: usize = 512;
/// What a client says before the rest, by version.
const CONNECTS: [&[u8]; 3] =
    [&[], b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me", b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02me"];

/// The first three bytes say how: which CONNECT comes first; how long the pieces are; after how many events to pause. The
/// rest is what is sent.
pub(crate) fn run(input: &[u8]) {
    let [how, piece, pause_every, rest @ ..] = input else { return };
    let mut stream = CONNECTS[usize::from(*how) % CONNECTS.len()].to_vec();
    stream.extend_from_slice(rest);
    let whole = transcript(&stream, stream.len(), usize::MAX);
    let cut = transcript(&stream, usize::from(*piece), usize::from(*pause_every));
    assert_eq!(whole, cut, "pieces of {piece}, a pause after every {pause_every} events");
}

/// The events as text, and the packets.
fn transcript(stream: &[u8], piece: usize, pause_every: usize) -> (Vec<String>, Vec<u8>) {
    let config = LinkConfig {
        endpoints: Vec::new(),
        max_request_bytes: PACKET_BYTES_MAX,
        mqtt: Settings { packet_bytes_max: PACKET_BYTES_MAX, ..Settings::default() },
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    };
    let (mut link, mut events, mut replies) = (Link::of(Medium::Mqtt), Vec::new(), Vec::new());
    let (mut over, mut names) = (false, Vec::new());
    let mut on = |event: LinkEvent<'_>| {
        assert!(!over, "an event after the end: {event:?}");
        over = matches!(event, LinkEvent::Close(_));
        if let LinkEvent::Message(message) = &event {
            let texts = [message.correlation_id(), Some(message.name())];
            assert!(
                texts
                    .iter()
                    .flatten()
                    .chain(message.names().collect::<Vec<_>>().iter())
                    .all(|text| str::from_utf8(text).is_ok())
            );
            names.push((message.head.action, message.names().next().unwrap_or(message.name()).to_vec()));
        }
        events.push(format!("{event:?}"));
        if events.len().is_multiple_of(pause_every.max(1)) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    for bytes in stream.chunks(piece.max(1)) {
        link.received(&config, &mut bytes.to_vec(), &mut replies, &mut on);
        while link.is_paused() && !link.is_closed() {
            link.resumed(&config, &mut replies, &mut on);
        }
        assert!(link.held_bytes() <= 8 * PACKET_BYTES_MAX, "{} bytes held", link.held_bytes());
    }
    assert_eq!(link.is_closed(), over);
    // All of it happens, and everybody is told.
    let mut said = Vec::new();
    encode(Wire::Mqtt, &Outgoing::new(Action::AuthSuccessful), &mut said);
    said.append(&mut replies);
    for (action, name) in &names {
        for action in [*action, Action::EventEmit, Action::RecordUpdate, Action::RecordDeleted] {
            let event = Outgoing { name: Some(name), data: Some(b"\"x\""), ..Outgoing::new(action) };
            encode(Wire::Mqtt, &event, &mut said);
        }
    }
    let mut packets = Vec::new();
    link.translate(&said, &mut packets, &mut Vec::new(), &mut |_| ControlFlow::Continue(()));
    link.will(&mut Vec::new(), &mut |_| ControlFlow::Continue(()));
    (events, packets)
}
