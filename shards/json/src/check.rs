//! Checks a JSON text, once, on entry.
//!
//! *Owns* what counts as a value, and the choice between the scanner and simd-json. *Promises* that the choice affects
//! only the time: what simd-json refuses is given to the scanner, whose answer counts, because simd-json also refuses
//! what it cannot represent (a number beyond `f64`, half a surrogate pair). *Does not* keep anything of the text.

use thiserror::Error;

use crate::path::Path;
use crate::scan::{is_plain_string, scan, scan_deep};
use crate::simd::Simd;
use crate::walk::depth_of;

/// How many containers may be open at once, unless a [`Scratch`] says otherwise. Upstream has no limit but the stack of its
/// parser.
pub const JSON_DEPTH_MAX: usize = 128;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Any number.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl Kind {
    /// A value's first byte tells its kind.
    pub(crate) fn of_first(byte: Option<u8>) -> Option<Self> {
        Some(match byte? {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            b'-' | b'0'..=b'9' => Self::Number,
            b't' | b'f' => Self::Bool,
            b'n' => Self::Null,
            _ => return None,
        })
    }
}

/// Where and why a text is not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{fault} at byte {at}")]
pub struct Malformed {
    /// Offset of the first byte that cannot be.
    pub at: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// The ways a text can fail to be a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Not JSON.
    #[error("not JSON")]
    Syntax,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// More nested containers than are allowed.
    #[error("nested too deeply")]
    TooDeep,
}

/// Buffers kept between calls, so that steady work allocates nothing. One per shard is enough. And how deep what is checked
/// with it may be.
pub struct Scratch {
    depth_max: usize,
    pub(crate) simd: Simd,
    pub(crate) path: Path,
    pub(crate) text: Vec<u8>,
    pub(crate) spare: Vec<u8>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl Scratch {
    /// Empty buffers; they grow with use.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, for texts with up to this many nested containers. Beyond [`JSON_DEPTH_MAX`] each takes a bit of
    /// memory, which is allocated for such a text.
    pub fn with_depth_max(depth_max: usize) -> Self {
        Self { depth_max, ..Self::default() }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            depth_max: JSON_DEPTH_MAX,
            simd: Simd::default(),
            path: Path::default(),
            text: Vec::new(),
            spare: Vec::new(),
        }
    }
}

/// Is `text` one JSON value, in UTF-8, with nothing but whitespace around it, and nested no deeper than `scratch` says?
pub fn check(text: &[u8], scratch: &mut Scratch) -> Result<Kind, Malformed> {
    let depth_max = scratch.depth_max;
    match check_usual(text, scratch) {
        Err(Malformed { fault: Fault::TooDeep, .. }) if depth_max > JSON_DEPTH_MAX => scan_deep(text, depth_max),
        Ok(_) if depth_max < JSON_DEPTH_MAX && depth_of(text) > depth_max => scan_deep(text, depth_max),
        checked => checked,
    }
}

/// Up to [`JSON_DEPTH_MAX`].
fn check_usual(text: &[u8], scratch: &mut Scratch) -> Result<Kind, Malformed> {
    if is_plain_string(text) {
        return Ok(Kind::String);
    }
    if text.is_ascii() {
        return scan(text);
    }
    if Simd::wins(text)
        && let Some(kind) = scratch.simd.check(text)
    {
        return Ok(kind);
    }
    match std::str::from_utf8(text) {
        Ok(_) => scan(text),
        Err(error) => Err(Malformed { at: error.valid_up_to(), fault: Fault::Utf8 }),
    }
}
