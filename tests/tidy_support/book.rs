//! The rules for documents: links and citations lead somewhere, files and functions that are named exist, and generated
//! tables are up to date.

use super::documents::{anchor, between, blocks, citations, has_section, headings, links, listed, quoted};
use super::{Source, names, tree};
use deepstream_wire::{Action, Topic};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const README_BYTES_MAX: usize = 6 * 1024;
const SUMMARY: &str = "docs/SUMMARY.md";
const GLOSSARY: &str = "docs/glossary.md";
const ACTIONS: &str = "docs/protobuf-protocol.md";
const CLIENTS: &str = "tests/client";
/// Set, tables are written in place of being compared.
const VARIABLE: &str = "DEEPSTREAM_WRITE_DOCS";
/// Folders whose files documents name.
const PLACES: &[&str] = &["src", "shards", "tests", "scripts", "docs", "examples", "benches", "perf", "conf"];
/// Documents of an earlier time that comments cited, and nobody has.
const GONE: &[&str] = &[
    concat!("behaviour", "-record"),
    concat!("behaviour", "-event"),
    concat!("behaviour", "-rpc"),
    concat!("behaviour", "-presence"),
    concat!("behaviour", "-listen"),
    concat!("protocol", "-binary"),
    concat!("protocol", "-text"),
    concat!("protocol", "-http"),
    concat!("protocol", "-json"),
    concat!("protocol", "-mqtt"),
    concat!("monitoring", "-logging"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_document(file: &Source) -> bool {
    file.path.strip_suffix(".md").is_some()
}

/// Links to files, or headings of files, that are not there.
fn dead_links(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for document in files.iter().filter(|file| is_document(file)) {
        for link in links(document) {
            let heading = |anchored: &str| {
                let target = files.iter().find(|file| file.path == link.path);
                target.is_some_and(|file| headings(file).iter().any(|heading| anchor(heading) == anchored))
            };
            // The book has nothing but its chapters: whatever else they name is no link there.
            let leaves = document.is_under("docs") && !link.path.starts_with("docs/");
            if leaves || !root().join(&link.path).exists() || link.anchor.as_deref().is_some_and(|name| !heading(name))
            {
                found.push(format!("{}:{}: {} {:?}", document.path, link.line, link.path, link.anchor));
            }
        }
    }
    found
}

/// Chapters that the table of contents leaves out.
fn unlisted_chapters(files: &[Source]) -> Vec<String> {
    let Some(summary) = files.iter().find(|file| file.path == SUMMARY) else { return vec![format!("no {SUMMARY}")] };
    let listed = listed(summary);
    let chapters =
        files.iter().filter(|file| is_document(file)).filter(|file| file.is_under("docs") && file.path != SUMMARY);
    chapters.map(|file| file.path.clone()).filter(|path| !listed.contains(path)).collect()
}

/// Citations of chapters or sections that are not there.
fn dead_citations(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    // What is planted here leads nowhere on purpose.
    let code = |file: &&Source| {
        (file.path.ends_with(".rs") || file.path.ends_with("js")) && !file.is_under("tests/tidy_support")
    };
    for file in files.iter().filter(code) {
        for cited in citations(file) {
            let chapter = files.iter().find(|file| file.path == cited.path);
            if !chapter.is_some_and(|chapter| cited.section.is_empty() || has_section(chapter, &cited.section)) {
                found.push(format!("{}:{}: {} §{}", file.path, cited.line, cited.path, cited.section));
            }
        }
        for (number, line) in file.numbered() {
            if let Some(gone) = GONE.iter().find(|gone| names(&line.text, gone)) {
                found.push(format!("{}:{number}: {gone} is no document of this repository", file.path));
            }
        }
    }
    found
}

/// Files and functions that a document names and that are not there. `file.rs: one, two` names functions of a file.
fn unknown_names(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for document in files.iter().filter(|file| is_document(file)) {
        for (line, code) in quoted(document) {
            let (path, functions) = code.split_once(": ").unwrap_or((code, ""));
            let place = path.split('/').next().unwrap_or_default();
            let is_path = path.contains('/') && PLACES.contains(&place);
            if !is_path || path.contains(['*', '{', ' ', '…', '$', '<']) {
                continue;
            }
            let beside = root().join(&document.path).with_file_name(path);
            if !root().join(path).exists() && !beside.exists() {
                found.push(format!("{}:{line}: there is no {path}", document.path));
                continue;
            }
            let Some(file) = files.iter().find(|file| file.path == path) else { continue };
            for function in functions.split(", ").filter(|name| !name.is_empty()) {
                let defined = format!("fn {function}");
                if !file.lines.iter().any(|line| names(&line.code, &defined)) {
                    found.push(format!("{}:{line}: {path} has no {defined}", document.path));
                }
            }
        }
        for block in blocks(document) {
            for (at, text) in block.lines.iter().enumerate() {
                let word = text.split_whitespace().next().unwrap_or_default();
                let first = word.split('/').next().unwrap_or_default();
                let script = word.starts_with("scripts/") || PLACES.contains(&first) && text.contains("  ");
                if script && !word.contains(['*', '{']) && !root().join(word).exists() {
                    found.push(format!("{}:{}: there is no {word}", document.path, block.line + at));
                }
            }
        }
    }
    found
}

/// Types that the glossary explains and nobody defines.
fn unknown_types(files: &[Source]) -> Vec<String> {
    let Some(glossary) = files.iter().find(|file| file.path == GLOSSARY) else { return Vec::new() };
    let defined = |name: &str| {
        let kinds = ["struct", "enum", "trait", "type"].map(|kind| format!("{kind} {name}"));
        let ours = files.iter().filter(|file| file.path.ends_with(".rs") && !file.is_test());
        ours.flat_map(|file| &file.lines).any(|line| kinds.iter().any(|kind| names(&line.code, kind)))
    };
    let rows = glossary.numbered().filter(|(_, line)| line.text.starts_with("| `"));
    let words = rows.flat_map(|(number, line)| {
        let cell = line.text.split('|').nth(1).unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(move |word| (number, word))
    });
    words.filter(|(_, word)| !defined(word)).map(|(number, word)| format!("{GLOSSARY}:{number}: {word}")).collect()
}

/// The table of actions, a topic after the other.
fn table_of_actions() -> Vec<String> {
    let mut topics: Vec<Topic> = Vec::new();
    for action in Action::ALL {
        if !topics.contains(&action.topic()) {
            topics.push(action.topic());
        }
    }
    let mut text = String::new();
    for topic in topics {
        let _ = write!(text, "\n### {}\n\n| code | action | text |\n|---:|---|---|\n", topic.name());
        let mut actions: Vec<&Action> = Action::ALL.iter().filter(|action| action.topic() == topic).collect();
        actions.sort_by_key(|action| action.code());
        for action in actions {
            let letters = action.letters();
            let said = if letters.is_empty() { String::new() } else { format!("`{letters}`") };
            let _ = writeln!(text, "| {} | {} | {said} |", action.code(), action.name());
        }
    }
    text.push('\n');
    text.lines().map(str::to_owned).collect()
}

fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

#[test]
fn links_of_documents_lead_somewhere() {
    assert_none("links that lead nowhere", &dead_links(&tree()));
}

#[test]
fn every_chapter_is_in_the_table_of_contents() {
    assert_none("chapters that the table of contents leaves out", &unlisted_chapters(&tree()));
}

#[test]
fn what_comments_cite_is_there() {
    let files = tree();
    assert_none("citations that lead nowhere", &dead_citations(&files));
    let cited: BTreeSet<String> = files.iter().flat_map(citations).map(|cited| cited.path).collect();
    assert!(cited.len() > 5, "citations are looked for in vain: {cited:?}");
}

#[test]
fn files_and_functions_that_documents_name_are_there() {
    assert_none("files and functions that are not there", &unknown_names(&tree()));
}

#[test]
fn types_of_the_glossary_are_there() {
    let files = tree();
    assert!(files.iter().any(|file| file.path == GLOSSARY), "there is a glossary");
    assert_none("types of the glossary that are not there", &unknown_types(&files));
}

#[test]
fn readme_is_short() {
    let bytes = fs::metadata(root().join("README.md")).expect("there is a README").len();
    assert!(bytes < README_BYTES_MAX as u64, "{bytes} bytes");
}

#[test]
fn the_table_of_actions_in_the_documentation_is_the_one_that_is_read() {
    let table = table_of_actions();
    hold(ACTIONS, "actions", &table);
}

/// Compares what stands between two marks of a document with a table, or writes it there if told to.
fn hold(path: &str, mark: &str, table: &[String]) {
    let files = tree();
    let document = files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} exists"));
    let (found, begin, end) = between(document, mark).unwrap_or_else(|| panic!("{path} has marks for {mark}"));
    if std::env::var_os(VARIABLE).is_some() {
        let lines = document.lines.iter().map(|line| line.text.clone());
        let before = lines.clone().take(begin + 1);
        let written: Vec<String> = before.chain(table.iter().cloned()).chain(lines.skip(end)).collect();
        fs::write(root().join(path), written.join("\n")).expect("the document can be written");
        return;
    }
    assert!(found == table, "{path} is not up to date: run {VARIABLE}=1 cargo test --test tidy book");
}

/// What a script says of itself before anything else.
fn opening(script: &Source) -> String {
    let comment = script.lines.iter().map(|line| line.text.as_str()).map_while(|text| text.strip_prefix("// "));
    comment.collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[test]
fn the_suites_of_clients_and_their_helpers_are_listed_with_what_they_say_of_themselves() {
    let files = tree();
    let mut table = Vec::new();
    for (folder, ending) in
        [("suites", ".test.mjs"), ("attack", ".test.mjs"), ("heavy", ".test.mjs"), ("helpers", ".mjs")]
    {
        let place = format!("{CLIENTS}/{folder}/");
        table.extend([String::new(), format!("## {folder}"), String::new(), "| | |".into(), "|---|---|".into()]);
        for script in files.iter().filter(|file| file.is_under(&place) && file.path.ends_with(ending)) {
            let name = script.path.strip_prefix(&place).and_then(|file| file.strip_suffix(ending));
            let (name, opening) = (name.expect("it is in the folder"), opening(script));
            assert!(!opening.is_empty(), "{}: does not say what it proves", script.path);
            table.push(format!("| [{name}]({folder}/{name}{ending}) | {opening} |"));
        }
    }
    table.push(String::new());
    hold(&format!("{CLIENTS}/README.md"), "suites", &table);
}

/// The rules can fail: one breach each, planted.
#[test]
fn planted_breaches_of_documents_are_found() {
    type Rule = fn(&[Source]) -> Vec<String>;
    let planted: &[(Rule, &str, &str)] = &[
        (dead_links, "docs/x.md", "see [there](nowhere.md)"),
        (dead_links, "docs/x.md", "# One\n\nsee [there](#two)"),
        (dead_links, "docs/x.md", "[out](../README.md)"),
        (dead_links, "README.md", "[one](docs/records.md), [two](docs/recordz.md)"),
        (dead_citations, "src/main.rs", "// (docs/nowhere.md)"),
        (dead_citations, "src/main.rs", concat!("// (behaviour", "-record §3)")),
        (unknown_types, GLOSSARY, "| `Nowhere` | a type that is not there |"),
        (unknown_names, "docs/x.md", "`src/nowhere.rs` decides"),
        (unknown_names, "docs/x.md", "    scripts/nowhere --all"),
        (unknown_names, "README.md", "    docs/nowhere/   what is not there"),
    ];
    for (rule, path, text) in planted {
        let found = rule(&[Source::new(path, text)]);
        assert_eq!(found.len(), 1, "{path}: {text}\n{found:?}");
    }
    let chapter = Source::new("docs/x.md", "## 1. One\n\n### 2.1 Two\n\n`src/main.rs: main, nobody`");
    let citing = Source::new("src/lib.rs", "// docs/x.md §1, §2.1 and docs/x.md §3");
    let program = Source::new("src/main.rs", "fn main() {}");
    let files = [chapter, citing, program];
    assert_eq!(dead_citations(&files), ["src/lib.rs:1: docs/x.md §3"]);
    assert_eq!(unknown_names(&files), ["docs/x.md:5: src/main.rs has no fn nobody"]);
    assert_eq!(unlisted_chapters(&[Source::new(SUMMARY, ""), Source::new("docs/y.md", "")]), ["docs/y.md"]);
}
