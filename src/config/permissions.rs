//! The permission file: from its text to rules that can be asked.
//!
//! *Owns* the way from a place in a rule to a place in the file. *Promises* line and column of every complaint, through
//! quotes and block scalars. *Does not* judge rules: that is `valve`'s.

use super::error::{ConfigError, ConfigErrors};
use super::node::{self, Node, Step};
use super::text::is_json;
use deepstream_valve::check::{At, Checked, Complaint, Node as Part, Value, check};
use std::path::Path;

/// Reads and checks a permission file.
pub(crate) fn read(file: &Path) -> Result<Checked, ConfigErrors> {
    let text = std::fs::read_to_string(file).map_err(|fault| {
        ConfigErrors::from(ConfigError::of_file(
            file,
            format!("cannot be read: {fault}"),
            "give the path of a permission file",
        ))
    })?;
    read_text(file, &text)
}

/// Checks the text of a permission file.
pub(crate) fn read_text(file: &Path, text: &str) -> Result<Checked, ConfigErrors> {
    let root = node::parse(file, text).map_err(|fault| ConfigErrors::from(fault.into_error_of_loaded(file)))?;
    let reading = Reading { text, lines: text.split('\n').collect(), json: is_json(file) };
    let part = reading.part(&root, &mut Vec::new());
    check(&part).map_err(|complaints| ConfigErrors(complaints.iter().map(|what| error(file, what)).collect()))
}

/// A complaint as an error of the file.
pub(crate) fn error(file: &Path, complaint: &Complaint) -> ConfigError {
    ConfigError {
        column: Some(complaint.at.column),
        path: complaint.rule.clone().unwrap_or_default(),
        ..ConfigError::at_line(file, complaint.at.line as usize, complaint.what.clone(), "")
    }
}

struct Reading<'t> {
    text: &'t str,
    lines: Vec<&'t str>,
    json: bool,
}

impl Reading<'_> {
    fn part(&self, node: &Node, steps: &mut Vec<Step>) -> Part {
        let (line, column) = node::place_of(self.text, steps).unwrap_or((1, 1));
        let at = At { line: line as u32, column: column as u32 };
        let value = match node {
            Node::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    steps.push(Step::Key(key.clone()));
                    let part = self.part(value, steps);
                    steps.pop();
                    (key.clone(), part.at, part)
                });
                Value::Map(entries.collect())
            }
            Node::Text(text) => Value::Text(text.clone(), self.stretches(text, at)),
            Node::Flag(flag) => Value::Bool(*flag),
            Node::Integer(_) | Node::Float(_) => Value::Other("number"),
            // What JavaScript calls them.
            Node::Null | Node::List(_) => Value::Other("object"),
        };
        Part { value, at }
    }

    /// Where the stretches of a text stand whose key stands at `key`.
    fn stretches(&self, text: &str, key: At) -> Vec<(usize, At)> {
        let Some((mut line, mut column)) = self.value_behind(key) else { return vec![(0, key)] };
        let here = |line: usize, column: usize| At { line: line as u32 + 1, column: column as u32 + 1 };
        let rest: String = self.lines[line].chars().skip(column).collect();
        match rest.chars().next() {
            Some('|' | '>') if !self.json => {
                let literal = rest.starts_with('|');
                line += 1;
                let full = |text: &&&str| !text.trim().is_empty();
                let Some(first) = self.lines.get(line..).and_then(|lines| lines.iter().find(full)) else {
                    return vec![(0, key)];
                };
                column = first.chars().take_while(|char| *char == ' ').count();
                let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
                // Empty lines in front are kept; behind them, a folded text's lines are no longer the file's.
                let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
                let count = if literal { usize::MAX } else { empty + 1 };
                starts.take(count).enumerate().map(|(index, start)| (start, here(line + index, column))).collect()
            }
            Some('"' | '\'') => vec![(0, here(line, column + 1))],
            _ => vec![(0, here(line, column))],
        }
    }

    /// Line and column, from 0, of the value whose key is at a place.
    fn value_behind(&self, key: At) -> Option<(usize, usize)> {
        let mut line = key.line as usize - 1;
        let chars: Vec<char> = self.lines.get(line)?.chars().collect();
        let mut at = key.column as usize - 1;
        // The key, which may be quoted, and its colon.
        if let Some(quote @ ('"' | '\'')) = chars.get(at) {
            at += 1;
            while chars.get(at)? != quote {
                at += if chars[at] == '\\' && *quote == '"' { 2 } else { 1 };
            }
        }
        at += chars.get(at..)?.iter().position(|char| *char == ':')? + 1;
        let mut rest = chars.get(at..)?.to_vec();
        loop {
            let blank = rest.iter().take_while(|char| char.is_whitespace()).count();
            if rest.get(blank).is_some_and(|char| *char != '#') {
                return Some((line, at + blank));
            }
            line += 1;
            at = 0;
            rest = self.lines.get(line)?.chars().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "event: {'*': {}}\nrpc: {'*': {}}\npresence: {'*': {}}\n";

    fn complaints(file: &str, text: &str) -> Vec<String> {
        let errors = read_text(Path::new(file), text).expect_err("it is refused");
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_located_whatever_the_style_of_the_text() {
        let text = format!(
            "record:\n  '*':\n    read: user.id === alert(1)\n    write: \"alert(1)\"\n    delete:   'true && alert(1)' # why\n    \
             listen: |\n      true &&\n        alert(1)\n    create:\n      alert(1)\n    notify: >\n\n      alert(1)\n{OPEN}"
        );
        let places = ["3:23", "4:13", "5:24", "8:9", "10:7", "13:7"];
        let told = complaints("p.yml", &text);
        assert_eq!(told.len(), places.len(), "{told:?}");
        for (told, place) in told.iter().zip(places) {
            assert!(told.starts_with(&format!("p.yml:{place}: record \"*\" ")), "{told} is not at {place}");
            assert!(told.ends_with("function alert is not supported"), "{told}");
        }
    }

    #[test]
    fn json_is_located_too() {
        let text = "{\n  \"record\": {\"*\": {\"read\": \"true || alert(1)\"}},\n  \"event\": {\"*\": {}}, \"rpc\": {\"*\": {}}, \"presence\": {\"*\": {}}\n}";
        assert!(complaints("p.json", text)[0].starts_with("p.json:2:37: "), "{:?}", complaints("p.json", text));
    }

    #[test]
    fn shapes_are_located() {
        assert!(complaints("p.yml", "a: [")[0].starts_with("p.yml:"));
        let unknown = complaints("p.yml", &format!("record:\n  '*':\n    paint: true\n{OPEN}"));
        assert!(unknown[0].starts_with("p.yml:3:5: unknown rule type paint"), "{unknown:?}");
        let missing = complaints("p.yml", &format!("record:\n  a: {{read: true}}\n{OPEN}"));
        assert!(missing[0].starts_with("p.yml:1:1: missing root entry"), "{missing:?}");
        assert!(read_text(Path::new("p.yml"), &format!("record: {{'*': {{read: true}}}}\n{OPEN}")).is_ok());
    }
}
