//! Sets of characters.
//!
//! *Owns* classes and their escapes. *Promises* a sorted, disjoint set. *Does not* hold strings: the `v` flag is refused.

use crate::fold::canonical;
use crate::read::PatternError;

/// Characters beyond this have no case.
const CASED_MAX: u32 = 0x1_ffff;

/// Ranges of characters, ends included, sorted and disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    ranges: Vec<(u32, u32)>,
}

impl Set {
    pub(crate) fn of(ranges: &[(u32, u32)]) -> Self {
        let mut set = Self { ranges: ranges.to_vec() };
        set.tidy();
        set
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.ranges.extend_from_slice(&other.ranges);
        self.tidy();
    }

    fn tidy(&mut self) {
        self.ranges.sort_unstable();
        let mut tidied: Vec<(u32, u32)> = Vec::with_capacity(self.ranges.len());
        for &(low, high) in &self.ranges {
            match tidied.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => tidied.push((low, high)),
            }
        }
        self.ranges = tidied;
    }

    pub(crate) fn inverted(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for &(low, high) in &self.ranges {
            if low > next {
                ranges.push((next, low - 1));
            }
            next = high + 1;
        }
        if next <= 0x10_ffff {
            ranges.push((next, 0x10_ffff));
        }
        Self { ranges }
    }

    fn contains(&self, unit: u32) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < unit);
        self.ranges.get(at).is_some_and(|range| range.0 <= unit)
    }

    /// The set with every member replaced by the form in which it is compared when case is ignored.
    fn canonical(&self, unicode: bool) -> Self {
        let mut ranges = Vec::new();
        for &(low, high) in &self.ranges {
            for unit in low..=high.min(CASED_MAX) {
                let canonical = canonical(unit, unicode);
                match ranges.last_mut() {
                    Some((_, last)) if canonical == *last + 1 => *last = canonical,
                    _ => ranges.push((canonical, canonical)),
                }
            }
            if high > CASED_MAX {
                ranges.push((low.max(CASED_MAX + 1), high));
            }
        }
        Self::of(&ranges)
    }
}

/// A class, prepared for lookups.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    ascii: u128,
    set: Set,
    negative: bool,
}

impl Class {
    /// With `fold`, characters have to be made canonical before they are looked up.
    pub(crate) fn new(set: &Set, negative: bool, fold: bool, unicode: bool) -> Self {
        let set = if fold { set.canonical(unicode) } else { set.clone() };
        let ascii = (0..128).filter(|&unit| set.contains(unit)).fold(0, |bits, unit| bits | 1_u128 << unit);
        Self { ascii, set, negative }
    }

    /// One bit each for the members among the first 127 characters, and one that stands for all others together.
    pub(crate) fn members(&self) -> u128 {
        const OTHERS: u128 = 1 << 127;
        let others = self.negative || self.set.ranges.last().is_some_and(|&(_, high)| high >= 127);
        let ascii = if self.negative { !self.ascii } else { self.ascii };
        ascii & !OTHERS | if others { OTHERS } else { 0 }
    }

    #[inline]
    pub(crate) fn contains(&self, unit: u32) -> bool {
        let member = if unit < 128 { self.ascii >> unit & 1 == 1 } else { self.set.contains(unit) };
        member != self.negative
    }
}

pub(crate) fn digits() -> Set {
    Set::of(&[(0x30, 0x39)])
}

pub(crate) fn spaces() -> Set {
    Set::of(&[
        (0x09, 0x0d),
        (0x20, 0x20),
        (0xa0, 0xa0),
        (0x1680, 0x1680),
        (0x2000, 0x200a),
        (0x2028, 0x2029),
        (0x202f, 0x202f),
        (0x205f, 0x205f),
        (0x3000, 0x3000),
        (0xfeff, 0xfeff),
    ])
}

/// `long_s`: with both `i` and `u`, the long s and the Kelvin sign are letters too.
pub(crate) fn words(long_s: bool) -> Set {
    let mut set = Set::of(&[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)]);
    if long_s {
        set.add(&Set::of(&[(0x17f, 0x17f), (0x212a, 0x212a)]));
    }
    set
}

pub(crate) fn line_ends() -> Set {
    Set::of(&[(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)])
}

/// `\p{name}` or `\p{name=value}`.
pub(crate) fn property(name: &str, value: Option<&str>) -> Result<Set, PatternError> {
    let written = match value {
        Some(value) => format!(r"\p{{{name}={value}}}"),
        None if name == "Any" => r"[\x{0}-\x{10FFFF}]".to_owned(),
        None => format!(r"\p{{{name}}}"),
    };
    let unknown = || PatternError::new(format!("unknown property {written}"));
    let hir = regex_syntax::parse(&written).map_err(|_| unknown())?;
    match hir.kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => Ok(Set::of(
            &class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect::<Vec<_>>(),
        )),
        regex_syntax::hir::HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).map_err(|_| unknown())?;
            Ok(Set::of(&text.chars().map(|char| (u32::from(char), u32::from(char))).collect::<Vec<_>>()))
        }
        _ => Err(unknown()),
    }
}
