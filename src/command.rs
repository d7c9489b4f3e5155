//! Commands that print something and end: `hash` and `info`.
//!
//! *Owns* what they print, which is what upstream's print. *Promises* a sentence for the standard error where there is
//! nothing to print. *Does not* start anything.

use crate::VERSION;
use crate::cli::{HashArguments, InfoArguments, StartArguments};
use crate::config::{self, AuthMethod, Loaded};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What is only known of a release: builds that nobody released say so.
const NOT_AVAILABLE: &str = "N/A";

/// Hashes a password as the first `file` entry of the configuration does.
pub fn hash(arguments: HashArguments) -> Result<String, String> {
    let loaded = load(arguments.config).map_err(|error| format!("Error: {error}"))?;
    let file = loaded.config.auth.iter().find_map(|method| match method {
        AuthMethod::File(file) => Some(file),
        _ => None,
    });
    let file = file.ok_or("Error: Can only use hash with file authentication as auth type")?;
    let hash = file.hash.ok_or("Error: Can only use hash with file authentication")?;
    let password = arguments.password.filter(|text| !text.is_empty()).ok_or("Error: Must provide password to hash")?;
    let hashed = hash.make(&password).map_err(|error| format!("Hash could not be created\n{error}"))?;
    Ok(format!("Password hash: {hashed}"))
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
