//! One page that needs nothing else: tables, bars and percentile curves.

use crate::plot;
use crate::results::Results;
use crate::table;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}\
h1{font-size:1.5em}h2{font-size:1.1em;margin-top:2.2em}table{border-collapse:collapse;font-size:13px;width:100%}\
th,td{padding:.25em .6em;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child,\
td:nth-child(2),th:nth-child(2){text-align:left}pre{overflow-x:auto;font-size:12px;background:#f6f6f6;padding:.7em}\
.reached{color:#18794e}.missed{color:#b42318}svg{max-width:100%;height:auto}p.about{color:#555}";

/// Writes `report.html` and `summary.svg` into a folder.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<(), String> {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(bars) = plot::bars(results)? {
        put("summary.svg", &bars)?;
    }
    put("report.html", &html(results)?)
}

fn html(results: &Results) -> Result<String, String> {
    let machine = &results.machine;
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>deepstream-perf</title><style>{STYLE}</style>\n\
         <h1>deepstream next to a raw relay</h1>\n<p>{} × {}, Linux {}; server on CPUs {}, generator on CPUs {}; load \
         before {}. Commit {}.</p>\n<pre>{}</pre>\n",
        machine.cpus,
        escaped(&machine.cpu),
        escaped(&machine.kernel),
        machine.server_cpus,
        machine.generator_cpus,
        machine.load,
        escaped(&results.commit),
        escaped(&results.command)
    );
    page += &summary(results);
    page += plot::bars(results)?.as_deref().unwrap_or_default();
    for played in &results.scenarios {
        let _ = write!(
            page,
            "\n<h2>{}</h2>\n<p class=\"about\">{}</p>\n",
            played.scenario.name,
            escaped(&played.scenario.about)
        );
        page += plot::curves(results, played)?.as_deref().unwrap_or_default();
        let _ = writeln!(page, "<pre>{}</pre>", escaped(&table::scenario(results, played)));
    }
    Ok(page + "</html>\n")
}

fn summary(results: &Results) -> String {
    let players = table::players(results);
    let mut text = "<table><tr><th>scenario</th><th>figure</th><th>relay</th>".to_owned();
    for player in &players {
        let _ = write!(text, "<th>{}</th>", escaped(player));
    }
    text += "<th>goal</th></tr>\n";
    for row in table::rows(results) {
        let _ = write!(text, "<tr><td>{}</td><td>{}</td><td>{}</td>", row.scenario.name, row.figure, row.floor_text());
        for player in &players {
            let _ = write!(text, "<td>{}</td>", row.cell(results, player));
        }
        let goal = row.goal_text(results);
        let class = if goal.ends_with("not reached") { "missed" } else { "reached" };
        let _ = writeln!(text, "<td class=\"{class}\">{goal}</td></tr>");
    }
    text + "</table>\n"
}

/// The summary as Markdown, for a README.
pub(crate) fn markdown(results: &Results) -> String {
    let players = table::players(results);
    let mut text = format!("| scenario | figure | relay | {} | goal |\n|---|---|---:|", players.join(" | "));
    text += &"---:|".repeat(players.len());
    text += "---|\n";
    for row in table::rows(results) {
        let cells: Vec<String> = players.iter().map(|player| row.cell(results, player)).collect();
        let (name, figure, floor) = (&row.scenario.name, row.figure, row.floor_text());
        let _ = writeln!(text, "| {name} | {figure} | {floor} | {} | {} |", cells.join(" | "), row.goal_text(results));
    }
    let machine = &results.machine;
    let note = table::moved_note(results).map(|note| format!("; {note}")).unwrap_or_default();
    let commit = &results.commit;
    text + &format!("\n{} × {}, Linux {}, commit {commit}{note}.\n", machine.cpus, machine.cpu, machine.kernel)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{part, results};

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let mut ours = part("deepstream", "rate", &[6.0]);
        ours.player = "<x>".to_owned();
        let page = html(&results("rate", "rate: 0.55", vec![part("relay", "rate", &[10.0]), ours])).expect("drawn");
        for outside in ["<script", "<link", "src=", "href="] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("<svg") && page.contains("&lt;x&gt;") && !page.contains("<x>"));
    }

    #[test]
    fn markdown_has_a_column_for_everybody() {
        let players =
            vec![part("relay", "rate", &[10.0]), part("deepstream", "rate", &[6.0]), part("redis", "rate", &[3.0])];
        let text = markdown(&results("rate", "rate: 0.55", players));
        let columns: Vec<usize> = text.lines().take(3).map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [7, 7, 7], "{text}");
        assert!(text.contains("| ×0.60 | ×0.30 |"), "{text}");
    }
}
