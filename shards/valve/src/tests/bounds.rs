//! What an evaluation may cost.

use super::world::{context, user};
use crate::compile::Program;
use crate::eval::{Context, Document, REFERENCES_MAX, Verdict, judge};

fn verdict(rule: &str, context: &Context<'_>) -> Verdict {
    let program = Program::new(rule, &[]).unwrap_or_else(|refused| panic!("{rule}: {}", refused.what)).0;
    judge(&program, context).verdict
}

fn error(rule: &str, context: &Context<'_>) -> String {
    match verdict(rule, context) {
        Verdict::Error(thrown) => thrown.to_string(),
        other => panic!("{rule} is {other:?}"),
    }
}

#[test]
fn text_that_grows_is_stopped() {
    let user = user();
    let long = format!("{:?}", "x".repeat(1 << 20));
    let context = Context { data: Document::Text(long.as_bytes()), ..context(&user) };
    let doubled = "data + data + data + data + data + data === ''";
    assert!(error(doubled, &context).contains("too much text"));
    let listed = format!("[{}] + ''", ["data"; 10].join(","));
    assert!(error(&listed, &context).contains("too much text"));
}

#[test]
fn large_documents_can_be_read_a_few_times_and_not_for_ever() {
    let user = user();
    let large = format!(r#"{{"a":[{}0],"z":1}}"#, "0,".repeat(4 << 20));
    let context = Context { data: Document::Text(large.as_bytes()), ..context(&user) };
    assert_eq!(verdict("data.z === 1 && data.z < 2", &context), Verdict::Allow);
    let often = ["data.z"; 20].join("+");
    assert!(error(&often, &context).contains("too many steps"));
}

#[test]
fn references_are_counted() {
    let user = user();
    let context = context(&user);
    let names = |count: usize| (0..count).map(|index| format!("_('r{index}')")).collect::<Vec<_>>().join(",");
    match verdict(&format!("[{}].length", names(20)), &context) {
        Verdict::Need(needs) => assert_eq!(needs.len(), 20),
        other => panic!("{other:?}"),
    }
    // Those that were counted before are fetched; with them at hand, one more is an error.
    let known: Vec<String> = (0..REFERENCES_MAX).map(|index| format!("r{index}")).collect();
    let references: Vec<_> =
        known.iter().map(|name| crate::eval::Reference { name: name.as_bytes(), value: None }).collect();
    let context = Context { references: &references, ..context };
    assert!(error(&format!("[{}].length", names(REFERENCES_MAX + 1)), &context).contains("cross references"));
}

#[test]
fn rules_that_nest_without_end_are_refused() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("!", ""), ("typeof ", ""), ("- ", ""), ("1 ? 1 : ", ""), ("`${", "}`")]
    {
        for count in [50, 250, 500, 5_000] {
            let rule = format!("{}1{}", open.repeat(count), close.repeat(count));
            let read = Program::new(&rule, &[]);
            assert!(count == 50 || read.is_err() || open != "(", "{open}");
        }
    }
    let long = ["data.a"; 200].join("+");
    assert!(Program::new(&long, &[]).is_ok());
    let longer = "data.a+".repeat(2_000) + "0";
    assert!(Program::new(&longer, &[]).is_err());
    assert!(Program::new(&"1".repeat(20_000), &[]).unwrap_err().what.contains("longer"));
}

#[test]
fn rules_that_depend_on_nothing_are_answers() {
    for (rule, answer) in
        [("true", Some(true)), ("1 > 2", Some(false)), ("\ntrue", Some(false)), ("'a' + 'b' === 'ab'", Some(true))]
    {
        assert_eq!(Program::new(rule, &[]).unwrap().0.answer(), answer, "{rule}");
    }
    for rule in ["user.id", "data.x", "now", "_('x')", "null.x", "name", "action"] {
        assert_eq!(Program::new(rule, &[]).unwrap().0.answer(), None, "{rule}");
    }
}

#[test]
fn rounds_are_counted_as_upstream_counts_them() {
    let record = |name: &[u8]| -> Option<Box<[u8]>> {
        Some(format!(r#"{{"next":"{}x","x":1}}"#, name.len()).into_bytes().into())
    };
    let user = user();
    let verdict = |rule: &str, max: u32| {
        let program = Program::new(rule, &[]).unwrap().0;
        crate::settle(&program, &Context { references: &[], ..context(&user) }, max, record).0
    };
    assert_eq!(verdict("_('a').x === 1", 3), Verdict::Allow);
    assert_eq!(verdict("_('a').x === 1", 1), Verdict::Error(crate::too_many_rounds()));
    assert_eq!(verdict("_('a').x === 1 && _('b').x === 1", 3), Verdict::Allow);
    assert_eq!(
        verdict("_('a').x === 1 && _('b').x === 1 && _('c').x === 1", 3),
        Verdict::Error(crate::too_many_rounds())
    );
    assert_eq!(verdict("_(_('a').next).x === 1", 3), Verdict::Allow);
    assert_eq!(verdict("_(_(_('a').next).next).x === 1", 3), Verdict::Error(crate::too_many_rounds()));
    assert_eq!(verdict("_(_(_('a').next).next).x === 1", 4), Verdict::Allow);
    // What was there before is the first round; what is asked for beside it costs none of its own.
    assert_eq!(verdict("oldData.n === 4", 2), Verdict::Allow);
    assert_eq!(verdict("oldData.n === 4", 1), Verdict::Error(crate::too_many_rounds()));
    assert_eq!(verdict("_('a').x === 1 && oldData.n === 4", 2), Verdict::Allow);
    assert_eq!(
        verdict("oldData.n === 4 && _('a').x === 1 && _('b').x === 1", 3),
        Verdict::Error(crate::too_many_rounds())
    );
}

/// Errors are logged at a level that is on by default; documents are for whoever may read them.
#[test]
fn errors_name_nothing_that_a_document_says() {
    let user = user();
    let document = Document::Text(br#"{"secret":"pa55word(","none":null}"#);
    let context = Context { data: document, old_data: document, ..context(&user) };
    for (rule, said) in [
        ("'x' in data.secret", "in what is no object (string)"),
        ("'x' in data.none", "in what is no object (null)"),
        ("data.none[data.secret] === 1", "Cannot read properties of null (reading a key that it makes)"),
        ("data.gone[oldData.secret] === 1", "Cannot read properties of undefined (reading a key that it makes)"),
        ("name.match(data.secret)", "Invalid regular expression"),
        ("_(data)", "crossreference got unsupported type object"),
        // What the rule says itself is named.
        ("data.none.there === 1", "(reading 'there')"),
    ] {
        let error = error(rule, &context);
        assert!(error.contains(said) && !error.contains("pa55"), "{rule}: {error}");
    }
}

#[test]
fn nothing_nests_without_bound_not_even_what_no_rule_may_have() {
    let said = |text: &str| {
        let rows = [("record", "*", "read", text)];
        crate::check::check_rows(&rows).map(drop).map_err(|complaints| complaints[0].what.clone())
    };
    let many = |part: &str, times: usize| part.repeat(times.min((crate::RULE_BYTES_MAX - 8) / part.len()));
    for part in [
        "a=>",
        "a=",
        "async a=>",
        "await ",
        "class extends ",
        "delete ",
        "import ",
        "new ",
        "typeof ",
        "void ",
        "yield ",
        "!",
        "-",
        "a**",
        "a?b:",
        "(",
    ] {
        assert_eq!(said(&format!("{}a", many(part, 9999))).unwrap_err(), "rule is nested too deeply", "{part}");
        // What the parser is given it reads without running out of stack.
        assert_ne!(said(&format!("{}a", many(part, 99))).err().as_deref(), Some("rule is nested too deeply"), "{part}");
    }
    for part in ["a:", "do ", "if(a)", "if(a);else ", "for(;;)", "throw ", "while(a)", "with(a)"] {
        assert_eq!(said(&format!("1;{}a", many(part, 9999))).unwrap_err(), "rule is nested too deeply", "{part}");
        assert_ne!(said(&format!("1;{}a", many(part, 99))).unwrap_err(), "rule is nested too deeply", "{part}");
    }
    for (part, end) in
        [("user.data.new === 'new' && ", "true"), ("user.id == 'a:b' || ", "false"), ("name <= 'a' && ", "1")]
    {
        assert_eq!(said(&format!("{}{end}", many(part, 280))), Ok(()), "what is in a row does not nest: {part}");
    }
    assert_eq!(said(&format!("({{{}z: 1}})[name] === 1", many("a: 1, 'b': 2, ", 400))), Ok(()));
    assert_eq!(said(&format!("{}false", many("name === 'x' ? true : ", 200))), Ok(()));
}

#[test]
fn a_path_that_takes_too_many_steps_leaves_its_name_to_no_other() {
    let rows = [("record", "*", "read", "user.id"), ("record", "secret/*a*", "read", "false")];
    let ruleset = crate::check::check_rows(&rows).expect("good rules").ruleset;
    let right = crate::Right::RecordRead;
    let secret = |len: usize| ["secret/".as_bytes(), &vec![b'a'; len], b"\xc3\xa9"].concat();
    let name = |rule| ruleset.path_of(ruleset.rule(rule)).to_owned();
    for len in (0..60_000).step_by(500) {
        match ruleset.choose(right, Some(&secret(len))) {
            crate::Choice::Rule(rule, _) => assert_eq!(name(rule), if len == 0 { "*" } else { "secret/*a*" }),
            choice => assert_eq!(choice, crate::Choice::None, "what cannot be told is denied"),
        }
    }
    let longest = ["secret/".as_bytes(), &[b'a'; 2041]].concat();
    assert!(
        matches!(ruleset.choose(right, Some(&longest)), crate::Choice::Rule(..)),
        "names of ordinary length can be told"
    );
}
