//! From a pattern's text to its program.
//!
//! *Owns* what is accepted: everything of ECMA-262 but the flags `v` and `d` and modifiers, within [`SOURCE_BYTES_MAX`] and
//! [`GROUPS_MAX`]. *Promises* to be safe on patterns that a client wrote. *Does not* match.

use std::borrow::Cow;
use std::fmt::Write;

use oxc::allocator::Allocator;
use oxc::regular_expression::ast::{
    Alternative, BoundaryAssertionKind, CharacterClass, CharacterClassContents, CharacterClassEscapeKind, Disjunction,
    LookAroundAssertionKind, Quantifier, Term,
};
use oxc::regular_expression::{LiteralParser, Options};
use thiserror::Error;

use crate::class::{Class, Set, digits, line_ends, property, spaces, words};
use crate::program::Inst;
use crate::shape::Shape;

/// Bytes of a pattern.
pub(crate) const SOURCE_BYTES_MAX: usize = 8 << 10;
/// Opening brackets in a pattern: they nest, and nesting is recursion.
pub(crate) const GROUPS_MAX: usize = 100;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}")]
pub struct PatternError {
    what: String,
    at: Option<usize>,
}

impl PatternError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None }
    }

    /// The byte of the pattern where it goes wrong, if that is known.
    pub fn at(&self) -> Option<usize> {
        self.at
    }
}

/// The letters behind the slashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `g`
    pub global: bool,
    /// `i`
    pub ignore_case: bool,
    /// `m`
    pub multiline: bool,
    /// `s`
    pub dot_all: bool,
    /// `u`
    pub unicode: bool,
    /// `y`
    pub sticky: bool,
}

impl Flags {
    pub(crate) fn new(letters: &str) -> Result<Self, PatternError> {
        let mut flags = Self::default();
        for letter in letters.chars() {
            let flag = match letter {
                'g' => &mut flags.global,
                'i' => &mut flags.ignore_case,
                'm' => &mut flags.multiline,
                's' => &mut flags.dot_all,
                'u' => &mut flags.unicode,
                'y' => &mut flags.sticky,
                _ => return Err(PatternError::new(format!("flag {letter} is not supported"))),
            };
            if std::mem::replace(flag, true) {
                return Err(PatternError::new(format!("flag {letter} stands twice")));
            }
        }
        Ok(flags)
    }
}

type Read = (Vec<Inst>, Vec<Class>, u32, u32, Vec<(Box<str>, u32)>, Shape);

/// Does something with a pattern's tree.
pub(crate) fn parsed<T>(
    source: &str,
    flags: Flags,
    then: impl FnOnce(&oxc::regular_expression::ast::Pattern<'_>) -> Result<T, PatternError>,
) -> Result<T, PatternError> {
    let arena = Allocator::default();
    let letters = flags.unicode.then_some("u");
    let spelled = if flags.unicode { Cow::Borrowed(source) } else { plainly_spelled(source) };
    let parsed = LiteralParser::new(&arena, &spelled, letters, Options::default()).parse();
    let pattern = parsed.map_err(|error| {
        let at = error.labels.first().map(|label| label.offset() as usize);
        let at = at.filter(|_| matches!(spelled, Cow::Borrowed(_)));
        PatternError { what: error.message.to_string(), at }
    })?;
    then(&pattern)
}

pub(crate) fn read(source: &str, flags: Flags) -> Result<Read, PatternError> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(PatternError::new(format!("longer than {SOURCE_BYTES_MAX} bytes")));
    }
    if source.bytes().filter(|byte| *byte == b'(').count() > GROUPS_MAX {
        return Err(PatternError::new(format!("more than {GROUPS_MAX} groups")));
    }
    parsed(source, flags, |pattern| {
        let mut reader =
            Reader { flags, insts: Vec::new(), classes: Vec::new(), groups: 1, registers: 0, names: Vec::new() };
        // Groups are numbered by their opening brackets; a name may be used before it is given.
        collect_names(&pattern.body, &mut 1, &mut reader.names);
        reader.emit(Inst::Save(0));
        reader.disjunction(&pattern.body, false)?;
        reader.emit(Inst::Save(1));
        reader.emit(Inst::Found);
        let shape = Shape::of(&pattern.body, flags)?;
        Ok((reader.insts, reader.classes, reader.groups, reader.registers, reader.names, shape))
    })
}

/// Two old escapes that the parser takes for something else, spelled in a way it knows: `\400` is `\40` and a zero, because a
/// unit in octal has no more than 377 (and no pattern here has so many groups); `[\c1]` is a control character.
fn plainly_spelled(source: &str) -> Cow<'_, str> {
    let bytes = source.as_bytes();
    let mut spelled = String::new();
    let (mut copied, mut at, mut in_class) = (0, 0, false);
    while at < bytes.len() {
        let unit = match bytes[at..] {
            [b'\\', tens @ b'4'..=b'7', ones @ b'0'..=b'7', b'0'..=b'7', ..] => Some((tens & 7) << 3 | ones & 7),
            [b'\\', b'c', letter @ (b'0'..=b'9' | b'_'), ..] if in_class => Some(letter & 31),
            _ => None,
        };
        if let Some(unit) = unit {
            spelled.push_str(&source[copied..at]);
            // Text takes whatever is written.
            let _ = write!(spelled, "\\x{unit:02x}");
            at += 3;
            copied = at;
            continue;
        }
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(source);
    }
    spelled.push_str(&source[copied..]);
    Cow::Owned(spelled)
}

fn collect_names(body: &Disjunction<'_>, next: &mut u32, names: &mut Vec<(Box<str>, u32)>) {
    for term in body.body.iter().flat_map(|alternative| &alternative.body) {
        let mut term = term;
        while let Term::Quantifier(quantifier) = term {
            term = &quantifier.body;
        }
        match term {
            Term::CapturingGroup(group) => {
                if let Some(name) = &group.name {
                    names.push((name.as_str().into(), *next));
                }
                *next += 1;
                collect_names(&group.body, next, names);
            }
            Term::IgnoreGroup(group) => collect_names(&group.body, next, names),
            Term::LookAroundAssertion(look) => collect_names(&look.body, next, names),
            _ => {}
        }
    }
}

struct Reader {
    flags: Flags,
    insts: Vec<Inst>,
    classes: Vec<Class>,
    groups: u32,
    registers: u32,
    names: Vec<(Box<str>, u32)>,
}

impl Reader {
    fn emit(&mut self, inst: Inst) -> usize {
        self.insts.push(inst);
        self.insts.len() - 1
    }

    fn here(&self) -> u32 {
        self.insts.len() as u32
    }

    fn disjunction(&mut self, disjunction: &Disjunction<'_>, back: bool) -> Result<(), PatternError> {
        let mut ends = Vec::new();
        let count = disjunction.body.len();
        for (index, alternative) in disjunction.body.iter().enumerate() {
            if index + 1 == count {
                self.alternative(alternative, back)?;
                break;
            }
            let split = self.emit(Inst::Split { first: self.here() + 1, second: 0 });
            self.alternative(alternative, back)?;
            ends.push(self.emit(Inst::Jump(0)));
            let next = self.here();
            self.insts[split] = Inst::Split { first: split as u32 + 1, second: next };
        }
        let end = self.here();
        for jump in ends {
            self.insts[jump] = Inst::Jump(end);
        }
        Ok(())
    }

    fn alternative(&mut self, alternative: &Alternative<'_>, back: bool) -> Result<(), PatternError> {
        if !back {
            return alternative.body.iter().try_for_each(|term| self.term(term, back));
        }
        // Read backwards, but numbered forwards.
        let first = self.groups;
        let mut numbers = Vec::new();
        let mut next = first;
        for term in &alternative.body {
            numbers.push(next);
            next += groups_in(term);
        }
        for (term, number) in alternative.body.iter().zip(numbers).rev() {
            self.groups = number;
            self.term(term, back)?;
        }
        self.groups = next;
        Ok(())
    }

    fn term(&mut self, term: &Term<'_>, back: bool) -> Result<(), PatternError> {
        let fold = self.flags.ignore_case;
        match term {
            Term::BoundaryAssertion(assertion) => {
                let multiline = self.flags.multiline;
                self.emit(match assertion.kind {
                    BoundaryAssertionKind::Start => Inst::LineStart { multiline },
                    BoundaryAssertionKind::End => Inst::LineEnd { multiline },
                    BoundaryAssertionKind::Boundary => Inst::Boundary { negative: false, fold },
                    BoundaryAssertionKind::NegativeBoundary => Inst::Boundary { negative: true, fold },
                });
            }
            Term::LookAroundAssertion(look) => {
                let (negative, behind) = match look.kind {
                    LookAroundAssertionKind::Lookahead => (false, false),
                    LookAroundAssertionKind::NegativeLookahead => (true, false),
                    LookAroundAssertionKind::Lookbehind => (false, true),
                    LookAroundAssertionKind::NegativeLookbehind => (true, true),
                };
                let start = self.emit(Inst::Found);
                self.disjunction(&look.body, behind)?;
                self.emit(Inst::Found);
                self.insts[start] = Inst::Look { negative, end: self.here() };
            }
            Term::Quantifier(quantifier) => self.quantifier(quantifier, back)?,
            Term::CapturingGroup(group) => {
                let number = self.groups;
                self.groups += 1;
                self.emit(Inst::Save(number * 2 + u32::from(back)));
                self.disjunction(&group.body, back)?;
                self.emit(Inst::Save(number * 2 + u32::from(!back)));
            }
            Term::IgnoreGroup(group) => {
                if group.modifiers.is_some() {
                    return Err(PatternError::new("modifiers are not supported"));
                }
                self.disjunction(&group.body, back)?;
            }
            Term::IndexedReference(reference) => {
                let groups = [reference.index].into();
                self.emit(Inst::Again { groups, fold, back });
            }
            Term::NamedReference(reference) => {
                let groups = self.names.iter().filter(|(name, _)| **name == *reference.name.as_str());
                let groups: Box<[u32]> = groups.map(|(_, group)| *group).collect();
                self.emit(Inst::Again { groups, fold, back });
            }
            Term::Character(character) => {
                let unit =
                    if fold { crate::fold::canonical(character.value, self.flags.unicode) } else { character.value };
                self.emit(Inst::Char { unit, fold, back });
            }
            Term::Dot(_) | Term::CharacterClassEscape(_) | Term::UnicodePropertyEscape(_) | Term::CharacterClass(_) => {
                let (class, fold) = self.class_of(term)?;
                self.emit(Inst::Class { class, fold, back });
            }
        }
        Ok(())
    }

    /// The class that a term of one character stands for; whether characters are made canonical before they are compared.
    fn class_of(&mut self, term: &Term<'_>) -> Result<(u32, bool), PatternError> {
        let (unicode, fold) = (self.flags.unicode, self.flags.ignore_case);
        let class = match term {
            Term::Dot(_) if self.flags.dot_all => Class::new(&Set::default(), true, false, unicode),
            Term::Dot(_) => return Ok((self.keep(Class::new(&line_ends(), true, false, unicode)), false)),
            Term::CharacterClassEscape(escape) => {
                Class::new(&self::escape(escape.kind, self.flags), false, fold, unicode)
            }
            Term::UnicodePropertyEscape(escape) => {
                let set = property(escape.name.as_str(), escape.value.as_ref().map(oxc::str::Str::as_str))?;
                let set = if escape.negative { set.inverted() } else { set };
                Class::new(&set, false, fold, unicode)
            }
            Term::CharacterClass(class) => self::class(class, self.flags)?,
            Term::Character(character) => {
                Class::new(&Set::of(&[(character.value, character.value)]), false, fold, unicode)
            }
            _ => return Err(PatternError::new("not a character")),
        };
        Ok((self.keep(class), fold))
    }

    fn keep(&mut self, class: Class) -> u32 {
        self.classes.push(class);
        self.classes.len() as u32 - 1
    }

    fn quantifier(&mut self, quantifier: &Quantifier<'_>, back: bool) -> Result<(), PatternError> {
        let bound = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let (min, max) = (bound(quantifier.min), quantifier.max.map_or(u32::MAX, bound));
        let one = matches!(
            quantifier.body,
            Term::Dot(_) | Term::CharacterClassEscape(_) | Term::CharacterClass(_) | Term::Character(_)
        );
        if one && quantifier.greedy && !self.flags.unicode {
            let (class, fold) = self.class_of(&quantifier.body)?;
            self.emit(Inst::Run { class, fold, back, min, max });
            return Ok(());
        }
        let register = self.registers;
        self.registers += 1;
        self.emit(Inst::Reset { register });
        let start = self.emit(Inst::Found);
        let first = self.groups;
        let round = self.emit(Inst::Found);
        self.term(&quantifier.body, back)?;
        self.insts[round] = Inst::Round { register, groups: (first, self.groups) };
        self.emit(Inst::RoundEnd { register, min, start: start as u32 });
        let end = self.here();
        self.insts[start] = Inst::Loop { register, min, max, greedy: quantifier.greedy, end };
        Ok(())
    }
}

/// The characters of an escape.
pub(crate) fn escape(kind: CharacterClassEscapeKind, flags: Flags) -> Set {
    let long_s = flags.unicode && flags.ignore_case;
    match kind {
        CharacterClassEscapeKind::D => digits(),
        CharacterClassEscapeKind::NegativeD => digits().inverted(),
        CharacterClassEscapeKind::S => spaces(),
        CharacterClassEscapeKind::NegativeS => spaces().inverted(),
        CharacterClassEscapeKind::W => words(long_s),
        CharacterClassEscapeKind::NegativeW => words(long_s).inverted(),
    }
}

/// What stands in square brackets.
pub(crate) fn class(class: &CharacterClass<'_>, flags: Flags) -> Result<Class, PatternError> {
    let mut set = Set::default();
    for content in &class.body {
        match content {
            CharacterClassContents::Character(character) => {
                set.add(&Set::of(&[(character.value, character.value)]));
            }
            CharacterClassContents::CharacterClassRange(range) => {
                set.add(&Set::of(&[(range.min.value, range.max.value)]));
            }
            CharacterClassContents::CharacterClassEscape(kind) => set.add(&escape(kind.kind, flags)),
            CharacterClassContents::UnicodePropertyEscape(escape) => {
                let found = property(escape.name.as_str(), escape.value.as_ref().map(oxc::str::Str::as_str))?;
                set.add(&if escape.negative { found.inverted() } else { found });
            }
            _ => return Err(PatternError::new("nested classes are not supported")),
        }
    }
    Ok(Class::new(&set, class.negative, flags.ignore_case, flags.unicode))
}

fn groups_in(term: &Term<'_>) -> u32 {
    let all =
        |body: &Disjunction<'_>| body.body.iter().flat_map(|alternative| &alternative.body).map(groups_in).sum::<u32>();
    match term {
        Term::Quantifier(quantifier) => groups_in(&quantifier.body),
        Term::CapturingGroup(group) => 1 + all(&group.body),
        Term::IgnoreGroup(group) => all(&group.body),
        Term::LookAroundAssertion(look) => all(&look.body),
        _ => 0,
    }
}
