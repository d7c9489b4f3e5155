//! Paths: where inside a value.
//!
//! *Owns* the path language, which is upstream's: dots part segments, brackets hold indices in JavaScript's number syntax, nothing
//! can be escaped. *Promises* that a path that was read is safe and has at least one token.
//! *Does not* know the value it will meet; whether an index is too far is found there.

use std::ops::Range;

use thiserror::Error;

/// Why a text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// It names `__proto__`, `constructor` or `prototype`, which would reach into every object of a JavaScript client.
    #[error("path reaches into an object's prototype")]
    Unsafe,
    /// It addresses nothing, or an index is no natural number. Upstream writes `"undefined"` keys or invisible properties then.
    #[error("path addresses nothing")]
    Invalid,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A position in the path's text.
    Key(Range<usize>),
    Index(u64),
}

/// A path that was read. Its buffers can be kept and read into again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    text: Vec<u8>,
    tokens: Vec<Token>,
}

/// The largest integer JavaScript counts up to without gaps; beyond it an index has no one spelling as a key.
const INDEX_MAX: f64 = 9_007_199_254_740_991.0;

impl Path {
    /// Reads a path into buffers of its own.
    pub fn parse(text: &[u8]) -> Result<Self, PathError> {
        let mut path = Self::default();
        path.read(text)?;
        Ok(path)
    }

    /// Reads a path into the buffers of an earlier one. After an error the path is empty and must be read again before use.
    pub fn read(&mut self, text: &[u8]) -> Result<(), PathError> {
        self.text.clear();
        self.tokens.clear();
        if let Some(outcome) = self.read_plain(text) {
            return outcome;
        }
        let outcome = std::str::from_utf8(text).map_err(|_| PathError::Invalid).and_then(|text| self.tokenise(text));
        if outcome.is_err() {
            self.tokens.clear();
        }
        outcome
    }

    /// A path like most: keys of letters, digits, hyphens and underscores, with a dot between them. `None` if it is another.
    fn read_plain(&mut self, text: &[u8]) -> Option<Result<(), PathError>> {
        if text.is_empty() {
            return None;
        }
        let mut start = 0;
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => {}
                b'.' if start < at => {
                    self.tokens.push(Token::Key(start..at));
                    start = at + 1;
                }
                _ => {
                    self.tokens.clear();
                    return None;
                }
            }
        }
        if start == text.len() {
            self.tokens.clear();
            return None;
        }
        self.tokens.push(Token::Key(start..text.len()));
        self.text.extend_from_slice(text);
        let reaches = |token: &Token| matches!(token, Token::Key(span) if is_unsafe(self.key(span)));
        if self.tokens.iter().any(reaches) {
            self.tokens.clear();
            return Some(Err(PathError::Unsafe));
        }
        Some(Ok(()))
    }

    fn tokenise(&mut self, text: &str) -> Result<(), PathError> {
        self.text.extend_from_slice(text.as_bytes());
        let mut segment_start = 0;
        for segment in text.split('.') {
            let here = segment_start;
            segment_start += segment.len() + 1;
            let trimmed = segment.trim_matches(is_space);
            if trimmed.is_empty() {
                continue;
            }
            let key_start = here + (segment.len() - segment.trim_start_matches(is_space).len());
            let mut pieces = trimmed.split(['[', ']']);
            let key = pieces.next().unwrap_or_default();
            if is_unsafe(key.as_bytes()) {
                return Err(PathError::Unsafe);
            }
            self.tokens.push(Token::Key(key_start..key_start + key.len()));
            for piece in pieces.filter(|piece| !piece.is_empty()) {
                self.tokens.push(Token::Index(index(piece).ok_or(PathError::Invalid)?));
            }
        }
        if self.tokens.is_empty() { Err(PathError::Invalid) } else { Ok(()) }
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(crate) fn key(&self, span: &Range<usize>) -> &[u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

/// Whether a key of an object is one that all objects of JavaScript share.
#[inline]
fn is_unsafe(key: &[u8]) -> bool {
    matches!(key, b"__proto__" | b"constructor" | b"prototype")
}

/// `Number(piece)`, where that is a natural number.
fn index(piece: &str) -> Option<u64> {
    let piece = piece.trim_matches(is_space);
    if piece.is_empty() {
        return Some(0);
    }
    for (prefixes, radix) in [(["0x", "0X"], 16), (["0o", "0O"], 8), (["0b", "0B"], 2)] {
        if let Some(digits) = prefixes.iter().find_map(|prefix| piece.strip_prefix(prefix)) {
            // `from_str_radix` would take a sign, JavaScript does not.
            let natural = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
            return u64::from_str_radix(digits, radix).ok().filter(|index| natural && (*index as f64) <= INDEX_MAX);
        }
    }
    // What is left is a decimal literal. `parse` also knows words such as "inf", which are none.
    if !piece.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'e' | b'E')) {
        return None;
    }
    let number: f64 = piece.parse().ok()?;
    ((0.0..=INDEX_MAX).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// What JavaScript's `trim` and `Number` take for whitespace.
fn is_space(char: char) -> bool {
    char == '\u{feff}' || (char.is_whitespace() && char != '\u{85}')
}
