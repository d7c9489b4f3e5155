//! deepstream's own protocol, through the wire's client side.

use super::websocket::MASK;
use super::{Call, Incoming, Membership, Publication, Stage, Taker, end};
use crate::scenario::Kind;
use deepstream_wire::client::{ServerEvent, encode, encode_challenge};
use deepstream_wire::{Action, Flags, Message, Outgoing};

pub(super) const PATH: &str = "/deepstream";

pub(super) fn heard(
    event: ServerEvent<'_>,
    stage: &mut Stage,
    membership: &Membership,
    out: &mut Vec<u8>,
    on: &mut impl Taker,
) {
    match event {
        ServerEvent::Message(message) if *stage == Stage::Ready => deliver(&message, out, on),
        ServerEvent::Message(message) => enter(&message, stage, out, membership, on),
        ServerEvent::Status(101) => encode_challenge(PATH, "deepstream-perf", env!("CARGO_PKG_VERSION"), MASK, out),
        ServerEvent::Status(_) | ServerEvent::Close(_) | ServerEvent::Broken => end(stage, out, on),
        ServerEvent::Ping(_)
        | ServerEvent::Pong(_)
        | ServerEvent::Body(_)
        | ServerEvent::Text(_)
        | ServerEvent::Unreadable(_) => {}
    }
}

fn enter(message: &Message<&[u8]>, stage: &mut Stage, out: &mut Vec<u8>, membership: &Membership, on: &mut impl Taker) {
    let mut ready = |version| {
        *stage = Stage::Ready;
        on(Incoming::Ready(version), out);
    };
    match message.head.action {
        Action::ConnectionAccept => {
            let login = membership.login.as_deref().unwrap_or("{}");
            encode(&Outgoing { data: Some(login.as_bytes()), ..Outgoing::new(Action::AuthRequest) }, MASK, out);
        }
        Action::AuthSuccessful => {
            let Some(topic) = &membership.receives else { return ready(0) };
            *stage = Stage::Joining;
            let action = match membership.kind {
                Kind::Event => Action::EventSubscribe,
                Kind::Rpc => Action::RpcProvide,
                _ => Action::RecordSubscribeCreateAndRead,
            };
            let names = &[topic.as_bytes()];
            encode(&Outgoing { names, correlation_id: Some(b"join"), ..Outgoing::new(action) }, MASK, out);
        }
        Action::EventSubscribe | Action::RpcProvide if message.head.flags.has(Flags::IS_ACK) => ready(0),
        Action::RecordReadResponse => ready(message.head.version),
        action if message.head.flags.has(Flags::IS_ERROR) => on(Incoming::Refused(action.name()), out),
        _ => {}
    }
}

fn deliver(message: &Message<&[u8]>, out: &mut Vec<u8>, on: &mut impl Taker) {
    let data = || message.data().unwrap_or_default();
    match message.head.action {
        Action::EventEmit
        | Action::RecordPatch
        | Action::RecordUpdate
        | Action::RecordReadResponse
        | Action::RpcResponse => on(Incoming::Delivery(data(), None), out),
        Action::RpcRequest => on(Incoming::Delivery(data(), message.correlation_id()), out),
        Action::RecordWriteAcknowledgement => {
            on(Incoming::Acknowledged(message.correlation_id().unwrap_or_default()), out);
        }
        Action::RpcAccept => {}
        action if message.head.flags.has(Flags::IS_ERROR) || !message.head.flags.has(Flags::IS_ACK) => {
            on(Incoming::Refused(action.name()), out);
        }
        _ => {}
    }
}

pub(super) fn publish(message: &Publication<'_>, out: &mut Vec<u8>) {
    let Publication { kind, topic, data, version, correlation } = *message;
    let path = matches!(kind, Kind::RecordPatch | Kind::RecordUpsert).then_some(&b"v"[..]);
    let (action, version) = match kind {
        Kind::Event => (Action::EventEmit, None),
        Kind::RecordPatch => (Action::RecordPatch, Some(version)),
        Kind::RecordUpdate => (Action::RecordUpdate, Some(version)),
        Kind::RecordUpsert => (Action::RecordCreateAndPatch, Some(-1)),
        Kind::RecordRead => (Action::RecordRead, None),
        Kind::Rpc => (Action::RpcRequest, None),
    };
    let message = Outgoing {
        name: Some(topic),
        data: (kind != Kind::RecordRead).then_some(data),
        path,
        version,
        correlation_id: correlation,
        is_write_ack: correlation.is_some() && kind != Kind::Rpc,
        ..Outgoing::new(action)
    };
    encode(&message, MASK, out);
}

/// A whole record, created if need be, acknowledged.
pub(crate) fn store(topic: &[u8], data: &[u8], correlation: &[u8], out: &mut Vec<u8>) {
    let message = Outgoing {
        name: Some(topic),
        data: Some(data),
        version: Some(-1),
        correlation_id: Some(correlation),
        is_write_ack: true,
        ..Outgoing::new(Action::RecordCreateAndUpdate)
    };
    encode(&message, MASK, out);
}

/// A provider accepts and answers, as the JavaScript client does.
pub(super) fn answer(call: &Call<'_>, correlation: &[u8], out: &mut Vec<u8>) {
    let message =
        Outgoing { name: Some(call.topic), correlation_id: Some(correlation), ..Outgoing::new(Action::RpcAccept) };
    encode(&message, MASK, out);
    encode(&Outgoing { action: Action::RpcResponse, data: Some(call.data), ..message }, MASK, out);
}
