//! Messages of quality of service 1 on their way to a client.
//!
//! *Owns* the packet identifiers that were given and not acknowledged, and what waits for one. *Promises* that no
//! identifier is given twice before it is acknowledged. *Does not* keep messages that were sent: nothing is sent again
//! while a connection lasts, and what it was sent ends with it.

use std::collections::VecDeque;

/// The most messages under way to a client that does not say how many it takes.
const WINDOW_MAX: usize = 1024;
const WORD_BITS: usize = 64;

#[derive(Debug)]
pub(super) struct Flight {
    /// One bit per identifier; there from the first one on.
    given: Box<[u64]>,
    count: usize,
    window: usize,
    last: u16,
    /// Packets without an identifier yet, and where theirs goes.
    queue: VecDeque<(Box<[u8]>, usize)>,
    queued_bytes: usize,
}

impl Default for Flight {
    fn default() -> Self {
        let (given, queue) = (Box::default(), VecDeque::new());
        Self { given, count: 0, window: WINDOW_MAX, last: 0, queue, queued_bytes: 0 }
    }
}

impl Flight {
    /// The client takes only so many at a time.
    pub(super) fn limit(&mut self, receive_max: u16) {
        self.window = WINDOW_MAX.min(usize::from(receive_max));
    }

    /// An identifier for one more message; `None`: it has to wait.
    pub(super) fn give(&mut self) -> Option<u16> {
        if self.count >= self.window || !self.queue.is_empty() {
            return None;
        }
        Some(self.next())
    }

    fn next(&mut self) -> u16 {
        if self.given.is_empty() {
            self.given = vec![0; (1 << 16) / WORD_BITS].into();
        }
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            let (word, bit) = place(self.last);
            if self.given[word] & bit == 0 {
                self.given[word] |= bit;
                self.count += 1;
                return self.last;
            }
        }
    }

    /// Keeps a packet whose identifier belongs at `id_at`.
    pub(super) fn queue(&mut self, packet: Box<[u8]>, id_at: usize) {
        self.queued_bytes += packet.len();
        self.queue.push_back((packet, id_at));
    }

    /// Bytes that wait.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The client has a message. `false`: it was never sent that.
    pub(super) fn acknowledged(&mut self, id: u16) -> bool {
        let (word, bit) = place(id);
        let Some(given) = self.given.get_mut(word).filter(|given| **given & bit != 0) else { return false };
        *given &= !bit;
        self.count -= 1;
        true
    }

    /// The next packet that waited, if one may go.
    pub(super) fn release(&mut self) -> Option<Box<[u8]>> {
        if self.count >= self.window {
            return None;
        }
        let (mut packet, id_at) = self.queue.pop_front()?;
        self.queued_bytes -= packet.len();
        let id = self.next().to_be_bytes();
        if let Some(place) = packet.get_mut(id_at..id_at + id.len()) {
            place.copy_from_slice(&id);
        }
        Some(packet)
    }
}

fn place(id: u16) -> (usize, u64) {
    (usize::from(id) / WORD_BITS, 1 << (usize::from(id) % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_given_again_only_once_they_came_back() {
        let mut flight = Flight::default();
        flight.limit(2);
        assert_eq!((flight.give(), flight.give(), flight.give()), (Some(1), Some(2), None));
        flight.queue([9, 0, 0].into(), 1);
        assert_eq!(flight.queued_bytes(), 3);
        assert_eq!(flight.release(), None);
        assert!(flight.acknowledged(1));
        assert!(!flight.acknowledged(1), "once is enough");
        assert_eq!(flight.give(), None, "what waited is first");
        assert_eq!(flight.release().as_deref(), Some(&[9, 0, 3][..]));
        assert!(flight.acknowledged(2) && flight.acknowledged(3));
        for _ in 0..70_000 {
            let id = flight.give().unwrap();
            assert_ne!(id, 0);
            assert!(flight.acknowledged(id));
        }
    }
}
