//! Results as text, for a terminal.

use crate::figure::{self, Better};
use crate::results::{FLOOR, Part, Played, Results, is_elsewhere};
use crate::scenario::Scenario;
use std::fmt::Write;

/// All of it: every scenario, then the summary.
pub(crate) fn all(results: &Results) -> String {
    let mut text = heading(results);
    for played in &results.scenarios {
        text += "\n";
        text += &scenario(results, played);
    }
    text += "\n";
    text + &summary(results)
}

/// Whether the CPUs of both sides were not equally far apart in all runs that count, those of the floor included.
fn moved(results: &Results, played: &Played) -> bool {
    let lines = || taking_part(results, played).filter_map(|part| part.spread("line"));
    let (least, most) = (lines().map(|line| line.min), lines().map(|line| line.max));
    least.reduce(f64::min).zip(most.reduce(f64::max)).is_some_and(|(least, most)| is_elsewhere(most, least))
}

/// What the summary says about scenarios whose CPUs were [`moved`].
pub(crate) fn moved_note(results: &Results) -> Option<String> {
    let moved: Vec<&str> =
        results.scenarios.iter().filter(|played| moved(results, played)).map(|played| &*played.scenario.name).collect();
    let what = "not to be compared, the CPUs were further apart for some than for others";
    (!moved.is_empty()).then(|| format!("{what}: {}", moved.join(", ")))
}

/// Who played it, and before them the relay of another scenario if this one is measured by that.
fn taking_part<'a>(results: &'a Results, played: &'a Played) -> impl Iterator<Item = &'a Part> {
    let borrowed = played.scenario.floor.as_ref().and_then(|_| results.floor(&played.scenario));
    borrowed.into_iter().chain(&played.players)
}

fn heading(results: &Results) -> String {
    let machine = &results.machine;
    let governor = if machine.governor.is_empty() { "unknown" } else { &machine.governor };
    format!(
        "{} × {}, Linux {}, governor {governor}, load before {}\nCPUs: server {}, generator {}; commit {}\n",
        machine.cpus,
        machine.cpu,
        machine.kernel,
        machine.load,
        machine.server_cpus,
        machine.generator_cpus,
        results.commit
    )
}

/// One scenario: a row for each player, medians with their ratio to the floor.
pub(crate) fn scenario(results: &Results, played: &Played) -> String {
    let Played { scenario, players } = played;
    let columns: Vec<&str> = scenario.shows.columns().to_vec();
    let mut text = format!("{}: {}\n{:12}", scenario.name, scenario.about, "");
    for name in &columns {
        let unit = figure::kind_of(name).map_or("", |kind| kind.unit);
        let _ = write!(text, "{:>18}", format!("{name} {unit}"));
    }
    text.push('\n');
    for part in taking_part(results, played) {
        text += &row(results, scenario, part, &columns);
    }
    let main = scenario.shows.main();
    if let Some(spreads) = spreads(players.iter().filter(|part| part.runs.len() > 1), main) {
        let _ = writeln!(text, "{:12}{main} of all runs, least – most: {spreads}", "");
    }
    for part in taking_part(results, played).filter(|part| !part.aside.is_empty()) {
        let (aside, all) = (part.aside.len(), part.aside.len() + part.runs.len());
        let _ = writeln!(text, "{:12}{}: {aside} of {all} runs do not count, the CPUs were elsewhere", "", part.player);
    }
    if moved(results, played)
        && let Some(spreads) = spreads(taking_part(results, played), "line")
    {
        let _ = writeln!(
            text,
            "{:12}not to be compared: between the CPUs of both sides and back a cache line took, ns: {spreads}",
            ""
        );
    }
    text
}

fn spreads<'a>(parts: impl Iterator<Item = &'a Part>, name: &str) -> Option<String> {
    let spreads: Vec<String> = parts
        .filter_map(|part| Some((part, part.spread(name)?)))
        .map(|(part, spread)| format!("{} {} – {}", part.player, short(spread.min), short(spread.max)))
        .collect();
    (!spreads.is_empty()).then(|| spreads.join(", "))
}

fn row(results: &Results, scenario: &Scenario, part: &Part, columns: &[&str]) -> String {
    let mut text = format!("  {:10}", part.player);
    if let Some(failure) = &part.failure {
        return text + &format!("failed: {failure}\n");
    }
    for name in columns {
        let cell = part.median(name).map_or_else(String::new, |value| match results.ratio(scenario, part, name) {
            Some(ratio) if part.player != FLOOR && !is_context(name) => format!("{} ×{}", short(value), times(ratio)),
            _ => short(value),
        });
        let _ = write!(text, "{cell:>18}");
    }
    text.push('\n');
    if !part.faults.is_empty() {
        let faults: Vec<String> = part.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(text, "{:12}faults: {}", "", faults.join(", "));
    }
    text
}

fn is_context(name: &str) -> bool {
    figure::kind_of(name).is_none_or(|kind| kind.better == Better::Neither || !kind.is_ratio)
}

/// What counts of every scenario, all players side by side as multiples of the floor, and whether goals are reached.
pub(crate) fn summary(results: &Results) -> String {
    let players = players(results);
    let mut text = format!("{:22}{:16}{:>12}", "scenario", "figure", FLOOR);
    for player in &players {
        let _ = write!(text, "{player:>12}");
    }
    text += "   goal\n";
    for row in rows(results) {
        let _ = write!(text, "{:22}{:16}{:>12}", row.scenario.name, row.figure, row.floor_text());
        for player in &players {
            let _ = write!(text, "{:>12}", row.cell(results, player));
        }
        let _ = writeln!(text, "   {}", row.goal_text(results));
    }
    if let Some(note) = moved_note(results) {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

/// Everybody but the floor, in the order of their first appearance.
pub(crate) fn players(results: &Results) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for part in results.scenarios.iter().flat_map(|played| &played.players) {
        if part.player != FLOOR && !names.contains(&part.player) {
            names.push(part.player.clone());
        }
    }
    names
}

/// A line of the summary.
pub(crate) struct Row<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) figure: &'a str,
    pub(crate) floor: Option<f64>,
}

/// The lines of the summary: of each scenario what its goals are about, or what counts.
pub(crate) fn rows(results: &Results) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for Played { scenario, .. } in &results.scenarios {
        let goals: Vec<&str> = scenario.goals.keys().map(String::as_str).collect();
        let figures = if goals.is_empty() { vec![scenario.shows.main()] } else { goals };
        for figure in figures {
            let floor = results.floor(scenario).and_then(|floor| floor.median(figure));
            rows.push(Row { scenario, figure, floor });
        }
    }
    rows
}

impl Row<'_> {
    /// The floor's own figure.
    pub(crate) fn floor_text(&self) -> String {
        let unit = figure::kind_of(self.figure).map_or("", |kind| kind.unit);
        self.floor.map_or_else(|| "–".to_owned(), |floor| format!("{} {unit}", short(floor)))
    }

    /// A player's figure: as a ratio where that says something.
    pub(crate) fn cell(&self, results: &Results, player: &str) -> String {
        let Some(part) = results.part(&self.scenario.name, player) else { return "–".to_owned() };
        if part.failure.is_some() {
            return "failed".to_owned();
        }
        let is_ratio = figure::kind_of(self.figure).is_some_and(|kind| kind.is_ratio);
        match (results.ratio(self.scenario, part, self.figure), part.median(self.figure)) {
            (Some(ratio), _) if is_ratio => format!("×{}", times(ratio)),
            (_, Some(value)) => short(value),
            _ => "–".to_owned(),
        }
    }

    /// The goal, and whether our server reaches it.
    pub(crate) fn goal_text(&self, results: &Results) -> String {
        let Some(goal) = self.scenario.goals.get(self.figure) else { return String::new() };
        let kind = figure::kind_of(self.figure);
        let sign = if kind.is_some_and(|kind| kind.better == Better::Higher) { "≥" } else { "≤" };
        let mark = if kind.is_some_and(|kind| kind.is_ratio) { "×" } else { "" };
        let ours = results.part(&self.scenario.name, "deepstream");
        let reached = ours.and_then(|part| results.reaches(self.scenario, part, self.figure));
        let verdict = match reached {
            Some(true) => "reached",
            Some(false) => "not reached",
            None => "not measured",
        };
        format!("{sign} {mark}{goal} {verdict}")
    }
}

/// A ratio with the digits that mean something.
pub(crate) fn times(ratio: f64) -> String {
    if ratio >= 10.0 {
        format!("{ratio:.1}")
    } else if ratio >= 0.1 {
        format!("{ratio:.2}")
    } else {
        format!("{ratio:.3}")
    }
}

/// A number with three digits or so, in thousands and millions where that is shorter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e7 => format!("{:.1} M", value / 1e6),
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{part, results};

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.5, "0.50"), (22.94, "22.9"), (739.0, "739"), (739_123.0, "739.1 k"), (4_600_000.0, "4.60 M")]
        {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn a_summary_says_who_reaches_what() {
        let players =
            vec![part("relay", "rate", &[10.0]), part("deepstream", "rate", &[6.0]), part("redis", "rate", &[])];
        let text = summary(&results("rate", "rate: 0.55", players));
        assert!(text.contains("×0.60") && text.contains("≥ ×0.55 reached"), "{text}");
        assert!(text.contains("redis"), "{text}");
    }

    #[test]
    fn cpus_that_were_moved_are_said() {
        let said = |ours: &[f64]| {
            let relay = part("relay", "line", &[51.0, 54.0, 55.0]);
            let mut results = results("rate", "", vec![relay, part("deepstream", "line", ours)]);
            results.set_aside();
            all(&results)
        };
        let far = said(&[345.0, 340.0]);
        assert!(far.contains("ns: relay 51.0 – 55.0, deepstream 340 – 345\n"), "{far}");
        assert!(far.contains("than for others: x\n"), "{far}");
        let one_far = said(&[52.0, 345.0]);
        assert!(one_far.contains("deepstream: 1 of 2 runs do not count"), "{one_far}");
        assert!(!one_far.contains("not to be compared"), "{one_far}");
        let near = said(&[60.0, 77.0]);
        assert!(!near.contains("apart"), "{near}");
    }

    #[test]
    fn failures_are_said_in_place_of_figures() {
        let mut failed = part("deepstream", "rate", &[]);
        failed.failure = Some("it died".to_owned());
        let results = results("rate", "rate: 0.55", vec![part("relay", "rate", &[10.0]), failed]);
        assert!(all(&results).contains("failed: it died"), "{}", all(&results));
        assert!(summary(&results).contains("not measured"));
    }
}
