//! The bounds of what a patch may build, and the strings that go in and out.

use deepstream_json::{
    Fault, JSON_DEPTH_MAX, Kind, Limits, Malformed, PatchError, Path, Scratch, check, get_member, kind_of, remove, set,
    set_many, string_of, unescape, write_string,
};

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn a_patch_may_nest_as_deep_as_a_text_and_no_deeper() {
    let mut out = Vec::new();
    let limits = Limits::default();
    let deepest = Path::parse("a.".repeat(JSON_DEPTH_MAX).as_bytes()).unwrap();
    assert_eq!(set(b"{}", &deepest, b"1", &limits, &mut out), Ok(()));
    assert_eq!(check(&out, &mut Scratch::new()), Ok(Kind::Object));
    assert_eq!(set(b"{}", &deepest, b"[]", &limits, &mut out), Err(PatchError::TooDeep));
    assert_eq!(remove(b"{}", &deepest, &limits, &mut out), Ok(()));
    assert_eq!(check(&out, &mut Scratch::new()), Ok(Kind::Object));
    let deeper = Path::parse("a.".repeat(JSON_DEPTH_MAX + 1).as_bytes()).unwrap();
    assert_eq!(set(b"{}", &deeper, b"1", &limits, &mut out), Err(PatchError::TooDeep));
    assert_eq!(remove(b"{}", &deeper, &limits, &mut out), Err(PatchError::TooDeep));

    let shallow = Path::parse(b"a.b").unwrap();
    assert_eq!(set(b"{}", &shallow, nested(JSON_DEPTH_MAX - 2).as_bytes(), &limits, &mut out), Ok(()));
    assert_eq!(check(&out, &mut Scratch::new()), Ok(Kind::Object));
    let lopsided = format!("[{},\"]]\",{{}}]", nested(JSON_DEPTH_MAX - 2));
    assert_eq!(set(b"{}", &shallow, lopsided.as_bytes(), &limits, &mut out), Err(PatchError::TooDeep));
    assert_eq!(
        set(b"{}", &shallow, nested(JSON_DEPTH_MAX - 1).as_bytes(), &limits, &mut out),
        Err(PatchError::TooDeep)
    );
}

#[test]
fn how_deep_a_text_may_be_is_set_and_told_where_it_ends() {
    for depth_max in [1, 2, 63, 64, 65, 127, 128, 129, 200, 1000, 100_000] {
        let mut scratch = Scratch::with_depth_max(depth_max);
        for filler in ["1".to_owned(), format!("\"{}\"", "мир".repeat(400))] {
            let text = |depth: usize| format!("{}{filler}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(check(text(depth_max).as_bytes(), &mut scratch), Ok(Kind::Array), "{depth_max}");
            let outcome = check(text(depth_max + 1).as_bytes(), &mut scratch);
            assert_eq!(outcome, Err(Malformed { at: depth_max, fault: Fault::TooDeep }), "{depth_max}");
        }
        // Objects and arrays are told apart at every depth, and what was closed opens again as something else.
        let mixed = |each: usize, filler: &str| {
            [&"[".repeat(each), &"{\"a\":".repeat(each), filler, &"}".repeat(each), &"]".repeat(each)].concat()
        };
        let half = depth_max / 2;
        assert!(check(mixed(half, "1").as_bytes(), &mut scratch).is_ok(), "{depth_max}");
        if half > 0 {
            assert!(check(mixed(half, "1").replace("}]", "]}").as_bytes(), &mut scratch).is_err(), "{depth_max}");
            let inner = mixed(half - 1, "1");
            let twice = format!("[{inner},{{\"b\":{inner}}},{inner}]");
            assert_eq!(check(twice.as_bytes(), &mut scratch), Ok(Kind::Array), "{depth_max}");
        }
        let limits = Limits { depth_max, ..Limits::default() };
        let deepest = Path::parse("a.".repeat(depth_max.min(1000)).trim_end_matches('.').as_bytes()).unwrap();
        let mut out = Vec::new();
        assert_eq!(set(b"{}", &deepest, b"1", &limits, &mut out), Ok(()), "{depth_max}");
        assert_eq!(set(&out.clone(), &deepest, b"2", &limits, &mut out), Ok(()), "{depth_max}");
    }
    assert_eq!(check(nested(100_000).as_bytes(), &mut Scratch::with_depth_max(usize::MAX)), Ok(Kind::Array));
}

#[test]
fn a_path_with_far_indices_cannot_build_more_than_the_limit() {
    let mut out = Vec::new();
    let limits = Limits { value_bytes_max: 100_000, ..Limits::default() };
    let far = |count: usize| Path::parse(format!("a{}", "[10000]".repeat(count)).as_bytes()).unwrap();
    assert_eq!(set(b"{}", &far(1), b"1", &limits, &mut out), Ok(()));
    assert_eq!(set(b"{}", &far(100), b"1", &limits, &mut out), Err(PatchError::TooLarge));
    assert!(out.len() <= 100_000);
}

#[test]
fn a_value_may_be_as_long_as_the_limit_and_no_longer() {
    let mut out = Vec::new();
    let limits = Limits { value_bytes_max: 10, ..Limits::default() };
    let path = Path::parse(b"a").unwrap();
    assert_eq!(set(b"{}", &path, b"1234", &limits, &mut out), Ok(()));
    assert_eq!(out, br#"{"a":1234}"#);
    assert_eq!(set(b"{}", &path, b"12345", &limits, &mut out), Err(PatchError::TooLarge));
    let long_key = Path::parse("k".repeat(20).as_bytes()).unwrap();
    assert_eq!(set(b"{}", &long_key, b"1", &limits, &mut out), Err(PatchError::TooLarge));
}

#[test]
fn a_list_of_patches_may_copy_so_much_and_no_more() {
    let (mut out, mut scratch) = (Vec::new(), Scratch::new());
    let value = format!(r#"{{"blob":"{}"}}"#, "x".repeat(1000));
    let list = |count: usize| format!("[{}]", vec![r#"{"path":"a","data":1}"#; count].join(","));
    let limits = Limits { patch_work_bytes_max: 10_500, ..Limits::default() };
    assert_eq!(set_many(value.as_bytes(), list(10).as_bytes(), &limits, &mut scratch, &mut out), Ok(()));
    assert_eq!(
        set_many(value.as_bytes(), list(11).as_bytes(), &limits, &mut scratch, &mut out),
        Err(PatchError::TooLarge)
    );
}

#[test]
fn text_that_is_no_value_says_where() {
    let fault = |text: &[u8]| check(text, &mut Scratch::new()).unwrap_err();
    assert_eq!(fault(b""), Malformed { at: 0, fault: Fault::Syntax });
    assert_eq!(fault(br#"{"a":1,}"#), Malformed { at: 7, fault: Fault::Syntax });
    assert_eq!(fault(b"[1 2]"), Malformed { at: 3, fault: Fault::Syntax });
    assert_eq!(fault(b"1 2"), Malformed { at: 2, fault: Fault::Syntax });
    assert_eq!(fault(b"\"a\xff\""), Malformed { at: 2, fault: Fault::Utf8 });
    assert_eq!(fault(b"\xef\xbb\xbf{}").fault, Fault::Syntax);
    assert_eq!(fault(nested(100_000).as_bytes()), Malformed { at: JSON_DEPTH_MAX, fault: Fault::TooDeep });
    assert_eq!(fault(b"[1 2]").to_string(), "not JSON at byte 3");
}

#[test]
fn a_value_that_is_not_json_is_not_patched() {
    let (mut out, limits, path) = (Vec::new(), Limits::default(), Path::parse(b"a").unwrap());
    for value in ["", " ", "}", "{", "[", r#"{"a"#, r#"{"a":1"#, r#"{"b":1 "a":2}"#, "[1"] {
        assert_eq!(set(value.as_bytes(), &path, b"1", &limits, &mut out), Err(PatchError::Malformed), "{value}");
    }
    assert_eq!(set(b"{}", &path, b" ", &limits, &mut out), Err(PatchError::Malformed));
    assert_eq!(
        set(b"{}", &Path::default(), b"1", &limits, &mut out).map_err(|error| error.to_string()).unwrap_err(),
        "path addresses nothing"
    );
}

#[test]
fn a_path_that_was_not_read_leaves_nothing_of_the_one_before() {
    let mut path = Path::parse(b"a.b").unwrap();
    assert!(path.read(b"x.__proto__").is_err());
    assert!(set(b"{}", &path, b"1", &Limits::default(), &mut Vec::new()).is_err());
    path.read(b"c").unwrap();
    assert_eq!(path, Path::parse(b"c").unwrap());
}

#[test]
fn strings_come_out_of_their_escapes() {
    for (raw, content) in [
        ("", ""),
        ("plain é", "plain é"),
        (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r"\u0041\u00e9\u4e16", "Aé世"),
        (r"\ud83d\ude00!", "😀!"),
        (r"\uD83D\uDE00", "😀"),
        (r"\ud83d", "\u{fffd}"),
        (r"\ude00\ud83d\u0041", "\u{fffd}\u{fffd}A"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
    ] {
        assert_eq!(unescape(raw.as_bytes()), content.as_bytes(), "{raw}");
        assert_eq!(string_of(format!(" \"{raw}\"\n").as_bytes()).as_deref(), Some(content.as_bytes()), "{raw}");
    }
    for value in ["1", "", "\"", "{\"a\":\"b\"}", "null"] {
        assert_eq!(string_of(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn strings_are_written_as_javascript_writes_them() {
    for (content, text) in [
        (&b""[..], r#""""#),
        (b"a\"b\\c/d", r#""a\"b\\c/d""#),
        (b"\x08\x0c\n\r\t\x00\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\""),
        ("é世😀".as_bytes(), "\"é世😀\""),
        (b"a\xffb\xe4\xb8", "\"a\u{fffd}b\u{fffd}\""),
    ] {
        let mut out = Vec::new();
        write_string(content, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

#[test]
fn members_are_found_by_name() {
    let text = br#" { "user\u006eame" : "a" , "x" : {"username":"inner"} , "username" : "b" , "data" : [1, 2] } "#;
    assert_eq!(get_member(text, b"username"), Some(&b"\"b\""[..]));
    assert_eq!(get_member(text, b"data"), Some(&b"[1, 2]"[..]));
    assert_eq!(get_member(text, b"inner"), None);
    assert_eq!(get_member(b"[1]", b"0"), None);
    assert_eq!(kind_of(b" -1"), Some(Kind::Number));
    assert_eq!(kind_of(b" "), None);
}
