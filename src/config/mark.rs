//! Replaces the macros of a configuration file (`${NAME}`, `file(…)`, `fileLoad(…)`) by placeholders, so that the file
//! can be parsed before their values are put in.
//!
//! *Owns* the syntax of macros. *Promises* placeholders ("marks") that are plain letters to YAML and JSON, that are as
//! long as the macro, so that columns stay right, and that occur nowhere else in the text. *Does not* know the values
//! of macros.

/// A text with marks.
#[derive(Debug)]
pub(crate) struct Marked {
    pub(crate) text: String,
    /// The first character of a mark; the second encodes the number of its macro.
    begin: char,
    /// Pads the mark to the length of the macro.
    fill: char,
    macros: Vec<Macro>,
}

/// A macro of a text.
#[derive(Debug)]
pub(crate) struct Macro {
    pub(crate) what: What,
    /// As the file has it.
    pub(crate) written: String,
    /// Where it stands, counted from 1.
    pub(crate) line: usize,
    /// It stands outside of quotes, so its value is a number if it looks like one.
    pub(crate) plain: bool,
}

/// What a macro asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The value of an environment variable.
    Variable(String),
    /// The absolute path of a file.
    File(String),
    /// The content of a file.
    Load(String),
}

/// A piece of a scalar.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'t> {
    Text(&'t str),
    Macro(&'t Macro),
}

/// The number of a macro is written as a letter from this code point on; there are more than 20,000 in a row.
const FIRST_NUMBER: u32 = 0x4e00;
const MACROS_MAX: usize = 20_000;

impl Marked {
    /// Marks a configuration file. Comments in JSON are removed, because the parser only skips those of YAML.
    pub(crate) fn configuration(text: &str, json: bool) -> Result<Self, String> {
        let mut scan = Scan { json, comments: true, ..Scan::new(text, &|_| true)? };
        for (index, line) in text.lines().enumerate() {
            scan.line(line, index + 1)?;
        }
        Ok(scan.out)
    }

    /// Marks a file that another one loads. There only environment variables that are set count as macros.
    pub(crate) fn data(text: &str, json: bool, is_set: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let mut scan = Scan { json, comments: !json, calls: false, ..Scan::new(text, is_set)? };
        for (index, line) in text.lines().enumerate() {
            scan.line(line, index + 1)?;
        }
        Ok(scan.out)
    }

    /// The pieces of a scalar.
    pub(crate) fn pieces<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Piece<'t>> {
        let mut rest = text;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let at = rest.find(self.begin).unwrap_or(rest.len());
            if at > 0 {
                let (before, after) = rest.split_at(at);
                rest = after;
                return Some(Piece::Text(before));
            }
            let mut letters = rest[self.begin.len_utf8()..].chars();
            let number = letters.next().map_or(0, u32::from).wrapping_sub(FIRST_NUMBER) as usize;
            rest = letters.as_str().trim_start_matches(self.fill);
            self.macros.get(number).map(Piece::Macro)
        })
    }

    /// The first macro in a scalar.
    pub(crate) fn first<'t>(&'t self, text: &'t str) -> Option<&'t Macro> {
        self.pieces(text).find_map(|piece| if let Piece::Macro(found) = piece { Some(found) } else { None })
    }

    /// A scalar as the file has it.
    pub(crate) fn written(&self, text: &str) -> String {
        let piece = |piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Macro(found) => found.written.clone(),
        };
        self.pieces(text).map(piece).collect()
    }
}

/// A variable that stands alone on its line: it may have been meant to bring in several lines, which is not possible.
pub(crate) fn alone(marked: &Marked) -> Option<&str> {
    marked.text.lines().find_map(|line| {
        let mut pieces = marked.pieces(line.trim());
        match (pieces.next(), pieces.next()) {
            (Some(Piece::Macro(Macro { what: What::Variable(_), written, .. })), None) => Some(written.as_str()),
            _ => None,
        }
    })
}

/// The name of an environment variable and what follows, if `rest` begins with one: a template literal's `${user.id}` is
/// none.
pub(crate) fn variable(rest: &str) -> Option<(&str, &str)> {
    let (name, after) = rest.strip_prefix("${")?.split_once('}')?;
    let begins = name.trim().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let named = begins && name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some((name.trim(), after))
}

/// A text while its macros are looked for.
struct Scan<'s> {
    out: Marked,
    json: bool,
    /// Whether `#` begins a comment.
    comments: bool,
    /// Whether `file(…)` and `fileLoad(…)` are macros.
    calls: bool,
    is_set: &'s dyn Fn(&str) -> bool,
    /// The quote that is open.
    quote: Option<char>,
    /// The indentation of the line that began a block scalar (`|`, `>`). Lines that are indented further are text, in
    /// which quotes and `#` mean nothing.
    block: Option<usize>,
}

impl<'s> Scan<'s> {
    fn new(text: &str, is_set: &'s dyn Fn(&str) -> bool) -> Result<Self, String> {
        // Two characters of Unicode's private use area that do not occur in this text.
        let mut free = ('\u{e000}'..='\u{f8ff}').filter(|char| !text.contains(*char));
        let (Some(begin), Some(fill)) = (free.next(), free.next()) else {
            return Err("uses every character that Unicode keeps for private use".to_owned());
        };
        let out = Marked { text: String::with_capacity(text.len()), begin, fill, macros: Vec::new() };
        Ok(Self { out, json: false, comments: true, calls: true, is_set, quote: None, block: None })
    }

    fn line(&mut self, line: &str, number: usize) -> Result<(), String> {
        let indent = line.len() - line.trim_start_matches(' ').len();
        // An empty line ends no block.
        self.block = self.block.filter(|begun| indent > *begun || line.trim().is_empty());
        let (mut at, mut solid, mut escaped, mut comment) = (0, None, false, self.block.is_some());
        // The end of the line without a comment.
        let mut end = line.len();
        while let Some(c) = line[at..].chars().next() {
            if let Some((what, len)) = self.macro_at(line, at) {
                self.mark(what, &line[at..at + len], number)?;
                (at, solid, escaped) = (at + len, Some('}'), false);
                continue;
            }
            match self.quote {
                _ if comment => {}
                Some(_) if escaped => escaped = false,
                Some('"') if c == '\\' => escaped = true,
                Some(open) if c == open => self.quote = None,
                Some(_) => {}
                None => match c {
                    '#' if self.comments && (self.json || at == 0 || line[..at].ends_with([' ', '\t'])) => {
                        if self.json {
                            break;
                        }
                        (comment, end) = (true, at);
                    }
                    // In YAML a quote opens a string only where a value may begin; elsewhere it is a letter.
                    '"' | '\'' if self.json || solid.is_none_or(|before| ":,[{-?(".contains(before)) => {
                        self.quote = Some(c);
                    }
                    _ => {}
                },
            }
            if !c.is_whitespace() {
                solid = Some(c);
            }
            self.out.text.push(c);
            at += c.len_utf8();
        }
        if !self.json && self.block.is_none() && self.quote.is_none() {
            self.block = begins_block(&line[..end]);
        }
        self.out.text.push('\n');
        Ok(())
    }

    /// The macro that begins there, and its length in bytes.
    fn macro_at(&self, line: &str, at: usize) -> Option<(What, usize)> {
        let rest = &line[at..];
        if let Some((name, after)) = variable(rest) {
            let found = (What::Variable(name.to_owned()), rest.len() - after.len());
            return (self.is_set)(name).then_some(found);
        }
        let inside = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !self.calls || inside {
            return None;
        }
        let (load, rest_of) = match rest.strip_prefix("fileLoad(") {
            Some(after) => (true, after),
            None => (false, rest.strip_prefix("file(")?),
        };
        let (argument, after) = rest_of.split_once(')')?;
        let argument = argument.trim().trim_matches(['"', '\'']).to_owned();
        Some((if load { What::Load(argument) } else { What::File(argument) }, rest.len() - after.len()))
    }

    fn mark(&mut self, what: What, written: &str, line: usize) -> Result<(), String> {
        let number = self.out.macros.len();
        if number >= MACROS_MAX {
            return Err(format!("has more than {MACROS_MAX} variables and loaded files"));
        }
        let plain = self.quote.is_none();
        // In JSON a text needs quotes, so a mark outside of quotes gets some.
        let quotes = if self.json && plain { "\"" } else { "" };
        let letter = char::from_u32(FIRST_NUMBER + number as u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        let fill = written.chars().count().saturating_sub(2 + 2 * quotes.len());
        let Marked { text, begin, fill: filling, macros } = &mut self.out;
        text.push_str(quotes);
        text.extend([*begin, letter]);
        text.extend(std::iter::repeat_n(*filling, fill));
        text.push_str(quotes);
        macros.push(Macro { what, written: written.to_owned(), line, plain });
        Ok(())
    }
}

/// If a line begins a block scalar: its indentation.
fn begins_block(line: &str) -> Option<usize> {
    let bare = line.trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || "+-".contains(c));
    let before = bare.strip_suffix(['|', '>'])?.strip_suffix([' ', '\t'])?.trim_end();
    let begins = before.trim_start_matches([' ', '-']);
    if begins.is_empty() {
        before.len().checked_sub(1)
    } else {
        begins.ends_with(':').then(|| before.len() - begins.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, json: bool) -> (String, Vec<(What, usize, bool)>) {
        let marked = Marked::configuration(text, json).unwrap();
        let found = marked.macros.iter().map(|found| (found.what.clone(), found.line, found.plain)).collect();
        if !json {
            assert_eq!(marked.written(&marked.text), text);
        }
        (marked.text, found)
    }

    #[test]
    fn marks_are_as_long_as_what_they_stand_for_and_know_their_quotes() {
        let text = "a: ${A} # ${C}\nb: \"x${ B }y\" ${C}\nc: file(d/e) fileLoad(\"f.yml\")\n${K}: profile(x)\n";
        let (marked, found) = written(text, false);
        let lengths = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
        assert_eq!(lengths(&marked), lengths(text));
        assert!(!marked.contains(['$', '(']) || marked.contains("profile(x)"), "{marked}");
        let variable = |name: &str| What::Variable(name.to_owned());
        let expected = [
            (variable("A"), 1, true),
            (variable("C"), 1, true),
            (variable("B"), 2, false),
            (variable("C"), 2, true),
            (What::File("d/e".to_owned()), 3, true),
            (What::Load("f.yml".to_owned()), 3, true),
            (variable("K"), 4, true),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_stands_in_a_block_opens_no_quote_and_begins_no_comment() {
        let text = "a: |\n  \"it's # ${A}\n\n  'b\nc: ${C}\n- >-  # \"why\n  \"${D}\n- e: |2\n    [\"x\n  f: ${F}\n";
        let (marked, found) = written(text, false);
        assert_eq!(marked.lines().count(), text.lines().count());
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|(_, _, plain)| *plain), "{found:?}");
        for (line, begins) in [
            ("a: |", Some(0)),
            ("  - |", Some(2)),
            ("- a: >+1", Some(2)),
            ("\"a\":  |-", Some(0)),
            ("a: b |", None),
            ("a:|", None),
            ("a: x - |", None),
            ("a: 12", None),
            ("|", None),
        ] {
            assert_eq!(begins_block(line), begins, "{line}");
        }
    }

    #[test]
    fn json_gets_quotes_where_it_needs_them() {
        let (marked, found) = written("{\"a\": ${A}, \"b\": \"${B}\"}", true);
        assert_eq!(marked.matches('"').count(), 8);
        assert_eq!(found.iter().map(|(_, _, plain)| *plain).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_text_that_uses_private_characters_keeps_them() {
        let text = "a: \u{e000}\u{e001}${A}\u{e000}\n";
        let (_, found) = written(text, false);
        assert_eq!(found.len(), 1);
    }
}
