//! Finds out from the source which modules of a crate import which.

use super::{Source, is_word};
use std::collections::{BTreeMap, BTreeSet};

/// The modules of one crate: whoever is in a row may import what its row lists, and nothing else of the crate.
pub(crate) struct Modules {
    /// Where the crate's sources are.
    pub(crate) folder: &'static str,
    /// Rooms whose files are written around one struct, which the room itself holds: it imports them, and they import it.
    pub(crate) shared: &'static [&'static str],
    /// How many modules are in another circle of imports than that. It may only become smaller.
    pub(crate) in_circles: usize,
    /// A module, by its path below the folder, with all below it that has no row of its own; and what it may import.
    pub(crate) rows: &'static [(&'static str, &'static [&'static str])],
}

/// An import, and where it stands.
pub(crate) struct Arrow {
    pub(crate) place: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Modules {
    /// The row that a path belongs to: the most particular one. `None`: the root of the crate.
    fn row_of<S: AsRef<str>>(&self, path: &[S]) -> Option<&'static str> {
        let is_in = |row: &str| {
            let mut parts = path.iter().map(AsRef::as_ref);
            row.split('/').all(|part| parts.next() == Some(part))
        };
        self.rows.iter().map(|row| row.0).filter(|row| is_in(row)).max_by_key(|row| row.len())
    }

    /// All imports from one row to another. The root of the crate may import everything. What it shows to other crates is for
    /// those: who is inside of it names things where they are, and is found as an importer of `crate` otherwise.
    pub(crate) fn arrows(&self, files: &[Source]) -> Vec<Arrow> {
        let mut found = Vec::new();
        for file in files.iter().filter(|file| file.path.ends_with(".rs") && file.is_under(self.folder)) {
            let module = module_of(&file.path[self.folder.len() + 1..]);
            if module.is_empty() || file.is_test() {
                continue;
            }
            let from = self.row_of(&module).map_or_else(|| module.join("/"), str::to_owned);
            for (line, path) in imports(file, &module) {
                let to = self.row_of(&path).unwrap_or("crate");
                if to != from {
                    found.push(Arrow { place: format!("{}:{line}", file.path), from: from.clone(), to: to.to_owned() });
                }
            }
        }
        found
    }

    /// Imports that no row lists.
    pub(crate) fn unlisted(&self, files: &[Source]) -> Vec<String> {
        let lists = |arrow: &Arrow| {
            let row = self.rows.iter().find(|row| row.0 == arrow.from);
            row.is_some_and(|row| row.1.contains(&arrow.to.as_str()))
        };
        let unlisted = self.arrows(files).into_iter().filter(|arrow| !lists(arrow));
        unlisted.map(|Arrow { place, from, to }| format!("{place}: {from} may not import {to}")).collect()
    }

    /// What rows list and nobody imports.
    pub(crate) fn unused(&self, files: &[Source]) -> Vec<String> {
        let arrows: BTreeSet<(String, String)> =
            self.arrows(files).into_iter().map(|arrow| (arrow.from, arrow.to)).collect();
        let listed =
            self.rows.iter().flat_map(|&(from, to)| to.iter().map(move |&to| (from.to_owned(), to.to_owned())));
        let unused = listed.filter(|arrow| !arrows.contains(arrow));
        unused.map(|(from, to)| format!("{}: {from} does not import {to}", self.folder)).collect()
    }

    /// The modules that import themselves, by way of others. That a file imports the room that it shares a struct with counts
    /// for nothing.
    pub(crate) fn circles(&self) -> BTreeSet<&'static str> {
        let rows: BTreeMap<&str, &[&'static str]> = self.rows.iter().copied().collect();
        let is_room_of = |room: &&str, file: &str| {
            self.shared.contains(room) && file.strip_prefix(*room).is_some_and(|rest| rest.starts_with('/'))
        };
        let reaches_itself = |module: &&'static str| {
            let (mut seen, mut waiting) = (BTreeSet::new(), vec![*module]);
            while let Some(next) = waiting.pop() {
                let imported = rows.get(next).copied().unwrap_or_default();
                let imported = imported.iter().filter(|import| !is_room_of(import, next));
                waiting.extend(imported.filter(|import| seen.insert(**import)));
            }
            seen.contains(module)
        };
        self.rows.iter().map(|row| row.0).filter(reaches_itself).collect()
    }
}

/// The path of the module in a file, whose own path is given from the crate's folder.
fn module_of(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        parts.pop();
    }
    parts
}

/// The paths inside its crate that a file names outside of its tests, from the root of the crate, with the numbers of their
/// lines.
fn imports(file: &Source, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let (mut code, mut starts) = (String::new(), Vec::new());
    for line in &file.lines {
        starts.push(code.len());
        if !line.test {
            code.push_str(&line.code);
        }
        code.push('\n');
    }
    let mut found = Vec::new();
    let own: Vec<String> = children(&code).map(|child| format!("{child}::")).collect();
    let roots = ["crate::", "super::", "self::"].into_iter().chain(own.iter().map(String::as_str));
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            // A part of a longer path is found with its beginning.
            // And who may see something is no import of it.
            if before.is_some_and(|mark| is_word(mark) || mark == ':') || code[..at].ends_with("pub(in ") {
                continue;
            }
            let mut path = if root == "crate::" { Vec::new() } else { module.to_vec() };
            let mut rest = &code[at + root.len()..];
            match root {
                "crate::" | "self::" => {}
                "super::" => drop(path.pop()),
                _ => rest = &code[at..],
            }
            while let Some(further) = rest.strip_prefix("super::") {
                path.pop();
                rest = further;
            }
            let mut paths = Vec::new();
            tree_of(&mut rest, &path, &mut paths);
            let line = starts.partition_point(|&start| start <= at);
            found.extend(paths.into_iter().map(|path| (line, path)));
        }
    }
    found
}

/// The modules that a file declares, whose names it may use without saying where they are.
fn children(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let (before, rest) = line.trim().strip_suffix(';')?.split_once("mod ")?;
        (before.is_empty() || before.starts_with("pub")).then_some(rest)
    })
}

/// Reads what follows the beginning of a path: names, and groups of them between braces.
fn tree_of(rest: &mut &str, path: &[String], found: &mut Vec<Vec<String>>) {
    *rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        *rest = group;
        loop {
            tree_of(rest, path, found);
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            let closes = !rest[end..].starts_with(',');
            *rest = rest.get(end + 1..).unwrap_or_default();
            *rest = rest.trim_start();
            if closes {
                return;
            }
            if let Some(further) = rest.strip_prefix('}') {
                *rest = further;
                return;
            }
        }
    }
    let len = rest.find(|mark| !is_word(mark)).unwrap_or(rest.len());
    let name = &rest[..len];
    *rest = &rest[len..];
    let mut path = path.to_vec();
    if !name.is_empty() && name != "self" {
        path.push(name.to_owned());
    }
    match rest.strip_prefix("::").filter(|_| !name.is_empty()) {
        Some(further) => {
            *rest = further;
            tree_of(rest, &path, found);
        }
        None => found.push(path),
    }
}
