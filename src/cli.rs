//! The command line: what upstream's program takes, with upstream's words for what is wrong.
//!
//! *Owns* flags and exit codes of a refused command line. *Promises* that every flag which parses has its effect, or is
//! reported at start as having none. *Does not* read files.

use crate::config::{ITERATIONS_MAX, KEY_LENGTH_MAX, StartArguments};
use crate::credentials::Digest;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the program was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Serve.
    Start(StartArguments),
    /// Report what stands in the way of latency on this machine.
    Doctor(DoctorArguments),
    /// Hash a password.
    Hash(HashArguments),
    /// Say what is installed.
    Info(InfoArguments),
    /// Check, test or explain a permission file.
    Permissions(PermissionsCommand),
    /// Print this line to the standard output and exit with 0.
    Print(String),
}

/// A command line that cannot be used: print to the standard error, exit with [`EXIT_CODE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(pub String);

/// Exit code of a refused command line.
pub const EXIT_CODE: i32 = 1;

/// Flags of `doctor`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorArguments {
    /// Configuration file that says where the shards run
    #[arg(short = 'c', long, value_name = "file")]
    pub config: Option<PathBuf>,
    /// Print only what to write where: file, present value, wanted value, with tabs between
    #[arg(long)]
    pub settings: bool,
}

/// Arguments of `hash`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct HashArguments {
    /// Configuration file with the settings of password hashes; without one, and without flags: sha256, 600000 times, 32 bytes
    #[arg(short = 'c', long, value_name = "file", num_args = 0..=1, default_missing_value = "")]
    pub config: Option<PathBuf>,
    /// Hash function, as OpenSSL names it
    #[arg(long, visible_alias = "hash", value_name = "name", value_parser = digest)]
    pub algorithm: Option<Digest>,
    /// Times it is run
    #[arg(long, value_name = "n", value_parser = clap::value_parser!(u32).range(1..=ITERATIONS_MAX as i64))]
    pub iterations: Option<u32>,
    /// Bytes of the key
    #[arg(long, value_name = "n", value_parser = clap::value_parser!(u32).range(1..=KEY_LENGTH_MAX as i64))]
    pub key_length: Option<u32>,
    /// What to hash; without it, or as -, it is read from the standard input, from a terminal unseen
    pub password: Option<String>,
}

/// Flags of `info`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoArguments {
    /// Configuration file that is looked for
    #[arg(short = 'c', long, value_name = "file", num_args = 0..=1, default_missing_value = "")]
    pub config: Option<PathBuf>,
    /// Directory of plugins, which are listed
    #[arg(short = 'l', long, value_name = "dir", num_args = 0..=1, default_missing_value = "")]
    pub lib_dir: Option<PathBuf>,
}

/// What to do with a permission file.
#[derive(Subcommand, Clone, Debug, PartialEq)]
pub enum PermissionsCommand {
    /// Print the errors and warnings of a permission file, by line and column; fails if the server would refuse the file
    Check {
        /// The permission file
        file: PathBuf,
        /// Fail if there are warnings, too
        #[arg(long)]
        strict: bool,
    },
    /// Run a table of cases against a permission file, and print those with another result than expected
    Test {
        /// The permission file
        file: PathBuf,
        /// The table: a YAML list of action, name, user, serverData, data, patch, erase, oldData, records, now, expected
        cases: PathBuf,
        /// Times a rule is run until it has all the records it refers to
        #[arg(long, value_name = "n", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        max_rule_iterations: u32,
        /// The table of `auth: storage`, whose records belong to nobody unless a path names the table; may be given several times
        #[arg(long, value_name = "table")]
        users_table: Vec<String>,
    },
    /// Print the rule that decides an action, and the value of every part of it
    Explain(ExplainArguments),
}

/// Arguments of `permissions explain`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ExplainArguments {
    /// The permission file
    pub file: PathBuf,
    /// Section and rule type: record.write
    #[arg(long, value_name = "section.type")]
    pub action: String,
    /// Name of the record, event, RPC or user; without it, presence of everybody
    #[arg(long, value_name = "name")]
    pub name: Option<String>,
    /// Name of the user who acts
    #[arg(long, value_name = "id")]
    pub user: Option<String>,
    /// The serverData of the user
    #[arg(long, value_name = "json")]
    pub server_data: Option<String>,
    /// The data of the message
    #[arg(long, value_name = "json")]
    pub data: Option<String>,
    /// Present data of the record
    #[arg(long, value_name = "json")]
    pub old_data: Option<String>,
    /// Another record, for cross references; may be given several times
    #[arg(long, value_name = "name=json")]
    pub record: Vec<String>,
    /// Milliseconds since 1970
    #[arg(long, value_name = "ms")]
    pub now: Option<f64>,
    /// Times a rule is run until it has all the records it refers to
    #[arg(long, value_name = "n", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rule_iterations: u32,
    /// The table of `auth: storage`, whose records belong to nobody unless a path names the table; may be given several times
    #[arg(long, value_name = "table")]
    pub users_table: Vec<String>,
}

#[derive(Parser)]
#[command(
    name = "deepstream",
    bin_name = "deepstream",
    version,
    about = "A realtime server: records and events for browsers, devices and servers"
)]
#[command(args_conflicts_with_subcommands = true, disable_version_flag = true)]
struct Program {
    /// Print the version
    #[arg(short = 'V', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Word>,
    #[command(flatten)]
    start: StartArguments,
}

#[derive(Subcommand)]
enum Word {
    /// Start the server (what happens without a command, too)
    Start(StartArguments),
    /// The same: one process uses all cores, without nodes beside each other on one machine
    Cluster(StartArguments),
    /// Report what stands in the way of latency on this machine, with the remedy for each
    Doctor(DoctorArguments),
    /// Hash a password, and say where to write it
    Hash(HashArguments),
    /// Print version and platform as JSON
    Info(InfoArguments),
    /// Check, test or explain a permission file
    #[command(subcommand)]
    Permissions(PermissionsCommand),
}

/// Understands the arguments of this process.
pub fn parse() -> Result<Command, UsageError> {
    parse_from(std::env::args_os())
}

/// Understands arguments; the first is the name of the program.
pub fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    match Program::try_parse_from(arguments) {
        Ok(program) if program.version => Ok(Command::Print(env!("CARGO_PKG_VERSION").to_owned())),
        Ok(
            Program { command: Some(Word::Start(start) | Word::Cluster(start)), .. }
            | Program { command: None, start, .. },
        ) => Ok(Command::Start(start)),
        Ok(Program { command: Some(Word::Doctor(arguments)), .. }) => Ok(Command::Doctor(arguments)),
        Ok(Program { command: Some(Word::Hash(arguments)), .. }) => Ok(Command::Hash(arguments)),
        Ok(Program { command: Some(Word::Info(arguments)), .. }) => Ok(Command::Info(arguments)),
        Ok(Program { command: Some(Word::Permissions(command)), .. }) => Ok(Command::Permissions(command)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Ok(Command::Print(error.to_string().trim_end().to_owned()))
        }
        Err(error) => Err(UsageError(in_upstreams_words(&error))),
    }
}

fn in_upstreams_words(error: &clap::Error) -> String {
    let told = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let argument = || told(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument if !argument().starts_with('-') => too_many(),
        ErrorKind::InvalidSubcommand => too_many(),
        ErrorKind::UnknownArgument => format!("error: unknown option '{}'", argument()),
        // Only the sentence of the flag's own parser, without what clap puts around it.
        ErrorKind::ValueValidation => std::error::Error::source(error).map_or_else(String::new, ToString::to_string),
        ErrorKind::InvalidValue if told(ContextKind::InvalidValue).is_empty() => {
            format!("error: option '{}' argument missing", argument())
        }
        _ => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

fn too_many() -> String {
    "error: too many arguments for 'start'. Expected 0 arguments but got 1.".to_owned()
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::from_name(text).ok_or_else(|| format!("Provided --algorithm must be one of {}", Digest::names().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse_from(std::iter::once("deepstream").chain(line.split_whitespace()).map(OsString::from))
    }

    fn start(line: &str) -> StartArguments {
        match parsed(line) {
            Ok(Command::Start(arguments)) => arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn no_command_means_start() {
        assert_eq!(start(""), StartArguments::default());
        assert_eq!(start("start"), StartArguments::default());
        assert_eq!(start("-c a.yml").config, Some("a.yml".into()));
        assert_eq!(start("start -c a.yml"), start("--config a.yml"));
    }

    #[test]
    fn a_cluster_of_one_machine_is_one_server_on_as_many_cores() {
        assert_eq!(start("cluster"), StartArguments::default());
        assert_eq!(start("cluster --cluster-size 3 -c a.yml"), start("--shards 3 -c a.yml"));
        let refused =
            Err(UsageError("Provided --shards or --cluster-size must be an integer from 1 to 1024".to_owned()));
        assert_eq!(parsed("cluster --cluster-size 0"), refused);
    }

    #[test]
    fn every_flag_of_start_is_understood() {
        let all = start(
            "start -c a.yml -l lib --host ::1 --no-protected-mode --port 7000 --disable-auth --disable-permissions --log-level WARN \
             --colors false --inspect 0.0.0.0:9229 --shards 3 --data /var/x \
             --tape /var/y",
        );
        let expected = StartArguments {
            config: Some("a.yml".into()),
            lib_dir: Some("lib".into()),
            host: Some("::1".to_owned()),
            no_protected_mode: true,
            port: Some(7000),
            disable_auth: true,
            disable_permissions: true,
            log_level: Some(Level::Warn),
            colors: Some(false),
            inspect: Some("0.0.0.0:9229".to_owned()),
            shards: Some(3),
            data: Some("/var/x".into()),
            memory: false,
            tape: Some("/var/y".into()),
        };
        assert_eq!(all, expected);
        assert_eq!(start("--colors").colors, Some(true));
        assert!(start("--memory").memory);
    }

    #[test]
    fn what_is_wrong_is_said_in_upstreams_words() {
        for (line, words) in [
            ("--port x", "Provided --port must be an integer"),
            ("--port 0", "Provided --port must be an integer"),
            ("--port -1", "Provided --port must be an integer"),
            ("start --port 70000", "Provided --port must be an integer"),
            ("--log-level loud", "Log level must be one of the following (debug|info|warn|error|off)"),
            ("--colors maybe", "Invalid argument for --colors, please provide true or false"),
            ("--inspect here", "Invalid inspect url, please provide host:port"),
            ("--shards 0", "Provided --shards or --cluster-size must be an integer from 1 to 1024"),
            ("--nope", "error: unknown option '--nope'"),
            ("start --nope", "error: unknown option '--nope'"),
            ("-x", "error: unknown option '-x'"),
            ("stop", "error: too many arguments for 'start'. Expected 0 arguments but got 1."),
            ("start now", "error: too many arguments for 'start'. Expected 0 arguments but got 1."),
        ] {
            assert_eq!(parsed(line), Err(UsageError(words.to_owned())), "{line}");
        }
        let UsageError(words) = parsed("--data x --memory").unwrap_err();
        assert!(words.starts_with("error: ") && words.contains("--memory"), "{words}");
    }

    #[test]
    fn the_doctor_takes_a_configuration() {
        assert_eq!(parsed("doctor"), Ok(Command::Doctor(DoctorArguments::default())));
        let arguments = DoctorArguments { config: Some("a.yml".into()), settings: true };
        assert_eq!(parsed("doctor -c a.yml --settings"), Ok(Command::Doctor(arguments)));
    }

    #[test]
    fn hash_and_info_take_what_upstreams_do() {
        let hash = |config: Option<&str>, password: Option<&str>| {
            let (config, password) = (config.map(PathBuf::from), password.map(str::to_owned));
            Ok(Command::Hash(HashArguments { config, password, ..HashArguments::default() }))
        };
        let flags = HashArguments {
            algorithm: Some(Digest::Sha512),
            iterations: Some(7),
            key_length: Some(64),
            password: Some("-".to_owned()),
            ..HashArguments::default()
        };
        for name in ["algorithm", "hash"] {
            let line = format!("hash --{name} RSA-SHA512 --iterations 7 --key-length 64 -");
            assert_eq!(parsed(&line), Ok(Command::Hash(flags.clone())));
        }
        let UsageError(words) = parsed("hash --algorithm rot13 x").unwrap_err();
        assert!(words.starts_with("Provided --algorithm must be one of md5, sha1"), "{words}");
        assert_eq!(parsed("hash secret"), hash(None, Some("secret")));
        assert_eq!(parsed("hash -c a.yml secret"), hash(Some("a.yml"), Some("secret")));
        assert_eq!(parsed("hash secret --config a.yml"), hash(Some("a.yml"), Some("secret")));
        assert_eq!(parsed("hash"), hash(None, None));
        let info = InfoArguments { config: Some("a.yml".into()), lib_dir: Some("lib".into()) };
        assert_eq!(parsed("info -c a.yml -l lib"), Ok(Command::Info(info)));
        assert_eq!(parsed("info"), Ok(Command::Info(InfoArguments::default())));
    }

    #[test]
    fn version_is_bare_and_help_is_helpful() {
        for line in ["-V", "--version"] {
            assert_eq!(parsed(line), Ok(Command::Print(env!("CARGO_PKG_VERSION").to_owned())));
        }
        for line in ["-h", "--help", "help", "help start", "start --help"] {
            let Ok(Command::Print(text)) = parsed(line) else { panic!("{line}: {:?}", parsed(line)) };
            assert!(text.contains("--disable-permissions"), "{line}: {text}");
        }
    }
}
