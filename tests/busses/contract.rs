//! The contract of `src/bus/mod.rs`, tested with every bus.

use deepstream::bus::{Bus, Heard, Node};
use deepstream::storage::Kind;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

/// Far longer than anything here takes, so it only ends a hang.
const PATIENCE: Duration = Duration::from_mins(1);
const ROOM: usize = 1000;

/// A bus under test, and the means to disturb it.
pub(crate) trait Subject {
    type Bus: Bus;

    /// The bus as a node sees it, with an inbox for this many packets.
    fn bus(&self, node: Node, room: usize) -> Self::Bus;

    /// Makes the bus unreachable for all nodes, or reachable again. `false`: this one does not support that.
    fn away(&self, _away: bool) -> bool {
        false
    }
}

/// The others are told apart from those of the cases before: whatever these left behind is none of theirs.
fn nodes<const N: usize>(case: u64) -> [Node; N] {
    std::array::from_fn(|n| Node(case * 100 + n as u64))
}

pub(crate) fn holds(subject: &impl Subject) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        carries_packets_whole_and_in_order(subject, nodes(1)).await;
        tells_who_comes_and_goes(subject, nodes(2)).await;
        loses_what_finds_no_room_and_no_node(subject, nodes(3)).await;
        gives_an_inbox_to_whoever_opened_last(subject, nodes(4)).await;
        keeps_what_a_dropped_receive_did_not_hand_over(subject, nodes(5)).await;
        goes_away_and_comes_back(subject, nodes(6)).await;
    });
}

async fn opened<S: Subject>(subject: &S, node: Node, room: usize) -> S::Bus {
    let bus = subject.bus(node, room);
    bus.open().await.unwrap();
    bus
}

async fn next(bus: &impl Bus) -> Heard {
    timeout(PATIENCE, bus.receive()).await.expect("nothing came").unwrap()
}

/// The next packet; who comes and goes is passed over.
async fn packet(bus: &impl Bus) -> Vec<u8> {
    loop {
        if let Heard::Packet(packet) = next(bus).await {
            return packet;
        }
    }
}

/// Waits until all of these have joined.
async fn joined(bus: &impl Bus, nodes: &[Node]) {
    let mut missing: BTreeSet<Node> = nodes.iter().copied().collect();
    while !missing.is_empty() {
        match next(bus).await {
            Heard::Joined(node) => assert!(missing.remove(&node), "{node:?} is told once, and nobody else is there"),
            other => panic!("{other:?} where only those joined who were there"),
        }
    }
}

/// Whether nothing more is to be received: what is sent to oneself comes last.
async fn nothing_else(bus: &impl Bus, own: Node) {
    bus.send(own, b"the last").await.unwrap();
    assert_eq!(next(bus).await, Heard::Packet(b"the last".to_vec()));
}

async fn carries_packets_whole_and_in_order(subject: &impl Subject, [a, b, c]: [Node; 3]) {
    let (one, other, third) =
        (opened(subject, a, ROOM).await, opened(subject, b, ROOM).await, opened(subject, c, ROOM).await);
    // A node that is told is one that can be sent to.
    joined(&one, &[b, c]).await;
    joined(&third, &[a, b]).await;
    let every: Vec<u8> = (0..=255).collect();
    let longest = vec![b'x'; one.packet_bytes_max()];
    for packet in [&b""[..], &every, &longest] {
        one.send(b, packet).await.unwrap();
    }
    for n in 0_u32..300 {
        one.send(b, &n.to_le_bytes()).await.unwrap();
        third.send(c, &n.to_le_bytes()).await.unwrap();
    }
    for wanted in [Vec::new(), every, longest] {
        assert!(packet(&other).await == wanted, "{} bytes", wanted.len());
    }
    for n in 0_u32..300 {
        assert_eq!(packet(&other).await, n.to_le_bytes());
        assert_eq!(packet(&third).await, n.to_le_bytes(), "a node may send to itself");
    }
    nothing_else(&other, b).await;
    nothing_else(&one, a).await;
    let long = vec![0; one.packet_bytes_max() + 1];
    assert_eq!(one.send(b, &long).await.unwrap_err().kind, Kind::Lasting);
    for bus in [one, other, third] {
        bus.close().await;
    }
}

async fn tells_who_comes_and_goes(subject: &impl Subject, [a, b, c]: [Node; 3]) {
    let one = opened(subject, a, ROOM).await;
    let other = opened(subject, b, ROOM).await;
    joined(&one, &[b]).await;
    joined(&other, &[a]).await;
    let third = opened(subject, c, ROOM).await;
    joined(&one, &[c]).await;
    joined(&third, &[a, b]).await;
    third.close().await;
    assert_eq!(next(&one).await, Heard::Left(c));
    // However quickly: it may have forgotten everything.
    other.close().await;
    other.open().await.unwrap();
    assert_eq!(next(&one).await, Heard::Left(b));
    assert_eq!(next(&one).await, Heard::Joined(b));
    joined(&other, &[a]).await;
    nothing_else(&one, a).await;
    for bus in [one, other] {
        bus.close().await;
        assert_eq!(bus.receive().await.unwrap_err().kind, Kind::Away, "it is closed");
        assert_eq!(bus.send(c, b"").await.unwrap_err().kind, Kind::Away, "it is closed");
    }
}

async fn loses_what_finds_no_room_and_no_node(subject: &impl Subject, [a, b, nobody]: [Node; 3]) {
    let (one, other) = (opened(subject, a, ROOM).await, opened(subject, b, 10).await);
    joined(&one, &[b]).await;
    one.send(nobody, b"lost").await.unwrap();
    for n in 0_u32..1000 {
        timeout(PATIENCE, one.send(b, &n.to_le_bytes())).await.expect("nobody waits for a receiver").unwrap();
    }
    assert_eq!(next(&other).await, Heard::Joined(a), "for that there is room always");
    let mut got = Vec::new();
    loop {
        let number = u32::from_le_bytes(packet(&other).await.try_into().unwrap());
        got.push(number);
        // Once there is room again, there is.
        if got.len() == 1 {
            one.send(b, &1000_u32.to_le_bytes()).await.unwrap();
        }
        if number == 1000 {
            break;
        }
    }
    assert_eq!(got[..10], (0..10).collect::<Vec<u32>>()[..]);
    assert!(got.len() < 500, "{} packets where ten have room", got.len());
    assert!(got.is_sorted(), "in the order in which they were sent: {got:?}");
    one.close().await;
    other.close().await;
}

async fn gives_an_inbox_to_whoever_opened_last(subject: &impl Subject, [a, b]: [Node; 2]) {
    let (one, first) = (opened(subject, a, ROOM).await, opened(subject, b, ROOM).await);
    joined(&one, &[b]).await;
    joined(&first, &[a]).await;
    let waiting = async { timeout(PATIENCE, first.receive()).await.expect("it is told") };
    let (told, second) = meanwhile(waiting, opened(subject, b, ROOM)).await;
    assert_eq!(told.unwrap_err().kind, Kind::Away);
    assert_eq!(first.send(a, b"").await.unwrap_err().kind, Kind::Away);
    assert_eq!(next(&one).await, Heard::Left(b));
    assert_eq!(next(&one).await, Heard::Joined(b));
    one.send(b, b"to the second").await.unwrap();
    assert_eq!(packet(&second).await, b"to the second");
    // What the first one does at its end is no business of the second.
    first.close().await;
    one.send(b, b"again").await.unwrap();
    assert_eq!(packet(&second).await, b"again");
    nothing_else(&one, a).await;
    one.close().await;
    second.close().await;
}

async fn keeps_what_a_dropped_receive_did_not_hand_over(subject: &impl Subject, [a, b]: [Node; 2]) {
    let (one, other) = (opened(subject, a, ROOM).await, opened(subject, b, ROOM).await);
    joined(&one, &[b]).await;
    joined(&other, &[a]).await;
    for n in 0_u32..100 {
        // Given up after it was asked once, before or after the packet is there.
        let mut given_up = Box::pin(other.receive());
        let early = once(&mut given_up).await;
        assert!(early.is_none(), "nothing was sent yet");
        one.send(b, &n.to_le_bytes()).await.unwrap();
        drop(given_up);
        assert_eq!(packet(&other).await, n.to_le_bytes());
    }
    one.close().await;
    other.close().await;
}

/// What came of one future that waits, and of another which began when it did.
async fn meanwhile<W, T>(waiting: impl Future<Output = W>, other: impl Future<Output = T>) -> (W, T) {
    let mut waiting = Box::pin(waiting);
    assert!(once(&mut waiting).await.is_none(), "it waits");
    let other = other.await;
    (waiting.await, other)
}

/// Polls a future once.
async fn once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(ended) => Some(ended),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

async fn goes_away_and_comes_back(subject: &impl Subject, [a, b]: [Node; 2]) {
    let (one, other) = (opened(subject, a, ROOM).await, opened(subject, b, ROOM).await);
    joined(&one, &[b]).await;
    joined(&other, &[a]).await;
    let waiting = async { timeout(PATIENCE, one.receive()).await.expect("it is told") };
    let leave = async {
        let can = subject.away(true);
        if !can {
            one.close().await;
        }
        can
    };
    let (told, can) = meanwhile(waiting, leave).await;
    assert_eq!(told.unwrap_err().kind, Kind::Away, "who waits is told");
    if can {
        assert_eq!(one.send(b, b"").await.unwrap_err().kind, Kind::Away);
        assert_eq!(other.receive().await.unwrap_err().kind, Kind::Away);
        assert_eq!(one.open().await.unwrap_err().kind, Kind::Away);
        subject.away(false);
        for bus in [&one, &other] {
            bus.open().await.unwrap();
        }
        joined(&one, &[b]).await;
        joined(&other, &[a]).await;
        one.send(b, b"again").await.unwrap();
        assert_eq!(packet(&other).await, b"again");
    }
    one.close().await;
    other.close().await;
}
