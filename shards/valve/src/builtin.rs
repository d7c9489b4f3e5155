//! The methods of strings and arrays.
//!
//! *Owns* the methods that a rule may call, and the names of those that it may not call but that exist (`data.trim` is
//! truthy for a string). *Promises* ECMA-262's answers, and that every search is paid for in steps.

use std::rc::Rc;

use deepstream_pattern::{Input, Match, Pattern};
use smallvec::SmallVec;

use crate::eval::Thrown;
use crate::meter::Meter;
use crate::number;
use crate::text::Text;
use crate::value::{Found, List, Shape, Value};

/// A built-in function, by whose it is and its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    owner: Shape,
    name: &'static str,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.owner == other.owner && self.name == other.name
    }
}

impl Function {
    pub(crate) fn text(self) -> String {
        let constructor = match self.owner {
            Shape::Object => "Object",
            Shape::Array => "Array",
            Shape::Text => "String",
            Shape::Number => "Number",
            Shape::Bool => "Boolean",
            Shape::Pattern => "RegExp",
            Shape::Function => "Function",
        };
        let name = match self.name {
            "constructor" => constructor,
            "trimLeft" => "trimStart",
            "trimRight" => "trimEnd",
            name => name,
        };
        format!("function {name}() {{ [native code] }}")
    }

    /// The built-in of that name which values of that shape inherit.
    pub(crate) fn inherited(shape: Shape, name: &[u8]) -> Option<Self> {
        let names = match shape {
            Shape::Object => &[],
            Shape::Array => ARRAY,
            Shape::Text => TEXT,
            Shape::Number => NUMBER,
            Shape::Bool => BOOL,
            Shape::Pattern => PATTERN,
            Shape::Function => FUNCTION,
        };
        let find = |owner, names: &[&'static str]| {
            names.iter().find(|known| known.as_bytes() == name).map(|name| Self { owner, name })
        };
        find(shape, names).or_else(|| find(Shape::Object, OBJECT))
    }

    /// Calls it on `this`.
    pub(crate) fn call<'a>(
        self,
        this: &Value<'a>,
        arguments: &[Value<'a>],
        meter: &mut Meter,
    ) -> Result<Value<'a>, Thrown> {
        match (self.owner, this) {
            (Shape::Text, Value::Text(text)) => text_method(self.name, text, arguments, meter),
            (Shape::Array, _) => array_method(self.name, this, arguments, meter),
            _ => Err(Thrown::new("TypeError", format!("{} is not supported here", self.name))),
        }
    }
}

/// The names that a rule may call; upstream's list.
pub(crate) const CALLABLE: &[&str] =
    &["_", "startsWith", "endsWith", "includes", "indexOf", "match", "toUpperCase", "toLowerCase", "trim"];

const OBJECT: &[&str] = &[
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];
#[rustfmt::skip]
const TEXT: &[&str] = &[
    "anchor", "at", "big", "blink", "bold", "charAt", "charCodeAt", "codePointAt", "concat", "constructor", "endsWith",
    "fixed", "fontcolor", "fontsize", "includes", "indexOf", "isWellFormed", "italics", "lastIndexOf", "link",
    "localeCompare", "match", "matchAll", "normalize", "padEnd", "padStart", "repeat", "replace", "replaceAll", "search",
    "slice", "small", "split", "startsWith", "strike", "sub", "substr", "substring", "sup", "toLocaleLowerCase",
    "toLocaleUpperCase", "toLowerCase", "toString", "toUpperCase", "toWellFormed", "trim", "trimEnd", "trimLeft",
    "trimRight", "trimStart", "valueOf",
];
#[rustfmt::skip]
const ARRAY: &[&str] = &[
    "at", "concat", "constructor", "copyWithin", "entries", "every", "fill", "filter", "find", "findIndex", "findLast",
    "findLastIndex", "flat", "flatMap", "forEach", "includes", "indexOf", "join", "keys", "lastIndexOf", "map", "pop",
    "push", "reduce", "reduceRight", "reverse", "shift", "slice", "some", "sort", "splice", "toLocaleString",
    "toReversed", "toSorted", "toSpliced", "toString", "unshift", "values", "with",
];
const NUMBER: &[&str] =
    &["constructor", "toExponential", "toFixed", "toLocaleString", "toPrecision", "toString", "valueOf"];
const BOOL: &[&str] = &["constructor", "toString", "valueOf"];
const PATTERN: &[&str] = &["compile", "constructor", "exec", "test", "toString"];
const FUNCTION: &[&str] = &["apply", "bind", "call", "constructor", "toString"];

fn text_method<'a>(
    name: &str,
    text: &Text<'a>,
    arguments: &[Value<'a>],
    meter: &mut Meter,
) -> Result<Value<'a>, Thrown> {
    let argument = |index: usize| arguments.get(index).cloned().unwrap_or(Value::Undefined);
    meter.look(text.bytes().len())?;
    match name {
        "toUpperCase" => {
            meter.make(text.bytes().len())?;
            return Ok(Value::Text(text.upper()));
        }
        "toLowerCase" => {
            meter.make(text.bytes().len())?;
            return Ok(Value::Text(text.lower()));
        }
        "trim" => return Ok(Value::Text(text.trim())),
        "match" => return matched(text, argument(0), meter),
        _ => {}
    }
    if name != "indexOf" && matches!(argument(0), Value::Pattern(_)) {
        let what = format!("First argument to String.prototype.{name} must not be a regular expression");
        return Err(Thrown::new("TypeError", what));
    }
    let part = argument(0).text(meter)?;
    let length = text.length();
    let given = argument(1);
    let whole_by_default = name == "endsWith" && matches!(given, Value::Undefined);
    let position = if whole_by_default { length } else { number::to_position(given.number(meter)?, length) };
    meter.look(part.bytes().len())?;
    let find = |from: usize| if part.bytes().is_empty() { Some(from) } else { text.find(&part, from) };
    Ok(match name {
        "startsWith" => Value::Bool(text.has_at(&part, position)),
        "endsWith" => {
            let start = position.checked_sub(part.length());
            Value::Bool(start.is_some_and(|start| text.has_at(&part, start)))
        }
        "includes" => Value::Bool(find(position).is_some()),
        "indexOf" => Value::Number(find(position).map_or(-1.0, |at| at as f64)),
        _ => return Err(Thrown::new("TypeError", format!("{name} is not supported"))),
    })
}

fn array_method<'a>(
    name: &str,
    this: &Value<'a>,
    arguments: &[Value<'a>],
    meter: &mut Meter,
) -> Result<Value<'a>, Thrown> {
    let wanted = arguments.first().cloned().unwrap_or(Value::Undefined);
    let items = this.items(meter)?;
    let from = match arguments.get(1) {
        // For an empty array ECMA-262 does not convert the start position.
        Some(from) if !items.is_empty() => from.clone().number(meter)?,
        _ => 0.0,
    };
    let from = if from < 0.0 { (from.trunc() + items.len() as f64).max(0.0) } else { from };
    let start = number::to_position(from, items.len());
    let mut rest = items[start..].iter();
    Ok(match name {
        "includes" => {
            let is_nan = matches!(wanted, Value::Number(number) if number.is_nan());
            let nan = |item: &Value<'_>| is_nan && matches!(item, Value::Number(number) if number.is_nan());
            Value::Bool(rest.any(|item| item.is_strictly(&wanted) || nan(item)))
        }
        "indexOf" => {
            let found = rest.position(|item| item.is_strictly(&wanted));
            Value::Number(found.map_or(-1.0, |found| (start + found) as f64))
        }
        _ => return Err(Thrown::new("TypeError", format!("{name} is not supported"))),
    })
}

/// `text.match(wanted)`.
fn matched<'a>(text: &Text<'a>, wanted: Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Thrown> {
    let made;
    let pattern = match wanted {
        Value::Pattern(pattern) => pattern,
        other => {
            let source = if matches!(other, Value::Undefined) { Text::from("") } else { other.text(meter)? };
            meter.make(source.bytes().len() * 64)?;
            // The expression is not quoted: it may come from a record, and errors are logged.
            let invalid = || Thrown::new("SyntaxError", "Invalid regular expression, made of a text");
            let source = std::str::from_utf8(source.bytes()).map_err(|_| invalid())?;
            made = Pattern::new(source, "").map_err(|_| invalid())?;
            &made
        }
    };
    let units: Vec<u16>;
    let input = if text.is_ascii() {
        Input::Ascii(text.bytes())
    } else {
        meter.make(text.bytes().len() * 2)?;
        units = text.units().collect();
        Input::Utf16(&units)
    };
    if pattern.flags().global {
        return all_matches(text, pattern, input, meter);
    }
    let Some(found) = pattern.find(input, 0, &mut meter.steps)? else { return Ok(Value::Null) };
    let mut items = Vec::with_capacity(pattern.groups());
    for group in 0..pattern.groups() {
        items.push(group_of(text, &found, group, meter)?);
    }
    let mut groups = Value::Undefined;
    if pattern.names().next().is_some() {
        let mut named: SmallVec<[(Text<'a>, Value<'a>); 4]> = SmallVec::new();
        for (name, group) in pattern.names() {
            let value = group_of(text, &found, group, meter)?;
            let name = Text::Made(name.as_bytes().into());
            match named.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) if !matches!(value, Value::Undefined) => *known = value,
                Some(_) => {}
                None => named.push((name, value)),
            }
        }
        groups = Value::Object(named.into_iter().collect());
    }
    let found = Found { index: found.whole().start, input: text.clone(), groups };
    Ok(Value::List(Rc::new(List { items, found: Some(found) })))
}

fn group_of<'a>(text: &Text<'a>, found: &Match, group: usize, meter: &mut Meter) -> Result<Value<'a>, Thrown> {
    let Some(span) = found.group(group) else { return Ok(Value::Undefined) };
    meter.make(span.end - span.start)?;
    if !text.is_ascii() {
        meter.look(text.bytes().len())?;
    }
    Ok(Value::Text(text.slice(span.start, span.end)))
}

fn all_matches<'a>(
    text: &Text<'a>,
    pattern: &Pattern,
    input: Input<'_>,
    meter: &mut Meter,
) -> Result<Value<'a>, Thrown> {
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(found) = pattern.find(input, at, &mut meter.steps)? {
        meter.make(size_of::<Value<'_>>())?;
        items.push(group_of(text, &found, 0, meter)?);
        let span = found.whole();
        at = span.end;
        if span.start == span.end {
            at = pattern.after(input, at);
        }
    }
    Ok(if items.is_empty() { Value::Null } else { Value::made_list(items) })
}
