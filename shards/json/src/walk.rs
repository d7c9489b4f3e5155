//! Walking over checked text: the members of an object, the elements of an array.
//!
//! *Owns* skipping. *Promises* to end on any input, inside it; text that was never checked gives `None` or nonsense, not a panic.
//! *Does not* validate, which is why it is fast.

use std::ops::Range;

use crate::check::Kind;
use crate::scan::space;
use crate::string::{expect, same_key, skip_string};

/// The kind of a checked value. `None` for a text that holds none.
pub fn kind_of(text: &[u8]) -> Option<Kind> {
    Kind::of_first(text.get(space(text, 0)).copied())
}

/// The text of the member `name` of a checked object: of several the last, as `JSON.parse` has it. `None` if it has none, or is
/// no object.
pub fn get_member<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut members = Members::enter(text, space(text, 0))?;
    let mut found = None;
    while let Some(member) = members.next() {
        if same_key(text.get(member.name)?, name) {
            found = Some(member.value);
        }
    }
    text.get(found?)
}

/// One member of an object, as positions in the text.
#[derive(Clone)]
pub(crate) struct Member {
    /// Without its quotes.
    pub(crate) name: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// The members of an object, in order.
pub(crate) struct Members<'a> {
    text: &'a [u8],
    /// Where the next member or the closing brace is looked for.
    at: usize,
    first: bool,
}

impl<'a> Members<'a> {
    /// `at` is the position of the opening brace.
    pub(crate) fn enter(text: &'a [u8], at: usize) -> Option<Self> {
        (text.get(at) == Some(&b'{')).then_some(Self { text, at: at + 1, first: true })
    }

    pub(crate) fn next(&mut self) -> Option<Member> {
        let text = self.text;
        let name = if self.first { self.at } else { expect(text, self.at, b',')? };
        let name = expect(text, name, b'"')?;
        let after = skip_string(text, name);
        let start = space(text, expect(text, after, b':')?);
        let end = skip_value(text, start);
        self.at = end;
        self.first = false;
        Some(Member { name: name..after - 1, value: start..end })
    }

    /// Where the last member ended, or just behind the brace if there was none yet.
    pub(crate) fn end(&self) -> usize {
        self.at
    }
}

/// The elements of an array, in order.
pub(crate) struct Elements<'a> {
    text: &'a [u8],
    at: usize,
    pub(crate) count: u64,
}

impl<'a> Elements<'a> {
    /// `at` is the position of the opening bracket.
    pub(crate) fn enter(text: &'a [u8], at: usize) -> Option<Self> {
        (text.get(at) == Some(&b'[')).then_some(Self { text, at: at + 1, count: 0 })
    }

    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        let text = self.text;
        let start = if self.count == 0 {
            let start = space(text, self.at);
            if text.get(start) == Some(&b']') {
                return None;
            }
            start
        } else {
            space(text, expect(text, self.at, b',')?)
        };
        let end = skip_value(text, start);
        if end == start {
            return None;
        }
        self.at = end;
        self.count += 1;
        Some(start..end)
    }

    /// Where the last element ended, or just behind the bracket if there was none yet.
    pub(crate) fn end(&self) -> usize {
        self.at
    }
}

/// The end of the value that starts at `at`.
#[inline]
pub(crate) fn skip_value(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => skip_string(text, at + 1),
        Some(b'{' | b'[') => skip_container(text, at),
        _ => skip_scalar(text, at),
    }
}

#[inline]
fn skip_scalar(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|byte| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

fn skip_container(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = skip_string(text, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    at
}

/// How deeply containers are nested in a checked value; 0 for a scalar.
pub(crate) fn depth_of(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = skip_string(text, at),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
