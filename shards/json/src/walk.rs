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

/// The texts of the elements of a checked array, in order; nothing if it is none.
pub fn elements(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut inside = Elements::enter(text, space(text, 0));
    std::iter::from_fn(move || text.get(inside.as_mut()?.next()?))
}

/// The members of a checked object, in order: names as they are written, without their quotes ([`unescape`](crate::unescape)
/// reads them), and the texts of the values; nothing if it is none.
pub fn members(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut inside = Members::enter(text, space(text, 0));
    std::iter::from_fn(move || {
        let member = inside.as_mut()?.next()?;
        Some((text.get(member.name)?, text.get(member.value)?))
    })
}

/// One member of an object, as positions in the text.
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
    /// How many members were passed.
    pub(crate) count: u64,
}

impl<'a> Members<'a> {
    /// `at` is the position of the opening brace.
    pub(crate) fn enter(text: &'a [u8], at: usize) -> Option<Self> {
        (text.get(at) == Some(&b'{')).then_some(Self { text, at: at + 1, count: 0 })
    }

    /// The next member's name, and where its value starts. [`pass`](Self::pass) has to follow.
    #[inline]
    pub(crate) fn name(&mut self) -> Option<(Range<usize>, usize)> {
        let text = self.text;
        let name = if self.count == 0 { self.at } else { expect(text, self.at, b',')? };
        let name = expect(text, name, b'"')?;
        let after = skip_string(text, name);
        let start = space(text, expect(text, after, b':')?);
        Some((name..after - 1, start))
    }

    /// Says that the value of the member last named ends at `end`.
    #[inline]
    pub(crate) fn pass(&mut self, end: usize) {
        self.at = end;
        self.count += 1;
    }

    /// The next member as a whole.
    pub(crate) fn next(&mut self) -> Option<Member> {
        let (name, start) = self.name()?;
        let end = skip_value(self.text, start);
        self.pass(end);
        Some(Member { name, value: start..end })
    }

    /// Where the last member ended, or just behind the brace if there was none yet.
    pub(crate) fn end(&self) -> usize {
        self.at
    }

    /// The position behind the closing brace, once no member is left.
    pub(crate) fn leave(&self) -> Option<usize> {
        expect(self.text, self.at, b'}')
    }
}

/// The elements of an array, in order.
pub(crate) struct Elements<'a> {
    text: &'a [u8],
    at: usize,
    /// How many elements were passed.
    pub(crate) count: u64,
}

impl<'a> Elements<'a> {
    /// `at` is the position of the opening bracket.
    pub(crate) fn enter(text: &'a [u8], at: usize) -> Option<Self> {
        (text.get(at) == Some(&b'[')).then_some(Self { text, at: at + 1, count: 0 })
    }

    /// Where the next element starts. [`pass`](Self::pass) has to follow.
    #[inline]
    pub(crate) fn start(&mut self) -> Option<usize> {
        let text = self.text;
        if self.count > 0 {
            return Some(space(text, expect(text, self.at, b',')?));
        }
        let start = space(text, self.at);
        text.get(start).is_some_and(|byte| *byte != b']').then_some(start)
    }

    /// Says that the element last started ends at `end`.
    #[inline]
    pub(crate) fn pass(&mut self, end: usize) {
        self.at = end;
        self.count += 1;
    }

    /// The next element as a whole.
    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        let start = self.start()?;
        let end = skip_value(self.text, start);
        self.pass(end);
        Some(start..end)
    }

    /// Where the last element ended, or just behind the bracket if there was none yet.
    pub(crate) fn end(&self) -> usize {
        self.at
    }

    /// The position behind the closing bracket, once no element is left.
    pub(crate) fn leave(&self) -> Option<usize> {
        expect(self.text, self.at, b']')
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
    if !matches!(text.get(space(text, 0)), Some(b'{' | b'[')) {
        return 0;
    }
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
