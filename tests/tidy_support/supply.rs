//! Checks dependencies against `deny.toml`: licences, sources, and crates in several versions.
//!
//! `cargo deny` reads the same file and also knows published faults (`scripts/nightly` runs it). It takes minutes to build and
//! needs a list from the network, so the other rules are checked here, everywhere.

use super::{Source, tree};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Where released crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A crate that is built for the target of `deny.toml`.
struct Package {
    name: String,
    version: String,
    /// An expression of SPDX; empty if it names none.
    license: String,
    /// Empty for our own.
    source: String,
}

/// What `cargo metadata` says is built, without asking the network.
fn packages(target: &str) -> Vec<Package> {
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", target];
    let output = Command::new(env!("CARGO")).current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let used: BTreeSet<&str> = list(&all["resolve"]["nodes"]).map(|node| text(node, "id")).collect();
    let packages = list(&all["packages"]).filter(|package| used.contains(text(package, "id")));
    let owned = |package: &Value, key| text(package, key).to_owned();
    let package = |package: &Value| Package {
        name: owned(package, "name"),
        version: owned(package, "version"),
        license: owned(package, "license"),
        source: owned(package, "source"),
    };
    packages.map(package).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The texts in quotes between a key's `[` and its `]`, those of one line together.
fn listed<'s>(file: &'s Source, key: &str) -> Vec<Vec<&'s str>> {
    let opens = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ["));
    let lines = file.lines.iter().map(|line| line.text.as_str()).skip_while(|line| !opens(line));
    let mut found = Vec::new();
    for line in lines {
        found.extend(Some(line.split('"').skip(1).step_by(2).collect::<Vec<_>>()).filter(|texts| !texts.is_empty()));
        if line.ends_with(']') {
            break;
        }
    }
    found
}

/// Whether an expression can be satisfied with what is allowed. `OR` binds less than `AND`; `/` is how crates once wrote it.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "_WITH_");
    let mut words = spaced.split_whitespace().peekable();
    let answer = any_of(&mut words, allowed);
    answer && words.next().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut answer = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        answer |= all_of(words, allowed);
    }
    answer
}

fn all_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut answer = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        answer &= one(words, allowed);
    }
    answer
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => {
            let answer = any_of(words, allowed);
            words.next_if_eq(&")").is_some() && answer
        }
        Some(name) => allowed.contains(&name.replace("_WITH_", " WITH ").trim_end_matches('+')),
        None => false,
    }
}

fn refused_licences(packages: &[Package], deny: &Source) -> Vec<String> {
    let allowed = listed(deny, "allow").concat();
    let theirs = packages.iter().filter(|package| !is_allowed(&package.license, &allowed));
    theirs.map(|package| format!("{} {}: {:?}", package.name, package.version, package.license)).collect()
}

fn foreign_sources(packages: &[Package]) -> Vec<String> {
    let foreign = packages.iter().filter(|package| !["", REGISTRY].contains(&package.source.as_str()));
    foreign.map(|package| format!("{} {}: {}", package.name, package.version, package.source)).collect()
}

/// Crates of several versions of which more than one is not listed; and listed ones that are not there.
fn unlisted_duplicates(packages: &[Package], deny: &Source) -> Vec<String> {
    let skipped: Vec<(&str, &str)> =
        listed(deny, "skip").iter().filter_map(|texts| texts.first()?.split_once('@')).collect();
    let is = |package: &Package, (name, version): (&str, &str)| {
        let rest = package.version.strip_prefix(version);
        package.name == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !skipped.iter().any(|&skip| is(package, skip))) {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let several = versions.iter().filter(|(_, versions)| versions.len() > 1);
    let several = several.map(|(name, versions)| format!("{name}: {versions:?}"));
    let needless = skipped.iter().filter(|&&skip| {
        let mut named = packages.iter().filter(|package| package.name == skip.0);
        !named.clone().any(|package| is(package, skip)) || named.all(|package| is(package, skip))
    });
    several.chain(needless.map(|(name, version)| format!("{name}@{version} is skipped for nothing"))).collect()
}

fn deny() -> Source {
    tree().into_iter().find(|file| file.path == "deny.toml").expect("deny.toml exists")
}

#[test]
fn what_comes_from_others_is_what_deny_toml_allows() {
    let deny = deny();
    let target = listed(&deny, "targets").concat();
    let packages = packages(target[0]);
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let mut breaches = refused_licences(&packages, &deny);
    breaches.extend(foreign_sources(&packages));
    breaches.extend(unlisted_duplicates(&packages, &deny));
    assert!(breaches.is_empty(), "deny.toml does not allow:\n  {}", breaches.join("\n  "));
}

#[test]
fn planted_breaches_of_deny_toml_are_found() {
    let deny = deny();
    let package = |name: &str, version: &str, license: &str, source: &str| {
        let [name, version, license, source] = [name, version, license, source].map(str::to_owned);
        Package { name, version, license, source }
    };
    for (license, refused) in [
        ("MIT", 0),
        ("MIT/GPL-3.0", 0),
        ("GPL-3.0", 1),
        ("", 1),
        ("MIT AND GPL-3.0", 1),
        ("(MIT OR GPL-3.0) AND ISC", 0),
        ("MIT OR ISC AND GPL-3.0", 0),
        ("(MIT OR ISC) AND GPL-3.0", 1),
        ("MIT OR", 0),
        ("MIT ISC", 1),
        ("MPL-2.0+", 0),
        ("Apache-2.0 WITH LLVM-exception", 0),
        ("Apache-2.0 WITH Classpath-exception-2.0", 1),
    ] {
        let found = refused_licences(&[package("a", "1.0.0", license, REGISTRY)], &deny);
        assert_eq!(found.len(), refused, "{license}: {found:?}");
    }
    let sources = [("git+https://example.org/a", 1), (REGISTRY, 0), ("", 0)];
    for (source, found) in sources {
        assert_eq!(foreign_sources(&[package("a", "1.0.0", "MIT", source)]).len(), found, "{source}");
    }
    let skip = Source::new("deny.toml", "skip = [\n    { crate = \"a@1\", reason = \"b\" },\n]");
    for (versions, found) in [
        (&["1.0.0", "2.0.0"][..], 0),
        (&["1.0.0", "2.0.0", "3.0.0"], 1),
        (&["10.0.0", "2.0.0"], 2),
        (&["1.0.0"], 1),
        (&["2.0.0"], 1),
    ] {
        let packages: Vec<_> = versions.iter().map(|version| package("a", version, "MIT", REGISTRY)).collect();
        assert_eq!(unlisted_duplicates(&packages, &skip).len(), found, "{versions:?}");
    }
}
