//! UTF-16 code units as characters.
//!
//! Units outside the surrogates are the character of that number. The 2048 surrogates, which are no characters, stand at
//! [`SURROGATES_AT`]: nothing else can be there, because characters beyond the basic plane are all spelled as surrogates.

/// Where the surrogates stand.
const SURROGATES_AT: u32 = 0xf_0000;
pub(crate) const SURROGATES: std::ops::RangeInclusive<u16> = 0xd800..=0xdfff;

/// The character that stands for a code unit.
pub(crate) fn character(unit: u16) -> char {
    let moved =
        if SURROGATES.contains(&unit) { SURROGATES_AT + u32::from(unit - SURROGATES.start()) } else { u32::from(unit) };
    char::from_u32(moved).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A name as patterns see it. Nothing is copied unless it has a character beyond the basic plane.
pub fn units<'a>(name: &'a str, scratch: &'a mut String) -> &'a str {
    // Such characters begin with these bytes in UTF-8.
    if !name.bytes().any(|byte| byte >= 0xf0) {
        return name;
    }
    scratch.clear();
    scratch.extend(name.encode_utf16().map(character));
    scratch
}
