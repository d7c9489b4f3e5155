//! The flags of `start`, which win over the configuration file.
//!
//! *Owns* these flags and their values. *Promises* that each has its effect or is listed as accepted without meaning.
//! *Does not* know the other commands of the program.

use super::placement::SHARDS_MAX;
use crate::log::Level;
use clap::Args;
use std::path::PathBuf;

/// Flags of `start`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct StartArguments {
    /// Configuration file to load
    #[arg(short = 'c', long, value_name = "file", num_args = 0..=1, default_missing_value = "")]
    pub config: Option<PathBuf>,
    /// Directory of plugins (accepted for compatibility: there are none)
    #[arg(short = 'l', long, value_name = "dir", num_args = 0..=1, default_missing_value = "")]
    pub lib_dir: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "host")]
    pub host: Option<String>,
    /// Serve other machines although nobody has to log in, or everybody may do everything
    #[arg(long)]
    pub no_protected_mode: bool,
    /// Port to listen on
    #[arg(long, value_name = "port", value_parser = port, allow_hyphen_values = true)]
    pub port: Option<u16>,
    /// Let everybody in, whatever the file says
    #[arg(long)]
    pub disable_auth: bool,
    /// Let everybody do everything, whatever the file says
    #[arg(long)]
    pub disable_permissions: bool,
    /// Lowest level that is logged: debug, info, warn, error or off
    #[arg(long, value_name = "level", value_parser = log_level)]
    pub log_level: Option<Level>,
    /// Colour log lines, on a terminal or not
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", value_parser = colors)]
    pub colors: Option<bool>,
    /// Accepted for compatibility: there is no Node process to inspect
    #[arg(long, value_name = "host:port", value_parser = inspect)]
    pub inspect: Option<String>,
    /// Number of shards (cores.count)
    #[arg(long, alias = "cluster-size", value_name = "n", value_parser = shards, allow_hyphen_values = true)]
    pub shards: Option<usize>,
    /// Directory of the embedded storage, seen from here
    #[arg(long, value_name = "dir", conflicts_with = "memory")]
    pub data: Option<PathBuf>,
    /// Keep records in memory only
    #[arg(long)]
    pub memory: bool,
    /// Write all that comes into each shard, passwords included, to a file in this directory, for sim --replay
    #[arg(long, value_name = "dir")]
    pub tape: Option<PathBuf>,
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| "Provided --port must be an integer".to_owned())
}

fn log_level(text: &str) -> Result<Level, String> {
    Level::from_name(text)
        .filter(|level| *level != Level::Fatal)
        .ok_or_else(|| "Log level must be one of the following (debug|info|warn|error|off)".to_owned())
}

fn colors(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "Invalid argument for --colors, please provide true or false".to_owned())
}

fn inspect(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("Invalid inspect url, please provide host:port".to_owned()),
    }
}

fn shards(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=SHARDS_MAX).contains(count))
        .ok_or_else(|| format!("Provided --shards or --cluster-size must be an integer from 1 to {SHARDS_MAX}"))
}
