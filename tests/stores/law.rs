//! The rule for names in `src/storage/names.rs`, tested with every store without starting it.

use deepstream::config::{Config, Postgres};
use deepstream::connector::postgres;
use deepstream::storage::names::{Names, Place, Refusal, Whole};
use proptest::prelude::*;
use std::collections::HashMap;

/// THE LIST: a connector is tested by its lines here, one for each configuration that changes how it maps names.
fn stores() -> Vec<(&'static str, Box<dyn Names>)> {
    let postgres = |default_table: &str| -> Box<dyn Names> {
        Box::new(postgres::Layout::new(&Postgres { default_table: default_table.to_owned(), ..Postgres::default() }))
    };
    vec![
        ("embedded", Box::new(Whole)),
        ("redis", Box::new(Whole)),
        ("postgres", postgres("default")),
        ("postgres with a table that names may name", postgres("t")),
        ("postgres with a table that no name names", postgres("a;b/\u{e9}")),
    ]
}

/// What tells two names apart and is easily lost.
const PARTS: &[&str] = &[
    "\"",
    ";",
    "'",
    "\\",
    "/",
    "//",
    "\0",
    " ",
    "\t",
    "\n",
    "\u{a0}",
    "\u{ad}",
    "\u{200b}",
    "\u{feff}",
    "a",
    "A",
    "t",
    "T",
    "default",
    "Default",
    "ds",
    "users",
    "secret",
    "\u{e9}",
    "e\u{301}",
    "\u{c9}",
    "\u{df}",
    "ss",
    "\u{130}",
    "i",
    "\u{131}",
    "\u{212a}",
    "k",
    "\u{fb01}",
    "fi",
    "%",
    "_",
    "%2f",
    "$",
    ":",
    ".",
    "--",
    "_pkey",
    "\u{1f600}",
];

/// Names of parts, of bytes that are no text, and of tables around the length at which they are cut.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::collection::vec(prop::sample::select(PARTS), 1..6).prop_map(|parts| parts.concat().into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 1..8);
    let long = (58_usize..70, prop::sample::select(PARTS), prop::sample::select(PARTS))
        .prop_map(|(len, part, end)| format!("{}{part}{end}/1", "x".repeat(len)).into_bytes());
    let longer = (2600_usize..2800, prop::sample::select(PARTS))
        .prop_map(|(len, part)| format!("t/{}{part}", "y".repeat(len)).into_bytes());
    prop_oneof![6 => parts, 2 => bytes, 3 => long, 1 => longer]
}

/// Names that a careless store could take for this one, or this one for.
fn neighbours(name: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![name.to_vec()];
    let mut more = |name: Vec<u8>| all.push(name);
    for (at, part) in [(0, "\""), (0, "default/"), (0, "t/"), (0, "/"), (0, " "), (0, "\u{feff}")] {
        more([&name[..at], part.as_bytes(), &name[at..]].concat());
    }
    for part in ["\"", ";", " ", "\0", "/", "\u{301}", "_v"] {
        more([name, part.as_bytes()].concat());
    }
    if let Some(slash) = name.iter().position(|byte| *byte == b'/') {
        for part in ["\"", ";", " ", "x"] {
            more([&name[..slash], part.as_bytes(), &name[slash..]].concat());
        }
        more([&name[..slash.min(63)], &name[slash..]].concat());
        more(name[slash + 1..].to_vec());
        more([&name[..slash], &name[slash + 1..]].concat());
    }
    more(name.iter().copied().filter(|byte| !b"\";".contains(byte)).collect());
    more(name.iter().copied().filter(|byte| *byte != 0).collect());
    more(String::from_utf8_lossy(name).into_owned().into_bytes());
    more(String::from_utf8_lossy(name).to_lowercase().into_bytes());
    more(String::from_utf8_lossy(name).to_uppercase().into_bytes());
    more(name.trim_ascii().to_vec());
    all.retain(|name| !name.is_empty());
    all
}

/// The place of each name; two that share one fail.
fn one_to_one(store: &str, law: &dyn Names, names: &[Vec<u8>]) {
    let mut taken: HashMap<Place<'_>, &[u8]> = HashMap::new();
    for name in names {
        match law.place(name) {
            Ok(place) => {
                assert_eq!(law.place(name), Ok(place), "{store} says the same of {name:?} always");
                let other = *taken.entry(place).or_insert(name);
                let (own, other) = (String::from_utf8_lossy(name), String::from_utf8_lossy(other));
                assert_eq!(own, other, "{store} keeps both in {place:?}");
            }
            Err(Refusal(why)) => assert!(!why.is_empty(), "{store} says why"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn names_are_one_to_one(names in prop::collection::vec(hostile(), 1..8)) {
        let all: Vec<Vec<u8>> = names.iter().flat_map(|name| neighbours(name)).collect();
        for (store, law) in stores() {
            one_to_one(store, &*law, &all);
        }
    }
}

#[test]
fn every_store_keeps_ordinary_names_of_every_length_that_the_configuration_begins_with() {
    let longest = Config::default().limits.name_bytes_max;
    let names = ["a".to_owned(), "driver/14".to_owned(), "a/b/c d".to_owned(), "\u{e9}/\u{1f600}".to_owned()];
    let long = [format!("t/{}", "n".repeat(longest - 2)), "n".repeat(longest), format!("{}/1", "t".repeat(63))];
    for (store, law) in stores() {
        for name in names.iter().chain(&long) {
            // Where `t` is the table of names without a slash, they are called by those.
            if !(store.contains("may name") && name.starts_with("t/")) {
                assert!(law.place(name.as_bytes()).is_ok(), "{store}: {name}");
            }
        }
    }
}
