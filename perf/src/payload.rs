//! The payload of a message: when it should have been sent, its publisher, and its number.
//!
//! *Promises* payloads of a fixed size that are JSON texts as they stand, so that server and relay carry the same, and
//! stamps that cost nanoseconds to write and read: the generator must never be what is measured.

/// Length of a stamp in bytes.
pub(crate) const STAMP_LEN: usize = 2 * TIME_LEN;
/// Length of the part of a stamp that a write ack brings back.
pub(crate) const TIME_LEN: usize = 16;

/// The head of a payload. Its 128 bits are written as 32 of the letters `@` to `O`, four bits each: a nibble is the
/// letter's lower half, and JSON escapes none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Intended moment of sending, in the harness's nanoseconds.
    pub(crate) at: u64,
    /// Which publisher.
    pub(crate) publisher: u32,
    /// Which of its messages, from 0.
    pub(crate) number: u32,
}

impl Stamp {
    /// The stamp as it is sent.
    pub(crate) fn letters(self) -> [u8; STAMP_LEN] {
        let mut letters = [0; STAMP_LEN];
        let halves = [self.at, u64::from(self.publisher) << 32 | u64::from(self.number)];
        for (into, half) in letters.chunks_exact_mut(TIME_LEN).zip(halves) {
            into.copy_from_slice(&spread(half));
        }
        letters
    }

    /// Reads a stamp from the first bytes of `from`.
    pub(crate) fn read(from: &[u8]) -> Option<Self> {
        let at = read_time(from)?;
        let rest = read_time(from.get(TIME_LEN..)?)?;
        Some(Self { at, publisher: (rest >> 32) as u32, number: rest as u32 })
    }

    /// Reads the stamp of a JSON value that [`Payload`] made.
    pub(crate) fn of_json(data: &[u8]) -> Option<Self> {
        let prefix = if data.first() == Some(&b'{') { OBJECT.0 } else { TEXT.0 };
        Self::read(data.get(prefix.len()..)?)
    }
}

/// Reads the moment a stamp begins with.
pub(crate) fn read_time(from: &[u8]) -> Option<u64> {
    let letters: &[u8; TIME_LEN] = from.first_chunk()?;
    let letters = u128::from_be_bytes(*letters);
    (letters & !NIBBLES == LETTERS).then(|| gather(letters & NIBBLES))
}

const NIBBLES: u128 = 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
const LETTERS: u128 = 0x4040_4040_4040_4040_4040_4040_4040_4040;

/// A nibble to each byte, and a letter of it.
fn spread(value: u64) -> [u8; TIME_LEN] {
    let mut wide = u128::from(value);
    wide = (wide | wide << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    wide = (wide | wide << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    wide = (wide | wide << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    wide = (wide | wide << 4) & NIBBLES;
    (wide | LETTERS).to_be_bytes()
}

fn gather(mut wide: u128) -> u64 {
    wide = (wide | wide >> 4) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    wide = (wide | wide >> 8) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    wide = (wide | wide >> 16) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    (wide | wide >> 32) as u64
}

/// A payload whose stamp can be replaced in place.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    stamp_at: usize,
}

const TEXT: (&str, &str) = ("\"", "\"");
const OBJECT: (&str, &str) = ("{\"v\":\"", "\"}");

/// The smallest payload any form can have.
pub(crate) const PAYLOAD_BYTES_MIN: usize = STAMP_LEN + OBJECT.0.len() + OBJECT.1.len();

impl Payload {
    /// A JSON string.
    pub(crate) fn text(len: usize) -> Self {
        Self::new(TEXT, len)
    }

    /// A JSON object with one key, `v`.
    pub(crate) fn object(len: usize) -> Self {
        Self::new(OBJECT, len)
    }

    /// Nothing but stamp and padding, for the relay.
    pub(crate) fn raw(len: usize) -> Self {
        Self::new(("", ""), len)
    }

    fn new((before, after): (&str, &str), len: usize) -> Self {
        let padding = len.saturating_sub(before.len() + after.len()).max(STAMP_LEN);
        let bytes = [before.as_bytes(), &vec![b'.'; padding], after.as_bytes()].concat();
        Self { bytes, stamp_at: before.len() }
    }

    /// The payload with this stamp.
    pub(crate) fn stamped(&mut self, stamp: Stamp) -> &[u8] {
        self.bytes[self.stamp_at..][..STAMP_LEN].copy_from_slice(&stamp.letters());
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_from_every_form() {
        let stamp = Stamp { at: 0x0123_4567_89ab_cdef, publisher: u32::MAX, number: 7 };
        assert_eq!(Stamp::of_json(Payload::text(64).stamped(stamp)), Some(stamp));
        assert_eq!(Stamp::of_json(Payload::object(64).stamped(stamp)), Some(stamp));
        assert_eq!(Stamp::read(Payload::raw(64).stamped(stamp)), Some(stamp));
        assert_eq!(&stamp.letters()[..TIME_LEN], b"@ABCDEFGHIJKLMNO");
        for foreign in ["", "{}", "\"short\"", "{\"v\":\"no letters of a stamp at all, though long enough\"}"] {
            assert_eq!(Stamp::of_json(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn payloads_have_the_size_asked_for_and_are_json() {
        for len in [PAYLOAD_BYTES_MIN, 64, 1000] {
            for payload in [Payload::text(len), Payload::object(len)] {
                assert_eq!(payload.bytes.len(), len);
                assert!(serde_json::from_slice::<serde_json::Value>(&payload.bytes).is_ok());
            }
        }
    }
}
