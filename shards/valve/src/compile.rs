//! Compiles a rule's tree into a flat program.
//!
//! *Owns* the operations. *Promises* that a rule which depends on nothing becomes a constant answer. *Does not* refuse
//! anything: every tree can be compiled.

use deepstream_pattern::Pattern;

use crate::eval::{Context, run};
use crate::parse::{Mentions, Refused, parse};
use crate::tree::{Binary, Logical, Node, Tree, Unary, Variable};

/// One operation of a stack machine. Jumps name the operation to go on with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(u32),
    Pattern(u32),
    Variable(Variable),
    Unknown(u32),
    /// Joins this many values into one text.
    Template(u32),
    Array(u32),
    /// Makes an object of this many pairs of name and value.
    Object(u32),
    /// Replaces an object by its member of a constant name.
    Member(u32),
    /// Replaces object and key by the member.
    Index,
    /// Puts an object's method of a constant name on top of it.
    Method(u32),
    /// Calls with so many arguments; below them lie the method and the object, and further below nothing of the call.
    Call(u32),
    Reference(u32),
    Unary(Unary),
    Binary(Binary),
    /// Converts a value to text: a property's name, a part of a template.
    Key,
    Pop,
    Jump(u32),
    /// Takes the value.
    JumpUnless(u32),
    /// Leaves the value if it jumps.
    JumpIfFalsy(u32),
    JumpIfTruthy(u32),
    JumpIfPresent(u32),
    /// For `?.`: replaces null and undefined by undefined and jumps to the end of the chain.
    LeaveChain(u32),
    /// The same for a missing method; removes its object too.
    LeaveCall(u32),
    /// Does nothing; marks that the expression is complete.
    Mark,
}

/// Which inputs a rule reads, because they may have to be fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `data`
    pub data: bool,
    /// `oldData`
    pub old_data: bool,
    /// `_()`
    pub references: bool,
    /// Anything else that differs between two messages.
    pub context: bool,
}

/// A compiled rule.
#[derive(Debug)]
pub struct Program {
    pub(crate) ops: Box<[Op]>,
    /// The position in the rule of each operation, and whether it completes the expression there.
    pub(crate) spans: Box<[(u32, u32, bool)]>,
    pub(crate) texts: Box<[Box<[u8]>]>,
    pub(crate) patterns: Box<[Pattern]>,
    text: Box<str>,
    uses: Uses,
    mentions: Mentions,
    constant: Option<bool>,
}

impl Program {
    /// Parses and compiles a rule, with warnings about it. `variables` are the path's, in order, with their `$`.
    pub fn new(text: &str, variables: &[String]) -> Result<(Self, Vec<Refused>), Refused> {
        let parsed = parse(text, variables)?;
        let mut program = Self { mentions: parsed.mentions, ..Self::of(&parsed.tree, text, false) };
        if program.uses == Uses::default() {
            // A constant rule that fails is kept as a program, so that every evaluation gives the error.
            program.constant = run(&program, &Context::default(), None).value.ok().map(|value| value.is_truthy());
        }
        Ok((program, parsed.warnings))
    }

    /// A rule with a constant answer.
    pub fn constant(answer: bool) -> Self {
        let node = Node::Bool(answer);
        let mut program = Self::of(&Tree { node, start: 0, end: 0 }, if answer { "true" } else { "false" }, false);
        program.constant = Some(answer);
        program
    }

    /// The same with every intermediate value visible.
    pub(crate) fn explained(text: &str, variables: &[String]) -> Result<Self, Refused> {
        Ok(Self::of(&parse(text, variables)?.tree, text, true))
    }

    pub(crate) fn of(tree: &Tree, text: &str, marks: bool) -> Self {
        let mut compiler = Compiler { marks, ..Compiler::default() };
        compiler.compile(tree);
        Self {
            ops: compiler.ops.into(),
            spans: compiler.spans.into(),
            texts: compiler.texts.into(),
            patterns: compiler.patterns.into(),
            text: text.into(),
            uses: compiler.uses,
            mentions: Mentions::default(),
            constant: None,
        }
    }

    /// The answer of a rule that depends on nothing.
    pub fn answer(&self) -> Option<bool> {
        self.constant
    }

    /// Whether it asks which name is meant, or what the variables of its path stand for.
    pub fn asks_for_name(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Variable(Variable::Name | Variable::Path(_))))
    }

    /// What it reads.
    pub fn uses(&self) -> Uses {
        self.uses
    }

    /// Where it mentions inputs that only some rights have.
    pub(crate) fn mentions(&self) -> Mentions {
        self.mentions
    }

    /// The rule's text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[derive(Default)]
struct Compiler {
    ops: Vec<Op>,
    spans: Vec<(u32, u32, bool)>,
    texts: Vec<Box<[u8]>>,
    patterns: Vec<Pattern>,
    uses: Uses,
    marks: bool,
    /// Operations that leave the chains which are open.
    leaving: Vec<Vec<usize>>,
}

impl Compiler {
    fn emit(&mut self, op: Op, tree: &Tree, complete: bool) -> usize {
        self.ops.push(op);
        self.spans.push((tree.start, tree.end, complete));
        self.ops.len() - 1
    }

    /// Where branches of an expression meet.
    fn meet(&mut self, tree: &Tree) {
        if self.marks {
            self.emit(Op::Mark, tree, true);
        }
    }

    fn land(&mut self, jump: usize) {
        let here = self.ops.len() as u32;
        match &mut self.ops[jump] {
            Op::Jump(to)
            | Op::JumpUnless(to)
            | Op::JumpIfFalsy(to)
            | Op::JumpIfTruthy(to)
            | Op::JumpIfPresent(to)
            | Op::LeaveChain(to)
            | Op::LeaveCall(to) => *to = here,
            _ => {}
        }
    }

    fn text(&mut self, text: &[u8]) -> u32 {
        let known = self.texts.iter().position(|known| **known == *text);
        known.unwrap_or_else(|| {
            self.texts.push(text.into());
            self.texts.len() - 1
        }) as u32
    }

    fn leave(&mut self, op: Op, tree: &Tree) {
        let jump = self.emit(op, tree, false);
        if let Some(chain) = self.leaving.last_mut() {
            chain.push(jump);
        }
    }

    fn all(&mut self, trees: &[Tree]) -> u32 {
        for tree in trees {
            self.compile(tree);
        }
        trees.len() as u32
    }

    fn compile(&mut self, tree: &Tree) {
        match &tree.node {
            Node::Undefined => _ = self.emit(Op::Undefined, tree, false),
            Node::Null => _ = self.emit(Op::Null, tree, false),
            Node::Bool(bool) => _ = self.emit(Op::Bool(*bool), tree, false),
            Node::Number(number) => _ = self.emit(Op::Number(*number), tree, false),
            Node::Text(text) => {
                let text = self.text(text);
                self.emit(Op::Text(text), tree, false);
            }
            Node::Pattern(pattern) => {
                self.patterns.push((**pattern).clone());
                self.emit(Op::Pattern(self.patterns.len() as u32 - 1), tree, false);
            }
            Node::Variable(variable) => self.variable(*variable, tree),
            Node::Unknown(name) => {
                let name = self.text(name.as_bytes());
                self.emit(Op::Unknown(name), tree, true);
            }
            Node::Template(texts, parts) => self.template(texts, parts, tree),
            Node::Array(items) => {
                let count = self.all(items);
                self.emit(Op::Array(count), tree, true);
            }
            Node::Object(members) => {
                for (name, value) in members {
                    self.compile(name);
                    self.emit(Op::Key, name, false);
                    self.compile(value);
                }
                self.emit(Op::Object(members.len() as u32), tree, true);
            }
            Node::Member { object, name, optional } => {
                self.object(object, *optional, tree);
                let name = self.text(name);
                self.emit(Op::Member(name), tree, true);
            }
            Node::Index { object, key, optional } => {
                self.object(object, *optional, tree);
                self.compile(key);
                self.emit(Op::Index, tree, true);
            }
            Node::Call { object, name, arguments, skip_object, skip_method } => {
                self.object(object, *skip_object, tree);
                let name = self.text(name);
                self.emit(Op::Method(name), tree, false);
                if *skip_method {
                    self.leave(Op::LeaveCall(0), tree);
                }
                let count = self.all(arguments);
                self.emit(Op::Call(count), tree, true);
            }
            Node::Reference(arguments) => {
                self.uses.references = true;
                let count = self.all(arguments);
                self.emit(Op::Reference(count), tree, true);
            }
            Node::Chain(inner) => self.chain(inner, tree),
            Node::Unary(operator, argument) => {
                self.compile(argument);
                self.emit(Op::Unary(*operator), tree, true);
            }
            Node::Binary(operator, left, right) => {
                self.compile(left);
                self.compile(right);
                self.emit(Op::Binary(*operator), tree, true);
            }
            Node::Logical(operator, left, right) => self.logical(*operator, left, right, tree),
            Node::Conditional(test, then, otherwise) => self.conditional(test, then, otherwise, tree),
            Node::Sequence(trees) => {
                for (index, part) in trees.iter().enumerate() {
                    if index > 0 {
                        self.emit(Op::Pop, tree, false);
                    }
                    self.compile(part);
                }
            }
        }
    }

    fn variable(&mut self, variable: Variable, tree: &Tree) {
        match variable {
            Variable::Data => self.uses.data = true,
            Variable::OldData => self.uses.old_data = true,
            _ => self.uses.context = true,
        }
        self.emit(Op::Variable(variable), tree, true);
    }

    fn template(&mut self, texts: &[Box<[u8]>], parts: &[Tree], tree: &Tree) {
        for (index, text) in texts.iter().enumerate() {
            let text = self.text(text);
            self.emit(Op::Text(text), tree, false);
            if let Some(part) = parts.get(index) {
                self.compile(part);
                // Each is made text before the next is evaluated.
                self.emit(Op::Key, part, false);
            }
        }
        self.emit(Op::Template((texts.len() + parts.len()) as u32), tree, true);
    }

    /// What something is taken of; `?.` behind it leaves the chain where it is not there.
    fn object(&mut self, object: &Tree, optional: bool, tree: &Tree) {
        self.compile(object);
        if optional {
            self.leave(Op::LeaveChain(0), tree);
        }
    }

    fn chain(&mut self, inner: &Tree, tree: &Tree) {
        self.leaving.push(Vec::new());
        self.compile(inner);
        for jump in self.leaving.pop().unwrap_or_default() {
            self.land(jump);
        }
        self.meet(tree);
    }

    fn logical(&mut self, operator: Logical, left: &Tree, right: &Tree, tree: &Tree) {
        self.compile(left);
        let jump = match operator {
            Logical::And => Op::JumpIfFalsy(0),
            Logical::Or => Op::JumpIfTruthy(0),
            Logical::Else => Op::JumpIfPresent(0),
        };
        let jump = self.emit(jump, tree, false);
        self.emit(Op::Pop, tree, false);
        self.compile(right);
        self.land(jump);
        self.meet(tree);
    }

    fn conditional(&mut self, test: &Tree, then: &Tree, otherwise: &Tree, tree: &Tree) {
        self.compile(test);
        let unless = self.emit(Op::JumpUnless(0), tree, false);
        self.compile(then);
        let done = self.emit(Op::Jump(0), tree, false);
        self.land(unless);
        self.compile(otherwise);
        self.land(done);
        self.meet(tree);
    }
}
