//! The protobuf decoder: whatever was understood can be said again, and is understood as the same.

use deepstream_wire::client::{original_action, original_topic, requestor_data, requestor_name, versions};
use deepstream_wire::encode::{encode_message, message_len};
use deepstream_wire::{Flags, Message, Outgoing, binary};

/// A frame's payload.
pub(crate) fn run(payload: &[u8]) {
    let mut messages = binary::messages(payload);
    let mut before = payload.len() + 1;
    while let Some(message) = messages.next() {
        let rest = messages.rest();
        assert!(payload.ends_with(rest) && rest.len() < before, "every message takes some bytes");
        before = rest.len();
        if let Ok(message) = message {
            said_again(&message);
        }
    }
}

fn said_again(message: &Message<&[u8]>) {
    let has = |flag| message.head.flags.has(flag);
    let names: Vec<&[u8]> = message.names().collect();
    assert_eq!(has(Flags::NAMES), !names.is_empty());
    let versions: Vec<(&[u8], i32)> = versions(message).collect();
    let outgoing = Outgoing {
        name: has(Flags::NAME).then(|| message.name()),
        names: &names,
        data: message.data(),
        correlation_id: message.correlation_id(),
        path: message.path(),
        subscription: message.subscription(),
        version: has(Flags::VERSION).then_some(message.head.version),
        versions: &versions,
        original_topic: original_topic(message),
        original_action: original_action(message),
        requestor_name: requestor_name(message),
        requestor_data: requestor_data(message),
        is_error: has(Flags::IS_ERROR),
        is_ack: has(Flags::IS_ACK),
        is_write_ack: has(Flags::IS_WRITE_ACK),
        ..Outgoing::new(message.head.action)
    };
    let mut bytes = Vec::new();
    encode_message(&outgoing, &mut bytes);
    assert_eq!(bytes.len(), message_len(&outgoing));
    if let Some(verbatim) = message.verbatim(Flags(message.head.flags.0 & !Flags::EXACT.0)) {
        assert!(bytes.ends_with(verbatim), "what is passed on as it came is what would be said");
    }
    let mut again = binary::messages(&bytes);
    let repeated = again.next().and_then(Result::ok).expect("what was said by us is understood by us");
    assert!(again.next().is_none());
    same(message, &repeated);
}

fn same(one: &Message<&[u8]>, two: &Message<&[u8]>) {
    // Empty data is left out on the way out.
    let data = |message: &Message<&[u8]>| message.data().map(<[u8]>::to_vec).filter(|data| !data.is_empty());
    assert_eq!(data(one), data(two));
    let flags = |message: &Message<&[u8]>| {
        let mut flags = message.head.flags;
        flags.clear(Flags::DATA);
        flags.clear(Flags::EXACT);
        flags
    };
    assert_eq!((one.head.action, flags(one), one.name()), (two.head.action, flags(two), two.name()));
    assert_eq!(one.head.version, two.head.version);
    assert_eq!(
        (one.correlation_id(), one.path(), one.subscription()),
        (two.correlation_id(), two.path(), two.subscription())
    );
    assert!(one.names().eq(two.names()) && versions(one).eq(versions(two)));
    assert_eq!((original_action(one), original_topic(one)), (original_action(two), original_topic(two)));
    assert_eq!((requestor_name(one), requestor_data(one)), (requestor_name(two), requestor_data(two)));
}
