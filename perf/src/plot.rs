//! Drawings: percentile curves of a scenario, and bars of everything next to the floor.

use crate::figure::{self, Better};
use crate::results::{FLOOR, Played, Results};
use crate::table::{Row, players, rows, short, times};
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;
use std::fmt::Debug;

const FONT: &str = "sans-serif";
const WIDTH: u32 = 860;

/// A colour each, steady from one drawing to the next.
fn color(results: &Results, player: &str) -> RGBColor {
    const FLOOR_COLOR: RGBColor = RGBColor(0x88, 0x88, 0x88);
    const OURS: RGBColor = RGBColor(0x0b, 0x5c, 0xad);
    const OTHERS: [RGBColor; 5] = [
        RGBColor(0xc6, 0x3d, 0x2f),
        RGBColor(0x2e, 0x8b, 0x57),
        RGBColor(0xb8, 0x86, 0x0b),
        RGBColor(0x7d, 0x3c, 0x98),
        RGBColor(0x00, 0x80, 0x80),
    ];
    match player {
        FLOOR => FLOOR_COLOR,
        "deepstream" => OURS,
        other => {
            let others = players(results).into_iter().filter(|name| name != "deepstream");
            let at = others.into_iter().position(|name| name == other).unwrap_or_default();
            OTHERS[at % OTHERS.len()]
        }
    }
}

fn told<E: Debug>(error: E) -> String {
    format!("cannot draw: {error:?}")
}

/// Latency over percentiles, both logarithmic, of everybody who played; the floor's too. Nothing without a curve.
pub(crate) fn curves(results: &Results, played: &Played) -> Result<Option<String>, String> {
    let floor = results.floor(&played.scenario).filter(|_| played.scenario.floor.is_some());
    let parts: Vec<_> = floor.into_iter().chain(&played.players).filter(|part| part.curve.len() > 1).collect();
    // The x axis: 1 / (1 - quantile), so that every nine takes as much room.
    let points = |curve: &[(f64, f64)]| -> Vec<(f64, f64)> {
        curve.iter().map(|&(percent, us)| (1.0 / (1.0 - percent / 100.0).max(1e-9), us.max(0.001))).collect()
    };
    let all: Vec<(f64, f64)> = parts.iter().flat_map(|part| points(&part.curve)).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let x_max = all.iter().map(|point| point.0).fold(10.0, f64::max);
    let y_max = all.iter().map(|point| point.1).fold(f64::MIN, f64::max);
    let y_min = all.iter().map(|point| point.1).fold(f64::MAX, f64::min);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, 320)).into_drawing_area();
        root.fill(&WHITE).map_err(told)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(64)
            .build_cartesian_2d((1.0..x_max).log_scale(), (y_min / 1.2..y_max * 1.2).log_scale())
            .map_err(told)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .label_style((FONT, 12))
            .x_labels(8)
            .y_labels(6)
            .x_label_formatter(&|x| percentile_label(*x))
            .y_label_formatter(&|us| short(*us))
            .x_desc("percentile")
            .y_desc("µs")
            .draw()
            .map_err(told)?;
        for part in parts {
            let style = color(results, &part.player).stroke_width(2);
            chart
                .draw_series(LineSeries::new(points(&part.curve), style))
                .map_err(told)?
                .label(part.player.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font((FONT, 12))
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(told)?;
        root.present().map_err(told)?;
    }
    Ok(Some(svg))
}

fn percentile_label(x: f64) -> String {
    let percent = 100.0 * (1.0 - 1.0 / x);
    let nines = x.log10().round().max(0.0) as usize;
    format!("{percent:.*}", nines.saturating_sub(2))
}

/// The whole comparison on a page: every figure of the summary as a bar that ends at its multiple of the floor, where
/// further right is better; a goal is a mark.
pub(crate) fn bars(results: &Results) -> Result<Option<String>, String> {
    let rows: Vec<Row<'_>> = rows(results)
        .into_iter()
        .filter(|row| row.floor.is_some() && figure::kind_of(row.figure).is_some_and(|kind| kind.is_ratio))
        .collect();
    let players = players(results);
    if rows.is_empty() || players.is_empty() {
        return Ok(None);
    }
    let lines = players.len() + 1;
    let height = 64 + (rows.len() * (14 * lines + 6)) as u32;
    let speeds = |row: &Row<'_>| -> Vec<(usize, f64)> {
        let part = |name: &String| results.part(&row.scenario.name, name);
        let ratio = |name| part(name).and_then(|part| results.ratio(row.scenario, part, row.figure));
        let all = players.iter().enumerate().filter_map(|(at, name)| Some((at, ratio(name)?)));
        all.filter(|(_, ratio)| *ratio > 0.0).map(|(at, ratio)| (at, speed(row, ratio))).collect()
    };
    let least = rows.iter().flat_map(&speeds).map(|(_, speed)| speed).fold(0.5, f64::min);
    let most = rows.iter().flat_map(&speeds).map(|(_, speed)| speed).fold(1.5, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).map_err(told)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(210)
            .build_cartesian_2d((least / 1.3..most * 2.5).log_scale(), 0.0..(rows.len() * lines) as f64)
            .map_err(told)?;
        chart
            .configure_mesh()
            .disable_y_axis()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .label_style((FONT, 12))
            .x_label_formatter(&|x| times(*x))
            .x_desc("speed as a multiple of the raw relay's (1 = only copying bytes; right is better)")
            .draw()
            .map_err(told)?;
        let left = least / 1.3;
        for (at, row) in rows.iter().enumerate() {
            let top = ((rows.len() - at) * lines) as f64;
            let label = format!("{} {}", row.scenario.name, row.figure);
            let name = Text::new(label, (-205, 0), (FONT, 12));
            chart.draw_series([EmptyElement::at((left, top - 0.6)) + name]).map_err(told)?;
            for (line, speed) in speeds(row) {
                let y = top - 0.6 - line as f64 * (1.0 - 0.4 / lines as f64);
                let color = color(results, &players[line]);
                let bar = Rectangle::new([(left, y), (speed, y - 0.72)], color.filled());
                chart.draw_series([bar]).map_err(told)?;
                let text = Text::new(format!("{} {}", times(speed), players[line]), (4, 1), (FONT, 11));
                chart.draw_series([EmptyElement::at((speed, y)) + text]).map_err(told)?;
            }
            if let Some(goal) = row.scenario.goals.get(row.figure) {
                let x = speed(row, *goal);
                let ends = [(x, top - 0.5), (x, top - 1.5)];
                chart.draw_series([PathElement::new(ends, BLACK.stroke_width(3))]).map_err(told)?;
            }
        }
        root.present().map_err(told)?;
    }
    Ok(Some(svg))
}

/// A ratio turned so that more is better.
fn speed(row: &Row<'_>, ratio: f64) -> f64 {
    let lower = figure::kind_of(row.figure).is_some_and(|kind| kind.better == Better::Lower);
    if lower { 1.0 / ratio } else { ratio }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{part, results};

    #[test]
    fn every_player_has_its_curve_and_its_bar() {
        let players =
            vec![part("relay", "rate", &[10.0]), part("deepstream", "rate", &[6.0]), part("redis", "rate", &[3.0])];
        let results = results("rate", "rate: 0.55", players);
        let curves = curves(&results, &results.scenarios[0]).expect("drawn").expect("something");
        assert!(curves.starts_with("<svg") && curves.contains("deepstream") && curves.contains("redis"));
        assert!(curves.contains("99.9"), "nines are named");
        let bars = bars(&results).expect("drawn").expect("something");
        assert!(bars.contains("0.60 deepstream") && bars.contains("0.30 redis"), "{bars}");
    }

    #[test]
    fn nothing_measured_is_nothing_drawn() {
        let results = results("rate", "", Vec::new());
        assert_eq!(curves(&results, &results.scenarios[0]), Ok(None));
        assert_eq!(bars(&results), Ok(None));
    }

    #[test]
    fn percentiles_have_as_many_nines_as_they_need() {
        let labels: Vec<String> = [1.0, 2.0, 10.0, 100.0, 1000.0, 100_000.0].map(percentile_label).into();
        assert_eq!(labels, ["0", "50", "90", "99", "99.9", "99.999"]);
    }
}
