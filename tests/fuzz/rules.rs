//! Permission rules: any file and any message is refused or judged within bounds, with the same result from every
//! function that judges.

use deepstream_json::{Scratch, check};
use deepstream_valve::check::{Checked, check_rows_of};
use deepstream_valve::{
    Choice, Choices, Context, Document, Paths, Right, Ruleset, User, Verdict, explain, judge, settle,
};

const ROUNDS_MAX: u32 = 3;
/// What is asked for, with what such a message brings.
const RIGHTS: [Right; 4] = [Right::RecordWrite, Right::RecordRead, Right::EventPublish, Right::PresenceAllow];
/// What the first rule stands beside.
const OTHERS: [(&str, &str); 4] = [("*", "false"), ("*", "true"), ("a/*", "data"), ("$x/$y", "$y === user.id")];

/// Which right, beside which other path, and whether paths are literal; then path, rule, name, data, the record itself and what the server knows of
/// the user, parted by bytes that no UTF-8 has.
pub(crate) fn run(input: &[u8]) {
    let [how, rest @ ..] = input else { return };
    let mut parts = rest.splitn(6, |&byte| byte == 0xff);
    let [path, rule, name, data, old, known] = [(); 6].map(|()| parts.next().unwrap_or_default());
    let [Ok(path), Ok(rule), Ok(_)] = [path, rule, name].map(str::from_utf8) else { return };
    let right = RIGHTS[usize::from(*how) % RIGHTS.len()];
    let (section, kind) = (right.section(), right.rule());
    let (other_path, other_rule) = OTHERS[usize::from(how >> 2) % OTHERS.len()];
    let rows = [(section, path, kind, rule), (section, other_path, kind, other_rule)];
    let paths = if how & 0x10 == 0 { Paths::Regular } else { Paths::Literal };
    let checked = check_rows_of(paths, &rows);
    match &checked {
        Ok(checked) => assert!(checked.warnings.iter().all(|warning| !warning.to_string().is_empty())),
        Err(complaints) => assert!(!complaints.is_empty() && complaints.iter().all(|why| !why.what.is_empty())),
    }
    let Ok(Checked { ruleset, .. }) = checked else { return };
    let is_json = |text: &&[u8]| check(text, &mut Scratch::new()).is_ok();
    let document = |text| Some(text).filter(is_json).map_or(Document::Missing, Document::Text);
    let user = User { id: "ann", server_data: Some(known).filter(is_json) };
    let context = Context {
        user: &user,
        action: 18,
        now_ms: 1.7e12,
        data: Some(data).filter(is_json).map_or(Document::Absent, Document::Text),
        old_data: document(old),
        ..Context::default()
    };
    for name in [Some(name), None] {
        judged(&ruleset, right, &Context { name, ..context }, old);
    }
}

/// One message, every way.
fn judged(ruleset: &Ruleset, right: Right, context: &Context<'_>, old: &[u8]) {
    let choice = ruleset.choose(right, context.name);
    let mut choices = Choices::default();
    let remembered = [(); 2].map(|()| choices.choose(ruleset, 1, right, (context.name, false), 7));
    assert_eq!(remembered[0], remembered[1]);
    let account = explain(ruleset, right, context);
    assert!(!account.to_string().is_empty());
    let Choice::Rule(index, captures) = &choice else {
        assert_eq!(account.verdict, Verdict::Deny);
        return assert!(matches!(remembered[0], Choice::None | Choice::Always(false)));
    };
    let name = context.name.unwrap_or_default();
    // A variable of an alternative that was not taken stands for nothing, and ends before it begins.
    for &(start, end) in captures.iter().filter(|(start, end)| start <= end) {
        assert!(str::from_utf8(&name[start as usize..end as usize]).is_ok(), "a variable is a stretch of the name");
    }
    let program = &ruleset.rule(*index).program;
    let context = Context { captures, ..*context };
    let once = judge(program, &context);
    assert_eq!(once, judge(program, &context), "{} has one answer", program.text());
    assert_eq!(account.verdict, once.verdict, "{} is explained", program.text());
    match &remembered[0] {
        Choice::Always(answer) => assert_eq!(program.answer(), Some(*answer)),
        other => assert_eq!(*other, choice),
    }
    // As after it was sent to somebody else: on a tape.
    let again = Ruleset::of_outline(ruleset.outline()).expect("what was a ruleset is one");
    assert_eq!(again.choose(right, context.name), choice);
    assert_eq!(judge(&again.rule(*index).program, &context), once);
    let mut asked = Vec::new();
    let (verdict, fetched) = settle(program, &context, ROUNDS_MAX, |name| {
        assert!(!asked.contains(&name.to_vec()), "{} asks twice for a record", program.text());
        asked.push(name.to_vec());
        (name.len().is_multiple_of(2) && check(old, &mut Scratch::new()).is_ok()).then(|| old.into())
    });
    assert!(!matches!(verdict, Verdict::Need(_)), "{} is not settled", program.text());
    assert_eq!(fetched.len(), asked.len());
}
