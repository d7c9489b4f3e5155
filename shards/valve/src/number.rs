//! Numbers as ECMAScript reads and writes them.
//!
//! *Owns* the way between numbers and texts, and the operators on integers. *Promises* ECMA-262's answers. *Does not* allocate.

use crate::text::trimmed;

/// `Number(text)`.
pub(crate) fn parse(text: &[u8]) -> f64 {
    let (start, end) = trimmed(text);
    let text = &text[start..end];
    match text {
        [] => return 0.0,
        [b'0', b'x' | b'X', digits @ ..] => return radix(digits, 16),
        [b'0', b'o' | b'O', digits @ ..] => return radix(digits, 8),
        [b'0', b'b' | b'B', digits @ ..] => return radix(digits, 2),
        _ => {}
    }
    let (sign, unsigned) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    };
    if unsigned == b"Infinity" {
        return sign * f64::INFINITY;
    }
    // What the standard library also reads, and ECMAScript does not, begins with a letter or a second sign.
    if !unsigned.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return f64::NAN;
    }
    std::str::from_utf8(unsigned)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .map_or(f64::NAN, |number| sign * number)
}

/// A number as JSON has it.
pub(crate) fn from_json(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.trim_ascii().parse().ok()).unwrap_or(f64::NAN)
}

fn radix(digits: &[u8], radix: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    // Exact to 53 bits; beyond, the first bit that is lost decides, and those behind it break a tie.
    let (mut mantissa, mut exponent, mut sticky) = (0_u64, 0_i32, false);
    let bits = radix.trailing_zeros();
    for digit in digits {
        let Some(value) = char::from(*digit).to_digit(radix) else { return f64::NAN };
        for bit in (0..bits).rev() {
            let one = u64::from(value >> bit & 1);
            if mantissa >> 54 == 0 {
                mantissa = mantissa << 1 | one;
            } else {
                exponent += 1;
                sticky |= one == 1;
            }
        }
    }
    if mantissa >> 53 == 0 {
        return mantissa as f64;
    }
    // 55 bits with a sticky bit below them: the conversion rounds to nearest, ties to even.
    ((mantissa << 1 | u64::from(sticky)) as f64) * 2_f64.powi(exponent - 1)
}

/// `String(number)`, into a buffer.
pub(crate) fn write(number: f64, buffer: &mut dragonbox_ecma::Buffer) -> &str {
    buffer.format(number)
}

/// `ToInt32`.
pub(crate) fn to_int32(number: f64) -> i32 {
    to_uint32(number) as i32
}

/// `ToUint32`.
pub(crate) fn to_uint32(number: f64) -> u32 {
    if !number.is_finite() {
        return 0;
    }
    let whole = number.trunc();
    if whole.abs() < 9.0e15 {
        return whole as i64 as u32;
    }
    whole.rem_euclid(4_294_967_296.0) as u32
}

/// `ToIntegerOrInfinity`, cut to where positions lie.
pub(crate) fn to_position(number: f64, length: usize) -> usize {
    if number.is_nan() || number <= 0.0 {
        return 0;
    }
    if number >= length as f64 { length } else { number as usize }
}

#[allow(clippy::float_cmp, reason = "one is exactly one")]
/// `base ** exponent`, where ECMAScript and IEEE 754 disagree.
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    if exponent.is_nan() || base.abs() == 1.0 && exponent.is_infinite() { f64::NAN } else { base.powf(exponent) }
}
