//! What a rule computes with.
//!
//! *Owns* values and their conversions. *Promises* ECMA-262's answers for what rules accept. *Does not* parse documents: an
//! object or array that came as JSON stays text, and a member is looked up when it is asked for, so that a rule pays for what
//! it reads and a document is borrowed as it lies.

use std::rc::Rc;

use deepstream_json::{Kind, elements, get_member, kind_of};
use deepstream_pattern::Pattern;
use smallvec::SmallVec;

use crate::builtin::Function;
use crate::eval::{Thrown, User};
use crate::meter::Meter;
use crate::number;
use crate::text::{Text, append};

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// `undefined`
    Undefined,
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number.
    Number(f64),
    /// Any string.
    Text(Text<'a>),
    /// An object or array of a document.
    Json(&'a [u8]),
    /// An array made by the rule.
    List(Rc<List<'a>>),
    /// An object made by the rule.
    Object(Rc<[(Text<'a>, Value<'a>)]>),
    /// A regular expression.
    Pattern(&'a Pattern),
    /// A built-in function.
    Function(Function),
    /// `user`
    User(&'a User<'a>),
}

/// An array made by the rule.
#[derive(Debug)]
pub(crate) struct List<'a> {
    /// Its elements.
    pub(crate) items: Vec<Value<'a>>,
    /// What `match` adds.
    pub(crate) found: Option<Found<'a>>,
}

/// The properties of a match.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// Where it begins.
    pub(crate) index: usize,
    /// What was searched.
    pub(crate) input: Text<'a>,
    /// The named groups.
    pub(crate) groups: Value<'a>,
}

/// The kinds of object; for primitives, of their wrappers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Pattern,
    Function,
}

impl<'a> Value<'a> {
    /// The value of a checked JSON text.
    pub(crate) fn from_json(text: &'a [u8]) -> Self {
        let text = text.trim_ascii();
        match kind_of(text) {
            Some(Kind::Null) => Self::Null,
            Some(Kind::Bool) => Self::Bool(text == b"true"),
            Some(Kind::Number) => Self::Number(number::from_json(text)),
            Some(Kind::String) => Self::Text(Text::from_json(text.get(1..text.len() - 1).unwrap_or_default())),
            Some(Kind::Object | Kind::Array) => Self::Json(text),
            None => Self::Undefined,
        }
    }

    pub(crate) fn made_list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(List { items, found: None }))
    }

    /// `null` or `undefined`.
    pub(crate) fn is_nullish(&self) -> bool {
        matches!(self, Self::Undefined | Self::Null)
    }

    /// `Boolean(value)`.
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(bool) => *bool,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.bytes().is_empty(),
            _ => true,
        }
    }

    /// `typeof value`.
    pub(crate) fn type_of(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Function(_) => "function",
            _ => "object",
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(
            self,
            Self::Json(_) | Self::List(_) | Self::Object(_) | Self::Pattern(_) | Self::Function(_) | Self::User(_)
        )
    }

    /// What its methods are; `None` for null and undefined, which have none.
    pub(crate) fn shape(&self) -> Option<Shape> {
        Some(match self {
            Self::Undefined | Self::Null => return None,
            Self::Bool(_) => Shape::Bool,
            Self::Number(_) => Shape::Number,
            Self::Text(_) => Shape::Text,
            Self::Json(text) if text.first() == Some(&b'[') => Shape::Array,
            Self::List(_) => Shape::Array,
            Self::Json(_) | Self::Object(_) | Self::User(_) => Shape::Object,
            Self::Pattern(_) => Shape::Pattern,
            Self::Function(_) => Shape::Function,
        })
    }

    /// The elements of an array.
    pub(crate) fn items(&self, meter: &mut Meter) -> Result<SmallVec<[Self; 8]>, Thrown> {
        Ok(match self {
            Self::Json(text) => {
                meter.look(text.len())?;
                let mut items = SmallVec::new();
                for element in elements(text) {
                    meter.make(size_of::<Self>())?;
                    items.push(Self::from_json(element));
                }
                items
            }
            Self::List(list) => {
                meter.make(list.items.len() * size_of::<Self>())?;
                list.items.iter().cloned().collect()
            }
            _ => SmallVec::new(),
        })
    }

    /// The member of that name which an object has itself.
    pub(crate) fn own(&self, name: &Text<'_>, meter: &mut Meter) -> Result<Option<Self>, Thrown> {
        Ok(match self {
            Self::Text(text) => match index_of(name.bytes()) {
                Some(index) => {
                    meter.look(text.bytes().len())?;
                    text.at(index).map(Value::Text)
                }
                None if name.bytes() == b"length" => {
                    meter.look(text.bytes().len())?;
                    Some(Self::Number(text.length() as f64))
                }
                None => None,
            },
            Self::Json(text) if text.first() == Some(&b'[') => {
                let index = index_of(name.bytes());
                if index.is_none() && name.bytes() != b"length" {
                    return Ok(None);
                }
                meter.look(text.len())?;
                match index {
                    Some(index) => elements(text).nth(index).map(Self::from_json),
                    None => Some(Self::Number(elements(text).count() as f64)),
                }
            }
            Self::Json(text) => {
                meter.look(text.len())?;
                get_member(text, name.bytes()).map(Self::from_json)
            }
            Self::List(list) => match index_of(name.bytes()) {
                Some(index) => list.items.get(index).cloned(),
                None if name.bytes() == b"length" => Some(Self::Number(list.items.len() as f64)),
                None => list.found.as_ref().and_then(|found| match name.bytes() {
                    b"index" => Some(Self::Number(found.index as f64)),
                    b"input" => Some(Self::Text(found.input.clone())),
                    b"groups" => Some(found.groups.clone()),
                    _ => None,
                }),
            },
            Self::Object(members) => {
                meter.look(members.len() * 16)?;
                members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            }
            Self::User(user) => user.member(name.bytes()),
            Self::Pattern(pattern) => pattern_member(pattern, name.bytes()),
            _ => None,
        })
    }

    /// An element by its number, where that is quicker than by its name.
    pub(crate) fn element(&self, index: f64, meter: &mut Meter) -> Result<Option<Self>, Thrown> {
        if index.fract() != 0.0 || !(0.0..9e15).contains(&index) {
            return Ok(None);
        }
        let index = index as usize;
        Ok(match self {
            Self::Text(text) => {
                meter.look(text.bytes().len())?;
                text.at(index).map(Value::Text)
            }
            Self::Json(text) if text.first() == Some(&b'[') => {
                meter.look(text.len())?;
                elements(text).nth(index).map(Self::from_json)
            }
            Self::List(list) => list.items.get(index).cloned(),
            _ => None,
        })
    }

    /// `ToPrimitive`: strings, numbers and their like are left as they are. None of the objects at hand cares for the hint.
    pub(crate) fn primitive(self, meter: &mut Meter) -> Result<Self, Thrown> {
        if !self.is_object() {
            return Ok(self);
        }
        let text = match (&self, self.shape()) {
            (_, Some(Shape::Array)) => self.joined(meter)?,
            (Self::Pattern(pattern), _) => Text::Made(pattern_text(pattern).into_bytes().into()),
            (Self::Function(function), _) => Text::Made(function.text().into_bytes().into()),
            _ => {
                // Whatever a document calls toString, it is no function.
                match self.own(&Text::from("toString"), meter)? {
                    None => {}
                    Some(Self::Function(_)) => return Err(Thrown::new("Error", "own conversions are not supported")),
                    Some(_) => return Err(Thrown::new("TypeError", "Cannot convert object to primitive value")),
                }
                Text::from("[object Object]")
            }
        };
        Ok(Self::Text(text))
    }

    fn joined(&self, meter: &mut Meter) -> Result<Text<'a>, Thrown> {
        let mut joined = Vec::new();
        for (index, item) in self.items(meter)?.into_iter().enumerate() {
            if index > 0 {
                joined.push(b',');
            }
            if !item.is_nullish() {
                let text = item.text(meter)?;
                meter.make(text.bytes().len())?;
                append(text.bytes(), &mut joined);
            }
        }
        Ok(Text::Made(joined.into()))
    }

    /// `String(value)`.
    pub(crate) fn text(self, meter: &mut Meter) -> Result<Text<'a>, Thrown> {
        Ok(match self {
            Self::Undefined => Text::from("undefined"),
            Self::Null => Text::from("null"),
            Self::Bool(true) => Text::from("true"),
            Self::Bool(false) => Text::from("false"),
            Self::Number(number) => {
                let mut buffer = dragonbox_ecma::Buffer::new();
                Text::Made(number::write(number, &mut buffer).as_bytes().into())
            }
            Self::Text(text) => text,
            object => match object.primitive(meter)? {
                Self::Text(text) => text,
                _ => Text::from(""),
            },
        })
    }

    /// `Number(value)`.
    pub(crate) fn number(self, meter: &mut Meter) -> Result<f64, Thrown> {
        Ok(match self {
            Self::Undefined => f64::NAN,
            Self::Null | Self::Bool(false) => 0.0,
            Self::Bool(true) => 1.0,
            Self::Number(number) => number,
            Self::Text(text) => {
                meter.look(text.bytes().len())?;
                number::parse(text.bytes())
            }
            object => return object.primitive(meter)?.number(meter),
        })
    }

    /// `===`
    #[allow(clippy::float_cmp, reason = "that is what the operator does")]
    pub(crate) fn is_strictly(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::Null, Self::Null) | (Self::User(_), Self::User(_)) => true,
            (Self::Bool(one), Self::Bool(two)) => one == two,
            (Self::Number(one), Self::Number(two)) => one == two,
            (Self::Text(one), Self::Text(two)) => one == two,
            // The same place of the same document.
            (Self::Json(one), Self::Json(two)) => std::ptr::eq(*one, *two),
            (Self::List(one), Self::List(two)) => Rc::ptr_eq(one, two),
            (Self::Object(one), Self::Object(two)) => Rc::ptr_eq(one, two),
            (Self::Pattern(one), Self::Pattern(two)) => std::ptr::eq(*one, *two),
            (Self::Function(one), Self::Function(two)) => one == two,
            _ => false,
        }
    }

    /// `==`
    #[allow(clippy::float_cmp, reason = "that is what the operator does")]
    pub(crate) fn loosely_equals(self, other: Self, meter: &mut Meter) -> Result<bool, Thrown> {
        if self.is_nullish() || other.is_nullish() {
            return Ok(self.is_nullish() && other.is_nullish());
        }
        match (self.is_object(), other.is_object()) {
            (true, true) => return Ok(self.is_strictly(&other)),
            (true, false) => return self.primitive(meter)?.loosely_equals(other, meter),
            (false, true) => return self.loosely_equals(other.primitive(meter)?, meter),
            (false, false) => {}
        }
        if self.type_of() == other.type_of() {
            return Ok(self.is_strictly(&other));
        }
        Ok(self.number(meter)? == other.number(meter)?)
    }

    /// For people: as a rule would write it, cut to `width` bytes.
    pub(crate) fn shown(&self, width: usize) -> String {
        let mut shown = String::new();
        self.show(&mut shown, width);
        if shown.len() > width {
            let cut = (0..=width).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0);
            shown.truncate(cut);
            shown.push('…');
        }
        shown
    }

    fn show(&self, shown: &mut String, width: usize) {
        if shown.len() > width {
            return;
        }
        match self {
            Self::Undefined => shown.push_str("undefined"),
            Self::Null => shown.push_str("null"),
            Self::Bool(bool) => shown.push_str(if *bool { "true" } else { "false" }),
            Self::Number(number) if *number == 0.0 && number.is_sign_negative() => shown.push_str("-0"),
            Self::Number(number) => shown.push_str(number::write(*number, &mut dragonbox_ecma::Buffer::new())),
            Self::Text(text) => show_text(text, shown),
            Self::Json(text) => shown.push_str(&String::from_utf8_lossy(&text[..text.len().min(width + 4)])),
            Self::List(list) => {
                shown.push('[');
                for (index, item) in list.items.iter().enumerate() {
                    shown.push_str(if index > 0 { "," } else { "" });
                    item.show(shown, width);
                }
                shown.push(']');
            }
            Self::Object(members) => {
                shown.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    shown.push_str(if index > 0 { "," } else { "" });
                    show_text(name, shown);
                    shown.push(':');
                    value.show(shown, width);
                }
                shown.push('}');
            }
            Self::Pattern(pattern) => shown.push_str(&pattern_text(pattern)),
            Self::Function(function) => shown.push_str(&function.text()),
            Self::User(user) => {
                shown.push_str("{\"isAuthenticated\":");
                shown.push_str(if user.is_authenticated() { "true,\"id\":" } else { "false,\"id\":" });
                show_text(&Text::from(user.id), shown);
                shown.push_str(",\"data\":");
                user.member(b"data").unwrap_or(Value::Null).show(shown, width);
                shown.push('}');
            }
        }
    }
}

fn show_text(text: &Text<'_>, shown: &mut String) {
    let mut bytes = Vec::new();
    for char in char::decode_utf16(text.units()) {
        match char {
            Ok(char) => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            // A mark that no text has, until the rest is escaped.
            Err(lone) => bytes.extend_from_slice(format!("\u{10ffff}{:04x}", lone.unpaired_surrogate()).as_bytes()),
        }
    }
    let mut escaped = Vec::new();
    deepstream_json::write_string(&bytes, &mut escaped);
    shown.push_str(&String::from_utf8_lossy(&escaped).replace('\u{10ffff}', "\\u"));
}

/// A property name that is an array index.
pub(crate) fn index_of(name: &[u8]) -> Option<usize> {
    if name.is_empty() || name.len() > 10 || name[0] == b'0' && name.len() > 1 {
        return None;
    }
    let digit = |index: usize, byte: &u8| byte.is_ascii_digit().then(|| index * 10 + usize::from(byte - b'0'));
    name.iter().try_fold(0_usize, digit).filter(|index| *index < u32::MAX as usize)
}

fn pattern_text(pattern: &Pattern) -> String {
    format!("/{}/{}", pattern.source(), pattern_flags(pattern))
}

fn pattern_flags(pattern: &Pattern) -> String {
    let flags = pattern.flags();
    let letters = [
        (flags.global, 'g'),
        (flags.ignore_case, 'i'),
        (flags.multiline, 'm'),
        (flags.dot_all, 's'),
        (flags.unicode, 'u'),
        (flags.sticky, 'y'),
    ];
    letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect()
}

fn pattern_member<'a>(pattern: &Pattern, name: &[u8]) -> Option<Value<'a>> {
    let flags = pattern.flags();
    Some(match name {
        b"source" => Value::Text(Text::Made(pattern.source().as_bytes().into())),
        b"flags" => Value::Text(Text::Made(pattern_flags(pattern).into_bytes().into())),
        b"lastIndex" => Value::Number(0.0),
        b"global" => Value::Bool(flags.global),
        b"ignoreCase" => Value::Bool(flags.ignore_case),
        b"multiline" => Value::Bool(flags.multiline),
        b"dotAll" => Value::Bool(flags.dot_all),
        b"unicode" => Value::Bool(flags.unicode),
        b"sticky" => Value::Bool(flags.sticky),
        b"hasIndices" | b"unicodeSets" => Value::Bool(false),
        _ => return None,
    })
}
