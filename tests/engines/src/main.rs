//! Starts one engine for whoever is not written in Rust, and obeys its standard input until that ends.
//!
//!     engines run KIND [--tls] [--address ADDRESS] [--set KEY=VALUE]…
//!
//! When it serves, one line of JSON says where. Then every line that comes in is an order: `kill`, `end`, `freeze`, `thaw` or `launch`,
//! and behind it, for one of several processes, its name. Each is answered by a line of JSON. The end of input ends the engine and
//! removes its files, so nothing outlives a test, however that ends.

use engines::{Engine, Kind, Node, Options, start};
use serde_json::{Value, json};
use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;

const USAGE: &str = "usage: engines run KIND [--tls] [--address ADDRESS] [--set KEY=VALUE]…";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("run") => run(&arguments[1..]),
        _ => Err(USAGE.to_owned()),
    };
    done.map_or_else(
        |error| {
            eprintln!("engines: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run(arguments: &[String]) -> Result<(), String> {
    let (kind, rest) = arguments.split_first().ok_or(USAGE)?;
    let engine = start(Kind::named(kind)?, &options(rest)?)?;
    say(&described(&engine))?;
    for line in stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let answer = match obey(&engine, &line) {
            Ok(()) => json!({ "done": line, "pid": engine.pid() }),
            Err(error) => json!({ "error": error }),
        };
        say(&answer)?;
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let (mut options, mut rest) = (Options::default(), arguments.iter());
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(USAGE);
        options = match argument.as_str() {
            "--tls" => options.tls(true),
            "--address" => options.address(value()?.parse().map_err(|_| "--address wants an IP address")?),
            "--set" => {
                let (key, value) = value()?.split_once('=').ok_or("--set wants KEY=VALUE")?;
                options.config(key, value)
            }
            _ => return Err(USAGE.to_owned()),
        };
    }
    Ok(options)
}

/// What there is to know about it.
fn described(engine: &Engine) -> Value {
    let node =
        |node: &Node| json!({ "name": node.name(), "port": node.port(), "secured": node.secured(), "pid": node.pid() });
    json!({
        "kind": engine.kind().name(),
        "address": engine.address(),
        "port": engine.port(),
        "secured": engine.secured(),
        "pid": engine.pid(),
        "directory": engine.directory(),
        "nodes": engine.nodes().iter().map(node).collect::<Vec<_>>(),
        "credentials": engine.credentials().map(|known| json!({ "user": known.user, "password": known.password })),
        "certificates": engine.certificates().map(|files| json!({
            "authority": files.authority, "certificate": files.certificate, "key": files.key
        })),
        "tools": engine.tools(),
    })
}

fn obey(engine: &Engine, line: &str) -> Result<(), String> {
    let (order, name) = line.split_once(' ').map_or((line, None), |(order, name)| (order, Some(name)));
    let node = name.map(|name| engine.node(name)).transpose()?;
    match order {
        "kill" => node.map_or_else(|| engine.kill(), Node::kill),
        "end" => node.map_or_else(|| engine.end(), Node::end),
        "freeze" => node.map_or_else(|| engine.freeze(), Node::freeze),
        "thaw" => {
            node.map_or_else(|| engine.thaw(), Node::thaw);
            Ok(())
        }
        "launch" => node.map_or_else(|| engine.launch(), Node::launch),
        _ => Err(format!("there is no order {order}")),
    }
}

fn say(value: &Value) -> Result<(), String> {
    let mut out = stdout().lock();
    writeln!(out, "{value}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
