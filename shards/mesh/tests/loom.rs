//! Every interleaving and every permitted reordering of the sleep protocol, within loom's bounds. Run with
//! `RUSTFLAGS=--cfg=loom CARGO_TARGET_DIR=target/loom cargo test -p deepstream-mesh --profile checked --test loom`.
//!
//! Real sleep is modelled by a thread that never looks again unless its bell comes: a lost wake-up is a deadlock, which loom
//! reports.
#![cfg(loom)]

use deepstream_mesh::{Bell, Lane, Lattice, Port, bell::bell};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;
use std::sync::atomic::AtomicUsize as StdAtomicUsize;

/// What a host wakes with. A bell that comes before the sleep ends it at once, as it would in a kernel's queue.
#[derive(Clone)]
struct Door(Arc<(Notify, StdAtomicUsize)>);

impl Door {
    fn new() -> Self {
        Self(Arc::new((Notify::new(), StdAtomicUsize::new(0))))
    }

    fn ring(&self) {
        self.0.1.fetch_add(1, Ordering::Relaxed);
        self.0.0.notify();
    }

    fn sleep(&self) {
        self.0.0.wait();
    }

    /// How often it was rung. Unknown to the checker, so that counting lends the protocol no order.
    fn rung(&self) -> usize {
        self.0.1.load(Ordering::Relaxed)
    }
}

/// Explores with at most three involuntary switches per run, unless `LOOM_MAX_PREEMPTIONS` says otherwise: a minute or two,
/// and more than any of the mistakes this protocol could hide has needed so far.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}

/// Publishes one item into a queue that is a bare counter, then rings if told to.
fn publish(tail: &AtomicUsize, bell: &Bell, door: &Door) {
    tail.store(1, Ordering::Release);
    if bell.needs_ring() {
        door.ring();
    }
}

#[test]
fn two_producers_never_leave_a_sleeper_asleep_and_ring_once_per_sleep() {
    check(|| {
        let (mut sleeper, bell) = bell();
        let door = Door::new();
        let tails = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let producers = tails.clone().map(|tail| {
            let (bell, door) = (bell.clone(), door.clone());
            thread::spawn(move || publish(&tail, &bell, &door))
        });
        let mut rounds = 0;
        let arrived = || tails.iter().filter(|tail| tail.load(Ordering::Acquire) == 1).count();
        let mut seen = arrived();
        while seen < 2 {
            rounds += 1;
            sleeper.prepare_sleep();
            if arrived() == seen {
                door.sleep();
            }
            sleeper.woke();
            seen = arrived();
        }
        for producer in producers {
            producer.join().unwrap();
        }
        assert!(door.rung() <= rounds, "{} bells in {rounds} rounds", door.rung());
    });
}

#[test]
fn answer_of_woke_says_whether_a_bell_is_on_its_way() {
    check(|| {
        let (mut sleeper, bell) = bell();
        let door = Door::new();
        let tail = Arc::new(AtomicUsize::new(0));
        let producer = {
            let (tail, door) = (tail.clone(), door.clone());
            thread::spawn(move || publish(&tail, &bell, &door))
        };
        sleeper.prepare_sleep();
        let claimed = sleeper.woke();
        producer.join().unwrap();
        assert_eq!(usize::from(claimed), door.rung());
    });
}

/// One core of a host that sleeps whenever it can.
struct Core {
    port: Port<usize>,
    doors: [Door; 2],
    peer: usize,
}

impl Core {
    fn ring(&mut self) {
        self.port.ring_sleepers(|peer| self.doors[peer].ring());
    }

    fn sleep(&mut self) {
        self.port.prepare_sleep();
        if !self.port.has_work() {
            self.doors[self.port.core()].sleep();
        }
        self.port.woke();
    }

    fn send_all(mut self, mut items: Vec<usize>) {
        loop {
            let all_sent = self.port.send(self.peer, Lane::Requests, &mut items);
            self.ring();
            if all_sent {
                break;
            }
            self.sleep();
        }
    }

    fn take_all(mut self, count: usize, max: usize) {
        let mut expected = 0;
        loop {
            let expect = |item| {
                assert_eq!(item, expected);
                expected += 1;
            };
            let taken = self.port.take(self.peer, Lane::Requests, max, expect);
            self.ring();
            if expected == count {
                break;
            }
            if taken == 0 {
                self.sleep();
            }
        }
    }
}

fn sender_and_receiver(slots: usize, count: usize, max: usize) {
    check(move || {
        let doors = [Door::new(), Door::new()];
        let mut ports = Lattice::new(2, slots).into_iter();
        let mut core = |peer| Core { port: ports.next().unwrap(), doors: doors.clone(), peer };
        let (sender, receiver) = (core(1), core(0));
        let sending = thread::spawn(move || sender.send_all((0..count).collect()));
        receiver.take_all(count, max);
        sending.join().unwrap();
    });
}

#[test]
fn receiver_asleep_is_woken_for_what_arrives() {
    sender_and_receiver(2, 1, 2);
}

#[test]
fn sender_asleep_over_leftovers_is_woken_for_room() {
    sender_and_receiver(1, 2, 1);
}

#[test]
fn room_that_comes_one_slot_at_a_time_is_enough() {
    sender_and_receiver(1, 3, 1);
}

#[test]
fn two_slots_refilled_while_the_receiver_looks_lose_no_wake_up() {
    sender_and_receiver(2, 4, 1);
}
