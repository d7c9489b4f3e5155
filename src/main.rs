//! The program `deepstream`: arguments, configuration, exit codes.

use deepstream::cli::{self, Command};
use deepstream::config::{self, LatencyProfile, Loaded, Placement, StartArguments, Topology};
use deepstream::log::{self, Level, note};
use deepstream::server::foreground;
use deepstream::{VERSION, command, doctor, permissions};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Every core allocates and frees on its own thread, which is what this allocator is fastest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(Command::Print(text)) => {
            print(&format!("{text}\n"));
            ExitCode::SUCCESS
        }
        Ok(Command::Start(arguments)) => start(&arguments),
        Ok(Command::Doctor(arguments)) => doctor(arguments),
        Ok(Command::Hash(arguments)) => say(command::hash(arguments).map(|hashed| {
            advise(&hashed.advice);
            hashed.line
        })),
        Ok(Command::Info(arguments)) => say(command::info(arguments)),
        Ok(Command::Permissions(command)) => say(permissions::run(command)),
        Err(error) => {
            eprintln!("{}", error.0);
            exit_code(cli::EXIT_CODE)
        }
    }
}

/// Prints to the standard output. An error is ignored: the reader may have read enough and gone, as `head` does.
fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints advice for a person to the standard error, and only to a terminal.
fn advise(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}\n");
}

/// Prints the result of a command, or its error.
fn say(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => {
            print(&format!("{text}\n"));
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration, and where it puts the shards on this machine.
fn configure(arguments: &StartArguments, topology: &Topology) -> Result<(Loaded, Placement), ExitCode> {
    let refuse = |error: &dyn Display| {
        eprintln!("{error}");
        exit_code(config::EXIT_CODE)
    };
    let loaded = config::load(arguments).map_err(|errors| refuse(&errors))?;
    let placement = loaded.place(topology).map_err(|error| refuse(&error))?;
    Ok((loaded, placement))
}

/// Reports on this machine; fails if a server would not run here.
fn doctor(arguments: cli::DoctorArguments) -> ExitCode {
    let cli::DoctorArguments { config, settings } = arguments;
    let topology = Topology::of_this_machine();
    let start = StartArguments { config, ..StartArguments::default() };
    let (loaded, placement) = match configure(&start, &topology) {
        Ok(configured) => configured,
        Err(code) => return code,
    };
    let spins = loaded.config.cores.latency_profile == LatencyProfile::Spin;
    let report = doctor::examine(&topology, &placement, spins);
    if settings {
        print(&report.settings());
    } else {
        print(&format!("{report}\n"));
    }
    ExitCode::from(u8::from(report.is_broken()))
}

fn start(arguments: &StartArguments) -> ExitCode {
    let (loaded, placement) = match configure(arguments, &Topology::of_this_machine()) {
        Ok(configured) => configured,
        Err(code) => return code,
    };
    // Kept to the end: dropping it writes what is queued.
    let _log = log::start(&loaded.config.log);
    end_on_panic();
    let level = loaded.config.log.level.name();
    note(Level::Info, "INFO", &format!("logger ready: std out/err at level {level}"));
    note(Level::Info, "INFO", &format!("server name: {}", loaded.config.server_name));
    note(Level::Info, "INFO", &format!("deepstream version: {VERSION}"));
    loaded.announce();
    match foreground::run(&loaded.config, &placement, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            note(Level::Fatal, error.event(), &error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Ends the process on a panic: a core whose invariants are broken must not go on serving.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
