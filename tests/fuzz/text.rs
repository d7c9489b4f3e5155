//! The text protocol: any bytes are understood or refused, and nothing that is passed on to other clients can break out
//! of its part of a message.

use deepstream_wire::client::{encode_frame, upgrade_request};
use deepstream_wire::encode::encode;
use deepstream_wire::{Action, Endpoint, Link, LinkConfig, LinkEvent, Message, Outgoing, Wire};
use std::ops::ControlFlow;

const PATH: &str = "/deepstream-v3";
const END: u8 = 0x1e;
const PART: u8 = 0x1f;
/// What is sent on of a message, as others are told.
const TOLD: [Action; 8] = [
    Action::EventEmit,
    Action::RecordUpdate,
    Action::RecordPatch,
    Action::RecordReadResponse,
    Action::RpcRequest,
    Action::RpcResponse,
    Action::EventPatternFound,
    Action::PresenceQueryAllResponse,
];

/// A frame's payload.
pub(crate) fn run(payload: &[u8]) {
    let endpoint = Endpoint { path: PATH.into(), wire: Wire::Text, max_message_bytes: 1 << 20 };
    let config = LinkConfig {
        endpoints: vec![endpoint],
        max_request_bytes: 4096,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    };
    let (mut link, mut replies, mut bytes) = (Link::new(), Vec::new(), Vec::new());
    upgrade_request("h", PATH, &[], &mut bytes);
    encode_frame(0x81, payload, [1, 2, 3, 4], &mut bytes);
    link.received(&config, &mut bytes, &mut replies, &mut |event| {
        if let LinkEvent::Message(message) = event {
            told(message);
        }
        ControlFlow::Continue(())
    });
}

fn told(message: &Message<&[u8]>) {
    let texts = [message.correlation_id(), message.path(), message.subscription(), Some(message.name())];
    assert!(texts.iter().flatten().all(|text| str::from_utf8(text).is_ok()));
    let names: Vec<&[u8]> = message.names().collect();
    assert!(names.iter().all(|name| str::from_utf8(name).is_ok()));
    // Data goes on as it came; where it is none, it was refused before.
    let data = message.data().filter(|data| !data.contains(&PART) && !data.contains(&END));
    for action in TOLD {
        let said = Outgoing {
            name: Some(message.name()),
            names: &names,
            data,
            correlation_id: message.correlation_id(),
            path: message.path(),
            subscription: message.subscription(),
            version: Some(message.head.version),
            ..Outgoing::new(action)
        };
        // The same, of values that cannot break out.
        let plain_names = vec![&b"n"[..]; names.len()];
        let plain = Outgoing {
            name: Some(b"n"),
            names: &plain_names,
            data: data.map(|_| &b"1"[..]),
            correlation_id: said.correlation_id.map(|_| &b"i"[..]),
            path: said.path.map(|_| &b"p"[..]),
            subscription: said.subscription.map(|_| &b"s"[..]),
            ..said
        };
        assert_eq!(shape(&said), shape(&plain), "{action:?} of {message:?}");
    }
}

/// Messages, and parts, in what is sent.
fn shape(message: &Outgoing<'_>) -> (usize, usize) {
    let mut frame = Vec::new();
    encode(Wire::Text, message, &mut frame);
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        Some(_) => 2,
        None => return (0, 0),
    };
    let payload = &frame[header..];
    assert_eq!(payload.last(), Some(&END));
    let count = |what| payload.iter().map(|&byte| usize::from(byte == what)).sum::<usize>();
    (count(END), count(PART))
}
