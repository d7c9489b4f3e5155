//! The comparison: every scenario, every player, several runs, turn by turn.
//!
//! *Promises* that the players take turns, so that what the machine does meanwhile falls on all of them alike.

use crate::conduct::{self, Outcome, Watcher};
use crate::figure;
use crate::hgrm;
use crate::player::{Player, Stage};
use crate::results::{Part, Played};
use crate::scenario::{Scenario, Shows};
use crate::tally;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Plays scenarios and writes their distributions into a folder.
pub(crate) struct Comparison<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) players: &'a [Player],
    pub(crate) runs: usize,
    pub(crate) folder: &'a Path,
}

impl Comparison<'_> {
    /// Plays one scenario. `floor_only`: it is only needed for its relay. `nearest`: how near to each other the CPUs of both
    /// sides ever were; who never had them so near plays on, up to as many times again.
    pub(crate) fn play(&self, scenario: &Scenario, floor_only: bool, nearest: &mut f64) -> Result<Played, String> {
        let taking_part = |player: &&Player| player.plays(scenario) && (!floor_only || **player == Player::Relay);
        let players: Vec<&Player> = self.players.iter().filter(taking_part).collect();
        let mut parts: Vec<(Part, Histogram<u64>)> =
            players.iter().map(|player| (nothing(player), tally::histogram())).collect();
        for run in 0..2 * self.runs {
            for (player, (part, distribution)) in players.iter().zip(&mut parts) {
                if part.failure.is_some() || run >= self.runs && !part.is_far(*nearest) {
                    continue;
                }
                let mut line = Line::new(format!("{} {} {}/{}", scenario.name, player.name(), run + 1, self.runs));
                match conduct::run(player, scenario, self.stage, &mut line) {
                    Ok(outcome) => {
                        *nearest = nearest.min(outcome.line_ns.unwrap_or(f64::INFINITY));
                        add(part, distribution, scenario, &outcome)?;
                    }
                    Err(failure) => part.failure = Some(failure),
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
    Part { player: player.name().to_owned(), runs, far: Vec::new(), faults, curve, failure: None }
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
