//! What changed between two results, beyond what runs of either differ among themselves.

use crate::figure::{self, Better};
use crate::results::{FLOOR, Part, Results};
use crate::scenario::Scenario;
use crate::table::{short, times};
use std::fmt::Write;

/// A figure that differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) scenario: String,
    pub(crate) player: String,
    pub(crate) figure: &'static str,
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// Whether the two are multiples of the floor.
    pub(crate) is_ratio: bool,
    pub(crate) is_better: bool,
}

/// Less than this is noise whatever the runs say.
const CHANGE_MIN: f64 = 0.02;
/// What a single run may differ by: one cannot know how much it varies.
const SINGLE_RUN_NOISE: f64 = 0.10;

/// Every change, and how many figures were compared.
pub(crate) fn compare(before: &Results, after: &Results) -> (Vec<Change>, usize) {
    let (mut changes, mut compared) = (Vec::new(), 0);
    for played in &after.scenarios {
        for part in &played.players {
            let Some(earlier) = before.part(&played.scenario.name, &part.player) else { continue };
            for name in played.scenario.shows.columns() {
                let both =
                    [(before, earlier), (after, part)].map(|(all, part)| values(all, &played.scenario, part, name));
                let [(Some(old), old_ratio), (Some(new), new_ratio)] = both else { continue };
                let Some(kind) = figure::kind_of(name).filter(|kind| kind.better != Better::Neither) else { continue };
                if old_ratio != new_ratio {
                    continue;
                }
                compared += 1;
                if differ(&old, &new) {
                    let (before, after) = (median(&old), median(&new));
                    changes.push(Change {
                        scenario: played.scenario.name.clone(),
                        player: part.player.clone(),
                        figure: kind.name,
                        before,
                        after,
                        is_ratio: old_ratio,
                        is_better: (after > before) == (kind.better == Better::Higher),
                    });
                }
            }
        }
    }
    (changes, compared)
}

/// All runs of a figure, sorted; as multiples of the floor's median where there is one, because those are steadier.
fn values(all: &Results, scenario: &Scenario, part: &Part, name: &str) -> (Option<Vec<f64>>, bool) {
    let kind = figure::kind_of(name);
    let floor = all.floor(scenario).filter(|_| part.player != FLOOR && kind.is_some_and(|kind| kind.is_ratio));
    let floor = floor.and_then(|floor| floor.median(name)).filter(|floor| *floor > 0.0);
    let runs = part.runs.iter().filter_map(|run| run.get(name));
    let mut values: Vec<f64> = runs.map(|value| value / floor.unwrap_or(1.0)).collect();
    values.sort_by(f64::total_cmp);
    ((!values.is_empty()).then_some(values), floor.is_some())
}

/// Whether two sorted sets of runs do not overlap, with room between them.
fn differ(old: &[f64], new: &[f64]) -> bool {
    let noise = if old.len() < 2 || new.len() < 2 { SINGLE_RUN_NOISE } else { CHANGE_MIN };
    let far = (median(new) - median(old)).abs() > noise * median(old).abs();
    let apart = old[old.len() - 1] < new[0] || new[new.len() - 1] < old[0];
    far && apart
}

fn median(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// How far apart the CPUs of both sides were, least and most.
fn lines(results: &Results) -> Option<(f64, f64)> {
    let parts = results.scenarios.iter().flat_map(|played| &played.players);
    let spreads = parts.filter_map(|part| part.spread("line")).map(|line| (line.min, line.max));
    spreads.reduce(|(least, most), (min, max)| (least.min(min), most.max(max)))
}

/// The changes as text.
pub(crate) fn text(before: &Results, after: &Results) -> String {
    let (changes, compared) = compare(before, after);
    let mut text = format!("before: commit {}, Linux {}\n", before.commit, before.machine.kernel);
    let _ = writeln!(text, "after:  commit {}, Linux {}", after.commit, after.machine.kernel);
    if before.machine.cpu != after.machine.cpu {
        let _ = writeln!(text, "different machines: {} and {}", before.machine.cpu, after.machine.cpu);
    }
    if let (Some((least, most)), Some((least_now, most_now))) = (lines(before), lines(after)) {
        let [least, most, least_now, most_now] = [least, most, least_now, most_now].map(short);
        let _ = writeln!(
            text,
            "between the CPUs of both sides and back a cache line took {least} – {most} ns, then {least_now} – {most_now} ns"
        );
    }
    for change in &changes {
        let Change { scenario, player, figure, .. } = change;
        let number = |value| if change.is_ratio { format!("×{}", times(value)) } else { short(value) };
        let percent = 100.0 * (change.after - change.before) / change.before;
        let verdict = if change.is_better { "better" } else { "worse" };
        let (from, to) = (number(change.before), number(change.after));
        let _ = writeln!(text, "{verdict:7}{scenario:22}{player:12}{figure:18}{from:>10} → {to:<10}{percent:+.1} %");
    }
    let _ = writeln!(text, "{} of {compared} figures changed beyond noise", changes.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{part, results};

    fn rates(floor: f64, ours: &[f64]) -> Results {
        results("rate", "rate: 0.5", vec![part("relay", "rate", &[floor]), part("deepstream", "rate", ours)])
    }

    #[test]
    fn runs_that_overlap_are_no_change() {
        let (changes, compared) = compare(&rates(10.0, &[5.0, 6.0]), &rates(10.0, &[5.9, 7.0]));
        assert_eq!((changes.len(), compared), (0, 2));
    }

    #[test]
    fn runs_that_lie_apart_are_a_change_in_a_direction() {
        for (after, is_better) in [([7.0, 8.0], true), ([3.0, 4.0], false)] {
            let (changes, _) = compare(&rates(10.0, &[5.0, 6.0]), &rates(10.0, &after));
            assert_eq!(changes.len(), 1);
            assert_eq!((changes[0].is_better, changes[0].is_ratio), (is_better, true));
        }
    }

    #[test]
    fn a_machine_that_is_slower_for_the_floor_too_is_no_change() {
        let (changes, _) = compare(&rates(10.0, &[5.0, 6.0]), &rates(5.0, &[2.5, 3.0]));
        assert!(changes.iter().all(|change| change.player == "relay"), "{changes:?}");
    }

    #[test]
    fn of_lower_is_better_figures_less_is_better() {
        let latency = |us: &[f64]| results("latency", "", vec![part("deepstream", "p50", us)]);
        let (changes, _) = compare(&latency(&[20.0, 21.0]), &latency(&[10.0, 11.0]));
        assert!(changes[0].is_better);
        assert!(text(&latency(&[20.0, 21.0]), &latency(&[10.0, 11.0])).contains("better"));
    }

    #[test]
    fn how_far_apart_the_cpus_were_is_said() {
        let apart = |ns: &[f64]| results("rate", "", vec![part("relay", "line", ns)]);
        let said = text(&apart(&[51.0, 77.0]), &apart(&[345.0]));
        assert!(said.contains("took 51.0 – 77.0 ns, then 345 – 345 ns"), "{said}");
    }
}
