//! Reads the repository for the rules of `tidy`: its files, and what in them is code, comment, string or test.

pub(crate) mod actions;
mod book;
mod documents;
pub(crate) mod leavings;
mod modules;
mod rooms;
mod supply;
pub(crate) mod walls;

pub(crate) use modules::Modules;
pub(crate) use rooms::MODULES;
use std::fs;
use std::path::Path;

/// Folders whose contents are not ours to judge: fetched, built, or written by a running server.
const FOREIGN: &[&str] = &[".git", "node_modules", "target", "data", "corpus", "artifacts"];
/// Files that people write and read.
const WRITTEN: &[&str] = &["rs", "toml", "md", "yml", "yaml", "mjs", "js", "sh", "json", ""];

/// One file, by its path from the root of the repository.
pub(crate) struct Source {
    /// With `/` between its parts.
    pub(crate) path: String,
    /// All of it, in order.
    pub(crate) lines: Vec<Line>,
}

/// One line of a file.
pub(crate) struct Line {
    /// As written.
    pub(crate) text: String,
    /// The same without comments and without what is between quotes. For files that are not Rust: as written.
    pub(crate) code: String,
    /// Without comments; what is between quotes stays.
    pub(crate) uncommented: String,
    /// Whether it is only ever compiled for tests.
    pub(crate) test: bool,
}

impl Source {
    /// Cuts a text into lines and says what they are.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let rust = path.ends_with(".rs");
        let code = if rust { code_of(text, Strings::Blanked) } else { text.to_owned() };
        let uncommented = if rust { code_of(text, Strings::Kept) } else { uncommented(text) };
        let lines = text.split('\n').zip(code.split('\n').zip(uncommented.split('\n')));
        let line = |(text, (code, uncommented)): (&str, (&str, &str))| Line {
            text: text.to_owned(),
            code: code.to_owned(),
            uncommented: uncommented.to_owned(),
            test: false,
        };
        let mut source = Self { path: path.to_owned(), lines: lines.map(line).collect() };
        source.mark_tests();
        source
    }

    /// Whether the whole file belongs to tests or benches.
    pub(crate) fn is_test(&self) -> bool {
        let mut folders: Vec<&str> = self.path.split('/').collect();
        let file = folders.pop().unwrap_or_default();
        folders.iter().any(|folder| ["tests", "benches", "fuzz"].contains(folder)) || file.ends_with("tests.rs")
    }

    /// Whether the file is under a folder, or is that file.
    pub(crate) fn is_under(&self, place: &str) -> bool {
        self.path
            .strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || place.ends_with('/'))
    }

    /// The lines with their numbers as an editor shows them.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Marks what hangs under `#[cfg(test)]`: everything to the end of the item that follows.
    fn mark_tests(&mut self) {
        let (whole, mut inside, mut depth) = (self.is_test(), false, 0_usize);
        for line in &mut self.lines {
            let attribute = line.code.find("#[cfg(test)]").or_else(|| line.code.find("#[cfg(all(test"));
            let start = attribute.filter(|_| !inside);
            inside |= start.is_some();
            line.test = whole || inside;
            if !inside {
                continue;
            }
            let item = start.map_or(line.code.as_str(), |at| line.code[at..].split_once(']').map_or("", |cut| cut.1));
            for mark in item.chars() {
                match mark {
                    '{' => depth += 1,
                    '}' => {
                        depth = depth.saturating_sub(1);
                        inside &= depth > 0;
                    }
                    ';' => inside &= depth > 0,
                    _ => {}
                }
            }
        }
    }
}

/// Every file of the repository that somebody wrote.
pub(crate) fn tree() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut waiting) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    waiting.push(path);
                }
            } else if WRITTEN.contains(&path.extension().unwrap_or_default().to_string_lossy().as_ref())
                && name != "package-lock.json"
                && let Ok(text) = fs::read_to_string(&path)
            {
                let below = path.strip_prefix(root).expect("the walk starts at the root");
                found.push(Source::new(&below.to_string_lossy(), &text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "the walk lost its way: {} files", found.len());
    found
}

/// What becomes of what is between quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strings {
    Blanked,
    Kept,
}

/// Blanks comments and, if told to, the insides of strings and characters; every other byte keeps its place.
fn code_of(text: &str, strings: Strings) -> String {
    let marks: Vec<char> = text.chars().collect();
    let (mut code, mut at) = (String::with_capacity(text.len()), 0);
    while at < marks.len() {
        let end = match marks[at] {
            '/' if marks.get(at + 1) == Some(&'/') => until(&marks, at, |rest| rest[0] == '\n'),
            '/' if marks.get(at + 1) == Some(&'*') => block_comment(&marks, at),
            '"' => string(&marks, at + 1),
            'r' if at == 0 || !is_word(marks[at - 1]) || marks[at - 1] == 'b' => raw_string(&marks, at),
            '\'' => character(&marks, at),
            _ => at,
        };
        if end == at {
            code.push(marks[at]);
            at += 1;
        } else if marks[at] != '/' && strings == Strings::Kept {
            code.extend(&marks[at..end]);
            at = end;
        } else {
            code.extend(marks[at..end].iter().map(|&mark| if mark == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// A script without its comments: lines that are one, and what follows a ` //` on others, which is no address.
fn uncommented(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let starts = |mark: &&str| line.trim_start().starts_with(*mark);
        if ["//", "/*", "*"].iter().any(starts) { "" } else { line.split(" //").next().unwrap_or(line) }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn until(marks: &[char], from: usize, ends: impl Fn(&[char]) -> bool) -> usize {
    (from..marks.len()).find(|&at| ends(&marks[at..])).unwrap_or(marks.len())
}

fn block_comment(marks: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at + 1 < marks.len() {
        match (marks[at], marks[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    marks.len()
}

fn string(marks: &[char], mut at: usize) -> usize {
    while at < marks.len() && marks[at] != '"' {
        at += if marks[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(marks.len())
}

fn raw_string(marks: &[char], from: usize) -> usize {
    let hashes = marks[from + 1..].iter().take_while(|&&mark| mark == '#').count();
    if marks.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let closes = |rest: &[char]| rest[0] == '"' && rest[1..].iter().take_while(|&&mark| mark == '#').count() >= hashes;
    (until(marks, from + 2 + hashes, closes) + 1 + hashes).min(marks.len())
}

/// A character is `'x'` or `'\…'`; anything else after a quote is a lifetime.
fn character(marks: &[char], from: usize) -> usize {
    match (marks.get(from + 1), marks.get(from + 2)) {
        (Some('\\'), _) => (until(marks, from + 3, |rest| rest[0] == '\'') + 1).min(marks.len()),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// Whether a character can be part of a name.
pub(crate) fn is_word(mark: char) -> bool {
    mark.is_alphanumeric() || mark == '_'
}

/// Whether a name stands in a text, not as a part of a longer name.
pub(crate) fn names(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let starts = !name.starts_with(is_word) || !text[..at].ends_with(is_word);
        starts && (!name.ends_with(is_word) || !text[at + name.len()..].starts_with(is_word))
    })
}

/// The keys of a manifest's tables with this name, or ending in a dot and this name.
pub(crate) fn keys(manifest: &Source, table: &str) -> Vec<String> {
    let (mut found, mut inside) = (Vec::new(), false);
    for line in manifest.lines.iter().map(|line| line.text.trim()) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_matches(['[', ']']);
            inside = header == table || header.starts_with("target.") && header.ends_with(&format!(".{table}"));
        } else if inside && line.starts_with(is_word) {
            found.push(line.chars().take_while(|&mark| is_word(mark) || mark == '-').collect());
        }
    }
    found
}

/// Lines that break a rule, as `path:line: what`.
pub(crate) fn breaches(
    files: &[Source],
    judged: impl Fn(&Source) -> bool,
    broken: impl Fn(&Line) -> Option<String>,
) -> Vec<String> {
    let judged = files.iter().filter(|file| file.path.ends_with(".rs") && judged(file));
    let lines = judged.flat_map(|file| file.numbered().map(move |(number, line)| (file, number, line)));
    lines
        .filter_map(|(file, number, line)| broken(line).map(|what| format!("{}:{number}: {what}", file.path)))
        .collect()
}

/// The first of some names that a line of code names.
pub(crate) fn named(line: &Line, forbidden: &[&str]) -> Option<String> {
    forbidden.iter().find(|name| names(&line.code, name)).map(|&name| name.to_owned())
}

pub(crate) fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

pub(crate) fn find<'a>(files: &'a [Source], path: &str) -> &'a Source {
    files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} exists"))
}
