//! Tests the ring under the most awkward conditions: tiny socket buffers, so that every send is partial; receive
//! buffers that are kept for a while, so that sockets starve; storms of pauses and resumptions, so that cancelled
//! receives and new ones race; peers that end, reset and vanish at any moment.
//!
//! Both directions of every connection carry a numbered pattern, so that a byte lost, doubled or moved is seen where it
//! happens. A wake-up that is lost shows as a sleep that does not end although something was owed.

use super::*;
use deepstream_engine::Outbox;
use socket2::{Domain, Socket as RawSocket, Type};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;

/// If the ring reports nothing for this long although something is due, a wake-up was lost.
const OVERSLEPT: Duration = Duration::from_secs(10);
const PEERS_MAX: usize = 24;

/// Splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Byte `at` of every direction of every connection.
fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 16)) as u8
}

fn bytes(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(pattern).collect()
}

/// At most `most` completions.
fn reap(ring: &mut Ring, most: usize, completions: &mut Vec<Completion>) {
    ring.reap();
    completions.extend((0..most).map_while(|_| ring.next()));
}

/// The far end of a connection. Never blocks.
struct Peer {
    stream: TcpStream,
    wrote: usize,
    read: usize,
    /// It will write nothing more.
    ended: bool,
}

/// The near end, as its owner sees it.
#[derive(Default)]
struct Near {
    received: usize,
    handed: usize,
    sent: usize,
    sending: Option<usize>,
    ended: bool,
    paused: bool,
}

struct World {
    ring: Ring,
    chance: Chance,
    address: SocketAddr,
    /// By the port of the far end, which the near end knows too.
    peers: HashMap<u16, Peer>,
    near: HashMap<u16, (Key, Near)>,
    kept: Vec<Buffer>,
    /// Let go of in this reap.
    let_go: Vec<Key>,
    completions: Vec<Completion>,
    accepted: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        // Half of the worlds accept one after the other.
        let burst = if seed.is_multiple_of(2) { usize::MAX } else { 0 };
        let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Inherited by what is accepted.
        socket.set_send_buffer_size(4096).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(128).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let mut ring = Ring::new(Waker::new().unwrap(), Arc::new(Descriptors::of(usize::MAX, burst))).unwrap();
        ring.listen(listener);
        Self {
            ring,
            chance: Chance(seed),
            address,
            peers: HashMap::new(),
            near: HashMap::new(),
            kept: Vec::new(),
            let_go: Vec::new(),
            completions: Vec::new(),
            accepted: 0,
        }
    }

    fn connect(&mut self) {
        let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(&self.address.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = TcpStream::from(socket);
        let port = stream.local_addr().unwrap().port();
        self.peers.insert(port, Peer { stream, wrote: 0, read: 0, ended: false });
    }

    fn some_peer(&mut self) -> Option<u16> {
        let mut ports: Vec<u16> = self.peers.keys().copied().collect();
        ports.sort_unstable();
        (!ports.is_empty()).then(|| ports[self.chance.below(ports.len())])
    }

    fn some_near(&mut self) -> Option<u16> {
        let mut ports: Vec<u16> = self.near.keys().copied().collect();
        ports.sort_unstable();
        (!ports.is_empty()).then(|| ports[self.chance.below(ports.len())])
    }

    /// One thing somebody might do.
    fn step(&mut self) {
        match self.chance.below(16) {
            0 if self.peers.len() < PEERS_MAX => self.connect(),
            1..=4 => self.peer_writes(),
            5..=7 => self.peer_reads(),
            8 if self.chance.one_in(6) => self.peer_leaves(),
            9..=10 => self.near_sends(),
            11..=12 => self.near_pauses_or_resumes(),
            13 if self.chance.one_in(12) => self.near_closes(),
            14 => self.release(),
            _ => self.reap(),
        }
    }

    fn peer_writes(&mut self) {
        let Some(port) = self.some_peer() else { return };
        let len = 1 + self.chance.below(40_000);
        let peer = self.peers.get_mut(&port).unwrap();
        if !peer.ended {
            // Full, or broken, which the near end finds out by itself.
            peer.wrote += peer.stream.write(&bytes(peer.wrote, len)).unwrap_or(0);
        }
    }

    fn peer_reads(&mut self) {
        if let Some(port) = self.some_peer() {
            let most = 1 + self.chance.below(60_000);
            self.peers.get_mut(&port).unwrap().read(most);
        }
    }

    fn peer_leaves(&mut self) {
        let Some(port) = self.some_peer() else { return };
        if self.chance.one_in(2) {
            let peer = self.peers.get_mut(&port).unwrap();
            peer.ended = true;
            let _ = peer.stream.shutdown(Shutdown::Write);
            return;
        }
        let peer = self.peers.remove(&port).unwrap();
        if self.chance.one_in(2) {
            // Reset instead of end.
            let _ = socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn near_sends(&mut self) {
        let Some(port) = self.some_near() else { return };
        let pieces = 1 + self.chance.below(4);
        let lens: Vec<(usize, bool)> =
            (0..pieces).map(|_| (1 + self.chance.below(30_000), self.chance.one_in(2))).collect();
        let (key, near) = self.near.get_mut(&port).unwrap();
        if near.sending.is_some() {
            return;
        }
        let mut outbox = Outbox::default();
        for (len, shared) in lens {
            let piece = bytes(near.handed, len);
            near.handed += len;
            if shared {
                outbox.push_shared(piece.into());
            } else {
                outbox.bytes.extend_from_slice(&piece);
            }
        }
        let len = outbox.len();
        let at_once = match self.ring.send(*key, outbox) {
            Taken::All(outbox) => outbox.len(),
            Taken::Part(bytes) => bytes,
        };
        near.sent += at_once;
        near.sending = (at_once < len).then_some(len - at_once);
    }

    fn near_pauses_or_resumes(&mut self) {
        let Some(port) = self.some_near() else { return };
        let times = 1 + self.chance.below(4);
        let (key, near) = self.near.get_mut(&port).unwrap();
        for _ in 0..times {
            if near.paused {
                self.ring.resume(*key);
            } else {
                self.ring.pause(*key);
            }
            near.paused = !near.paused;
        }
    }

    fn near_closes(&mut self) {
        if let Some(port) = self.some_near() {
            let (key, _) = self.near.remove(&port).unwrap();
            self.ring.close(key);
        }
    }

    fn release(&mut self) {
        while !self.kept.is_empty() && !self.chance.one_in(50) {
            let index = self.chance.below(self.kept.len());
            self.ring.release(self.kept.swap_remove(index));
        }
    }

    fn reap(&mut self) {
        match self.chance.below(3) {
            0 => self.ring.submit(),
            1 if self.ring.has_completions() => {}
            _ => self.ring.sleep(Some(Duration::from_micros(200))),
        }
        let most = 1 + self.chance.below(300);
        let mut completions = take(&mut self.completions);
        reap(&mut self.ring, most, &mut completions);
        self.look_at(&mut completions);
        self.completions = completions;
    }

    fn look_at(&mut self, completions: &mut Vec<Completion>) {
        self.let_go.clear();
        for completion in completions.drain(..) {
            match completion {
                // It was taken together with the completion that made us close the socket, so it is thrown away.
                Completion::Received(key, buffer) if self.let_go.contains(&key) => self.ring.release(buffer),
                Completion::Ended(key)
                | Completion::Lost(key)
                | Completion::HungUp(key)
                | Completion::Sent { key, .. }
                    if self.let_go.contains(&key) => {}
                completion => self.completed(completion),
            }
        }
    }

    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted(key, _) => {
                self.accepted += 1;
                match self.ring.peer_address(key) {
                    Some(address) => drop(self.near.insert(address.port(), (key, Near::default()))),
                    // Reset before it was accepted.
                    None => self.ring.close(key),
                }
            }
            // Only told while it is paused, and its end is told all the same once it is not.
            Completion::HungUp(_) => {}
            Completion::AcceptFailed(error) => panic!("accepting failed: {error}"),
            Completion::Received(key, buffer) => {
                let near = near(&mut self.near, key);
                assert!(!near.ended, "bytes behind the end");
                let got = self.ring.bytes(&buffer);
                let first = got.iter().zip(near.received..).position(|(byte, at)| *byte != pattern(at));
                assert_eq!(first, None, "of {} bytes behind {}", got.len(), near.received);
                near.received += got.len();
                if self.chance.one_in(3) {
                    self.ring.release(buffer);
                } else {
                    self.kept.push(buffer);
                }
            }
            Completion::Ended(key) => {
                let near = near(&mut self.near, key);
                assert!(!near.ended, "two ends");
                near.ended = true;
            }
            Completion::Sent { key, bytes, all } => {
                let near = near(&mut self.near, key);
                near.sent += bytes;
                let left = near.sending.take().expect("nothing was being sent") - bytes;
                assert_eq!(all, left == 0);
                near.sending = (left > 0).then_some(left);
                assert_eq!(near.sent + left, near.handed);
            }
            Completion::Lost(key) => {
                near(&mut self.near, key);
                self.near.retain(|_, (other, _)| *other != key);
                self.let_go.push(key);
                self.ring.close(key);
            }
            Completion::Woken => panic!("nobody rang"),
            Completion::Refused(..) => panic!("there is room for all"),
        }
    }

    /// Checks what must hold whatever happened before: everything a peer wrote arrives, everything handed over is sent,
    /// every end is reported.
    fn settle(&mut self) {
        for (key, near) in self.near.values_mut() {
            if take(&mut near.paused) {
                self.ring.resume(*key);
            }
        }
        for peer in self.peers.values_mut().filter(|peer| !peer.ended) {
            peer.ended = true;
            let _ = peer.stream.shutdown(Shutdown::Write);
        }
        let mut moved_at = Instant::now();
        while !self.is_settled() {
            for peer in self.peers.values_mut() {
                peer.read(usize::MAX);
            }
            while let Some(buffer) = self.kept.pop() {
                self.ring.release(buffer);
            }
            if !self.ring.has_completions() {
                // The peers run on this thread, so they must get a chance to read.
                self.ring.sleep(Some(Duration::from_millis(5)));
            }
            self.ring.submit();
            let mut completions = take(&mut self.completions);
            reap(&mut self.ring, 64, &mut completions);
            if !completions.is_empty() {
                moved_at = Instant::now();
            }
            assert!(moved_at.elapsed() < OVERSLEPT, "it sleeps over {}", self.owed());
            self.look_at(&mut completions);
            self.completions = completions;
        }
    }

    fn is_settled(&self) -> bool {
        let near = |port| self.near.get(port).map(|(_, near)| near);
        self.near.values().all(|(_, near)| near.ended && near.sending.is_none())
            && self.peers.iter().all(|(port, peer)| near(port).is_none_or(|near| near.received == peer.wrote))
    }

    fn owed(&self) -> String {
        let each = self.near.iter().map(|(port, (_, near))| {
            let wrote = self.peers.get(port).map(|peer| peer.wrote);
            format!("received {} of {wrote:?}, ended {}, sending {:?}", near.received, near.ended, near.sending)
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Everybody leaves: the ring holds no socket, and the kernel has all buffers.
    fn end(&mut self) {
        self.peers.clear();
        while let Some(buffer) = self.kept.pop() {
            self.ring.release(buffer);
        }
        for (_, (key, _)) in self.near.drain() {
            self.ring.close(key);
        }
        while self.ring.socket_count() > 0 {
            if !self.ring.has_completions() {
                let before = Instant::now();
                self.ring.sleep(Some(OVERSLEPT));
                assert!(before.elapsed() < OVERSLEPT, "{} sockets are never freed", self.ring.socket_count());
            }
            self.ring.submit();
            let mut completions = Vec::new();
            reap(&mut self.ring, usize::MAX, &mut completions);
            for completion in completions {
                match completion {
                    Completion::Accepted(key, _) => self.ring.close(key),
                    other => panic!("{other:?} of a socket that was let go of"),
                }
            }
        }
        assert_eq!(self.ring.buffers.out(), 0, "buffers nobody has");
    }
}

impl Peer {
    /// Reads what is there, `most` bytes of it.
    fn read(&mut self, most: usize) {
        let mut buffer = vec![0; most.min(1 << 16)];
        let mut left = most;
        while left > 0 {
            let room = left.min(buffer.len());
            // Nothing there, ended, or reset: the next step finds it as it is.
            let Ok(count @ 1..) = self.stream.read(&mut buffer[..room]) else { return };
            assert_eq!(buffer[..count], bytes(self.read, count), "behind {}", self.read);
            self.read += count;
            left -= count;
        }
    }
}

fn near(all: &mut HashMap<u16, (Key, Near)>, key: Key) -> &mut Near {
    let found = all.values_mut().find(|(other, _)| *other == key);
    &mut found.expect("nothing is told of a socket that was let go of").1
}

#[test]
fn whatever_peers_and_owners_do_no_byte_is_lost_and_no_wake_up() {
    if let Err(missing) = probe() {
        eprintln!("skipped: no network ring here: {missing:?}");
        return;
    }
    let seeds = std::env::var("DEEPSTREAM_RING_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for seed in 0..seeds {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..4 {
            (0..2000).for_each(|_| world.step());
            world.settle();
        }
        assert!(world.accepted > 0);
        world.end();
    }
}
