//! Permission rules of simulated worlds, and their expected answers, written in Rust independently of the rule
//! language.
//!
//! *Owns* the pool of rules and a direct implementation of each. *Promises* that an expected answer is right, or that
//! it says "unknown". Shares no code with the evaluator.

use crate::rng::Rng;
use deepstream_engine::Permissions;
use deepstream_valve::{Right, check};
use serde_json::Value;
use std::sync::Arc;

/// What a rule says, as far as can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Says {
    /// It may allow.
    pub(crate) yes: bool,
    /// It may deny.
    pub(crate) no: bool,
    /// It reads records, which may take a while or fail.
    pub(crate) slow: bool,
}

impl Says {
    const YES: Self = Self { yes: true, no: false, slow: false };
    pub(crate) const NO: Self = Self { yes: false, no: true, slow: false };
    const UNCLEAR: Self = Self { yes: true, no: true, slow: true };

    fn at_once(yes: bool) -> Self {
        if yes { Self::YES } else { Self::NO }
    }

    fn late(yes: bool) -> Self {
        // What cannot be read denies.
        Self { yes, no: true, slow: true }
    }

    /// It denies, whatever records say.
    pub(crate) fn never(self) -> bool {
        !self.yes
    }

    /// It allows, whatever records say and storage does.
    pub(crate) fn always(self) -> bool {
        !self.no
    }
}

/// What a rule is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) right: Right,
    pub(crate) user: &'a str,
    /// Nothing: everybody.
    pub(crate) name: Option<&'a [u8]>,
    /// The number in what is said, if it is told from outside what the rule will see.
    pub(crate) number: Option<u64>,
    /// The record itself, if it is known from outside what it was when the rule was asked.
    pub(crate) document: Option<&'a Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Open,
    Shut,
    User(usize),
    NotUser(usize),
    /// Every name but one.
    NotName(usize),
    /// Every name but those that end in 1, by a variable of the path.
    NotOne,
    /// Every number but the multiples of this.
    Data(u64),
    /// What the record itself says.
    Old(u64),
    /// What another record says.
    Reference(usize, u64),
    /// Nobody, and it takes a while to find that out.
    ReferenceShut(usize),
    /// One user, if another record can be read.
    ReferenceUser(usize, usize),
    /// One record leads to the next.
    Chain(usize, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Any,
    /// Names of two characters that end in 1.
    One,
    /// Names of two characters or more.
    Variable,
    /// Names of records and events, and no pattern of those that clients of these worlds listen to.
    Names,
}

impl Path {
    fn text(self) -> &'static str {
        match self {
            Self::Any => "*",
            Self::One => ".1",
            Self::Variable => ".$n",
            Self::Names => "[a-z][0-9]",
        }
    }

    fn fits(self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::One => matches!(name, [_, b'1']),
            Self::Variable => name.len() >= 2,
            Self::Names => matches!(name, [b'a'..=b'z', b'0'..=b'9']),
        }
    }
}

/// The rules of one generation.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Everybody may do everything, and no rule is asked.
    off: bool,
    /// Per right, the more specific last.
    rights: Vec<Vec<(Path, Rule)>>,
    /// Names of records that rules refer to.
    records: Vec<String>,
}

impl Rules {
    /// Draws the rules of one generation.
    pub(crate) fn draw(rng: &mut Rng, records: &[String]) -> Self {
        let off = rng.chance(10);
        let open_percent = rng.pick(&[20, 50, 80]);
        let right = |right: Right| {
            let mut paths = vec![(Path::Any, draw_rule(rng, right, open_percent, records.len()))];
            for path in [Path::One, Path::Variable] {
                if rng.chance(20) {
                    let rule = if path == Path::Variable && rng.chance(50) {
                        Rule::NotOne
                    } else {
                        draw_rule(rng, right, open_percent, records.len())
                    };
                    paths.push((path, rule));
                }
            }
            paths
        };
        Self { off, rights: Right::ALL.map(right).into(), records: records.to_vec() }
    }

    /// These rules, but for one right, which everybody has, or nobody.
    pub(crate) fn bent(&self, right: Right, open: bool) -> Self {
        let mut bent = self.clone();
        bent.rights[right as usize] = vec![(Path::Any, if open { Rule::Open } else { Rule::Shut })];
        bent
    }

    /// These rules, but for names that are listened to: all are told to everybody. Patterns are judged as they were.
    pub(crate) fn telling_names(&self) -> Self {
        let mut bent = self.clone();
        for right in [Right::RecordListen, Right::EventListen] {
            bent.rights[right as usize].push((Path::Names, Rule::Open));
        }
        bent
    }

    /// These rules as shards take them.
    pub(crate) fn permissions(&self, generation: u32, sweep_ns: u64) -> Arc<Permissions> {
        let ruleset = (!self.off).then(|| {
            let texts: Vec<_> = Right::ALL
                .into_iter()
                .flat_map(|right| self.rights[right as usize].iter().map(move |&(path, rule)| (right, path, rule)))
                .map(|(right, path, rule)| (right, path, self.text(right, rule)))
                .collect();
            let rows: Vec<check::Row<'_>> =
                texts.iter().map(|(right, path, text)| (right.section(), path.text(), right.rule(), &**text)).collect();
            let checked = check::check_rows(&rows).expect("rules of the pool are rules");
            Arc::new(checked.ruleset)
        });
        Arc::new(Permissions { generation, ruleset, sweep_ns, ..Permissions::default() })
    }

    fn text(&self, right: Right, rule: Rule) -> String {
        let record = |index: usize| &self.records[index];
        match rule {
            Rule::Open => "true".into(),
            Rule::Shut => "false".into(),
            Rule::User(user) => format!("user.id === 'u{user}'"),
            Rule::NotUser(user) => format!("user.id !== 'u{user}'"),
            Rule::NotName(number) => format!("name !== '{}{number}'", letter(right)),
            Rule::NotOne => "$n !== '1'".into(),
            Rule::Data(number) => format!("data.{} % {number} !== 0", member(right)),
            Rule::Old(number) => format!("oldData === null || oldData.w === undefined || oldData.w % {number} !== 0"),
            Rule::Reference(other, number) => {
                format!("_('{0}') === null || !(_('{0}').w % {number} === 0)", record(other))
            }
            Rule::ReferenceShut(other) => format!("_('{}') === 'nothing is'", record(other)),
            Rule::ReferenceUser(user, other) => format!("user.id === 'u{user}' && _('{}') !== 7", record(other)),
            Rule::Chain(first, second) => {
                format!("_('{}') === null || _('{}') !== null", record(first), record(second))
            }
        }
    }

    /// What these rules say.
    pub(crate) fn say(&self, question: Question<'_>) -> Says {
        if self.off {
            return Says::YES;
        }
        let Question { right, user, name, number, document } = question;
        let paths = &self.rights[right as usize];
        let found = paths.iter().rev().find(|(path, _)| path.fits(name.unwrap_or(b"undefined")));
        let Some((_, rule)) = found else { return Says::NO };
        let is = |number: usize| user == format!("u{number}");
        match *rule {
            Rule::Open => Says::YES,
            Rule::User(number) => Says::at_once(is(number)),
            Rule::NotUser(number) => Says::at_once(!is(number)),
            Rule::NotName(number) => Says::at_once(name != Some(format!("{}{number}", letter(right)).as_bytes())),
            Rule::NotOne => Says::at_once(name.is_none_or(|name| name[1..] != *b"1")),
            Rule::Data(modulus) => number.map_or(Says::UNCLEAR, |number| Says::at_once(number % modulus != 0)),
            Rule::Old(modulus) => document.map_or(Says::UNCLEAR, |document| match document.get("w") {
                None => Says::YES,
                Some(written) => written.as_u64().map_or(Says::UNCLEAR, |number| Says::at_once(number % modulus != 0)),
            }),
            Rule::Reference(..) | Rule::Chain(..) => Says::UNCLEAR,
            Rule::ReferenceShut(_) => Says::late(false),
            Rule::ReferenceUser(number, _) if is(number) => Says::late(true),
            Rule::Shut | Rule::ReferenceUser(..) => Says::NO,
        }
    }
}

fn draw_rule(rng: &mut Rng, right: Right, open_percent: u64, records: usize) -> Rule {
    if rng.chance(open_percent) {
        return Rule::Open;
    }
    let modulus = rng.between(2, 5);
    let (one, other, user) = (rng.below(records), rng.below(records), rng.below(4));
    let has_data = matches!(right, Right::EventPublish | Right::RpcRequest | Right::RecordWrite);
    let has_old_data = matches!(right, Right::RecordRead | Right::RecordWrite | Right::RecordDelete);
    match rng.below(14) {
        0 => Rule::Shut,
        1..=2 => Rule::User(user),
        3..=4 => Rule::NotUser(user),
        5 => Rule::NotName(rng.below(3)),
        6..=7 if has_data => Rule::Data(modulus),
        8..=9 if has_old_data => Rule::Old(modulus),
        6..=9 => Rule::Open,
        10 => Rule::Reference(one, modulus),
        11 => Rule::ReferenceShut(one),
        12 => Rule::ReferenceUser(user, one),
        _ => Rule::Chain(one, other),
    }
}

/// What names on a topic begin with.
fn letter(right: Right) -> &'static str {
    match right.section() {
        "record" => "r",
        "event" => "e",
        "rpc" => "p",
        _ => "u",
    }
}

/// The member of what is said that tells it from everything else.
fn member(right: Right) -> &'static str {
    match right {
        Right::EventPublish => "s",
        Right::RpcRequest => "m",
        _ => "w",
    }
}

/// The number in what is said, where there is one.
pub(crate) fn number_of(right: Right, data: Option<&[u8]>) -> Option<u64> {
    let value: Value = serde_json::from_slice(data?).ok()?;
    value.get(member(right))?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(right: Right, rule: Rule) -> Rules {
        let mut rights: Vec<Vec<(Path, Rule)>> = Right::ALL.map(|_| vec![(Path::Any, Rule::Shut)]).into();
        rights[right as usize] = vec![(Path::Any, rule)];
        Rules { off: false, rights, records: vec!["r0".into()] }
    }

    #[test]
    fn every_rule_of_the_pool_can_be_loaded() {
        let mut rng = Rng::new(1, "rules");
        for _ in 0..200 {
            Rules::draw(&mut rng, &["r0".into(), "h1".into()]).permissions(1, 1);
        }
    }

    #[test]
    fn a_rule_says_what_it_says() {
        let ask = |rule, user, name: &str, number| {
            let right = Right::EventPublish;
            only(right, rule).say(Question { right, user, name: Some(name.as_bytes()), number, document: None })
        };
        assert_eq!(ask(Rule::User(1), "u1", "e0", None), Says::YES);
        assert_eq!(ask(Rule::User(1), "u0", "e0", None), Says::NO);
        assert_eq!(ask(Rule::NotName(0), "u0", "e0", None), Says::NO);
        assert_eq!(ask(Rule::Data(3), "u0", "e0", Some(6)), Says::NO);
        assert_eq!(ask(Rule::Data(3), "u0", "e0", None), Says::UNCLEAR);
        assert!(ask(Rule::ReferenceShut(0), "u0", "e0", None).never());
    }
}
