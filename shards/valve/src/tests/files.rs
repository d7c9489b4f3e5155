//! Whole files: what is refused and where, which rule is chosen, and why it says what it says.

use super::cases::{file, settle};
use crate::check::{At, Complaint, Node, Value, check, check_rows};
use crate::eval::{Context, Document, User, Verdict};
use crate::explain::explain;
use crate::right::Right;
use crate::rules::{Choice, Choices, Ruleset};

const AT: At = At { line: 1, column: 1 };

fn map(entries: Vec<(&str, Node)>) -> Node {
    Node { value: Value::Map(entries.into_iter().map(|(name, node)| (name.to_owned(), AT, node)).collect()), at: AT }
}

fn text(text: &str) -> Node {
    Node { value: Value::Text(text.to_owned(), vec![(0, At { line: 7, column: 11 })]), at: AT }
}

fn answer(answer: bool) -> Node {
    Node { value: Value::Bool(answer), at: AT }
}

fn open() -> Node {
    map(vec![("*", map(Vec::new()))])
}

fn with_record(paths: Vec<(&str, Node)>) -> Node {
    map(vec![("record", map(paths)), ("event", open()), ("rpc", open()), ("presence", open())])
}

fn refused(node: &Node) -> Vec<Complaint> {
    check(node).expect_err("it is refused")
}

#[test]
fn ruleset_made_again_of_its_outline_is_the_same() {
    let rules = |say: &str| map(vec![("read", text(say)), ("write", answer(true)), ("delete", answer(false))]);
    let (first, last) = (rules("$owner === user.id && _('a/' + $owner)"), rules("user.data.x > 3"));
    let root = with_record(vec![("own/$owner", first), ("*", rules("false")), ("b/*", last)]);
    let ruleset = check(&root).expect("good rules").ruleset;
    let again = Ruleset::of_outline(ruleset.outline()).expect("an outline of rules");
    assert_eq!(again.outline(), ruleset.outline());
    assert_eq!(again.rules().len(), 9);
    for name in ["own/ann", "b/c", "d", "own/$x"] {
        for right in Right::ALL {
            assert_eq!(again.choose(right, Some(name.as_bytes())), ruleset.choose(right, Some(name.as_bytes())));
            assert_eq!(again.always(right, name.as_bytes()), ruleset.always(right, name.as_bytes()));
        }
    }
    let mut broken = ruleset.outline();
    broken.rules[0].path = 99;
    assert!(Ruleset::of_outline(broken).is_err());
}

#[test]
fn shapes_are_refused_in_upstreams_words_and_order() {
    let other = |name| Node { value: Value::Other(name), at: AT };
    let cases = [
        (answer(true), "config should be an object literal, but was of type boolean"),
        (map(vec![]), "missing configuration section \"record\""),
        (
            map(vec![("record", open()), ("event", open()), ("rpc", open())]),
            "missing configuration section \"presence\"",
        ),
        (
            map(vec![("record", open()), ("event", open()), ("rpc", open()), ("presence", open()), ("x", open())]),
            "unexpected configuration section \"x\"",
        ),
        (with_record(vec![]), "empty section \"record\""),
        (with_record(vec![("", open())]), "path can't be empty for path  in section record"),
        (with_record(vec![("/a", open())]), "path can't start with / for path /a in section record"),
        (with_record(vec![("a/$-x", open())]), "invalid variable name $- for path a/$-x in section record"),
        (with_record(vec![("a", map(vec![]))]), "missing root entry \"*\" for section record"),
        (with_record(vec![("*", map(vec![("paint", answer(true))]))]), "unknown rule type paint in section record"),
        (with_record(vec![("*", map(vec![("read", other("number"))]))]), "rule must be a string"),
        (with_record(vec![("*", map(vec![("read", text(""))]))]), "rule can't be empty"),
        (with_record(vec![("*", map(vec![("read", text("data.x"))]))]), "rule read for record does not support data"),
        (
            with_record(vec![("*", map(vec![("create", text("oldData.x"))]))]),
            "rule create for record does not support oldData",
        ),
    ];
    for (node, what) in cases {
        assert_eq!(refused(&node)[0].what, what);
    }
}

#[test]
fn rules_speak_of_what_their_right_has_once_they_are_read() {
    for (right, rule, refused) in [
        (Right::RecordCreate, "user.id === 'data'", None),
        (Right::RecordRead, "_('data/' + user.id) /* data */ && user.data.oldData", None),
        (Right::RecordRead, "typeof data === 'undefined'", Some(("data", 7))),
        (Right::RecordRead, "({ data }).data", Some(("data", 3))),
        (Right::RecordRead, "`${data.x}`", Some(("data", 3))),
        (Right::RecordRead, "true; data.x", Some(("data", 6))),
        (Right::RecordRead, "user[data.x]", Some(("data", 5))),
        (Right::RecordRead, "d\\u0061ta.x", Some(("data", 0))),
        (Right::RecordCreate, "!oldData", Some(("oldData", 1))),
        (Right::RecordCreate, "old\\u{44}ata.x", Some(("oldData", 0))),
        (Right::EventPublish, "data.x === oldData", Some(("oldData", 11))),
    ] {
        let checked = check(&file(right, "a/$x", rule)).map(drop).map_err(|complaints| complaints[0].clone());
        let expected = refused.map_or(Ok(()), |(what, byte)| {
            let what = format!("rule {} for {} does not support {what}", right.rule(), right.section());
            let rule = Some(format!("{} \"a/$x\" {}", right.section(), right.rule()));
            Err(Complaint { what, rule, at: At { line: 1, column: 1 + byte } })
        });
        assert_eq!(checked, expected, "{rule}");
    }
}

#[test]
fn long_lists_of_names_are_not_nested() {
    let names: Vec<String> = (0..200).map(|number| format!("'5f0c-1a2b-3c4d-({number}'")).collect();
    let rule = format!("[{}].includes(user.id)", names.join(", "));
    assert!(check(&file(Right::RecordRead, "a/$x", &rule)).is_ok());
    for hidden in ["'", "/'/ && '", "`'` + '", "<!-- '", "'\\\n"] {
        let rule = format!("{hidden}{}", "(".repeat(5_000));
        assert!(check(&file(Right::RecordRead, "a/$x", &rule)).is_err(), "{hidden}");
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let at = |line| At { line, column: 1 };
    let place = |line, node: Node| Node { at: at(line), ..node };
    let root = Node {
        value: Value::Map(vec![
            (
                "record".to_owned(),
                at(1),
                map(vec![
                    ("/a", map(vec![("read", text("alert(1)"))])),
                    ("a(", map(vec![("paint", answer(true))])),
                    ("b", place(4, answer(true))),
                ]),
            ),
            ("evnt".to_owned(), at(5), open()),
            ("rpc".to_owned(), at(6), map(vec![])),
            ("presence".to_owned(), at(7), map(vec![("x", map(vec![("allow", text("data.x"))]))])),
            ("paths".to_owned(), at(8), text("glob")),
        ]),
        at: AT,
    };
    let told: Vec<String> = refused(&root).iter().map(|complaint| complaint.what.clone()).collect();
    let expected = [
        "missing configuration section \"event\"",
        "unexpected configuration section \"evnt\"",
        "paths are regexp, as without this key, or literal",
        "path can't start with / for path /a in section record",
        "invalid path: ",
        "empty section \"rpc\"",
        "missing root entry \"*\" for section record",
        "missing root entry \"*\" for section presence",
        "function alert is not supported",
        "unknown rule type paint in section record",
        "the rules of path b in section record are no map of rule types",
        "rule allow for presence does not support data",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
    assert!(told[4].contains("write a\\( for path a( in section record"), "{}", told[4]);
}

/// A file with its paths literal or not.
fn with_paths(made_of: Option<&str>, paths: Vec<(&str, Node)>) -> Node {
    let Node { value: Value::Map(mut entries), at } = with_record(paths) else { panic!("a map") };
    entries.extend(made_of.map(|made_of| ("paths".to_owned(), AT, text(made_of))));
    Node { value: Value::Map(entries), at }
}

#[test]
fn literal_paths_mean_their_characters_and_only_they() {
    let paths = || {
        let names = [
            "*",
            "example.com/$x",
            "search?$q",
            "a[0]/$x",
            "c++/*",
            "(a|b)",
            "^top$",
            "price$-$x",
            r"back\slash",
            "{n}/*/end.",
        ];
        names.map(|path| (path, map(vec![("read", text(&format!("user.id && {:?}", path.len())))]))).to_vec()
    };
    let literal = check(&with_paths(Some("literal"), paths())).expect("good").ruleset;
    let chosen = |ruleset: &Ruleset, name: &str| match ruleset.choose(Right::RecordRead, Some(name.as_bytes())) {
        Choice::Rule(rule, captures) => {
            let variables = captures.iter().map(|&(start, end)| name[start as usize..end as usize].to_owned());
            (ruleset.path_of(ruleset.rule(rule)).to_owned(), variables.collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    };
    let again = Ruleset::of_outline(literal.outline()).expect("the same again");
    for (name, path, variables) in [
        ("example.com/1", "example.com/$x", vec!["1"]),
        ("exampleXcom/1", "*", vec![]),
        ("search?abc", "search?$q", vec!["abc"]),
        ("searchSecret", "*", vec![]),
        ("searcabc", "*", vec![]),
        ("a[0]/1", "a[0]/$x", vec!["1"]),
        ("a0/1", "*", vec![]),
        ("c++/x/y", "c++/*", vec![]),
        ("(a|b)", "(a|b)", vec![]),
        ("a", "*", vec![]),
        ("^top$", "^top$", vec![]),
        ("top", "*", vec![]),
        ("price$-9", "price$-$x", vec!["9"]),
        (r"back\slash", r"back\slash", vec![]),
        ("{n}/a/b/end.", "{n}/*/end.", vec![]),
        ("{n}/a/endX", "*", vec![]),
    ] {
        let expected = (path.to_owned(), variables.into_iter().map(str::to_owned).collect());
        assert_eq!(chosen(&literal, name), expected, "{name}");
        assert_eq!(chosen(&again, name), expected, "{name}, from the outline");
    }
    // Without the key they are what upstream takes them for.
    let regular = paths().into_iter().filter(|(path, _)| ["*", "example.com/$x", "search?$q"].contains(path));
    for made_of in [None, Some("regexp")] {
        let ruleset = check(&with_paths(made_of, regular.clone().collect())).expect("good").ruleset;
        assert_eq!(chosen(&ruleset, "exampleXcom/1").0, "example.com/$x");
        assert_eq!(chosen(&ruleset, "searchSecret").0, "search?$q");
    }
}

#[test]
fn doubtful_paths_are_warned_of_with_their_escaped_spelling() {
    let rules = || map(vec![("read", text("user.id"))]);
    let paths = |path| vec![("*", rules()), (path, rules())];
    for (path, spelling) in
        [("example.com/$x", r"example\.com/$x"), ("search?$q", r"search\?$q"), ("a[0]/$x", r"a\[0\]/$x")]
    {
        let warnings = check(&with_paths(None, paths(path))).expect("good").warnings;
        let [warning] = &warnings[..] else { panic!("{path}: {warnings:?}") };
        assert_eq!(warning.rule.as_deref(), Some(&*format!("record \"{path}\"")));
        assert!(warning.what.ends_with(&format!("write {spelling}")), "{}", warning.what);
        // The spelling is what was meant, and nothing is to be said about it.
        let again = check(&with_paths(None, paths(spelling))).expect("good");
        assert_eq!(again.warnings, []);
        assert_eq!(check(&with_paths(Some("literal"), paths(path))).expect("good").warnings, []);
    }
    assert_eq!(check(&with_paths(None, paths("room-[0-9]+"))).expect("good").warnings, []);
    assert_eq!(check(&with_paths(Some("literal"), paths("a/.*"))).expect("good").warnings.len(), 1);
}

#[test]
fn every_bad_rule_is_named_with_its_place() {
    let node = with_record(vec![
        ("*", map(vec![("read", text("user.id ===")), ("write", text("true && alert(1)"))])),
        ("a/$x", map(vec![("delete", text("$x.trim() === new"))])),
    ]);
    let complaints = refused(&node);
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    let complaints_of_calls = &complaints[1];
    assert_eq!(complaints_of_calls.rule.as_deref(), Some("record \"*\" write"));
    assert_eq!(complaints_of_calls.at, At { line: 7, column: 19 });
    assert!(complaints_of_calls.to_string().starts_with("7:19: function alert is not supported"));
}

#[test]
fn the_longest_matching_path_with_such_a_rule_is_asked() {
    let paths = vec![
        ("*", map(vec![("read", text("'*' && 0")), ("write", answer(false)), ("delete", answer(true))])),
        ("a/$x", map(vec![("read", text("'a/$x' && 0"))])),
        ("a/b*", map(vec![("read", text("'a/b*' && 0"))])),
        ("a/b", map(vec![("read", text("'a/b' && 0"))])),
        ("a/$longname", map(vec![("read", text("'a/$longname' && 0"))])),
        ("c.d", map(vec![("read", text("'c.d' && 0"))])),
        ("e/$p-$q/$p", map(vec![("read", text("$p === 'last' && $q === 'y'"))])),
    ];
    let ruleset = check(&with_record(paths)).unwrap().ruleset;
    let chosen = |right, name: &str| match ruleset.choose(right, Some(name.as_bytes())) {
        Choice::Rule(rule, _) => ruleset.path_of(ruleset.rule(rule)).to_owned(),
        other => panic!("{other:?}"),
    };
    for (name, path) in [
        ("z", "*"),
        ("", "*"),
        ("a/b", "a/$longname"),
        ("a/b/c", "a/b*"),
        ("a/", "*"),
        ("c.d", "c.d"),
        ("cXd", "c.d"),
        ("a/😀", "a/$longname"),
    ] {
        assert_eq!(chosen(Right::RecordRead, name), path, "{name}");
    }
    assert_eq!(chosen(Right::RecordDelete, "a/b"), "*");
    assert_eq!(ruleset.choose(Right::RecordRead, Some(b"z\nb")), Choice::None);
    assert_eq!(ruleset.choose(Right::RecordListen, Some(b"a")), Choice::None);
    let user = User::default();
    let context = Context { user: &user, name: Some(b"e/x-y/last"), ..Context::default() };
    assert_eq!(settle(&ruleset, Right::RecordRead, context), Verdict::Allow);
}

#[test]
fn choices_that_hang_on_nothing_are_known_at_once() {
    let paths = vec![("*", map(vec![("read", answer(true)), ("write", answer(false)), ("delete", text("user.id"))]))];
    let ruleset = check(&with_record(paths)).unwrap().ruleset;
    assert_eq!(ruleset.always(Right::RecordRead, b"x"), Some(true));
    assert_eq!(ruleset.always(Right::RecordRead, b"x\ny"), None, "no path is for a name with a line break");
    assert_eq!(ruleset.always(Right::RecordWrite, b"x\ny"), Some(false));
    assert_eq!(ruleset.always(Right::RecordDelete, b"x"), None);
    assert_eq!(ruleset.always(Right::RecordListen, b"x"), Some(false), "no rule at all");
    assert!(ruleset.is_open(Right::RecordRead) && !ruleset.is_open(Right::RecordWrite));
}

#[test]
fn choices_are_remembered_per_ruleset_and_forgotten_when_idle() {
    let ruleset = |rule: &str| check(&file(Right::RecordRead, "a/$x", rule)).unwrap().ruleset;
    let (one, two) = (ruleset("user.id"), ruleset("name"));
    let mut choices = Choices::default();
    let first = choices.choose(&one, 1, Right::RecordRead, (Some(b"a/b"), false), 5);
    assert_eq!(first, Choice::Rule(0, [(2, 3)].into_iter().collect()));
    assert_eq!(choices.choose(&one, 1, Right::RecordRead, (Some(b"a/b"), false), 5), first);
    assert_eq!(
        choices.choose(&one, 1, Right::RecordRead, (Some(b"c"), false), 5),
        Choice::None,
        "the same hash is not the same name"
    );
    assert_eq!(choices.len(), 2);
    choices.sweep();
    let _ = choices.choose(&one, 1, Right::RecordRead, (Some(b"c"), false), 5);
    choices.sweep();
    assert_eq!(choices.len(), 1);
    let _ = choices.choose(&two, 2, Right::RecordRead, (Some(b"c"), false), 5);
    assert_eq!(choices.len(), 1, "another ruleset starts anew");
}

/// Paths that spell out the anchors of listen patterns are for the names that those patterns match.
#[test]
fn a_name_that_is_listened_to_meets_the_rules_for_anchored_patterns_too() {
    let paths = [
        ("*", "1"),
        ("news/*", "2"),
        (r"\^news/sport/*", "3"),
        (r"\^of/$user/.*\$", "$user"),
        (r"x\\$", "4"),
        (r"\^secret/deep/*", "5"),
    ];
    let rows: Vec<_> = paths.iter().map(|(path, rule)| ("event", *path, "listen", *rule)).collect();
    let ruleset = check_rows(&rows).unwrap().ruleset;
    let mut choices = Choices::default();
    let mut chosen = |name: &str| {
        let choice = ruleset.choose_listened(Right::EventListen, name.as_bytes());
        // Remembered apart from what the same text means as a pattern.
        for listened in [true, false] {
            let named = (Some(name.as_bytes()), listened);
            let remembered = choices.choose(&ruleset, 1, Right::EventListen, named, 7);
            assert!(!listened || remembered == choice, "{name}");
        }
        match choice {
            Choice::Rule(rule, captures) => {
                let captures =
                    captures.iter().map(|(start, end)| name[*start as usize..*end as usize].to_owned()).collect();
                (ruleset.path_of(ruleset.rule(rule)).to_owned(), captures)
            }
            other => panic!("{name}: {other:?}"),
        }
    };
    let mut meets = |name: &str, path: &str, values: &[&str]| {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        assert_eq!(chosen(name), (path.to_owned(), values), "{name}");
    };
    meets("other", "*", &[]);
    meets("news/1", "news/*", &[]);
    meets("news/sport/1", r"\^news/sport/*", &[]);
    meets("^news/sport/.*", r"\^news/sport/*", &[]);
    meets("of/ann/1", r"\^of/$user/.*\$", &["ann"]);
    // An escaped backslash is no anchor.
    meets("x", "*", &[]);
    meets("notnews/sport/1", "*", &[]);
    // What is no name but a pattern is matched as it is written.
    let plain = ruleset.choose(Right::EventListen, Some(b"news/sport/1"));
    assert!(matches!(plain, Choice::Rule(rule, _) if ruleset.path_of(ruleset.rule(rule)) == "news/*"));
}

#[test]
fn who_has_no_name_is_matched_as_undefined() {
    let presence = |rule: &str| {
        let section = map(vec![("*", map(vec![("allow", text(rule))]))]);
        let node = map(vec![("record", open()), ("event", open()), ("rpc", open()), ("presence", section)]);
        settle(&check(&node).unwrap().ruleset, Right::PresenceAllow, Context::default())
    };
    assert_eq!(presence("name === undefined"), Verdict::Allow);
    assert_eq!(presence("user.id === 'x'"), Verdict::Deny);
}

#[test]
fn an_explanation_shows_the_rule_its_place_and_every_value() {
    let rule = "user.id === $x && data.price > oldData.price ? name.includes('b') : data?.a.b";
    let ruleset: Ruleset = check(&file(Right::RecordWrite, "a/$x", rule)).unwrap().ruleset;
    let user = User { id: "b", server_data: None };
    let context = Context {
        user: &user,
        name: Some(b"a/b"),
        data: Document::Text(br#"{"price":3}"#),
        old_data: Document::Text(br#"{"price":4}"#),
        ..Context::default()
    };
    let explained = explain(&ruleset, Right::RecordWrite, &context);
    let parts: Vec<_> = explained.parts.iter().map(|part| (part.text.as_str(), part.value.as_str())).collect();
    for part in [
        ("user.id", "\"b\""),
        ("$x", "\"b\""),
        ("user.id === $x", "true"),
        ("data.price", "3"),
        ("data.price > oldData.price", "false"),
        ("user.id === $x && data.price > oldData.price", "false"),
        ("data?.a", "undefined"),
    ] {
        assert!(parts.contains(&part), "{part:?} in {parts:?}");
    }
    assert!(parts.last().unwrap().1.starts_with("throws TypeError"), "{parts:?}");
    assert!(matches!(explained.verdict, Verdict::Error(_)));
    let told = explained.to_string();
    assert!(told.starts_with("record \"a/$x\" write at 1:1: user.id"), "{told}");
    assert!(told.contains("data.price → 3\n"), "{told}");
    let nothing = explain(&ruleset, Right::EventPublish, &context);
    assert!(nothing.to_string().contains("no event rule of type publish"));
}
