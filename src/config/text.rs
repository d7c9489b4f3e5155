//! From the text of a configuration file to the text the parser reads: `${NAME}`, `file(...)`, `fileLoad(...)`.
//!
//! *Owns* the macros. *Promises* that every line of the result knows the line it came from, that nothing in a comment
//! is substituted, and that loaded content is pasted literally. *Does not* parse, except what `fileLoad` brings in.

use super::error::ConfigError;
use super::node::{self, Node};
use std::path::{Path, PathBuf};

/// Where values of environment variables come from; tests bring their own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Text after substitution.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// What the parser reads.
    pub(crate) text: String,
    /// For each line of `text` the line of the file it came from.
    lines: Vec<usize>,
    /// Variables that were named but not set, with the line that named them.
    pub(crate) unset: Vec<(usize, String)>,
    /// What was loaded.
    pub(crate) loads: Vec<Load>,
}

/// A file that `fileLoad` brought in.
#[derive(Debug)]
pub(crate) struct Load {
    /// As upstream logs it.
    pub(crate) sentence: String,
    pub(crate) path: PathBuf,
    /// What it says, variables replaced.
    pub(crate) text: String,
    /// The same as JSON on one line.
    pub(crate) json: String,
}

impl Prepared {
    /// Brings in a file that an option names outside of any macro.
    pub(crate) fn load(
        &mut self,
        file: &Path,
        name: &str,
        line: usize,
        environment: Environment<'_>,
    ) -> Result<Node, ConfigError> {
        let mut work = Work { file, environment, json: is_json(file), prepared: Prepared::default() };
        let json = work.load(name, line)?;
        self.loads.append(&mut work.prepared.loads);
        self.unset.append(&mut work.prepared.unset);
        node::parse(file, &json).map_err(|fault| fault.into_error(file, |_| line))
    }

    /// The line of the file behind a line of the text; both count from 1.
    pub(crate) fn line(&self, line: usize) -> usize {
        self.lines.get(line.saturating_sub(1)).or(self.lines.last()).copied().unwrap_or(1)
    }
}

/// Substitutes the macros in `text`, the content of `file`.
pub(crate) fn prepare(file: &Path, text: &str, environment: Environment<'_>) -> Result<Prepared, ConfigError> {
    let mut work = Work { file, environment, json: is_json(file), prepared: Prepared::default() };
    let mut quote = None;
    for (index, line) in text.lines().enumerate() {
        let (active, comment) = split_comment(line, &mut quote, work.json);
        let mut out = work.substitute(active, index + 1)?;
        // YAML reads its own comments, and keeping them leaves block scalars alone whatever they contain.
        if !work.json {
            out.push_str(comment);
        }
        for piece in out.split('\n') {
            work.prepared.text.push_str(piece);
            work.prepared.text.push('\n');
            work.prepared.lines.push(index + 1);
        }
    }
    Ok(work.prepared)
}

pub(crate) fn is_json(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

struct Work<'a> {
    file: &'a Path,
    environment: Environment<'a>,
    json: bool,
    prepared: Prepared,
}

impl Work<'_> {
    /// One line without its comment, substituted.
    fn substitute(&mut self, active: &str, line: usize) -> Result<String, ConfigError> {
        let mut out = String::with_capacity(active.len());
        let mut rest = active;
        while let Some(next) = rest.chars().next() {
            if let Some((name, after)) = variable(rest) {
                out.push_str(&self.variable(name, line));
                rest = after;
            } else if let Some((argument, after)) = call(&out, rest, "fileLoad(") {
                let argument = self.argument(argument, line);
                let loaded = self.load(&argument, line)?;
                rest = unquote(&mut out, after);
                out.push_str(&loaded);
            } else if let Some((argument, after)) = call(&out, rest, "file(") {
                let argument = self.argument(argument, line);
                let path = self.beside(&argument);
                out.push_str(&as_scalar(&path, &out, after));
                rest = after;
            } else {
                out.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        Ok(out)
    }

    fn variable(&mut self, name: &str, line: usize) -> String {
        (self.environment)(name.trim()).unwrap_or_else(|| {
            self.prepared.unset.push((line, name.trim().to_owned()));
            String::new()
        })
    }

    /// The argument of a macro: variables in it count, quotes around it do not.
    fn argument(&mut self, argument: &str, line: usize) -> String {
        let mut out = String::new();
        let mut rest = argument.trim().trim_matches(['"', '\'']);
        while let Some((before, (name, after))) =
            rest.split_once("${").and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            out.push_str(before);
            out.push_str(&self.variable(name, line));
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// The path as seen from the directory of the configuration file, made absolute.
    fn beside(&self, path: &str) -> PathBuf {
        absolute(&self.file.parent().unwrap_or(Path::new("")).join(path))
    }

    /// The content of a file as one line of JSON, which YAML reads too.
    fn load(&mut self, name: &str, line: usize) -> Result<String, ConfigError> {
        let path = self.beside(name);
        let text = std::fs::read_to_string(&path).map_err(|fault| {
            let what = match fault.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("Error loading config file, missing file {} for fileLoad({name})", path.display())
                }
                std::io::ErrorKind::InvalidData => format!("{} for fileLoad({name}) is not UTF-8 text", path.display()),
                _ => format!("cannot read {} for fileLoad({name}): {fault}", path.display()),
            };
            ConfigError::at_line(self.file, line, what, "paths are relative to the directory of this file")
        })?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        // Variables only: a loaded file is data, its `file(` would be someone's rule or password.
        let text = with_variables(&text, self.environment);
        let value = match extension {
            "yml" | "yaml" | "json" => node::parse(&path, &text).map_err(|fault| fault.into_error_of_loaded(&path))?,
            "js" => {
                let what = format!("fileLoad({name}) names JavaScript, which this server does not run");
                return Err(ConfigError::at_line(self.file, line, what, "write its content as YAML or JSON"));
            }
            _ => Node::Text(text.clone()),
        };
        let json = node::to_json(&value);
        let sentence = format!("Loaded content from {} for fileLoad({name})", path.display());
        self.prepared.loads.push(Load { sentence, path, text, json: json.clone() });
        Ok(json)
    }
}

/// The name of an environment variable and what follows, if `rest` begins with one: a template literal's `${user.id}` is
/// none.
fn variable(rest: &str) -> Option<(&str, &str)> {
    let (name, after) = rest.strip_prefix("${")?.split_once('}')?;
    let begins = name.trim().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let named = begins && name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some((name, after))
}

/// The text of a loaded file with its variables replaced. What is not set stays: `${name}` may be a rule's template literal.
pub(crate) fn with_variables(text: &str, environment: Environment<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, macros) = rest.split_at(at);
        out.push_str(before);
        let set = variable(macros).and_then(|(name, after)| Some((environment(name.trim())?, after)));
        let (value, after) = set.unwrap_or_else(|| ("${".to_owned(), &macros[2..]));
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The argument and what follows, if `rest` begins with a call of the macro that is not the tail of a longer word.
fn call<'t>(before: &str, rest: &'t str, opening: &str) -> Option<(&'t str, &'t str)> {
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    rest.strip_prefix(opening)?.split_once(')')
}

/// Drops the quotes around a macro: what replaces it brings its own.
fn unquote<'t>(out: &mut String, after: &'t str) -> &'t str {
    for quote in ['"', '\''] {
        if out.ends_with(quote) && after.starts_with(quote) {
            out.pop();
            return &after[1..];
        }
    }
    after
}

/// A path as a YAML scalar; quoted only where it must be, because it may be the middle of a longer one.
fn as_scalar(path: &Path, before: &str, after: &str) -> String {
    let path = path.to_string_lossy();
    let alone = before.trim_end().ends_with([':', '-', '[', ','])
        && after.trim_start().chars().next().is_none_or(|c| ",]}".contains(c));
    if alone && path.contains([':', '#', '{', '}', '[', ']', ',', '"', '\'']) {
        return node::to_json(&Node::Text(path.into_owned()));
    }
    path.into_owned()
}

/// `path` from the root, without `.` and `..` where that needs no look at the disk.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for part in full.components() {
        if part == std::path::Component::ParentDir {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
}

/// Splits a line before its comment. `quote` is the string that is open where the line begins, and is left at the one
/// open where it ends.
fn split_comment<'t>(line: &'t str, quote: &mut Option<char>, json: bool) -> (&'t str, &'t str) {
    let mut solid = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match *quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => *quote = None,
            Some(_) => {}
            None => match c {
                '#' if json || at == 0 || line[..at].ends_with([' ', '\t']) => return line.split_at(at),
                // In YAML a quote opens a string only where a value may begin; elsewhere it is a letter.
                '"' | '\'' if json || solid.is_none_or(|before| ":,[{-?(".contains(before)) => *quote = Some(c),
                _ => {}
            },
        }
        if !c.is_whitespace() {
            solid = Some(c);
        }
    }
    (line, "")
}
