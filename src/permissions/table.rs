//! A table of test cases: who does what to which name, and whether that is expected to be allowed.
//!
//! *Owns* the format: a list of cases, or `{users, cases}` with the serverData of users said once. *Promises* that a
//! case is judged as the server judges the corresponding message: a patch by the document that it results in, the
//! deletion of a path as a deletion.

use crate::config::NESTING_MAX;
use crate::config::node::{self, Step};
use deepstream_json::{Limits, Scratch, set_many};
use deepstream_valve::{
    Choice, Context, Document, Fetched, Reference, Right, Ruleset, Thrown, User, Verdict, explain, settle,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// One row of a table of cases, or the arguments of `explain`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Case {
    /// Section and rule type: `record.write`.
    pub(super) action: String,
    /// The name that is acted on; none for presence of everybody.
    pub(super) name: Option<String>,
    /// Who acts; nobody in particular unless said.
    pub(super) user: Option<String>,
    pub(super) server_data: Option<Value>,
    pub(super) data: Option<Value>,
    /// Instead of `data`, for writes by path: `[{path, data}]`; an entry without data deletes its path.
    pub(super) patch: Option<Vec<Patch>>,
    /// The path that is deleted, if not the whole record.
    pub(super) erase: Option<String>,
    /// For record rules: the present value of the record; by default there is no record.
    pub(super) old_data: Option<Value>,
    /// Other records, for cross references.
    #[serde(default)]
    pub(super) records: BTreeMap<String, Value>,
    /// Milliseconds since 1970; by default the present time.
    pub(super) now: Option<f64>,
    /// The value of `action` in the rule; by default that of the simplest message.
    pub(super) action_number: Option<u8>,
    pub(super) expected: Option<Expected>,
    /// The name of the case.
    pub(super) title: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    path: String,
    data: Option<Value>,
}

/// Cases with users, whose serverData is given once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    users: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

/// The cases of a table that was read from `file`, or where it is wrong.
pub(super) fn read(file: &Path, text: &str) -> Result<Vec<Case>, String> {
    // Syntax errors are worded as in every other file.
    node::parse(file, text).map_err(|fault| fault.into_error_of_loaded(file).to_string())?;
    let cases = parse(text).map_err(|fault| {
        let place = fault.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
        // The place comes first, as in all other errors of files.
        let said = fault.to_string();
        format!("{}{place}: {}", file.display(), said.split(" at line ").next().unwrap_or_default())
    })?;
    if cases.is_empty() {
        return Err(format!("{}: there are no cases; give a list of {{action, name, user, expected}}", file.display()));
    }
    Ok(cases)
}

fn parse(text: &str) -> Result<Vec<Case>, serde_yaml::Error> {
    let shape: serde_yaml::Value = serde_yaml::from_str(text)?;
    if shape.is_null() {
        return Ok(Vec::new());
    }
    if !shape.is_mapping() {
        return serde_yaml::from_str(text);
    }
    let Table { users, mut cases } = serde_yaml::from_str(text)?;
    for case in &mut cases {
        if case.server_data.is_none() {
            case.server_data = case.user.as_ref().and_then(|user| users.get(user)).cloned();
        }
    }
    Ok(cases)
}

/// Line and column of a case.
pub(super) fn place(text: &str, index: usize) -> String {
    let listed = serde_yaml::from_str(text).is_ok_and(|shape: serde_yaml::Value| shape.is_sequence());
    let users = [Step::Key("cases".to_owned())].into_iter().filter(|_| !listed);
    let steps: Vec<Step> = users.chain([Step::Index(index)]).collect();
    node::place_of(text, &steps).map_or_else(String::new, |(line, column)| format!(":{line}:{column}"))
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expected {
    Allow,
    Deny,
}

/// The action number of the simplest message that needs a right.
fn plainest(right: Right, patches: usize, erases: bool) -> u8 {
    match right {
        Right::RecordWrite if patches == 1 => 19,
        Right::RecordWrite if patches > 1 => 35,
        Right::RecordDelete if erases => 20,
        Right::RecordCreate => 15,
        Right::RecordRead | Right::EventSubscribe => 3,
        Right::RecordWrite => 18,
        Right::RecordDelete => 9,
        Right::RecordListen => 27,
        Right::RecordNotify | Right::EventPublish | Right::RpcRequest => 2,
        Right::EventListen => 5,
        Right::RpcProvide => 8,
        Right::PresenceAllow => 4,
    }
}

pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) explanation: String,
}

impl Case {
    fn right(&self) -> Result<Right, String> {
        let found = self.action.split_once('.').and_then(|(section, rule)| Right::find(section, rule));
        found.ok_or_else(|| {
            let known = Right::ALL.map(|right| format!("{}.{}", right.section(), right.rule())).join(", ");
            format!("there is no action {}; there are {known}", self.action)
        })
    }

    /// `tables`: those in which authentication keeps its users.
    pub(super) fn judge(&self, ruleset: &Ruleset, rounds_max: u32, tables: &[String]) -> Result<Judged, String> {
        let right = self.right()?;
        let bytes = |value: &Value| value.to_string().into_bytes();
        let server_data = self.server_data.as_ref().filter(|data| !data.is_null()).map(bytes);
        let user = User { id: self.user.as_deref().unwrap_or("open"), server_data: server_data.as_deref() };
        let old = self.old_data.as_ref().map(bytes);
        let (data, unfit) = match self.patch.as_deref().map(|patches| merged(old.as_deref(), patches)) {
            None => (self.data.as_ref().map(bytes), None),
            Some(Ok(merged)) => (Some(merged), None),
            Some(Err(why)) => (None, Some(why)),
        };
        let records = matches!(right, Right::RecordRead | Right::RecordWrite | Right::RecordDelete);
        let context = Context {
            user: &user,
            name: self.name.as_deref().map(str::as_bytes),
            action: self
                .action_number
                .unwrap_or_else(|| plainest(right, self.patch.as_ref().map_or(0, Vec::len), self.erase.is_some())),
            now_ms: self.now.unwrap_or_else(now_ms),
            data: data.as_deref().map_or(Document::Absent, Document::Text),
            old_data: match old.as_deref() {
                _ if !records => Document::Absent,
                None | Some(b"null") => Document::Missing,
                Some(text) => Document::Text(text),
            },
            ..Context::default()
        };
        let find = |name: &[u8]| {
            let value = self.records.get(std::str::from_utf8(name).ok()?)?;
            Some(bytes(value).into_boxed_slice())
        };
        let guarded = tables.iter().map(|table| format!("{table}/")).find(|table| {
            right.is_about_records() && self.name.as_ref().is_some_and(|name| name.starts_with(table.as_str()))
        });
        let choice = match &guarded {
            Some(table) => ruleset.choose_within(right, context.name, table.as_bytes()),
            None => ruleset.choose(right, context.name),
        };
        if let (Some(table), Choice::None) = (guarded, &choice) {
            let explanation = format!(
                "records below {table} are authentication's, and no {} rule of type {} for this name has a path that begins so: \
                 denied\n",
                right.section(),
                right.rule()
            );
            return Ok(Judged { verdict: Verdict::Deny, explanation });
        }
        let (verdict, fetched) = match choice {
            Choice::Always(answer) => (if answer { Verdict::Allow } else { Verdict::Deny }, Fetched::new()),
            Choice::Rule(rule, captures) => {
                let (program, context) = (&ruleset.rule(rule).program, Context { captures: &captures, ..context });
                match unfit.filter(|_| program.uses().data) {
                    Some(why) => (Verdict::Error(Thrown::outside(why)), Fetched::new()),
                    None => settle(program, &context, rounds_max, find),
                }
            }
            Choice::None => (Verdict::Deny, Fetched::new()),
        };
        let references: Vec<_> =
            fetched.iter().map(|(name, value)| Reference { name, value: value.as_deref() }).collect();
        let mut explanation = explain(ruleset, right, &Context { references: &references, ..context });
        explanation.verdict = verdict.clone();
        let mut told = explanation.to_string();
        if let Verdict::Error(thrown) = &verdict {
            let _ = writeln!(told, "  {thrown}");
        }
        Ok(Judged { verdict, explanation: told })
    }

    /// The case in words.
    pub(super) fn label(&self, index: usize) -> String {
        let title = self.title.as_deref().map(|title| format!(" ({title})")).unwrap_or_default();
        let (user, name) = (self.user.as_deref().unwrap_or("open"), self.name.as_deref().unwrap_or("everybody"));
        format!("case {}{title}: {user} {} {name}", index + 1, self.action)
    }
}

/// The document that patches result in, or why there is none.
fn merged(old: Option<&[u8]>, patches: &[Patch]) -> Result<Vec<u8>, String> {
    let old = old.filter(|old| *old != b"null").ok_or("a patch of a record that does not exist")?;
    let list: Vec<Value> = patches
        .iter()
        .map(|Patch { path, data }| match data {
            Some(data) => json!({ "path": path, "data": data }),
            None => json!({ "path": path }),
        })
        .collect();
    let mut after = Vec::new();
    let list = Value::from(list).to_string();
    // The highest limit: a server with a lower one refuses deeper values before any rule sees them.
    let depth_max = NESTING_MAX as usize;
    let (limits, mut scratch) = (Limits { depth_max, ..Limits::default() }, Scratch::with_depth_max(depth_max));
    set_many(old, list.as_bytes(), &limits, &mut scratch, &mut after)
        .map_err(|fault| format!("the patch does not fit: {fault:?}"))?;
    Ok(after)
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds fit")]
fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_millis() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::permissions;

    const RULES: &str = r"
record:
  '*': {read: true}
  auction/$seller/$item:
    write: user.data.canBid && data.price > oldData.price
    delete: user.id === $seller
    read: _('shop/' + $item).open
event: {'*': {}}
rpc: {'*': {}}
presence: {'*': {}}
";

    fn case(text: &str) -> Case {
        serde_yaml::from_str(text).expect("a case")
    }

    fn judge(text: &str, rounds_max: u32) -> Judged {
        let checked = permissions::read_text(Path::new("p.yml"), RULES).expect("good rules");
        case(text).judge(&checked.ruleset, rounds_max, &[]).expect("a right")
    }

    #[test]
    fn cases_are_judged_with_all_they_bring() {
        let write =
            "{action: record.write, name: auction/ann/1, user: bob, serverData: {canBid: true}, oldData: {price: 5}";
        assert_eq!(judge(&format!("{write}, data: {{price: 6}}}}"), 3).verdict, Verdict::Allow);
        let denied = judge(&format!("{write}, data: {{price: 5}}}}"), 3);
        assert_eq!(denied.verdict, Verdict::Deny);
        assert!(denied.explanation.contains("write at 5:12: user.data.canBid"), "{}", denied.explanation);
        assert!(denied.explanation.contains("data.price > oldData.price → false"), "{}", denied.explanation);
        assert_eq!(judge("{action: record.delete, name: auction/ann/1, user: ann}", 3).verdict, Verdict::Allow);
        let read = "{action: record.read, name: auction/ann/1, records: {shop/1: {open: true}}}";
        assert_eq!(judge(read, 2).verdict, Verdict::Allow);
        assert!(matches!(judge(read, 1).verdict, Verdict::Error(_)), "one round is too few for a cross reference");
        assert_eq!(judge("{action: event.publish, name: x}", 3).verdict, Verdict::Deny);
    }

    #[test]
    fn what_authentication_keeps_is_denied_as_the_server_denies_it() {
        const ALL: &str = "'*': {read: true}";
        let verdict = |rules: &str, table: &str| {
            let rules = RULES.replace("'*': {read: true}", rules);
            let checked = permissions::read_text(Path::new("p.yml"), &rules).expect("good rules");
            let read = case("{action: record.read, name: app.users/ann}");
            read.judge(&checked.ruleset, 3, &[table.to_owned()]).expect("a right")
        };
        let denied = verdict(ALL, "app.users");
        assert_eq!(denied.verdict, Verdict::Deny);
        assert!(denied.explanation.contains("records below app.users/ are authentication's"), "{}", denied.explanation);
        assert_eq!(verdict(ALL, "app").verdict, Verdict::Allow);
        assert_eq!(
            verdict("'*': {read: true}\n  'app\\.users/$name': {read: true}", "app.users").verdict,
            Verdict::Allow
        );
    }

    #[test]
    fn patches_are_judged_as_deep_as_any_server_may_take_them() {
        let path = vec!["a"; 500].join(".");
        let write = format!(
            "{{action: record.write, name: auction/ann/1, serverData: {{canBid: true}}, oldData: {{price: 5}}, patch: [{{path: \
             {path}, data: 1}}, {{path: price, data: 6}}]}}"
        );
        assert_eq!(judge(&write, 3).verdict, Verdict::Allow);
    }

    #[test]
    fn users_bring_what_is_known_of_them_to_their_cases() {
        let rows = read(
            Path::new("c.yml"),
            "{users: {ann: {role: a}}, cases: [{action: record.read, user: ann}, {action: record.read, user: bob}]}",
        );
        let known: Vec<_> = rows.expect("a table").into_iter().map(|row| row.server_data).collect();
        assert_eq!(known, [Some(json!({"role": "a"})), None]);
    }

    #[test]
    fn a_table_that_is_wrong_is_refused_where_it_is() {
        let refused = |text: &str| read(Path::new("c.yml"), text).expect_err("is refused");
        for (text, told) in [
            ("cases:\n  - {action: record.read, usr: ann}", "c.yml:2:27: cases[0]: unknown field `usr`"),
            ("- {action: record.read", "c.yml:2:1: cannot be parsed: did not find expected ',' or '}'"),
            ("-\n\taction: record.read", "c.yml:2:1: cannot be parsed: the line is indented with a tab"),
            ("cases: 5", "c.yml:1:8: cases: invalid type"),
            ("", "c.yml: there are no cases"),
            ("cases: []", "c.yml: there are no cases"),
        ] {
            assert!(refused(text).starts_with(told), "{} is not {told}", refused(text));
        }
    }

    #[test]
    fn a_case_is_told_by_line_and_column() {
        assert_eq!(place("# why\n- {action: a}\n-\n  action: b\n", 1), ":4:3");
        assert_eq!(place("users: {}\ncases:\n  - action: a\n", 0), ":3:5");
    }

    #[test]
    fn unknown_actions_are_told_the_known_ones() {
        let ruleset = permissions::read_text(Path::new("p.yml"), RULES).expect("good rules").ruleset;
        let told = case("{action: record.paint}").judge(&ruleset, 3, &[]).err().expect("refused");
        assert!(told.contains("record.paint") && told.contains("presence.allow"), "{told}");
    }
}
