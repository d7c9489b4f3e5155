//! JavaScript's syntax of regular expressions without flags, browser leniency (Annex B) included.
//!
//! *Owns* what is accepted: what the constructor `RegExp(source)` accepts, up to [`DEPTH_MAX`] nested groups. *Promises*
//! to end in two passes over the source, the first of which counts groups.

use crate::Refused;
use crate::node::{Class, Node, Tree};

/// Groups inside each other. More are refused: recursion must end.
const DEPTH_MAX: usize = 50;

pub(crate) fn parse(source: &str) -> Result<Tree, Refused> {
    let units: Vec<u16> = source.encode_utf16().collect();
    let groups = count_groups(&units);
    let mut parser = Parser { units, groups, at: 0, depth: 0, names: Vec::new(), used: Vec::new() };
    let mut root = parser.alternatives()?;
    if parser.at < parser.units.len() {
        return parser.refuse("a ) that closes nothing");
    }
    parser.resolve_names(&mut root)?;
    Ok(Tree { root })
}

struct Parser {
    units: Vec<u16>,
    at: usize,
    depth: usize,
    /// Capturing groups of the whole pattern, and whether any has a name.
    groups: (u32, bool),
    /// Names of the groups begun so far, by number less one.
    names: Vec<Option<Vec<u16>>>,
    /// Names given to `\k`.
    used: Vec<Vec<u16>>,
}

/// A character of the syntax.
const fn unit(character: char) -> u16 {
    character as u16
}

/// Capturing groups in all, and whether one of them has a name.
fn count_groups(units: &[u16]) -> (u32, bool) {
    let (mut count, mut named, mut in_class) = (0, false, false);
    let mut at = 0;
    while at < units.len() {
        match u8::try_from(units[at]).unwrap_or(0) {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'(' if !in_class => {
                let next = |ahead: usize| units.get(at + ahead).copied();
                let name = next(1) == Some(unit('?'))
                    && next(2) == Some(unit('<'))
                    && next(3).is_some_and(|after| after != unit('=') && after != unit('!'));
                named |= name;
                count += u32::from(name || next(1) != Some(unit('?')));
            }
            _ => {}
        }
        at += 1;
    }
    (count, named)
}

impl Parser {
    fn refuse<T>(&self, what: &'static str) -> Result<T, Refused> {
        Err(Refused::Syntax { what, at: self.at })
    }

    fn peek(&self) -> Option<u16> {
        self.units.get(self.at).copied()
    }

    fn ascii(&self) -> Option<u8> {
        self.peek().and_then(|unit| u8::try_from(unit).ok())
    }

    fn take(&mut self, text: &str) -> bool {
        let taken = text
            .bytes()
            .enumerate()
            .all(|(ahead, byte)| self.units.get(self.at + ahead).copied() == Some(u16::from(byte)));
        if taken {
            self.at += text.len();
        }
        taken
    }

    fn alternatives(&mut self) -> Result<Node, Refused> {
        let mut all = vec![self.sequence()?];
        while self.take("|") {
            all.push(self.sequence()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::Alternate(all) })
    }

    fn sequence(&mut self) -> Result<Node, Refused> {
        let mut all = Vec::new();
        while let Some(unit) = self.peek() {
            if unit == u16::from(b'|') || unit == u16::from(b')') {
                break;
            }
            all.push(self.term()?);
        }
        Ok(match all.len() {
            0 => Node::Empty,
            1 => all.remove(0),
            _ => Node::Concat(all),
        })
    }

    fn term(&mut self) -> Result<Node, Refused> {
        if self.take("^") {
            return Ok(Node::Start);
        }
        if self.take("$") {
            return Ok(Node::End);
        }
        if self.take("\\b") {
            return Ok(Node::Boundary(true));
        }
        if self.take("\\B") {
            return Ok(Node::Boundary(false));
        }
        let atom = match self.ascii() {
            Some(b'(') => self.group()?,
            Some(b'[') => self.class()?,
            Some(b'\\') => self.escape()?,
            Some(b'.') => {
                self.at += 1;
                Node::Class(Class::dot())
            }
            Some(b'*' | b'+' | b'?') => return self.refuse("nothing to repeat"),
            Some(b'{') if self.braces().is_some() => return self.refuse("nothing to repeat"),
            _ => {
                let unit = self.units[self.at];
                self.at += 1;
                Node::Unit(unit)
            }
        };
        // Looking back cannot be repeated, looking ahead can.
        if matches!(atom, Node::Look { ahead: false, .. }) {
            return Ok(atom);
        }
        self.repeated(atom)
    }

    fn repeated(&mut self, atom: Node) -> Result<Node, Refused> {
        let (min, max) = match self.ascii() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => match self.braces() {
                Some((min, max, end)) => {
                    if max.is_some_and(|max| max < min) {
                        return self.refuse("numbers out of order");
                    }
                    self.at = end - 1;
                    (min, max)
                }
                None => return Ok(atom),
            },
            _ => return Ok(atom),
        };
        self.at += 1;
        let lazy = self.take("?");
        Ok(Node::Repeat { node: Box::new(atom), min, max, lazy })
    }

    /// `{2}`, `{2,}` or `{2,3}` here: its numbers and where it ends. Anything else is plain text.
    fn braces(&self) -> Option<(u32, Option<u32>, usize)> {
        let is = |at: usize, byte: u8| self.units.get(at).copied() == Some(u16::from(byte));
        let (min, after) = self.number(self.at + 1)?;
        if is(after, b'}') {
            return Some((min, Some(min), after + 1));
        }
        if !is(after, b',') {
            return None;
        }
        let (max, after) = match self.number(after + 1) {
            Some((max, after)) => (Some(max), after),
            None => (None, after + 1),
        };
        is(after, b'}').then_some((min, max, after + 1))
    }

    /// The decimal number at a place, and where it ends.
    fn number(&self, start: usize) -> Option<(u32, usize)> {
        let (mut at, mut value) = (start, 0_u32);
        while let Some(digit) = self.units.get(at).and_then(|&unit| char::from_u32(unit.into())?.to_digit(10)) {
            value = value.saturating_mul(10).saturating_add(digit);
            at += 1;
        }
        (at > start).then_some((value, at))
    }

    fn group(&mut self) -> Result<Node, Refused> {
        if self.depth == DEPTH_MAX {
            return self.refuse("too many nested groups");
        }
        let look = [("(?=", true, true), ("(?!", true, false), ("(?<=", false, true), ("(?<!", false, false)];
        let look = look.into_iter().find(|&(text, ..)| self.take(text));
        let mut number = None;
        if look.is_none() && !self.take("(?:") {
            if self.take("(?<") {
                number = Some(self.open());
                let name = self.name()?;
                if self.names.iter().flatten().any(|other| *other == name) {
                    return self.refuse("a name that is used twice");
                }
                if let Some(last) = self.names.last_mut() {
                    *last = Some(name);
                }
            } else if self.take("(?") {
                return self.refuse("an unknown kind of group");
            } else {
                self.at += 1;
                number = Some(self.open());
            }
        }
        self.depth += 1;
        let inside = Box::new(self.alternatives()?);
        self.depth -= 1;
        if !self.take(")") {
            return self.refuse("a group that does not end");
        }
        Ok(match look {
            Some((_, ahead, positive)) => Node::Look { ahead, positive, node: inside },
            None => Node::Group(number, inside),
        })
    }

    fn open(&mut self) -> u32 {
        self.names.push(None);
        self.names.len() as u32
    }

    /// The rest of `<name>`.
    fn name(&mut self) -> Result<Vec<u16>, Refused> {
        let mut name = String::new();
        while !self.take(">") {
            let Some(mut character) = self.character() else { return self.refuse("a name that does not end") };
            if character == '\\' {
                let Some(escaped) = self.name_escape() else { return self.refuse("not a name") };
                character = escaped;
            }
            let fits = character == '$' || character == '_' || character.is_alphabetic();
            let later =
                !name.is_empty() && (character.is_alphanumeric() || matches!(character, '\u{200c}' | '\u{200d}'));
            if !fits && !later {
                return self.refuse("not a name");
            }
            name.push(character);
        }
        if name.is_empty() {
            return self.refuse("an empty name");
        }
        Ok(name.encode_utf16().collect())
    }

    /// One whole character.
    fn character(&mut self) -> Option<char> {
        let rest = self.units.get(self.at..)?.iter().take(2).copied();
        let character = char::decode_utf16(rest).next()?.ok()?;
        self.at += character.len_utf16();
        Some(character)
    }

    /// After the backslash: `uXXXX`, `uXXXXuXXXX` of a pair, or `u{X}`.
    fn name_escape(&mut self) -> Option<char> {
        if !self.take("u") {
            return None;
        }
        if self.take("{") {
            let mut value = 0_u32;
            while !self.take("}") {
                value = value.checked_mul(16)?.checked_add(self.hex_digit()?)?;
            }
            return char::from_u32(value);
        }
        let first = self.hex(4)?;
        let start = self.at;
        if let Some(character) = char::from_u32(first.into()) {
            return Some(character);
        }
        let second = if self.take("\\u") { self.hex(4)? } else { return None };
        let pair = char::decode_utf16([first, second]).next()?.ok();
        if pair.is_none() {
            self.at = start;
        }
        pair
    }

    fn hex_digit(&mut self) -> Option<u32> {
        let digit = char::from_u32(self.peek()?.into())?.to_digit(16)?;
        self.at += 1;
        Some(digit)
    }

    /// So many hexadecimal digits, or nothing is taken.
    fn hex(&mut self, digits: usize) -> Option<u16> {
        let start = self.at;
        let mut value = 0;
        for _ in 0..digits {
            let Some(digit) = self.hex_digit() else {
                self.at = start;
                return None;
            };
            value = value * 16 + digit;
        }
        u16::try_from(value).ok()
    }

    fn escape(&mut self) -> Result<Node, Refused> {
        self.at += 1;
        let Some(unit) = self.peek() else { return self.refuse("a \\ at the end") };
        if let Some(class) = Class::of_escape(unit) {
            self.at += 1;
            return Ok(Node::Class(class));
        }
        match self.ascii() {
            Some(b'1'..=b'9') => {
                if let Some(number) = self.reference() {
                    return Ok(Node::Back(number));
                }
            }
            Some(b'k') if self.groups.1 => {
                self.at += 1;
                if !self.take("<") {
                    return self.refuse("\\k without a name");
                }
                let name = self.name()?;
                self.used.push(name);
                return Ok(Node::Back(BY_NAME | (self.used.len() as u32 - 1)));
            }
            _ => {}
        }
        Ok(Node::Unit(self.unit_escape(false)))
    }

    /// A decimal number here, if so many groups exist.
    fn reference(&mut self) -> Option<u32> {
        let (value, end) = self.number(self.at)?;
        (value <= self.groups.0).then(|| {
            self.at = end;
            value
        })
    }

    /// What comes after a backslash and stands for one unit.
    fn unit_escape(&mut self, in_class: bool) -> u16 {
        let unit = self.units[self.at];
        self.at += 1;
        match u8::try_from(unit).unwrap_or(0) {
            b'f' => 0x0c,
            b'n' => 0x0a,
            b'r' => 0x0d,
            b't' => 0x09,
            b'v' => 0x0b,
            b'b' if in_class => 0x08,
            b'x' => self.hex(2).unwrap_or(unit),
            b'u' => self.hex(4).unwrap_or(unit),
            b'0'..=b'7' => {
                self.at -= 1;
                self.octal()
            }
            b'c' => {
                let letter = self.ascii().filter(|byte| {
                    byte.is_ascii_alphabetic() || (in_class && (byte.is_ascii_digit() || *byte == b'_'))
                });
                if let Some(letter) = letter {
                    self.at += 1;
                    return u16::from(letter % 32);
                }
                // The backslash stands for itself, and the c comes next.
                self.at -= 1;
                u16::from(b'\\')
            }
            _ => unit,
        }
    }

    /// Up to three octal digits, at most 377.
    fn octal(&mut self) -> u16 {
        let mut value = 0;
        for _ in 0..3 {
            let Some(digit) = self.ascii().filter(|byte| matches!(byte, b'0'..=b'7')) else { break };
            let next = value * 8 + u16::from(digit - b'0');
            if next > 0o377 {
                break;
            }
            value = next;
            self.at += 1;
        }
        value
    }

    fn class(&mut self) -> Result<Node, Refused> {
        self.at += 1;
        let negated = self.take("^");
        let mut class = Class::default();
        while !self.take("]") {
            let first = self.class_atom()?;
            if self.peek() == Some(unit('-')) && self.units.get(self.at + 1).is_some_and(|&after| after != unit(']')) {
                self.at += 1;
                let last = self.class_atom()?;
                match (first, last) {
                    (Atom::Unit(first), Atom::Unit(last)) if first <= last => class.add(first, last),
                    (Atom::Unit(_), Atom::Unit(_)) => return self.refuse("a range out of order"),
                    (first, last) => {
                        for atom in [first, Atom::Unit(unit('-')), last] {
                            atom.add_to(&mut class);
                        }
                    }
                }
            } else {
                first.add_to(&mut class);
            }
        }
        let class = class.normalized();
        Ok(Node::Class(if negated { class.negated() } else { class }))
    }

    fn class_atom(&mut self) -> Result<Atom, Refused> {
        let Some(unit) = self.peek() else { return self.refuse("a class that does not end") };
        self.at += 1;
        if unit != u16::from(b'\\') {
            return Ok(Atom::Unit(unit));
        }
        let Some(escaped) = self.peek() else { return self.refuse("a \\ at the end") };
        if let Some(class) = Class::of_escape(escaped) {
            self.at += 1;
            return Ok(Atom::Class(class));
        }
        if escaped == u16::from(b'k') && self.groups.1 {
            return self.refuse("\\k in a class");
        }
        Ok(Atom::Unit(self.unit_escape(true)))
    }

    /// Gives names that were used the numbers of their groups: names may be used before their group.
    fn resolve_names(&self, node: &mut Node) -> Result<(), Refused> {
        match node {
            Node::Back(number) if *number & BY_NAME != 0 => {
                let name = &self.used[(*number & !BY_NAME) as usize];
                let found = self.names.iter().position(|other| other.as_ref() == Some(name));
                let Some(found) = found else { return self.refuse("\\k with a name that no group has") };
                *number = found as u32 + 1;
                Ok(())
            }
            Node::Concat(nodes) | Node::Alternate(nodes) => {
                nodes.iter_mut().try_for_each(|node| self.resolve_names(node))
            }
            Node::Group(_, node) | Node::Look { node, .. } | Node::Repeat { node, .. } => self.resolve_names(node),
            _ => Ok(()),
        }
    }
}

/// Marks the number of a name that was used, among those used.
const BY_NAME: u32 = 1 << 31;

/// A part of a class.
enum Atom {
    Unit(u16),
    Class(Class),
}

impl Atom {
    fn add_to(&self, class: &mut Class) {
        match self {
            Atom::Unit(unit) => class.add(*unit, *unit),
            Atom::Class(other) => class.add_all(other),
        }
    }
}
