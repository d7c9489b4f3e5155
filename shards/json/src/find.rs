//! Finding the place that a path addresses in a value.
//!
//! *Owns* what a token means when it meets an object, an array or anything else. *Promises* one pass over the value, however deep
//! the place is and however often a name is repeated: a member is entered the moment its name is read, and a later member of the
//! same name overrules what was found. *Does not* write.

use std::ops::Range;

use crate::path::{Path, Token};
use crate::scan::space;
use crate::string::same_key;
use crate::walk::{Elements, Members, skip_value};

/// What a path comes to in a value. `built` is the first token that has to be built anew.
#[derive(Debug)]
pub(crate) enum Place {
    /// The patch has no visible effect.
    Nowhere,
    /// This value is replaced: by the new one, or by null.
    At(Range<usize>),
    /// This part of an object goes: a member with one comma.
    Cut(Range<usize>),
    /// The last token names several members of the object that starts here, and all go.
    Everywhere(usize),
    /// This value cannot be entered and is replaced by what the remaining tokens build.
    Over { cut: Range<usize>, built: usize },
    /// A new member of an object.
    Member { at: usize, first: bool, built: usize },
    /// A new element behind the end of an array of `count`.
    Element { at: usize, count: u64, index: u64, built: usize },
}

/// `None` if the value is not JSON after all. The path has at least one token and at most as many as
/// [`Limits::depth_max`](crate::Limits::depth_max) says, which bounds the recursion.
pub(crate) fn find(value: &[u8], path: &Path, removing: bool) -> Option<Place> {
    let (place, _) = Finder { value, path, removing }.enter(space(value, 0), 0)?;
    Some(place)
}

struct Finder<'a> {
    value: &'a [u8],
    path: &'a Path,
    removing: bool,
}

impl Finder<'_> {
    /// Follows the path from token `depth` on into the value at `at`. Gives the place, and where that value ends.
    fn enter(&self, at: usize, depth: usize) -> Option<(Place, usize)> {
        match self.value.get(at)? {
            b'{' => self.enter_object(at, depth),
            b'[' => self.enter_array(at, depth),
            _ => {
                let end = skip_value(self.value, at);
                (end > at).then_some((Place::Over { cut: at..end, built: depth }, end))
            }
        }
    }

    fn enter_object(&self, at: usize, depth: usize) -> Option<(Place, usize)> {
        let mut buffer = [0; 20];
        let key = key_of(self.path, self.path.tokens().get(depth)?, &mut buffer);
        let last = depth + 1 == self.path.tokens().len();
        let mut members = Members::enter(self.value, at)?;
        let (mut times, mut place) = (0, None);
        while let Some((name, start)) = members.name() {
            let before = members.end();
            if members.count == 1
                && times == 1
                && let Some(Place::Cut(cut)) = &mut place
            {
                // The first member is the one that goes: with it goes the comma behind it, there being none before.
                cut.end = name.start - 1;
            }
            let hit = same_key(self.value.get(name)?, key);
            let end = if hit && !last {
                let (inner, end) = self.enter(start, depth + 1)?;
                place = Some(inner);
                end
            } else {
                skip_value(self.value, start)
            };
            if hit && last {
                times += 1;
                place = Some(match (self.removing, times) {
                    (false, _) => Place::At(start..end),
                    (true, 1) => Place::Cut(before..end),
                    (true, _) => Place::Everywhere(at),
                });
            }
            members.pass(end);
        }
        let place = match place {
            Some(place) => place,
            None if self.removing && last => Place::Nowhere,
            None => Place::Member { at: members.end(), first: members.count == 0, built: depth + 1 },
        };
        Some((place, members.leave()?))
    }

    fn enter_array(&self, at: usize, depth: usize) -> Option<(Place, usize)> {
        let index = element_index(self.path, self.path.tokens().get(depth)?);
        let last = depth + 1 == self.path.tokens().len();
        let mut elements = Elements::enter(self.value, at)?;
        let mut place = None;
        while let Some(start) = elements.start() {
            let hit = Some(elements.count) == index;
            let end = if hit && !last {
                let (inner, end) = self.enter(start, depth + 1)?;
                place = Some(inner);
                end
            } else {
                skip_value(self.value, start)
            };
            if hit && last {
                place = Some(Place::At(start..end));
            }
            elements.pass(end);
        }
        let place = match (place, index) {
            (Some(place), _) => place,
            (None, None) => Place::Nowhere,
            (None, Some(_)) if self.removing && last => Place::Nowhere,
            (None, Some(index)) => {
                Place::Element { at: elements.end(), count: elements.count, index, built: depth + 1 }
            }
        };
        Some((place, elements.leave()?))
    }
}

/// What a token is called in an object.
pub(crate) fn key_of<'a>(path: &'a Path, token: &Token, buffer: &'a mut [u8; 20]) -> &'a [u8] {
    match token {
        Token::Key(span) => path.key(span),
        Token::Index(index) => decimal(*index, buffer),
    }
}

/// The element a token addresses in an array. Any other key is a property that no JSON shows.
fn element_index(path: &Path, token: &Token) -> Option<u64> {
    let span = match token {
        Token::Index(index) => return Some(*index),
        Token::Key(span) => span,
    };
    let digits = path.key(span);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    // Saturating: whatever does not fit is too far in any array.
    Some(digits.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

pub(crate) fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    for slot in buffer.iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        at -= 1;
        if number == 0 {
            break;
        }
    }
    buffer.get(at..).unwrap_or_default()
}
