//! Commands that print something and end: `hash` and `info`.
//!
//! *Owns* their output, which is upstream's. *Promises* a sentence for the standard error if they fail. *Does not*
//! start a server.

mod password;

use crate::VERSION;
use crate::cli::{HashArguments, InfoArguments};
use crate::config::{self, Loaded, StartArguments};
use crate::credentials::{Digest, PasswordHash};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Printed for what only released builds know.
const NOT_AVAILABLE: &str = "N/A";

/// How passwords are hashed if nobody says: what OWASP recommends for PBKDF2.
const RECOMMENDED: PasswordHash = PasswordHash { digest: Digest::Sha256, iterations: 600_000, key_length: 32 };

/// A hash and what to do with it.
#[derive(Debug)]
pub struct Hashed {
    /// What upstream prints: programs read it.
    pub line: String,
    /// For the person at the terminal.
    pub advice: String,
}

/// Hashes a password: as the flags say, or else as the configuration does, or else as is recommended.
pub fn hash(arguments: HashArguments) -> Result<Hashed, String> {
    let HashArguments { config, algorithm, iterations, key_length, password } = arguments;
    let start = StartArguments { config, ..StartArguments::default() };
    // If all three are given, the configuration is not read.
    let said = algorithm.is_some() && iterations.is_some() && key_length.is_some();
    let configured = match config::hashing(&start) {
        Err(error) if !said => return Err(format!("Error: {error}")),
        configured => configured.ok().flatten(),
    };
    let base = configured.unwrap_or(RECOMMENDED);
    let digest = algorithm.unwrap_or(base.digest);
    // The default number of rounds depends on the hash function, so the configured number only counts for the
    // configured function.
    let usual = if digest == base.digest { base } else { RECOMMENDED };
    let hash = PasswordHash {
        digest,
        iterations: iterations.unwrap_or(usual.iterations),
        key_length: key_length.map_or(usual.key_length, |bytes| bytes as usize),
    };
    let password = password::obtain(password).map_err(|error| format!("Error: {error}"))?;
    let hashed = hash.make(&password).map_err(|error| format!("Hash could not be created\n{error}"))?;
    Ok(Hashed { advice: advice(hash, configured, &hashed), line: format!("Password hash: {hashed}") })
}

fn advice(hash: PasswordHash, configured: Option<PasswordHash>, hashed: &str) -> String {
    let PasswordHash { digest, iterations, key_length } = hash;
    let user = format!("NAME:\n  password: {hashed}");
    if configured == Some(hash) {
        return format!("The configuration has passwords hashed this way. In its file of users:\n\n{user}");
    }
    let also = match configured {
        Some(PasswordHash { digest: other, iterations, key_length }) => format!(
            "The configuration has passwords hashed otherwise ({}, {iterations}, {key_length}): all users of an entry are \
             hashed alike.\n",
            other.name()
        ),
        None => String::new(),
    };
    format!(
        "{also}In a file of users, users.yml:\n\n{user}\n\nIn the configuration:\n\nauth:\n  - type: file\n    options:\n      \
         users: fileLoad(users.yml)\n      hash: {}\n      iterations: {iterations}\n      keyLength: {key_length}",
        digest.name()
    )
}

/// What is installed, as JSON.
pub fn info(arguments: InfoArguments) -> Result<String, String> {
    let lib_dir = arguments.lib_dir.filter(|path| !path.as_os_str().is_empty());
    if lib_dir.is_none() {
        load(arguments.config).map_err(|error| {
            let advice = "Please provide a libDir or a configFile to provide the relevant install information";
            format!("{error}\n{advice}")
        })?;
    }
    let mut info = json!({
        "deepstreamVersion": VERSION,
        "ref": NOT_AVAILABLE,
        "buildTime": NOT_AVAILABLE,
        "platform": std::env::consts::OS,
        "arch": match std::env::consts::ARCH {
            // Node's names.
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        },
        // There is no Node under this server.
        "nodeVersion": NOT_AVAILABLE,
    });
    if let Some(directory) = &lib_dir {
        info["libs"] = Value::from(plugins(directory));
    }
    serde_json::to_string_pretty(&info).map_err(|error| error.to_string())
}

fn load(config: Option<PathBuf>) -> Result<Loaded, config::ConfigErrors> {
    config::load(&StartArguments { config, ..StartArguments::default() })
}

/// `name:version` of every plugin in a directory; they cannot be loaded here, but somebody may ask what is there.
fn plugins(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut plugins: Vec<String> = entries
        .filter_map(|entry| {
            let package = std::fs::read_to_string(entry.path().join("package.json")).ok()?;
            let package: Value = serde_json::from_str(&package).ok()?;
            Some(format!("{}:{}", package.get("name")?.as_str()?, package.get("version")?.as_str()?))
        })
        .collect();
    plugins.sort();
    plugins
}
