//! Evaluates a rule.
//!
//! *Owns* the stack machine and the inputs of a rule. *Promises* to end within [`STEPS_MAX`](crate::STEPS_MAX) steps,
//! without recursion, and without allocating for a rule that creates no values. *Does not* fetch records: those that a
//! rule refers to and that are not available are named in the answer.

use std::fmt;

use smallvec::SmallVec;

use crate::builtin::Function;
use crate::compile::{Op, Program};
use crate::meter::Meter;
use crate::operator::{binary, key_of, member, method, nothing_to_read, unary};
use crate::text::{Text, append};
use crate::tree::Variable;
use crate::value::{Value, index_of};

/// Records one evaluation may refer to.
pub const REFERENCES_MAX: usize = 64;

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct User<'a> {
    /// The user's id.
    pub id: &'a str,
    /// The user's server data: checked JSON text.
    pub server_data: Option<&'a [u8]>,
}

impl<'a> User<'a> {
    pub(crate) fn is_authenticated(&self) -> bool {
        self.id != "open"
    }

    pub(crate) fn member(&self, name: &[u8]) -> Option<Value<'a>> {
        Some(match name {
            b"id" => Value::Text(Text::from(self.id)),
            b"isAuthenticated" => Value::Bool(self.is_authenticated()),
            b"data" => self.server_data.map_or(Value::Null, Value::from_json),
            _ => return None,
        })
    }
}

/// A document, as far as it is available.
#[derive(Clone, Copy, Debug, Default)]
pub enum Document<'a> {
    /// The message has none, or it is being fetched: `undefined`.
    #[default]
    Absent,
    /// There is no such record: `null`.
    Missing,
    /// Checked JSON text.
    Text(&'a [u8]),
}

impl<'a> Document<'a> {
    fn value(self) -> Value<'a> {
        match self {
            Self::Absent => Value::Undefined,
            Self::Missing => Value::Null,
            Self::Text(text) => Value::from_json(text),
        }
    }
}

/// A record that was fetched because a rule refers to it.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value; `None` if there is no such record.
    pub value: Option<&'a [u8]>,
}

/// Records that need not be fetched.
pub trait AtHand: fmt::Debug {
    /// A record's value, `Some(None)` if it is known that there is none; `None` if that would have to be found out.
    fn value(&self, name: &[u8]) -> Option<Option<&[u8]>>;
}

/// The inputs of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who asks.
    pub user: &'a User<'a>,
    /// `name`; none for presence of everybody.
    pub name: Option<&'a [u8]>,
    /// The values of the path's variables, as start and end in the name's bytes.
    pub captures: &'a [(u32, u32)],
    /// `action`
    pub action: u8,
    /// `now`, in milliseconds since 1970.
    pub now_ms: f64,
    /// `data`
    pub data: Document<'a>,
    /// `oldData`
    pub old_data: Document<'a>,
    /// Records for `_()`.
    pub references: &'a [Reference<'a>],
    /// More records for `_()`, looked up after those.
    pub at_hand: Option<&'a dyn AtHand>,
}

impl Default for Context<'_> {
    fn default() -> Self {
        static NOBODY: User<'static> = User { id: "", server_data: None };
        Self {
            user: &NOBODY,
            name: None,
            captures: &[],
            action: 0,
            now_ms: 0.0,
            data: Document::Absent,
            old_data: Document::Absent,
            references: &[],
            at_hand: None,
        }
    }
}

/// An error of a rule: what JavaScript would throw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    kind: &'static str,
    what: Box<str>,
    /// The bytes of the rule whose evaluation failed.
    pub at: Option<(u32, u32)>,
}

impl Thrown {
    pub(crate) fn new(kind: &'static str, what: impl Into<Box<str>>) -> Self {
        Self { kind, what: what.into(), at: None }
    }

    /// An error that does not come from the expression: a document that is not available.
    pub fn outside(what: impl Into<Box<str>>) -> Self {
        Self::new("", what)
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.kind)?;
        to.write_str(if self.kind.is_empty() { "" } else { ": " })?;
        to.write_str(&self.what)
    }
}

impl std::error::Error for Thrown {}

/// The result of a run.
pub(crate) struct Ran<'a> {
    pub(crate) value: Result<Value<'a>, Thrown>,
    /// Records that were referred to and are not available. If there are any, the value is meaningless.
    pub(crate) needs: Vec<Box<[u8]>>,
}

/// The answer of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// It needs these records first.
    Need(Vec<Box<[u8]>>),
    /// It failed, which denies.
    Error(Thrown),
}

/// A verdict, and whether the rule gave something else than true or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it says.
    pub verdict: Verdict,
    /// Its value was neither true nor false.
    pub odd: bool,
}

/// Evaluates a rule. A truthy value allows, any other denies.
pub fn judge(program: &Program, context: &Context<'_>) -> Judged {
    if let Some(answer) = program.answer() {
        return Judged { verdict: if answer { Verdict::Allow } else { Verdict::Deny }, odd: false };
    }
    let ran = run(program, context, None);
    if !ran.needs.is_empty() {
        return Judged { verdict: Verdict::Need(ran.needs), odd: false };
    }
    match ran.value {
        Ok(value) => {
            let verdict = if value.is_truthy() { Verdict::Allow } else { Verdict::Deny };
            Judged { verdict, odd: !matches!(value, Value::Bool(_)) }
        }
        Err(thrown) => Judged { verdict: Verdict::Error(thrown), odd: false },
    }
}

/// Is called with the value of every completed expression and its position in the rule.
pub(crate) type Watch<'w> = &'w mut dyn FnMut((u32, u32), &Value<'_>);

/// Runs a program.
pub(crate) fn run<'a>(program: &'a Program, context: &Context<'a>, watch: Option<Watch<'_>>) -> Ran<'a> {
    let mut machine =
        Machine { program, context: *context, stack: SmallVec::new(), meter: Meter::new(), needs: Vec::new(), at: 0 };
    let value = machine.run(watch).map_err(|mut thrown| {
        thrown.at = program.spans.get(machine.at).map(|span| (span.0, span.1));
        thrown
    });
    Ran { value, needs: machine.needs }
}

struct Machine<'a> {
    program: &'a Program,
    context: Context<'a>,
    stack: SmallVec<[Value<'a>; 12]>,
    meter: Meter,
    needs: Vec<Box<[u8]>>,
    /// The operation that runs.
    at: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self, mut watch: Option<Watch<'_>>) -> Result<Value<'a>, Thrown> {
        let program = self.program;
        let mut next = 0;
        while let Some(op) = program.ops.get(next) {
            self.at = next;
            next += 1;
            self.meter.step()?;
            match *op {
                Op::Pop => _ = self.pop(),
                Op::Jump(to) => next = to as usize,
                Op::JumpUnless(to) => {
                    if !self.pop().is_truthy() {
                        next = to as usize;
                    }
                }
                Op::JumpIfFalsy(to) if !self.top().is_truthy() => next = to as usize,
                Op::JumpIfTruthy(to) if self.top().is_truthy() => next = to as usize,
                Op::JumpIfPresent(to) if !self.top().is_nullish() => next = to as usize,
                Op::LeaveChain(to) if self.top().is_nullish() => {
                    self.pop();
                    self.stack.push(Value::Undefined);
                    next = to as usize;
                }
                Op::LeaveCall(to) if self.top().is_nullish() => {
                    self.pop();
                    self.pop();
                    self.stack.push(Value::Undefined);
                    next = to as usize;
                }
                op => self.operate(op)?,
            }
            if let Some(watch) = &mut watch
                && let (start, end, true) = program.spans[self.at]
            {
                watch((start, end), self.top());
            }
        }
        Ok(self.pop())
    }

    /// The compiler makes sure that the stack is not empty.
    fn pop(&mut self) -> Value<'a> {
        self.stack.pop().unwrap_or(Value::Undefined)
    }

    fn top(&self) -> &Value<'a> {
        self.stack.last().unwrap_or(&Value::Undefined)
    }

    fn text(&self, index: u32) -> Text<'a> {
        Text::Borrowed(&self.program.texts[index as usize])
    }

    fn take(&mut self, count: u32) -> SmallVec<[Value<'a>; 4]> {
        let start = self.stack.len().saturating_sub(count as usize);
        self.stack.drain(start..).collect()
    }

    fn operate(&mut self, op: Op) -> Result<(), Thrown> {
        let value = match op {
            Op::Undefined => Value::Undefined,
            Op::Null => Value::Null,
            Op::Bool(bool) => Value::Bool(bool),
            Op::Number(number) => Value::Number(number),
            Op::Text(text) => Value::Text(self.text(text)),
            Op::Pattern(pattern) => Value::Pattern(&self.program.patterns[pattern as usize]),
            Op::Variable(variable) => self.variable(variable),
            Op::Unknown(name) => {
                let what = format!("{} is not defined", self.text(name).lossy());
                return Err(Thrown::new("ReferenceError", what));
            }
            Op::Template(count) => {
                let mut bytes = Vec::new();
                for value in self.take(count) {
                    let text = value.text(&mut self.meter)?;
                    self.meter.make(text.bytes().len())?;
                    append(text.bytes(), &mut bytes);
                }
                Value::Text(Text::Made(bytes.into()))
            }
            Op::Array(count) => {
                self.meter.make(count as usize * size_of::<Value<'_>>())?;
                Value::made_list(self.take(count).into_vec())
            }
            Op::Object(count) => {
                self.meter.make(count as usize * 2 * size_of::<Value<'_>>())?;
                let mut members: Vec<(Text<'a>, Value<'a>)> = Vec::with_capacity(count as usize);
                let mut parts = self.take(count * 2).into_iter();
                while let (Some(Value::Text(name)), Some(value)) = (parts.next(), parts.next()) {
                    match members.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = value,
                        None => members.push((name, value)),
                    }
                }
                // As JavaScript orders them: numbers first.
                members.sort_by_key(|(name, _)| index_of(name.bytes()).unwrap_or(usize::MAX));
                Value::Object(members.into())
            }
            Op::Key => {
                let key = self.pop();
                Value::Text(key_of(key, &mut self.meter)?)
            }
            Op::Member(name) => {
                let object = self.pop();
                member(&object, &self.text(name), &mut self.meter)?
            }
            Op::Index => {
                let (key, object) = (self.pop(), self.pop());
                match (&object, &key) {
                    (Value::Undefined | Value::Null, _) => {
                        key.text(&mut self.meter)?;
                        return Err(nothing_to_read(&object, format_args!("a key that it makes")));
                    }
                    (_, Value::Number(index)) => match object.element(*index, &mut self.meter)? {
                        Some(value) => value,
                        None => member(&object, &key.text(&mut self.meter)?, &mut self.meter)?,
                    },
                    _ => member(&object, &key_of(key, &mut self.meter)?, &mut self.meter)?,
                }
            }
            Op::Method(name) => {
                let object = self.top().clone();
                method(&object, &self.text(name), &mut self.meter)?
            }
            Op::Call(count) => {
                let arguments = self.take(count);
                let (function, object) = (self.pop(), self.pop());
                let Value::Function(function) = function else {
                    return Err(Thrown::new("TypeError", "what is called is not a function"));
                };
                self.call(function, &object, &arguments)?
            }
            Op::Reference(count) => {
                let argument = self.take(count).into_iter().next().unwrap_or(Value::Undefined);
                self.reference(argument)?
            }
            Op::Unary(operator) => {
                let argument = self.pop();
                unary(operator, argument, &mut self.meter)?
            }
            Op::Binary(operator) => {
                let (right, left) = (self.pop(), self.pop());
                binary(operator, left, right, &mut self.meter)?
            }
            // Jumps that were not taken.
            _ => return Ok(()),
        };
        self.stack.push(value);
        Ok(())
    }

    fn call(&mut self, function: Function, this: &Value<'a>, arguments: &[Value<'a>]) -> Result<Value<'a>, Thrown> {
        function.call(this, arguments, &mut self.meter)
    }

    fn variable(&self, variable: Variable) -> Value<'a> {
        let context = &self.context;
        match variable {
            Variable::User => Value::User(context.user),
            Variable::Data => context.data.value(),
            Variable::OldData => context.old_data.value(),
            Variable::Now => Value::Number(context.now_ms),
            Variable::Action => Value::Number(f64::from(context.action)),
            Variable::Name => context.name.map_or(Value::Undefined, |name| Value::Text(Text::Borrowed(name))),
            Variable::Path(index) => {
                let span = context.captures.get(index as usize).filter(|span| span.0 <= span.1);
                let text = span.and_then(|span| context.name?.get(span.0 as usize..span.1 as usize));
                text.map_or(Value::Undefined, |text| Value::Text(Text::Borrowed(text)))
            }
        }
    }

    fn reference(&mut self, argument: Value<'a>) -> Result<Value<'a>, Thrown> {
        let name = match argument {
            Value::Undefined => return Ok(Value::Undefined),
            Value::Text(name) => name,
            other => {
                let what = format!("crossreference got unsupported type {}", other.type_of());
                return Err(Thrown::new("Error", what));
            }
        };
        let bytes = name.bytes();
        self.meter.look(bytes.len() + self.context.references.len() * 16)?;
        if let Some(found) = self.context.references.iter().find(|reference| reference.name == bytes) {
            return Ok(found.value.map_or(Value::Null, Value::from_json));
        }
        if let Some(value) = self.context.at_hand.and_then(|records| records.value(bytes)) {
            return Ok(value.map_or(Value::Null, Value::from_json));
        }
        let known = self.needs.iter().any(|need| **need == *bytes);
        // A name that was computed from a record which is still missing is not a real one.
        let unfinished = !self.needs.is_empty() && memchr::memmem::find(bytes, b"undefined").is_some();
        if !known && !unfinished {
            if self.context.references.len() + self.needs.len() >= REFERENCES_MAX {
                return Err(Thrown::new("Error", format!("more than {REFERENCES_MAX} cross references")));
            }
            self.needs.push(bytes.into());
        }
        Ok(Value::Undefined)
    }
}
