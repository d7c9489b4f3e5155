//! Operators and member access.
//!
//! *Owns* the coercions between operands. *Promises* ECMA-262's order of conversions. *Does not* short-circuit: that is the
//! compiler's.

use std::cmp::Ordering;
use std::fmt;

use crate::builtin::Function;
use crate::eval::Thrown;
use crate::meter::Meter;
use crate::number;
use crate::text::Text;
use crate::tree::{Binary, Unary};
use crate::value::Value;

/// `object.name`
pub(crate) fn member<'a>(object: &Value<'a>, name: &Text<'a>, meter: &mut Meter) -> Result<Value<'a>, Thrown> {
    let Some(shape) = object.shape() else {
        return Err(nothing_to_read(object, format_args!("'{}'", name.lossy())));
    };
    if let Some(value) = object.own(name, meter)? {
        return Ok(value);
    }
    inner_of_function(object, name)?;
    if name.bytes() == b"__proto__" {
        return Err(Thrown::new("Error", "__proto__ is not supported"));
    }
    Ok(Function::inherited(shape, name.bytes()).map_or(Value::Undefined, Value::Function))
}

/// `object.key` of what has no properties. Errors are for the log, where nothing that a record says may stand: a key that
/// the rule made is not named.
pub(crate) fn nothing_to_read(object: &Value<'_>, key: fmt::Arguments<'_>) -> Thrown {
    let what = if matches!(object, Value::Null) { "null" } else { "undefined" };
    Thrown::new("TypeError", format!("Cannot read properties of {what} (reading {key})"))
}

/// What functions have of their own is not for rules.
fn inner_of_function(object: &Value<'_>, name: &Text<'_>) -> Result<(), Thrown> {
    let inner = [&b"length"[..], b"name", b"prototype", b"arguments", b"caller", b"constructor"];
    if matches!(object, Value::Function(_)) && inner.contains(&name.bytes()) {
        return Err(Thrown::new("Error", "the properties of functions are not supported"));
    }
    Ok(())
}

/// The method of that name, before its arguments are evaluated.
pub(crate) fn method<'a>(object: &Value<'a>, name: &Text<'a>, meter: &mut Meter) -> Result<Value<'a>, Thrown> {
    if let Value::Text(_) = object {
        // No string has a member of its own by the name of a method.
        let inherited = Function::inherited(crate::value::Shape::Text, name.bytes());
        return Ok(inherited.map_or(Value::Undefined, Value::Function));
    }
    member(object, name, meter)
}

/// `ToPropertyKey`
pub(crate) fn key_of<'a>(key: Value<'a>, meter: &mut Meter) -> Result<Text<'a>, Thrown> {
    key.text(meter)
}

pub(crate) fn unary<'a>(operator: Unary, value: Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Thrown> {
    Ok(match operator {
        Unary::Not => Value::Bool(!value.is_truthy()),
        Unary::Minus => Value::Number(-value.number(meter)?),
        Unary::Plus => Value::Number(value.number(meter)?),
        Unary::Complement => Value::Number(f64::from(!number::to_int32(value.number(meter)?))),
        Unary::TypeOf => Value::Text(Text::from(value.type_of())),
        Unary::Void => Value::Undefined,
    })
}

pub(crate) fn binary<'a>(
    operator: Binary,
    left: Value<'a>,
    right: Value<'a>,
    meter: &mut Meter,
) -> Result<Value<'a>, Thrown> {
    Ok(match operator {
        Binary::Same => Value::Bool(left.is_strictly(&right)),
        Binary::NotSame => Value::Bool(!left.is_strictly(&right)),
        Binary::Equal => Value::Bool(left.loosely_equals(right, meter)?),
        Binary::NotEqual => Value::Bool(!left.loosely_equals(right, meter)?),
        Binary::Add => return add(left, right, meter),
        Binary::Less => Value::Bool(compare(left, right, meter)? == Some(Ordering::Less)),
        Binary::Greater => Value::Bool(compare(left, right, meter)? == Some(Ordering::Greater)),
        Binary::LessOrEqual => {
            Value::Bool(matches!(compare(left, right, meter)?, Some(Ordering::Less | Ordering::Equal)))
        }
        Binary::GreaterOrEqual => {
            Value::Bool(matches!(compare(left, right, meter)?, Some(Ordering::Greater | Ordering::Equal)))
        }
        Binary::In => return is_in(left, &right, meter),
        Binary::InstanceOf => return instance_of(&left, &right),
        _ => {
            let (left, right) = (left.number(meter)?, right.number(meter)?);
            Value::Number(arithmetic(operator, left, right))
        }
    })
}

fn arithmetic(operator: Binary, left: f64, right: f64) -> f64 {
    let shift = || number::to_uint32(right) & 31;
    match operator {
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        Binary::Divide => left / right,
        Binary::Remainder => left % right,
        Binary::Power => number::power(left, right),
        Binary::ShiftLeft => f64::from(number::to_int32(left) << shift()),
        Binary::ShiftRight => f64::from(number::to_int32(left) >> shift()),
        Binary::ShiftRightUnsigned => f64::from(number::to_uint32(left) >> shift()),
        Binary::And => f64::from(number::to_int32(left) & number::to_int32(right)),
        Binary::Or => f64::from(number::to_int32(left) | number::to_int32(right)),
        Binary::Xor => f64::from(number::to_int32(left) ^ number::to_int32(right)),
        _ => f64::NAN,
    }
}

fn add<'a>(left: Value<'a>, right: Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Thrown> {
    let (left, right) = (left.primitive(meter)?, right.primitive(meter)?);
    if !matches!(left, Value::Text(_)) && !matches!(right, Value::Text(_)) {
        return Ok(Value::Number(left.number(meter)? + right.number(meter)?));
    }
    let (left, right) = (left.text(meter)?, right.text(meter)?);
    meter.make(left.bytes().len() + right.bytes().len())?;
    Ok(Value::Text(left.concat(&right)))
}

fn compare<'a>(left: Value<'a>, right: Value<'a>, meter: &mut Meter) -> Result<Option<Ordering>, Thrown> {
    let (left, right) = (left.primitive(meter)?, right.primitive(meter)?);
    if let (Value::Text(left), Value::Text(right)) = (&left, &right) {
        meter.look(left.bytes().len().min(right.bytes().len()))?;
        return Ok(Some(left.compare(right)));
    }
    Ok(left.number(meter)?.partial_cmp(&right.number(meter)?))
}

fn is_in<'a>(key: Value<'a>, object: &Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Thrown> {
    if !object.is_object() {
        let kind = if matches!(object, Value::Null) { "null" } else { object.type_of() };
        let what = format!("Cannot use 'in' operator to search for a key in what is no object ({kind})");
        return Err(Thrown::new("TypeError", what));
    }
    let key = key_of(key, meter)?;
    inner_of_function(object, &key)?;
    let own = object.own(&key, meter)?.is_some();
    let inherited = || {
        key.bytes() == b"__proto__"
            || object.shape().and_then(|shape| Function::inherited(shape, key.bytes())).is_some()
    };
    Ok(Value::Bool(own || inherited()))
}

/// None of the functions a rule can name is a constructor.
fn instance_of<'a>(left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, Thrown> {
    match right {
        Value::Function(_) if !left.is_object() => Ok(Value::Bool(false)),
        _ => Err(Thrown::new("TypeError", "Right-hand side of 'instanceof' is not a constructor")),
    }
}
