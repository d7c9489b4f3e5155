//! Strings as ECMAScript has them.
//!
//! *Owns* the text of a value: sequences of UTF-16 units, kept as UTF-8 in which half a surrogate pair may stand alone.
//! *Promises* lengths, positions and order in units, and to borrow what a rule, a name or a document already holds.
//! *Does not* know what a rule is.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

/// A string.
#[derive(Clone, Debug)]
pub(crate) enum Text<'a> {
    /// Stands in a rule, a name or a document.
    Borrowed(&'a [u8]),
    /// Made by the rule.
    Made(Rc<[u8]>),
}

impl<'a> Text<'a> {
    /// The content of a JSON string, given without its quotes.
    pub(crate) fn from_json(raw: &'a [u8]) -> Self {
        if memchr::memchr(b'\\', raw).is_none() {
            return Self::Borrowed(raw);
        }
        Self::Made(unescape(raw).into())
    }

    pub(crate) fn from_units(units: &[u16]) -> Self {
        let mut bytes = Vec::with_capacity(units.len());
        for char in char::decode_utf16(units.iter().copied()) {
            match char {
                Ok(char) => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(lone) => push_unit(lone.unpaired_surrogate(), &mut bytes),
            }
        }
        Self::Made(bytes.into())
    }

    /// Its bytes: UTF-8 but for halves of surrogate pairs.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }

    /// For people.
    pub(crate) fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }

    pub(crate) fn is_ascii(&self) -> bool {
        self.bytes().is_ascii()
    }

    /// How many units.
    pub(crate) fn length(&self) -> usize {
        units_in(self.bytes())
    }

    pub(crate) fn units(&self) -> Units<'_> {
        Units { bytes: self.bytes(), low: None }
    }

    /// The unit at a position, as a string.
    pub(crate) fn at(&self, index: usize) -> Option<Self> {
        if self.is_ascii() {
            return match self {
                Self::Borrowed(bytes) => bytes.get(index..=index).map(Self::Borrowed),
                Self::Made(bytes) => bytes.get(index..=index).map(|byte| Self::Made(byte.into())),
            };
        }
        self.units().nth(index).map(|unit| Self::from_units(&[unit]))
    }

    /// The units from `start` to before `end`.
    pub(crate) fn slice(&self, start: usize, end: usize) -> Self {
        if self.is_ascii() {
            return match self {
                Self::Borrowed(bytes) => Self::Borrowed(bytes.get(start..end).unwrap_or_default()),
                Self::Made(bytes) => Self::Made(bytes.get(start..end).unwrap_or_default().into()),
            };
        }
        let units: Vec<u16> = self.units().skip(start).take(end.saturating_sub(start)).collect();
        Self::from_units(&units)
    }

    pub(crate) fn concat(&self, other: &Self) -> Self {
        if self.bytes().is_empty() {
            return other.clone();
        }
        if other.bytes().is_empty() {
            return self.clone();
        }
        let mut joined = Vec::with_capacity(self.bytes().len() + other.bytes().len());
        joined.extend_from_slice(self.bytes());
        append(other.bytes(), &mut joined);
        Self::Made(joined.into())
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let (one, two) = (self.bytes(), other.bytes());
        // Bytes are ordered as units are, unless a pair meets what lies above the surrogates.
        let pairs = |bytes: &[u8]| bytes.iter().any(|byte| *byte >= 0xf0);
        if pairs(one) || pairs(two) { self.units().cmp(other.units()) } else { one.cmp(two) }
    }

    /// The first position at or after `from` where `part` stands.
    pub(crate) fn find(&self, part: &Self, from: usize) -> Option<usize> {
        let (whole, part_bytes) = (self.bytes(), part.bytes());
        if self.is_ascii() {
            let found = memchr::memmem::find(whole.get(from..)?, part_bytes)?;
            return Some(from + found);
        }
        if has_surrogates(part_bytes) {
            let (whole, part): (Vec<u16>, Vec<u16>) = (self.units().collect(), part.units().collect());
            let last = whole.len().checked_sub(part.len())?;
            return (from..=last).find(|at| whole[*at..].starts_with(&part));
        }
        let start = offset_of(whole, from)?;
        let found = start + memchr::memmem::find(whole.get(start..)?, part_bytes)?;
        Some(units_in(&whole[..found]))
    }

    /// Whether `part` stands at position `at`.
    pub(crate) fn has_at(&self, part: &Self, at: usize) -> bool {
        if self.is_ascii() {
            return self.bytes().get(at..).is_some_and(|rest| rest.starts_with(part.bytes()));
        }
        let mut rest = self.units().skip(at);
        part.units().all(|unit| rest.next() == Some(unit))
    }

    pub(crate) fn upper(&self) -> Self {
        self.mapped(str::to_uppercase)
    }

    pub(crate) fn lower(&self) -> Self {
        self.mapped(str::to_lowercase)
    }

    fn mapped(&self, map: fn(&str) -> String) -> Self {
        if let Ok(text) = std::str::from_utf8(self.bytes()) {
            return Self::Made(map(text).into_bytes().into());
        }
        let mut mapped = Vec::new();
        for chunk in self.bytes().utf8_chunks() {
            mapped.extend_from_slice(map(chunk.valid()).as_bytes());
            mapped.extend_from_slice(chunk.invalid());
        }
        Self::Made(mapped.into())
    }

    pub(crate) fn trim(&self) -> Self {
        let bytes = self.bytes();
        let (start, end) = trimmed(bytes);
        match self {
            Self::Borrowed(bytes) => Self::Borrowed(&bytes[start..end]),
            Self::Made(_) => Self::Made(bytes[start..end].into()),
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

/// Where a string's content begins and ends once the space around it is gone.
pub(crate) fn trimmed(bytes: &[u8]) -> (usize, usize) {
    let (mut start, mut end) = (0, bytes.len());
    while let Some(width) = space_at(&bytes[start..end]) {
        start += width;
    }
    while end > start {
        let mut first = end - 1;
        while first > start && bytes[first] & 0xc0 == 0x80 {
            first -= 1;
        }
        if space_at(&bytes[first..end]) != Some(end - first) {
            break;
        }
        end = first;
    }
    (start, end)
}

/// The width of the white space character in front.
fn space_at(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0x09..=0x0d | b' ', ..] => Some(1),
        [0xc2, 0xa0, ..] => Some(2),
        [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f, ..]
        | [0xe3, 0x80, 0x80, ..]
        | [0xef, 0xbb, 0xbf, ..] => Some(3),
        _ => None,
    }
}

/// Code units of a text.
pub(crate) struct Units<'a> {
    bytes: &'a [u8],
    low: Option<u16>,
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if let Some(low) = self.low.take() {
            return Some(low);
        }
        let (&first, rest) = self.bytes.split_first()?;
        let width = width_of(first);
        let lead = u32::from(first) & [0x7f, 0x7f, 0x1f, 0x0f, 0x07][width];
        let tail = rest.get(..width - 1).unwrap_or(rest);
        let code = tail.iter().fold(lead, |code, byte| code << 6 | u32::from(byte & 0x3f));
        self.bytes = rest.get(width - 1..).unwrap_or_default();
        if code > 0xffff {
            self.low = Some((0xdc00 + ((code - 0x10000) & 0x3ff)) as u16);
            return Some((0xd800 + ((code - 0x10000) >> 10)) as u16);
        }
        Some(code as u16)
    }
}

fn width_of(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}

fn units_in(bytes: &[u8]) -> usize {
    if bytes.is_ascii() {
        return bytes.len();
    }
    bytes.iter().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0)).sum()
}

/// The byte at which a position in units begins; between the halves of a pair, behind the pair.
fn offset_of(bytes: &[u8], position: usize) -> Option<usize> {
    let (mut at, mut units) = (0, 0);
    while units < position {
        let first = *bytes.get(at)?;
        let width = width_of(first);
        units += if width == 4 { 2 } else { 1 };
        at += width;
    }
    Some(at)
}

fn has_surrogates(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair[0] == 0xed && pair[1] >= 0xa0)
}

/// Appends a unit that is no whole character.
fn push_unit(unit: u16, bytes: &mut Vec<u8>) {
    append(&[0xe0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3f) as u8, 0x80 | (unit & 0x3f) as u8], bytes);
}

/// Appends a text; two halves that meet become one character.
pub(crate) fn append(text: &[u8], bytes: &mut Vec<u8>) {
    if let ([.., 0xed, high @ 0xa0..=0xaf, low], [0xed, second @ 0xb0..=0xbf, third, rest @ ..]) = (&bytes[..], text) {
        let unit = |middle: u8, last: u8| 0xd000 | u32::from(middle & 0x3f) << 6 | u32::from(last & 0x3f);
        let code = 0x10000 + ((unit(*high, *low) - 0xd800) << 10) + (unit(*second, *third) - 0xdc00);
        if let Some(char) = char::from_u32(code) {
            bytes.truncate(bytes.len() - 3);
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            bytes.extend_from_slice(rest);
            return;
        }
    }
    bytes.extend_from_slice(text);
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &raw[at..]) {
        append(&raw[at..at + found], &mut bytes);
        at += found + 2;
        match raw.get(at - 1) {
            Some(b'u') => {
                let digits = raw.get(at..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or(0xfffd);
                match char::from_u32(u32::from(unit)) {
                    Some(char) => append(char.encode_utf8(&mut [0; 4]).as_bytes(), &mut bytes),
                    None => push_unit(unit, &mut bytes),
                }
                at = (at + 4).min(raw.len());
            }
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b'b') => bytes.push(8),
            Some(b'f') => bytes.push(12),
            Some(byte) => bytes.push(*byte),
            None => at = raw.len(),
        }
    }
    append(&raw[at..], &mut bytes);
    bytes
}
