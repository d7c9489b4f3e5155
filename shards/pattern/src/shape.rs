//! Properties that all matching texts share: their length, and their characters. They rule out most texts in a few
//! instructions, also for patterns without a text that is in every match.
//!
//! *Owns* what is known about a pattern as a whole. *Promises* never to rule out a text that matches. *Does not* follow
//! back references and case folding: they count as matching anything.

use oxc::regular_expression::ast::{BoundaryAssertionKind, Disjunction, Term};

use crate::class::Class;
use crate::read::{Flags, PatternError, class, escape};

/// Characters: one bit each for the first 127, and one for all others.
type Members = u128;

const ALL: Members = Members::MAX;
/// Most sets that are kept of which a match has a member each.
const SOME_MAX: usize = 2;

fn member(byte: u8) -> Members {
    1 << byte.min(127)
}

/// The properties that all matching texts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// In code units, as is `len_max`.
    len_min: u32,
    len_max: u32,
    /// The text consists of these characters only.
    only: Members,
    /// The text begins with one of these.
    first: Members,
    last: Members,
    /// The text contains a character of each of these sets that is not empty.
    some: [Members; SOME_MAX],
}

/// The same properties of one text, to be compared with shapes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traits {
    len: u32,
    members: Members,
    first: Members,
    last: Members,
}

impl Traits {
    /// Of a text in UTF-8 that has so many code units in UTF-16.
    pub fn of(text: &[u8], units: usize) -> Self {
        let end = |byte: Option<&u8>| byte.map_or(0, |&byte| member(byte));
        Self {
            len: u32::try_from(units).unwrap_or(u32::MAX),
            members: text.iter().fold(0, |members, &byte| members | member(byte)),
            first: end(text.first()),
            last: end(text.last()),
        }
    }

    /// Code units.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Shape {
    /// The shape that admits every text.
    const ANY: Self = Self { len_min: 0, len_max: u32::MAX, only: ALL, first: ALL, last: ALL, some: [ALL; SOME_MAX] };

    pub(crate) fn of(pattern: &Disjunction<'_>, flags: Flags) -> Result<Self, PatternError> {
        // Patterns with these flags get no shape: neither listening nor most rules use them, so the effort for cases is
        // not worth it.
        if flags.ignore_case || flags.unicode {
            return Ok(Self::ANY);
        }
        let part = disjunction(pattern, flags)?;
        let takes_something = part.min > 0;
        let whole = part.starts && part.ends;
        let mut some = [ALL; SOME_MAX];
        some.iter_mut().zip(&part.some).for_each(|(place, set)| *place = *set);
        Ok(Self {
            len_min: part.min,
            len_max: if whole { part.max } else { u32::MAX },
            only: if whole { part.all } else { ALL },
            first: if part.starts && takes_something { part.first } else { ALL },
            last: if part.ends && takes_something { part.last } else { ALL },
            some,
        })
    }

    /// `false`: a text with these traits does not match.
    #[inline]
    pub fn admits(&self, text: &Traits) -> bool {
        if text.is_empty() {
            return self.len_min == 0;
        }
        self.len_min <= text.len
            && text.len <= self.len_max
            && text.members & !self.only == 0
            && text.first & !self.first == 0
            && text.last & !self.last == 0
            && self.some.iter().all(|set| text.members & set != 0)
    }

    /// The fewest code units that match.
    pub fn len_min(&self) -> u32 {
        self.len_min
    }
}

/// What is known about a part of a pattern.
#[derive(Clone, Default)]
struct Part {
    /// Code units.
    min: u32,
    max: u32,
    /// All characters it matches are among these.
    all: Members,
    /// The first character it matches is one of these; likewise for the last.
    first: Members,
    last: Members,
    /// It is at the beginning of the text, and at its end.
    starts: bool,
    ends: bool,
    /// It matches a character of each of these sets, the most selective first.
    some: Vec<Members>,
}

impl Part {
    /// One character is one code unit, except that without `u` those beyond the basic plane are two.
    fn one(members: Members) -> Self {
        let (all, first, last) = (members, members, members);
        Self { min: 1, max: 1, all, first, last, some: vec![members], ..Self::default() }
    }

    fn tidied(mut self) -> Self {
        self.some.sort_unstable_by_key(|set| (set.count_ones(), *set));
        self.some.dedup();
        self.some.truncate(SOME_MAX);
        self
    }
}

fn disjunction(body: &Disjunction<'_>, flags: Flags) -> Result<Part, PatternError> {
    let mut parts = body.body.iter().map(|alternative| concat(&alternative.body, flags));
    let mut whole = parts.next().transpose()?.unwrap_or_default();
    for part in parts {
        let part = part?;
        // For alternatives, one common set: the union of the most selective set of each.
        let some = whole.some.first().zip(part.some.first()).map(|(one, other)| one | other);
        whole = Part {
            min: whole.min.min(part.min),
            max: whole.max.max(part.max),
            all: whole.all | part.all,
            first: whole.first | part.first,
            last: whole.last | part.last,
            starts: whole.starts && part.starts,
            ends: whole.ends && part.ends,
            some: some.into_iter().collect(),
        };
    }
    Ok(whole)
}

fn concat(terms: &[Term<'_>], flags: Flags) -> Result<Part, PatternError> {
    let parts = terms.iter().map(|term| part_of(term, flags)).collect::<Result<Vec<Part>, _>>()?;
    let mut whole = Part::default();
    let (mut first_is_known, mut last_is_known) = (false, false);
    for part in &parts {
        whole.min = whole.min.saturating_add(part.min);
        whole.max = whole.max.saturating_add(part.max);
        whole.all |= part.all;
        // If a later part is anchored at the beginning of the text, the parts before it match nothing.
        whole.starts |= part.starts;
        whole.ends |= part.ends;
        whole.some.extend_from_slice(&part.some);
        if !first_is_known {
            whole.first |= part.first;
            first_is_known = part.min > 0;
        }
    }
    for part in parts.iter().rev() {
        if !last_is_known {
            whole.last |= part.last;
            last_is_known = part.min > 0;
        }
    }
    Ok(whole.tidied())
}

fn part_of(term: &Term<'_>, flags: Flags) -> Result<Part, PatternError> {
    Ok(match term {
        Term::BoundaryAssertion(assertion) => match assertion.kind {
            BoundaryAssertionKind::Start => Part { starts: !flags.multiline, ..Part::default() },
            BoundaryAssertionKind::End => Part { ends: !flags.multiline, ..Part::default() },
            BoundaryAssertionKind::Boundary | BoundaryAssertionKind::NegativeBoundary => Part::default(),
        },
        Term::LookAroundAssertion(_) => Part::default(),
        Term::CapturingGroup(group) => disjunction(&group.body, flags)?,
        Term::IgnoreGroup(group) => disjunction(&group.body, flags)?,
        Term::Quantifier(quantifier) => {
            let bound = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            let (min, max) = (bound(quantifier.min), quantifier.max.map_or(u32::MAX, bound));
            let body = part_of(&quantifier.body, flags)?;
            if max == 0 {
                return Ok(Part::default());
            }
            let (least, most) = (body.min.saturating_mul(min), body.max.saturating_mul(max));
            if min == 0 {
                Part { min: least, max: most, starts: false, ends: false, some: Vec::new(), ..body }
            } else {
                Part { min: least, max: most, ..body }
            }
        }
        Term::Character(character) => {
            let members = u8::try_from(character.value).map_or(member(u8::MAX), member);
            Part::one(members)
        }
        Term::Dot(_) => Part::one(if flags.dot_all { ALL } else { ALL & !member(b'\n') & !member(b'\r') }),
        Term::CharacterClassEscape(kind) => {
            Part::one(Class::new(&escape(kind.kind, flags), false, false, false).members())
        }
        Term::CharacterClass(set) => Part::one(class(set, flags)?.members()),
        Term::UnicodePropertyEscape(_) | Term::IndexedReference(_) | Term::NamedReference(_) => {
            Part { max: u32::MAX, all: ALL, first: ALL, last: ALL, ..Part::default() }
        }
    })
}
