//! The permission file: from its text to rules that can be asked.
//!
//! *Owns* the way from a place in a rule to a place in the file. *Promises* line and column of every complaint, through
//! quotes and block scalars. *Does not* judge rules: that is `valve`'s.

use super::error::{ConfigError, ConfigErrors, unreadable};
use super::node::{self, Node, Step};
use super::table::{Row, Rule, count, milliseconds, row};
use super::text::{Environment, Prepared, Source, is_json, loaded};
use super::types::Config;
use deepstream_engine::Shadow;
use deepstream_valve::Ruleset;
use deepstream_valve::check::{At, Checked, Complaint, Node as Part, Value, check};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The keys of the section; see `table`.
pub(crate) static ROWS: &[Row] = &[
    row("permission", Rule::Service { list: false, default: "" }),
    row("permission[none]", Rule::Kind(|_| ())),
    row("permission[none].options.maxRuleIterations", Rule::Inert("there are no rules")),
    row("permission[none].options.cacheEvacuationInterval", Rule::Inert("there are no rules")),
    row("permission[none].options.shadow", Rule::Inert("type none asks no rules")),
    row("permission[none].options.permissions", Rule::Inert("type none asks no rules")),
    row("permission[config]", Rule::Kind(|c| c.permission.rules = Some(Rules::default()))),
    row("permission[config].options.permissions", Rule::Value(rules)),
    // The file of the early releases' path is loaded before the rows are asked.
    row("permission[config].options.path", Rule::Later("permissions and path are both given: keep permissions")),
    row("permission[config].options.shadow", Rule::Section),
    row("permission[config].options.shadow.permissions", Rule::Value(rules)),
    row(
        "permission[config].options.shadow.samplesPerMinute",
        count(0, 60_000, |c, n| c.permission.samples_per_minute_max = n as u32),
    ),
    row(
        "permission[config].options.maxRuleIterations",
        count(1, 1000, |c, n| c.permission.rule_iterations_max = n as u32),
    ),
    row(
        "permission[config].options.cacheEvacuationInterval",
        milliseconds(1, |c, ms| c.permission.cache_evacuation_interval = Duration::from_millis(ms)),
    ),
];

/// `permission`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The rules; `None`: everybody may do everything.
    pub rules: Option<Rules>,
    /// Candidate rules: they are evaluated beside the others, and differences are logged, but they decide nothing.
    pub shadow: Option<Rules>,
    /// How many differences between the two are logged in a minute, on each core.
    pub samples_per_minute_max: u32,
    /// How often one rule may be evaluated while the records that it refers to are fetched.
    pub rule_iterations_max: u32,
    /// How often cached rule choices that were not used meanwhile are dropped.
    pub cache_evacuation_interval: Duration,
}

impl Permission {
    /// The candidate rules in the form that shards take.
    pub(super) fn shadow(&self) -> Option<Arc<Shadow>> {
        let (live, candidate) = self.rules.as_ref().zip(self.shadow.as_ref())?;
        Some(Arc::new(Shadow {
            ruleset: candidate.ruleset.clone(),
            file: candidate.file.as_str().into(),
            live_file: live.file.as_str().into(),
            samples_per_minute_max: self.samples_per_minute_max,
        }))
    }

    /// Warnings about both files.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        self.rules.iter().chain(&self.shadow).flat_map(|rules| &rules.warnings)
    }

    /// For people.
    pub fn title(&self) -> String {
        let told = |rules: &Rules| format!("{} rules of {}", rules.ruleset.rules().len(), rules.file);
        match (&self.rules, &self.shadow) {
            (None, _) => "none".to_owned(),
            (Some(rules), None) => format!("Valve Permissions, {}", told(rules)),
            (Some(rules), Some(shadow)) => format!("Valve Permissions, {}; beside them {}", told(rules), told(shadow)),
        }
    }
}

/// The rules of a permission file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The file, for people.
    pub file: String,
    /// The compiled rules.
    pub ruleset: Arc<Ruleset>,
    /// Warnings for its author.
    pub warnings: Vec<String>,
    /// Its content as JSON, for comparing two sets of rules.
    json: String,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Eq for Rules {}

/// The value of `permissions`: checked as a whole once everything was read, see [`settle`].
fn rules(_: &mut Config, node: &Node) -> Result<(), String> {
    match node {
        Node::Map(_) => Ok(()),
        _ => Err("the four sections of a permission file, or fileLoad(permissions.yml)".to_owned()),
    }
}

const OPTIONS: [&str; 3] = ["permission", "options", "permissions"];
const SHADOW: [&str; 4] = ["permission", "options", "shadow", "permissions"];

fn steps(keys: &[&str]) -> Vec<Step> {
    keys.iter().map(|key| Step::Key((*key).to_owned())).collect()
}

/// Early releases named the permission file as `path`, in place of its content.
pub(super) fn load_path(
    root: &mut Node,
    file: &Path,
    prepared: &mut Prepared,
    environment: Environment<'_>,
) -> Result<(), ConfigError> {
    let Node::Map(sections) = root else { return Ok(()) };
    let Some((_, entry)) = sections.iter_mut().find(|(key, _)| key == OPTIONS[0]) else { return Ok(()) };
    let is_config = entry.get("type").and_then(Node::text).as_deref() == Some("config");
    let Node::Map(keys) = entry else { return Ok(()) };
    let Some((_, Node::Map(options))) = keys.iter_mut().find(|(key, _)| key == OPTIONS[1]) else { return Ok(()) };
    let named = options.iter().position(|(key, value)| key == "path" && value.text().is_some());
    let given = options.iter().any(|(key, _)| key == OPTIONS[2]);
    let Some(at) = named.filter(|_| is_config && !given) else { return Ok(()) };
    let (_, path) = options.remove(at);
    let path = path.text().unwrap_or_default();
    let line = prepared.source.line(&steps(&[OPTIONS[0], OPTIONS[1], "path"])).unwrap_or(1);
    options.push((OPTIONS[2].to_owned(), prepared.load(file, &path, line, environment)?));
    Ok(())
}

/// Reads the rules that the configuration asks for, or reports all that is wrong with them.
pub(super) fn settle(root: &Node, file: &Path, prepared: &Prepared, config: &mut Config) -> Vec<ConfigError> {
    if config.permission.rules.is_none() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let mut read = |place: &[&str]| match read_at(place, root, file, prepared) {
        Ok(rules) => rules,
        Err(mut wrong) => {
            errors.append(&mut wrong);
            None
        }
    };
    if let Some(rules) = read(&OPTIONS) {
        config.permission.rules = Some(rules);
    }
    let beside = SHADOW[..3].iter().try_fold(root, |node, key| node.get(key));
    if matches!(beside, Some(Node::Map(_))) {
        config.permission.shadow = read(&SHADOW);
    }
    errors
}

/// The rules at a place of the configuration. `None` if their value cannot be rules, which was already reported.
fn read_at(place: &[&str], root: &Node, file: &Path, prepared: &Prepared) -> Result<Option<Rules>, Vec<ConfigError>> {
    let Some(node) = place.iter().try_fold(root, |node, key| node.get(key)) else {
        let owner = if place.len() == OPTIONS.len() { &place[..1] } else { &place[..3] };
        let line = prepared.source.line(&steps(owner));
        let (what, hint) = match owner {
            [_] => ("type config needs its rules", "write permissions: fileLoad(permissions.yml)"),
            _ => ("a candidate needs its rules", "write permissions: fileLoad(candidate.yml)"),
        };
        let path = place[..place.len() - 1].join(".");
        return Err(vec![ConfigError { line, path, ..ConfigError::of_file(file, what, hint) }]);
    };
    let Node::Map(_) = node else { return Ok(None) };
    let json = node::to_json(node);
    let load = prepared.loads.iter().find(|load| load.json == json);
    let (from, read) = match load {
        Some(load) => (load.path.as_path(), check_read(&load.path, &load.source, &load.node, Vec::new())),
        None => (file, read_inline(place, node, file, prepared)),
    };
    let checked = read.map_err(|errors| errors.0)?;
    let warnings = checked.warnings.iter().map(|warning| error(from, warning).to_string()).collect();
    let file = from.display().to_string();
    Ok(Some(Rules { file, ruleset: Arc::new(checked.ruleset), warnings, json }))
}

/// Rules that stand in the configuration itself.
fn read_inline(place: &[&str], node: &Node, file: &Path, prepared: &Prepared) -> Result<Checked, ConfigErrors> {
    let part = Reading::new(file, &prepared.source).part(node, &mut steps(place));
    check(&part).map_err(|complaints| ConfigErrors(complaints.iter().map(|what| error(file, what)).collect()))
}

/// Reads and checks a permission file as the configuration would load it.
pub(crate) fn read(file: &Path) -> Result<Checked, ConfigErrors> {
    let text = std::fs::read_to_string(file).map_err(|fault| {
        let remedy = match fault.kind() {
            std::io::ErrorKind::InvalidData => "save it as UTF-8",
            _ => "give the path of a permission file",
        };
        ConfigErrors::from(ConfigError::of_file(file, unreadable(&fault), remedy))
    })?;
    read_given(file, &text, &|name| std::env::var(name).ok())
}

/// Checks the text of a permission file.
#[cfg(test)]
pub(crate) fn read_text(file: &Path, text: &str) -> Result<Checked, ConfigErrors> {
    read_given(file, text, &|_| None)
}

fn read_given(file: &Path, text: &str, environment: Environment<'_>) -> Result<Checked, ConfigErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (source, root, faults) = loaded(file, text, environment)?;
    check_read(file, &source, &root, faults)
}

/// Checks what was read; `faults` are those found so far.
fn check_read(
    file: &Path,
    source: &Source,
    root: &Node,
    mut faults: Vec<ConfigError>,
) -> Result<Checked, ConfigErrors> {
    let part = Reading::new(file, source).part(root, &mut Vec::new());
    match check(&part) {
        Ok(checked) if faults.is_empty() => Ok(checked),
        Ok(_) => Err(ConfigErrors(faults)),
        Err(complaints) => {
            faults.extend(complaints.iter().map(|what| error(file, what)));
            Err(ConfigErrors(faults))
        }
    }
}

/// A complaint as an error of the file.
pub(crate) fn error(file: &Path, complaint: &Complaint) -> ConfigError {
    ConfigError {
        column: Some(complaint.at.column),
        path: complaint.rule.clone().unwrap_or_default(),
        ..ConfigError::at_line(file, complaint.at.line as usize, complaint.what.clone(), "")
    }
}

struct Reading<'t> {
    source: &'t Source,
    lines: Vec<&'t str>,
    json: bool,
}

impl<'t> Reading<'t> {
    fn new(file: &Path, source: &'t Source) -> Self {
        Self { source, lines: source.text.split('\n').collect(), json: is_json(file) }
    }

    fn part(&self, node: &Node, steps: &mut Vec<Step>) -> Part {
        let (line, column) = self.source.place(steps).unwrap_or((1, 1));
        let at = At { line: line as u32, column: column as u32 };
        let typed = if let Node::Spelled(_) = node { &node.typed() } else { node };
        let value = match typed {
            Node::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    steps.push(Step::Key(key.clone()));
                    let part = self.part(value, steps);
                    steps.pop();
                    (key.clone(), part.at, part)
                });
                Value::Map(entries.collect())
            }
            Node::Text(text) => Value::Text(text.clone(), self.stretches(text, at)),
            Node::Flag(flag) => Value::Bool(*flag),
            Node::Integer(_) | Node::Float(_) => Value::Other("number"),
            // The type names of JavaScript.
            Node::Null | Node::List(_) | Node::Spelled(_) => Value::Other("object"),
        };
        Part { value, at }
    }

    /// The places in the file of the parts of a text whose key is at `key`.
    fn stretches(&self, text: &str, key: At) -> Vec<(usize, At)> {
        let Some((mut line, mut column)) = self.value_behind(key) else { return vec![(0, key)] };
        let here = |line: usize, column: usize| At { line: line as u32 + 1, column: column as u32 + 1 };
        let rest: String = self.lines[line].chars().skip(column).collect();
        match rest.chars().next() {
            Some('|' | '>') if !self.json => {
                let literal = rest.starts_with('|');
                line += 1;
                let full = |text: &&&str| !text.trim().is_empty();
                let Some(first) = self.lines.get(line..).and_then(|lines| lines.iter().find(full)) else {
                    return vec![(0, key)];
                };
                column = first.chars().take_while(|char| *char == ' ').count();
                let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
                // Leading empty lines are kept. After them the lines of a folded text no longer correspond to those of
                // the file.
                let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
                let count = if literal { usize::MAX } else { empty + 1 };
                starts.take(count).enumerate().map(|(index, start)| (start, here(line + index, column))).collect()
            }
            Some('"' | '\'') => vec![(0, here(line, column + 1))],
            _ => vec![(0, here(line, column))],
        }
    }

    /// Line and column, from 0, of the value whose key is at a place.
    fn value_behind(&self, key: At) -> Option<(usize, usize)> {
        let mut line = key.line as usize - 1;
        let chars: Vec<char> = self.lines.get(line)?.chars().collect();
        let mut at = key.column as usize - 1;
        // The key, which may be quoted, and its colon.
        if let Some(quote @ ('"' | '\'')) = chars.get(at) {
            at += 1;
            while chars.get(at)? != quote {
                at += if chars[at] == '\\' && *quote == '"' { 2 } else { 1 };
            }
        }
        at += chars.get(at..)?.iter().position(|char| *char == ':')? + 1;
        let mut rest = chars.get(at..)?.to_vec();
        loop {
            let blank = rest.iter().take_while(|char| char.is_whitespace()).count();
            if rest.get(blank).is_some_and(|char| *char != '#') {
                return Some((line, at + blank));
            }
            line += 1;
            at = 0;
            rest = self.lines.get(line)?.chars().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StartArguments;
    use crate::config::tests::Scratch;
    use deepstream_valve::Right;

    const OPEN: &str = "event: {'*': {}}\nrpc: {'*': {}}\npresence: {'*': {}}\n";

    fn complaints(file: &str, text: &str) -> Vec<String> {
        let errors = read_text(Path::new(file), text).expect_err("it is refused");
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_no_text_is_told_so() {
        let scratch = Scratch::new("no-text");
        let file = scratch.path().join("p.yml");
        std::fs::write(&file, b"\xff\xfe").expect("written");
        let told = read(&file).expect_err("it is refused").to_string();
        assert!(told.ends_with("p.yml: is not UTF-8 text; save it as UTF-8"), "{told}");
        let told = read(&scratch.path().join("none.yml")).expect_err("it is refused").to_string();
        assert!(told.ends_with("give the path of a permission file"), "{told}");
    }

    #[test]
    fn rules_are_located_whatever_the_style_of_the_text() {
        let text = format!(
            "record:\n  '*':\n    read: user.id === alert(1)\n    write: \"alert(1)\"\n    delete:   'true && alert(1)' # why\n    \
             listen: |\n      true &&\n        alert(1)\n    create:\n      alert(1)\n    notify: >\n\n      alert(1)\n{OPEN}"
        );
        let places = ["3:23", "4:13", "5:24", "8:9", "10:7", "13:7"];
        let told = complaints("p.yml", &text);
        assert_eq!(told.len(), places.len(), "{told:?}");
        for (told, place) in told.iter().zip(places) {
            assert!(told.starts_with(&format!("p.yml:{place}: record \"*\" ")), "{told} is not at {place}");
            assert!(told.ends_with("function alert is not supported"), "{told}");
        }
    }

    fn configured(scratch: &Scratch, text: &str) -> Result<Config, String> {
        let file = scratch.path().join("config.yml");
        let read = crate::config::read(&file, text, &StartArguments::default(), &|_| None);
        let from = format!("{}/", scratch.path().display());
        read.map(|loaded| loaded.config).map_err(|errors| errors.to_string().replace(&from, ""))
    }

    #[test]
    fn rules_come_from_a_file_by_either_name_or_stand_in_the_configuration() {
        let scratch = Scratch::new("permission");
        let rules = format!("record:\n  '*':\n    read: true\n{OPEN}");
        std::fs::write(scratch.path().join("p.yml"), &rules).expect("written");
        let inline: String = rules.lines().flat_map(|line| ["      ", line, "\n"]).collect();
        for text in [
            "permission: {type: config, options: {permissions: fileLoad(p.yml), maxRuleIterations: 5}}".to_owned(),
            "permission: {type: config, options: {path: ./p.yml, maxRuleIterations: 5}}".to_owned(),
            format!("permission:\n  type: config\n  options:\n    maxRuleIterations: 5\n    permissions:\n{inline}"),
        ] {
            let permission = configured(&scratch, &text).expect(&text).permission;
            assert_eq!(permission.rule_iterations_max, 5);
            let ruleset = permission.rules.expect("rules").ruleset;
            assert!(ruleset.is_open(Right::RecordRead) && !ruleset.is_open(Right::RecordWrite), "{text}");
        }
        let none = configured(&scratch, "permission: {type: none}").expect("good").permission;
        assert_eq!(none.rules, None);
    }

    #[test]
    fn template_literals_of_rules_are_not_variables_of_the_environment() {
        let scratch = Scratch::new("permission-templates");
        let rules = "event: {'*': {publish: '`${user.id}/${name}` === \"a/${WHERE}\"'}}\nrecord: {'*': {}}\nrpc: {'*': {}}\npresence: {'*': {}}\n";
        std::fs::write(scratch.path().join("p.yml"), rules).expect("written");
        let text = "permission: {type: config, options: {permissions: fileLoad(p.yml)}}";
        let file = scratch.path().join("config.yml");
        let environment = |name: &str| (name == "WHERE").then(|| "there".to_owned());
        let read = crate::config::read(&file, text, &StartArguments::default(), &environment);
        let ruleset =
            read.map_err(|errors| errors.to_string()).expect("good").config.permission.rules.expect("rules").ruleset;
        assert_eq!(ruleset.rules()[0].program.text(), "`${user.id}/${name}` === \"a/there\"");
    }

    #[test]
    fn what_is_wrong_with_the_rules_or_their_options_is_told_by_file_line_and_column() {
        let scratch = Scratch::new("permission-bad");
        std::fs::write(scratch.path().join("p.yml"), format!("record:\n  '*':\n    read: alert(1)\n{OPEN}"))
            .expect("written");
        let options = |text: &str| format!("logLevel: 1\npermission:\n  type: config\n  options:\n{text}");
        for (text, told) in [
            ("    permissions: fileLoad(p.yml)", "p.yml:3:11: record \"*\" read: function alert is not supported"),
            ("    path: p.yml", "p.yml:3:11: record \"*\" read: function alert is not supported"),
            ("    path: gone.yml", "config.yml:5: Error loading config file, missing file"),
            ("    maxRuleIterations: 0", "config.yml:5: permission.options.maxRuleIterations: expected a whole number"),
            (
                "    permisions: fileLoad(p.yml)",
                "config.yml:5: permission.options.permisions: unknown key; did you mean",
            ),
            ("    permissions: true", "config.yml:5: permission.options.permissions: expected the four sections"),
            ("    permissions: {record: {'*': {}}}", "config.yml:5:5: missing configuration section \"event\""),
        ] {
            let got = configured(&scratch, &options(text)).expect_err(text);
            assert!(got.lines().any(|line| line.starts_with(told)), "{text}\n{got}");
        }
    }

    #[test]
    fn a_candidate_is_read_beside_the_rules_in_force() {
        let scratch = Scratch::new("permission-shadow");
        let write = |name: &str, rule: &str| {
            let text = format!("record:\n  '*':\n    read: {rule}\n{OPEN}");
            std::fs::write(scratch.path().join(name), text).expect("written");
        };
        write("p.yml", "true");
        write("c.yml", "user.id === 'ann'");
        write("bad.yml", "alert(1)");
        let options = |text: &str| {
            format!("permission:\n  type: config\n  options:\n    permissions: fileLoad(p.yml)\n    shadow:\n{text}")
        };
        let good = configured(&scratch, &options("      permissions: fileLoad(c.yml)\n      samplesPerMinute: 4"));
        let permission = good.expect("good").permission;
        let shadow = permission.shadow().expect("a candidate");
        assert!(shadow.file.ends_with("c.yml") && shadow.live_file.ends_with("p.yml"), "{shadow:?}");
        assert_eq!(shadow.samples_per_minute_max, 4);
        assert!(!shadow.ruleset.is_open(Right::RecordRead));
        assert!(permission.rules.as_ref().expect("rules").ruleset.is_open(Right::RecordRead));
        assert!(permission.title().contains("1 rules of ") && permission.title().contains("; beside them 1 rules of "));
        let absent = configured(&scratch, &options("      # permissions: fileLoad(c.yml)")).expect("good").permission;
        assert!(absent.shadow().is_none());
        for (text, told) in [
            (
                "      permissions: fileLoad(bad.yml)",
                "bad.yml:3:11: record \"*\" read: function alert is not supported",
            ),
            ("      permissions: fileLoad(gone.yml)", "config.yml:6: Error loading config file, missing file"),
            ("      permissions: 5", "config.yml:6: permission.options.shadow.permissions: expected the four sections"),
            ("      samplesPerMinute: 5", "config.yml:5: permission.options.shadow: a candidate needs its rules"),
            (
                "      permissions: fileLoad(c.yml)\n      samplesPerMinute: -1",
                "config.yml:7: permission.options.shadow.samplesPerMinute: expected a whole number from 0",
            ),
            (
                "      permissions: fileLoad(c.yml)\n      samplesPerMinut: 1",
                "config.yml:7: permission.options.shadow.samplesPerMinut: unknown key; did you mean samplesPerMinute?",
            ),
            (
                "      permisions: fileLoad(c.yml)",
                "config.yml:6: permission.options.shadow.permisions: unknown key; did",
            ),
        ] {
            let got = configured(&scratch, &options(text)).expect_err(text);
            assert!(got.lines().any(|line| line.starts_with(told)), "{text}\n{got}");
        }
        let typo = configured(&scratch, "permission: {type: config, options: {shadw: 1}}").expect_err("unknown");
        assert!(typo.contains("did you mean shadow?"), "{typo}");
    }

    #[test]
    fn json_is_located_too() {
        let text = "{\n  \"record\": {\"*\": {\"read\": \"true || alert(1)\"}},\n  \"event\": {\"*\": {}}, \"rpc\": {\"*\": {}}, \"presence\": {\"*\": {}}\n}";
        assert!(complaints("p.json", text)[0].starts_with("p.json:2:37: "), "{:?}", complaints("p.json", text));
    }

    #[test]
    fn shapes_are_located() {
        assert!(complaints("p.yml", "a: [")[0].starts_with("p.yml:"));
        let unknown = complaints("p.yml", &format!("record:\n  '*':\n    paint: true\n{OPEN}"));
        assert!(unknown[0].starts_with("p.yml:3:5: unknown rule type paint"), "{unknown:?}");
        let missing = complaints("p.yml", &format!("record:\n  a: {{read: true}}\n{OPEN}"));
        assert!(missing[0].starts_with("p.yml:1:1: missing root entry"), "{missing:?}");
        assert!(read_text(Path::new("p.yml"), &format!("record: {{'*': {{read: true}}}}\n{OPEN}")).is_ok());
    }
}
