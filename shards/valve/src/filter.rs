//! What upstream refuses by a rule's text alone.
//!
//! *Owns* that filter, so that a file upstream refuses is refused in the same words. *Promises* nothing beyond: what it lets
//! through is read by a real parser afterwards. *Does not* understand what it reads, which is upstream's choice: `"new"` in a
//! string is refused too.

use std::sync::LazyLock;

use deepstream_pattern::{Budget, Input, Match, Pattern};

use crate::builtin::CALLABLE;
use crate::parse::Refused;
use crate::right::Right;

struct Filter {
    new: Pattern,
    function: Pattern,
    call: Pattern,
    old_data: Pattern,
    data: Pattern,
}

static FILTER: LazyLock<Filter> = LazyLock::new(|| {
    let read = |source: &str| Pattern::new(source, "").expect("these are regular expressions");
    Filter {
        new: read(r"(^|[^\w$])new[^\w$]"),
        function: read(r"[^\w$]function[^\w$]|=>"),
        call: read(r#"([\w]+(?:['"`]\])?)\s*\("#),
        old_data: read(r"(^|[^\w~])oldData[^\w~]"),
        data: read(r"(^|[^\w.~])data($|[^\w~])"),
    }
});

struct Text<'a> {
    text: &'a str,
    units: Vec<u16>,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        let units = if text.is_ascii() { Vec::new() } else { text.encode_utf16().collect() };
        Self { text, units }
    }

    fn find(&self, pattern: &Pattern, start: usize) -> Option<Match> {
        let input = if self.units.is_empty() { Input::Ascii(self.text.as_bytes()) } else { Input::Utf16(&self.units) };
        pattern.find(input, start, &mut Budget::new(10_000_000)).ok()?
    }

    /// The byte at a position in units.
    fn byte(&self, units: usize) -> usize {
        if self.units.is_empty() {
            return units;
        }
        String::from_utf16_lossy(&self.units[..units]).len()
    }
}

/// Refuses what may not be in any rule.
pub(crate) fn check_text(text: &str) -> Result<(), Refused> {
    let units = Text::new(text);
    let refuse = |what: String, at: usize| Err(Refused { what, at: units.byte(at) });
    if let Some(found) = units.find(&FILTER.new, 0) {
        return refuse("rule can't contain the new keyword".to_owned(), found.whole().start);
    }
    if let Some(found) = units.find(&FILTER.function, 0) {
        return refuse("rule can't contain user functions".to_owned(), found.whole().start);
    }
    let mut at = 0;
    while let Some(found) = units.find(&FILTER.call, at) {
        at = found.whole().end;
        let Some(name) = found.group(1) else { continue };
        let called = &text[units.byte(name.start)..units.byte(name.end)];
        if !CALLABLE.contains(&called) {
            return refuse(format!("function {called} is not supported"), name.start);
        }
    }
    Ok(())
}

/// Refuses what may not be in a rule of that type.
pub(crate) fn check_right(text: &str, right: Right) -> Result<(), Refused> {
    let units = Text::new(text);
    let refuse = |what: &str, found: &Match| {
        let what = format!("rule {} for {} does not support {what}", right.rule(), right.section());
        Err(Refused { what, at: units.byte(found.whole().start) })
    };
    match (units.find(&FILTER.old_data, 0), units.find(&FILTER.data, 0)) {
        (Some(found), _) if !right.has_old_data() => refuse("oldData", &found),
        (_, Some(found)) if !right.has_data() => refuse("data", &found),
        _ => Ok(()),
    }
}
