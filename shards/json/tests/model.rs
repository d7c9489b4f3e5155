//! Patches against a naive model.

mod naive;

use deepstream_json::{Kind, Limits, Path, Scratch, check, check_patches, get_member, kind_of, remove, set, set_many};
use naive::{GAP_MAX, model, steps};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

fn limits() -> Limits {
    Limits { array_index_gap_max: GAP_MAX as u64, ..Limits::default() }
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\n\t ")]
}

/// Names as they may be spelled in a text; several spellings mean the same, and few enough that they collide.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "\\u0061",
        "b",
        "b",
        "c",
        "0",
        "1",
        "\\u0031",
        "01",
        "10",
        "",
        "\\n",
        "n",
        "\\\\n",
        "x\\\"",
        "é",
        "\\u00e9",
        "\\ud83d\\ude00",
        "😀",
        "ab",
        "long name of a member",
        "length",
    ])
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "null", "true", "false", "0", "-1.5e3", "12345678", "\"\"", "{}", "[]", "[ ]", "{ }"
        ])
        .prop_map(str::to_owned),
        any::<i32>().prop_map(|number| number.to_string()),
        "[a-z\"\\\\{}\\[\\],:\u{1}\né😀]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        name().prop_map(|name| format!("\"{name}\"")),
    ]
}

/// The text of any value, with space and repeated names.
fn document() -> impl Strategy<Value = String> {
    let value = leaf().prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            vec((space(), inner.clone(), space()), 0..6).prop_map(|elements| {
                let texts: Vec<_> =
                    elements.iter().map(|(before, text, after)| format!("{before}{text}{after}")).collect();
                format!("[{}]", texts.join(","))
            }),
            vec((space(), name(), space(), inner), 0..6).prop_map(|members| {
                let texts: Vec<_> = members
                    .iter()
                    .map(|(before, name, after, text)| format!("{before}\"{name}\"{after}:{after}{text}{before}"))
                    .collect();
                format!("{{{}}}", texts.join(","))
            }),
        ]
    });
    (space(), value, space()).prop_map(|(before, text, after)| format!("{before}{text}{after}"))
}

fn path() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "0",
        "1",
        "2",
        "01",
        "10",
        "\n.n",
        "n",
        "\\n",
        "x\"",
        "é",
        "😀",
        "ab",
        "long name of a member",
        "length",
        "",
    ]);
    let index = prop::sample::select(vec!["[0]", "[1]", "[ 2 ]", "[1e1]", "[01]", "[3", "[25]", "[]", "]1"]);
    let segment = (space(), key, vec(index, 0..3), space())
        .prop_map(|(before, key, indices, after)| format!("{before}{key}{}{after}", indices.concat()));
    vec(segment, 1..5)
        .prop_map(|segments| segments.join("."))
        .prop_filter("addresses something", |path| Path::parse(path.as_bytes()).is_ok())
}

/// A document whose root can be entered, and paths that lead to what is in it, a step beside it or a step too far.
fn aimed() -> impl Strategy<Value = (String, Vec<String>)> {
    let root = document().prop_map(|text| match kind_of(text.as_bytes()) {
        Some(Kind::Object | Kind::Array) => text,
        _ => format!("{{\"a\":{text},\"b\":[{text},{text}],\"c\":{{\"a\":{text},\"b\":1}},\"\u{e9}\":{text}}}"),
    });
    let picks = vec(vec(any::<prop::sample::Index>(), 1..5), 1..6);
    (root, picks).prop_map(|(text, picks)| {
        let value = parse(text.as_bytes());
        let paths = picks.iter().map(|picks| aim(&value, picks)).collect();
        (text, paths)
    })
}

fn aim(value: &Value, picks: &[prop::sample::Index]) -> String {
    let mut path = Vec::new();
    let mut here = value;
    for (depth, pick) in picks.iter().enumerate() {
        match here {
            Value::Object(members) => {
                let keys: Vec<_> = members.keys().filter(|key| !key.is_empty() && key.trim() == *key).collect();
                let key = keys.get(pick.index(keys.len() + 1)).map_or("new", |key| key.as_str());
                path.push(format!("{}{key}", if depth == 0 { "" } else { "." }));
                here = members.get(key).unwrap_or(&Value::Null);
            }
            Value::Array(elements) => {
                let index = pick.index(elements.len() + 2);
                path.push(if depth == 0 { index.to_string() } else { format!("[{index}]") });
                here = elements.get(index).unwrap_or(&Value::Null);
            }
            _ => {
                path.push(if pick.index(2) == 0 { ".below" } else { "[1]" }.to_owned());
                here = &Value::Null;
            }
        }
    }
    path.concat()
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn setting_agrees_with_the_model((document, paths) in aimed(), stray in path(), new in document()) {
        let mut out = Vec::new();
        for path in paths.iter().chain([&stray]) {
            let mut expected = parse(document.as_bytes());
            let fits = model(&mut expected, &steps(path), Some(&parse(new.as_bytes())));
            let read = Path::parse(path.as_bytes()).unwrap();
            prop_assert_eq!(set(document.as_bytes(), &read, new.as_bytes(), &limits(), &mut out).is_ok(), fits);
            if fits {
                prop_assert!(check(&out, &mut Scratch::new()).is_ok(), "{}: {}", path, String::from_utf8_lossy(&out));
                prop_assert_eq!(parse(&out), expected);
            }
        }
    }

    #[test]
    fn removing_agrees_with_the_model((document, paths) in aimed(), stray in path()) {
        let mut out = Vec::new();
        for path in paths.iter().chain([&stray]) {
            let mut expected = parse(document.as_bytes());
            let fits = model(&mut expected, &steps(path), None);
            let read = Path::parse(path.as_bytes()).unwrap();
            prop_assert_eq!(remove(document.as_bytes(), &read, &limits(), &mut out).is_ok(), fits);
            if fits {
                prop_assert!(check(&out, &mut Scratch::new()).is_ok(), "{}: {}", path, String::from_utf8_lossy(&out));
                prop_assert_eq!(parse(&out), expected);
            }
        }
    }

    #[test]
    fn a_list_of_patches_agrees_with_the_model(
        (document, paths) in aimed(),
        stray in path(),
        news in vec(prop::option::of(document()), 6),
    ) {
        let patches: Vec<_> = paths.iter().chain([&stray]).zip(&news).collect();
        let mut expected = parse(document.as_bytes());
        let fits = patches.iter().all(|(path, new)| {
            model(&mut expected, &steps(path), new.as_ref().map(|new| parse(new.as_bytes())).as_ref())
        });
        let texts: Vec<_> = patches.iter().map(|(path, new)| {
            let path = serde_json::to_string(path).unwrap();
            match new {
                Some(new) => format!("{{\"data\":{new},\"path\":{path}}}"),
                None => format!(" {{ \"path\" : {path} }} "),
            }
        }).collect();
        let list = format!(" [{}] ", texts.join(","));
        let (mut out, mut scratch) = (Vec::new(), Scratch::new());
        prop_assert_eq!(check_patches(list.as_bytes(), &mut scratch), Ok(()));
        let outcome = set_many(document.as_bytes(), list.as_bytes(), &limits(), &mut scratch, &mut out);
        prop_assert_eq!(outcome.is_ok(), fits);
        if fits {
            prop_assert!(check(&out, &mut scratch).is_ok());
            prop_assert_eq!(parse(&out), expected);
        }
    }

    #[test]
    fn a_member_is_found_as_a_parser_finds_it(document in document(), name in path()) {
        let value = parse(document.as_bytes());
        let found = get_member(document.as_bytes(), name.as_bytes()).map(parse);
        prop_assert_eq!(found.as_ref(), value.get(&name));
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Number(_) => Kind::Number,
            Value::String(_) => Kind::String,
            Value::Array(_) => Kind::Array,
            Value::Object(_) => Kind::Object,
        };
        prop_assert_eq!(kind_of(document.as_bytes()), Some(kind));
        prop_assert_eq!(check(document.as_bytes(), &mut Scratch::new()), Ok(kind));
    }

    #[test]
    fn a_spoiled_text_is_judged_as_a_known_parser_judges_it(
        document in document(),
        spoils in vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\ue0-+.19nul\n\x00\x1f\x80\xc3\xa9\xed\xff ".to_vec()), 0..3), 1..4),
        path in path(),
    ) {
        let mut text = document.into_bytes();
        for (at, byte, how) in spoils {
            let at = at.index(text.len() + 1);
            match how {
                0 => text.insert(at, byte),
                _ if at == text.len() => {}
                1 => text[at] = byte,
                _ => text.truncate(at),
            }
        }
        let mut scratch = Scratch::new();
        let valid = std::str::from_utf8(&text).is_ok() && serde_json::from_slice::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(check(&text, &mut scratch).is_ok(), valid, "{:?}", String::from_utf8_lossy(&text));
        no_panic(&text, path.as_bytes(), &mut scratch);
    }

    #[test]
    fn hostile_bytes_never_panic(text in vec(prop_oneof![
        prop::sample::select(b"{{}}[[]]\"\",,::\\\\ud8dc0aa11pathdata-+.eE ntf\n".to_vec()),
        any::<u8>(),
    ], 0..60), path in vec(prop_oneof![prop::sample::select(b"ab01..[[]] xeE+-".to_vec()), any::<u8>()], 0..20)) {
        no_panic(&text, &path, &mut Scratch::new());
    }
}

/// Everything is called on text that nobody checked. Only what was checked has to come out well.
fn no_panic(text: &[u8], path: &[u8], scratch: &mut Scratch) {
    let mut out = Vec::new();
    let valid = check(text, scratch).is_ok();
    if let Ok(path) = Path::parse(path) {
        for new in [&b"1"[..], text] {
            if set(text, &path, new, &limits(), &mut out).is_ok() && valid {
                assert!(check(&out, scratch).is_ok());
            }
        }
        if remove(text, &path, &limits(), &mut out).is_ok() && valid {
            assert!(check(&out, scratch).is_ok());
        }
    }
    let _ = set_many(text, text, &limits(), scratch, &mut out);
    let _ = set_many(b"{}", text, &limits(), scratch, &mut out);
    let _ = get_member(text, path);
    let _ = deepstream_json::unescape(text);
    let _ = deepstream_json::string_of(text);
    out.clear();
    deepstream_json::write_string(text, &mut out);
    assert_eq!(check(&out, scratch), Ok(Kind::String));
}
