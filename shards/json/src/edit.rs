//! Patches: a value with one place changed, by splicing its text.
//!
//! *Owns* what a path means when it meets a value. *Promises* that the result of patching a checked value is a value again, within
//! the limits, and that it allocates only when `out` has to grow. *Does not* look at anything beside the path: bytes before
//! and after the place are copied as they are, spelling included.

use std::ops::Range;

use thiserror::Error;

use crate::check::JSON_DEPTH_MAX;
use crate::path::{Path, PathError, Token};
use crate::scan::space;
use crate::string::{same_key, write_string};
use crate::walk::{Elements, Members, depth_of, skip_value};

/// Bounds of what a patch may build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How far behind an array's end an index may lie; the gap is filled with nulls.
    pub array_index_gap_max: u64,
    /// The longest text a patch may produce. Without it, nulls between far indices multiply a small message.
    pub value_bytes_max: usize,
    /// How many bytes a list of patches may copy in all, each patch costing the length of the value it makes.
    pub patch_work_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { array_index_gap_max: 10_000, value_bytes_max: 16 << 20, patch_work_bytes_max: 256 << 20 }
    }
}

/// Why a patch cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The value, or what should go into it, is not JSON.
    #[error("not JSON")]
    Malformed,
    /// The path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An index lies further behind its array's end than [`Limits::array_index_gap_max`].
    #[error("array index too far behind the end")]
    IndexTooFar,
    /// The result would be nested deeper than [`JSON_DEPTH_MAX`].
    #[error("nested too deeply")]
    TooDeep,
    /// The result would be longer than [`Limits::value_bytes_max`], or a list of patches does more than
    /// [`Limits::patch_work_bytes_max`].
    #[error("patched value too large")]
    TooLarge,
    /// A list of patches is not a non-empty array of objects with a string `path`.
    #[error("not a list of patches")]
    NotPatches,
}

/// Writes `value` with `new` at `path` into `out`, which is cleared first. After an error `out` means nothing.
pub fn set(value: &[u8], path: &Path, new: &[u8], limits: &Limits, out: &mut Vec<u8>) -> Result<(), PatchError> {
    let new = new.trim_ascii();
    if new.is_empty() {
        return Err(PatchError::Malformed);
    }
    edit(value, path, Some(new), limits, out)
}

/// Writes `value` without what is at `path` into `out`, which is cleared first. After an error `out` means nothing.
///
/// As upstream: an array keeps its length and has null there, and parents that were missing are made.
pub fn remove(value: &[u8], path: &Path, limits: &Limits, out: &mut Vec<u8>) -> Result<(), PatchError> {
    edit(value, path, None, limits, out)
}

fn edit(value: &[u8], path: &Path, new: Option<&[u8]>, limits: &Limits, out: &mut Vec<u8>) -> Result<(), PatchError> {
    let tokens = path.tokens();
    if tokens.is_empty() {
        return Err(PathError::Invalid.into());
    }
    if tokens.len() + new.map_or(0, depth_of) > JSON_DEPTH_MAX {
        return Err(PatchError::TooDeep);
    }
    let start = space(value, 0);
    let end = skip_value(value, start);
    if end == start {
        return Err(PatchError::Malformed);
    }
    let place = find(value, start..end, path, new.is_none())?;
    let mut writer = Writer { path, limits, out };
    writer.out.clear();
    match place {
        Place::Nowhere => writer.put(value)?,
        Place::At(cut) => {
            writer.put(value.get(..cut.start).ok_or(PatchError::Malformed)?)?;
            writer.put(new.unwrap_or(b"null"))?;
            writer.put(value.get(cut.end..).ok_or(PatchError::Malformed)?)?;
        }
        Place::Cut(cut) => {
            writer.put(value.get(..cut.start).ok_or(PatchError::Malformed)?)?;
            writer.put(value.get(cut.end..).ok_or(PatchError::Malformed)?)?;
        }
        Place::Everywhere(start) => writer.without_all(value, start)?,
        Place::Over { cut, built } => {
            writer.put(value.get(..cut.start).ok_or(PatchError::Malformed)?)?;
            writer.build(tokens.get(built..).unwrap_or_default(), new)?;
            writer.put(value.get(cut.end..).ok_or(PatchError::Malformed)?)?;
        }
        Place::Member { at, first, built } => {
            writer.put(value.get(..at).ok_or(PatchError::Malformed)?)?;
            if !first {
                writer.put(b",")?;
            }
            writer.name(tokens.get(built - 1).ok_or(PatchError::Malformed)?)?;
            writer.build(tokens.get(built..).unwrap_or_default(), new)?;
            writer.put(value.get(at..).ok_or(PatchError::Malformed)?)?;
        }
        Place::Element { at, count, index, built } => {
            writer.put(value.get(..at).ok_or(PatchError::Malformed)?)?;
            if count > 0 {
                writer.put(b",")?;
            }
            writer.nulls(index - count)?;
            writer.build(tokens.get(built..).unwrap_or_default(), new)?;
            writer.put(value.get(at..).ok_or(PatchError::Malformed)?)?;
        }
    }
    Ok(())
}

/// What a path comes to in a value. `built` is the first token that has to be built anew.
enum Place {
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

fn find(value: &[u8], root: Range<usize>, path: &Path, removing: bool) -> Result<Place, PatchError> {
    let tokens = path.tokens();
    let mut here = root;
    for (depth, token) in tokens.iter().enumerate() {
        let built = depth + 1;
        let last = built == tokens.len();
        if let Some(members) = Members::enter(value, here.start) {
            let found = find_member(value, members, path, token)?;
            match found.last {
                Some(span) if !last => here = span,
                Some(_) if removing && found.times > 1 => return Ok(Place::Everywhere(here.start)),
                Some(_) if removing => return Ok(Place::Cut(found.cut)),
                Some(span) => return Ok(Place::At(span)),
                None if removing && last => return Ok(Place::Nowhere),
                None => return Ok(Place::Member { at: found.end, first: found.count == 0, built }),
            }
        } else if let Some(mut elements) = Elements::enter(value, here.start) {
            let Some(index) = element_index(path, token) else { return Ok(Place::Nowhere) };
            match find_element(&mut elements, index) {
                Some(span) if last => return Ok(Place::At(span)),
                Some(span) => here = span,
                None if removing && last => return Ok(Place::Nowhere),
                None => return Ok(Place::Element { at: elements.end(), count: elements.count, index, built }),
            }
        } else {
            return Ok(Place::Over { cut: here, built: depth });
        }
    }
    Err(PatchError::Malformed)
}

struct Found {
    /// The value of the last member of that name: the one that counts.
    last: Option<Range<usize>>,
    /// That member with the comma before it, or after it if it is the first.
    cut: Range<usize>,
    times: usize,
    count: usize,
    end: usize,
}

fn find_member(value: &[u8], mut members: Members<'_>, path: &Path, token: &Token) -> Result<Found, PatchError> {
    let mut buffer = [0; 20];
    let key = match token {
        Token::Key(span) => path.key(span),
        Token::Index(index) => decimal(*index, &mut buffer),
    };
    let mut found = Found { last: None, cut: 0..0, times: 0, count: 0, end: members.end() };
    while let Some(member) = members.next() {
        if found.count == 1 && found.times == 1 {
            // The first member is the one: with it goes the comma behind it.
            found.cut.end = member.name.start - 1;
        }
        if same_key(value.get(member.name).ok_or(PatchError::Malformed)?, key) {
            found.cut = found.end..member.value.end;
            found.last = Some(member.value);
            found.times += 1;
        }
        found.count += 1;
        found.end = members.end();
    }
    Ok(found)
}

fn find_element(elements: &mut Elements<'_>, index: u64) -> Option<Range<usize>> {
    while elements.count < index {
        elements.next()?;
    }
    elements.next()
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

fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
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

/// Writes pieces of the result, within the limits.
struct Writer<'a> {
    path: &'a Path,
    limits: &'a Limits,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), PatchError> {
        if bytes.len() > self.limits.value_bytes_max.saturating_sub(self.out.len()) {
            return Err(PatchError::TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn name(&mut self, token: &Token) -> Result<(), PatchError> {
        match token {
            Token::Key(span) => write_string(self.path.key(span), self.out),
            Token::Index(index) => {
                self.put(b"\"")?;
                self.put(decimal(*index, &mut [0; 20]))?;
                self.put(b"\"")?;
            }
        }
        self.put(b":")
    }

    /// As many nulls, each followed by a comma: what comes next is the element after them.
    fn nulls(&mut self, count: u64) -> Result<(), PatchError> {
        if count > self.limits.array_index_gap_max {
            return Err(PatchError::IndexTooFar);
        }
        for _ in 0..count {
            self.put(b"null,")?;
        }
        Ok(())
    }

    /// The containers that `tokens` need, with `new` inside; without it, the innermost stays empty.
    fn build(&mut self, tokens: &[Token], new: Option<&[u8]>) -> Result<(), PatchError> {
        for (depth, token) in tokens.iter().enumerate() {
            let empty = new.is_none() && depth + 1 == tokens.len();
            match token {
                Token::Key(_) => {
                    self.put(b"{")?;
                    if !empty {
                        self.name(token)?;
                    }
                }
                Token::Index(index) => {
                    self.put(b"[")?;
                    if !empty {
                        self.nulls(*index)?;
                    }
                }
            }
        }
        self.put(new.unwrap_or_default())?;
        for token in tokens.iter().rev() {
            self.put(if matches!(token, Token::Key(_)) { b"}" } else { b"]" })?;
        }
        Ok(())
    }

    /// The whole value, where the object at `start` loses every member that the path's last token names.
    fn without_all(&mut self, value: &[u8], start: usize) -> Result<(), PatchError> {
        let mut buffer = [0; 20];
        let key = match self.path.tokens().last() {
            Some(Token::Key(span)) => self.path.key(span),
            Some(Token::Index(index)) => decimal(*index, &mut buffer),
            None => return Err(PatchError::Malformed),
        };
        let mut members = Members::enter(value, start).ok_or(PatchError::Malformed)?;
        self.put(value.get(..=start).ok_or(PatchError::Malformed)?)?;
        let mut first = true;
        while let Some(member) = members.next() {
            if same_key(value.get(member.name.clone()).ok_or(PatchError::Malformed)?, key) {
                continue;
            }
            if !first {
                self.put(b",")?;
            }
            first = false;
            self.put(value.get(member.name.start - 1..member.value.end).ok_or(PatchError::Malformed)?)?;
        }
        self.put(value.get(members.end()..).ok_or(PatchError::Malformed)?)
    }
}
