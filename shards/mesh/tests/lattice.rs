//! Cores that speak, fall asleep and ring each other, on real threads.
#![cfg(not(loom))]

use deepstream_mesh::{Lane, Lattice, Port};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

const PACKETS_PER_LANE: u32 = if cfg!(miri) { 12 } else { 20_000 };
/// Far beyond any honest wait: reaching it means that a wake-up was lost.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn every_pair_has_two_lanes_of_its_own() {
    let mut ports = Lattice::new(3, 4);
    for port in &mut ports {
        let from = port.core();
        for to in (0..3).filter(|&to| to != from) {
            for lane in Lane::ALL {
                assert!(port.send(to, lane, &mut vec![(from, to, lane)]));
            }
        }
    }
    for (to, port) in ports.iter_mut().enumerate() {
        assert_eq!((port.core(), port.cores()), (to, 3));
        for from in 0..3 {
            for lane in Lane::ALL {
                let mut taken = Vec::new();
                port.take(from, lane, 64, |packet| taken.push(packet));
                let expected = if from == to { vec![] } else { vec![(from, to, lane)] };
                assert_eq!(taken, expected);
            }
        }
        assert!(!port.has_input());
    }
}

#[test]
fn full_request_lane_does_not_hold_up_deliveries() {
    let mut ports = Lattice::new(2, 2);
    let mut requests = vec![1, 2, 3];
    assert!(!ports[0].send(1, Lane::Requests, &mut requests));
    assert_eq!(requests, [3]);
    assert!(ports[0].send(1, Lane::Deliveries, &mut vec![4]));
    assert_eq!(ports[1].take(0, Lane::Deliveries, 64, |packet| assert_eq!(packet, 4)), 1);
}

#[test]
fn only_a_sleeper_is_rung_and_only_once_per_sleep() {
    let mut ports = Lattice::new(3, 4);
    assert_eq!(send_and_ring(&mut ports[0], 1), []);

    ports[1].take(0, Lane::Requests, 64, drop);
    ports[1].ring_sleepers(|_| panic!("core 0 waits for no room"));
    ports[1].prepare_sleep();
    assert!(!ports[1].has_work());
    assert_eq!(send_and_ring(&mut ports[0], 1), [1]);
    assert_eq!(send_and_ring(&mut ports[0], 1), []);
    assert_eq!(send_and_ring(&mut ports[2], 1), []);
    assert_eq!(send_and_ring(&mut ports[0], 2), []);
    assert!(ports[1].has_work());
    assert!(ports[1].woke(), "a bell was on its way");

    ports[1].prepare_sleep();
    assert!(ports[1].has_work(), "a look once more finds what came before");
    assert!(!ports[1].woke());
    assert_eq!(send_and_ring(&mut ports[0], 1), []);
}

#[test]
fn thread_that_is_no_core_rings_the_same_bell() {
    let mut ports = Lattice::<u32>::new(2, 4);
    let bell = ports[1].bell();
    assert!(!bell.needs_ring());
    ports[1].prepare_sleep();
    assert!(bell.needs_ring());
    assert_eq!(send_and_ring(&mut ports[0], 1), []);
    assert!(ports[1].woke());
}

#[test]
fn sender_asleep_over_leftovers_is_rung_when_there_is_room() {
    let mut ports = Lattice::new(2, 2);
    let mut items = vec![1, 2, 3];
    assert!(!ports[0].send(1, Lane::Requests, &mut items));
    ports[0].ring_sleepers(|_| panic!("core 1 is awake"));
    ports[0].prepare_sleep();
    assert!(!ports[0].has_work());

    // Room on another lane than the full one is none of its business.
    ports[1].take(0, Lane::Deliveries, 64, drop);
    ports[1].ring_sleepers(|_| panic!("nothing was released"));
    let mut rung = Vec::new();
    assert_eq!(ports[1].take(0, Lane::Requests, 1, drop), 1);
    ports[1].ring_sleepers(|peer| rung.push(peer));
    assert_eq!(rung, [0]);
    assert!(ports[0].has_work());
    assert!(ports[0].woke());
    assert!(ports[0].send(1, Lane::Requests, &mut items));
}

#[test]
fn sender_asleep_with_nothing_left_is_not_rung_for_room() {
    let mut ports = Lattice::new(2, 2);
    assert!(ports[0].send(1, Lane::Requests, &mut vec![1, 2]));
    ports[0].ring_sleepers(|_| panic!("core 1 is awake"));
    ports[0].prepare_sleep();
    ports[1].take(0, Lane::Requests, 64, drop);
    ports[1].ring_sleepers(|_| panic!("core 0 waits for nothing"));
}

#[test]
fn lone_core_has_a_port_and_no_peers() {
    let mut ports = Lattice::<u8>::new(1, 64);
    let port = &mut ports[0];
    assert_eq!(port.take(0, Lane::Requests, 64, drop), 0);
    port.ring_sleepers(|_| panic!("there is nobody"));
    port.prepare_sleep();
    assert!(!port.has_work());
    assert!(!port.woke());
}

#[test]
fn dropped_ports_drop_the_packets_on_their_way() {
    let counted = Arc::new(());
    let mut ports = Lattice::new(2, 4);
    ports[0].send(1, Lane::Requests, &mut vec![counted.clone(); 3]);
    ports[1].send(0, Lane::Deliveries, &mut vec![counted.clone(); 2]);
    assert_eq!(Arc::strong_count(&counted), 6);
    drop(ports);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn cores_that_sleep_whenever_they_can_exchange_everything_in_order() {
    let cores = 3;
    let (wakers, doors): (Vec<Sender<()>>, Vec<Receiver<()>>) = (0..cores).map(|_| channel()).unzip();
    let ports = Lattice::new(cores, 3);
    let running: Vec<_> = ports
        .into_iter()
        .zip(doors)
        .map(|(port, door)| {
            let wakers = wakers.clone();
            thread::spawn(move || Core::new(port, wakers).run(&door))
        })
        .collect();
    for core in running {
        core.join().unwrap();
    }
}

fn send_and_ring(port: &mut Port<u32>, to: usize) -> Vec<usize> {
    port.send(to, Lane::Requests, &mut vec![0]);
    let mut rung = Vec::new();
    port.ring_sleepers(|peer| rung.push(peer));
    rung
}

/// A host without sockets: it sends numbered packets to every peer on both lanes and checks those it gets.
struct Core {
    port: Port<u32>,
    wakers: Vec<Sender<()>>,
    waiting: Vec<[Vec<u32>; 2]>,
    expected: Vec<[u32; 2]>,
    next: u32,
}

impl Core {
    fn new(port: Port<u32>, wakers: Vec<Sender<()>>) -> Self {
        let cores = port.cores();
        Self { port, wakers, waiting: vec![Default::default(); cores], expected: vec![[0; 2]; cores], next: 0 }
    }

    fn run(mut self, door: &Receiver<()>) {
        while !self.done() {
            if !self.turn() {
                self.port.prepare_sleep();
                if !self.port.has_work() {
                    assert_ne!(door.recv_timeout(PATIENCE), Err(RecvTimeoutError::Timeout), "a wake-up was lost");
                }
                self.port.woke();
            }
        }
    }

    fn turn(&mut self) -> bool {
        let me = self.port.core();
        let mut worked = false;
        for peer in (0..self.port.cores()).filter(|&peer| peer != me) {
            for lane in Lane::ALL {
                let expected = &mut self.expected[peer][lane as usize];
                let check = |packet| {
                    assert_eq!(packet, *expected);
                    *expected += 1;
                };
                worked |= self.port.take(peer, lane, 2, check) > 0;
            }
        }
        if self.next < PACKETS_PER_LANE && self.waiting.iter().flatten().all(|lane| lane.len() < 4) {
            for lane in self.waiting.iter_mut().enumerate().filter(|(peer, _)| *peer != me).flat_map(|(_, lanes)| lanes)
            {
                lane.push(self.next);
            }
            self.next += 1;
            worked = true;
        }
        for peer in (0..self.port.cores()).filter(|&peer| peer != me) {
            for lane in Lane::ALL {
                let items = &mut self.waiting[peer][lane as usize];
                let before = items.len();
                self.port.send(peer, lane, items);
                worked |= items.len() < before;
            }
        }
        // A core that is done has dropped its door; it needs no bell.
        self.port.ring_sleepers(|peer| _ = self.wakers[peer].send(()));
        worked
    }

    fn done(&self) -> bool {
        let me = self.port.core();
        self.next == PACKETS_PER_LANE
            && self.waiting.iter().flatten().all(Vec::is_empty)
            && self.expected.iter().enumerate().all(|(peer, lanes)| peer == me || *lanes == [PACKETS_PER_LANE; 2])
    }
}
