//! Bytes to messages and back: decode, encode, and the whole link from socket bytes to messages.

mod common;

use common::Case;
use deepstream_wire::link::{Endpoint, Link, LinkConfig, LinkEvent};
use deepstream_wire::{Action, Outgoing, Wire, binary, client, encode};
use std::ops::ControlFlow;

fn main() {
    let emit = Outgoing {
        name: Some(b"news/sport/tennis"),
        data: Some(br#"{"player":"somebody","points":[15,30,40],"at":1234567890}"#),
        ..Outgoing::new(Action::EventEmit)
    };
    let patch = Outgoing {
        name: Some(b"stock/acme"),
        path: Some(b"bid.price"),
        data: Some(b"1.2345"),
        version: Some(4711),
        ..Outgoing::new(Action::RecordPatch)
    };
    let names: Vec<String> = (0..100).map(|number| format!("record/{number}")).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let bulk =
        Outgoing { names: &names, correlation_id: Some(b"12"), ..Outgoing::new(Action::RecordSubscribeCreateAndRead) };
    common::main(vec![
        decode("wire/decode_emit", &emit),
        decode("wire/decode_patch", &patch),
        decode("wire/decode_bulk_100", &bulk),
        encoding("wire/encode_emit", Wire::Protobuf, emit),
        encoding("wire/encode_patch", Wire::Protobuf, patch),
        encoding("wire/encode_emit_as_text", Wire::Text, emit),
        encoding("wire/encode_patch_as_text", Wire::Text, patch),
        link("wire/link_32_emits", "/deepstream", &|mask, bytes| client::encode(&emit, mask, bytes)),
        link("wire/link_32_text_emits", "/deepstream-v3", &|mask, bytes| {
            let text = [&b"E\x1fEVT\x1f"[..], emit.name.unwrap(), b"\x1fO", emit.data.unwrap(), b"\x1e"].concat();
            client::encode_frame(client::FINAL_TEXT, &text, mask, bytes);
        }),
    ]);
}

fn decode(name: &'static str, message: &Outgoing<'_>) -> Case {
    let mut payload = Vec::new();
    encode::encode_message(message, &mut payload);
    Case::once(name, move || {
        binary::messages(&payload).flatten().map(|message| message.names().count() as u64 + 1).sum()
    })
}

fn encoding(name: &'static str, wire: Wire, message: Outgoing<'static>) -> Case {
    let mut out = Vec::new();
    Case::once(name, move || {
        out.clear();
        encode::encode(wire, &message, &mut out);
        out.len() as u64
    })
}

/// Thirty-two masked frames in one read, as a busy publisher sends them.
fn link(name: &'static str, path: &str, frame: &dyn Fn([u8; 4], &mut Vec<u8>)) -> Case {
    let endpoint = |path: &str, wire| Endpoint { path: path.into(), wire, max_message_bytes: 1 << 20 };
    let config = LinkConfig {
        endpoints: vec![endpoint("/deepstream", Wire::Protobuf), endpoint("/deepstream-v3", Wire::Text)],
        max_request_bytes: 8 << 10,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    };
    let mut link = Link::new();
    let mut bytes = Vec::new();
    let mut replies = Vec::new();
    client::upgrade_request("localhost", path, &[], &mut bytes);
    link.received(&config, &mut bytes, &mut replies, &mut |_| ControlFlow::Continue(()));
    bytes.clear();
    for number in 0..32_u32 {
        frame((number * 0x0101_0101).to_le_bytes(), &mut bytes);
    }
    let mut input = Vec::new();
    Case::once(name, move || {
        input.clear();
        input.extend_from_slice(&bytes);
        let mut messages = 0;
        link.received(&config, &mut input, &mut replies, &mut |event| {
            messages += u64::from(matches!(event, LinkEvent::Message(_)));
            ControlFlow::Continue(())
        });
        messages
    })
}
