//! Finds the configuration file.
//!
//! *Owns* the search order: the flag, the environment, then all places where upstream's releases looked. *Promises*
//! that if a file is named, it is used or there is an error. *Does not* read the file.

use super::error::{ConfigError, unreadable};
use std::path::{Path, PathBuf};

/// Despite its name this variable holds the path of a file; upstream's packages set it that way.
pub(crate) const VARIABLE: &str = "DEEPSTREAM_CONFIG_DIRECTORY";

const EXTENSIONS: [&str; 4] = ["yml", "yaml", "json", "js"];

/// The file to load; `None` if none is named and none is found. `program` is the path this program was started by;
/// installations keep `conf/` beside or above it.
pub(crate) fn find(
    flag: Option<&Path>,
    variable: Option<&Path>,
    program: &Path,
) -> Result<Option<PathBuf>, ConfigError> {
    let given = |path: Option<&'_ Path>| path.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned);
    let Some(path) = given(flag).or_else(|| given(variable)) else {
        return Ok(places(program).into_iter().find(|place| place.is_file()));
    };
    let whose = if given(flag).is_some() {
        "give -c the path of a file".to_owned()
    } else {
        format!("the path comes from the environment variable {VARIABLE}, which names a file")
    };
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => {
            let inside = hint_of(&path);
            let hint = if inside.is_empty() { whose } else { format!("{whose}: {inside}") };
            Err(ConfigError::of_file(&path, "is a directory, not a configuration file", hint))
        }
        Ok(_) => Ok(Some(path)),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
            let what = format!("Configuration file not found at: {}", path.display());
            Err(ConfigError::of_file(Path::new(""), what, whose))
        }
        Err(fault) => Err(ConfigError::of_file(&path, unreadable(&fault), whose)),
    }
}

/// If the named path is a directory: the configuration file in it, to be suggested in the error.
fn hint_of(directory: &Path) -> String {
    let names = ["config.yml", "config.yaml", "config.json", "conf/config.yml"];
    let found = names.into_iter().map(|name| directory.join(name)).find(|path| path.is_file());
    found.map_or_else(String::new, |path| format!("{} is one", path.display()))
}

/// Every place that is looked at, in order.
fn places(program: &Path) -> Vec<PathBuf> {
    let beside = program.parent().unwrap_or(Path::new("."));
    let stems = [
        // Releases 5 to 10, where the missing slash makes this `/etc/deepstream/conf.yml`.
        PathBuf::from("/etc/deepstream/conf"),
        PathBuf::from("/etc/deepstream/conf/config"),
        PathBuf::from("conf/config"),
        PathBuf::from("../conf/config"),
        // Releases 1 to 4.
        PathBuf::from("/etc/deepstream/config"),
        PathBuf::from("/usr/local/etc/deepstream/config"),
        PathBuf::from("/usr/local/etc/deepstream/conf/config"),
        beside.join("conf/config"),
        beside.join("../conf/config"),
    ];
    stems
        .iter()
        .flat_map(|stem| {
            EXTENSIONS.iter().map(move |extension| PathBuf::from(format!("{}.{extension}", stem.display())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_path_that_does_not_exist_is_named() {
        let error = find(Some(Path::new("/nowhere/a.yml")), None, Path::new("/bin/x")).unwrap_err();
        assert_eq!(error.to_string(), "Configuration file not found at: /nowhere/a.yml; give -c the path of a file");
        let error = find(None, Some(Path::new("/nowhere/b.yml")), Path::new("/bin/x")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/b.yml; the path comes from the environment variable"), "{error}");
    }

    #[test]
    fn the_flag_wins_over_the_environment() {
        let directory = super::super::tests::Scratch::new("find");
        let flag = directory.write("a.yml", "");
        let variable = directory.write("b.yml", "");
        assert_eq!(find(Some(&flag), Some(&variable), Path::new("x")).unwrap(), Some(flag));
        assert_eq!(find(None, Some(&variable), Path::new("x")).unwrap(), Some(variable));
    }

    #[test]
    fn a_directory_is_called_one() {
        let directory = super::super::tests::Scratch::new("find-directory");
        let told = |flag: Option<&Path>, variable: Option<&Path>| {
            let from = format!("{}", directory.path().display());
            find(flag, variable, Path::new("x")).unwrap_err().to_string().replace(&from, "DIR")
        };
        let path = directory.path();
        assert_eq!(told(Some(path), None), "DIR: is a directory, not a configuration file; give -c the path of a file");
        directory.write("config.yml", "");
        let said = told(None, Some(path));
        assert!(said.starts_with("DIR: is a directory, not a configuration file; the path comes from"), "{said}");
        assert!(said.ends_with("which names a file: DIR/config.yml is one"), "{said}");
    }

    #[test]
    fn an_installation_finds_the_configuration_above_its_program() {
        let directory = super::super::tests::Scratch::new("find-beside");
        let program = directory.path().join("bin/deepstream");
        let places = places(&program);
        assert_eq!(places[0], Path::new("/etc/deepstream/conf.yml"));
        assert_eq!(places[4], Path::new("/etc/deepstream/conf/config.yml"));
        assert!(places.contains(&program.parent().unwrap().join("../conf/config.json")));
        assert!(places.iter().position(|p| p.ends_with("conf/config.yml")).unwrap() < places.len());
    }
}
