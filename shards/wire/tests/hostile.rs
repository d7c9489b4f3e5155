//! Bytes of an attacker: never a panic, never more memory than the limits allow.

use std::ops::ControlFlow;

use deepstream_wire::client::{self, FINAL_BINARY, ServerEvent, ServerReader};
use deepstream_wire::encode::encode_message;
use deepstream_wire::{Action, Endpoint, Link, LinkConfig, LinkEvent, Outgoing, Wire, binary};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const MESSAGE_BYTES_MAX: usize = 512;
const REQUEST_BYTES_MAX: usize = 512;

fn config() -> LinkConfig {
    LinkConfig {
        endpoints: [("/deepstream", Wire::Protobuf), ("/text", Wire::Text)]
            .map(|(path, wire)| Endpoint { path: path.into(), wire, max_message_bytes: MESSAGE_BYTES_MAX })
            .into(),
        max_request_bytes: REQUEST_BYTES_MAX,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    }
}

/// Reads everything of a message there is to read.
fn touch(event: &LinkEvent<'_>) -> usize {
    match event {
        LinkEvent::Message(message) => {
            let fields = [message.correlation_id(), message.path(), message.subscription()];
            assert!(fields.iter().flatten().all(|text| str::from_utf8(text).is_ok()));
            assert!(str::from_utf8(message.name()).is_ok());
            assert!(message.names().all(|name| str::from_utf8(name).is_ok()));
            let _ = (client::original_action(message), client::requestor_name(message));
            message.names().count() + client::versions(message).count()
        }
        LinkEvent::Upgraded(handshake) => handshake.headers().count(),
        LinkEvent::Forbidden(why) => why.len(),
        LinkEvent::Introduced(_)
        | LinkEvent::Turned(_)
        | LinkEvent::Http(_)
        | LinkEvent::Unreadable(_)
        | LinkEvent::Close(_) => 0,
    }
}

/// Sends in pieces; pauses now and then; checks what holds for any bytes.
fn suffer(stream: &[u8], pieces: &[Index], pause_every: usize) {
    let config = config();
    let mut link = Link::new();
    let mut replies = Vec::new();
    let mut events = 0usize;
    let mut closed = 0;
    let mut on = |event: LinkEvent<'_>| {
        assert_eq!(closed, 0, "an event after the end: {event:?}");
        closed += usize::from(matches!(event, LinkEvent::Close(_)));
        touch(&event);
        events += 1;
        if events.is_multiple_of(pause_every) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut cuts: Vec<usize> = pieces.iter().map(|at| at.index(stream.len() + 1)).collect();
    cuts.push(stream.len());
    cuts.sort_unstable();
    let mut from = 0;
    for to in cuts {
        link.received(&config, &mut stream[from..to].to_vec(), &mut replies, &mut on);
        while link.is_paused() && !link.is_closed() {
            link.resumed(&config, &mut replies, &mut on);
        }
        // Growing by doubling, a buffer is at most twice what it holds: one incomplete frame and the fragments before.
        assert!(link.held_bytes() <= 8 * (MESSAGE_BYTES_MAX + REQUEST_BYTES_MAX), "{} bytes", link.held_bytes());
        from = to;
    }
    assert_eq!(link.is_closed(), closed == 1);
}

fn valid_stream() -> Vec<u8> {
    let mut stream = Vec::new();
    client::upgrade_request("h", "/deepstream", &[], &mut stream);
    let names: &[&[u8]] = &[b"one", b"two", b"three"];
    let subscribe =
        Outgoing { names, correlation_id: Some(b"1"), ..Outgoing::new(Action::RecordSubscribeCreateAndRead) };
    let patch = Outgoing {
        name: Some(b"r"),
        path: Some(b"a.b"),
        data: Some(b"{}"),
        version: Some(-1),
        ..Outgoing::new(Action::RecordPatch)
    };
    let versions = Outgoing { versions: &[(b"a", 1), (b"b", -1)], ..Outgoing::new(Action::RecordHeadResponseBulk) };
    let mut both = Vec::new();
    encode_message(&subscribe, &mut both);
    encode_message(&patch, &mut both);
    client::encode_frame(FINAL_BINARY, &both, [1, 2, 3, 4], &mut stream);
    client::encode(&versions, [0; 4], &mut stream);
    client::encode_frame(0x01, &both[..20], [0; 4], &mut stream);
    client::encode_frame(0x89, b"ping", [9; 4], &mut stream);
    client::encode_frame(0x80, &both[20..], [0; 4], &mut stream);
    client::encode_frame(0x88, &[3, 232], [0; 4], &mut stream);
    stream
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), pieces in vec(any::<Index>(), 0..6)) {
        suffer(&bytes, &pieces, usize::MAX);
        for message in binary::messages(&bytes).flatten() {
            touch(&LinkEvent::Message(&message));
        }
    }

    #[test]
    fn random_bytes_after_the_upgrade_are_survived(
        bytes in vec(prop_oneof![any::<u8>(), Just(0x82), Just(0x80), Just(0x02), Just(0x00)], 0..300),
        pieces in vec(any::<Index>(), 0..6),
        pause_every in 1..5usize,
    ) {
        let mut stream = Vec::new();
        client::upgrade_request("h", "/deepstream", &[], &mut stream);
        stream.extend_from_slice(&bytes);
        suffer(&stream, &pieces, pause_every);
    }

    #[test]
    fn random_payloads_in_valid_frames_are_survived(
        payloads in vec((vec(any::<u8>(), 0..60), any::<[u8; 4]>(), any::<bool>()), 0..8),
        pieces in vec(any::<Index>(), 0..6),
    ) {
        let mut stream = Vec::new();
        client::upgrade_request("h", "/deepstream", &[], &mut stream);
        for (payload, mask, text) in payloads {
            client::encode_frame(if text { 0x81 } else { FINAL_BINARY }, &payload, mask, &mut stream);
        }
        suffer(&stream, &pieces, 3);
    }

    #[test]
    fn random_text_in_valid_frames_is_survived(
        payloads in vec("([CAERPUXZ]|\u{1e}|\u{1f}|[A-Z]{1,3}|[SONTFLU]|[0-9-]{1,3}|[a-zü\\[\\]{}\",:]{0,4}){0,24}", 0..8),
        pieces in vec(any::<Index>(), 0..6),
        pause_every in 1..5usize,
    ) {
        let mut stream = Vec::new();
        client::upgrade_request("h", "/text", &[], &mut stream);
        for payload in payloads {
            client::encode_frame(client::FINAL_TEXT, payload.as_bytes(), [1, 2, 3, 4], &mut stream);
        }
        suffer(&stream, &pieces, pause_every);
    }

    #[test]
    fn random_bytes_on_the_text_path_are_survived(
        bytes in vec(prop_oneof![any::<u8>(), Just(0x81), Just(0x80), Just(0x01), Just(0x1e), Just(0x1f)], 0..300),
        pieces in vec(any::<Index>(), 0..6),
        pause_every in 1..5usize,
    ) {
        let mut stream = Vec::new();
        client::upgrade_request("h", "/text", &[], &mut stream);
        stream.extend_from_slice(&bytes);
        suffer(&stream, &pieces, pause_every);
    }

    #[test]
    fn damaged_streams_are_survived(
        damage in vec((any::<Index>(), any::<u8>(), 0..3u8), 1..8),
        pieces in vec(any::<Index>(), 0..6),
        pause_every in 1..5usize,
    ) {
        let mut stream = valid_stream();
        for (at, byte, what) in damage {
            let at = at.index(stream.len());
            match what {
                0 => stream[at] = byte,
                1 => stream.insert(at, byte),
                _ => drop(stream.remove(at)),
            }
        }
        suffer(&stream, &pieces, pause_every);
    }

    #[test]
    fn a_client_survives_a_broken_server(bytes in vec(any::<u8>(), 0..300), cut in any::<Index>(), upgraded: bool) {
        let mut reader = if upgraded { ServerReader::upgraded() } else { ServerReader::new() };
        let mut broken = 0;
        let mut on = |event: ServerEvent<'_>| broken += usize::from(matches!(event, ServerEvent::Broken));
        let cut = cut.index(bytes.len() + 1);
        reader.received(&bytes[..cut], &mut on);
        reader.received(&bytes[cut..], &mut on);
        prop_assert!(broken <= 1);
    }
}

#[test]
fn the_undamaged_stream_is_understood() {
    let mut link = Link::new();
    let mut kinds = Vec::new();
    link.received(&config(), &mut valid_stream(), &mut Vec::new(), &mut |event| {
        kinds.push(match event {
            LinkEvent::Upgraded(_) | LinkEvent::Introduced(_) | LinkEvent::Turned(_) => "upgraded",
            LinkEvent::Message(_) => "message",
            LinkEvent::Http(_) => "http",
            LinkEvent::Unreadable(_) => "unreadable",
            LinkEvent::Forbidden(_) => "forbidden",
            LinkEvent::Close(_) => "close",
        });
        ControlFlow::Continue(())
    });
    // version -1 holds bytes above 0x7f, so the text frame at the end is refused: bytes belong into binary frames.
    assert_eq!(kinds, ["upgraded", "message", "message", "message", "close"]);
}
