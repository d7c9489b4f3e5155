//! Upper and lower case, as `i` sees it.
//!
//! *Owns* `Canonicalize` of ECMA-262. *Promises* one unit for one unit. *Does not* know locales.

/// What a character is compared as when case is ignored.
pub(crate) fn canonical(unit: u32, unicode: bool) -> u32 {
    if unit < 128 {
        let byte = unit as u8;
        let changed = if unicode { byte.to_ascii_lowercase() } else { byte.to_ascii_uppercase() };
        return u32::from(changed);
    }
    let Some(char) = char::from_u32(unit) else { return unit };
    if unicode {
        // Simple case folding, where it exists, is the lower case of the upper case.
        let upper = single(char.to_uppercase()).unwrap_or(char);
        return u32::from(single(upper.to_lowercase()).unwrap_or(upper));
    }
    match single(char.to_uppercase()) {
        // As ECMA-262 has it without `u`: the result must be one code unit, and a character outside of ASCII must not
        // become ASCII.
        Some(upper) if unit <= 0xffff && !upper.is_ascii() && u32::from(upper) <= 0xffff => u32::from(upper),
        _ => unit,
    }
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}
