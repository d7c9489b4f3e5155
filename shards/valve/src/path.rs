//! Paths: which names a rule applies to.
//!
//! *Owns* paths: apart from `*` and variables they are regular expressions, as in upstream, or literal characters in a
//! file that asks for that. *Promises* the value of each variable, as a position in the name. *Does not* choose between
//! paths (see `rules`) or warn about them (see `meant`).

use deepstream_pattern::{Budget, Exhausted, Input, Pattern};
use smallvec::SmallVec;

/// Most steps of matching one path. If a name takes more it is unknown whether it matches.
const MATCH_STEPS_MAX: u64 = 100_000;

/// What the variables of a path stand for: start and end in the name's bytes.
pub type Captures = SmallVec<[(u32, u32); 4]>;

/// The value of a variable that has none.
pub(crate) const NOTHING: (u32, u32) = (1, 0);

/// Which kind of paths a file has, apart from `*` and variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    /// Regular expressions, as upstream has it.
    #[default]
    Regular,
    /// The characters of names.
    Literal,
}

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) text: Box<str>,
    pub(crate) made_of: Paths,
    /// The literal beginning of every name that it matches, as far as its expression shows.
    beginning: Box<str>,
    pattern: Pattern,
    /// The same without the anchors of listen patterns that it spells out, if it does: see [`Path::find_listened`].
    unanchored: Option<Pattern>,
    /// With their `$`, in order.
    pub(crate) variables: Vec<String>,
    /// Length of the text in UTF-16 units: longer paths are more specific.
    pub(crate) length: usize,
}

impl Path {
    /// Reads a path, or tells what is wrong with it in upstream's words.
    pub(crate) fn new(text: &str, made_of: Paths) -> Result<Self, String> {
        if text.is_empty() {
            return Err("path can't be empty".to_owned());
        }
        if text.starts_with('/') {
            return Err("path can't start with /".to_owned());
        }
        let (pattern, variables) = compile(text, made_of).map_err(|error| match error {
            Bad::Variable(next) => format!("invalid variable name ${next}"),
            Bad::Pattern(error) => {
                let meant = escaped(text);
                format!("invalid path: {error}; if the characters themselves are meant, write {meant}")
            }
        })?;
        let bare = without_anchors(text, made_of);
        let unanchored = if bare.len() < text.len() { compile(bare, made_of).ok() } else { None };
        let unanchored = unanchored.filter(|(_, same)| *same == variables).map(|(pattern, _)| pattern);
        let beginning = if made_of == Paths::Regular { beginning(text) } else { String::new() };
        let (text, beginning, length) = (text.into(), beginning.into(), text.encode_utf16().count());
        Ok(Self { text, made_of, beginning, pattern, unanchored, variables, length })
    }

    /// Whether it begins with these characters: as they are written, or as an expression that stands for them.
    pub(crate) fn begins_with(&self, literal: &[u8]) -> bool {
        self.text.as_bytes().starts_with(literal) || self.beginning.as_bytes().starts_with(literal)
    }

    /// Matches a name. Gives the values of the variables if it matches.
    pub(crate) fn find(&self, name: &[u8]) -> Result<Option<Captures>, Exhausted> {
        self.find_by(&self.pattern, name)
    }

    /// The same for a name that somebody listens to by a pattern. A path for such patterns may spell out their anchors, as
    /// `\^news/*` does for `^news/.*`: of the names that those match it is meant too.
    pub(crate) fn find_listened(&self, name: &[u8]) -> Result<Option<Captures>, Exhausted> {
        match (self.find(name)?, &self.unanchored) {
            (None, Some(bare)) => self.find_by(bare, name),
            (found, _) => Ok(found),
        }
    }

    fn find_by(&self, pattern: &Pattern, name: &[u8]) -> Result<Option<Captures>, Exhausted> {
        let mut budget = Budget::new(MATCH_STEPS_MAX);
        if name.is_ascii() {
            let Some(found) = pattern.find(Input::Ascii(name), 0, &mut budget)? else { return Ok(None) };
            let capture = |group| found.group(group).map_or(NOTHING, |span| (span.start as u32, span.end as u32));
            return Ok(Some((1..=self.variables.len()).map(capture).collect()));
        }
        let text = String::from_utf8_lossy(name);
        let units: Vec<u16> = text.encode_utf16().collect();
        let Some(found) = pattern.find(Input::Utf16(&units), 0, &mut budget)? else { return Ok(None) };
        // A variable stands for whole segments, which begin and end between characters.
        let offset = |units: usize| {
            let mut passed = 0;
            let start = text.char_indices().find(|(_, char)| {
                let here = passed >= units;
                passed += char.len_utf16();
                here
            });
            start.map_or(text.len(), |(at, _)| at) as u32
        };
        let capture = |group| found.group(group).map_or(NOTHING, |span| (offset(span.start), offset(span.end)));
        Ok(Some((1..=self.variables.len()).map(capture).collect()))
    }
}

/// What is wrong with a path.
enum Bad {
    /// This stands where a variable's name should.
    Variable(char),
    Pattern(String),
}

/// A path's regular expression and its variables.
fn compile(text: &str, made_of: Paths) -> Result<(Pattern, Vec<String>), Bad> {
    let mut source = String::from("^");
    let mut variables = Vec::new();
    for (at, piece) in pieces(text) {
        match piece {
            Piece::Wildcard => source.push_str(".*"),
            Piece::Variable(variable) => {
                source.push_str("([^/]+)");
                variables.push(variable.to_owned());
            }
            Piece::Char(char) if made_of == Paths::Literal => push_literal(&mut source, char),
            Piece::Char('$') => match text[at + 1..].chars().next() {
                // Alone at the end it is what it is in a regular expression.
                None => source.push('$'),
                Some(next) => return Err(Bad::Variable(next)),
            },
            Piece::Char(char) => source.push(char),
        }
    }
    source.push('$');
    let pattern = Pattern::new(&source, "").map_err(|error| Bad::Pattern(error.to_string()))?;
    Ok((pattern, variables))
}

/// The characters that a regular expression begins with, up to the first that stands for anything but itself.
fn beginning(text: &str) -> String {
    let mut out = String::new();
    let mut pieces = pieces(text).map(|(_, piece)| piece);
    while let Some(Piece::Char(char)) = pieces.next() {
        let digit = |piece| match piece {
            Some(Piece::Char(char)) => char::to_digit(char, 16),
            _ => None,
        };
        match char {
            '\\' => match pieces.next() {
                Some(Piece::Char('x')) => match (digit(pieces.next()), digit(pieces.next())) {
                    (Some(high), Some(low)) => out.extend(char::from_u32(high << 4 | low)),
                    _ => break,
                },
                Some(Piece::Char(char)) if !char.is_ascii_alphanumeric() => out.push(char),
                _ => break,
            },
            // How often what stands before it comes is another matter.
            '?' | '+' | '{' => {
                out.pop();
                break;
            }
            char if SYNTAX.contains(char) => break,
            char => out.push(char),
        }
    }
    out
}

/// A path without the anchors of listen patterns that it spells out.
fn without_anchors(text: &str, made_of: Paths) -> &str {
    let (begin, end) = match made_of {
        Paths::Regular => (r"\^", r"\$"),
        Paths::Literal => ("^", "$"),
    };
    // An even number of backslashes before is of those that are meant themselves.
    let backslashes = |rest: &str| rest.len() - rest.trim_end_matches('\\').len();
    let ends = |rest: &&str| made_of == Paths::Literal || backslashes(rest).is_multiple_of(2);
    let text = text.strip_prefix(begin).unwrap_or(text);
    text.strip_suffix(end).filter(ends).unwrap_or(text)
}

/// A piece of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'p> {
    /// `*`
    Wildcard,
    /// With its `$`.
    Variable(&'p str),
    /// Anything else; a `$` without a name too.
    Char(char),
}

/// The pieces of a path and where they begin.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = (usize, Piece<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (start, rest) = (at, &text[at..]);
        let char = rest.chars().next()?;
        let named = rest.bytes().skip(1).take_while(u8::is_ascii_alphanumeric).count();
        let piece = match char {
            '*' => Piece::Wildcard,
            '$' if named > 0 => Piece::Variable(&rest[..=named]),
            char => Piece::Char(char),
        };
        at += if let Piece::Variable(variable) = piece { variable.len() } else { char.len_utf8() };
        Some((start, piece))
    })
}

/// Characters that mean something in a regular expression.
const SYNTAX: &str = r"\^$.+?()[]{}|";

fn push_literal(source: &mut String, char: char) {
    if SYNTAX.contains(char) {
        source.push('\\');
    }
    source.push(char);
}

/// The path with every character standing for itself, wildcards and variables aside.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for (_, piece) in pieces(text) {
        match piece {
            Piece::Wildcard => out.push('*'),
            Piece::Variable(variable) => out.push_str(variable),
            Piece::Char(char) => push_literal(&mut out, char),
        }
    }
    out
}
