//! Tests against the answers of ECMAScript. The larger comparison, with Node itself, is in `valve/tests`.

use crate::{Budget, Exhausted, Input, Pattern, Span, Traits};
use proptest::prelude::*;

fn groups(source: &str, flags: &str, text: &str) -> Option<Vec<Option<String>>> {
    let pattern = Pattern::new(source, flags).unwrap_or_else(|error| panic!("/{source}/{flags}: {error}"));
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut budget = Budget::new(100_000);
    let wide = pattern.find(Input::Utf16(&units), 0, &mut budget).expect("enough steps");
    if text.is_ascii() {
        let narrow = pattern.find(Input::Ascii(text.as_bytes()), 0, &mut budget).expect("enough steps");
        assert_eq!(narrow, wide, "/{source}/{flags} on {text:?}: width matters");
    }
    let found = wide?;
    let cut = |group| found.group(group).map(|span| String::from_utf16_lossy(&units[span.start..span.end]));
    Some((0..pattern.groups()).map(cut).collect())
}

fn first(source: &str, flags: &str, text: &str) -> Option<String> {
    groups(source, flags, text).map(|groups| groups[0].clone().unwrap_or_default())
}

#[test]
fn matches_what_ecmascript_matches() {
    let cases: &[(&str, &str, &str, Option<&str>)] = &[
        ("", "", "abc", Some("")),
        ("b+", "", "abbbc", Some("bbb")),
        ("b+?", "", "abbbc", Some("b")),
        ("^b", "", "ab", None),
        ("^b", "m", "a\nb", Some("b")),
        ("a$", "", "a\n", None),
        ("a$", "m", "a\nb", Some("a")),
        (".+", "", "ab\ncd", Some("ab")),
        (".+", "s", "ab\ncd", Some("ab\ncd")),
        ("[^/]+", "", "//x/y", Some("x")),
        (r"\d{2,3}", "", "1 12345", Some("123")),
        (r"\d{2,3}?", "", "1 12345", Some("12")),
        ("a|ab", "", "ab", Some("a")),
        ("(?:a|ab)c", "", "abc", Some("abc")),
        (r"\bfoo\b", "", "a foo b", Some("foo")),
        (r"\Boo", "", "foo", Some("oo")),
        ("ABC", "i", "xabcx", Some("abc")),
        ("[^a]", "i", "Aab", Some("b")),
        ("é", "i", "É", Some("É")),
        (r"\u{1F600}", "u", "x😀", Some("😀")),
        ("^.$", "", "😀", None),
        ("^.$", "u", "😀", Some("😀")),
        (r"(?<=\$)\d+", "", "a$42", Some("42")),
        (r"(?<!\$)\b\d+", "", "$42 17", Some("17")),
        (r"a(?=b)", "", "acab", Some("a")),
        (r"a(?!c)", "", "acad", Some("a")),
        (r"(a)\1", "", "abaa", Some("aa")),
        (r"(?<x>a)\k<x>", "", "abaa", Some("aa")),
        (r"\p{Lu}+", "u", "abÄÖc", Some("ÄÖ")),
        (r"\p{Script=Greek}", "u", "aβ", Some("β")),
        ("a{0}b", "", "ab", Some("b")),
        ("(a*)*", "", "b", Some("")),
        ("(a*)+$", "", "aab", Some("")),
        ("(?:a?)*?b", "", "aab", Some("aab")),
        (r"[\s\S]", "", "\n", Some("\n")),
        ("x", "y", "ax", None),
        (r"\/", "", "a/b", Some("/")),
        ("a]", "", "a]", Some("a]")),
        ("{", "", "{", Some("{")),
        (r"\cA", "", "\u{1}", Some("\u{1}")),
        (r"\1(a)", "", "aa", Some("a")),
        (r"[\b]", "", "\u{8}", Some("\u{8}")),
    ];
    for (source, flags, text, expected) in cases {
        assert_eq!(first(source, flags, text).as_deref(), *expected, "/{source}/{flags} on {text:?}");
    }
}

#[test]
fn groups_forget_what_an_earlier_round_captured() {
    let captured = |text: &[Option<&str>]| Some(text.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(
        groups("(z)((a+)?(b+)?(c))*", "", "zaacbbbcac"),
        captured(&[Some("zaacbbbcac"), Some("z"), Some("ac"), Some("a"), None, Some("c")])
    );
    assert_eq!(groups("(?=(a+))a*b\\1", "", "baaabac"), captured(&[Some("aba"), Some("a")]));
    assert_eq!(
        groups("(.*?)a(?!(a+)b\\2c)\\2(.*)", "", "baaabaac"),
        captured(&[Some("baaabaac"), Some("ba"), None, Some("abaac")])
    );
    assert_eq!(groups(r"(?<=(\d+)(\d+))$", "", "1053"), captured(&[Some(""), Some("1"), Some("053")]));
    assert_eq!(groups(r"(?<=\1(a))b", "", "aab"), captured(&[Some("b"), Some("a")]));
}

#[test]
fn what_runs_away_is_stopped() {
    for source in [r"^(a+)+\1c$", "^(?:a|a)*(?!b)c$", r"^(?:a|a)*(?<!x)c$"] {
        let pattern = Pattern::new(source, "").unwrap();
        let text = "a".repeat(40) + "b";
        let mut budget = Budget::new(1_000_000);
        assert_eq!(pattern.find(Input::Ascii(text.as_bytes()), 0, &mut budget), Err(Exhausted), "{source}");
    }
    let copies = Pattern::new(r"^(a*)(?:\1)*$", "").unwrap();
    let text = "a".repeat(100_000) + "b";
    assert_eq!(copies.find(Input::Ascii(text.as_bytes()), 0, &mut Budget::new(1_000_000)), Err(Exhausted));
}

#[test]
fn what_an_automaton_could_do_does_not_run_away() {
    let sources = [
        "^(a+)+$",
        "^(a|a)*$",
        "(a*)*(a*)*c",
        "(?:a|aa)+$",
        "((a+)?){2,5}c",
        "^((?:a|aa){1,3})+c",
        "([ab]+?)+?c",
        "(x+x+)+y|(a?){3}b?c",
        ".*.*.*c",
        "a+[^c]+c",
    ];
    for source in sources {
        let pattern = Pattern::new(source, "").unwrap();
        for text in ["a".repeat(60) + "b", "x".repeat(200), "ab".repeat(100)] {
            let mut budget = Budget::new(1_000_000);
            let found = pattern.find(Input::Ascii(text.as_bytes()), 0, &mut budget);
            assert_eq!(found, Ok(None), "{source}");
        }
    }
    // Only failed states are recorded.
    let text = "a".repeat(300) + "b";
    let whole = |source| {
        let pattern = Pattern::new(source, "").unwrap();
        let found = pattern.find(Input::Ascii(text.as_bytes()), 0, &mut Budget::new(1_000_000));
        found.map(|found| found.map(|found| (found.whole(), found.group(1))))
    };
    let span = |start, end| Span { start, end };
    assert_eq!(whole("^(?:a|aa)*?(a{3})b$"), Ok(Some((span(0, 301), Some(span(297, 300))))));
    assert_eq!(whole("(?:aa?){100,150}(b)"), Ok(Some((span(0, 301), Some(span(300, 301))))));
    assert_eq!(whole("^(?:a{7}|a{5})+(b)"), Ok(Some((span(0, 301), Some(span(300, 301))))));
    assert_eq!(whole("^(?:(?:a{7}|a{11}){3}){9}(a*)b$"), Ok(Some((span(0, 301), Some(span(189, 300))))));
}

#[test]
fn refuses_what_is_no_pattern_and_says_where() {
    for source in ["(", "[", "a**", r"(?<x>a)\k<y>", "x{2,1}"] {
        assert!(Pattern::new(source, "").is_err(), "{source}");
    }
    assert!(Pattern::new("a", "v").unwrap_err().to_string().contains("flag v"));
    assert!(Pattern::new("a", "gg").unwrap_err().to_string().contains("twice"));
    assert!(Pattern::new(&"(".repeat(5_000), "").unwrap_err().to_string().contains("groups"));
    assert!(Pattern::new(&"a".repeat(100_000), "").is_err());
    assert!(Pattern::new("ab(c", "").unwrap_err().at().is_some());
    assert!(Pattern::new(r"\p{Nonsense}", "u").is_err());
}

/// Whether the shape alone rules out a text.
fn is_told(pattern: &Pattern, text: &str) -> bool {
    !pattern.shape().admits(&Traits::of(text.as_bytes(), text.encode_utf16().count()))
}

#[test]
fn shapes_tell_what_cannot_match() {
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        ("", "", &[], &["", "a", "é"]),
        ("^$", "", &["a"], &[""]),
        ("...", "", &["", "ab", "é"], &["abc", "abcd"]),
        ("^[a-z]{2,3}$", "", &["a", "abcd", "aB", "é", "éa"], &["ab", "abc"]),
        ("^[a-z]", "", &["", "1a", "é"], &["a1", "aé"]),
        ("[a-z]$", "", &["", "a1", "aé"], &["1a", "éa"]),
        (r"\d+.*[A-F]", "", &["1", "A", "1a", ""], &["1A", "A1"]),
        (r"^(?:\d|[a-c]x?)+$", "", &["d", "1y", "", "x"], &["1", "ax", "b1"]),
        ("^a|b$", "", &["", "xyz"], &["a", "xa", "bx"]),
        ("^(?:a|b)$|^c$", "", &["d", "ab", ""], &["a", "c"]),
        ("^(?:a|a{2})$", "", &["", "aaa"], &["a", "aa"]),
        ("(?:^a)?b", "", &["", "a"], &["xb", "ab"]),
        ("(?:a$)?b", "", &["", "a"], &["bx", "b"]),
        ("^[^/]*$", "", &["a/b"], &["", "ab", "é"]),
        (r"^\D+$", "", &["1", "a1", ""], &["a", "é"]),
        (r"(?:^\w)+x?", "", &["-w", "é"], &["w", "wx-"]),
        (r"^(a?)\1$", "", &[], &["", "aa", "b"]),
        ("^(?=b)b$", "", &["a", "bb"], &["b"]),
        ("^[😀]{2}$", "", &["a", "abc", "é"], &["😀"]),
        ("^😀$", "", &["a", "abc"], &["😀"]),
        ("^a$", "m", &["", "b"], &["a", "b\na"]),
        ("^a$", "i", &[], &["A", "b"]),
        ("^.$", "u", &[], &["😀", "ab"]),
        ("^x{0}a{2}$", "", &["x", "a", "xaa"], &["aa"]),
    ];
    for (source, flags, told, untold) in cases {
        let pattern = Pattern::new(source, flags).unwrap_or_else(|error| panic!("/{source}/{flags}: {error}"));
        for text in *told {
            assert!(is_told(&pattern, text), "/{source}/{flags} on {text:?} is not told");
            assert_eq!(first(source, flags, text), None, "/{source}/{flags} matches {text:?}");
        }
        untold.iter().for_each(|text| assert!(!is_told(&pattern, text), "/{source}/{flags} on {text:?} is told"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Whatever matches has the shape.
    #[test]
    fn shapes_admit_whatever_matches(
        source in r"\^?(?:(?:[ab1é😀./^$]|\\d|\\w|\\D|\\W|\\s|\\b|\\1|\[a-b1\]|\[\^a/\]|\[é-ÿ\]|\[\\w/\]|\(|\(\?:|\)|\)|\(\?=|\(\?!|\(\?<=|\|)(?:\*|\+|\?|\{2\}|\{1,3\}|\{0\}|\*\?)?){1,7}\$?",
        flags in "[ms]?",
        text in r"[ab1é😀/ \n]{0,5}",
    ) {
        let Ok(pattern) = Pattern::new(&source, &flags) else { return Ok(()) };
        let units: Vec<u16> = text.encode_utf16().collect();
        if let Ok(Some(_)) = pattern.find(Input::Utf16(&units), 0, &mut Budget::new(100_000)) {
            prop_assert!(!is_told(&pattern, &text), "/{}/{} on {:?}", source, flags, text);
        }
    }
}

proptest! {
    /// What is remembered changes no answer.
    #[test]
    fn remembering_changes_nothing(source in r"(?:[ab.]|\(|\)|\||\*|\+|\?|\{2\}|\{1,3\}|\*\?|\[ab\]\*){0,16}", text in "[ab]{0,40}c?") {
        let Ok(pattern) = Pattern::new(&source, "") else { return Ok(()) };
        let mut plain = pattern.clone();
        plain.rounds = None;
        let mut eager = pattern;
        eager.eager = true;
        let find = |pattern: &Pattern| pattern.find(Input::Ascii(text.as_bytes()), 0, &mut Budget::new(1_000_000));
        if let Ok(expected) = find(&plain) {
            prop_assert_eq!(find(&eager), Ok(expected), "/{}/ on {}", source, text);
        }
    }

    /// No text is a pattern that panics, and no match runs on.
    #[test]
    fn any_pattern_on_any_text_ends(source in r"[ab(|)*+?.\[\]^$\\1{},:=!<>-]{0,24}", text in "[abc]{0,20}", back in any::<bool>()) {
        let source = if back { format!("(?<={source})") } else { source };
        if let Ok(pattern) = Pattern::new(&source, "") {
            let _ = pattern.find(Input::Ascii(text.as_bytes()), 0, &mut Budget::new(50_000));
        }
    }
}
