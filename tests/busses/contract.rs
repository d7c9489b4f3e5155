//! The contract of `src/bus/mod.rs`, tested with every bus.

use bytes::Bytes;
use deepstream::bus::{Address, Bus, INBOX_BYTES, INBOX_PACKETS};
use deepstream::storage::Kind;
use deepstream_engine::NodeId;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Far longer than anything here takes, so it only ends a hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// A bus under test, and the means to disturb it.
pub(crate) trait Subject {
    type Bus: Bus;

    /// The bus as one process sees it.
    fn bus(&self) -> Self::Bus;

    /// Makes the bus unreachable for all nodes, or reachable again. `false`: this one does not support that.
    fn away(&self, _away: bool) -> bool {
        false
    }
}

/// Those of one case are told apart from those of the cases before: whatever these left behind is none of theirs.
fn addresses<const N: usize>(case: u64) -> [Address; N] {
    std::array::from_fn(|n| Address { node: NodeId(n as u8), incarnation: case << 56 | 0x00AB_CDEF })
}

pub(crate) fn holds(subject: &impl Subject) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        carries_packets_whole(subject, addresses(1)).await;
        gives_nobody_what_is_another_incarnations(subject, addresses(2)).await;
        loses_what_finds_no_room_and_nobody(subject, addresses(3)).await;
        keeps_what_a_dropped_receive_did_not_hand_over(subject, addresses(4)).await;
        is_away_before_it_is_open_and_once_it_is_closed(subject, addresses(5)).await;
        goes_away_and_comes_back(subject, addresses(6)).await;
    });
}

async fn opened<S: Subject>(subject: &S, own: Address) -> S::Bus {
    let bus = subject.bus();
    bus.open(own).await.unwrap();
    bus
}

async fn next(bus: &impl Bus) -> Bytes {
    timeout(PATIENCE, bus.receive()).await.expect("nothing came").unwrap()
}

async fn send(bus: &impl Bus, to: Address, packet: impl Into<Bytes>) {
    timeout(PATIENCE, bus.send(to, packet.into())).await.expect("nobody waits for a receiver").unwrap();
}

/// What comes up to this, which is sent now.
async fn up_to(bus: &impl Bus, from: &impl Bus, own: Address, last: &'static [u8]) -> Vec<Bytes> {
    send(from, own, last).await;
    let mut got = Vec::new();
    loop {
        let packet = next(bus).await;
        if packet == last {
            return got;
        }
        got.push(packet);
    }
}

async fn carries_packets_whole(subject: &impl Subject, [a, b, c]: [Address; 3]) {
    let (one, other, third) = (opened(subject, a).await, opened(subject, b).await, opened(subject, c).await);
    let every: Vec<u8> = (0..=255).collect();
    let longest = vec![b'x'; one.packet_bytes_max()];
    let packets = [Vec::new(), every, longest];
    for packet in &packets {
        send(&one, b, packet.clone()).await;
    }
    for wanted in &packets {
        assert!(next(&other).await == wanted, "{} bytes", wanted.len());
    }
    for n in 0_u32..300 {
        send(&one, b, n.to_le_bytes().to_vec()).await;
        send(&third, c, n.to_le_bytes().to_vec()).await;
    }
    for n in 0_u32..300 {
        assert_eq!(next(&other).await, &n.to_le_bytes()[..], "nothing is disturbed, so nothing changes places");
        assert_eq!(next(&third).await, &n.to_le_bytes()[..], "a node may send to itself");
    }
    assert!(up_to(&other, &one, b, b"last").await.is_empty());
    assert!(up_to(&one, &other, a, b"last").await.is_empty());
    let long = vec![0; one.packet_bytes_max() + 1];
    assert_eq!(one.send(b, long.into()).await.unwrap_err().kind, Kind::Lasting);
    for bus in [one, other, third] {
        bus.close().await;
    }
}

async fn gives_nobody_what_is_another_incarnations(subject: &impl Subject, [a, b]: [Address; 2]) {
    let (one, first) = (opened(subject, a).await, opened(subject, b).await);
    let again = Address { incarnation: b.incarnation + 1, ..b };
    let second = opened(subject, again).await;
    send(&one, b, &b"to the first"[..]).await;
    send(&one, again, &b"to the second"[..]).await;
    assert_eq!(next(&second).await, &b"to the second"[..]);
    assert_eq!(next(&first).await, &b"to the first"[..]);
    first.close().await;
    send(&one, b, &b"to nobody"[..]).await;
    assert!(up_to(&second, &one, again, b"last").await.is_empty());
    one.close().await;
    second.close().await;
}

async fn loses_what_finds_no_room_and_nobody(subject: &impl Subject, [a, b, nobody]: [Address; 3]) {
    let (one, other) = (opened(subject, a).await, opened(subject, b).await);
    send(&one, nobody, &b"lost"[..]).await;
    assert_eq!(one.lost() + other.lost(), 0, "that was nobody's");
    let packet = Bytes::from(vec![b'x'; one.packet_bytes_max().min(128 << 10)]);
    let many = 2 * INBOX_BYTES / packet.len();
    for _ in 0..many {
        send(&one, b, packet.clone()).await;
    }
    // Until all have come: those that are on their way find room once others were received.
    let come = async {
        while (other.lost() as usize) < many - INBOX_BYTES / packet.len() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, come).await.expect("what was lost is counted");
    let got = taken(&other, &one, b).await;
    assert!((1..=INBOX_BYTES / packet.len()).contains(&got), "{got} packets in an inbox of {INBOX_BYTES} bytes");
    for _ in 0..2 * INBOX_PACKETS {
        send(&one, b, &b"small"[..]).await;
    }
    let got = taken(&other, &one, b).await;
    assert!((1..2 * INBOX_PACKETS).contains(&got), "{got} packets in an inbox of {INBOX_PACKETS}");
    one.close().await;
    other.close().await;
}

/// How many packets were waiting. The one that tells the end is sent until it finds room.
async fn taken(bus: &impl Bus, from: &impl Bus, own: Address) -> usize {
    let mut got = 0;
    loop {
        match timeout(Duration::from_millis(200), bus.receive()).await {
            Ok(packet) if packet.as_ref().unwrap() == &b"the end"[..] => return got,
            Ok(_) => got += 1,
            Err(_) => send(from, own, &b"the end"[..]).await,
        }
    }
}

async fn keeps_what_a_dropped_receive_did_not_hand_over(subject: &impl Subject, [a, b]: [Address; 2]) {
    let (one, other) = (opened(subject, a).await, opened(subject, b).await);
    for n in 0_u32..100 {
        // Given up after it was asked once, before or after the packet is there.
        let mut given_up = Box::pin(other.receive());
        let early = once(&mut given_up).await;
        assert!(early.is_none(), "nothing was sent yet");
        send(&one, b, n.to_le_bytes().to_vec()).await;
        drop(given_up);
        assert_eq!(next(&other).await, &n.to_le_bytes()[..]);
    }
    one.close().await;
    other.close().await;
}

async fn is_away_before_it_is_open_and_once_it_is_closed(subject: &impl Subject, [a, b]: [Address; 2]) {
    let bus = subject.bus();
    assert_eq!(bus.send(b, Bytes::new()).await.unwrap_err().kind, Kind::Away);
    assert_eq!(bus.receive().await.unwrap_err().kind, Kind::Away);
    bus.open(a).await.unwrap();
    let waiting = async { timeout(PATIENCE, bus.receive()).await.expect("it is told") };
    let (told, ()) = meanwhile(waiting, bus.close()).await;
    assert_eq!(told.unwrap_err().kind, Kind::Away, "who waits is told");
    assert_eq!(bus.send(b, Bytes::new()).await.unwrap_err().kind, Kind::Away);
    bus.open(a).await.unwrap();
    assert!(up_to(&bus, &bus, a, b"again").await.is_empty());
    bus.close().await;
}

async fn goes_away_and_comes_back(subject: &impl Subject, [a, b]: [Address; 2]) {
    let (one, other) = (opened(subject, a).await, opened(subject, b).await);
    let waiting = async { timeout(PATIENCE, one.receive()).await.expect("it is told") };
    let mut can = false;
    let (told, ()) = meanwhile(waiting, async {
        can = subject.away(true);
        if !can {
            one.close().await;
        }
    })
    .await;
    assert_eq!(told.unwrap_err().kind, Kind::Away, "who waits is told");
    if can {
        assert_eq!(one.send(b, Bytes::new()).await.unwrap_err().kind, Kind::Away);
        assert_eq!(timeout(PATIENCE, other.receive()).await.expect("it is told").unwrap_err().kind, Kind::Away);
        assert_eq!(one.open(a).await.unwrap_err().kind, Kind::Away);
        subject.away(false);
        one.open(a).await.unwrap();
        other.open(b).await.unwrap();
        assert!(up_to(&other, &one, b, b"again").await.is_empty());
        assert!(up_to(&one, &other, a, b"again").await.is_empty());
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
