//! The whole harness against its own relay: nothing lost, nothing out of order, and every file written.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PERF: &str = env!("CARGO_BIN_EXE_deepstream-perf");

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("perf-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(folder: &Path, scenario: &str, flags: &[&str]) -> Output {
    let file = folder.join("scenario.yml");
    fs::write(&file, scenario).unwrap();
    let out = folder.to_str().unwrap();
    let command = ["run", file.to_str().unwrap(), "--only", "relay", "--out", out];
    Command::new(PERF).args(command).args(flags).output().unwrap()
}

fn relay(folder: &Path) -> Value {
    let results: Value = serde_json::from_slice(&fs::read(folder.join("results.json")).unwrap()).unwrap();
    results["scenarios"][0]["players"][0].clone()
}

#[test]
fn a_closed_loop_against_the_relay_loses_nothing_and_writes_everything() {
    let folder = folder("closed");
    let scenario = "name: pairs\nabout: x\nshows: rate\npublishers: 2\nsubscribers: 4\ntopics: 2\n\
                    pace: {window: 8, batch: 4}\nwarm_up_ms: 50\nmeasure_ms: 200\n";
    let output = run(&folder, scenario, &["--runs", "2"]);
    assert!(output.status.success(), "{output:?}");
    let relay = relay(&folder);
    assert_eq!(relay["failure"], Value::Null);
    assert_eq!(relay["faults"], serde_json::json!({}));
    // A host that moves the CPUs about may set one aside, but not both.
    let [runs, aside] = ["runs", "aside"].map(|name| relay[name].as_array().unwrap());
    assert!(runs.len() + aside.len() == 2 && !runs.is_empty(), "{relay}");
    for run in runs.iter().chain(aside) {
        assert!(run["throughput"].as_f64().unwrap() > 100.0, "{run}");
        assert!(run["cpu"].as_f64().unwrap() > 0.0 && run["rate"].as_f64().unwrap() > 100.0, "{run}");
        assert!(run["p50"].as_f64().unwrap() <= run["p99.9"].as_f64().unwrap(), "{run}");
    }
    let distribution = fs::read_to_string(folder.join("pairs.relay.hgrm")).unwrap();
    assert!(distribution.contains("#[Max"), "{distribution}");
    let results = folder.join("results.json");
    let compared = Command::new(PERF).arg("compare").args([&results, &results]).output().unwrap();
    assert!(String::from_utf8_lossy(&compared.stdout).contains("0 of"), "{compared:?}");
}

#[test]
fn an_open_loop_with_echoes_keeps_its_rate_and_a_storm_counts_its_connections() {
    let folder = folder("open");
    let scenario = "name: echo\nabout: x\nshows: latency\necho: true\npublishers: 2\nsubscribers: 2\ntopics: 2\n\
                    pace: {rate: 1000}\nwarm_up_ms: 50\nmeasure_ms: 500\nreopened: 2\n";
    let output = run(&folder, scenario, &["--runs", "1"]);
    assert!(output.status.success(), "{output:?}");
    let relay = relay(&folder);
    assert_eq!(relay["faults"], serde_json::json!({}), "{output:?}");
    let throughput = relay["runs"][0]["throughput"].as_f64().unwrap();
    assert!((500.0..1500.0).contains(&throughput), "{throughput}");
    assert!(relay["runs"][0]["opening_cpu"].as_f64().is_some());
}

#[test]
fn a_scenario_that_cannot_run_is_refused_by_name() {
    let folder = folder("wrong");
    let output = run(&folder, "name: x\nabout: y\nshows: rate\npublishers: 1\n", &[]);
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("publishers need topics"), "{words}");
}
