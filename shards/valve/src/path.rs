//! The names a rule is for.
//!
//! *Owns* paths: what is neither `*` nor a variable is a regular expression, as upstream has it. *Promises* what a variable
//! stands for, as a place in the name. *Does not* decide between paths.

use deepstream_pattern::{Budget, Input, Pattern};
use smallvec::SmallVec;

/// Steps that matching one path may take; a name that takes more matches nothing.
const MATCH_STEPS_MAX: u64 = 100_000;

/// What the variables of a path stand for: start and end in the name's bytes.
pub type Captures = SmallVec<[(u32, u32); 4]>;

/// A variable that stands for nothing.
pub(crate) const NOTHING: (u32, u32) = (1, 0);

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) text: Box<str>,
    pattern: Pattern,
    /// With their `$`, in order.
    pub(crate) variables: Vec<String>,
    /// What is longer is more specific: UTF-16 units of the text.
    pub(crate) length: usize,
}

impl Path {
    /// Reads a path, or tells what is wrong with it in upstream's words.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("path can't be empty".to_owned());
        }
        if text.starts_with('/') {
            return Err("path can't start with /".to_owned());
        }
        let mut source = String::from("^");
        let mut variables = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(char) = rest.next() {
            match char {
                '*' => source.push_str(".*"),
                '$' => {
                    let mut variable = String::from("$");
                    while let Some(letter) = rest.next_if(char::is_ascii_alphanumeric) {
                        variable.push(letter);
                    }
                    match rest.peek() {
                        _ if variable.len() > 1 => {
                            source.push_str("([^/]+)");
                            variables.push(variable);
                        }
                        // Alone at the end it is what it is in a regular expression.
                        None => source.push('$'),
                        Some(next) => return Err(format!("invalid variable name ${next}")),
                    }
                }
                char => source.push(char),
            }
        }
        source.push('$');
        let pattern = Pattern::new(&source, "").map_err(|error| format!("invalid path: {error}"))?;
        Ok(Self { text: text.into(), pattern, variables, length: text.encode_utf16().count() })
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<Captures> {
        let mut budget = Budget::new(MATCH_STEPS_MAX);
        if name.is_ascii() {
            let found = self.pattern.find(Input::Ascii(name), 0, &mut budget).ok()??;
            let capture = |group| found.group(group).map_or(NOTHING, |span| (span.start as u32, span.end as u32));
            return Some((1..=self.variables.len()).map(capture).collect());
        }
        let text = String::from_utf8_lossy(name);
        let units: Vec<u16> = text.encode_utf16().collect();
        let found = self.pattern.find(Input::Utf16(&units), 0, &mut budget).ok()??;
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
        Some((1..=self.variables.len()).map(capture).collect())
    }
}
