//! What one message costs as the tables fill: patterns listened to, names subscribed to, names provided, providers of a
//! name. Rows of one kind that differ by more than their logarithm show something that does not scale.

#[path = "common/bare.rs"]
mod bare;
mod common;

use bare::{Bare, bytes};
use common::Case;
use deepstream_engine::ConnId;
use deepstream_wire::{Action, Outgoing};

fn main() {
    common::main(vec![
        subscribe("scale/subscribe_10_patterns", 10, mixed),
        subscribe("scale/subscribe_1000_patterns", 1_000, mixed),
        subscribe("scale/subscribe_10000_patterns", 10_000, mixed),
        subscribe("scale/subscribe_10_alike", 10, alike),
        subscribe("scale/subscribe_1000_alike", 1_000, alike),
        subscribe("scale/subscribe_10000_alike", 10_000, alike),
        subscribe("scale/subscribe_10_wild", 10, wild),
        subscribe("scale/subscribe_1000_wild", 1_000, wild),
        subscribe("scale/subscribe_10000_wild", 10_000, wild),
        provided("scale/provided_10_patterns", 10),
        provided("scale/provided_1000_patterns", 1_000),
        provided("scale/provided_10000_patterns", 10_000),
        listen("scale/listen_onto_100000_names", 1),
        listen("scale/listen_100_onto_100000_names", 100),
        listen("scale/listen_1000_onto_100000_names", 1_000),
        request("scale/request_10_names", 10, 1),
        request("scale/request_1000_names", 1_000, 1),
        request("scale/request_10000_names", 10_000, 1),
        request("scale/request_10_providers", 1, 10),
        request("scale/request_1000_providers", 1, 1_000),
        request("scale/request_10000_providers", 1, 10_000),
        provide("scale/provide_10_providers", 10),
        provide("scale/provide_1000_providers", 1_000),
        provide("scale/provide_10000_providers", 10_000),
    ]);
}

/// What is listened to in the field: mostly subtrees, some anywhere in a name, some alternatives and classes.
fn mixed(number: usize) -> String {
    match number % 10 {
        0 => format!("user/{number}"),
        1 => format!(r"^(?:bid|ask)/[a-z]+{number}/\d+$"),
        2 => format!(r"^order/[^/]+/venue-{number}$"),
        3 => format!(r"^desk{number}/(?!private).*"),
        _ => format!("^stock/{number}/.*"),
    }
}

/// All have their longest text in common.
fn alike(number: usize) -> String {
    format!("^stock/[^/]+/{number}$")
}

/// Nothing that a name must contain can be told of them.
fn wild(number: usize) -> String {
    format!(r"^[a-z]+.[^/]{{{},}}$", number + 3)
}

/// A shard with this many listen patterns, of connections with a hundred each.
fn listened(bare: &mut Bare, patterns: usize, pattern: fn(usize) -> String) -> ConnId {
    let mut conn = bare.client();
    for number in 0..patterns {
        if number % 100 == 99 {
            conn = bare.client();
        }
        bare.say(conn, &named(Action::EventListen, &pattern(number)));
    }
    bare.flush();
    conn
}

fn named(action: Action, name: &str) -> Vec<u8> {
    bytes(&Outgoing { name: Some(name.as_bytes()), ..Outgoing::new(action) })
}

fn names(action: Action, name: &str) -> Vec<u8> {
    bytes(&Outgoing { names: &[name.as_bytes()], correlation_id: Some(b"0"), ..Outgoing::new(action) })
}

/// A name for which there is no listener is subscribed to and left.
fn subscribe(name: &'static str, patterns: usize, pattern: fn(usize) -> String) -> Case {
    let counted = if name.ends_with("wild") { 100 } else { 1000 };
    Case::prepared(name, counted, move || {
        let mut bare = Bare::new(0, 1);
        listened(&mut bare, patterns, pattern);
        let subscriber = bare.client();
        let turn = [Action::EventSubscribe, Action::EventUnsubscribe].map(|action| names(action, "stock/acme/bid"));
        move || {
            for message in &turn {
                bare.say(subscriber, message);
            }
            bare.flush()
        }
    })
}

/// A name for which there is a listener is subscribed to, provided, and left.
fn provided(name: &'static str, patterns: usize) -> Case {
    Case::prepared(name, 1000, move || {
        let mut bare = Bare::new(0, 1);
        listened(&mut bare, patterns, mixed);
        let (subscriber, provider) = (bare.client(), bare.client());
        bare.say(provider, &named(Action::EventListen, "^venue/[a-z]+/.*"));
        let [subscribe, unsubscribe] =
            [Action::EventSubscribe, Action::EventUnsubscribe].map(|action| names(action, "venue/here/acme"));
        let accept = bytes(&Outgoing {
            name: Some(b"^venue/[a-z]+/.*"),
            subscription: Some(b"venue/here/acme"),
            ..Outgoing::new(Action::EventListenAccept)
        });
        move || {
            bare.say(subscriber, &subscribe);
            bare.say(provider, &accept);
            bare.say(subscriber, &unsubscribe);
            bare.flush()
        }
    })
}

/// A provider comes with its patterns when a hundred thousand names are subscribed to, and goes.
fn listen(name: &'static str, patterns: usize) -> Case {
    Case::prepared(name, 5, move || {
        let mut bare = Bare::new(0, 1);
        let subscriber = bare.client();
        for number in 0..100_000 {
            let name = format!("stock/{}/order/{number}", number % 1000);
            bare.say(subscriber, &names(Action::EventSubscribe, &name));
        }
        bare.flush();
        let listens: Vec<_> =
            (0..patterns).map(|number| named(Action::EventListen, &format!(r"^desk/{number}/\w+"))).collect();
        move || {
            let provider = bare.client();
            for message in &listens {
                bare.say(provider, message);
            }
            bare.settle();
            bare.shard.disconnected(bare.now, provider);
            bare.settle();
            bare.flush()
        }
    })
}

/// A call of one of this many names, with this many providers each, accepted and answered.
fn request(name: &'static str, names: usize, providers: usize) -> Case {
    Case::prepared(name, 500, move || {
        let mut bare = Bare::new(0, 1);
        for _ in 0..providers {
            let provider = bare.client();
            for number in 0..names {
                bare.say(provider, &self::names(Action::RpcProvide, &format!("rate/{number}")));
            }
        }
        let requestor = bare.client();
        bare.flush();
        let called = format!("rate/{}", names / 2);
        let message = |action, data| {
            let name = Some(called.as_bytes());
            bytes(&Outgoing { name, correlation_id: Some(b"call-1"), data, ..Outgoing::new(action) })
        };
        let data: Option<&[u8]> = Some(br#"{"amount":100,"currency":"EUR"}"#);
        let request = message(Action::RpcRequest, data);
        let (accept, response) = (message(Action::RpcAccept, None), message(Action::RpcResponse, data));
        move || {
            bare.say(requestor, &request);
            let mut asked = requestor;
            bare.flush_telling(|conn| asked = conn);
            bare.say(asked, &accept);
            bare.say(asked, &response);
            bare.flush()
        }
    })
}

/// One more provider of a name that already has this many comes and goes.
fn provide(name: &'static str, providers: usize) -> Case {
    Case::prepared(name, 500, move || {
        let mut bare = Bare::new(0, 1);
        let turn = [Action::RpcProvide, Action::RpcUnprovide].map(|action| names(action, "rate"));
        for _ in 0..providers {
            let provider = bare.client();
            bare.say(provider, &turn[0]);
        }
        bare.flush();
        let provider = bare.client();
        move || {
            for message in &turn {
                bare.say(provider, message);
            }
            bare.flush()
        }
    })
}
