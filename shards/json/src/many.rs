//! Lists of patches, applied as one.
//!
//! *Owns* the form of a PATCH_MULTI's data. *Promises* all or nothing: on an error the caller's value has not changed, because
//! nothing here writes to it. *Does not* check that the list is JSON; that happened on entry.

use crate::check::Scratch;
use crate::edit::{Limits, PatchError, remove, set};
use crate::path::{Path, PathError};
use crate::scan::space;
use crate::string::{same_key, unescape_into};
use crate::walk::{Elements, Members};

/// Is this checked text a list of patches: a non-empty array of objects, each with a string `path` that can be followed?
pub fn check_patches(patches: &[u8], scratch: &mut Scratch) -> Result<(), PatchError> {
    let mut list = List::enter(patches)?;
    while let Some(patch) = list.next()? {
        read_path(&patch, &mut scratch.text, &mut scratch.path)?;
    }
    Ok(())
}

/// Writes `value` after all `patches`, in their order, into `out`, which is cleared first. After an error `out` means nothing.
///
/// A patch without `data` deletes its path.
pub fn set_many(
    value: &[u8],
    patches: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), PatchError> {
    let Scratch { path, text, spare, .. } = scratch;
    let mut list = List::enter(patches)?;
    let mut work = 0_usize;
    let mut first = true;
    while let Some(patch) = list.next()? {
        read_path(&patch, text, path)?;
        let before: &[u8] = if first {
            value
        } else {
            std::mem::swap(spare, out);
            spare
        };
        first = false;
        work = work.saturating_add(before.len());
        if work > limits.patch_work_bytes_max {
            return Err(PatchError::TooLarge);
        }
        match patch.data {
            Some(data) => set(before, path, data, limits, out)?,
            None => remove(before, path, limits, out)?,
        }
    }
    Ok(())
}

struct Patch<'a> {
    /// The raw text of the string, without quotes.
    path: &'a [u8],
    data: Option<&'a [u8]>,
}

/// The patches of a list, in order.
struct List<'a> {
    text: &'a [u8],
    elements: Elements<'a>,
}

impl<'a> List<'a> {
    fn enter(text: &'a [u8]) -> Result<Self, PatchError> {
        let elements = Elements::enter(text, space(text, 0)).ok_or(PatchError::NotPatches)?;
        Ok(Self { text, elements })
    }

    fn next(&mut self) -> Result<Option<Patch<'a>>, PatchError> {
        let Some(element) = self.elements.next() else {
            return if self.elements.count == 0 { Err(PatchError::NotPatches) } else { Ok(None) };
        };
        let text = self.text;
        let mut members = Members::enter(text, element.start).ok_or(PatchError::NotPatches)?;
        let (mut path, mut data) = (None, None);
        while let Some(member) = members.next() {
            let name = text.get(member.name).ok_or(PatchError::Malformed)?;
            let value = text.get(member.value).ok_or(PatchError::Malformed)?;
            if same_key(name, b"path") {
                path = Some(value);
            } else if same_key(name, b"data") {
                data = Some(value);
            }
        }
        let path = path.and_then(|raw| raw.strip_prefix(b"\"")?.strip_suffix(b"\"")).ok_or(PatchError::NotPatches)?;
        Ok(Some(Patch { path, data }))
    }
}

fn read_path(patch: &Patch<'_>, text: &mut Vec<u8>, path: &mut Path) -> Result<(), PatchError> {
    text.clear();
    if !unescape_into(patch.path, text) {
        // Half a surrogate pair names a key that no UTF-8 text can spell; replacing it would address another one.
        return Err(PathError::Invalid.into());
    }
    Ok(path.read(text)?)
}
