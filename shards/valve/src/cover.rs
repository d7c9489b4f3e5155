//! Finds the rules for all names that match an MQTT filter, so that one subscription can be judged for all of them.
//!
//! *Owns* the comparison of a rule's path with a filter, both as sequences of given characters, of any characters but
//! slashes, and of any characters at all. *Promises* that every matching name without empty levels and line breaks is
//! judged by one of the rules that it gives; if it cannot be sure, it says so. *Does not* evaluate rules.

use std::collections::BTreeSet;

use crate::compile::{Op, Program};
use crate::path::{Captures, NOTHING, Path, Paths, Piece, pieces};
use crate::right::Right;
use crate::rules::Ruleset;
use crate::tree::Variable;

/// Most states in one comparison. Beyond that it is assumed that the path matches some of the names but not all.
const STATES_MAX: usize = 4096;
/// Most elements of a path: they are bits of a word, and one more stands for its end.
const ELEMENTS_MAX: usize = 127;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Byte(u8),
    NotSlash,
    Any,
}

/// One element of a sequence: a class of characters, once or any number of times.
#[derive(Clone, Copy, Debug)]
struct Element {
    class: Class,
    many: bool,
}

const fn one(class: Class) -> Element {
    Element { class, many: false }
}

const fn many(class: Class) -> Element {
    Element { class, many: true }
}

impl Class {
    fn takes(self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => own == byte,
            Self::NotSlash => byte != b'/',
            Self::Any => true,
        }
    }
}

/// How the names of a path and those of a filter relate.
struct Relation {
    /// Some names match both.
    meet: bool,
    /// All names of the filter match the path.
    covers: bool,
}

impl Ruleset {
    /// The rules that apply to the names of a filter, with the path variables that are the same for all of them.
    /// `None`: some names may have no rule, or a rule depends on something that differs between the names.
    pub fn choose_all(&self, right: Right, filter: &[u8]) -> Option<Vec<(u32, Captures)>> {
        let mut chosen: Vec<(u32, Captures)> = Vec::new();
        for language in languages(filter) {
            let mut covered = false;
            for &(path, rule) in self.candidates(right) {
                let path = &self.paths[path as usize];
                let relation = relate(&language, path);
                if relation.meet && chosen.iter().all(|(other, _)| *other != rule) {
                    let captures = captures(path, filter);
                    if !is_decided(&self.rule(rule).program, &captures) {
                        return None;
                    }
                    chosen.push((rule, captures));
                }
                if relation.covers {
                    covered = true;
                    break;
                }
            }
            if !covered {
                return None;
            }
        }
        Some(chosen)
    }
}

/// The names of a filter. With `#` there are two sequences: everything below the part before it, and that part itself.
fn languages(filter: &[u8]) -> Vec<Vec<Element>> {
    let (levels, is_open) = match filter {
        b"#" => return vec![vec![one(Class::Any), many(Class::Any)]],
        [levels @ .., b'/', b'#'] => (levels, true),
        levels => (levels, false),
    };
    let mut elements = Vec::with_capacity(levels.len() + 3);
    for (index, level) in levels.split(|&byte| byte == b'/').enumerate() {
        if index > 0 {
            elements.push(one(Class::Byte(b'/')));
        }
        match level {
            b"+" => elements.extend([one(Class::NotSlash), many(Class::NotSlash)]),
            level => elements.extend(level.iter().map(|&byte| one(Class::Byte(byte)))),
        }
    }
    if !is_open {
        return vec![elements];
    }
    let below = [&elements[..], &[one(Class::Byte(b'/')), one(Class::Any), many(Class::Any)]].concat();
    vec![elements, below]
}

/// The names of a path, possibly too many; and whether they are exact.
fn elements_of(path: &Path) -> (Vec<Element>, bool) {
    const SPECIAL: &[u8] = br"\^+?()[]{}|";
    let regular = path.made_of == Paths::Regular;
    if regular && path.text.bytes().any(|byte| SPECIAL.contains(&byte)) {
        return (vec![many(Class::Any)], false);
    }
    let (mut elements, mut exact) = (Vec::new(), true);
    for (_, piece) in pieces(&path.text) {
        match piece {
            Piece::Wildcard => elements.push(many(Class::Any)),
            Piece::Variable(_) => elements.extend([one(Class::NotSlash), many(Class::NotSlash)]),
            // It stands for one or more bytes, because a character may have several.
            Piece::Char('.') if regular => {
                elements.push(many(Class::Any));
                exact = false;
            }
            Piece::Char('$') if regular => {}
            Piece::Char(char) => {
                let mut bytes = [0; 4];
                elements.extend(char.encode_utf8(&mut bytes).bytes().map(|byte| one(Class::Byte(byte))));
            }
        }
    }
    (elements, exact)
}

/// All places reachable from these without consuming anything, by skipping elements that may occur zero times.
fn closure(elements: &[Element], mut places: u128) -> u128 {
    for (index, element) in elements.iter().enumerate() {
        if element.many && places & (1 << index) != 0 {
            places |= 1 << (index + 1);
        }
    }
    places
}

fn step(elements: &[Element], places: u128, byte: u8) -> u128 {
    let mut next = 0;
    for (index, element) in elements.iter().enumerate() {
        if places & (1 << index) != 0 && element.class.takes(byte) {
            next |= 1 << (index + usize::from(!element.many));
        }
    }
    closure(elements, next)
}

fn relate(filter: &[Element], path: &Path) -> Relation {
    let (elements, exact) = elements_of(path);
    if elements.len() > ELEMENTS_MAX {
        return Relation { meet: true, covers: false };
    }
    // All bytes that some element distinguishes, and one that none does.
    let named: BTreeSet<u8> =
        filter.iter().chain(&elements).filter_map(|element| byte_of(element.class)).chain([b'/']).collect();
    let other = (1..=u8::MAX).find(|byte| !named.contains(byte));
    let all: Vec<u8> = named.into_iter().chain(other).collect();
    let end = 1 << elements.len();
    let mut relation = Relation { meet: false, covers: exact };
    let mut seen = BTreeSet::new();
    // States: the place in the filter, whether a level begins there, and the possible places in the path.
    let mut open = vec![(0, true, closure(&elements, 1))];
    while let Some(state @ (at, begins, places)) = open.pop() {
        if !seen.insert(state) {
            continue;
        }
        if seen.len() > STATES_MAX {
            return Relation { meet: true, covers: false };
        }
        if at == filter.len() {
            if !begins {
                relation.meet |= places & end != 0;
                relation.covers &= places & end != 0;
            }
            continue;
        }
        let element = filter[at];
        if element.many {
            open.push((at + 1, begins, places));
        }
        let only = byte_of(element.class).map(|byte| [byte]);
        for &byte in only.as_ref().map_or(&all[..], |byte| byte) {
            // Names with empty levels are never delivered for filters.
            if !element.class.takes(byte) || (begins && byte == b'/') {
                continue;
            }
            let next = step(&elements, places, byte);
            if next == 0 {
                relation.covers = false;
            } else {
                open.push((at + usize::from(!element.many), byte == b'/', next));
            }
        }
    }
    relation
}

fn byte_of(class: Class) -> Option<u8> {
    match class {
        Class::Byte(byte) => Some(byte),
        Class::NotSlash | Class::Any => None,
    }
}

/// The values of path variables, as places in the filter: only of those that are a whole level which the filter spells
/// out.
fn captures(path: &Path, filter: &[u8]) -> Captures {
    let mut captures: Captures = path.variables.iter().map(|_| NOTHING).collect();
    let (mut levels, mut start, mut variable) = (filter.split(|&byte| byte == b'/'), 0, 0);
    let wide: &[char] = match path.made_of {
        Paths::Regular => &['*', '.', '\\', '[', '(', '^', '?', '+', '{', '|'],
        Paths::Literal => &['*'],
    };
    // After something that may match slashes the number of a level is not known.
    for own in path.text.split('/').take_while(|own| !own.contains(wide)) {
        let Some(level) = levels.next() else { break };
        let end = start + level.len();
        let count = pieces(own).filter(|(_, piece)| matches!(piece, Piece::Variable(_))).count();
        let is_variable =
            count == 1 && own.starts_with('$') && path.variables.get(variable).is_some_and(|name| name == own);
        if is_variable && !matches!(level, b"+" | b"#") {
            captures[variable] = (start as u32, end as u32);
        }
        variable += count;
        start = end + 1;
    }
    captures
}

/// Whether a rule gives the same answer for all names and at any time: it uses neither the name, nor variables that
/// differ, nor anything that may change.
fn is_decided(program: &Program, captures: &Captures) -> bool {
    let uses = program.uses();
    let known = |op: &Op| match op {
        Op::Variable(Variable::Name) => false,
        Op::Variable(Variable::Path(index)) => captures.get(*index as usize).is_some_and(|place| *place != NOTHING),
        _ => true,
    };
    program.answer() != Some(false) && !uses.old_data && !uses.references && program.ops.iter().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruleset(paths: &[(&str, &str)]) -> Ruleset {
        let rows: Vec<_> = paths.iter().map(|(path, rule)| ("event", *path, "subscribe", *rule)).collect();
        crate::check::check_rows(&rows).expect("rules that can be read").ruleset
    }

    /// The paths of the rules that are chosen, and what their variables stand for.
    fn chosen(paths: &[(&str, &str)], filter: &str) -> Option<Vec<String>> {
        let ruleset = ruleset(paths);
        let mut chosen: Vec<String> = ruleset
            .choose_all(Right::EventSubscribe, filter.as_bytes())?
            .iter()
            .map(|(rule, captures)| {
                let mut text = ruleset.path_of(ruleset.rule(*rule)).to_owned();
                for place in captures.iter().filter(|place| **place != NOTHING) {
                    text.push(' ');
                    text.push_str(&filter[place.0 as usize..place.1 as usize]);
                }
                text
            })
            .collect();
        chosen.sort();
        Some(chosen)
    }

    #[test]
    fn filters_go_by_all_rules_that_their_names_go_by() {
        let open = ("*", "true");
        let some = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        let rules = [open, ("a/*", "user.id"), ("a/b/*", "now"), ("secret/$x", "user.id"), ("a/b/c", "true")];
        assert_eq!(chosen(&rules, "b/#"), some(&["*"]));
        assert_eq!(
            chosen(&rules, "a/x/+"),
            some(&["a/*"]),
            "what is longer does not meet, what is shorter is not asked"
        );
        assert_eq!(chosen(&rules, "a/#"), some(&["*", "a/*", "a/b/*", "a/b/c"]), "a itself goes by the rule for all");
        assert_eq!(chosen(&rules, "a/b/c"), some(&["a/b/c"]));
        assert_eq!(chosen(&rules, "+/b/c"), some(&["*", "a/*", "a/b/*", "a/b/c"]), "those that a name could go by");
        assert_eq!(chosen(&rules, "secret/+"), some(&["secret/$x"]), "whatever its variable is, it is not asked for");
        assert_eq!(chosen(&rules, "+"), some(&["*"]));
        assert_eq!(chosen(&rules, "#").map(|all| all.len()), Some(5));
    }

    #[test]
    fn what_no_rule_is_for_and_what_one_denies_is_in_no_filter() {
        assert_eq!(chosen(&[("a/*", "true")], "b/+"), None);
        assert_eq!(chosen(&[("a/*", "true")], "a/#"), None, "a itself has no rule");
        assert!(chosen(&[("a*", "true")], "a/#").is_some());
        assert_eq!(chosen(&[("*", "true"), ("a/secret", "false")], "a/+"), None);
        assert!(chosen(&[("*", "true"), ("a/secret", "false")], "a/+/x").is_some());
        assert!(chosen(&[("*", "true"), ("a/secret", "false")], "b/#").is_some());
        assert_eq!(chosen(&[("*", "true"), ("$x/secret", "false")], "+/#"), None);
        assert_eq!(chosen(&[("*", "true"), ("a.b", "false")], "+"), None);
        assert_eq!(chosen(&[("*", "true"), ("a[0-9]", "false")], "+"), None, "what is not understood may meet");
        assert_eq!(chosen(&[("a[0-9]*", "true")], "a1"), None, "and covers nothing");
    }

    #[test]
    fn variables_are_known_where_the_filter_names_their_level() {
        let rules = [("device/$user/*", "user.id === $user"), ("*", "true")];
        assert_eq!(chosen(&rules, "device/ann/#"), Some(vec!["*".to_owned(), "device/$user/* ann".to_owned()]));
        assert_eq!(chosen(&rules, "device/ann/+/x"), Some(vec!["device/$user/* ann".to_owned()]));
        assert_eq!(chosen(&rules, "device/+/x"), None);
        assert_eq!(chosen(&rules, "device/#"), None);
        assert_eq!(chosen(&[("x-$a/$b", "$b"), ("*", "true")], "x-1/2"), Some(vec!["x-$a/$b 2".to_owned()]));
        assert_eq!(chosen(&[("*/$b", "$b"), ("*", "true")], "a/+/2"), None, "which level it is differs");
        assert_eq!(chosen(&[("a/$b", "name"), ("*", "true")], "a/+"), None);
        assert_eq!(chosen(&[("a/$b", "_('x')"), ("*", "true")], "a/+"), None);
    }

    #[test]
    fn literal_paths_cover_their_own_names_exactly() {
        let chosen = |made_of, paths: &[(&str, &str)], filter: &str| {
            let rows: Vec<_> = paths.iter().map(|(path, rule)| ("event", *path, "subscribe", *rule)).collect();
            let ruleset = crate::check::check_rows_of(made_of, &rows).expect("rules").ruleset;
            let all = ruleset.choose_all(Right::EventSubscribe, filter.as_bytes())?;
            Some(all.iter().map(|(rule, captures)| (*rule, captures.to_vec())).collect::<Vec<_>>())
        };
        let open = ("*", "user.id");
        let literal = |rules: &[(&str, &str)], filter| chosen(Paths::Literal, rules, filter);
        assert_eq!(literal(&[open, ("a.b", "false")], "+"), None);
        assert_eq!(literal(&[open, ("a.b", "false")], "aXb"), Some(vec![(0, vec![])]), "a dot is a dot");
        assert_eq!(chosen(Paths::Regular, &[open, ("a.b", "false")], "aXb"), None);
        assert_eq!(literal(&[("a[0]/*", "true")], "a[0]/+"), Some(vec![(0, vec![])]), "it is understood");
        assert_eq!(literal(&[("a[0]/*", "true")], "a0/+"), None);
        let known = Some(vec![(1, vec![(4, 7)])]);
        assert_eq!(literal(&[("v.1/$who/*", "$who === user.id"), open], "v.1/ann/+"), known);
        let known = Some(vec![(1, vec![NOTHING, (3, 6)])]);
        assert_eq!(literal(&[("$$x/$who", "$who === user.id"), open], "$a/ann"), known, "a dollar is a dollar");
    }

    #[test]
    fn every_name_that_fits_goes_by_a_rule_that_is_given() {
        // Small alphabets, so that names, filters and paths meet in every way.
        let parts = ["a", "b", "ab"];
        let mut names = Vec::new();
        for first in parts {
            names.push(first.to_owned());
            for second in parts {
                names.push(format!("{first}/{second}"));
                names.extend(parts.map(|third| format!("{first}/{second}/{third}")));
            }
        }
        let paths = ["*", "a*", "a/*", "*b", "a/$x", "$x/b", "$x/$y", "a/b/*", "a$x", "*/a", "b.a", "a/b"];
        let filters = ["#", "+", "a/#", "+/b", "a/+", "+/+/a", "ab/+/#", "a/b", "b/#", "+/#"];
        for first in paths {
            for second in paths.iter().filter(|second| **second != first) {
                let ruleset = ruleset(&[(first, "user.id"), (second, "user.id")]);
                for filter in filters {
                    let all = ruleset.choose_all(Right::EventSubscribe, filter.as_bytes());
                    for name in names.iter().filter(|name| fits(filter, name)) {
                        let own = ruleset.choose(Right::EventSubscribe, Some(name.as_bytes()));
                        let among = |all: &Vec<(u32, Captures)>| matches!(&own, crate::Choice::Rule(rule, _) if all.iter().any(|(other, _)| other == rule));
                        assert!(all.as_ref().is_none_or(among), "{first} {second} {filter} {name}: {own:?} of {all:?}");
                    }
                }
            }
        }
    }

    fn fits(filter: &str, name: &str) -> bool {
        let mut levels = name.split('/');
        for wanted in filter.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}
