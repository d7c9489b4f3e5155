//! The strict scanner: is this text one JSON value?
//!
//! *Owns* the grammar. Its answer is the crate's answer; anything faster has to agree with it.
//! *Promises* one pass, no recursion, and no allocation but for texts nested deeper than is usual.
//! *Does not* look at UTF-8: the caller has done that for the whole text, and every byte the grammar cares about is ASCII.

use crate::check::{Fault, JSON_DEPTH_MAX, Kind, Malformed};

/// Accepts exactly what `JSON.parse` accepts, up to [`JSON_DEPTH_MAX`] nested containers.
pub(crate) fn scan(text: &[u8]) -> Result<Kind, Malformed> {
    let mut scan = Scan { text, at: 0, open: 0_u128, depth: 0, depth_max: JSON_DEPTH_MAX };
    match scan.value() {
        Some(kind) => Ok(kind),
        None => Err(fault(text, scan.at, scan.depth == JSON_DEPTH_MAX)),
    }
}

/// The same, up to `depth_max`.
#[cold]
#[inline(never)]
pub(crate) fn scan_deep(text: &[u8], depth_max: usize) -> Result<Kind, Malformed> {
    let mut scan = Scan { text, at: 0, open: Bits::default(), depth: 0, depth_max };
    match scan.value() {
        Some(kind) => Ok(kind),
        None => Err(fault(text, scan.at, scan.depth == depth_max)),
    }
}

/// Which of the open containers are objects.
trait Open {
    /// One is opened inside `depth` others.
    fn push(&mut self, depth: usize, object: bool);
    /// The innermost is closed.
    fn pop(&mut self);
    /// Whether the innermost of `depth` is an object.
    fn is_object(&self, depth: usize) -> bool;
}

/// One bit each, set for an object, the innermost lowest.
#[allow(clippy::inline_always, reason = "the scan stays in registers only while nobody needs its address")]
impl Open for u128 {
    #[inline(always)]
    fn push(&mut self, _: usize, object: bool) {
        *self = *self << 1 | Self::from(object);
    }

    #[inline(always)]
    fn pop(&mut self) {
        *self >>= 1;
    }

    #[inline(always)]
    fn is_object(&self, _: usize) -> bool {
        *self & 1 == 1
    }
}

/// One bit each, set for an object, the outermost first.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Open for Bits {
    fn push(&mut self, depth: usize, object: bool) {
        let (word, bit) = (depth / 64, depth % 64);
        if word == self.0.len() {
            self.0.push(0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word = *word & !(1 << bit) | u64::from(object) << bit;
        }
    }

    fn pop(&mut self) {}

    fn is_object(&self, depth: usize) -> bool {
        let inner = depth - 1;
        self.0.get(inner / 64).is_some_and(|word| word >> (inner % 64) & 1 == 1)
    }
}

/// A scan under way. Functions that return `None` leave `at` where the text cannot go on: such small results stay in
/// registers, which matters because every value is scanned here.
struct Scan<'t, O> {
    text: &'t [u8],
    at: usize,
    /// The containers that are open.
    open: O,
    depth: usize,
    depth_max: usize,
}

const _: () = assert!(JSON_DEPTH_MAX <= u128::BITS as usize);

#[allow(clippy::inline_always, reason = "the scan stays in registers only while nobody needs its address")]
impl<O: Open> Scan<'_, O> {
    #[inline(always)]
    fn value(&mut self) -> Option<Kind> {
        self.space();
        let kind = Kind::of_first(self.text.get(self.at).copied())?;
        loop {
            // A value is due. Containers that are opened here and not empty come round again.
            match self.byte() {
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b'{' => {
                    self.open(true)?;
                    if self.byte() == b'}' {
                        self.close();
                    } else {
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.open(false)?;
                    if self.byte() == b']' {
                        self.close();
                    } else {
                        continue;
                    }
                }
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return None,
            }
            if self.closed()? {
                return Some(kind);
            }
        }
    }

    /// A value has ended: closes what it closes, and goes on to the next one. Whether there is none.
    #[inline(always)]
    fn closed(&mut self) -> Option<bool> {
        loop {
            self.space();
            if self.depth == 0 {
                return (self.at == self.text.len()).then_some(true);
            }
            let object = self.open.is_object(self.depth);
            match self.byte() {
                b',' => {
                    self.at += 1;
                    self.space();
                    if object {
                        self.key()?;
                    }
                    return Some(false);
                }
                b'}' if object => self.close(),
                b']' if !object => self.close(),
                _ => return None,
            }
        }
    }

    /// The next byte; 0, which is not valid anywhere, at the end.
    #[inline(always)]
    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn space(&mut self) {
        // Most texts have none.
        if self.byte() <= b' ' {
            self.at = space(self.text, self.at);
        }
    }

    #[inline(always)]
    fn open(&mut self, object: bool) -> Option<()> {
        if self.depth == self.depth_max {
            return None;
        }
        self.open.push(self.depth, object);
        self.depth += 1;
        self.at += 1;
        self.space();
        Some(())
    }

    #[inline(always)]
    fn close(&mut self) {
        self.open.pop();
        self.depth -= 1;
        self.at += 1;
    }

    /// A member's name, its colon and the space around.
    #[inline(always)]
    fn key(&mut self) -> Option<()> {
        self.is_due(b'"')?;
        self.string()?;
        self.space();
        self.is_due(b':')?;
        self.at += 1;
        self.space();
        Some(())
    }

    #[inline(always)]
    fn is_due(&self, byte: u8) -> Option<()> {
        (self.byte() == byte).then_some(())
    }

    /// A string, of which the opening quote is there.
    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        self.at = plain(self.text, self.at + 1);
        while self.byte() != b'"' {
            self.at = plain(self.text, self.at + escape(self.text, self.at)?);
        }
        self.at += 1;
        Some(())
    }

    #[inline(always)]
    fn number(&mut self) -> Option<()> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        if self.byte() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if let b'e' | b'E' = self.byte() {
            self.at += 1;
            if let b'+' | b'-' = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Digits, at least one.
    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        self.byte().is_ascii_digit().then_some(())?;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        Some(())
    }

    #[inline(always)]
    fn literal(&mut self, word: &[u8]) -> Option<()> {
        let end = self.at + word.len();
        (self.text.get(self.at..end)? == word).then(|| self.at = end)
    }
}

/// The length of the escape that is due.
fn escape(text: &[u8], at: usize) -> Option<usize> {
    match (text.get(at)?, text.get(at + 1)?) {
        (b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(2),
        (b'\\', b'u') => text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// Why a text cannot go on.
#[cold]
fn fault(text: &[u8], at: usize, full: bool) -> Malformed {
    let opens = matches!(text.get(at), Some(b'{' | b'['));
    let fault = if opens && full { Fault::TooDeep } else { Fault::Syntax };
    Malformed { at, fault }
}

/// The first position at or after `at` that is not JSON whitespace.
#[inline]
pub(crate) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first position at or after `at` that holds a quote, a backslash or a control character (or the end of the text).
///
/// Eight bytes at a time, and sixteen once a string has proved to be long: strings are most of most values, and this loop is
/// what their length costs.
#[inline]
pub(crate) fn plain(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let hit = stops(u64::from_le_bytes(*chunk));
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
        while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<16>) {
            if !is_plain(chunk) {
                break;
            }
            at += 16;
        }
    }
    let rest = text.len().saturating_sub(at);
    match text.last_chunk::<8>() {
        // What comes before is shifted out; the zeros that come in from behind stop where the text ends.
        Some(last) if rest > 0 => {
            at + (stops(u64::from_le_bytes(*last) >> (64 - 8 * rest)).trailing_zeros() / 8) as usize
        }
        Some(_) => at,
        None => short(text, at),
    }
}

/// The same in a text of less than eight bytes.
fn short(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|&byte| !is_stop(byte)) {
        at += 1;
    }
    at
}

/// The lowest bit of these is the high bit of the first byte that ends a plain stretch.
#[inline]
fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    // A byte's high bit survives where the byte is below the subtrahend and itself below 0x80. A borrow can only
    // raise a false alarm above a true one, so the lowest set bit is always right.
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    ((quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash) | low) & HIGHS
}

/// Whether a text is one string of ASCII without escapes and nothing else, as payloads often are: told in one pass, without
/// a branch. `false` says nothing.
#[inline]
pub(crate) fn is_plain_string(text: &[u8]) -> bool {
    let [b'"', inside @ .., b'"'] = text else { return false };
    let Some(last) = inside.last_chunk::<16>() else { return false };
    let (chunks, _) = inside.as_chunks::<16>();
    // The last sixteen a second time, in part: cheaper than a rest byte by byte.
    chunks.iter().chain([last]).fold(0, |stops, chunk| stops | ascii_stops(chunk)) == 0
}

#[inline]
fn ascii_stops(chunk: &[u8; 16]) -> u8 {
    // Below zero is beyond ASCII.
    let stops = |byte: u8| u8::from(byte.cast_signed() < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    chunk.iter().fold(0, |all, &byte| all | stops(byte))
}

#[inline]
fn is_stop(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether none of these bytes ends a plain stretch: a vector's worth, all looked at without a branch.
#[inline]
fn is_plain(chunk: &[u8; 16]) -> bool {
    chunk
        .iter()
        .fold(0, |stops, &byte| stops | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\'))
        == 0
}
