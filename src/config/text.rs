//! Parses a configuration file with its macros: `${NAME}`, `file(...)`, `fileLoad(...)`.
//!
//! *Owns* the macros. *Promises* that the value of a macro is one value, or a part of one, whatever it contains: the
//! text is parsed first, with a placeholder of the same length instead of the macro (see `mark`), and the value is
//! inserted afterwards. So a value is never parsed as YAML, lines and columns stay right, and macros in comments have
//! no effect.

use super::error::{ConfigError, unreadable};
use super::mark::{Macro, Marked, Piece, What, alone};
use super::node::{self, Malformed, Node, Spelled, Step};
use std::path::{Path, PathBuf};

/// Where values of environment variables come from; tests bring their own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text that was parsed, with what is needed to find the position of a node in it.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The text that was parsed.
    pub(crate) text: String,
    /// Keys that contain macros, in three forms: with values, with placeholders, and as in the file.
    keys: Vec<[String; 3]>,
}

impl Source {
    /// Line and column of a place, or of the nearest one around it.
    pub(crate) fn place(&self, steps: &[Step]) -> Option<(usize, usize)> {
        let marked = |step: &Step| match step {
            Step::Key(key) => Step::Key(self.key(key, 1)),
            index @ Step::Index(_) => index.clone(),
        };
        node::place_of(&self.text, &steps.iter().map(marked).collect::<Vec<_>>())
    }

    /// The line of a place.
    pub(crate) fn line(&self, steps: &[Step]) -> Option<usize> {
        self.place(steps).map(|(line, _)| line)
    }

    /// `a.b[2].c`, as in the file: values of variables are not shown.
    pub(crate) fn path_text(&self, steps: &[Step]) -> String {
        let written = |step: &Step| match step {
            Step::Key(key) => Step::Key(self.key(key, 2)),
            index @ Step::Index(_) => index.clone(),
        };
        node::path_text(&steps.iter().map(written).collect::<Vec<_>>())
    }

    fn key(&self, key: &str, form: usize) -> String {
        self.keys.iter().find(|forms| forms[0] == key).map_or(key, |forms| &forms[form]).to_owned()
    }
}

/// A configuration file that was read.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) source: Source,
    /// Variables that are named but not set, with the line that names them.
    pub(crate) unset: Vec<(usize, String)>,
    /// What was loaded.
    pub(crate) loads: Vec<Load>,
    /// Errors of the text although it could be parsed.
    pub(crate) faults: Vec<ConfigError>,
}

/// A file that `fileLoad` brought in.
#[derive(Debug)]
pub(crate) struct Load {
    /// As upstream logs it.
    pub(crate) sentence: String,
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
    /// Its content.
    pub(crate) node: Node,
    /// The same as JSON on one line.
    pub(crate) json: String,
}

impl Prepared {
    /// Loads a file that an option names without a macro.
    pub(crate) fn load(
        &mut self,
        file: &Path,
        name: &str,
        line: usize,
        environment: Environment<'_>,
    ) -> Result<Node, ConfigError> {
        load(self, file, name, line, environment)
    }
}

/// Reads the content of `file`.
pub(crate) fn prepare(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Prepared, Node), ConfigError> {
    read(file, text, environment, true)
}

/// The same without loading other files.
pub(crate) fn prepare_alone(file: &Path, text: &str, environment: Environment<'_>) -> Result<Node, ConfigError> {
    read(file, text, environment, false).map(|(_, node)| node)
}

fn read(file: &Path, text: &str, environment: Environment<'_>, loads: bool) -> Result<(Prepared, Node), ConfigError> {
    let marked = Marked::configuration(text, is_json(file)).map_err(|what| ConfigError::of_file(file, what, ""))?;
    let (node, faults) =
        node::parse(file, &marked.text).map_err(|fault| marked_fault(&marked, fault).into_error(file))?;
    let faults = faults.into_iter().map(|fault| fault.into_error(file)).collect();
    let mut prepared = Prepared { faults, ..Prepared::default() };
    let mut work = Work { file, environment, marked: &marked, prepared: &mut prepared, loads };
    let node = work.resolve(node)?;
    prepared.source.text = marked.text;
    Ok((prepared, node))
}

/// The parser's error, with advice if its cause is a variable that was meant to be more than one value.
fn marked_fault(marked: &Marked, fault: Malformed) -> Malformed {
    match alone(marked) {
        Some(variable) => fault.with_hint(format!(
            "{variable} stands for one value, which is put in once the file was read: keys and sections must be written \
             in the file, or in another that fileLoad names"
        )),
        None => fault,
    }
}

pub(crate) fn is_json(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

/// A loaded file, in which variables are replaced that are set. Others stay, because `${name}` may be a rule's template
/// literal.
pub(crate) fn loaded(
    file: &Path,
    text: &str,
    environment: Environment<'_>,
) -> Result<(Source, Node, Vec<ConfigError>), ConfigError> {
    let marked = Marked::data(text, is_json(file), &|name| environment(name).is_some());
    let marked = marked.map_err(|what| ConfigError::of_file(file, what, ""))?;
    let (node, faults) = node::parse(file, &marked.text).map_err(|fault| fault.into_error_of_loaded(file))?;
    let mut prepared = Prepared::default();
    let mut work = Work { file, environment, marked: &marked, prepared: &mut prepared, loads: true };
    let node = work.resolve(node)?;
    let mut faults: Vec<ConfigError> = faults.into_iter().map(|fault| fault.into_error_of_loaded(file)).collect();
    faults.append(&mut prepared.faults);
    Ok((Source { text: marked.text, ..prepared.source }, node, faults))
}

/// Inserts the values of macros into a tree.
struct Work<'a> {
    file: &'a Path,
    environment: Environment<'a>,
    marked: &'a Marked,
    prepared: &'a mut Prepared,
    /// Whether other files are read.
    loads: bool,
}

impl Work<'_> {
    fn resolve(&mut self, node: Node) -> Result<Node, ConfigError> {
        Ok(match node {
            Node::Text(text) => self.text(&text)?,
            Node::List(items) => {
                Node::List(items.into_iter().map(|item| self.resolve(item)).collect::<Result<_, _>>()?)
            }
            Node::Map(entries) => {
                let mut map: Vec<(String, Node)> = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.key(key)?;
                    let value = self.resolve(value)?;
                    if !map.iter().any(|(name, _)| *name == key) {
                        map.push((key, value));
                    }
                }
                Node::Map(map)
            }
            other => other,
        })
    }

    fn key(&mut self, marked: String) -> Result<String, ConfigError> {
        let written = self.marked.written(&marked);
        if written == marked {
            return Ok(marked);
        }
        let line = self.marked.first(&marked).map_or(1, |found| found.line);
        let refuse = |what: String, hint: &str| Err(ConfigError::at_line(self.file, line, what, hint));
        let key = match self.text(&marked)? {
            Node::Text(text) => text,
            Node::Spelled(spelled) => spelled.text,
            _ => return refuse(format!("{written} cannot be a key"), "load a section as the value of a key"),
        };
        if self.prepared.source.keys.iter().any(|[known, text, _]| *known == key && *text != marked) {
            return refuse(format!("{written} is the same key as another"), "give each variable a value of its own");
        }
        self.prepared.source.keys.push([key.clone(), marked, written]);
        Ok(key)
    }

    /// A scalar with the values of its macros.
    fn text(&mut self, text: &str) -> Result<Node, ConfigError> {
        let marked = self.marked;
        let pieces: Vec<Piece<'_>> = marked.pieces(text).collect();
        if let [Piece::Macro(Macro { what: What::Load(argument), line, .. })] = pieces[..] {
            return if self.loads { self.load(argument, *line) } else { Ok(Node::Null) };
        }
        let (mut out, mut plain, mut variables) = (String::with_capacity(text.len()), true, Vec::new());
        for piece in pieces {
            let found = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Macro(found) => found,
            };
            plain &= found.plain;
            match &found.what {
                What::Variable(name) => {
                    out.push_str(&self.variable(name, found.line));
                    if !variables.contains(name) {
                        variables.push(name.clone());
                    }
                }
                What::File(argument) => {
                    let argument = self.argument(argument, found.line);
                    out.push_str(&self.beside(&argument).to_string_lossy());
                }
                What::Load(_) if !self.loads => {}
                What::Load(argument) => {
                    let Node::Text(loaded) = self.load(argument, found.line)? else {
                        let what = format!("{} is a part of a text, but stands for more than a text", found.written);
                        let hint = "make it the whole value of a key";
                        return Err(ConfigError::at_line(self.file, found.line, what, hint));
                    };
                    out.push_str(&loaded);
                }
            }
        }
        if variables.is_empty() {
            return Ok(Node::Text(out));
        }
        Ok(Node::Spelled(Box::new(Spelled { text: out, plain, variables })))
    }

    fn variable(&mut self, name: &str, line: usize) -> String {
        (self.environment)(name).unwrap_or_else(|| {
            self.prepared.unset.push((line, name.to_owned()));
            String::new()
        })
    }

    /// The argument of a macro, in which variables are replaced.
    fn argument(&mut self, argument: &str, line: usize) -> String {
        let mut out = String::new();
        let mut rest = argument;
        while let Some((before, (name, after))) =
            rest.split_once("${").and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            out.push_str(before);
            out.push_str(&self.variable(name.trim(), line));
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// The path as seen from the directory of the configuration file, made absolute.
    fn beside(&self, path: &str) -> PathBuf {
        beside(self.file, path)
    }

    fn load(&mut self, argument: &str, line: usize) -> Result<Node, ConfigError> {
        let name = self.argument(argument, line);
        load(self.prepared, self.file, &name, line, self.environment)
    }
}

fn beside(file: &Path, path: &str) -> PathBuf {
    absolute(&file.parent().unwrap_or(Path::new("")).join(path))
}

/// The content of a file that is named in a line of another one.
fn load(
    prepared: &mut Prepared,
    file: &Path,
    name: &str,
    line: usize,
    environment: Environment<'_>,
) -> Result<Node, ConfigError> {
    let path = beside(file, name);
    let text = std::fs::read_to_string(&path).map_err(|fault| {
        let what = match fault.kind() {
            std::io::ErrorKind::NotFound => {
                format!("Error loading config file, missing file {} for fileLoad({name})", path.display())
            }
            _ => format!("{} for fileLoad({name}) {}", path.display(), unreadable(&fault)),
        };
        ConfigError::at_line(file, line, what, "paths are relative to the directory of this file")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    // Only variables are replaced: a loaded file is data, in which `file(` may be a part of a rule or a password.
    let (source, node) = match extension {
        "yml" | "yaml" | "json" => {
            let (source, node, mut faults) = loaded(&path, text, environment)?;
            prepared.faults.append(&mut faults);
            (source, node)
        }
        "js" => {
            let what = format!("fileLoad({name}) names JavaScript, which this server does not run");
            return Err(ConfigError::at_line(file, line, what, "write its content as YAML or JSON"));
        }
        _ => (Source::default(), Node::Text(with_variables(text, environment))),
    };
    let json = node::to_json(&node);
    let sentence = format!("Loaded content from {} for fileLoad({name})", path.display());
    prepared.loads.push(Load { sentence, path, source, node: node.clone(), json });
    Ok(node)
}

/// A text that is one value as a whole, in which variables are replaced that are set.
fn with_variables(text: &str, environment: Environment<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, macros) = rest.split_at(at);
        out.push_str(before);
        let set = super::mark::variable(macros).and_then(|(name, after)| Some((environment(name)?, after)));
        let (value, after) = set.unwrap_or_else(|| ("${".to_owned(), &macros[2..]));
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    out
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
