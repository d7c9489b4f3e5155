//! The comparison: plays every scenario with every player, several times, in turns.
//!
//! *Promises* that the players take turns, so that what the machine does meanwhile falls on all of them alike.

use crate::conduct::{self, Outcome, Watcher};
use crate::figure;
use crate::hgrm;
use crate::player::{Player, Stage};
use crate::results::{Part, Played, usual};
use crate::scenario::{Scenario, Shows};
use crate::tally;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long runs may take, all in all, that are made because of where the CPUs were.
const REPEATED_MAX: Duration = Duration::from_secs(100);

/// How far apart the CPUs of both sides were, run for run.
#[derive(Default)]
pub(crate) struct Places {
    lines: Vec<f64>,
    repeated: Duration,
}

impl Places {
    fn is_to_be_repeated(&self, part: &Part) -> bool {
        let usual = usual(self.lines.iter().copied());
        self.repeated < REPEATED_MAX && usual.is_some_and(|usual| part.is_elsewhere(usual))
    }
}

/// Plays scenarios and writes their distributions into a folder.
pub(crate) struct Comparison<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) players: &'a [Player],
    pub(crate) runs: usize,
    pub(crate) folder: &'a Path,
}

impl Comparison<'_> {
    /// Plays one scenario. `floor_only`: it is only needed for its relay. `places`: where the CPUs
    /// of both sides were so far; who only had them elsewhere plays again, while there is time for it.
    pub(crate) fn play(&self, scenario: &Scenario, floor_only: bool, places: &mut Places) -> Result<Played, String> {
        let taking_part = |player: &&Player| player.plays(scenario) && (!floor_only || **player == Player::Relay);
        let players: Vec<&Player> = self.players.iter().filter(taking_part).collect();
        let mut parts: Vec<(Part, Histogram<u64>)> =
            players.iter().map(|player| (nothing(player), tally::histogram())).collect();
        for run in 0..2 * self.runs {
            for (player, (part, distribution)) in players.iter().zip(&mut parts) {
                if part.failure.is_some() || run >= self.runs && !places.is_to_be_repeated(part) {
                    continue;
                }
                let mut line = Line::new(format!("{} {} {}/{}", scenario.name, player.name(), run + 1, self.runs));
                let began = Instant::now();
                match conduct::run(player, scenario, self.stage, &mut line) {
                    Ok(outcome) => {
                        places.lines.extend(outcome.line_ns);
                        add(part, distribution, scenario, &outcome)?;
                    }
                    Err(failure) => part.failure = Some(failure),
                }
                if run >= self.runs {
                    places.repeated += began.elapsed();
                }
            }
        }
        let mut done = Vec::new();
        for (mut part, distribution) in parts {
            if !distribution.is_empty() {
                part.curve = curve(&distribution);
                let path = self.folder.join(format!("{}.{}.hgrm", scenario.name, part.player));
                fs::write(&path, hgrm::write(&distribution)).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            done.push(part);
        }
        Ok(Played { scenario: scenario.clone(), players: done })
    }
}

fn nothing(player: &Player) -> Part {
    let (runs, faults, curve) = (Vec::new(), BTreeMap::new(), Vec::new());
    Part { player: player.name().to_owned(), runs, aside: Vec::new(), faults, curve, failure: None }
}

fn add(
    part: &mut Part,
    distribution: &mut Histogram<u64>,
    scenario: &Scenario,
    outcome: &Outcome,
) -> Result<(), String> {
    part.runs.push(figure::of(outcome));
    for (name, count) in outcome.tally.faults() {
        *part.faults.entry(name).or_default() += count;
    }
    let histogram = match scenario.shows {
        Shows::AckLatency => &outcome.tally.acknowledged,
        Shows::Opening | Shows::Memory => &outcome.tally.opening,
        Shows::Latency | Shows::Rate => &outcome.tally.latency,
    };
    distribution.add(histogram).map_err(|error| error.to_string())
}

/// Percentiles from the median's neighbourhood to the far tail, evenly spread over the number of nines.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    const MICROSECOND_NS: f64 = 1000.0;
    const STEPS_PER_NINE: u32 = 10;
    let nines = (histogram.len() as f64).log10().clamp(1.0, 7.0);
    let steps = (nines * f64::from(STEPS_PER_NINE)) as u32;
    (0..=steps)
        .map(|step| 1.0 - 10_f64.powf(-f64::from(step) / f64::from(STEPS_PER_NINE)))
        .map(|quantile| (100.0 * quantile, histogram.value_at_quantile(quantile) as f64 / MICROSECOND_NS))
        .collect()
}

/// One line on a terminal that is written again and again; nothing anywhere else.
struct Line {
    what: String,
    shown: bool,
}

impl Line {
    fn new(what: String) -> Self {
        let mut line = Self { what, shown: std::io::stderr().is_terminal() };
        line.progress("starting", 0, 0);
        line
    }
}

impl Watcher for Line {
    fn progress(&mut self, what: &str, done: u64, of: u64) {
        if self.shown {
            let percent = (100 * done).checked_div(of).map_or_else(String::new, |percent| format!(" {percent}%"));
            // A terminal that is gone is no reason to stop measuring.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {what}{percent}", self.what);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::part;

    #[test]
    fn who_only_ran_elsewhere_plays_again_while_there_is_time() {
        let mut places = Places { lines: vec![63.0, 61.0, 340.0], repeated: Duration::ZERO };
        assert!(places.is_to_be_repeated(&part("relay", "line", &[340.0, 330.0])));
        assert!(!places.is_to_be_repeated(&part("relay", "line", &[340.0, 64.0])));
        assert!(!places.is_to_be_repeated(&part("relay", "line", &[])), "nothing says where that was");
        places.repeated = REPEATED_MAX;
        assert!(!places.is_to_be_repeated(&part("relay", "line", &[340.0])));
    }
}
