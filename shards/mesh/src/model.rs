//! The ring as the model checker sees it: same interface, same two indices with the same ordering as `rtrb`'s, whose
//! atomics the checker cannot observe.
//!
//! The slots hide behind an ordinary mutex that the checker does not know: it may not lend the protocol any ordering, or
//! the checker would find nothing.

use loom::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Mutex;

#[derive(Debug)]
struct Shared<T> {
    slots: usize,
    items: Mutex<VecDeque<T>>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

/// A ring of `slots` slots.
pub(crate) fn ring<T>(slots: usize) -> (Producer<T>, Consumer<T>) {
    let shared = Arc::new(Shared {
        slots,
        items: Mutex::new(VecDeque::new()),
        head: AtomicUsize::new(0),
        tail: AtomicUsize::new(0),
    });
    let producer = Producer { shared: shared.clone(), head: Cell::new(0), tail: 0 };
    (producer, Consumer { shared, head: 0, tail: Cell::new(0) })
}

/// The end that puts in. It remembers the head it saw last, and looks again only when that would not do.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    shared: Arc<Shared<T>>,
    head: Cell<usize>,
    tail: usize,
}

impl<T> Producer<T> {
    fn room(&self, wanted: usize) -> usize {
        if self.shared.slots - (self.tail - self.head.get()) < wanted {
            self.head.set(self.shared.head.load(Ordering::Acquire));
        }
        self.shared.slots - (self.tail - self.head.get())
    }

    pub(crate) fn publish(&mut self, items: &mut Vec<T>) -> usize {
        if items.is_empty() {
            return 0;
        }
        let moved = self.room(items.len()).min(items.len());
        if moved > 0 {
            self.shared.items.lock().expect("no holder panics").extend(items.drain(..moved));
            self.tail += moved;
            self.shared.tail.store(self.tail, Ordering::Release);
        }
        moved
    }

    pub(crate) fn is_full(&self) -> bool {
        self.room(1) == 0
    }
}

/// The end that takes out. It remembers the tail it saw last, and looks again only when that would not do.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail: Cell<usize>,
}

impl<T> Consumer<T> {
    fn filled(&self, wanted: usize) -> usize {
        if self.tail.get() - self.head < wanted {
            self.tail.set(self.shared.tail.load(Ordering::Acquire));
        }
        self.tail.get() - self.head
    }

    pub(crate) fn take(&mut self, max: usize, each: impl FnMut(T)) -> usize {
        let taken = self.filled(max).min(max);
        if taken > 0 {
            let items: Vec<T> = self.shared.items.lock().expect("no holder panics").drain(..taken).collect();
            items.into_iter().for_each(each);
            self.head += taken;
            self.shared.head.store(self.head, Ordering::Release);
        }
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled(1) == 0
    }
}
