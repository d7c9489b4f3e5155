//! What a shard does with a message: route, apply, fan out. A bare loop stands in for the host.

#[path = "common/bare.rs"]
mod bare;
mod common;

use bare::{Bare, NOW, bytes};
use common::Case;
use deepstream_engine::{Lane, Packet, Place};
use deepstream_wire::{Action, Endpoint, Link, LinkConfig, LinkEvent, Outgoing, Wire, client, mqtt};
use std::ops::ControlFlow;

fn main() {
    common::main(vec![
        emit("engine/emit_to_1", 1),
        emit("engine/emit_to_8", 8),
        emit("engine/emit_to_100", 100),
        record("engine/update_watched", update),
        record("engine/patch_watched", patch),
        record("engine/read", read),
        through("engine/through_32_emits"),
        hop("engine/route_to_peer"),
        fan_out_to_cores("engine/fan_out_to_4_cores"),
        deliver("engine/deliver_fan_out_to_8"),
        across("engine/across_1_shard", 1),
        across("engine/across_2_shards", 2),
        across("engine/across_4_shards", 4),
        across("engine/across_8_shards", 8),
        across("engine/across_16_shards", 16),
    ]);
}

fn subscription(name: &str) -> Vec<u8> {
    bytes(&Outgoing { names: &[name.as_bytes()], correlation_id: Some(b"0"), ..Outgoing::new(Action::EventSubscribe) })
}

fn emission(name: &str) -> Vec<u8> {
    let data: &[u8] = br#"{"player":"somebody","points":[15,30,40],"at":1234567890}"#;
    bytes(&Outgoing { name: Some(name.as_bytes()), data: Some(data), ..Outgoing::new(Action::EventEmit) })
}

fn emit(name: &'static str, subscribers: usize) -> Case {
    let mut bare = Bare::new(0, 1);
    let publisher = bare.client();
    let subscribe = subscription("news");
    for _ in 0..subscribers {
        let conn = bare.client();
        bare.say(conn, &subscribe);
    }
    bare.flush();
    let payload = emission("news");
    Case::once(name, move || {
        bare.say(publisher, &payload);
        bare.flush()
    })
}

fn update(version: i32) -> Vec<u8> {
    bytes(&Outgoing {
        name: Some(b"stock/acme"),
        version: Some(version),
        data: Some(br#"{"bid":{"price":1.2345,"size":100},"ask":{"price":1.2346,"size":200},"venue":"here"}"#),
        ..Outgoing::new(Action::RecordUpdate)
    })
}

fn patch(version: i32) -> Vec<u8> {
    bytes(&Outgoing {
        name: Some(b"stock/acme"),
        version: Some(version),
        path: Some(b"ask.price"),
        data: Some(b"1.2347"),
        ..Outgoing::new(Action::RecordPatch)
    })
}

fn read(_: i32) -> Vec<u8> {
    bytes(&Outgoing { name: Some(b"stock/acme"), ..Outgoing::new(Action::RecordRead) })
}

/// A record with one watcher; the message takes whatever version comes next.
fn record(name: &'static str, message: fn(i32) -> Vec<u8>) -> Case {
    let mut bare = Bare::new(0, 1);
    let (writer, watcher) = (bare.client(), bare.client());
    let names: &[&[u8]] = &[b"stock/acme"];
    let get = Outgoing { names, correlation_id: Some(b"0"), ..Outgoing::new(Action::RecordSubscribeCreateAndRead) };
    bare.say(watcher, &bytes(&get));
    bare.say(writer, &update(1));
    bare.flush();
    let payload = message(-1);
    Case::once(name, move || {
        bare.say(writer, &payload);
        bare.flush()
    })
}

/// Thirty-two masked frames in one read, through link, shard and flush, to one subscriber: a busy publisher's turn.
fn through(name: &'static str) -> Case {
    let endpoint = Endpoint { path: "/deepstream".into(), wire: Wire::Protobuf, max_message_bytes: 1 << 20 };
    let config = LinkConfig {
        endpoints: vec![endpoint],
        max_request_bytes: 8 << 10,
        mqtt: mqtt::Settings::default(),
        gate: deepstream_wire::Gate::default(),
        text_after_ms: None,
    };
    let mut bare = Bare::new(0, 1);
    let (publisher, subscriber) = (bare.client(), bare.client());
    bare.say(subscriber, &subscription("news"));
    bare.flush();
    let (mut link, mut bytes, mut replies) = (Link::new(), Vec::new(), Vec::new());
    client::upgrade_request("localhost", "/deepstream", &[], &mut bytes);
    link.received(&config, &mut bytes, &mut replies, &mut |_| ControlFlow::Continue(()));
    bytes.clear();
    for number in 0..BATCH as u32 {
        client::encode_frame(client::FINAL_BINARY, &emission("news"), (number * 0x0101_0101).to_le_bytes(), &mut bytes);
    }
    let mut input = Vec::new();
    Case::once(name, move || {
        input.clear();
        input.extend_from_slice(&bytes);
        let Bare { shard, now, .. } = &mut bare;
        link.received(&config, &mut input, &mut replies, &mut |event| {
            if let LinkEvent::Message(message) = event {
                let _ = shard.received(*now, publisher, message);
            }
            ControlFlow::Continue(())
        });
        bare.flush()
    })
}

/// A name of another core: the edge's half of a hop.
fn hop(name: &'static str) -> Case {
    let mut bare = Bare::new(0, 2);
    let publisher = bare.client();
    let there = (0..1000)
        .map(|number| format!("news{number}"))
        .find(|name| {
            bare.say(publisher, &emission(name));
            !bare.packets(1, Lane::Requests).is_empty()
        })
        .expect("some name is the peer's");
    let payload = emission(&there);
    Case::once(name, move || {
        bare.say(publisher, &payload);
        let mut hops = 0;
        bare.shard.take_packets(Place::alone(1), Lane::Requests, |packets| packets.drain(..).for_each(|_| hops += 1));
        hops
    })
}

/// A name of core 0 with subscribers on four other cores: the owner's half.
fn fan_out_to_cores(name: &'static str) -> Case {
    let mut owner = Bare::new(0, 5);
    let publisher = owner.client();
    let mut subscribers: Vec<Bare> = (1..5).map(|core| Bare::new(core, 5)).collect();
    let topic = owned_by_core_0(&mut subscribers[0]);
    for (core, bare) in subscribers.iter_mut().enumerate() {
        let conn = bare.client();
        bare.say(conn, &subscription(&topic));
        for packet in bare.packets(0, Lane::Requests) {
            owner.shard.packet(NOW, Place::alone(core as u16 + 1), packet);
        }
    }
    for core in 1..5 {
        owner.packets(core, Lane::Deliveries);
    }
    let payload = emission(&topic);
    Case::once(name, move || {
        owner.say(publisher, &payload);
        let mut hops = 0;
        for core in 1..5 {
            owner.shard.take_packets(Place::alone(core), Lane::Deliveries, |packets| {
                packets.drain(..).for_each(|_| hops += 1);
            });
        }
        hops
    })
}

/// A fan-out that arrives from an owner, for eight connections: the edge's half.
fn deliver(name: &'static str) -> Case {
    let mut edge = Bare::new(1, 2);
    let mut owner = Bare::new(0, 2);
    let publisher = owner.client();
    let topic = owned_by_core_0(&mut edge);
    for _ in 0..8 {
        let conn = edge.client();
        edge.say(conn, &subscription(&topic));
        for packet in edge.packets(0, Lane::Requests) {
            owner.shard.packet(NOW, Place::alone(1), packet);
        }
        for packet in owner.packets(1, Lane::Deliveries) {
            edge.shard.packet(NOW, Place::alone(0), packet);
        }
    }
    edge.flush();
    owner.say(publisher, &emission(&topic));
    let Some(Packet::FanOut { slot, end, except, frames }) = owner.packets(1, Lane::Deliveries).pop() else {
        panic!("an event with subscribers elsewhere is fanned out");
    };
    Case::once(name, move || {
        let packet = Packet::FanOut { slot, end, except, frames: frames.clone() };
        edge.shard.packet(NOW, Place::alone(0), packet);
        edge.flush()
    })
}

fn owned_by_core_0(edge: &mut Bare) -> String {
    let prober = edge.client();
    let found = (0..1000).map(|number| format!("news{number}")).find(|name| {
        edge.say(prober, &emission(name));
        !edge.packets(0, Lane::Requests).is_empty()
    });
    found.expect("some name is core 0's")
}

/// Messages of one turn.
const BATCH: u64 = 32;

/// Shards and what their hosts would do between them.
struct Shards {
    shards: Vec<Bare>,
    moving: Vec<Packet>,
}

impl Shards {
    /// One core's turn, as far as packets go: it looks at every lane to every peer.
    fn publish(&mut self, core: u16) {
        let Self { shards, moving } = self;
        for peer in (0..shards.len() as u16).filter(|&peer| peer != core) {
            for lane in Lane::ALL {
                shards[core as usize].shard.take_packets(Place::alone(peer), lane, |packets| moving.append(packets));
                for packet in moving.drain(..) {
                    shards[peer as usize].shard.packet(NOW, Place::alone(core), packet);
                }
            }
        }
    }
}

/// An event emitted on one core, owned by a second and heard on a third, if there are so many: what it costs all of them
/// together, in turns of [`BATCH`].
fn across(name: &'static str, count: u16) -> Case {
    let [emits, owns, hears] = [0, 1 % count, 2 % count];
    let mut all = Shards { shards: (0..count).map(|core| Bare::new(core, count)).collect(), moving: Vec::new() };
    let publisher = all.shards[emits as usize].client();
    let owned = |name: &String| {
        all.shards[emits as usize].say(publisher, &emission(name));
        let peers = (0..count).filter(|&peer| peer != emits);
        let owners = peers.filter(|&peer| !all.shards[emits as usize].packets(peer, Lane::Requests).is_empty());
        owners.last().unwrap_or(emits) == owns
    };
    let topic = (0..1000).map(|number| format!("news{number}")).find(owned).expect("some name is the owner's");
    let subscriber = all.shards[hears as usize].client();
    all.shards[hears as usize].say(subscriber, &subscription(&topic));
    let payload = emission(&topic);
    let mut turn = move |messages: u64| {
        for _ in 0..messages {
            all.shards[emits as usize].say(publisher, &payload);
        }
        for core in [hears, emits, owns] {
            all.publish(core);
        }
        all.shards[emits as usize].flush() + all.shards[hears as usize].flush()
    };
    // The subscription, and its confirmation.
    for _ in 0..3 {
        let _ = turn(1);
    }
    let run = move |times: u64| (0..times.div_ceil(BATCH)).fold(0, |sent, _| sent + turn(BATCH));
    Case { name, run: Box::new(run), counted: 1000 }
}
