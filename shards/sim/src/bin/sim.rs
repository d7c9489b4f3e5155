//! The simulator's program: runs many worlds, or one with its trace, and replays tapes of running servers.

use deepstream_sim::replay::replay;
use deepstream_sim::{Corner, Failure, Run};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str = "sim [--cluster] [--runs N | --seconds N] [--from SEED] [--threads N]\nsim [--cluster] --seed S [--until STEP] [--trace]\nsim --corner ORDERS_MAX\nsim --replay TAPE";
/// How many failures are printed with their steps; of the others only the message.
const PRINTED_MAX: usize = 3;

struct Arguments {
    runs: u64,
    seconds: Option<u64>,
    from: u64,
    threads: u64,
    seed: Option<u64>,
    until: Option<u64>,
    trace: bool,
    cluster: bool,
    corner: Option<usize>,
    tape: Option<PathBuf>,
}

impl Arguments {
    fn run(&self, seed: u64) -> Run {
        if self.cluster { Run::cluster(seed) } else { Run::of(seed) }
    }
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments {
        runs: 2000,
        seconds: None,
        from: 0,
        threads: 2,
        seed: None,
        until: None,
        trace: false,
        cluster: false,
        corner: None,
        tape: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--replay" {
            found.tape = Some(words.next()?.into());
            continue;
        }
        let mut number = || words.next()?.parse::<u64>().ok();
        match word.as_str() {
            "--runs" => found.runs = number()?,
            "--seconds" => found.seconds = Some(number()?),
            "--from" => found.from = number()?,
            "--threads" => found.threads = number()?.max(1),
            "--seed" => found.seed = Some(number()?),
            "--until" => found.until = Some(number()?),
            "--corner" => found.corner = Some(usize::try_from(number()?).ok()?),
            "--trace" => found.trace = true,
            "--cluster" => found.cluster = true,
            _ => return None,
        }
    }
    Some(found)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(tape) = &arguments.tape {
        return play(tape);
    }
    if let Some(orders_max) = arguments.corner {
        return corners(orders_max);
    }
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn play(path: &Path) -> ExitCode {
    let path_shown = path.display();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{path_shown} cannot be opened: {error}");
            return ExitCode::FAILURE;
        }
    };
    match replay(BufReader::new(file)) {
        Ok(played) => {
            println!("{path_shown}: {played}");
            ExitCode::SUCCESS
        }
        Err(unplayed) => {
            eprintln!("{path_shown} {unplayed}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the exhaustive corners that are too large for a test.
fn corners(orders_max: usize) -> ExitCode {
    let mut failed = 0;
    for corner in Corner::large() {
        let begun = Instant::now();
        let orders = corner.every_order(orders_max);
        let seconds = begun.elapsed().as_secs_f64();
        match orders {
            Ok(orders) => println!("{corner}: {orders} orders in {seconds:.1} s"),
            Err(what) => {
                failed += 1;
                println!("{corner}: {what}, {seconds:.1} s");
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let run = Run { until: arguments.until, print: arguments.trace, ..arguments.run(seed) };
    match run.go() {
        Ok(steps) => {
            println!("seed={seed} {steps} steps, nothing failed");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    // The default hook is silenced, because the message of a panic is a part of the failure's report.
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let next = AtomicU64::new(arguments.from);
    let steps = AtomicU64::new(0);
    let failures: Mutex<Vec<Failure>> = Mutex::new(Vec::new());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let over = match arguments.seconds {
            Some(seconds) => begun.elapsed() >= Duration::from_secs(seconds),
            None => seed - arguments.from >= arguments.runs,
        };
        if over {
            // This seed was not run.
            next.fetch_sub(1, Ordering::Relaxed);
            break;
        }
        match arguments.run(seed).go() {
            Ok(count) => {
                steps.fetch_add(count, Ordering::Relaxed);
            }
            Err(failure) => {
                if let Ok(mut failures) = failures.lock() {
                    if failures.len() < PRINTED_MAX {
                        println!("{failure}\n");
                    } else {
                        println!("seed={} step={} {}", failure.seed, failure.step, failure.what);
                    }
                    failures.push(failure);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(work);
        }
    });
    let runs = next.load(Ordering::Relaxed) - arguments.from;
    let failed = failures.lock().map_or(0, |failures| failures.len() as u64);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{runs} runs of {} steps on average in {seconds:.1} s, {:.0} runs/s",
        steps.load(Ordering::Relaxed) / (runs - failed).max(1),
        runs as f64 / seconds
    );
    println!("{} passed, {failed} failed", runs - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
