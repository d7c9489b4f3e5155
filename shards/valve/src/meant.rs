//! Warns about paths that probably do not mean what their author thinks.
//!
//! *Owns* these warnings: characters that are special in a regular expression where a plain name was more likely meant
//! (`example.com/$x`, `search?$q`, `a[0]`), and surprising effects of regular expressions in paths. *Promises* to
//! suggest the right spelling with each warning. *Does not* change anything: the server uses the path as written.

use crate::path::{Paths, Piece, pieces};

/// A part of a path, as a regular expression has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `*`, which stands for any text here, whatever comes before it.
    Wildcard,
    Variable,
    Char,
    Dot,
    /// Brackets around characters, and whether they look like a set: a range, all but some, more than one of them.
    Class {
        set: bool,
    },
    /// `\d`, `\w`, …: one of several characters.
    Several,
    /// Any other character behind a backslash.
    Escape,
    /// A bracket that opens a group, and whether what matches it is counted.
    Open {
        counted: bool,
    },
    Close,
    Bar,
    /// `+`, `?`, `{2}`, `{2,3}`
    Repeat,
    Caret,
    Dollar,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// The warning about a path, if there is one.
pub(crate) fn doubts(text: &str, made_of: Paths) -> Option<String> {
    match made_of {
        Paths::Regular => Reading::new(text).doubts(),
        Paths::Literal => literal_doubts(text),
    }
}

/// The warning about a path that looks like a regular expression in a file with literal paths.
fn literal_doubts(text: &str) -> Option<String> {
    let reading = Reading::new(text);
    let escapes = reading.tokens.iter().any(|token| matches!(token.kind, Kind::Several | Kind::Escape));
    let pairs = reading.tokens.windows(2);
    let anything = pairs.clone().any(|pair| pair[0].kind == Kind::Dot && pair[1].kind == Kind::Wildcard);
    (escapes || anything).then(|| {
        "looks like a regular expression, but the paths of this file are literal: \\ and . stand for themselves"
            .to_owned()
    })
}

struct Reading<'p> {
    text: &'p str,
    tokens: Vec<Token>,
}

impl<'p> Reading<'p> {
    fn new(text: &'p str) -> Self {
        let mut tokens = Vec::new();
        let mut pieces = pieces(text).peekable();
        while let Some((start, piece)) = pieces.next() {
            let rest = &text[start..];
            let (kind, len) = match piece {
                Piece::Wildcard => (Kind::Wildcard, 1),
                Piece::Variable(variable) => (Kind::Variable, variable.len()),
                Piece::Char('.') => (Kind::Dot, 1),
                Piece::Char('+' | '?') => (Kind::Repeat, 1),
                Piece::Char('{') => count(rest).map_or((Kind::Char, 1), |len| (Kind::Repeat, len)),
                Piece::Char('[') => class(rest),
                Piece::Char('(') => open(rest),
                Piece::Char(')') => (Kind::Close, 1),
                Piece::Char('|') => (Kind::Bar, 1),
                Piece::Char('^') => (Kind::Caret, 1),
                Piece::Char('$') => (Kind::Dollar, 1),
                Piece::Char('\\') => escape(rest),
                Piece::Char(char) => (Kind::Char, char.len_utf8()),
            };
            let end = start + len;
            while pieces.next_if(|(at, _)| *at < end).is_some() {}
            tokens.push(Token { kind, start, end });
        }
        Self { text, tokens }
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn before(&self, at: usize) -> Option<Kind> {
        self.kind(at.checked_sub(1)?)
    }

    /// Whether this is certainly meant to be an expression: then there is nothing to warn about its parts.
    fn is_expression(&self) -> bool {
        let (mut begins, last) = (Vec::new(), self.tokens.len().saturating_sub(1));
        self.tokens.iter().enumerate().any(|(at, token)| match token.kind {
            Kind::Class { set } => set || self.kind(at + 1) == Some(Kind::Repeat),
            Kind::Several | Kind::Escape | Kind::Open { counted: false } => true,
            Kind::Open { counted: true } => {
                begins.push(at);
                false
            }
            Kind::Close => {
                let inside = begins.pop().map_or(0, |begin| begin + 1)..at;
                self.kind(at + 1) == Some(Kind::Repeat)
                    || self.tokens[inside].iter().any(|token| token.kind == Kind::Bar)
            }
            Kind::Dot => {
                let follows = self.kind(at + 1);
                // Behind a letter, `.*` may as well be a dot and anything.
                follows == Some(Kind::Repeat) || follows == Some(Kind::Wildcard) && !self.is_word(at.wrapping_sub(1))
            }
            Kind::Caret => at == 0 && self.kind(last) == Some(Kind::Dollar),
            _ => false,
        })
    }

    /// Whether that is a letter or a digit.
    fn is_word(&self, at: usize) -> bool {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Char);
        token.is_some_and(|token| self.text[token.start..].starts_with(char::is_alphanumeric))
    }

    fn doubts(&self) -> Option<String> {
        let expression = self.is_expression();
        let (mut said, mut meant, mut depth, mut whole) = (Vec::new(), String::new(), 0_usize, false);
        let mut say = |sentence: &'static str| {
            if !said.contains(&sentence) {
                said.push(sentence);
            }
        };
        for (at, token) in self.tokens.iter().enumerate() {
            let own = &self.text[token.start..token.end];
            let plain = matches!(self.before(at), None | Some(Kind::Char | Kind::Variable | Kind::Wildcard));
            let doubt = match token.kind {
                Kind::Dot if self.kind(at + 1) == Some(Kind::Repeat) => None,
                Kind::Dot if !expression || self.is_word(at.wrapping_sub(1)) && self.is_word(at + 1) => {
                    Some(". stands for any character")
                }
                Kind::Repeat if !expression && plain => match own.as_bytes()[0] {
                    b'?' => Some("? makes what is before it optional"),
                    b'+' => Some("+ repeats what is before it"),
                    _ => Some("{} repeats what is before it"),
                },
                Kind::Class { set: false } if !expression => Some("[] stands for one of the characters in it"),
                Kind::Open { .. } | Kind::Close if !expression => Some("() groups what is in it"),
                Kind::Open { counted: true } if self.has_variable_behind(at) => {
                    say("() counts as a variable, so that those behind it stand for something else");
                    meant.push_str("(?:");
                    depth += 1;
                    continue;
                }
                Kind::Caret if at > 0 && !matches!(self.before(at), Some(Kind::Open { .. } | Kind::Bar)) => {
                    Some("^ is the beginning of the name")
                }
                Kind::Dollar if !expression => Some("$ is the end of the name"),
                Kind::Bar if depth == 0 => {
                    whole = true;
                    Some("| parts the whole path: what is before it fits every name that begins so")
                }
                Kind::Wildcard
                    if matches!(self.before(at), Some(Kind::Several | Kind::Close | Kind::Class { set: true })) =>
                {
                    say("* is any text and repeats nothing");
                    meant.push_str("{0,}");
                    continue;
                }
                _ => None,
            };
            depth = match token.kind {
                Kind::Open { .. } => depth + 1,
                Kind::Close => depth.saturating_sub(1),
                _ => depth,
            };
            match doubt {
                Some(sentence) => {
                    say(sentence);
                    // Of an expression the alternatives are meant, of a name the character.
                    if token.kind == Kind::Bar && expression {
                        meant.push('|');
                    } else {
                        own.chars().for_each(|char| {
                            if !char.is_alphanumeric() && char != ',' && char != '-' {
                                meant.push('\\');
                            }
                            meant.push(char);
                        });
                    }
                }
                None => meant.push_str(own),
            }
        }
        if whole && expression {
            meant = format!("(?:{meant})");
        }
        (!said.is_empty()).then(|| {
            format!("paths are regular expressions, in which {}; if that is not meant, write {meant}", said.join(", "))
        })
    }

    fn has_variable_behind(&self, at: usize) -> bool {
        self.tokens[at..].iter().any(|token| token.kind == Kind::Variable)
    }
}

/// The length of a count in braces.
fn count(rest: &str) -> Option<usize> {
    let end = rest.find('}')?;
    let (least, most) = rest[1..end].split_once(',').unwrap_or((&rest[1..end], ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(end + 1)
}

fn class(rest: &str) -> (Kind, usize) {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, char)| {
        let ends = !escaped && *char == ']';
        escaped = !escaped && *char == '\\';
        ends
    });
    let Some((end, _)) = end else { return (Kind::Char, 1) };
    let inside = &rest[1..end];
    let ranges = inside.char_indices().any(|(at, char)| char == '-' && at > 0 && at + 1 < inside.len());
    let several = inside.chars().nth(1).is_some() && !inside.chars().all(char::is_alphanumeric);
    (Kind::Class { set: ranges || several }, end + 1)
}

fn open(rest: &str) -> (Kind, usize) {
    let named = rest.starts_with("(?<") && !rest.starts_with("(?<=") && !rest.starts_with("(?<!");
    let kind = Kind::Open { counted: !rest.starts_with("(?") || named };
    (kind, if rest.starts_with("(?") { 2 } else { 1 })
}

fn escape(rest: &str) -> (Kind, usize) {
    let Some(char) = rest.chars().nth(1) else { return (Kind::Char, 1) };
    let kind = if "dDwWsSpP".contains(char) { Kind::Several } else { Kind::Escape };
    (kind, 1 + char.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_written_as_they_are_get_their_escaped_spelling() {
        for (path, meant, why) in [
            ("example.com/$x", r"example\.com/$x", ". stands for any character"),
            ("v1.0", r"v1\.0", ". stands"),
            ("search?$q", r"search\?$q", "? makes what is before it optional"),
            ("page/$n?lang=$l", r"page/$n\?lang=$l", "? makes"),
            ("all*?x=$y", r"all*\?x=$y", "? makes"),
            ("a[0]/$x", r"a\[0\]/$x", "[] stands for one of the characters in it"),
            ("items[id]", r"items\[id\]", "[] stands"),
            ("f(x)/*", r"f\(x\)/*", "() groups what is in it"),
            ("a+b", r"a\+b", "+ repeats what is before it"),
            ("a|b", r"a\|b", "| parts the whole path"),
            ("a/^b", r"a/\^b", "^ is the beginning of the name"),
            ("price$", r"price\$", "$ is the end of the name"),
            ("code{2}", r"code\{2\}", "{} repeats"),
            ("example.*", r"example\.*", ". stands"),
            ("a.b?c", r"a\.b\?c", ". stands for any character, ? makes"),
            ("köln.de/*", r"köln\.de/*", ". stands"),
        ] {
            let said = doubts(path, Paths::Regular).unwrap_or_else(|| panic!("{path} is doubtful"));
            assert!(said.ends_with(&format!(" write {meant}")) && said.contains(why), "{path}: {said}");
        }
    }

    #[test]
    fn what_is_plainly_an_expression_or_has_nothing_special_is_left_alone() {
        for path in [
            "*",
            "a/$x/*",
            "a-b_c/d:e",
            "a/.*",
            ".*",
            ".+",
            "room-[0-9]+",
            "grade/(a|b)",
            "year/\\d\\d\\d\\d",
            "a\\.b",
            "^a/b$",
            "[a-z]{2,3}/x+",
            "(?:a|b)/$x",
            "[^/]+",
            "a/[.-]b",
            "x{y}",
            "(ab)+",
            "$a-$b",
        ] {
            assert_eq!(doubts(path, Paths::Regular), None, "{path}");
        }
    }

    #[test]
    fn expressions_that_do_beside_paths_what_nobody_expects_are_told() {
        for (path, meant, why) in [
            ("example.com/[0-9]+", r"example\.com/[0-9]+", ". stands"),
            ("(a|b)/$x", "(?:a|b)/$x", "() counts as a variable"),
            (r"\d+|x", r"(?:\d+|x)", "| parts the whole path"),
            (r"year/\d*", r"year/\d{0,}", "* is any text and repeats nothing"),
            ("[0-9]*", "[0-9]{0,}", "* is any text"),
            (r"a\.b^c", r"a\.b\^c", "^ is the beginning"),
        ] {
            let said = doubts(path, Paths::Regular).unwrap_or_else(|| panic!("{path} is doubtful"));
            assert!(said.ends_with(&format!(" write {meant}")) && said.contains(why), "{path}: {said}");
        }
    }

    #[test]
    fn expressions_among_literal_paths_are_told() {
        for path in [r"a\.b", "a/.*", r"\d"] {
            assert!(doubts(path, Paths::Literal).is_some(), "{path}");
        }
        for path in ["example.com/$x", "search?$q", "a[0]", "*"] {
            assert_eq!(doubts(path, Paths::Literal), None, "{path}");
        }
    }
}
