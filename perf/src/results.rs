//! Everything a run of the harness found, as it is written to `results.json` and read back.

use crate::figure::{self, Better, Figures};
use crate::proc::Machine;
use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The whole file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    /// What it was measured on.
    pub(crate) machine: Machine,
    /// The commit measured, if it is known.
    pub(crate) commit: String,
    /// The command that gave these figures.
    pub(crate) command: String,
    /// In the order played.
    pub(crate) scenarios: Vec<Played>,
}

/// A scenario, played by everybody who could.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Played {
    pub(crate) scenario: Scenario,
    /// The floor first, if there is one.
    pub(crate) players: Vec<Part>,
}

/// A player's share.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Part {
    pub(crate) player: String,
    /// Each run's figures.
    pub(crate) runs: Vec<Figures>,
    /// Figures of runs that do not count, because the CPUs of both sides were not as far apart as in most.
    #[serde(default)]
    pub(crate) aside: Vec<Figures>,
    /// What should not have happened, all runs together.
    pub(crate) faults: BTreeMap<String, u64>,
    /// Percentile (of 100) and microseconds, all runs together.
    pub(crate) curve: Vec<(f64, f64)>,
    /// Why there is nothing.
    pub(crate) failure: Option<String>,
}

/// Several runs of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// CPUs so many times as far apart, or as near, are another place: neighbours differ by half, one core's threads, neighbours and
/// the ends of a machine several times.
const ELSEWHERE_TIMES: f64 = 1.9;

/// Whether a distance is another place than the usual one.
pub(crate) fn is_elsewhere(line: f64, usual: f64) -> bool {
    line > ELSEWHERE_TIMES * usual || usual > ELSEWHERE_TIMES * line
}

/// The middle of some distances, of two the nearer.
pub(crate) fn usual(lines: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut lines: Vec<f64> = lines.into_iter().collect();
    lines.sort_by(f64::total_cmp);
    lines.get(lines.len().saturating_sub(1) / 2).copied()
}

/// The relay's name.
pub(crate) const FLOOR: &str = "relay";

impl Part {
    /// The figure over all runs that have it.
    pub(crate) fn spread(&self, name: &str) -> Option<Spread> {
        let mut values: Vec<f64> = self.runs.iter().filter_map(|run| run.get(name).copied()).collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Spread { min, median, max })
    }

    /// Whether the CPUs of both sides were elsewhere in all its runs.
    pub(crate) fn is_elsewhere(&self, usual: f64) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(|run| was_elsewhere(run, usual))
    }

    /// The median over all runs that have it.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.spread(name).map(|spread| spread.median)
    }
}

fn was_elsewhere(run: &Figures, usual: f64) -> bool {
    run.get("line").is_some_and(|line| is_elsewhere(*line, usual))
}

impl Results {
    /// Lets only those runs count whose CPUs were as far apart as in most, for every player that has some.
    pub(crate) fn set_aside(&mut self) {
        let parts = || self.scenarios.iter().flat_map(|played| &played.players);
        let runs = parts().flat_map(|part| part.runs.iter().chain(&part.aside));
        let Some(usual) = usual(runs.filter_map(|run| run.get("line").copied())) else { return };
        for part in self.scenarios.iter_mut().flat_map(|played| &mut played.players) {
            part.runs.append(&mut part.aside);
            if !part.is_elsewhere(usual) {
                part.aside.extend(part.runs.extract_if(.., |run| was_elsewhere(run, usual)));
            }
        }
    }

    /// A player's share of a scenario.
    pub(crate) fn part(&self, scenario: &str, player: &str) -> Option<&Part> {
        let played = self.scenarios.iter().find(|played| played.scenario.name == scenario)?;
        played.players.iter().find(|part| part.player == player)
    }

    /// The relay a scenario is measured against.
    pub(crate) fn floor(&self, scenario: &Scenario) -> Option<&Part> {
        self.part(scenario.floor.as_ref().unwrap_or(&scenario.name), FLOOR)
    }

    /// A figure of a player as a multiple of the floor's.
    pub(crate) fn ratio(&self, scenario: &Scenario, part: &Part, name: &str) -> Option<f64> {
        let floor = self.floor(scenario)?.median(name)?;
        (floor > 0.0).then_some(part.median(name)? / floor)
    }

    /// Whether a player reaches a goal, if both are known.
    pub(crate) fn reaches(&self, scenario: &Scenario, part: &Part, name: &str) -> Option<bool> {
        let (goal, kind) = (*scenario.goals.get(name)?, figure::kind_of(name)?);
        let value = if kind.is_ratio { self.ratio(scenario, part, name)? } else { part.median(name)? };
        Some(if kind.better == Better::Higher { value >= goal } else { value <= goal })
    }

    /// Reads a file that [`Results::write`] wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scenario::read;

    pub(crate) fn part(player: &str, name: &str, values: &[f64]) -> Part {
        let runs = values.iter().map(|value| Figures::from([(name.to_owned(), *value)])).collect();
        let curve = vec![(0.0, 1.0), (50.0, 2.0), (99.0, 3.0), (99.999, 50.0), (100.0, 60.0)];
        Part { player: player.to_owned(), runs, aside: Vec::new(), faults: BTreeMap::new(), curve, failure: None }
    }

    pub(crate) fn results(shows: &str, goal: &str, players: Vec<Part>) -> Results {
        let text = format!("name: x\nabout: y\nshows: {shows}\nidle_connections: 1\ngoals: {{{goal}}}\n");
        let scenario = read(&text).expect("right");
        let scenarios = vec![Played { scenario, players }];
        Results {
            machine: Machine::here(&crate::cpulist::Cores::default()),
            commit: "0".to_owned(),
            command: "run".to_owned(),
            scenarios,
        }
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        let spread = part("a", "rate", &[4.0, 1.0, 3.0, 2.0]).spread("rate");
        assert_eq!(spread, Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(part("a", "rate", &[]).spread("rate"), None);
    }

    #[test]
    fn goals_are_ratios_to_the_floor_in_the_direction_of_the_figure() {
        let players = || vec![part("relay", "rate", &[10.0]), part("deepstream", "rate", &[6.0])];
        for (goal, reached) in [(0.5, true), (0.7, false)] {
            let results = results("rate", &format!("rate: {goal}"), players());
            let scenario = &results.scenarios[0].scenario;
            let part = results.part("x", "deepstream").expect("there");
            assert_eq!(results.reaches(scenario, part, "rate"), Some(reached));
        }
        let bytes = vec![part("deepstream", "connection_bytes", &[1000.0])];
        let results = results("memory", "connection_bytes: 2048", bytes);
        let part = results.part("x", "deepstream").expect("there");
        assert_eq!(results.reaches(&results.scenarios[0].scenario, part, "connection_bytes"), Some(true));
    }

    #[test]
    fn runs_on_cpus_elsewhere_count_only_where_there_are_no_others() {
        let players = vec![
            part("relay", "line", &[51.0, 345.0, 77.0, 27.0]),
            part("deepstream", "line", &[345.0, 340.0]),
            part("redis", "line", &[60.0, 61.0, 62.0]),
        ];
        let mut results = results("rate", "", players);
        for _ in 0..2 {
            results.set_aside();
            let counts = |player| {
                let part = results.part("x", player).expect("there");
                (part.runs.len(), part.aside.len())
            };
            assert_eq!([counts("relay"), counts("deepstream"), counts("redis")], [(2, 2), (2, 0), (3, 0)]);
        }
        // What is usual is known better later, and what was set aside may count after all.
        results.scenarios[0].players.push(part("nats", "line", &[345.0; 9]));
        results.set_aside();
        let relay = results.part("x", "relay").expect("there");
        assert_eq!((relay.runs.len(), relay.aside.len()), (1, 3));
    }

    #[test]
    fn the_usual_distance_is_the_middle_one_and_of_two_the_nearer() {
        assert_eq!(usual([345.0, 61.0, 63.0]), Some(63.0));
        assert_eq!(usual([345.0, 61.0]), Some(61.0));
        assert_eq!(usual([]), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = std::env::temp_dir().join(format!("deepstream-perf-results-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("results.json");
        results("rate", "rate: 0.5", vec![part("relay", "rate", &[10.0])]).write(&path).expect("written");
        let back = Results::read(&path).expect("read");
        assert_eq!(back.part("x", "relay").and_then(|part| part.median("rate")), Some(10.0));
        fs::remove_dir_all(folder).expect("removed");
    }
}
