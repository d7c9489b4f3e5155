//! The harness people compare servers with: latency, rate and cost, next to a raw relay in the same run.

mod audit;
mod clock;
mod compare;
mod conduct;
mod connection;
mod control;
mod cpulist;
mod dialect;
mod distance;
mod figure;
mod given;
mod hgrm;
mod load;
mod payload;
mod plan;
mod player;
mod plot;
mod poll;
mod proc;
mod relay;
mod report;
mod results;
mod role;
mod run;
mod scenario;
mod schedule;
mod server;
mod shipped;
mod syscalls;
mod table;
mod tally;
mod under_way;

use crate::cpulist::Cores;
use crate::player::{Player, Stage};
use crate::results::Results;
use crate::run::{Comparison, Places};
use crate::scenario::Scenario;
use clap::{Args, Parser, Subcommand};
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures deepstream and its peers against a raw TCP relay.
#[derive(Parser)]
#[command(name = "deepstream-perf", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play scenarios and write the report
    Run(Run),
    /// Say what changed between two results.json
    Compare {
        before: PathBuf,
        after: PathBuf,
        /// Exit with 1 if anything of deepstream's became worse
        #[arg(long)]
        fail: bool,
    },
    /// Write report.html and summary.svg of a results.json again
    Report {
        results: PathBuf,
        /// Into this folder; otherwise beside the results
        #[arg(long, value_name = "folder")]
        out: Option<PathBuf>,
        /// Print the summary as Markdown
        #[arg(long)]
        markdown: bool,
    },
    /// List the shipped scenarios
    List,
    /// Be the relay (what `run` starts)
    #[command(hide = true)]
    Relay {
        address: SocketAddr,
        /// Ask again and again
        #[arg(long, conflicts_with = "sleep")]
        spin: bool,
        /// Wait in the kernel
        #[arg(long)]
        sleep: bool,
    },
}

#[derive(Args)]
struct Run {
    /// Names of shipped scenarios, or files; none: all that run by default
    scenarios: Vec<String>,
    /// CPUs of the server, as in the server's `cores.shards`
    #[arg(long, value_name = "cpulist", value_parser = cpus)]
    server_cpus: Option<CpuList>,
    /// CPUs of the generator, one thread each
    #[arg(long, value_name = "cpulist", value_parser = cpus)]
    generator_cpus: Option<CpuList>,
    /// Runs of each scenario by each player
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
    /// Milliseconds measured in each run, instead of what the scenarios say
    #[arg(long, value_name = "ms", value_parser = clap::value_parser!(u64).range(1..))]
    measure: Option<u64>,
    /// Count system calls too (with perf; costs the measured process a little)
    #[arg(long)]
    syscalls: bool,
    /// The server's program; otherwise it is built from this workspace
    #[arg(long, value_name = "file")]
    server: Option<PathBuf>,
    /// A running server of deepstream's protocol to compare with; its process, if it is to be looked into
    #[arg(long, value_name = "name=host:port[,pid]", value_parser = Player::parse)]
    peer: Vec<Player>,
    /// Only these players: relay, deepstream, redis, nats, mosquitto and named peers
    #[arg(long, value_name = "names", value_delimiter = ',')]
    only: Vec<String>,
    /// Where results.json, the report and the distributions go
    #[arg(long, value_name = "folder", default_value = "target/perf")]
    out: PathBuf,
}

#[derive(Clone)]
struct CpuList(Vec<usize>);

fn cpus(text: &str) -> Result<CpuList, String> {
    cpulist::parse(text).map(CpuList)
}

fn main() -> ExitCode {
    let done = match Program::parse().command {
        Command::Run(run) => compare_players(&run),
        Command::Compare { before, after, fail } => compare_results(&before, &after, fail),
        Command::Report { results, out, markdown } => report_again(&results, out.as_deref(), markdown),
        Command::List => list(),
        Command::Relay { address, spin, .. } => relay::listen(address)
            .and_then(|listener| relay::serve(&listener, spin))
            .map_err(|error| format!("relay: {error}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deepstream-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints, and ignores a closed pipe, so that `head` does not end a run.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

fn compare_results(before: &Path, after: &Path, fail: bool) -> Result<(), String> {
    let (before, after) = (Results::read(before)?, Results::read(after)?);
    print(&compare::text(&before, &after));
    let worse = |change: &compare::Change| change.player == "deepstream" && !change.is_better;
    let any = compare::compare(&before, &after).0.iter().any(worse);
    if fail && any { Err("it became worse".to_owned()) } else { Ok(()) }
}

fn report_again(path: &Path, out: Option<&Path>, markdown: bool) -> Result<(), String> {
    let results = Results::read(path)?;
    if markdown {
        print(&report::markdown(&results));
    }
    report::write(&results, out.or(path.parent()).unwrap_or(Path::new(".")))
}

fn list() -> Result<(), String> {
    for scenario in shipped::shipped()? {
        let mark = if scenario.by_default { "" } else { " (only when named)" };
        print(&format!("{:22}{}{mark}\n", scenario.name, scenario.about));
    }
    Ok(())
}

fn compare_players(arguments: &Run) -> Result<(), String> {
    let scenarios = chosen(arguments)?;
    let floors = missing_floors(&scenarios)?;
    let default = Cores::first_two(proc::cpu_count());
    let cores = Cores {
        server: arguments.server_cpus.as_ref().map_or(default.server, |list| list.0.clone()),
        generator: arguments.generator_cpus.as_ref().map_or(default.generator, |list| list.0.clone()),
    };
    if !cores.is_apart() {
        eprintln!(
            "server and generator share CPUs: the generator sleeps between messages, and latencies contain its wake-ups"
        );
    }
    proc::raise_file_limit();
    fs::create_dir_all(&arguments.out).map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let folder = arguments.out.canonicalize().map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let players = players(arguments)?;
    let stage = Stage { cores, folder: folder.clone(), syscalls: arguments.syscalls };
    let comparison = Comparison { stage: &stage, players: &players, runs: arguments.runs as usize, folder: &folder };
    let mut results = Results {
        machine: proc::Machine::here(&stage.cores),
        commit: server::commit(),
        command: std::env::args().skip(1).fold("deepstream-perf".to_owned(), |line, word| line + " " + &word),
        scenarios: Vec::new(),
    };
    let mut places = Places::default();
    for (scenario, floor_only) in floors.iter().map(|floor| (floor, true)).chain(scenarios.iter().map(|it| (it, false)))
    {
        let played = comparison.play(scenario, floor_only, &mut places)?;
        results.scenarios.push(played);
        results.set_aside();
        if let Some(played) = results.scenarios.last() {
            print(&format!("{}\n", table::scenario(&results, played)));
        }
        // What was measured survives whatever stops the rest.
        results.write(&folder.join("results.json"))?;
    }
    print(&table::summary(&results));
    fs::write(folder.join("results.txt"), table::all(&results)).map_err(|error| format!("results.txt: {error}"))?;
    report::write(&results, &folder)?;
    print(&format!("\nwritten: {}\n", folder.join("report.html").display()));
    Ok(())
}

fn chosen(arguments: &Run) -> Result<Vec<Scenario>, String> {
    let mut scenarios = if arguments.scenarios.is_empty() {
        shipped::shipped()?.into_iter().filter(|scenario| scenario.by_default).collect()
    } else {
        arguments.scenarios.iter().map(|name| shipped::find(name)).collect::<Result<Vec<_>, _>>()?
    };
    for scenario in scenarios.iter_mut().filter(|scenario| scenario.measure_ms > 0) {
        scenario.measure_ms = arguments.measure.unwrap_or(scenario.measure_ms);
    }
    Ok(scenarios)
}

/// Scenarios that were not chosen and whose relay is somebody's floor.
fn missing_floors(scenarios: &[Scenario]) -> Result<Vec<Scenario>, String> {
    let mut floors: Vec<Scenario> = Vec::new();
    for name in scenarios.iter().filter_map(|scenario| scenario.floor.as_ref()) {
        if !scenarios.iter().chain(&floors).any(|scenario| scenario.name == *name) {
            let mut floor = shipped::find(name)?;
            floor.measure_ms = scenarios.iter().map(|scenario| scenario.measure_ms).max().unwrap_or(floor.measure_ms);
            floors.push(floor);
        }
    }
    Ok(floors)
}

fn players(arguments: &Run) -> Result<Vec<Player>, String> {
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut players = vec![Player::Relay];
    if wanted("deepstream") {
        players.push(Player::Server(server::program(arguments.server.as_deref())?));
    }
    players.extend([Player::Redis, Player::Nats, Player::Mosquitto]);
    players.extend(arguments.peer.iter().cloned());
    let known: Vec<&str> = players.iter().map(Player::name).collect();
    if let Some(unknown) = arguments.only.iter().find(|name| !known.contains(&name.as_str()) && *name != "deepstream") {
        return Err(format!("--only {unknown}: the players are deepstream, {}", known.join(", ")));
    }
    players.retain(|player| wanted(player.name()));
    players.retain(|player| match player.absence() {
        Some(absence) => {
            eprintln!("skipped: {}: {absence}", player.name());
            false
        }
        None => true,
    });
    Ok(players)
}
