//! A generated protobuf codec as the second opinion: what it writes we read alike, what we write it reads alike.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use deepstream_wire::encode::{encode, encode_message, pass_on};
use deepstream_wire::{
    Action, Endpoint, Flags, Link, LinkConfig, LinkEvent, Message, Outgoing, Topic, Wire, binary, client,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

/// Every field any topic has. Absent where the topic's message does not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields {
    action: i32,
    data: Option<String>,
    correlation_id: Option<String>,
    is_error: bool,
    is_ack: bool,
    is_write_ack: bool,
    name: Option<String>,
    names: Vec<String>,
    path: Option<String>,
    subscription: Option<String>,
    version: Option<i32>,
    versions: BTreeMap<String, i32>,
    original_topic: Option<i32>,
    original_action: Option<i32>,
    requestor_name: Option<String>,
    requestor_data: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(int32, tag = "2")]
    topic: i32,
    #[prost(bytes = "vec", tag = "3")]
    message: Vec<u8>,
}

/// Declares a topic's message as generated code would, and its translation to and from [`Fields`].
macro_rules! schema {
    ($name:ident { $($field:ident: $kind:ty = [$($attribute:tt)*],)* }) => {
        #[derive(Clone, PartialEq, prost::Message)]
        struct $name {
            $(#[prost($($attribute)*)] $field: $kind,)*
        }

        impl $name {
            fn of(fields: &Fields) -> Self {
                Self { $($field: Convert::into_schema(fields.$field.clone()),)* }
            }

            fn fields(self) -> Fields {
                Fields { $($field: Convert::from_schema(self.$field),)* ..Fields::default() }
            }
        }
    };
}

trait Convert<T> {
    fn into_schema(self) -> T;
    fn from_schema(schema: T) -> Self;
}

impl<T> Convert<T> for T {
    fn into_schema(self) -> T {
        self
    }
    fn from_schema(schema: T) -> T {
        schema
    }
}

impl Convert<Option<bool>> for bool {
    fn into_schema(self) -> Option<bool> {
        Some(self)
    }
    fn from_schema(schema: Option<bool>) -> bool {
        schema.unwrap_or_default()
    }
}

schema!(Connection {
    action: i32 = [int32, tag = "1"],
    data: Option<String> = [string, optional, tag = "2"],
    is_error: Option<bool> = [bool, optional, tag = "3"],
    is_ack: Option<bool> = [bool, optional, tag = "4"],
    name: Option<String> = [string, optional, tag = "5"],
    correlation_id: Option<String> = [string, optional, tag = "7"],
    path: Option<String> = [string, optional, tag = "8"],
});

/// A text of the handshake that is not used.
#[derive(Clone, PartialEq, prost::Message)]
struct ProtocolVersion {
    #[prost(string, optional, tag = "6")]
    protocol_version: Option<String>,
}

/// A text of record messages that is not used.
#[derive(Clone, PartialEq, prost::Message)]
struct Pattern {
    #[prost(string, optional, tag = "8")]
    pattern: Option<String>,
}

schema!(Auth {
    action: i32 = [int32, tag = "1"],
    data: Option<String> = [string, optional, tag = "2"],
    is_error: Option<bool> = [bool, optional, tag = "3"],
    is_ack: Option<bool> = [bool, optional, tag = "4"],
});

schema!(Event {
    action: i32 = [int32, tag = "1"],
    data: Option<String> = [string, optional, tag = "2"],
    correlation_id: Option<String> = [string, optional, tag = "3"],
    is_error: Option<bool> = [bool, optional, tag = "4"],
    is_ack: Option<bool> = [bool, optional, tag = "5"],
    name: Option<String> = [string, optional, tag = "6"],
    names: Vec<String> = [string, repeated, tag = "7"],
    subscription: Option<String> = [string, optional, tag = "8"],
    original_topic: Option<i32> = [int32, optional, tag = "10"],
    original_action: Option<i32> = [int32, optional, tag = "11"],
});

schema!(Record {
    action: i32 = [int32, tag = "1"],
    data: Option<String> = [string, optional, tag = "2"],
    correlation_id: Option<String> = [string, optional, tag = "3"],
    is_error: Option<bool> = [bool, optional, tag = "4"],
    is_ack: Option<bool> = [bool, optional, tag = "5"],
    name: Option<String> = [string, optional, tag = "6"],
    names: Vec<String> = [string, repeated, tag = "7"],
    subscription: Option<String> = [string, optional, tag = "9"],
    original_action: Option<i32> = [int32, optional, tag = "10"],
    is_write_ack: Option<bool> = [bool, optional, tag = "11"],
    path: Option<String> = [string, optional, tag = "12"],
    version: Option<i32> = [int32, optional, tag = "13"],
    versions: BTreeMap<String, i32> = [btree_map = "string, int32", tag = "14"],
});

schema!(Rpc {
    action: i32 = [int32, tag = "1"],
    data: Option<String> = [string, optional, tag = "2"],
    correlation_id: Option<String> = [string, optional, tag = "3"],
    is_error: Option<bool> = [bool, optional, tag = "4"],
    is_ack: Option<bool> = [bool, optional, tag = "5"],
    names: Vec<String> = [string, repeated, tag = "6"],
    name: Option<String> = [string, optional, tag = "7"],
    original_action: Option<i32> = [int32, optional, tag = "9"],
    requestor_name: Option<String> = [string, optional, tag = "10"],
    requestor_data: Option<String> = [string, optional, tag = "11"],
});

schema!(Presence {
    action: i32 = [int32, tag = "1"],
    original_topic: Option<i32> = [int32, optional, tag = "2"],
    original_action: Option<i32> = [int32, optional, tag = "3"],
    data: Option<String> = [string, optional, tag = "4"],
    correlation_id: Option<String> = [string, optional, tag = "5"],
    is_error: Option<bool> = [bool, optional, tag = "6"],
    is_ack: Option<bool> = [bool, optional, tag = "7"],
    name: Option<String> = [string, optional, tag = "8"],
    names: Vec<String> = [string, repeated, tag = "9"],
});

schema!(Parser {
    action: i32 = [int32, tag = "1"],
    data: Option<String> = [string, optional, tag = "2"],
    original_topic: Option<i32> = [int32, optional, tag = "8"],
    original_action: Option<i32> = [int32, optional, tag = "9"],
});

fn schema_bytes(topic: Topic, fields: &Fields) -> Vec<u8> {
    match topic {
        Topic::Parser => Parser::of(fields).encode_to_vec(),
        Topic::Connection => Connection::of(fields).encode_to_vec(),
        Topic::Auth => Auth::of(fields).encode_to_vec(),
        Topic::Event => Event::of(fields).encode_to_vec(),
        Topic::Record => Record::of(fields).encode_to_vec(),
        Topic::Rpc => Rpc::of(fields).encode_to_vec(),
        Topic::Presence => Presence::of(fields).encode_to_vec(),
    }
}

fn schema_fields(topic: Topic, body: &[u8]) -> Result<Fields, prost::DecodeError> {
    // Texts that are not used are UTF-8 all the same.
    match topic {
        Topic::Connection => drop(ProtocolVersion::decode(body)?),
        Topic::Record => drop(Pattern::decode(body)?),
        _ => {}
    }
    Ok(match topic {
        Topic::Parser => Parser::decode(body)?.fields(),
        Topic::Connection => Connection::decode(body)?.fields(),
        Topic::Auth => Auth::decode(body)?.fields(),
        Topic::Event => Event::decode(body)?.fields(),
        Topic::Record => Record::decode(body)?.fields(),
        Topic::Rpc => Rpc::decode(body)?.fields(),
        Topic::Presence => Presence::decode(body)?.fields(),
    })
}

/// What the schema's codec reads from one delimited message.
fn schema_read(delimited: &[u8]) -> (i32, Fields) {
    let envelope = Envelope::decode_length_delimited(delimited).unwrap();
    let topic = Topic::from_code(envelope.topic as u32).unwrap();
    (envelope.topic, schema_fields(topic, &envelope.message).unwrap())
}

/// What we read: all of a head, and what the client finds beside it.
fn our_fields(message: &Message<&[u8]>) -> Fields {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let flags = message.head.flags;
    Fields {
        action: i32::from(message.head.action.code()),
        data: text(message.data()),
        correlation_id: text(message.correlation_id()),
        is_error: flags.has(Flags::IS_ERROR),
        is_ack: flags.has(Flags::IS_ACK),
        is_write_ack: flags.has(Flags::IS_WRITE_ACK),
        name: text(flags.has(Flags::NAME).then(|| message.name())),
        names: message.names().map(|name| text(Some(name)).unwrap()).collect(),
        path: text(message.path()),
        subscription: text(message.subscription()),
        version: flags.has(Flags::VERSION).then_some(message.head.version),
        versions: client::versions(message).map(|(name, version)| (text(Some(name)).unwrap(), version)).collect(),
        original_topic: client::original_topic(message).map(|topic| topic as i32),
        original_action: client::original_action(message).map(|action| i32::from(action.code())),
        requestor_name: text(client::requestor_name(message)),
        requestor_data: text(client::requestor_data(message)),
    }
}

/// Takes away what a head deliberately does not keep: `subscription` beside a `path`, and codes that are none.
fn as_kept(topic: Topic, mut fields: Fields) -> Fields {
    if fields.path.is_some() {
        fields.subscription = None;
    }
    let original = fields.original_topic.and_then(|code| Topic::from_code(code as u32));
    fields.original_topic = original.map(|topic| topic as i32);
    fields.original_action = fields
        .original_action
        .and_then(|code| Action::from_code(original.unwrap_or(topic), code as u32))
        .map(|action| i32::from(action.code()));
    fields
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z/{}\":1-9]{0,12}", 1 => "\\PC{0,6}", 1 => "[a-z]{120,140}"]
}

fn any_version() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(-1), Just(i32::MAX), Just(i32::MIN), any::<i32>()]
}

prop_compose! {
    fn any_fields()(
        texts in proptest::array::uniform8(option::of(any_text())),
        names in vec(any_text(), 0..5),
        flags in any::<[bool; 3]>(),
        version in option::of(any_version()),
        versions in btree_map(any_text(), any_version(), 0..4),
        original_topic in option::of(1..8i32),
        original_action in option::of(any::<prop::sample::Index>()),
        action in any::<prop::sample::Index>(),
    ) -> (Action, Fields) {
        let action = *action.get(Action::ALL);
        let original = original_action.map(|index| *index.get(Action::ALL));
        let [data, correlation_id, name, path, subscription, requestor_name, requestor_data, _] = texts;
        let fields = Fields {
            action: i32::from(action.code()),
            data, correlation_id, name, path, subscription, requestor_name, requestor_data,
            is_error: flags[0],
            is_ack: flags[1],
            is_write_ack: flags[2],
            names,
            version,
            versions,
            original_topic,
            original_action: original.map(|action| i32::from(action.code())),
        };
        (action, fields)
    }
}

/// One delimited message around a body.
fn enveloped(topic: Topic, body: Vec<u8>) -> Vec<u8> {
    Envelope { topic: topic as i32, message: body }.encode_length_delimited_to_vec()
}

fn outgoing<'a>(
    action: Action,
    fields: &'a Fields,
    names: &'a [&'a [u8]],
    versions: &'a [(&'a [u8], i32)],
) -> Outgoing<'a> {
    let original_topic = fields.original_topic.and_then(|code| Topic::from_code(code as u32));
    Outgoing {
        action,
        name: fields.name.as_deref().map(str::as_bytes),
        names,
        data: fields.data.as_deref().map(str::as_bytes),
        correlation_id: fields.correlation_id.as_deref().map(str::as_bytes),
        path: fields.path.as_deref().map(str::as_bytes),
        subscription: fields.subscription.as_deref().map(str::as_bytes),
        version: fields.version,
        versions,
        original_topic,
        original_action: fields
            .original_action
            .and_then(|code| Action::ALL.iter().copied().find(|action| i32::from(action.code()) == code)),
        requestor_name: fields.requestor_name.as_deref().map(str::as_bytes),
        requestor_data: fields.requestor_data.as_deref().map(str::as_bytes),
        is_error: fields.is_error,
        is_ack: fields.is_ack,
        is_write_ack: fields.is_write_ack,
        is_kept: false,
        is_undefined: false,
    }
}

/// A frame of what a head says, and one of the bytes it was read from, where those are said to be the same.
fn both_ways(message: &Message<&[u8]>) -> Option<[Vec<u8>; 2]> {
    let flags = message.head.flags;
    let names: Vec<&[u8]> = message.names().collect();
    let said = Outgoing {
        name: flags.has(Flags::NAME).then(|| message.name()),
        names: &names,
        data: message.data(),
        correlation_id: message.correlation_id(),
        path: message.path(),
        subscription: message.subscription(),
        version: flags.has(Flags::VERSION).then_some(message.head.version),
        is_error: flags.has(Flags::IS_ERROR),
        is_ack: flags.has(Flags::IS_ACK),
        is_write_ack: flags.has(Flags::IS_WRITE_ACK),
        ..Outgoing::new(message.head.action)
    };
    let mut fields = flags;
    fields.clear(Flags::EXACT);
    let mut frames = [Vec::new(), Vec::new()];
    encode(Wire::Protobuf, &said, &mut frames[0]);
    pass_on(said.action.topic(), message.verbatim(fields)?, &mut frames[1]);
    Some(frames)
}

/// What a link says to a frame, after what the decoder makes of its payload: where it can, the link reads a shorter way.
fn both_readings(payload: &[u8]) -> [Vec<String>; 2] {
    let endpoint = Endpoint { path: "/deepstream".into(), wire: Wire::Protobuf, max_message_bytes: 1 << 20 };
    let config = LinkConfig {
        endpoints: vec![endpoint],
        max_request_bytes: 4096,
        mqtt: deepstream_wire::mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    };
    let (mut link, mut bytes, mut heard) = (Link::new(), Vec::new(), Vec::new());
    client::upgrade_request("localhost", "/deepstream", &[], &mut bytes);
    client::encode_frame(client::FINAL_BINARY, payload, [1, 2, 3, 4], &mut bytes);
    link.received(&config, &mut bytes, &mut Vec::new(), &mut |event| {
        match event {
            LinkEvent::Message(message) => heard.push(format!("{message:?}")),
            LinkEvent::Unreadable(what) => heard.push(format!("{what:?}")),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let read = binary::messages(payload).map(|message| match message {
        Ok(message) => format!("{message:?}"),
        Err(what) => format!("{what:?}"),
    });
    [read.collect(), heard]
}

#[test]
fn what_clients_write_is_exact_and_what_says_more_is_not() {
    let emit = Outgoing { name: Some(b"news"), data: Some(b"1"), ..Outgoing::new(Action::EventEmit) };
    let exact = |body: &[u8]| {
        let bytes = enveloped(Topic::Event, body.to_vec());
        let message = binary::messages(&bytes).next().unwrap().unwrap();
        message.verbatim(Flags::NAME | Flags::DATA).is_some()
    };
    let mut bytes = Vec::new();
    encode_message(&emit, &mut bytes);
    let message = binary::messages(&bytes).next().unwrap().unwrap();
    let body = message.bytes;
    assert!(exact(body));
    let padded = [&body[..2], b"\x12\x81\x00", &body[4..]].concat();
    for more in
        [&[body, b"\x28\x01"].concat(), &[body, b"\xa0\x06\x01"].concat(), &[body, &body[5..]].concat(), &padded]
    {
        assert!(!exact(more), "{more:02x?}");
        let [read, heard] = both_readings(&enveloped(Topic::Event, more.clone()));
        assert_eq!(read, heard);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_schema_writes_we_read_alike((action, fields) in any_fields()) {
        let topic = action.topic();
        let bytes = enveloped(topic, schema_bytes(topic, &fields));
        let mut messages = binary::messages(&bytes);
        let message = messages.next().unwrap().unwrap();
        prop_assert!(messages.next().is_none());
        if let Some([said, passed_on]) = both_ways(&message) {
            prop_assert_eq!(said, passed_on);
        }
        prop_assert_eq!(our_fields(&message), as_kept(topic, schema_read(&bytes).1));
        let [read, heard] = both_readings(&bytes);
        prop_assert_eq!(read, heard);
    }

    #[test]
    fn repeated_scalars_and_unknown_fields_are_read_alike(
        (action, first) in any_fields(),
        (_, second) in any_fields(),
        unknown in option::of((16u32..5000, any::<u64>())),
    ) {
        let topic = action.topic();
        let mut body = schema_bytes(topic, &first);
        if let Some((number, value)) = unknown {
            prost::encoding::uint64::encode(number, &value, &mut body);
            prost::encoding::bytes::encode(number, &value.to_le_bytes().to_vec(), &mut body);
            prost::encoding::fixed64::encode(number, &value, &mut body);
            prost::encoding::fixed32::encode(number, &(value as u32), &mut body);
        }
        body.extend_from_slice(&schema_bytes(topic, &Fields { action: first.action, ..second }));
        let bytes = enveloped(topic, body);
        let message = binary::messages(&bytes).next().unwrap().unwrap();
        prop_assert!(both_ways(&message).is_none_or(|[said, passed_on]| said == passed_on));
        prop_assert_eq!(our_fields(&message), as_kept(topic, schema_read(&bytes).1));
    }

    #[test]
    fn what_we_write_the_schema_reads_alike((action, fields) in any_fields()) {
        let names: Vec<&[u8]> = fields.names.iter().map(String::as_bytes).collect();
        let versions: Vec<(&[u8], i32)> = fields.versions.iter().map(|(name, at)| (name.as_bytes(), *at)).collect();
        let message = outgoing(action, &fields, &names, &versions);
        let mut bytes = Vec::new();
        encode_message(&message, &mut bytes);
        let (topic, read) = schema_read(&bytes);
        prop_assert_eq!(topic, action.topic() as i32);
        // Through the schema once, the fields this topic does not have are gone.
        let mut expected = schema_fields(action.topic(), &schema_bytes(action.topic(), &fields)).unwrap();
        expected.data = expected.data.filter(|data| !data.is_empty());
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn client_and_server_frames_hold_the_same_message((action, fields) in any_fields(), mask in any::<[u8; 4]>()) {
        let message = outgoing(action, &fields, &[], &[]);
        let mut plain = Vec::new();
        encode_message(&message, &mut plain);
        let mut server = Vec::new();
        encode(Wire::Protobuf, &message, &mut server);
        prop_assert!(server.ends_with(&plain));
        let mut masked = Vec::new();
        client::encode(&message, mask, &mut masked);
        prop_assert_eq!(masked.len(), server.len() + 4);
        let at = masked.len() - plain.len();
        let unmasked: Vec<u8> = masked[at..].iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        prop_assert_eq!(unmasked, plain);
    }

    #[test]
    fn damaged_bodies_the_schema_still_accepts_are_read_alike(
        (action, fields) in any_fields(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let topic = action.topic();
        let mut body = schema_bytes(topic, &fields);
        for (at, byte) in damage {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        let bytes = enveloped(topic, body.clone());
        let ours = binary::messages(&bytes).next().unwrap();
        let [read, heard] = both_readings(&bytes);
        prop_assert_eq!(read, heard);
        if let Ok(theirs) = schema_fields(topic, &body) {
            match ours {
                Ok(message) => {
                    prop_assert!(both_ways(&message).is_none_or(|[said, passed_on]| said == passed_on));
                    prop_assert_eq!(our_fields(&message), as_kept(topic, theirs));
                }
                Err(why) => {
                    prop_assert_eq!(why, deepstream_wire::Unreadable::Action(topic, theirs.action as u32));
                }
            }
        }
    }
}
