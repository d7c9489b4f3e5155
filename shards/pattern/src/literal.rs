//! Finds texts that every match of a pattern must contain, so that most names can be ruled out without running the
//! pattern.

use oxc::regular_expression::ast::{
    CharacterClass, CharacterClassContents, Disjunction, LookAroundAssertionKind, Term,
};

/// Most alternative texts kept for one place; with more, the place counts as unknown.
const ALTERNATIVES_MAX: usize = 16;
/// Longest text that is kept; longer ones rule out no more.
const UNITS_MAX: usize = 64;
/// Sets that are kept of one pattern.
const SETS_MAX: usize = 4;

/// Alternative texts, in code units, of which one occurs.
type Texts = Vec<Vec<u16>>;

/// Sets of texts: every match contains at least one text of each set. The most selective set comes first.
pub(crate) fn required(pattern: &Disjunction<'_>) -> Vec<Vec<Box<[u8]>>> {
    let Known { exact, required } = known_of(pattern);
    let all = required.into_iter().chain(exact).map(|texts| texts.iter().map(|text| characters(text)).collect());
    let mut sets: Vec<Vec<Box<[u8]>>> =
        all.filter(|texts: &Vec<Box<[u8]>>| texts.iter().all(|text| !text.is_empty())).collect();
    sets.sort_by_key(|texts| std::cmp::Reverse(worth(texts.iter().map(|text| text.len()), texts.len())));
    sets.dedup();
    sets.truncate(SETS_MAX);
    sets
}

/// The longest part of a text that consists of whole characters: half a surrogate pair at an edge may belong to a
/// character outside of the text.
fn characters(text: &[u16]) -> Box<[u8]> {
    let (mut longest, mut part) = (String::new(), String::new());
    for char in char::decode_utf16(text.iter().copied()) {
        match char {
            Ok(char) => part.push(char),
            Err(_) => part.clear(),
        }
        if part.len() > longest.len() {
            longest.clone_from(&part);
        }
    }
    longest.into_bytes().into()
}

/// What is known about the matches of a part of a pattern.
#[derive(Default)]
struct Known {
    /// It matches exactly one of these.
    exact: Option<Texts>,
    /// Its match contains one text of each of these sets.
    required: Vec<Texts>,
}

impl Known {
    fn exactly(texts: Texts) -> Self {
        Self { exact: Some(texts), required: Vec::new() }
    }

    fn nothing_taken() -> Self {
        Self::exactly(vec![Vec::new()])
    }

    /// All useful sets, the most selective first.
    fn sets(self) -> Vec<Texts> {
        let mut sets: Vec<Texts> = self.required.into_iter().chain(self.exact).filter(tells).collect();
        sets.sort_by_key(|texts| std::cmp::Reverse(worth(texts.iter().map(Vec::len), texts.len())));
        sets.truncate(SETS_MAX);
        sets
    }
}

fn tells(texts: &Texts) -> bool {
    !texts.is_empty() && texts.iter().all(|text| !text.is_empty())
}

/// The set whose shortest text is longer is more selective, and among equal ones the smaller one.
fn worth(lengths: impl Iterator<Item = usize>, count: usize) -> (usize, usize) {
    (lengths.min().unwrap_or(0), usize::MAX - count)
}

fn known_of(disjunction: &Disjunction<'_>) -> Known {
    let mut parts: Vec<Known> = disjunction.body.iter().map(|alternative| concat(&alternative.body)).collect();
    if parts.len() == 1 {
        return parts.pop().unwrap_or_default();
    }
    let exact: Option<Vec<Texts>> = parts.iter().map(|part| part.exact.clone()).collect();
    let exact = exact.map(|sets| sets.concat()).filter(|texts| texts.len() <= ALTERNATIVES_MAX);
    // For alternatives, one common set: the union of the best set of each.
    let required: Option<Vec<Texts>> = parts.into_iter().map(|part| part.sets().into_iter().next()).collect();
    let required = required.map(|sets| sets.concat()).filter(|texts| texts.len() <= ALTERNATIVES_MAX);
    Known { exact, required: required.into_iter().collect() }
}

fn known(term: &Term<'_>) -> Known {
    match term {
        Term::Character(character) => Known::exactly(vec![units(character.value)]),
        Term::CharacterClass(class) => members(class).map(Known::exactly).unwrap_or_default(),
        Term::BoundaryAssertion(_) => Known::nothing_taken(),
        Term::LookAroundAssertion(look) => {
            let positive =
                matches!(look.kind, LookAroundAssertionKind::Lookahead | LookAroundAssertionKind::Lookbehind);
            let required = if positive { known_of(&look.body).sets() } else { Vec::new() };
            Known { required, ..Known::nothing_taken() }
        }
        Term::CapturingGroup(group) => known_of(&group.body),
        Term::IgnoreGroup(group) => known_of(&group.body),
        Term::Quantifier(quantifier) => match (quantifier.min, quantifier.max) {
            (0, _) => Known::default(),
            (1, Some(1)) => known(&quantifier.body),
            _ => Known { exact: None, required: known(&quantifier.body).sets() },
        },
        Term::Dot(_)
        | Term::CharacterClassEscape(_)
        | Term::UnicodePropertyEscape(_)
        | Term::IndexedReference(_)
        | Term::NamedReference(_) => Known::default(),
    }
}

fn concat(terms: &[Term<'_>]) -> Known {
    let mut required = Vec::new();
    let mut whole = true;
    // The texts that the terms since the last unknown one match.
    let mut run: Texts = vec![Vec::new()];
    for term in terms {
        let part = known(term);
        required.extend(part.required);
        let longer = part.exact.as_ref().and_then(|texts| product(&run, texts));
        if let Some(longer) = longer {
            run = longer;
            continue;
        }
        whole = false;
        let fresh = part.exact.filter(|texts| texts.len() <= ALTERNATIVES_MAX);
        required.push(std::mem::replace(&mut run, fresh.unwrap_or_else(|| vec![Vec::new()])));
    }
    if whole {
        return Known { exact: Some(run), required };
    }
    required.push(run);
    Known { exact: None, required: Known { exact: None, required }.sets() }
}

fn product(one: &Texts, other: &Texts) -> Option<Texts> {
    let longest = |texts: &Texts| texts.iter().map(Vec::len).max().unwrap_or(0);
    let fits = one.len() * other.len() <= ALTERNATIVES_MAX && longest(one) + longest(other) <= UNITS_MAX;
    fits.then(|| one.iter().flat_map(|start| other.iter().map(move |end| [&start[..], end].concat())).collect())
}

fn units(character: u32) -> Vec<u16> {
    match char::from_u32(character) {
        Some(char) => char.encode_utf16(&mut [0; 2]).to_vec(),
        None => vec![character as u16],
    }
}

/// The characters of a small class.
fn members(class: &CharacterClass<'_>) -> Option<Texts> {
    let mut members = Vec::new();
    for content in &class.body {
        let (first, last) = match content {
            CharacterClassContents::Character(character) => (character.value, character.value),
            CharacterClassContents::CharacterClassRange(range) => (range.min.value, range.max.value),
            _ => return None,
        };
        if class.negative || members.len() + (last.saturating_sub(first) as usize) >= ALTERNATIVES_MAX {
            return None;
        }
        members.extend((first..=last).map(units));
    }
    members.sort();
    members.dedup();
    (!members.is_empty()).then_some(members)
}
