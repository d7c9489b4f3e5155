//! Strings: out of their escapes and back into them.
//!
//! *Owns* escaping. *Promises* that what it writes is a JSON string whatever bytes it is given.
//! *Does not* check: raw text comes from a value that was checked on entry, and a broken escape in it is copied as it stands.

use std::borrow::Cow;

use crate::scan::{plain, space};

/// The content of a JSON string given without its quotes. Half a surrogate pair becomes U+FFFD, as when Node encodes it.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    unescape_into(raw, &mut out);
    Cow::Owned(out)
}

/// The content of a value that is a string, given as its JSON text; `None` for any other value.
pub fn string_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = value.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(unescape(inside))
}

/// Appends `text` as a JSON string with its quotes, escaped as `JSON.stringify` does. Bytes that are not UTF-8 become U+FFFD.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    // Whole texts are checked by the word; only what is broken is taken apart, byte by byte.
    if std::str::from_utf8(text).is_ok() {
        write_escaped(text, out);
    } else {
        for chunk in text.utf8_chunks() {
            write_escaped(chunk.valid().as_bytes(), out);
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    loop {
        let stop = plain(text, at);
        out.extend_from_slice(text.get(at..stop).unwrap_or_default());
        let Some(&byte) = text.get(stop) else { return };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
        at = stop + 1;
    }
}

/// Appends the content of `raw`; false if it held half a surrogate pair, which no UTF-8 text can say.
pub(crate) fn unescape_into(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut whole = true;
    for piece in Pieces::new(raw) {
        match piece {
            Piece::Plain(bytes) => out.extend_from_slice(bytes),
            Piece::Char(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Lone => {
                whole = false;
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    whole
}

/// Does the raw member name `raw` (without quotes) mean `key`?
#[inline]
pub(crate) fn same_key(raw: &[u8], key: &[u8]) -> bool {
    if raw.len() == key.len() {
        // An escape is always longer than what it means, so with equal lengths there must be none.
        return raw == key && !raw.contains(&b'\\');
    }
    raw.len() > key.len() && raw.contains(&b'\\') && same_unescaped(raw, key)
}

fn same_unescaped(raw: &[u8], mut key: &[u8]) -> bool {
    for piece in Pieces::new(raw) {
        let mut buffer = [0; 4];
        let said = match &piece {
            Piece::Plain(bytes) => bytes,
            Piece::Char(char) => char.encode_utf8(&mut buffer).as_bytes(),
            Piece::Lone => return false,
        };
        match key.strip_prefix(said) {
            Some(rest) => key = rest,
            None => return false,
        }
    }
    key.is_empty()
}

/// A raw string, cut at its escapes.
struct Pieces<'a> {
    raw: &'a [u8],
}

enum Piece<'a> {
    Plain(&'a [u8]),
    Char(char),
    Lone,
}

impl<'a> Pieces<'a> {
    fn new(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    fn skip(&mut self, count: usize) {
        self.raw = self.raw.get(count..).unwrap_or_default();
    }

    /// The unit of a `\uXXXX` at the front.
    fn unit(&self) -> Option<u32> {
        let digits = self.raw.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let stop = self.raw.iter().position(|byte| *byte == b'\\').unwrap_or(self.raw.len());
        if stop > 0 {
            let (said, rest) = self.raw.split_at(stop);
            self.raw = rest;
            return Some(Piece::Plain(said));
        }
        if let Some(unit) = self.unit() {
            self.skip(6);
            if let Some(char) = char::from_u32(unit) {
                return Some(Piece::Char(char));
            }
            if let (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) = (unit, self.unit()) {
                self.skip(6);
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).map(Piece::Char);
            }
            return Some(Piece::Lone);
        }
        let char = match self.raw.get(1)? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            byte if byte.is_ascii() => char::from(*byte),
            _ => '\u{fffd}',
        };
        self.skip(2);
        Some(Piece::Char(char))
    }
}

/// The rest of a string after its opening quote, in checked text; gives the position after the closing one.
#[inline]
pub(crate) fn skip_string(text: &[u8], mut at: usize) -> usize {
    loop {
        at = plain(text, at);
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return text.len(),
        }
    }
}

/// After `at` and any space, the position behind `byte`; `None` if something else stands there.
#[inline]
pub(crate) fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = space(text, at);
    (text.get(at) == Some(&byte)).then_some(at + 1)
}
