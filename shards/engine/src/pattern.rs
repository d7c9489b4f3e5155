//! What is listened to: a regular expression as JavaScript has them, searched for anywhere in a name.

use deepstream_pattern::{Budget, Exhausted, Input, Pattern, PatternError, Scratch, Shape, Traits};

/// A pattern, and what its names must contain.
#[derive(Debug)]
pub struct NamePattern {
    pattern: Pattern,
    required: Vec<Vec<Box<[u8]>>>,
}

impl NamePattern {
    pub(crate) fn compile(source: &str) -> Result<Self, PatternError> {
        let pattern = Pattern::new(source, "")?;
        Ok(Self { required: pattern.required(), pattern })
    }

    /// What it was compiled from.
    pub fn source(&self) -> &str {
        self.pattern.source()
    }

    /// Every name that matches contains one text of each of these sets.
    pub(crate) fn required(&self) -> &[Vec<Box<[u8]>>] {
        &self.required
    }

    /// What names that match are like.
    pub(crate) fn shape(&self) -> &Shape {
        self.pattern.shape()
    }

    /// Roughly the steps that matching takes per byte of a name.
    pub(crate) fn states(&self) -> usize {
        self.pattern.len()
    }
}

/// Compares names with patterns.
#[derive(Debug)]
pub(crate) struct Matcher {
    steps_max: u64,
    scratch: Scratch,
    /// A name that is not ASCII, as JavaScript sees it.
    units: Vec<u16>,
    traits: Traits,
}

impl Matcher {
    pub(crate) fn new(steps_max: usize) -> Self {
        Self { steps_max: steps_max as u64, scratch: Scratch::default(), units: Vec::new(), traits: Traits::default() }
    }

    /// Takes the name that is to be compared next; `false` if it is no text.
    pub(crate) fn take(&mut self, name: &[u8]) -> bool {
        self.units.clear();
        if name.is_ascii() {
            self.traits = Traits::of(name, name.len());
            return true;
        }
        let Ok(text) = std::str::from_utf8(name) else { return false };
        self.units.extend(text.encode_utf16());
        self.traits = Traits::of(name, self.units.len());
        true
    }

    /// What the name that was taken is like.
    pub(crate) fn traits(&self) -> Traits {
        self.traits
    }

    /// Whether a pattern matches the name that was taken.
    pub(crate) fn matches(&mut self, pattern: &NamePattern, name: &[u8]) -> Result<bool, Exhausted> {
        if !pattern.shape().admits(&self.traits) {
            return Ok(false);
        }
        let has = |text: &[u8]| memchr::memmem::find(name, text).is_some();
        if !pattern.required.iter().all(|texts| texts.iter().any(|text| has(text))) {
            return Ok(false);
        }
        let input = if self.units.is_empty() { Input::Ascii(name) } else { Input::Utf16(&self.units) };
        pattern.pattern.is_match(input, &mut Budget::new(self.steps_max), &mut self.scratch)
    }
}
