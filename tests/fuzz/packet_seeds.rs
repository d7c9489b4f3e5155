//! Packets of every kind, with which the fuzzer starts.

use bytes::Bytes;
use deepstream_engine::{
    ConnId, Forwarded, Frames, Identity, Member, Nanos, NodeId, Packet, Permissions, Place, Rejoin, Rejoined, ReplyTo,
    Shadow, View,
};
use deepstream_valve::check::check_rows;
use deepstream_wire::{Action, Flags, Head, Span, Topic, Wire};
use std::sync::Arc;

/// The bytes of each, without the number of the form.
pub(crate) fn all() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = packets().iter().map(written).collect();
    seeds.extend(REQUESTS.map(<[u8]>::to_vec));
    seeds
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write(&mut bytes).expect("short enough");
    bytes.split_off(1)
}

const CONN: ConnId = ConnId { core: Place::of(NodeId(3), 1), generation: 300, slot: 70_000 };
const REPLY_TO: ReplyTo =
    ReplyTo { name_id: 1, attempt: 2, bulk_request: ReplyTo::NONE, bulk_generation: 0, part: 200, rules: 5 };

/// Packets with parts that only the engine can make, as bytes: a listen with its pattern, a remote read, and three answers to it.
const REQUESTS: [&[u8]; 5] = [
    b"\x06\x01\x02\x03\x00\x01\x02\x03\x04\x05\x02\x0a^e/(a|b)+$\x01",
    b"\x08\x01\x02\x03\xff\x01\x04r/ab",
    b"\x0a\x01\x02\x03\x01\x01\x02{}",
    b"\x0a\x01\x02\x03\x01\x00",
    b"\x0a\x01\x02\x03\x00",
];

fn identity(full: bool) -> Arc<Identity> {
    let json = |text: &str| full.then(|| text.as_bytes().into());
    Arc::new(Identity {
        user: "ann".into(),
        wire: if full { Wire::Mqtt } else { Wire::Protobuf },
        client_data: json("{\"a\":1}"),
        server_data: json("{\"b\":[]}"),
        client: json("device"),
    })
}

fn forwarded(action: Action) -> Forwarded {
    let span = |start, len| Span { start, len };
    let head = Head {
        name_hash: u64::MAX,
        version: -1,
        flags: Flags::NAME | Flags::DATA,
        name: span(2, 3),
        data: span(7, 2),
        ..Head::new(action)
    };
    Forwarded { conn: CONN, reply_to: REPLY_TO, head, bytes: Bytes::from_static(b"\x12\x03r/a\x1a\x02{}") }
}

/// Frames with the given encoding for each wire.
fn frames(encoding: impl Fn(Wire) -> &'static [u8]) -> Frames {
    Frames::new(Wire::ALL.map(|wire| Bytes::from_static(encoding(wire))))
}

fn permissions(shadowed: bool) -> Packet {
    let rules = [
        ("record", "r/$x", "read", "_('s/' + $x) !== null && user.id === 'a'"),
        ("event", "^e/[0-9]+$", "publish", "data.match(/a+/i)"),
    ];
    let ruleset = Arc::new(check_rows(&rules).expect("good rules").ruleset);
    let shadow = Shadow {
        ruleset: Arc::clone(&ruleset),
        file: "new.yml".into(),
        live_file: "live.yml".into(),
        samples_per_minute_max: 9,
    };
    let guarded = vec![b"users/"[..].into()];
    let shadow = shadowed.then(|| Arc::new(shadow));
    Packet::Rules(Arc::new(Permissions {
        generation: 7,
        ruleset: Some(ruleset),
        shadow,
        guarded,
        ..Permissions::default()
    }))
}

fn view() -> View {
    let member = |node, since| Member { node: NodeId(node), cores: 2, incarnation: 9, since };
    let slots = (0..View::SLOTS).map(|slot| NodeId(slot as u8 % 2)).collect();
    View::new(5, [1, 2], vec![member(0, 3), member(1, 4)], slots, vec![4; View::SLOTS].into()).expect("a view")
}

fn rejoin(version: Option<i32>) -> Rejoin {
    let (name_id, attempt) = (1, 2);
    Rejoin {
        topic: Topic::Record,
        hash: u64::MAX,
        name: b"r/a"[..].into(),
        name_id,
        attempt,
        count: 3,
        sum: [4, u64::MAX],
        wires: 5,
        version,
    }
}

/// Those of every kind that can be made here.
pub(crate) fn packets() -> Vec<Packet> {
    let (conn, reply_to) = (CONN, REPLY_TO);
    let all = |wire: Wire| -> &'static [u8] { [b"p", b"q", b"t", b"j", b"h", b"m", b"s"][wire as usize] };
    let settled = |version| Packet::Settled { conn, reply_to, refused: true, version };
    vec![
        Packet::Request(forwarded(Action::EventEmit)),
        Packet::Request(forwarded(Action::RecordPatch)),
        Packet::Introduce(conn, identity(true)),
        Packet::Introduce(conn, identity(false)),
        Packet::Farewell(conn, true),
        Packet::Leave { conn, slot: 1, epoch: 2 },
        Packet::Presence { conn, identity: identity(false), online: true },
        Packet::HoldClientId { conn, at: Nanos(1_700_000_000_000_000_000), identity: identity(true), on: true },
        Packet::TakenOver(conn),
        Packet::Counted(ConnId::NOBODY),
        Packet::Everyone { conn, reply_to, on: true },
        Packet::Users { conn, reply_to: ReplyTo::default() },
        Packet::Rules(Arc::default()),
        permissions(false),
        permissions(true),
        Packet::Online { reply_to, users: [&b"ann"[..], b"bea", b""].map(Into::into).into() },
        Packet::Reply(conn, Bytes::from_static(b"\x82\x02\x08\x05")),
        Packet::FanOut { slot: 1, end: true, except: ConnId::NOBODY, frames: frames(|_| b"all the same") },
        Packet::FanOut { slot: 1, end: false, except: conn, frames: frames(all) },
        Packet::Announced { user: b"ann"[..].into(), frames: frames(|_| b"") },
        Packet::Joined { conn, reply_to, slot: 1, epoch: 2, provided: true },
        Packet::Withheld(forwarded(Action::RecordRead)),
        Packet::Fetched(conn, 1 << 31),
        settled(None),
        settled(Some(-1)),
        Packet::Flush { epoch: 5 },
        Packet::Rejoin([rejoin(None), rejoin(Some(7))].into()),
        Packet::Told { epoch: 5 },
        Packet::View(Arc::new(view())),
        Packet::Astray(forwarded(Action::RecordPatch)),
        Packet::Flushed { epoch: u64::MAX },
        Packet::Rejoined([Rejoined { name_id: 1, attempt: 2, slot: 3, epoch: 4 }].into()),
        Packet::Done { name_id: 1, attempt: 2 },
    ]
}
