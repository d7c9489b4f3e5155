//! `permissions check`, `test` and `explain`: what a permission file says, before it is in force.
//!
//! *Owns* the format of a table of cases. *Promises* the verdicts the server gives, counted rounds included. *Does not*
//! start anything.

use crate::cli::{ExplainArguments, PermissionsCommand};
use crate::config::permissions;
use deepstream_valve::check::Checked;
use deepstream_valve::{Choice, Context, Document, Fetched, Reference, Right, Ruleset, User, Verdict, explain, settle};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs a command; what it prints, or why it fails.
pub fn run(command: PermissionsCommand) -> Result<String, String> {
    match command {
        PermissionsCommand::Check { file } => check(&file),
        PermissionsCommand::Test { file, cases, max_rule_iterations } => test(&file, &cases, max_rule_iterations),
        PermissionsCommand::Explain(arguments) => account(arguments),
    }
}

fn read(file: &Path) -> Result<Checked, String> {
    permissions::read(file).map_err(|errors| errors.to_string())
}

fn check(file: &Path) -> Result<String, String> {
    let checked = read(file)?;
    let mut told = String::new();
    for warning in &checked.warnings {
        let _ = writeln!(told, "warning: {}", permissions::error(file, warning));
    }
    let _ = write!(told, "{}: {} rules, all of them good", file.display(), checked.ruleset.rules().len());
    Ok(told)
}

/// One row of a table of cases, or the arguments of `explain`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    /// Section and rule type: `record.write`.
    action: String,
    /// What is acted on; without one, everybody is meant.
    name: Option<String>,
    /// Who acts; nobody in particular unless said.
    user: Option<String>,
    server_data: Option<Value>,
    data: Option<Value>,
    /// The record as it is, of a record rule; there is none unless said.
    old_data: Option<Value>,
    /// Other records, for cross references.
    #[serde(default)]
    records: BTreeMap<String, Value>,
    /// Milliseconds since 1970; the present unless said.
    now: Option<f64>,
    /// What `action` is in the rule; that of the plainest message unless said.
    action_number: Option<u8>,
    expected: Option<Expected>,
    /// What the case is called.
    title: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
}

/// The number of the plainest message that asks for a right.
fn plainest(right: Right) -> u8 {
    match right {
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

struct Judged {
    verdict: Verdict,
    explanation: String,
}

impl Case {
    fn right(&self) -> Result<Right, String> {
        let found = self.action.split_once('.').and_then(|(section, rule)| Right::find(section, rule));
        found.ok_or_else(|| {
            let known = Right::ALL.map(|right| format!("{}.{}", right.section(), right.rule())).join(", ");
            format!("there is no action {}; there are {known}", self.action)
        })
    }

    fn judge(&self, ruleset: &Ruleset, rounds_max: u32) -> Result<Judged, String> {
        let right = self.right()?;
        let bytes = |value: &Value| value.to_string().into_bytes();
        let server_data = self.server_data.as_ref().filter(|data| !data.is_null()).map(bytes);
        let user = User { id: self.user.as_deref().unwrap_or("open"), server_data: server_data.as_deref() };
        let (data, old) = (self.data.as_ref().map(bytes), self.old_data.as_ref().map(bytes));
        let records = matches!(right, Right::RecordRead | Right::RecordWrite | Right::RecordDelete);
        let context = Context {
            user: &user,
            name: self.name.as_deref().map(str::as_bytes),
            action: self.action_number.unwrap_or_else(|| plainest(right)),
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
        let (verdict, fetched) = match ruleset.choose(right, context.name) {
            Choice::Always(answer) => (if answer { Verdict::Allow } else { Verdict::Deny }, Fetched::new()),
            Choice::Rule(rule, captures) => {
                let context = Context { captures: &captures, ..context };
                settle(&ruleset.rule(rule).program, &context, rounds_max, find)
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

    /// For people.
    fn label(&self, index: usize) -> String {
        let title = self.title.as_deref().map(|title| format!(" ({title})")).unwrap_or_default();
        let (user, name) = (self.user.as_deref().unwrap_or("open"), self.name.as_deref().unwrap_or("everybody"));
        format!("case {}{title}: {user} {} {name}", index + 1, self.action)
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds fit")]
fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_millis() as f64)
}

fn test(file: &Path, cases: &Path, rounds_max: u32) -> Result<String, String> {
    let ruleset = read(file)?.ruleset;
    let text = std::fs::read_to_string(cases).map_err(|fault| format!("{}: {fault}", cases.display()))?;
    let rows: Vec<Case> = serde_yaml::from_str(&text).map_err(|fault| format!("{}: {fault}", cases.display()))?;
    let (count, mut failures) = (rows.len(), String::new());
    let mut failed = 0;
    for (index, case) in rows.iter().enumerate() {
        let wrong = |what: &str| format!("{}: {}: {what}", cases.display(), case.label(index));
        let expected = case.expected.ok_or_else(|| wrong("lacks expected: allow or deny"))?;
        let judged = case.judge(&ruleset, rounds_max).map_err(|what| wrong(&what))?;
        let got = if judged.verdict == Verdict::Allow { Expected::Allow } else { Expected::Deny };
        if got != expected {
            failed += 1;
            let (minus, plus) = (format!("{expected:?}").to_lowercase(), format!("{got:?}").to_lowercase());
            let why = judged.explanation.trim_end().replace('\n', "\n    ");
            let _ = writeln!(failures, "{}\n  - {minus}\n  + {plus}\n    {why}", case.label(index));
        }
    }
    if failed > 0 {
        return Err(format!("{failures}{failed} of {count} cases are judged otherwise than expected"));
    }
    Ok(format!("{count} cases, all of them judged as expected"))
}

fn account(arguments: ExplainArguments) -> Result<String, String> {
    let json = |what: &str, text: Option<String>| {
        text.map(|text| serde_json::from_str::<Value>(&text).map_err(|fault| format!("{what} is not JSON: {fault}")))
            .transpose()
    };
    let mut records = BTreeMap::new();
    for record in arguments.record {
        let (name, value) = record.split_once('=').ok_or("give --record as name=JSON")?;
        records.extend(json("--record", Some(value.to_owned()))?.map(|value| (name.to_owned(), value)));
    }
    let case = Case {
        action: arguments.action,
        name: arguments.name,
        user: arguments.user,
        server_data: json("--server-data", arguments.server_data)?,
        data: json("--data", arguments.data)?,
        old_data: json("--old-data", arguments.old_data)?,
        records,
        now: arguments.now,
        ..Case::default()
    };
    let ruleset = read(&arguments.file)?.ruleset;
    Ok(case.judge(&ruleset, arguments.max_rule_iterations)?.explanation.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        case(text).judge(&checked.ruleset, rounds_max).expect("a right")
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
    fn unknown_actions_are_told_the_known_ones() {
        let ruleset = permissions::read_text(Path::new("p.yml"), RULES).expect("good rules").ruleset;
        let told = case("{action: record.paint}").judge(&ruleset, 3).err().expect("refused");
        assert!(told.contains("record.paint") && told.contains("presence.allow"), "{told}");
    }
}
