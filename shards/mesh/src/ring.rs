//! One ring: one producer, one consumer, items moved in bulk.
//!
//! *Owns* the slots. *Promises* first in, first out; one store publishes a batch and one store releases a batch, however
//! long it is; items still inside when both ends are gone are dropped. *Does not* wait: a full ring takes what fits, an
//! empty one yields nothing.

use rtrb::chunks::ChunkError;

/// A ring of `slots` slots.
pub fn ring<T>(slots: usize) -> (Producer<T>, Consumer<T>) {
    assert!(slots > 0, "a ring without slots would never carry anything");
    let (producer, consumer) = rtrb::RingBuffer::new(slots);
    (Producer(producer), Consumer(consumer))
}

/// The end that puts in.
#[derive(Debug)]
pub struct Producer<T>(rtrb::Producer<T>);

impl<T> Producer<T> {
    /// Moves the first items, as many as fit, into the ring and makes them visible with one store; the rest stays, in
    /// order. Returns how many went.
    pub fn publish(&mut self, items: &mut Vec<T>) -> usize {
        if items.is_empty() {
            return 0;
        }
        // Asking for all of them first spares a look at the consumer's cache line while the remembered room suffices.
        let room = match self.0.write_chunk_uninit(items.len()) {
            Ok(chunk) => return chunk.fill_from_iter(items.drain(..)),
            Err(ChunkError::TooFewSlots(0)) => return 0,
            Err(ChunkError::TooFewSlots(room)) => room,
        };
        let chunk = self.0.write_chunk_uninit(room).expect("room only grows while its producer looks elsewhere");
        chunk.fill_from_iter(items.drain(..room))
    }

    /// Whether nothing would fit now.
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }
}

/// The end that takes out.
#[derive(Debug)]
pub struct Consumer<T>(rtrb::Consumer<T>);

impl<T> Consumer<T> {
    /// Hands the first items, at most `max`, to `each` and releases their slots with one store. Returns how many.
    pub fn take(&mut self, max: usize, each: impl FnMut(T)) -> usize {
        if max == 0 {
            return 0;
        }
        let (chunk, taken) = match self.0.read_chunk(max) {
            Ok(chunk) => (chunk, max),
            Err(ChunkError::TooFewSlots(0)) => return 0,
            Err(ChunkError::TooFewSlots(filled)) => {
                (self.0.read_chunk(filled).expect("only its consumer empties a ring"), filled)
            }
        };
        chunk.into_iter().for_each(each);
        taken
    }

    /// Whether nothing is there now.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
