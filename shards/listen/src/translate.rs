//! A parsed pattern in the words of the engines that match it.
//!
//! Everything is spelled out in numbers of characters, so that no engine's own idea of `.`, `\s`, `\w` or of an escape
//! comes into it.

use crate::node::{Class, Node, Tree};
use std::fmt::Write;

/// For `regex-automata`.
pub(crate) fn regular(tree: &Tree) -> String {
    Writer { dialect: Dialect::Regular, captured: Vec::new(), text: String::new() }.whole(&tree.root)
}

/// For `fancy-regex`.
pub(crate) fn backtracking(tree: &Tree) -> String {
    let mut captured = Vec::new();
    referred(&tree.root, &mut captured);
    let mut opened = Vec::new();
    in_order(&tree.root, &captured, &mut opened);
    Writer { dialect: Dialect::Backtracking, captured: opened, text: String::new() }.whole(&tree.root)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Regular,
    Backtracking,
}

/// Groups that something refers to.
fn referred(node: &Node, into: &mut Vec<u32>) {
    match node {
        Node::Back(number) | Node::BackIfSet(number) => into.push(*number),
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().for_each(|node| referred(node, into)),
        Node::Group(_, node) | Node::Look { node, .. } | Node::Repeat { node, .. } => referred(node, into),
        _ => {}
    }
}

/// Those groups as they open: only they capture, and are numbered anew.
fn in_order(node: &Node, captured: &[u32], into: &mut Vec<u32>) {
    match node {
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().for_each(|node| in_order(node, captured, into)),
        Node::Group(number, node) => {
            into.extend(number.filter(|number| captured.contains(number)));
            in_order(node, captured, into);
        }
        Node::Look { node, .. } | Node::Repeat { node, .. } => in_order(node, captured, into),
        _ => {}
    }
}

struct Writer {
    dialect: Dialect,
    captured: Vec<u32>,
    text: String,
}

const WORD: &str = "[0-9A-Z_a-z]";
const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

impl Writer {
    fn whole(mut self, root: &Node) -> String {
        self.node(root);
        self.text
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Empty => self.text.push_str("(?:)"),
            Node::Unit(unit) => self.character(crate::units::character(*unit)),
            Node::Class(class) => self.class(class),
            Node::Start => self.text.push_str(r"\A"),
            Node::End => self.text.push_str(r"\z"),
            Node::Boundary(at) => self.boundary(*at),
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.node(node)),
            Node::Alternate(nodes) => {
                self.text.push_str("(?:");
                for (number, node) in nodes.iter().enumerate() {
                    if number > 0 {
                        self.text.push('|');
                    }
                    self.node(node);
                }
                self.text.push(')');
            }
            Node::Group(number, node) => {
                let captures = number.is_some_and(|number| self.captured.contains(&number));
                self.enclosed(if captures { "(" } else { "(?:" }, node);
            }
            Node::Look { ahead, positive, node } => self.enclosed(
                match (ahead, positive) {
                    (true, true) => "(?=",
                    (true, false) => "(?!",
                    (false, true) => "(?<=",
                    (false, false) => "(?<!",
                },
                node,
            ),
            Node::Repeat { node, min, max, lazy } => self.repeat(node, *min, *max, *lazy),
            Node::Back(number) => {
                let number = self.new_number(*number);
                self.push(format_args!(r"(?:\{number})"));
            }
            Node::BackIfSet(number) => {
                let number = self.new_number(*number);
                self.push(format_args!(r"(?({number})\{number}|)"));
            }
        }
    }

    fn push(&mut self, what: std::fmt::Arguments<'_>) {
        self.text.write_fmt(what).expect("text takes whatever is written");
    }

    fn new_number(&self, number: u32) -> usize {
        self.captured.iter().position(|&captured| captured == number).map_or(0, |place| place + 1)
    }

    fn enclosed(&mut self, open: &str, node: &Node) {
        self.text.push_str(open);
        self.node(node);
        self.text.push(')');
    }

    fn character(&mut self, character: char) {
        if character.is_ascii_alphanumeric() || character == '/' {
            self.text.push(character);
        } else {
            self.push(format_args!(r"\x{{{:X}}}", u32::from(character)));
        }
    }

    fn class(&mut self, class: &Class) {
        let ranges = class.characters();
        if ranges.is_empty() {
            // One that matches nothing.
            self.text.push_str(if self.dialect == Dialect::Regular { NOTHING } else { "(?!)" });
            return;
        }
        self.text.push('[');
        for (first, last) in ranges {
            self.push(format_args!(r"\x{{{:X}}}", u32::from(first)));
            if first < last {
                self.push(format_args!(r"-\x{{{:X}}}", u32::from(last)));
            }
        }
        self.text.push(']');
    }

    fn boundary(&mut self, at: bool) {
        if self.dialect == Dialect::Regular {
            return self.text.push_str(if at { r"(?-u:\b)" } else { r"(?-u:\B)" });
        }
        let (one, other) = if at { ("!", "=") } else { ("=", "!") };
        self.push(format_args!("(?:(?<={WORD})(?{one}{WORD})|(?<!{WORD})(?{other}{WORD}))"));
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, lazy: bool) {
        // A look is as good once as many times.
        if let Node::Look { .. } = node {
            return if min == 0 { self.node(&Node::Empty) } else { self.node(node) };
        }
        self.enclosed("(?:", node);
        match (min, max) {
            (0, None) => self.text.push('*'),
            (1, None) => self.text.push('+'),
            (0, Some(1)) => self.text.push('?'),
            (min, None) => self.push(format_args!("{{{min},}}")),
            (min, Some(max)) => self.push(format_args!("{{{min},{max}}}")),
        }
        if lazy {
            self.text.push('?');
        }
    }
}
