//! The scenarios that come with the harness, and how they are found.

use crate::scenario::{Scenario, read};
use std::fs;

macro_rules! shipped {
    ($($name:literal)*) => { [$(include_str!(concat!("../scenarios/", $name, ".yml"))),*] };
}

const SHIPPED: &[&str] = &shipped!(
    "event-closed" "event-closed-spin" "event-open" "ping-pong" "fan-out-10" "fan-out-1000" "pairs-pipelined"
    "many-to-many" "record-patch" "record-patch-ack" "record-patch-durable" "record-patch-stored" "record-update" "hot-record"
    "rpc-latency" "rpc" "text-event" "text-pairs" "text-patch" "text-rpc"
    "json-event" "json-pairs" "json-patch" "json-rpc" "http-event" "http-pairs" "http-patch" "http-rpc" "mqtt-event" "mqtt-pairs" "mqtt-update"
    "rules-pairs" "rules-patch"
    "connect-storm" "reconnect-storm" "idle-memory" "all-read" "slow-consumer" "cold-reads" "tail"
    "across-1" "across-2" "across-4" "across-8" "across-16"
);

/// Every shipped scenario, in the order in which they run.
pub(crate) fn shipped() -> Result<Vec<Scenario>, String> {
    SHIPPED.iter().map(|text| read(text)).collect()
}

/// A scenario by its name, or a file by its path.
pub(crate) fn find(name: &str) -> Result<Scenario, String> {
    let shipped = shipped()?;
    if let Some(scenario) = shipped.iter().find(|scenario| scenario.name == name) {
        return Ok(scenario.clone());
    }
    let text = fs::read_to_string(name).map_err(|error| {
        let names: Vec<&str> = shipped.iter().map(|scenario| scenario.name.as_str()).collect();
        format!("{name}: {error}; the shipped scenarios are {}", names.join(", "))
    })?;
    read(&text).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_scenario_can_be_run_and_is_found_by_its_name() {
        for scenario in shipped().expect("shipped scenarios are right") {
            assert_eq!(find(&scenario.name).map(|found| found.about), Ok(scenario.about));
        }
    }

    #[test]
    fn every_file_of_the_folder_is_shipped() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        assert_eq!(fs::read_dir(folder).expect("the folder is there").count(), SHIPPED.len());
    }

    #[test]
    fn a_floor_of_another_scenario_is_there_and_is_played_by_the_relay() {
        let shipped = shipped().expect("shipped scenarios are right");
        for name in shipped.iter().filter_map(|scenario| scenario.floor.as_ref()) {
            let floor = shipped.iter().find(|scenario| scenario.name == *name);
            assert!(floor.is_some_and(|floor| floor.floor.is_none()), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_lists_those_there_are() {
        assert!(find("nope").expect_err("unknown").contains("fan-out-10"));
    }
}
