//! The program: arguments, configuration, exit codes.

use deepstream::cli::{self, Command};
use deepstream::config::{self, Topology};
use deepstream::log::{self, Level, note};
use deepstream::{VERSION, host};
use std::process::ExitCode;

/// Every core allocates and frees on its own thread, which is what this allocator is fastest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(Command::Print(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Command::Start(arguments)) => start(&arguments),
        Err(error) => {
            eprintln!("{}", error.0);
            exit_code(cli::EXIT_CODE)
        }
    }
}

fn start(arguments: &cli::StartArguments) -> ExitCode {
    let loaded = match config::load(arguments) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return exit_code(config::EXIT_CODE);
        }
    };
    let placement = match loaded.place(&Topology::of_this_machine()) {
        Ok(placement) => placement,
        Err(error) => {
            eprintln!("{error}");
            return exit_code(config::EXIT_CODE);
        }
    };
    // Kept to the end: dropping it writes what is queued.
    let _log = log::start(&loaded.config.log);
    end_on_panic();
    let level = loaded.config.log.level.name();
    note(Level::Info, "INFO", &format!("logger ready: std out/err at level {level}"));
    note(Level::Info, "INFO", &format!("server name: {}", loaded.config.server_name));
    note(Level::Info, "INFO", &format!("deepstream version: {VERSION}"));
    loaded.announce();
    match host::run(&loaded.config, &placement) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            note(Level::Fatal, error.event(), &error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// A core that lost an invariant must not keep serving, in whatever profile this was built.
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
