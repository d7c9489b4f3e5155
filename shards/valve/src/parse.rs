//! Parses a rule.
//!
//! *Owns* what is accepted: the expressions of ECMAScript without those that change, make functions or reach outside.
//! *Promises* that a refusal says what is refused and where, in upstream's words where upstream refuses it too; and
//! that names are checked in the parsed tree, so that a word in a string, a comment or a property's name is not
//! mistaken, and none is missed because it is written with escapes. *Does not* parse itself: `oxc` does, which reads
//! the rule as the body of a function, `return <rule>;`, as upstream does.

use deepstream_pattern::Pattern;
use oxc::allocator::Allocator;
use oxc::ast::ast::{
    Argument, ArrayExpression, ArrayExpressionElement, CallExpression, ChainElement, Expression, LogicalExpression,
    ObjectExpression, ObjectPropertyKind, PropertyKey, PropertyKind, RegExpLiteral, Statement, StaticMemberExpression,
    TemplateLiteral,
};
use oxc::parser::{ParseOptions, Parser};
use oxc::span::{GetSpan, SourceType, Span};
use oxc::syntax::operator::{BinaryOperator, LogicalOperator, UnaryOperator};

use crate::builtin::CALLABLE;
use crate::tree::{Binary, Logical, Node, Tree, Unary, Variable};

/// Bytes of a rule.
pub const RULE_BYTES_MAX: usize = 16 << 10;
/// How deeply expressions nest.
const DEPTH_MAX: usize = 100;
/// Operators that may stand before what they work on, or nest to the right.
const PREFIXES_MAX: usize = 250;
const PREFIX: &str = "return ";

/// Why a text is no rule, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For people.
    pub what: String,
    /// The byte of the rule.
    pub at: usize,
}

/// Where a rule first mentions inputs that not every right has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mentions {
    pub(crate) data: Option<u32>,
    pub(crate) old_data: Option<u32>,
}

/// A rule that was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) tree: Tree,
    pub(crate) mentions: Mentions,
    /// Warnings, with their positions in bytes.
    pub(crate) warnings: Vec<Refused>,
}

/// Reads a rule. `variables` are the path's, in order, with their `$`.
pub(crate) fn parse(text: &str, variables: &[String]) -> Result<Parsed, Refused> {
    if text.len() > RULE_BYTES_MAX {
        return Err(Refused { what: format!("rule is longer than {RULE_BYTES_MAX} bytes"), at: 0 });
    }
    nested(text)?;
    let arena = Allocator::default();
    let source = format!("{PREFIX}{text}\n;");
    let options = ParseOptions { allow_return_outside_function: true, ..ParseOptions::default() };
    let parsed = Parser::new(&arena, &source, SourceType::script()).with_options(options).parse();
    if let Some(error) = parsed.diagnostics.first() {
        let at = error.labels.first().map_or(PREFIX.len(), |label| label.offset() as usize);
        let at = within(at, text);
        let what = match statement(&text[at..]) {
            Some(word) => format!("function {word} is not supported"),
            None => format!("SyntaxError: {}", error.message),
        };
        return Err(Refused { what, at });
    }
    let mut reader = Reader { variables, warnings: Vec::new(), mentions: Mentions::default(), depth: 0 };
    let mut tree = None;
    for statement in &parsed.program.body {
        match (statement, &tree) {
            (Statement::ReturnStatement(returned), None) => {
                let returned = returned.argument.as_ref().map(|expression| reader.read(expression)).transpose()?;
                tree = Some(returned.unwrap_or_else(|| {
                    reader.warn("the rule begins with a line break, so that nothing of it counts", 0);
                    Tree { node: Node::Undefined, start: 0, end: 0 }
                }));
            }
            (Statement::EmptyStatement(_), _) => {}
            (Statement::ExpressionStatement(expression), Some(_)) => {
                // Never run, but it has to be a rule all the same.
                let read = reader.read(&expression.expression)?;
                reader.warn("what stands behind the first expression does not count", read.start as usize);
            }
            (other, _) => return Err(reader.refuse("statements are not supported", other.span())),
        }
    }
    let tree = tree.ok_or_else(|| Refused { what: "rule can't be empty".to_owned(), at: 0 })?;
    Ok(Parsed { tree, mentions: reader.mentions, warnings: reader.warnings })
}

/// A word that begins a statement, and a bracket behind it: upstream takes that for a call.
fn statement(text: &str) -> Option<&'static str> {
    let words = ["if", "for", "while", "switch", "with", "catch"];
    words.into_iter().find(|word| text.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with('(')))
}

/// Prefix words, which may follow each other: the parser recurses for each, also for those that no rule may have.
const WORDS: [&str; 17] = [
    "async", "await", "class", "delete", "do", "else", "extends", "for", "if", "import", "new", "throw", "typeof",
    "void", "while", "with", "yield",
];

/// The parser recurses: brackets and prefixes must not nest without bound. What is in strings does not nest.
fn nested(text: &str) -> Result<(), Refused> {
    let (mut depth, mut prefixes, mut labels) = (0_usize, 0_usize, 0_usize);
    // Where a string may be a part of a regular expression, a template or a comment, everything counts.
    let mut certain = true;
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'!' | b'~' | b'+' | b'-' => prefixes += 1,
            b'?' => (prefixes, labels) = (prefixes + 1, 0),
            b',' => labels = 0,
            // Of conditions and of members of objects there is something else between two.
            b':' => labels += 1,
            b'*' if text.as_bytes().get(at + 1) == Some(&b'*') => prefixes += 1,
            b'=' if assigns(text.as_bytes(), at) => prefixes += 1,
            b'a'..=b'z' => {
                let word = word(text.as_bytes(), at);
                prefixes += usize::from(WORDS.iter().any(|known| known.as_bytes() == word));
                at += word.len().saturating_sub(1);
            }
            b'/' | b'`' | b'<' => certain = false,
            b'\'' | b'"' if certain => match string(&text.as_bytes()[at..]) {
                Some(len) => at += len,
                None => certain = false,
            },
            _ => {}
        }
        if depth > DEPTH_MAX || prefixes.max(labels) > PREFIXES_MAX {
            return Err(Refused { what: "rule is nested too deeply".to_owned(), at });
        }
        at += 1;
    }
    Ok(())
}

/// Whether that is no part of a comparison: an assignment, or the arrow of a function.
fn assigns(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    text.get(at + 1) != Some(&b'=') && before.is_none_or(|before| !b"=!<>".contains(before))
}

/// The word that begins there; nothing if that is not its beginning, or if it is the name of a member.
fn word(text: &[u8], at: usize) -> &[u8] {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_$".contains(byte) || !byte.is_ascii();
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    if before.is_some_and(|before| is_part(before) || *before == b'.') {
        return &[];
    }
    let len = text[at..].iter().take_while(|byte| is_part(byte)).count();
    &text[at..at + len]
}

/// How far the closing quote is from the opening one, if the string ends in its line.
fn string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match *text.get(at)? {
            b'\n' | b'\r' => return None,
            b'\\' if matches!(text.get(at + 1)?, b'\n' | b'\r') => return None,
            b'\\' => at += 2,
            byte if byte == text[0] => return Some(at),
            _ => at += 1,
        }
    }
}

fn within(at: usize, text: &str) -> usize {
    let mut at = at.saturating_sub(PREFIX.len()).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

struct Reader<'v> {
    variables: &'v [String],
    warnings: Vec<Refused>,
    mentions: Mentions,
    depth: usize,
}

type Read = Result<Tree, Refused>;

impl Reader<'_> {
    #[allow(clippy::unused_self, reason = "reads as the others do")]
    fn refuse(&self, what: impl Into<String>, span: Span) -> Refused {
        Refused { what: what.into(), at: (span.start as usize).saturating_sub(PREFIX.len()) }
    }

    fn warn(&mut self, what: impl Into<String>, at: usize) {
        self.warnings.push(Refused { what: what.into(), at });
    }

    fn boxed(&mut self, expression: &Expression<'_>) -> Result<Box<Tree>, Refused> {
        self.read(expression).map(Box::new)
    }

    fn read(&mut self, expression: &Expression<'_>) -> Read {
        self.depth += 1;
        if self.depth > DEPTH_MAX * 3 {
            return Err(self.refuse("rule is nested too deeply", expression.span()));
        }
        let expression = bare(expression);
        let node = self.node(expression)?;
        self.depth -= 1;
        Ok(placed(node, expression.span()))
    }

    fn node(&mut self, expression: &Expression<'_>) -> Result<Node, Refused> {
        let refuse = |what: &str| Err(self.refuse(what, expression.span()));
        Ok(match expression {
            Expression::BooleanLiteral(literal) => Node::Bool(literal.value),
            Expression::NullLiteral(_) => Node::Null,
            Expression::NumericLiteral(literal) => Node::Number(literal.value),
            Expression::StringLiteral(literal) => Node::Text(units(literal.value.as_str(), literal.lone_surrogates)),
            Expression::RegExpLiteral(literal) => self.pattern(literal)?,
            Expression::TemplateLiteral(template) => self.template(template)?,
            Expression::Identifier(identifier) => self.identifier(identifier.name.as_str(), identifier.span)?,
            Expression::ArrayExpression(array) => self.array(array)?,
            Expression::ObjectExpression(object) => self.object(object)?,
            Expression::StaticMemberExpression(member) => self.member(member)?,
            Expression::ComputedMemberExpression(member) => Node::Index {
                object: self.boxed(&member.object)?,
                key: self.boxed(&member.expression)?,
                optional: member.optional,
            },
            Expression::CallExpression(call) => self.call(call)?,
            Expression::ChainExpression(chain) => self.chain(&chain.expression)?,
            Expression::UnaryExpression(unary) => self.unary(unary.operator, &unary.argument, unary.span)?,
            Expression::BinaryExpression(binary) => {
                let (left, right) = (self.boxed(&binary.left)?, self.boxed(&binary.right)?);
                Node::Binary(binary_of(binary.operator), left, right)
            }
            Expression::LogicalExpression(logical) => self.logical(logical)?,
            Expression::ConditionalExpression(conditional) => Node::Conditional(
                self.boxed(&conditional.test)?,
                self.boxed(&conditional.consequent)?,
                self.boxed(&conditional.alternate)?,
            ),
            Expression::SequenceExpression(sequence) => {
                let read = sequence.expressions.iter().map(|expression| self.read(expression));
                Node::Sequence(read.collect::<Result<_, _>>()?)
            }
            Expression::AssignmentExpression(_) => return refuse("assignments are not supported; did you mean ===?"),
            Expression::UpdateExpression(_) => return refuse("++ and -- are not supported"),
            Expression::NewExpression(_) => return refuse("rule can't contain the new keyword"),
            Expression::FunctionExpression(_)
            | Expression::ArrowFunctionExpression(_)
            | Expression::ClassExpression(_) => {
                return refuse("rule can't contain user functions");
            }
            Expression::TaggedTemplateExpression(_) => return refuse("tagged templates are not supported"),
            Expression::BigIntLiteral(_) => return refuse("BigInt is not supported"),
            Expression::ThisExpression(_) => return refuse("this is not supported"),
            _ => return refuse("this expression is not supported"),
        })
    }

    fn pattern(&self, literal: &RegExpLiteral<'_>) -> Result<Node, Refused> {
        let pattern = Pattern::new(literal.regex.pattern.text.as_str(), &literal.regex.flags.to_string());
        let pattern = pattern.map_err(|error| {
            let at = literal.span.start + 1 + error.at().unwrap_or(0) as u32;
            let what = format!("SyntaxError: Invalid regular expression: {error}");
            self.refuse(what, Span::new(at, at))
        })?;
        Ok(Node::Pattern(Box::new(pattern)))
    }

    fn array(&mut self, array: &ArrayExpression<'_>) -> Result<Node, Refused> {
        let mut items = Vec::new();
        for element in &array.elements {
            items.push(match element {
                ArrayExpressionElement::SpreadElement(spread) => {
                    return Err(self.refuse("spreading is not supported", spread.span));
                }
                ArrayExpressionElement::Elision(hole) => {
                    return Err(self.refuse("holes in arrays are not supported", hole.span));
                }
                element => self.read(element.to_expression())?,
            });
        }
        Ok(Node::Array(items))
    }

    /// What stands between the first `?.` and where undefined leaves.
    fn chain(&mut self, inner: &ChainElement<'_>) -> Result<Node, Refused> {
        Ok(Node::Chain(Box::new(match inner {
            ChainElement::CallExpression(call) => placed(self.call(call)?, call.span),
            ChainElement::ComputedMemberExpression(member) => {
                let (object, key) = (self.boxed(&member.object)?, self.boxed(&member.expression)?);
                placed(Node::Index { object, key, optional: member.optional }, member.span)
            }
            ChainElement::StaticMemberExpression(member) => placed(self.member(member)?, member.span),
            other => return Err(self.refuse("this is not supported", other.span())),
        })))
    }

    fn logical(&mut self, logical: &LogicalExpression<'_>) -> Result<Node, Refused> {
        let mixes = |side: &Expression<'_>| match side {
            Expression::LogicalExpression(inner) => {
                (inner.operator == LogicalOperator::Coalesce) != (logical.operator == LogicalOperator::Coalesce)
            }
            _ => false,
        };
        // The parser leaves that to a later pass.
        if mixes(&logical.left) || mixes(&logical.right) {
            return Err(self.refuse("SyntaxError: ?? beside && or || needs brackets", logical.span));
        }
        let operator = match logical.operator {
            LogicalOperator::And => Logical::And,
            LogicalOperator::Or => Logical::Or,
            LogicalOperator::Coalesce => Logical::Else,
        };
        Ok(Node::Logical(operator, self.boxed(&logical.left)?, self.boxed(&logical.right)?))
    }

    fn member(&mut self, member: &StaticMemberExpression<'_>) -> Result<Node, Refused> {
        let name = member.property.name.as_str();
        if name == "__proto__" {
            return Err(self.refuse("__proto__ is not supported", member.property.span));
        }
        let object = self.boxed(&member.object)?;
        Ok(Node::Member { object, name: name.as_bytes().into(), optional: member.optional })
    }

    fn identifier(&mut self, name: &str, span: Span) -> Result<Node, Refused> {
        let at = span.start.saturating_sub(PREFIX.len() as u32);
        match name {
            "data" => _ = self.mentions.data.get_or_insert(at),
            "oldData" => _ = self.mentions.old_data.get_or_insert(at),
            _ => {}
        }
        Ok(match name {
            "undefined" => Node::Undefined,
            "NaN" => Node::Number(f64::NAN),
            "Infinity" => Node::Number(f64::INFINITY),
            "user" => Node::Variable(Variable::User),
            "data" => Node::Variable(Variable::Data),
            "oldData" => Node::Variable(Variable::OldData),
            "now" => Node::Variable(Variable::Now),
            "action" => Node::Variable(Variable::Action),
            "name" => Node::Variable(Variable::Name),
            "_" => return Err(self.refuse("_ can only be called, as _(\"record name\")", span)),
            // A name that stands twice in the path is what stands there last.
            _ => {
                if let Some(index) = self.variables.iter().rposition(|variable| variable == name) {
                    Node::Variable(Variable::Path(index as u32))
                } else {
                    self.warn(format!("{name} is not defined: to reach it is an error, which denies"), at as usize);
                    Node::Unknown(name.into())
                }
            }
        })
    }

    fn unary(&mut self, operator: UnaryOperator, argument: &Expression<'_>, span: Span) -> Result<Node, Refused> {
        let operator = match operator {
            UnaryOperator::LogicalNot => Unary::Not,
            UnaryOperator::UnaryNegation => Unary::Minus,
            UnaryOperator::UnaryPlus => Unary::Plus,
            UnaryOperator::BitwiseNot => Unary::Complement,
            UnaryOperator::Void => Unary::Void,
            UnaryOperator::Delete => return Err(self.refuse("delete is not supported", span)),
            UnaryOperator::Typeof => {
                if let Expression::Identifier(identifier) = bare(argument) {
                    if identifier.name.as_str() == "_" {
                        return Ok(Node::Text((*b"function").into()));
                    }
                    let node = self.identifier(identifier.name.as_str(), identifier.span)?;
                    if let Node::Unknown(_) = node {
                        self.warnings.pop();
                        return Ok(Node::Text((*b"undefined").into()));
                    }
                    return Ok(Node::Unary(Unary::TypeOf, Box::new(placed(node, identifier.span))));
                }
                Unary::TypeOf
            }
        };
        Ok(Node::Unary(operator, self.boxed(argument)?))
    }

    fn template(&mut self, template: &TemplateLiteral<'_>) -> Result<Node, Refused> {
        let mut texts = Vec::new();
        for quasi in &template.quasis {
            let cooked = quasi.value.cooked.as_ref();
            let cooked = cooked.ok_or_else(|| self.refuse("SyntaxError: Invalid escape sequence", quasi.span))?;
            texts.push(units(cooked.as_str(), quasi.lone_surrogates));
        }
        let parts = template.expressions.iter().map(|expression| self.read(expression)).collect::<Result<_, _>>()?;
        Ok(Node::Template(texts, parts))
    }

    fn object(&mut self, object: &ObjectExpression<'_>) -> Result<Node, Refused> {
        let mut members = Vec::new();
        for property in &object.properties {
            let ObjectPropertyKind::ObjectProperty(property) = property else {
                return Err(self.refuse("spreading is not supported", property.span()));
            };
            if property.method || property.kind != PropertyKind::Init {
                return Err(self.refuse("rule can't contain user functions", property.span));
            }
            let name = match &property.key {
                PropertyKey::StaticIdentifier(identifier) => {
                    placed(Node::Text(identifier.name.as_str().as_bytes().into()), identifier.span)
                }
                PropertyKey::PrivateIdentifier(private) => {
                    return Err(self.refuse("private names are not supported", private.span));
                }
                key => self.read(key.to_expression())?,
            };
            if matches!(&name.node, Node::Text(text) if **text == *b"__proto__") {
                return Err(self.refuse("__proto__ is not supported", property.span));
            }
            members.push((name, self.read(&property.value)?));
        }
        Ok(Node::Object(members))
    }

    fn call(&mut self, call: &CallExpression<'_>) -> Result<Node, Refused> {
        let arguments = |reader: &mut Self| -> Result<Vec<Tree>, Refused> {
            call.arguments
                .iter()
                .map(|argument| match argument {
                    Argument::SpreadElement(spread) => Err(reader.refuse("spreading is not supported", spread.span)),
                    argument => reader.read(argument.to_expression()),
                })
                .collect()
        };
        match bare(&call.callee) {
            Expression::Identifier(identifier) if identifier.name.as_str() == "_" => {
                Ok(Node::Reference(arguments(self)?))
            }
            Expression::Identifier(identifier) => {
                let name = identifier.name.as_str();
                Err(self.refuse(format!("function {name} is not supported"), identifier.span))
            }
            Expression::StaticMemberExpression(member) => {
                let name = member.property.name.as_str();
                if name == "_" || !CALLABLE.contains(&name) {
                    return Err(self.refuse(format!("function {name} is not supported"), member.property.span));
                }
                Ok(Node::Call {
                    object: self.boxed(&member.object)?,
                    name: name.as_bytes().into(),
                    arguments: arguments(self)?,
                    skip_object: member.optional,
                    skip_method: call.optional,
                })
            }
            Expression::FunctionExpression(_)
            | Expression::ArrowFunctionExpression(_)
            | Expression::ClassExpression(_) => Err(self.refuse("rule can't contain user functions", call.span)),
            Expression::ComputedMemberExpression(member) => match bare(&member.expression) {
                Expression::StringLiteral(name) if !CALLABLE.contains(&name.value.as_str()) => {
                    Err(self.refuse(format!("function {} is not supported", name.value), name.span))
                }
                _ => Err(self.refuse("only methods can be called, by their names", member.span)),
            },
            other => Err(self.refuse("only methods can be called, by their names", other.span())),
        }
    }
}

/// Without the brackets around it.
fn bare<'e, 'a>(mut expression: &'e Expression<'a>) -> &'e Expression<'a> {
    while let Expression::ParenthesizedExpression(inside) = expression {
        expression = &inside.expression;
    }
    expression
}

fn placed(node: Node, span: Span) -> Tree {
    let before = PREFIX.len() as u32;
    Tree { node, start: span.start.saturating_sub(before), end: span.end.saturating_sub(before) }
}

/// A constant text; the parser writes halves of surrogate pairs as U+FFFD and four digits.
fn units(text: &str, lone_surrogates: bool) -> Box<[u8]> {
    if !lone_surrogates {
        return text.as_bytes().into();
    }
    let mut bytes = Vec::new();
    let mut pieces = text.split('\u{fffd}');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(4).unwrap_or((piece, ""));
        let unit = u16::from_str_radix(digits, 16).unwrap_or(0xfffd);
        crate::text::append(crate::text::Text::from_units(&[unit]).bytes(), &mut bytes);
        crate::text::append(rest.as_bytes(), &mut bytes);
    }
    bytes.into()
}

fn binary_of(operator: BinaryOperator) -> Binary {
    match operator {
        BinaryOperator::Addition => Binary::Add,
        BinaryOperator::Subtraction => Binary::Subtract,
        BinaryOperator::Multiplication => Binary::Multiply,
        BinaryOperator::Division => Binary::Divide,
        BinaryOperator::Remainder => Binary::Remainder,
        BinaryOperator::Exponential => Binary::Power,
        BinaryOperator::ShiftLeft => Binary::ShiftLeft,
        BinaryOperator::ShiftRight => Binary::ShiftRight,
        BinaryOperator::ShiftRightZeroFill => Binary::ShiftRightUnsigned,
        BinaryOperator::BitwiseAnd => Binary::And,
        BinaryOperator::BitwiseOR => Binary::Or,
        BinaryOperator::BitwiseXOR => Binary::Xor,
        BinaryOperator::LessThan => Binary::Less,
        BinaryOperator::LessEqualThan => Binary::LessOrEqual,
        BinaryOperator::GreaterThan => Binary::Greater,
        BinaryOperator::GreaterEqualThan => Binary::GreaterOrEqual,
        BinaryOperator::Equality => Binary::Equal,
        BinaryOperator::Inequality => Binary::NotEqual,
        BinaryOperator::StrictEquality => Binary::Same,
        BinaryOperator::StrictInequality => Binary::NotSame,
        BinaryOperator::In => Binary::In,
        BinaryOperator::Instanceof => Binary::InstanceOf,
    }
}
