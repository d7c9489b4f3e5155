//! The ring between two threads, and against a queue that cannot be wrong.
#![cfg(not(loom))]

use deepstream_mesh::ring::ring;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

const ITEMS: u64 = if cfg!(miri) { 200 } else { 1_000_000 };
/// Through a single slot every item costs a change of threads where there are fewer CPUs than threads.
const SLOW_ITEMS: u64 = ITEMS.div_ceil(20);

/// Sends 0..items through a ring in batches of changing size while another thread takes them out.
fn stream(slots: usize, items: u64) {
    let (mut producer, mut consumer) = ring(slots);
    let sender = thread::spawn(move || {
        let mut waiting = Vec::new();
        let mut next = 0;
        while next < items || !waiting.is_empty() {
            let batch = 1 + next % 13;
            if waiting.len() < 64 {
                waiting.extend(next..(next + batch).min(items));
                next = (next + batch).min(items);
            }
            if producer.publish(&mut waiting) == 0 {
                thread::yield_now();
            }
        }
    });
    let mut expected = 0;
    while expected < items {
        let max = 1 + (expected % 17) as usize;
        let taken = consumer.take(max, |item| {
            assert_eq!(item, expected);
            expected += 1;
        });
        assert!(taken <= max);
        if taken == 0 {
            thread::yield_now();
        }
    }
    sender.join().unwrap();
    assert!(consumer.is_empty());
}

#[test]
fn stream_through_a_single_slot_keeps_order() {
    stream(1, SLOW_ITEMS);
}

#[test]
fn stream_through_a_tiny_ring_keeps_order() {
    stream(7, ITEMS);
}

#[test]
fn stream_through_a_ring_larger_than_its_batches_keeps_order() {
    stream(256, ITEMS);
}

#[test]
fn full_ring_takes_what_fits_and_leaves_the_rest_in_order() {
    let (mut producer, mut consumer) = ring(4);
    let mut items = vec![1, 2, 3, 4, 5, 6];
    assert_eq!(producer.publish(&mut items), 4);
    assert_eq!(items, [5, 6]);
    assert!(producer.is_full());
    assert_eq!(producer.publish(&mut items), 0);
    assert_eq!(items, [5, 6]);

    let mut taken = Vec::new();
    assert_eq!(consumer.take(1, |item| taken.push(item)), 1);
    assert!(!producer.is_full());
    assert_eq!(producer.publish(&mut items), 1);
    assert_eq!(items, [6]);
    assert_eq!(consumer.take(usize::MAX, |item| taken.push(item)), 4);
    assert_eq!(taken, [1, 2, 3, 4, 5]);
}

#[test]
fn dropped_ring_drops_every_item_once() {
    let counted = Arc::new(());
    let (mut producer, mut consumer) = ring(8);
    let mut items = vec![counted.clone(); 10];
    assert_eq!(producer.publish(&mut items), 8);
    assert_eq!(consumer.take(3, drop), 3);
    assert_eq!(Arc::strong_count(&counted), 1 + 2 + 5);
    drop(consumer);
    drop(producer);
    drop(items);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn receiver_that_panics_leaves_the_ring_whole() {
    let counted = Arc::new(());
    let (mut producer, mut consumer) = ring(8);
    producer.publish(&mut vec![counted.clone(); 8]);
    let mut seen = 0;
    let taking = std::panic::AssertUnwindSafe(|| {
        consumer.take(8, |_| {
            seen += 1;
            assert!(seen < 3, "the third item is refused");
        })
    });
    std::panic::catch_unwind(taking).unwrap_err();
    assert_eq!(consumer.take(8, drop), 5);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Take(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![(0..9usize).prop_map(Step::Publish), (0..9usize).prop_map(Step::Take)];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn ring_behaves_like_a_bounded_queue(slots in 1..9usize, steps in steps()) {
        let (mut producer, mut consumer) = ring(slots);
        let (mut queue, mut waiting, mut next) = (VecDeque::new(), Vec::new(), 0);
        for step in steps {
            match step {
                Step::Publish(count) => {
                    waiting.extend(next..next + count);
                    next += count;
                    let before = waiting.clone();
                    let moved = producer.publish(&mut waiting);
                    prop_assert_eq!(moved, before.len().min(slots - queue.len()));
                    prop_assert_eq!(&before[moved..], &waiting[..]);
                    queue.extend(&before[..moved]);
                }
                Step::Take(max) => {
                    let mut taken = Vec::new();
                    let count = consumer.take(max, |item| taken.push(item));
                    prop_assert_eq!(count, max.min(queue.len()));
                    prop_assert_eq!(taken, queue.drain(..count).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(consumer.is_empty(), queue.is_empty());
            prop_assert_eq!(producer.is_full(), queue.len() == slots);
        }
    }
}
