//! simd-json, where it is faster than the scanner.
//!
//! *Owns* when that is, and the buffers it works in. *Promises* that what it accepts is a value; its refusals mean nothing.
//! *Does not* keep its tape: a value is its text.
//!
//! Measured on one core of an AMD EPYC with AVX2, copying the text into mutable memory included: on ASCII the scanner wins at
//! every size (1.2 GB/s on small objects, 5.8 GB/s on prose, against 0.6 and 3.1), because building a tape is work that a mere
//! check throws away. Beyond ASCII the scanner needs a pass of the standard library's UTF-8 check first, at 1.4 GB/s, while
//! simd-json checks UTF-8 on the way. Long strings of Cyrillic: 3.3 GB/s against 1.4, from a few hundred bytes on. With
//! members between the strings the two break even where two thirds of the bytes are beyond ASCII.

use simd_json::{Buffers, INPUT_PADDING, Tape, fill_tape_padded};

use crate::check::{JSON_DEPTH_MAX, Kind};
use crate::scan::space;

/// Below, the start-up of simd-json eats the gain; above, its buffers would be kept at several times this size for one text.
const BYTES_MIN: usize = 512;
const BYTES_MAX: usize = 1 << 20;

/// How many bytes are looked at to guess the share beyond ASCII.
const SAMPLES: usize = 48;

pub(crate) struct Simd {
    buffers: Buffers,
    copy: Vec<u8>,
    /// Empty between calls; kept for its allocation.
    tape: Tape<'static>,
}

impl Default for Simd {
    fn default() -> Self {
        Self { buffers: Buffers::with_max_depth(0, JSON_DEPTH_MAX), copy: Vec::new(), tape: Tape(Vec::new()) }
    }
}

impl Simd {
    /// Is this a text that simd-json checks faster? A guess from a sample: wrong only in time.
    pub(crate) fn wins(text: &[u8]) -> bool {
        if !(BYTES_MIN..=BYTES_MAX).contains(&text.len()) {
            return false;
        }
        let beyond = text.iter().step_by(text.len() / SAMPLES).filter(|byte| !byte.is_ascii()).count();
        beyond * 3 >= SAMPLES * 2
    }

    /// `None` says nothing: the text may still be a value.
    pub(crate) fn check(&mut self, text: &[u8]) -> Option<Kind> {
        self.copy.clear();
        self.copy.extend_from_slice(text);
        self.copy.resize(text.len() + INPUT_PADDING, b' ');
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let outcome = fill_tape_padded(&mut self.copy, text.len(), &mut self.buffers, &mut tape);
        self.tape = tape.reset();
        outcome.ok()?;
        Kind::of_first(text.get(space(text, 0)).copied())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::check::{Fault, Malformed, Scratch, check};
    use crate::scan::scan;

    fn by_scanner(text: &[u8]) -> Option<Kind> {
        std::str::from_utf8(text).ok()?;
        scan(text).ok()
    }

    #[test]
    fn long_texts_beyond_ascii_are_checked_here() {
        let mut simd = Simd::default();
        for (text, kind) in [
            (format!("[\"{}\"]", "мир".repeat(100)), Kind::Array),
            (format!(" {{\"a\":\"{}\",\"b\":[1,2.5,{{}},null]}} ", "мир".repeat(2000)), Kind::Object),
            (format!("\"{}\\n\"", "世界".repeat(200)), Kind::String),
        ] {
            assert!(Simd::wins(text.as_bytes()));
            assert_eq!(simd.check(text.as_bytes()), Some(kind));
            assert_eq!(check(text.as_bytes(), &mut Scratch::new()), Ok(kind));
        }
        assert!(!Simd::wins("мир".repeat(1 << 20).as_bytes()));
        assert!(!Simd::wins("x".repeat(10_000).as_bytes()));
    }

    #[test]
    fn what_simd_json_cannot_represent_is_a_value_all_the_same() {
        let filler = "мир".repeat(200);
        for part in [
            "1e400",
            "-1e-400",
            "123456789012345678901234567890",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "{\"a\":1,\"a\":2}",
        ] {
            let text = format!("[\"{filler}\",{part}]");
            assert!(Simd::wins(text.as_bytes()));
            assert_eq!(check(text.as_bytes(), &mut Scratch::new()), Ok(Kind::Array), "{part}");
        }
    }

    #[test]
    fn nesting_ends_at_the_same_depth_on_both_ways() {
        for filler in ["\"x\"".to_owned(), format!("\"{}\"", "мир".repeat(400))] {
            let nested = |depth: usize| format!("{}{filler}{}", "[".repeat(depth), "]".repeat(depth));
            let mut scratch = Scratch::new();
            assert_eq!(check(nested(JSON_DEPTH_MAX).as_bytes(), &mut scratch), Ok(Kind::Array));
            let outcome = check(nested(JSON_DEPTH_MAX + 1).as_bytes(), &mut scratch);
            assert_eq!(outcome, Err(Malformed { at: JSON_DEPTH_MAX, fault: Fault::TooDeep }));
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            prop::sample::select(vec![
                "0",
                "-0",
                "01",
                "1.",
                ".5",
                "-",
                "+1",
                "1e5",
                "1E+5",
                "1e",
                "1e400",
                "1.5e-3",
                "0x1",
                "99999999999999999999",
                "18446744073709551616",
                "-9223372036854775809",
                "0.1e1",
                "0e0",
                "1_0",
                "true",
                "false",
                "null",
                "nul",
                "truex",
                "True",
                "\"\"",
                "\"\\ud83d\\ude00\"",
                "\"\\ud800\"",
                "\"\\ude00x\"",
                "\"\\u00e9\"",
                "\"\\x\"",
                "\"\\u12g4\"",
                "\"\t\"",
                "\"\u{7f}\"",
                "{}",
                "[]",
                "[,]",
                "{,}",
                "[1,]",
                "",
                " ",
                "'a'",
                "NaN",
                "Infinity",
            ])
            .prop_map(str::to_owned),
            "[а-я世é\\\\\"a\u{80}\u{ffff}\u{10ffff}]{0,80}".prop_map(|text| format!("\"{text}\"")),
            "[а-я ]{0,80}".prop_map(|text| format!("\"{text}\"")),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
                vec(("[а-яa\n ]{0,5}", inner), 0..5).prop_map(|members| {
                    let texts: Vec<_> = members.iter().map(|(name, text)| format!("\"{name}\" : {text}")).collect();
                    format!(" {{{}}}", texts.join(" ,"))
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_simd_json_accepts_the_scanner_accepts(
            text in text(),
            spoils in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..3),
        ) {
            let mut simd = Simd::default();
            let mut text = text.into_bytes();
            let expected = by_scanner(&text);
            prop_assert!(simd.check(&text).is_none_or(|kind| Some(kind) == expected), "{:?}", String::from_utf8_lossy(&text));
            for (at, byte, how) in spoils {
                let at = at.index(text.len() + 1);
                match how {
                    0 => text.insert(at, byte),
                    _ if at == text.len() => {}
                    1 => text[at] = byte,
                    2 => drop(text.remove(at)),
                    _ => text.truncate(at),
                }
                // The same buffers again, as in service: what an earlier text left in them must not show.
                let expected = by_scanner(&text);
                prop_assert!(simd.check(&text).is_none_or(|kind| Some(kind) == expected), "{:?}", String::from_utf8_lossy(&text));
            }
        }
    }
}
