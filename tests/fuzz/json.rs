//! JSON texts, paths and patches, against a known parser and a naive model on its trees.

#[path = "../../shards/json/tests/naive/mod.rs"]
mod naive;

use deepstream_json::{
    Kind, Limits, PatchError, Path, Scratch, check, check_patches, get_member, kind_of, remove, set, set_many,
    string_of, unescape, write_string,
};
use naive::{GAP_MAX, model, steps};
use serde::de::IgnoredAny;
use serde_json::Value;

/// A document, a path and a new value, parted by bytes that no UTF-8 has.
pub(crate) fn run(input: &[u8]) {
    let mut parts = input.splitn(3, |&byte| byte == 0xff);
    let [document, path, new] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let mut scratch = Scratch::new();
    for text in [document, new] {
        judged_alike(text, &mut scratch);
    }
    strings(document, &mut scratch);
    patched(document, path, new, &mut scratch);
    listed(new, document, &mut scratch);
    listed(b"{}", document, &mut scratch);
}

fn limits() -> Limits {
    Limits { array_index_gap_max: GAP_MAX as u64, ..Limits::default() }
}

/// The parser's tree; none where the text is none, or beyond what a tree holds (half surrogate pairs, huge numbers).
fn parse(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

/// The known parser ends at a nesting of 127: what a path of that length makes of a value of that depth is within it.
const DEPTH_MAX: usize = 60;

fn is_deep(text: &[u8]) -> bool {
    text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > DEPTH_MAX
}

fn judged_alike(text: &[u8], scratch: &mut Scratch) {
    let judged = check(text, scratch);
    if is_deep(text) {
        return;
    }
    let valid = str::from_utf8(text).is_ok() && serde_json::from_slice::<IgnoredAny>(text).is_ok();
    assert_eq!(judged.is_ok(), valid, "{judged:?} of {:?}", String::from_utf8_lossy(text));
    let Some(value) = parse(text).filter(|_| valid) else { return };
    let kind = match &value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Bool,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    };
    assert_eq!((judged, kind_of(text)), (Ok(kind), Some(kind)));
    if let Value::String(expected) = &value {
        assert_eq!(string_of(text.trim_ascii()).as_deref(), Some(expected.as_bytes()));
    }
    for (name, expected) in value.as_object().into_iter().flatten() {
        assert_eq!(get_member(text, name.as_bytes()).and_then(parse).as_ref(), Some(expected), "{name:?}");
    }
}

/// Any bytes can be written as a string, and text comes back as it was.
fn strings(text: &[u8], scratch: &mut Scratch) {
    let mut written = Vec::new();
    write_string(text, &mut written);
    assert_eq!(check(&written, scratch), Ok(Kind::String));
    if str::from_utf8(text).is_ok() {
        assert_eq!(string_of(&written).as_deref(), Some(text));
    }
    let _ = (unescape(text), string_of(text), get_member(text, text), kind_of(text));
}

/// Whether the model can follow: not too deep, it knows indices as plain digits only, and of spaces only those both trims
/// agree on.
fn is_plain(path: &str) -> bool {
    let short = path.split(['.', '[', ']']).count() <= DEPTH_MAX;
    let mut indices = path.split('.').flat_map(|segment| segment.trim().split(['[', ']']).skip(1));
    let plain = |piece: &str| {
        let digits = piece.trim();
        piece.is_empty() || (1..=9).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    short && !path.contains(['\u{feff}', '\u{85}']) && indices.all(plain)
}

fn patched(document: &[u8], path: &[u8], new: &[u8], scratch: &mut Scratch) {
    let Ok(read) = Path::parse(path) else { return };
    let valid = check(document, scratch).is_ok() && check(new, scratch).is_ok();
    let trees = parse(document).zip(parse(new)).filter(|_| valid && !is_deep(document) && !is_deep(new));
    let path = str::from_utf8(path).expect("a path is text");
    let mut out = Vec::new();
    for new in [Some(new), None] {
        let outcome = match new {
            Some(new) => set(document, &read, new, &limits(), &mut out),
            None => remove(document, &read, &limits(), &mut out),
        };
        let well = valid || new.is_none() && check(document, scratch).is_ok();
        if well && outcome.is_ok() {
            assert!(check(&out, scratch).is_ok(), "{}", String::from_utf8_lossy(&out));
        }
        let Some((before, value)) = trees.as_ref().filter(|_| is_plain(path)) else { continue };
        let mut expected = before.clone();
        let fits = model(&mut expected, &steps(path), new.is_some().then_some(value));
        match outcome {
            Err(PatchError::TooDeep) => {}
            Ok(()) => assert_eq!((parse(&out), true), (Some(expected), fits), "{path}"),
            Err(error) => assert!(!fits, "{error}: {path}"),
        }
    }
}

/// A text taken for a list of patches.
fn listed(document: &[u8], patches: &[u8], scratch: &mut Scratch) {
    let mut out = Vec::new();
    let valid = check(document, scratch).is_ok() && check(patches, scratch).is_ok();
    let fine = check_patches(patches, scratch).is_ok();
    let outcome = set_many(document, patches, &limits(), scratch, &mut out);
    if !valid {
        return;
    }
    assert!(fine || outcome.is_err(), "what was refused on entry is not applied");
    if outcome.is_ok() {
        assert!(check(&out, scratch).is_ok(), "{}", String::from_utf8_lossy(&out));
    }
    let Some((mut expected, list)) = parse(document).zip(parse(patches)).filter(|_| fine && !is_deep(patches)) else {
        return;
    };
    for patch in list.as_array().expect("a list") {
        let path = patch["path"].as_str().expect("a path");
        if !is_plain(path) {
            return;
        }
        if !model(&mut expected, &steps(path), patch.get("data")) {
            return assert!(outcome.is_err(), "{path}");
        }
    }
    match outcome {
        Err(PatchError::TooDeep) => {}
        _ => assert_eq!((outcome, parse(&out)), (Ok(()), Some(expected))),
    }
}
