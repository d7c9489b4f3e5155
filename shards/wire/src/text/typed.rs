//! Values with their type in front, to and from JSON (docs/text-grammar.md §2).

use std::str::from_utf8;

use deepstream_json::{string_of, write_string};

use super::{END, PART};

/// Appends a typed value as JSON, if it is one. `Ok(false)`: it is `undefined`, nothing is appended.
pub(super) fn read(typed: &[u8], out: &mut Vec<u8>) -> Result<bool, ()> {
    let (&kind, rest) = typed.split_first().ok_or(())?;
    match kind {
        b'S' => write_string(rest, out),
        b'O' => out.extend_from_slice(rest),
        b'N' => number(rest, out)?,
        b'T' => out.extend_from_slice(b"true"),
        b'F' => out.extend_from_slice(b"false"),
        b'L' => out.extend_from_slice(b"null"),
        b'U' => return Ok(false),
        _ if typed == b"null" => out.extend_from_slice(b"null"),
        _ => return Err(()),
    }
    Ok(true)
}

/// What clients write is a JSON number nearly always; what JavaScript alone takes for one is written anew.
fn number(text: &[u8], out: &mut Vec<u8>) -> Result<(), ()> {
    if is_plain(text) {
        out.extend_from_slice(text);
        return Ok(());
    }
    let value: f64 = from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).ok_or(())?;
    if !value.is_finite() {
        return Err(());
    }
    out.extend_from_slice(value.to_string().as_bytes());
    Ok(())
}

/// Whether this is a number in JSON: `-`, digits, a fraction, an exponent.
fn is_plain(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    let mut rest = &text[whole..];
    let mut good = whole == 1 || whole > 1 && text[0] != b'0';
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        good &= len > 0;
        rest = &fraction[len..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let len = digits(exponent);
        good &= len > 0;
        rest = &exponent[len..];
    }
    good && rest.is_empty()
}

/// Appends JSON as a typed value.
pub(super) fn write(json: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(json) = json.map(<[u8]>::trim_ascii) else { return out.push(b'U') };
    match json.first() {
        Some(b'"') => string(json, out),
        Some(b'{' | b'[') => put(b'O', json, out),
        Some(b't') => out.push(b'T'),
        Some(b'f') => out.push(b'F'),
        Some(b'n') => out.push(b'L'),
        Some(_) => put(b'N', json, out),
        None => out.push(b'U'),
    }
}

/// A string that holds one of the separators would end its part: it goes as JSON, in which they are escaped.
fn string(json: &[u8], out: &mut Vec<u8>) {
    match string_of(json) {
        Some(text) if !text.iter().any(|&byte| byte == END || byte == PART) => put(b'S', &text, out),
        _ => put(b'O', json, out),
    }
}

fn put(kind: u8, rest: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_json(typed: &str) -> Result<Option<String>, ()> {
        let mut out = Vec::new();
        read(typed.as_bytes(), &mut out).map(|given| given.then(|| String::from_utf8(out).unwrap()))
    }

    fn to_typed(json: &str) -> String {
        let mut out = Vec::new();
        write(Some(json.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_keep_their_type_both_ways() {
        for (typed, json) in [
            ("Shello", r#""hello""#),
            ("S", r#""""#),
            ("Sa \"quoted\"\nline", r#""a \"quoted\"\nline""#),
            ("Sünïcödé 🚀", r#""ünïcödé 🚀""#),
            ("N5", "5"),
            ("N-1.5", "-1.5"),
            ("N1e+21", "1e+21"),
            ("N0", "0"),
            ("T", "true"),
            ("F", "false"),
            ("L", "null"),
            (r#"O{"a":[1,null]}"#, r#"{"a":[1,null]}"#),
            ("O[]", "[]"),
        ] {
            assert_eq!(to_json(typed), Ok(Some(json.into())), "{typed}");
            assert_eq!(to_typed(json), typed, "{json}");
        }
    }

    #[test]
    fn numbers_only_javascript_knows_are_written_anew() {
        for (typed, json) in
            [("N.5", "0.5"), ("N5.", "5"), ("N+5", "5"), ("N007", "7"), ("N 5 ", "5"), ("N-.5", "-0.5")]
        {
            assert_eq!(to_json(typed), Ok(Some(json.into())), "{typed}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for typed in ["", "5", "{}", "\"x\"", "Nabc", "N", "NNaN", "NInfinity", "N-", "N1e", "X1", "true"] {
            assert_eq!(to_json(typed), Err(()), "{typed}");
        }
        assert_eq!(to_json("null"), Ok(Some("null".into())), "upstream reads the bare word");
        assert_eq!(to_json("U"), Ok(None));
        assert_eq!(to_json("Uwhatever"), Ok(None));
    }

    #[test]
    fn a_string_never_breaks_out_of_its_part() {
        assert_eq!(to_typed(r#""a\u001eR\u001fD\u001fx""#), r#"O"a\u001eR\u001fD\u001fx""#);
        assert_eq!(to_json(r#"O"a\u001e""#), Ok(Some(r#""a\u001e""#.into())));
    }

    #[test]
    fn blanks_around_a_value_do_not_matter() {
        assert_eq!(to_typed(" \n5 "), "N5");
        assert_eq!(to_typed(" {} "), "O{}");
        let mut absent = Vec::new();
        write(None, &mut absent);
        assert_eq!(absent, b"U");
    }
}
