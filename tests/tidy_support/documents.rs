//! Reads Markdown: links, headings and code; and the citations of documents in comments.

use super::Source;
use std::collections::BTreeSet;

/// A link of a document, by the number of its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    /// The file, from the root of the repository.
    pub(crate) path: String,
    /// What follows `#`, if anything does.
    pub(crate) anchor: Option<String>,
}

/// A chapter and a section, as comments name them: `docs/records.md §4, §5`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    pub(crate) line: usize,
    pub(crate) path: String,
    /// Empty where the whole chapter is meant.
    pub(crate) section: String,
}

/// A block of code.
#[derive(Debug)]
pub(crate) struct Block {
    /// Of its first line of code.
    pub(crate) line: usize,
    pub(crate) lines: Vec<String>,
}

/// The prose of a document, with code blocks left out.
fn prose(document: &Source) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    document.numbered().map(|(number, line)| (number, line.text.as_str())).filter(move |(_, text)| {
        let fence = text.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !text.starts_with("    ")
    })
}

/// Links to files of the repository; addresses of the web are not looked at.
pub(crate) fn links(document: &Source) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(document) {
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { document.path.clone() } else { beside(&document.path, file) };
            found.push(Link { line, path, anchor: anchor.map(str::to_owned) });
        }
    }
    found
}

/// A path that is written as seen from the folder of a file.
fn beside(document: &str, file: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in file.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// The headings of a document, without their marks.
pub(crate) fn headings(document: &Source) -> Vec<&str> {
    prose(document).filter(|(_, text)| text.starts_with('#')).map(|(_, text)| text.trim_matches(['#', ' '])).collect()
}

/// What a heading is called behind `#`, by the rule of GitHub and mdBook.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|mark| mark.is_alphanumeric() || [' ', '-', '_'].contains(mark));
    kept.map(|mark| if mark == ' ' { '-' } else { mark.to_ascii_lowercase() }).collect()
}

/// Whether a document has a section of this number.
pub(crate) fn has_section(document: &Source, section: &str) -> bool {
    headings(document).iter().any(|heading| {
        let number = heading.split(' ').next().unwrap_or_default();
        number.trim_end_matches('.') == section
    })
}

/// What a file cites.
pub(crate) fn citations(file: &Source) -> Vec<Citation> {
    let mut found = Vec::new();
    for (number, line) in file.numbered() {
        for (at, _) in line.text.match_indices("docs/") {
            let Some((name, mut rest)) = line.text[at..].split_once(".md") else { continue };
            if !name.chars().all(|mark| mark.is_ascii_alphanumeric() || "/-_".contains(mark)) {
                continue;
            }
            found.push(Citation { line: number, path: format!("{name}.md"), section: String::new() });
            while let Some(cited) = rest.strip_prefix(", ").unwrap_or(rest).trim_start().strip_prefix('§') {
                let len = cited.find(|mark: char| !mark.is_ascii_digit() && mark != '.').unwrap_or(cited.len());
                let section = cited[..len].trim_end_matches('.').to_owned();
                found.push(Citation { line: number, path: format!("{name}.md"), section });
                rest = &cited[len..];
            }
        }
    }
    found
}

/// The blocks of code in a document, fenced or indented.
pub(crate) fn blocks(document: &Source) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut fenced, mut open) = (false, false);
    for (number, line) in document.numbered() {
        let text = line.text.as_str();
        if text.trim_start().starts_with("```") {
            fenced = !fenced;
            open = fenced;
            if fenced {
                found.push(Block { line: number + 1, lines: Vec::new() });
            }
        } else if fenced {
            found.last_mut().expect("a fence opened it").lines.push(text.to_owned());
        } else if let Some(code) = text.strip_prefix("    ") {
            if !open {
                found.push(Block { line: number, lines: Vec::new() });
                open = true;
            }
            found.last_mut().expect("it was just opened").lines.push(code.to_owned());
        } else {
            open &= text.trim().is_empty();
        }
    }
    found
}

/// What stands between backticks in the prose of a document.
pub(crate) fn quoted(document: &Source) -> Vec<(usize, &str)> {
    prose(document).flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(move |code| (line, code))).collect()
}

/// The text between two marks of a document, each on a line of its own; and the text with something else in its place.
pub(crate) fn between<'a>(document: &'a Source, name: &str) -> Option<(Vec<&'a str>, usize, usize)> {
    let mark = |what: &str| {
        let mark = format!("<!-- {name}: {what}");
        document.lines.iter().position(|line| line.text.starts_with(&mark))
    };
    let (begin, end) = (mark("begin")?, mark("end")?);
    let lines = document.lines.get(begin + 1..end)?;
    Some((lines.iter().map(|line| line.text.as_str()).collect(), begin, end))
}

/// The files that a table of contents lists.
pub(crate) fn listed(summary: &Source) -> BTreeSet<String> {
    links(summary).into_iter().map(|link| link.path).collect()
}
