//! Patches: a value with one place changed, by splicing its text.
//!
//! *Owns* what a path means when it meets a value. *Promises* that the result of patching a checked value is a value again, within
//! the limits, and that it allocates only when `out` has to grow. *Does not* look at anything beside the path: bytes before
//! and after the place are copied as they are, spelling included.

use std::ops::Range;

use thiserror::Error;

use crate::check::JSON_DEPTH_MAX;
use crate::find::{Place, decimal, find, key_of};
use crate::path::{Path, PathError, Token};
use crate::string::{same_key, write_string};
use crate::walk::{Members, depth_of};

/// Bounds of what a patch may build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How far behind an array's end an index may lie; the gap is filled with nulls.
    pub array_index_gap_max: u64,
    /// The longest text a patch may produce. Without it, nulls between far indices multiply a small message.
    pub value_bytes_max: usize,
    /// How many bytes a list of patches may copy in all, each patch costing the length of the value it makes.
    pub patch_work_bytes_max: usize,
    /// How many containers may be open at once in what a patch makes. Following a path takes as much stack.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            array_index_gap_max: 10_000,
            value_bytes_max: 16 << 20,
            patch_work_bytes_max: 128 << 20,
            depth_max: JSON_DEPTH_MAX,
        }
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
    /// The result would be nested deeper than [`Limits::depth_max`].
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
    if tokens.len() + new.map_or(0, depth_of) > limits.depth_max {
        return Err(PatchError::TooDeep);
    }
    let place = find(value, path, new.is_none()).ok_or(PatchError::Malformed)?;
    out.clear();
    let mut writer = Writer { path, limits, out };
    let rest = |built: usize| tokens.get(built..).unwrap_or_default();
    match place {
        Place::Nowhere => writer.put(value),
        Place::At(cut) => writer.splice(value, cut, |writer| writer.put(new.unwrap_or(b"null"))),
        Place::Cut(cut) => writer.splice(value, cut, |_| Ok(())),
        Place::Everywhere(start) => writer.without_all(value, start),
        Place::Over { cut, built } => writer.splice(value, cut, |writer| writer.build(rest(built), new)),
        Place::Member { at, first, built } => writer.splice(value, at..at, |writer| {
            writer.put(if first { b"" } else { b"," })?;
            writer.name(tokens.get(built - 1).ok_or(PatchError::Malformed)?)?;
            writer.build(rest(built), new)
        }),
        Place::Element { at, count, index, built } => writer.splice(value, at..at, |writer| {
            writer.put(if count == 0 { b"" } else { b"," })?;
            writer.nulls(index - count)?;
            writer.build(rest(built), new)
        }),
    }
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

    /// `value` with what `middle` writes in place of `cut`.
    fn splice(
        &mut self,
        value: &[u8],
        cut: Range<usize>,
        middle: impl FnOnce(&mut Self) -> Result<(), PatchError>,
    ) -> Result<(), PatchError> {
        self.put(value.get(..cut.start).ok_or(PatchError::Malformed)?)?;
        middle(self)?;
        self.put(value.get(cut.end..).ok_or(PatchError::Malformed)?)
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
        let token = self.path.tokens().last().ok_or(PatchError::Malformed)?;
        let key = key_of(self.path, token, &mut buffer);
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
