//! A parsed pattern.

use crate::units::{SURROGATES, character};

/// What a pattern is made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Matches without taking anything.
    Empty,
    /// One code unit.
    Unit(u16),
    /// One code unit of several.
    Class(Class),
    /// `^`
    Start,
    /// `$`
    End,
    /// `\b`; `false`: `\B`
    Boundary(bool),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    /// With its number where it captures.
    Group(Option<u32>, Box<Node>),
    Look {
        ahead: bool,
        positive: bool,
        node: Box<Node>,
    },
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        lazy: bool,
    },
    /// `\1`
    Back(u32),
    /// `\1` where the group may not have matched: then it matches nothing, successfully.
    BackIfSet(u32),
}

/// A parsed pattern and what is known of it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Node,
}

impl Tree {
    /// Whether a finite automaton can match it.
    pub(crate) fn is_regular(&self) -> bool {
        self.root.all(&|node| !matches!(node, Node::Look { .. } | Node::Back(_) | Node::BackIfSet(_)))
    }
}

impl Node {
    /// Whether this and everything inside passes a test.
    pub(crate) fn all(&self, test: &impl Fn(&Node) -> bool) -> bool {
        test(self)
            && match self {
                Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().all(|node| node.all(test)),
                Node::Group(_, node) | Node::Look { node, .. } | Node::Repeat { node, .. } => node.all(test),
                _ => true,
            }
    }

    /// Whether it can match without taking anything.
    pub(crate) fn can_be_empty(&self) -> bool {
        match self {
            Node::Unit(_) | Node::Class(_) => false,
            Node::Concat(nodes) => nodes.iter().all(Node::can_be_empty),
            Node::Alternate(nodes) => nodes.iter().any(Node::can_be_empty),
            Node::Group(_, node) => node.can_be_empty(),
            Node::Repeat { node, min, .. } => *min == 0 || node.can_be_empty(),
            _ => true,
        }
    }
}

/// A set of code units: ranges, ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Class(Vec<(u16, u16)>);

/// `\n`, `\r` and their relatives: what `.` does not match.
const LINE_ENDS: &[(u16, u16)] = &[(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)];
const DIGITS: &[(u16, u16)] = &[(0x30, 0x39)];
const WORD: &[(u16, u16)] = &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
const SPACE: &[(u16, u16)] = &[
    (0x09, 0x0d),
    (0x20, 0x20),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x2000, 0x200a),
    (0x2028, 0x2029),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
    (0xfeff, 0xfeff),
];

impl Class {
    /// `.`
    pub(crate) fn dot() -> Self {
        Self(LINE_ENDS.to_vec()).negated()
    }

    /// `\d`, `\D`, `\s`, `\S`, `\w`, `\W`; `None` for other letters.
    pub(crate) fn of_escape(letter: u16) -> Option<Self> {
        let ranges = match u8::try_from(letter).ok()?.to_ascii_lowercase() {
            b'd' => DIGITS,
            b's' => SPACE,
            b'w' => WORD,
            _ => return None,
        };
        let class = Self(ranges.to_vec());
        Some(if letter < u16::from(b'a') { class.negated() } else { class })
    }

    pub(crate) fn add(&mut self, first: u16, last: u16) {
        self.0.push((first, last));
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// In order, and overlapping ranges made one.
    pub(crate) fn normalized(mut self) -> Self {
        self.0.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0 {
            match merged.last_mut() {
                Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Everything else. Of a normalized one.
    pub(crate) fn negated(&self) -> Self {
        let mut gaps = Vec::new();
        let mut next = Some(0_u16);
        for &(first, last) in &self.0 {
            if let Some(start) = next
                && start < first
            {
                gaps.push((start, first - 1));
            }
            next = last.checked_add(1);
        }
        if let Some(start) = next {
            gaps.push((start, u16::MAX));
        }
        Self(gaps)
    }

    /// Its units, if there are at most `max`.
    pub(crate) fn units(&self, max: usize) -> Option<Vec<u16>> {
        let count: usize = self.0.iter().map(|&(first, last)| usize::from(last - first) + 1).sum();
        (count <= max).then(|| self.0.iter().flat_map(|&(first, last)| first..=last).collect())
    }

    /// As ranges of characters. What no name can contain may be in or out: it is in where that makes ranges fewer.
    pub(crate) fn characters(&self) -> Vec<(char, char)> {
        let (low, high) = (*SURROGATES.start(), *SURROGATES.end());
        let mut ranges = Vec::new();
        let mut surrogates = Vec::new();
        for &(first, last) in &self.0 {
            for (from, to) in [(first, last.min(low - 1)), (first.max(high + 1), last)] {
                if from <= to {
                    ranges.push((character(from), character(to)));
                }
            }
            let (from, to) = (first.max(low), last.min(high));
            if from <= to {
                surrogates.push((from, to));
            }
        }
        if surrogates == [(low, high)] && ranges.last().is_some_and(|range| range.1 == '\u{ffff}') {
            if let Some(range) = ranges.last_mut() {
                range.1 = char::MAX;
            }
        } else {
            ranges.extend(surrogates.iter().map(|&(from, to)| (character(from), character(to))));
        }
        ranges
    }
}
