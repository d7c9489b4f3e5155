//! The keys of the log.

use super::node::Node;
use super::table::{Row, Rule, row};
use super::types::Config;
use crate::log::{Colors, Level, LogFormat, Timestamps};

/// The rows; see `table`.
pub(crate) static ROWS: &[Row] = &[
    row("logLevel", Rule::Value(log_level)),
    row("logger", Rule::Service { list: false, default: "default" }),
    row("logger[default]", Rule::Kind(|c| c.log.format = LogFormat::Human)),
    row("logger[default].options.colors", Rule::Flag(colors)),
    row("logger[default].options.logLevel", Rule::Value(log_level)),
    row("logger[default].options.timestamps", Rule::Value(timestamps)),
    // Upstream's `json` type is its default logger.
    row("logger[json]", Rule::Kind(|c| c.log.format = LogFormat::Human)),
    row("logger[json].options.colors", Rule::Flag(colors)),
    row("logger[json].options.logLevel", Rule::Value(log_level)),
    row("logger[json].options.timestamps", Rule::Value(timestamps)),
    row("logger[pino]", Rule::Kind(|c| c.log.format = LogFormat::Json)),
    row("logger[pino].options.logLevel", Rule::Value(log_level)),
    row("logger[pino].options.colors", Rule::Inert("JSON lines have no colours")),
    row("logger[pino].options.timestamps", Rule::Inert("JSON lines always have their time")),
    row("logger[pino].options.redact", Rule::Inert("no log line carries what it would hide")),
    row("logger[winston]", Rule::Later("this logger is not in this release: use default, or pino for JSON lines")),
];

fn log_level(config: &mut Config, node: &Node) -> Result<(), String> {
    let level = match node {
        Node::Integer(number) => Level::from_number(*number),
        Node::Text(name) => Level::from_name(name),
        _ => None,
    };
    config.log.level = level.ok_or("0 (DEBUG), 1 (INFO), 2 (WARN), 3 (ERROR), 4 (FATAL) or 100 (OFF)")?;
    Ok(())
}

fn colors(config: &mut Config, on: bool) {
    config.log.colors = if on { Colors::OnTerminal } else { Colors::Never };
}

fn timestamps(config: &mut Config, node: &Node) -> Result<(), String> {
    config.log.timestamps = match node {
        Node::Flag(true) => Timestamps::Always,
        Node::Flag(false) => Timestamps::Never,
        Node::Text(text) if text == "auto" => Timestamps::InFiles,
        _ => return Err("true, false, or auto for where the log goes to a file".to_owned()),
    };
    Ok(())
}
