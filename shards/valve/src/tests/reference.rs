//! A plain evaluator: walks the tree, copies everything, and is written from ECMA-262 without an eye on cost.
//!
//! Shares the parser and the regular expressions with the real one, and nothing else.

#![allow(clippy::float_cmp, clippy::match_same_arms, reason = "written as the standard is")]

use std::rc::Rc;

use deepstream_pattern::{Budget, Input, Pattern};
use serde_json::Value as Json;

use super::world::{DATA, OLD, REFERENCES, user};
use crate::parse::parse;
use crate::tree::{Binary, Logical, Node, Tree, Unary, Variable};

#[derive(Clone)]
enum Val {
    Undefined,
    Null,
    Bool(bool),
    Num(f64),
    Str(Vec<u16>),
    Obj(Rc<Obj>),
}

struct Obj {
    kind: Kind,
    members: Vec<(Vec<u16>, Val)>,
}

#[derive(Clone, PartialEq)]
enum Kind {
    Plain,
    Array,
    Regex(String, String),
    /// Whose, and what.
    Function(&'static str, String),
}

type Outcome = Result<Val, &'static str>;

struct World {
    user: Val,
    data: Val,
    old: Val,
    records: Vec<(Vec<u16>, Val)>,
    needs: bool,
}

fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn text(text: &str) -> Val {
    Val::Str(utf16(text))
}

fn object(kind: Kind, members: Vec<(Vec<u16>, Val)>) -> Val {
    Val::Obj(Rc::new(Obj { kind, members }))
}

fn array(items: Vec<Val>) -> Val {
    let members = items.into_iter().enumerate().map(|(index, item)| (utf16(&index.to_string()), item)).collect();
    object(Kind::Array, members)
}

/// From JSON in which lone surrogates were marked.
fn from_json(json: &Json) -> Val {
    match json {
        Json::Null => Val::Null,
        Json::Bool(bool) => Val::Bool(*bool),
        Json::Number(number) => Val::Num(number.as_f64().unwrap()),
        Json::String(string) => {
            let units = utf16(string).into_iter().map(|unit| if unit == 0xe000 { 0xd83d } else { unit });
            Val::Str(units.collect())
        }
        Json::Array(items) => array(items.iter().map(from_json).collect()),
        Json::Object(members) => {
            object(Kind::Plain, members.iter().map(|(name, value)| (utf16(name), from_json(value))).collect())
        }
    }
}

fn parsed(text: &str) -> Val {
    from_json(&serde_json::from_str(&text.replace("\\ud83d\"", "\\ue000\"")).unwrap())
}

/// What `ask_valve` would say.
pub(super) fn evaluate(rule: &str) -> String {
    let tree = parse(rule, &["$x".to_owned()]).unwrap().tree;
    let user = user();
    let server = parsed(std::str::from_utf8(user.server_data.unwrap()).unwrap());
    let id = (utf16("id"), text(user.id));
    let authenticated = (utf16("isAuthenticated"), Val::Bool(true));
    let records = REFERENCES.iter().map(|reference| {
        let value = reference.value.map_or(Val::Null, |value| parsed(std::str::from_utf8(value).unwrap()));
        (utf16(std::str::from_utf8(reference.name).unwrap()), value)
    });
    let mut world = World {
        user: object(Kind::Plain, vec![authenticated, id, (utf16("data"), server)]),
        data: parsed(DATA),
        old: parsed(OLD),
        records: records.collect(),
        needs: false,
    };
    let value = eval(&tree, &mut world);
    match value {
        _ if world.needs => "needs".to_owned(),
        Ok(Val::Obj(of)) if Rc::ptr_eq(&of, object_of(&world.data)) => {
            // Shown as it is written; the reference sorts nothing and the document's numbers are JavaScript's.
            DATA.replace("\\u0041", "A")
        }
        Ok(value) => show(&value, &world),
        Err(kind) => format!("throws {kind}"),
    }
}

fn object_of(value: &Val) -> &Rc<Obj> {
    let Val::Obj(of) = value else { panic!("an object") };
    of
}

fn show(value: &Val, world: &World) -> String {
    let members = |of: &Obj, named: bool| {
        let mut shown: Vec<_> = of.members.iter().filter(|_| named || of.kind == Kind::Array).collect();
        if named {
            shown.sort_by_key(|(name, _)| index_of(name).unwrap_or(usize::MAX));
        } else {
            shown.retain(|(name, _)| index_of(name).is_some());
        }
        let shown = shown.into_iter().map(|(name, value)| {
            let name = if named { format!("{}:", show(&Val::Str(name.clone()), world)) } else { String::new() };
            name + &show(value, world)
        });
        shown.collect::<Vec<_>>().join(",")
    };
    match value {
        Val::Num(number) if *number == 0.0 && number.is_sign_negative() => "-0".to_owned(),
        Val::Str(units) => {
            let decoded = char::decode_utf16(units.iter().copied()).map(|char| match char {
                Ok(char) => serde_json::to_string(&char.to_string()).unwrap().trim_matches('"').to_owned(),
                Err(lone) => format!("\\u{:04x}", lone.unpaired_surrogate()),
            });
            let inside: String = decoded.collect();
            // A quote alone would have been trimmed away.
            format!("\"{}\"", restore(units, inside))
        }
        Val::Obj(of) if Rc::ptr_eq(of, object_of(&world.data)) => DATA.replace("\\u0041", "A"),
        Val::Obj(of) => match &of.kind {
            Kind::Array => format!("[{}]", members(of, false)),
            Kind::Plain => format!("{{{}}}", members(of, true)),
            _ => String::from_utf16_lossy(&to_text(value).unwrap()),
        },
        other => String::from_utf16_lossy(&to_text(other).unwrap()),
    }
}

fn restore(units: &[u16], shown: String) -> String {
    if !units.contains(&u16::from(b'"')) {
        return shown;
    }
    let decoded = char::decode_utf16(units.iter().copied()).map(|char| match char {
        Ok('"') => "\\\"".to_owned(),
        Ok(char) => serde_json::to_string(&char.to_string()).unwrap().trim_matches('"').to_owned(),
        Err(lone) => format!("\\u{:04x}", lone.unpaired_surrogate()),
    });
    decoded.collect()
}

fn index_of(name: &[u16]) -> Option<usize> {
    let text = String::from_utf16(name).ok()?;
    let index: usize = text.parse().ok()?;
    (index.to_string() == text && index < u32::MAX as usize).then_some(index)
}

fn truthy(value: &Val) -> bool {
    match value {
        Val::Undefined | Val::Null => false,
        Val::Bool(bool) => *bool,
        Val::Num(number) => !(*number == 0.0 || number.is_nan()),
        Val::Str(units) => !units.is_empty(),
        Val::Obj(_) => true,
    }
}

fn type_of(value: &Val) -> &'static str {
    match value {
        Val::Undefined => "undefined",
        Val::Bool(_) => "boolean",
        Val::Num(_) => "number",
        Val::Str(_) => "string",
        Val::Obj(of) if matches!(of.kind, Kind::Function(..)) => "function",
        Val::Obj(_) | Val::Null => "object",
    }
}

fn to_primitive(value: &Val) -> Outcome {
    let Val::Obj(of) = value else { return Ok(value.clone()) };
    Ok(match &of.kind {
        Kind::Array => {
            let mut joined = Vec::new();
            for (position, (_, item)) in of.members.iter().filter(|(name, _)| index_of(name).is_some()).enumerate() {
                if position > 0 {
                    joined.push(u16::from(b','));
                }
                if !matches!(item, Val::Undefined | Val::Null) {
                    joined.extend(to_text(item)?);
                }
            }
            Val::Str(joined)
        }
        Kind::Plain if of.members.iter().any(|(name, _)| *name == utf16("toString")) => return Err("TypeError"),
        Kind::Plain => text("[object Object]"),
        Kind::Regex(source, flags) => text(&format!("/{source}/{flags}")),
        Kind::Function(_, name) => text(&format!("function {name}() {{ [native code] }}")),
    })
}

fn to_text(value: &Val) -> Result<Vec<u16>, &'static str> {
    Ok(match value {
        Val::Undefined => utf16("undefined"),
        Val::Null => utf16("null"),
        Val::Bool(bool) => utf16(&bool.to_string()),
        Val::Num(number) => utf16(&number_text(*number)),
        Val::Str(units) => units.clone(),
        Val::Obj(_) => return to_text(&to_primitive(value)?),
    })
}

/// By way of the digits that Rust prints.
fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    if number < 0.0 {
        return format!("-{}", number_text(-number));
    }
    if number.is_infinite() {
        return "Infinity".to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap();
    let digits = mantissa.replace('.', "");
    let (count, point) = (digits.len() as i32, exponent.parse::<i32>().unwrap() + 1);
    if count <= point && point <= 21 {
        format!("{digits}{}", "0".repeat((point - count) as usize))
    } else if 0 < point && point <= 21 {
        format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", "0".repeat(-point as usize))
    } else {
        let sign = if point > 0 { '+' } else { '-' };
        let fraction = if count == 1 { String::new() } else { format!(".{}", &digits[1..]) };
        format!("{}{fraction}e{sign}{}", &digits[..1], (point - 1).abs())
    }
}

fn is_space(unit: u16) -> bool {
    matches!(unit, 9..=13 | 32 | 0xa0 | 0x1680 | 0x2000..=0x200a | 0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000 | 0xfeff)
}

fn trim(units: &[u16]) -> &[u16] {
    let start = units.iter().position(|unit| !is_space(*unit)).unwrap_or(units.len());
    let end = units.iter().rposition(|unit| !is_space(*unit)).map_or(start, |last| last + 1);
    &units[start..end]
}

fn to_number(value: &Val) -> Result<f64, &'static str> {
    Ok(match value {
        Val::Undefined => f64::NAN,
        Val::Null => 0.0,
        Val::Bool(bool) => f64::from(u8::from(*bool)),
        Val::Num(number) => *number,
        Val::Obj(_) => return to_number(&to_primitive(value)?),
        Val::Str(units) => {
            let Ok(text) = String::from_utf16(trim(units)) else { return Ok(f64::NAN) };
            let radix = |digits: &str, radix: u32| {
                if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
                    return f64::NAN;
                }
                digits
                    .chars()
                    .fold(0.0, |sum, digit| sum * f64::from(radix) + f64::from(digit.to_digit(radix).unwrap()))
            };
            match text.get(..2).unwrap_or_default() {
                _ if text.is_empty() => 0.0,
                "0x" | "0X" => radix(&text[2..], 16),
                "0o" | "0O" => radix(&text[2..], 8),
                "0b" | "0B" => radix(&text[2..], 2),
                _ => match text.as_str() {
                    "Infinity" | "+Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    _ if text.chars().any(|char| char.is_alphabetic() && !matches!(char, 'e' | 'E')) => f64::NAN,
                    _ => text.parse().unwrap_or(f64::NAN),
                },
            }
        }
    })
}

fn same(left: &Val, right: &Val) -> bool {
    match (left, right) {
        (Val::Undefined, Val::Undefined) | (Val::Null, Val::Null) => true,
        (Val::Bool(left), Val::Bool(right)) => left == right,
        (Val::Num(left), Val::Num(right)) => left == right,
        (Val::Str(left), Val::Str(right)) => left == right,
        (Val::Obj(left), Val::Obj(right)) => match (&left.kind, &right.kind) {
            (Kind::Function(..), Kind::Function(..)) => left.kind == right.kind,
            _ => Rc::ptr_eq(left, right),
        },
        _ => false,
    }
}

fn equal(left: &Val, right: &Val) -> Result<bool, &'static str> {
    let nullish = |value: &Val| matches!(value, Val::Undefined | Val::Null);
    Ok(match (left, right) {
        _ if nullish(left) || nullish(right) => nullish(left) && nullish(right),
        (Val::Obj(_), Val::Obj(_)) => same(left, right),
        (Val::Obj(_), _) => return equal(&to_primitive(left)?, right),
        (_, Val::Obj(_)) => return equal(left, &to_primitive(right)?),
        (Val::Str(_), Val::Str(_)) | (Val::Bool(_), Val::Bool(_)) => same(left, right),
        _ => to_number(left)? == to_number(right)?,
    })
}

fn get(object: &Val, name: &[u16]) -> Outcome {
    let key = String::from_utf16_lossy(name);
    let owner = match object {
        Val::Undefined | Val::Null => return Err("TypeError"),
        Val::Bool(_) => "Boolean",
        Val::Num(_) => "Number",
        Val::Str(units) => {
            if let Some(unit) = index_of(name).and_then(|index| units.get(index)) {
                return Ok(Val::Str(vec![*unit]));
            }
            if key == "length" {
                return Ok(Val::Num(units.len() as f64));
            }
            "String"
        }
        Val::Obj(of) => {
            if let Some((_, value)) = of.members.iter().rev().find(|(known, _)| *known == name) {
                return Ok(value.clone());
            }
            match &of.kind {
                Kind::Array if key == "length" => {
                    let count = of.members.iter().filter(|(name, _)| index_of(name).is_some()).count();
                    return Ok(Val::Num(count as f64));
                }
                Kind::Array => "Array",
                Kind::Plain => "Object",
                Kind::Regex(source, flags) => {
                    return Ok(match key.as_str() {
                        "source" => text(source),
                        "flags" => text(flags),
                        _ => inherited("RegExp", &key),
                    });
                }
                Kind::Function(..) => "Function",
            }
        }
    };
    Ok(inherited(owner, &key))
}

/// Only what the generator can reach.
fn inherited(owner: &'static str, name: &str) -> Val {
    let own: &[&str] = match owner {
        "String" => &["startsWith", "endsWith", "includes", "indexOf", "match", "toUpperCase", "toLowerCase", "trim"],
        "Array" => &["includes", "indexOf"],
        "Number" => &["toFixed"],
        _ => &[],
    };
    let overridden = owner != "Object" && name == "toString";
    if own.contains(&name) || overridden {
        return object(Kind::Function(owner, name.to_owned()), Vec::new());
    }
    if name == "toString" {
        return object(Kind::Function("Object", name.to_owned()), Vec::new());
    }
    Val::Undefined
}

fn eval(tree: &Tree, world: &mut World) -> Outcome {
    chain(tree, world).map(|value| value.unwrap_or(Val::Undefined))
}

/// `None` if `?.` was met with nothing.
fn chain(tree: &Tree, world: &mut World) -> Result<Option<Val>, &'static str> {
    let nullish = |value: &Val| matches!(value, Val::Undefined | Val::Null);
    Ok(Some(match &tree.node {
        Node::Chain(inner) => chain(inner, world)?.unwrap_or(Val::Undefined),
        Node::Member { object, name, optional } => {
            let Some(object) = chain(object, world)? else { return Ok(None) };
            if *optional && nullish(&object) {
                return Ok(None);
            }
            get(&object, &utf16(std::str::from_utf8(name).unwrap()))?
        }
        Node::Index { object, key, optional } => {
            let Some(object) = chain(object, world)? else { return Ok(None) };
            if *optional && nullish(&object) {
                return Ok(None);
            }
            let key = eval(key, world)?;
            if nullish(&object) {
                return Err("TypeError");
            }
            get(&object, &to_text(&key)?)?
        }
        Node::Call { object, name, arguments, skip_object, skip_method } => {
            let Some(object) = chain(object, world)? else { return Ok(None) };
            if *skip_object && nullish(&object) {
                return Ok(None);
            }
            let method = get(&object, &utf16(std::str::from_utf8(name).unwrap()))?;
            if *skip_method && nullish(&method) {
                return Ok(None);
            }
            let arguments = arguments.iter().map(|argument| eval(argument, world)).collect::<Result<Vec<_>, _>>()?;
            let Val::Obj(function) = method else { return Err("TypeError") };
            let Kind::Function(owner, name) = &function.kind else { return Err("TypeError") };
            call(owner, name, &object, &arguments)?
        }
        _ => plain(tree, world)?,
    }))
}

fn plain(tree: &Tree, world: &mut World) -> Outcome {
    Ok(match &tree.node {
        Node::Undefined => Val::Undefined,
        Node::Null => Val::Null,
        Node::Bool(bool) => Val::Bool(*bool),
        Node::Number(number) => Val::Num(*number),
        Node::Text(bytes) => Val::Str(units_of(bytes)),
        Node::Pattern(pattern) => {
            let flags = pattern.flags();
            let letters = [(flags.global, "g"), (flags.ignore_case, "i"), (flags.multiline, "m"), (flags.unicode, "u")];
            let letters = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| *letter).collect::<String>();
            object(Kind::Regex(pattern.source().to_owned(), letters), Vec::new())
        }
        Node::Variable(variable) => match variable {
            Variable::User => world.user.clone(),
            Variable::Data => world.data.clone(),
            Variable::OldData => world.old.clone(),
            Variable::Now => Val::Num(1_600_000_000_000.0),
            Variable::Action => Val::Num(18.0),
            Variable::Name => text("a/userA/b"),
            Variable::Path(_) => text("userA"),
        },
        Node::Unknown(_) => return Err("ReferenceError"),
        Node::Template(texts, parts) => {
            let mut joined = units_of(&texts[0]);
            for (part, after) in parts.iter().zip(&texts[1..]) {
                let part = eval(part, world)?;
                joined.extend(to_text(&part)?);
                joined.extend(units_of(after));
            }
            Val::Str(joined)
        }
        Node::Array(items) => array(items.iter().map(|item| eval(item, world)).collect::<Result<_, _>>()?),
        Node::Object(members) => {
            let mut made: Vec<(Vec<u16>, Val)> = Vec::new();
            for (name, value) in members {
                let name = to_text(&eval(name, world)?)?;
                let value = eval(value, world)?;
                match made.iter_mut().find(|(known, _)| *known == name) {
                    Some(known) => known.1 = value,
                    None => made.push((name, value)),
                }
            }
            object(Kind::Plain, made)
        }
        Node::Reference(arguments) => {
            let arguments = arguments.iter().map(|argument| eval(argument, world)).collect::<Result<Vec<_>, _>>()?;
            match arguments.into_iter().next() {
                None | Some(Val::Undefined) => Val::Undefined,
                Some(Val::Str(name)) => {
                    if let Some((_, value)) = world.records.iter().find(|(known, _)| *known == name) {
                        value.clone()
                    } else {
                        world.needs = true;
                        Val::Undefined
                    }
                }
                Some(_) => return Err("Error"),
            }
        }
        Node::Unary(operator, argument) => {
            let value = eval(argument, world)?;
            match operator {
                Unary::Not => Val::Bool(!truthy(&value)),
                Unary::Minus => Val::Num(-to_number(&value)?),
                Unary::Plus => Val::Num(to_number(&value)?),
                Unary::Complement => Val::Num(f64::from(!int32(to_number(&value)?))),
                Unary::TypeOf => text(type_of(&value)),
                Unary::Void => Val::Undefined,
            }
        }
        Node::Binary(operator, left, right) => {
            let left = eval(left, world)?;
            let right = eval(right, world)?;
            binary(*operator, &left, &right)?
        }
        Node::Logical(operator, left, right) => {
            let left = eval(left, world)?;
            let done = match operator {
                Logical::And => !truthy(&left),
                Logical::Or => truthy(&left),
                Logical::Else => !matches!(left, Val::Undefined | Val::Null),
            };
            if done { left } else { eval(right, world)? }
        }
        Node::Conditional(test, then, otherwise) => {
            if truthy(&eval(test, world)?) {
                eval(then, world)?
            } else {
                eval(otherwise, world)?
            }
        }
        Node::Sequence(parts) => {
            let mut last = Val::Undefined;
            for part in parts {
                last = eval(part, world)?;
            }
            last
        }
        Node::Chain(_) | Node::Member { .. } | Node::Index { .. } | Node::Call { .. } => return eval(tree, world),
    })
}

fn units_of(bytes: &[u8]) -> Vec<u16> {
    crate::text::Text::Borrowed(bytes).units().collect()
}

fn int32(number: f64) -> i32 {
    if !number.is_finite() {
        return 0;
    }
    number.trunc().rem_euclid(4_294_967_296.0) as u32 as i32
}

fn binary(operator: Binary, left: &Val, right: &Val) -> Outcome {
    Ok(match operator {
        Binary::Same => Val::Bool(same(left, right)),
        Binary::NotSame => Val::Bool(!same(left, right)),
        Binary::Equal => Val::Bool(equal(left, right)?),
        Binary::NotEqual => Val::Bool(!equal(left, right)?),
        Binary::Add => {
            let (left, right) = (to_primitive(left)?, to_primitive(right)?);
            if matches!(left, Val::Str(_)) || matches!(right, Val::Str(_)) {
                Val::Str([to_text(&left)?, to_text(&right)?].concat())
            } else {
                Val::Num(to_number(&left)? + to_number(&right)?)
            }
        }
        Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual => {
            let (left, right) = (to_primitive(left)?, to_primitive(right)?);
            let order = match (&left, &right) {
                (Val::Str(left), Val::Str(right)) => Some(left.cmp(right)),
                _ => to_number(&left)?.partial_cmp(&to_number(&right)?),
            };
            Val::Bool(order.is_some_and(|order| match operator {
                Binary::Less => order.is_lt(),
                Binary::LessOrEqual => order.is_le(),
                Binary::Greater => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        Binary::In => {
            let Val::Obj(of) = right else { return Err("TypeError") };
            let key = to_text(left)?;
            let length = of.kind == Kind::Array && key == utf16("length");
            let own = of.members.iter().any(|(name, _)| *name == key);
            let source = matches!(of.kind, Kind::Regex(..)) && [utf16("source"), utf16("flags")].contains(&key);
            Val::Bool(own || length || source || !matches!(get(right, &key)?, Val::Undefined))
        }
        Binary::InstanceOf => return Err("TypeError"),
        _ => {
            let (left, right) = (to_number(left)?, to_number(right)?);
            let shift = int32(right) as u32 & 31;
            Val::Num(match operator {
                Binary::Subtract => left - right,
                Binary::Multiply => left * right,
                Binary::Divide => left / right,
                Binary::Remainder => left % right,
                Binary::Power => left.powf(right),
                Binary::ShiftLeft => f64::from(int32(left) << shift),
                Binary::ShiftRight => f64::from(int32(left) >> shift),
                Binary::ShiftRightUnsigned => f64::from(int32(left) as u32 >> shift),
                Binary::And => f64::from(int32(left) & int32(right)),
                Binary::Or => f64::from(int32(left) | int32(right)),
                _ => f64::from(int32(left) ^ int32(right)),
            })
        }
    })
}

fn integer(value: &Val) -> Result<f64, &'static str> {
    let number = to_number(value)?;
    Ok(if number.is_nan() { 0.0 } else { number.trunc() })
}

fn call(owner: &str, name: &str, this: &Val, arguments: &[Val]) -> Outcome {
    let first = arguments.first().cloned().unwrap_or(Val::Undefined);
    let second = arguments.get(1).cloned().unwrap_or(Val::Undefined);
    if owner == "Array" {
        let Val::Obj(of) = this else { return Err("TypeError") };
        let items: Vec<&Val> =
            of.members.iter().filter(|(name, _)| index_of(name).is_some()).map(|(_, value)| value).collect();
        if items.is_empty() {
            return Ok(if name == "includes" { Val::Bool(false) } else { Val::Num(-1.0) });
        }
        let from = integer(&second)?;
        let from = if from < 0.0 { (items.len() as f64 + from).max(0.0) } else { from };
        let from = from.min(items.len() as f64) as usize;
        let nan = |value: &Val| matches!(value, Val::Num(number) if number.is_nan());
        let found =
            items[from..].iter().position(|item| same(item, &first) || name == "includes" && nan(item) && nan(&first));
        return Ok(match name {
            "includes" => Val::Bool(found.is_some()),
            _ => Val::Num(found.map_or(-1.0, |found| (from + found) as f64)),
        });
    }
    let (Val::Str(units), "String") = (this, owner) else { return Err("TypeError") };
    let string = String::from_utf16_lossy(units);
    let mapped = |map: fn(&str) -> String| {
        let chars = char::decode_utf16(units.iter().copied());
        if chars.clone().all(|char| char.is_ok()) {
            return Val::Str(utf16(&map(&string)));
        }
        let pieces = chars.flat_map(|char| match char {
            Ok(char) => utf16(&map(&char.to_string())),
            Err(lone) => vec![lone.unpaired_surrogate()],
        });
        Val::Str(pieces.collect())
    };
    match name {
        "toUpperCase" => return Ok(mapped(str::to_uppercase)),
        "toLowerCase" => return Ok(mapped(str::to_lowercase)),
        "trim" => return Ok(Val::Str(trim(units).to_vec())),
        "match" => return matched(units, &first),
        _ => {}
    }
    let regex = matches!(&first, Val::Obj(of) if matches!(of.kind, Kind::Regex(..)));
    if regex && name != "indexOf" {
        return Err("TypeError");
    }
    let part = to_text(&first)?;
    let end = name == "endsWith";
    let position = if end && matches!(second, Val::Undefined) { f64::INFINITY } else { integer(&second)? };
    let position = position.clamp(0.0, units.len() as f64) as usize;
    let find = || (position..=units.len()).find(|at| units[*at..].starts_with(&part));
    Ok(match name {
        "startsWith" => Val::Bool(units[position..].starts_with(&part)),
        "endsWith" => Val::Bool(units[..position].ends_with(&part)),
        "includes" => Val::Bool(find().is_some()),
        _ => Val::Num(find().map_or(-1.0, |at| at as f64)),
    })
}

fn matched(units: &[u16], wanted: &Val) -> Outcome {
    let pattern = match wanted {
        Val::Obj(of) if matches!(of.kind, Kind::Regex(..)) => {
            let Kind::Regex(source, flags) = &of.kind else { return Err("TypeError") };
            Pattern::new(source, flags)
        }
        Val::Undefined => Pattern::new("", ""),
        other => Pattern::new(&String::from_utf16(&to_text(other)?).map_err(|_| "SyntaxError")?, ""),
    };
    let pattern = pattern.map_err(|_| "SyntaxError")?;
    let mut budget = Budget::new(1_000_000);
    let mut find = |at| pattern.find(Input::Utf16(units), at, &mut budget).map_err(|_| "RangeError");
    if pattern.flags().global {
        let (mut items, mut at) = (Vec::new(), 0);
        while let Some(found) = find(at)? {
            let span = found.whole();
            items.push(Val::Str(units[span.start..span.end].to_vec()));
            at = if span.start == span.end { pattern.after(Input::Utf16(units), span.end) } else { span.end };
        }
        return Ok(if items.is_empty() { Val::Null } else { array(items) });
    }
    let Some(found) = find(0)? else { return Ok(Val::Null) };
    let group =
        |number| found.group(number).map_or(Val::Undefined, |span| Val::Str(units[span.start..span.end].to_vec()));
    let items: Vec<Val> = (0..pattern.groups()).map(group).collect();
    let names: Vec<_> = pattern.names().map(|(name, number)| (utf16(name), group(number))).collect();
    let groups = if names.is_empty() { Val::Undefined } else { object(Kind::Plain, names) };
    let mut members: Vec<_> =
        items.into_iter().enumerate().map(|(index, item)| (utf16(&index.to_string()), item)).collect();
    members.push((utf16("index"), Val::Num(found.whole().start as f64)));
    members.push((utf16("input"), Val::Str(units.to_vec())));
    members.push((utf16("groups"), groups));
    Ok(object(Kind::Array, members))
}
