//! The exhaustive corner: two shards, two clients, up to six messages, every order in which things can happen.

use deepstream_sim::{Corner, Line, Mutation, every_order};
use deepstream_wire::Action;

/// More orders than any of these scripts has.
const ORDERS_MAX: usize = 20_000;

fn every_order_is_fine(scripts: [&[Line]; 2]) {
    for seed in Corner::PLACEMENTS {
        let orders = every_order(seed, Mutation::None, scripts, ORDERS_MAX);
        println!("placement {seed}: {orders:?} orders");
        assert!(orders.is_ok(), "placement {seed}: {orders:?}");
    }
}

#[test]
fn events() {
    let subscribe = Line::Names(Action::EventSubscribe, &["e0"]);
    let unsubscribe = Line::Names(Action::EventUnsubscribe, &["e0"]);
    every_order_is_fine([&[subscribe, unsubscribe, subscribe], &[Line::Emit, Line::Emit]]);
    every_order_is_fine([&[subscribe, Line::Emit, unsubscribe], &[subscribe, Line::Emit]]);
}

#[test]
fn a_record_created_written_and_deleted() {
    let subscribe = Line::Names(Action::RecordSubscribeCreateAndRead, &["r0"]);
    every_order_is_fine([&[subscribe, Line::Write("r0", 1)], &[Line::Write("r0", -1)]]);
    every_order_is_fine([&[subscribe], &[Line::Write("r0", -1), Line::Name(Action::RecordDelete, "r0")]]);
}

#[test]
fn a_call_answered_rejected_or_left() {
    let provide = Line::Names(Action::RpcProvide, &["p0"]);
    let unprovide = Line::Names(Action::RpcUnprovide, &["p0"]);
    let accept = Line::Answer(Action::RpcAccept);
    let respond = Line::Answer(Action::RpcResponse);
    every_order_is_fine([&[provide, accept, respond], &[Line::Request("p0"), Line::Request("p0")]]);
    every_order_is_fine([&[provide, Line::Answer(Action::RpcReject)], &[provide, Line::Request("p0"), respond]]);
    every_order_is_fine([&[provide, unprovide, Line::Drop], &[Line::Request("p0"), Line::Request("p0")]]);
    every_order_is_fine([&[provide, accept, Line::Drop], &[Line::Request("p0"), Line::Drop]]);
}

#[test]
fn presence() {
    let all = Line::Names(Action::PresenceSubscribeAll, &[]);
    let none = Line::Names(Action::PresenceUnsubscribeAll, &[]);
    every_order_is_fine([&[all, none, all], &[Line::Drop]]);
    every_order_is_fine([&[Line::Names(Action::PresenceSubscribe, &["u0", "u1"])], &[all, Line::Drop]]);
}

const LISTEN: Line = Line::Name(Action::EventListen, "^e0$");
const UNLISTEN: Line = Line::Name(Action::EventUnlisten, "^e0$");
const ACCEPT: Line = Line::Provide(true);
const REJECT: Line = Line::Provide(false);

#[test]
fn an_event_provided_and_wanted_no_more() {
    let subscribe = Line::Names(Action::EventSubscribe, &["e0"]);
    let unsubscribe = Line::Names(Action::EventUnsubscribe, &["e0"]);
    every_order_is_fine([&[LISTEN, ACCEPT], &[subscribe, unsubscribe]]);
    every_order_is_fine([&[LISTEN, UNLISTEN], &[subscribe]]);
    every_order_is_fine([&[LISTEN, REJECT], &[subscribe, unsubscribe]]);
}

#[test]
fn a_record_provided_and_left() {
    let listen = Line::Name(Action::RecordListen, "^r0$");
    let subscribe = Line::Names(Action::RecordSubscribe, &["r0"]);
    let unsubscribe = Line::Names(Action::RecordUnsubscribe, &["r0"]);
    every_order_is_fine([&[listen, ACCEPT], &[subscribe, unsubscribe]]);
}

#[test]
fn six_messages_about_events() {
    let subscribe = Line::Names(Action::EventSubscribe, &["e0"]);
    let unsubscribe = Line::Names(Action::EventUnsubscribe, &["e0"]);
    every_order_is_fine([&[subscribe, unsubscribe, subscribe], &[Line::Emit, Line::Emit, Line::Emit]]);
}

#[test]
fn six_messages_about_calls() {
    let provide = Line::Names(Action::RpcProvide, &["p0"]);
    let respond = Line::Answer(Action::RpcResponse);
    every_order_is_fine([&[provide, respond, respond], &[Line::Request("p0"), Line::Request("p0"), Line::Drop]]);
}

/// Those about a record that is in memory alone: storage has moments of its own, and many.
#[test]
fn six_messages_about_a_record() {
    let read = Line::Names(Action::RecordSubscribeCreateAndRead, &["x0"]);
    let head = Line::Names(Action::RecordSubscribeAndHead, &["x0"]);
    let unsubscribe = Line::Names(Action::RecordUnsubscribe, &["x0"]);
    let delete = Line::Name(Action::RecordDelete, "x0");
    every_order_is_fine([&[read, Line::Write("x0", 1), delete], &[read, Line::Write("x0", -1), unsubscribe]]);
    every_order_is_fine([&[read, delete, head], &[Line::Write("x0", -1), read, Line::Write("x0", -1)]]);
    every_order_is_fine([&[head, unsubscribe, read], &[Line::Write("x0", -1), delete, Line::Drop]]);
}

#[test]
fn six_messages_about_who_is_there() {
    let all = Line::Names(Action::PresenceSubscribeAll, &[]);
    let none = Line::Names(Action::PresenceUnsubscribeAll, &[]);
    let subscribe = Line::Names(Action::PresenceSubscribe, &["u1"]);
    let unsubscribe = Line::Names(Action::PresenceUnsubscribe, &["u1"]);
    every_order_is_fine([&[subscribe, unsubscribe, subscribe], &[all, none, Line::Drop]]);
}

#[test]
fn six_messages_about_who_provides_an_event() {
    let subscribe = Line::Names(Action::EventSubscribe, &["e0"]);
    let unsubscribe = Line::Names(Action::EventUnsubscribe, &["e0"]);
    every_order_is_fine([&[LISTEN, ACCEPT, ACCEPT], &[subscribe, unsubscribe, subscribe]]);
    every_order_is_fine([&[LISTEN, ACCEPT, Line::Drop], &[LISTEN, subscribe, ACCEPT]]);
}

#[test]
fn a_planted_bug_is_found() {
    let subscribe = Line::Names(Action::EventSubscribe, &["e0"]);
    let found = (0..40).any(|seed| {
        let scripts: [&[Line]; 2] = [&[subscribe], &[Line::Emit, Line::Emit]];
        every_order(seed, Mutation::LoseFanOut, scripts, ORDERS_MAX).is_err()
    });
    assert!(found);
}
