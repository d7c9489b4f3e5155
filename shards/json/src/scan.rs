//! The strict scanner: is this text one JSON value?
//!
//! *Owns* the grammar. Its answer is the crate's answer; anything faster has to agree with it.
//! *Promises* one pass, no recursion, no allocation.
//! *Does not* look at UTF-8: the caller has done that for the whole text, and every byte the grammar cares about is ASCII.

use crate::check::{Fault, JSON_DEPTH_MAX, Kind, Malformed};

/// Accepts exactly what `JSON.parse` accepts, up to [`JSON_DEPTH_MAX`] nested containers.
pub(crate) fn scan(text: &[u8]) -> Result<Kind, Malformed> {
    let mut open = Open::default();
    let mut at = space(text, 0);
    let kind = Kind::of_first(text.get(at).copied()).ok_or(Malformed { at, fault: Fault::Syntax })?;
    loop {
        // A value is due at `at`. Containers that are opened here and not empty come round again.
        match text.get(at) {
            Some(b'{') => {
                open.push(true, at)?;
                let inside = space(text, at + 1);
                if text.get(inside) == Some(&b'}') {
                    open.pop();
                    at = inside + 1;
                } else {
                    at = key(text, inside)?;
                    continue;
                }
            }
            Some(b'[') => {
                open.push(false, at)?;
                let inside = space(text, at + 1);
                if text.get(inside) == Some(&b']') {
                    open.pop();
                    at = inside + 1;
                } else {
                    at = inside;
                    continue;
                }
            }
            Some(b'"') => at = string(text, at + 1)?,
            Some(b'-' | b'0'..=b'9') => at = number(text, at)?,
            Some(b't') => at = literal(text, at, b"true")?,
            Some(b'f') => at = literal(text, at, b"false")?,
            Some(b'n') => at = literal(text, at, b"null")?,
            _ => return Err(syntax(at)),
        }
        // A value has ended: close what it closes, then go on to the next one.
        loop {
            at = space(text, at);
            if open.depth == 0 {
                return if at == text.len() { Ok(kind) } else { Err(syntax(at)) };
            }
            match (text.get(at), open.is_object()) {
                (Some(b','), true) => {
                    at = key(text, space(text, at + 1))?;
                    break;
                }
                (Some(b','), false) => {
                    at = space(text, at + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    open.pop();
                    at += 1;
                }
                _ => return Err(syntax(at)),
            }
        }
    }
}

/// The containers that are open: one bit each, set for an object.
#[derive(Default)]
struct Open {
    bits: u128,
    depth: usize,
}

const _: () = assert!(JSON_DEPTH_MAX <= u128::BITS as usize);

impl Open {
    fn push(&mut self, object: bool, at: usize) -> Result<(), Malformed> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(Malformed { at, fault: Fault::TooDeep });
        }
        self.bits = self.bits << 1 | u128::from(object);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
    }

    fn is_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

fn syntax(at: usize) -> Malformed {
    Malformed { at, fault: Fault::Syntax }
}

/// The first position at or after `at` that is not JSON whitespace.
#[inline]
pub(crate) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// A member's name, its colon and the space around; gives where the value starts.
#[inline]
fn key(text: &[u8], at: usize) -> Result<usize, Malformed> {
    if text.get(at) != Some(&b'"') {
        return Err(syntax(at));
    }
    let colon = space(text, string(text, at + 1)?);
    if text.get(colon) != Some(&b':') {
        return Err(syntax(colon));
    }
    Ok(space(text, colon + 1))
}

/// The rest of a string after its opening quote; gives the position after the closing one.
#[inline]
fn string(text: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        at = plain(text, at);
        match (text.get(at), text.get(at + 1)) {
            (Some(b'"'), _) => return Ok(at + 1),
            (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
            (Some(b'\\'), Some(b'u')) => {
                let digits = text.get(at + 2..at + 6).ok_or(syntax(at))?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(syntax(at));
                }
                at += 6;
            }
            _ => return Err(syntax(at)),
        }
    }
}

#[inline]
fn number(text: &[u8], mut at: usize) -> Result<usize, Malformed> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    match text.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at = digits(text, at),
        _ => return Err(syntax(at)),
    }
    if text.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = digits(text, fraction);
        if at == fraction {
            return Err(syntax(at));
        }
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        let exponent = at;
        at = digits(text, exponent);
        if at == exponent {
            return Err(syntax(at));
        }
    }
    Ok(at)
}

#[inline]
fn digits(text: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    at
}

#[inline]
fn literal(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Malformed> {
    if text.get(at..at + word.len()) == Some(word) { Ok(at + word.len()) } else { Err(syntax(at)) }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first position at or after `at` that holds a quote, a backslash or a control character (or the end of the text).
///
/// Eight bytes at a time: strings are most of most values, and this loop is what their length costs.
#[inline]
pub(crate) fn plain(text: &[u8], mut at: usize) -> usize {
    while let Some(Ok(chunk)) = text.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(chunk);
        let quote = word ^ (ONES * u64::from(b'"'));
        let slash = word ^ (ONES * u64::from(b'\\'));
        // A byte's high bit survives where the byte is below the subtrahend and itself below 0x80. A borrow can only
        // raise a false alarm above a true one, so the lowest set bit is always right.
        let low = word.wrapping_sub(ONES * 0x20) & !word;
        let hit = ((quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash) | low) & HIGHS;
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}
